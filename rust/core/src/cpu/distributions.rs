//! Samplers built on the sequential generator, draw for draw as PyTorch's CPU kernels: exponential, geometric, Cauchy,
//! log-normal, Poisson, binomial, gamma, multinomial.

use crate::cpu::random::{fill_from, fill_from_doubles, fill_with};
use crate::cpu::sort::key_of;
use crate::cpu::view::{In, Out};
use crate::dispatch;
use crate::dtype::{DType, Element};
use crate::ensure;
use crate::error::Result;
use crate::rng::Generator;

/// Exponential numbers of rate `lambda`.
pub fn exponential(generator: &mut Generator, out: &mut Out, lambda: f64) {
    dispatch!(out.dtype, T => {
        fill_from_doubles::<T>(generator, out, |u| T::from_f64(exponential_of(u, lambda)));
    });
}

fn exponential_of(u: f64, lambda: f64) -> f64 {
    -1.0 / lambda * (-u).ln_1p()
}

/// Trials up to and with the first success of probability `p`, in any dtype.
pub fn geometric(generator: &mut Generator, out: &mut Out, p: f64) {
    let log_failure = (1.0 - p).ln();
    dispatch!(out.dtype, T => {
        fill_from_doubles::<T>(generator, out, |u| T::from_f64((u.ln() / log_failure).ceil()));
    });
}

pub fn cauchy(generator: &mut Generator, out: &mut Out, median: f64, sigma: f64) {
    dispatch!(out.dtype, T => fill_from_doubles::<T>(generator, out, |u| {
        T::from_f64(median + sigma * (std::f64::consts::PI * (u - 0.5)).tan())
    }));
}

/// Numbers whose logarithms are normal.
pub fn log_normal(generator: &mut Generator, out: &mut Out, mean: f64, std: f64) {
    dispatch!(out.dtype, T => fill_with(out, || T::from_f64((generator.normal_f64() * std + mean).exp())));
}

/// Poisson counts with the given rates, of the output's shape.
pub fn poisson(generator: &mut Generator, rates: &In, out: &mut Out) -> Result<()> {
    let valid = dispatch!(rates.dtype, T => rates.to_vec_or_slice::<T>().iter().all(|r| r.to_f64() >= 0.0));
    ensure!(valid, Runtime, "invalid Poisson rate, expected rate to be non-negative");
    dispatch!(out.dtype, T => fill_from(out, [rates], |[rate]| T::from_i64(one_poisson(generator, rate))));
    Ok(())
}

/// One count: products of uniforms for small rates (Knuth), transformed rejection for others (Hörmann 1993, PTRS).
fn one_poisson(generator: &mut Generator, rate: f64) -> i64 {
    if rate == 0.0 {
        return 0;
    }
    if rate < 10.0 {
        let limit = (-rate).exp();
        let (mut count, mut product) = (0, generator.uniform_f64());
        while product > limit {
            count += 1;
            product *= generator.uniform_f64();
        }
        return count;
    }
    let log_rate = rate.ln();
    let b = 0.931 + 2.53 * rate.sqrt();
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let v_r = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let u = generator.uniform_f64() - 0.5;
        let v = generator.uniform_f64();
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + rate + 0.43).floor();
        if us >= 0.07 && v <= v_r {
            return k as i64;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        if v.ln() + inverse_alpha.ln() - (a / (us * us) + b).ln() <= -rate + k * log_rate - ln_factorial(k) {
            return k as i64;
        }
    }
}

/// ln(k!) by Stirling's series, shifted upwards where it would be inaccurate.
fn ln_factorial(k: f64) -> f64 {
    let (mut x, mut product) = (k + 1.0, 1.0);
    while x < 16.0 {
        product *= x;
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r / 1188.0)))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - f64::ln(product)
}

/// Successes in `counts` trials of probability `probs`, both of the output's shape.
pub fn binomial(generator: &mut Generator, counts: &In, probs: &In, out: &mut Out) {
    dispatch!(out.dtype, T => fill_from(out, [counts, probs], |[n, p]| T::from_f64(one_binomial(generator, n, p))));
}

fn one_binomial(generator: &mut Generator, n: f64, p: f64) -> f64 {
    if n <= 0.0 || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - rare_binomial(generator, n, 1.0 - p);
    }
    // A NaN probability reaches this line and is returned as it is.
    if p.is_nan() || n.is_nan() { p } else { rare_binomial(generator, n, p) }
}

