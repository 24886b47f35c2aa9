//! The fused operators of networks on the GPU against the CPU, on small inputs of every layout.

use corten_core::device::Device;
use corten_core::dtype::DType;
use corten_core::exec::record::record;
use corten_core::gpu::adapters;
use corten_core::graph::{Input, OutSpec};
use corten_core::op::Op;
use corten_core::op::fused::Fused;
use corten_core::ops::attention::{Options, scaled_dot_product_attention};
use corten_core::ops::create::from_slice;
use corten_core::ops::device::{on_host, to_device};
use corten_core::ops::elementwise::cast;
use corten_core::ops::loss::{Reduce, cross_entropy_loss, nll_loss};
use corten_core::ops::{norm, softmax, view};
use corten_core::shape::{Dims, Layout};
use corten_core::tensor::Tensor;
use corten_core::transform::autograd::{self, Request};
use std::sync::Arc;

const HALVES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

fn missing() -> bool {
    adapters::count() == 0
}

fn noise(seed: usize, shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let at = |i: usize| ((i * 7919 + seed * 104729 + i * i % 613) % 2003) as f32 / 501.0 - 2.0;
    let values: Vec<f32> = (0..n).map(at).collect();
    view::reshape(&from_slice(&values).expect("tensor"), shape).expect("shape")
}

fn floats(t: &Tensor) -> Vec<f64> {
    let t = on_host(&t.detach()).and_then(|t| corten_core::ops::contiguous(&t)).and_then(|t| cast(&t, DType::F64));
    let t = t.expect("read");
    let b = corten_core::exec::materialize(&t).expect("values");
    // SAFETY: contiguous float64 elements.
    unsafe { std::slice::from_raw_parts(b.ptr().cast::<f64>(), t.numel()) }.to_vec()
}

fn gpu(t: &Tensor) -> Tensor {
    to_device(t, Device::Gpu(0)).expect("upload")
}

/// The results of a program and the gradients of its inputs where they are wanted, on one device.
fn run(inputs: &[(Tensor, bool)], there: bool, f: &dyn Fn(&[Tensor]) -> Tensor) -> Vec<Vec<f64>> {
    let leaves: Vec<Tensor> = inputs
        .iter()
        .map(|(t, grad)| {
            let t = if there { gpu(t) } else { t.clone() };
            let t = t.detach();
            if *grad {
                t.set_requires_grad(true).expect("float");
            }
            t
        })
        .collect();
    let y = f(&leaves);
    let mut all = vec![floats(&y)];
    let wanted: Vec<Tensor> = inputs.iter().zip(&leaves).filter(|(i, _)| i.1).map(|(_, t)| t.clone()).collect();
    if !wanted.is_empty() {
        let g = noise(77, y.shape());
        let g = cast(&g, y.dtype()).expect("cast");
        let g = if there { gpu(&g) } else { g };
        all.extend(gradients(&y, &g, &wanted).iter().map(floats));
    }
    all
}

fn gradients(y: &Tensor, g: &Tensor, wanted: &[Tensor]) -> Vec<Tensor> {
    let request = Request {
        roots: std::slice::from_ref(y),
        seeds: &[Some(g.clone())],
        retain_graph: false,
        create_graph: false,
        inputs: Some(wanted),
        capture: true,
    };
    let found = autograd::run(&request).expect("gradients");
    found.into_iter().map(|g| g.expect("a gradient")).collect()
}

/// Both devices agree to `tolerance` relative to the largest value.
fn agree(what: &str, inputs: &[(Tensor, bool)], tolerance: f64, f: &dyn Fn(&[Tensor]) -> Tensor) {
    let (here, there) = (run(inputs, false, f), run(inputs, true, f));
    for (k, (a, b)) in here.iter().zip(&there).enumerate() {
        assert_eq!(a.len(), b.len(), "{what}: result {k}");
        let size = a.iter().filter(|v| v.is_finite()).fold(1.0f64, |m, v| m.max(v.abs()));
        for (i, (x, y)) in a.iter().zip(b).enumerate() {
            let same = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * size;
            assert!(same, "{what}: result {k} element {i}: {x} here, {y} there");
        }
    }
}

