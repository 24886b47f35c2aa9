//! Element types, their promotion table, and scalars.

mod fits;
pub mod float8;

use crate::ensure;
use crate::error::Result;
use float8::Float8;
use half::{bf16, f16};
use std::fmt;

/// The element type of a tensor. Kernels know the primitive ones, from `Bool` to `F64`: complex tensors are recorded as pairs
/// (`exec/pairs.rs`), those of the dtypes behind them as integers of the same width (`exec/carried.rs`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum DType {
    Bool = 0,
    U8 = 1,
    I8 = 2,
    I16 = 3,
    I32 = 4,
    I64 = 5,
    F16 = 6,
    BF16 = 7,
    F32 = 8,
    F64 = 9,
    C32 = 10,
    C64 = 11,
    C128 = 12,
    F8E4M3 = 13,
    F8E5M2 = 14,
    F8E4M3Fnuz = 15,
    F8E5M2Fnuz = 16,
    F8E8M0 = 17,
    U16 = 18,
    U32 = 19,
    U64 = 20,
}

use DType::*;

impl DType {
    /// Every dtype; those that are promoted stand in promotion order.
    pub const ALL: [DType; 21] = [
        Bool, U8, I8, I16, I32, I64, F16, BF16, F32, F64, C32, C64, C128, F8E4M3, F8E5M2, F8E4M3Fnuz, F8E5M2Fnuz,
        F8E8M0, U16, U32, U64,
    ];

    /// Bytes per element.
    #[inline]
    pub const fn size(self) -> usize {
        match self {
            Bool | U8 | I8 | F8E4M3 | F8E5M2 | F8E4M3Fnuz | F8E5M2Fnuz | F8E8M0 => 1,
            I16 | U16 | F16 | BF16 => 2,
            I32 | U32 | F32 | C32 => 4,
            I64 | U64 | F64 | C64 => 8,
            C128 => 16,
        }
    }

    /// A real floating dtype that kernels compute with; float8 is none ([`DType::is_float8`]).
    #[inline]
    pub const fn is_float(self) -> bool {
        matches!(self, F16 | BF16 | F32 | F64)
    }

    /// Whether kernels know the dtype.
    #[inline]
    pub const fn is_primitive(self) -> bool {
        (self as u8) < C32 as u8
    }

    /// Whether tensors of the dtype are recorded as integers of the same width (`exec/carried.rs`).
    #[inline]
    pub const fn is_carried(self) -> bool {
        self as u8 > C128 as u8
    }

    /// uint16, uint32 and uint64: uint8 is a dtype of the kernels.
    #[inline]
    pub const fn is_wide_unsigned(self) -> bool {
        self as u8 >= U16 as u8
    }

    #[inline]
    pub const fn is_float8(self) -> bool {
        self.is_carried() && !self.is_wide_unsigned()
    }

    /// The format of a float8 dtype.
    pub const fn float8(self) -> Option<Float8> {
        match self {
            F8E4M3 => Some(Float8::E4M3),
            F8E5M2 => Some(Float8::E5M2),
            F8E4M3Fnuz => Some(Float8::E4M3FNUZ),
            F8E5M2Fnuz => Some(Float8::E5M2FNUZ),
            F8E8M0 => Some(Float8::E8M0),
            _ => None,
        }
    }

    /// The dtype of the numbers in memory as kernels see them: the parts of a complex dtype, the integers that carry others.
    #[inline]
    pub const fn stored(self) -> DType {
        match self {
            C32 => F16,
            C64 => F32,
            C128 => F64,
            F8E4M3 | F8E5M2 | F8E4M3Fnuz | F8E5M2Fnuz | F8E8M0 => U8,
            U16 => I16,
            U32 => I32,
            U64 => I64,
            primitive => primitive,
        }
    }

    #[inline]
    pub const fn is_complex(self) -> bool {
        matches!(self, C32 | C64 | C128)
    }

