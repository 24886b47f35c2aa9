//! What compiled functions take for granted of tensors and modules, so that they notice when it changes.

use crate::tensor::PyTensor;
use corten_core::tensor::WeakTensor;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often something changed that compiled functions take for granted while nothing changes: which tensor an object
/// stands for, whether it requires grad, an attribute of a module.
static REBINDS: AtomicU64 = AtomicU64::new(0);

#[pyfunction]
pub fn rebinds() -> u64 {
    REBINDS.load(Ordering::Relaxed)
}

/// What compiled functions take for granted of a tensor: which one an object stands for, whether it requires grad, its hooks.
#[pyclass(frozen, name = "TensorFacts", module = "corten._core")]
pub struct PyTensorFacts {
    object: Py<PyTensor>,
    tensor: WeakTensor,
    requires_grad: bool,
    hooks: usize,
}

#[pymethods]
impl PyTensorFacts {
    #[new]
    fn new(object: Bound<'_, PyTensor>) -> PyTensorFacts {
        let t = object.get().tensor();
        let (tensor, requires_grad, hooks) = (t.downgrade(), t.requires_grad(), t.listeners());
        PyTensorFacts { object: object.unbind(), tensor, requires_grad, hooks }
    }
    /// Whether it is all as it was.
    fn hold(&self) -> bool {
        let now = self.object.get().tensor();
        self.tensor.upgrade().is_some_and(|t| t.ptr_eq(&now))
            && now.requires_grad() == self.requires_grad
            && now.listeners() == self.hooks
    }
    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.object)
    }
}

/// Whether all tensors of the list are as they were.
#[pyfunction]
pub fn facts_hold(facts: &Bound<'_, PyList>) -> PyResult<bool> {
    for one in facts.iter() {
        if !one.cast::<PyTensorFacts>()?.get().hold() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Counts a change that compiled functions have to look at.
#[pyfunction]
pub fn bump_rebinds() {
    REBINDS.fetch_add(1, Ordering::Relaxed);
}
