//! Times of the engine's parts: what a recorded operator costs, a plan found in the cache, and the main kernels.
//! `cargo bench -p corten-core`, or one group: `cargo bench -p corten-core -- gemm`.

use corten_core::dtype::Scalar;
use corten_core::error::Result;
use corten_core::exec;
use corten_core::ops::elementwise::Operand;
use corten_core::ops::{attention, conv, create, matmul, view};
use corten_core::params::ConvParams;
use corten_core::tensor::Tensor;
use criterion::{Criterion, Throughput, criterion_group};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Operators recorded between two flushes; below the recorder's own budget.
const RECORDED: u64 = 1000;

/// Values that are neither constant nor special, computed before anything is timed.
fn input(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect();
    let t = create::from_slice(&values).and_then(|t| view::reshape(&t, shape)).expect("an input");
    exec::materialize(&t).expect("memory for the input");
    t
}

fn computed(result: Result<Tensor>) {
    let t = result.expect("valid arguments");
    black_box(exec::materialize(&t).expect("a kernel"));
}

fn number(value: f64) -> Operand<'static> {
    Operand::Number(Scalar::Float(value))
}

fn recording(c: &mut Criterion) {
    let mut group = c.benchmark_group("recording");
    group.throughput(Throughput::Elements(RECORDED));
    let x = input(&[16]);
    group.bench_function("1000 operators", |b| {
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let start = Instant::now();
                let mut y = x.clone();
                for _ in 0..RECORDED {
                    y = y.add(&x).expect("an addition");
                }
                total += start.elapsed();
                drop(y);
                exec::flush().expect("a flush");
            }
            total
        });
    });
}

/// The whole way of a small segment whose plan is known; the arithmetic itself is negligible.
fn plan_hit(c: &mut Criterion) {
    let x = input(&[16]);
    c.bench_function("plan hit/8 operators", |b| {
        b.iter(|| {
            let mut y = x.clone();
            for _ in 0..4 {
                y = y.mul(number(0.5)).and_then(|y| y.add(&x)).expect("elementwise operators");
            }
            computed(Ok(y));
        });
    });
}

fn elementwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("elementwise");
    for count in [1usize << 12, 1 << 20] {
        let (x, y) = (input(&[count]), input(&[count]));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("add {count}"), |b| b.iter(|| computed(x.add(&y))));
        group.bench_function(format!("exp {count}"), |b| b.iter(|| computed(x.exp())));
        group.bench_function(format!("fused tanh(x·y + x)·y {count}"), |b| {
            b.iter(|| computed(x.mul(&y).and_then(|t| t.add(&x)?.tanh()?.mul(&y))));
        });
    }
}

fn gemm(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm");
    for [m, k, n] in [[64, 64, 64], [512, 512, 512], [32, 1024, 4096], [1, 1024, 1024]] {
        let (a, b) = (input(&[m, k]), input(&[k, n]));
        group.throughput(Throughput::Elements((2 * m * k * n) as u64));
        group.bench_function(format!("{m}×{k}×{n}"), |bench| bench.iter(|| computed(matmul::matmul(&a, &b))));
    }
}

fn convolution(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv");
    for (name, x, w, groups) in [
        ("3×3, 64 channels, 28×28", [8, 64, 28, 28], [64, 64, 3, 3], 1),
        ("1×1, 256 channels, 14×14", [8, 256, 14, 14], [64, 256, 1, 1], 1),
        ("depthwise 3×3, 128 channels, 28×28", [8, 128, 28, 28], [128, 1, 3, 3], 128),
    ] {
        let (x, w) = (input(&x), input(&w));
        let edge = w.shape()[2] / 2;
        let p = ConvParams {
            stride: [1; 3],
            padding: [0, edge, edge],
            dilation: [1; 3],
            groups,
            transposed: false,
            output_padding: [0; 3],
        };
        group.bench_function(name, |b| b.iter(|| computed(conv::convolution(&x, &w, None, &p, 2))));
    }
}

fn attention_forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention");
    for length in [128, 512] {
        let q = input(&[4, 8, length, 64]);
        let options = attention::Options { mask: None, dropout: 0.0, causal: true, scale: None, grouped: false };
        group.bench_function(format!("causal, 4×8 heads of 64, length {length}"), |b| {
            b.iter(|| computed(attention::scaled_dot_product_attention(&q, &q, &q, &options)));
        });
    }
}

criterion_group!(engine, recording, plan_hit, elementwise, gemm, convolution, attention_forward);

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("times of a build with debug assertions mean nothing: `cargo bench` builds without them");
        std::process::exit(1);
    }
    engine();
    Criterion::default().configure_from_args().final_summary();
}
