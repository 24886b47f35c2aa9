//! Memory that crosses the border: numpy, buffers, lists and raw storages. DLPack is in `dlpack.rs`.

use crate::error::IntoPy;
use crate::tensor::{PyTensor, number_object};
use corten_core::device::Device;
use corten_core::dispatch;
use corten_core::dtype::{DType, Element, Scalar};
use corten_core::exec;
use corten_core::graph::Buffer;
use corten_core::ops::{self, create};
use corten_core::shape::{Dims, Layout, for_each_offset};
use corten_core::tensor::Tensor;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::sync::Arc;

/// Computes the storage and keeps it where it is: the address is known outside from now on.
pub fn pin(t: &Tensor) -> PyResult<Arc<Buffer>> {
    exec::flush_quietly().py()?;
    let buffer = exec::materialize(t).py()?;
    if t.cell().is_pinned() {
        return Ok(buffer);
    }
    // The value may be shared with other cells (copies are free until written): a pinned storage is its own.
    let value = t.cell().value();
    let shared = Arc::strong_count(&value.node) > 2 || Arc::strong_count(&buffer) > 2;
    let buffer = if shared {
        let fresh = Buffer::new(buffer.bytes()).py()?;
        // SAFETY: both hold `bytes` bytes and are distinct.
        unsafe { std::ptr::copy_nonoverlapping(buffer.ptr(), fresh.ptr(), buffer.bytes()) };
        let spec = value.node.outs[value.out as usize].clone();
        let fresh = Arc::new(fresh);
        let node = corten_core::graph::Node::data(fresh.clone(), spec.dtype, spec.layout);
        t.cell().set(corten_core::graph::Value { node: Arc::new(node), out: 0 });
        fresh
    } else {
        buffer
    };
    t.cell().pin();
    buffer.pin();
    Ok(buffer)
}

/// numpy's type string, `None` where numpy has no such type.
fn typestr(d: DType) -> Option<&'static str> {
    Some(match d {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::C64 => "<c8",
        DType::C128 => "<c16",
        _ => return None,
    })
}

fn from_typestr(s: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|&d| typestr(d).is_some_and(|t| t[1..] == s[1..] && (d.size() == 1 || &s[..1] != ">")))
}

/// The dtype of a numpy scalar; `None` for Python's own numbers.
pub fn scalar_dtype(o: &Bound<'_, PyAny>) -> Option<DType> {
    use pyo3::types::{PyBool, PyFloat, PyInt};
    if o.is_exact_instance_of::<PyFloat>() || o.is_exact_instance_of::<PyInt>() || o.is_instance_of::<PyBool>() {
        return None;
    }
    let kind: String = o.getattr("dtype").ok()?.getattr("str").ok()?.extract().ok()?;
    from_typestr(&kind)
}

/// What numpy keeps as the base of an exported array.
#[pyclass(frozen)]
struct Export {
    buffer: Arc<Buffer>,
    interface: Py<PyDict>,
}

#[pymethods]
impl Export {
    #[getter]
    fn __array_interface__(&self, py: Python<'_>) -> Py<PyDict> {
        self.interface.clone_ref(py)
    }
}

/// The tensor as a numpy array on the same memory.
#[pyfunction]
pub fn to_numpy(py: Python<'_>, tensor: &Bound<'_, PyTensor>) -> PyResult<Py<PyAny>> {
    let t = tensor.get().tensor();
    let Some(kind) = typestr(t.dtype()) else {
        return Err(PyTypeError::new_err(format!("Got unsupported ScalarType {}", t.dtype().scalar_name())));
    };
    if t.device() == Device::Meta {
        return Err(PyTypeError::new_err(
            "can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.",
        ));
    }
    let buffer = pin(&t)?;
    let l = t.layout();
    let size = t.dtype().size();
    let interface = PyDict::new(py);
    interface.set_item("version", 3)?;
    interface.set_item("typestr", kind)?;
    interface.set_item("shape", PyTuple::new(py, l.shape.iter())?)?;
    interface.set_item("strides", PyTuple::new(py, l.strides.iter().map(|s| s * size))?)?;
    interface.set_item("data", (buffer.ptr() as usize + l.offset * size, false))?;
    let export = Py::new(py, Export { buffer, interface: interface.unbind() })?;
    debug_assert!(!export.get().buffer.ptr().is_null());
    Ok(py.import("numpy")?.call_method1("asarray", (export,))?.unbind())
}

