//! The regularised incomplete gamma functions P(a, x) and Q(a, x) = 1 − P(a, x), each with its own relative accuracy:
//! power series below x = a + 1, a continued fraction above (Abramowitz and Stegun 6.5.29 and 6.5.31), a series in −x for
//! small arguments, and where a is large and x near it, so that those converge slowly, an integral.

use super::double;
use crate::cpu::simd::Portable;
use std::f64::consts::TAU;
use std::sync::LazyLock;

const ROUNDING: f64 = f64::EPSILON / 4.0;
/// Integrands are followed down to e to the minus this.
const DISTANCE: f64 = 40.0;
const POINTS: usize = 40;

/// P(a, x), the lower function.
pub fn lower(a: f64, x: f64) -> f64 {
    edge(a, x).unwrap_or_else(|| match half(a, x) {
        Half::Lower(p) => p,
        Half::Upper(q) => 1.0 - q,
    })
}

/// Q(a, x), the upper function.
pub fn upper(a: f64, x: f64) -> f64 {
    edge(a, x).map(|p| 1.0 - p).unwrap_or_else(|| match half(a, x) {
        Half::Lower(_) if x <= 1.1 && a < 1.0 => upper_near_zero(a, x),
        Half::Lower(p) => 1.0 - p,
        Half::Upper(q) => q,
    })
}

/// P where it is a limit or undefined.
fn edge(a: f64, x: f64) -> Option<f64> {
    let undefined = a.is_nan() || x.is_nan() || a < 0.0 || x < 0.0 || (a == 0.0 && x == 0.0);
    if undefined || (a.is_infinite() && x.is_infinite()) {
        Some(f64::NAN)
    } else if x == 0.0 || a.is_infinite() {
        Some(0.0)
    } else if a == 0.0 || x.is_infinite() {
        Some(1.0)
    } else {
        None
    }
}

/// The one of the two that is computed, the other being what it lacks to 1.
enum Half {
    Lower(f64),
    Upper(f64),
}

fn half(a: f64, x: f64) -> Half {
    let front = front(a, x);
    if a > 200.0 && (x - a).abs() < 0.3 * a {
        let tail = front * a * tail_integral(a, x);
        return if x < a { Half::Lower(tail) } else { Half::Upper(tail) };
    }
    if x < a + 1.0 { Half::Lower(front * power_series(a, x)) } else { Half::Upper(front * a * fraction(a, x)) }
}

/// m − log(1 + m), without cancellation near 0.
fn excess(m: f64) -> f64 {
    if m.abs() > 0.3 {
        return m - m.ln_1p();
    }
    // log(1 + m) = 2·atanh(w), and m − 2w = w·m.
    let w = m / (2.0 + m);
    let z = w * w;
    let (mut power, mut sum, mut k) = (w * z, 0.0, 3.0);
    while power.abs() > ROUNDING * z {
        sum += power / k;
        power *= z;
        k += 2.0;
    }
    w * m - 2.0 * sum
}

/// x^a·e^−x/Γ(a + 1).
fn front(a: f64, x: f64) -> f64 {
    if a < 10.0 {
        return if x > 1e4 { 0.0 } else { x.powf(a) * (-x).exp() / double::lgamma_above_one(a).exp() };
    }
    (-a * excess((x - a) / a) - double::stirling_rest::<Portable>(a) / a).exp() / (TAU * a).sqrt()
}

/// Σ xⁿ/((a + 1)…(a + n)).
fn power_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, a + 1.0);
    while term > ROUNDING * sum {
        term *= x / k;
        sum += term;
        k += 1.0;
    }
    sum
}

/// 1/(x + 1 − a − 1·(1 − a)/(x + 3 − a − 2·(2 − a)/(x + 5 − a − …))) for x ≥ a + 1, by Lentz's method.
fn fraction(a: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - a;
    let mut d = 1.0 / b;
    let (mut c, mut h, mut k) = (f64::INFINITY, d, 1.0);
    loop {
        let numerator = k * (a - k);
        b += 2.0;
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        let step = c * d;
        h *= step;
        if (step - 1.0).abs() <= 2.0 * ROUNDING || k > 1e4 {
            return h;
        }
        k += 1.0;
    }
}

/// Q = 1 − x^a/Γ(1 + a)·(1 + a·Σ (−x)ⁿ/(n!·(a + n))), without cancellation of the 1.
fn upper_near_zero(a: f64, x: f64) -> f64 {
    let (mut power, mut sum, mut n) = (-x, 0.0, 1.0);
    while power.abs() > ROUNDING * x {
        sum += power / (a + n);
        n += 1.0;
        power *= -x / n;
    }
    let exponent = a * x.ln() - double::lgamma_above_one(a);
    -exponent.exp_m1() - exponent.exp() * a * sum
}

