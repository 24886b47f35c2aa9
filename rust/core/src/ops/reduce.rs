//! Reductions over any dims, and what follows from them.

use super::elementwise::{cast, default_dtype};
use super::view;
use super::{carried, complex};
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::exec::record::{record, record_one};
use crate::grad::{Grads, Rule, with_grad_mode};
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::{Op, Reduction};
use crate::shape::{Dims, Layout, wrap_dims};
use crate::tensor::{Keep, Tensor, attach};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// The reduced dims as a bit mask and the shape that remains.
#[derive(Clone, Debug)]
pub struct Over {
    pub mask: u64,
    pub kept: Dims,
    /// With the reduced dims as size 1.
    pub keepdim: Dims,
}

/// Resolves a dim list; an empty list or `None` means every dim.
pub fn over(op: &str, shape: &[usize], dims: Option<&[i64]>) -> Result<Over> {
    ensure!(shape.len() <= 64, Runtime, "{op}: tensors with more than 64 dims are not supported");
    let list: SmallVec<[usize; 6]> = match dims {
        Some(d) if !d.is_empty() => wrap_dims(op, d, shape.len())?,
        _ => (0..shape.len()).collect(),
    };
    let mask = list.iter().filter(|&&d| d < shape.len()).fold(0u64, |m, &d| m | 1 << d);
    let kept = (0..shape.len()).filter(|d| mask & (1 << d) == 0).map(|d| shape[d]).collect();
    let keepdim = (0..shape.len()).map(|d| if mask & (1 << d) != 0 { 1 } else { shape[d] }).collect();
    Ok(Over { mask, kept, keepdim })
}

impl Over {
    /// The reduced and the kept dims of a tensor of this rank.
    pub fn split(&self, rank: usize) -> (Vec<usize>, Vec<usize>) {
        (0..rank).partition(|d| self.mask & (1 << d) != 0)
    }
    pub fn count(&self, shape: &[usize]) -> usize {
        (0..shape.len()).filter(|d| self.mask & (1 << d) != 0).map(|d| shape[d]).product()
    }
}

/// Records a reduction without history; the result has the kept dims, or all with size 1.
fn record_reduce(
    kind: Reduction,
    t: &Tensor,
    o: &Over,
    keepdim: bool,
    dtype: DType,
    parameter: Option<f64>,
) -> Result<Tensor> {
    let mut inputs: Inputs = SmallVec::from_iter([t.input()]);
    if let Some(p) = parameter {
        inputs.push(Input::Scalar(Scalar::Float(p).to_bits(DType::F64), DType::F64));
    }
    let shape = if keepdim { o.keepdim.clone() } else { o.kept.clone() };
    record_one(Op::Reduce(kind, o.mask), inputs, OutSpec { dtype, layout: Arc::new(Layout::contiguous(shape)) })
}

/// `g`, shaped like the reduction's result, spread over the input's shape.
fn spread(g: &Tensor, o: &Over, shape: &Dims) -> Result<Tensor> {
    view::expand(&view::reshape(g, &o.keepdim)?, shape)
}

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

/// The result dtype of sum and prod: int64 for integers and bool unless one is asked for.
fn sum_dtype(t: &Tensor, dtype: Option<DType>) -> DType {
    dtype.unwrap_or(if t.dtype().is_differentiable() { t.dtype() } else { DType::I64 })
}

pub fn sum(t: &Tensor, dims: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    let out_dtype = sum_dtype(t, dtype);
    let t = &if out_dtype.is_differentiable() { cast(t, out_dtype)? } else { carried::as_signed(t, false)? };
    let o = over("sum", t.shape(), dims)?;
    let out = record_reduce(Reduction::Sum, t, &o, keepdim, out_dtype, None)?;
    let shape = t.shape_dims().clone();
    let name = if dims.is_none() { "SumBackward0" } else { "SumBackward1" };
    attach(name, &[t], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(one(spread(v.grad()?, &o, &shape)?))))
    })?;
    Ok(out)
}

/// Sums dims so that the result has `shape`, which broadcasts to the tensor's.
pub fn sum_to(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if t.shape() == shape {
        return Ok(t.clone());
    }
    let lead = t.rank().saturating_sub(shape.len());
    let dims: SmallVec<[i64; 6]> =
        (0..t.rank()).filter(|&d| d < lead || (shape[d - lead] == 1 && t.shape()[d] != 1)).map(|d| d as i64).collect();
    // Only leading dims: the result is the sum itself and no view of it.
    if lead > 0 && dims.len() == lead {
        return sum(t, Some(&dims), false, None);
    }
    let s = if dims.is_empty() { t.clone() } else { sum(t, Some(&dims), true, None)? };
    view::reshape(&s, shape)
}

