//! Modified Bessel functions of the first kind: power series for small arguments, asymptotic series for large ones
//! (Abramowitz and Stegun 9.6.10 and 9.7.1).

use std::f64::consts::TAU;

/// From here on the terms of the asymptotic series fall below the rounding error before they grow.
const ASYMPTOTIC: f64 = 20.0;

/// Σ (x²/4)ᵏ · ν! / (k! (k + ν)!), all terms positive.
fn power_series(x: f64, order: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter / (k * (k + order));
        sum += term;
        k += 1.0;
    }
    sum
}

/// e^x / √(2πx) · Σ (−1)ᵏ Π (4ν² − (2j − 1)²) / (k! (8x)ᵏ) for x ≥ [`ASYMPTOTIC`].
fn asymptotic(x: f64, order: f64) -> f64 {
    let mu = 4.0 * order * order;
    let (mut term, mut sum, mut k) = (1.0f64, 1.0, 1.0);
    while term.abs() > 1e-17 && k < 40.0 {
        let odd = 2.0 * k - 1.0;
        term *= (odd * odd - mu) / (8.0 * x * k);
        sum += term;
        k += 1.0;
    }
    // In two factors, since e^x overflows before the quotient does.
    let half = (x / 2.0).exp();
    half / (TAU * x).sqrt() * sum * half
}

pub fn i0(x: f64) -> f64 {
    let a = x.abs();
    if a < ASYMPTOTIC { power_series(a, 0.0) } else { asymptotic(a, 0.0) }
}

pub fn i1(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < ASYMPTOTIC { a / 2.0 * power_series(a, 1.0) } else { asymptotic(a, 1.0) };
    if x < 0.0 { -value } else { value }
}
