//! Convolutions and their gradients, direct and transposed, as products of matrices that are never laid out.
//!
//! As on the CPU everything is expressed in the direct convolution's terms, `(N, C, *) → (N, M, *)`: its forward pass, its
//! input gradient (the transposed convolution's forward pass) and its weight gradient.

use super::copy;
use super::device::Gpu;
use super::matmul::matmul;
use super::memory;
use super::pipelines::Access;
use super::product::{Launch, Tile, bits, in_place_of, partial_sums, splits, sum_dtype, sum_up, with_arithmetic};
use super::text::Text;
use super::view::{View, inline_key};
use crate::dtype::DType;
use crate::error::Result;
use crate::op::Conv;
use crate::params::ConvParams;
use crate::shape::Dims;
use std::sync::Arc;

const TERMS: &str = include_str!("../../../../shaders/conv/terms.wgsl");
const JOB: &str = include_str!("../../../../shaders/conv/job.wgsl");
const STAGED: &str = include_str!("../../../../shaders/conv/staged.wgsl");
const STEPPED: &str = include_str!("../../../../shaders/conv/stepped.wgsl");
const EACH: &str = include_str!("../../../../shaders/conv/each.wgsl");

const WORKGROUP: usize = 256;
/// Groups of up to this many rows would leave most of a tile empty.
const FEW_ROWS: usize = 8;
/// Sums of so many steps may be shared.
const SHORT: usize = 256;
const FEW_ELEMENTS: usize = 65536;
/// Samples whose gradients of a weight are held before they are summed.
const FEW_SAMPLES: usize = 64;
/// Products with a copied element that are worth the copy.
const OFTEN: usize = 64;
/// The word of the parameters that says which workgroup is a launch's first.
const FIRST_GROUP: usize = 40;

/// Runs one pass: `[input, weight, bias?]`, `[grad, weight]` or `[input, grad]`.
pub fn conv(gpu: &Arc<Gpu>, pass: Conv, p: &ConvParams, ins: &[View], y: &View) -> Result<()> {
    let (a, b) = (&ins[0], &ins[1]);
    let problem = match (pass, p.transposed) {
        (Conv::Forward, false) | (Conv::InputGrad, true) => Problem::forward(p, a, b, y),
        (Conv::Forward, true) | (Conv::InputGrad, false) => Problem::input_grad(p, a, b, y),
        (Conv::WeightGrad, false) => Problem::weight_grad(p, a, b, y),
        (Conv::WeightGrad, true) => Problem::weight_grad(p, b, a, y),
    };
    if y.numel() == 0 {
        return Ok(());
    }
    let bias = ins.get(2);
    match if bias.is_none() { problem.run_as_matrices(gpu, y) } else { None } {
        Some(done) => done,
        None => problem.run(gpu, bias, y),
    }
}

/// Sizes and strides of the spatial dims, aligned to the right.
fn spatial(v: &View) -> ([usize; 3], [usize; 3]) {
    let (mut sizes, mut strides) = ([1; 3], [0; 3]);
    sizes[5 - v.shape.len()..].copy_from_slice(&v.shape[2..]);
    strides[5 - v.shape.len()..].copy_from_slice(&v.strides[2..]);
    (sizes, strides)
}

fn vector(outer: usize, axes: [usize; 3]) -> [usize; 4] {
    [outer, axes[0], axes[1], axes[2]]
}

