//! Creation: constants, ranges, identity, and tensors from memory.

use crate::device::Device;
use crate::dtype::{DType, Element, Scalar};
use crate::ensure;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::graph::{Buffer, Input, Node, OutSpec};
use crate::op::{Ew, Op};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::sync::Arc;

/// A constant everywhere.
pub fn full(shape: Dims, value: Scalar, dtype: DType) -> Result<Tensor> {
    full_with(Layout::contiguous(shape), value, dtype)
}

/// A constant with chosen (dense) strides.
pub fn full_with(layout: Layout, value: Scalar, dtype: DType) -> Result<Tensor> {
    let input = Input::Scalar(value.to_bits(dtype), dtype);
    record_one(Op::Ew(Ew::Copy), SmallVec::from_iter([input]), OutSpec { dtype, layout: Arc::new(layout) })
}

pub fn zeros(shape: Dims, dtype: DType) -> Result<Tensor> {
    full(shape, Scalar::Int(0), dtype)
}

/// A 0-d constant.
pub fn number(value: Scalar, dtype: DType) -> Result<Tensor> {
    full(Dims::new(), value, dtype)
}

/// Memory whose content is not promised; allocated at once.
pub fn empty(layout: Layout, dtype: DType) -> Result<Tensor> {
    let bytes = layout.end().max(layout.numel()).saturating_mul(dtype.size());
    crate::os::check_allocation(bytes, || layout.shape.to_string())?;
    let buffer = Buffer::new(bytes)?;
    // Deterministic even when read before it is written: new memory starts as zeros.
    // SAFETY: the buffer holds `bytes` bytes.
    unsafe { std::ptr::write_bytes(buffer.ptr(), 0, bytes) };
    Ok(from_buffer(Arc::new(buffer), dtype, layout))
}

/// A tensor over existing memory; the layout must lie inside it.
pub fn from_buffer(buffer: Arc<Buffer>, dtype: DType, layout: Layout) -> Tensor {
    let elements = buffer.bytes() / dtype.size();
    let whole = if layout.offset == 0 && layout.is_dense() && layout.numel() == elements {
        Arc::new(layout.clone())
    } else {
        Arc::new(Layout::contiguous(Dims::from([elements])))
    };
    let node = Arc::new(Node::data(buffer, dtype, whole.clone()));
    let base = Tensor::from_node(node, 0, Device::Cpu);
    if *whole == layout { base } else { base.alias(layout, dtype) }
}

/// A vector with these elements.
pub fn from_slice<T: Element>(values: &[T]) -> Result<Tensor> {
    let buffer = Buffer::new(std::mem::size_of_val(values))?;
    // SAFETY: the buffer is as large as the slice and distinct from it.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr().cast(), buffer.ptr(), std::mem::size_of_val(values)) };
    Ok(from_buffer(Arc::new(buffer), T::DTYPE, Layout::contiguous(Dims::from([values.len()]))))
}

/// start + step · i for `len` elements.
pub fn ramp(start: Scalar, step: Scalar, len: usize, dtype: DType) -> Result<Tensor> {
    // Positions are computed in f64 or i64 and rounded once.
    let wide = if dtype.is_float() { DType::F64 } else { DType::I64 };
    let inputs =
        SmallVec::from_iter([Input::Scalar(start.to_bits(wide), wide), Input::Scalar(step.to_bits(wide), wide)]);
    let layout = Arc::new(Layout::contiguous(Dims::from([len])));
    record_one(Op::Arange, inputs, OutSpec { dtype, layout })
}

/// `torch.arange`.
pub fn arange(start: Scalar, end: Scalar, step: Scalar, dtype: Option<DType>) -> Result<Tensor> {
    let all_int = [start, end, step].iter().all(|s| s.category() < 2);
    let dtype = dtype.unwrap_or(if all_int { DType::I64 } else { super::elementwise::default_dtype() });
    let (a, b, s) = (start.to_f64(), end.to_f64(), step.to_f64());
    ensure!(s != 0.0, Runtime, "arange: step must be nonzero");
    ensure!(a.is_finite() && b.is_finite(), Runtime, "arange: unsupported range: {a} -> {b}");
    ensure!(
        (s > 0.0 && b >= a) || (s < 0.0 && b <= a),
        Runtime,
        "arange: upper bound and lower bound inconsistent with step sign"
    );
    let len = if all_int {
        let (a, b, s) = (start.to_i64() as i128, end.to_i64() as i128, step.to_i64() as i128);
        ((b - a + s - s.signum()) / s) as usize
    } else {
        ((b - a) / s).ceil() as usize
    };
    ramp(start, step, len, dtype)
}
