//! Rules about values that PyTorch enforces when an operator is called.

use crate::error::{IntoPy, from_py};
use crate::tensor::PyTensor;
use corten_core::dtype::{DType, Scalar};
use corten_core::error::Result;
use corten_core::grad::next_step;
use corten_core::op::Ew;
use corten_core::ops::elementwise::{Operand, apply, output_layout, result_type, square};
use corten_core::ops::{self, reduce};
use corten_core::tensor::Tensor;
use pyo3::exceptions::{PyRuntimeError, PyUserWarning};
use pyo3::prelude::*;

fn divides(op: Ew) -> bool {
    matches!(op, Ew::FloorDiv | Ew::TruncDiv | Ew::Remainder | Ew::Fmod)
}

/// PyTorch's warning where a conversion drops imaginary parts.
pub fn discards_imaginary(from: DType, to: DType) -> Result<()> {
    if !from.is_complex() || to.is_complex() || to == DType::Bool {
        return Ok(());
    }
    let warn = |py: Python<'_>| {
        PyErr::warn(
            py,
            &py.get_type::<PyUserWarning>(),
            c"Casting complex values to real discards the imaginary part",
            1,
        )
    };
    Python::attach(warn).map_err(from_py)
}

/// Integer division by zero is an error, as in PyTorch; checking a tensor computes it.
pub fn divisor(op: Ew, by: Operand, dividend: DType) -> PyResult<()> {
    if !divides(op) || dividend.is_differentiable() {
        return Ok(());
    }
    let zero = match by {
        Operand::Number(Scalar::Float(_)) => false,
        Operand::Number(s) => s.to_i64() == 0,
        Operand::Tensor(t) if t.dtype().is_float() || t.numel() == 0 => false,
        Operand::Tensor(t) => {
            let nonzero = reduce::truth(true, t, None, false).py()?;
            !ops::holds(&nonzero).py()?
        }
    };
    if zero { Err(PyRuntimeError::new_err("ZeroDivisionError")) } else { Ok(()) }
}

pub fn divisor_object(op: Ew, by: &Bound<'_, PyAny>, dividend: DType) -> PyResult<()> {
    match by.cast::<PyTensor>() {
        Ok(t) => divisor(op, t.get().get().into(), dividend),
        Err(_) => Ok(()),
    }
}

/// `pow`, with integer bases and negative integer exponents refused.
pub fn pow(base: Operand, exponent: Operand) -> PyResult<Tensor> {
    if let (Operand::Number(e), false) = (exponent, result_type(&[base, exponent]).is_differentiable())
        && e.to_i64() < 0
    {
        return Err(PyRuntimeError::new_err("Integers to negative integer powers are not allowed."));
    }
    // The first power and the zeroth need no arithmetic, which bool does not have.
    if let (Operand::Tensor(t), Operand::Number(e @ Scalar::Bool(_))) = (base, exponent)
        && t.dtype() == DType::Bool
    {
        return if e.to_bool() {
            t.copy().py()
        } else {
            ops::create::full_with((*output_layout(t.layout())).clone(), Scalar::Bool(true), DType::Bool, t.device())
                .py()
        };
    }
    // Small powers by multiplication, as PyTorch does.
    if let (Operand::Tensor(t), Operand::Number(e)) = (base, exponent)
        && t.dtype().is_float()
    {
        match e.to_f64() {
            2.0 => return square(t).py(),
            0.5 => {
                let since = next_step();
                let root = t.sqrt().py()?;
                root.name_step("PowBackward0", since);
                return Ok(root);
            }
            _ => {}
        }
    }
    apply(Ew::Pow, &[base, exponent]).py()
}