fn tolerance(d: DType) -> f64 {
    match d {
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 1e-5,
    }
}

fn with_dtype(t: &Tensor, d: DType) -> Tensor {
    cast(t, d).expect("cast")
}

#[test]
fn softmax_along_any_dim() {
    if missing() {
        return;
    }
    let shapes: [(&[usize], i64); 10] = [
        (&[], 0),
        (&[7], 0),
        (&[3, 700], 1),
        (&[300, 5], 1),
        (&[5, 300], 0),
        (&[2, 9, 150], 1),
        (&[2, 70, 150], 1),
        (&[2, 40, 3], 1),
        (&[0, 4], 1),
        (&[4, 0], 0),
    ];
    for log in [false, true] {
        for (shape, dim) in shapes {
            agree("softmax", &[(noise(1, shape), true)], 1e-6, &|t| {
                softmax::softmax(log, &t[0], dim, None).expect("softmax")
            });
        }
        for d in HALVES {
            let x = with_dtype(&noise(2, &[6, 33]), d);
            agree("softmax of a transpose", &[(x, true)], tolerance(d), &|t| {
                let seen = view::slice(&view::transpose(&t[0], 0, 1).expect("t"), 0, 1, 16, 2).expect("slice");
                softmax::softmax(log, &seen, 0, None).expect("softmax")
            });
        }
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let rows = [1.0, -inf, 2.0, -inf, -inf, -inf, 1.0, inf, 0.0, 1.0, nan, 2.0, -inf, 3.0, -inf];
        let x = view::reshape(&from_slice(&rows).expect("x"), &[5, 3]).expect("shape");
        for dim in [0, 1] {
            agree("softmax of infinities", &[(x.clone(), false)], 1e-6, &|t| {
                softmax::softmax(log, &t[0], dim, None).expect("softmax")
            });
        }
    }
}

/// Columns `first` to `first + n` of a matrix.
fn columns(t: &Tensor, first: usize, n: usize) -> Tensor {
    view::slice(t, 1, first, n, 1).expect("columns")
}

/// Rows of fours that begin at multiples of four are read and written as vectors, and no others.
#[test]
fn softmax_and_norms_of_rows_that_begin_anywhere() {
    if missing() {
        return;
    }
    for (width, first, n) in [(24, 0, 24), (24, 4, 16), (24, 1, 16), (24, 4, 15), (26, 4, 16), (1032, 4, 1028)] {
        for d in HALVES {
            let what = format!("columns {first} to {} of {width}, {d}", first + n);
            let x = with_dtype(&noise(1, &[5, width]), d);
            for (log, dim) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
                agree(&what, &[(x.clone(), true)], tolerance(d), &|t| {
                    softmax::softmax(log, &columns(&t[0], first, n), dim, None).expect("softmax")
                });
                // The gradient comes in another layout than the result.
                agree(&what, &[(x.clone(), true)], tolerance(d), &|t| {
                    let y = softmax::softmax(log, &columns(&t[0], first, n), dim, None).expect("softmax");
                    view::transpose(&y, 0, 1).expect("t")
                });
            }
            let weights = [3, 4].map(|seed| (with_dtype(&noise(seed, &[width]), d), true));
            let inputs = [(x, true), weights[0].clone(), weights[1].clone()];
            agree(&what, &inputs, 2.0 * tolerance(d), &|t| {
                let weight = |k: usize, first| view::slice(&t[k], 0, first, n, 1).expect("weight");
                let (w, b) = (weight(1, first), weight(2, 0));
                norm::layer_norm(&columns(&t[0], first, n), &[n as i64], Some(&w), Some(&b), 1e-5).expect("layer_norm")
            });
        }
    }
}

