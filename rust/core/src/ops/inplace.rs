//! In-place operators: compute a new value, repoint the cell, and keep the gradient history.

use super::device::to_device;
use super::elementwise::{Operand, cast};
use super::{create, view};
use crate::device::Device;
use crate::dtype::Scalar;
use crate::error::Result;
use crate::exec;
use crate::exec::record::{record_on, record_one};
use crate::grad::{GradEdge, GradMeta, GradNode, Origin, Rule, modes};
use crate::graph::{Input, OutSpec, Value};
use crate::op::{Ew, Op};
use crate::shape::Layout;
use crate::tensor::Tensor;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// PyTorch's checks before a tensor is overwritten.
pub fn check_writable(target: &Tensor) -> Result<()> {
    check_write(target, false)
}

/// [`check_writable`] for a value that may bring a history of its own.
fn check_write(target: &Tensor, tracked: bool) -> Result<()> {
    check_distinct(target)?;
    check_history(target, tracked)
}

/// Refuses windows that show a place of memory more than once.
pub fn check_distinct(target: &Tensor) -> Result<()> {
    ensure!(
        !target.layout().has_internal_overlap(),
        Runtime,
        "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."
    );
    Ok(())
}

/// [`check_write`] for one value everywhere, which elements that share memory may get as well.
fn check_history(target: &Tensor, tracked: bool) -> Result<()> {
    ensure!(
        !target.is_inference() || modes().inference,
        Runtime,
        "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get a normal tensor before doing inplace update. See https://github.com/pytorch/rfcs/pull/17 for more details."
    );
    if !modes().grad || !(tracked || target.requires_grad()) {
        return Ok(());
    }
    if target.origin() != Origin::Plain {
        return Err(target.origin_error("is being modified inplace"));
    }
    if !target.requires_grad() {
        return Ok(());
    }
    // A leaf that is itself a view counts as a view of a leaf.
    if target.base().is_some_and(Tensor::is_leaf) {
        bail!(Runtime, "a view of a leaf Variable that requires grad is being used in an in-place operation.");
    }
    // PyTorch calls a view a leaf here until it is asked for the history that it has from its base.
    if !target.has_own_history() {
        bail!(Runtime, "a leaf Variable that requires grad is being used in an in-place operation.");
    }
    Ok(())
}

/// Refuses an operand that lies on part of the written memory, as PyTorch does: it may be the written elements themselves or
/// apart from them. Windows with gaps are not compared.
pub fn check_overlap(target: &Tensor, source: &Tensor) -> Result<()> {
    if !Arc::ptr_eq(target.cell(), source.cell()) || target.ptr_eq(source) {
        return Ok(());
    }
    let (to, from) = (target.layout(), source.layout());
    if to.numel() == 0 || from.numel() == 0 || !to.is_dense() || !from.is_dense() {
        return Ok(());
    }
    let range = |l: &Layout, t: &Tensor| (l.offset * t.dtype().size(), l.end() * t.dtype().size());
    let (a, b) = (range(to, target), range(from, source));
    let partial = if a == b { to.strides != from.strides } else { a.0 < b.1 && b.0 < a.1 };
    ensure!(
        !partial,
        Runtime,
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please clone() the tensor before performing the operation."
    );
    Ok(())
}

/// [`check_overlap`] for operators that read in another order than they write: not even the same window will do.
pub fn check_apart(target: &Tensor, source: &Tensor) -> Result<()> {
    let (to, from) = (target.layout(), source.layout());
    let shared = Arc::ptr_eq(target.cell(), source.cell()) && to.numel() > 0 && from.numel() > 0;
    let range = |l: &Layout, t: &Tensor| (l.offset * t.dtype().size(), l.end() * t.dtype().size());
    let (a, b) = (range(to, target), range(from, source));
    ensure!(
        !(shared && a.0 < b.1 && b.0 < a.1),
        Runtime,
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please clone() the tensor before performing the operation."
    );
    Ok(())
}

/// `target[...] = value` with broadcasting, conversion and gradient history.
pub fn copy_(target: &Tensor, value: Operand) -> Result<()> {
    check_write(target, matches!(value, Operand::Tensor(v) if v.requires_grad()))?;
    match value {
        Operand::Number(s) => {
            write_number(target, s)?;
            overwritten("FillBackward0", target, None)
        }
        Operand::Tensor(v) => {
            check_overlap(target, v)?;
            // The CPU has every dtype, so conversions that cross devices happen there.
            let converted = match target.device() {
                Device::Cpu => cast(&to_device(v, Device::Cpu)?, target.dtype())?,
                there => to_device(&cast(v, target.dtype())?, there)?,
            };
            let shaped =
                if converted.shape() == target.shape() { converted } else { expand_value(&converted, target)? };
            write_tensor(target, &shaped)?;
            overwritten("CopyBackwards", target, Some(&shaped))
        }
    }
}

