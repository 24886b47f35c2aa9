//! `x[...]` and `x[...] = v`: basic indices become views, tensors and lists become advanced indexing.

use crate::args::extract_number;
use crate::create::from_data;
use crate::error::IntoPy;
use crate::tensor::PyTensor;
use corten_core::device::Device;
use corten_core::dtype::{DType, Scalar};
use corten_core::exec::record::settle;
use corten_core::grad::modes;
use corten_core::ops::device::to_device;
use corten_core::ops::elementwise::{Operand, cast};
use corten_core::ops::{advanced, create, index, inplace, view};
use corten_core::tensor::Tensor;
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyInt, PyList, PyRange, PySlice, PyString, PyTuple};

/// A view with the index tensors that remain, by dim.
struct Indexed {
    view: Tensor,
    tensors: Vec<Option<Tensor>>,
}

impl Indexed {
    fn is_basic(&self) -> bool {
        self.tensors.iter().all(Option::is_none)
    }
    fn put(&mut self, dim: usize, t: Tensor) {
        if self.tensors.len() <= dim {
            self.tensors.resize(dim + 1, None);
        }
        self.tensors[dim] = Some(t);
    }
}

pub fn get(t: &Tensor, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = key.py();
    if modes().grad {
        t.check_view().py()?;
    }
    if key.is_exact_instance_of::<PyInt>() {
        check_scalar(t)?;
        return PyTensor::wrap(py, view::select(t, 0, key.extract()?).py()?);
    }
    if let Some(mask) = lone_mask(t, key).filter(|m| m.rank() == t.rank()) {
        return PyTensor::wrap(py, advanced::masked_select(t, &mask).py()?);
    }
    let found = resolve(t, key)?;
    if found.is_basic() {
        let out = if found.view.ptr_eq(t) { view::alias(t) } else { found.view };
        return PyTensor::wrap(py, out);
    }
    PyTensor::wrap(py, index::index(&found.view, &found.tensors).py()?)
}

/// A boolean mask that is the whole index and fits the tensor's first dims.
fn lone_mask(t: &Tensor, key: &Bound<'_, PyAny>) -> Option<Tensor> {
    let mask = key.cast::<PyTensor>().ok()?.get().tensor();
    let fits = mask.dtype() == DType::Bool && mask.rank() > 0 && t.shape().starts_with(mask.shape());
    fits.then_some(mask)
}

/// `t[mask] = one value` needs no positions: nothing is computed now.
fn fill(t: &Tensor, mask: &Tensor, value: Operand) -> PyResult<()> {
    inplace::check_writable(t).py()?;
    let mut shape = mask.shape().to_vec();
    shape.resize(t.rank(), 1);
    let source = match value {
        Operand::Tensor(v) => index::Source::Tensor(v),
        Operand::Number(n) => index::Source::Number(n),
    };
    let mask = view::reshape(mask, &shape).py()?;
    let new = advanced::masked_fill(t, &mask, source).py()?;
    inplace::replace(t, &new, "index_put").py()
}

