//! Every pass on whole numbers, which floats multiply and add exactly, against the integers' plain loops.

use super::{Geometry, Pass, compute, direct};
use crate::cpu::elementwise::{Finisher, Operand, Target, testing::square_plus};
use crate::cpu::simd;

/// Sizes are those of the last axes; missing ones are 1.
fn geometry(
    channels: [usize; 3],
    input: &[usize],
    kernel: &[usize],
    stride: &[usize],
    padding: &[usize],
    dilation: &[usize],
) -> Geometry {
    let [groups, per_group, rows] = channels;
    let last = |values: &[usize], missing: usize| {
        let mut all = [missing; 3];
        all[3 - values.len()..].copy_from_slice(values);
        all
    };
    let (input, kernel, stride) = (last(input, 1), last(kernel, 1), last(stride, 1));
    let (padding, dilation) = (last(padding, 0), last(dilation, 1));
    let output = [0, 1, 2].map(|a| (input[a] + 2 * padding[a] - dilation[a] * (kernel[a] - 1) - 1) / stride[a] + 1);
    let (channels, rows) = (groups * per_group, groups * rows);
    Geometry { batch: 2, groups, channels, rows, input, output, kernel, stride, padding, dilation }
}

fn geometries() -> Vec<Geometry> {
    vec![
        // Rows of the output wider than a panel, which read a line of the window at once.
        geometry([1, 3, 20], &[18, 75], &[7, 7], &[2, 2], &[3, 3], &[1, 1]),
        geometry([1, 5, 9], &[6, 70], &[5, 5], &[1, 1], &[2, 2], &[1, 1]),
        geometry([2, 3, 10], &[5, 101], &[2, 2], &[1, 2], &[1, 0], &[1, 1]),
        geometry([1, 5, 3], &[3, 140], &[3, 16], &[1, 2], &[1, 9], &[1, 1]),
        geometry([1, 6, 4], &[90], &[16], &[1], &[15], &[1]),
        geometry([1, 6, 15], &[3, 4, 64], &[2, 3, 4], &[1, 2, 1], &[1, 0, 2], &[1, 1, 1]),
        // The same with taps apart, steps of three, and more taps than a line may have.
        geometry([1, 5, 9], &[6, 70], &[3, 3], &[1, 1], &[2, 2], &[1, 2]),
        geometry([1, 2, 8], &[9, 130], &[4, 4], &[3, 3], &[1, 1], &[1, 1]),
        geometry([1, 2, 8], &[120], &[19], &[2], &[4], &[1]),
        // Few input channels, whose gradient is made by columns.
        geometry([2, 4, 12], &[7, 9], &[4, 4], &[2, 2], &[1, 1], &[1, 1]),
        geometry([1, 1, 8], &[5, 11], &[3, 5], &[2, 3], &[0, 2], &[2, 1]),
        geometry([1, 3, 30], &[3, 5, 6], &[3, 2, 3], &[2, 1, 2], &[1, 1, 0], &[1, 1, 2]),
        geometry([1, 2, 40], &[200, 150], &[3, 3], &[1, 1], &[1, 1], &[1, 1]),
        // Windows of one element over few points.
        geometry([2, 5, 9], &[3, 13], &[1, 1], &[1, 1], &[0, 0], &[1, 1]),
        geometry([1, 7, 20], &[3, 9, 13], &[1, 1, 1], &[2, 1, 2], &[0, 0, 0], &[1, 1, 1]),
        // A step that passes over some of the input, and one beyond a narrow input.
        geometry([1, 1, 9], &[8, 8], &[2, 2], &[3, 3], &[0, 0], &[1, 1]),
        geometry([1, 2, 9], &[4, 2], &[2, 2], &[2, 3], &[0, 0], &[1, 1]),
        // Every channel by itself: one, two and three results of each, steps of one and two, a row of taps alone.
        geometry([6, 1, 1], &[9, 11], &[3, 3], &[1, 1], &[1, 1], &[1, 1]),
        geometry([5, 1, 2], &[9, 40], &[3, 3], &[2, 2], &[1, 1], &[1, 1]),
        geometry([4, 1, 1], &[7, 75], &[5, 5], &[1, 2], &[2, 2], &[1, 1]),
        geometry([3, 1, 3], &[6, 35], &[1, 3], &[1, 1], &[0, 1], &[1, 2]),
        geometry([7, 1, 1], &[100], &[9], &[1], &[4], &[1]),
        // Windows of one element over many points.
        geometry([1, 40, 33], &[30, 40], &[1, 1], &[1, 1], &[0, 0], &[1, 1]),
    ]
}

