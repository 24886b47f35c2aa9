//! The small value types of the surface: `dtype`, `device`, `memory_format`.

use crate::error::IntoPy;
use corten_core::device::Device;
use corten_core::dtype::DType;
use corten_core::gpu;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering::Relaxed};

/// An element type, as `corten.float32`.
#[pyclass(frozen, name = "dtype", module = "corten")]
pub struct PyDType(pub DType);

static DTYPES: PyOnceLock<Vec<Py<PyDType>>> = PyOnceLock::new();

/// The one object for a dtype, so that `is` works.
pub fn dtype_object(py: Python<'_>, d: DType) -> PyResult<Py<PyDType>> {
    let all =
        DTYPES.get_or_try_init(py, || DType::ALL.iter().map(|&d| Py::new(py, PyDType(d))).collect::<PyResult<_>>())?;
    Ok(all[d as usize].clone_ref(py))
}

#[pymethods]
impl PyDType {
    fn __repr__(&self) -> String {
        format!("corten.{}", self.0.name())
    }
    fn __reduce__(&self) -> String {
        self.0.name().to_string()
    }
    /// Whether the dtype is floating point.
    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_float() || self.0.is_float8()
    }
    /// Whether the dtype is complex.
    #[getter]
    fn is_complex(&self) -> bool {
        self.0.is_complex()
    }
    /// Whether the dtype can represent negative numbers.
    #[getter]
    fn is_signed(&self) -> bool {
        self.0.is_signed()
    }
    /// Bytes per element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }
    /// PyTorch's name without the module.
    #[getter]
    fn _name(&self) -> &'static str {
        self.0.name()
    }
    /// The complex dtype whose parts have this dtype; complex64 of integers and bfloat16.
    fn to_complex(&self, py: Python<'_>) -> PyResult<Py<PyDType>> {
        if self.0.is_carried() {
            return Err(PyRuntimeError::new_err(format!("Unknown Complex ScalarType for {}", self.0.scalar_name())));
        }
        if self.0.is_complex() || self.0.is_float() {
            return dtype_object(py, self.0.complex());
        }
        dtype_object(py, DType::C64)
    }
    /// The dtype of the parts of a complex dtype; a real one itself.
    fn to_real(&self, py: Python<'_>) -> PyResult<Py<PyDType>> {
        dtype_object(py, self.0.part())
    }
    fn __hash__(&self) -> u64 {
        self.0 as u64 + 0x0c07
    }
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<PyDType>().is_ok_and(|o| o.get().0 == self.0)
    }
}

/// A device by type and index, as `corten.device("cpu")`.
#[pyclass(frozen, name = "device", module = "corten")]
pub struct PyDevice {
    pub kind: String,
    pub index: Option<i64>,
}

#[pymethods]
impl PyDevice {
    #[new]
    #[pyo3(signature = (r#type, index=None))]
    fn new(r#type: &Bound<'_, PyAny>, index: Option<i64>) -> PyResult<Self> {
        if let Ok(d) = r#type.cast::<PyDevice>() {
            return Ok(PyDevice { kind: d.get().kind.clone(), index: d.get().index });
        }
        if let Ok(i) = r#type.extract::<i64>() {
            return Ok(PyDevice { kind: "cuda".into(), index: Some(i) });
        }
        let text: String = r#type.extract().map_err(|_| {
            PyTypeError::new_err(format!("device(): argument 'type' must be str, not {}", type_name(r#type)))
        })?;
        PyDevice::parse(&text, index)
    }
    /// "cpu", "gpu", "cuda", …
    #[getter]
    fn r#type(&self) -> &str {
        &self.kind
    }
    #[getter]
    fn index(&self) -> Option<i64> {
        self.index
    }
    fn __repr__(&self) -> String {
        match self.index {
            Some(i) => format!("device(type='{}', index={i})", self.kind),
            None => format!("device(type='{}')", self.kind),
        }
    }
    fn __str__(&self) -> String {
        match self.index {
            Some(i) => format!("{}:{i}", self.kind),
            None => self.kind.clone(),
        }
    }
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<PyDevice>().is_ok_and(|o| o.get().family() == self.family() && o.get().index == self.index)
    }
    fn __hash__(&self) -> u64 {
        let mut h = DefaultHasher::new();
        (self.family(), self.index).hash(&mut h);
        h.finish()
    }
    /// Begins a block in which this thread makes tensors on the device, where it says no other.
    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let device = slf.get().resolve()?;
        WITHIN.with_borrow_mut(|within| within.push(device));
        Ok(slf)
    }
    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        WITHIN.with_borrow_mut(|within| within.pop());
    }
    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, (String, Option<i64>))> {
        let d = slf.get();
        Ok((slf.get_type().into_any().unbind(), (d.kind.clone(), d.index)))
    }
}

