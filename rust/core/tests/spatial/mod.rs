//! What the tests of windowed operators share: one operator recorded on both devices.

use corten_core::device::Device;
use corten_core::dtype::DType;
use corten_core::exec::record::record;
use corten_core::gpu::adapters;
use corten_core::graph::OutSpec;
use corten_core::op::Op;
use corten_core::ops::create::from_slice;
use corten_core::ops::device::{on_host, to_device};
use corten_core::ops::elementwise::cast;
use corten_core::ops::view;
use corten_core::shape::{Dims, Layout};
use corten_core::tensor::Tensor;
use std::sync::Arc;

pub fn missing() -> bool {
    adapters::count() == 0
}

/// A structured operator, its inputs on the CPU, its outputs.
pub struct Case {
    pub name: &'static str,
    pub op: Op,
    pub ins: Vec<Tensor>,
    pub outs: Vec<(DType, Vec<usize>)>,
}

/// Numbers between -3 and 3, whole for integers. A permuted tensor has its channels last and starts inside its memory.
pub fn tensor(shape: &[usize], seed: usize, dtype: DType, permuted: bool) -> Tensor {
    let n: usize = shape.iter().product();
    let numbers =
        |n: usize| -> Vec<f32> { (0..n).map(|i| ((i * 37 + seed * 101 + i / 7) % 97) as f32 / 16.0 - 3.0).collect() };
    if !permuted || shape.len() < 3 {
        let flat = cast(&from_slice(&numbers(n)).expect("tensor"), dtype).expect("cast");
        return view::reshape(&flat, shape).expect("shape");
    }
    // (N + 1, *, C), of which the first sample is left out, seen as (N, C, *).
    let mut stored = vec![shape[0] + 1];
    stored.extend(&shape[2..]);
    stored.push(shape[1]);
    let all = cast(&from_slice(&numbers(stored.iter().product())).expect("tensor"), dtype).expect("cast");
    let all = view::reshape(&all, &stored).expect("shape");
    let kept = view::slice(&all, 0, 1, shape[0], 1).expect("slice");
    let order: Vec<usize> = [0, shape.len() - 1].into_iter().chain(1..shape.len() - 1).collect();
    view::permute(&kept, &order)
}

pub fn floats(t: &Tensor) -> Vec<f64> {
    let t = on_host(t).and_then(|t| corten_core::ops::contiguous(&t)).and_then(|t| cast(&t, DType::F64)).expect("read");
    let b = corten_core::exec::materialize(&t).expect("values");
    if t.numel() == 0 {
        return Vec::new();
    }
    // SAFETY: contiguous float64 elements.
    unsafe { std::slice::from_raw_parts(b.ptr().cast::<f64>(), t.numel()) }.to_vec()
}

fn results(case: &Case, device: Device) -> Vec<Vec<f64>> {
    let ins: Vec<Tensor> = case.ins.iter().map(|t| to_device(t, device).expect("upload")).collect();
    let outs = case
        .outs
        .iter()
        .map(|(dtype, shape)| OutSpec { dtype: *dtype, layout: Arc::new(Layout::contiguous(Dims::from_slice(shape))) });
    let made = record(case.op.clone(), ins.iter().map(|t| t.input()).collect(), outs.collect()).expect("recorded");
    made.iter().map(floats).collect()
}

/// Both devices give the same numbers: float32 up to a relative error, halves up to one of their last bits, others exactly.
pub fn compare(case: &Case, tolerance: f64) {
    let (here, there) = (results(case, Device::Cpu), results(case, Device::Gpu(0)));
    for (k, (a, b)) in here.iter().zip(&there).enumerate() {
        let (dtype, shape) = &case.outs[k];
        let tolerance = match dtype {
            DType::F16 => 2e-3,
            DType::BF16 => 1.6e-2,
            d if d.is_float() => tolerance,
            _ => 0.0,
        };
        let top = a.iter().filter(|v| v.is_finite()).fold(1.0f64, |m, v| m.max(v.abs()));
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            let same = (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= tolerance * top;
            let Case { name, op, .. } = case;
            assert!(same, "{name} {op:?} {dtype} {shape:?}: output {k}, element {i} is {b}, on the CPU {a}");
        }
    }
}

/// The second output of a case as the CPU computes it.
#[allow(dead_code)]
pub fn positions(case: &Case) -> Tensor {
    let values: Vec<i64> = results(case, Device::Cpu)[1].iter().map(|&v| v as i64).collect();
    view::reshape(&from_slice(&values).expect("positions"), &case.outs[1].1).expect("shape")
}
