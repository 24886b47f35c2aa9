//! corten's engine, without Python.
//!
//! A call of an operator in [`ops`] checks its arguments, fixes the result's shape, dtype and strides, and records a
//! [`graph::Node`]. A flush turns the recorded stretch into a cached plan ([`exec`]) and runs it on [`cpu`] or [`gpu`] kernels.
//! [`grad`] holds the gradient graph, [`transform`] walks it, recording more operators. [`capture`] writes down what a function
//! does to tensors, and [`transform::replay`] does it again.
//!
//! Arrows run one way: `dtype, shape, device, error, memory ← op, graph, grad, tensor ← ops ← transform` and
//! `op ← exec ← cpu, gpu`. `ops` records through `exec::record` and never sees a kernel; kernels never see a gradient.

pub mod capture;
pub mod cpu;
pub mod device;
pub mod dtype;
pub mod error;
pub mod exec;
pub mod gpu;
pub mod grad;
pub mod graph;
mod memory;
pub mod op;
pub mod ops;
pub mod os;
pub mod params;
pub mod rng;
pub mod shape;
pub mod sync;
pub mod tensor;
pub mod transform;

#[doc(hidden)]
pub use half;
