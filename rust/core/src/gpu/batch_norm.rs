//! Batch normalisation in training and with running statistics, and its gradients.

use super::channels::{self, Channels, Operands, Statistic, Targets, define};
use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::rows::{self, Axis, Parameters, WORKGROUP};
use super::text::{Text, arithmetic, arithmetic_of_fours};
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::fused::NormGrad;
use smallvec::SmallVec;
use std::sync::Arc;

const FORWARD: &str = include_str!("../../../../shaders/batch_norm.wgsl");
const GRADIENT: &str = include_str!("../../../../shaders/batch_norm_grad.wgsl");

fn channels_of(x: &View) -> Channels {
    Channels {
        channels: SmallVec::from_slice(&[1]),
        elements: std::iter::once(0).chain(2..x.shape.len()).collect(),
        statistic: Statistic { run: 1, of_sample: 0, channels: 1 },
    }
}

/// The dims of a dense output in the order of its memory.
fn memory_order(y: &View) -> SmallVec<[usize; 6]> {
    let mut order: SmallVec<[usize; 6]> = (0..y.shape.len()).filter(|&d| y.shape[d] != 1).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(y.strides[d]));
    order
}

/// The channel of every element, as axes.
fn channel_axes(y: &View, order: &[usize]) -> SmallVec<[Axis; 6]> {
    order.iter().map(|&d| (y.shape[d], usize::from(d == 1))).collect()
}

/// Neighbours of one channel that an invocation takes.
fn run_of<const N: usize>(channel: &[Axis], others: [&[Axis]; N]) -> usize {
    if rows::inner_stride(channel) == 0 { rows::run([channel]).min(rows::run(others)) } else { 1 }
}

fn frame(run: usize, p: &Parameters) -> Text {
    let arithmetic = [arithmetic(DType::F32), arithmetic_of_fours(DType::F32)].join("\n");
    Text::new().line(&format!("const RUN = {run}u;\n{arithmetic}\n{}", p.text()))
}

/// `outs`: the output and, in training, mean, rstd and the unbiased variance.
pub fn forward(gpu: &Arc<Gpu>, running: bool, x: &View, given: Operands, eps: f64, outs: &[View]) -> Result<()> {
    if x.numel() == 0 {
        return Ok(());
    }
    if let [y, mean, rstd, variance] = outs {
        channels::moments(gpu, &channels_of(x), x, eps, [mean, rstd, variance])?;
        let given = Operands { mean: Some(mean), rstd: Some(rstd), ..given };
        return apply(gpu, false, x, given, eps, y);
    }
    apply(gpu, running, x, given, eps, &outs[0])
}

fn apply(gpu: &Gpu, running: bool, x: &View, given: Operands, eps: f64, y: &View) -> Result<()> {
    let order = memory_order(y);
    let (channel, of_x) = (channel_axes(y, &order), rows::axes(x, order.iter().copied()));
    let run = run_of(&channel, [&of_x]);
    let wide = run == 4 && rows::vectors(x.offset, &of_x);
    let mut p = Parameters::new(&[y.numel(), 0, 0, 0, 0, 0, 0, 0, rows::inner_stride(&of_x)]);
    p.set_float(1, eps);
    p.point(2, 0, &channel);
    p.point(3, x.offset, &of_x);
    let others = [(4, given.mean), (5, given.rstd), (6, given.weight), (7, given.bias)];
    others.iter().filter_map(|(slot, v)| v.map(|v| (slot, v))).for_each(|(slot, v)| p.window(*slot, v));
    let mut key = vec![u32::from(running), x.dtype as u32, y.dtype as u32, run as u32, u32::from(wide)];
    key.extend(others.map(|(_, v)| v.map_or(u32::MAX, |v| v.dtype as u32)).into_iter().chain(p.key()));
    let pipeline = gpu.pipeline(("batch_norm", key), || {
        let t = frame(run, &p).fours("x", x, DType::F32, wide).stores("y", y, DType::F32, run == 4);
        let t = statistics(t, running, given, [4, 5]);
        let t = scaled(t, given.weight, 6);
        define(t, "bias", given.bias, "bias_of(c: u32)", "bias_at(place7(c))", "0.0").finish(FORWARD)
    })?;
    let mut buffers: SmallVec<[&Allocation; 6]> = SmallVec::from_iter([x.memory, y.memory]);
    buffers.extend(others.iter().filter_map(|(_, v)| v.map(|v| v.memory)));
    let groups = Gpu::grid((y.numel() / run).div_ceil(WORKGROUP));
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
}

