//! Reading and writing by index tensors.

use super::{create, view};
use crate::dtype::{DType, Scalar};
use crate::ensure;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule};
use crate::graph::OutSpec;
use crate::op::{Op, ScatterMode};
use crate::shape::{Dims, Layout, wrap_dim};
use crate::tensor::{Keep, Tensor, attach};
use smallvec::SmallVec;
use std::sync::Arc;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

/// `out[i][j] = input[index[i][j]][j]` along a dim.
pub fn gather(t: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    let d = wrap_dim("gather", dim, t.rank())?;
    ensure!(index.dtype() == DType::I64, Runtime, "gather(): Expected dtype int64 for index");
    let layout = Arc::new(Layout::contiguous(index.shape_dims().clone()));
    let out = record_one(
        Op::Gather(d as u8),
        SmallVec::from_iter([t.input(), index.input()]),
        OutSpec { dtype: t.dtype(), layout },
    )?;
    let (shape, at) = (t.shape_dims().clone(), index.clone());
    attach("GatherBackward0", &[t], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Box::new(move |v| Ok(one(add_along(v.grad()?, &at, d as i64, &shape)?))))
    });
    Ok(out)
}

/// A scatter without history.
fn record_scatter(mode: ScatterMode, t: &Tensor, d: usize, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    let layout = Arc::new(Layout::contiguous(t.shape_dims().clone()));
    record_one(
        Op::Scatter(mode, d as u8),
        SmallVec::from_iter([t.input(), index.input(), src.input()]),
        OutSpec { dtype: t.dtype(), layout },
    )
}

/// Zeros of `shape` with `g` added at the indices along a dim.
pub fn add_along(g: &Tensor, index: &Tensor, dim: i64, shape: &Dims) -> Result<Tensor> {
    let d = wrap_dim("scatter_add", dim, shape.len())?;
    let zeros = create::zeros(shape.clone(), g.dtype())?;
    let out = record_scatter(ScatterMode::Add, &zeros, d, index, g)?;
    let at = index.clone();
    attach("ScatterAddBackward0", &[g], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Box::new(move |v| Ok(one(gather(v.grad()?, d as i64, &at)?))))
    });
    Ok(out)
}

/// As [`add_along`] for indices that are distinct along the dim.
pub fn put_along(g: &Tensor, index: &Tensor, dim: i64, shape: &Dims) -> Result<Tensor> {
    add_along(g, index, dim, shape)
}

/// `t` with the rows of `source` added at `index` along a dim.
pub fn index_add(t: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let d = wrap_dim("index_add", dim, t.rank())?;
    let mut wide: Vec<i64> = vec![1; t.rank()];
    wide[d] = -1;
    let shaped = view::reshape(index, &view::infer_shape("index_add", &wide, index.numel())?)?;
    let at = view::expand(&shaped, source.shape())?;
    record_scatter(ScatterMode::Add, t, d, &at, source)
}

/// The tensor with the given dims reversed.
pub fn flip(t: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let mut out = t.clone();
    for &dim in dims {
        let d = wrap_dim("flip", dim, t.rank())?;
        let n = t.shape()[d];
        let index = create::ramp(Scalar::Int(n as i64 - 1), Scalar::Int(-1), n, DType::I64)?;
        let mut wide: Vec<usize> = vec![1; t.rank()];
        wide[d] = n;
        let at = view::expand(&view::reshape(&index, &wide)?, t.shape())?;
        out = gather(&out, d as i64, &at)?;
    }
    Ok(out)
}

/// Advanced indexing: index tensors by dim (`None` keeps the dim), broadcast against each other.
pub fn index(t: &Tensor, indices: &[Option<Tensor>]) -> Result<Tensor> {
    let _ = (t, indices);
    Err(crate::error::Error::NotImplemented("index".into()))
}

/// `t` with `values` written (or added) at advanced indices.
pub fn index_put(t: &Tensor, indices: &[Option<Tensor>], values: &Tensor, accumulate: bool) -> Result<Tensor> {
    let _ = (t, indices, values, accumulate);
    Err(crate::error::Error::NotImplemented("index_put".into()))
}

/// The positions of non-zero elements, one int64 vector per dim; computes the tensor.
pub fn nonzero_columns(t: &Tensor) -> Result<Vec<Tensor>> {
    let _ = t;
    Err(crate::error::Error::NotImplemented("nonzero".into()))
}
