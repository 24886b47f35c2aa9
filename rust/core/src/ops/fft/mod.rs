//! Fourier transforms over any dims. Each is linear, and the gradient of each is another of them: its conjugate transpose,
//! with the same scale. On a CPU they are one operator, on a GPU they are put together from products with small matrices
//! (`steps`).

mod real_steps;
mod steps;

use super::complex::owned;
use super::view;
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule, with_grad_mode};
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::Op;
use crate::op::fft::Fourier;
use crate::shape::{Dims, Layout, wrap_dims};
use crate::tensor::{Keep, Tensor, attach};
use smallvec::SmallVec;
use std::sync::Arc;

type Order = SmallVec<[usize; 6]>;

/// What sums are multiplied by, and what the inner elements of half a spectrum are.
#[derive(Clone, Copy)]
struct Factors {
    scale: f64,
    inner: f64,
}

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

/// Transforms that PyTorch's libraries compute in one go, and so lay out together.
const AT_ONCE: usize = 3;

/// The dims that stay, then those transformed, each outermost first as they lie in memory; a fixed last one stays last.
fn order(x: &Tensor, dims: &[usize], fixed: bool) -> Order {
    let outermost_first = |order: &mut [usize]| order.sort_by_key(|&d| std::cmp::Reverse(x.layout().strides[d]));
    let mut out: Order = (0..x.rank()).filter(|d| !dims.contains(d)).collect();
    outermost_first(&mut out);
    let mut own = Order::from_slice(dims);
    let sorted = own.len() - usize::from(fixed);
    outermost_first(&mut own[..sorted]);
    out.extend(own);
    out
}

fn inverse(order: &[usize]) -> Order {
    let mut back = Order::from_slice(order);
    for (i, &d) in order.iter().enumerate() {
        back[d] = i;
    }
    back
}

/// A view in another order of dims, without history.
fn turned(x: &Tensor, order: &[usize]) -> Tensor {
    x.alias(x.layout().permute(order), x.dtype())
}

/// The node of a transform over the last dims; the result is row-major.
fn record(kind: Fourier, x: &Tensor, dims: usize, shape: Dims, by: Factors) -> Result<Tensor> {
    let source = if x.dtype().is_complex() { x.pairs() } else { x.detach() };
    let mut inputs: Inputs = SmallVec::from_iter([source.input()]);
    inputs.extend([by.scale, by.inner].map(|f| Input::Scalar(f.to_bits(), DType::F64)));
    let layout = Layout::contiguous(shape);
    let layout = if kind == Fourier::ToReal { layout } else { layout.paired() };
    record_one(Op::Fft(kind, dims as u8), inputs, OutSpec { dtype: source.dtype(), layout: Arc::new(layout) })
}

fn with_last(shape: &[usize], n: usize) -> Dims {
    shape[..shape.len() - 1].iter().copied().chain([n]).collect()
}

/// Complex to complex, without history; no dim twice, none of size 0.
fn complex(x: &Tensor, dims: &[usize], scale: f64, forward: bool) -> Result<Tensor> {
    if x.device().is_gpu() {
        return with_grad_mode(false, || steps::complex(x, dims, scale, forward));
    }
    let kind = if forward { Fourier::Forward } else { Fourier::Backward };
    let (mut out, mut left, mut scale) = (x.detach(), Order::from_slice(dims), scale);
    while !left.is_empty() {
        left.sort_by_key(|&d| std::cmp::Reverse(out.layout().strides[d]));
        let now: Order = left.drain(left.len().saturating_sub(AT_ONCE)..).collect();
        let order = order(&out, &now, false);
        let input = turned(&out, &order);
        let by = Factors { scale, inner: 1.0 };
        let made = record(kind, &input, now.len(), input.shape_dims().clone(), by)?;
        out = turned(&owned(&made)?, &inverse(&order));
        scale = 1.0;
    }
    Ok(out)
}

/// Real to half a spectrum along the last of the dims, without history.
fn from_real(x: &Tensor, dims: &[usize], by: Factors) -> Result<Tensor> {
    if x.device().is_gpu() {
        return with_grad_mode(false, || real_steps::forward(x, dims, by));
    }
    let (rest, now) = dims.split_at(dims.len().saturating_sub(AT_ONCE));
    let order = order(x, now, true);
    let input = turned(x, &order);
    let half = input.shape()[input.rank() - 1] / 2 + 1;
    let made = record(Fourier::FromReal, &input, now.len(), with_last(input.shape(), half), by)?;
    complex(&turned(&owned(&made)?, &inverse(&order)), rest, 1.0, true)
}

