//! Cholesky and LU decompositions, float32: a workgroup a matrix.

use super::{LAUNCH, Matrices};
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::copy;
use crate::gpu::device::Gpu;
use crate::gpu::encoder::Dispatch;
use crate::gpu::pipelines::Access;
use crate::gpu::rows::{self, Parameters};
use crate::gpu::text::Text;
use crate::gpu::view::View;
use std::sync::Arc;

const CHOLESKY: &str = include_str!("../../../../../shaders/cholesky.wgsl");
const LU: &str = include_str!("../../../../../shaders/lu.wgsl");
const PERMUTATION: &str = include_str!("../../../../../shaders/permutation.wgsl");

/// Points a word of the parameters to the first `rank` axes of a window.
fn point(p: &mut Parameters, slot: usize, view: &View, rank: usize) {
    p.point(slot, view.offset, &rows::axes(view, 0..rank));
}

pub fn cholesky(gpu: &Arc<Gpu>, upper: bool, a: &View, l: &View, info: &View) -> Result<()> {
    copy::copy(gpu, l, a)?;
    copy::fill(gpu, info, 0, DType::I32)?;
    let l = Matrices::of(l);
    let l = if upper { l.transposed() } else { l };
    let (batch, n) = (l.batch(), l.rows);
    if batch * n == 0 {
        return Ok(());
    }
    let parameters = |first: usize, end: usize| {
        let mut p = Parameters::new(&[batch, n, first, end, 0, 0, l.row, l.column]);
        l.point(&mut p, 4);
        point(&mut p, 5, info, info.shape.len());
        p
    };
    let p = parameters(0, 0);
    let pipeline = gpu.pipeline(("linalg_cholesky", p.key().collect()), || {
        Text::new()
            .line(&p.text())
            .scratch("l", "f32", Access::Write)
            .scratch("info", "i32", Access::Write)
            .finish(CHOLESKY)
    })?;
    let step = (LAUNCH / (n * n)).max(1);
    for first in (0..n).step_by(step) {
        let p = parameters(first, (first + step).min(n));
        let buffers = [l.view.memory, info.memory];
        let groups = Gpu::grid(batch);
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })?;
    }
    Ok(())
}

pub fn lu(gpu: &Arc<Gpu>, a: &View, x: &View, pivots: &View, info: &View) -> Result<()> {
    copy::copy(gpu, x, a)?;
    copy::fill(gpu, info, 0, DType::I32)?;
    let x = Matrices::of(x);
    let (batch, m, n, rank) = (x.batch(), x.rows, x.columns, info.shape.len());
    let size = m.min(n);
    if batch * size == 0 {
        return Ok(());
    }
    let parameters = |first: usize, end: usize| {
        let step = pivots.strides[rank];
        let mut p = Parameters::new(&[batch, m, n, first, end, 0, 0, 0, x.row, x.column, step]);
        x.point(&mut p, 5);
        point(&mut p, 6, pivots, rank);
        point(&mut p, 7, info, rank);
        p
    };
    let p = parameters(0, 0);
    let pipeline = gpu.pipeline(("linalg_lu_factor", p.key().collect()), || {
        Text::new()
            .line(&p.text())
            .scratch("x", "f32", Access::Write)
            .scratch("pivots", "i32", Access::Write)
            .scratch("info", "i32", Access::Write)
            .finish(LU)
    })?;
    let step = (LAUNCH / (m * n)).max(1);
    for first in (0..size).step_by(step) {
        let p = parameters(first, (first + step).min(size));
        let buffers = [x.view.memory, pivots.memory, info.memory];
        let groups = Gpu::grid(batch);
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })?;
    }
    Ok(())
}

pub fn permutation(gpu: &Gpu, pivots: &View, order: &View) -> Result<()> {
    let rank = pivots.shape.len() - 1;
    let batch: usize = pivots.shape[..rank].iter().product();
    let rows = order.shape[rank];
    if batch * rows == 0 {
        return Ok(());
    }
    let mut p = Parameters::new(&[batch, rows, pivots.shape[rank], 0, 0, pivots.strides[rank], order.strides[rank]]);
    point(&mut p, 3, pivots, rank);
    point(&mut p, 4, order, rank);
    let pipeline = gpu.pipeline(("linalg_lu_permutation", p.key().collect()), || {
        Text::new()
            .line(&p.text())
            .scratch("pivots", "i32", Access::Read)
            .scratch("order", "i32", Access::Write)
            .finish(PERMUTATION)
    })?;
    let buffers = [pivots.memory, order.memory];
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups: Gpu::grid(batch) })
}