/// A count for p ≤ 1/2: gaps between successes for few expected ones, transformed rejection for many (Hörmann 1993, BTRS).
fn rare_binomial(generator: &mut Generator, n: f64, p: f64) -> f64 {
    if n * p < 10.0 {
        let (mut trials, mut successes) = (0.0, 0.0);
        let log_failure = (-p).ln_1p();
        loop {
            trials += (generator.uniform_f64().ln() / log_failure).ceil();
            if trials > n {
                return successes;
            }
            successes += 1.0;
        }
    }
    let deviation = (n * p * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * deviation;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let c = n * p + 0.5;
    let v_r = 0.92 - 4.2 / b;
    let r = p / (1.0 - p);
    let alpha = (2.83 + 5.1 / b) * deviation;
    let m = ((n + 1.0) * p).floor();
    loop {
        let u = generator.uniform_f64() - 0.5;
        let v = generator.uniform_f64();
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + c).floor();
        if us >= 0.07 && v <= v_r {
            return k;
        }
        if k < 0.0 || k > n {
            continue;
        }
        let v = (v * alpha / (a / (us * us) + b)).ln();
        let bound = (m + 0.5) * ((m + 1.0) / (r * (n - m + 1.0))).ln()
            + (n + 1.0) * ((n - m + 1.0) / (n - k + 1.0)).ln()
            + (k + 0.5) * (r * (n - k + 1.0) / (k + 1.0)).ln()
            + stirling_tail(m)
            + stirling_tail(n - m)
            - stirling_tail(k)
            - stirling_tail(n - k);
        if v <= bound {
            return k;
        }
    }
}

/// ln(k!) less Stirling's approximation (k + ½) ln(k + 1) - (k + 1) + ½ ln 2π.
fn stirling_tail(k: f64) -> f64 {
    let x = k + 1.0;
    if k <= 9.0 {
        return ln_factorial(k) - ((k + 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln());
    }
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / (x * x)) / (x * x)) / x
}

/// Standard gamma numbers with the given concentrations, of the output's shape.
pub fn standard_gamma(generator: &mut Generator, concentrations: &In, out: &mut Out) {
    let tiny = match out.dtype {
        DType::F64 => f64::MIN_POSITIVE,
        DType::F16 => half::f16::MIN_POSITIVE.to_f64(),
        _ => f32::MIN_POSITIVE as f64,
    };
    dispatch!(out.dtype, T => fill_from(out, [concentrations], |[alpha]| {
        T::from_f64(one_gamma(generator, alpha).max(tiny))
    }));
}

/// Marsaglia and Tsang (2000); concentrations below one by the power of a uniform.
fn one_gamma(generator: &mut Generator, mut alpha: f64) -> f64 {
    let mut scale = 1.0;
    if alpha < 1.0 {
        if alpha == 0.0 {
            return 0.0;
        }
        scale *= (1.0 - generator.uniform_f64()).powf(1.0 / alpha);
        alpha += 1.0;
    }
    // PyTorch takes the third in single precision.
    let d = alpha - (1.0f32 / 3.0) as f64;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let (x, y) = loop {
            let x = generator.normal_f64();
            let y = 1.0 + c * x;
            if y > 0.0 {
                break (x, y);
            }
        };
        let v = y * y * y;
        let u = 1.0 - generator.uniform_f64();
        let xx = x * x;
        if u < 1.0 - 0.0331 * xx * xx || u.ln() < 0.5 * xx + d * (1.0 - v + v.ln()) {
            return scale * d * v;
        }
    }
}

/// Draws `out`'s last dimension of categories from every row of `weights` (1-d or 2-d, float), int64.
///
/// Without replacement, and for a single draw, the categories with the largest weight over an exponential number win; with
/// replacement the cumulative weights are searched for uniform numbers.
pub fn multinomial(generator: &mut Generator, weights: &In, replacement: bool, out: &mut Out) -> Result<()> {
    let categories = weights.shape.last().copied().unwrap_or(1);
    let draws = out.shape.last().copied().unwrap_or(1);
    let out = out.as_mut_slice::<i64>();
    let (shape, strides) = (weights.shape.to_vec(), weights.strides.to_vec());
    dispatch!(float weights.dtype, T => {
        let weights = weights.to_vec_or_slice::<T>();
        let valid = weights.iter().all(|w| w.to_f64() >= 0.0 && w.to_f64() < f64::INFINITY);
        ensure!(valid, Runtime, "probability tensor contains either `inf`, `nan` or element < 0");
        let positive = weights.chunks(categories.max(1)).all(|row| row.iter().any(|w| w.to_f64() > 0.0));
        ensure!(positive, Runtime, "invalid multinomial distribution (sum of probabilities <= 0)");
        if draws == 0 {
            return Ok(());
        }
        if replacement && draws > 1 {
            for (row, out) in weights.chunks(categories).zip(out.chunks_mut(draws)) {
                draw_with_replacement(generator, row, out);
            }
        } else {
            let mut waits = vec![T::default(); weights.len()];
            let strides: Vec<usize> = dense_strides(&shape, &strides);
            let mut target = Out { ptr: waits.as_mut_ptr().cast(), dtype: T::DTYPE, shape: &shape, strides: &strides };
            exponential(generator, &mut target, 1.0);
            let waits = In { ptr: waits.as_ptr().cast(), dtype: T::DTYPE, shape: &shape, strides: &strides };
            let waits = waits.to_vec_or_slice::<T>();
            let scores: Vec<T> =
                weights.iter().zip(waits.iter()).map(|(w, e)| T::from_f64(w.to_f64() / e.to_f64())).collect();
            for (row, out) in scores.chunks(categories).zip(out.chunks_mut(draws)) {
                best_positions(row, out);
            }
        }
    }, else ensure!(
        false,
        Runtime,
        "multinomial only supports floating-point dtypes for input, got: {}",
        weights.dtype.scalar_name()
    ));
    Ok(())
}

