//! The engine's errors as Python exceptions.

use corten_core::error::Error;
use pyo3::create_exception;
use pyo3::exceptions::{
    PyIndexError, PyKeyboardInterrupt, PyNotImplementedError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use std::sync::{Arc, Mutex};

create_exception!(corten, OutOfMemoryError, PyRuntimeError, "The device has not enough memory for a result.");
create_exception!(corten, InternalError, PyRuntimeError, "The engine broke one of its own rules; please report it.");

/// Carries a Python exception through the engine.
struct Pending(Mutex<Option<PyErr>>);

/// A Python exception as an engine error, to be taken out again by [`to_py`].
pub fn from_py(e: PyErr) -> Error {
    Error::Callback(Arc::new(Pending(Mutex::new(Some(e)))))
}

pub fn to_py(e: Error) -> PyErr {
    match e {
        Error::Runtime(m) => PyRuntimeError::new_err(m),
        Error::Value(m) => PyValueError::new_err(m),
        Error::Index(m) => PyIndexError::new_err(m),
        Error::Type(m) => PyTypeError::new_err(m),
        Error::NotImplemented(m) => PyNotImplementedError::new_err(m),
        Error::OutOfMemory(m) => OutOfMemoryError::new_err(m),
        Error::Internal(m) => InternalError::new_err(m),
        Error::Interrupted => {
            // The signal handler's own exception, if it raised one.
            Python::attach(|py| py.check_signals().err()).unwrap_or_else(|| PyKeyboardInterrupt::new_err(()))
        }
        Error::Callback(slot) => slot
            .downcast_ref::<Pending>()
            .and_then(|p| p.0.lock().ok().and_then(|mut e| e.take()))
            .unwrap_or_else(|| InternalError::new_err("a Python callback failed without an exception")),
    }
}

/// `?` on engine results inside functions that return `PyResult`.
pub trait IntoPy<T> {
    fn py(self) -> PyResult<T>;
}

impl<T> IntoPy<T> for corten_core::error::Result<T> {
    #[inline]
    fn py(self) -> PyResult<T> {
        self.map_err(to_py)
    }
}
