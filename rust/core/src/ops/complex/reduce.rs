//! Reductions and scans that mix the parts of complex numbers; sums and means are recorded on pairs.

use super::{imag, real};
use crate::error::Result;
use crate::op::Ew;
use crate::ops::elementwise::apply;
use crate::ops::reduce::{self, Over};
use crate::ops::{join, view};
use crate::shape::Dims;
use crate::tensor::Tensor;

/// The product over dims, halved again and again.
pub fn prod(z: &Tensor, o: &Over, keepdim: bool) -> Result<Tensor> {
    let (reduced, kept) = o.split(z.rank());
    let order: Vec<usize> = reduced.iter().chain(&kept).copied().collect();
    let n: usize = reduced.iter().map(|&d| z.shape()[d]).product();
    let shape: Dims = std::iter::once(n).chain(kept.iter().map(|&d| z.shape()[d])).collect();
    let mut rows = view::reshape(&view::permute(z, &order), &shape)?;
    let out = if keepdim { &o.keepdim } else { &o.kept };
    if n == 0 {
        let none: Vec<i64> = reduced.iter().map(|&d| d as i64).collect();
        return view::reshape(&reduce::sum(z, Some(&none), keepdim, None)?.add(1.0)?, out);
    }
    while rows.shape()[0] > 1 {
        let (n, half) = (rows.shape()[0], rows.shape()[0] / 2);
        let product = view::slice(&rows, 0, 0, half, 1)?.mul(&view::slice(&rows, 0, half, half, 1)?)?;
        rows = match n % 2 {
            0 => product,
            _ => join::cat(&[product, view::slice(&rows, 0, n - 1, 1, 1)?], 0)?,
        };
    }
    view::reshape(&rows, out)
}

/// The running combination along a dim by doubling: after step k every element holds that of the 2ᵏ up to it.
fn running(z: &Tensor, d: usize, combine: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let n = z.shape()[d];
    let (mut out, mut reach) = (z.clone(), 1);
    while reach < n {
        let head = view::slice(&out, d, 0, reach, 1)?;
        let rest = combine(&view::slice(&out, d, 0, n - reach, 1)?, &view::slice(&out, d, reach, n - reach, 1)?)?;
        out = join::cat(&[head, rest], d as i64)?;
        reach *= 2;
    }
    if out.ptr_eq(z) { z.copy() } else { Ok(out) }
}

pub fn cumprod(z: &Tensor, d: usize) -> Result<Tensor> {
    running(z, d, |x, y| x.mul(y))
}

pub fn logcumsumexp(z: &Tensor, d: usize) -> Result<Tensor> {
    running(z, d, |x, y| apply(Ew::LogAddExp, &[x.into(), y.into()]))
}

/// log Σ eᶻ, with the largest real part taken out of the sum.
pub fn logsumexp(z: &Tensor, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    let largest = reduce::extremum(true, &real(z)?.detach(), dims, true)?;
    let infinite = apply(Ew::IsInf, &[(&largest).into()])?;
    let largest = largest.zero_where(&infinite)?;
    let sum = reduce::sum(&z.sub(&largest)?.exp()?, dims, true, None)?.log()?.add(&largest)?;
    if keepdim {
        return Ok(sum);
    }
    view::reshape(&sum, &reduce::over("logsumexp", z.shape(), dims)?.kept)
}

/// The variance of the real plus that of the imaginary parts.
pub fn var(z: &Tensor, dims: Option<&[i64]>, correction: f64, keepdim: bool) -> Result<Tensor> {
    let of = |part: Tensor| reduce::var(&part, dims, correction, keepdim);
    of(real(z)?)?.add(&of(imag(z)?)?)
}
