//! Indexing, sorting, scanning and counting on the GPU against the CPU.

use corten_core::device::Device;
use corten_core::dtype::{DType, Scalar};
use corten_core::gpu::adapters;
use corten_core::op::index::{Rank, ScatterMode};
use corten_core::ops::create::{from_slice, ramp};
use corten_core::ops::device::{on_host, to_device};
use corten_core::ops::elementwise::cast;
use corten_core::ops::index::Source;
use corten_core::ops::sort::Search;
use corten_core::ops::{advanced, contiguous, count, embedding, index, join, rearrange, scan, sort, view};
use corten_core::tensor::Tensor;
use corten_core::transform::autograd::{Request, run};

const DTYPES: [DType; 9] =
    [DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::I16, DType::I8, DType::U8, DType::Bool];

fn missing() -> bool {
    adapters::count() == 0
}

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + 11) % 97) as f32 / 4.0 - 12.0).collect()
}

fn shaped(t: &Tensor, shape: &[usize]) -> Tensor {
    view::reshape(t, shape).expect("shape")
}

fn values(shape: &[usize], dtype: DType) -> Tensor {
    let t = from_slice(&numbers(shape.iter().product())).expect("values");
    cast(&shaped(&t, shape), dtype).expect("cast")
}

/// Indices below `size`, of which many occur more than once.
fn indices(shape: &[usize], size: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let list: Vec<i64> = (0..n).map(|i| ((i * i * 7 + i * 3 + 1) % size) as i64).collect();
    shaped(&from_slice(&list).expect("indices"), shape)
}

fn floats(t: &Tensor) -> Vec<f64> {
    let t = on_host(t).and_then(|t| contiguous(&t)).and_then(|t| cast(&t, DType::F64)).expect("read");
    let b = corten_core::exec::materialize(&t).expect("values");
    // SAFETY: contiguous float64 elements.
    unsafe { std::slice::from_raw_parts(b.ptr().cast::<f64>(), t.numel()) }.to_vec()
}

/// Runs a program on both devices and compares what it returns, up to a relative error.
fn close(what: &str, tolerance: f64, inputs: &[Tensor], program: impl Fn(&[Tensor]) -> Vec<Tensor>) {
    let there: Vec<Tensor> = inputs.iter().map(|t| to_device(t, Device::Gpu(0)).expect("upload")).collect();
    let (got, want) = (program(&there), program(inputs));
    for (k, (g, w)) in got.iter().zip(&want).enumerate() {
        assert_eq!((g.shape(), g.dtype()), (w.shape(), w.dtype()), "{what}: output {k}");
        let (g, w) = (floats(g), floats(w));
        let same =
            |a: f64, b: f64| (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= tolerance * b.abs().max(1.0);
        let wrong: Vec<usize> = (0..w.len()).filter(|&i| !same(g[i], w[i])).collect();
        let first = wrong.first().map(|&i| (i, g[i], w[i]));
        assert!(wrong.is_empty(), "{what}: output {k}: {} differ, first {first:?}", wrong.len());
    }
}

fn same(what: &str, inputs: &[Tensor], program: impl Fn(&[Tensor]) -> Vec<Tensor>) {
    close(what, 0.0, inputs, program);
}

fn pair<E: std::fmt::Debug>(r: Result<(Tensor, Tensor), E>) -> Vec<Tensor> {
    let (a, b) = r.expect("pair");
    vec![a, b]
}

#[test]
fn ramps_round_as_on_the_cpu() {
    if missing() {
        return;
    }
    let cases = [
        (Scalar::Int(-5), Scalar::Int(3), DType::I64),
        (Scalar::Int(7), Scalar::Int(-2), DType::I32),
        (Scalar::Int(0), Scalar::Int(1), DType::U8),
        (Scalar::Float(0.1), Scalar::Float(0.3), DType::F32),
        (Scalar::Float(-1.0), Scalar::Float(2.0 / 299.0), DType::F32),
        (Scalar::Float(1e30), Scalar::Float(-3.3e27), DType::F32),
        (Scalar::Float(0.0), Scalar::Float(0.5), DType::BF16),
        (Scalar::Float(0.0), Scalar::Float(0.0), DType::F16),
    ];
    for (start, step, dtype) in cases {
        let on = |device| floats(&ramp(start, step, 300, dtype, device).expect("ramp"));
        let (got, want) = (on(Device::Gpu(0)), on(Device::Cpu));
        assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() <= w.abs() * 1.2e-7), "{start:?} {step:?} {dtype}");
    }
}

