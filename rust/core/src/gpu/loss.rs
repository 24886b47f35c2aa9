//! Losses over class indices: cross-entropy and negative log-likelihood, and their gradients.

use super::channels::define;
use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::parts;
use super::pipelines::Access;
use super::reduce::reduce;
use super::rows::{self, Axis, Parameters, WORKGROUP};
use super::text::Text;
use super::view::View;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::Reduction;
use crate::op::fused::Loss;
use smallvec::SmallVec;
use std::sync::Arc;

const CROSS_ENTROPY: &str = include_str!("../../../../shaders/cross_entropy.wgsl");
const CROSS_ENTROPY_GRAD: &str = include_str!("../../../../shaders/cross_entropy_grad.wgsl");
const NLL: &str = include_str!("../../../../shaders/nll.wgsl");
const NLL_GRAD: &str = include_str!("../../../../shaders/nll_grad.wgsl");

/// Whether a target is a class and not the one to be ignored.
const COUNTS: &str = "fn counts(label: I64) -> bool {
    return label.y == 0u && label.x < P(1u) && any(label != vec2<u32>(P(3u), P(4u)));
}";

/// One call: its tensors by role, and its numbers.
struct Call<'a, 'b> {
    /// Scores, or their gradient: (N, C, …) or (C).
    scores: &'a View<'b>,
    target: &'a View<'b>,
    weight: Option<&'a View<'b>>,
    ignore: u64,
    smoothing: f64,
}

/// What is the same for all samples.
struct Given<'a> {
    weight: Option<&'a View<'a>>,
    ignore: u64,
    smoothing: f64,
}

impl Given<'_> {
    fn call<'c>(&'c self, scores: &'c View<'c>, target: &'c View<'c>) -> Call<'c, 'c> {
        Call { scores, target, weight: self.weight, ignore: self.ignore, smoothing: self.smoothing }
    }
}

pub fn execute(gpu: &Arc<Gpu>, kind: Loss, weighted: bool, ins: &[View], numbers: &[u64], outs: &[View]) -> Result<()> {
    let smoothing = numbers.get(1).map_or(0.0, |&b| f64::from_bits(b));
    let weight_at = |k: usize| if weighted { ins.get(k) } else { None };
    let weight = weight_at(if kind == Loss::CrossEntropyGrad { 3 } else { 2 });
    let given = Given { weight, ignore: numbers[0], smoothing };
    let malformed = || Error::Internal("a loss without its inputs or outputs".into());
    // Samples lie along the first dim, in the statistics along the second.
    match (kind, ins, outs) {
        (Loss::CrossEntropy | Loss::Nll, [x, target, ..], [loss, others @ .., total]) => {
            let memory = memory::allocate(gpu, loss.numel() * 4)?;
            let counted = View { memory: &memory, dtype: DType::F32, ..*loss };
            let mut outs: SmallVec<[View; 3]> = SmallVec::from_slice(&[*loss, counted]);
            outs.extend(others.iter().copied());
            by_samples(gpu, (&[*x, *target], &[0, 0]), (&outs, &[0, 0, 1][..outs.len()]), |ins, outs| {
                let call = given.call(&ins[0], &ins[1]);
                match outs {
                    [loss, counted, stats] => call.cross_entropy(gpu, loss, stats, counted.memory),
                    [loss, counted] => call.nll(gpu, loss, counted.memory),
                    _ => Err(malformed()),
                }
            })?;
            sum(gpu, &memory, loss.numel(), total)
        }
        (Loss::CrossEntropyGrad, [g, x, target, .., stats], [_]) => {
            by_samples(gpu, (&[*g, *x, *target, *stats], &[0, 0, 0, 1]), (outs, &[0]), |ins, outs| match ins {
                [g, x, target, stats] => given.call(x, target).cross_entropy_grad(gpu, g, stats, &outs[0]),
                _ => Err(malformed()),
            })
        }
        (Loss::NllGrad, [g, target, ..], [_]) => {
            by_samples(gpu, (&[*g, *target], &[0, 0]), (outs, &[0]), |ins, outs| {
                given.call(&outs[0], &ins[1]).nll_grad(gpu, &ins[0])
            })
        }
        _ => Err(malformed()),
    }
}

