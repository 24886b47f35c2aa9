//! Pooling, padding, resizing and unfolding of the GPU against the CPU's.

mod spatial;

use corten_core::dtype::DType;
use corten_core::op::{
    AvgPoolParams, BlockParams, Op, PadMode, PadParams, PoolParams, ResizeMode, ResizeParams, Window,
};
use corten_core::ops::create::from_slice;
use corten_core::ops::elementwise::cast;
use corten_core::ops::view;
use corten_core::tensor::Tensor;
use spatial::{Case, compare, floats, missing, positions, tensor};

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];
const INTEGERS: [DType; 5] = [DType::I64, DType::I32, DType::I16, DType::I8, DType::U8];

fn check(name: &'static str, w: Window, ins: &[Tensor], dtype: DType, shape: &[usize]) {
    let op = Op::Window(Box::new(w));
    compare(&Case { name, op, ins: ins.to_vec(), outs: vec![(dtype, shape.to_vec())] }, 1e-5);
}

/// Both ways between an input and an output, for both orders of dims in memory.
fn check_pair(to: Window, back: Window, dtype: DType, input: &[usize], output: &[usize]) {
    for permuted in [false, true] {
        check("onward", to.clone(), &[tensor(input, 1, dtype, permuted)], dtype, output);
        check("gradient", back.clone(), &[tensor(output, 2, dtype, permuted)], dtype, input);
    }
}

fn pool(
    spatial: usize,
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
    dilation: [usize; 3],
) -> PoolParams {
    PoolParams { spatial, kernel, stride, padding, dilation }
}

/// Maxima with positions, then values spread to and taken from the positions.
fn check_max(w: Window, under: Option<PoolParams>, spatial: usize, x: &Tensor, output: &[usize]) {
    let (dtype, input) = (x.dtype(), x.shape().to_vec());
    let op = Op::Window(Box::new(w));
    let outs = vec![(dtype, output.to_vec()), (DType::I64, output.to_vec())];
    let case = Case { name: "maximum", op, ins: vec![x.clone()], outs };
    compare(&case, 0.0);
    let places = positions(&case);
    let grad = tensor(output, 3, dtype, true);
    check("spread", Window::SpreadPlanes(spatial as u8, under), &[grad, places.clone()], dtype, &input);
    check("take", Window::TakePlanes(spatial as u8), &[x.clone(), places], dtype, output);
}

#[test]
fn maxima_and_their_gradients_agree_with_the_cpu() {
    if missing() {
        return;
    }
    for dtype in [&FLOATS[..], &INTEGERS[..], &[DType::Bool]].concat() {
        for permuted in [false, true] {
            let p = pool(2, [1, 3, 2], [1, 2, 1], [0, 1, 1], [1, 1, 2]);
            let x = tensor(&[2, 3, 9, 8], 1, dtype, permuted);
            check_max(Window::MaxPool(p.clone()), Some(p), 2, &x, &[2, 3, 5, 8]);
        }
    }
    // Windows apart from each other, windows past the end, one and three dims.
    let p = pool(1, [1, 1, 2], [1, 1, 3], [0; 3], [1; 3]);
    check_max(Window::MaxPool(p.clone()), Some(p), 1, &tensor(&[2, 3, 11], 1, DType::F32, true), &[2, 3, 4]);
    let p = pool(3, [2, 3, 3], [2, 2, 2], [1, 1, 0], [1, 2, 1]);
    check_max(Window::MaxPool(p.clone()), Some(p), 3, &tensor(&[2, 2, 5, 7, 6], 1, DType::F32, true), &[2, 2, 3, 3, 3]);
    for output in [[2, 3, 4, 3], [2, 3, 1, 1], [2, 3, 9, 11]] {
        let x = tensor(&[2, 3, 7, 8], 1, DType::F32, true);
        check_max(Window::AdaptiveMaxPool(2), None, 2, &x, &output);
    }
}

