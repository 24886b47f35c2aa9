//! Switches, counters and process-wide settings.

use crate::error::IntoPy;
use crate::tensor::SIZE;
use crate::types::{PyDType, dtype_object, extract_dtype};
use corten_core::cpu::{simd, threads};
use corten_core::exec::{COUNTERS, HOOKS, Hooks, OPTIONS};
use corten_core::graph::{LIVE_BYTES, PEAK_BYTES};
use corten_core::ops::carried;
use corten_core::ops::elementwise::{self, Operand};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

thread_local! {
    static LAST_CHECK: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Signals are looked at this often during a flush.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

fn interrupted() -> bool {
    let now = Instant::now();
    let due = LAST_CHECK.with(|l| match l.get() {
        Some(last) if now - last < SIGNAL_INTERVAL => false,
        Some(_) => {
            l.set(Some(now));
            true
        }
        None => {
            l.set(Some(now));
            false
        }
    });
    if !due {
        return false;
    }
    Python::attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(e) => {
            e.restore(py);
            true
        }
    })
}

/// Runs a flush without the interpreter's lock.
fn without_lock(work: &mut dyn FnMut()) {
    struct Work<'a>(&'a mut dyn FnMut());
    // SAFETY: the closure runs on this very thread; it touches no Python object.
    unsafe impl Send for Work<'_> {}
    let work = Work(work);
    Python::attach(|py| {
        py.detach(move || {
            let whole = work;
            (whole.0)();
        });
    });
}

pub fn install_hooks() {
    let _ = HOOKS.set(Hooks { without_lock, interrupted });
    let _ = corten_core::exec::profile::STACK.set(crate::autograd::python_trace);
    let _ = corten_core::grad::TRACE_HOOK.set(crate::autograd::python_trace);
    if let Some(level) = std::env::var("CORTEN_DEBUG").ok().and_then(|v| v.parse().ok()) {
        OPTIONS.debug.store(level, Relaxed);
    }
}

/// Counters since the process began: nodes, flushes, kernels, plan hits and misses, copies on write, bytes.
#[pyfunction]
pub fn counters(py: Python<'_>) -> PyResult<Py<PyDict>> {
    let d = PyDict::new(py);
    let c = &COUNTERS;
    for (name, value) in [
        ("nodes", &c.nodes),
        ("flushes", &c.flushes),
        ("kernels", &c.kernels),
        ("plan_hits", &c.plan_hits),
        ("plan_misses", &c.plan_misses),
        ("copies_on_write", &c.copies_on_write),
        ("donations", &c.donations),
        ("fused_nodes", &c.fused_nodes),
        ("live_bytes", &LIVE_BYTES),
        ("peak_bytes", &PEAK_BYTES),
    ] {
        d.set_item(name, value.load(Relaxed))?;
    }
    Ok(d.unbind())
}

/// Restarts `peak_bytes` from what is live now.
#[pyfunction]
pub fn reset_peak() {
    PEAK_BYTES.store(LIVE_BYTES.load(Relaxed), Relaxed);
}

/// "fusion" (bool), "flush_every" (nodes; 1 is eager), "debug" (level); returns the old value.
#[pyfunction]
pub fn set_option(name: &str, value: usize) -> PyResult<usize> {
    Ok(match name {
        "fusion" => OPTIONS.fusion.swap(value != 0, Relaxed) as usize,
        "flush_every" => {
            let budget = corten_core::exec::NODE_BUDGET;
            // 0 restores the engine's own budget.
            OPTIONS.flush_every.swap(if value == 0 { budget } else { value.min(budget) }, Relaxed)
        }
        "debug" => OPTIONS.debug.swap(value, Relaxed),
        "cpu_kernels" => OPTIONS.cpu_kernels.swap(value != 0, Relaxed) as usize,
        _ => return Err(PyValueError::new_err(format!("unknown option '{name}'"))),
    })
}

#[pyfunction]
pub fn get_option(name: &str) -> PyResult<usize> {
    Ok(match name {
        "fusion" => OPTIONS.fusion.load(Relaxed) as usize,
        "flush_every" => OPTIONS.flush_every.load(Relaxed),
        "debug" => OPTIONS.debug.load(Relaxed),
        "cpu_kernels" => OPTIONS.cpu_kernels.load(Relaxed) as usize,
        _ => return Err(PyValueError::new_err(format!("unknown option '{name}'"))),
    })
}

/// "debug" or "release": benchmarks refuse the former.
#[pyfunction]
pub fn build_profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// The instruction set in use.
#[pyfunction]
pub fn simd_level() -> &'static str {
    simd::level().name()
}

/// The number of threads that kernels use.
#[pyfunction]
pub fn get_num_threads() -> usize {
    threads::num_threads()
}

/// Sets the number of threads that kernels use; results do not depend on it.
#[pyfunction]
pub fn set_num_threads(n: i64) -> PyResult<()> {
    let n = usize::try_from(n).ok().filter(|&n| n > 0);
    threads::set_num_threads(n.ok_or_else(|| PyRuntimeError::new_err("set_num_threads expects a positive integer"))?);
    Ok(())
}

/// Makes the engine usable in a forked child.
#[pyfunction]
pub fn after_fork_in_child() {
    threads::after_fork_in_child();
    corten_core::exec::record::after_fork_in_child();
}

/// Gives kept memory back to the system.
#[pyfunction]
pub fn empty_cache() {
    corten_core::graph::empty_cache();
}

/// The dtype of tensors that are made from Python's floats.
#[pyfunction]
pub fn get_default_dtype(py: Python<'_>) -> PyResult<Py<PyDType>> {
    dtype_object(py, elementwise::default_dtype())
}

/// Sets the dtype of tensors that are made from Python's floats.
#[pyfunction]
pub fn set_default_dtype(d: &Bound<'_, PyAny>) -> PyResult<()> {
    elementwise::set_default_dtype(extract_dtype(d)?).py()
}

/// The smallest dtype that holds the values of both dtypes.
#[pyfunction]
pub fn promote_types(py: Python<'_>, a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<Py<PyDType>> {
    dtype_object(py, extract_dtype(a)?.promoted(extract_dtype(b)?).py()?)
}

/// The dtype of arithmetic on two tensors or numbers.
#[pyfunction]
pub fn result_type(py: Python<'_>, a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<Py<PyDType>> {
    let get =
        |o: &Bound<'_, PyAny>| -> PyResult<(Option<corten_core::tensor::Tensor>, Option<corten_core::dtype::Scalar>)> {
            match o.cast::<crate::tensor::PyTensor>() {
                Ok(t) => Ok((Some(t.get().tensor()), None)),
                Err(_) => match crate::args::extract_number(o) {
                    Some(s) => Ok((None, Some(s))),
                    None => Err(pyo3::exceptions::PyTypeError::new_err(
                        "result_type(): arguments must be Tensors or Numbers",
                    )),
                },
            }
        };
    let (x, y) = (get(a)?, get(b)?);
    fn operand(v: &(Option<corten_core::tensor::Tensor>, Option<corten_core::dtype::Scalar>)) -> Operand<'_> {
        match v {
            (Some(t), _) => Operand::Tensor(t),
            (_, Some(s)) => Operand::Number(*s),
            _ => Operand::Number(corten_core::dtype::Scalar::Int(0)),
        }
    }
    dtype_object(py, carried::checked_result_type(&[operand(&x), operand(&y)]).py()?)
}

/// Registers `corten.Size`.
#[pyfunction]
pub fn set_size_class(py: Python<'_>, class: Py<PyAny>) {
    let _ = SIZE.set(py, class);
}