/// Runs `whole`, on one part of the samples after another where a shader cannot see all of some tensor. The dims of samples are
/// given; an input with one element is one for all.
fn by_samples(
    gpu: &Arc<Gpu>,
    (ins, dims): (&[View], &[usize]),
    (outs, out_dims): (&[View], &[usize]),
    whole: impl Fn(&[View], &[View]) -> Result<()>,
) -> Result<()> {
    if !gpu.too_large(ins.iter().chain(outs).map(|v| v.memory)) || outs[0].shape.is_empty() {
        return whole(ins, outs);
    }
    let dims: SmallVec<[Option<usize>; 4]> =
        ins.iter().zip(dims).map(|(v, &d)| (v.numel() != 1 && d < v.shape.len()).then_some(d)).collect();
    parts::along(gpu, (ins, &dims), (outs, out_dims), &whole).unwrap_or_else(|| whole(ins, outs))
}

/// The sum of `n` float32 numbers.
fn sum(gpu: &Arc<Gpu>, memory: &Allocation, n: usize, total: &View) -> Result<()> {
    let x = View { memory, offset: 0, dtype: DType::F32, shape: &[n], strides: &[1], inline: None };
    reduce(gpu, Reduction::Sum, 1, &x, &[], std::slice::from_ref(total))
}

impl Call<'_, '_> {
    /// The dim of the classes.
    fn dim(&self) -> usize {
        usize::from(self.scores.shape.len() > 1)
    }
    fn classes(&self) -> usize {
        self.scores.shape.get(self.dim()).copied().unwrap_or(1)
    }
    /// The axes of samples in a tensor of the scores' shape, and its stride along classes.
    fn samples(&self, x: &View) -> (SmallVec<[Axis; 6]>, usize) {
        let dim = self.dim();
        (rows::axes(x, (0..x.shape.len()).filter(|&d| d != dim)), x.strides.get(dim).copied().unwrap_or(1))
    }

    /// The parameters of all kernels: words 0 to 8 of a header of 15.
    fn parameters(&self) -> (usize, Parameters) {
        let (axes, stride) = self.samples(self.scores);
        let count = axes.iter().map(|a| a.0).product();
        let mut head = [0; 15];
        head[..5].copy_from_slice(&[
            count,
            self.classes(),
            stride,
            self.ignore as u32 as usize,
            (self.ignore >> 32) as usize,
        ]);
        let mut p = Parameters::new(&head);
        p.set_float(5, self.smoothing);
        p.point(6, self.scores.offset, &axes);
        p.window(7, self.target);
        if let Some(w) = self.weight {
            p.window(8, w);
        }
        (count, p)
    }

    fn lanes(&self, gpu: &Gpu, samples: usize) -> usize {
        let (axes, stride) = self.samples(self.scores);
        rows::lanes(gpu, samples, self.classes(), stride != 1 && rows::dense_inside(&axes))
    }

    fn key(&self, lanes: usize, p: &Parameters, others: &[&View]) -> Vec<u32> {
        let mut key = vec![lanes as u32, u32::from(self.smoothing != 0.0), self.target.dtype as u32];
        key.push(self.weight.map_or(u32::MAX, |w| w.dtype as u32));
        key.extend(others.iter().map(|v| v.dtype as u32).chain(p.key()));
        key
    }

    /// What every kernel's text has: constants, the target and the weight, which are the first buffers.
    fn text(&self, p: &Parameters) -> Text {
        let smooth = self.smoothing != 0.0;
        let t = Text::new().line(&format!("const SMOOTH = {smooth};\n{COUNTS}\n{}", p.text())).input(
            "labels",
            self.target.dtype,
            DType::I64,
        );
        define(t, "weight", self.weight, "weight_of(c: u32)", "weight_at(place8(c))", "1.0")
    }

