//! The Hurwitz zeta function and the derivatives of digamma that follow from it.

/// B₂ₖ / (2k)!, the coefficients of the Euler–Maclaurin formula.
const EULER_MACLAURIN: [f64; 10] = [
    1.0 / 12.0,
    -1.0 / 720.0,
    1.0 / 30_240.0,
    -1.0 / 1_209_600.0,
    1.0 / 47_900_160.0,
    -691.0 / 1_307_674_368_000.0,
    1.0 / 74_724_249_600.0,
    -3617.0 / 10_670_622_842_880_000.0,
    43_867.0 / 5_109_094_217_170_944_000.0,
    -174_611.0 / 802_857_662_698_291_200_000.0,
];

/// Σ_{k ≥ 0} (q + k)^(−s) for whole s ≥ 2 and q > 0: ten terms, and the Euler–Maclaurin formula for the rest.
fn zeta_positive(s: i32, q: f64) -> f64 {
    let mut sum = 0.0;
    let mut a = q;
    for _ in 0..10 {
        sum += a.powi(-s);
        a += 1.0;
    }
    let power = a.powi(-s);
    sum += power * a / (s - 1) as f64 + power / 2.0;
    // s (s + 1) … (s + 2k) / a^(s + 2k + 1)
    let mut factor = s as f64 * power / a;
    for (k, c) in EULER_MACLAURIN.iter().enumerate() {
        let next = sum + factor * c;
        if next == sum {
            break;
        }
        sum = next;
        let j = (s + 2 * k as i32) as f64;
        factor *= (j + 1.0) * (j + 2.0) / (a * a);
    }
    sum
}

/// The same for any q: terms left of 0 are summed by reflection. Infinite at 0, −1, −2, ….
fn zeta(s: i32, q: f64) -> f64 {
    if q.is_nan() || q == f64::NEG_INFINITY {
        return f64::NAN;
    }
    if q > 0.0 {
        return if q == f64::INFINITY { 0.0 } else { zeta_positive(s, q) };
    }
    if q == q.floor() {
        return f64::INFINITY;
    }
    let fraction = q - q.floor();
    let left = zeta_positive(s, 1.0 - fraction) - zeta_positive(s, 1.0 - q);
    zeta_positive(s, fraction) + if s % 2 == 0 { left } else { -left }
}

/// The n-th derivative of digamma, n ≥ 1: (−1)^(n+1) n! ζ(n + 1, x) (Abramowitz and Stegun 6.4.10).
pub fn polygamma(n: f64, x: f64) -> f64 {
    let order = n as i32;
    let factorial = (1..=order).fold(1.0, |f, k| f * k as f64);
    let value = factorial * zeta(order + 1, x);
    if order % 2 == 0 { -value } else { value }
}
