//! In-place writes to single elements of tensors whose elements share memory (`expand`): the write goes to every element at
//! the same place.

use super::elementwise::{Operand, cast, where_};
use super::{advanced, create, index, inplace, view};
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::grad::modes;
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;

/// Which elements are written.
pub enum Places<'a> {
    Mask(&'a Tensor),
    /// The given elements of a dim.
    Along(i64, &'a Tensor),
    Indices(&'a [Option<Tensor>]),
}

/// `target[places] = value`, or `+=`. Where elements at one place get several values, the last one stays.
pub fn write(target: &Tensor, places: &Places, value: Operand, accumulate: bool, op: &str) -> Result<()> {
    let distinct = once(target)?;
    let count = distinct.numel();
    let numbers = view::reshape(
        &create::ramp(Scalar::Int(0), Scalar::Int(1), count, DType::I64, target.device())?,
        distinct.shape(),
    )?;
    let numbers = view::expand(&numbers, target.shape())?;
    let at = match places {
        Places::Mask(mask) => advanced::masked_select(&numbers, mask)?,
        Places::Along(dim, positions) => index::index_select(&numbers, *dim, positions)?,
        Places::Indices(indices) => advanced::index(&numbers, indices)?,
    };
    let value = match value {
        Operand::Number(n) => create::number(n, target.dtype(), target.device())?,
        Operand::Tensor(v) => cast(v, target.dtype())?,
    };
    let tracked = modes().grad && (value.requires_grad() || distinct.requires_grad());
    let old = if tracked { distinct.snapshot()? } else { distinct.clone() };
    let old_flat = view::reshape(&old, &[count])?;
    drop(old);
    let flat_at = [Some(view::reshape(&at, &[at.numel()])?)];
    let new = if value.rank() == 0 && !accumulate {
        // A place that is named several times is still written once, which its gradient has to know.
        let none = create::full_with(
            Layout::contiguous(Dims::from([count])),
            Scalar::Bool(false),
            DType::Bool,
            target.device(),
        )?;
        let written = advanced::index_put(
            &none,
            &flat_at,
            &create::number(Scalar::Bool(true), DType::Bool, target.device())?,
            false,
        )?;
        where_(&written, &value, &old_flat)?
    } else {
        let values = view::reshape(&view::expand(&value, at.shape())?, &[at.numel()])?;
        advanced::index_put(&old_flat, &flat_at, &values, accumulate)?
    };
    drop(old_flat);
    inplace::replace(&distinct, &view::reshape(&new, distinct.shape())?, op)
}

/// The window that names every element once.
fn once(t: &Tensor) -> Result<Tensor> {
    let mut out = t.clone();
    for d in 0..t.rank() {
        if t.layout().strides[d] == 0 && t.shape()[d] > 1 {
            out = view::slice(&out, d, 0, 1, 1)?;
        }
    }
    Ok(out)
}