/// The functions `mean_of` and `rstd_of`, whose axes stand at these words.
fn statistics(t: Text, running: bool, given: Operands, at: [usize; 2]) -> Text {
    let mean = format!("mean_at(place{}(c))", at[0]);
    let rstd = format!("rstd_at(place{}(c))", at[1]);
    let rstd = if running { format!("f_rsqrt({rstd} + bitcast<f32>(P(1u)))") } else { rstd };
    let t = define(t, "mean", given.mean, "mean_of(c: u32)", &mean, "0.0");
    define(t, "rstd", given.rstd, "rstd_of(c: u32)", &rstd, "1.0")
}

fn scaled(t: Text, weight: Option<&View>, at: usize) -> Text {
    let value = format!("rstd * weight_at(place{at}(c))");
    define(t, "weight", weight, "scaled(rstd: f32, c: u32)", &value, "rstd")
}

/// The wanted gradients of x, weight and bias; `given.rstd` is the variance for running statistics.
pub fn gradient(
    gpu: &Arc<Gpu>,
    running: bool,
    wants: NormGrad,
    [g, x]: [&View; 2],
    given: Operands,
    eps: f64,
    outs: &[View],
) -> Result<()> {
    let [dx, dw, db] = channels::wanted(wants.wants, outs);
    let totals = match dx {
        Some(_) if !running => Some(memory::allocate(gpu, x.shape[1] * 8)?),
        _ => None,
    };
    if totals.is_some() || dw.is_some() || db.is_some() {
        let targets = Targets { dw, db, totals: totals.as_ref() };
        channels::gradient_sums(gpu, &channels_of(x), [g, x], given, running.then_some(eps), targets)?;
    }
    let Some(dx) = dx.filter(|dx| dx.numel() > 0) else { return Ok(()) };
    let order = memory_order(dx);
    let channel = channel_axes(dx, &order);
    let [of_x, of_g] = [x, g].map(|v| rows::axes(v, order.iter().copied()));
    let run = run_of(&channel, [&of_x, &of_g]);
    let [wide_x, wide_g] = [(x, &of_x), (g, &of_g)].map(|(v, axes)| run == 4 && rows::vectors(v.offset, axes));
    let steps = [&of_x, &of_g].map(|axes| rows::inner_stride(axes));
    let count = dx.numel() / x.shape[1];
    let mut p = Parameters::new(&[dx.numel(), 0, 0, 0, 0, 0, 0, 0, count, steps[0], steps[1]]);
    p.set_float(1, eps);
    p.point(2, 0, &channel);
    p.point(3, x.offset, &of_x);
    p.point(4, g.offset, &of_g);
    let others = [(5, given.mean), (6, given.rstd), (7, given.weight)];
    others.iter().filter_map(|(slot, v)| v.map(|v| (slot, v))).for_each(|(slot, v)| p.window(*slot, v));
    let mut key = vec![u32::from(running), g.dtype as u32, x.dtype as u32, dx.dtype as u32];
    key.extend([run as u32, u32::from(wide_x), u32::from(wide_g)]);
    key.extend(others.map(|(_, v)| v.map_or(u32::MAX, |v| v.dtype as u32)).into_iter().chain(p.key()));
    let pipeline = gpu.pipeline(("batch_norm_backward", key), || {
        let t = frame(run, &p)
            .line(&format!("const TRAINING = {};", !running))
            .fours("g", g, DType::F32, wide_g)
            .fours("x", x, DType::F32, wide_x)
            .stores("dx", dx, DType::F32, run == 4);
        let t = scaled(statistics(t, running, given, [5, 6]), given.weight, 7);
        let (t, total) = match &totals {
            Some(_) => (t.scratch("totals", "vec2<f32>", Access::Read), "totals[c]"),
            None => (t, "vec2<f32>(0.0, 0.0)"),
        };
        t.line(&format!("fn total_of(c: u32) -> vec2<f32> {{ return {total}; }}")).finish(GRADIENT)
    })?;
    let mut buffers: SmallVec<[&Allocation; 8]> = SmallVec::from_iter([g.memory, x.memory, dx.memory]);
    buffers.extend(others.iter().filter_map(|(_, v)| v.map(|v| v.memory)));
    buffers.extend(totals.as_ref());
    let groups = Gpu::grid((dx.numel() / run).div_ceil(WORKGROUP));
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
}