const KINDS: [&str; 5] = ["cpu", "gpu", "cuda", "mps", "meta"];

impl PyDevice {
    pub fn parse(text: &str, index: Option<i64>) -> PyResult<Self> {
        let (kind, number) = match text.split_once(':') {
            Some((k, n)) => {
                let n = n.parse::<i64>().ok().filter(|n| *n >= 0);
                let n = n.ok_or_else(|| PyRuntimeError::new_err(format!("Invalid device string: '{text}'")))?;
                (k, Some(n))
            }
            None => (text, None),
        };
        if number.is_some() && index.is_some() {
            return Err(PyRuntimeError::new_err(format!(
                "type (string) must not include an index because index was passed explicitly: {text}"
            )));
        }
        if index.is_some_and(|i| i < 0) {
            return Err(PyRuntimeError::new_err("Device index must not be negative"));
        }
        if !KINDS.contains(&kind) {
            return Err(PyRuntimeError::new_err(format!(
                "Expected one of {} device type at start of device string: {text}",
                KINDS.join(", ")
            )));
        }
        Ok(PyDevice { kind: kind.into(), index: number.or(index) })
    }

    /// GPUs are equal whatever they are called.
    fn family(&self) -> &str {
        if self.kind == "cuda" { "gpu" } else { &self.kind }
    }

    /// The engine's device, or an error where this build has none.
    pub fn resolve(&self) -> PyResult<Device> {
        match self.family() {
            "cpu" if self.index.is_none_or(|i| i == 0) => Ok(Device::Cpu),
            "cpu" => Err(PyRuntimeError::new_err(format!("there is one CPU device, got {}", self.__str__()))),
            "gpu" => {
                let index = self.index.unwrap_or_else(|| CURRENT_GPU.load(Relaxed) as i64);
                let index = u16::try_from(index).map_err(|_| PyRuntimeError::new_err("Invalid device index"))?;
                gpu::adapters::adapter(index).py()?;
                // Tensors print the name that was asked for last.
                CALLED_CUDA.store(self.kind == "cuda", Relaxed);
                Ok(Device::Gpu(index))
            }
            "meta" => Ok(Device::Meta),
            _ => Err(PyRuntimeError::new_err(format!(
                "device '{}' is not available; there are 'cpu', 'gpu' and 'meta'",
                self.__str__()
            ))),
        }
    }
}

static CURRENT_GPU: AtomicU16 = AtomicU16::new(0);
static CALLED_CUDA: AtomicBool = AtomicBool::new(false);
/// The device of tensors made without a word about it: 0 the CPU, i + 1 GPU i, [`META`] meta.
static DEFAULT_DEVICE: AtomicU32 = AtomicU32::new(0);
const META: u32 = u32::MAX;

thread_local! {
    /// The devices of the `with` blocks that this thread is in.
    static WITHIN: RefCell<Vec<Device>> = const { RefCell::new(Vec::new()) };
}

/// The device that creation functions use when none is given.
pub fn default_device() -> Device {
    if let Some(device) = WITHIN.with_borrow(|within| within.last().copied()) {
        return device;
    }
    match DEFAULT_DEVICE.load(Relaxed) {
        0 => Device::Cpu,
        META => Device::Meta,
        i => Device::Gpu((i - 1) as u16),
    }
}

/// The device of the innermost `with` block, or the default one that was set; None where the program has chosen none.
#[pyfunction]
pub fn chosen_device() -> Option<PyDevice> {
    let chosen = default_device();
    let unset = chosen == Device::Cpu && WITHIN.with_borrow(Vec::is_empty);
    (!unset).then(|| device_object(chosen))
}

/// Sets the device of tensors that are made without a device: the CPU at first, and for None (`torch.set_default_device`).
#[pyfunction]
pub fn set_default_device(device: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let code = match device.map_or(Ok(Device::Cpu), extract_device)? {
        Device::Cpu => 0,
        Device::Gpu(i) => u32::from(i) + 1,
        Device::Meta => META,
    };
    DEFAULT_DEVICE.store(code, Relaxed);
    Ok(())
}

