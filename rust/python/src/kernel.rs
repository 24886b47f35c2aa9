//! Kernels that a program brings along as WGSL (`corten.gpu.kernel`).

use crate::error::IntoPy;
use crate::tensor::{PyTensor, shape_of};
use crate::types::{current_gpu, extract_device, extract_dtype};
use corten_core::device::Device;
use corten_core::dtype::DType;
use corten_core::gpu::kernel;
use corten_core::op::kernel::{Kernel, Number, Source};
use corten_core::ops;
use corten_core::shape::Dims;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// A kernel from WGSL, checked.
#[pyclass(frozen, name = "GpuKernel", module = "corten._core")]
pub struct PyKernel(Kernel);

type Named<'py> = Vec<(String, Bound<'py, PyAny>)>;

fn buffers(list: Named<'_>) -> PyResult<Vec<(String, DType)>> {
    list.into_iter().map(|(name, dtype)| Ok((name, extract_dtype(&dtype)?))).collect()
}

fn number_type(name: &str, text: &str) -> PyResult<Number> {
    Number::ALL.into_iter().find(|n| n.name() == text).ok_or_else(|| {
        PyValueError::new_err(format!("gpu.kernel: '{name}' must be 'f32', 'i32' or 'u32', not '{text}'"))
    })
}

/// A number as the word that the kernel reads.
fn word(kernel: &str, name: &str, number: Number, value: &Bound<'_, PyAny>) -> PyResult<u32> {
    let refuse = || {
        let (kind, given) = (number.name(), crate::types::type_name(value));
        PyTypeError::new_err(format!("gpu.kernel '{kernel}': '{name}' must be a number for {kind}, not {given}"))
    };
    if number == Number::F32 {
        let value: f64 = value.extract().map_err(|_| refuse())?;
        return Ok((value as f32).to_bits());
    }
    let integer: i64 = value.extract().map_err(|_| refuse())?;
    let word = match number {
        Number::I32 => i32::try_from(integer).ok().map(|v| v as u32),
        _ => u32::try_from(integer).ok(),
    };
    word.ok_or_else(|| {
        PyValueError::new_err(format!(
            "gpu.kernel '{kernel}': '{name}' is {integer}, which {} does not hold",
            number.name()
        ))
    })
}

#[pymethods]
impl PyKernel {
    #[new]
    #[pyo3(signature = (name, wgsl, inputs, outputs, numbers, body=None))]
    fn new(
        name: String,
        wgsl: String,
        inputs: Named<'_>,
        outputs: Named<'_>,
        numbers: Vec<(String, String)>,
        body: Option<u32>,
    ) -> PyResult<PyKernel> {
        let numbers: Vec<_> =
            numbers.into_iter().map(|(name, t)| number_type(&name, &t).map(|n| (name, n))).collect::<PyResult<_>>()?;
        let source = Source { name, wgsl, inputs: buffers(inputs)?, outputs: buffers(outputs)?, numbers, body };
        Ok(PyKernel(kernel::define(source).py()?))
    }

    /// The complete text that is compiled: accessors, the given text, and what it uses of the library.
    #[getter]
    fn source(&self) -> String {
        kernel::text(self.0.source())
    }

    /// Invocations of a workgroup along each dim.
    #[getter]
    fn workgroup_size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.workgroup())
    }

    /// Records the kernel; the outputs.
    #[pyo3(signature = (tensors, numbers, shapes, grid, device=None))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        tensors: Vec<Bound<'py, PyAny>>,
        numbers: Vec<Bound<'py, PyAny>>,
        shapes: Vec<Vec<i64>>,
        grid: Vec<u64>,
        device: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (name, source) = (self.0.name(), self.0.source());
        let mut given = Vec::with_capacity(tensors.len());
        for (t, (argument, _)) in tensors.iter().zip(&source.inputs) {
            let t = t.cast::<PyTensor>().map_err(|_| {
                let kind = crate::types::type_name(t);
                PyTypeError::new_err(format!("gpu.kernel '{name}': '{argument}' must be a Tensor, not {kind}"))
            })?;
            given.push(t.get().tensor());
        }
        let words = numbers.iter().zip(&source.numbers).map(|(value, (argument, n))| word(name, argument, *n, value));
        let words: Vec<u32> = words.collect::<PyResult<_>>()?;
        let shapes: Vec<Dims> =
            shapes.iter().map(|s| shape_of(&format!("gpu.kernel '{name}'"), s)).collect::<PyResult<_>>()?;
        let whole = given.len() == source.inputs.len()
            && words.len() == source.numbers.len()
            && shapes.len() == source.outputs.len()
            && (1..=3).contains(&grid.len());
        if !whole {
            return Err(PyTypeError::new_err(format!("gpu.kernel '{name}': an argument is missing")));
        }
        let device = match device {
            Some(d) => extract_device(d)?,
            None if given.is_empty() => current_gpu()?,
            None => Device::Cpu,
        };
        let results = ops::kernel::call(&self.0, &given, &words, &shapes, &grid, device).py()?;
        let objects: Vec<_> = results.into_iter().map(|t| PyTensor::wrap(py, t)).collect::<PyResult<_>>()?;
        PyTuple::new(py, objects)
    }
}
