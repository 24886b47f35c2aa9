//! Conversions between float16 and float32: whether a device's own are right.
//!
//! WGSL leaves open what becomes of numbers out of range and whether those below 2^-14 are flushed to zero, so shaders convert
//! on bits. That is several times the work of the rest of many kernels. A device that converts every float16, and what lies
//! halfway between them, as it should is used for it.

use super::device::{Gpu, proven};
use super::encoder::Dispatch;
use super::memory;
use super::pipelines::Access;
use super::wgsl::{assemble, declare};
use crate::error::Result;
use std::sync::Arc;

const CHECK: &str = include_str!("../../../../shaders/halves.wgsl");
const WORKGROUP: usize = 256;

/// Whether kernels may convert with the device's instructions.
pub fn usable(gpu: &Arc<Gpu>) -> Result<bool> {
    Ok(gpu.features.halves && proven(&gpu.halves_hold, || check(gpu), || {})?)
}

fn check(gpu: &Arc<Gpu>) -> Result<bool> {
    let wrong = memory::allocate(gpu, 4)?;
    gpu.upload(&wrong, &[0; 4])?;
    let pipeline = gpu.library_pipeline(("halves", Vec::new()), || {
        let mut text = String::new();
        declare(&mut text, 0, "wrong", "atomic<u32>", true);
        (assemble(&(text + CHECK)), vec![Access::Write])
    })?;
    let groups = Gpu::grid((1 << 16) / WORKGROUP);
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &[&wrong], parameters: &[], groups })?;
    let mut count = [0; 4];
    gpu.read_back(&wrong, &mut count, None)?;
    Ok(count == [0; 4])
}
