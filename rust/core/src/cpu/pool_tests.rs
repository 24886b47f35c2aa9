//! Pooling against its definition in float64, at every instruction-set level.

use super::*;
use crate::cpu::planes::testing::{Tensor, assert_close, dot};
use crate::cpu::simd::{available, with_level};

fn window(kernel: usize, stride: usize, padding: usize, dilation: usize) -> PoolParams {
    PoolParams {
        spatial: 2,
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        padding: [0, padding, padding],
        dilation: [1, dilation, dilation],
    }
}

const CASES: [(usize, usize, usize, usize, bool); 5] =
    [(2, 2, 0, 1, false), (3, 2, 1, 1, false), (3, 1, 1, 2, false), (3, 3, 1, 1, true), (2, 3, 0, 1, true)];

fn output_shape(p: &PoolParams, x: [usize; 3], ceil: bool) -> [usize; 3] {
    let size = |a: usize| output_size(x[a], p.kernel[a], p.stride[a], p.padding[a], p.dilation[a], ceil) as usize;
    [x[0], size(1), size(2)]
}

/// The input positions of the window of one output, row by row.
fn positions(p: &PoolParams, x: [usize; 3], oh: usize, ow: usize) -> Vec<usize> {
    let axis = |a: usize, o: usize| {
        let start = (o * p.stride[a]) as i64 - p.padding[a] as i64;
        let all = (0..p.kernel[a]).map(move |k| start + (k * p.dilation[a]) as i64);
        all.filter(|i| (0..x[a] as i64).contains(i)).map(|i| i as usize).collect::<Vec<_>>()
    };
    let columns = axis(2, ow);
    axis(1, oh).iter().flat_map(|h| columns.iter().map(move |w| h * x[2] + w)).collect()
}

#[test]
fn max_pooling_finds_the_first_maximum_at_every_level() {
    let shape = [3, 13, 37];
    for level in available() {
        with_level(level, || {
            for (kernel, stride, padding, dilation, ceil) in CASES {
                let p = window(kernel, stride, padding, dilation);
                let mut x = Tensor::<f32>::random(&shape, 1);
                // Coarse values give ties.
                x.data.iter_mut().for_each(|v| *v = (*v * 4.0).round());
                let [n, oh, ow] = output_shape(&p, shape, ceil);
                let (mut out, mut at) = (Tensor::<f32>::unset(&[n, oh, ow]), Tensor::<i64>::unset(&[n, oh, ow]));
                max_pool(&p, x.input(), &mut out.output(), Some(&mut at.output()));
                for i in 0..n * oh * ow {
                    let plane = &x.data[i / (oh * ow) * 13 * 37..];
                    let inside = positions(&p, shape, i / ow % oh, i % ow);
                    let first = inside.iter().fold(inside[0], |b, &j| if plane[j] > plane[b] { j } else { b });
                    assert_eq!((out.data[i], at.data[i]), (plane[first], first as i64), "{p:?} at {i}");
                }
            }
        });
    }
}

#[test]
fn nan_and_negative_infinity_pass_through_max_pooling() {
    let (nan, low) = (f64::NAN, f64::NEG_INFINITY);
    let x = Tensor::<f32>::new(&[1, 2, 4], [1.0, nan, low, low, 2.0, 0.0, low, low]);
    let (mut out, mut at) = (Tensor::<f32>::unset(&[1, 1, 2]), Tensor::<i64>::unset(&[1, 1, 2]));
    max_pool(&window(2, 2, 0, 1), x.input(), &mut out.output(), Some(&mut at.output()));
    assert!(out.data[0].is_nan() && out.data[1] == f32::NEG_INFINITY);
    assert_eq!(at.data, [1, 2]);
}

#[test]
fn gradients_of_max_pooling_return_to_the_maxima_and_add_up() {
    let indices = Tensor::<i64>::new(&[1, 1, 3], [4.0, 4.0, 0.0]);
    let grad = Tensor::<f32>::new(&[1, 1, 3], [1.0, 2.0, 5.0]);
    let mut out = Tensor::<f32>::unset(&[1, 2, 3]);
    max_pool_grad(2, grad.input(), indices.input(), &mut out.output());
    assert_eq!(out.floats(), [5.0, 0.0, 0.0, 0.0, 3.0, 0.0]);
}