/// One number everywhere, also in elements that share memory.
pub fn fill_number(target: &Tensor, s: Scalar) -> Result<()> {
    check_history(target, false)?;
    write_number(target, s)?;
    overwritten("FillBackward0", target, None)
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
    check_write(target, value.requires_grad())?;
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
    ensure!(
        !(target.dtype().is_complex() && matches!(op, "abs" | "absolute")),
        Runtime,
        "In-place abs is not supported for complex tensors."
    );
    let value = cast(value, target.dtype())?;
    write_tensor(target, &value)?;
    if !modes().grad || !(value.requires_grad() || target.requires_grad()) {
        return Ok(());
    }
    if let Some(edge) = value.gradient_edge() {
        edge.node.output_moved(&value, target);
    }
    match target.base() {
        Some(base) => view::rebase_history(base, target, Some(&value)),
        None => set_history(target, value.gradient_edge()),
    }
}

/// The write itself, without history: shapes and dtypes agree.
pub fn write_tensor(target: &Tensor, value: &Tensor) -> Result<()> {
    ensure!(
        value.device() == target.device(),
        Runtime,
        "Expected all tensors to be on the same device, but found at least two devices, {} and {}!",
        target.device(),
        value.device()
    );
    if !target.dtype().is_primitive() {
        return write_tensor(&target.stored(), &value.stored());
    }
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
    target.bump_version();
    Ok(())
}

fn write_number(target: &Tensor, s: Scalar) -> Result<()> {
    if target.dtype().is_complex() {
        let number = create::number(s, target.dtype(), target.device())?;
        return write_tensor(target, &view::expand(&number, target.shape())?);
    }
    if target.dtype().is_carried() {
        let carrier = target.stored();
        return write_number(&carrier, Scalar::from_bits(s.to_bits(target.dtype()), carrier.dtype()));
    }
    let input = Input::Scalar(s.to_bits(target.dtype()), target.dtype());
    let cell = target.cell();
    if cell.is_pinned() || !target.covers_storage() {
        return write_window(target, input);
    }
    let out = OutSpec { dtype: target.dtype(), layout: target.layout().clone() };
    let fresh = record_on(Op::Ew(Ew::Copy), SmallVec::from_iter([input]), out, target.device())?;
    cell.set(fresh.cell().value());
    target.bump_version();
    Ok(())
}

/// Records a write through the target's window into its storage; pinned storages are written before this returns.
fn write_window(target: &Tensor, value: Input) -> Result<()> {
    let cell = target.cell();
    let base = cell.value();
    let spec = base.node.outs[base.out as usize].clone();
    let pinned = cell.is_pinned();
    let mut edge = target.edge();
    if edge.layout.has_internal_overlap() {
        edge.layout = Arc::new(once(&edge.layout));
    }
    let mut inputs = SmallVec::from_iter([Input::Tensor(edge), value]);
    if pinned {
        inputs.push(Input::Scalar(1, crate::dtype::DType::I64));
    }
    drop(base);
    let fresh = record_one(Op::WriteView, inputs, spec)?;
    cell.set(fresh.cell().value());
    target.bump_version();
    if pinned {
        drop(fresh);
        exec::materialize_unseen(target)?;
    }
    Ok(())
}

/// The layout with repeated elements named once: no memory is written twice, possibly by two threads.
fn once(layout: &Layout) -> Layout {
    let mut layout = layout.clone();
    for (size, stride) in layout.shape.iter_mut().zip(layout.strides.iter()) {
        if *stride == 0 {
            *size = 1;
        }
    }
    layout
}

/// The history of a target whose old values are gone: they get a gradient of zero, the value written gets all of it.
fn overwritten(name: &'static str, target: &Tensor, value: Option<&Tensor>) -> Result<()> {
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
    let edges = SmallVec::from_iter([target.gradient_edge(), value.and_then(Tensor::gradient_edge)]);
    let meta = GradMeta::of(target);
    let rule = Rule::Fn(Arc::new(|v| {
        let g = v.grad()?;
        let old = if v.needs(0) { Some(create::zeros(g.shape_dims().clone(), g.dtype(), g.device())?) } else { None };
        Ok(SmallVec::from_iter([old, v.needs(1).then(|| g.clone())]))
    }));
    let node = GradNode::new(name, rule, edges, SmallVec::from_iter([meta]));
    set_history(target, Some(GradEdge { node: Arc::new(node), output: 0 }))
}

fn set_history(target: &Tensor, edge: Option<GradEdge>) -> Result<()> {
    target.meta_or_init().set_grad_fn(edge);
    Ok(())
}
