//! From Python calls to table rows. Every operator name gets one C entry point for its function and one for its method;
//! an entry tries the overloads of its name in order and runs the first that fits.

use crate::args::{Args, Signature, Value, Values, bind};
use crate::error::{InternalError, IntoPy, to_py};
use crate::out;
use crate::overrides;
use crate::step_names::{Namer, namer};
use crate::table::{CREATES, Call, FUNCTION, INPLACE, METHOD, OUT, Ret, Row};
use crate::tensor::PyTensor;
use corten_core::dtype::DType;
use corten_core::exec::record::settle;
use corten_core::grad::{modes, next_step};
use corten_core::ops::elementwise::{Operand, apply};
use corten_core::ops::inplace;
use corten_core::tensor::Tensor;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// How an entry treats its first argument and its result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Function,
    Method,
    InPlace,
}

/// One overload, ready to match.
pub struct Overload {
    pub signature: Signature,
    pub row: Row,
    namer: Option<Namer>,
}

/// What one C entry point runs.
struct Entry {
    name: String,
    style: Style,
    overloads: Vec<&'static Overload>,
}

static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();

/// Named results (`torch.return_types`), by name.
static NAMED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Entry points exist at compile time; this many names fit.
const CAPACITY: usize = 1536;

type Fast = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

unsafe extern "C" fn entry<const I: usize>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter with its lock held and the vectorcall layout.
    unsafe { enter(I, slf, args, nargs, names) }
}

macro_rules! entries {
    ($($hundred:literal)*) => { [$(entries!(@16 $hundred)),*] };
    (@16 $h:literal) => {
        [entry::<{ $h * 16 }>, entry::<{ $h * 16 + 1 }>, entry::<{ $h * 16 + 2 }>, entry::<{ $h * 16 + 3 }>,
         entry::<{ $h * 16 + 4 }>, entry::<{ $h * 16 + 5 }>, entry::<{ $h * 16 + 6 }>, entry::<{ $h * 16 + 7 }>,
         entry::<{ $h * 16 + 8 }>, entry::<{ $h * 16 + 9 }>, entry::<{ $h * 16 + 10 }>, entry::<{ $h * 16 + 11 }>,
         entry::<{ $h * 16 + 12 }>, entry::<{ $h * 16 + 13 }>, entry::<{ $h * 16 + 14 }>, entry::<{ $h * 16 + 15 }>]
    };
}

static TABLE: [[Fast; 16]; CAPACITY / 16] = entries!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27
    28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70
    71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95);

/// Turns the C call into Rust values, runs it, and turns errors and panics into exceptions.
unsafe fn enter(
    index: usize,
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter holds its lock while it calls us.
    let py = unsafe { Python::assume_attached() };
    let run = AssertUnwindSafe(|| -> PyResult<Py<PyAny>> {
        let entries = ENTRIES.get().ok_or_else(|| InternalError::new_err("the operator table is not ready"))?;
        let e = &entries[index];
        let mut positional: smallvec::SmallVec<[Bound<'_, PyAny>; 6]> = smallvec::SmallVec::new();
        if e.style != Style::Function {
            // SAFETY: a method's first argument is its object.
            positional.push(unsafe { Bound::from_borrowed_ptr(py, slf) });
        }
        for i in 0..nargs {
            // SAFETY: `args` holds nargs objects, then one per keyword.
            positional.push(unsafe { Bound::from_borrowed_ptr(py, *args.offset(i)) });
        }
        let mut keywords: smallvec::SmallVec<[(Bound<'_, PyString>, Bound<'_, PyAny>); 4]> = smallvec::SmallVec::new();
        if !names.is_null() {
            // SAFETY: `names` is a tuple of strings.
            let tuple = unsafe { Bound::from_borrowed_ptr(py, names) }.cast_into::<PyTuple>()?;
            for (k, name) in tuple.iter().enumerate() {
                // SAFETY: as above.
                let value = unsafe { Bound::from_borrowed_ptr(py, *args.offset(nargs + k as isize)) };
                keywords.push((name.cast_into::<PyString>()?, value));
            }
        }
        if overrides::active()
            && let Some(result) = overrides::call(py, &e.name, e.style != Style::Function, &positional, &keywords)?
        {
            return Ok(result);
        }
        e.call(py, &positional, &mut keywords)
    });
    match catch_unwind(run) {
        Ok(Ok(object)) => object.into_ptr(),
        Ok(Err(e)) => {
            e.restore(py);
            std::ptr::null_mut()
        }
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()))
                .unwrap_or_default();
            InternalError::new_err(text).restore(py);
            std::ptr::null_mut()
        }
    }
}

type Keywords<'py> = smallvec::SmallVec<[(Bound<'py, PyString>, Bound<'py, PyAny>); 4]>;

