//! Arguments of operators: signatures in PyTorch's schema notation, parsed once, and Python objects matched against them.

use crate::random::PyGenerator;
use crate::tensor::PyTensor;
use crate::types::{Format, PyFormat, extract_device, extract_dtype, type_name};
use corten_core::device::Device;
use corten_core::dtype::{DType, Scalar};
use corten_core::ops::elementwise::Operand;
use corten_core::ops::random::{Shared, generator_for};
use corten_core::tensor::Tensor;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyComplex, PyFloat, PyInt, PyList, PyString, PyTuple};
use smallvec::SmallVec;

/// The type of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Tensor,
    /// A tensor or a number.
    Operand,
    Number,
    Int,
    Float,
    Bool,
    Str,
    Ints,
    Floats,
    Tensors,
    DType,
    Device,
    Format,
    Generator,
    Any,
}

/// One parameter of a signature.
#[derive(Clone, Debug)]
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub optional: bool,
    /// A function takes a sequence only, where a method takes separate numbers as well: `int[+]`.
    pub sequence: bool,
    pub default: Option<&'static str>,
    pub keyword_only: bool,
}

/// A parsed signature: `sum(Tensor self, int[]? dim=None, bool keepdim=False, *, dtype? dtype=None)`.
#[derive(Clone, Debug)]
pub struct Signature {
    pub name: &'static str,
    pub params: Vec<Param>,
    pub defaults: Vec<Option<Value>>,
}

/// A converted argument.
#[derive(Clone, Debug)]
pub enum Value {
    None,
    Tensor(Tensor),
    Number(Scalar),
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(String),
    Ints(SmallVec<[i64; 6]>),
    Floats(Vec<f64>),
    Tensors(Vec<Tensor>),
    DType(DType),
    Device(Device),
    Format(Format),
    Object(std::sync::Arc<Py<PyAny>>),
}

pub type Values = SmallVec<[Value; 8]>;

impl Signature {
    pub fn parse(text: &'static str) -> Signature {
        let (name, rest) = text.split_once('(').unwrap_or((text, ")"));
        let inner = rest.trim_end().trim_end_matches(')');
        let mut params = Vec::new();
        let mut keyword_only = false;
        for piece in inner.split(", ").map(str::trim).filter(|p| !p.is_empty()) {
            if piece == "*" {
                keyword_only = true;
                continue;
            }
            let (ty, rest) = piece.split_once(' ').unwrap_or((piece, ""));
            let (name, default) = match rest.split_once('=') {
                Some((n, d)) => (n, Some(d)),
                None => (rest, None),
            };
            let optional = ty.ends_with('?');
            let kind = match ty.trim_end_matches('?') {
                "Tensor" => Kind::Tensor,
                "Operand" => Kind::Operand,
                "Scalar" => Kind::Number,
                "int" => Kind::Int,
                "float" => Kind::Float,
                "bool" => Kind::Bool,
                "str" => Kind::Str,
                "int[]" | "int[+]" => Kind::Ints,
                "float[]" => Kind::Floats,
                "Tensor[]" => Kind::Tensors,
                "dtype" => Kind::DType,
                "device" => Kind::Device,
                "format" => Kind::Format,
                "Generator" => Kind::Generator,
                _ => Kind::Any,
            };
            params.push(Param { name, kind, optional, sequence: ty.starts_with("int[+]"), default, keyword_only });
        }
        let defaults = params.iter().map(|p| p.default.map(|d| default_value(p.kind, d))).collect();
        Signature { name, params, defaults }
    }
}

fn default_value(kind: Kind, text: &str) -> Value {
    match (kind, text) {
        (_, "None") => Value::None,
        (Kind::Bool, t) => Value::Bool(t == "True"),
        (Kind::Int, t) => Value::Int(t.parse().unwrap_or(0)),
        (Kind::Float, t) => Value::Float(t.parse().unwrap_or(0.0)),
        (Kind::Number | Kind::Operand, t) => Value::Number(match t.parse::<i64>() {
            Ok(i) => Scalar::Int(i),
            Err(_) => Scalar::Float(t.parse().unwrap_or(0.0)),
        }),
        (Kind::Ints, t) => {
            Value::Ints(t.trim_matches(['[', ']', '(', ')']).split(',').filter_map(|x| x.trim().parse().ok()).collect())
        }
        (Kind::Str, t) => Value::Str(t.trim_matches('\'').into()),
        _ => Value::None,
    }
}