/// The device of tensors that are made without a device.
#[pyfunction]
pub fn get_default_device() -> PyDevice {
    device_object(default_device())
}

/// The GPU that `gpu` and `cuda` without a number mean.
pub fn current_gpu() -> PyResult<Device> {
    PyDevice { kind: "gpu".into(), index: None }.resolve()
}

/// Chooses the GPU that a device without a number means.
#[pyfunction]
pub fn set_current_gpu(index: u16) -> PyResult<()> {
    gpu::adapters::adapter(index).py()?;
    CURRENT_GPU.store(index, Relaxed);
    Ok(())
}

/// The number of the GPU that a device without a number means.
#[pyfunction]
pub fn current_gpu_index() -> u16 {
    CURRENT_GPU.load(Relaxed)
}

pub fn device_object(d: Device) -> PyDevice {
    match d {
        Device::Cpu => PyDevice { kind: "cpu".into(), index: None },
        Device::Meta => PyDevice { kind: "meta".into(), index: None },
        Device::Gpu(i) => {
            let kind = if CALLED_CUDA.load(Relaxed) { "cuda" } else { "gpu" };
            PyDevice { kind: kind.into(), index: Some(i as i64) }
        }
    }
}

/// How a result is laid out, as `corten.channels_last`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Contiguous,
    Preserve,
    ChannelsLast,
    ChannelsLast3d,
}

/// The order in which the dimensions of a dense tensor lie in memory.
#[pyclass(frozen, name = "memory_format", module = "corten")]
pub struct PyFormat(pub Format);

static FORMATS: PyOnceLock<Vec<Py<PyFormat>>> = PyOnceLock::new();

pub fn format_objects(py: Python<'_>) -> PyResult<&Vec<Py<PyFormat>>> {
    FORMATS.get_or_try_init(py, || {
        [Format::Contiguous, Format::Preserve, Format::ChannelsLast, Format::ChannelsLast3d]
            .into_iter()
            .map(|f| Py::new(py, PyFormat(f)))
            .collect()
    })
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Contiguous => "contiguous_format",
            Format::Preserve => "preserve_format",
            Format::ChannelsLast => "channels_last",
            Format::ChannelsLast3d => "channels_last_3d",
        }
    }
}

#[pymethods]
impl PyFormat {
    fn __repr__(&self) -> String {
        format!("corten.{}", self.0.name())
    }
    fn __reduce__(&self) -> String {
        self.0.name().to_string()
    }
}

/// `torch.layout`: strided is the only one.
#[pyclass(frozen, name = "layout", module = "corten")]
pub struct PyLayout;

#[pymethods]
impl PyLayout {
    fn __repr__(&self) -> &'static str {
        "corten.strided"
    }
    fn __reduce__(&self) -> &'static str {
        "strided"
    }
}

/// The name of an object's type, for messages.
pub fn type_name(o: &Bound<'_, PyAny>) -> String {
    // Not by `to_string`, which asks Python for the text, and so may meet a Ctrl-C that it cannot report.
    let name = o.get_type().name();
    name.as_ref().ok().and_then(|n| n.to_cow().ok()).map_or_else(|| "object".into(), |n| n.into_owned())
}

/// A dtype given as an object, or as Python's `complex`, `float`, `int`, `bool`.
pub fn extract_dtype(o: &Bound<'_, PyAny>) -> PyResult<DType> {
    if let Ok(d) = o.cast::<PyDType>() {
        return Ok(d.get().0);
    }
    if let Ok(t) = o.cast::<pyo3::types::PyType>() {
        let name = t.name()?;
        match name.to_str()? {
            "float" => return Ok(DType::F64),
            "int" => return Ok(DType::I64),
            "bool" => return Ok(DType::Bool),
            "complex" => return Ok(DType::C128),
            _ => {}
        }
    }
    Err(PyTypeError::new_err(format!("dtype must be corten.dtype, not {}", type_name(o))))
}

/// A device given as an object, a string or an index.
pub fn extract_device(o: &Bound<'_, PyAny>) -> PyResult<Device> {
    if let Ok(d) = o.cast::<PyDevice>() {
        return d.get().resolve();
    }
    if let Ok(s) = o.extract::<String>() {
        return PyDevice::parse(&s, None)?.resolve();
    }
    if let Ok(i) = o.extract::<i64>() {
        return PyDevice { kind: "cuda".into(), index: Some(i) }.resolve();
    }
    Err(PyTypeError::new_err(format!("device must be a corten.device, str or int, not {}", type_name(o))))
}
