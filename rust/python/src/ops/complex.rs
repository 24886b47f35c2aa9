//! Complex numbers: their parts, sizes and angles.

use crate::rows;
use crate::table::Row;
use corten_core::error::Result;
use corten_core::ops::complex;
use corten_core::tensor::Tensor;

/// The conjugate in memory of its own.
fn conj_physical(z: &Tensor) -> Result<Tensor> {
    if z.dtype().is_complex() { complex::conj(z) } else { z.copy() }
}

pub fn rows() -> Vec<Row> {
    rows! {
        "complex(Tensor real, Tensor imag)" fo "The complex tensor with these parts." |a| complex::complex(a.tensor(0), a.tensor(1))?;
        "polar(Tensor abs, Tensor angle)" fo "The complex tensor with these absolute values and angles, in radians." |a| complex::polar(a.tensor(0), a.tensor(1))?;
        "real(Tensor self)" f "The real part: a view, of a real tensor the tensor itself." |a| complex::real(a.tensor(0))?;
        "imag(Tensor self)" f "The imaginary part: a view. Real tensors have none." |a| complex::imag(a.tensor(0))?;
        "conj(Tensor self)" fm "The conjugate, of a real tensor the tensor itself." |a| complex::conj(a.tensor(0))?;
        "conj_physical(Tensor self)" fmio "The conjugate, in memory of its own." |a| conj_physical(a.tensor(0))?;
        "resolve_conj(Tensor self)" fm "The tensor itself: no tensor waits to be conjugated." |a| a.tensor(0).clone();
        "resolve_neg(Tensor self)" fm "The tensor itself: no tensor waits to be negated." |a| a.tensor(0).clone();
        "angle(Tensor self)" fmo "The angle in the complex plane, in radians: 0 or π for real numbers, NaN for NaN." |a| complex::angle(a.tensor(0))?;
        "sgn(Tensor self)" fmio "z / |z|, 0 at 0: the sign of real numbers." |a| complex::sgn(a.tensor(0))?;
        "view_as_real(Tensor self)" f "Real and imaginary parts in a last dim of two: a view." |a| complex::view_as_real(a.tensor(0))?;
        "view_as_complex(Tensor self)" f "A last dim of two as real and imaginary parts: a view." |a| complex::view_as_complex(a.tensor(0))?;
    }
}