#[test]
fn elements_move_where_they_should() {
    if missing() {
        return;
    }
    for dtype in DTYPES {
        let x = values(&[5, 7, 3], dtype);
        let turned = view::transpose(&values(&[3, 7, 5], dtype), 0, 2).expect("transpose");
        for t in [x.clone(), turned] {
            let name = |op: &str| format!("{op} {dtype}");
            same(&name("cat"), &[t.clone(), x.clone()], |v| {
                let head = view::slice(&v[1], 1, 2, 3, 2).expect("slice");
                vec![join::cat(&[v[0].clone(), head, v[1].clone()], 1).expect("cat")]
            });
            same(&name("flip"), std::slice::from_ref(&t), |v| vec![rearrange::flip(&v[0], &[0, 2]).expect("flip")]);
            same(&name("roll"), std::slice::from_ref(&t), |v| {
                vec![rearrange::roll(&v[0], &[2, -1], &[1, 2]).expect("roll")]
            });
            for diagonal in [-2, 0, 1, 100] {
                same(&name("triangle"), std::slice::from_ref(&t), |v| {
                    [true, false].map(|upper| rearrange::triangle(upper, &v[0], diagonal).expect("triangle")).to_vec()
                });
            }
            same(&name("gather"), &[t.clone(), indices(&[4, 9, 2], 7)], |v| {
                vec![index::gather(&v[0], 1, &v[1]).expect("gather")]
            });
            let (i, j) = (indices(&[4, 1], 5), indices(&[6], 3));
            same(&name("index"), &[t.clone(), i, j], |v| {
                let (i, j) = (Some(v[1].clone()), Some(v[2].clone()));
                let at = |at: &[Option<Tensor>]| advanced::index(&v[0], at).expect("index");
                vec![
                    at(&[i.clone(), None, j.clone()]),
                    at(std::slice::from_ref(&i)),
                    at(&[None, None, j.clone()]),
                    at(&[j, i]),
                ]
            });
            same(&name("take"), &[t.clone(), indices(&[3, 11], 105)], |v| {
                vec![advanced::take(&v[0], &v[1]).expect("take")]
            });
            let mask = cast(&values(&[5, 7, 3], DType::I32).gt(2.0).expect("gt"), DType::Bool).expect("mask");
            same(&name("masks"), &[t.clone(), mask, x.clone()], |v| {
                vec![
                    advanced::masked_select(&v[0], &v[1]).expect("select"),
                    advanced::masked_scatter(&v[0], &v[1], &v[2]).expect("scatter"),
                    advanced::nonzero(&v[0]).expect("nonzero"),
                ]
            });
        }
    }
    same("repeats", &[indices(&[300], 9)], |v| vec![rearrange::repeat_positions(&v[0], None).expect("repeat")]);
}

#[test]
fn scatters_agree_in_all_modes() {
    if missing() {
        return;
    }
    use ScatterMode::*;
    for dtype in DTYPES {
        let base = values(&[3, 40], dtype);
        let tolerance = if dtype.is_float() { 4e-3 } else { 0.0 };
        for n in [1, 20, 300] {
            let at = indices(&[3, n], 40);
            let source = values(&[3, n], dtype);
            let inputs = [base.clone(), at, source];
            same(&format!("scatter {dtype} {n}"), &inputs, |v| {
                vec![
                    index::scatter(&v[0], 1, &v[1], Source::Tensor(&v[2])).expect("scatter"),
                    index::scatter(&v[0], 1, &v[1], Source::Number(Scalar::Int(1))).expect("scatter"),
                ]
            });
            for mode in [Add, Prod, Mean, Amax, Amin] {
                // Products of many large factors leave every format.
                if (mode == Mean && dtype == DType::Bool) || (mode == Prod && n == 300 && dtype.is_float()) {
                    continue;
                }
                for include in [true, false] {
                    close(&format!("{mode:?} {dtype} {n} {include}"), tolerance, &inputs, |v| {
                        vec![index::scatter_reduce(&v[0], 1, &v[1], &v[2], mode, include).expect("reduce")]
                    });
                }
            }
        }
    }
}