    /// Whether tensors of the dtype can require gradients.
    #[inline]
    pub const fn is_differentiable(self) -> bool {
        self as u8 >= F16 as u8 && (self as u8) < U16 as u8
    }

    /// The dtype of the real and the imaginary part; a real dtype itself.
    #[inline]
    pub const fn part(self) -> DType {
        match self {
            C32 => F16,
            C64 => F32,
            C128 => F64,
            real => real,
        }
    }

    /// The complex dtype whose parts hold this dtype's floats; complex64 for integers.
    pub const fn complex(self) -> DType {
        match self {
            F64 | C128 => C128,
            F16 | C32 => C32,
            _ => C64,
        }
    }

    /// Integral and known to kernels, not counting bool.
    #[inline]
    pub const fn is_int(self) -> bool {
        matches!(self, U8 | I8 | I16 | I32 | I64)
    }

    #[inline]
    pub const fn is_signed(self) -> bool {
        !matches!(self, Bool | U8 | F8E8M0 | U16 | U32 | U64)
    }

    /// PyTorch's name, as in `torch.float32`.
    pub const fn name(self) -> &'static str {
        match self {
            Bool => "bool",
            U8 => "uint8",
            I8 => "int8",
            I16 => "int16",
            I32 => "int32",
            I64 => "int64",
            F16 => "float16",
            BF16 => "bfloat16",
            F32 => "float32",
            F64 => "float64",
            C32 => "complex32",
            C64 => "complex64",
            C128 => "complex128",
            F8E4M3 => "float8_e4m3fn",
            F8E5M2 => "float8_e5m2",
            F8E4M3Fnuz => "float8_e4m3fnuz",
            F8E5M2Fnuz => "float8_e5m2fnuz",
            F8E8M0 => "float8_e8m0fnu",
            U16 => "uint16",
            U32 => "uint32",
            U64 => "uint64",
        }
    }

    /// The name PyTorch's error messages use, as in "Float".
    pub const fn scalar_name(self) -> &'static str {
        match self {
            Bool => "Bool",
            U8 => "Byte",
            I8 => "Char",
            I16 => "Short",
            I32 => "Int",
            I64 => "Long",
            F16 => "Half",
            BF16 => "BFloat16",
            F32 => "Float",
            F64 => "Double",
            C32 => "ComplexHalf",
            C64 => "ComplexFloat",
            C128 => "ComplexDouble",
            F8E4M3 => "Float8_e4m3fn",
            F8E5M2 => "Float8_e5m2",
            F8E4M3Fnuz => "Float8_e4m3fnuz",
            F8E5M2Fnuz => "Float8_e5m2fnuz",
            F8E8M0 => "Float8_e8m0fnu",
            U16 => "UInt16",
            U32 => "UInt32",
            U64 => "UInt64",
        }
    }

    /// Bool 0, integers 1, floats 2, complex 3: a category never loses to a lower one (PyTorch's "type promotion" note).
    #[inline]
    pub const fn category(self) -> u8 {
        match self {
            Bool => 0,
            U8 | I8 | I16 | I32 | I64 | U16 | U32 | U64 => 1,
            F16 | BF16 | F32 | F64 | F8E4M3 | F8E5M2 | F8E4M3Fnuz | F8E5M2Fnuz | F8E8M0 => 2,
            C32 | C64 | C128 => 3,
        }
    }

    /// The smallest dtype that holds both, by PyTorch's table (`torch.promote_types`). Pairs that it refuses
    /// ([`DType::promoted`]) yield a dtype that is carried.
    #[inline]
    pub const fn promote(self, other: DType) -> DType {
        if self as u8 == other as u8 {
            return self;
        }
        let (a, b) = if (self as u8) < (other as u8) { (self, other) } else { (other, self) };
        match (a, b) {
            (U8, I8) => I16,
            (F16, BF16) => F32,
            (F64, C32 | C64) => C128,
            (BF16 | F32, C32) => C64,
            (F16 | BF16 | F32 | F64, U16 | U32 | U64) => a,
            _ => b,
        }
    }

    /// [`DType::promote`], refused where PyTorch refuses it.
    pub fn promoted(self, other: DType) -> Result<DType> {
        let both = self.promote(other);
        let small = self.is_float8() || other.is_float8();
        ensure!(
            self == other || !both.is_carried(),
            Runtime,
            "Promotion for {} is not supported, attempted to promote {} and {}",
            if small { "Float8 Types" } else { "uint16, uint32, uint64 types" },
            self.scalar_name(),
            other.scalar_name()
        );
        Ok(both)
    }

    /// The dtype in which reductions and matrix products of this dtype accumulate.
    #[inline]
    pub const fn accumulator(self) -> DType {
        match self {
            F16 | BF16 | F32 => F32,
            F64 => F64,
            C32 | C64 => C64,
            C128 => C128,
            _ => I64,
        }
    }

    /// How many integers from 0 on the dtype represents without a gap, as its real part if it is complex.
    pub const fn integers(self) -> u64 {
        match self.part() {
            Bool => 2,
            U8 => 1 << 8,
            I8 => 1 << 7,
            I16 => 1 << 15,
            I32 => 1 << 31,
            I64 | U64 => 1 << 63,
            U16 => 1 << 16,
            U32 => 1 << 32,
            F16 => (1 << 11) + 1,
            BF16 => (1 << 8) + 1,
            F32 => (1 << 24) + 1,
            _ => (1 << 53) + 1,
        }
    }
}

