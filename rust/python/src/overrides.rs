//! `__torch_function__`: classes and modes that take over the operators called with their objects. Until a class has one
//! of its own, or a mode is entered, all that an operator pays is the load of an atomic.

use crate::tensor::PyTensor;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether any class or mode takes over operators.
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// What `__torch_function__` is in classes that take over nothing, such as `Parameter`.
static DISABLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
/// The module of the native functions, and that of `corten._core`.
static FUNCTIONS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// A `TorchFunctionMode`, and the operators it asks for: all of them, or a set of names.
struct Mode {
    object: Py<PyAny>,
    names: Option<Py<PyAny>>,
}

thread_local! {
    /// 0: everything is taken over; 1: modes only; 2: nothing.
    static LEVEL: Cell<u8> = const { Cell::new(0) };
    static MODES: RefCell<Vec<Mode>> = const { RefCell::new(Vec::new()) };
}

/// Whether operators have to look for classes and modes that take over.
#[inline]
pub fn active() -> bool {
    ACTIVE.load(Ordering::Relaxed)
}

pub fn set_functions(module: &Bound<'_, PyModule>) {
    let _ = FUNCTIONS.set(module.py(), module.clone().unbind());
}

type Objects<'py> = Vec<Bound<'py, PyAny>>;

/// Whether an argument's class takes over operators.
fn overrides(o: &Bound<'_, PyAny>) -> bool {
    if o.is_exact_instance_of::<PyTensor>() || is_plain(o) {
        return false;
    }
    let class = o.get_type();
    // A class as an argument is none of its objects.
    let Ok(function) = class.getattr(pyo3::intern!(o.py(), "__torch_function__")) else { return false };
    DISABLED.get(o.py()).is_none_or(|d| !function.is(d))
}

fn is_plain(o: &Bound<'_, PyAny>) -> bool {
    o.is_none()
        || o.is_exact_instance_of::<PyInt>()
        || o.is_exact_instance_of::<PyFloat>()
        || o.is_exact_instance_of::<PyBool>()
        || o.is_exact_instance_of::<PyString>()
        || o.is_instance_of::<PyType>()
}

/// The arguments whose classes take over, one for each class; subclasses before what they inherit from.
fn collect<'py>(found: &mut Objects<'py>, o: &Bound<'py, PyAny>, depth: u8) -> PyResult<()> {
    if let Some(items) = o.cast::<PyTuple>().ok().filter(|_| depth < 2) {
        return items.iter().try_for_each(|item| collect(found, &item, depth + 1));
    }
    if let Some(items) = o.cast::<PyList>().ok().filter(|_| depth < 2) {
        return items.iter().try_for_each(|item| collect(found, &item, depth + 1));
    }
    if !overrides(o) || found.iter().any(|f| f.get_type().is(o.get_type())) {
        return Ok(());
    }
    let mut at = found.len();
    for (i, f) in found.iter().enumerate() {
        if o.get_type().is_subclass(&f.get_type())? {
            at = i;
            break;
        }
    }
    found.insert(at, o.clone());
    Ok(())
}

/// The topmost mode that asks for an operator of this name.
fn mode_for(py: Python<'_>, name: &str) -> Option<usize> {
    let wants = |m: &Mode| m.names.as_ref().is_none_or(|names| names.bind(py).contains(name).unwrap_or(false));
    MODES.with_borrow(|modes| modes.iter().rposition(wants))
}

/// The modes below `index` remain while that mode decides; all of them are back afterwards.
struct Below(Vec<Mode>);

impl Below {
    fn new(index: usize) -> Below {
        Below(MODES.with_borrow_mut(|modes| modes.split_off(index)))
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        MODES.with_borrow_mut(|modes| modes.append(&mut self.0));
    }
}

/// Asks modes and classes; `None` when nobody takes over.
fn ask<'py>(
    name: &str,
    function: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    found: Objects<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<Py<PyAny>>> {
    let py = args.py();
    let mode = if LEVEL.get() < 2 { mode_for(py, name) } else { None };
    if found.is_empty() && mode.is_none() {
        return Ok(None);
    }
    let function = function()?;
    let classes: Vec<Bound<'py, PyType>> = found.iter().map(|o| o.get_type()).collect();
    let types = PyTuple::new(py, &classes)?;
    let kwargs = kwargs.cloned().unwrap_or_else(|| PyDict::new(py));
    let given = (&function, &types, args, &kwargs);
    if let Some(index) = mode {
        let below = Below::new(index);
        let object = below.0[0].object.clone_ref(py);
        let result = object.bind(py).call_method1(pyo3::intern!(py, "__torch_function__"), given)?;
        drop(below);
        if !result.is(py.NotImplemented()) {
            return Ok(Some(result.unbind()));
        }
    }
    for class in &classes {
        let result = class.call_method1(pyo3::intern!(py, "__torch_function__"), given)?;
        if !result.is(py.NotImplemented()) {
            return Ok(Some(result.unbind()));
        }
    }
    let names: Vec<String> = classes.iter().map(|c| c.to_string()).collect();
    Err(PyTypeError::new_err(format!(
        "Multiple dispatch failed for 'corten.{name}'; all __torch_function__ handlers returned NotImplemented: \
         no implementation found for 'corten.{name}' on types that implement __torch_function__: [{}]",
        names.join(", ")
    )))
}

fn found_in<'a, 'py: 'a>(objects: impl Iterator<Item = &'a Bound<'py, PyAny>>) -> PyResult<Objects<'py>> {
    let mut found = Vec::new();
    if LEVEL.get() == 0 {
        for o in objects {
            collect(&mut found, o, 0)?;
        }
    }
    Ok(found)
}

