//! Scans along one dim: running sums, products, extrema and log-sum-exps.

use super::elementwise::cast;
use super::reduce::Over;
use super::{carried, complex};
use super::{create, join, view};
use crate::dtype::{DType, Scalar};
use crate::ensure;
use crate::error::Result;
use crate::exec::record::{record, record_one};
use crate::grad::{Grads, Rule, with_grad_mode};
use crate::graph::OutSpec;
use crate::op::{Op, Scan};
use crate::shape::{Layout, wrap_dim};
use crate::tensor::{Keep, Tensor, attach, attach_with};
use smallvec::SmallVec;
use std::sync::Arc;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

fn record_scan(kind: Scan, t: &Tensor, d: usize, dtype: DType) -> Result<Tensor> {
    let layout = Arc::new(Layout::contiguous(t.shape_dims().clone()));
    record_one(Op::Scan(kind, d as u8), SmallVec::from_iter([t.input()]), OutSpec { dtype, layout })
}

/// What a scan in `dtype` reads; gradients are taken in the tensor's own dtype, so this conversion has none.
fn converted(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if dtype.is_differentiable() { with_grad_mode(false, || cast(t, dtype)) } else { carried::as_signed(t, false) }
}

fn check_scanned(name: &str, dtype: DType) -> Result<()> {
    ensure!(dtype != DType::Bool, NotImplemented, "\"{name}_out_cpu\" not implemented for 'Bool'");
    Ok(())
}

/// The running sum, from the far end when `reverse`.
pub fn cumsum(t: &Tensor, dim: i64, dtype: Option<DType>, reverse: bool) -> Result<Tensor> {
    let d = wrap_dim("cumsum", dim, t.rank())?;
    let dtype = dtype.unwrap_or(if t.dtype().is_differentiable() { t.dtype() } else { DType::I64 });
    check_scanned("cumsum", dtype)?;
    if t.rank() == 0 {
        return cast(t, dtype)?.copy();
    }
    let from = t.dtype();
    let out = record_scan(Scan::Sum { reverse }, &converted(t, dtype)?, d, dtype)?;
    attach("CumsumBackward0", &[t], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(one(cumsum(&cast(v.grad()?, from)?, d as i64, None, !reverse)?))))
    })?;
    Ok(out)
}

/// The running product.
pub fn cumprod(t: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    let d = wrap_dim("cumprod", dim, t.rank())?;
    let dtype = dtype.unwrap_or(if t.dtype().is_differentiable() { t.dtype() } else { DType::I64 });
    check_scanned("cumprod", dtype)?;
    if t.rank() == 0 {
        return cast(t, dtype)?.copy();
    }
    if dtype.is_complex() {
        return complex::reduce::cumprod(&cast(t, dtype)?, d);
    }
    let out = record_scan(Scan::Prod { reverse: false }, &converted(t, dtype)?, d, dtype)?;
    attach("CumprodBackward0", &[t], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let x = v.saved(0);
            Ok(one(cumprod_grad(&cast(v.grad()?, x.dtype())?, x, d)?))
        }))
    })?;
    Ok(out)
}

/// dL/dx_k = Σ_{j ≥ k} g_j · Π_{i ≤ j, i ≠ k} x_i: the product before k times s_k = g_k + x_{k+1}·s_{k+1}, so nothing is
/// divided by x, which may be 0.
fn cumprod_grad(g: &Tensor, x: &Tensor, d: usize) -> Result<Tensor> {
    let n = x.shape()[d];
    if n == 0 {
        return g.mul(x);
    }
    let tails = recurrence(g, &view::slice(x, d, 1, n - 1, 1)?, d)?;
    let mut edge = x.shape_dims().clone();
    edge[d] = 1;
    let ones = create::full(edge, Scalar::Int(1), x.dtype(), x.device())?;
    let before = cumprod(&view::slice(x, d, 0, n - 1, 1)?, d as i64, None)?;
    join::cat(&[ones, before], d as i64)?.mul(&tails)
}

/// s_k = g_k + a_k·s_{k+1} along a dim, where `a` is one element shorter than `g`: by doubling, after Hillis and Steele
/// (1986), in as many steps as the length has binary digits.
fn recurrence(g: &Tensor, a: &Tensor, d: usize) -> Result<Tensor> {
    let n = g.shape()[d];
    let piece = |t: &Tensor, from: usize, len: usize| view::slice(t, d, from, len, 1);
    // s_k has the terms of `reach` elements; a_k is the product of as many factors.
    let (mut s, mut a, mut reach) = (g.clone(), a.clone(), 1);
    while reach < n {
        let longer = piece(&s, 0, n - reach)?.add(&a.mul(&piece(&s, reach, n - reach)?)?)?;
        s = join::cat(&[longer, piece(&s, n - reach, reach)?], d as i64)?;
        let left = n.saturating_sub(2 * reach);
        a = piece(&a, 0, left)?.mul(&piece(&a, reach.min(n - reach), left)?)?;
        reach *= 2;
    }
    Ok(s)
}

/// The running log-sum-exp.
pub fn logcumsumexp(t: &Tensor, dim: i64) -> Result<Tensor> {
    let d = wrap_dim("logcumsumexp", dim, t.rank())?;
    if t.dtype().is_complex() && t.rank() > 0 {
        return complex::reduce::logcumsumexp(t, d);
    }
    ensure!(
        t.dtype().is_differentiable(),
        NotImplemented,
        "\"logcumsumexp_out_cpu\" not implemented for '{}'",
        t.dtype().scalar_name()
    );
    if t.rank() == 0 {
        return t.copy();
    }
    let out = record_scan(Scan::LogSumExp { reverse: false }, t, d, t.dtype())?;
    attach("LogcumsumexpBackward0", &[t], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[0] }, || {
        Rule::Fn(Arc::new(move |v| Ok(one(running_weights(v.grad()?, v.saved(0), v.saved(1), d, true)?))))
    })?;
    Ok(out)
}