/// Where a kernel would meet a dtype that is not primitive, which nothing behind the recorder has.
#[cold]
pub const fn no_kernel() -> ! {
    panic!("a kernel was given a dtype that is recorded as another one")
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first integer beyond int64.
const TOP: u64 = 1 << 63;

/// A Python number: it takes part in promotion by its category only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    Bool(bool),
    Int(i64),
    /// An integer beyond int64.
    Unsigned(u64),
    Float(f64),
    /// Real and imaginary part.
    Complex(f64, f64),
}

impl Scalar {
    pub const fn category(self) -> u8 {
        match self {
            Scalar::Bool(_) => 0,
            Scalar::Int(_) | Scalar::Unsigned(_) => 1,
            Scalar::Float(_) => 2,
            Scalar::Complex(..) => 3,
        }
    }

    /// The real part.
    pub fn to_f64(self) -> f64 {
        match self {
            Scalar::Bool(b) => b as u8 as f64,
            Scalar::Int(i) => i as f64,
            Scalar::Unsigned(u) => u as f64,
            Scalar::Float(f) | Scalar::Complex(f, _) => f,
        }
    }

    pub fn to_i64(self) -> i64 {
        match self {
            Scalar::Bool(b) => b as i64,
            Scalar::Int(i) => i,
            Scalar::Unsigned(u) => u as i64,
            Scalar::Float(f) | Scalar::Complex(f, _) => f as i64,
        }
    }

    /// An integer dtype's value: of a float as [`Integer`] says, of an integer its low bits.
    fn whole<T>(self, float: fn(f64) -> T, integer: fn(i64) -> T) -> T {
        match self {
            Scalar::Float(f) | Scalar::Complex(f, _) => float(f),
            other => integer(other.to_i64()),
        }
    }

    /// The integer, in 64 bits without a sign.
    fn to_u64(self) -> u64 {
        match self {
            Scalar::Float(f) | Scalar::Complex(f, _) if f >= TOP as f64 => f as u64,
            other => other.to_i64() as u64,
        }
    }

    /// An integer without a sign.
    pub const fn unsigned(u: u64) -> Scalar {
        if u < TOP { Scalar::Int(u as i64) } else { Scalar::Unsigned(u) }
    }

