//! Accuracy against f64 and the system's mathematics library, at every instruction-set level.

use super::*;
use crate::cpu::simd::{Level, available, with_level};
use crate::simd_dispatch;

/// Every this many bit patterns is tried; `CORTEN_TEST_STRIDE=1` makes the sweeps exhaustive.
fn stride() -> usize {
    std::env::var("CORTEN_TEST_STRIDE").ok().and_then(|s| s.parse().ok()).unwrap_or(30_011)
}

fn sweep_f32() -> Vec<f32> {
    let mut x: Vec<f32> = (0..1u64 << 32).step_by(stride()).map(|b| f32::from_bits(b as u32)).collect();
    // A dense part where most activations live, and the edges.
    x.extend((-200_000..200_000).step_by(stride().min(17)).map(|i| i as f32 * 1e-4));
    for v in [0.0f32, 1.0, 0.5, 0.625, 2.0, 10.0, 88.72284, 103.97, 65536.0, 65540.0, 1e30, f32::MAX, f32::INFINITY] {
        x.extend([v, -v, f32::from_bits(v.to_bits() + 1), f32::from_bits(v.to_bits().wrapping_sub(1) & 0x7fff_ffff)]);
    }
    x.extend([f32::NAN, f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1e-45, -1e-45]);
    x
}

fn sweep_f64() -> Vec<f64> {
    let step = 0x0001_2345_6789_abcd_u64 * (1 + stride() as u64 / 30_011 * 4);
    let mut x: Vec<f64> = (0..u64::MAX / step).map(|i| f64::from_bits(i * step)).collect();
    x.extend((-200_000..200_000).step_by(17).map(|i| i as f64 * 1e-4 + 1e-9));
    x.extend([0.0, -0.0, 1.0, -1.0, 709.78, -745.13, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324, -5e-324]);
    x
}