fn times(a: [usize; 3], b: [usize; 3]) -> [usize; 3] {
    [0, 1, 2].map(|i| a[i].wrapping_mul(b[i]))
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Dims that can be walked as one: its size and stride.
fn joined(sizes: &[usize], strides: &[usize]) -> Option<(usize, usize)> {
    let (mut size, mut stride) = (1, 1);
    for (&n, &by) in sizes.iter().zip(strides).rev().filter(|(n, _)| **n != 1) {
        if size != 1 && by != size * stride {
            return None;
        }
        stride = if size == 1 { by } else { stride };
        size *= n;
    }
    Some((size, stride))
}

/// The phases of an input gradient.
#[derive(Clone, Copy)]
struct Phases {
    count: [usize; 3],
    divisor: [usize; 3],
    inverse: [usize; 3],
    step: [usize; 3],
    padding: [usize; 3],
    dilation: [usize; 3],
    kernel: [usize; 3],
    a: [usize; 3],
    y: [usize; 3],
    size: [usize; 3],
    stride: [usize; 3],
}

/// A product as `shaders/conv/terms.wgsl` describes it.
#[derive(Clone, Copy)]
struct Problem<'a> {
    a: &'a View<'a>,
    b: &'a View<'a>,
    rows: usize,
    groups: usize,
    /// Strides by row of a and y, by group of a, b and y.
    by_row: [usize; 2],
    by_group: [usize; 3],
    steps: [usize; 4],
    columns: [usize; 4],
    a_by_step: [usize; 4],
    b_by_step: [usize; 4],
    b_by_column: [usize; 4],
    y_by_column: [usize; 4],
    start: [usize; 3],
    /// Steps are points of the output: the gradient of the weight.
    over_points: bool,
    phases: Option<Phases>,
    /// Zeros stand around b wherever it may be read.
    padded: bool,
}

impl<'a> Problem<'a> {
    /// Rows are output channels, columns points of the output, steps what a point reads.
    fn forward(p: &ConvParams, x: &'a View<'a>, w: &'a View<'a>, y: &View) -> Self {
        let ((kernel, ws), (out, ys)) = (spatial(w), spatial(y));
        let (rows, channels) = (y.shape[1] / p.groups, x.shape[1] / p.groups);
        Problem {
            a: w,
            b: x,
            rows,
            groups: p.groups,
            by_row: [w.strides[0], y.strides[1]],
            by_group: [rows * w.strides[0], channels * x.strides[1], rows * y.strides[1]],
            steps: vector(channels, kernel),
            columns: vector(y.shape[0], out),
            a_by_step: vector(w.strides[1], ws),
            b_by_step: vector(x.strides[1], p.dilation),
            b_by_column: vector(x.strides[0], p.stride),
            y_by_column: vector(y.strides[0], ys),
            start: p.padding.map(|n| 0usize.wrapping_sub(n)),
            over_points: false,
            phases: None,
            padded: false,
        }
    }

    /// Rows are input channels, columns points of the input in one phase of the stride, steps what was computed from a point.
    fn input_grad(p: &ConvParams, grad: &'a View<'a>, w: &'a View<'a>, y: &View) -> Self {
        let ((kernel, ws), (size, ys)) = (spatial(w), spatial(y));
        let (rows, channels) = (y.shape[1] / p.groups, grad.shape[1] / p.groups);
        let divisor = [0, 1, 2].map(|i| gcd(p.stride[i], p.dilation[i]));
        let step = [0, 1, 2].map(|i| p.stride[i] / divisor[i]);
        let reach = [0, 1, 2].map(|i| p.dilation[i] / divisor[i]);
        let phases = Phases {
            count: [0, 1, 2].map(|i| p.stride[i].min(size[i])),
            divisor,
            inverse: [0, 1, 2].map(|i| (0..step[i]).find(|v| v * reach[i] % step[i] == 1).unwrap_or(0)),
            step,
            padding: p.padding,
            dilation: p.dilation,
            kernel,
            a: ws,
            y: ys,
            size,
            stride: p.stride,
        };
        Problem {
            a: w,
            b: grad,
            rows,
            groups: p.groups,
            by_row: [w.strides[1], y.strides[1]],
            by_group: [channels * w.strides[0], channels * grad.strides[1], rows * y.strides[1]],
            steps: vector(channels, [0, 1, 2].map(|i| kernel[i].div_ceil(step[i]))),
            columns: vector(y.shape[0], [0, 1, 2].map(|i| size[i].div_ceil(p.stride[i]))),
            a_by_step: vector(w.strides[0], times(step, ws)),
            b_by_step: vector(grad.strides[1], reach.map(|n| 0usize.wrapping_sub(n))),
            b_by_column: vector(grad.strides[0], [1; 3]),
            y_by_column: vector(y.strides[0], times(p.stride, ys)),
            start: [0; 3],
            over_points: false,
            phases: Some(phases),
            padded: false,
        }
    }

