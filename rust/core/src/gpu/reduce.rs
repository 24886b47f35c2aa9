//! Reductions: a workgroup or an invocation folds an output's elements; long ones are split and merged by a second launch.

use super::copy;
use super::device::Gpu;
use super::encoder::{Dispatch, WINDOW_ALIGNMENT, Window};
use super::inline;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::rows::{self, Parameters, WORKGROUP};
use super::text::{Text, arithmetic, extremes};
use super::view::{View, inline_key};
use crate::dtype::DType;
use crate::error::Result;
use crate::op::Reduction;
use crate::shape::Dims;
use smallvec::SmallVec;
use std::sync::Arc;

const BODY: &str = include_str!("../../../../shaders/reduce.wgsl");
const SUM: &str = include_str!("../../../../shaders/reduce/sum.wgsl");
const PROD: &str = include_str!("../../../../shaders/reduce/prod.wgsl");
const EXTREMUM: &str = include_str!("../../../../shaders/reduce/extremum.wgsl");
const VARIANCE: &str = include_str!("../../../../shaders/reduce/variance.wgsl");
const LOGSUMEXP: &str = include_str!("../../../../shaders/reduce/logsumexp.wgsl");
const NORM: &str = include_str!("../../../../shaders/reduce/norm.wgsl");

/// Elements that one workgroup folds, and one invocation: longer outputs are split, which also bounds rounding errors.
const ROW_CHUNK: usize = 65536;
const COLUMN_CHUNK: usize = 1024;
/// Bytes of the largest accumulator.
const ACCUMULATOR: usize = 16;
/// Outputs of fewer elements are folded by one invocation each.
const SHORT: usize = 64;

/// Sizes and strides of some dims, joined where they can be walked as one.
#[derive(Default)]
struct Axes(SmallVec<[(usize, usize); 4]>);

impl Axes {
    fn add(&mut self, size: usize, stride: usize) {
        match self.0.last_mut() {
            _ if size == 1 => {}
            Some(last) if last.1 == stride.wrapping_mul(size) => *last = (last.0 * size, stride),
            _ => self.0.push((size, stride)),
        }
    }
    fn count(&self) -> usize {
        self.0.iter().map(|a| a.0).product()
    }
    /// The first axis, the one that is cut where a shader cannot see everything.
    fn outer(&self) -> (usize, usize) {
        self.0.first().copied().unwrap_or((1, 0))
    }
    /// The same axes with another size of the first.
    fn cut(&self, size: usize) -> Axes {
        let mut axes = Axes(self.0.clone());
        axes.0.iter_mut().take(1).for_each(|a| a.0 = size);
        axes
    }
    /// How far the elements reach before and behind the first. Strides may be negative.
    fn reach(&self) -> (usize, usize) {
        self.0.iter().fold((0, 0), |(before, behind), &(size, stride)| {
            let way = (size as isize - 1) * stride as isize;
            (before + (-way).max(0) as usize, behind + way.max(0) as usize)
        })
    }
}

/// Reduces the dims whose bits are set; outputs are dense and row-major.
pub fn reduce(gpu: &Arc<Gpu>, kind: Reduction, mask: u64, x: &View, numbers: &[u64], outs: &[View]) -> Result<()> {
    let (mut kept, mut reduced) = (Axes::default(), Axes::default());
    for (d, (&size, &stride)) in x.shape.iter().zip(x.strides).enumerate() {
        if mask & (1 << d) == 0 { kept.add(size, stride) } else { reduced.add(size, stride) }
    }
    let (outputs, count) = (outs[0].numel(), reduced.count());
    if outputs == 0 {
        return Ok(());
    }
    // Neighbouring outputs next to each other in memory are read well by neighbouring invocations.
    let across = kept.0.last().is_some_and(|a| a.1 == 1) && reduced.0.last().is_none_or(|a| a.1 != 1);
    let rows = count >= SHORT && !(across && outputs >= WORKGROUP);
    let chunk = if rows { ROW_CHUNK } else { COLUMN_CHUNK };
    let splits = count.div_ceil(chunk).max(1);
    let lanes = if rows { rows::lanes(gpu, outputs * splits, count.min(chunk), false) } else { 1 };
    let form = Form { kind, from: x.dtype, to: outs[0].dtype, lanes };
    let number = numbers.first().map_or(0.0, |&b| f64::from_bits(b)) as f32;
    let header = [outputs, count, splits, chunk, 0, 0, 0, number.to_bits() as usize, count];
    if gpu.too_large(std::iter::once(x.memory)) {
        return form.in_windows(gpu, x, &kept, &reduced, header, outs, false);
    }
    let mut p = Parameters::new(&header);
    p.point(4, x.offset, &kept.0);
    p.point(5, 0, &reduced.0);
    if splits == 1 {
        return form.encode(gpu, Stage::Whole, Ends { from: End::Tensor(x), to: To::Results(outs) }, &p, outputs, &[]);
    }
    let partial = memory::allocate(gpu, outputs * splits * ACCUMULATOR)?;
    let ends = Ends { from: End::Tensor(x), to: To::Partial(&partial) };
    form.encode(gpu, Stage::First, ends, &p, outputs * splits, &[])?;
    form.merge(gpu, &partial, splits, header, outs)
}

