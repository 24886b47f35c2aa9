//! Fourier transforms of float32 put together from products with small matrices, sines and cosines, for devices without a
//! kernel of their own. A length a·b is transformed in a pieces of b (W. Gentleman and G. Sande, "Fast Fourier transforms: for
//! fun and profit", 1966); one with a large prime factor is a convolution with a chirp of a length that is a power of two (L.
//! Bluestein, 1970). Lines lie as (rows, 2, n): all real parts of a line, then all imaginary ones.

use super::{Order, turned};
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::op::Ew;
use crate::ops::complex::owned;
use crate::ops::elementwise::{apply, cast, where_};
use crate::ops::{create, device, join, matmul, view};
use crate::shape::Dims;
use crate::tensor::Tensor;
use std::f64::consts::PI;

/// The longest lines that are transformed by one product; from here on more steps cost less.
const AT_ONCE: usize = 64;

fn int(n: usize) -> Scalar {
    Scalar::Int(n as i64)
}

/// 0, 1, … along dim `d` of `rank` dims, int32.
pub fn count(n: usize, d: usize, rank: usize, on: Device) -> Result<Tensor> {
    let mut shape = Dims::filled(1, rank);
    shape[d] = n;
    view::reshape(&create::ramp(int(0), int(1), n, DType::I32, on)?, &shape)
}

/// −2π·m/n for whole numbers 0 ≤ m < n, counted from the nearer side of the circle.
fn angle(m: &Tensor, n: usize) -> Result<Tensor> {
    let near = where_(&m.gt(int(n / 2))?, &m.sub(int(n))?, m)?;
    cast(&near, DType::F32)?.mul(-2.0 * PI / n as f64)
}

/// The matrix (2a, 2a) that transforms columns of a real parts over a imaginary ones.
fn matrix(a: usize, on: Device) -> Result<Tensor> {
    let place = |d: usize, n: usize| count(n, d, 4, on);
    let (part, k, from, j) = (place(0, 2)?, place(1, a)?, place(2, 2)?, place(3, a)?);
    // A quarter turn lies between the real and the imaginary part; with four steps for each of j·k everything is whole.
    let turns = apply(Ew::Remainder, &[(&k.mul(&j)?).into(), int(a).into()])?.mul(int(4))?;
    let turns = turns.add(&part.sub(&from)?.mul(int(a))?)?.add(int(4 * a))?;
    let turns = apply(Ew::Remainder, &[(&turns).into(), int(4 * a).into()])?;
    view::reshape(&angle(&turns, 4 * a)?.cos()?, &[2 * a, 2 * a])
}

/// The real or the imaginary parts of (…, 2, n).
pub fn plane(x: &Tensor, which: i64) -> Result<Tensor> {
    view::select(x, -2, which)
}

/// (a + ib)·(c + id), planes apart.
pub fn product(x: [&Tensor; 2], y: [&Tensor; 2]) -> Result<[Tensor; 2]> {
    let ([a, b], [c, d]) = (x, y);
    Ok([a.mul(c)?.sub(&b.mul(d)?)?, a.mul(d)?.add(&b.mul(c)?)?])
}

/// cos and sin of −2π·m/n for whole numbers 0 ≤ m < n.
pub fn turn(m: &Tensor, n: usize) -> Result<[Tensor; 2]> {
    let angle = angle(m, n)?;
    Ok([angle.cos()?, angle.sin()?])
}

/// The size of the first step's pieces for a length that takes more than one, unless a prime factor is too large.
fn piece(n: usize) -> Option<usize> {
    let steps = f64::from(n.ilog2() + 1) / f64::from(AT_ONCE.ilog2());
    let even = (n as f64).powf(1.0 / steps.ceil().max(2.0)).round() as usize;
    let fits = |a: &usize| n.is_multiple_of(*a) && is_smooth(n / a);
    let divisor = (2..=even.min(AT_ONCE)).rev().find(fits);
    divisor.or_else(|| (even + 1..=AT_ONCE).find(fits))
}

/// Whether all prime factors are small.
fn is_smooth(mut n: usize) -> bool {
    for p in 2..=AT_ONCE {
        while n.is_multiple_of(p) {
            n /= p;
        }
    }
    n == 1
}

