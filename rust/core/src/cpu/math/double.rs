//! f64 functions: exp, expm1, log, log1p, tanh, sigmoid, those of erf and of gamma vectorise; the rarer ones call the system's mathematics library.

use super::{poly, single};
use crate::cpu::simd::Simd;
use std::f64::consts::PI;

/// 1.5·2⁵²: adding it rounds a number below 2⁵¹ to an integer, which is then in the low bits of the sum.
pub(super) const MAGIC: f64 = 6_755_399_441_055_744.0;
/// log 2 in two parts; the first has 32 bits, so that its product with an exponent is exact.
const LN2_HI: f64 = 0.693_147_180_369_123_8;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
const LN_PI: f64 = 1.144_729_885_849_400_2;

#[inline(always)]
pub fn fma<S: Simd>(a: f64, b: f64, c: f64) -> f64 {
    if S::FMA { a.mul_add(b, c) } else { a * b + c }
}

/// x = n·log 2 + r: the shifted n (see [`MAGIC`]) and e^r − 1.
#[inline(always)]
fn exp_split<S: Simd>(x: f64) -> (f64, f64) {
    let t = fma::<S>(x, std::f64::consts::LOG2_E, MAGIC);
    let n = t - MAGIC;
    let r = fma::<S>(n, -LN2_LO, fma::<S>(n, -LN2_HI, x));
    let q = poly!(S, r; 0.500_000_000_000_000_6, 0.166_666_666_666_665_88, 0.041_666_666_666_575_93,
        0.008_333_333_333_390_177, 0.001_388_888_893_185_802_7, 0.000_198_412_697_179_454_25, 2.480_150_489_874_005e-5,
        2.755_740_813_134_242e-6, 2.762_619_478_517_713e-7, 2.505_372_420_656_717_4e-8);
    (t, fma::<S>(r * r, q, r))
}

#[inline(always)]
pub(super) fn clamp(x: f64, lo: f64, hi: f64) -> f64 {
    // Written so that NaN passes.
    let x = if x > hi { hi } else { x };
    if x < lo { lo } else { x }
}

#[inline(always)]
pub fn exp<S: Simd>(x: f64) -> f64 {
    let (t, p) = exp_split::<S>(clamp(x, -746.0, 710.0));
    // 2^n in two steps, so that results may be denormal or infinite; the bias keeps the shift unsigned.
    let biased = t.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(2 * 1023);
    let half = biased >> 1;
    let power = |k: u64| f64::from_bits(k << 52);
    (1.0 + p) * power(half) * power(biased.wrapping_sub(half))
}

#[inline(always)]
pub fn log<S: Simd>(x: f64) -> f64 {
    let tiny = x < f64::MIN_POSITIVE;
    let bits = (if tiny { x * 18_014_398_509_481_984.0 } else { x }).to_bits();
    // The exponent relative to [√½, √2), by an unsigned shift: AVX2 has no signed one for 64 bits.
    let offset = bits.wrapping_sub(0x3fe6_a09e_667f_3bcd).wrapping_add(1075 << 52);
    let k = (offset >> 52).wrapping_sub(1075);
    let f = f64::from_bits(bits.wrapping_sub(k << 52)) - 1.0;
    let k = f64::from_bits(k.wrapping_add(MAGIC.to_bits())) - MAGIC;
    let k = if tiny { k - 54.0 } else { k };
    // log(1 + f) = 2·atanh(s) with s = f/(2 + f), summed so that f itself enters unrounded.
    let s = f / (2.0 + f);
    let z = s * s;
    let tail = z * poly!(S, z; 0.666_666_666_666_673_4, 0.399_999_999_994_163_7, 0.285_714_287_420_157_9,
        0.222_221_986_107_362_66, 0.181_835_624_094_086_96, 0.153_140_986_747_804_69, 0.147_954_772_579_517_14);
    let half = 0.5 * f * f;
    let r = fma::<S>(k, LN2_HI, f - (half - fma::<S>(s, half + tail, k * LN2_LO)));
    let r = if x == f64::INFINITY { x } else { r };
    let r = if x == 0.0 { f64::NEG_INFINITY } else { r };
    if x >= 0.0 { r } else { f64::NAN }
}

