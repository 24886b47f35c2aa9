//! Writing by indices, and the sums that go with it: scatter, index_put, put, the gradient of an embedding's table.
//!
//! Results do not depend on timing. Where elements meet, their indices are sorted by target and every target is computed by
//! one invocation in their order; short lines are searched instead. Where the last one wins it is found by an atomic maximum.

use super::copy;
use super::device::Gpu;
use super::indexing::Selection;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::sort::{Keys, Lines};
use super::text::{Text, arithmetic, extremes};
use super::view::View;
use super::walk::{Walk, Words, each, raw, without, zeroed};
use super::wgsl::{element_words, number, read_number, register};
use crate::dtype::DType;
use crate::error::Result;
use crate::op::index::ScatterMode;
use smallvec::SmallVec;
use std::sync::Arc;

const COUNT_UP: &str = include_str!("../../../../shaders/scatter/count_up.wgsl");
const TARGETS: &str = include_str!("../../../../shaders/scatter/targets.wgsl");
const FLAT_TARGETS: &str = include_str!("../../../../shaders/scatter/flat_targets.wgsl");
const LAST: &str = include_str!("../../../../shaders/scatter/last.wgsl");
const SET: &str = include_str!("../../../../shaders/scatter/set.wgsl");
const RUNS: &str = include_str!("../../../../shaders/scatter/runs.wgsl");
const LINE: &str = include_str!("../../../../shaders/scatter/line.wgsl");

/// Lines of up to this many indices are searched for equal ones instead of sorted.
const SHORT: usize = 128;
/// No target.
const NONE: u32 = u32::MAX;

type List = SmallVec<[usize; 6]>;

/// What is written: a window, or the bits of a number in the float64 or int64 that stands for its dtype.
#[derive(Clone, Copy)]
enum Source<'a> {
    Window(&'a View<'a>),
    Number(u64),
}

/// The places of an output that indices name, and the slices that each of them moves.
struct Places {
    /// Targets, one word an index.
    targets: Allocation,
    /// Shape of the indices and strides of the source in it.
    shape: List,
    source: List,
    /// Shape of the slices, and strides of source and output in it.
    slices: List,
    slice_strides: [List; 2],
}

impl Places {
    fn count(&self) -> usize {
        self.shape.iter().product()
    }
    fn slice_count(&self) -> usize {
        self.slices.iter().product()
    }
    fn write_slices(&self, p: &mut Words) {
        let [source, out] = &self.slice_strides;
        Walk::new(&self.slices, [source, out], [0; 2]).write(p);
    }
}

/// How values that meet are combined.
#[derive(Clone, Copy)]
struct Meeting {
    mode: ScatterMode,
    include: bool,
    /// Times each value.
    factor: Option<u64>,
    /// A target that is left alone.
    skipped: u32,
}

impl Meeting {
    fn adding() -> Meeting {
        Meeting { mode: ScatterMode::Add, include: true, factor: None, skipped: NONE }
    }

    fn key(&self, x: DType, out: DType) -> [u32; 5] {
        [self.mode as u32, u32::from(self.include), u32::from(self.factor.is_some()), x as u32, out as u32]
    }

