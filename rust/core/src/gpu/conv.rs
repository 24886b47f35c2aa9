//! Convolutions and their gradients, direct and transposed, as products of matrices that are never laid out.
//!
//! As on the CPU everything is expressed in the direct convolution's terms, `(N, C, *) → (N, M, *)`: its forward pass, its
//! input gradient (the transposed convolution's forward pass) and its weight gradient.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::reduce::reduce;
use super::text::{Text, arithmetic};
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Conv, Reduction};
use crate::params::ConvParams;
use std::sync::Arc;

const TERMS: &str = include_str!("../../../../shaders/conv/terms.wgsl");
const TILED: &str = include_str!("../../../../shaders/conv.wgsl");
const DIRECT: &str = include_str!("../../../../shaders/conv/direct.wgsl");

const TILE: usize = 64;
const WORKGROUP: usize = 256;
/// Groups of up to this many rows would leave most of a tile empty.
const FEW_ROWS: usize = 8;
/// With fewer workgroups than this, long sums are split among more of them.
const FEW_TILES: usize = 256;
/// Steps that a workgroup sums at most, and at least where sums are split.
const LONG: usize = 16384;
const SHORT: usize = 256;
/// Products of one launch: some 30 ms of a slow GPU.
const MOST_WORK: usize = 1 << 34;
/// The word of the parameters that says which workgroup is a launch's first.
const FIRST_GROUP: usize = 40;
/// Bytes of partial sums.
const MOST_PARTIAL: usize = 256 << 20;