/// The distance of `got` from `want` in units of the spacing of T at `want`.
fn ulp_f32(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if rounded.is_nan() || got.is_nan() {
        return if rounded.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if rounded.is_infinite() || got.is_infinite() || rounded == 0.0 {
        let same = rounded == got && (rounded != 0.0 || rounded.is_sign_negative() == got.is_sign_negative());
        return if same { 0.0 } else { (got as f64 - want).abs() / 1e-45 };
    }
    let exponent = (rounded.abs().max(f32::MIN_POSITIVE).to_bits() >> 23) as i32 - 127;
    (got as f64 - want).abs() / 2f64.powi(exponent - 23)
}

fn ulp_f64(got: f64, want: f64) -> f64 {
    if want.is_nan() || got.is_nan() {
        return if want.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    got.to_bits().wrapping_sub(want.to_bits()).cast_signed().unsigned_abs() as f64
}

macro_rules! appliers {
    ($($f:ident)*) => { simd_dispatch! { $(pub fn $f<T: Real>(x: &[T], out: &mut [T]) {
        for (o, &v) in out.iter_mut().zip(x) { *o = v.$f::<S>(); }
    })* } };
}
mod apply {
    use super::*;
    appliers! { exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc
    erfinv sigmoid lgamma gelu gelu_tanh mish }
}

type Apply<T> = fn(&[T], &mut [T]);

/// Checks `apply` at every level, that all FMA levels agree bit for bit, and so do single elements.
fn check_f32(name: &str, apply: Apply<f32>, reference: impl Fn(f64) -> f64, bound: f64, domain: impl Fn(f32) -> bool) {
    let x: Vec<f32> = sweep_f32().into_iter().filter(|&v| v.is_nan() || domain(v)).collect();
    let mut fused: Option<Vec<f32>> = None;
    for level in available() {
        let mut out = vec![0.0; x.len()];
        let mut single = vec![0.0; x.len() / 61];
        with_level(level, || {
            apply(&x, &mut out);
            for (i, o) in single.iter_mut().enumerate() {
                apply(&x[i * 61..i * 61 + 1], std::slice::from_mut(o));
            }
        });
        let (mut worst, mut at) = (0.0, 0.0);
        for (&v, &o) in x.iter().zip(&out) {
            let e = ulp_f32(o, reference(v as f64));
            if e > worst {
                (worst, at) = (e, v);
            }
        }
        println!("{name:8} f32 {level:?}: {worst:.2} ulp at {at:e}");
        assert!(worst <= bound, "{name} at {level:?}: {worst} ulp at {at:e}");
        for (i, o) in single.iter().enumerate() {
            let same = o.to_bits() == out[i * 61].to_bits() || (o.is_nan() && out[i * 61].is_nan());
            assert!(same, "{name} alone at {} gives {o}, not {}", x[i * 61], out[i * 61]);
        }
        if level != Level::Portable {
            let first = fused.get_or_insert_with(|| out.clone());
            assert!(first.iter().zip(&out).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan()), "{name}");
        }
    }
}

fn check_f64(name: &str, apply: Apply<f64>, reference: impl Fn(f64) -> f64, bound: f64, domain: impl Fn(f64) -> bool) {
    let x: Vec<f64> = sweep_f64().into_iter().filter(|&v| v.is_nan() || domain(v)).collect();
    for level in available() {
        let mut out = vec![0.0; x.len()];
        with_level(level, || apply(&x, &mut out));
        let (mut worst, mut at) = (0.0, 0.0);
        for (&v, &o) in x.iter().zip(&out) {
            let e = ulp_f64(o, reference(v));
            if e > worst {
                (worst, at) = (e, v);
            }
        }
        println!("{name:8} f64 {level:?}: {worst} ulp at {at:e}");
        assert!(worst <= bound, "{name} at {level:?}: {worst} ulp at {at:e}");
    }
}

#[cfg(unix)]
mod system {
    unsafe extern "C" {
        safe fn erf(x: f64) -> f64;
        safe fn erfc(x: f64) -> f64;
        safe fn lgamma(x: f64) -> f64;
    }
    pub fn reference_erf(x: f64) -> f64 {
        erf(x)
    }
    pub fn reference_erfc(x: f64) -> f64 {
        erfc(x)
    }
    pub fn reference_lgamma(x: f64) -> f64 {
        lgamma(x)
    }
}

#[test]
fn exponentials_and_logarithms_are_within_two_ulp() {
    check_f32("exp", apply::exp, f64::exp, 1.0, |_| true);
    check_f32("exp2", apply::exp2, f64::exp2, 1.0, |_| true);
    check_f32("expm1", apply::expm1, f64::exp_m1, 2.0, |_| true);
    check_f32("log", apply::log, f64::ln, 1.0, |_| true);
    check_f32("log2", apply::log2, f64::log2, 2.0, |_| true);
    check_f32("log10", apply::log10, f64::log10, 2.0, |_| true);
    check_f32("log1p", apply::log1p, f64::ln_1p, 2.0, |_| true);
    check_f32("sigmoid", apply::sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 2.0, |_| true);
}

#[test]
fn trigonometric_functions_are_within_a_few_ulp() {
    check_f32("sin", apply::sin, f64::sin, 2.0, |_| true);
    check_f32("cos", apply::cos, f64::cos, 2.0, |_| true);
    check_f32("tan", apply::tan, f64::tan, 3.5, |_| true);
    check_f32("asin", apply::asin, f64::asin, 2.5, |_| true);
    check_f32("acos", apply::acos, f64::acos, 2.0, |_| true);
    check_f32("atan", apply::atan, f64::atan, 2.0, |_| true);
}

#[test]
fn hyperbolic_functions_are_within_two_ulp() {
    check_f32("sinh", apply::sinh, f64::sinh, 2.0, |_| true);
    check_f32("cosh", apply::cosh, f64::cosh, 2.0, |_| true);
    check_f32("tanh", apply::tanh, f64::tanh, 2.0, |_| true);
    check_f32("asinh", apply::asinh, f64::asinh, 1.0, |v| v.abs() < 1e18);
    check_f32("acosh", apply::acosh, f64::acosh, 1.0, |_| true);
    check_f32("atanh", apply::atanh, f64::atanh, 1.0, |_| true);
}

#[cfg(unix)]
#[test]
fn the_error_functions_are_accurate() {
    check_f32("erf", apply::erf, system::reference_erf, 2.0, |_| true);
    check_f32("erfc", apply::erfc, system::reference_erfc, 1.0, |_| true);
    check_f64("erf", apply::erf, system::reference_erf, 2.0, |_| true);
    check_f64("erfc", apply::erfc, system::reference_erfc, 8.0, |v| v < 26.0);
    for level in available() {
        with_level(level, || {
            let x: Vec<f64> = (-9999..10_000).map(|i| i as f64 * 1e-4).collect();
            let (mut y, mut back) = (x.clone(), x.clone());
            apply::erfinv(&x, &mut y);
            apply::erf(&y, &mut back);
            for (a, b) in x.iter().zip(&back) {
                assert!((a - b).abs() <= 4e-16, "erf(erfinv({a})) = {b}");
            }
            let mut edge = [0.0f32; 4];
            apply::erfinv(&[1.0f32, -1.0, 1.5, 0.0], &mut edge);
            assert_eq!(edge[..2], [f32::INFINITY, f32::NEG_INFINITY]);
            assert!(edge[2].is_nan() && edge[3] == 0.0);
        });
    }
}

#[cfg(unix)]
#[test]
fn activations_are_within_two_ulp_where_their_weight_is_small_too() {
    let sigmoid = |x: f64| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
    let gelu = |x: f64| x * 0.5 * system::reference_erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
    let tanh = |x: f64| x * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x));
    let mish = |x: f64| {
        let n = x.min(40.0).exp() * (x.min(40.0).exp() + 2.0);
        x * (n / (n + 2.0))
    };
    check_f32("gelu", apply::gelu, gelu, 1.0, |_| true);
    check_f32("gelu_tanh", apply::gelu_tanh, tanh, 1.0, |v| v.abs() < 1e12);
    check_f32("mish", apply::mish, mish, 1.0, |_| true);
    // The reference rounds its argument, which costs digits where the weight is small.
    check_f64("gelu", apply::gelu, gelu, 8.0, |v| v > -2.0);
    check_f64("gelu_tanh", apply::gelu_tanh, tanh, 8.0, |v| v > -1.0 && v < 1e100);
    check_f64("mish", apply::mish, mish, 4.0, |_| true);
    // By 50 digits: −10·Φ(−10) and −30·Φ(−30).
    let exact = [(-10.0, -7.619_853_024_160_526e-23), (-30.0, -1.472_014_178_144_456e-196)];
    for level in available() {
        with_level(level, || {
            let mut out = [0.0f64; 2];
            apply::gelu(&exact.map(|(x, _)| x), &mut out);
            for (got, (x, want)) in out.iter().zip(exact) {
                assert!(ulp_f64(*got, want) <= 8.0, "gelu({x}) = {got}, not {want}");
            }
        });
    }
}