    /// Reading and writing of source and output, and what happens in between. The factor lies at word `at`.
    fn text(&self, text: Text, source: DType, out: DType, at: &str) -> Text {
        let compute = computed(out);
        let text = text.input("source", source, compute).state("out", out, compute).line(arithmetic(compute));
        let (kind, float) = (register(compute), out.is_float());
        let wrap = |e: &str| match out {
            DType::U8 => format!("wrap_u8({e})"),
            DType::I8 => format!("wrap_i8({e})"),
            DType::I16 => format!("wrap_i16({e})"),
            _ => e.to_string(),
        };
        let meet = match self.mode {
            ScatterMode::Add | ScatterMode::Mean if out == DType::Bool => "a | b".into(),
            ScatterMode::Add | ScatterMode::Mean | ScatterMode::Set => wrap("add(a, b)"),
            ScatterMode::Prod => wrap("mul(a, b)"),
            ScatterMode::Amax if float => "select(b, a, f_gt(a, b) || f_isnan(a))".into(),
            ScatterMode::Amin if float => "select(b, a, f_lt(a, b) || f_isnan(a))".into(),
            ScatterMode::Amax => "select(b, a, less(b, a))".into(),
            ScatterMode::Amin => "select(b, a, less(a, b))".into(),
        };
        let (least, most) = if out == DType::Bool { ("0", "1") } else { extremes(out) };
        let start = match self.mode {
            ScatterMode::Prod => "one()",
            ScatterMode::Amax => least,
            ScatterMode::Amin => most,
            _ => "zero()",
        };
        let finish = match self.mode {
            ScatterMode::Mean if float => "f_div(a, f32(n))",
            ScatterMode::Mean if out == DType::I64 => "i64_floor_divide(a, vec2<u32>(n, 0u))",
            ScatterMode::Mean => "i32_floor_divide(a, i32(n))",
            _ => "a",
        };
        let scaled = match self.factor {
            Some(_) => wrap(&format!("mul(v, {})", read_number(compute, at))),
            None => "v".into(),
        };
        text.line(&format!("const INCLUDE = {};", self.include)).line(&format!(
            "fn meet(a: {kind}, b: {kind}) -> {kind} {{ return {meet}; }}\nfn start() -> {kind} {{ return {start}; }}\n\
             fn finish(a: {kind}, n: u32) -> {kind} {{ return {finish}; }}\n\
             fn scaled(v: {kind}) -> {kind} {{ return {scaled}; }}"
        ))
    }

    fn factor_words(&self, out: DType) -> [u32; 2] {
        number(self.factor.unwrap_or(0), computed(out)).0
    }
}

/// The dtype in which values meet.
fn computed(out: DType) -> DType {
    match out {
        d if d.is_float() => DType::F32,
        DType::I64 => DType::I64,
        _ => DType::I32,
    }
}

/// Words of zero.
pub fn zeros(gpu: &Arc<Gpu>, n: usize) -> Result<Allocation> {
    let memory = memory::allocate(gpu, n * 4)?;
    copy::fill(
        gpu,
        &View { memory: &memory, offset: 0, dtype: DType::I32, shape: &[n], strides: &[1], inline: None },
        0,
        DType::I32,
    )?;
    Ok(memory)
}

/// Words 0, 1, …
pub fn count_up(gpu: &Gpu, positions: &Allocation, n: usize) -> Result<()> {
    each(gpu, ("count_up", &[]), &[positions], &[n as u32], || {
        (Text::new().scratch("positions", "u32", Access::Write), COUNT_UP)
    })
}

/// Scatters along a dim.
#[expect(clippy::too_many_arguments, reason = "the operator's own")]
pub fn along(
    gpu: &Arc<Gpu>,
    mode: ScatterMode,
    include: bool,
    dim: usize,
    index: &View,
    source: Option<&View>,
    numbers: &[u64],
    out: &View,
) -> Result<()> {
    if index.numel() == 0 || out.numel() == 0 {
        return Ok(());
    }
    let source = match source {
        Some(s) => Source::Window(s),
        None => Source::Number(numbers.first().copied().unwrap_or(0)),
    };
    let factor = if matches!(source, Source::Window(_)) { numbers.first().copied() } else { None };
    let meeting = Meeting { mode, include, factor, skipped: NONE };
    let n = index.shape.get(dim).copied().unwrap_or(1);
    if n <= SHORT {
        return short_lines(gpu, meeting, dim, n, index, source, out);
    }
    let places = along_places(gpu, dim, index, source, out)?;
    match mode {
        ScatterMode::Set => set(gpu, &places, source, out),
        _ => combine(gpu, places, source, meeting, out),
    }
}

fn source_strides<'a>(source: Source<'a>, zeros: &'a [usize]) -> &'a [usize] {
    match source {
        Source::Window(w) => w.strides,
        Source::Number(_) => zeros,
    }
}