    pub fn to_bool(self) -> bool {
        match self {
            Scalar::Bool(b) => b,
            Scalar::Int(i) => i != 0,
            Scalar::Unsigned(u) => u != 0,
            Scalar::Float(f) => f != 0.0,
            Scalar::Complex(re, im) => re != 0.0 || im != 0.0,
        }
    }

    /// Real and imaginary part.
    pub fn parts(self) -> (f64, f64) {
        match self {
            Scalar::Complex(re, im) => (re, im),
            real => (real.to_f64(), 0.0),
        }
    }

    /// Whether it is this real number.
    pub fn is(self, value: f64) -> bool {
        self.parts() == (value, 0.0)
    }

    /// The number rounded to `dtype`.
    pub fn rounded(self, dtype: DType) -> Scalar {
        if dtype.is_complex() {
            let part = |v: f64| Scalar::Float(v).rounded(dtype.part()).to_f64();
            let (re, im) = self.parts();
            return Scalar::Complex(part(re), part(im));
        }
        Scalar::from_bits(self.to_bits(dtype), dtype)
    }

    /// The scalar as a value of the real `dtype`, in 64 bits: floats as f64 bits already rounded to `dtype`, the rest as i64,
    /// carried dtypes as the integer that carries them.
    pub fn to_bits(self, dtype: DType) -> u64 {
        if let Some(format) = dtype.float8() {
            return u64::from(format.encode(self.to_f64() as f32));
        }
        match dtype {
            Bool => self.to_bool() as u64,
            U8 => self.whole(u8::of_f64, |i| i as u8) as u64,
            I8 => self.whole(i8::of_f64, |i| i as i8) as u64,
            I16 | U16 => self.whole(i16::of_f64, |i| i as i16) as u64,
            I32 => self.whole(i32::of_f64, |i| i as i32) as u64,
            U32 => self.whole(i64::of_f64, |i| i) as i32 as u64,
            I64 => self.whole(i64::of_f64, |i| i) as u64,
            U64 => self.to_u64(),
            F16 => f16::from_f32(self.to_f64() as f32).to_f64().to_bits(),
            BF16 => bf16::from_f32(self.to_f64() as f32).to_f64().to_bits(),
            F32 => (self.to_f64() as f32 as f64).to_bits(),
            F64 => self.to_f64().to_bits(),
            _ => no_kernel(),
        }
    }

    /// The inverse of [`Scalar::to_bits`].
    pub fn from_bits(bits: u64, dtype: DType) -> Scalar {
        if let Some(format) = dtype.float8() {
            return Scalar::Float(f64::from(format.decode(bits as u8)));
        }
        match dtype {
            Bool => Scalar::Bool(bits != 0),
            F16 | BF16 | F32 | F64 => Scalar::Float(f64::from_bits(bits)),
            U16 => Scalar::Int(i64::from(bits as u16)),
            U32 => Scalar::Int(i64::from(bits as u32)),
            U64 => Scalar::unsigned(bits),
            _ => Scalar::Int(bits as i64),
        }
    }
}

/// A Rust type that is the memory format of a dtype.
pub trait Element: Copy + Send + Sync + PartialEq + fmt::Debug + Default + 'static {
    const DTYPE: DType;
    fn to_f64(self) -> f64;
    fn from_f64(v: f64) -> Self;
    fn to_i64(self) -> i64;
    fn from_i64(v: i64) -> Self;
    fn is_nan(self) -> bool;
    fn from_scalar(s: Scalar) -> Self {
        match s {
            Scalar::Float(f) => Self::from_f64(f),
            Scalar::Complex(re, _) => Self::from_f64(re),
            Scalar::Unsigned(u) if Self::DTYPE.is_float() => Self::from_f64(u as f64),
            other => Self::from_i64(other.to_i64()),
        }
    }
}

