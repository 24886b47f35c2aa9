//! Operators that work along some dims only, on tensors that a shader cannot see at once: one part of the other dims after
//! another.

use super::copy;
use super::device::Gpu;
use super::encoder::WINDOW_ALIGNMENT;
use super::memory::{self, Allocation};
use super::view::View;
use crate::error::Result;
use crate::op::fused::{Fused, Norm};
use crate::op::index::{Indexing, Sorting};
use crate::op::{Conv, Op};
use crate::shape::Dims;
use smallvec::SmallVec;
use std::sync::Arc;

/// The inputs that are cut along the same dim as the outputs; the others are read whole by every part.
type Cut = SmallVec<[bool; 4]>;

/// How an operator can be cut along a dim of its outputs, if it can.
fn cut(op: &Op, dim: usize, ins: &[View], numbers: &[u64], outs: &[View]) -> Option<Cut> {
    let all = || Some(ins.iter().map(|_| true).collect());
    let first = || Some((0..ins.len()).map(|k| k == 0).collect());
    let aligned = || ins.iter().chain(outs).all(|v| v.shape.get(dim) == outs[0].shape.get(dim));
    match op {
        Op::Matmul if dim + 2 < outs[0].shape.len() => all(),
        Op::Matmul if dim + 2 == outs[0].shape.len() => first(),
        Op::Scan(_, along) if dim != *along as usize => all(),
        Op::Sorting(Sorting::Sort { dim: along, .. } | Sorting::TopK { dim: along, .. }) if dim != *along as usize => {
            all()
        }
        Op::Fused(Fused::Softmax { dim: along, .. } | Fused::SoftmaxGrad { dim: along, .. })
            if dim != *along as usize && aligned() =>
        {
            all()
        }
        Op::Fused(Fused::Norm(Norm::Layer | Norm::Rms, _)) if dim == 0 => {
            let row: usize = outs[0].shape[1..].iter().product();
            let rows = outs.iter().all(|o| o.shape.first() == ins[0].shape.first());
            if rows && numbers[0] as usize <= row { first() } else { None }
        }
        Op::Indexing(Indexing::Gather(along)) if dim != *along as usize => all(),
        Op::Indexing(Indexing::Triangle { .. }) if dim + 2 < outs[0].shape.len() => all(),
        Op::Indexing(Indexing::Embedding) if dim + 1 < outs[0].shape.len() => {
            Some(SmallVec::from_slice(&[false, true]))
        }
        Op::Conv(Conv::Forward | Conv::InputGrad, _) if dim == 0 => first(),
        Op::Window(_) if dim == 0 && aligned() => all(),
        _ => None,
    }
}

/// Runs the operator on windows of memory that a shader cannot see at once: at one go where the tensors are small, otherwise in
/// parts if it can be cut where its outputs are. `whole` runs a part. `None` if neither will do.
pub fn run(
    gpu: &Arc<Gpu>,
    op: &Op,
    ins: &[View],
    numbers: &[u64],
    outs: &[View],
    whole: impl Fn(&[View], &[View]) -> Result<()>,
) -> Option<Result<()>> {
    let first = outs.first()?;
    let small = |v: &View| Part::all(v).window().1 <= gpu.window_bytes();
    if ins.iter().chain(outs).all(small) {
        let (input, output) = (|k: usize| Part::all(&ins[k]), |k: usize| Part::all(&outs[k]));
        return Some(part(gpu, (ins, &input), (outs, &output), whole));
    }
    let dim = outer(first)?;
    if outs.iter().any(|o| outer(o) != Some(dim)) {
        return None;
    }
    let cut = cut(op, dim, ins, numbers, outs)?;
    let dims: SmallVec<[Option<usize>; 4]> = cut.iter().map(|&c| c.then_some(dim)).collect();
    let out_dims: SmallVec<[usize; 2]> = outs.iter().map(|_| dim).collect();
    along(gpu, (ins, &dims), (outs, &out_dims), whole)
}

/// Runs `whole` on one part of some dim after another: `dims` says which dim of each tensor that is; an input without is read
/// whole by every part. `None` if not even a single step fits.
pub fn along(
    gpu: &Arc<Gpu>,
    (ins, dims): (&[View], &[Option<usize>]),
    (outs, out_dims): (&[View], &[usize]),
    whole: impl Fn(&[View], &[View]) -> Result<()>,
) -> Option<Result<()>> {
    let size = outs.first()?.shape[out_dims[0]];
    let fits = |step: usize| {
        let last = (size - 1) / step * step;
        let inputs = ins.iter().zip(dims.iter().copied());
        inputs.chain(outs.iter().zip(out_dims.iter().map(|&d| Some(d)))).all(|(v, dim)| {
            [0, last].iter().all(|&at| {
                let part = match dim {
                    Some(dim) => Part::of(v, dim, at, step.min(size - at)),
                    None => Part::all(v),
                };
                part.window().1 <= gpu.window_bytes()
            })
        })
    };
    let mut step = size;
    while !fits(step) {
        if step == 1 {
            return None;
        }
        step = step.div_ceil(2);
    }
    // An output's part is best a window, which begins at certain bytes only.
    let grains = outs.iter().zip(out_dims).map(|(o, &d)| grain(o.strides[d] * o.dtype.size()));
    let grain = grains.max()?;
    step = if step > grain { step / grain * grain } else { step };
    Some((0..size).step_by(step).try_for_each(|at| {
        let count = step.min(size - at);
        let input = |k: usize| match dims[k] {
            Some(dim) => Part::of(&ins[k], dim, at, count),
            None => Part::all(&ins[k]),
        };
        let output = |k: usize| Part::of(&outs[k], out_dims[k], at, count);
        part(gpu, (ins, &input), (outs, &output), &whole)
    }))
}

