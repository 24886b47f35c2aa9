//! Tensors from Python data: numbers, nested sequences, arrays.

use crate::args::extract_number;
use crate::error::IntoPy;
use crate::storage::lock_pages_of;
use crate::tensor::{PyTensor, is_size, shape_of};
use crate::types::{chosen_device, default_device, extract_device, extract_dtype, type_name};
use corten_core::device::Device;
use corten_core::dispatch;
use corten_core::dtype::{DType, Element, Scalar};
use corten_core::graph::Buffer;
use corten_core::ops::device::{on_host, to_device};
use corten_core::ops::elementwise::{cast, default_dtype};
use corten_core::ops::{self, create};
use corten_core::shape::{Dims, Layout};
use corten_core::tensor::Tensor;
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};
use std::sync::Arc;

/// Nested data flattened: shape, values, and the highest category of number seen.
#[derive(Default)]
struct Flat {
    shape: Vec<usize>,
    values: Vec<Scalar>,
    /// The dtype that every element so far promotes to.
    dtype: Option<DType>,
    /// An integer beyond uint64 was among them; it counts as a float.
    huge: bool,
    /// A complex number was among them.
    complex: bool,
    /// The tensor is to hold floats.
    floating: bool,
}

fn is_sequence(o: &Bound<'_, PyAny>) -> bool {
    o.is_instance_of::<PyList>()
        || o.is_instance_of::<PyTuple>()
        || (!o.is_instance_of::<PyString>()
            && !o.is_instance_of::<PyBytes>()
            && !o.is_instance_of::<PyTensor>()
            && !o.is_instance_of::<PyDict>()
            && o.hasattr("__len__").unwrap_or(false)
            && o.hasattr("__getitem__").unwrap_or(false)
            && extract_number(o).is_none())
}

impl Flat {
    fn add(&mut self, o: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        if let Ok(t) = o.cast::<PyTensor>() {
            crate::overrides::check_values(o)?;
            return self.add_tensor(t.get().get(), depth);
        }
        if let Some(s) = extract_number(o) {
            if depth < self.shape.len() {
                return Err(ragged(depth, self.shape[depth]));
            }
            self.values.push(s);
            self.complex |= s.category() == 3;
            self.promote(crate::memory::scalar_dtype(o).unwrap_or_else(|| match s.category() {
                3 => default_dtype().complex(),
                2 => default_dtype(),
                1 => DType::I64,
                _ => DType::Bool,
            }));
            return Ok(());
        }
        if o.is_instance_of::<PyInt>() && depth >= self.shape.len() {
            self.huge = true;
            self.values.push(Scalar::Float(o.extract().map_err(|e| if self.floating { e } else { overflow() })?));
            self.promote(DType::I64);
            return Ok(());
        }
        if !is_sequence(o) {
            return Err(if !o.is_instance_of::<PyString>() && !o.is_instance_of::<PyBytes>() {
                PyRuntimeError::new_err(format!("Could not infer dtype of {}", type_name(o)))
            } else if depth == 0 || !self.values.is_empty() {
                PyTypeError::new_err(format!("new(): invalid data type '{}'", type_name(o)))
            } else {
                PyValueError::new_err(format!("too many dimensions '{}'", type_name(o)))
            });
        }
        let n = o.len()?;
        if depth == self.shape.len() {
            if !self.values.is_empty() {
                return Err(PyTypeError::new_err(format!(
                    "only number or tensor elements are expected at dim {depth}"
                )));
            }
            self.shape.push(n);
        } else if self.shape[depth] != n {
            return Err(PyValueError::new_err(format!(
                "expected sequence of length {} at dim {depth} (got {n})",
                self.shape[depth]
            )));
        }
        for i in 0..n {
            self.add(&o.get_item(i)?, depth + 1)?;
        }
        Ok(())
    }