/// An integer that floats are converted to as x86-64 does: toward zero, and what does not fit, NaN included, becomes the
/// smallest integer. It has 32 bits for the dtypes up to int32, of which the short ones keep the low bits.
pub trait Integer: Sized {
    fn of_f64(v: f64) -> Self;
}

macro_rules! integers {
    ($($t:ty => $wide:ty),*) => {$(
        // The bounds are powers of two, which floats represent; `as` takes what is below to the smallest integer.
        impl Integer for $t {
            #[inline(always)]
            fn of_f64(v: f64) -> Self {
                (if v < -(<$wide>::MIN as f64) { v as $wide } else { <$wide>::MIN }) as $t
            }
        }
    )*};
}
integers!(u8 => i32, i8 => i32, i16 => i32, i32 => i32, i64 => i64);

macro_rules! int_element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            #[inline(always)] fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)] fn from_f64(v: f64) -> Self { <$t as Integer>::of_f64(v) }
            #[inline(always)] fn to_i64(self) -> i64 { self as i64 }
            #[inline(always)] fn from_i64(v: i64) -> Self { v as $t }
            #[inline(always)] fn is_nan(self) -> bool { false }
        }
    )*};
}
int_element!(u8 => U8, i8 => I8, i16 => I16, i32 => I32, i64 => I64);

macro_rules! float_element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            #[inline(always)] fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)] fn from_f64(v: f64) -> Self { v as $t }
            #[inline(always)] fn to_i64(self) -> i64 { self as i64 }
            #[inline(always)] fn from_i64(v: i64) -> Self { v as $t }
            #[inline(always)] fn is_nan(self) -> bool { self != self }
        }
    )*};
}
float_element!(f32 => F32, f64 => F64);

macro_rules! half_element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            #[inline(always)] fn to_f64(self) -> f64 { self.to_f32() as f64 }
            // By way of float32, as in PyTorch: `from_f64` of the crate drops bits that decide ties.
            #[inline(always)] fn from_f64(v: f64) -> Self { <$t>::from_f32(v as f32) }
            #[inline(always)] fn to_i64(self) -> i64 { self.to_f32() as i64 }
            #[inline(always)] fn from_i64(v: i64) -> Self { <$t>::from_f32(v as f32) }
            #[inline(always)] fn is_nan(self) -> bool { <$t>::is_nan(self) }
        }
    )*};
}
half_element!(f16 => F16, bf16 => BF16);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as u8 as f64
    }
    #[inline(always)]
    fn from_f64(v: f64) -> Self {
        v != 0.0
    }
    #[inline(always)]
    fn to_i64(self) -> i64 {
        self as i64
    }
    #[inline(always)]
    fn from_i64(v: i64) -> Self {
        v != 0
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        false
    }
}

/// Runs `$body` with `$T` bound to the Rust type of the real `$dtype`; the second form names the dtypes a kernel supports.
#[macro_export]
macro_rules! dispatch {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::Bool => {
                type $T = bool;
                $body
            }
            $crate::dtype::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::dtype::DType::I8 => {
                type $T = i8;
                $body
            }
            $crate::dtype::DType::I16 => {
                type $T = i16;
                $body
            }
            $crate::dtype::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::dtype::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::dtype::DType::F16 => {
                type $T = $crate::half::f16;
                $body
            }
            $crate::dtype::DType::BF16 => {
                type $T = $crate::half::bf16;
                $body
            }
            $crate::dtype::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::dtype::DType::F64 => {
                type $T = f64;
                $body
            }
            _ => $crate::dtype::no_kernel(),
        }
    };
    (float $dtype:expr, $T:ident => $body:expr, else $other:expr) => {
        match $dtype {
            $crate::dtype::DType::F16 => {
                type $T = $crate::half::f16;
                $body
            }
            $crate::dtype::DType::BF16 => {
                type $T = $crate::half::bf16;
                $body
            }
            $crate::dtype::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::dtype::DType::F64 => {
                type $T = f64;
                $body
            }
            _ => $other,
        }
    };
}