impl Entry {
    fn call<'py>(
        &self,
        py: Python<'py>,
        positional: &[Bound<'py, PyAny>],
        keywords: &mut Keywords<'py>,
    ) -> PyResult<Py<PyAny>> {
        let out = take_keyword(keywords, "out");
        if let Some(target) = out.as_ref().and_then(|o| o.cast::<PyTensor>().ok()) {
            if self.overloads.iter().any(|o| o.row.flags & CREATES != 0) {
                adopt_dtype(target, keywords, out::creation_mismatch)?;
                adopt_device(target, keywords)?;
            } else if out::ACCUMULATIONS.contains(&self.name.as_str()) {
                adopt_dtype(target, keywords, out::dtype_mismatch)?;
            }
        }
        let mut first_error: Option<PyErr> = None;
        for overload in &self.overloads {
            match bind(&overload.signature, self.style == Style::Function, positional, keywords) {
                Ok(values) => return self.run(py, overload, &values, out),
                Err(e) => {
                    // With one overload its own complaint is the best; among several the first is kept, unless another
                    // says more than that the types do not fit (a device that is not there).
                    if first_error.as_ref().is_none_or(|f| is_type_error(py, f) && !is_type_error(py, &e)) {
                        first_error = Some(e);
                    }
                }
            }
        }
        // An object that is no tensor may take over although nothing was known of its class.
        if out.is_none()
            && let Some(result) = overrides::call(py, &self.name, self.style != Style::Function, positional, keywords)?
        {
            return Ok(result);
        }
        let error = first_error.unwrap_or_else(|| PyTypeError::new_err("no overload"));
        if self.overloads.len() == 1 {
            return Err(error);
        }
        let given: Vec<String> = positional
            .iter()
            .skip((self.style != Style::Function) as usize)
            .map(crate::types::type_name)
            .chain(keywords.iter().map(|(k, v)| format!("{k}={}", crate::types::type_name(v))))
            .collect();
        let forms: Vec<String> = self.overloads.iter().map(|o| format!(" * {}", o.row.signature)).collect();
        if !error.is_instance_of::<PyTypeError>(py) {
            return Err(error);
        }
        Err(PyTypeError::new_err(format!(
            "{}() received an invalid combination of arguments - got ({}), but expected one of:\n{}",
            self.name,
            given.join(", "),
            forms.join("\n")
        )))
    }

    fn run<'py>(
        &self,
        py: Python<'py>,
        overload: &Overload,
        values: &Values,
        out: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if self.style == Style::InPlace {
            let Value::Tensor(target) = &values[0] else {
                return Err(PyTypeError::new_err(format!("{}(): self must be a Tensor", self.name)));
            };
            settle(values.iter().filter_map(|v| if let Value::Tensor(t) = v { Some(t) } else { None })).py()?;
            if target.layout().has_internal_overlap() && crate::shared::run(overload.signature.name, values)? {
                return PyTensor::wrap(py, target.clone());
            }
            inplace::check_writable(target).py()?;
            out::overlap(overload, target, &values[1..])?;
            // What the gradient keeps is the value before the write.
            let mut old = values.clone();
            if modes().grad && values.iter().any(|v| matches!(v, Value::Tensor(t) if t.requires_grad())) {
                old[0] = Value::Tensor(target.snapshot().py()?);
            }
            let Ret::Tensor(new) = compute(overload, &old, None)? else {
                return Err(PyTypeError::new_err(format!("{} has no in-place form", overload.signature.name)));
            };
            drop(old);
            inplace::replace(target, &new, overload.signature.name).py()?;
            return PyTensor::wrap(py, target.clone());
        }
        if modes().grad {
            values.iter().try_for_each(check_views)?;
        }
        let Some(out) = out.filter(|o| !o.is_none()) else { return object(py, compute(overload, values, None)?) };
        let target = out.cast::<PyTensor>().ok().map(|t| t.get().tensor());
        let result = compute(overload, values, target.as_ref())?;
        out::write(overload, values, result, &out)
    }
}

/// Refuses views that gradients can no longer follow.
fn check_views(value: &Value) -> PyResult<()> {
    match value {
        Value::Tensor(t) => t.check_view().py(),
        Value::Tensors(list) => list.iter().try_for_each(|t| t.check_view().py()),
        _ => Ok(()),
    }
}

fn take_keyword<'py>(keywords: &mut Keywords<'py>, name: &str) -> Option<Bound<'py, PyAny>> {
    let at = keywords.iter().position(|(k, _)| k.to_cow().is_ok_and(|k| k == name))?;
    Some(keywords.remove(at).1)
}

fn is_type_error(py: Python<'_>, e: &PyErr) -> bool {
    e.is_instance_of::<PyTypeError>(py)
}