/// What takes over a call of the operator table.
pub fn call<'py>(
    py: Python<'py>,
    name: &str,
    method: bool,
    positional: &[Bound<'py, PyAny>],
    keywords: &[(Bound<'py, PyString>, Bound<'py, PyAny>)],
) -> PyResult<Option<Py<PyAny>>> {
    let found = found_in(positional.iter().chain(keywords.iter().map(|(_, v)| v)))?;
    if found.is_empty() && MODES.with_borrow(Vec::is_empty) {
        return Ok(None);
    }
    let kwargs = PyDict::new(py);
    keywords.iter().try_for_each(|(k, v)| kwargs.set_item(k, v))?;
    ask(name, || function(py, name, method), found, &PyTuple::new(py, positional)?, Some(&kwargs))
}

/// What takes over an operator slot or a method of `Tensor`; `name` is the method that it stands for.
pub fn method<'py>(name: &str, args: &[&Bound<'py, PyAny>]) -> PyResult<Option<Py<PyAny>>> {
    let py = args[0].py();
    let found = found_in(args.iter().copied())?;
    if found.is_empty() && MODES.with_borrow(Vec::is_empty) {
        return Ok(None);
    }
    ask(name, || function(py, name, true), found, &PyTuple::new(py, args)?, None)
}

fn function<'py>(py: Python<'py>, name: &str, method: bool) -> PyResult<Bound<'py, PyAny>> {
    match FUNCTIONS.get(py).filter(|_| !method) {
        Some(module) => module.bind(py).getattr(name),
        None => py.get_type::<PyTensor>().getattr(name),
    }
}

/// A backward pass over tensors whose class runs it itself, by a class method `_run_backward` with the same arguments.
pub fn backward<'py>(
    args: &Bound<'py, PyTuple>,
    lists: [Option<&Bound<'py, PyAny>>; 3],
) -> PyResult<Option<Py<PyAny>>> {
    for list in lists.into_iter().flatten() {
        for item in list.try_iter()? {
            let item = item?;
            if item.is_exact_instance_of::<PyTensor>() || item.is_none() {
                continue;
            }
            if let Ok(run) = item.get_type().getattr(pyo3::intern!(item.py(), "_run_backward")) {
                return Ok(Some(run.call1(args)?.unbind()));
            }
        }
    }
    Ok(None)
}

/// Refuses to read a tensor whose class holds the values elsewhere, as an example of a batch inside `vmap` does.
pub fn check_values(o: &Bound<'_, PyAny>) -> PyResult<()> {
    let elsewhere = active()
        && !o.is_exact_instance_of::<PyTensor>()
        && o.get_type().hasattr(pyo3::intern!(o.py(), "_run_backward"))?;
    if elsewhere {
        return Err(PyRuntimeError::new_err(
            "vmap: It looks like you're reading the values of a Tensor, by .item(), .tolist() or tensor(). We don't support \
             vmap over that, please try to rewrite what you're doing with other operations.",
        ));
    }
    Ok(())
}

/// From now on operators look at the classes of their arguments: some take over.
#[pyfunction]
pub fn overrides_begin() {
    ACTIVE.store(true, Ordering::Relaxed);
}

/// Names the object that `__torch_function__` is in classes that take over nothing.
#[pyfunction]
pub fn set_disabled_override(py: Python<'_>, function: Py<PyAny>) {
    let _ = DISABLED.set(py, function);
}

/// Sets what is taken over on this thread: 0 all, 1 modes only, 2 nothing; returns what was before.
#[pyfunction]
pub fn set_override_level(level: u8) -> u8 {
    LEVEL.replace(level)
}

/// What is taken over on this thread, see `set_override_level`.
#[pyfunction]
pub fn override_level() -> u8 {
    LEVEL.get()
}

/// Whether the class of an object takes over operators on this thread.
#[pyfunction]
pub fn overrides_operators(o: &Bound<'_, PyAny>) -> bool {
    LEVEL.get() == 0 && overrides(o)
}

/// The arguments whose classes take over, one for each class, subclasses first.
#[pyfunction]
pub fn overriding_arguments<'py>(objects: &Bound<'py, PyAny>) -> PyResult<Objects<'py>> {
    let mut found = Vec::new();
    for o in objects.try_iter()? {
        let o = o?;
        if LEVEL.get() == 0 && !o.is_instance_of::<PyTuple>() && !o.is_instance_of::<PyList>() {
            collect(&mut found, &o, 2)?;
        }
    }
    Ok(found)
}

/// Calls what takes over `function` with these arguments; `found` are the arguments whose classes do.
#[pyfunction]
pub fn call_override<'py>(
    name: &str,
    function: &Bound<'py, PyAny>,
    found: Objects<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<Py<PyAny>> {
    match ask(name, || Ok(function.clone()), found, args, Some(kwargs))? {
        Some(result) => Ok(result),
        None => Ok(function.call(args, Some(kwargs))?.unbind()),
    }
}

/// Operators of this thread ask `mode.__torch_function__` first; of the given names only, if any are given.
#[pyfunction]
#[pyo3(signature = (mode, names=None))]
pub fn push_function_mode(mode: Py<PyAny>, names: Option<Py<PyAny>>) {
    overrides_begin();
    MODES.with_borrow_mut(|modes| modes.push(Mode { object: mode, names }));
}

/// Ends the innermost mode.
#[pyfunction]
pub fn pop_function_mode() -> PyResult<Py<PyAny>> {
    let mode = MODES.with_borrow_mut(Vec::pop);
    mode.map(|m| m.object).ok_or_else(|| PyRuntimeError::new_err("no mode of functions is active"))
}

/// The modes of this thread, outermost first.
#[pyfunction]
pub fn function_modes(py: Python<'_>) -> Vec<Py<PyAny>> {
    MODES.with_borrow(|modes| modes.iter().map(|m| m.object.clone_ref(py)).collect())
}