/// Half a spectrum along the last of the dims to `n` real numbers, without history.
fn to_real(x: &Tensor, dims: &[usize], n: usize, by: Factors) -> Result<Tensor> {
    let (last, rest) = (dims[dims.len() - 1], &dims[..dims.len() - 1]);
    let x = if rest.is_empty() { x.detach() } else { complex(x, rest, 1.0, false)? };
    let known = view::slice(&x, last, 0, n / 2 + 1, 1)?;
    if x.device().is_gpu() {
        return with_grad_mode(false, || real_steps::backward(&known, last, n, by));
    }
    let order = order(&known, &[last], true);
    let input = turned(&known, &order);
    let made = record(Fourier::ToReal, &input, 1, with_last(input.shape(), n), by)?;
    Ok(turned(&made, &inverse(&order)))
}

/// The dims counted from the front.
fn checked(x: &Tensor, dims: &[i64]) -> Result<Order> {
    let dims = wrap_dims("fft", dims, x.rank())?;
    for (i, d) in dims.iter().enumerate() {
        ensure!(!dims[..i].contains(d), Runtime, "FFT dims must be unique");
        let n = x.shape().get(*d).copied().unwrap_or(1);
        ensure!(n > 0, Runtime, "Invalid number of data points ({n}) specified");
    }
    Ok(dims)
}

/// Σ x·e^(∓2πi·jk/n) over dims, times `scale`: of complex tensors.
pub fn transform(x: &Tensor, dims: &[i64], scale: f64, forward: bool) -> Result<Tensor> {
    ensure!(x.dtype().is_complex(), Runtime, "fft: expected a complex tensor, but got {}", x.dtype().scalar_name());
    let dims = if x.rank() == 0 { Order::new() } else { checked(x, dims)? };
    if dims.is_empty() {
        return if scale == 1.0 { x.copy() } else { x.mul(scale) };
    }
    of_complex(x, &dims, scale, forward)
}

fn of_complex(x: &Tensor, dims: &Order, scale: f64, forward: bool) -> Result<Tensor> {
    let out = complex(x, dims, scale, forward)?;
    attach("FftC2CBackward0", &[x], std::slice::from_ref(&out), Keep::default(), || {
        let dims = dims.clone();
        Rule::Fn(Arc::new(move |v| Ok(one(of_complex(v.grad()?, &dims, scale, !forward)?))))
    })?;
    Ok(out)
}

/// The forward transform of a real tensor, of whose symmetric spectrum the last of the dims keeps the first n/2 + 1 elements.
pub fn transform_real(x: &Tensor, dims: &[i64], scale: f64) -> Result<Tensor> {
    ensure!(
        matches!(x.dtype(), DType::F32 | DType::F64) && !dims.is_empty() && x.rank() > 0,
        Runtime,
        "rfft: expected a float or double tensor and dims of it, but got {} of shape {}",
        x.dtype().scalar_name(),
        x.shape_dims()
    );
    of_real(x, &checked(x, dims)?, Factors { scale, inner: 1.0 })
}

fn of_real(x: &Tensor, dims: &Order, by: Factors) -> Result<Tensor> {
    let out = from_real(x, dims, by)?;
    attach("FftR2CBackward0", &[x], std::slice::from_ref(&out), Keep::default(), || {
        let (dims, n) = (dims.clone(), x.shape()[dims[dims.len() - 1]]);
        // Going back to real numbers counts inner elements twice, for the half of the spectrum that they stand for.
        let by = Factors { inner: by.inner / 2.0, ..by };
        Rule::Fn(Arc::new(move |v| Ok(one(back_to_real(v.grad()?, &dims, n, by)?))))
    })?;
    Ok(out)
}

/// The backward transform of a spectrum that is symmetric and given by n/2 + 1 elements along the last of the dims: `n` real
/// numbers there.
pub fn inverse_real(x: &Tensor, dims: &[i64], scale: f64, n: i64) -> Result<Tensor> {
    ensure!(x.dtype().is_complex(), Runtime, "irfft: expected a complex tensor, but got {}", x.dtype().scalar_name());
    ensure!(n > 0, Runtime, "Invalid number of data points ({n}) specified");
    ensure!(!dims.is_empty() && x.rank() > 0, Runtime, "irfft must transform at least one axis");
    let (dims, n) = (checked(x, dims)?, n as usize);
    let known = x.shape()[dims[dims.len() - 1]];
    ensure!(
        known > n / 2,
        Runtime,
        "irfft: {n} real numbers need {} elements of the spectrum, but there are {known}",
        n / 2 + 1
    );
    ensure!(known == n / 2 + 1, Runtime, "irfft: {known} elements of a spectrum are more than {n} real numbers need");
    back_to_real(x, &dims, n, Factors { scale, inner: 1.0 })
}

fn back_to_real(x: &Tensor, dims: &Order, n: usize, by: Factors) -> Result<Tensor> {
    let out = to_real(x, dims, n, by)?;
    attach("FftC2RBackward0", &[x], std::slice::from_ref(&out), Keep::default(), || {
        let dims = dims.clone();
        let by = Factors { inner: by.inner * 2.0, ..by };
        Rule::Fn(Arc::new(move |v| Ok(one(of_real(v.grad()?, &dims, by)?))))
    })?;
    Ok(out)
}
