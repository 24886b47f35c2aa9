//! Storages as memory: on foreign bytes, moved to shared memory, made larger or smaller.

use crate::error::IntoPy;
use crate::memory::{outside, pin};
use crate::tensor::PyTensor;
use crate::types::extract_dtype;
use corten_core::device::Device;
use corten_core::dtype::DType;
use corten_core::ensure;
use corten_core::error::Result;
use corten_core::exec;
use corten_core::gpu::adapters;
use corten_core::graph::{Buffer, Node, Value};
use corten_core::ops::create;
use corten_core::os::check_allocation;
use corten_core::shape::{Dims, Layout};
use corten_core::tensor::Tensor;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::sync::Arc;

/// A flat tensor on the memory of an object with the buffer protocol; `offset` in bytes, `count` in elements.
#[pyfunction]
pub fn buffer_tensor(
    py: Python<'_>,
    buffer: &Bound<'_, PyAny>,
    dtype: &Bound<'_, PyAny>,
    offset: usize,
    count: usize,
) -> PyResult<Py<PyAny>> {
    let dtype = extract_dtype(dtype)?;
    let view = PyBuffer::<u8>::get(buffer)?;
    let end = count.saturating_mul(dtype.size()).saturating_add(offset);
    if !view.is_c_contiguous() || end > view.len_bytes() {
        return Err(PyValueError::new_err(format!(
            "{count} elements of {dtype} from byte {offset} do not lie in a buffer of {} bytes",
            view.len_bytes()
        )));
    }
    let start = view.buf_ptr() as usize + offset;
    if !start.is_multiple_of(dtype.stored().size()) {
        return misaligned(py, &view, dtype, offset, count);
    }
    PyTensor::wrap(py, outside(start as *mut u8, dtype, Layout::contiguous(Dims::from([count])), Box::new(view)))
}

/// Elements whose addresses are no multiples of their size, which kernels cannot read in place: a copy where nobody can write to
/// the memory, so that it is the same.
fn misaligned(py: Python<'_>, view: &PyBuffer<u8>, dtype: DType, offset: usize, count: usize) -> PyResult<Py<PyAny>> {
    if !view.readonly() {
        return Err(PyValueError::new_err(format!(
            "{dtype} elements from byte {offset} of a writable buffer are not aligned to {} bytes and cannot be shared: copy the buffer from there on, as by bytes(memoryview(buffer)[{offset}:])",
            dtype.stored().size()
        )));
    }
    let nbytes = count * dtype.size();
    let buffer = Buffer::new(nbytes).py()?;
    // SAFETY: the elements lie in the view, as the caller has checked, and the buffer is as large and distinct.
    unsafe {
        std::ptr::copy_nonoverlapping(view.buf_ptr().cast::<u8>().add(offset), buffer.ptr(), nbytes);
    }
    PyTensor::wrap(py, create::from_buffer(Arc::new(buffer), dtype, Layout::contiguous(Dims::from([count]))))
}

/// Bytes of a tensor's storage as a storage of their own, which keeps the memory alive: both see what is written.
#[pyfunction]
pub fn storage_part(py: Python<'_>, tensor: &Bound<'_, PyTensor>, start: usize, nbytes: usize) -> PyResult<Py<PyAny>> {
    let memory = pin(tensor.get().get())?;
    if start.saturating_add(nbytes) > memory.bytes() {
        let bytes = memory.bytes();
        return Err(PyValueError::new_err(format!(
            "{nbytes} bytes from byte {start} do not lie in a storage of {bytes}"
        )));
    }
    // SAFETY: the part lies inside the memory.
    let ptr = unsafe { memory.ptr().add(start) };
    PyTensor::wrap(py, outside(ptr, DType::U8, Layout::contiguous(Dims::from([nbytes])), Box::new(memory)))
}

