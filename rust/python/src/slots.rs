//! What the operators of `corten.Tensor` share: `x + y` and its like, reflected and in place.

use crate::args::extract_number;
use crate::error::IntoPy;
use crate::overrides;
use crate::tensor::PyTensor;
use corten_core::dtype::Scalar;
use corten_core::exec::record::settle;
use corten_core::grad::modes;
use corten_core::op::Ew;
use corten_core::ops::elementwise::{Operand, apply};
use corten_core::ops::inplace;
use corten_core::tensor::Tensor;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// What a binary slot got on its other side.
pub enum Other {
    Tensor(Tensor),
    Number(Scalar),
}

impl Other {
    pub fn of(o: &Bound<'_, PyAny>) -> Option<Other> {
        match o.cast::<PyTensor>() {
            Ok(t) => Some(Other::Tensor(t.get().tensor())),
            Err(_) => extract_number(o).map(Other::Number),
        }
    }
    pub fn operand(&self) -> Operand<'_> {
        match self {
            Other::Tensor(t) => Operand::Tensor(t),
            Other::Number(s) => Operand::Number(*s),
        }
    }
}

/// The method that an operator stands for where a class takes over; PyTorch's choice, as the two below.
fn forward_name(op: Ew) -> &'static str {
    match op {
        Ew::FloorDiv => "__floordiv__",
        Ew::BitwiseAnd => "__and__",
        Ew::BitwiseOr => "__or__",
        Ew::BitwiseXor => "__xor__",
        Ew::Shl => "__lshift__",
        Ew::Shr => "__rshift__",
        Ew::Eq => "__eq__",
        _ => op.name(),
    }
}

pub fn reflected_name(op: Ew) -> &'static str {
    match op {
        Ew::Sub => "__rsub__",
        Ew::Div => "__rdiv__",
        Ew::FloorDiv => "__rfloordiv__",
        Ew::Remainder => "__rmod__",
        Ew::Pow => "__rpow__",
        Ew::Shl => "__rlshift__",
        Ew::Shr => "__rrshift__",
        _ => op.name(),
    }
}

fn in_place_name(op: Ew) -> &'static str {
    match op {
        Ew::Add => "add_",
        Ew::Sub => "sub_",
        Ew::Mul => "mul_",
        Ew::Div => "div_",
        Ew::FloorDiv => "floor_divide_",
        Ew::Remainder => "remainder_",
        Ew::Pow => "pow_",
        Ew::BitwiseAnd => "__iand__",
        Ew::BitwiseOr => "__ior__",
        Ew::BitwiseXor => "__ixor__",
        Ew::Shl => "__ilshift__",
        _ => "__irshift__",
    }
}

pub fn not_implemented(py: Python<'_>) -> Py<PyAny> {
    py.NotImplemented()
}

pub fn binary(slf: &Bound<'_, PyTensor>, other: &Bound<'_, PyAny>, op: Ew) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    if overrides::active()
        && let Some(r) = overrides::method(forward_name(op), &[slf.as_any(), other])?
    {
        return Ok(r);
    }
    crate::checks::divisor_object(op, other, slf.get().get().dtype())?;
    if let Ok(o) = other.cast::<PyTensor>() {
        let out = apply(op, &[slf.get().get().into(), o.get().get().into()]).py()?;
        return PyTensor::wrap(py, out);
    }
    let Some(s) = extract_number(other) else { return Ok(not_implemented(py)) };
    crate::checks::divisor(op, Operand::Number(s), slf.get().get().dtype())?;
    PyTensor::wrap(py, apply(op, &[slf.get().get().into(), s.into()]).py()?)
}

pub fn reflected(slf: &Bound<'_, PyTensor>, other: &Bound<'_, PyAny>, op: Ew) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    if overrides::active()
        && let Some(r) = overrides::method(reflected_name(op), &[slf.as_any(), other])?
    {
        return Ok(r);
    }
    let Some(o) = Other::of(other) else { return Ok(not_implemented(py)) };
    PyTensor::wrap(py, apply(op, &[o.operand(), slf.get().get().into()]).py()?)
}

pub fn in_place(slf: &Bound<'_, PyTensor>, other: &Bound<'_, PyAny>, op: Ew) -> PyResult<()> {
    if overrides::active() && overrides::method(in_place_name(op), &[slf.as_any(), other])?.is_some() {
        return Ok(());
    }
    let Some(o) = Other::of(other) else {
        return Err(PyTypeError::new_err(format!(
            "{}_(): argument 'other' must be Tensor or Number, not {}",
            op.name(),
            crate::types::type_name(other)
        )));
    };
    crate::checks::divisor_object(op, other, slf.get().get().dtype())?;
    let t = slf.get().tensor();
    settle([Some(&t), if let Other::Tensor(v) = &o { Some(v) } else { None }].into_iter().flatten()).py()?;
    inplace::check_writable(&t).py()?;
    if let Other::Tensor(source) = &o {
        inplace::check_overlap(&t, source).py()?;
    }
    // What the gradient keeps is the value before the write.
    let tracked = matches!(&o, Other::Tensor(v) if v.requires_grad()) || t.requires_grad();
    let old = if tracked && modes().grad { t.snapshot().py()? } else { t.clone() };
    let value = apply(op, &[(&old).into(), o.operand()]).py()?;
    drop(old);
    inplace::replace(&t, &value, op.name()).py()
}

pub fn unary(slf: &Bound<'_, PyTensor>, op: Ew) -> PyResult<Py<PyAny>> {
    if overrides::active()
        && let Some(r) =
            overrides::method(if op == Ew::BitwiseNot { "__invert__" } else { op.name() }, &[slf.as_any()])?
    {
        return Ok(r);
    }
    PyTensor::wrap(slf.py(), apply(op, &[slf.get().get().into()]).py()?)
}