pub fn set(t: &Tensor, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let number = if value.is_instance_of::<PyTensor>() { None } else { extract_number(value) };
    let data = match (number, value.cast::<PyTensor>()) {
        (None, Ok(v)) => Some(v.get().tensor()),
        (None, Err(_)) => Some(from_data(value, None, Device::Cpu).map_err(|_| {
            PyTypeError::new_err(format!("can't assign a {} to a {} tensor", crate::types::type_name(value), t.dtype()))
        })?),
        _ => None,
    };
    let operand = match (&data, number) {
        (Some(v), _) => Operand::Tensor(v),
        (None, Some(s)) => Operand::Number(s),
        _ => return Err(PyTypeError::new_err("can't assign this value to a tensor")),
    };
    if let Some(n) = number {
        n.check_fits_one(t.dtype()).py()?;
    }
    if modes().grad {
        t.check_view().py()?;
    }
    settle([Some(t), data.as_ref()].into_iter().flatten()).py()?;
    if let Some(mask) = lone_mask(t, key)
        && !t.layout().has_internal_overlap()
        && matches!(operand, Operand::Number(_)) | matches!(operand, Operand::Tensor(v) if v.rank() == 0)
    {
        return fill(t, &mask, operand);
    }
    let found = resolve(t, key)?;
    if found.is_basic() {
        return inplace::copy_(&found.view, operand).py();
    }
    if found.view.layout().has_internal_overlap() {
        return crate::shared::put(&found.view, &found.tensors, operand, false);
    }
    inplace::check_writable(&found.view).py()?;
    let v = match operand {
        Operand::Tensor(v) if value.is_instance_of::<PyTensor>() => cast(v, t.dtype()).py()?,
        Operand::Tensor(v) => to_device(&cast(v, t.dtype()).py()?, t.device()).py()?,
        Operand::Number(s) => create::number(s, t.dtype(), t.device()).py()?,
    };
    let new = index::index_put(&found.view, &found.tensors, &v, false).py()?;
    inplace::replace(&found.view, &new, "index_put").py()
}

fn check_scalar(t: &Tensor) -> PyResult<()> {
    if t.rank() == 0 {
        return Err(PyIndexError::new_err(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number",
        ));
    }
    Ok(())
}

/// Sequences of numbers, lazy ones such as `range` among them.
fn is_sequence(p: &Bound<'_, PyAny>) -> bool {
    p.is_instance_of::<PyList>() || p.is_instance_of::<PyTuple>() || p.is_instance_of::<PyRange>()
}

/// How many dims of the tensor an index uses up.
fn consumes(o: &Bound<'_, PyAny>) -> PyResult<usize> {
    if o.is_none() || o.is_instance_of::<PyEllipsis>() || o.is_instance_of::<PyBool>() {
        return Ok(0);
    }
    if let Ok(t) = o.cast::<PyTensor>() {
        let t = t.get().get();
        return Ok(if matches!(t.dtype(), DType::Bool | DType::U8) { t.rank() } else { 1 });
    }
    if o.hasattr("__array_interface__")? && o.getattr("dtype")?.getattr("kind")?.extract::<String>()? == "b" {
        return o.getattr("ndim")?.extract();
    }
    Ok(1)
}

/// A short list that holds sequences, tensors, slices, an ellipsis or None is read as a tuple, as numpy once did.
fn acts_as_tuple(list: &Bound<'_, PyList>) -> bool {
    list.len() < 32
        && list.iter().any(|o| {
            o.is_none()
                || o.is_instance_of::<PyTensor>()
                || is_sequence(&o)
                || o.is_instance_of::<PySlice>()
                || o.is_instance_of::<PyEllipsis>()
        })
}

fn resolve(t: &Tensor, key: &Bound<'_, PyAny>) -> PyResult<Indexed> {
    let parts: Vec<Bound<'_, PyAny>> = match (key.cast::<PyTuple>(), key.cast::<PyList>()) {
        (Ok(tuple), _) => tuple.iter().collect(),
        (_, Ok(list)) if acts_as_tuple(list) => list.iter().collect(),
        _ => vec![key.clone()],
    };
    let mut used = 0;
    for p in &parts {
        used += consumes(p)?;
    }
    if used > t.rank() {
        if t.rank() == 0 {
            check_scalar(t)?;
        }
        return Err(PyIndexError::new_err(format!("too many indices for tensor of dimension {}", t.rank())));
    }
    let mut found = Indexed { view: t.clone(), tensors: Vec::new() };
    let (mut dim, mut skipped) = (0, t.rank() - used);
    for p in &parts {
        apply(&mut found, &mut dim, p, skipped)?;
        if p.is_instance_of::<PyEllipsis>() {
            // Any further one stands for no dims.
            skipped = 0;
        }
    }
    Ok(found)
}