/// A tensor on a numpy array's memory.
#[pyfunction]
pub fn from_numpy(py: Python<'_>, array: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let Ok(interface) = array.getattr("__array_interface__") else {
        return Err(PyTypeError::new_err(format!("expected np.ndarray (got {})", crate::types::type_name(array))));
    };
    let interface = interface.cast_into::<PyDict>()?;
    let get = |k: &str| -> PyResult<Bound<'_, PyAny>> {
        interface.get_item(k)?.ok_or_else(|| PyValueError::new_err(format!("array interface without '{k}'")))
    };
    let kind: String = get("typestr")?.extract()?;
    if kind.starts_with('>') {
        return Err(PyValueError::new_err(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not supported.",
        ));
    }
    let Some(dtype) = from_typestr(&kind) else {
        let class = array.getattr("dtype")?.getattr("type")?;
        return Err(PyTypeError::new_err(format!(
            "can't convert np.ndarray of type {}.{}. The only supported types are: float64, float32, float16, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool.",
            class.getattr("__module__")?,
            class.getattr("__name__")?
        )));
    };
    let shape: Vec<usize> = get("shape")?.extract()?;
    let (address, _read_only): (usize, bool) = get("data")?.extract()?;
    // The interface leaves out the strides of row-major arrays, which may be any in dims of size 1.
    let strides = match interface.get_item("strides")? {
        Some(s) if !s.is_none() => Some(s),
        // An empty array's strides may be 0.
        _ if shape.contains(&0) => None,
        _ => array.getattr("strides").ok(),
    };
    let strides: Vec<isize> = match strides {
        Some(s) if !s.is_none() => s.extract()?,
        _ => Dims::from_slice(&shape).contiguous_strides().iter().map(|&s| (s * dtype.size()) as isize).collect(),
    };
    let mut layout = Layout::contiguous(Dims::from_slice(&shape));
    for (d, &s) in strides.iter().enumerate() {
        if s < 0 && shape[d] > 1 {
            return Err(PyValueError::new_err(
                "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. (You can probably work around this by making a copy of your array  with array.copy().) ",
            ));
        }
        if s.unsigned_abs() % dtype.size() != 0 {
            return Err(PyValueError::new_err(
                "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory.",
            ));
        }
        layout.strides[d] = s.max(0) as usize / dtype.size();
    }
    let t = outside(address as *mut u8, dtype, layout, Box::new(array.clone().unbind()));
    PyTensor::wrap(py, t)
}

/// A pinned tensor over memory that `keep` keeps alive.
pub fn outside(ptr: *mut u8, dtype: DType, layout: Layout, keep: Box<dyn std::any::Any + Send + Sync>) -> Tensor {
    let bytes = if layout.numel() == 0 { 0 } else { layout.end() * dtype.size() };
    // SAFETY: the exporter guarantees the memory for as long as its object lives.
    let buffer = unsafe { Buffer::outside(ptr, bytes, keep) };
    let t = create::from_buffer(Arc::new(buffer), dtype, layout);
    t.cell().pin();
    t
}

/// Nested Python lists of the values.
pub fn to_list(py: Python<'_>, t: &Tensor) -> PyResult<Py<PyAny>> {
    let t = &ops::device::on_host(t).py()?;
    if t.rank() == 0 {
        return number_object(py, ops::item(t).py()?);
    }
    let buffer = exec::materialize(t).py()?;
    let mut values = Vec::with_capacity(t.numel());
    let l = t.layout();
    if !t.dtype().is_primitive() {
        for number in ops::to_vec(t).py()? {
            values.push(number_object(py, number)?);
        }
        return nested(py, t.shape(), values);
    }
    dispatch!(t.dtype(), T => {
        // SAFETY: the layout lies inside the storage.
        let base = unsafe { buffer.ptr().cast::<T>().add(l.offset) };
        let mut failed = None;
        for_each_offset(&l.shape, &l.strides, |o| {
            // SAFETY: as above.
            let v = unsafe { base.add(o).read_unaligned() };
            let s = match t.dtype() {
                DType::Bool => Scalar::Bool(v.to_i64() != 0),
                d if d.is_float() => Scalar::Float(v.to_f64()),
                _ => Scalar::Int(v.to_i64()),
            };
            match number_object(py, s) {
                Ok(o) => values.push(o),
                Err(e) => failed = Some(e),
            }
        });
        if let Some(e) = failed {
            return Err(e);
        }
    });
    nested(py, t.shape(), values)
}

