//! Matrix products.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::pipelines::Access;
use super::text::{Text, arithmetic};
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use smallvec::SmallVec;

const BODY: &str = include_str!("../../../../shaders/matmul.wgsl");
const TILE: usize = 64;

/// (…, m, k) × (…, k, n) of one batch shape; every operand and the result may have any strides.
pub fn matmul(gpu: &Gpu, a: &View, b: &View, y: &View) -> Result<()> {
    if y.numel() == 0 {
        return Ok(());
    }
    let rank = y.shape.len() - 2;
    let (m, n, k) = (y.shape[rank], y.shape[rank + 1], a.shape[rank + 1]);
    let batch: usize = y.shape[..rank].iter().product();
    let mut p: SmallVec<[u32; 64]> = SmallVec::new();
    let mut push = |values: &[usize]| p.extend(values.iter().map(|&v| v as u32));
    push(&[m, n, k, batch, a.offset, b.offset]);
    push(&a.strides[rank..]);
    push(&b.strides[rank..]);
    push(&y.strides[rank..]);
    push(&[rank]);
    push(&y.shape[..rank]);
    for t in [a, b, y] {
        push(&t.strides[..rank]);
    }
    let key = vec![a.dtype as u32, b.dtype as u32, y.dtype as u32];
    let pipeline = gpu.pipeline(("matmul", key), || text(a.dtype, b.dtype, y.dtype))?;
    let buffers = [a.memory, b.memory, y.memory];
    let groups = Gpu::grid(m.div_ceil(TILE) * n.div_ceil(TILE) * batch);
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &p, groups })
}

fn text(a: DType, b: DType, y: DType) -> (String, Vec<Access>) {
    let compute = match y {
        d if d.is_float() => DType::F32,
        DType::I64 => DType::I64,
        _ => DType::I32,
    };
    let step = if compute == DType::F32 { "fma(a, b, c)" } else { "add(c, mul(a, b))" };
    Text::new()
        .input("a", a, compute)
        .input("b", b, compute)
        .output("y", y, compute)
        .line(arithmetic(compute))
        .line(&format!("fn step(c: T, a: T, b: T) -> T {{ return {step}; }}"))
        .finish(BODY)
}