    fn add_tensor(&mut self, t: &Tensor, depth: usize) -> PyResult<()> {
        let rest = &self.shape[depth.min(self.shape.len())..];
        if self.values.is_empty() && rest.is_empty() {
            self.shape.extend_from_slice(t.shape());
        } else if rest != t.shape() {
            return Err(ragged(depth, rest.first().copied().unwrap_or(0)));
        }
        self.promote(t.dtype());
        let t = &on_host(t).py()?;
        if !t.dtype().is_primitive() {
            self.values.extend(ops::to_vec(t).py()?);
            return Ok(());
        }
        let t = cast(t, if t.dtype().is_float() { DType::F64 } else { DType::I64 }).py()?;
        let list = corten_core::ops::contiguous(&t).py()?;
        let buffer = corten_core::exec::materialize(&list).py()?;
        for i in 0..list.numel() {
            let at = list.layout().offset + i;
            // SAFETY: contiguous elements of a finished buffer.
            self.values.push(unsafe {
                if list.dtype() == DType::F64 {
                    Scalar::Float(*buffer.ptr().cast::<f64>().add(at))
                } else {
                    Scalar::Int(*buffer.ptr().cast::<i64>().add(at))
                }
            });
        }
        Ok(())
    }

    fn promote(&mut self, other: DType) {
        self.dtype = Some(self.dtype.map_or(other, |d| d.promote(other)));
    }

    fn dtype(&self) -> DType {
        self.dtype.unwrap_or_else(default_dtype)
    }

    /// Refuses numbers that are none of the dtype: Python converts them one by one in PyTorch, so the errors are Python's.
    fn check(&self, dtype: DType) -> PyResult<()> {
        if self.complex && dtype.category() == 2 {
            return Err(PyTypeError::new_err("must be real number, not complex"));
        }
        if dtype.category() != 1 {
            return Ok(());
        }
        if dtype == DType::U64 {
            return self.check_uint64();
        }
        if self.complex {
            return Err(PyTypeError::new_err("'complex' object cannot be interpreted as an integer"));
        }
        if self.huge || self.values.iter().any(|s| matches!(s, Scalar::Unsigned(_))) {
            return Err(overflow());
        }
        match self.values.iter().all(|&s| dtype.holds(s)) {
            true => Ok(()),
            false => Err(dtype.overflow(dtype.name())).py(),
        }
    }

    fn check_uint64(&self) -> PyResult<()> {
        if self.huge {
            return Err(PyOverflowError::new_err("int too big to convert"));
        }
        if self.values.iter().any(|s| s.category() > 1) {
            return Err(PyTypeError::new_err("an integer is required"));
        }
        match self.values.iter().any(|s| matches!(s, Scalar::Int(..0))) {
            true => Err(PyOverflowError::new_err("can't convert negative int to unsigned")),
            false => Ok(()),
        }
    }
}

/// PyTorch's error of an integer beyond int64.
fn overflow() -> PyErr {
    PyValueError::new_err("Overflow when unpacking long long")
}

fn ragged(depth: usize, expected: usize) -> PyErr {
    PyTypeError::new_err(format!("not a sequence: expected one of length {expected} at dim {depth}, got a number"))
}

fn is_float64(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    let dtype = array.getattr("dtype")?;
    Ok(dtype.getattr("kind")?.extract::<char>()? == 'f' && dtype.getattr("itemsize")?.extract::<usize>()? == 8)
}