    /// Rows are output channels, columns what a weight of one of them multiplies, steps the points of the output.
    fn weight_grad(p: &ConvParams, x: &'a View<'a>, grad: &'a View<'a>, y: &View) -> Self {
        let ((out, gs), (kernel, ys)) = (spatial(grad), spatial(y));
        let (rows, channels) = (grad.shape[1] / p.groups, x.shape[1] / p.groups);
        Problem {
            a: grad,
            b: x,
            rows,
            groups: p.groups,
            by_row: [grad.strides[1], y.strides[0]],
            by_group: [rows * grad.strides[1], channels * x.strides[1], rows * y.strides[0]],
            steps: vector(x.shape[0], out),
            columns: vector(channels, kernel),
            a_by_step: vector(grad.strides[0], gs),
            b_by_step: vector(x.strides[0], p.stride),
            b_by_column: vector(x.strides[1], p.dilation),
            y_by_column: vector(y.strides[1], ys),
            start: p.padding.map(|n| 0usize.wrapping_sub(n)),
            over_points: true,
            phases: None,
            padded: false,
        }
    }

    fn step_count(&self) -> usize {
        self.steps.iter().product()
    }

    fn column_count(&self) -> usize {
        self.columns.iter().product()
    }

    fn phase_count(&self) -> usize {
        self.phases.as_ref().map_or(1, |p| p.count.iter().product())
    }

    /// Whether a position can lie outside the planes of b.
    fn checked(&self) -> bool {
        if self.padded {
            return false;
        }
        let (size, _) = spatial(self.b);
        let plain = |f: &Phases| [f.kernel, f.stride] == [[1; 3]; 2] && f.padding == [0; 3] && f.size == size;
        self.phases.as_ref().is_some_and(|f| !plain(f))
            || self.phases.is_none()
                && (0..3).any(|i| {
                    let reach = |sizes: &[usize; 4], by: &[usize; 4]| sizes[i + 1].saturating_sub(1) * by[i + 1];
                    let last = reach(&self.steps, &self.b_by_step) + reach(&self.columns, &self.b_by_column);
                    self.start[i] != 0 || last >= size[i]
                })
    }

    /// How far positions lie before and behind the planes of b; none where phases are several.
    fn overhang(&self) -> Option<[[usize; 3]; 2]> {
        let (size, _) = spatial(self.b);
        let (mut low, mut high) = ([0; 3], [0; 3]);
        for i in 0..3 {
            let reach = |sizes: &[usize; 4], by: &[usize; 4]| (sizes[i + 1] as isize - 1) * by[i + 1] as isize;
            let (by_step, by_column) = (reach(&self.steps, &self.b_by_step), reach(&self.columns, &self.b_by_column));
            let start = match &self.phases {
                Some(f) if f.stride[i] != 1 => return None,
                Some(f) => f.padding[i] as isize,
                None => self.start[i] as isize,
            };
            let (first, last) = (start + by_step.min(0), start + by_step.max(0) + by_column);
            low[i] = (-first).max(0) as usize;
            high[i] = (last - size[i] as isize + 1).max(0) as usize;
        }
        Some([low, high])
    }