fn along_places(gpu: &Arc<Gpu>, dim: usize, index: &View, source: Source, out: &View) -> Result<Places> {
    let none = List::from_elem(0, index.shape.len());
    let strides = source_strides(source, &none);
    // The same indices for all lines: what lies in the other dims moves as a slice.
    let shared = (0..index.shape.len()).all(|d| d == dim || index.shape[d] == 1 || index.strides[d] == 0);
    let (shape, walk): (List, Walk) = if shared {
        let size = index.shape[dim];
        (List::from_elem(size, 1), Walk::new(&[size], [&[0], &[index.strides[dim]]], [out.offset, index.offset]))
    } else {
        let walk = Walk::new(index.shape, [&zeroed(out.strides, dim), index.strides], [out.offset, index.offset]);
        (List::from_slice(index.shape), walk)
    };
    let n: usize = shape.iter().product();
    let targets = memory::allocate(gpu, n * 4)?;
    let mut p = Words::from_slice(&[n as u32, out.strides[dim] as u32, out.shape[dim] as u32]);
    walk.write(&mut p);
    write_targets(gpu, ("targets", TARGETS), index, &targets, &p)?;
    Ok(match shared {
        true => Places {
            targets,
            shape,
            source: List::from_elem(strides[dim], 1),
            slices: without(index.shape, dim),
            slice_strides: [without(strides, dim), without(out.strides, dim)],
        },
        false => Places {
            targets,
            shape,
            source: List::from_slice(strides),
            slices: List::new(),
            slice_strides: Default::default(),
        },
    })
}

fn write_targets(
    gpu: &Gpu,
    (name, body): (&'static str, &'static str),
    index: &View,
    targets: &Allocation,
    p: &[u32],
) -> Result<()> {
    each(gpu, (name, &[index.dtype as u32]), &[index.memory, targets], p, || {
        let text = Text::new().input("index", index.dtype, DType::I32);
        (text.scratch("targets", "u32", Access::Write), body)
    })
}

fn short_lines(
    gpu: &Gpu,
    meeting: Meeting,
    dim: usize,
    n: usize,
    index: &View,
    source: Source,
    out: &View,
) -> Result<()> {
    let none = List::from_elem(0, index.shape.len());
    let strides = source_strides(source, &none);
    let along = |s: &[usize]| s.get(dim).copied().unwrap_or(0) as u32;
    let size = out.shape.get(dim).copied().unwrap_or(1) as u32;
    let mut p = Words::from_slice(&[index.numel() as u32, n as u32, size]);
    p.extend([along(out.strides), along(index.strides), along(strides)]);
    let set = meeting.mode == ScatterMode::Set;
    p.extend(if set { number_words(source, out.dtype) } else { meeting.factor_words(out.dtype) });
    let [o, i, s] = [out.strides, index.strides, strides].map(|s| without(s, dim));
    let at = if let Source::Window(w) = source { w.offset } else { 0 };
    Walk::new(&without(index.shape, dim), [&o, &i, &s], [out.offset, index.offset, at]).write(&mut p);
    let mut buffers = vec![index.memory];
    buffers.extend(if let Source::Window(w) = source { Some(w.memory) } else { None });
    buffers.push(out.memory);
    let from = if let Source::Window(w) = source { w.dtype } else { out.dtype };
    let mut key = meeting.key(from, out.dtype).to_vec();
    key.extend([index.dtype as u32, u32::from(matches!(source, Source::Number(_)))]);
    each(gpu, ("scatter_line", &key), &buffers, &p, || {
        let text = Text::new().input("index", index.dtype, DType::I32).line(&format!("const SET = {set};"));
        if !set {
            return (meeting.text(text, from, out.dtype, "6u"), LINE);
        }
        let kind = register(raw(out.dtype));
        let text = source_text(text, source, out.dtype, "6u").line(&format!(
            "const INCLUDE = false;\nfn out_at(i: u32) -> {kind} {{ return start(); }}\n\
             fn start() -> {kind} {{ var none: {kind}; return none; }}\nfn meet(a: {kind}, b: {kind}) -> {kind} {{ return b; }}\n\
             fn finish(a: {kind}, n: u32) -> {kind} {{ return a; }}\nfn scaled(v: {kind}) -> {kind} {{ return v; }}"
        ));
        (text, LINE)
    })
}