/// Keeps memory that processes share, and marks it as such.
struct Shared(#[allow(dead_code)] PyBuffer<u8>);

/// Moves a tensor's storage into the memory of `target`, which other processes see; every alias follows.
#[pyfunction]
pub fn move_storage(tensor: &Bound<'_, PyTensor>, target: &Bound<'_, PyAny>) -> PyResult<()> {
    let t = tensor.get().tensor();
    exec::flush_quietly().py()?;
    let old = exec::materialize(&t).py()?;
    let view = PyBuffer::<u8>::get(target)?;
    if view.readonly() || !view.is_c_contiguous() || view.len_bytes() < old.bytes() {
        return Err(PyValueError::new_err("move_storage: the target must be writable and as large as the storage"));
    }
    let ptr = view.buf_ptr().cast::<u8>();
    // SAFETY: the target holds at least `old.bytes()` bytes, is distinct, and lives as long as its buffer view.
    let buffer = unsafe {
        std::ptr::copy_nonoverlapping(old.ptr(), ptr, old.bytes());
        Buffer::outside(ptr, old.bytes(), Box::new(Shared(view)))
    };
    let value = t.cell().value();
    let spec = value.node.outs[value.out as usize].clone();
    let node = Node::data(Arc::new(buffer), spec.dtype, spec.layout);
    t.cell().set(Value { node: Arc::new(node), out: 0 });
    t.cell().pin();
    Ok(())
}

/// Whether the storage lies in memory that processes share.
#[pyfunction]
pub fn is_shared(tensor: &Bound<'_, PyTensor>) -> bool {
    let value = tensor.get().get().cell().value();
    value.node.buffer(value.out).is_some_and(|b| b.owner::<Shared>().is_some())
}

/// Notes that the program wants a tensor's storage page-locked, which says something where there is a GPU.
#[pyfunction]
pub fn lock_pages(tensor: &Bound<'_, PyTensor>) -> PyResult<()> {
    lock_pages_of(tensor.get().get()).py()
}

/// See [`lock_pages`].
pub fn lock_pages_of(t: &Tensor) -> Result<()> {
    ensure!(
        t.device() == Device::Cpu,
        Runtime,
        "cannot pin memory of {}: only tensors of the CPU can be pinned",
        t.device()
    );
    if adapters::count() > 0 {
        t.cell().lock_pages();
    }
    Ok(())
}

/// Whether the program asked for the tensor's storage to be page-locked.
#[pyfunction]
pub fn is_page_locked(tensor: &Bound<'_, PyTensor>) -> bool {
    tensor.get().get().cell().is_page_locked()
}

/// Lengthens a storage to a number of bytes, the new ones zero. Tensors on it keep their windows, so it is never shortened.
#[pyfunction]
pub fn resize_storage(tensor: &Bound<'_, PyTensor>, nbytes: usize) -> PyResult<()> {
    let t = tensor.get().tensor();
    if t.device() == Device::Meta {
        return lengthen(&t, Buffer::absent(nbytes));
    }
    exec::flush_quietly().py()?;
    let old = exec::materialize(&t).py()?;
    if nbytes <= old.bytes() {
        return Ok(());
    }
    if old.is_outside() {
        return Err(PyRuntimeError::new_err("Trying to resize storage that is not resizable"));
    }
    check_allocation(nbytes, || format!("{nbytes} bytes")).py()?;
    let fresh = Buffer::new(nbytes).py()?;
    let kept = old.bytes();
    // SAFETY: the old buffer holds `kept` bytes, the new one `nbytes`, which are more.
    unsafe {
        std::ptr::copy_nonoverlapping(old.ptr(), fresh.ptr(), kept);
        std::ptr::write_bytes(fresh.ptr().add(kept), 0, nbytes - kept);
    }
    lengthen(&t, fresh)
}

/// Gives a storage other memory, of which every alias sees the beginning.
fn lengthen(t: &Tensor, fresh: Buffer) -> PyResult<()> {
    let value = t.cell().value();
    let dtype = value.node.outs[value.out as usize].dtype;
    let layout = Layout::contiguous(Dims::from([fresh.bytes() / dtype.size()]));
    t.cell().set(Value { node: Arc::new(Node::data(Arc::new(fresh), dtype, Arc::new(layout))), out: 0 });
    t.bump_version();
    Ok(())
}
