//! The GPU backend: every operator as WGSL, on any adapter that Vulkan, Metal or DX12 reach.
//!
//! [`adapters`] finds the hardware and [`device`] opens it with the best rung of features it has. [`memory`] holds pooled
//! buffers, [`encoder`] collects dispatches into submissions, [`pipelines`] compiles and keeps shaders, [`wgsl`] assembles
//! their text. Then one launcher a family of operators; the shaders are in `shaders/`.

pub mod adapters;
pub mod conv;
pub mod copy;
pub mod create;
pub mod device;
pub mod elementwise;
pub mod encoder;
pub mod indexing;
pub mod matmul;
pub mod memory;
pub mod pipelines;
pub mod prefix;
pub mod reduce;
pub mod resize;
pub mod scan;
pub mod scatter;
pub mod sort;
pub mod sorting;
pub mod text;
pub mod view;
pub mod walk;
pub mod wgsl;
pub mod window;

pub use device::{Gpu, gpu};

use crate::error::{Error, Result};
use crate::op::Op;
use std::sync::Arc;
use view::View;

/// Whether there is a kernel for the operator; asked when it is recorded, so that the error is at the caller's line.
pub fn supports(op: &Op) -> bool {
    matches!(
        op,
        Op::Data | Op::Ew(_) | Op::Cast | Op::WriteView | Op::Reduce(..) | Op::Matmul | Op::Conv(..) | Op::Window(_)
    )
}

/// Runs a structured operator: inputs, numbers in order, outputs.
pub fn execute(gpu: &Arc<Gpu>, op: &Op, ins: &[View], numbers: &[u64], outs: &[View]) -> Result<()> {
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
        _ => Err(Error::NotImplemented(format!("{} has no kernel for the GPU yet", op.name()))),
    }
}
