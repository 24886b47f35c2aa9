//! Fourier transforms beside their definition.

use super::*;
use crate::cpu::simd::{available, with_level};
use crate::shape::Dims;

fn window<'a>(data: &'a [f64], shape: &'a [usize], strides: &'a [usize]) -> In<'a> {
    In { ptr: data.as_ptr().cast(), dtype: DType::F64, shape, strides }
}

fn transformed(kind: Fourier, dims: usize, x: &In, shape: &[usize], scale: f64, inner: f64) -> Vec<f64> {
    let shape = Dims::from_slice(shape);
    let strides = shape.contiguous_strides();
    let mut data = vec![f64::NAN; shape.numel()];
    let mut out = Out { ptr: data.as_mut_ptr().cast(), dtype: DType::F64, shape: &shape, strides: &strides };
    execute(kind, dims, x, &[scale.to_bits(), inner.to_bits()], &mut out).expect("float64 has a kernel");
    data
}

/// Numbers without a pattern.
fn values(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * i * 37 + i * 11) % 101) as f64 / 50.0 - 1.0).collect()
}

/// Σ x_j·e^(∓2πi·jk/n) as the definition has it.
fn by_definition(x: &[Complex<f64>], sign: f64) -> Vec<Complex<f64>> {
    let n = x.len();
    let turn = |jk: usize| Complex::from_polar(1.0, sign * 2.0 * std::f64::consts::PI * (jk % n) as f64 / n as f64);
    (0..n).map(|k| x.iter().enumerate().map(|(j, v)| v * turn(j * k)).sum()).collect()
}

fn pairs(x: &[f64]) -> Vec<Complex<f64>> {
    x.chunks(2).map(|p| Complex::new(p[0], p[1])).collect()
}

fn assert_close(found: &[Complex<f64>], wanted: &[Complex<f64>], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (k, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).norm() < 1e-10 * (1.0 + wanted.len() as f64), "{what}, {k}: {f} and not {w}");
    }
}

const LENGTHS: [usize; 11] = [1, 2, 3, 4, 5, 6, 8, 12, 31, 64, 210];

#[test]
fn lines_of_pairs_are_the_sums_of_the_definition_at_every_level() {
    for level in available() {
        with_level(level, || {
            for n in LENGTHS {
                let x = values(6 * n);
                let found =
                    transformed(Fourier::Forward, 1, &window(&x, &[3, n, 2], &[2 * n, 2, 1]), &[3, n, 2], 0.5, 1.0);
                for line in 0..3 {
                    let wanted: Vec<_> = by_definition(&pairs(&x[2 * n * line..2 * n * (line + 1)]), -1.0)
                        .iter()
                        .map(|v| v * 0.5)
                        .collect();
                    assert_close(&pairs(&found)[n * line..n * (line + 1)], &wanted, &format!("{n} at {level:?}"));
                }
            }
        });
    }
}

#[test]
fn strided_lines_and_outer_dims_are_the_same_sums() {
    let (rows, n) = (20, 12);
    let x = values(2 * rows * n);
    // Columns of a row-major matrix, one transform along each dim.
    let columns = window(&x, &[n, rows, 2], &[2, 2 * n, 1]);
    let found = pairs(&transformed(Fourier::Backward, 2, &columns, &[n, rows, 2], 1.0, 1.0));
    let x = pairs(&x);
    let mut wanted = vec![Complex::default(); rows * n];
    for c in 0..n {
        let column: Vec<_> = (0..rows).map(|r| x[r * n + c]).collect();
        by_definition(&column, 1.0).iter().enumerate().for_each(|(k, v)| wanted[c * rows + k] = *v);
    }
    for k in 0..rows {
        let line: Vec<_> = (0..n).map(|c| wanted[c * rows + k]).collect();
        by_definition(&line, 1.0).iter().enumerate().for_each(|(c, v)| wanted[c * rows + k] = *v);
    }
    assert_close(&found, &wanted, "two dims");
}

#[test]
fn half_spectra_of_real_lines_are_the_first_half_and_come_back() {
    for n in LENGTHS {
        for stride in [1, 3] {
            let x = values(4 * n * stride);
            let lines = window(&x, &[4, n], &[n * stride, stride]);
            let half = n / 2 + 1;
            let found = transformed(Fourier::FromReal, 1, &lines, &[4, half, 2], 2.0, 0.5);
            let whole: Vec<Vec<_>> =
                (0..4).map(|l| (0..n).map(|j| Complex::new(x[(l * n + j) * stride], 0.0)).collect()).collect();
            for (line, values) in whole.iter().enumerate() {
                let factor = |k: usize| if k == 0 || 2 * k == n { 2.0 } else { 1.0 };
                let wanted: Vec<_> =
                    by_definition(values, -1.0)[..half].iter().enumerate().map(|(k, v)| v * factor(k)).collect();
                assert_close(&pairs(&found)[half * line..half * (line + 1)], &wanted, &format!("{n}"));
            }
            let spectra = window(&found, &[4, half, 2], &[2 * half, 2, 1]);
            let back = transformed(Fourier::ToReal, 1, &spectra, &[4, n], 0.5 / n as f64, 2.0);
            for (line, values) in whole.iter().enumerate() {
                let found: Vec<_> = back[n * line..n * (line + 1)].iter().map(|v| Complex::new(*v, 0.0)).collect();
                assert_close(&found, values, &format!("{n} and back"));
            }
        }
    }
}

#[test]
fn plans_are_made_once() {
    let first: Plan<f32> = plan(1234, false);
    assert!(std::sync::Arc::ptr_eq(&first, &plan(1234, false)));
    assert!(!std::sync::Arc::ptr_eq(&first, &plan(1234, true)));
}