#[test]
fn unpooling_places_values_and_names_a_bad_index() {
    let x = Tensor::<f32>::new(&[1, 1, 2], [7.0, 8.0]);
    let mut out = Tensor::<f32>::unset(&[1, 2, 2]);
    let indices = Tensor::<i64>::new(&[1, 1, 2], [3.0, 0.0]);
    max_unpool(2, x.input(), indices.input(), &mut out.output()).expect("indices are inside");
    assert_eq!(out.floats(), [8.0, 0.0, 0.0, 7.0]);
    let bad = Tensor::<i64>::new(&[1, 1, 2], [4.0, 0.0]);
    let error = max_unpool(2, x.input(), bad.input(), &mut out.output());
    assert!(error.is_err_and(|e| e.to_string().contains("invalid max index: 4 (output volumes are of size 2x2)")));
}

#[test]
fn average_pooling_divides_by_what_it_is_told_to() {
    let shape = [2, 9, 21];
    let x = Tensor::<f64>::random(&shape, 2);
    for (kernel, stride, padding, _, ceil) in CASES {
        for (count_include_pad, divisor_override) in [(true, None), (false, None), (true, Some(5))] {
            let window = window(kernel, stride, padding, 1);
            let p = AvgPoolParams { window, count_include_pad, divisor_override };
            let [n, oh, ow] = output_shape(&p.window, shape, ceil);
            let mut out = Tensor::<f64>::unset(&[n, oh, ow]);
            avg_pool(&p, x.input(), &mut out.output());
            let want: Vec<f64> = (0..n * oh * ow)
                .map(|i| {
                    let (h, w) = (i / ow % oh, i % ow);
                    let inside = positions(&p.window, shape, h, w);
                    let padded = |o: usize, size: usize| (o * stride + kernel).min(size + 2 * padding) - o * stride;
                    let count = match divisor_override {
                        Some(d) => d as usize,
                        None if count_include_pad => padded(h, 9) * padded(w, 21),
                        None => inside.len(),
                    };
                    inside.iter().map(|&j| x.data[i / (oh * ow) * 9 * 21 + j]).sum::<f64>() / count as f64
                })
                .collect();
            assert_close(&out.data, &want, 1e-12);
            let grad = Tensor::<f64>::random(&[n, oh, ow], 3);
            let mut back = Tensor::<f64>::unset(&shape);
            avg_pool_grad(&p, grad.input(), &mut back.output());
            assert_close(&[dot(&out, &grad)], &[dot(&x, &back)], 1e-12);
        }
    }
}

#[test]
fn adaptive_windows_cover_the_input_and_may_overlap() {
    let x = Tensor::<f64>::new(&[1, 1, 5], [1.0, 2.0, 3.0, 4.0, 5.0]);
    let mut out = Tensor::<f64>::unset(&[1, 1, 3]);
    adaptive_avg_pool(2, x.input(), &mut out.output());
    assert_close(&out.data, &[1.5, 3.0, 4.5], 1e-15);
    let mut at = Tensor::<i64>::unset(&[1, 1, 3]);
    adaptive_max_pool(2, x.input(), &mut out.output(), &mut at.output());
    assert_eq!((&out.data[..], &at.data[..]), (&[2.0, 4.0, 5.0][..], &[1, 3, 4][..]));
}

#[test]
fn the_gradient_of_adaptive_averages_is_the_transpose() {
    let x = Tensor::<f64>::random(&[2, 7, 40], 4);
    let grad = Tensor::<f64>::random(&[2, 3, 1], 5);
    let (mut out, mut back) = (Tensor::<f64>::unset(grad.shape()), Tensor::<f64>::unset(x.shape()));
    adaptive_avg_pool(2, x.input(), &mut out.output());
    adaptive_avg_pool_grad(2, grad.input(), &mut back.output());
    assert_close(&[dot(&out, &grad)], &[dot(&x, &back)], 1e-12);
}

#[test]
fn the_last_window_of_ceil_mode_starts_inside_the_input() {
    assert_eq!(output_size(5, 2, 2, 0, 1, false), 2);
    assert_eq!(output_size(5, 2, 2, 0, 1, true), 3);
    // The window at 6 would start in the right padding.
    assert_eq!(output_size(4, 2, 3, 1, 1, true), 2);
    assert!(output_size(2, 5, 1, 0, 1, false) <= 0);
}