#[test]
fn shared_indices_move_slices() {
    if missing() {
        return;
    }
    let x = values(&[6, 50, 4], DType::F32);
    for n in [30, 400] {
        let inputs = [x.clone(), indices(&[n], 50), values(&[6, n, 4], DType::F32)];
        close("index_add", 1e-5, &inputs, |v| {
            vec![
                index::index_add(&v[0], 1, &v[1], &v[2]).expect("add"),
                index::index_add_scaled(&v[0], 1, &v[1], &v[2], Scalar::Float(-0.5)).expect("scaled"),
                index::index_copy(&v[0], 1, &v[1], &v[2]).expect("copy"),
                index::index_fill(&v[0], 1, &v[1], Source::Number(Scalar::Float(2.5))).expect("fill"),
            ]
        });
    }
}

#[test]
fn advanced_indices_put() {
    if missing() {
        return;
    }
    for dtype in DTYPES {
        let x = view::transpose(&values(&[4, 5, 6], dtype), 0, 2).expect("transpose");
        let tolerance = if dtype.is_float() { 1e-2 } else { 0.0 };
        for accumulate in [false, true] {
            let (i, j) = (indices(&[7, 3], 6), indices(&[3], 4));
            let inputs = [x.clone(), i, j, values(&[5], dtype), values(&[7, 3, 5], dtype)];
            close(&format!("index_put {dtype} {accumulate}"), tolerance, &inputs, |v| {
                let (i, j) = (Some(v[1].clone()), Some(v[2].clone()));
                let put =
                    |at: &[Option<Tensor>], w: &Tensor| advanced::index_put(&v[0], at, w, accumulate).expect("put");
                vec![put(&[i.clone(), None, j.clone()], &v[3]), put(&[i, None, j], &v[4])]
            });
            let inputs = [x.clone(), indices(&[200], 120), values(&[200], dtype)];
            close(&format!("put {dtype} {accumulate}"), tolerance, &inputs, |v| {
                vec![advanced::put(&v[0], &v[1], &v[2], accumulate).expect("put")]
            });
        }
    }
}

#[test]
fn embeddings_and_their_gradients() {
    if missing() {
        return;
    }
    for dtype in [DType::F32, DType::BF16] {
        for (padding_idx, scale_grad_by_freq) in [(-1, false), (2, false), (-1, true)] {
            let inputs = [values(&[11, 5], dtype), indices(&[9, 8], 11), values(&[9, 8, 5], dtype)];
            let what = format!("embedding {dtype} {padding_idx} {scale_grad_by_freq}");
            close(&what, 1e-2, &inputs, |v| {
                let options = embedding::Options { padding_idx, scale_grad_by_freq };
                let table = v[0].detach();
                table.set_requires_grad(true).expect("leaf");
                let y = embedding::embedding(&table, &v[1], options).expect("lookup");
                let request = Request {
                    roots: std::slice::from_ref(&y),
                    seeds: &[Some(v[2].clone())],
                    retain_graph: false,
                    create_graph: false,
                    inputs: Some(&[table]),
                    capture: true,
                };
                let grad = run(&request).expect("backward").remove(0).expect("a gradient");
                vec![y, grad]
            });
        }
    }
}