    /// Runs the product on a copy of b with zeros around it, which needs no checks: where these cost much, and a copied element
    /// is used often.
    fn run_padded(&self, gpu: &Arc<Gpu>, bias: Option<&View>, y: &View) -> Option<Result<()>> {
        let kernel: usize = if self.over_points { &self.columns } else { &self.steps }[1..].iter().product();
        let often = self.rows * kernel >= OFTEN && self.rows > FEW_ROWS;
        if gpu.features.workgroup_memory || !often || !self.checked() || self.b.inline.is_some() {
            return None;
        }
        let [low, high] = self.overhang()?;
        let rank = self.b.shape.len();
        let axis = |d: usize| d + 5 - rank - 2;
        let room = |d: usize| if d < 2 { 0 } else { low[axis(d)] + high[axis(d)] };
        let shape: Dims = (0..rank).map(|d| self.b.shape[d] + room(d)).collect();
        let strides = shape.contiguous_strides();
        let offset = (2..rank).map(|d| low[axis(d)] * strides[d]).sum();
        let run = || {
            let numel: usize = shape.iter().product();
            let memory = memory::allocate(gpu, numel * self.b.dtype.size())?;
            let all = View { memory: &memory, offset: 0, shape: &shape, strides: &strides, ..*self.b };
            copy::fill(gpu, &all, 0, self.b.dtype)?;
            copy::copy(gpu, &View { offset, shape: self.b.shape, ..all }, self.b)?;
            let mut padded = Problem { b: &all, padded: true, ..*self };
            let (sample, channel) = (strides[0], strides[1]);
            padded.by_group[1] = self.b.shape[1] / self.groups * channel;
            [padded.b_by_step[0], padded.b_by_column[0]] =
                if self.over_points { [sample, channel] } else { [channel, sample] };
            padded.start = [0, 1, 2].map(|i| self.start[i].wrapping_add(low[i]));
            padded.run(gpu, bias, y)
        };
        Some(run())
    }

    /// Runs the product on a copy of the weight in which a row's steps lie next to each other, where only that lets four steps be
    /// read at once.
    fn run_ordered(&self, gpu: &Arc<Gpu>, bias: Option<&View>, y: &View) -> Option<Result<()>> {
        let [outer, d, h, w] = self.steps;
        let (plane, steps) = (d * h * w, self.step_count());
        let gains = !self.over_points && !self.a_wide() && self.flags() & 5 == 1 && steps.is_multiple_of(4);
        let weight = self.groups * self.rows * steps;
        if gpu.features.workgroup_memory
            || !gains
            || !self.one_phase()
            || self.a.inline.is_some()
            || self.rows <= FEW_ROWS
            || weight > y.numel()
        {
            return None;
        }
        let shape = [self.groups, self.rows, outer, d, h, w];
        let [by_outer, by_d, by_h, by_w] = self.a_by_step;
        let strides = [self.by_group[0], self.by_row[0], by_outer, by_d, by_h, by_w];
        let own = [self.rows * steps, steps, plane, h * w, w, 1];
        let run = || {
            let memory = memory::allocate(gpu, weight * self.a.dtype.size())?;
            let ordered = View { memory: &memory, offset: 0, shape: &shape, strides: &own, inline: None, ..*self.a };
            copy::copy(gpu, &ordered, &View { shape: &shape, strides: &strides, ..*self.a })?;
            let mut problem = Problem { a: &ordered, a_by_step: [plane, h * w, w, 1], ..*self };
            (problem.by_group[0], problem.by_row[0]) = (self.rows * steps, steps);
            problem.run(gpu, bias, y)
        };
        Some(run())
    }

    fn flags(&self) -> u32 {
        // Channels-last operands are read along channels.
        let channels = self.b.strides[1] == 1 && self.b.shape.len() > 2 && self.b.strides[self.b.shape.len() - 1] != 1;
        let (a_along, b_along) = match (self.over_points, channels) {
            (false, false) => (true, true),
            (false, true) => (true, false),
            (true, false) => (self.by_row[0] != 1, false),
            (true, true) => (self.by_row[0] != 1, true),
        };
        let (step_outer, column_outer) = (channels && !self.over_points, channels && self.over_points);
        u32::from(a_along) | u32::from(b_along) << 1 | u32::from(step_outer) << 2 | u32::from(column_outer) << 3
    }