fn whole(n: usize, seed: usize) -> Vec<i64> {
    (0..n).map(|i| (((i + seed) * 2_654_435_761) >> 7) as i64 % 9 - 4).collect()
}

#[test]
fn every_pass_agrees_with_plain_loops() {
    for g in geometries() {
        let volume = |size: [usize; 3]| size.iter().product::<usize>();
        let nx = g.batch * g.channels * volume(g.input);
        let (nw, ny) = (g.rows * g.group_channels() * g.taps(), g.batch * g.rows * volume(g.output));
        let (x, w, y) = (whole(nx, 1), whole(nw, 2), whole(ny, 3));
        let cases = [
            (Pass::Forward, &x, &w, ny, Some(whole(g.rows, 4))),
            (Pass::InputGrad, &y, &w, nx, Some(whole(g.channels, 5))),
            (Pass::WeightGrad, &x, &y, nw, None),
        ];
        for (pass, a, b, n, bias) in cases {
            let mut want = vec![0; n];
            direct::run::<i64>(pass, &g, a, b, bias.as_deref(), &mut want);
            for level in simd::available() {
                simd::with_level(level, || {
                    check::<f32>(pass, &g, a, b, bias.as_deref(), &want);
                    check::<f64>(pass, &g, a, b, bias.as_deref(), &want);
                });
            }
        }
    }
}

fn check<T: super::Float>(pass: Pass, g: &Geometry, a: &[i64], b: &[i64], bias: Option<&[i64]>, want: &[i64]) {
    let float = |x: &[i64]| x.iter().map(|&v| T::from_f64(v as f64)).collect::<Vec<T>>();
    let mut got = vec![T::from_f64(7.0); want.len()];
    compute(pass, g, &float(a), &float(b), bias.map(float).as_deref(), &mut got, None);
    for (i, (got, &want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.to_f64(), want as f64, "{} at {:?}, element {i} of {g:?}", T::DTYPE, simd::level());
    }
}

#[test]
fn every_result_is_handed_over_once() {
    let minimal = geometry([1, 16, 16], &[12, 12], &[3, 3], &[1, 1], &[1, 1], &[1, 1]);
    for g in geometries().into_iter().chain([minimal]) {
        let points = g.output.iter().product::<usize>();
        let (x, w) = (g.batch * g.channels * g.input.iter().product::<usize>(), g.rows * g.group_channels() * g.taps());
        let float = |v: Vec<i64>| v.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
        let (x, w, more) = (float(whole(x, 1)), float(whole(w, 2)), float(whole(g.rows, 3)));
        let mut want = vec![0.0; g.batch * g.rows * points];
        let mut got = vec![f32::NAN; want.len()];
        let (shape, strides, kernel) = ([g.batch, g.rows, points], [g.rows * points, points, 1], square_plus());
        let at = got.as_mut_ptr().cast::<u8>();
        let by_channel = Operand { ptr: more.as_ptr().cast(), strides: &[0, 1, 0] };
        let (operands, targets) = ([Operand { ptr: at, strides: &strides }, by_channel], [Target { ptr: at }]);
        let then = Finisher::new(&kernel, (&shape, &strides), &operands, &[], &targets, (at, 4));
        for level in simd::available() {
            simd::with_level(level, || {
                compute(Pass::Forward, &g, &x, &w, None, &mut want, None);
                compute(Pass::Forward, &g, &x, &w, None, &mut got, Some(&then));
            });
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert_eq!(*got, want * want + more[i / points % g.rows], "element {i} of {g:?} at {level:?}");
            }
        }
    }
}