/// Creation or accumulation into `out=`: numbers are made in its dtype, and another one that is given is refused.
fn adopt_dtype<'py>(
    target: &Bound<'py, PyTensor>,
    keywords: &mut Keywords<'py>,
    mismatch: fn(DType, DType) -> String,
) -> PyResult<()> {
    let (py, dtype) = (target.py(), target.get().get().dtype());
    let given = keywords.iter().find(|(k, v)| k.to_cow().is_ok_and(|k| k == "dtype") && !v.is_none());
    match given.map(|(_, v)| crate::types::extract_dtype(v)) {
        Some(Ok(d)) if d != dtype => Err(PyRuntimeError::new_err(mismatch(d, dtype))),
        Some(_) => Ok(()),
        None => {
            keywords.retain(|(k, _)| k.to_cow().is_ok_and(|k| k != "dtype"));
            keywords
                .push((PyString::new(py, "dtype"), crate::types::dtype_object(py, dtype)?.into_bound(py).into_any()));
            Ok(())
        }
    }
}

/// Creation into `out=`: numbers are made where it is.
fn adopt_device<'py>(target: &Bound<'py, PyTensor>, keywords: &mut Keywords<'py>) -> PyResult<()> {
    if keywords.iter().any(|(k, v)| k.to_cow().is_ok_and(|k| k == "device") && !v.is_none()) {
        return Ok(());
    }
    let (py, device) = (target.py(), crate::types::device_object(target.get().get().device()));
    keywords.retain(|(k, _)| k.to_cow().is_ok_and(|k| k != "device"));
    keywords.push((PyString::new(py, "device"), Bound::new(py, device)?.into_any()));
    Ok(())
}

/// Runs an overload; `target` is what its one result will be written to.
fn compute(overload: &Overload, values: &Values, target: Option<&Tensor>) -> PyResult<Ret> {
    let Some(namer) = overload.namer.filter(|_| modes().grad) else { return call(overload, values, target) };
    let since = next_step();
    let result = call(overload, values, target)?;
    match &result {
        // A view that was written keeps the step that leads to its base.
        Ret::Tensor(t) if t.base().is_some() && matches!(values.first(), Some(Value::Tensor(x)) if x.ptr_eq(t)) => {}
        Ret::Tensor(t) => t.name_step(namer(&Args(values, None)), since),
        Ret::Tuple(all) | Ret::Named(_, all) => all.iter().for_each(|t| t.name_step(namer(&Args(values, None)), since)),
    }
    Ok(result)
}

fn call(overload: &Overload, values: &Values, target: Option<&Tensor>) -> PyResult<Ret> {
    match overload.row.call {
        Call::Fn(f) => f(&Args(values, target)).map_err(|e| to_py(e.in_operator(overload.signature.name))),
        Call::Ew(op) => {
            let operands: smallvec::SmallVec<[Operand; 4]> =
                (0..values.len()).map(|i| Args(values, None).operand(i)).collect();
            if operands.len() == 2 {
                let dividend = corten_core::ops::elementwise::result_type(&operands[..1]);
                crate::checks::divisor(op, operands[1], dividend)?;
            }
            Ok(Ret::Tensor(apply(op, &operands).py()?))
        }
    }
}

/// A result as Python objects.
pub fn object(py: Python<'_>, result: Ret) -> PyResult<Py<PyAny>> {
    let wrap_all =
        |v: Vec<Tensor>| -> PyResult<Vec<Py<PyAny>>> { v.into_iter().map(|t| PyTensor::wrap(py, t)).collect() };
    match result {
        Ret::Tensor(t) => PyTensor::wrap(py, t),
        Ret::Tuple(v) => Ok(PyTuple::new(py, wrap_all(v)?)?.into_any().unbind()),
        Ret::Named(name, v) => {
            let tuple = PyTuple::new(py, wrap_all(v)?)?;
            match NAMED.get(py).map(|d| d.bind(py).get_item(name)) {
                Some(Ok(Some(class))) => Ok(class.call1((tuple,))?.unbind()),
                _ => Ok(tuple.into_any().unbind()),
            }
        }
    }
}

/// The Python classes of named results, by operator name.
#[pyfunction]
pub fn set_named_results(py: Python<'_>, classes: Py<PyDict>) {
    let _ = NAMED.set(py, classes);
}