/// What is read and written: elements to results, elements to partial results, those of a window of them to some partial
/// results, partial results to results.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Whole,
    First,
    Window,
    Second,
}

/// Where a launch reads and writes: elements and results, or partial results.
struct Ends<'a> {
    from: End<'a>,
    to: To<'a>,
}

#[derive(Clone, Copy)]
enum End<'a> {
    Tensor(&'a View<'a>),
    Partial(&'a Allocation),
}

#[derive(Clone, Copy)]
enum To<'a> {
    Results(&'a [View<'a>]),
    Partial(&'a Allocation),
}

impl<'a> Ends<'a> {
    fn views(&self) -> SmallVec<[&'a View<'a>; 3]> {
        let mut views = SmallVec::new();
        if let End::Tensor(x) = self.from {
            views.push(x);
        }
        if let To::Results(outs) = self.to {
            views.extend(outs);
        }
        views
    }

    fn buffers(&self) -> Vec<&'a Allocation> {
        let mut buffers = Vec::new();
        match self.from {
            End::Tensor(x) => x.bind(&mut buffers),
            End::Partial(memory) => buffers.push(memory),
        }
        match self.to {
            To::Results(outs) => outs.iter().for_each(|o| o.bind(&mut buffers)),
            To::Partial(memory) => buffers.push(memory),
        }
        buffers
    }
}

#[derive(Clone, Copy)]
struct Form {
    kind: Reduction,
    from: DType,
    to: DType,
    /// Invocations that share an output.
    lanes: usize,
}

impl Form {
    /// The dtype in which elements are folded.
    fn compute(&self) -> DType {
        use Reduction::*;
        match self.kind {
            Max | Min | ArgMax | ArgMin | MaxIndex | MinIndex => match self.from {
                DType::Bool => DType::U8,
                DType::F16 | DType::BF16 => DType::F32,
                d => d,
            },
            Any | All | CountNonzero => DType::I32,
            Sum | Prod if self.to == DType::Bool => DType::I32,
            _ if self.to.is_float() => DType::F32,
            _ => DType::I64,
        }
    }

    /// Partial results to results. Those of an output lie as far apart as there are outputs.
    fn merge(
        &self,
        gpu: &Gpu,
        partial: &Allocation,
        splits: usize,
        mut header: [usize; 9],
        outs: &[View],
    ) -> Result<()> {
        let outputs = header[0];
        let lanes = if splits >= SHORT { rows::lanes(gpu, outputs, splits, false) } else { 1 };
        let second = Form { lanes, ..*self };
        header[1..4].copy_from_slice(&[splits, 1, splits]);
        let ends = Ends { from: End::Partial(partial), to: To::Results(outs) };
        second.encode(gpu, Stage::Second, ends, &Parameters::new(&header), outputs, &[])
    }

