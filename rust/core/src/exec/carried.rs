//! Dtypes that integers of the same width carry: uint16, uint32, uint64, and float8 on uint8. Memory, nodes and kernels know
//! the integers only, and a tensor of such a dtype is a view of them. What moves whole elements is recorded on the integers
//! here, as is arithmetic whose bits do not depend on the sign; conversions are put together in `ops/carried`.

use super::pairs::{add_as, refused};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::index::{Indexing, ScatterMode};
use crate::op::{Ew, Op};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Whether one of the dtypes is carried.
pub fn concerns(inputs: &[Input], outs: &[OutSpec]) -> bool {
    carried(inputs, outs).is_some()
}

/// The carried dtype that is read, else made.
fn carried(inputs: &[Input], outs: &[OutSpec]) -> Option<DType> {
    let read = inputs.iter().filter_map(|i| if let Input::Tensor(e) = i { Some(e.dtype) } else { None });
    read.chain(outs.iter().map(|o| o.dtype)).find(|d| d.is_carried())
}

/// Records on the integers an operator that moves elements.
pub fn record(op: Op, mut inputs: Inputs, outs: &[OutSpec], device: Device) -> Result<SmallVec<[Tensor; 1]>> {
    if let Some(dtype) = carried(&inputs, outs).filter(|&d| !moves(&op, d)) {
        return refused(&op, dtype);
    }
    for input in &mut inputs {
        let dtype = match input {
            Input::Tensor(e) => &mut e.dtype,
            Input::Scalar(_, dtype) => dtype,
        };
        if dtype.is_carried() {
            *dtype = dtype.stored();
        }
    }
    add_as(op, inputs, outs, device)
}

/// Whether the operator does to the integers what it does to the numbers that they carry.
fn moves(op: &Op, dtype: DType) -> bool {
    match op {
        Op::Ew(Ew::Copy | Ew::Where) | Op::WriteView | Op::Cat(_) => true,
        // Low bits of a product are those of the product of integers with a sign.
        Op::Ew(Ew::Eq | Ew::Ne | Ew::Mul | Ew::BitwiseAnd | Ew::BitwiseOr | Ew::BitwiseXor) => dtype.is_wide_unsigned(),
        Op::Indexing(i) => matches!(
            i,
            Indexing::Gather(_)
                | Indexing::Scatter { mode: ScatterMode::Set, .. }
                | Indexing::Index(_)
                | Indexing::IndexPut { accumulate: false, .. }
                | Indexing::Take
                | Indexing::Put { accumulate: false }
                | Indexing::MaskedSelect
                | Indexing::MaskedScatter
                | Indexing::Flip(_)
                | Indexing::Roll
        ),
        _ => false,
    }
}