/// Values in row-major order as nested lists.
fn nested(py: Python<'_>, shape: &[usize], mut values: Vec<Py<PyAny>>) -> PyResult<Py<PyAny>> {
    for d in (1..shape.len()).rev() {
        let n = shape[d];
        let outer: usize = shape[..d].iter().product();
        let mut rows = Vec::with_capacity(outer);
        let mut iter = values.into_iter();
        for _ in 0..outer {
            let row: Vec<Py<PyAny>> = iter.by_ref().take(n).collect();
            rows.push(PyList::new(py, row)?.into_any().unbind());
        }
        values = rows;
    }
    Ok(PyList::new(py, values)?.into_any().unbind())
}

/// A storage for readers of Python's buffer protocol.
#[pyclass(frozen)]
struct StorageView {
    buffer: Arc<Buffer>,
}

#[pymethods]
impl StorageView {
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut pyo3::ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let buffer = &slf.get().buffer;
        // SAFETY: the view holds this object, which holds the memory; whoever shares a buffer never writes to it.
        let status = unsafe {
            pyo3::ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                buffer.ptr().cast(),
                buffer.bytes() as pyo3::ffi::Py_ssize_t,
                1,
                flags,
            )
        };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// The whole storage of a tensor as a read-only memoryview, without a copy.
#[pyfunction]
pub fn storage_bytes<'py>(py: Python<'py>, tensor: &Bound<'py, PyTensor>) -> PyResult<Bound<'py, PyAny>> {
    let buffer = exec::materialize(tensor.get().get()).py()?;
    Ok(pyo3::types::PyMemoryView::from(Py::new(py, StorageView { buffer })?.bind(py))?.into_any())
}

/// Bytes of a tensor's storage.
#[pyfunction]
pub fn storage_nbytes(tensor: &Bound<'_, PyTensor>) -> usize {
    ops::view::storage_bytes(tensor.get().get())
}

/// A number that is equal for tensors sharing a storage.
#[pyfunction]
pub fn storage_id(tensor: &Bound<'_, PyTensor>) -> usize {
    Arc::as_ptr(tensor.get().get().cell()) as usize
}

/// A tensor with its own storage, copied from bytes.
#[pyfunction]
pub fn tensor_from_bytes(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    dtype: &Bound<'_, PyAny>,
    storage_offset: usize,
    size: Vec<usize>,
    stride: Vec<usize>,
) -> PyResult<Py<PyAny>> {
    let dtype = crate::types::extract_dtype(dtype)?;
    let view = pyo3::buffer::PyBuffer::<u8>::get(data)?;
    let n = view.len_bytes();
    let buffer = Buffer::new(n).py()?;
    if n > 0 {
        // SAFETY: a fresh buffer of n bytes.
        let target = unsafe { std::slice::from_raw_parts_mut(buffer.ptr(), n) };
        view.copy_to_slice(py, target)?;
    }
    let layout = Layout { shape: Dims::from_slice(&size), strides: Dims::from_slice(&stride), offset: storage_offset };
    if layout.numel() > 0 && layout.end().saturating_mul(dtype.size()) > n {
        return Err(PyRuntimeError::new_err(format!(
            "a tensor of size {} with strides {} at offset {storage_offset} does not fit a storage of {n} bytes",
            layout.shape, layout.strides
        )));
    }
    PyTensor::wrap(py, create::from_buffer(Arc::new(buffer), dtype, layout))
}

/// Another window on the storage of `base`.
#[pyfunction]
pub fn alias_tensor(
    py: Python<'_>,
    base: &Bound<'_, PyTensor>,
    dtype: &Bound<'_, PyAny>,
    storage_offset: usize,
    size: Vec<usize>,
    stride: Vec<usize>,
) -> PyResult<Py<PyAny>> {
    let dtype = crate::types::extract_dtype(dtype)?;
    if size.len() != stride.len() {
        return Err(PyRuntimeError::new_err(format!(
            "mismatch in length of strides and shape: sizes {size:?}, strides {stride:?}"
        )));
    }
    let layout = Layout { shape: Dims::from_slice(&size), strides: Dims::from_slice(&stride), offset: storage_offset };
    let t = base.get().get();
    let bytes = ops::view::storage_bytes(t);
    if layout.numel() > 0 && layout.end().saturating_mul(dtype.size()) > bytes {
        return Err(PyRuntimeError::new_err(format!(
            "a tensor of size {} with strides {} at offset {storage_offset} does not fit a storage of {bytes} bytes",
            layout.shape, layout.strides
        )));
    }
    PyTensor::wrap(py, t.alias(layout, dtype))
}
