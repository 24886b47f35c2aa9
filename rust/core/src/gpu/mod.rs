//! The GPU backend: every operator as WGSL, on any adapter that Vulkan, Metal or DX12 reach.
//!
//! [`adapters`] finds the hardware and [`device`] opens it with the best rung of features it has. [`memory`] holds pooled
//! buffers, [`encoder`] collects dispatches into submissions, [`pipelines`] compiles and keeps shaders, [`wgsl`] assembles
//! their text. Then one launcher a family of operators; the shaders are in `shaders/`.

pub mod adapters;
pub mod device;
pub mod encoder;
pub mod memory;
pub mod pipelines;
pub mod wgsl;

pub use device::{Gpu, gpu};
