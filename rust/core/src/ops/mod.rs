//! Operators: for each family its public functions, shape rules, gradients and documentation, side by side. Nothing here
//! knows how a kernel works; results are recorded, not computed.

pub mod advanced;
pub mod attention;
pub mod carried;
pub mod complex;
pub mod conv;
pub mod count;
pub mod create;
pub mod device;
pub mod elementwise;
mod elementwise_table;
pub mod embedding;
pub mod factors;
pub mod fft;
pub mod index;
pub mod inplace;
mod iterator;
pub mod join;
pub mod kernel;
pub mod linalg;
pub mod loss;
pub mod matmul;
pub mod norm;
pub mod optim;
pub mod parametric;
pub mod philox;
pub mod random;
pub mod rearrange;
pub mod reduce;
pub mod rnn;
pub mod sample;
pub mod scan;
pub mod shared;
pub mod softmax;
pub mod sort;
pub mod view;
pub mod window;

use crate::device::Device;
use crate::dtype::{DType, Element, Scalar};
use crate::error::Result;
use crate::exec;
use crate::exec::record::record_one;
use crate::graph::OutSpec;
use crate::op::{Ew, Op};
use crate::shape::Layout;
use crate::tensor::{Keep, Tensor, attach};
use crate::{dispatch, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// The tensor in row-major order: itself where it lies so already.
pub fn contiguous(t: &Tensor) -> Result<Tensor> {
    if t.is_contiguous() { Ok(t.clone()) } else { copy_as(t, Layout::contiguous(t.shape_dims().clone())) }
}

/// A copy with chosen (dense) strides.
pub fn copy_as(t: &Tensor, layout: Layout) -> Result<Tensor> {
    let out = OutSpec { dtype: t.dtype(), layout: Arc::new(layout) };
    let copy = record_one(Op::Ew(Ew::Copy), SmallVec::from_iter([t.input()]), out)?;
    attach("CloneBackward0", &[t], std::slice::from_ref(&copy), Keep::default(), || {
        crate::grad::Rule::Fn(Arc::new(|v| Ok(SmallVec::from_iter([Some(v.grad()?.clone())]))))
    })?;
    Ok(copy)
}

/// A fresh result without history in another dense layout.
pub fn laid_out(t: Tensor, layout: Layout) -> Result<Tensor> {
    if layout == **t.layout() {
        return Ok(t);
    }
    let out = OutSpec { dtype: t.dtype(), layout: Arc::new(layout) };
    record_one(Op::Ew(Ew::Copy), SmallVec::from_iter([t.input()]), out)
}

impl Tensor {
    /// A row-major copy.
    pub fn copy_contiguous(&self) -> Result<Tensor> {
        copy_as(self, Layout::contiguous(self.shape_dims().clone()))
    }
}

/// The only element of a tensor, as a number; computes what is pending.
pub fn item(t: &Tensor) -> Result<Scalar> {
    ensure!(t.numel() == 1, Runtime, "a Tensor with {} elements cannot be converted to Scalar", t.numel());
    ensure!(t.device() != Device::Meta, Runtime, "Tensor.item() cannot be called on meta tensors");
    let t = &device::on_host(t)?;
    let buffer = exec::materialize(t)?;
    let size = t.dtype().size();
    // SAFETY: the layout lies inside the storage.
    let ptr = unsafe { buffer.ptr().add(t.layout().offset * size) };
    Ok(read_element(ptr, t.dtype()))
}

/// Whether a rule about values holds, given as a tensor without dims; computes it. Nothing is known of values on the device
/// `meta`, so rules about them count as kept there.
pub fn holds(rule: &Tensor) -> Result<bool> {
    if rule.device() == Device::Meta { Ok(true) } else { Ok(item(rule)?.to_bool()) }
}

/// Refuses a tensor without elements for an operator whose result has a size that depends on them.
fn check_values(op: &str, t: &Tensor) -> Result<()> {
    ensure!(
        t.device() != Device::Meta,
        NotImplemented,
        "{op}: the size of the result depends on values, and a tensor of shape {} on the device meta has none",
        t.shape_dims()
    );
    Ok(())
}

/// One element from memory.
fn read_element(ptr: *const u8, dtype: DType) -> Scalar {
    use crate::dtype::Element;
    if dtype == DType::Bool {
        // SAFETY: the address is inside a live buffer; any non-zero byte is true.
        return Scalar::Bool(unsafe { *ptr } != 0);
    }
    if dtype.is_carried() {
        let carrier = dtype.stored();
        return Scalar::from_bits(read_element(ptr, carrier).to_bits(carrier), dtype);
    }
    if dtype.is_complex() {
        // SAFETY: the second part lies behind the first.
        let part = |i: usize| read_element(unsafe { ptr.add(i * dtype.part().size()) }, dtype.part()).to_f64();
        return Scalar::Complex(part(0), part(1));
    }
    dispatch!(dtype, T => {
        // SAFETY: as above; buffers are aligned for every element type, views by whole elements.
        let v = unsafe { ptr.cast::<T>().read_unaligned() };
        if dtype.is_float() { Scalar::Float(v.to_f64()) } else { Scalar::Int(v.to_i64()) }
    })
}

/// Every element in row-major order as int64; computes what is pending.
pub fn to_vec_i64(t: &Tensor) -> Result<Vec<i64>> {
    if !t.dtype().is_primitive() {
        return Ok(to_vec(t)?.into_iter().map(Scalar::to_i64).collect());
    }
    let t = &device::on_host(t)?;
    let buffer = exec::materialize(t)?;
    let l = t.layout();
    let mut out = Vec::with_capacity(t.numel());
    crate::dispatch!(t.dtype(), T => {
        let first = buffer.ptr().cast::<T>().wrapping_add(l.offset);
        // SAFETY: the layout lies inside the storage.
        crate::shape::for_each_offset(&l.shape, &l.strides, |o| out.push(unsafe { *first.add(o) }.to_i64()));
    });
    Ok(out)
}

/// Every element in row-major order; computes what is pending.
pub fn to_vec(t: &Tensor) -> Result<Vec<Scalar>> {
    let t = &device::on_host(t)?;
    let buffer = exec::materialize(t)?;
    let size = t.dtype().size();
    let mut out = Vec::with_capacity(t.numel());
    let l = t.layout();
    crate::shape::for_each_offset(&l.shape, &l.strides, |o| {
        // SAFETY: the layout lies inside the storage.
        out.push(read_element(unsafe { buffer.ptr().add((l.offset + o) * size) }, t.dtype()));
    });
    Ok(out)
}
