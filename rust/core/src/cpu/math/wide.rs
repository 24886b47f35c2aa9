//! Activations of f32 computed in f64: their exponents reach so far that rounding them to f32 would cost digits.

use super::double::{MAGIC, clamp, fma, gelu_exponent, mish_weight};
use super::poly;
use crate::cpu::simd::Simd;

/// e^x for −300 ≤ x ≤ 80, to 29 bits.
#[inline(always)]
fn exp_wide<S: Simd>(x: f64) -> f64 {
    let t = fma::<S>(x, std::f64::consts::LOG2_E, MAGIC);
    let r = fma::<S>(t - MAGIC, -std::f64::consts::LN_2, x);
    let e = poly!(S, r; 1.000_000_000_554_613_7, 1.000_000_036_344_710_1, 0.499_999_920_749_880_64,
        0.166_664_200_721_401_17, 0.041_668_226_211_700_54, 0.008_374_824_049_377_887, 0.001_383_683_450_521_079_1);
    e * f64::from_bits((t.to_bits() << 52).wrapping_add(1.0f64.to_bits()))
}

/// x·p of a share p of 1 that is `below` for negative x, and 1 − `below` for positive; `a` is |x|, clamped to where p is
/// 0 in f32.
#[inline(always)]
fn weighted(x: f64, a: f64, below: f64) -> f32 {
    let y = a * below;
    limits(x, if x < 0.0 { -y } else { x - y })
}

/// Minus infinity times its weight of 0 is NaN.
#[inline(always)]
fn limits(x: f64, y: f64) -> f32 {
    (if x == f64::NEG_INFINITY { f64::NAN } else { y }) as f32
}

/// Far below 0 the weight is e^(−x²/2) over about x.
#[inline(always)]
pub fn gelu<S: Simd>(x: f32) -> f32 {
    let x = x as f64;
    let a = clamp(x.abs(), 0.0, 14.6);
    // Φ(−a)·e^(a²/2) is a polynomial in (a − 3.5)/(a + 3.5) over a + 3.5.
    let inverse = 1.0 / (a + 3.5);
    let p = poly!(S, fma::<S>(inverse, -7.0, 1.0); 0.744_416_074_035_003_3, -0.565_561_743_901_369_5,
        0.315_425_049_990_557_5, -0.116_053_068_549_428_26,
        0.017_406_268_625_079_387, 0.006_493_245_524_213_277, -0.003_174_812_547_946_244_3, -0.000_494_977_038_512_511,
        0.000_421_166_980_647_516_6, 0.000_110_285_181_851_849_8);
    weighted(x, a, exp_wide::<S>(-0.5 * a * a) * inverse * p)
}

#[inline(always)]
pub fn gelu_tanh<S: Simd>(x: f32) -> f32 {
    let x = x as f64;
    let a = clamp(x.abs(), 0.0, 11.5);
    let e = exp_wide::<S>(-gelu_exponent::<S>(a));
    weighted(x, a, e / (1.0 + e))
}

#[inline(always)]
pub fn mish<S: Simd>(x: f32) -> f32 {
    let x = x as f64;
    let near = if x < -110.0 { -110.0 } else { x };
    // Beyond 40 the weight is 1.
    limits(x, near * mish_weight(exp_wide::<S>(if near > 40.0 { 40.0 } else { near })))
}