    /// A shader cannot see all of the input at once: the outer axis of the outputs, that of the reduced dims, or both are cut,
    /// and each launch folds what its blocks span. `dense` says that the elements of an output lie next to each other; if they do
    /// not, and cutting does not help or makes too many partial results, they are copied first.
    fn in_windows(
        &self,
        gpu: &Arc<Gpu>,
        x: &View,
        kept: &Axes,
        reduced: &Axes,
        header: [usize; 9],
        outs: &[View],
        dense: bool,
    ) -> Result<()> {
        let (outputs, chunk, size) = (header[0], header[3], x.dtype.size());
        let room = gpu.window_bytes().saturating_sub(2 * WINDOW_ALIGNMENT) as usize / size;
        let (mut k, mut r) = (kept.outer().0, reduced.outer().0);
        let span = |k: usize, r: usize| {
            let ((a, b), (c, d)) = (kept.cut(k).reach(), reduced.cut(r).reach());
            a + b + c + d
        };
        while span(k, r) > room {
            let gain = |less: usize| span(k, r) - less;
            let (by_k, by_r) = (gain(span(k.div_ceil(2), r)), gain(span(k, r.div_ceil(2))));
            match (by_k, by_r) {
                (0, 0) => return self.densely(gpu, x, kept, reduced, header, outs),
                _ if by_k >= by_r => k = k.div_ceil(2),
                _ => r = r.div_ceil(2),
            }
        }
        let inner = |axes: &Axes| axes.count() / axes.outer().0;
        let splits = (r * inner(reduced)).div_ceil(chunk);
        let blocks = reduced.outer().0.div_ceil(r);
        let bytes = outputs * blocks * splits * ACCUMULATOR;
        if bytes as u64 > gpu.window_bytes() && !dense {
            return self.densely(gpu, x, kept, reduced, header, outs);
        }
        let partial = memory::allocate(gpu, bytes)?;
        let results = (0, gpu.whole(&partial, self.kind.name())?);
        for (block, b) in (0..reduced.outer().0).step_by(r).enumerate() {
            for a in (0..kept.outer().0).step_by(k) {
                let (own, folded) = (kept.cut(k.min(kept.outer().0 - a)), reduced.cut(r.min(reduced.outer().0 - b)));
                let offset = x.offset.wrapping_add(a.wrapping_mul(kept.outer().1));
                let offset = offset.wrapping_add(b.wrapping_mul(reduced.outer().1));
                let from = offset - own.reach().0 - folded.reach().0;
                let start = (from * size) as u64 / WINDOW_ALIGNMENT * WINDOW_ALIGNMENT;
                let end = ((offset + own.reach().1 + folded.reach().1 + 1) * size) as u64;
                let first = a * inner(kept) + block * splits * outputs;
                let mut p = [own.count(), folded.count(), splits, chunk].to_vec();
                p.extend([&header[4..], &[first, outputs, b * inner(reduced)]].concat());
                let mut p = Parameters::new(&p);
                p.point(4, offset - start as usize / size, &own.0);
                p.point(5, 0, &folded.0);
                let windows = [(start, end.next_multiple_of(4) - start), results];
                let ends = Ends { from: End::Tensor(x), to: To::Partial(&partial) };
                self.encode(gpu, Stage::Window, ends, &p, own.count() * splits, &windows)?;
            }
        }
        self.merge(gpu, &partial, blocks * splits, header, outs)
    }

    /// As `in_windows`, from a copy in which the elements of an output lie next to each other.
    fn densely(
        &self,
        gpu: &Arc<Gpu>,
        x: &View,
        kept: &Axes,
        reduced: &Axes,
        header: [usize; 9],
        outs: &[View],
    ) -> Result<()> {
        let memory = memory::allocate(gpu, x.numel() * x.dtype.size())?;
        let axes = || kept.0.iter().chain(&reduced.0);
        let (shape, strides): (Dims, Dims) = (axes().map(|a| a.0).collect(), axes().map(|a| a.1).collect());
        let source = View { shape: &shape, strides: &strides, ..*x };
        let own = shape.contiguous_strides();
        let dense = View { memory: &memory, offset: 0, strides: &own, ..source };
        copy::copy(gpu, &dense, &source)?;
        let (outputs, count) = (kept.count(), reduced.count());
        let (mut rows, mut elements) = (Axes::default(), Axes::default());
        rows.add(outputs, count);
        elements.add(count, 1);
        self.in_windows(gpu, &dense, &rows, &elements, header, outs, true)
    }

