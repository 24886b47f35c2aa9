//! `corten.Generator` and the default generator's functions.

use crate::error::IntoPy;
use crate::tensor::PyTensor;
use crate::types::{PyDevice, device_object, extract_device, type_name};
use corten_core::capture;
use corten_core::device::Device;
use corten_core::dtype::DType;
use corten_core::graph::lock;
use corten_core::ops::random::Shared;
use corten_core::ops::{self, create, random};
use corten_core::rng::{DEFAULT_SEED, Generator};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};
use std::sync::{Arc, Mutex};

/// A source of random numbers with a state of its own.
#[pyclass(frozen, name = "Generator", module = "corten")]
pub struct PyGenerator(pub random::Shared);

fn cpu() -> Shared {
    random::default_generator(Device::Cpu)
}

/// The one object for the CPU's default generator.
pub fn default_object(py: Python<'_>) -> PyResult<Py<PyGenerator>> {
    Py::new(py, PyGenerator(cpu()))
}

/// The default generator of a GPU.
#[pyfunction]
pub fn gpu_generator(index: u16) -> PyGenerator {
    PyGenerator(random::default_generator(Device::Gpu(index)))
}

/// Restarts the default generators of all GPUs from `seed`.
#[pyfunction]
pub fn seed_gpus(seed: &Bound<'_, PyAny>) -> PyResult<()> {
    capture::refuse(|| "it sets or reads the state of a random generator".into());
    random::seed_gpus(seed_of(seed)?);
    Ok(())
}

/// What the default generators of all GPUs were at a time.
#[pyclass(frozen, module = "corten")]
pub struct GpuGenerators(random::GpuStates);

#[pymethods]
impl GpuGenerators {
    /// As they are now.
    #[new]
    fn new() -> Self {
        GpuGenerators(random::gpu_states())
    }
    /// Takes them back.
    fn restore(&self) {
        random::restore_gpus(&self.0);
    }
}

/// A seed as PyTorch takes it: −2⁶³ to 2⁶⁴ − 1, negative ones counted from the top.
fn seed_of(o: &Bound<'_, PyAny>) -> PyResult<u64> {
    if !o.is_instance_of::<PyInt>() && !o.hasattr("__index__")? {
        return Err(PyRuntimeError::new_err(format!("manual_seed expected a long, but got {}", type_name(o))));
    }
    if let Ok(u) = o.extract::<u64>() {
        return Ok(u);
    }
    o.extract::<i64>().map(|i| i as u64).map_err(|_| PyValueError::new_err("Overflow when unpacking long long"))
}

fn state_tensor(py: Python<'_>, g: &Mutex<Generator>) -> PyResult<Py<PyAny>> {
    let bytes = lock(g).state();
    PyTensor::wrap(py, create::from_slice::<u8>(&bytes).py()?)
}

fn restore(g: &Mutex<Generator>, state: &Bound<'_, PyAny>) -> PyResult<()> {
    let t = match state.cast::<PyTensor>() {
        Ok(t) => t.get().tensor(),
        Err(_) => {
            return Err(PyTypeError::new_err(format!("expected a torch.ByteTensor, but got {}", type_name(state))));
        }
    };
    if t.dtype() != DType::U8 {
        return Err(PyTypeError::new_err("RNG state must be a torch.ByteTensor"));
    }
    let bytes: Vec<u8> = ops::to_vec_i64(&t).py()?.iter().map(|&b| b as u8).collect();
    lock(g).set_state(&bytes).py()
}