    fn parameters(&self, bias: Option<&View>, y: &View, splits: usize, per_split: usize) -> Vec<u32> {
        let mut p: Vec<u32> = Vec::with_capacity(96);
        let mut push = |v: [usize; 4]| p.extend(v.map(|n| n as u32));
        let (bsize, bstrides) = spatial(self.b);
        let flags = self.flags() as usize;
        push([self.rows, self.column_count(), self.groups, splits]);
        push([per_split, self.a.offset, self.b.offset, flags]);
        let by_bias = bias.map_or([0; 2], |b| [b.offset, b.strides[0]]);
        push([self.by_row[0], self.by_row[1], by_bias[0], by_bias[1]]);
        push([self.by_group[0], self.by_group[1], self.by_group[2], self.phase_count()]);
        push(self.steps);
        push(self.columns);
        push(self.a_by_step);
        push(self.b_by_step);
        push(self.b_by_column);
        push(vector(y.numel(), self.start));
        push(vector(0, bsize));
        push(vector(0, bstrides));
        push(self.y_by_column);
        if let Some(f) = &self.phases {
            for axes in
                [f.count, f.divisor, f.inverse, f.step, f.padding, f.dilation, f.kernel, f.a, f.y, f.size, f.stride]
            {
                push(vector(0, axes));
            }
        }
        p
    }

    fn one_phase(&self) -> bool {
        self.phases.as_ref().is_none_or(|f| f.stride == [1; 3])
    }

    /// Whether four neighbours in a by step lie next to each other.
    fn a_wide(&self) -> bool {
        let [outer, d, h, w] = self.steps;
        let by = self.a_by_step;
        let dense = (w == 1 || by[3] == 1) && (h == 1 || by[2] == w) && (d == 1 || by[1] == h * w);
        let plane = d * h * w;
        let whole = plane.is_multiple_of(4) && by[0].is_multiple_of(4)
            || (outer * plane).is_multiple_of(4) && (outer == 1 || by[0] == plane);
        let aligned = [self.a.offset, self.by_row[0], self.by_group[0]].iter().all(|n| n.is_multiple_of(4));
        dense && whole && aligned && self.a.inline.is_none() && self.one_phase() && self.flags() & 5 == 1
    }

    /// Whether four neighbouring columns of y lie next to each other.
    fn y_wide(&self) -> bool {
        let [_, d, h, w] = self.columns;
        let by = self.y_by_column;
        let dense = (w == 1 || by[3] == 1) && (h == 1 || by[2] == w) && (d == 1 || by[1] == h * w);
        let aligned = [d * h * w, by[0], self.by_row[1], self.by_group[2]].iter().all(|n| n.is_multiple_of(4));
        dense && aligned && self.one_phase() && self.flags() & 8 == 0
    }

