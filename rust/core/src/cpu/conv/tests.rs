//! Convolution against its definition in float64, at every instruction-set level and with several threads.

use super::*;
use crate::cpu::planes::testing::{Tensor, assert_close};
use crate::cpu::simd::{available, with_level};
use crate::dtype::Element;

/// Stride, padding, dilation, groups; shapes of the input and the weights of a direct convolution.
type Case = ([usize; 3], [usize; 3], [usize; 3], usize, &'static [usize], &'static [usize]);

const CASES: [Case; 11] = [
    ([1; 3], [0, 1, 1], [1; 3], 1, &[2, 5, 9, 11], &[7, 5, 3, 3]),
    // Rows longer than a panel, channels in whole tiles, many samples.
    ([1; 3], [0, 1, 1], [1; 3], 1, &[9, 32, 7, 40], &[33, 32, 3, 3]),
    ([1, 2, 2], [0, 1, 1], [1; 3], 1, &[2, 32, 15, 14], &[16, 32, 3, 3]),
    ([1, 2, 2], [0, 3, 3], [1; 3], 1, &[2, 3, 20, 21], &[8, 3, 7, 7]),
    ([1; 3], [0; 3], [1; 3], 1, &[9, 33, 6, 7], &[20, 33, 1, 1]),
    ([1, 3, 2], [0, 2, 0], [1, 2, 3], 2, &[1, 6, 17, 19], &[4, 3, 2, 3]),
    // Depthwise, with one and two kernels a channel.
    ([1; 3], [0, 1, 1], [1; 3], 6, &[2, 6, 9, 35], &[6, 1, 3, 3]),
    ([1, 2, 2], [0, 2, 2], [1; 3], 3, &[2, 3, 11, 18], &[6, 1, 5, 5]),
    // One and three dimensions; one input channel.
    ([1, 1, 2], [0, 0, 4], [1, 1, 2], 1, &[3, 4, 50], &[5, 4, 5]),
    ([2, 1, 1], [1, 0, 1], [1; 3], 1, &[2, 2, 5, 6, 7], &[3, 2, 3, 2, 3]),
    ([1; 3], [0, 1, 1], [1; 3], 1, &[3, 1, 12, 13], &[10, 1, 3, 3]),
];

fn params(case: &Case, transposed: bool) -> ConvParams {
    let (stride, padding, dilation, groups, ..) = *case;
    ConvParams { stride, padding, dilation, groups, transposed, output_padding: [0; 3] }
}

/// The shape of the direct convolution's output.
fn output_shape(case: &Case) -> Vec<usize> {
    let (stride, padding, dilation, _, x, w) = *case;
    let lead = 5 - x.len();
    let sizes = (2..x.len()).map(|d| {
        let a = d + lead - 2;
        (x[d] + 2 * padding[a] - dilation[a] * (w[d] - 1) - 1) / stride[a] + 1
    });
    [x[0], w[0]].into_iter().chain(sizes).collect()
}

/// Calls `f(x, w, y)` with the indices of every product of the direct convolution.
fn for_each_product(case: &Case, mut f: impl FnMut(usize, usize, usize)) {
    let g = Geometry::new(&params(case, false), case.4, case.5, &output_shape(case));
    let flat = |size: [usize; 3], i: [usize; 3]| (i[0] * size[1] + i[1]) * size[2] + i[2];
    let points = |size: [usize; 3]| {
        (0..size[0]).flat_map(move |d| (0..size[1]).flat_map(move |h| (0..size[2]).map(move |w| [d, h, w])))
    };
    let plane = |size: [usize; 3]| size.iter().product::<usize>();
    for (n, m) in (0..g.batch).flat_map(|n| (0..g.rows).map(move |m| (n, m))) {
        for c in 0..g.group_channels() {
            let channel = m / g.group_rows() * g.group_channels() + c;
            for o in points(g.output) {
                for k in points(g.kernel) {
                    let at = [0, 1, 2].map(|a| (o[a] * g.stride[a]) as isize + g.shift(a, k[a]));
                    if (0..3).all(|a| (0..g.input[a] as isize).contains(&at[a])) {
                        f(
                            (n * g.channels + channel) * plane(g.input) + flat(g.input, at.map(|v| v as usize)),
                            (m * g.group_channels() + c) * g.taps() + flat(g.kernel, k),
                            (n * g.rows + m) * plane(g.output) + flat(g.output, o),
                        );
                    }
                }
            }
        }
    }
}