    fn encode(
        &self,
        gpu: &Gpu,
        stage: Stage,
        ends: Ends,
        p: &Parameters,
        jobs: usize,
        windows: &[Window],
    ) -> Result<()> {
        let mut key = vec![self.kind as u32, self.from as u32, self.to as u32, self.lanes as u32, stage as u32];
        key.extend(p.key());
        key.push(u32::MAX);
        let views = ends.views();
        key.extend(inline_key(&views));
        let pipeline = gpu.pipeline((self.kind.name(), key), || self.text(gpu, stage, &ends, p))?;
        let groups = rows::grid(jobs, self.lanes);
        let (buffers, mut parameters) = (ends.buffers(), p.words().to_vec());
        inline::append(&mut parameters, views.iter().map(|v| v.inline));
        let launch = Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &parameters, groups };
        gpu.dispatch_windows(&launch, windows)
    }

    fn text(&self, gpu: &Gpu, stage: Stage, ends: &Ends, p: &Parameters) -> (String, Vec<Access>) {
        let compute = self.compute();
        let mut t = Text::new();
        t = match ends.from {
            End::Partial(_) => t
                .scratch("partial_in", "Acc", Access::Read)
                .line("fn begin(o: u32) -> u32 { return o; }")
                .line("fn take(a: Acc, at: u32, i: u32) -> Acc { return merge(a, partial_in[at + i * P(0u)]); }"),
            End::Tensor(x) => {
                let nonzero = matches!(self.kind, Reduction::Any | Reduction::All | Reduction::CountNonzero)
                    || (self.to == DType::Bool && matches!(self.kind, Reduction::Sum | Reduction::Prod));
                let read = if nonzero { DType::Bool } else { compute };
                let index = if stage == Stage::Window { "i + P(11u)" } else { "i" };
                let value = match nonzero {
                    true => "select(0, 1, x_at(at + place5(i)))",
                    false => "x_at(at + place5(i))",
                };
                let take = format!("return fold(a, {value}, {index});");
                t.operand("x", x, read)
                    .line("fn begin(o: u32) -> u32 { return place4(o); }")
                    .line(&format!("fn take(a: Acc, at: u32, i: u32) -> Acc {{ {take} }}"))
            }
        };
        t = match (stage, ends.to) {
            (_, To::Results(outs)) => self.results(t, compute, outs),
            (Stage::Window, To::Partial(_)) => t
                .scratch("partial_out", "Acc", Access::Write)
                .line("fn emit(o: u32, job: u32, a: Acc) { partial_out[P(9u) + o + (job / P(0u)) * P(10u)] = a; }"),
            _ => t
                .scratch("partial_out", "Acc", Access::Write)
                .line("fn emit(o: u32, job: u32, a: Acc) { partial_out[job] = a; }"),
        };
        let (fold, fields) = self.fold();
        let frame = rows::frame(gpu, self.lanes, fields);
        let text = t.line(&p.text()).line(arithmetic(compute));
        text.finish(&format!("{}{fold}{frame}{BODY}", self.definitions(compute)))
    }

    /// The outputs and how an accumulator becomes them. P(8) is the number of elements.
    fn results(&self, t: Text, compute: DType, outs: &[View]) -> Text {
        use Reduction::*;
        let index = "vec2<u32>(a.i, 0u)";
        let (t, lines) = match self.kind {
            MaxIndex | MinIndex => (
                t.result("values", &outs[0], compute).result("indices", &outs[1], DType::I64),
                format!("values_put(o, a.v); indices_put(o, {index});"),
            ),
            ArgMax | ArgMin => (t.result("indices", &outs[0], DType::I64), format!("indices_put(o, {index});")),
            Any => (t.result("y", &outs[0], DType::Bool), "y_put(o, a.v != 0);".into()),
            All => (t.result("y", &outs[0], DType::Bool), "y_put(o, u32(a.v) == P(8u));".into()),
            Sum if self.to == DType::Bool => (t.result("y", &outs[0], DType::Bool), "y_put(o, a.v != 0);".into()),
            Prod if self.to == DType::Bool => (t.result("y", &outs[0], DType::Bool), "y_put(o, a.v != 0);".into()),
            CountNonzero => (t.result("y", &outs[0], DType::I32), "y_put(o, a.v);".into()),
            Mean => (t.result("y", &outs[0], compute), "y_put(o, f_div(a.v, f32(P(8u))));".into()),
            Var => (
                t.result("y", &outs[0], compute),
                // Of no elements there is no variance, whatever the correction.
                "y_put(o, f_div(a.m2, select(max(0.0, f32(P(8u)) - bitcast<f32>(P(7u))), 0.0, P(8u) == 0u)));".into(),
            ),
            LogSumExp => (
                t.result("y", &outs[0], compute),
                "y_put(o, select(f_log(a.sum) + a.top, a.top, f_isinf(a.top)));".into(),
            ),
            Norm => (t.result("y", &outs[0], compute), "y_put(o, root_of(a.v));".into()),
            _ => (t.result("y", &outs[0], compute), "y_put(o, a.v);".into()),
        };
        t.line(&format!("fn emit(o: u32, job: u32, a: Acc) {{ {lines} }}"))
    }

    /// How elements are folded, and the fields of the accumulator.
    fn fold(&self) -> (&'static str, &'static [&'static str]) {
        use Reduction::*;
        match self.kind {
            Prod => (PROD, &["v"]),
            Max | Min | ArgMax | ArgMin | MaxIndex | MinIndex => (EXTREMUM, &["v", "i"]),
            Var => (VARIANCE, &["n", "mean", "m2"]),
            LogSumExp => (LOGSUMEXP, &["top", "sum"]),
            Norm => (NORM, &["v"]),
            Sum | Mean | Any | All | CountNonzero => (SUM, &["v"]),
        }
    }

    fn definitions(&self, compute: DType) -> String {
        use Reduction::*;
        match self.kind {
            Max | ArgMax | MaxIndex => format!(
                "fn worst() -> T {{ return {}; }}\nfn before(x: T, y: T) -> bool {{ return less(y, x); }}\n",
                extremes(compute).0
            ),
            Min | ArgMin | MinIndex => format!(
                "fn worst() -> T {{ return {}; }}\nfn before(x: T, y: T) -> bool {{ return less(x, y); }}\n",
                extremes(compute).1
            ),
            _ => String::new(),
        }
    }
}