    /// A kernel of one element that meets every point is a batch of matrices; a gradient of its weight is summed over samples.
    fn run_as_matrices(&self, gpu: &Arc<Gpu>, y: &View) -> Option<Result<()>> {
        let points = if self.over_points { &self.steps } else { &self.columns };
        let kernel = if self.over_points { &self.columns } else { &self.steps };
        if kernel[1..] != [1; 3] || self.checked() || self.rows <= FEW_ROWS {
            return None;
        }
        let (_, own) = spatial(self.b);
        let by_point = if self.over_points { &self.b_by_step } else { &self.b_by_column };
        let (plane, in_b) = joined(&points[1..], &times([by_point[1], by_point[2], by_point[3]], own))?;
        let others = if self.over_points { &self.a_by_step } else { &self.y_by_column };
        let (_, in_other) = joined(&points[1..], &others[1..])?;
        let (samples, channels) = (points[0], kernel[0]);
        let batch = |by_sample: usize, group: usize, by: [usize; 2]| [by_sample, self.by_group[group], by[0], by[1]];
        let view = |v: &View<'a>, shape, strides| View { shape, strides, ..*v };
        if !self.over_points {
            let shapes = [[self.rows, channels], [channels, plane], [self.rows, plane]];
            let [sa, sb, sy] = shapes.map(|[i, j]| [samples, self.groups, i, j]);
            let a = batch(0, 0, [self.by_row[0], self.a_by_step[0]]);
            let b = batch(self.b_by_column[0], 1, [self.b_by_step[0], in_b]);
            let to = batch(self.y_by_column[0], 2, [self.by_row[1], in_other]);
            let to = View { shape: &sy, strides: &to, ..*y };
            return Some(matmul(gpu, &view(self.a, &sa, &a), &view(self.b, &sb, &b), &to));
        }
        if plane < SHORT / 4 || samples > FEW_SAMPLES {
            return None;
        }
        let shapes = [[self.rows, plane], [plane, channels], [self.rows, channels]];
        let [sa, sb, sy] = shapes.map(|[i, j]| [samples, self.groups, i, j]);
        let a = batch(self.a_by_step[0], 0, [self.by_row[0], in_other]);
        let b = batch(self.b_by_step[0], 1, [in_b, self.b_by_column[0]]);
        let to = batch(y.numel(), 2, [self.by_row[1], self.y_by_column[0]]);
        let (a, b) = (view(self.a, &sa, &a), view(self.b, &sb, &b));
        if samples == 1 {
            return Some(matmul(gpu, &a, &b, &View { shape: &sy, strides: &to, ..*y }));
        }
        let compute = sum_dtype(self.a.dtype);
        let sum = || {
            let partial = partial_sums(gpu, samples, y, compute)?;
            matmul(
                gpu,
                &a,
                &b,
                &View { memory: &partial, offset: 0, dtype: compute, shape: &sy, strides: &to, inline: None },
            )?;
            sum_up(gpu, &partial, samples, compute, y)
        };
        Some(sum())
    }

    fn run(&self, gpu: &Arc<Gpu>, bias: Option<&View>, y: &View) -> Result<()> {
        if let Some(done) = self.run_padded(gpu, bias, y).or_else(|| self.run_ordered(gpu, bias, y)) {
            return done;
        }
        let (steps, columns) = (self.step_count(), self.column_count());
        let batch = self.groups * self.phase_count();
        let elements = self.rows * columns * batch;
        // Sums over points are long, and their elements few.
        let summed = steps >= SHORT && (self.over_points || elements < FEW_ELEMENTS);
        if self.rows <= FEW_ROWS && (!summed || columns <= 64) {
            let form = self.form(if summed { Way::Shared } else { Way::Serial }, bias);
            let (groups, work) =
                if summed { (elements, steps) } else { (elements.div_ceil(WORKGROUP), steps * WORKGROUP) };
            return form.launch(gpu, self, bias, y, self.parameters(bias, y, 1, steps), [groups, work]);
        }
        let compute = sum_dtype(self.a.dtype);
        let dtypes = [self.a.dtype, self.b.dtype];
        let tile = Tile::choose(gpu, dtypes, self.rows, columns, steps, batch)?;
        let tiles = tile.count(self.rows, columns) * batch;
        let (splits, per_split) = splits(tiles, steps, tile.depth, y.numel(), compute);
        let form = self.form(Way::Tiled(tile), bias);
        let p = self.parameters(bias, y, splits, per_split);
        let work = tile.rows * tile.columns * per_split;
        if splits == 1 {
            return form.launch(gpu, self, bias, y, p, [tiles, work]);
        }
        let partial = partial_sums(gpu, splits, y, compute)?;
        // The partial sums of a split begin where those of the one before end, in whole fours or not.
        let wide = form.wide.map(|w| w && y.numel().is_multiple_of(4));
        let first = Form { wide: [form.wide[0], wide[1]], ..form };
        first.launch(gpu, self, bias, &in_place_of(y, &partial, compute), p, [tiles * splits, work])?;
        sum_up(gpu, &partial, splits, compute, y)
    }