/// Where rows are neighbours, an invocation takes four of them.
#[test]
fn softmax_of_neighbouring_rows() {
    if missing() {
        return;
    }
    let shapes: [&[usize]; 5] = [&[9, 4], &[300, 8], &[40, 1028], &[3, 70, 12], &[2, 5, 6]];
    for shape in shapes {
        for (d, log) in [(DType::F32, false), (DType::F16, true), (DType::BF16, false)] {
            let x = with_dtype(&noise(1, shape), d);
            let dim = shape.len() as i64 - 2;
            agree(&format!("{shape:?} {d}"), &[(x, true)], tolerance(d), &|t| {
                softmax::softmax(log, &t[0], dim, None).expect("softmax")
            });
        }
    }
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let of = |k: usize, i: usize| match (k, i % 3) {
        (0, _) => -inf,
        (1, 0) => nan,
        (2, 1) => inf,
        (3, 0) | (4, 1 | 2) => -inf,
        (5, 1) => 3e38,
        (5, 0) => -3e38,
        (6, 0) => -inf,
        (6, 1) => nan,
        _ => (k * 7 + i * 5) as f32 / 9.0,
    };
    for n in [3, 12, 40] {
        let values: Vec<f32> = (0..8 * n).map(|at| of(at / n, at % n)).collect();
        let x = view::reshape(&from_slice(&values).expect("x"), &[8, n]).expect("shape");
        let turned = view::transpose(&x, 0, 1).and_then(|t| corten_core::ops::contiguous(&t)).expect("t");
        for log in [false, true] {
            for (x, dim) in [(&x, 1), (&turned, 0)] {
                agree(&format!("infinities along {n}"), &[(x.clone(), false)], 1e-6, &|t| {
                    softmax::softmax(log, &t[0], dim, None).expect("softmax")
                });
            }
        }
    }
}

#[test]
fn layer_and_rms_norm() {
    if missing() {
        return;
    }
    for (shape, normalized) in [
        (&[5, 7][..], &[7_i64][..]),
        (&[3, 600], &[600]),
        (&[400, 3], &[3]),
        (&[2, 3, 4, 5], &[4, 5]),
        (&[300, 130], &[130]),
    ] {
        let last: Vec<usize> = normalized.iter().map(|&n| n as usize).collect();
        let inputs = [(noise(1, shape), true), (noise(2, &last), true), (noise(3, &last), true)];
        agree("layer_norm", &inputs, 1e-5, &|t| {
            norm::layer_norm(&t[0], normalized, Some(&t[1]), Some(&t[2]), 1e-5).expect("layer_norm")
        });
        agree("rms_norm", &inputs[..2], 1e-5, &|t| {
            norm::rms_norm(&t[0], normalized, Some(&t[1]), Some(1e-5)).expect("rms_norm")
        });
        agree("layer_norm without weight", &inputs[..1], 1e-5, &|t| {
            norm::layer_norm(&t[0], normalized, None, None, 1e-5).expect("layer_norm")
        });
    }
    for d in HALVES {
        let x = with_dtype(&noise(4, &[9, 6]), d);
        let w = with_dtype(&noise(5, &[9]), d);
        agree("layer_norm of a transpose", &[(x, true), (w, true)], 2.0 * tolerance(d), &|t| {
            let x = view::transpose(&t[0], 0, 1).expect("t");
            norm::layer_norm(&x, &[9], Some(&t[1]), None, 1e-5).expect("layer_norm")
        });
    }
}

#[test]
fn group_and_batch_norm() {
    if missing() {
        return;
    }
    for shape in [&[3, 6][..], &[2, 6, 5], &[2, 6, 7, 11], &[2, 6, 130, 2], &[2, 6, 3, 2], &[2, 6, 4, 5]] {
        let inputs = [(noise(1, shape), true), (noise(2, &[6]), true), (noise(3, &[6]), true)];
        agree("group_norm", &inputs, 2e-5, &|t| {
            norm::group_norm(&t[0], 3, Some(&t[1]), Some(&t[2]), 1e-5).expect("group_norm")
        });
        agree("batch_norm", &inputs, 2e-5, &|t| {
            norm::batch_norm(&t[0], [None, None], [Some(&t[1]), Some(&t[2])], true, 0.1, 1e-5).expect("batch_norm")
        });
        let mut all = inputs.to_vec();
        all.extend([(noise(4, &[6]), false), (noise(5, &[6]).mul(&noise(5, &[6])).expect("square"), false)]);
        agree("batch_norm with running statistics", &all, 2e-5, &|t| {
            let running = [Some(&t[3]), Some(&t[4])];
            norm::batch_norm(&t[0], running, [Some(&t[1]), Some(&t[2])], false, 0.1, 1e-5).expect("batch_norm")
        });
        agree(
            "running statistics after batch_norm",
            &[(noise(1, shape), false), (noise(6, &[6]), false)],
            2e-5,
            &|t| {
                let (mean, variance) = (t[1].copy().expect("copy"), t[1].copy().expect("copy"));
                let running = [Some(&mean), Some(&variance)];
                norm::batch_norm(&t[0], running, [None, None], true, 0.3, 1e-5).expect("batch_norm");
                mean.mul(&variance).expect("product")
            },
        );
    }
}

