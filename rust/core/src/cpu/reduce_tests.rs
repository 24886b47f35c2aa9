//! Reductions against naive double loops, over layouts, dtypes and thread counts.

use super::*;
use crate::cpu::rows::testing::at_every_level;
use crate::cpu::threads::with_threads;
use crate::cpu::view::for_each_offset;

fn noise(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 2_654_435_761) % 999_983) as f32 / 5e5 - 0.9).collect()
}

/// Reduces a float32 window and returns the results with those of `naive`, which sees each output's elements in order.
fn both(
    kind: ReduceKind,
    data: &[f32],
    shape: &[usize],
    strides: &[usize],
    dims: &[usize],
    naive: impl Fn(&[f64]) -> f64,
) -> (Vec<f32>, Vec<f64>) {
    let kept: Vec<usize> = (0..shape.len()).filter(|d| !dims.contains(d)).collect();
    let pick = |ds: &[usize], of: &[usize]| ds.iter().map(|&d| of[d]).collect::<Vec<_>>();
    let (kept_shape, kept_strides) = (pick(&kept, shape), pick(&kept, strides));
    let (red_shape, red_strides) = (pick(dims, shape), pick(dims, strides));
    let mut want = Vec::new();
    for_each_offset(&kept_shape, &kept_strides, |o| {
        let mut row = Vec::new();
        for_each_offset(&red_shape, &red_strides, |r| row.push(data[o + r] as f64));
        want.push(naive(&row));
    });
    let mut got = vec![0f32; want.len()];
    let x = In { ptr: data.as_ptr().cast(), dtype: DType::F32, shape, strides };
    let strides: Vec<usize> = (0..kept.len()).map(|i| kept_shape[i + 1..].iter().product()).collect();
    let mut out = Out { ptr: got.as_mut_ptr().cast(), dtype: DType::F32, shape: &kept_shape, strides: &strides };
    reduce(kind, &x, dims, &mut out).expect("reduce");
    (got, want)
}

fn close(got: &[f32], want: &[f64]) {
    for (g, w) in got.iter().zip(want) {
        assert!((*g as f64 - w).abs() <= 2e-6 * w.abs().max(1.0), "{g} is not {w}");
    }
}

#[test]
fn any_dims_of_any_layout() {
    at_every_level(|| {
        let data = noise(200_000);
        // Contiguous, transposed, stepped, broadcast, and channels-last windows.
        let windows: [(&[usize], &[usize]); 6] = [
            (&[7, 300, 11], &[3300, 11, 1]),
            (&[11, 300, 7], &[1, 11, 3300]),
            (&[5, 70, 30], &[6000, 60, 2]),
            (&[4, 50, 9], &[9, 0, 1]),
            (&[2, 8, 5, 6], &[240, 1, 48, 8]),
            (&[600, 300], &[300, 1]),
        ];
        for (shape, strides) in windows {
            for mask in 1..1usize << shape.len() {
                let dims: Vec<usize> = (0..shape.len()).filter(|d| mask >> d & 1 == 1).collect();
                let (got, want) = both(Sum, &data, shape, strides, &dims, |r| r.iter().sum());
                for (g, w) in got.iter().zip(&want) {
                    assert!((*g as f64 - w).abs() <= 1e-2 + 1e-6 * w.abs(), "{g} is not {w}");
                }
                let (got, want) =
                    both(Amax, &data, shape, strides, &dims, |r| r.iter().copied().fold(f64::MIN, f64::max));
                close(&got, &want);
                let (got, want) = both(Var { correction: 1.0 }, &data, shape, strides, &dims, |r| {
                    let mean = r.iter().sum::<f64>() / r.len() as f64;
                    r.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (r.len() as f64 - 1.0).max(0.0)
                });
                if got.iter().all(|v| !v.is_nan()) {
                    close(&got, &want);
                }
                let (got, want) =
                    both(LogSumExp, &data, shape, strides, &dims, |r| r.iter().map(|v| v.exp()).sum::<f64>().ln());
                close(&got, &want);
            }
        }
    });
}

#[test]
fn layout_and_threads_do_not_change_a_bit() {
    at_every_level(|| {
        let (rows, cols) = (9000, 37);
        let data = noise(rows * cols);
        let transposed: Vec<f32> = (0..rows * cols).map(|i| data[i % rows * cols + i / rows]).collect();
        let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let by_columns = bits(both(Sum, &data, &[rows, cols], &[cols, 1], &[0], |_| 0.0).0);
        let by_rows = bits(both(Sum, &transposed, &[rows, cols], &[1, rows], &[0], |_| 0.0).0);
        assert_eq!(by_columns, by_rows);
        let whole = bits(both(Sum, &data, &[rows * cols], &[1], &[0], |_| 0.0).0);
        for n in [1, 3] {
            with_threads(n, || {
                assert_eq!(bits(both(Sum, &data, &[rows, cols], &[cols, 1], &[0], |_| 0.0).0), by_columns);
                assert_eq!(bits(both(Sum, &data, &[rows * cols], &[1], &[0], |_| 0.0).0), whole);
            });
        }
    });
}

#[test]
fn empty_reductions_are_identities() {
    at_every_level(|| {
        for (kind, want) in [(Sum, 0.0), (Prod, 1.0), (LogSumExp, f32::NEG_INFINITY), (Norm { p: 2.0 }, 0.0)] {
            assert_eq!(both(kind, &[], &[3, 0], &[1, 1], &[1], |_| 0.0).0, vec![want; 3]);
        }
        assert!(both(Mean, &[], &[0], &[1], &[0], |_| 0.0).0[0].is_nan());
    });
}