/// The integral of e^−h over s > 0, h(s) = x·(e^±s − 1) ∓ a·s with the sign of x − a: what lies beyond x of the density
/// of a gamma variable, over x times the density at x.
fn tail_integral(a: f64, x: f64) -> f64 {
    let side = if x < a { -1.0 } else { 1.0 };
    let linear = side * (x - a);
    let h = |s: f64| linear * s + x * above_tangent(side * s);
    let slope = |s: f64| linear + side * x * (side * s).exp_m1();
    // h(s) ≥ x·s²/3 up to 1; Newton's steps come from above.
    let mut reach = (3.0 * DISTANCE / x).sqrt();
    for _ in 0..4 {
        reach -= (h(reach) - DISTANCE) / slope(reach);
    }
    reach * NODES.iter().map(|&(point, weight)| weight * (-h(reach * point)).exp()).sum::<f64>()
}

/// e^t − 1 − t for |t| < 1.
fn above_tangent(t: f64) -> f64 {
    let (mut term, mut sum, mut k) = (t * t / 2.0, 0.0f64, 3.0);
    while term.abs() > ROUNDING * sum.abs() {
        sum += term;
        term *= t / k;
        k += 1.0;
    }
    sum
}

/// Gauss-Legendre points and weights on [0, 1].
static NODES: LazyLock<[(f64, f64); POINTS]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (POINTS as f64 + 0.5)).cos();
        let mut derivative = 1.0;
        for _ in 0..8 {
            let (mut before, mut p) = (1.0, x);
            for n in 1..POINTS {
                let n = n as f64;
                (before, p) = (p, ((2.0 * n + 1.0) * x * p - n * before) / (n + 1.0));
            }
            derivative = POINTS as f64 * (x * p - before) / (x * x - 1.0);
            x -= p / derivative;
        }
        (0.5 * (1.0 + x), 1.0 / ((1.0 - x * x) * derivative * derivative))
    })
});

#[cfg(test)]
mod tests {
    use super::{lower, upper};

    #[test]
    #[allow(clippy::excessive_precision)]
    fn incomplete_gamma_functions_have_relative_accuracy() {
        // From series of 60 digits.
        for (a, x, p, q) in [
            (1e-10, 0.5, 0.99999999994402264, 5.5977359480549881e-11),
            (0.1, 0.01, 0.66262125995447979, 0.33737874004552021),
            (0.3, 1.05, 0.92157033605483941, 0.078429663945160587),
            (0.5, 3.0, 0.98569412156457036, 0.01430587843542964),
            (1.0, 1.0, 0.63212055882855768, 0.36787944117144232),
            (2.5, 0.25, 0.0078767067673704078, 0.99212329323262959),
            (2.5, 2.5, 0.58411981300449208, 0.41588018699550792),
            (3.0, 12.0, 0.9994777419499671, 0.00052225805003289783),
            (9.5, 30.0, 0.99999613017369934, 3.8698263006641803e-6),
            (15.0, 14.0, 0.42956328717262783, 0.57043671282737217),
            (50.0, 80.0, 0.99986921602340859, 0.00013078397659141034),
            (150.0, 150.0, 0.51085822974935968, 0.48914177025064032),
            (250.0, 249.0, 0.48315401956677537, 0.51684598043322463),
            (250.0, 300.0, 0.9986225281224718, 0.001377471877528202),
            (1000.0, 800.0, 5.5014197761792281e-12, 0.99999999999449858),
            (10000.0, 10100.0, 0.84134875044717962, 0.15865124955282038),
            (1000000.0, 999000.0, 0.15865521357430365, 0.84134478642569635),
            (100000000.0, 100000000.0, 0.50001329807601412, 0.49998670192398588),
        ] {
            let (found_p, found_q) = (lower(a, x), upper(a, x));
            assert!((found_p - p).abs() <= 2e-14 * p, "P({a}, {x}) = {found_p}, not {p}");
            assert!((found_q - q).abs() <= 2e-14 * q, "Q({a}, {x}) = {found_q}, not {q}");
        }
    }

    #[test]
    fn incomplete_gamma_functions_have_their_limits() {
        let inf = f64::INFINITY;
        for (a, x, p) in [(0.0, 1.0, 1.0), (1.0, 0.0, 0.0), (1.0, inf, 1.0), (inf, 1.0, 0.0)] {
            assert_eq!((lower(a, x), upper(a, x)), (p, 1.0 - p));
        }
        for (a, x) in [(0.0, 0.0), (inf, inf), (-1.0, 1.0), (1.0, -1.0), (f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(lower(a, x).is_nan() && upper(a, x).is_nan());
        }
    }
}
