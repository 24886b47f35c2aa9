//! Reductions and scans that mix the parts of complex numbers; sums and means are recorded on pairs.

use super::{imag, real};
use crate::dtype::Scalar;
use crate::error::Result;
use crate::op::Ew;
use crate::ops::elementwise::apply;
use crate::ops::index::{self, Source};
use crate::ops::reduce::{self, Over};
use crate::ops::{create, join, sort, view};
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

/// `z` with the source multiplied into it at the indices along a dim. Factors of one place are brought together by sorting, and
/// multiplied by doubling; the last of each run has the product of all.
pub fn scattered_product(z: &Tensor, d: usize, index: &Tensor, source: &Tensor, include_self: bool) -> Result<Tensor> {
    let (dim, n, places) = (d as i64, index.shape()[d], z.shape()[d]);
    if index.numel() == 0 {
        return z.copy_contiguous();
    }
    let (sorted, order) = sort::sort(index, dim, false)?;
    let part = |t: &Tensor, from: usize, len: usize| view::slice(t, d, from, len, 1);
    let mut product = index::gather(source, dim, &order)?;
    let mut reach = 1;
    while reach < n {
        let same = part(&sorted, reach, n - reach)?.eq(&part(&sorted, 0, n - reach)?)?;
        let rest = part(&product, reach, n - reach)?;
        let longer = rest.mul(&part(&product, 0, n - reach)?)?;
        let rest = apply(Ew::Where, &[(&same).into(), (&longer).into(), (&rest).into()])?;
        product = join::cat(&[part(&product, 0, reach)?, rest], dim)?;
        reach *= 2;
    }
    // What is not the last of its run goes to a place behind the others.
    let ends = part(&sorted, 1, n - 1)?.ne(&part(&sorted, 0, n - 1)?)?;
    let inner = apply(Ew::Where, &[(&ends).into(), (&part(&sorted, 0, n - 1)?).into(), (places as i64).into()])?;
    let targets = join::cat(&[inner, part(&sorted, n - 1, 1)?], dim)?;
    let mut shape = z.shape_dims().clone();
    shape[d] = places + 1;
    let ones = create::full(shape, Scalar::Int(1), z.dtype(), z.device())?;
    let factors = part(&index::scatter(&ones, dim, &targets, Source::Tensor(&product))?, 0, places)?;
    match include_self {
        true => z.mul(&factors),
        false => index::scatter(z, dim, index, Source::Number(Scalar::Int(1)))?.mul(&factors),
    }
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