fn apply(found: &mut Indexed, dim: &mut usize, p: &Bound<'_, PyAny>, skipped: usize) -> PyResult<()> {
    if p.is_instance_of::<PyEllipsis>() {
        *dim += skipped;
        return Ok(());
    }
    if p.is_none() {
        found.view = view::unsqueeze(&found.view, *dim as i64).py()?;
        *dim += 1;
        return Ok(());
    }
    if let Ok(b) = p.cast::<PyBool>() {
        // True keeps everything under a new dim of size 1, False nothing.
        found.view = view::unsqueeze(&found.view, *dim as i64).py()?;
        let n = b.is_true() as usize;
        found.put(*dim, create::full([n].into(), Scalar::Int(0), DType::I64, found.view.device()).py()?);
        *dim += 1;
        return Ok(());
    }
    if let Ok(s) = p.cast::<PySlice>() {
        let size = found.view.shape()[*dim];
        let step: Option<i64> = s.getattr("step")?.extract()?;
        if step.is_some_and(|v| v <= 0) {
            return Err(PyValueError::new_err("step must be greater than zero"));
        }
        let i = s.indices(size as isize)?;
        if !(i.start == 0 && i.slicelength == size && i.step == 1) {
            found.view = view::slice(&found.view, *dim, i.start as usize, i.slicelength, i.step as usize).py()?;
        }
        *dim += 1;
        return Ok(());
    }
    if let Ok(t) = p.cast::<PyTensor>() {
        return apply_tensor(found, dim, t.get().get());
    }
    if is_sequence(p) || p.hasattr("__array_interface__")? {
        let mut t = from_data(p, None, Device::Cpu)?;
        if t.dtype().is_float() && t.rank() > 0 {
            // Numbers of a sequence are read as integers, whatever they were.
            t = cast(&t, DType::I64).py()?;
        }
        return apply_tensor(found, dim, &t);
    }
    if p.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("new(): invalid data type 'str'"));
    }
    let index: i64 = p.extract().map_err(|_| {
        PyIndexError::new_err(format!(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {})",
            crate::types::type_name(p)
        ))
    })?;
    found.view = view::select(&found.view, *dim as i64, index).py()?;
    Ok(())
}

fn apply_tensor(found: &mut Indexed, dim: &mut usize, t: &Tensor) -> PyResult<()> {
    match t.dtype() {
        DType::Bool | DType::U8 => {
            if t.dtype() == DType::U8 {
                crate::checks::warn(
                    "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
                )
                .py()?;
            }
            if t.rank() == 0 {
                found.view = view::unsqueeze(&found.view, *dim as i64).py()?;
                let n = corten_core::ops::item(t).py()?.to_bool() as usize;
                found.put(*dim, create::full([n].into(), Scalar::Int(0), DType::I64, found.view.device()).py()?);
                *dim += 1;
                return Ok(());
            }
            for k in 0..t.rank() {
                let (have, want) = (found.view.shape().get(*dim + k).copied(), t.shape()[k]);
                if have != Some(want) {
                    return Err(PyIndexError::new_err(format!(
                        "The shape of the mask {} at index {k} does not match the shape of the indexed tensor {} at index {}",
                        t.shape_dims(),
                        found.view.shape_dims(),
                        *dim + k
                    )));
                }
            }
            for (k, column) in index::nonzero_columns(t).py()?.into_iter().enumerate() {
                found.put(*dim + k, column);
            }
            *dim += t.rank();
            Ok(())
        }
        DType::I64 | DType::I32 | DType::I16 | DType::I8 => {
            if t.rank() == 0 && t.dtype() != DType::Bool {
                // A 0-d integer tensor selects, as a number does.
                let i = corten_core::ops::item(t).py()?.to_i64();
                found.view = view::select(&found.view, *dim as i64, i).py()?;
                return Ok(());
            }
            found.put(*dim, cast(t, DType::I64).py()?);
            *dim += 1;
            Ok(())
        }
        _ => Err(PyIndexError::new_err("tensors used as indices must be long, int, byte or bool tensors")),
    }
}
