//! Complex tensors as they are recorded, and the door to what else is recorded as other numbers (`carried`). Memory, nodes and kernels know real numbers only: a complex tensor lies on a node of
//! its parts' dtype, whose last dim holds real and imaginary part side by side, and is a view of it in whole pairs. What treats
//! both parts alike (moving, adding, selecting) is recorded on the pairs here; what mixes them is put together from
//! operators on the parts in `ops/complex`.

use super::carried;
use super::record::add;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Edge, Input, Inputs, OutSpec};
use crate::op::index::{Indexing, ScatterMode};
use crate::op::linalg::Linalg;
use crate::op::{Ew, Op, Reduction, Scan};
use crate::shape::Layout;
use crate::tensor::Tensor;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// A dtype and a layout as a node has them: those of the parts if the dtype is complex.
pub fn stored(dtype: DType, layout: &Arc<Layout>) -> (DType, Arc<Layout>) {
    (dtype.stored(), if dtype.is_complex() { Arc::new(layout.paired()) } else { layout.clone() })
}

/// Whether tensors are read or made whose dtype no kernel knows: complex ones, and those that integers carry.
#[inline]
pub fn concerns(inputs: &[Input], outs: &[OutSpec]) -> bool {
    outs.iter().any(|o| !o.dtype.is_primitive())
        || inputs.iter().any(|i| matches!(i, Input::Tensor(e) if !e.dtype.is_primitive()))
}

/// Records on the pairs an operator that treats real and imaginary parts alike, or that has kernels for complex matrices; and on
/// integers what those carry.
#[cold]
pub fn record(op: Op, mut inputs: Inputs, outs: &[OutSpec], device: Device) -> Result<SmallVec<[Tensor; 1]>> {
    if carried::concerns(&inputs, outs) {
        return carried::record(op, inputs, outs, device);
    }
    let op = if let Op::Linalg(l) = op { matrices(l, &inputs, outs, device)? } else { op };
    check(&op, &inputs, outs)?;
    for (i, input) in inputs.iter_mut().enumerate() {
        if let Input::Tensor(e) = input {
            if e.dtype.is_complex() {
                (e.dtype, e.layout) = stored(e.dtype, &e.layout);
            } else if selects(&op, i) {
                repeat(e);
            }
        }
    }
    if op == Op::Indexing(Indexing::Roll) {
        inputs.push(Input::Scalar(0, DType::I64));
    }
    add_as(op, inputs, outs, device)
}

/// Records a node on inputs as they are stored, and returns its results as the given dtypes.
pub(super) fn add_as(op: Op, inputs: Inputs, outs: &[OutSpec], device: Device) -> Result<SmallVec<[Tensor; 1]>> {
    let spec = |o: &OutSpec| {
        let (dtype, layout) = stored(o.dtype, &o.layout);
        OutSpec { dtype, layout }
    };
    let node = add(op, inputs, outs.iter().map(spec).collect(), device)?;
    let tensor = |(i, o): (usize, &OutSpec)| {
        let t = Tensor::from_node(node.clone(), i as u8, device);
        if o.dtype.is_primitive() { t } else { t.alias((*o.layout).clone(), o.dtype) }
    };
    Ok(outs.iter().enumerate().map(tensor).collect())
}

/// Refuses an operator for the dtype of its operands.
pub(super) fn refused<T>(op: &Op, dtype: DType) -> Result<T> {
    bail!(NotImplemented, "\"{}\" not implemented for '{}'", op.name(), dtype.scalar_name())
}

/// The operator on complex matrices, which says what is complex.
fn matrices(op: Linalg, inputs: &[Input], outs: &[OutSpec], device: Device) -> Result<Op> {
    ensure!(
        !device.is_gpu(),
        NotImplemented,
        "{}: not available on the GPU for complex matrices; move them to the CPU with .cpu()",
        op.name()
    );
    let read = inputs.iter().map(|i| matches!(i, Input::Tensor(e) if e.dtype.is_complex()));
    let all = read.chain(outs.iter().map(|o| o.dtype.is_complex()));
    let complex = all.enumerate().fold(0, |bits, (k, complex)| bits | u8::from(complex) << k);
    Ok(Op::ComplexLinalg(op, complex))
}

/// Refuses what is no work on each part by itself.
fn check(op: &Op, inputs: &[Input], outs: &[OutSpec]) -> Result<()> {
    let alike = match op {
        Op::Ew(e) => matches!(e, Ew::Copy | Ew::Add | Ew::Sub | Ew::Neg | Ew::Where),
        Op::Cast => outs[0].dtype.is_complex() && matches!(inputs, [Input::Tensor(e)] if e.dtype.is_complex()),
        Op::WriteView
        | Op::ComplexLinalg(..)
        | Op::Cat(_)
        | Op::Reduce(Reduction::Sum | Reduction::Mean, _)
        | Op::Scan(Scan::Sum { .. }, _) => true,
        Op::Indexing(i) => matches!(
            i,
            Indexing::Gather(_)
                | Indexing::Scatter { mode: ScatterMode::Set | ScatterMode::Add | ScatterMode::Mean, .. }
                | Indexing::Index(_)
                | Indexing::IndexPut { .. }
                | Indexing::MaskedSelect
                | Indexing::MaskedScatter
                | Indexing::Flip(_)
                | Indexing::Roll
        ),
        _ => false,
    };
    if alike {
        return Ok(());
    }
    let complex = |i: &Input| matches!(i, Input::Tensor(e) if e.dtype.is_complex());
    let dtype = inputs.iter().find(|i| complex(i)).map_or(outs[0].dtype, |i| match i {
        Input::Tensor(e) => e.dtype,
        Input::Scalar(_, d) => *d,
    });
    refused(op, dtype)
}

/// Whether a real input says for every element what happens to it, and so to both of its parts.
fn selects(op: &Op, input: usize) -> bool {
    match op {
        Op::Ew(Ew::Where) => input == 0,
        Op::Indexing(
            Indexing::Gather(_) | Indexing::Scatter { .. } | Indexing::MaskedSelect | Indexing::MaskedScatter,
        ) => input == 1,
        _ => false,
    }
}

/// The edge with every element twice, in a last dim.
fn repeat(e: &mut Edge) {
    let mut layout = (*e.layout).clone();
    layout.shape.push(2);
    layout.strides.push(0);
    e.layout = Arc::new(layout);
}
