//! The GPU backend: every operator as WGSL, on any adapter that Vulkan, Metal or DX12 reach.
//!
//! [`adapters`] finds the hardware and [`device`] opens it with the best rung of features it has. [`memory`] holds pooled
//! buffers, [`encoder`] collects dispatches into submissions, [`pipelines`] compiles and keeps shaders, [`wgsl`] assembles
//! their text. Then one launcher a family of operators; the shaders are in `shaders/`.

pub mod adapters;
pub mod attention;
pub mod batch_norm;
pub mod channels;
pub mod copy;
pub mod device;
pub mod elementwise;
pub mod encoder;
pub mod fused;
pub mod linalg;
pub mod loss;
pub mod matmul;
pub mod memory;
pub mod norm;
pub mod pipelines;
pub mod reduce;
pub mod rows;
pub mod softmax;
pub mod text;
pub mod view;
pub mod wgsl;

pub use device::{Gpu, gpu};

use crate::error::{Error, Result};
use crate::op::Op;
use std::sync::Arc;
use view::View;

/// Runs a structured operator: inputs, numbers in order, outputs.
pub fn execute(gpu: &Arc<Gpu>, op: &Op, ins: &[View], numbers: &[u64], outs: &[View]) -> Result<()> {
    match op {
        Op::Reduce(kind, mask) => reduce::reduce(gpu, *kind, *mask, &ins[0], numbers, outs),
        Op::Matmul => matmul::matmul(gpu, &ins[0], &ins[1], &outs[0]),
        Op::Fused(f) => fused::execute(gpu, f, ins, numbers, outs),
        Op::Linalg(l) => linalg::execute(gpu, *l, ins, outs),
        _ => Err(Error::NotImplemented(format!("{} has no kernel for the GPU yet", op.name()))),
    }
}
