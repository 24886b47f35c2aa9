//! In-place operators: compute a new value, repoint the cell, and keep the gradient history.

use super::elementwise::{Operand, cast};
use super::view;
use crate::dtype::Scalar;
use crate::error::Result;
use crate::exec;
use crate::exec::record::record_one;
use crate::grad::{GradEdge, GradMeta, GradNode, Rule, modes};
use crate::graph::{Input, OutSpec, Value};
use crate::op::{Ew, Op};
use crate::tensor::Tensor;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// PyTorch's checks before a tensor is overwritten.
pub fn check_writable(target: &Tensor) -> Result<()> {
    ensure!(
        !target.layout().has_internal_overlap(),
        Runtime,
        "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."
    );
    if !modes().grad || !target.requires_grad() {
        return Ok(());
    }
    if target.base().is_some_and(|b| b.is_leaf() && b.requires_grad()) {
        bail!(Runtime, "a view of a leaf Variable that requires grad is being used in an in-place operation.");
    }
    if target.is_leaf() {
        bail!(Runtime, "a leaf Variable that requires grad is being used in an in-place operation.");
    }
    Ok(())
}

/// `target[...] = value` with broadcasting, conversion and gradient history.
pub fn copy_(target: &Tensor, value: Operand) -> Result<()> {
    check_writable(target)?;
    match value {
        Operand::Number(s) => {
            write_number(target, s)?;
            history(target, None)
        }
        Operand::Tensor(v) => {
            let converted = cast(v, target.dtype())?;
            let shaped =
                if converted.shape() == target.shape() { converted } else { expand_value(&converted, target)? };
            write_tensor(target, &shaped)?;
            history(target, Some(&shaped))
        }
    }
}

fn expand_value(v: &Tensor, target: &Tensor) -> Result<Tensor> {
    let mut from = v.clone();
    // Leading size-1 dims beyond the target's rank are dropped, as assignment does in PyTorch.
    while from.rank() > target.rank() && from.shape()[0] == 1 {
        from = view::squeeze(&from, &[0]);
    }
    if from.layout().broadcast_to(target.shape()).is_none() {
        bail!(
            Runtime,
            "The expanded size of the tensor ({}) must match the existing size ({}) at non-singleton dimension: value of shape {} written to shape {}",
            target.shape().last().copied().unwrap_or(1),
            v.shape().last().copied().unwrap_or(1),
            v.shape_dims(),
            target.shape_dims()
        );
    }
    view::expand(&from, target.shape())
}

/// Stores the result of an in-place operator, `value` being computed from `target`'s old value.
pub fn replace(target: &Tensor, value: &Tensor, op: &str) -> Result<()> {
    check_writable(target)?;
    if value.shape() != target.shape() {
        bail!(
            Runtime,
            "{op}_: output with shape {} doesn't match the broadcast shape {}",
            target.shape_dims(),
            value.shape_dims()
        );
    }
    if value.dtype().category() > target.dtype().category() {
        bail!(
            Runtime,
            "{op}_: result type {} can't be cast to the desired output type {}",
            value.dtype().scalar_name(),
            target.dtype().scalar_name()
        );
    }
    let value = cast(value, target.dtype())?;
    write_tensor(target, &value)?;
    history(target, Some(&value))
}

/// The write itself, without history: shapes and dtypes agree.
pub fn write_tensor(target: &Tensor, value: &Tensor) -> Result<()> {
    let cell = target.cell();
    if cell.is_pinned() || !target.covers_storage() {
        return write_window(target, value.input());
    }
    let edge = value.edge();
    let spec = &edge.node.outs[edge.out as usize];
    let whole = edge.dtype == spec.dtype && *edge.layout == *spec.layout && *edge.layout == **target.layout();
    if whole && !value.cell().is_pinned() {
        cell.set(Value { node: edge.node, out: edge.out });
    } else {
        let out = OutSpec { dtype: target.dtype(), layout: target.layout().clone() };
        let fresh = record_one(Op::Ew(Ew::Copy), SmallVec::from_iter([Input::Tensor(edge)]), out)?;
        cell.set(fresh.cell().value());
    }
    cell.bump_version();
    Ok(())
}

fn write_number(target: &Tensor, s: Scalar) -> Result<()> {
    let input = Input::Scalar(s.to_bits(target.dtype()), target.dtype());
    let cell = target.cell();
    if cell.is_pinned() || !target.covers_storage() {
        return write_window(target, input);
    }
    let out = OutSpec { dtype: target.dtype(), layout: target.layout().clone() };
    let fresh = record_one(Op::Ew(Ew::Copy), SmallVec::from_iter([input]), out)?;
    cell.set(fresh.cell().value());
    cell.bump_version();
    Ok(())
}

/// Records a write through the target's window into its storage; pinned storages are written before this returns.
fn write_window(target: &Tensor, value: Input) -> Result<()> {
    let cell = target.cell();
    let base = cell.value();
    let spec = base.node.outs[base.out as usize].clone();
    let pinned = cell.is_pinned();
    let edge = target.edge();
    let mut inputs = SmallVec::from_iter([Input::Tensor(edge), value]);
    if pinned {
        inputs.push(Input::Scalar(1, crate::dtype::DType::I64));
    }
    drop(base);
    let fresh = record_one(Op::WriteView, inputs, spec)?;
    cell.set(fresh.cell().value());
    cell.bump_version();
    if pinned {
        drop(fresh);
        exec::materialize(target)?;
    }
    Ok(())
}

/// After a write: the target (or, for a view, its base) takes over the value's history.
fn history(target: &Tensor, value: Option<&Tensor>) -> Result<()> {
    if !modes().grad {
        return Ok(());
    }
    let value = value.filter(|v| v.requires_grad());
    if value.is_none() && !target.requires_grad() {
        return Ok(());
    }
    if let Some(base) = target.base() {
        return view::rebase_history(base, target, value);
    }
    let edge = match value {
        Some(v) => v.gradient_edge(),
        None => {
            // The old history ends here, but the tensor goes on requiring grad.
            let meta = GradMeta { layout: target.layout().clone(), dtype: target.dtype() };
            let rule = Rule::Fn(Box::new(|_| Ok(SmallVec::new())));
            let node = GradNode::new("FillBackward0", rule, SmallVec::new(), SmallVec::from_iter([meta]));
            Some(GradEdge { node: Arc::new(node), output: 0 })
        }
    };
    let mut state = target.meta_or_init().state();
    state.grad_fn = edge;
    state.view_version = target.cell().version();
    Ok(())
}