/// With `reverse` Σ_{j ≥ k} g_j e^(x_k − out_j) for every k, else Σ_{k ≤ j} g_k e^(x_k − out_j) for every j: the weights
/// of a running softmax, applied from either side. Each is the other's gradient in g.
fn running_weights(g: &Tensor, x: &Tensor, out: &Tensor, d: usize, reverse: bool) -> Result<Tensor> {
    let value = with_grad_mode(false, || {
        // Positive and negative parts apart, so that logarithms exist and nothing overflows.
        let (inner, outer) = if reverse { (out.neg()?, x.clone()) } else { (x.clone(), out.neg()?) };
        let part = |sign: f64| -> Result<Tensor> {
            let logs = g.mul(sign)?.maximum(0.0)?.log()?.add(&inner)?;
            record_scan(Scan::LogSumExp { reverse }, &logs, d, logs.dtype())?.add(&outer)?.exp()
        };
        part(1.0)?.sub(&part(-1.0)?)
    })?;
    let keep = Keep { inputs: &[0, 1, 2], outputs: &[0] };
    attach("RunningWeightsBackward0", &[g, x, out], std::slice::from_ref(&value), keep, || {
        Rule::Fn(Arc::new(move |v| {
            let (u, g, x, out, value) = (v.grad()?, v.saved(0), v.saved(1), v.saved(2), v.saved(3));
            let other = running_weights(u, x, out, d, !reverse)?;
            // The exponent's two ends: x sits at the result with `reverse`, at g without.
            let (at_g, at_result) = (g.mul(&other)?, u.mul(value)?);
            let (gx, gout) = if reverse { (at_result, at_g.neg()?) } else { (at_g, at_result.neg()?) };
            Ok(SmallVec::from_iter([Some(other), Some(gx), Some(gout)]))
        }))
    })?;
    Ok(value)
}

/// The running maximum or minimum with the positions at which it was found.
pub fn cumulative_extremum(max: bool, t: &Tensor, dim: i64) -> Result<(Tensor, Tensor)> {
    // PyTorch does not look at the dim of a tensor without elements.
    let d = match wrap_dim(if max { "cummax" } else { "cummin" }, dim, t.rank()) {
        Err(_) if t.numel() == 0 => 0,
        found => found?,
    };
    if t.rank() == 0 {
        return Ok((t.copy()?, create::number(Scalar::Int(0), DType::I64, t.device())?));
    }
    let layout = Arc::new(Layout::contiguous(t.shape_dims().clone()));
    let outs = [OutSpec { dtype: t.dtype(), layout: layout.clone() }, OutSpec { dtype: DType::I64, layout }];
    let kind = if max { Scan::Max } else { Scan::Min };
    let pair = record(Op::Scan(kind, d as u8), SmallVec::from_iter([t.input()]), outs.into_iter().collect())?;
    let (values, indices) = (pair[0].clone(), pair[1].clone());
    let shape = t.shape_dims().clone();
    let name = if max { "CummaxBackward0" } else { "CumminBackward0" };
    attach_with(name, &[t], std::slice::from_ref(&values), Keep::default(), &pair[1..], || {
        Rule::Fn(Arc::new(move |v| Ok(one(super::index::add_along(v.grad()?, v.saved(0), d as i64, &shape)?))))
    })?;
    Ok((values, indices))
}

/// For every element the product of the other elements of its reduced group: exclusive products from both sides.
pub fn product_of_others(x: &Tensor, o: &Over) -> Result<Tensor> {
    let (reduced, kept) = o.split(x.rank());
    let order: Vec<usize> = kept.iter().chain(&reduced).copied().collect();
    let moved = view::permute(x, &order);
    let n: usize = reduced.iter().map(|&d| x.shape()[d]).product();
    let mut flat: Vec<usize> = kept.iter().map(|&d| x.shape()[d]).collect();
    flat.push(n);
    let rows = view::reshape(&moved, &flat)?;
    let last = flat.len() - 1;
    if n == 0 {
        return Ok(x.clone());
    }
    let mut edge = flat.clone();
    edge[last] = 1;
    let ones = create::full(edge.as_slice().into(), Scalar::Int(1), x.dtype(), x.device())?;
    let head = join::cat(&[ones.clone(), view::slice(&rows, last, 0, n - 1, 1)?], last as i64)?;
    let tail = join::cat(&[view::slice(&rows, last, 1, n - 1, 1)?, ones], last as i64)?;
    let both = cumprod(&head, last as i64, None)?.mul(&reverse_cumprod(&tail, last)?)?;
    let shaped: Vec<usize> = order.iter().map(|&d| x.shape()[d]).collect();
    let mut inverse = vec![0; order.len()];
    for (i, &d) in order.iter().enumerate() {
        inverse[d] = i;
    }
    ensure!(both.numel() == x.numel(), Internal, "prod: wrong gradient size");
    Ok(view::permute(&view::reshape(&both, &shaped)?, &inverse))
}

fn reverse_cumprod(t: &Tensor, d: usize) -> Result<Tensor> {
    let out = record_scan(Scan::Prod { reverse: true }, t, d, t.dtype())?;
    attach("CumprodBackward0", &[t], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            // The mirror image of the forward case.
            let flip = |t: &Tensor| super::index::flip(t, &[d as i64]);
            Ok(one(flip(&cumprod_grad(&flip(v.grad()?)?, &flip(v.saved(0))?, d)?)?))
        }))
    })?;
    Ok(out)
}