#[pymethods]
impl PyGenerator {
    #[new]
    #[pyo3(signature = (device=None))]
    fn new(device: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let device = device.filter(|d| !d.is_none()).map(extract_device).transpose()?.unwrap_or_default();
        if device == Device::Meta {
            return Err(PyRuntimeError::new_err("Generator: nothing is drawn on the device meta"));
        }
        Ok(PyGenerator(Arc::new(Mutex::new(Generator::on(device, DEFAULT_SEED)))))
    }
    /// Where the numbers are made.
    #[getter]
    fn device(&self) -> PyDevice {
        device_object(lock(&self.0).device())
    }
    /// Restarts the generator from `seed`; returns the generator.
    fn manual_seed<'py>(slf: Bound<'py, Self>, seed: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        capture::refuse(|| "it sets or reads the state of a random generator".into());
        let seed = seed_of(seed)?;
        lock(&slf.get().0).manual_seed(seed);
        Ok(slf)
    }
    /// Restarts the generator from the system's entropy and returns the seed.
    fn seed(&self) -> u64 {
        capture::refuse(|| "it sets or reads the state of a random generator".into());
        lock(&self.0).seed()
    }
    /// The seed it was last started from.
    fn initial_seed(&self) -> u64 {
        lock(&self.0).initial_seed()
    }
    /// How far a GPU's generator has come.
    fn get_offset(&self) -> PyResult<u64> {
        lock(&self.0).offset().py()
    }
    /// Continues a GPU's generator from an offset, a multiple of 4.
    fn set_offset<'py>(slf: Bound<'py, Self>, offset: u64) -> PyResult<Bound<'py, Self>> {
        lock(&slf.get().0).set_offset(offset).py()?;
        Ok(slf)
    }
    /// The state as a uint8 tensor, in PyTorch's format.
    fn get_state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        capture::refuse(|| "it sets or reads the state of a random generator".into());
        state_tensor(py, &self.0)
    }
    /// Continues from a state of `get_state`, here or in PyTorch.
    fn set_state<'py>(slf: Bound<'py, Self>, new_state: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        capture::refuse(|| "it sets or reads the state of a random generator".into());
        restore(&slf.get().0, new_state)?;
        Ok(slf)
    }
    /// Another generator in the same state.
    fn clone_state(&self) -> PyGenerator {
        let copy = lock(&self.0).clone();
        PyGenerator(Arc::new(Mutex::new(copy)))
    }
    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<corten.Generator object at {:#x}>", slf.as_ptr() as usize)
    }
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let state = (slf.get().initial_seed(), slf.get().get_offset().ok(), slf.get().get_state(py)?);
        (slf.get_type(), (slf.get().device(),), state).into_pyobject(py)
    }
    fn __setstate__(&self, state: (Py<PyAny>, Py<PyAny>, Py<PyAny>), py: Python<'_>) -> PyResult<()> {
        restore(&self.0, state.2.bind(py))
    }
}

/// Restarts the default generators of all devices from `seed` and returns the CPU's.
#[pyfunction]
pub fn manual_seed(py: Python<'_>, seed: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    capture::refuse(|| "it sets or reads the state of a random generator".into());
    let whole = py.get_type::<PyInt>().call1((seed,))?;
    random::seed_all(seed_of(&whole)?);
    Ok(py.import("corten._core")?.getattr("default_generator")?.unbind())
}

/// Restarts the default generators of all devices from the system's entropy and returns the seed.
#[pyfunction]
pub fn seed() -> u64 {
    capture::refuse(|| "it sets or reads the state of a random generator".into());
    let seed = lock(&cpu()).seed();
    random::seed_gpus(seed);
    seed
}

/// The seed of the CPU's default generator.
#[pyfunction]
pub fn initial_seed() -> u64 {
    lock(&cpu()).initial_seed()
}

/// The state of the CPU's default generator as a uint8 tensor, in PyTorch's format.
#[pyfunction]
pub fn get_rng_state(py: Python<'_>) -> PyResult<Py<PyAny>> {
    capture::refuse(|| "it sets or reads the state of a random generator".into());
    state_tensor(py, &cpu())
}

/// Continues the CPU's default generator from a state of `get_rng_state`, here or in PyTorch.
#[pyfunction]
pub fn set_rng_state(new_state: &Bound<'_, PyAny>) -> PyResult<()> {
    capture::refuse(|| "it sets or reads the state of a random generator".into());
    restore(&cpu(), new_state)
}
