//! `corten.Tensor`: the Python object around the engine's handle, its attributes and its operator slots.

use crate::error::IntoPy;
use crate::formats::is_channels_last;
use crate::overrides;
use crate::slots::{Other, binary, in_place, not_implemented, reflected, unary};
use crate::types::{Format, PyFormat, device_object, dtype_object};
use corten_core::capture;
use corten_core::device::Device;
use corten_core::dtype::Scalar;
use corten_core::exec;
use corten_core::op::Ew;
use corten_core::ops::elementwise::apply;
use corten_core::ops::{self, matmul, view};
use corten_core::shape::Dims;
use corten_core::tensor::Tensor;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyTuple};
use std::cell::UnsafeCell;
use std::sync::atomic::Ordering;

/// A multi-dimensional array of one dtype, with PyTorch's meaning.
#[pyclass(frozen, subclass, weakref, dict, name = "Tensor", module = "corten")]
pub struct PyTensor {
    /// Replaced by operators that change metadata in place (`t_`, `.data = …`).
    inner: UnsafeCell<Tensor>,
}

// SAFETY: `inner` is read and replaced with the interpreter's lock held; the engine's handle itself is thread-safe.
unsafe impl Sync for PyTensor {}

impl Drop for PyTensor {
    fn drop(&mut self) {
        self.inner.get_mut().wrapper().store(0, Ordering::Relaxed);
    }
}

impl PyTensor {
    /// The only element, for Python's own conversions.
    fn lone(&self) -> PyResult<Scalar> {
        if self.get().numel() != 1 {
            return Err(PyValueError::new_err("only one element tensors can be converted to Python scalars"));
        }
        ops::item(self.get()).py()
    }

    #[inline]
    pub fn tensor(&self) -> Tensor {
        // SAFETY: see `inner`.
        unsafe { (*self.inner.get()).clone() }
    }
    #[inline]
    pub fn get(&self) -> &Tensor {
        // SAFETY: as above; no Python code runs while the reference is used.
        unsafe { &*self.inner.get() }
    }

    /// Points this object at another tensor; the object keeps its identity.
    pub fn replace(slf: &Bound<'_, Self>, t: Tensor) {
        let this = slf.get();
        if this.get_ref().capture() != capture::current() {
            capture::refuse(|| "it gives a tensor from outside another storage, shape or history".into());
        }
        this.get_ref().wrapper().store(0, Ordering::Relaxed);
        t.wrapper().store(slf.as_ptr() as usize, Ordering::Relaxed);
        crate::facts::bump_rebinds();
        // SAFETY: see `inner`.
        let old = unsafe { std::mem::replace(&mut *this.inner.get(), t) };
        drop(old);
    }

    fn get_ref(&self) -> &Tensor {
        self.get()
    }

    /// The Python object of a tensor: the living one, or a new one.
    pub fn wrap(py: Python<'_>, t: Tensor) -> PyResult<Py<PyAny>> {
        let known = t.wrapper().load(Ordering::Relaxed);
        if known != 0 {
            // SAFETY: the slot is cleared when the object dies, under the same lock.
            return Ok(unsafe { Bound::from_borrowed_ptr(py, known as *mut pyo3::ffi::PyObject) }.unbind());
        }
        // What `Py::new` does, without calling `object.__new__`, which makes a dict for every object.
        // SAFETY: the allocator returns zeroed memory for an object of the type. A frozen class that may cross threads
        // consists of its contents and of the slots for `__dict__` and weak references, which are null at first; the
        // contents are written before anybody sees the object.
        unsafe {
            let object = ffi::PyType_GenericAlloc(py.get_type::<PyTensor>().as_type_ptr(), 0);
            let object = Bound::from_owned_ptr_or_err(py, object)?;
            t.wrapper().store(object.as_ptr() as usize, Ordering::Relaxed);
            let contents: *const PyTensor = object.cast_unchecked::<PyTensor>().get();
            contents.cast_mut().write(PyTensor { inner: UnsafeCell::new(t) });
            Ok(object.unbind())
        }
    }
}

/// `corten.Size`, set once by the Python layer.
pub static SIZE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