/// Forward pass (with bias) and both gradients, of the direct and of the transposed convolution.
fn check<T: Element>(case: &Case, tolerance: f64) {
    let (direct, transposed) = (params(case, false), params(case, true));
    let yshape = output_shape(case);
    let (x, w, y) = (Tensor::<T>::random(case.4, 1), Tensor::<T>::random(case.5, 2), Tensor::<T>::random(&yshape, 3));
    let bias = Tensor::<T>::random(&[yshape[1]], 4);
    let (xs, ws, ys) = (x.floats(), w.floats(), y.floats());
    let points = ys.len() / (yshape[0] * yshape[1]);
    let mut want_y: Vec<f64> = (0..ys.len()).map(|i| bias.data[i / points % yshape[1]].to_f64()).collect();
    let (mut want_x, mut want_w) = (vec![0.0; xs.len()], vec![0.0; ws.len()]);
    for_each_product(case, |i, k, o| {
        want_y[o] += xs[i] * ws[k];
        want_x[i] += ys[o] * ws[k];
        want_w[k] += xs[i] * ys[o];
    });
    let mut out = Tensor::<T>::unset(&yshape);
    forward(&direct, x.input(), w.input(), Some(bias.input()), &mut out.output());
    assert_close(&out.floats(), &want_y, tolerance);
    let mut out = Tensor::<T>::unset(case.4);
    input_grad(&direct, y.input(), w.input(), &mut out.output());
    assert_close(&out.floats(), &want_x, tolerance);
    let mut out = Tensor::<T>::unset(case.5);
    weight_grad(&direct, x.input(), y.input(), &mut out.output());
    assert_close(&out.floats(), &want_w, tolerance);
    // The transposed convolution reads the same products the other way round.
    let mut out = Tensor::<T>::unset(case.4);
    forward(&transposed, y.input(), w.input(), None, &mut out.output());
    assert_close(&out.floats(), &want_x, tolerance);
    let mut out = Tensor::<T>::unset(case.5);
    weight_grad(&transposed, y.input(), x.input(), &mut out.output());
    assert_close(&out.floats(), &want_w, tolerance);
}

#[test]
fn every_case_agrees_with_the_definition_at_every_level() {
    for level in available() {
        with_level(level, || {
            for case in &CASES {
                check::<f32>(case, 2e-5);
            }
        });
    }
}

#[test]
fn float64_is_exact_enough_for_numerical_gradients() {
    for level in available() {
        with_level(level, || {
            for case in &CASES[2..] {
                check::<f64>(case, 1e-13);
            }
        });
    }
}

#[test]
fn halves_are_rounded_once() {
    check::<f16>(&CASES[0], 1e-3);
    check::<bf16>(&CASES[6], 8e-3);
}

#[test]
fn integers_wrap() {
    let case = &CASES[0];
    let yshape = output_shape(case);
    let (x, w) = (
        Tensor::<u8>::new(case.4, (0..).map(|i| (i * 37 % 251) as f64)),
        Tensor::<u8>::new(case.5, (0..).map(|i| (i % 7) as f64)),
    );
    let mut want = vec![0u8; yshape.iter().product()];
    for_each_product(case, |i, k, o| want[o] = want[o].wrapping_add(x.data[i].wrapping_mul(w.data[k])));
    let mut out = Tensor::<u8>::unset(&yshape);
    forward(&params(case, false), x.input(), w.input(), None, &mut out.output());
    assert_eq!(out.data, want);
}

#[test]
fn channels_last_inputs_are_read_through_their_strides() {
    let case = &CASES[0];
    let (x, w) = (Tensor::<f32>::random(&[2, 9, 11, 5], 5), Tensor::<f32>::random(case.5, 6));
    let view = In { ptr: x.input().ptr, dtype: DType::F32, shape: case.4, strides: &[495, 1, 55, 5] };
    let copy = Tensor::<f32>::new(case.4, view.to_vec_or_slice::<f32>().iter().map(|&v| v as f64));
    let (mut a, mut b) = (Tensor::<f32>::unset(&output_shape(case)), Tensor::<f32>::unset(&output_shape(case)));
    forward(&params(case, false), view, w.input(), None, &mut a.output());
    forward(&params(case, false), copy.input(), w.input(), None, &mut b.output());
    assert_eq!(a.data, b.data);
}

#[test]
fn a_stride_beyond_the_kernel_leaves_the_bias() {
    let p = ConvParams {
        stride: [1, 1, 3],
        padding: [0; 3],
        dilation: [1; 3],
        groups: 1,
        transposed: true,
        output_padding: [0; 3],
    };
    let (x, w) = (Tensor::<f32>::new(&[1, 1, 2], [1.0, 2.0]), Tensor::<f32>::new(&[1, 1, 1], [10.0]));
    let bias = Tensor::<f32>::new(&[1], [0.5]);
    let mut out = Tensor::<f32>::unset(&[1, 1, 4]);
    forward(&p, x.input(), w.input(), Some(bias.input()), &mut out.output());
    assert_eq!(out.data, [10.5, 0.5, 0.5, 20.5]);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let case = &CASES[1];
    let (x, w, y) = (
        Tensor::<f32>::random(case.4, 7),
        Tensor::<f32>::random(case.5, 8),
        Tensor::<f32>::random(&output_shape(case), 9),
    );
    let before = crate::cpu::threads::num_threads();
    let results = [1, 3].map(|threads| {
        crate::cpu::threads::set_num_threads(threads);
        let (mut a, mut b) = (Tensor::<f32>::unset(y.shape()), Tensor::<f32>::unset(x.shape()));
        let mut c = Tensor::<f32>::unset(w.shape());
        forward(&params(case, false), x.input(), w.input(), None, &mut a.output());
        input_grad(&params(case, false), y.input(), w.input(), &mut b.output());
        weight_grad(&params(case, false), x.input(), y.input(), &mut c.output());
        (a.data, b.data, c.data)
    });
    crate::cpu::threads::set_num_threads(before);
    assert!(results[0] == results[1]);
}