#[test]
fn nan_is_the_largest_and_infinity_is_counted() {
    if missing() {
        return;
    }
    let (nan, low) = (f32::NAN, f32::NEG_INFINITY);
    let x = from_slice(&[1.0, nan, 2.0, nan, low, low, low, low, 3.0, 3.0, f32::INFINITY, 0.0]).expect("x");
    let x = view::reshape(&x, &[1, 1, 12]).expect("shape");
    let p = pool(1, [1, 1, 4], [1, 1, 2], [0; 3], [1; 3]);
    check_max(Window::MaxPool(p.clone()), Some(p), 1, &x, &[1, 1, 5]);
    let w = AvgPoolParams {
        window: pool(1, [1, 1, 4], [1, 1, 2], [0; 3], [1; 3]),
        count_include_pad: true,
        divisor_override: None,
    };
    check("average", Window::AvgPool(w), &[x], DType::F32, &[1, 1, 5]);
}

#[test]
fn averages_agree_with_the_cpu() {
    if missing() {
        return;
    }
    let window = pool(2, [1, 3, 2], [1, 2, 1], [0, 1, 1], [1; 3]);
    for dtype in [&FLOATS[..], &INTEGERS[..]].concat() {
        for (count_include_pad, divisor_override) in [(true, None), (false, None), (true, Some(-7))] {
            let p = AvgPoolParams { window: window.clone(), count_include_pad, divisor_override };
            // One row more than without ceil_mode.
            let output = [2, 3, 5, 9];
            check_pair(Window::AvgPool(p.clone()), Window::AvgPoolGrad(p), dtype, &[2, 3, 8, 8], &output);
        }
        let (to, back) = (Window::AdaptiveAvgPool(2), Window::AdaptiveAvgPoolGrad(2));
        for output in [[2, 3, 4, 3], [2, 3, 1, 1], [2, 3, 9, 11]] {
            check_pair(to.clone(), back.clone(), dtype, &[2, 3, 7, 8], &output);
        }
    }
    let window = pool(3, [2, 3, 2], [1, 2, 3], [1, 0, 1], [1; 3]);
    let p = AvgPoolParams { window, count_include_pad: false, divisor_override: None };
    check_pair(Window::AvgPool(p.clone()), Window::AvgPoolGrad(p), DType::F32, &[2, 2, 4, 7, 6], &[2, 2, 5, 3, 3]);
}

#[test]
fn products_of_sizes_beyond_a_word_divide_the_input_too() {
    if missing() {
        return;
    }
    let (to, back) = (Window::AdaptiveAvgPool(1), Window::AdaptiveAvgPoolGrad(1));
    check_pair(to, back, DType::F32, &[1, 1, 100_003], &[1, 1, 70_001]);
}

#[test]
fn long_windows_are_shared_by_workgroups() {
    if missing() {
        return;
    }
    check_pair(Window::AdaptiveAvgPool(2), Window::AdaptiveAvgPoolGrad(2), DType::F32, &[2, 3, 70, 61], &[2, 3, 2, 1]);
    let x = tensor(&[2, 3, 70, 61], 1, DType::F32, false);
    check_max(Window::AdaptiveMaxPool(2), None, 2, &x, &[2, 3, 1, 2]);
}

#[test]
fn padding_agrees_with_the_cpu() {
    if missing() {
        return;
    }
    for mode in [PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
        for dtype in [&FLOATS[..], &INTEGERS[..], &[DType::Bool]].concat() {
            let p = PadParams { mode, spatial: 2, left: [0, 3, -1] };
            let (input, output) = ([2, 3, 5, 6], [2, 3, 12, 8]);
            check_pair(Window::Pad(p.clone()), Window::PadGrad(p), dtype, &input, &output);
        }
        let p = PadParams { mode, spatial: 3, left: [-2, 1, 0] };
        check_pair(Window::Pad(p.clone()), Window::PadGrad(p), DType::F32, &[2, 2, 5, 4, 4], &[2, 2, 4, 4, 6]);
        let p = PadParams { mode, spatial: 1, left: [0, 0, -2] };
        check_pair(Window::Pad(p.clone()), Window::PadGrad(p), DType::F32, &[2, 2, 6], &[2, 2, 3]);
    }
}