#[cfg(unix)]
#[test]
fn gamma_functions_are_accurate() {
    // f32 values near the zeros between negative integers are as exact as f64 makes them.
    check_f32("lgamma", apply::lgamma, system::reference_lgamma, 1.0, |v| v > -2.0);
    check_f64("lgamma", apply::lgamma, system::reference_lgamma, 16.0, |v| v > 0.0);
    let psi = |x: f64| double::digamma::<crate::cpu::simd::Portable>(x);
    for (x, want) in [
        (1.0, -0.577_215_664_901_532_9),
        (0.5, -1.963_510_026_021_423_5),
        (10.5, 2.303_001_034_297_686_4),
        (-0.5, 0.036_489_973_978_576_52),
        (1e-3, -1_000.575_571_931_810_2),
    ] {
        assert!((psi(x) - want).abs() <= 2e-15 * want.abs().max(0.5), "digamma({x}) = {}", psi(x));
    }
    assert_eq!(psi(0.0), f64::NEG_INFINITY);
    assert_eq!(psi(-0.0), f64::INFINITY);
    assert!(psi(-3.0).is_nan());
}

#[test]
fn f64_functions_are_within_two_ulp() {
    check_f64("exp", apply::exp, f64::exp, 2.0, |_| true);
    check_f64("log", apply::log, f64::ln, 2.0, |_| true);
    check_f64("expm1", apply::expm1, f64::exp_m1, 2.0, |_| true);
    check_f64("log1p", apply::log1p, f64::ln_1p, 2.0, |_| true);
    check_f64("tanh", apply::tanh, f64::tanh, 2.0, |_| true);
    check_f64(
        "sigmoid",
        apply::sigmoid,
        |x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) },
        2.0,
        |_| true,
    );
}