#[test]
fn losses_over_classes() {
    if missing() {
        return;
    }
    for shape in [&[5][..], &[6, 9], &[3, 600], &[2, 5, 3], &[2, 4, 300]] {
        let dim = usize::from(shape.len() > 1);
        let samples: Vec<usize> = shape.iter().enumerate().filter(|(d, _)| *d != dim).map(|(_, &n)| n).collect();
        let count: usize = samples.iter().product();
        let classes: Vec<i64> = (0..count).map(|i| if i == 1 { -100 } else { (i * 7 % shape[dim]) as i64 }).collect();
        let target = view::reshape(&from_slice(&classes).expect("target"), &samples).expect("shape");
        let weight = noise(3, &[shape[dim]]).abs().expect("abs").add(0.1).expect("add");
        let inputs = [(noise(1, shape), true), (target, false), (weight, false)];
        for reduction in [Reduce::None, Reduce::Mean, Reduce::Sum] {
            for (weighted, smoothing) in [(false, 0.0), (true, 0.0), (false, 0.2), (true, 0.2)] {
                agree("cross_entropy", &inputs, 1e-5, &|t| {
                    let w = weighted.then_some(&t[2]);
                    cross_entropy_loss(&t[0], &t[1], w, reduction, -100, smoothing).expect("loss")
                });
            }
            agree("nll_loss", &inputs, 1e-5, &|t| nll_loss(&t[0], &t[1], Some(&t[2]), reduction, -100).expect("loss"));
        }
    }
    for d in HALVES {
        let target = from_slice(&[3_u8, 0, 5, 1]).expect("target");
        agree("cross_entropy", &[(with_dtype(&noise(4, &[4, 6]), d), true), (target, false)], tolerance(d), &|t| {
            cross_entropy_loss(&t[0], &t[1], None, Reduce::Mean, 5, 0.1).expect("loss")
        });
    }
}

/// (batch, query heads, key heads, queries, keys, columns, columns of values)
type Sizes = [usize; 7];

fn attention_inputs([b, h, hkv, l, s, e, ev]: Sizes, d: DType) -> Vec<(Tensor, bool)> {
    let shapes = [[b, h, l, e], [b, hkv, s, e], [b, hkv, s, ev]];
    shapes.iter().enumerate().map(|(k, shape)| (with_dtype(&noise(k + 1, shape), d), true)).collect()
}

#[test]
fn attention_and_its_gradients() {
    if missing() {
        return;
    }
    let plain = Options { mask: None, dropout: 0.0, causal: false, scale: None, grouped: true };
    let sizes: [Sizes; 6] = [
        [1, 2, 2, 5, 7, 4, 4],
        [2, 4, 2, 70, 33, 20, 24],
        [1, 1, 1, 3, 130, 16, 70],
        [1, 2, 1, 66, 66, 72, 8],
        [1, 1, 1, 2, 3, 5, 300],
        [1, 1, 1, 1, 40, 8, 8],
    ];
    for size in sizes {
        for causal in [false, true] {
            agree(&format!("attention {size:?} {causal}"), &attention_inputs(size, DType::F32), 3e-5, &|t| {
                scaled_dot_product_attention(&t[0], &t[1], &t[2], &Options { causal, ..plain }).expect("attention")
            });
        }
    }
    for d in HALVES {
        agree("attention", &attention_inputs([1, 2, 1, 9, 11, 6, 6], d), 4.0 * tolerance(d), &|t| {
            let q = view::transpose(&view::transpose(&t[0], 2, 3).expect("t").copy().expect("copy"), 2, 3).expect("t");
            scaled_dot_product_attention(&q, &t[1], &t[2], &plain).expect("attention")
        });
    }
}

