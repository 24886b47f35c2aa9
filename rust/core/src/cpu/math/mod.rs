//! Elementary functions that LLVM vectorises: the trait [`Real`] for f32 and f64, and integer division and powers.
//!
//! Every f32 function is branch-free unless its comment says otherwise, rounds equally in vector bodies and scalar
//! remainders, and is within 2 ulp of the true value (asin 2.5, silu 3.1, tan 3.5; see `tests.rs`). The polynomials are minimax
//! fits, with coefficients rounded one after the other to the precision in which they are used.

pub mod bessel;
pub mod double;
pub mod gamma;
pub mod single;
pub mod slices;
#[cfg(test)]
mod tests;
mod wide;
pub mod zeta;

use super::simd::Simd;
use crate::dtype::Element;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

/// `poly!(S, x; c0, c1, …)` is c0 + x·(c1 + x·(…)), with the fused multiply-add of level `S` where there is one.
macro_rules! poly {
    ($s:ty, $x:expr; $c:expr) => { $c };
    ($s:ty, $x:expr; $c:expr, $($rest:expr),+ $(,)?) => { fma::<$s>(poly!($s, $x; $($rest),+), $x, $c) };
}
use poly;

macro_rules! real {
    (leveled { $($(#[$m:meta])* $f:ident($($a:ident),*);)* }
     plain { $($(#[$pm:meta])* $p:ident($($pa:ident),*);)* }) => {
        /// A floating-point type with the functions of a tensor library. `S` is the level marker that
        /// `simd_dispatch!` passes to its bodies. On a concrete type write `Real::exp::<S>(x)`: the standard library has
        /// methods of the same names.
        pub trait Real:
            Element + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
            + Rem<Output = Self> + Neg<Output = Self>
        {
            const ZERO: Self;
            const ONE: Self;
            const HALF: Self;
            const PI: Self;
            const INFINITY: Self;
            const NAN: Self;
            /// The spacing at 1.
            const EPSILON: Self;
            /// The smallest normal number.
            const TINY: Self;
            /// The largest finite number.
            const MAX: Self;
            $($(#[$m])* fn $f<S: Simd>(self $(, $a: Self)*) -> Self;)*
            $($(#[$pm])* fn $p(self $(, $pa: Self)*) -> Self;)*
        }
        real!(@impl f32, single, { $($f($($a),*);)* } { $($p($($pa),*);)* });
        real!(@impl f64, double, { $($f($($a),*);)* } { $($p($($pa),*);)* });
    };
    (@impl $t:ident, $module:ident, { $($f:ident($($a:ident),*);)* }
     { $($p:ident($($pa:ident),*);)* }) => {
        impl Real for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const HALF: $t = 0.5;
            const PI: $t = std::$t::consts::PI;
            const INFINITY: $t = $t::INFINITY;
            const NAN: $t = $t::NAN;
            const EPSILON: $t = $t::EPSILON;
            const TINY: $t = $t::MIN_POSITIVE;
            const MAX: $t = $t::MAX;
            $(#[inline(always)] fn $f<S: Simd>(self $(, $a: $t)*) -> $t { $module::$f::<S>(self $(, $a)*) })*
            $(#[inline(always)] fn $p(self $(, $pa: $t)*) -> $t { $module::$p(self $(, $pa)*) })*
        }
    };
}

real! {
    leveled {
        /// self·b + c, rounded once where the level has FMA, twice elsewhere.
        fma(b, c);
        exp();
        exp2();
        expm1();
        log();
        log2();
        log10();
        log1p();
        sin();
        cos();
        tan();
        asin();
        acos();
        atan();
        /// The angle of the point (x, self), with self as the ordinate.
        atan2(x);
        sinh();
        cosh();
        tanh();
        asinh();
        acosh();
        atanh();
        erf();
        erfc();
        /// The inverse of erf: ±∞ at ±1, NaN beyond.
        erfinv();
        /// 1/(1 + e^-x), without losing the small values.
        sigmoid();
        /// self·Φ(self): self times the share of normal numbers below it.
        gelu();
        /// `gelu` with 0.5·(1 + tanh(√(2/π)(x + 0.044715 x³))) for Φ (Hendrycks and Gimpel 2016).
        gelu_tanh();
        /// self·tanh(log(1 + e^self)).
        mish();
        /// self to the power y by the rules of C99 Annex F.
        pow(y);
        hypot(b);
        /// log(e^self + e^b) without overflow.
        logaddexp(b);
        /// log |Γ|; +∞ at the poles.
        lgamma();
        /// The derivative of log Γ; NaN at the negative poles, ∓∞ at ±0, as in PyTorch.
        digamma();
        /// sin, cos and tan only where |x| ≤ `single::SMALL_ANGLE` for f32; the bits are those of `sin`, `cos` and `tan`.
        sin_small();
        cos_small();
        tan_small();
    }
    plain {
        sqrt();
        rsqrt();
        recip();
        floor();
        ceil();
        trunc();
        /// To the nearest integer, ties to even.
        round();
        abs();
        /// The magnitude of self with the sign of b.
        copysign(b);
        /// −1, 0 or 1, NaN for NaN.
        sign();
        /// The smaller of two; NaN when either is NaN.
        minimum(b);
        /// The larger of two; NaN when either is NaN.
        maximum(b);
        /// The remainder with the sign of self, as C's fmod.
        fmod(b);
        /// The remainder with the sign of b, as Python's %.
        remainder(b);
        /// Python's //, which is not always floor of the rounded quotient.
        floor_div(b);
    }
}

/// The integer types of tensors, with Python's division and wrapping powers.
pub trait Integer: Element + Ord {
    /// Floor division; the most negative number by −1 wraps; 0 for a zero divisor, which callers refuse beforehand.
    fn floor_div(self, b: Self) -> Self;
    /// Division that rounds toward zero, with the same conventions.
    fn trunc_div(self, b: Self) -> Self;
    /// The remainder with the sign of `b`, as Python's %; 0 for a zero divisor.
    fn remainder(self, b: Self) -> Self;
    /// The remainder with the sign of self, as C's %; 0 for a zero divisor.
    fn fmod(self, b: Self) -> Self;
    /// self to the power `e`, wrapping. A negative `e` gives 0, or ±1 for the bases 1 and −1, as in PyTorch.
    fn pow(self, e: Self) -> Self;
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        #[allow(unused_comparisons)]
        impl Integer for $t {
            #[inline(always)]
            fn floor_div(self, b: $t) -> $t {
                if b == 0 {
                    return 0;
                }
                let q = self.wrapping_div(b);
                let r = self.wrapping_rem(b);
                if r != 0 && (r < 0) != (b < 0) { q.wrapping_sub(1) } else { q }
            }
            #[inline(always)]
            fn trunc_div(self, b: $t) -> $t {
                if b == 0 { 0 } else { self.wrapping_div(b) }
            }
            #[inline(always)]
            fn remainder(self, b: $t) -> $t {
                if b == 0 {
                    return 0;
                }
                let r = self.wrapping_rem(b);
                if r != 0 && (r < 0) != (b < 0) { r.wrapping_add(b) } else { r }
            }
            #[inline(always)]
            fn fmod(self, b: $t) -> $t {
                if b == 0 { 0 } else { self.wrapping_rem(b) }
            }
            #[inline(always)]
            fn pow(self, e: $t) -> $t {
                if e < 0 {
                    let minus_one = (0 as $t).wrapping_sub(1);
                    return match self {
                        1 => 1,
                        b if b == minus_one => if e & 1 == 0 { 1 } else { b },
                        _ => 0,
                    };
                }
                let (mut base, mut e, mut out) = (self, e, 1 as $t);
                while e > 0 {
                    if e & 1 == 1 {
                        out = out.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    e >>= 1;
                }
                out
            }
        }
    )*};
}
integer!(u8, i8, i16, i32, i64);