/// The data of `o` in a new tensor on `device`.
pub fn from_data(o: &Bound<'_, PyAny>, dtype: Option<DType>, device: Device) -> PyResult<Tensor> {
    if let Ok(t) = o.cast::<PyTensor>() {
        crate::overrides::check_values(o)?;
        let t = t.get().get().detach();
        let d = to_device(&t, device).py()?;
        return match dtype {
            Some(dt) if dt != d.dtype() => cast(&d, dt).py(),
            // What has come from another device is a copy.
            _ if t.device() != device => Ok(d),
            _ => d.copy_contiguous().py(),
        };
    }
    if o.hasattr("__array_interface__")? {
        let mut array = o.py().import("numpy")?.call_method1("asarray", (o,))?;
        if device.is_gpu() && !array.getattr("flags")?.getattr("forc")?.is_truthy()? {
            // Dense memory goes to the device as it is; numpy makes other memory dense.
            array = array.call_method1("copy", ("K",))?;
        }
        if device.is_gpu() && dtype.is_some_and(DType::is_float) && is_float64(&array)? {
            // No GPU takes float64 to round it.
            array = array.call_method1("astype", ("float32",))?;
        }
        let t = crate::memory::from_numpy(o.py(), &array)?;
        let t = t.bind(o.py()).cast::<PyTensor>()?.get().tensor();
        let t = match dtype {
            Some(dt) => cast(&t, dt).py()?,
            None => t,
        };
        if device != Device::Cpu {
            return to_device(&t, device).py();
        }
        return ops::copy_as(&t, ops::elementwise::preserved(t.layout())).py();
    }
    let floating = dtype.is_some_and(|d| d.category() > 1);
    let mut flat = Flat { floating, ..Flat::default() };
    flat.add(o, 0)?;
    let dtype = dtype.unwrap_or_else(|| flat.dtype());
    flat.check(dtype)?;
    let shape = Dims::from_slice(&flat.shape);
    if flat.values.len() == 1 && shape.is_empty() {
        return create::full(shape, flat.values[0], dtype, device).py();
    }
    let values: Vec<Scalar> = match dtype.is_complex() {
        true => flat.values.iter().flat_map(|s| [Scalar::Float(s.parts().0), Scalar::Float(s.parts().1)]).collect(),
        false => std::mem::take(&mut flat.values),
    };
    let values = match dtype.is_carried() {
        true => values.iter().map(|s| Scalar::from_bits(s.to_bits(dtype), dtype.stored())).collect(),
        false => values,
    };
    let buffer = Buffer::new(shape.numel() * dtype.size()).py()?;
    dispatch!(dtype.stored(), T => {
        // SAFETY: a fresh buffer of that many elements.
        let out = unsafe { std::slice::from_raw_parts_mut(buffer.ptr().cast::<T>(), values.len()) };
        for (o, &s) in out.iter_mut().zip(&values) {
            *o = <T as Element>::from_scalar(s);
        }
    });
    to_device(&create::from_buffer(Arc::new(buffer), dtype, Layout::contiguous(shape)), device).py()
}

/// `corten.tensor(data)`: always a copy.
#[pyfunction]
#[pyo3(signature = (data, *, dtype=None, device=None, requires_grad=false, pin_memory=false))]
pub fn tensor(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
    pin_memory: bool,
) -> PyResult<Py<PyAny>> {
    let dtype = dtype.filter(|d| !d.is_none()).map(extract_dtype).transpose()?;
    let device = device.filter(|d| !d.is_none()).map(extract_device).transpose()?;
    let home = || match data.cast::<PyTensor>() {
        Ok(t) if chosen_device().is_none() => t.get().get().device(),
        _ => default_device(),
    };
    let t = from_data(data, dtype, device.unwrap_or_else(home))?;
    if data.is_instance_of::<PyTensor>() {
        crate::checks::warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).").py()?;
    }
    if pin_memory {
        lock_pages_of(&t).py()?;
    }
    if requires_grad {
        t.set_requires_grad(true).py()?;
    }
    PyTensor::wrap(py, t)
}

/// `Tensor(2, 3)` and `Tensor(Size([2, 3]))` allocate, `Tensor([1, 2])` copies data, `Tensor(t)` aliases, as in PyTorch.
pub fn legacy_constructor(args: &Bound<'_, PyTuple>) -> PyResult<Tensor> {
    let dtype = default_dtype();
    if args.is_empty() {
        return create::empty(Layout::contiguous(Dims::from([0])), dtype, Device::Cpu).py();
    }
    let first = args.get_item(0)?;
    let listed = if args.len() == 1 && is_size(&first) { first.cast::<PyTuple>()? } else { args };
    let sizes: Option<Vec<i64>> = listed
        .iter()
        .map(|a| {
            if a.is_instance_of::<PyTensor>() || extract_number(&a).is_some_and(|s| s.category() == 2) {
                None
            } else {
                crate::args::extract_int(&a)
            }
        })
        .collect();
    if let Some(sizes) = sizes {
        return create::empty(Layout::contiguous(shape_of("Tensor", &sizes)?), dtype, Device::Cpu).py();
    }
    if args.len() != 1 {
        return Err(PyTypeError::new_err("Tensor() takes sizes or one sequence"));
    }
    if !first.is_instance_of::<PyTensor>() && extract_number(&first).is_some() {
        let given = type_name(&first);
        return Err(PyTypeError::new_err(format!("new(): data must be a sequence (got {given})")));
    }
    match first.cast::<PyTensor>() {
        Ok(t) => Ok(t.get().get().detach()),
        Err(_) => from_data(&first, Some(dtype), Device::Cpu),
    }
}