#[test]
fn attention_with_masks() {
    if missing() {
        return;
    }
    let plain = Options { mask: None, dropout: 0.0, causal: false, scale: Some(0.3), grouped: false };
    let size = [2, 2, 2, 37, 41, 8, 12];
    let mut inputs = attention_inputs(size, DType::F32);
    inputs.push((noise(5, &[2, 1, 37, 41]), true));
    agree("attention with a mask", &inputs, 3e-5, &|t| {
        scaled_dot_product_attention(&t[0], &t[1], &t[2], &Options { mask: Some(&t[3]), ..plain }).expect("attention")
    });
    // The first query sees nothing.
    let seen: Vec<f32> = (0..37 * 41).map(|i| if i < 41 || i % 3 == 0 { 0.0 } else { 1.0 }).collect();
    let seen = view::reshape(&from_slice(&seen).expect("mask"), &[37, 41]).expect("shape");
    inputs[3] = (with_dtype(&seen, DType::Bool), false);
    agree("attention with a bool mask", &inputs, 3e-5, &|t| {
        scaled_dot_product_attention(&t[0], &t[1], &t[2], &Options { mask: Some(&t[3]), ..plain }).expect("attention")
    });
}

/// Forward and gradients with the numbers of one call, which the public function would draw.
fn attention_with_dropout(t: &[Tensor], causal: bool) -> Vec<Tensor> {
    let numbers = [
        Input::Scalar(0.4f64.to_bits(), DType::F64),
        Input::Scalar(0.3f64.to_bits(), DType::F64),
        Input::Scalar(0x1234_5678_9abc, DType::I64),
        Input::Scalar(7, DType::I64),
    ];
    let spec =
        |shape: &[usize]| OutSpec { dtype: DType::F32, layout: Arc::new(Layout::contiguous(Dims::from_slice(shape))) };
    let inputs = |tensors: &[&Tensor]| tensors.iter().map(|t| t.input()).chain(numbers.clone()).collect();
    let [q, k, v, mask, dout] = t else { panic!("five inputs") };
    let forward = Op::Fused(Fused::Attention { causal, mask: true });
    let outs = [spec(dout.shape()), spec(&q.shape()[..3])].into_iter().collect();
    let made = record(forward, inputs(&[q, k, v, mask]), outs).expect("attention");
    let backward = Op::Fused(Fused::AttentionGrad { causal, mask: true, wants: [true; 4] });
    let outs = [q, k, v, mask].into_iter().map(|t| spec(t.shape())).collect();
    let grads = record(backward, inputs(&[dout, q, k, v, mask, &made[0], &made[1]]), outs).expect("gradients");
    made.into_iter().chain(grads).collect()
}

#[test]
fn attention_drops_the_same_probabilities() {
    if missing() {
        return;
    }
    for causal in [false, true] {
        let shapes = [[2, 4, 37, 8], [2, 2, 41, 8], [2, 2, 41, 12], [2, 4, 37, 41], [2, 4, 37, 12]];
        let here: Vec<Tensor> = shapes.iter().enumerate().map(|(k, s)| noise(k, s)).collect();
        let there: Vec<Tensor> = here.iter().map(gpu).collect();
        let pairs = attention_with_dropout(&here, causal).into_iter().zip(attention_with_dropout(&there, causal));
        for (k, (a, b)) in pairs.enumerate() {
            for (i, (x, y)) in floats(&a).iter().zip(floats(&b)).enumerate() {
                assert!((x - y).abs() <= 1e-4 || *x == y, "output {k} element {i}: {x} here, {y} there");
            }
        }
    }
}