    /// Whether neither operand has a depth.
    fn planar(&self) -> bool {
        [self.steps[1], self.columns[1], spatial(self.b).0[0]] == [1; 3] && self.start[0] == 0
    }

    fn form(&self, way: Way, bias: Option<&View>) -> Form {
        let (phases, checked, flags) = (self.phases.is_some(), self.checked(), self.flags());
        let staged = matches!(way, Way::Tiled(tile) if tile.staged());
        let tiled = matches!(way, Way::Tiled(_));
        let wide = [tiled && self.a_wide(), tiled && self.y_wide()];
        let along = if staged { [flags & 1 != 0, flags & 2 != 0] } else { [false; 2] };
        Form { way, bias: bias.is_some(), phases, checked, planar: self.planar(), along, wide }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Tiled(Tile),
    /// An invocation an element.
    Serial,
    /// A workgroup an element.
    Shared,
}

/// What the text depends on.
#[derive(Clone, Copy)]
struct Form {
    way: Way,
    bias: bool,
    phases: bool,
    checked: bool,
    planar: bool,
    /// Whether a is read along steps and b along columns.
    along: [bool; 2],
    /// Whether a is read and y written in vectors.
    wide: [bool; 2],
}

impl Form {
    fn launch(
        &self,
        gpu: &Gpu,
        problem: &Problem,
        bias: Option<&View>,
        y: &View,
        parameters: Vec<u32>,
        [groups, work]: [usize; 2],
    ) -> Result<()> {
        let mut operands = vec![problem.a, problem.b];
        operands.extend(bias);
        let mut key = self.key(problem.a.dtype, y.dtype);
        key.extend(inline_key(&[problem.a, problem.b, y]));
        let pipeline = gpu.pipeline(("convolution", key), || self.text(&operands, y))?;
        Launch { operands: &operands, parameters, first_group: FIRST_GROUP, groups, work }.run(gpu, &pipeline, y)
    }

    fn key(&self, from: DType, to: DType) -> Vec<u32> {
        let Form { way, bias, phases, checked, planar, along, wide } = *self;
        let flags = [bias, phases, checked, planar, along[0], along[1], wide[0], wide[1]];
        let flags = bits(&flags);
        let (way, tile) = match way {
            Way::Serial => (0, [0; 2]),
            Way::Shared => (1, [0; 2]),
            Way::Tiled(tile) => (2, tile.key()),
        };
        vec![way, tile[0], tile[1], from as u32, to as u32, flags]
    }

    fn text(&self, operands: &[&View], y: &View) -> (String, Vec<Access>) {
        let Form { way, along, wide, .. } = *self;
        let compute = sum_dtype(operands[0].dtype);
        let mut t = with_arithmetic(Text::new(), compute);
        let halves = matches!(way, Way::Tiled(tile) if tile.halves());
        t = t.held("a", operands[0], compute, wide[0], halves).operand("b", operands[1], compute);
        let mut bias = "zero()";
        if self.bias {
            t = t.operand("bias", operands[2], compute);
            bias = "bias_at(parameters[2].z + row * parameters[2].w)";
        }
        let t = t
            .stores("y", y, compute, wide[1])
            .line(&format!("fn bias_of(row: u32) -> T {{ return {bias}; }}"))
            .line(&format!("const PHASES = {};\nconst CHECKED = {};", self.phases, self.checked))
            .line(&format!("const PLANAR = {};", self.planar));
        let Way::Tiled(tile) = way else {
            return t.line(&format!("const SHARED = {};", way == Way::Shared)).finish(&format!("{TERMS}{EACH}"));
        };
        let t = t
            .line(&format!("const A_ALONG = {};\nconst B_ALONG = {};", along[0], along[1]))
            .line(&format!("const A_WIDE = {};\nconst Y_WIDE = {};", wide[0], wide[1]));
        tile.finish(t, &format!("{TERMS}{JOB}{}", if tile.staged() { STAGED } else { STEPPED }), wide[0])
    }
}
