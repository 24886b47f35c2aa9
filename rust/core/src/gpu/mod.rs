//! The GPU backend: every operator as WGSL, on any adapter that Vulkan, Metal or DX12 reach.
//!
//! [`adapters`] finds the hardware and [`device`] opens it with the best rung of features it has. [`memory`] holds pooled
//! buffers, [`encoder`] collects dispatches into submissions, [`batch`] makes one of several alike, [`pipelines`] compiles and
//! keeps shaders, [`wgsl`] assembles their text. Then one launcher a family of operators; the shaders are in `shaders/`.

pub mod adapters;
pub mod attention;
pub mod batch;
pub mod batch_norm;
pub mod channels;
pub mod conv;
pub mod copy;
pub mod create;
pub mod device;
pub mod elementwise;
pub mod encoder;
pub mod fused;
pub mod guards;
pub mod halves;
pub mod indexing;
pub mod inline;
pub mod instructions;
pub mod kernel;
pub mod linalg;
pub mod loss;
pub mod matmul;
pub mod matrices;
pub mod memory;
pub mod norm;
pub mod parts;
pub mod pipelines;
pub mod prefix;
pub mod product;
pub mod reduce;
pub mod resize;
pub mod rows;
pub mod scan;
pub mod scatter;
pub mod softmax;
pub mod sort;
pub mod sorting;
pub mod text;
pub mod timing;
#[cfg(test)]
mod translation;
pub mod view;
pub mod walk;
pub mod wgsl;
pub mod window;

pub use device::{Gpu, gpu};

use crate::error::{Error, Result};
use crate::op::Op;
use std::sync::Arc;
use view::View;

/// Runs a structured operator: inputs, numbers in order, outputs.
pub fn execute(gpu: &Arc<Gpu>, op: &Op, ins: &[View], numbers: &[u64], outs: &[View]) -> Result<()> {
    if gpu.too_large(ins.iter().chain(outs).map(|v| v.memory)) {
        let whole = |ins: &[View], outs: &[View]| execute_whole(gpu, op, ins, numbers, outs);
        if let Some(done) = parts::run(gpu, op, ins, numbers, outs, whole) {
            return done;
        }
    }
    execute_whole(gpu, op, ins, numbers, outs)
}

fn execute_whole(gpu: &Arc<Gpu>, op: &Op, ins: &[View], numbers: &[u64], outs: &[View]) -> Result<()> {
    match op {
        Op::Arange => create::arange(gpu, numbers[0], numbers[1], &outs[0]),
        Op::Cat(dim) => create::cat(gpu, *dim as usize, ins, &outs[0]),
        Op::Scan(kind, dim) => scan::scan(gpu, *kind, *dim as usize, &ins[0], outs),
        Op::Indexing(i) => indexing::execute(gpu, *i, ins, numbers, &outs[0]),
        Op::Sorting(s) => sorting::execute(gpu, *s, ins, numbers, outs),
        Op::Reduce(kind, mask) => reduce::reduce(gpu, *kind, *mask, &ins[0], numbers, outs),
        Op::Matmul => matmul::matmul(gpu, &ins[0], &ins[1], &outs[0]),
        Op::Conv(pass, p) => conv::conv(gpu, *pass, p, ins, &outs[0]),
        Op::Window(w) => window::window(gpu, w, ins, outs),
        Op::Fused(f) => fused::execute(gpu, f, ins, numbers, outs),
        Op::Linalg(l) => linalg::execute(gpu, *l, ins, outs),
        Op::ComplexLinalg(..) => {
            Err(Error::NotImplemented(format!("{}: complex matrices are on the CPU only", op.name())))
        }
        Op::Kernel(k) => kernel::execute(gpu, k, ins, numbers, outs),
        Op::Fft(..) => Err(Error::Internal(format!("{} is put together from other operators on a GPU", op.name()))),
        Op::Data | Op::Ew(_) | Op::Cast | Op::Bits | Op::WriteView => {
            Err(Error::Internal(format!("{} is not a structured kernel", op.name())))
        }
    }
}