/// A Python number as a scalar; numpy's scalars and 0-d tensors included where they act as numbers.
pub fn extract_number(o: &Bound<'_, PyAny>) -> Option<Scalar> {
    if let Ok(f) = o.cast_exact::<PyFloat>() {
        return Some(Scalar::Float(f.extract().ok()?));
    }
    if let Ok(b) = o.cast::<PyBool>() {
        return Some(Scalar::Bool(b.is_true()));
    }
    if let Ok(z) = o.cast::<PyComplex>() {
        return Some(Scalar::Complex(z.real(), z.imag()));
    }
    if o.is_instance_of::<PyInt>() {
        return match o.extract::<i64>() {
            Ok(i) => Some(Scalar::Int(i)),
            Err(_) => o.extract::<u64>().ok().map(Scalar::unsigned),
        };
    }
    if o.is_instance_of::<PyFloat>() {
        return Some(Scalar::Float(o.extract().ok()?));
    }
    if o.is_instance_of::<PyTensor>()
        || o.is_instance_of::<PyString>()
        || o.is_instance_of::<PyList>()
        || o.is_instance_of::<PyTuple>()
        || o.is_none()
    {
        return None;
    }
    // numpy scalars: bool first, then anything with __index__, then anything with __float__.
    if type_name(o).starts_with("bool") {
        return o.is_truthy().ok().map(Scalar::Bool);
    }
    if o.hasattr("ndim").ok()? && o.getattr("ndim").ok()?.extract::<i64>().ok()? != 0 {
        return None;
    }
    if type_name(o).starts_with("complex")
        && let Ok(z) = o.call_method0("__complex__").and_then(|z| Ok(z.cast_into::<PyComplex>()?))
    {
        return Some(Scalar::Complex(z.real(), z.imag()));
    }
    if let Ok(i) = o.call_method0("__index__") {
        return i.extract().map(Scalar::Int).or_else(|_| i.extract().map(Scalar::unsigned)).ok();
    }
    if o.hasattr("dtype").ok()?
        && let Ok(f) = o.call_method0("__float__")
    {
        return f.extract().ok().map(Scalar::Float);
    }
    None
}

/// A number that is not complex as a float.
fn real(s: Scalar) -> Option<f64> {
    (s.category() < 3).then(|| s.to_f64())
}

/// A sequence of ints (a tuple, list, `Size`, or 1-d integer tensor elements).
fn extract_ints(o: &Bound<'_, PyAny>) -> Option<SmallVec<[i64; 6]>> {
    let one = |x: &Bound<'_, PyAny>| -> Option<i64> { extract_int(x) };
    if let Ok(t) = o.cast::<PyTuple>() {
        return t.iter().map(|x| one(&x)).collect();
    }
    if let Ok(l) = o.cast::<PyList>() {
        return l.iter().map(|x| one(&x)).collect();
    }
    None
}

pub fn extract_int(o: &Bound<'_, PyAny>) -> Option<i64> {
    if o.is_instance_of::<PyFloat>() || o.is_instance_of::<PyString>() {
        return None;
    }
    if let Ok(t) = o.cast::<PyTensor>() {
        let t = t.get().tensor();
        if t.dtype().is_differentiable() || t.numel() != 1 {
            return None;
        }
        return corten_core::ops::item(&t).ok().map(Scalar::to_i64);
    }
    o.extract::<i64>().ok()
}

pub fn extract_tensors(o: &Bound<'_, PyAny>) -> Option<Vec<Tensor>> {
    let one = |x: Bound<'_, PyAny>| x.cast::<PyTensor>().ok().map(|t| t.get().tensor());
    if let Ok(t) = o.cast::<PyTuple>() {
        return t.iter().map(one).collect();
    }
    if let Ok(l) = o.cast::<PyList>() {
        return l.iter().map(one).collect();
    }
    None
}