pub fn mean(t: &Tensor, dims: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    let dtype = dtype.unwrap_or(t.dtype());
    ensure!(
        dtype.is_differentiable(),
        Runtime,
        "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {}",
        t.dtype().scalar_name()
    );
    let t = &cast(t, dtype)?;
    let o = over("mean", t.shape(), dims)?;
    let out = record_reduce(Reduction::Mean, t, &o, keepdim, dtype, None)?;
    let shape = t.shape_dims().clone();
    let name = if dims.is_none() { "MeanBackward0" } else { "MeanBackward1" };
    attach(name, &[t], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| {
            let n = o.count(&shape) as f64;
            // Divided last, so that every element has memory of its own: hooks write into gradients.
            Ok(one(spread(v.grad()?, &o, &shape)?.div(n)?))
        }))
    })?;
    Ok(out)
}

pub fn prod(t: &Tensor, dims: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    let out_dtype = sum_dtype(t, dtype);
    let t = &if out_dtype.is_differentiable() { cast(t, out_dtype)? } else { carried::as_signed(t, false)? };
    let o = over("prod", t.shape(), dims)?;
    if out_dtype.is_complex() {
        return complex::reduce::prod(t, &o, keepdim);
    }
    let out = record_reduce(Reduction::Prod, t, &o, keepdim, out_dtype, None)?;
    let shape = t.shape_dims().clone();
    let name = if dims.is_none() { "ProdBackward0" } else { "ProdBackward1" };
    attach(name, &[t], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            // The product of the others by exclusive scans from both sides: exact with zeros, differentiable again. Half
            // types take it in float32, so that it rounds once.
            let x = v.saved(0);
            let wide = if x.dtype().size() < 4 { cast(x, DType::F32)? } else { x.clone() };
            let others = super::scan::product_of_others(&wide, &o)?;
            let g = spread(&cast(v.grad()?, wide.dtype())?, &o, &shape)?.mul(&others)?;
            Ok(one(cast(&g, x.dtype())?))
        }))
    })?;
    Ok(out)
}

/// amax and amin: ties share the gradient.
pub fn extremum(max: bool, t: &Tensor, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    let name = if max { "amax" } else { "amin" };
    let o = over(name, t.shape(), dims)?;
    let given = dims.is_some_and(|d| !d.is_empty());
    ensure!(
        given || t.numel() > 0,
        Runtime,
        "{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
    );
    if let Some(d) = (0..t.rank()).find(|&d| t.shape()[d] == 0 && o.mask & (1 << d) != 0) {
        bail!(Index, "{name}(): Expected reduction dim {d} to have non-zero size.");
    }
    let kind = if max { Reduction::Max } else { Reduction::Min };
    let out = record_reduce(kind, t, &o, keepdim, t.dtype(), None)?;
    let shape = t.shape_dims().clone();
    let backward = if max { "AmaxBackward0" } else { "AminBackward0" };
    attach(backward, &[t], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[0] }, || {
        Rule::Fn(Arc::new(move |v| {
            let (x, best) = (v.saved(0), spread(v.saved(1), &o, &shape)?);
            let hit = x.eq(&best)?.to_dtype(x.dtype())?;
            let count = spread(&reduce_like(&hit, &o)?, &o, &shape)?;
            Ok(one(spread(v.grad()?, &o, &shape)?.mul(&hit.div(&count)?)?))
        }))
    })?;
    Ok(out)
}

fn reduce_like(t: &Tensor, o: &Over) -> Result<Tensor> {
    let dims: Vec<i64> = (0..t.rank()).filter(|d| o.mask & (1 << d) != 0).map(|d| d as i64).collect();
    if dims.is_empty() { Ok(t.clone()) } else { sum(t, Some(&dims), false, None) }
}

/// The first index of the extremum, over one dim or the flattened tensor.
pub fn arg_extremum(max: bool, t: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    let name = if max { "argmax" } else { "argmin" };
    ensure!(t.dtype() != DType::Bool, Runtime, "{name}(): does not support bool input");
    let dims: SmallVec<[i64; 1]> = dim.into_iter().collect();
    let o = over(name, t.shape(), dim.map(|_| &dims[..]))?;
    ensure!(
        o.count(t.shape()) > 0 || o.kept.contains(&0),
        Index,
        "{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
    );
    let kind = if max { Reduction::ArgMax } else { Reduction::ArgMin };
    record_reduce(kind, t, &o, keepdim, DType::I64, None)
}