/// The forward transform of lines (rows, 2, n).
pub fn forward(x: &Tensor) -> Result<Tensor> {
    let (rows, n, on) = (x.shape()[0], x.shape()[2], x.device());
    if n == 1 {
        return Ok(x.clone());
    }
    if n <= AT_ONCE {
        let flat = view::reshape(x, &[rows, 2 * n])?;
        return view::reshape(&matmul::product(&flat, &matmul::t(&matrix(n, on)?)?)?, &[rows, 2, n]);
    }
    let Some(a) = piece(n) else { return chirped(x) };
    let b = n / a;
    let columns = view::reshape(x, &[rows, 2 * a, b])?;
    let sums = matmul::product(&view::unsqueeze(&matrix(a, on)?, 0)?, &columns)?;
    let sums = view::reshape(&sums, &[rows, 2, a, b])?;
    let (re, im) = (view::select(&sums, 1, 0)?, view::select(&sums, 1, 1)?);
    let [cos, sin] = turn(&count(a, 0, 2, on)?.mul(&count(b, 1, 2, on)?)?, n)?;
    let [re, im] = product([&re, &im], [&cos, &sin])?;
    let lines = view::reshape(&join::stack(&[re, im], 2)?, &[rows * a, 2, b])?;
    let out = view::reshape(&forward(&lines)?, &[rows, a, 2, b])?;
    view::reshape(&view::permute(&out, &[0, 2, 3, 1]), &[rows, 2, n])
}

/// The planes exchanged, which makes a backward transform of a forward one.
pub fn exchanged(x: &Tensor) -> Result<Tensor> {
    join::stack(&[plane(x, 1)?, plane(x, 0)?], -2)
}

/// [`forward`] as a convolution: jk = (j² + k² − (k − j)²)/2.
fn chirped(x: &Tensor) -> Result<Tensor> {
    let (rows, n, on) = (x.shape()[0], x.shape()[2], x.device());
    let m = (2 * n - 1).next_power_of_two();
    let part = |k: usize| {
        let square = (k as u128 * k as u128 % (2 * n as u128)) as f64;
        (PI * square / n as f64).sin_cos()
    };
    let mut chirp = vec![0f32; 2 * m];
    for k in 0..n {
        let (sin, cos) = part(k);
        for at in [k, (m - k) % m] {
            (chirp[at], chirp[m + at]) = (cos as f32, sin as f32);
        }
    }
    let chirp = view::reshape(&device::to_device(&create::from_slice(&chirp)?, on)?, &[1, 2, m])?;
    let own = view::slice(&chirp, 2, 0, n, 1)?;
    let (cos, less) = (plane(&own, 0)?, plane(&own, 1)?.neg()?);
    let turned = product([&plane(x, 0)?, &plane(x, 1)?], [&cos, &less])?;
    let room = create::zeros(Dims::from_slice(&[rows, 2, m - n]), x.dtype(), on)?;
    let spread = forward(&join::cat(&[join::stack(&turned, 1)?, room], 2)?)?;
    let filter = forward(&chirp)?;
    let [re, im] = product([&plane(&spread, 0)?, &plane(&spread, 1)?], [&plane(&filter, 0)?, &plane(&filter, 1)?])?;
    // Backwards, by exchanged planes.
    let sums = forward(&join::stack(&[im, re], 1)?)?;
    let sums = view::slice(&sums, 2, 0, n, 1)?.mul(1.0 / m as f64)?;
    join::stack(&product([&plane(&sums, 1)?, &plane(&sums, 0)?], [&cos, &less])?, 1)
}

/// Complex to complex over dims.
pub fn complex(x: &Tensor, dims: &[usize], scale: f64, forward: bool) -> Result<Tensor> {
    let mut left = Order::from_slice(dims);
    left.sort_by_key(|&d| std::cmp::Reverse(x.layout().strides[d]));
    let (mut out, mut scale) = (x.detach(), scale);
    for d in left {
        let order = super::order(&out, &[d], false);
        let made = last(&turned(&out, &order), scale, forward)?;
        out = turned(&made, &super::inverse(&order));
        scale = 1.0;
    }
    Ok(out)
}

/// The transform along the last dim; the result is row-major.
fn last(x: &Tensor, scale: f64, ahead: bool) -> Result<Tensor> {
    if x.numel() == 0 {
        return owned(&create::zeros(x.layout().paired().shape, x.dtype().part(), x.device())?);
    }
    let n = x.shape()[x.rank() - 1];
    let (pairs, rows) = (x.pairs(), x.numel() / n);
    let (re, im) = (view::select(&pairs, -1, 0)?, view::select(&pairs, -1, 1)?);
    let planes = join::stack(&if ahead { [re, im] } else { [im, re] }, -2)?;
    let out = forward(&view::reshape(&planes, &[rows, 2, n])?)?;
    let (re, im) = (plane(&out, if ahead { 0 } else { 1 })?, plane(&out, if ahead { 1 } else { 0 })?);
    let made = join::stack(&[scaled(re, scale)?, scaled(im, scale)?], -1)?;
    owned(&view::reshape(&made, &x.layout().paired().shape)?)
}

pub fn scaled(x: Tensor, scale: f64) -> Result<Tensor> {
    if scale == 1.0 { Ok(x) } else { x.mul(scale) }
}