/// The bits of a source that is a number, as the words that carry them.
fn number_words(source: Source, dtype: DType) -> [u32; 2] {
    if let Source::Number(bits) = source { element_words(bits, dtype) } else { [0; 2] }
}

/// `source_at`, for a window or a number at word `at`, and `out_put`.
fn source_text(text: Text, source: Source, dtype: DType, at: &str) -> Text {
    let carrier = raw(dtype);
    let text = match source {
        Source::Window(_) => text.input("source", carrier, carrier),
        Source::Number(_) => text.line(&format!(
            "fn source_at(i: u32) -> {} {{ return {}; }}",
            register(carrier),
            read_number(carrier, at)
        )),
    };
    text.output("out", carrier, carrier)
}

/// Writes values; of equal targets the last one wins.
fn set(gpu: &Arc<Gpu>, places: &Places, source: Source, out: &View) -> Result<()> {
    let (n, slices) = (places.count(), places.slice_count());
    if n * slices == 0 {
        return Ok(());
    }
    let last = zeros(gpu, out.numel())?;
    each(gpu, ("scatter_last", &[]), &[&places.targets, &last], &[n as u32], || {
        let text = Text::new().scratch("targets", "u32", Access::Read);
        (text.scratch("last_index", "atomic<u32>", Access::Write), LAST)
    })?;
    let mut p = Words::from_slice(&[(n * slices) as u32, slices as u32, 0]);
    p.extend(number_words(source, out.dtype));
    let at = if let Source::Window(w) = source { w.offset } else { 0 };
    Walk::new(&places.shape, [&places.source], [at]).write(&mut p);
    p[2] = p.len() as u32;
    places.write_slices(&mut p);
    let mut buffers = vec![&places.targets, &last];
    buffers.extend(if let Source::Window(w) = source { Some(w.memory) } else { None });
    buffers.push(out.memory);
    let key = [raw(out.dtype) as u32, u32::from(matches!(source, Source::Number(_)))];
    each(gpu, ("scatter_set", &key), &buffers, &p, || {
        let text = Text::new().scratch("targets", "u32", Access::Read).scratch("last_index", "u32", Access::Read);
        (source_text(text, source, out.dtype, "3u"), SET)
    })
}

/// Combines the values of equal targets in the order of their indices.
fn combine(gpu: &Arc<Gpu>, places: Places, source: Source, meeting: Meeting, out: &View) -> Result<()> {
    let (n, slices) = (places.count(), places.slice_count());
    let Source::Window(window) = source else { return Ok(()) };
    if n * slices == 0 {
        return Ok(());
    }
    let mut p = Words::from_slice(&[(n * slices) as u32, slices as u32, n as u32, 0]);
    p.extend(meeting.factor_words(out.dtype));
    p.push(meeting.skipped);
    Walk::new(&places.shape, [&places.source], [window.offset]).write(&mut p);
    p[3] = p.len() as u32;
    places.write_slices(&mut p);
    let positions = memory::allocate(gpu, n * 4)?;
    count_up(gpu, &positions, n)?;
    let sorted = Lines { keys: places.targets, positions, lines: 1, n }.sort(gpu, Keys::Word)?;
    let buffers = [&sorted.keys, &sorted.positions, window.memory, out.memory];
    each(gpu, ("scatter_runs", &meeting.key(window.dtype, out.dtype)), &buffers, &p, || {
        let text = Text::new().scratch("targets", "u32", Access::Read).scratch("positions", "u32", Access::Read);
        (meeting.text(text, window.dtype, out.dtype, "4u"), RUNS)
    })
}

/// out[indices] = values, or += when `accumulate`.
pub fn index_put(
    gpu: &Arc<Gpu>,
    dims: u64,
    indices: &[View],
    values: &View,
    accumulate: bool,
    out: &View,
) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let s = Selection::new(gpu, out, dims, indices)?;
    // Values broadcast to the selection's shape; leading ones may be more than it has dims.
    let (rank, own) = (s.shape.len(), values.shape.len());
    let strides: List = (0..rank)
        .map(|d| match (d + own).checked_sub(rank) {
            Some(v) if values.shape[v] != 1 => values.strides[v],
            _ => 0,
        })
        .collect();
    let block = |list: &[usize]| -> List { list[s.block.clone()].into() };
    let slices =
        |list: &[usize]| -> List { list[..s.block.start].iter().chain(&list[s.block.end..]).copied().collect() };
    let places = Places {
        shape: block(&s.shape),
        source: block(&strides),
        slices: slices(&s.shape),
        slice_strides: [slices(&strides), slices(&s.strides)],
        targets: s.offsets,
    };
    put_places(gpu, places, values, accumulate, out)
}