#[test]
fn bags_of_embeddings_and_their_gradients() {
    if missing() {
        return;
    }
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::BF16, 2e-2)] {
        for weighted in [false, true] {
            let shapes: [&[usize]; 3] = [&[11, 5], &[9, 8], &[9, 5]];
            let [table, factors, seed] = shapes.map(|shape| values(shape, dtype));
            let inputs = [table, indices(&[9, 8], 11), factors, seed];
            close(&format!("bags {dtype} {weighted}"), tolerance, &inputs, |v| {
                let options = embedding::Options { padding_idx: -1, scale_grad_by_freq: false };
                let leaves = [v[0].detach(), v[2].detach()];
                leaves.iter().for_each(|t| t.set_requires_grad(true).expect("leaf"));
                let factors = weighted.then_some(&leaves[1]);
                let y = embedding::bag(&leaves[0], &v[1], factors, options).expect("bags");
                let request = Request {
                    roots: std::slice::from_ref(&y),
                    seeds: &[Some(v[3].clone())],
                    retain_graph: false,
                    create_graph: false,
                    inputs: Some(&leaves[..1 + usize::from(weighted)]),
                    capture: true,
                };
                let grads = run(&request).expect("backward").into_iter().map(|g| g.expect("a gradient"));
                std::iter::once(y.clone()).chain(grads).collect()
            });
        }
    }
}

#[test]
fn sorts_are_stable() {
    if missing() {
        return;
    }
    for dtype in DTYPES {
        for (shape, dim) in [(&[7][..], 0), (&[3, 700], 1), (&[40, 5, 6], 0), (&[2, 1500, 2], 1)] {
            let x = values(shape, dtype);
            same(&format!("sort {dtype} {shape:?}"), std::slice::from_ref(&x), |v| {
                let mut all = pair(sort::sort(&v[0], dim, false));
                all.extend(pair(sort::sort(&v[0], dim, true)));
                all.push(sort::argsort(&v[0], dim, true).expect("argsort"));
                all
            });
            if dtype == DType::Bool {
                continue;
            }
            for k in [1, 5] {
                same(&format!("topk {dtype} {shape:?}"), std::slice::from_ref(&x), |v| {
                    [true, false].iter().flat_map(|&largest| pair(sort::topk(&v[0], k, dim, largest))).collect()
                });
            }
            same(&format!("select {dtype} {shape:?}"), std::slice::from_ref(&x), |v| {
                let ranks = [Rank::Kth, Rank::Median, Rank::NanMedian, Rank::Mode];
                let mut all: Vec<Tensor> =
                    ranks.iter().flat_map(|&r| pair(sort::select(r, &v[0], 3, dim, r == Rank::Mode))).collect();
                all.push(sort::median(&v[0], false).expect("median"));
                all
            });
        }
    }
    let nan = f32::NAN;
    let x = shaped(&from_slice(&[2.0, nan, -0.0, 2.0, 0.0, nan, nan, nan, nan, nan]).expect("x"), &[2, 5]);
    same("nan", &[x], |v| {
        let mut all = pair(sort::sort(&v[0], 1, true));
        all.extend(pair(sort::select(Rank::Median, &v[0], 1, 1, false)));
        all.extend(pair(sort::select(Rank::NanMedian, &v[0], 1, 1, false)));
        all.extend([false, true].map(|ignore| sort::median(&v[0], ignore).expect("median")));
        let u = sort::unique(&v[0], false).expect("unique");
        all.extend([u.values, u.inverse, u.counts]);
        all
    });
}