pub fn size_object(py: Python<'_>, dims: &[usize]) -> PyResult<Py<PyAny>> {
    let tuple = PyTuple::new(py, dims)?;
    let Some(class) = SIZE.get(py) else { return Ok(tuple.into_any().unbind()) };
    // What `tuple.__new__` does: the class's own looks at each element first.
    let args = PyTuple::new(py, [tuple])?;
    // SAFETY: the slot of the type `tuple` is its constructor, and the class derives from it.
    unsafe {
        let slot = ffi::PyType_GetSlot(&raw mut ffi::PyTuple_Type, ffi::Py_tp_new);
        let new: ffi::newfunc = std::mem::transmute(slot);
        Ok(Bound::from_owned_ptr_or_err(py, new(class.as_ptr().cast(), args.as_ptr(), std::ptr::null_mut()))?.unbind())
    }
}

/// Whether an object is a `corten.Size`.
pub fn is_size(object: &Bound<'_, PyAny>) -> bool {
    SIZE.get(object.py()).is_some_and(|class| object.is_instance(class.bind(object.py())).unwrap_or(false))
}

/// A number as a Python object.
pub fn number_object(py: Python<'_>, s: Scalar) -> PyResult<Py<PyAny>> {
    Ok(match s {
        Scalar::Bool(b) => PyBool::new(py, b).to_owned().into_any().unbind(),
        Scalar::Int(i) => PyInt::new(py, i).into_any().unbind(),
        Scalar::Unsigned(u) => PyInt::new(py, u).into_any().unbind(),
        Scalar::Float(f) => PyFloat::new(py, f).into_any().unbind(),
        Scalar::Complex(re, im) => pyo3::types::PyComplex::from_doubles(py, re, im).into_any().unbind(),
    })
}

/// A number without an imaginary part.
fn real_number(s: Scalar, to: &str) -> PyResult<Scalar> {
    match s {
        Scalar::Complex(re, 0.0) => Ok(Scalar::Float(re)),
        Scalar::Complex(..) => {
            Err(PyRuntimeError::new_err(format!("value cannot be converted to type {to} without overflow")))
        }
        real => Ok(real),
    }
}