#[inline(always)]
pub fn tanh<S: Simd>(x: f64) -> f64 {
    let a = x.abs();
    let z = a * a;
    let p = poly!(S, z; -0.333_333_333_333_333, 0.133_333_333_333_266_22, -0.053_968_253_963_760_655,
        0.021_869_488_385_856_22, -0.008_863_232_601_439_723, 0.003_592_092_030_375_573, -0.001_455_542_845_195_467_9,
        0.000_588_444_483_518_887_1, -0.000_233_381_557_863_520_57, 8.331_643_631_811_632e-5,
        -1.949_468_051_077_909_6e-5);
    let small = fma::<S>(a * z, p, a);
    // Beyond 20 the result is 1 to the last bit.
    let (t, p) = exp_split::<S>(2.0 * if a > 20.0 { 20.0 } else { a });
    let s = f64::from_bits((t.to_bits() << 52).wrapping_add(1.0f64.to_bits()));
    let large = 1.0 - 2.0 / (fma::<S>(p, s, s) + 1.0);
    (if a < 0.55 { small } else { large }).copysign(x)
}

#[inline(always)]
pub fn sigmoid<S: Simd>(x: f64) -> f64 {
    let e = exp::<S>(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// erf(a) for 0 ≤ a ≤ 1.
#[inline(always)]
fn erf_reduced<S: Simd>(a: f64) -> f64 {
    let q = poly!(S, a * a; 0.128_379_167_095_512_6, -0.376_126_389_031_837_5, 0.112_837_916_709_548_57,
        -0.026_866_170_645_072_907, 0.005_223_977_624_780_969_5, -0.000_854_832_697_874_752_9,
        0.000_120_553_310_370_754_09, -1.492_559_351_073_839_1e-5, 1.646_097_287_366_003_2e-6,
        -1.635_002_577_741_241_7e-7, 1.465_788_331_280_287_9e-8, -1.136_567_851_469_366e-9, 5.945_281_726_562_794e-11);
    fma::<S>(a, q, a)
}

/// erfc(a)·e^(a²) for 0.95 ≤ a ≤ 28: 1/(1 + 2a) times a polynomial in (a − 3)/(a + 3), the map of Shepherd and Laframboise (1981).
#[inline(always)]
fn erfcx_tail<S: Simd>(a: f64) -> f64 {
    let p = poly!(S, (a - 3.0) / (a + 3.0); 1.253_008_058_269_729_6, -0.135_621_106_124_581_2, -0.047_562_294_353_452_94,
        0.129_645_158_702_766_58, -0.119_273_663_415_121_81, 0.068_308_027_343_639_35, -0.023_770_514_924_726_788,
        0.002_529_391_826_328_322_4, 0.001_888_690_456_987_069_9, -0.000_779_832_451_003_686_8,
        -0.000_105_160_660_710_420_69, 0.000_125_101_199_213_305_22, 4.953_645_823_711_42e-6,
        -2.011_194_150_310_851e-5, -7.407_996_519_647_953e-7, 3.513_120_708_810_026_5e-6, 3.547_925_167_214_749_6e-7,
        -6.934_538_100_430_528e-7, -9.187_881_971_930_835e-8, 1.559_631_525_220_962e-7, -2.821_399_743_745_061_2e-8);
    p / (1.0 + 2.0 * a)
}

/// e^(−x²·scale) for a scale that is a power of 2.
#[inline(always)]
fn bell<S: Simd>(x: f64, scale: f64) -> f64 {
    // x² = hi + lo with hi exact: the top 26 bits of x squared.
    let top = f64::from_bits(x.to_bits() & !0x07ff_ffff);
    let low = (x - top) * (x + top);
    exp::<S>(-top * top * scale) * exp::<S>(-low * scale)
}

/// erfc(a) for a ≥ 0.95.
#[inline(always)]
fn erfc_tail<S: Simd>(a: f64) -> f64 {
    let a = clamp(a, 0.95, 28.0);
    bell::<S>(a, 1.0) * erfcx_tail::<S>(a)
}

#[inline(always)]
pub fn erf<S: Simd>(x: f64) -> f64 {
    let a = x.abs();
    let r = if a < 1.0 { erf_reduced::<S>(a) } else { 1.0 - erfc_tail::<S>(a) };
    r.copysign(x)
}

#[inline(always)]
pub fn erfc<S: Simd>(x: f64) -> f64 {
    let a = x.abs();
    let tail = erfc_tail::<S>(a);
    let near = 1.0 - erf_reduced::<S>(a).copysign(x);
    let far = if x < 0.0 { 2.0 - tail } else { tail };
    if a < 0.95 { near } else { far }
}

#[inline(always)]
pub fn gelu<S: Simd>(x: f64) -> f64 {
    // The exponent is that of x itself: x/√2 would be rounded.
    let wide = clamp(x.abs(), 0.0, 39.0);
    let a = wide * std::f64::consts::FRAC_1_SQRT_2;
    let near = 0.5 - 0.5 * erf_reduced::<S>(if a < 1.0 { a } else { 1.0 });
    let far = 0.5 * bell::<S>(wide, 0.5) * erfcx_tail::<S>(if a > 0.95 { a } else { 0.95 });
    let y = wide * if a < 0.95 { near } else { far };
    let y = if x < 0.0 { -y } else { x - y };
    // Minus infinity times its weight of 0.
    if x == f64::NEG_INFINITY { f64::NAN } else { y }
}

/// 2·√(2/π)·(x + 0.044715 x³), whose sigmoid is gelu's weight with 0.5·(1 + tanh) of its half.
#[inline(always)]
pub(super) fn gelu_exponent<S: Simd>(x: f64) -> f64 {
    x * fma::<S>(x * x, 0.071_354_816_272_600_26, 1.595_769_121_605_730_7)
}

#[inline(always)]
pub fn gelu_tanh<S: Simd>(x: f64) -> f64 {
    x * sigmoid::<S>(gelu_exponent::<S>(x))
}

/// tanh(log(1 + e)).
#[inline(always)]
pub(super) fn mish_weight(e: f64) -> f64 {
    let n = e * (e + 2.0);
    n / (n + 2.0)
}

#[inline(always)]
pub fn mish<S: Simd>(x: f64) -> f64 {
    // Beyond 40 the weight is 1.
    x * mish_weight(exp::<S>(clamp(x, -746.0, 40.0)))
}

#[inline(always)]
pub fn erfinv<S: Simd>(x: f64) -> f64 {
    let a = x.abs();
    // Winitzki's approximation, then two steps of Halley's method, each of which triples the number of right digits.
    let w = log::<S>((1.0 - a) * (1.0 + a));
    let h = 2.0 / (PI * 0.147) + 0.5 * w;
    let mut y = ((h * h - w / 0.147).sqrt() - h).sqrt();
    for _ in 0..2 {
        // Near 1 the complement keeps the digits; 1 − a is exact there.
        let error = if a < 0.5 { erf::<S>(y) - a } else { (1.0 - a) - erfc::<S>(y) };
        // √π/2·e^(y²) is the derivative of erfinv.
        let step = error * 0.886_226_925_452_758 * exp::<S>(y * y);
        y -= step / (1.0 + y * step);
    }
    let small = a * (0.886_226_925_452_758 + 0.232_013_666_534_654_5 * a * a);
    let r = if a < 1e-5 { small } else { y };
    let r = if a == 1.0 { f64::INFINITY } else { r };
    (if a <= 1.0 { r } else { f64::NAN }).copysign(x)
}

/// e^x − 1: 2ⁿ·(e^r − 1) + (2ⁿ − 1), both halved so that 2ⁿ does not overflow.
#[inline(always)]
pub fn expm1<S: Simd>(x: f64) -> f64 {
    let (t, p) = exp_split::<S>(clamp(x, -45.0, 710.0));
    let half = f64::from_bits(t.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(1022) << 52);
    let r = 2.0 * fma::<S>(half, p, half - 0.5);
    if x.abs() < 1e-17 { x } else { r }
}

/// log(1 + x): the logarithm of the rounded sum, and what rounding lost over it.
#[inline(always)]
pub fn log1p<S: Simd>(x: f64) -> f64 {
    let u = 1.0 + x;
    let lost = if x < 1.0 { x - (u - 1.0) } else { 1.0 - (u - x) };
    let r = log::<S>(u) + lost / if u == 0.0 { 1.0 } else { u };
    let r = if x == f64::INFINITY { x } else { r };
    if x.abs() < 1e-17 { x } else { r }
}

/// log Γ(2 + z)/z for |z| ≤ ½.
#[inline(always)]
fn lgamma_near_two<S: Simd>(z: f64) -> f64 {
    poly!(S, z; 0.422_784_335_098_467_13, 0.322_467_033_424_113_2, -0.067_352_301_053_198_14,
        0.020_580_808_427_784_925, -0.007_385_551_028_668_395, 0.002_890_510_330_713_679_7, -0.001_192_753_911_991_131,
        0.000_509_669_525_687_291_7, -0.000_223_154_750_948_841_56, 9.945_749_519_517_266e-5,
        -4.492_634_874_928_13e-5, 2.050_740_900_664_681_7e-5, -9.438_474_705_791_99e-6, 4.373_503_448_394_402e-6,
        -2.044_856_670_667_88e-6, 9.610_538_872_601_038e-7, -4.304_908_965_058_941_4e-7, 1.966_721_091_139_633_6e-7,
        -1.340_081_598_407_253_2e-7, 6.916_035_584_297_285e-8)
}

/// What Stirling's formula for log Γ(x) leaves, times x: the Bernoulli numbers B₂ … B₁₆ over powers of x².
#[inline(always)]
pub(super) fn stirling_rest<S: Simd>(x: f64) -> f64 {
    poly!(S, 1.0 / (x * x); 1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0,
        1.0 / 156.0, -3617.0 / 122_400.0)
}

/// log Γ(x) for x > 0. All ways are computed and one is taken, so that the loop around vectorises.
#[inline(always)]
fn lgamma_positive<S: Simd>(x: f64) -> f64 {
    let (low, near, far) = (x < 0.5, x < 1.5, x >= 9.0);
    // From 1.5 to 9 as Γ(y) with y in (1.5, 2.5] times a product.
    let (mut y, mut product) = (x, 1.0);
    for _ in 0..7 {
        let above = (y > 2.5) & !far;
        y = if above { y - 1.0 } else { y };
        product = if above { product * y } else { product };
    }
    // Γ(x) = Γ(2 + x)/(x·(1 + x)) below a half, Γ(1 + x)/x up to 1.5.
    let z = if low {
        x
    } else if near {
        x - 1.0
    } else {
        y - 2.0
    };
    let argument = if low {
        x * (1.0 + x)
    } else if near | far {
        x
    } else {
        product
    };
    let l = log::<S>(argument);
    let close = fma::<S>(z, lgamma_near_two::<S>(if far { 0.0 } else { z }), if near { -l } else { l });
    let half_log_two_pi = 0.918_938_533_204_672_7;
    let stirling = (x - 0.5) * (l - 1.0) + (half_log_two_pi - 0.5) + stirling_rest::<S>(x) / x;
    if far { stirling } else { close }
}

/// sin πd and cos πd for |d| ≤ ½: their power series.
#[inline(always)]
fn sin_cos_pi<S: Simd>(d: f64) -> (f64, f64) {
    let r = PI * d;
    let z = r * r;
    let sin = poly!(S, z; 1.0, -1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362_880.0, -1.0 / 39_916_800.0,
        1.0 / 6_227_020_800.0, -1.0 / 1_307_674_368_000.0, 1.0 / 355_687_428_096_000.0, -1.0 / 121_645_100_408_832_000.0,
        1.0 / 51_090_942_171_709_440_000.0);
    // The cosine as the sine of what is missing to ½, so that it keeps its digits there.
    let q = PI * (0.5 - d.abs());
    let w = q * q;
    let cos = poly!(S, w; 1.0, -1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362_880.0, -1.0 / 39_916_800.0,
        1.0 / 6_227_020_800.0, -1.0 / 1_307_674_368_000.0, 1.0 / 355_687_428_096_000.0, -1.0 / 121_645_100_408_832_000.0,
        1.0 / 51_090_942_171_709_440_000.0);
    (r * sin, q * cos)
}

#[inline(always)]
pub fn lgamma<S: Simd>(x: f64) -> f64 {
    // Γ(x)·Γ(1 − x) = π/sin πx
    let below = x < 0.0;
    let nearest = (x.abs() + 4_503_599_627_370_496.0) - 4_503_599_627_370_496.0;
    let distance = (x.abs() - if x.abs() < 4e15 { nearest } else { x.abs() }).abs();
    let positive = lgamma_positive::<S>(if below { 1.0 - x } else { x });
    let r = if below { LN_PI - log::<S>(sin_cos_pi::<S>(distance).0) - positive } else { positive };
    let pole = (x <= 0.0) & (distance == 0.0);
    let r = if pole | (x.abs() == f64::INFINITY) | (x >= 3e305) { f64::INFINITY } else { r };
    if x.is_nan() { x } else { r }
}

/// log Γ(1 + a) for a > 0, exact to rounding for small a too.
pub(super) fn lgamma_above_one(a: f64) -> f64 {
    use crate::cpu::simd::Portable;
    if a < 0.5 { a * lgamma_near_two::<Portable>(a) - a.ln_1p() } else { lgamma::<Portable>(1.0 + a) }
}

#[inline(always)]
pub fn digamma<S: Simd>(x: f64) -> f64 {
    // ψ(1 − x) − ψ(x) = π·cot πx
    let below = x < 0.0;
    let start = if below { 1.0 - x } else { x };
    // ψ(y) + Σ 1/(y + k), as one fraction, up to 10.
    let (mut y, mut above, mut under) = (start, 0.0, 1.0);
    for _ in 0..10 {
        let more = y < 10.0;
        above = if more { fma::<S>(above, y, under) } else { above };
        under = if more { under * y } else { under };
        y = if more { y + 1.0 } else { y };
    }
    let i = 1.0 / (y * y);
    let series = i
        * poly!(S, i; 1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32_760.0, 1.0 / 12.0);
    let right = log::<S>(y) - 0.5 / y - series - above / under;
    let nearest = (x.abs() + 4_503_599_627_370_496.0) - 4_503_599_627_370_496.0;
    let distance = nearest - x.abs();
    let (sin, cos) = sin_cos_pi::<S>(distance);
    let r = if below { right - PI * cos / sin } else { right };
    let pole = below & ((distance == 0.0) | (x < -4e15));
    let r = if pole { f64::NAN } else { r };
    if x == 0.0 { f64::INFINITY.copysign(-x) } else { r }
}

#[inline(always)]
pub fn logaddexp<S: Simd>(a: f64, b: f64) -> f64 {
    let (lo, hi) = if a < b { (a, b) } else { (b, a) };
    if a == b && a.is_infinite() { a } else { hi + log1p::<S>(exp::<S>(lo - hi)) }
}

macro_rules! from_library {
    ($($f:ident = $std:ident($($a:ident),*);)*) => {$(
        #[inline(always)]
        pub fn $f<S: Simd>(x: f64 $(, $a: f64)*) -> f64 {
            x.$std($($a),*)
        }
    )*};
}
from_library! {
    exp2 = exp2();
    log2 = log2();
    log10 = log10();
    sin = sin();
    cos = cos();
    sin_small = sin();
    cos_small = cos();
    tan = tan();
    tan_small = tan();
    asin = asin();
    acos = acos();
    atan = atan();
    atan2 = atan2(b);
    sinh = sinh();
    cosh = cosh();
    asinh = asinh();
    acosh = acosh();
    atanh = atanh();
    pow = powf(b);
    hypot = hypot(b);
}

single::plain_functions!(f64);
