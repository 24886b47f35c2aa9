//! Inclusive prefix sums of words, on which everything that closes gaps is built.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::text::Text;
use super::walk::each;
use crate::error::Result;
use std::sync::Arc;

const BLOCKS: &str = include_str!("../../../../shaders/prefix.wgsl");
const CARRY: &str = include_str!("../../../../shaders/prefix_carry.wgsl");
/// Words that one workgroup sums.
const BLOCK: usize = 1024;

/// Replaces each of `n` words by the sum of all up to it.
pub fn sums(gpu: &Arc<Gpu>, values: &Allocation, n: usize) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    let blocks = n.div_ceil(BLOCK);
    let totals = memory::allocate(gpu, blocks * 4)?;
    let pipeline = gpu.pipeline(("prefix", vec![]), || {
        let text = Text::new().scratch("values", "u32", Access::Write).scratch("sums", "u32", Access::Write);
        text.finish(BLOCKS)
    })?;
    let buffers = [values, &totals];
    let p = [n as u32];
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &p, groups: Gpu::grid(blocks) })?;
    if blocks == 1 {
        return Ok(());
    }
    sums(gpu, &totals, blocks)?;
    each(gpu, ("prefix_carry", &[]), &buffers, &p, || {
        (Text::new().scratch("values", "u32", Access::Write).scratch("sums", "u32", Access::Read), CARRY)
    })
}