#[test]
fn functions_of_two_numbers_follow_the_library() {
    let edges = [0.0f32, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1e-40, 1e10, 3e38, -3e38];
    let more = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.1, -7.3, 1.000001, 16777216.0, 16777215.0, 2.5];
    let all: Vec<f32> = edges.into_iter().chain(more).collect();
    simd_dispatch! {
        fn both(a: f32, b: f32) -> [f32; 4] {
            [Real::pow::<S>(a, b), Real::atan2::<S>(a, b), Real::hypot::<S>(a, b), Real::logaddexp::<S>(a, b)]
        }
    }
    for level in available() {
        for &a in &all {
            for &b in &all {
                let got = with_level(level, || both(a, b)).expect("the level is available");
                let (x, y) = (a as f64, b as f64);
                let lae = if x == y { x + 2f64.ln() } else { x.max(y) + (-(x - y).abs()).exp().ln_1p() };
                let lae = if x.is_nan() || y.is_nan() { f64::NAN } else { lae };
                for (name, g, w) in [
                    ("pow", got[0], x.powf(y)),
                    ("atan2", got[1], x.atan2(y)),
                    ("hypot", got[2], x.hypot(y)),
                    ("lae", got[3], lae),
                ] {
                    assert!(ulp_f32(g, w) <= 2.0, "{name}({a}, {b}) = {g}, not {w}, at {level:?}");
                }
            }
        }
    }
}

#[test]
fn powers_of_any_numbers_are_within_two_ulp() {
    simd_dispatch! {
        fn powers(x: &[f32], y: &[f32], out: &mut [f32]) {
            for ((o, &x), &y) in out.iter_mut().zip(x).zip(y) {
                *o = Real::pow::<S>(x, y);
            }
        }
    }
    // Bases of every size, and exponents that keep most results in range.
    let mut state = 1u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for i in 0..200_000 {
        let base = ((uniform() - 0.5) * if i % 2 == 0 { 2.0 } else { 80.0 }).exp2();
        let whole = i % 5 == 0;
        let exponent = (uniform() - 0.5) * 260.0 / base.log2().abs().max(1e-3);
        x.push(if whole { -base } else { base });
        y.push(if whole { exponent.round() } else { exponent });
    }
    let mut out = vec![0.0; x.len()];
    for level in available() {
        with_level(level, || powers(&x, &y, &mut out));
        for ((&x, &y), &got) in x.iter().zip(&y).zip(&out) {
            let want = (x as f64).powf(y as f64);
            assert!(ulp_f32(got, want) <= 2.0, "pow({x}, {y}) = {got}, not {want}, at {level:?}");
        }
    }
}

#[test]
fn sines_of_a_block_do_not_depend_on_the_neighbours() {
    let mut x: Vec<f32> = (0..1000).map(|i| i as f32 * 0.37 - 150.0).collect();
    let (mut small, mut mixed) = (vec![0.0; 1000], vec![0.0; 1000]);
    slices::sin(&x, &mut small);
    x[777] = 1e30;
    x[3] = f32::NAN;
    slices::sin(&x, &mut mixed);
    for i in (0..1000).filter(|i| ![777, 3].contains(i)) {
        assert_eq!(small[i].to_bits(), mixed[i].to_bits());
    }
    assert!(ulp_f32(mixed[777], (1e30f32 as f64).sin()) < 1.0 && mixed[3].is_nan());
}