/// Registers all rows: functions into `module`, methods onto the tensor type.
pub fn install(py: Python<'_>, module: &Bound<'_, PyModule>, rows: Vec<Row>) -> PyResult<()> {
    let mut by_name: BTreeMap<(&'static str, bool), Vec<&'static Overload>> = BTreeMap::new();
    let mut order: Vec<(&'static str, u8)> = Vec::new();
    for row in rows {
        let signature = Signature::parse(row.signature);
        let name = signature.name;
        let flags = row.flags;
        let namer = namer(name, signature.params.len());
        let overload: &'static Overload = Box::leak(Box::new(Overload { signature, row, namer }));
        by_name.entry((name, false)).or_default().push(overload);
        match order.iter_mut().find(|(n, _)| *n == name) {
            Some((_, f)) => *f |= flags,
            None => order.push((name, flags)),
        }
    }
    let tensor_type = py.get_type::<PyTensor>();
    let mut entries = Vec::new();
    for (name, flags) in order {
        let overloads = &by_name[&(name, false)];
        let pick = |bit: u8| -> Vec<&'static Overload> {
            overloads.iter().filter(|o| o.row.flags & bit != 0).copied().collect()
        };
        if flags & FUNCTION != 0 {
            let index = push(&mut entries, name.to_string(), Style::Function, pick(FUNCTION))?;
            let def = definition(name, index, &doc(&pick(FUNCTION)))?;
            // SAFETY: the definition lives as long as the process.
            let f = unsafe {
                Bound::from_owned_ptr_or_err(
                    py,
                    ffi::PyCFunction_NewEx(def, std::ptr::null_mut(), std::ptr::null_mut()),
                )?
            };
            module.add(name, f)?;
        }
        if flags & METHOD != 0 {
            let index = push(&mut entries, name.to_string(), Style::Method, pick(METHOD))?;
            add_method(py, &tensor_type, name, index, &doc(&pick(METHOD)))?;
        }
        if flags & INPLACE != 0 {
            let name_ = format!("{name}_");
            let index = push(&mut entries, name_.clone(), Style::InPlace, pick(INPLACE))?;
            add_method(py, &tensor_type, &name_, index, &format!("In-place form of `{name}`."))?;
        }
    }
    ENTRIES.set(entries).map_err(|_| InternalError::new_err("the operator table was installed twice"))
}

fn push(entries: &mut Vec<Entry>, name: String, style: Style, overloads: Vec<&'static Overload>) -> PyResult<usize> {
    if entries.len() >= CAPACITY {
        return Err(InternalError::new_err("more operators than entry points: raise CAPACITY"));
    }
    entries.push(Entry { name, style, overloads });
    Ok(entries.len() - 1)
}

fn add_method(
    py: Python<'_>,
    class: &Bound<'_, pyo3::types::PyType>,
    name: &str,
    index: usize,
    doc: &str,
) -> PyResult<()> {
    let def = definition(name, index, doc)?;
    // SAFETY: the type object and the definition are valid; the definition lives as long as the process.
    let method = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_type_ptr(), def))? };
    class.setattr(name, method)
}

fn definition(name: &str, index: usize, doc: &str) -> PyResult<*mut ffi::PyMethodDef> {
    let def = ffi::PyMethodDef {
        ml_name: CString::new(name)?.into_raw(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: TABLE[index / 16][index % 16] },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: CString::new(doc)?.into_raw(),
    };
    Ok(Box::into_raw(Box::new(def)))
}

fn doc(overloads: &[&'static Overload]) -> String {
    let mut text = String::new();
    for o in overloads {
        let out = match (o.row.flags & OUT != 0, o.row.signature.contains("*, ")) {
            (false, _) => "",
            (true, false) => ", *, Tensor? out=None",
            (true, true) => ", Tensor? out=None",
        };
        let signature = o.row.signature.strip_suffix(')').unwrap_or(o.row.signature);
        text.push_str(&format!("{signature}{out})\n"));
    }
    text.push('\n');
    text.push_str(overloads.iter().map(|o| o.row.doc).find(|d| !d.is_empty()).unwrap_or(""));
    text
}

/// The public names in the operator table.
#[pyfunction]
pub fn op_names() -> Vec<String> {
    let mut names: Vec<String> = ENTRIES
        .get()
        .map(|e| {
            e.iter().filter(|e| e.style != Style::InPlace && !e.name.starts_with('_')).map(|e| e.name.clone()).collect()
        })
        .unwrap_or_default();
    names.sort();
    names.dedup();
    names
}

/// For stubs: (name, style, signatures, doc) of every entry.
#[pyfunction]
pub fn op_signatures() -> Vec<(String, &'static str, Vec<&'static str>)> {
    let describe = |e: &Entry| {
        let style = match e.style {
            Style::Function => "function",
            Style::Method => "method",
            Style::InPlace => "inplace",
        };
        (e.name.clone(), style, e.overloads.iter().map(|o| o.row.signature).collect())
    };
    ENTRIES.get().map(|e| e.iter().map(describe).collect()).unwrap_or_default()
}
