//! Transforms from and to real numbers, put together from those of `steps`. Lines of an even length are complex lines of half
//! the length, as on the CPU.

use super::steps::{complex, count, exchanged, forward as transform, plane, product, scaled, turn};
use super::{Factors, inverse, order, turned, with_last};
use crate::dtype::Scalar;
use crate::error::Result;
use crate::ops::complex::owned;
use crate::ops::elementwise::where_;
use crate::ops::rearrange::flip;
use crate::ops::{create, join, view};
use crate::shape::Dims;
use crate::tensor::Tensor;

/// Half a spectrum along the last of the dims.
pub fn forward(x: &Tensor, dims: &[usize], by: Factors) -> Result<Tensor> {
    let (d, rest) = (dims[dims.len() - 1], &dims[..dims.len() - 1]);
    let order = order(x, &[d], true);
    let made = last(&turned(x, &order), by)?;
    complex(&turned(&made, &inverse(&order)), rest, 1.0, true)
}

fn last(x: &Tensor, by: Factors) -> Result<Tensor> {
    let n = x.shape()[x.rank() - 1];
    let shape: Dims = with_last(x.shape(), n / 2 + 1).iter().copied().chain([2]).collect();
    if x.numel() == 0 {
        return owned(&create::zeros(shape, x.dtype(), x.device())?);
    }
    let rows = x.numel() / n;
    let spectrum = if n.is_multiple_of(2) { even_forward(x, rows, n)? } else { odd_forward(x, rows, n)? };
    let spectrum = spectrum.map(|part| weighted(scaled(part, by.scale)?, n, by.inner));
    let [re, im] = spectrum;
    owned(&view::reshape(&join::stack(&[re?, im?], -1)?, &shape)?)
}

/// Whether elements of half a spectrum are among those that stand for themselves alone: (1, n/2 + 1).
fn ends(n: usize, like: &Tensor) -> Result<Tensor> {
    let k = count(n / 2 + 1, 1, 2, like.device())?;
    let first = k.lt(Scalar::Int(1))?;
    if n.is_multiple_of(2) { first.logical_or(&k.eq(Scalar::Int(n as i64 / 2))?) } else { Ok(first) }
}

/// Half spectra (rows, n/2 + 1) with inner elements multiplied.
fn weighted(x: Tensor, n: usize, inner: f64) -> Result<Tensor> {
    if inner == 1.0 {
        return Ok(x);
    }
    where_(&ends(n, &x)?, &x, &x.mul(inner)?)
}

fn even_forward(x: &Tensor, rows: usize, n: usize) -> Result<[Tensor; 2]> {
    let half = n / 2;
    let pairs = view::reshape(x, &[rows, half, 2])?;
    let planes = join::stack(&[view::select(&pairs, -1, 0)?, view::select(&pairs, -1, 1)?], 1)?;
    let z = transform(&planes)?;
    let z = join::cat(&[z.clone(), view::slice(&z, 2, 0, 1, 1)?], 2)?;
    let back = flip(&z, &[2])?;
    let (re, im, back_re, back_im) = (plane(&z, 0)?, plane(&z, 1)?, plane(&back, 0)?, plane(&back, 1)?);
    // The symmetric part is the spectrum of even elements, −i times the other one that of odd elements.
    let even = [re.add(&back_re)?, im.sub(&back_im)?];
    let odd = [im.add(&back_im)?, back_re.sub(&re)?];
    let [cos, sin] = turn(&count(half + 1, 1, 2, x.device())?, n)?;
    let odd = product([&odd[0], &odd[1]], [&cos, &sin])?;
    Ok([even[0].add(&odd[0])?.mul(0.5)?, even[1].add(&odd[1])?.mul(0.5)?])
}

fn odd_forward(x: &Tensor, rows: usize, n: usize) -> Result<[Tensor; 2]> {
    let re = view::reshape(x, &[rows, 1, n])?;
    let zeros = create::zeros(re.shape_dims().clone(), x.dtype(), x.device())?;
    let out = view::slice(&transform(&join::cat(&[re, zeros], 1)?)?, 2, 0, n / 2 + 1, 1)?;
    Ok([plane(&out, 0)?, plane(&out, 1)?])
}

/// `n` real numbers along dim `d` from n/2 + 1 elements of a spectrum.
pub fn backward(x: &Tensor, d: usize, n: usize, by: Factors) -> Result<Tensor> {
    let order = order(x, &[d], true);
    let made = last_back(&turned(x, &order), n, by)?;
    Ok(turned(&made, &inverse(&order)))
}

fn last_back(x: &Tensor, n: usize, by: Factors) -> Result<Tensor> {
    let (half, shape) = (n / 2, with_last(x.shape(), n));
    if x.numel() == 0 {
        return create::zeros(shape, x.dtype().part(), x.device());
    }
    let rows = x.numel() / (half + 1);
    let pairs = view::reshape(&x.pairs(), &[rows, half + 1, 2])?;
    let (re, im) = (view::select(&pairs, -1, 0)?, view::select(&pairs, -1, 1)?);
    let im = im.zero_where(&ends(n, x)?)?;
    let (re, im) = (weighted(re, n, by.inner)?, weighted(im, n, by.inner)?);
    let out = if n.is_multiple_of(2) { even_backward(&re, &im, n)? } else { odd_backward(&re, &im)? };
    view::reshape(&scaled(out, by.scale)?, &shape)
}

fn even_backward(re: &Tensor, im: &Tensor, n: usize) -> Result<Tensor> {
    let (rows, half) = (re.shape()[0], n / 2);
    let (back_re, back_im) = (flip(re, &[1])?, flip(im, &[1])?);
    let even = [re.add(&back_re)?, im.sub(&back_im)?];
    let odd = [re.sub(&back_re)?, im.add(&back_im)?];
    let [cos, sin] = turn(&count(half + 1, 1, 2, re.device())?, n)?;
    let odd = product([&odd[0], &odd[1]], [&cos, &sin.neg()?])?;
    let z = [even[0].sub(&odd[1])?, even[1].add(&odd[0])?];
    // Exchanged planes, for a backward transform.
    let planes = view::slice(&join::stack(&[z[1].clone(), z[0].clone()], 1)?, 2, 0, half, 1)?;
    let out = transform(&planes)?;
    view::reshape(&join::stack(&[plane(&out, 1)?, plane(&out, 0)?], -1)?, &[rows, n])
}

fn odd_backward(re: &Tensor, im: &Tensor) -> Result<Tensor> {
    let known = re.shape()[1];
    let mirrored = |x: &Tensor| flip(&view::slice(x, 1, 1, known - 1, 1)?, &[1]);
    let re = join::cat(&[re.clone(), mirrored(re)?], 1)?;
    let im = join::cat(&[im.clone(), mirrored(im)?.neg()?], 1)?;
    plane(&transform(&exchanged(&join::stack(&[re, im], 1)?)?)?, 1)
}