#[test]
fn remainders_of_a_block_are_those_of_each_pair() {
    let parts =
        [0.0, -0.0, 1.0, 3.0, 0.1, 0.3, 6.0, 1e-45, 1e-38, 1.17e-38, 4194303.0, 1e20, 3.4e38, f32::INFINITY, f32::NAN];
    let near: Vec<f32> = (0..997).map(|i| ((i * 7919) % 1000) as f32 * 0.37 - 170.0).collect();
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for &a in near.iter().chain(&parts) {
        for &b in near.iter().step_by(13).chain(&parts) {
            x.extend([a, -a]);
            y.extend([b, b]);
        }
    }
    let mut out = vec![0.0; x.len()];
    for level in available() {
        with_level(level, || {
            let alike = |out: &[f32], name: &str, f: fn(f32, f32) -> f32| {
                for ((&x, &y), &o) in x.iter().zip(&y).zip(out) {
                    let want = f(x, y);
                    assert!(
                        o.to_bits() == want.to_bits() || (o.is_nan() && want.is_nan()),
                        "{name}({x}, {y}) = {o}, not {want}"
                    );
                }
            };
            slices::fmod(&x, &y, &mut out);
            alike(&out, "fmod", Real::fmod);
            slices::remainder(&x, &y, &mut out);
            alike(&out, "remainder", Real::remainder);
            slices::floor_div(&x, &y, &mut out);
            alike(&out, "floor_div", Real::floor_div);
        });
    }
}

#[test]
fn whole_powers_of_a_block_are_products() {
    let x = [2.0f64, -3.0, 0.5, 0.0, f64::INFINITY];
    let mut out = [0.0; 5];
    slices::pow(&x, &[3.0; 5], &mut out);
    assert_eq!(out, [8.0, -27.0, 0.125, 0.0, f64::INFINITY]);
    slices::pow(&x, &[-2.0; 5], &mut out);
    assert_eq!(out, [0.25, 1.0 / 9.0, 4.0, f64::INFINITY, 0.0]);
    slices::pow(&x, &[3.0, 2.0, -1.0, 0.0, 0.5], &mut out);
    assert_eq!(out, [8.0, 9.0, 2.0, 1.0, f64::INFINITY]);
}

#[test]
fn rounding_and_remainders_follow_python() {
    assert_eq!([0.5f32, 1.5, 2.5, -0.5, -2.5].map(Real::round), [0.0, 2.0, 2.0, -0.0, -2.0]);
    assert_eq!(
        [(7.0f32, -3.0), (-7.0, 3.0), (7.0, 3.0), (-6.0, 3.0)].map(|(a, b)| Real::remainder(a, b)),
        [-2.0, 2.0, 1.0, -0.0]
    );
    assert_eq!(
        [(7.0f64, -3.0), (-7.0, 3.0), (0.3, 0.1), (1.0, 0.0)].map(|(a, b)| Real::floor_div(a, b)),
        [-3.0, -3.0, 2.0, f64::INFINITY]
    );
    assert_eq!(
        [(7i32, -3), (-7, 3), (-7, -3), (i32::MIN, -1), (5, 0)].map(|(a, b)| Integer::floor_div(a, b)),
        [-3, -3, 2, i32::MIN, 0]
    );
    assert_eq!(
        [(7i8, -3), (-7, 3), (-6, 3), (i8::MIN, -1), (5, 0)].map(|(a, b)| Integer::remainder(a, b)),
        [-2, 2, 0, 0, 0]
    );
    assert_eq!(
        [(3i64, 4), (-2, 63), (-1, -3), (2, -1), (0, 0)].map(|(a, b)| Integer::pow(a, b)),
        [81, i64::MIN, -1, 0, 1]
    );
    assert_eq!((Integer::pow(3u8, 6), Integer::pow(255u8, 2)), (217, 1));
    assert!(Real::maximum(1.0f32, f32::NAN).is_nan() && Real::minimum(f32::NAN, 1.0f32).is_nan());
    assert_eq!((Real::sign(-3.0f32), Real::sign(0.0f64)), (-1.0, 0.0));
}
