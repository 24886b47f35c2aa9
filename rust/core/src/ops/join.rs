//! Joining tensors: cat and stack.

use super::carried::checked_result_type;
use super::elementwise::{Operand, cast};
use super::view;
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule};
use crate::graph::OutSpec;
use crate::op::Op;
use crate::shape::{Dims, Layout, wrap_dim};
use crate::tensor::{Keep, Tensor, attach};
use smallvec::SmallVec;
use std::sync::Arc;

/// Joins along an existing dim; sizes agree elsewhere. Empty 1-d tensors are skipped, as in PyTorch.
pub fn cat(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    joined(tensors, dim, None)
}

/// The dims of a tensor in the order of its memory, outermost first.
type Order = SmallVec<[usize; 6]>;

/// [`cat`], with the dims in memory in a given order, else channels-last where all parts are, else row by row.
fn joined(tensors: &[Tensor], dim: i64, order: Option<Order>) -> Result<Tensor> {
    ensure!(!tensors.is_empty(), Value, "torch.cat(): expected a non-empty list of Tensors");
    let operands: Vec<Operand> = tensors.iter().map(Operand::from).collect();
    let dtype = checked_result_type(&operands)?;
    let kept: Vec<&Tensor> = tensors.iter().filter(|t| t.shape() != [0]).collect();
    let Some(first) = kept.first() else { return cast(&tensors[0], dtype)?.copy() };
    ensure!(first.rank() > 0, Runtime, "zero-dimensional tensor (at position 0) cannot be concatenated");
    let d = wrap_dim("cat", dim, first.rank())?;
    let mut shape = first.shape_dims().clone();
    shape[d] = 0;
    for (i, t) in kept.iter().enumerate() {
        ensure!(
            t.rank() == first.rank(),
            Runtime,
            "Tensors must have same number of dimensions: got {} and {}",
            first.rank(),
            t.rank()
        );
        for k in 0..t.rank() {
            ensure!(
                k == d || t.shape()[k] == first.shape()[k],
                Runtime,
                "Sizes of tensors must match except in dimension {d}. Expected size {} but got size {} for tensor number {i} in the list.",
                first.shape()[k],
                t.shape()[k]
            );
        }
        shape[d] += t.shape()[d];
    }
    let parts: Vec<Tensor> = kept.iter().map(|t| cast(t, dtype)).collect::<Result<_>>()?;
    let out = record_joined(&parts, d, shape, dtype, order)?;
    let sizes: Vec<usize> = parts.iter().map(|t| t.shape()[d]).collect();
    let refs: Vec<&Tensor> = parts.iter().collect();
    attach("CatBackward0", &refs, std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| {
            let mut start = 0;
            let mut grads = Grads::new();
            for (i, &n) in sizes.iter().enumerate() {
                grads.push(if v.needs(i) { Some(view::slice(v.grad()?, d, start, n, 1)?) } else { None });
                start += n;
            }
            Ok(grads)
        }))
    })?;
    Ok(out)
}

/// The joined memory.
fn record_joined(parts: &[Tensor], d: usize, shape: Dims, dtype: DType, order: Option<Order>) -> Result<Tensor> {
    let rank = shape.len();
    let last = || matches!(rank, 4 | 5) && parts.iter().all(|t| t.layout().suggests_channels_last());
    let order = order.unwrap_or_else(|| if last() { channels_last(rank) } else { (0..rank).collect() });
    let at = order.iter().position(|&k| k == d).unwrap_or(d);
    let turned = order.iter().enumerate().any(|(k, &o)| k != o);
    let part = |t: &Tensor| if turned { view::permute(&t.detach(), &order).input() } else { t.input() };
    let moved: Dims = order.iter().map(|&k| shape[k]).collect();
    let steps = moved.contiguous_strides();
    let spec = OutSpec { dtype, layout: Arc::new(Layout::contiguous(moved)) };
    let out = record_one(Op::Cat(at as u8), parts.iter().map(part).collect(), spec)?;
    if !turned {
        return Ok(out);
    }
    let mut strides = Dims::filled(0, rank);
    order.iter().zip(&steps[..]).for_each(|(&k, &step)| strides[k] = step);
    Ok(out.alias(Layout { shape, strides, offset: 0 }, dtype))
}

/// (N, spatial, C).
fn channels_last(rank: usize) -> Order {
    [0].into_iter().chain(2..rank).chain([1]).collect()
}

/// Joins along a new dim.
pub fn stack(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    ensure!(!tensors.is_empty(), Runtime, "stack expects a non-empty TensorList");
    let first = &tensors[0];
    for (i, t) in tensors.iter().enumerate() {
        ensure!(
            t.shape() == first.shape(),
            Runtime,
            "stack expects each tensor to be equal size, but got {} at entry 0 and {} at entry {i}",
            first.shape_dims(),
            t.shape_dims()
        );
    }
    let d = wrap_dim("stack", dim, first.rank() + 1)?;
    let wide: Vec<Tensor> = tensors.iter().map(|t| view::unsqueeze(t, d as i64)).collect::<Result<_>>()?;
    let rank = first.rank();
    let last = matches!(rank, 4 | 5) && d < rank && tensors.iter().all(|t| t.layout().suggests_channels_last());
    let order = match last {
        // Channels stay last, and the new dim lies outside of the one that it stands before.
        true => channels_last(rank)
            .into_iter()
            .flat_map(|k| if k == d { vec![d, d + 1] } else { vec![k + (k > d) as usize] }),
        false => return joined(&wide, d as i64, Some((0..=rank).collect())),
    };
    joined(&wide, d as i64, Some(order.collect()))
}