/// Converts one object; `None` when it does not fit.
fn convert(o: &Bound<'_, PyAny>, p: &Param) -> Option<Value> {
    if p.optional && o.is_none() {
        return Some(Value::None);
    }
    match p.kind {
        Kind::Tensor => o.cast::<PyTensor>().ok().map(|t| Value::Tensor(t.get().tensor())),
        Kind::Operand => match o.cast::<PyTensor>() {
            Ok(t) => Some(Value::Tensor(t.get().tensor())),
            Err(_) => extract_number(o).map(Value::Number),
        },
        Kind::Number => match o.cast::<PyTensor>() {
            Ok(t) => {
                let t = t.get().tensor();
                (t.rank() == 0 && !t.requires_grad())
                    .then(|| corten_core::ops::item(&t).ok().map(Value::Number))
                    .flatten()
            }
            Err(_) => extract_number(o).map(Value::Number),
        },
        Kind::Int => {
            if o.is_instance_of::<PyBool>() {
                return None;
            }
            extract_int(o).map(Value::Int)
        }
        Kind::Float => match o.cast::<PyTensor>() {
            Ok(t) if t.get().tensor().numel() == 1 => {
                corten_core::ops::item(&t.get().tensor()).ok().and_then(real).map(Value::Float)
            }
            Ok(_) => None,
            Err(_) => extract_number(o).and_then(real).map(Value::Float),
        },
        Kind::Bool => {
            if let Ok(b) = o.cast::<PyBool>() {
                return Some(Value::Bool(b.is_true()));
            }
            // Numbers are no flags, numpy's bools are.
            let numpy_bool = type_name(o).starts_with("bool");
            numpy_bool.then(|| o.is_truthy().ok().map(Value::Bool)).flatten()
        }
        Kind::Str => o.extract::<String>().ok().map(Value::Str),
        Kind::Ints => match extract_ints(o) {
            Some(v) => Some(Value::Ints(v)),
            None if o.is_instance_of::<PyBool>() => None,
            None => extract_int(o).map(|i| Value::Ints(SmallVec::from_iter([i]))),
        },
        Kind::Floats => {
            if let Ok(v) = o.extract::<Vec<f64>>() {
                return Some(Value::Floats(v));
            }
            extract_number(o).and_then(real).map(|x| Value::Floats(vec![x]))
        }
        Kind::Tensors => extract_tensors(o).map(Value::Tensors),
        Kind::DType => extract_dtype(o).ok().map(Value::DType),
        // An unavailable device is an error of its own, raised by the caller.
        Kind::Device => extract_device(o).ok().map(Value::Device),
        Kind::Format => o.cast::<PyFormat>().ok().map(|f| Value::Format(f.get().0)),
        Kind::Generator => o.cast::<PyGenerator>().ok().map(|_| Value::Object(std::sync::Arc::new(o.clone().unbind()))),
        Kind::Any => Some(Value::Object(std::sync::Arc::new(o.clone().unbind()))),
    }
}