/// Values and indices of the extremum along one dim.
pub fn extremum_with_index(max: bool, t: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let name = if max { "max" } else { "min" };
    let o = over(name, t.shape(), Some(&[dim]))?;
    ensure!(
        o.count(t.shape()) > 0 || o.kept.contains(&0),
        Index,
        "{name}(): Expected reduction dim {dim} to have non-zero size."
    );
    let shape = if keepdim { o.keepdim.clone() } else { o.kept.clone() };
    let layout = Arc::new(Layout::contiguous(shape));
    let outs = [OutSpec { dtype: t.dtype(), layout: layout.clone() }, OutSpec { dtype: DType::I64, layout }];
    let kind = if max { Reduction::MaxIndex } else { Reduction::MinIndex };
    let pair = record(Op::Reduce(kind, o.mask), SmallVec::from_iter([t.input()]), outs.into_iter().collect())?;
    let (values, indices) = (pair[0].clone(), pair[1].clone());
    let from = t.shape_dims().clone();
    let backward = if max { "MaxBackward0" } else { "MinBackward0" };
    let keep = Keep { inputs: &[1], outputs: &[] };
    attach(backward, &[t, &indices], std::slice::from_ref(&values), keep, || {
        Rule::Fn(Arc::new(move |v| {
            let g = view::reshape(v.grad()?, &o.keepdim)?;
            let index = view::reshape(v.saved(0), &o.keepdim)?;
            Ok(one(super::index::put_along(&g, &index, dim, &from)?))
        }))
    })?;
    Ok((values, indices))
}

/// any and all.
pub fn truth(all: bool, t: &Tensor, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    let name = if all { "all" } else { "any" };
    let o = over(name, t.shape(), dims)?;
    let kind = if all { Reduction::All } else { Reduction::Any };
    // uint8 stays uint8 for compatibility, as in PyTorch.
    let dtype = if t.dtype() == DType::U8 { DType::U8 } else { DType::Bool };
    let t = &if t.dtype().is_carried() { cast(&t.detach(), DType::Bool)? } else { complex::truths(t)? };
    // Unlike other reductions, an empty list of dims reduces none.
    if dims.is_some_and(<[i64]>::is_empty) {
        return cast(&t.ne(0)?, dtype);
    }
    record_reduce(kind, t, &o, keepdim, dtype, None)
}

/// The variance with `correction` degrees of freedom removed.
pub fn var(t: &Tensor, dims: Option<&[i64]>, correction: f64, keepdim: bool) -> Result<Tensor> {
    if t.dtype().is_complex() {
        return complex::reduce::var(t, dims, correction, keepdim);
    }
    ensure!(t.dtype().is_float(), Runtime, "std and var only support floating point and complex dtypes");
    let o = over("var", t.shape(), dims)?;
    let out = record_reduce(Reduction::Var, t, &o, keepdim, t.dtype(), Some(correction))?;
    let shape = t.shape_dims().clone();
    attach("VarBackward0", &[t], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| Ok(one(var_grad(v.grad()?, v.saved(0), &o, &shape, correction)?))))
    })?;
    Ok(out)
}

fn var_grad(g: &Tensor, x: &Tensor, o: &Over, shape: &Dims, correction: f64) -> Result<Tensor> {
    let dims: Vec<i64> = (0..x.rank()).filter(|d| o.mask & (1 << d) != 0).map(|d| d as i64).collect();
    let centred = if dims.is_empty() { x.sub(x)? } else { x.sub(&mean(x, Some(&dims), true, None)?)? };
    let scale = 2.0 / (o.count(shape) as f64 - correction).max(0.0);
    spread(g, o, shape)?.mul(&centred)?.mul(scale)
}