#[test]
fn counting_and_searching() {
    if missing() {
        return;
    }
    for dtype in DTYPES {
        let x = values(&[30, 40], dtype);
        same(&format!("unique {dtype}"), &[x.clone(), indices(&[60, 3], 2)], |v| {
            let mut all = Vec::new();
            for consecutive in [false, true] {
                let u = sort::unique(&v[0], consecutive).expect("unique");
                all.extend([u.values, u.inverse, u.counts]);
                let rows = cast(&v[1], v[0].dtype()).expect("cast");
                for t in [rows.clone(), view::transpose(&rows, 0, 1).expect("transpose")] {
                    let u = sort::unique_dim(&t, if t.shape()[0] == 60 { 0 } else { 1 }, consecutive).expect("unique");
                    all.extend([u.values, u.inverse, u.counts]);
                }
            }
            all
        });
        if dtype == DType::Bool {
            continue;
        }
        same(&format!("searchsorted {dtype}"), &[x, values(&[30, 7], dtype)], |v| {
            let (sorted, _) = sort::sort(&v[0], 1, false).expect("sort");
            [false, true]
                .map(|right| {
                    let options = Search { right, out_int32: right, ..Default::default() };
                    sort::searchsorted(&sorted, &v[1], options).expect("search")
                })
                .to_vec()
        });
    }
    same("bincount", &[indices(&[3000], 23)], |v| vec![count::bincount(&v[0], None, 30).expect("bincount")]);
    close("weights", 1e-5, &[indices(&[700], 23), values(&[700], DType::F32)], |v| {
        vec![count::bincount(&v[0], Some(&v[1]), 0).expect("bincount")]
    });
    same("histc", &[values(&[900], DType::F32)], |v| {
        vec![count::histc(&v[0], 7, 0.0, 0.0).expect("own range"), count::histc(&v[0], 10, -3.0, 5.0).expect("range")]
    });
}

#[test]
fn scans_run_along_any_dim() {
    if missing() {
        return;
    }
    for dtype in DTYPES.into_iter().filter(|&d| d != DType::Bool) {
        let tolerance = if dtype.is_float() { 2e-2 } else { 0.0 };
        for (shape, dim) in [(&[10, 5][..], 1), (&[3, 300, 2], 1), (&[2, 3000], 1), (&[1100, 3], 0)] {
            let x = values(shape, dtype);
            close(&format!("sums {dtype} {shape:?}"), tolerance, std::slice::from_ref(&x), |v| {
                vec![
                    scan::cumsum(&v[0], dim, None, false).expect("cumsum"),
                    scan::cumsum(&v[0], dim, None, true).expect("cumsum"),
                    scan::cumprod(&v[0].sign().expect("sign"), dim, None).expect("cumprod"),
                ]
            });
            same(&format!("extrema {dtype} {shape:?}"), std::slice::from_ref(&x), |v| {
                [true, false].iter().flat_map(|&max| pair(scan::cumulative_extremum(max, &v[0], dim))).collect()
            });
            if dtype == DType::F32 {
                close("logcumsumexp", 1e-5, &[x], |v| vec![scan::logcumsumexp(&v[0], dim).expect("scan")]);
            }
        }
    }
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    close("edges", 1e-6, &[from_slice(&[1.0, -inf, 3.0, 3.0, inf, nan, 5.0, nan, 2.0]).expect("x")], |v| {
        let mut all = pair(scan::cumulative_extremum(true, &v[0], 0));
        all.extend(pair(scan::cumulative_extremum(false, &v[0], 0)));
        all.push(scan::logcumsumexp(&v[0], 0).expect("scan"));
        all
    });
}

#[test]
fn nothing_comes_of_nothing() {
    if missing() {
        return;
    }
    let none = values(&[0, 4], DType::F32);
    same("empty", &[none, values(&[3, 4], DType::F32), indices(&[0, 4], 3)], |v| {
        let mut all = vec![
            index::gather(&v[1], 0, &v[2]).expect("gather"),
            index::scatter_add(&v[1], 0, &v[2], &v[0]).expect("scatter"),
            rearrange::flip(&v[0], &[0]).expect("flip"),
            scan::cumsum(&v[0], 0, None, false).expect("cumsum"),
            join::cat(&[v[0].clone(), v[1].clone()], 0).expect("cat"),
            sort::unique(&v[0], false).expect("unique").values,
        ];
        all.extend(pair(sort::sort(&v[0], 0, false)));
        all.extend(pair(sort::topk(&v[1], 0, 1, true)));
        all
    });
    let scalar = view::reshape(&values(&[1], DType::F32), &[]).expect("scalar");
    same("scalar", &[scalar], |v| {
        let mut all = pair(sort::sort(&v[0], 0, true));
        all.extend(pair(scan::cumulative_extremum(true, &v[0], 0)));
        all
    });
}