/// Runs one pass: `[input, weight, bias?]`, `[grad, weight]` or `[input, grad]`.
pub fn conv(gpu: &Arc<Gpu>, pass: Conv, p: &ConvParams, ins: &[View], y: &View) -> Result<()> {
    let (a, b) = (&ins[0], &ins[1]);
    let problem = match (pass, p.transposed) {
        (Conv::Forward, false) | (Conv::InputGrad, true) => Problem::forward(p, a, b, y),
        (Conv::Forward, true) | (Conv::InputGrad, false) => Problem::input_grad(p, a, b, y),
        (Conv::WeightGrad, false) => Problem::weight_grad(p, a, b, y),
        (Conv::WeightGrad, true) => Problem::weight_grad(p, b, a, y),
    };
    if y.numel() == 0 { Ok(()) } else { problem.run(gpu, ins.get(2), y) }
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

/// The phases of an input gradient.
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

    fn run(&self, gpu: &Arc<Gpu>, bias: Option<&View>, y: &View) -> Result<()> {
        let (steps, columns) = (self.step_count(), self.column_count());
        let elements = self.rows * columns * self.groups * self.phase_count();
        // Sums over points are long, and their elements few.
        let summed = steps >= SHORT && (self.over_points || elements < WORKGROUP * FEW_TILES);
        if self.rows <= FEW_ROWS && (!summed || columns <= TILE) {
            let form = self.form(if summed { Way::Shared } else { Way::Serial }, bias, y.dtype);
            let (groups, work) =
                if summed { (elements, steps) } else { (elements.div_ceil(WORKGROUP), steps * WORKGROUP) };
            return form.launch(gpu, self, bias, y.memory, self.parameters(bias, y, 1, steps), [groups, work]);
        }
        let tiles = self.rows.div_ceil(TILE) * columns.div_ceil(TILE) * self.groups * self.phase_count();
        let form = self.form(Way::Tiled, bias, y.dtype);
        let wanted = (FEW_TILES / tiles.max(1)).max(steps.div_ceil(LONG));
        let room = MOST_PARTIAL / (y.numel() * form.compute().size()).max(1);
        let splits = wanted.min(steps / SHORT).min(room).max(1);
        let per_split = steps.div_ceil(splits).next_multiple_of(form.depth()).max(1);
        let splits = steps.div_ceil(per_split).max(1);
        let p = self.parameters(bias, y, splits, per_split);
        let work = TILE * TILE * per_split;
        if splits == 1 {
            return form.launch(gpu, self, bias, y.memory, p, [tiles, work]);
        }
        // The partial sums of an element lie as far apart as y is long; y is dense, whatever its order of dims.
        let partial = memory::allocate(gpu, splits * y.numel() * form.compute().size())?;
        let first = Form { to: form.compute(), ..form };
        first.launch(gpu, self, bias, &partial, p, [tiles * splits, work])?;
        let (shape, strides) = ([splits, y.numel()], [y.numel(), 1]);
        let partial = View { memory: &partial, offset: 0, dtype: first.to, shape: &shape, strides: &strides };
        let y = View { shape: &shape[1..], strides: &strides[1..], ..*y };
        reduce(gpu, Reduction::Sum, 1, &partial, &[], &[y])
    }

    fn form(&self, way: Way, bias: Option<&View>, to: DType) -> Form {
        let (phases, checked) = (self.phases.is_some(), self.checked());
        Form { way, from: self.a.dtype, to, bias: bias.is_some(), phases, checked }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Tiled,
    /// An invocation an element.
    Serial,
    /// A workgroup an element.
    Shared,
}

/// What the text depends on.
#[derive(Clone, Copy)]
struct Form {
    way: Way,
    from: DType,
    to: DType,
    bias: bool,
    phases: bool,
    checked: bool,
}

impl Form {
    fn compute(&self) -> DType {
        match self.from {
            d if d.is_float() => DType::F32,
            DType::I64 => DType::I64,
            _ => DType::I32,
        }
    }

    /// Steps of a tile: two tiles fit the workgroup memory that every device has.
    fn depth(&self) -> usize {
        if self.compute() == DType::I64 { 8 } else { 16 }
    }

    /// Launches so many workgroups of so many products each, not too many products at once.
    fn launch(
        &self,
        gpu: &Gpu,
        problem: &Problem,
        bias: Option<&View>,
        target: &Allocation,
        mut p: Vec<u32>,
        [groups, work]: [usize; 2],
    ) -> Result<()> {
        let Form { way, from, to, bias: has_bias, phases, checked } = *self;
        let flags = u32::from(has_bias) | u32::from(phases) << 1 | u32::from(checked) << 2;
        let pipeline =
            gpu.pipeline(("convolution", vec![way as u32, from as u32, to as u32, flags]), || self.text())?;
        let mut buffers = vec![problem.a.memory, problem.b.memory];
        buffers.extend(bias.map(|b| b.memory));
        buffers.push(target);
        let most = (MOST_WORK / work.max(1)).max(1);
        for first in (0..groups).step_by(most) {
            p[FIRST_GROUP] = first as u32;
            let groups = Gpu::grid(most.min(groups - first));
            gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &p, groups })?;
        }
        Ok(())
    }

    fn text(&self) -> (String, Vec<Access>) {
        let compute = self.compute();
        let step = if compute == DType::F32 { "fma(a, b, c)" } else { "add(c, mul(a, b))" };
        let mut t = Text::new().input("a", self.from, compute).input("b", self.from, compute);
        let mut bias = "zero()";
        if self.bias {
            t = t.input("bias", self.from, compute);
            bias = "bias_at(parameters[2].z + row * parameters[2].w)";
        }
        let (constants, body) = match self.way {
            Way::Tiled => (format!("const DEPTH = {}u;", self.depth()), TILED),
            way => (format!("const SHARED = {};", way == Way::Shared), DIRECT),
        };
        t.output("y", self.to, compute)
            .line(arithmetic(compute))
            .line(&format!("fn step(c: T, a: T, b: T) -> T {{ return {step}; }}"))
            .line(&format!("fn bias_of(row: u32) -> T {{ return {bias}; }}"))
            .line(&format!("const PHASES = {};\nconst CHECKED = {};", self.phases, self.checked))
            .line(&constants)
            .finish(&format!("{TERMS}{body}"))
    }
}
