//! Which numbers a dtype can hold, and the error of one that it cannot.

use super::DType::{self, *};
use super::Scalar;
use crate::error::{Error, Result};
use half::{bf16, f16};

impl Scalar {
    /// Refuses a number that `dtype` cannot hold, as PyTorch does where a number is stored (`fill_`, `full`, `masked_fill`):
    /// integers out of range, but for negative ones that wrap in a dtype without a sign, floats that are no integer of the
    /// range, and finite ones beyond the largest of a float dtype.
    pub fn check_fits(self, dtype: DType) -> Result<()> {
        let parts = match (self, dtype.is_complex()) {
            (Scalar::Complex(re, im), true) => [Scalar::Float(re), Scalar::Float(im)],
            (Scalar::Complex(re, 0.0), false) => [Scalar::Float(re), Scalar::Int(0)],
            (Scalar::Complex(..), false) if dtype != Bool => return Err(dtype.overflow(dtype.c_name())),
            (real, _) => [real, Scalar::Int(0)],
        };
        let part = if dtype.is_complex() { dtype.part() } else { dtype };
        if parts.into_iter().all(|p| part.holds(p)) { Ok(()) } else { Err(dtype.overflow(dtype.c_name())) }
    }
}

impl Scalar {
    /// [`Scalar::check_fits`] where the number fills one element: floats of 16 and 8 bits take what is beyond as the dtype
    /// converts it, as in PyTorch.
    pub fn check_fits_one(self, dtype: DType) -> Result<()> {
        let short = matches!(dtype, F16 | BF16) || dtype.is_float8();
        if short && self.category() < 3 { Ok(()) } else { self.check_fits(dtype) }
    }
}

impl DType {
    /// The error of a number that the dtype, which is called `name`, cannot hold.
    pub fn overflow(self, name: &str) -> Error {
        Error::Runtime(format!("value cannot be converted to type {name} without overflow"))
    }

    /// The largest finite number of a real float dtype.
    pub fn largest(self) -> f64 {
        match self {
            F16 => f16::MAX.to_f64(),
            BF16 => bf16::MAX.to_f64(),
            F32 => f64::from(f32::MAX),
            F64 => f64::MAX,
            _ => self.float8().map_or(f64::MAX, |f| f64::from(f.decode(f.largest as u8))),
        }
    }

    /// The smallest and the largest integer of an integer dtype.
    fn bounds(self) -> (i128, i128) {
        let bits = self.size() as u32 * 8;
        match self.is_signed() {
            true => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            false => (0, (1 << bits) - 1),
        }
    }

    /// Whether a real number is one of the real dtype, to rounding.
    pub fn holds(self, value: Scalar) -> bool {
        if self == Bool {
            return true;
        }
        if self.is_float() || self.is_float8() {
            let v = value.to_f64();
            return !v.is_finite() || v.abs() <= self.largest();
        }
        let (low, high) = self.bounds();
        match value {
            // Negative integers wrap where there is no sign.
            Scalar::Int(i) => (if low == 0 { -high } else { low }..=high).contains(&i128::from(i)),
            Scalar::Unsigned(u) => i128::from(u) <= high,
            Scalar::Bool(_) => true,
            Scalar::Float(f) | Scalar::Complex(f, _) => f >= low as f64 && f <= high as f64,
        }
    }

    /// The C++ type that PyTorch's errors about numbers name.
    pub fn c_name(self) -> &'static str {
        match self {
            Bool => "bool",
            U8 => "uint8_t",
            I8 => "int8_t",
            I16 => "int16_t",
            I32 => "int",
            I64 => "int64_t",
            U16 => "uint16_t",
            U32 => "uint32_t",
            U64 => "uint64_t",
            F16 => "c10::Half",
            BF16 => "c10::BFloat16",
            F32 => "float",
            F64 => "double",
            C32 => "c10::complex<c10::Half>",
            C64 => "c10::complex<float>",
            C128 => "c10::complex<double>",
            F8E4M3 => "c10::Float8_e4m3fn",
            F8E5M2 => "c10::Float8_e5m2",
            other => other.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Integer;
    use super::*;

    #[test]
    fn numbers_fit_by_pytorchs_rule() {
        let fits = |s: Scalar, d: DType| s.check_fits(d).is_ok();
        for (value, dtype) in [
            (Scalar::Int(-255), U8),
            (Scalar::Int(-1), U64),
            (Scalar::Float(255.0), U8),
            (Scalar::Float(f64::INFINITY), F16),
            (Scalar::Float(f64::NAN), Bool),
            (Scalar::Complex(1.0, 0.0), I32),
            (Scalar::Complex(1.0, 1.0), C64),
        ] {
            assert!(fits(value, dtype), "{value:?} in {dtype}");
        }
        for (value, dtype) in [
            (Scalar::Int(-256), U8),
            (Scalar::Int(256), U8),
            (Scalar::Float(-1.0), U8),
            (Scalar::Float(f64::NAN), I64),
            (Scalar::Unsigned(1 << 63), I64),
            (Scalar::Float(1e40), F32),
            (Scalar::Int(70000), F16),
            (Scalar::Complex(1.0, 1.0), F32),
            (Scalar::Complex(0.0, 1e40), C64),
        ] {
            assert!(!fits(value, dtype), "{value:?} in {dtype}");
        }
    }

    #[test]
    fn floats_become_integers_as_on_x86() {
        for v in [f64::NAN, f64::INFINITY, -1e30, 3e9, -3e9] {
            assert_eq!((i32::of_f64(v), u8::of_f64(v), i16::of_f64(v)), (i32::MIN, 0, 0), "{v}");
        }
        assert_eq!((i64::of_f64(f64::NAN), i64::of_f64(1e30), i64::of_f64(3e9)), (i64::MIN, i64::MIN, 3_000_000_000));
        assert_eq!((i8::of_f64(-129.9), u8::of_f64(300.0), i16::of_f64(40000.0)), (127, 44, -25536));
        assert_eq!(i32::of_f64(-2_147_483_648.5), i32::MIN);
    }
}