fn put_places(gpu: &Arc<Gpu>, places: Places, values: &View, accumulate: bool, out: &View) -> Result<()> {
    match accumulate {
        true => combine(gpu, places, Source::Window(values), Meeting::adding(), out),
        false => set(gpu, &places, Source::Window(values), out),
    }
}

/// out.flatten()[index] = source, or += when `accumulate`.
pub fn put(gpu: &Arc<Gpu>, index: &View, source: &View, accumulate: bool, out: &View) -> Result<()> {
    let n = index.numel();
    if n == 0 || out.numel() == 0 {
        return Ok(());
    }
    let targets = memory::allocate(gpu, n * 4)?;
    let mut p = Words::from_slice(&[n as u32, out.numel() as u32, 0]);
    Walk::of(index).write(&mut p);
    p[2] = p.len() as u32;
    Walk::of(out).write(&mut p);
    write_targets(gpu, ("flat_targets", FLAT_TARGETS), index, &targets, &p)?;
    put_places(gpu, single(targets, source), source, accumulate, out)
}

/// Places that each take one element of a source.
fn single(targets: Allocation, source: &View) -> Places {
    Places {
        targets,
        shape: source.shape.into(),
        source: source.strides.into(),
        slices: List::new(),
        slice_strides: Default::default(),
    }
}

/// Targets from the rows that an index of any shape names.
fn row_targets(gpu: &Arc<Gpu>, index: &View, rows: usize, stride: usize) -> Result<Allocation> {
    let targets = memory::allocate(gpu, index.numel() * 4)?;
    let mut p = Words::from_slice(&[index.numel() as u32, stride as u32, rows as u32]);
    let none = List::from_elem(0, index.shape.len());
    Walk::new(index.shape, [&none, index.strides], [0, index.offset]).write(&mut p);
    write_targets(gpu, ("targets", TARGETS), index, &targets, &p)?;
    Ok(targets)
}

/// The gradient of a table: every row is the sum, or (`by_frequency`) the mean, of the gradients of its lookups.
pub fn embedding_grad(
    gpu: &Arc<Gpu>,
    grad: &View,
    index: &View,
    padding: i64,
    by_frequency: bool,
    out: &View,
) -> Result<()> {
    copy::fill(gpu, out, 0, out.dtype)?;
    if index.numel() == 0 || out.numel() == 0 {
        return Ok(());
    }
    let rank = index.shape.len();
    let places = Places {
        targets: row_targets(gpu, index, out.shape[0], out.strides[0])?,
        shape: index.shape.into(),
        source: grad.strides[..rank].into(),
        slices: List::from_elem(out.shape[1], 1),
        slice_strides: [List::from_elem(grad.strides[rank], 1), List::from_elem(out.strides[1], 1)],
    };
    let mode = if by_frequency { ScatterMode::Mean } else { ScatterMode::Add };
    let skipped = if padding < 0 { NONE } else { padding as u32 * out.strides[0] as u32 };
    combine(gpu, places, Source::Window(grad), Meeting { mode, include: false, factor: None, skipped }, out)
}

/// The sum of the weights at every value.
pub fn weighted_counts(gpu: &Arc<Gpu>, x: &View, weights: &View, out: &View) -> Result<()> {
    copy::fill(gpu, out, 0, out.dtype)?;
    if x.numel() == 0 || out.numel() == 0 {
        return Ok(());
    }
    let places = single(row_targets(gpu, x, out.shape[0], 1)?, weights);
    combine(gpu, places, Source::Window(weights), Meeting { include: false, ..Meeting::adding() }, out)
}