/// The strides of memory without gaps whose elements lie in the order of `strides`, the largest first.
fn dense_strides(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    // Equal strides keep the later dim inside.
    order.sort_by(|&a, &b| strides[a].cmp(&strides[b]).then(b.cmp(&a)));
    let mut dense = vec![1; shape.len()];
    let mut step = 1;
    for d in order {
        dense[d] = step;
        step *= shape[d].max(1);
    }
    dense
}

fn draw_with_replacement<T: Element>(generator: &mut Generator, row: &[T], out: &mut [i64]) {
    // Weights of up to 32 bits are added and scaled in f32.
    let round = |v: f64| if T::DTYPE == DType::F64 { v } else { v as f32 as f64 };
    let mut sum = 0.0;
    let mut cumulative: Vec<f64> = Vec::with_capacity(row.len());
    for w in row {
        sum = round(sum + w.to_f64());
        cumulative.push(sum);
    }
    cumulative.iter_mut().for_each(|c| *c = round(*c / sum));
    if let Some(last) = cumulative.last_mut() {
        *last = 1.0;
    }
    for o in out {
        let u = generator.uniform_f64();
        *o = cumulative.partition_point(|&c| c < u) as i64;
    }
}

/// The positions of the `out.len()` largest scores, best first, the earlier of equals first.
fn best_positions<T: Element>(scores: &[T], out: &mut [i64]) {
    let mut order: Vec<(u64, usize)> = scores.iter().enumerate().map(|(i, &s)| (!key_of(s), i)).collect();
    let k = out.len();
    if k < order.len() {
        order.select_nth_unstable(k);
    }
    order.truncate(k);
    order.sort_unstable();
    out.iter_mut().zip(order).for_each(|(o, (_, i))| *o = i as i64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

    #[test]
    fn factorials_are_accurate() {
        at_every_level(|| {
            let mut product = 0.0f64;
            for k in 1..60 {
                product += (k as f64).ln();
                assert!((ln_factorial(k as f64) - product).abs() <= 1e-13 * product.max(1.0), "{k}");
            }
            assert!(ln_factorial(0.0).abs() < 1e-14);
        });
    }

    #[test]
    fn samples_have_their_means() {
        at_every_level(|| {
            let mut g = Generator::new(1);
            let n = 20_000;
            let mut mean =
                |mut draw: Box<dyn FnMut(&mut Generator) -> f64>| (0..n).map(|_| draw(&mut g)).sum::<f64>() / n as f64;
            assert!((mean(Box::new(|g| one_poisson(g, 3.0) as f64)) - 3.0).abs() < 0.06);
            assert!((mean(Box::new(|g| one_poisson(g, 50.0) as f64)) - 50.0).abs() < 0.25);
            assert!((mean(Box::new(|g| one_binomial(g, 20.0, 0.7))) - 14.0).abs() < 0.1);
            assert!((mean(Box::new(|g| one_binomial(g, 100.0, 0.3))) - 30.0).abs() < 0.2);
            assert!((mean(Box::new(|g| one_gamma(g, 0.5))) - 0.5).abs() < 0.03);
            assert!((mean(Box::new(|g| one_gamma(g, 4.0))) - 4.0).abs() < 0.08);
            assert!((mean(Box::new(|g| exponential_of(g.uniform_f64(), 2.0))) - 0.5).abs() < 0.02);
        });
    }

    #[test]
    fn a_category_without_weight_is_never_drawn() {
        at_every_level(|| {
            let (weights, mut out) = ([0.0f32, 1.0, 0.0, 3.0], [0i64; 50]);
            let w = In { ptr: weights.as_ptr().cast(), dtype: DType::F32, shape: &[4], strides: &[1] };
            let mut window = Out { ptr: out.as_mut_ptr().cast(), dtype: DType::I64, shape: &[50], strides: &[1] };
            multinomial(&mut Generator::new(5), &w, true, &mut window).expect("weights");
            assert!(out.iter().all(|o| o % 2 == 1));
            let bad = [-1.0f32, 1.0, 0.0, 0.0];
            let w = In { ptr: bad.as_ptr().cast(), ..w };
            assert!(multinomial(&mut Generator::new(5), &w, true, &mut window).is_err());
        });
    }
}