/// The standard deviation; its gradient is 0 where it is 0.
pub fn std(t: &Tensor, dims: Option<&[i64]>, correction: f64, keepdim: bool) -> Result<Tensor> {
    if t.dtype().is_complex() {
        return var(t, dims, correction, keepdim)?.sqrt();
    }
    let out = with_grad_mode(false, || var(t, dims, correction, keepdim)?.sqrt())?;
    let o = over("std", t.shape(), dims)?;
    let shape = t.shape_dims().clone();
    let keep = Keep { inputs: &[0], outputs: &[0] };
    attach("StdBackward0", &[t], std::slice::from_ref(&out), keep, || {
        Rule::Fn(Arc::new(move |v| {
            let (x, deviation) = (v.saved(0), v.saved(1));
            let varies = deviation.eq_zero()?.logical_not()?;
            let g = v.grad()?.div(&deviation.mul(2.0)?)?.masked_zero(&varies)?;
            Ok(one(var_grad(&g, x, &o, &shape, correction)?))
        }))
    })?;
    Ok(out)
}

/// The vector norm of order `p` over dims.
pub fn norm(t: &Tensor, p: f64, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    if t.dtype().is_complex() {
        return norm(&complex::abs(t)?, p, dims, keepdim);
    }
    ensure!(
        t.dtype().is_float(),
        Runtime,
        "linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}",
        t.dtype().scalar_name()
    );
    let o = over("norm", t.shape(), dims)?;
    let out = record_reduce(Reduction::Norm, t, &o, keepdim, t.dtype(), Some(p))?;
    let shape = t.shape_dims().clone();
    attach(
        "LinalgVectorNormBackward0",
        &[t],
        std::slice::from_ref(&out),
        Keep { inputs: &[0], outputs: &[0] },
        || {
            Rule::Fn(Arc::new(move |v| {
                if p == 0.0 {
                    // A count: no gradient at all.
                    return Ok(SmallVec::from_iter([None]));
                }
                let (x, n) = (v.saved(0), spread(v.saved(1), &o, &shape)?);
                let g = spread(v.grad()?, &o, &shape)?;
                // Half types are rounded once.
                let half = matches!(x.dtype(), DType::F16 | DType::BF16);
                let wide = |t: &Tensor| if half { cast(t, DType::F32) } else { Ok(t.clone()) };
                let grad = norm_grad(&wide(&g)?, &wide(x)?, &wide(&n)?, p, &o, &shape)?;
                Ok(one(cast(&grad, x.dtype())?))
            }))
        },
    )?;
    Ok(out)
}

/// d‖x‖ₚ: sign(x)·|x|^(p−1)/‖x‖^(p−1), 0 where the norm is 0; infinite orders share between ties.
fn norm_grad(g: &Tensor, x: &Tensor, n: &Tensor, p: f64, o: &Over, shape: &Dims) -> Result<Tensor> {
    if p.is_infinite() {
        let hit = x.abs()?.eq(n)?.to_dtype(x.dtype())?;
        let count = spread(&reduce_like(&hit, o)?, o, shape)?;
        return g.mul(&x.sign()?)?.mul(&hit.div(&count)?);
    }
    let zero = n.eq_zero()?.logical_not()?;
    if p == 2.0 {
        return g.mul(&x.div(n)?)?.masked_zero(&zero);
    }
    if p == 1.0 {
        return g.mul(&x.sign()?);
    }
    let ratio = x.abs()?.div(n)?.pow(p - 1.0)?;
    g.mul(&x.sign()?.mul(&ratio)?)?.masked_zero(&x.eq_zero()?.logical_not()?)
}

pub fn logsumexp(t: &Tensor, dims: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    if t.dtype().is_complex() {
        return complex::reduce::logsumexp(t, dims, keepdim);
    }
    let t = &if t.dtype().is_differentiable() { t.clone() } else { cast(t, default_dtype())? };
    let o = over("logsumexp", t.shape(), dims)?;
    let out = record_reduce(Reduction::LogSumExp, t, &o, keepdim, t.dtype(), None)?;
    let shape = t.shape_dims().clone();
    attach("LogsumexpBackward0", &[t], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[0] }, || {
        Rule::Fn(Arc::new(move |v| {
            let weight = v.saved(0).sub(&spread(v.saved(1), &o, &shape)?)?.exp()?;
            Ok(one(spread(v.grad()?, &o, &shape)?.mul(&weight)?))
        }))
    })?;
    Ok(out)
}

/// How many elements are not zero.
pub fn count_nonzero(t: &Tensor, dims: Option<&[i64]>) -> Result<Tensor> {
    let t = &complex::truths(t)?;
    let o = over("count_nonzero", t.shape(), dims)?;
    record_reduce(Reduction::CountNonzero, t, &o, false, DType::I64, None)
}
