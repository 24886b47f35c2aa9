//! f32 functions. The frequent ones work in f32; the rare ones go through f64, where accuracy is free.

pub use super::wide::{gelu, gelu_tanh, mish};
use super::{double, poly};
use crate::cpu::simd::Simd;

/// 1.5·2²³: adding it rounds a small number to an integer, which is then in the low bits of the sum.
const MAGIC: f32 = 12_582_912.0;
const SIGN: u32 = 0x8000_0000;
/// log 2 in two parts; the first has 10 bits, so that its product with an exponent is exact.
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -0.000_212_194_44;
/// π/2 in three parts.
const PIO2: [f32; 3] = [1.570_796_4, -4.371_139e-8, -1.715_124_5e-15];
const LOG10_2_HI: f32 = 0.301_025_4;
const LOG10_2_LO: f32 = 4.605_039e-6;
/// Up to here the three parts of π/2 suffice to reduce an angle.
pub const SMALL_ANGLE: f32 = 65536.0;

#[inline(always)]
pub fn fma<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::FMA { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn with_sign_of(magnitude: f32, sign: f32) -> f32 {
    f32::from_bits(magnitude.to_bits() | (sign.to_bits() & SIGN))
}

/// (e^r − 1 − r)/r² for |r| ≤ 0.3475.
#[inline(always)]
fn exp_tail<S: Simd>(r: f32) -> f32 {
    poly!(S, r; 0.5, 0.166_666_36, 0.041_666_51, 0.008_341_509, 0.001_393_054_4, 0.000_150_172_81)
}

/// e^r for |r| ≤ 0.3475, and what this first part rounds away.
#[inline(always)]
fn exp_reduced<S: Simd>(r: f32) -> (f32, f32) {
    let s = 1.0 + r;
    let t = fma::<S>(r * r, exp_tail::<S>(r), r - (s - 1.0));
    let e = s + t;
    (e, t - (e - s))
}

/// x = n·log 2 + r: the shifted n (see [`MAGIC`]) and r, for |x| < 2²¹.
#[inline(always)]
fn exp_split<S: Simd>(x: f32) -> (f32, f32) {
    let t = fma::<S>(x, std::f32::consts::LOG2_E, MAGIC);
    let n = t - MAGIC;
    (t, fma::<S>(n, -LN2_LO, fma::<S>(n, -LN2_HI, x)))
}

/// 2^n for the shifted n, −126 ≤ n ≤ 127.
#[inline(always)]
fn pow2(t: f32) -> f32 {
    f32::from_bits((t.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

/// v·2^(n + shift) in two steps, so that results may be denormal or infinite.
#[inline(always)]
fn scale(v: f32, t: f32, shift: i32) -> f32 {
    let n = (t.to_bits().wrapping_sub(MAGIC.to_bits()) as i32).wrapping_add(shift);
    let half = n >> 1;
    let power = |k: i32| f32::from_bits((k.wrapping_add(127) << 23) as u32);
    v * power(half) * power(n.wrapping_sub(half))
}

#[inline(always)]
fn clamp(x: f32, lo: f32, hi: f32) -> f32 {
    // Written so that NaN passes.
    let x = if x > hi { hi } else { x };
    if x < lo { lo } else { x }
}

#[inline(always)]
pub fn exp<S: Simd>(x: f32) -> f32 {
    let (t, r) = exp_split::<S>(clamp(x, -104.0, 89.0));
    scale(exp_reduced::<S>(r).0, t, 0)
}

#[inline(always)]
pub fn exp2<S: Simd>(x: f32) -> f32 {
    let x = clamp(x, -151.0, 129.0);
    let t = x + MAGIC;
    let r = x - (t - MAGIC);
    scale(exp_reduced::<S>(r * std::f32::consts::LN_2).0, t, 0)
}

#[inline(always)]
pub fn expm1<S: Simd>(x: f32) -> f32 {
    let (t, r) = exp_split::<S>(clamp(x, -20.0, 89.0));
    let p = fma::<S>(r * r, exp_tail::<S>(r), r);
    // 2^(n-1) instead of 2^n, which would overflow at the upper end.
    let s = pow2(t - 1.0);
    let y = 2.0 * fma::<S>(s, p, s - 0.5);
    if x.abs() < 1e-8 { x } else { y }
}

/// x = 2^k·(1 + f) with 1 + f in [√½, √2), for positive finite x.
#[inline(always)]
fn log_split(x: f32) -> (f32, f32) {
    let tiny = x < f32::MIN_POSITIVE;
    let bits = (x * if tiny { 8_388_608.0 } else { 1.0 }).to_bits() as i32;
    let k = bits.wrapping_sub(0x3f35_04f3) >> 23;
    let m = f32::from_bits(bits.wrapping_sub(k << 23) as u32);
    (k as f32 - if tiny { 23.0 } else { 0.0 }, m - 1.0)
}

/// log(1 + f) − f for 1 + f in [√½, √2).
#[inline(always)]
fn log1p_tail<S: Simd>(f: f32) -> f32 {
    let p = poly!(S, f; 0.333_333_13, -0.250_001_67, 0.200_022_24, -0.166_593_67, 0.142_095_6, -0.125_496_97,
        0.121_089_615, -0.109_164_25, 0.053_384_807);
    let ff = f * f;
    fma::<S>(f * ff, p, -0.5 * ff)
}

/// The logarithm's values at 0, ∞, below 0 and for NaN; `r` elsewhere.
#[inline(always)]
fn log_edges(x: f32, r: f32) -> f32 {
    // On bits, because LLVM makes a long classification of the same comparisons on floats.
    let bits = x.to_bits();
    let edge = if bits as i32 >= 0 { x } else { f32::NAN };
    let edge = if bits << 1 == 0 { f32::NEG_INFINITY } else { edge };
    if bits.wrapping_sub(1) < 0x7f7f_ffff { r } else { edge }
}

#[inline(always)]
pub fn log<S: Simd>(x: f32) -> f32 {
    let (k, f) = log_split(x);
    let tail = fma::<S>(k, LN2_LO, log1p_tail::<S>(f));
    log_edges(x, fma::<S>(k, LN2_HI, f + tail))
}

#[inline(always)]
pub fn log2<S: Simd>(x: f32) -> f32 {
    let (k, f) = log_split(x);
    log_edges(x, fma::<S>(f + log1p_tail::<S>(f), std::f32::consts::LOG2_E, k))
}

#[inline(always)]
pub fn log10<S: Simd>(x: f32) -> f32 {
    let (k, f) = log_split(x);
    let small = fma::<S>(f + log1p_tail::<S>(f), std::f32::consts::LOG10_E, k * LOG10_2_LO);
    log_edges(x, fma::<S>(k, LOG10_2_HI, small))
}

#[inline(always)]
pub fn log1p<S: Simd>(x: f32) -> f32 {
    let u = 1.0 + x;
    let bits = u.to_bits() as i32;
    let k = bits.wrapping_sub(0x3f35_04f3) >> 23;
    let m = f32::from_bits(bits.wrapping_sub(k << 23) as u32);
    // f = (1 + x)/2^k − 1 keeps the bits of x that 1 + x rounds away; above 2²⁵ they no longer matter.
    let s = f32::from_bits((127i32.wrapping_sub(k) << 23) as u32);
    let f = if x > 33_554_432.0 { m - 1.0 } else { fma::<S>(x, s, s - 1.0) };
    let k = k as f32;
    let tail = fma::<S>(k, LN2_LO, log1p_tail::<S>(f));
    let r = log_edges(u, fma::<S>(k, LN2_HI, f + tail));
    if x.abs() < 1e-8 { x } else { r }
}

/// 2^(16g)·2/π modulo 4 for g = 0, 1, …, each in three f64 parts.
#[allow(clippy::approx_constant)]
const TWO_OVER_PI: [[f64; 8]; 3] = [
    [
        0.6366197723675814,
        1.5134018818108999,
        2.3057263591291792,
        0.08267188988231296,
        1.9849753272621515,
        3.3430474523609095,
        1.9578379245607584,
        0.866224013870668,
    ],
    [
        -3.935735335036497e-17,
        -5.337836035525533e-17,
        -1.135182530699217e-16,
        2.8658837463471963e-18,
        -3.1178565966641257e-17,
        -6.404466966325114e-17,
        7.769584704001829e-17,
        -5.1848526178844877e-17,
    ],
    [
        -2.1442872565786008e-33,
        1.6504700163463247e-34,
        -5.665244373482231e-33,
        -1.4725546006520646e-34,
        6.863064799465887e-34,
        3.839205378856208e-34,
        3.34906530821634e-33,
        2.2860889856306025e-33,
    ],
];

/// Quarter turns (modulo 4, in the low bits) and the rest in radians, for 0 ≤ a ≤ [`SMALL_ANGLE`].
#[inline(always)]
fn reduce_small<S: Simd>(a: f32) -> (u32, f32) {
    if S::FMA {
        let t = fma::<S>(a, std::f32::consts::FRAC_2_PI, MAGIC);
        let n = t - MAGIC;
        let r = fma::<S>(n, -PIO2[2], fma::<S>(n, -PIO2[1], fma::<S>(n, -PIO2[0], a)));
        (t.to_bits(), r)
    } else {
        // Without FMA the products would round; in f64, 33-bit parts of π/2 keep them exact.
        let a = a as f64;
        let t = a * std::f64::consts::FRAC_2_PI + double::MAGIC;
        let n = t - double::MAGIC;
        let r = (a - n * 1.570_796_326_734_125_6) - n * 6.077_100_506_506_192e-11;
        (t.to_bits() as u32, r as f32)
    }
}

/// The same for any a ≥ 0 (NaN for ∞). With a = a'·2^(16g), a' an integer below 2⁴¹ or g = 0, whole multiples of 4 in
/// 2^(16g)·2/π drop out. Three parts of it suffice: f32 angles come within 2⁻³³ of a multiple of π/2, not nearer.
#[inline(always)]
fn reduce_large(a: f32) -> (u32, f32) {
    let exponent = (a.to_bits() >> 23) as i32 - 127;
    let group = (if exponent < 24 { 0 } else { exponent - 24 } >> 4) as usize & 7;
    let a = a as f64 * f64::from_bits((1023 - 16 * group as u64) << 52);
    let product = a * TWO_OVER_PI[0][group];
    let error = a.mul_add(TWO_OVER_PI[0][group], -product);
    let t = product + double::MAGIC;
    let near = (product - (t - double::MAGIC)) + error;
    let turns = a.mul_add(TWO_OVER_PI[2][group], a.mul_add(TWO_OVER_PI[1][group], near));
    (t.to_bits() as u32, (turns * std::f64::consts::FRAC_PI_2) as f32)
}

#[inline(always)]
fn reduce<S: Simd>(a: f32) -> (u32, f32) {
    if S::FMA {
        let ((q, r), (ql, rl)) = (reduce_small::<S>(a), reduce_large(a));
        if a <= SMALL_ANGLE { (q, r) } else { (ql, rl) }
    } else if a <= SMALL_ANGLE {
        // Here mul_add is a library call, so a branch is cheaper than both sides.
        reduce_small::<S>(a)
    } else {
        reduce_large(a)
    }
}

#[inline(always)]
fn sin_reduced<S: Simd>(r: f32) -> f32 {
    let z = r * r;
    fma::<S>(r * z, poly!(S, z; -0.166_666_55, 0.008_332_189, -0.000_195_182_83), r)
}

#[inline(always)]
fn cos_reduced<S: Simd>(r: f32) -> f32 {
    let z = r * r;
    let p = poly!(S, z; 0.041_666_646, -0.001_388_731, 2.443_232_7e-5);
    let half = 0.5 * z;
    let w = 1.0 - half;
    w + fma::<S>(z * z, p, (1.0 - w) - half)
}

/// sin (q quarter turns + r), its sign bit flipped by `sign`.
#[inline(always)]
fn sin_turned<S: Simd>(q: u32, r: f32, sign: u32) -> f32 {
    let v = if q & 1 == 0 { sin_reduced::<S>(r) } else { cos_reduced::<S>(r) };
    f32::from_bits(v.to_bits() ^ ((q & 2) << 30) ^ sign)
}

#[inline(always)]
pub fn sin<S: Simd>(x: f32) -> f32 {
    let (q, r) = reduce::<S>(x.abs());
    sin_turned::<S>(q, r, x.to_bits() & SIGN)
}

#[inline(always)]
pub fn sin_small<S: Simd>(x: f32) -> f32 {
    let (q, r) = reduce_small::<S>(x.abs());
    sin_turned::<S>(q, r, x.to_bits() & SIGN)
}

#[inline(always)]
pub fn cos<S: Simd>(x: f32) -> f32 {
    let (q, r) = reduce::<S>(x.abs());
    sin_turned::<S>(q.wrapping_add(1), r, 0)
}

#[inline(always)]
pub fn cos_small<S: Simd>(x: f32) -> f32 {
    let (q, r) = reduce_small::<S>(x.abs());
    sin_turned::<S>(q.wrapping_add(1), r, 0)
}

#[inline(always)]
pub fn tan<S: Simd>(x: f32) -> f32 {
    tan_turned::<S>(reduce::<S>(x.abs()), x)
}

#[inline(always)]
pub fn tan_small<S: Simd>(x: f32) -> f32 {
    tan_turned::<S>(reduce_small::<S>(x.abs()), x)
}

#[inline(always)]
fn tan_turned<S: Simd>((q, r): (u32, f32), x: f32) -> f32 {
    let (s, c) = (sin_reduced::<S>(r), cos_reduced::<S>(r));
    let v = if q & 1 == 0 { s / c } else { -c / s };
    f32::from_bits(v.to_bits() ^ (x.to_bits() & SIGN))
}

/// asin(s) for 0 ≤ s ≤ ½, with z = s².
#[inline(always)]
fn asin_reduced<S: Simd>(s: f32, z: f32) -> f32 {
    let p = poly!(S, z; 0.166_666_6, 0.075_005_22, 0.044_513_74, 0.031_832_69, 0.014_350_779, 0.037_631_53);
    fma::<S>(s * z, p, s)
}

/// asin(s) with s = |x| up to ½, and s = √((1 − |x|)/2) beyond: then asin|x| = π/2 − 2·asin(s).
#[inline(always)]
fn asin_half<S: Simd>(a: f32) -> (bool, f32) {
    let far = a > 0.5;
    let z = if far { 0.5 - 0.5 * a } else { a * a };
    let s = if far { z.sqrt() } else { a };
    (far, asin_reduced::<S>(s, z))
}

#[inline(always)]
pub fn asin<S: Simd>(x: f32) -> f32 {
    let (far, p) = asin_half::<S>(x.abs());
    with_sign_of(if far { PIO2[0] - (2.0 * p - PIO2[1]) } else { p }, x)
}

#[inline(always)]
pub fn acos<S: Simd>(x: f32) -> f32 {
    let (far, p) = asin_half::<S>(x.abs());
    let negative = x < 0.0;
    let near = PIO2[0] - (if negative { -p } else { p } - PIO2[1]);
    let p2 = 2.0 * p;
    let end = if negative { 2.0 * PIO2[0] - (p2 - 2.0 * PIO2[1]) } else { p2 };
    if far { end } else { near }
}

/// atan(t) for 0 ≤ t ≤ 1.
#[inline(always)]
fn atan_reduced<S: Simd>(t: f32) -> f32 {
    let z = t * t;
    let p = poly!(S, z; -0.333_333, 0.199_985_3, -0.142_640_14, 0.109_508_604, -0.083_992_02, 0.057_878_688,
        -0.031_093_266, 0.010_866_082, -0.001_782_093_1);
    fma::<S>(t * z, p, t)
}

#[inline(always)]
pub fn atan<S: Simd>(x: f32) -> f32 {
    let a = x.abs();
    let far = a > 1.0;
    let p = atan_reduced::<S>(if far { 1.0 / a } else { a });
    with_sign_of(if far { PIO2[0] - (p - PIO2[1]) } else { p }, x)
}

#[inline(always)]
pub fn atan2<S: Simd>(y: f32, x: f32) -> f32 {
    let (ay, ax) = (y.abs(), x.abs());
    let steep = ay > ax;
    let (small, large) = if steep { (ax, ay) } else { (ay, ax) };
    let t = small / large;
    let t = if large == 0.0 { 0.0 } else { t };
    let t = if small == f32::INFINITY { 1.0 } else { t };
    let p = atan_reduced::<S>(t);
    let p = if steep { PIO2[0] - (p - PIO2[1]) } else { p };
    let p = if x.to_bits() & SIGN != 0 { 2.0 * PIO2[0] - (p - 2.0 * PIO2[1]) } else { p };
    if x.is_nan() || y.is_nan() { f32::NAN } else { with_sign_of(p, y) }
}

/// e^a/2 for 0 ≤ a.
#[inline(always)]
fn half_exp<S: Simd>(a: f32) -> f32 {
    let (t, r) = exp_split::<S>(clamp(a, 0.0, 90.0));
    scale(exp_reduced::<S>(r).0, t, -1)
}

#[inline(always)]
pub fn sinh<S: Simd>(x: f32) -> f32 {
    let a = x.abs();
    let z = a * a;
    let p = poly!(S, z; 0.166_666_67, 0.008_333_310_5, 0.000_198_428_96, 2.782_212e-6);
    let e = half_exp::<S>(a);
    with_sign_of(if a < 1.0 { fma::<S>(a * z, p, a) } else { e - 0.25 / e }, x)
}

#[inline(always)]
pub fn cosh<S: Simd>(x: f32) -> f32 {
    let e = half_exp::<S>(x.abs());
    e + 0.25 / e
}

#[inline(always)]
pub fn tanh<S: Simd>(x: f32) -> f32 {
    let a = x.abs();
    let z = a * a;
    let p = poly!(S, z; -0.333_332_8, 0.133_314_06, -0.053_736_515, 0.020_628_165, -0.005_692_29);
    let small = fma::<S>(a * z, p, a);
    // Beyond 10 the result is 1 to the last bit.
    let (t, r) = exp_split::<S>(2.0 * if a > 10.0 { 10.0 } else { a });
    let e = fma::<S>(r * r, exp_tail::<S>(r), 1.0 + r);
    let large = 1.0 - 2.0 / fma::<S>(e, pow2(t), 1.0);
    with_sign_of(if a < 0.625 { small } else { large }, x)
}

#[inline(always)]
pub fn sigmoid<S: Simd>(x: f32) -> f32 {
    // With e = e^-|x| this is 1/(1 + e) or e/(1 + e), corrected by what 1 + e rounded away.
    let (t, r) = exp_split::<S>(clamp(-x.abs(), -104.0, 0.0));
    let e = scale(1.0 + fma::<S>(r * r, exp_tail::<S>(r), r), t, 0);
    let d = 1.0 + e;
    let d_low = e - (d - 1.0);
    // The numerator is e or 1 without a branch, which would make LLVM divide once for each.
    let floor = f32::from_bits(!(x.to_bits() as i32 >> 31) as u32 & 1.0f32.to_bits());
    let q = if e > floor { e } else { floor } / d;
    let reciprocal = if x < 0.0 { 1.0 - q } else { q };
    fma::<S>(-q * d_low, reciprocal, q)
}

#[inline(always)]
pub fn erf<S: Simd>(x: f32) -> f32 {
    let a = x.abs();
    // Beyond 4 the result is 1 to the last bit.
    let a = if a > 4.0 { 4.0 } else { a };
    let z = a * a;
    let q = poly!(S, z; 0.128_379_17, -0.376_126_26, 0.112_835_79, -0.026_853_347, 0.005_187_162, -0.000_799_785_2,
        7.806_891e-5);
    let small = fma::<S>(a, q, a);
    // −log erfc(a) on [1, 4].
    let g = poly!(S, a; 0.000_300_465_44, 1.127_251_3, 0.637_883_5, 0.103_326_9, -0.021_940_151, 0.002_972_35,
        -0.000_188_811_2);
    let (t, r) = exp_split::<S>(-g);
    let e = fma::<S>(r * r, exp_tail::<S>(r), 1.0 + r);
    let large = fma::<S>(e, -pow2(t), 1.0);
    with_sign_of(if a < 1.0 { small } else { large }, x)
}

#[inline(always)]
pub fn erfc<S: Simd>(x: f32) -> f32 {
    double::erfc::<S>(x as f64) as f32
}

/// By M. Giles ("Approximating the erfinv function", 2010): erfinv(x)/x over w = −log(1 − x²), which is nearly straight, and
/// over √w further out.
#[inline(always)]
pub fn erfinv<S: Simd>(x: f32) -> f32 {
    let a = x.abs();
    let w = -log::<S>((1.0 - a) * (1.0 + a));
    let near = poly!(S, w - 2.5; 1.501_409_4, 0.246_640_28, -0.004_177_387, -0.001_252_741_9, 0.000_218_344_44, -4.963_347_2e-6,
        -3.462_704_9e-6, 4.661_705_8e-7, 2.323_264_2e-8, -8.791_05e-9);
    let far = poly!(S, w.sqrt() - 3.125; 2.958_320_1, 1.003_718_6, 0.007_049_638_3, -0.005_298_417_5, 0.003_777_487_7, -0.002_534_652_4,
        0.001_319_815_9, -0.000_297_588_2, -0.000_179_902_49, 0.000_113_639_9);
    let r = if w < 5.0 { near } else { far } * x;
    if a == 1.0 { f32::INFINITY.copysign(x) } else { r }
}

#[inline(always)]
pub fn asinh<S: Simd>(x: f32) -> f32 {
    let a = x.abs() as f64;
    let small = a - a * a * a * (1.0 / 6.0);
    let r = double::log::<S>(a + (a * a + 1.0).sqrt());
    with_sign_of(if a < 1e-4 { small } else { r } as f32, x)
}

#[inline(always)]
pub fn acosh<S: Simd>(x: f32) -> f32 {
    let a = x as f64;
    let r = double::log::<S>(a + (a * a - 1.0).sqrt()) as f32;
    // The square root is NaN in (−1, 1) only.
    if x < 1.0 { f32::NAN } else { r }
}

#[inline(always)]
pub fn atanh<S: Simd>(x: f32) -> f32 {
    let a = x.abs() as f64;
    let small = a + a * a * a * (1.0 / 3.0);
    let r = 0.5 * double::log::<S>((1.0 + a) / (1.0 - a));
    with_sign_of(if a < 1e-4 { small } else { r } as f32, x)
}

#[inline(always)]
pub fn pow<S: Simd>(x: f32, y: f32) -> f32 {
    let a = x.abs();
    let r = double::exp::<S>(y as f64 * double::log::<S>(a as f64)) as f32;
    // 1 to any number, and −1 to ±∞, although log 1 · ∞ is NaN.
    let r = if a == 1.0 && !y.is_nan() { 1.0 } else { r };
    let integral = y.floor() == y;
    let odd = integral && (0.5 * y).floor() != 0.5 * y;
    let r = if x.to_bits() & SIGN != 0 && odd { -r } else { r };
    let r = if x < 0.0 && x != f32::NEG_INFINITY && !integral { f32::NAN } else { r };
    if y == 0.0 || x == 1.0 { 1.0 } else { r }
}

#[inline(always)]
pub fn hypot<S: Simd>(a: f32, b: f32) -> f32 {
    let (x, y) = (a as f64, b as f64);
    let r = (x * x + y * y).sqrt() as f32;
    if a.abs() == f32::INFINITY || b.abs() == f32::INFINITY { f32::INFINITY } else { r }
}

#[inline(always)]
pub fn logaddexp<S: Simd>(a: f32, b: f32) -> f32 {
    let (lo, hi) = if a < b { (a, b) } else { (b, a) };
    let r = hi + log1p::<S>(exp::<S>(lo - hi));
    // Equal infinities would subtract to NaN.
    if a == b && a.abs() == f32::INFINITY { a } else { r }
}

#[inline(always)]
pub fn lgamma<S: Simd>(x: f32) -> f32 {
    double::lgamma::<S>(x as f64) as f32
}

#[inline(always)]
pub fn digamma<S: Simd>(x: f32) -> f32 {
    double::digamma::<S>(x as f64) as f32
}

macro_rules! plain_functions {
    ($t:ident) => {
        #[inline(always)]
        pub fn sqrt(x: $t) -> $t {
            x.sqrt()
        }
        #[inline(always)]
        pub fn rsqrt(x: $t) -> $t {
            1.0 / x.sqrt()
        }
        #[inline(always)]
        pub fn recip(x: $t) -> $t {
            1.0 / x
        }
        #[inline(always)]
        pub fn floor(x: $t) -> $t {
            x.floor()
        }
        #[inline(always)]
        pub fn ceil(x: $t) -> $t {
            x.ceil()
        }
        #[inline(always)]
        pub fn trunc(x: $t) -> $t {
            x.trunc()
        }
        #[inline(always)]
        pub fn round(x: $t) -> $t {
            x.round_ties_even()
        }
        #[inline(always)]
        pub fn abs(x: $t) -> $t {
            x.abs()
        }
        #[inline(always)]
        pub fn copysign(x: $t, b: $t) -> $t {
            x.copysign(b)
        }
        #[inline(always)]
        pub fn sign(x: $t) -> $t {
            let r = if x == 0.0 { 0.0 } else { (1.0 as $t).copysign(x) };
            if x.is_nan() { x } else { r }
        }
        #[inline(always)]
        pub fn minimum(a: $t, b: $t) -> $t {
            let r = if a < b { a } else { b };
            if a.is_nan() { a } else { r }
        }
        #[inline(always)]
        pub fn maximum(a: $t, b: $t) -> $t {
            let r = if a > b { a } else { b };
            if a.is_nan() { a } else { r }
        }
        #[inline(always)]
        pub fn fmod(a: $t, b: $t) -> $t {
            a % b
        }
        #[inline(always)]
        pub fn remainder(a: $t, b: $t) -> $t {
            let r = a % b;
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        }
        #[inline(always)]
        pub fn floor_div(a: $t, b: $t) -> $t {
            if b == 0.0 {
                return a / b;
            }
            let r = a % b;
            let mut q = (a - r) / b;
            if r != 0.0 && (r < 0.0) != (b < 0.0) {
                q -= 1.0;
            }
            if q == 0.0 {
                return (0.0 as $t).copysign(a / b);
            }
            let floor = q.floor();
            if q - floor > 0.5 { floor + 1.0 } else { floor }
        }
    };
}
pub(super) use plain_functions;
plain_functions!(f32);