#[pymethods]
impl PyTensor {
    #[new]
    #[pyo3(signature = (*args, **kwargs))]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, pyo3::types::PyDict>>) -> PyResult<Self> {
        if kwargs.is_some_and(|k| !k.is_empty()) {
            return Err(PyTypeError::new_err("Tensor() takes no keyword arguments; use corten.tensor(...)"));
        }
        crate::create::legacy_constructor(args).map(|t| PyTensor { inner: UnsafeCell::new(t) })
    }

    /// A tensor of class `cls` sharing the storage of `data`, a leaf.
    #[staticmethod]
    #[pyo3(signature = (cls, data, require_grad=false))]
    fn _make_subclass<'py>(
        cls: &Bound<'py, pyo3::types::PyType>,
        data: &Bound<'py, PyTensor>,
        require_grad: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let object = cls.py().get_type::<PyTensor>().call_method1("__new__", (cls, data))?;
        let wrapped = object.cast::<PyTensor>()?;
        let fresh = data.get().get().detach();
        fresh.set_requires_grad(require_grad).py()?;
        PyTensor::replace(wrapped, fresh);
        Ok(object)
    }

    /// The sizes, a `corten.Size`.
    #[getter]
    fn shape(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        size_object(py, self.get().shape())
    }
    /// The type of the elements.
    #[getter]
    fn dtype(&self, py: Python<'_>) -> PyResult<Py<crate::types::PyDType>> {
        dtype_object(py, self.get().dtype())
    }
    /// Where the elements live.
    #[getter]
    fn device(&self) -> crate::types::PyDevice {
        device_object(self.get().device())
    }
    /// The number of dimensions.
    #[getter]
    fn ndim(&self) -> usize {
        self.get().rank()
    }
    /// Whether no recorded operator made this tensor, or none that needs a gradient.
    #[getter]
    fn is_leaf(&self) -> PyResult<bool> {
        self.get().check_view().py()?;
        Ok(self.get().is_leaf())
    }
    /// A number that tells tensors apart while they live.
    #[getter]
    fn _cdata(&self) -> usize {
        self.get().identity()
    }
    #[getter]
    fn _version(&self) -> PyResult<u64> {
        if self.get().is_inference() {
            return Err(PyRuntimeError::new_err("Inference tensors do not track version counter."));
        }
        capture::refuse(|| "it reads how often a tensor was written".into());
        Ok(self.get().version())
    }
    /// Bytes of an element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.get().dtype().size()
    }
    /// Bytes of all elements, without gaps between them.
    #[getter]
    fn nbytes(&self) -> usize {
        self.get().numel() * self.get().dtype().size()
    }
    #[getter]
    fn _base(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let t = self.get();
        match t.base() {
            Some(b) => Ok(Some(PyTensor::wrap(py, b.clone())?)),
            None => Ok(None),
        }
    }
    /// Whether operators on this tensor are recorded for `backward`.
    #[getter]
    fn requires_grad(&self) -> bool {
        self.get().requires_grad()
    }
    #[setter]
    fn set_requires_grad(&self, on: &Bound<'_, PyAny>) -> PyResult<()> {
        let on = on.extract().map_err(|_| PyRuntimeError::new_err("requires_grad must be a bool"))?;
        crate::facts::bump_rebinds();
        self.get().set_requires_grad(on).py()
    }
    #[deleter]
    fn delete_requires_grad(&self) -> PyResult<()> {
        Err(PyRuntimeError::new_err("requires_grad must be a bool"))
    }
    /// The gradient that `backward` accumulated, or None.
    #[getter]
    fn get_grad(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let this = self.get();
        let (grad, kept) = this.meta().map_or((None, true), |m| (m.grad(), m.state().retains_grad));
        if grad.is_none() && !kept && !this.is_leaf() {
            crate::checks::warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you access the leaf Tensor instead.").py()?;
        }
        grad.map(|g| PyTensor::wrap(py, g)).transpose()
    }
    #[setter]
    fn set_grad(&self, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let new = crate::autograd::checked_grad(self.get(), value)?;
        if new.is_none() && self.get().meta().is_none() {
            return Ok(());
        }
        self.get().meta_or_init().set_grad(new);
        Ok(())
    }
    #[deleter]
    fn delete_grad(&self) -> PyResult<()> {
        self.set_grad(None)
    }
    /// The same storage without history; assigning it points this tensor at another storage.
    #[getter]
    fn get_data(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        PyTensor::wrap(py, self.get().data())
    }
    #[setter]
    fn set_data(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = value.cast::<PyTensor>().map_err(|_| {
            let given = crate::types::type_name(value);
            PyTypeError::new_err(format!("Variable data has to be a tensor, but got {given}"))
        })?;
        let (this, new) = (slf.get().tensor(), value.get().tensor());
        if this.requires_grad() && !new.dtype().is_differentiable() {
            return Err(PyRuntimeError::new_err(
                "data set to a tensor that requires gradients must be floating point or complex dtype",
            ));
        }
        let t = Tensor::assemble(new.cell().clone(), new.layout().clone(), new.dtype(), this.meta().cloned(), None);
        // The accumulator knows the old metadata; the next backward pass makes a new one.
        if let Some(m) = t.meta() {
            m.state().accumulator = Default::default();
        }
        PyTensor::replace(slf, t);
        Ok(())
    }
    #[deleter]
    fn delete_data(&self) -> PyResult<()> {
        Err(PyRuntimeError::new_err("Deleting tensor data is not allowed. Delete tensor instead!"))
    }
    /// The node of the gradient graph that made this tensor, or None.
    #[getter]
    fn grad_fn(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.get().check_view().py()?;
        crate::nodes::node_object(py, self.get().grad_fn())
    }
    /// Which of its `grad_fn`'s outputs this tensor is.
    #[getter]
    fn output_nr(&self) -> u32 {
        self.get().grad_fn().map_or(0, |e| e.output)
    }
    /// Whether `retain_grad` was called on a tensor that is not a leaf.
    #[getter]
    fn retains_grad(&self) -> bool {
        !self.get().is_leaf() && self.get().meta().is_some_and(|m| m.state().retains_grad)
    }
    /// The view with all dimensions reversed.
    #[getter]
    #[allow(non_snake_case)]
    fn T(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.get().rank() {
            0 => crate::checks::warn_once("Tensor.T is deprecated on 0-D tensors. This function is the identity in these cases.").py()?,
            2 => {}
            _ => crate::checks::warn_once("The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will throw an error in a future release. Consider `x.mT` to transpose batches of matrices or `x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.").py()?,
        }
        let order: Vec<usize> = (0..self.get().rank()).rev().collect();
        PyTensor::wrap(py, view::permute(self.get(), &order))
    }
    /// The view with the last two dimensions swapped.
    #[getter]
    #[allow(non_snake_case)]
    fn mT(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.get().rank() == 0 {
            crate::checks::warn_once(
                "Tensor.mT is deprecated on 0-D tensors. This function is the identity in these cases.",
            )
            .py()?;
            return PyTensor::wrap(py, view::alias(self.get()));
        }
        if self.get().rank() < 2 {
            return Err(PyRuntimeError::new_err(format!(
                "tensor.mT is only supported on matrices or batches of matrices. Got {}-D tensor.",
                self.get().rank()
            )));
        }
        PyTensor::wrap(py, matmul::t(self.get()).py()?)
    }

    /// The sizes, or that of one dimension.
    #[pyo3(signature = (dim=None))]
    fn size(&self, py: Python<'_>, dim: Option<i64>) -> PyResult<Py<PyAny>> {
        match dim {
            None => size_object(py, self.get().shape()),
            Some(d) => {
                let d = checked_dim(d, self.get().rank())?;
                Ok(PyInt::new(py, self.get().shape()[d]).into_any().unbind())
            }
        }
    }
    /// The distances, in elements, between neighbours along each dimension, or along one.
    #[pyo3(signature = (dim=None))]
    fn stride(&self, py: Python<'_>, dim: Option<i64>) -> PyResult<Py<PyAny>> {
        let strides = &self.get().layout().strides;
        match dim {
            None => Ok(PyTuple::new(py, strides.iter())?.into_any().unbind()),
            Some(d) => {
                let d = checked_dim(d, self.get().rank())?;
                Ok(PyInt::new(py, strides[d]).into_any().unbind())
            }
        }
    }
    /// The number of dimensions.
    fn dim(&self) -> usize {
        self.get().rank()
    }
    /// The number of dimensions.
    fn ndimension(&self) -> usize {
        self.get().rank()
    }
    /// The number of elements.
    fn numel(&self) -> usize {
        self.get().numel()
    }
    /// The number of elements.
    fn nelement(&self) -> usize {
        self.get().numel()
    }
    /// Bytes of an element.
    fn element_size(&self) -> usize {
        self.get().dtype().size()
    }
    /// The first element's place in the storage, in elements.
    fn storage_offset(&self) -> usize {
        capture::offset_seen(self.get());
        self.get().layout().offset
    }
    /// Whether the storage was made in inference mode.
    fn is_inference(&self) -> bool {
        self.get().is_inference()
    }
    /// Whether the dtype is a floating-point one.
    fn is_floating_point(&self) -> bool {
        self.get().dtype().is_float() || self.get().dtype().is_float8()
    }
    /// Whether the dtype is complex.
    fn is_complex(&self) -> bool {
        self.get().dtype().is_complex()
    }
    /// Whether the dtype has negative numbers.
    fn is_signed(&self) -> bool {
        self.get().dtype().is_signed()
    }
    /// Whether the elements lie in the order of the memory format without gaps.
    #[pyo3(signature = (memory_format=None))]
    fn is_contiguous(&self, memory_format: Option<&Bound<'_, PyFormat>>) -> PyResult<bool> {
        let l = self.get().layout();
        match memory_format.map_or(Format::Contiguous, |f| f.get().0) {
            Format::Contiguous => Ok(l.is_contiguous()),
            Format::Preserve => {
                Err(PyRuntimeError::new_err("preserve memory format is unsupported by the is_contiguous operator"))
            }
            f => Ok(l.rank() == if f == Format::ChannelsLast { 4 } else { 5 } && is_channels_last(l)),
        }
    }
    /// The address of the first element; the storage stays where it is from now on. A GPU's memory has no address: there it
    /// is a number that only elements at the same place share, while they live. It is 0 on the device meta.
    fn data_ptr(&self) -> PyResult<u128> {
        let t = self.get();
        if t.numel() == 0 || t.device() == Device::Meta {
            return Ok(0);
        }
        let offset = (t.layout().offset * t.dtype().size()) as u128;
        if t.device() != Device::Cpu {
            return Ok(((std::sync::Arc::as_ptr(t.cell()) as u128) << 48) + offset);
        }
        Ok(crate::memory::pin(t)?.ptr() as u128 + offset)
    }

    /// The value of a tensor with one element as a Python number.
    fn item(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        overrides::check_values(slf.as_any())?;
        number_object(slf.py(), ops::item(slf.get().get()).py()?)
    }
    /// The values as nested lists.
    fn tolist(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        overrides::check_values(slf.as_any())?;
        crate::memory::to_list(slf.py(), slf.get().get())
    }
    /// This storage without history.
    fn detach(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        overrides::check_values(slf.as_any())?;
        PyTensor::wrap(slf.py(), slf.get().get().detach())
    }
    /// Cuts this tensor off its history.
    fn detach_<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        if slf.get().get().base().is_some() {
            return Err(PyRuntimeError::new_err("Can't detach views in-place. Use detach() instead."));
        }
        let t = slf.get().get().detach();
        PyTensor::replace(&slf, t);
        Ok(slf)
    }
    /// Sets `requires_grad` of a leaf; returns the tensor.
    #[pyo3(signature = (requires_grad=true))]
    fn requires_grad_<'py>(slf: Bound<'py, Self>, requires_grad: bool) -> PyResult<Bound<'py, Self>> {
        crate::facts::bump_rebinds();
        slf.get().get().set_requires_grad(requires_grad).py()?;
        Ok(slf)
    }
    /// Keeps the gradient of a tensor that is not a leaf.
    fn retain_grad(&self) -> PyResult<()> {
        self.get().retain_grad().py()
    }
    /// Calls `hook(grad)` when the gradient is computed; a returned tensor replaces it.
    fn register_hook(&self, hook: Py<PyAny>) -> PyResult<crate::autograd::HookHandle> {
        crate::autograd::register_tensor_hook(self.get(), hook)
    }
    /// Calls `hook(tensor)` after the gradient has been accumulated.
    fn register_post_accumulate_grad_hook(&self, hook: Py<PyAny>) -> PyResult<crate::autograd::HookHandle> {
        crate::autograd::register_post_accumulate_hook(self.get(), hook)
    }
    /// Shares the storage of `source`: this object becomes an alias of it.
    fn _set_alias(slf: &Bound<'_, Self>, source: &Bound<'_, PyTensor>) {
        let s = source.get().tensor();
        let t =
            Tensor::assemble(s.cell().clone(), s.layout().clone(), s.dtype(), slf.get().get().meta().cloned(), None);
        PyTensor::replace(slf, t);
    }
    /// Changes the object's window on its storage (`t_`, `squeeze_`, …), keeping identity and history of `view`.
    fn _become(slf: &Bound<'_, Self>, view: &Bound<'_, PyTensor>) {
        let v = view.get().tensor();
        let t = Tensor::assemble(v.cell().clone(), v.layout().clone(), v.dtype(), v.meta().cloned(), v.base().cloned());
        let t = t.counting_with(v.counter());
        t.bump_version();
        PyTensor::replace(slf, t);
    }

    fn __len__(&self) -> PyResult<usize> {
        self.get().shape().first().copied().ok_or_else(|| PyTypeError::new_err("len() of a 0-d tensor"))
    }
    fn __bool__(&self) -> PyResult<bool> {
        let t = self.get();
        match t.numel() {
            1 => Ok(ops::item(t).py()?.to_bool()),
            0 => Err(PyRuntimeError::new_err("Boolean value of Tensor with no values is ambiguous")),
            _ => Err(PyRuntimeError::new_err("Boolean value of Tensor with more than one value is ambiguous")),
        }
    }
    fn __float__(&self) -> PyResult<f64> {
        real_number(self.lone()?, "double").map(Scalar::to_f64)
    }
    fn __int__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let s = real_number(self.lone()?, "int64_t")?;
        if let Scalar::Float(f) = s {
            return Ok(PyFloat::new(py, f).call_method0("__trunc__")?.unbind());
        }
        Ok(PyInt::new(py, s.to_i64()).into_any().unbind())
    }
    fn __index__(&self) -> PyResult<i64> {
        let t = self.get();
        if t.dtype().is_differentiable() || t.numel() != 1 {
            return Err(PyTypeError::new_err("only integer tensors of a single element can be converted to an index"));
        }
        Ok(ops::item(t).py()?.to_i64())
    }
    fn __complex__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (re, im) = self.lone()?.parts();
        Ok(pyo3::types::PyComplex::from_doubles(py, re, im).into_any().unbind())
    }
    fn __hash__(slf: &Bound<'_, Self>) -> isize {
        (slf.as_ptr() as isize) >> 4
    }
    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (py, t) = (slf.py(), slf.get().get());
        if t.rank() == 0 {
            return Err(PyTypeError::new_err("iteration over a 0-d tensor"));
        }
        if overrides::active()
            && let Some(parts) = overrides::method("unbind", &[slf.as_any()])?
        {
            return Ok(parts.bind(py).try_iter()?.into_any().unbind());
        }
        let parts = view::unbind(t, 0).py()?.into_iter().map(|part| PyTensor::wrap(py, part));
        let list = PyList::new(py, parts.collect::<PyResult<Vec<_>>>()?)?;
        Ok(list.as_any().try_iter()?.into_any().unbind())
    }
    fn __contains__(slf: &Bound<'_, Self>, element: &Bound<'_, PyAny>) -> PyResult<bool> {
        if overrides::active()
            && let Some(r) = overrides::method("__contains__", &[slf.as_any(), element])?
        {
            return r.is_truthy(slf.py());
        }
        let Some(o) = Other::of(element) else {
            return Err(PyRuntimeError::new_err(format!(
                "Tensor.__contains__ only supports Tensor or scalar, but you passed in a {}.",
                crate::types::type_name(element)
            )));
        };
        let hit = apply(Ew::Eq, &[slf.get().get().into(), o.operand()]).py()?;
        Ok(ops::item(&ops::reduce::truth(false, &hit, None, false).py()?).py()?.to_bool())
    }
    fn __getitem__(slf: &Bound<'_, Self>, index: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if overrides::active()
            && let Some(r) = overrides::method("__getitem__", &[slf.as_any(), index])?
        {
            return Ok(r);
        }
        crate::indexing::get(slf.get().get(), index)
    }
    fn __setitem__(slf: &Bound<'_, Self>, index: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if overrides::active() && overrides::method("__setitem__", &[slf.as_any(), index, value])?.is_some() {
            return Ok(());
        }
        crate::indexing::set(&slf.get().tensor(), index, value)
    }
    fn __delitem__(&self, _index: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("Tensor does not support deleting items"))
    }

    fn __add__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::Add)
    }
    fn __radd__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::Add)
    }
    fn __sub__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::Sub)
    }
    fn __rsub__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::Sub)
    }
    fn __mul__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::Mul)
    }
    fn __rmul__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::Mul)
    }
    fn __truediv__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::Div)
    }
    fn __rtruediv__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::Div)
    }
    fn __floordiv__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::FloorDiv)
    }
    fn __rfloordiv__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::FloorDiv)
    }
    fn __mod__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::Remainder)
    }
    fn __rmod__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::Remainder)
    }
    fn __pow__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>, _m: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if overrides::active()
            && let Some(r) = overrides::method("pow", &[slf.as_any(), o])?
        {
            return Ok(r);
        }
        let Some(o) = Other::of(o) else { return Ok(not_implemented(py)) };
        PyTensor::wrap(py, crate::checks::pow(slf.get().get().into(), o.operand())?)
    }
    fn __rpow__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>, _m: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if overrides::active()
            && let Some(r) = overrides::method("__rpow__", &[slf.as_any(), o])?
        {
            return Ok(r);
        }
        let Some(o) = Other::of(o) else { return Ok(not_implemented(py)) };
        PyTensor::wrap(py, crate::checks::pow(o.operand(), slf.get().get().into())?)
    }
    fn __matmul__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if overrides::active()
            && let Some(r) = overrides::method("matmul", &[slf.as_any(), o])?
        {
            return Ok(r);
        }
        match o.cast::<PyTensor>() {
            Ok(o) => PyTensor::wrap(
                slf.py(),
                matmul::matmul(slf.get().get(), o.get().get()).map_err(|e| e.in_operator("matmul")).py()?,
            ),
            Err(_) => Ok(not_implemented(slf.py())),
        }
    }
    fn __and__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::BitwiseAnd)
    }
    fn __rand__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::BitwiseAnd)
    }
    fn __or__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::BitwiseOr)
    }
    fn __ror__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::BitwiseOr)
    }
    fn __xor__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::BitwiseXor)
    }
    fn __rxor__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::BitwiseXor)
    }
    fn __lshift__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::Shl)
    }
    fn __rlshift__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::Shl)
    }
    fn __rshift__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, o, Ew::Shr)
    }
    fn __rrshift__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reflected(slf, o, Ew::Shr)
    }
    fn __neg__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        unary(slf, Ew::Neg)
    }
    fn __pos__<'py>(slf: Bound<'py, Self>) -> Bound<'py, Self> {
        slf
    }
    fn __abs__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        unary(slf, Ew::Abs)
    }
    fn __invert__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        if slf.get().get().dtype().category() > 1 {
            return Err(PyTypeError::new_err(
                "~ (operator.invert) is only implemented on integer and Boolean-type tensors",
            ));
        }
        unary(slf, Ew::BitwiseNot)
    }
    fn __iadd__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::Add)
    }
    fn __isub__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::Sub)
    }
    fn __imul__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::Mul)
    }
    fn __itruediv__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::Div)
    }
    fn __ifloordiv__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::FloorDiv)
    }
    fn __imod__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::Remainder)
    }
    fn __ipow__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>, _m: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::Pow)
    }
    fn __iand__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::BitwiseAnd)
    }
    fn __ior__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::BitwiseOr)
    }
    fn __ixor__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::BitwiseXor)
    }
    fn __ilshift__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::Shl)
    }
    fn __irshift__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, o, Ew::Shr)
    }
    fn __richcmp__(slf: &Bound<'_, Self>, o: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let ew = match op {
            CompareOp::Lt => Ew::Lt,
            CompareOp::Le => Ew::Le,
            CompareOp::Eq => Ew::Eq,
            CompareOp::Ne => Ew::Ne,
            CompareOp::Gt => Ew::Gt,
            CompareOp::Ge => Ew::Ge,
        };
        binary(slf, o, ew)
    }
}

fn checked_dim(d: i64, rank: usize) -> PyResult<usize> {
    let n = rank as i64;
    if n == 0 {
        return Err(PyIndexError::new_err(format!("Dimension specified as {d} but tensor has no dimensions")));
    }
    corten_core::shape::wrap_dim("size", d, rank).py()
}

/// Runs everything that is pending on this thread.
#[pyfunction]
pub fn flush() -> PyResult<()> {
    exec::flush().py()
}

/// Computes everything that was recorded, for any device (``torch.cpu.synchronize``).
#[pyfunction]
#[pyo3(signature = (device=None))]
pub fn synchronize(device: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let _ = device;
    exec::flush().py()
}

/// Refuses shapes with negative entries.
pub fn shape_of(op: &str, sizes: &[i64]) -> PyResult<Dims> {
    sizes
        .iter()
        .map(|&s| {
            usize::try_from(s).map_err(|_| {
                PyRuntimeError::new_err(format!("{op}: Trying to create tensor with negative dimension {s}: {sizes:?}"))
            })
        })
        .collect()
}