    fn buffers<'c>(&'c self, others: &[&'c Allocation]) -> SmallVec<[&'c Allocation; 8]> {
        let mut buffers: SmallVec<[&Allocation; 8]> = SmallVec::from_iter([self.target.memory]);
        buffers.extend(self.weight.map(|w| w.memory));
        buffers.extend(others.iter().copied());
        buffers
    }

    fn cross_entropy(&self, gpu: &Gpu, loss: &View, stats: &View, counted: &Allocation) -> Result<()> {
        let (samples, p) = self.parameters();
        if samples == 0 {
            return Ok(());
        }
        let lanes = self.lanes(gpu, samples);
        let x = self.scores;
        let pipeline = gpu.pipeline(("cross_entropy", self.key(lanes, &p, &[x, loss])), || {
            self.text(&p)
                .input("x", x.dtype, DType::F32)
                .output("loss", loss.dtype, DType::F32)
                .output("stats", DType::F32, DType::F32)
                .scratch("counted", "f32", Access::Write)
                .finish(&format!("{}{CROSS_ENTROPY}", rows::frame(gpu, lanes, &["top", "sum"])))
        })?;
        let buffers = self.buffers(&[x.memory, loss.memory, stats.memory, counted]);
        let groups = rows::grid(samples, lanes);
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
    }

    fn cross_entropy_grad(&self, gpu: &Gpu, g: &View, stats: &View, dx: &View) -> Result<()> {
        let (samples, mut p) = self.parameters();
        if dx.numel() == 0 {
            return Ok(());
        }
        let lanes = self.lanes(gpu, samples);
        let x = self.scores;
        let (axes, stride) = self.samples(dx);
        p.set(11, stride);
        p.point(12, dx.offset, &axes);
        p.gradient(9, g);
        p.window(10, stats);
        let pipeline = gpu.pipeline(("cross_entropy_backward", self.key(lanes, &p, &[x, g, dx])), || {
            self.text(&p)
                .input("x", x.dtype, DType::F32)
                .input("g", g.dtype, DType::F32)
                .input("stats", DType::F32, DType::F32)
                .output("dx", dx.dtype, DType::F32)
                .finish(&format!("{}{CROSS_ENTROPY_GRAD}", rows::frame(gpu, lanes, &[])))
        })?;
        let buffers = self.buffers(&[x.memory, g.memory, stats.memory, dx.memory]);
        let groups = rows::grid(samples, lanes);
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
    }

    fn nll(&self, gpu: &Gpu, loss: &View, counted: &Allocation) -> Result<()> {
        let (samples, p) = self.parameters();
        if samples == 0 {
            return Ok(());
        }
        let x = self.scores;
        let pipeline = gpu.pipeline(("nll_loss", self.key(1, &p, &[x, loss])), || {
            self.text(&p)
                .input("x", x.dtype, DType::F32)
                .output("loss", loss.dtype, DType::F32)
                .scratch("counted", "f32", Access::Write)
                .finish(NLL)
        })?;
        let buffers = self.buffers(&[x.memory, loss.memory, counted]);
        let groups = Gpu::grid(samples.div_ceil(WORKGROUP));
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
    }

    fn nll_grad(&self, gpu: &Gpu, g: &View) -> Result<()> {
        let (_, mut p) = self.parameters();
        let dx = self.scores;
        let elements = dx.numel();
        if elements == 0 {
            return Ok(());
        }
        p.gradient(9, g);
        p.set(13, elements);
        p.set(14, dx.shape.iter().skip(self.dim() + 1).product());
        let pipeline = gpu.pipeline(("nll_loss_backward", self.key(1, &p, &[dx, g])), || {
            self.text(&p).input("g", g.dtype, DType::F32).output("dx", dx.dtype, DType::F32).finish(NLL_GRAD)
        })?;
        let buffers = self.buffers(&[g.memory, dx.memory]);
        let groups = Gpu::grid(elements.div_ceil(WORKGROUP));
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
    }
}

impl Parameters {
    /// The gradients of samples, or one for all of them.
    fn gradient(&mut self, slot: usize, g: &View) {
        if g.numel() == 1 { self.point(slot, g.offset, &[(usize::MAX, 0)]) } else { self.window(slot, g) }
    }
}
