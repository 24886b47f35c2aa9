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
use std::ffi::CString;

fn divides(op: Ew) -> bool {
    matches!(op, Ew::FloorDiv | Ew::TruncDiv | Ew::Remainder | Ew::Fmod)
}

/// PyTorch's warning where a conversion drops imaginary parts.
pub fn discards_imaginary(from: DType, to: DType) -> Result<()> {
    if !from.is_complex() || to.is_complex() || to == DType::Bool {
        return Ok(());
    }
    warn_once("Casting complex values to real discards the imaginary part")
}

/// Refuses a number that the dtype cannot hold, where it is to fill so many elements.
pub fn fits(value: Scalar, dtype: DType, elements: usize) -> Result<()> {
    if elements == 1 { value.check_fits_one(dtype) } else { value.check_fits(dtype) }
}

/// [`fits`] for an operand that may be a tensor, whose conversion is no mistake.
pub fn operand_fits(value: Operand, dtype: DType) -> Result<()> {
    if let Operand::Number(n) = value { n.check_fits(dtype) } else { Ok(()) }
}

/// PyTorch's warning of a variance without degrees of freedom.
pub fn degrees_of_freedom(op: &str, t: &Tensor, dims: Option<&[i64]>, correction: f64) -> Result<()> {
    let reduced = reduce::over(op, t.shape(), dims)?;
    let results: usize = reduced.kept.iter().product();
    let each = t.numel().checked_div(results).unwrap_or(0);
    if each as f64 - correction > 0.0 {
        return Ok(());
    }
    warn(&format!(
        "{op}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor (input numel divided by output numel)."
    ))
}

/// A `UserWarning`.
pub fn warn(text: &str) -> Result<()> {
    let told = |py: Python<'_>| PyErr::warn(py, &py.get_type::<PyUserWarning>(), &CString::new(text)?, 1);
    Python::attach(told).map_err(from_py)
}

/// A `UserWarning` that comes once in a process, unless `set_warn_always` asks for more.
pub fn warn_once(text: &str) -> Result<()> {
    let told = |py: Python<'_>| py.import("corten._settings")?.getattr("warn_once")?.call1((text, 1)).map(drop);
    Python::attach(told).map_err(from_py)
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