/// Runs `work` on a view, or on parts of it that a shader can see at once.
pub fn each_window(gpu: &Gpu, v: &View, work: &mut dyn FnMut(&View) -> Result<()>) -> Result<()> {
    if v.numel() == 0 || !gpu.too_large(std::iter::once(v.memory)) {
        return work(v);
    }
    let all = Part::all(v);
    if all.window().1 <= gpu.window_bytes() {
        return work(&all.view(&v.memory.window(all.window()), v));
    }
    let reach = |d: &usize| (v.shape[*d] - 1) * (v.strides[*d] as isize).unsigned_abs();
    let dim = (0..v.shape.len()).max_by_key(reach).unwrap_or(0);
    let middle = v.shape[dim] / 2;
    for (from, to) in [(0, middle), (middle, v.shape[dim])] {
        let half = Part::of(v, dim, from, to - from);
        each_window(gpu, &View { offset: half.offset, shape: &half.shape, ..*v }, work)?;
    }
    Ok(())
}

/// Runs the operator on these parts of each input and output. A part of an output is computed in its place if it is a stretch
/// of memory at which a window may begin, otherwise beside it.
fn part(
    gpu: &Arc<Gpu>,
    (ins, input): (&[View], &dyn Fn(usize) -> Part),
    (outs, output): (&[View], &dyn Fn(usize) -> Part),
    whole: impl Fn(&[View], &[View]) -> Result<()>,
) -> Result<()> {
    let inputs: SmallVec<[_; 4]> = (0..ins.len())
        .map(|k| {
            let part = input(k);
            (ins[k].memory.window(part.window()), part)
        })
        .collect();
    let mut outputs: SmallVec<[(Allocation, Part); 2]> = SmallVec::new();
    for (k, v) in outs.iter().enumerate() {
        let mut part = output(k);
        let memory = if part.begins_a_window() && part.is_a_stretch() {
            v.memory.window(part.window())
        } else {
            part.offset = 0;
            part.strides = part.dense_strides();
            memory::allocate(gpu, part.window().1 as usize)?
        };
        outputs.push((memory, part));
    }
    let input_views: SmallVec<[View; 4]> = inputs.iter().zip(ins).map(|((m, p), v)| p.view(m, v)).collect();
    let output_views: SmallVec<[View; 2]> = outputs.iter().zip(outs).map(|((m, p), v)| p.view(m, v)).collect();
    whole(&input_views, &output_views)?;
    for (k, made) in output_views.iter().enumerate().filter(|(_, made)| made.memory.part.is_none()) {
        let target = output(k);
        let target = View { offset: target.offset, strides: &target.strides, shape: made.shape, ..outs[k] };
        copy::copy(gpu, &target, made)?;
    }
    Ok(())
}

/// The dim whose parts are stretches of memory.
fn outer(v: &View) -> Option<usize> {
    (0..v.shape.len()).filter(|&d| v.shape[d] != 1).max_by_key(|&d| v.strides[d])
}

/// How many steps of so many bytes lie between places where a window may begin.
fn grain(bytes: usize) -> usize {
    let alignment = WINDOW_ALIGNMENT as usize;
    alignment >> bytes.trailing_zeros().min(alignment.trailing_zeros())
}

/// A stretch of one dim of a view.
struct Part {
    offset: usize,
    shape: Dims,
    strides: Dims,
    size: usize,
}

impl Part {
    fn all(v: &View) -> Part {
        let (shape, strides) = (Dims::from_slice(v.shape), Dims::from_slice(v.strides));
        Part { offset: v.offset, shape, strides, size: v.dtype.size() }
    }

    fn of(v: &View, dim: usize, at: usize, count: usize) -> Part {
        let mut part = Part::all(v);
        part.shape[dim] = count;
        part.offset = v.offset.wrapping_add(at.wrapping_mul(v.strides[dim]));
        part
    }

    /// What it touches of its memory.
    fn window(&self) -> (u64, u64) {
        copy::touched(self.offset, &self.shape, &self.strides, self.size)
    }

    /// The strides of its own, in the same order of dims, without room between.
    fn dense_strides(&self) -> Dims {
        let mut order: SmallVec<[usize; 6]> = (0..self.shape.len()).collect();
        order.sort_by_key(|&d| self.strides[d]);
        let (mut strides, mut size) = (self.strides.clone(), 1);
        for d in order.into_iter().filter(|&d| self.shape[d] != 1) {
            strides[d] = size;
            size *= self.shape[d];
        }
        strides
    }

    fn is_a_stretch(&self) -> bool {
        let dense = self.dense_strides();
        (0..self.shape.len()).all(|d| self.shape[d] == 1 || dense[d] == self.strides[d])
    }

    fn begins_a_window(&self) -> bool {
        ((self.offset * self.size) as u64).is_multiple_of(WINDOW_ALIGNMENT)
    }

    fn view<'a>(&'a self, memory: &'a Allocation, v: &View) -> View<'a> {
        let offset = self.offset - self.window().0 as usize / self.size;
        View { memory, offset, dtype: v.dtype, shape: &self.shape, strides: &self.strides, inline: None }
    }
}