/// Matches positional and keyword arguments; the error says why they do not fit.
pub fn bind(
    sig: &Signature,
    function: bool,
    positional: &[Bound<'_, PyAny>],
    keywords: &[(Bound<'_, PyString>, Bound<'_, PyAny>)],
) -> PyResult<Values> {
    let mut values: Values = SmallVec::new();
    let mut next = 0;
    let mut used = 0;
    for (i, p) in sig.params.iter().enumerate() {
        // The last positional int[] takes the rest as separate ints: x.view(2, 3).
        let lone = |o: &Bound<'_, PyAny>| function && p.sequence && extract_int(o).is_some();
        let varargs = p.kind == Kind::Ints
            && !(function && p.sequence)
            && !p.keyword_only
            && positional.len() > next + 1
            && sig.params[i + 1..].iter().all(|q| q.keyword_only)
            && positional[next..].iter().all(|o| extract_int(o).is_some());
        if varargs {
            values.push(Value::Ints(positional[next..].iter().filter_map(extract_int).collect()));
            next = positional.len();
            continue;
        }
        if next < positional.len() && !p.keyword_only {
            let o = &positional[next];
            next += 1;
            match convert(o, p).filter(|_| !lone(o)) {
                Some(v) => values.push(v),
                None => return Err(mismatch(sig, p, o)),
            }
            continue;
        }
        let keyword = keywords.iter().find(|(k, _)| keyword_matches(k, p.name, i));
        match keyword {
            Some((_, o)) => {
                used += 1;
                match convert(o, p).filter(|_| !lone(o)) {
                    Some(v) => values.push(v),
                    None => return Err(mismatch(sig, p, o)),
                }
            }
            None => match &sig.defaults[i] {
                Some(d) => values.push(d.clone()),
                None if p.kind == Kind::Ints
                    && !p.sequence
                    && next == positional.len()
                    && i + 1 == sig.params.len()
                    && i > 0 =>
                {
                    values.push(Value::Ints(SmallVec::new()));
                }
                None => {
                    let (function, name, position) = (sig.name, p.name, i + 1);
                    let text = format!("{function}() missing required argument: '{name}' (pos {position})");
                    return Err(PyTypeError::new_err(text));
                }
            },
        }
    }
    if next < positional.len() {
        return Err(too_many(sig, positional.len()));
    }
    if used < keywords.len() {
        return Err(unused_keyword(sig, keywords));
    }
    Ok(values)
}

fn too_many(sig: &Signature, given: usize) -> PyErr {
    let taken = sig.params.iter().filter(|p| !p.keyword_only).count();
    PyTypeError::new_err(format!("{}() takes {taken} positional arguments but {given} were given", sig.name))
}

/// The error for keywords of which at least one names no parameter, or one that has its value already.
fn unused_keyword(sig: &Signature, keywords: &[(Bound<'_, PyString>, Bound<'_, PyAny>)]) -> PyErr {
    let known = |k| sig.params.iter().enumerate().any(|(i, p)| keyword_matches(k, p.name, i));
    PyTypeError::new_err(match keywords.iter().find(|(k, _)| !known(k)) {
        Some((k, _)) => format!("{}() got an unexpected keyword argument '{k}'", sig.name),
        None => format!("{}() got multiple values for an argument", sig.name),
    })
}

/// PyTorch's parser also takes numpy's names.
fn keyword_matches(given: &Bound<'_, PyString>, name: &str, position: usize) -> bool {
    let Ok(given) = given.to_cow() else { return false };
    given == name
        || match (&*given, name) {
            ("axis", "dim") | ("keepdims", "keepdim") | ("x2", "other") => true,
            ("x" | "a" | "x1", "self" | "input") => true,
            ("input", "self") => position == 0,
            _ => false,
        }
}

fn mismatch(sig: &Signature, p: &Param, o: &Bound<'_, PyAny>) -> PyErr {
    // A device that does not exist is a mistake of its own; anything that is no device at all does not fit.
    if p.kind == Kind::Device
        && let Err(e) = extract_device(o)
        && !e.is_instance_of::<PyTypeError>(o.py())
    {
        return e;
    }
    if matches!(p.kind, Kind::Tensors | Kind::Tensor)
        && let Ok(t) = o.cast::<PyTuple>()
        && let Ok(first) = t.get_item(0)
    {
        return PyTypeError::new_err(format!(
            "{}(): argument '{}' must be {}, but found element of type {} at pos 0",
            sig.name,
            shown_name(p),
            expected(p.kind),
            type_name(&first)
        ));
    }
    PyTypeError::new_err(format!(
        "{}(): argument '{}' must be {}, not {}",
        sig.name,
        shown_name(p),
        expected(p.kind),
        type_name(o)
    ))
}

fn shown_name(p: &Param) -> &str {
    if p.name == "self" { "input" } else { p.name }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Tensor => "Tensor",
        Kind::Operand => "Tensor or Number",
        Kind::Number => "Number",
        Kind::Int => "int",
        Kind::Float => "float",
        Kind::Bool => "bool",
        Kind::Str => "str",
        Kind::Ints => "tuple of ints",
        Kind::Floats => "tuple of floats",
        Kind::Tensors => "tuple of Tensors",
        Kind::DType => "corten.dtype",
        Kind::Device => "corten.device",
        Kind::Format => "corten.memory_format",
        Kind::Generator => "Generator",
        Kind::Any => "object",
    }
}

/// Typed access to converted arguments; positions are those of the signature, so a mismatch is a bug in a table row.
pub struct Args<'a>(pub &'a Values, pub Option<&'a Tensor>);

