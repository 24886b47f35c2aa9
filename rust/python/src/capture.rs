//! Captured functions for Python: `corten.compile` writes down what a function does and does it again from here.

use crate::autograd::tensors;
use crate::error::{IntoPy, from_py};
use crate::tensor::PyTensor;
use corten_core::capture;
use corten_core::transform::replay::replay;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::cell::RefCell;

thread_local! {
    /// What runs each time in the function that is being captured, by its number.
    static HOSTS: RefCell<Vec<Py<PyAny>>> = const { RefCell::new(Vec::new()) };
}

/// Starts writing down what this thread does to tensors; `args` are those that a replay gets others for.
#[pyfunction]
pub fn capture_begin(args: &Bound<'_, PyAny>) -> PyResult<()> {
    HOSTS.with_borrow_mut(Vec::clear);
    // What lives as long as the process is not kept by the function.
    corten_core::ops::elementwise::make_placeholder();
    capture::begin(tensors(args)?);
    Ok(())
}

/// Ends a capture: a `Trace`, or a text that says why what was done cannot be done again.
#[pyfunction]
pub fn capture_finish(py: Python<'_>, outputs: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let hosts = HOSTS.take();
    let outputs = tensors(outputs)?;
    match capture::finish(&outputs) {
        Ok(trace) => Ok(Py::new(py, PyTrace { trace, hosts })?.into_any()),
        Err(reason) => Ok(PyString::new(py, &reason).into_any().unbind()),
    }
}

/// Ends a capture without a result.
#[pyfunction]
pub fn capture_abandon() {
    capture::abandon();
    HOSTS.with_borrow_mut(Vec::clear);
}

/// Whether this thread is being captured.
#[pyfunction]
pub fn capturing() -> bool {
    capture::current() != 0
}

/// Whether a capture is open on this thread, be it that what runs now is not seen by it.
#[pyfunction]
pub fn capture_open() -> bool {
    capture::is_open()
}

/// Notes why what this thread does cannot be done again by a replay; nothing without a capture.
#[pyfunction]
pub fn capture_refuse(reason: String) {
    capture::refuse(|| reason);
}

/// Calls `function()` unseen by the capture; replays call it at the same place.
#[pyfunction]
pub fn capture_host(py: Python<'_>, function: Py<PyAny>) -> PyResult<Py<PyAny>> {
    let (number, result) = capture::host(|| function.call0(py));
    HOSTS.with_borrow_mut(|hosts| {
        debug_assert_eq!(number as usize, hosts.len());
        hosts.push(function);
    });
    result
}

/// A captured function.
#[pyclass(frozen, name = "Trace", module = "corten._core")]
pub struct PyTrace {
    trace: capture::Trace,
    hosts: Vec<Py<PyAny>>,
}

#[pymethods]
impl PyTrace {
    /// Does again what was captured; None, with nothing done, where arguments or surroundings differ from the capture's.
    fn replay(&self, py: Python<'_>, args: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Py<PyAny>>>> {
        let args = tensors(args)?;
        let mut host = |number: u32| match self.hosts.get(number as usize) {
            Some(function) => function.call0(py).map(|_| ()).map_err(from_py),
            None => Ok(()),
        };
        let Some(outputs) = replay(&self.trace, &args, &mut host).py()? else { return Ok(None) };
        outputs.into_iter().map(|t| PyTensor::wrap(py, t)).collect::<PyResult<Vec<_>>>().map(Some)
    }
    /// How many operators are recorded by a replay.
    #[getter]
    fn operators(&self) -> usize {
        self.trace.events.iter().filter(|e| matches!(e, capture::Event::Node(_))).count()
    }
    fn __repr__(&self) -> String {
        format!("Trace({} operators, {} arguments)", self.operators(), self.trace.args.len())
    }
    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.hosts.iter().try_for_each(|h| visit.call(h))
    }
}