fn resizing(
    mode: ResizeMode,
    spatial: usize,
    align_corners: bool,
    antialias: bool,
    factor: Option<f64>,
) -> ResizeParams {
    ResizeParams { mode, spatial, align_corners, antialias, scale_factors: [factor.map(f64::to_bits); 3] }
}

#[test]
fn resizing_agrees_with_the_cpu() {
    if missing() {
        return;
    }
    use ResizeMode::*;
    let sizes = [[3, 11], [9, 2], [5, 7], [10, 14], [1, 1]];
    for (mode, antialias) in
        [(Nearest, false), (NearestExact, false), (Linear, false), (Cubic, false), (Linear, true), (Cubic, true)]
    {
        for (align_corners, factor) in [(false, None), (true, None), (false, Some(1.37)), (false, Some(0.6))] {
            let p = resizing(mode, 2, align_corners, antialias, factor);
            for size in sizes {
                let output = [2, 3, size[0], size[1]];
                let (to, back) = (Window::Resize(p.clone()), Window::ResizeGrad(p.clone()));
                check_pair(to, back, DType::F32, &[2, 3, 5, 7], &output);
            }
        }
        let p = resizing(mode, 2, false, antialias, None);
        for dtype in FLOATS {
            check_pair(Window::Resize(p.clone()), Window::ResizeGrad(p.clone()), dtype, &[2, 3, 5, 7], &[2, 3, 4, 9]);
        }
    }
    for mode in [Nearest, Linear] {
        let p = resizing(mode, 3, false, false, None);
        check_pair(Window::Resize(p.clone()), Window::ResizeGrad(p), DType::F32, &[2, 2, 3, 4, 5], &[2, 2, 5, 3, 9]);
        let p = resizing(mode, 1, true, false, None);
        check_pair(Window::Resize(p.clone()), Window::ResizeGrad(p), DType::F32, &[2, 2, 6], &[2, 2, 10]);
    }
}

#[test]
fn integers_resize_as_on_the_cpu() {
    if missing() {
        return;
    }
    use ResizeMode::*;
    for dtype in [&INTEGERS[..], &[DType::Bool]].concat() {
        let x = tensor(&[2, 3, 5, 7], 1, dtype, true);
        check("nearest", Window::Resize(resizing(Nearest, 2, false, false, None)), &[x], dtype, &[2, 3, 4, 9]);
    }
    // Sums that lie half way between two integers may round to either.
    let x = cast(&from_slice(&[0.0f32, 90.0, 200.0, 255.0, 7.0, 31.0]).expect("x"), DType::U8).expect("cast");
    let x = view::reshape(&x, &[1, 1, 2, 3]).expect("shape");
    for (mode, antialias) in [(Linear, false), (Cubic, false), (Linear, true), (Cubic, true)] {
        let p = Window::Resize(resizing(mode, 2, false, antialias, Some(2.3)));
        check("uint8", p, std::slice::from_ref(&x), DType::U8, &[1, 1, 5, 7]);
    }
}

#[test]
fn blocks_agree_with_the_cpu() {
    if missing() {
        return;
    }
    let p = BlockParams { kernel: [3, 2], stride: [2, 1], padding: [1, 2], dilation: [1, 3] };
    for dtype in [&FLOATS[..], &INTEGERS[..], &[DType::Bool]].concat() {
        check_pair(Window::Im2col(p.clone()), Window::Col2im(p.clone()), dtype, &[2, 3, 6, 7], &[2, 18, 24]);
    }
}

#[test]
fn empty_batches_are_empty() {
    if missing() {
        return;
    }
    let p = PadParams { mode: PadMode::Reflect, spatial: 1, left: [0, 0, 1] };
    let x = tensor(&[0, 2, 4], 1, DType::F32, false);
    check("empty", Window::Pad(p), std::slice::from_ref(&x), DType::F32, &[0, 2, 6]);
    assert!(floats(&x).is_empty());
}