impl<'a> Args<'a> {
    /// The tensor given as `out=`, where it is one.
    pub fn target(&self) -> Option<&'a Tensor> {
        self.1
    }
    pub fn tensor(&self, i: usize) -> &'a Tensor {
        match &self.0[i] {
            Value::Tensor(t) => t,
            other => panic!("argument {i} is {other:?}, not a tensor"),
        }
    }
    pub fn opt_tensor(&self, i: usize) -> Option<&'a Tensor> {
        match &self.0[i] {
            Value::Tensor(t) => Some(t),
            _ => None,
        }
    }
    pub fn operand(&self, i: usize) -> Operand<'a> {
        match &self.0[i] {
            Value::Tensor(t) => Operand::Tensor(t),
            Value::Number(s) => Operand::Number(*s),
            other => panic!("argument {i} is {other:?}, not a tensor or number"),
        }
    }
    pub fn opt_operand(&self, i: usize) -> Option<Operand<'a>> {
        match &self.0[i] {
            Value::None => None,
            _ => Some(self.operand(i)),
        }
    }
    pub fn number(&self, i: usize) -> Scalar {
        match &self.0[i] {
            Value::Number(s) => *s,
            other => panic!("argument {i} is {other:?}, not a number"),
        }
    }
    pub fn opt_number(&self, i: usize) -> Option<Scalar> {
        match &self.0[i] {
            Value::Number(s) => Some(*s),
            _ => None,
        }
    }
    pub fn int(&self, i: usize) -> i64 {
        match &self.0[i] {
            Value::Int(v) => *v,
            other => panic!("argument {i} is {other:?}, not an int"),
        }
    }
    pub fn opt_int(&self, i: usize) -> Option<i64> {
        match &self.0[i] {
            Value::Int(v) => Some(*v),
            _ => None,
        }
    }
    pub fn float(&self, i: usize) -> f64 {
        match &self.0[i] {
            Value::Float(v) => *v,
            Value::Number(s) => s.to_f64(),
            other => panic!("argument {i} is {other:?}, not a float"),
        }
    }
    pub fn opt_float(&self, i: usize) -> Option<f64> {
        match &self.0[i] {
            Value::None => None,
            _ => Some(self.float(i)),
        }
    }
    pub fn bool(&self, i: usize) -> bool {
        matches!(&self.0[i], Value::Bool(true))
    }
    pub fn opt_bool(&self, i: usize) -> Option<bool> {
        match &self.0[i] {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }
    pub fn str(&self, i: usize) -> &'a str {
        match &self.0[i] {
            Value::Str(s) => s,
            other => panic!("argument {i} is {other:?}, not a str"),
        }
    }
    pub fn opt_str(&self, i: usize) -> Option<&'a str> {
        match &self.0[i] {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }
    pub fn ints(&self, i: usize) -> &'a [i64] {
        match &self.0[i] {
            Value::Ints(v) => v,
            other => panic!("argument {i} is {other:?}, not ints"),
        }
    }
    pub fn opt_ints(&self, i: usize) -> Option<&'a [i64]> {
        match &self.0[i] {
            Value::Ints(v) => Some(v),
            _ => None,
        }
    }
    pub fn opt_floats(&self, i: usize) -> Option<&'a [f64]> {
        match &self.0[i] {
            Value::Floats(v) => Some(v),
            _ => None,
        }
    }
    pub fn tensors(&self, i: usize) -> &'a [Tensor] {
        match &self.0[i] {
            Value::Tensors(v) => v,
            other => panic!("argument {i} is {other:?}, not tensors"),
        }
    }
    pub fn dtype(&self, i: usize) -> Option<DType> {
        match &self.0[i] {
            Value::DType(d) => Some(*d),
            _ => None,
        }
    }
    pub fn device(&self, i: usize) -> Option<Device> {
        match &self.0[i] {
            Value::Device(d) => Some(*d),
            _ => None,
        }
    }
    pub fn format(&self, i: usize) -> Option<Format> {
        match &self.0[i] {
            Value::Format(f) => Some(*f),
            _ => None,
        }
    }
    /// The generator given.
    pub fn given_generator(&self, i: usize) -> Option<Shared> {
        let shared =
            |o: &Py<PyAny>| Python::attach(|py| o.bind(py).cast::<PyGenerator>().ok().map(|g| g.get().0.clone()));
        self.object(i).and_then(shared)
    }
    /// The generator given, or the default one of the device.
    pub fn generator(&self, i: usize, device: Device) -> corten_core::error::Result<Shared> {
        generator_for(device, self.given_generator(i))
    }
    pub fn object(&self, i: usize) -> Option<&'a Py<PyAny>> {
        match &self.0[i] {
            Value::Object(o) => Some(o),
            _ => None,
        }
    }
}
