//! Sorting, selecting by rank, searching and counting, on the stable sort of [`super::sort`].

use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::prefix;
use super::scatter;
use super::sort::{Keys, Lines, Rows, in_lines, key_of, word_order};
use super::text::Text;
use super::view::View;
use super::walk::{Walk, Words, each, moved_last, raw, without};
use super::wgsl::register;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::index::{Rank, Sorting};
use std::sync::Arc;

const EMIT: &str = include_str!("../../../../shaders/sort/emit.wgsl");
const PICK: &str = include_str!("../../../../shaders/sort/pick.wgsl");
const MODE: &str = include_str!("../../../../shaders/sort/mode.wgsl");
const SEARCH: &str = include_str!("../../../../shaders/count/search.wgsl");
const HISTOGRAM: &str = include_str!("../../../../shaders/count/histogram.wgsl");
const COUNTS: &str = include_str!("../../../../shaders/count/counts.wgsl");
const HEADS: &str = include_str!("../../../../shaders/count/unique_heads.wgsl");
const SAME: &str = include_str!("../../../../shaders/count/unique_same.wgsl");
const HISTOGRAM_BIN: &str = include_str!("../../../../shaders/count/histogram_bin.wgsl");
const GROUPS: &str = include_str!("../../../../shaders/count/unique_groups.wgsl");
const GROUP_COUNTS: &str = include_str!("../../../../shaders/count/unique_counts.wgsl");

pub fn execute(gpu: &Arc<Gpu>, op: Sorting, ins: &[View], numbers: &[u64], outs: &[View]) -> Result<()> {
    let x = &ins[0];
    match (op, outs) {
        (Sorting::Sort { dim, descending }, [values, indices]) => {
            sort(gpu, x, dim as usize, descending, Some(values), indices)
        }
        (Sorting::Sort { dim, descending }, [indices]) => sort(gpu, x, dim as usize, descending, None, indices),
        (Sorting::TopK { dim, largest }, [values, indices]) => topk(gpu, x, dim as usize, largest, values, indices),
        (Sorting::Select { rank, dim }, [values, indices]) => {
            select(gpu, x, rank, dim as usize, numbers, values, indices)
        }
        (Sorting::Median { ignore_nan }, [out]) => median_of_all(gpu, x, ignore_nan, out),
        (Sorting::Search { right }, [out]) => search(gpu, x, &ins[1], right, out),
        (Sorting::Bincount, [out]) => match ins.get(1) {
            None => bincount(gpu, x, out),
            Some(weights) => scatter::weighted_counts(gpu, x, weights, out),
        },
        (Sorting::Histogram, [out]) => histogram(gpu, x, numbers, out),
        (Sorting::Unique { dim, consecutive }, [first, inverse, counts, length]) => {
            unique(gpu, x, dim.map(usize::from), consecutive, [first, inverse, counts, length])
        }
        _ => Err(Error::Internal(format!("{}: malformed node", op.name()))),
    }
}

/// The number of lines along a dim and of elements in each; `None` when there is nothing to do.
fn extent(x: &View, dim: usize, out: &View) -> Option<(usize, usize)> {
    let n = x.shape.get(dim).copied().unwrap_or(1);
    (out.numel() > 0 && n > 0).then(|| (x.numel() / n, n))
}

fn sort(gpu: &Arc<Gpu>, x: &View, dim: usize, descending: bool, values: Option<&View>, indices: &View) -> Result<()> {
    let Some((lines, n)) = extent(x, dim, indices) else { return Ok(()) };
    let sorted = Lines::pack(gpu, x, &in_lines(x, dim), lines, n, descending)?.sort(gpu, Keys::of(x.dtype))?;
    emit(gpu, &sorted, x, dim, n, values, indices)
}

fn topk(gpu: &Arc<Gpu>, x: &View, dim: usize, largest: bool, values: &View, indices: &View) -> Result<()> {
    let Some((lines, n)) = extent(x, dim, indices) else { return Ok(()) };
    let k = indices.shape.get(dim).copied().unwrap_or(1);
    let packed = Lines::pack(gpu, x, &in_lines(x, dim), lines, n, largest)?;
    emit(gpu, &packed.best(gpu, Keys::of(x.dtype), k)?, x, dim, n, Some(values), indices)
}

/// Writes as many sorted elements of every line as the outputs have room for.
fn emit(
    gpu: &Gpu,
    sorted: &Lines,
    x: &View,
    dim: usize,
    n: usize,
    values: Option<&View>,
    indices: &View,
) -> Result<()> {
    let k = indices.shape.get(dim).copied().unwrap_or(1);
    let mut p = Words::from_slice(&[(sorted.lines * k) as u32, k as u32, sorted.n as u32, n as u32, 0]);
    let to = values.unwrap_or(indices);
    let strides = [to, indices].map(|o| moved_last(o.strides, dim));
    Walk::new(&moved_last(indices.shape, dim), [&strides[0], &strides[1]], [to.offset, indices.offset]).write(&mut p);
    p[4] = p.len() as u32;
    in_lines(x, dim).write(&mut p);
    let mut buffers = vec![&sorted.positions, indices.memory];
    if let Some(v) = values {
        buffers.extend([v.memory, x.memory]);
    }
    let key = [raw(x.dtype) as u32, u32::from(values.is_some())];
    each(gpu, ("sort_emit", &key), &buffers, &p, || {
        let text = Text::new().scratch("positions", "u32", Access::Read).output("indices", DType::I64, DType::I64);
        let text = match values {
            Some(_) => moved_values(text, x.dtype),
            None => text.line("fn x_at(i: u32) -> u32 { return i; }\nfn values_put(i: u32, v: u32) {}"),
        };
        (text.line(&format!("const VALUES = {};", values.is_some())), EMIT)
    })
}

fn moved_values(text: Text, dtype: DType) -> Text {
    text.output("values", raw(dtype), raw(dtype)).input("x", raw(dtype), raw(dtype))
}

fn select(
    gpu: &Arc<Gpu>,
    x: &View,
    rank: Rank,
    dim: usize,
    numbers: &[u64],
    values: &View,
    indices: &View,
) -> Result<()> {
    let Some((lines, n)) = extent(x, dim, indices) else { return Ok(()) };
    let walk = in_lines(x, dim);
    let sorted = Lines::pack(gpu, x, &walk, lines, n, false)?.sort(gpu, Keys::of(x.dtype))?;
    let k = numbers.first().map_or(0, |&k| k as u32);
    let shape = without(x.shape, dim);
    let kept = |o: &View| if o.shape.len() == x.shape.len() { without(o.strides, dim) } else { o.strides.into() };
    let to = Walk::new(&shape, [&kept(values), &kept(indices)], [values.offset, indices.offset]);
    pick(gpu, &sorted, rank, k, (x, &walk), (values, &to), Some(indices))
}

fn median_of_all(gpu: &Arc<Gpu>, x: &View, ignore_nan: bool, out: &View) -> Result<()> {
    let walk = Walk::of(x);
    let sorted = Lines::pack(gpu, x, &walk, 1, x.numel(), false)?.sort(gpu, Keys::of(x.dtype))?;
    let rank = if ignore_nan { Rank::NanMedian } else { Rank::Median };
    pick(gpu, &sorted, rank, 0, (x, &walk), (out, &Walk::default()), None)
}

/// Writes the element of every line that has the wanted rank.
fn pick(
    gpu: &Arc<Gpu>,
    sorted: &Lines,
    rank: Rank,
    k: u32,
    (x, from): (&View, &Walk),
    (values, to): (&View, &Walk),
    indices: Option<&View>,
) -> Result<()> {
    let places = if rank == Rank::Mode { Some(mode_places(gpu, sorted, x.dtype)?) } else { None };
    let mut p = Words::from_slice(&[sorted.lines as u32, sorted.n as u32, k.max(1) - 1, 0]);
    to.write(&mut p);
    p[3] = p.len() as u32;
    from.write(&mut p);
    let mut buffers = vec![&sorted.keys, &sorted.positions, values.memory, x.memory];
    buffers.extend(indices.map(|i| i.memory));
    buffers.extend(places.as_ref());
    let key = [x.dtype as u32, rank as u32, u32::from(indices.is_some())];
    each(gpu, ("sort_pick", &key), &buffers, &p, || {
        let text = Text::new().scratch("keys", "K", Access::Read).scratch("positions", "u32", Access::Read);
        let text = moved_values(text, x.dtype).line(word_order(x.dtype == DType::I64));
        let text = match indices {
            Some(_) => text.output("indices", DType::I64, DType::I64),
            None => text.line("fn indices_put(i: u32, v: vec2<u32>) {}"),
        };
        let text = if rank == Rank::Mode { text.scratch("places", "u32", Access::Read) } else { text };
        let valid = if x.dtype.is_float() { "keys_before(base, n, last())" } else { "n" };
        let place = match rank {
            Rank::Kth => "return P(2u);".into(),
            Rank::Median => format!("let valid = {valid};\n    return select((n - 1u) / 2u, valid, valid < n);"),
            Rank::NanMedian => format!("return (max({valid}, 1u) - 1u) / 2u;"),
            Rank::Mode => "return places[base / n];".into(),
        };
        let text = text.line(&format!("fn place(base: u32, n: u32) -> u32 {{\n    {place}\n}}"));
        (text.line(&format!("const INDICES = {};", indices.is_some())), PICK)
    })
}

fn mode_places(gpu: &Arc<Gpu>, sorted: &Lines, dtype: DType) -> Result<Allocation> {
    let places = memory::allocate(gpu, sorted.lines * 4)?;
    let double = dtype == DType::I64;
    let pipeline = gpu.pipeline(("sort_mode", vec![u32::from(double)]), || {
        let text = Text::new().scratch("keys", "K", Access::Read).scratch("places", "u32", Access::Write);
        text.line(word_order(double)).finish(MODE)
    })?;
    let (buffers, p) = ([&sorted.keys, &places], [sorted.lines as u32, sorted.n as u32]);
    gpu.dispatch(&Dispatch {
        pipeline: &pipeline,
        buffers: &buffers,
        parameters: &p,
        groups: Gpu::grid(sorted.lines),
    })?;
    Ok(places)
}

fn search(gpu: &Gpu, sequences: &View, values: &View, right: bool, out: &View) -> Result<()> {
    let size = sequences.shape.last().copied().unwrap_or(1);
    let shared = if sequences.shape.len() <= 1 { values.numel() } else { out.shape.last().copied().unwrap_or(1) };
    let mut p = Words::from_slice(&[out.numel() as u32, size as u32, shared as u32, 0]);
    Walk::of(values).write(&mut p);
    p[3] = p.len() as u32;
    Walk::of(sequences).write(&mut p);
    let key = [values.dtype as u32, out.dtype as u32, u32::from(right)];
    each(gpu, ("searchsorted", &key), &[sequences.memory, values.memory, out.memory], &p, || {
        let kind = register(values.dtype);
        let prefix = match kind {
            "f32" => "f",
            "I64" => "i64",
            _ => "i32",
        };
        // Written so that comparisons with NaN sort it behind all numbers.
        let passed = format!("!{prefix}_{}(s, v)", if right { "gt" } else { "ge" });
        let text = Text::new().input("sequence", sequences.dtype, values.dtype);
        let text = text.input("values", values.dtype, values.dtype).output("out", out.dtype, DType::I64);
        (text.line(&format!("fn passed(s: {kind}, v: {kind}) -> bool {{ return {passed}; }}")), SEARCH)
    })
}

/// Counts of the elements by bin, as the output's elements.
fn count(gpu: &Arc<Gpu>, name: &'static str, x: &View, range: [u32; 2], bin: &str, out: &View) -> Result<()> {
    let bins = out.numel();
    if bins == 0 {
        return Ok(());
    }
    let counts = scatter::zeros(gpu, bins)?;
    let mut p = Words::from_slice(&[x.numel() as u32, bins as u32, range[0], range[1]]);
    Walk::of(x).write(&mut p);
    let compute = if x.dtype.is_float() { DType::F32 } else { DType::I64 };
    each(gpu, (name, &[x.dtype as u32]), &[x.memory, &counts], &p, || {
        let text = Text::new().input("x", x.dtype, compute).scratch("counts", "atomic<u32>", Access::Write);
        (text.line("const NOWHERE = 0xffffffffu;").line(bin), HISTOGRAM)
    })?;
    each(gpu, ("counts", &[out.dtype as u32]), &[&counts, out.memory], &[bins as u32], || {
        let (as_, value) = if out.dtype.is_float() { (DType::F32, "f32(n)") } else { (DType::I64, "vec2<u32>(n, 0u)") };
        let function = format!("fn counted(n: u32) -> {} {{ return {value}; }}", register(as_));
        (Text::new().scratch("counts", "u32", Access::Read).output("out", out.dtype, as_).line(&function), COUNTS)
    })
}

fn bincount(gpu: &Arc<Gpu>, x: &View, out: &View) -> Result<()> {
    count(gpu, "bincount", x, [0; 2], "fn bin(v: I64) -> u32 { return v.x; }", out)
}

fn histogram(gpu: &Arc<Gpu>, x: &View, numbers: &[u64], out: &View) -> Result<()> {
    let range = [0, 1].map(|i| (f64::from_bits(numbers[i]) as f32).to_bits());
    count(gpu, "histc", x, range, HISTOGRAM_BIN, out)
}

/// The outputs are positions of first occurrences, the group of every element, sizes of groups, and their number.
fn unique(gpu: &Arc<Gpu>, x: &View, dim: Option<usize>, consecutive: bool, outs: [&View; 4]) -> Result<()> {
    let [first, inverse, counts, length] = outs;
    let n = inverse.numel();
    if n == 0 {
        let zero = View { shape: &[1], strides: &[1], ..*length };
        return super::copy::fill(gpu, &zero, 0, DType::I64);
    }
    let rows = dim.map(|dim| Rows { x, dim });
    let keys = rows.as_ref().map_or(Keys::of(x.dtype), Keys::Rows);
    let packed = match &rows {
        Some(_) => {
            // Slices have no keys: any words will do.
            let lines = Lines::new(gpu, 4, 1, n)?;
            scatter::count_up(gpu, &lines.positions, n)?;
            lines
        }
        None => Lines::pack(gpu, x, &Walk::of(x), 1, n, false)?,
    };
    let order = if consecutive { packed } else { packed.sort(gpu, keys)? };
    let groups = heads(gpu, x, rows.as_ref(), &order)?;
    prefix::sums(gpu, &groups, n)?;
    let starts = memory::allocate(gpu, (n + 1) * 4)?;
    let p = [n as u32];
    let buffers = [&order.positions, &groups, first.memory, inverse.memory, length.memory, &starts];
    each(gpu, ("unique_groups", &[]), &buffers, &p, || {
        let mut text = Text::new().scratch("positions", "u32", Access::Read).scratch("groups", "u32", Access::Read);
        for name in ["first", "inverse", "length"] {
            text = text.output(name, DType::I64, DType::I64);
        }
        (text.scratch("starts", "u32", Access::Write), GROUPS)
    })?;
    each(gpu, ("unique_counts", &[]), &[&groups, &starts, counts.memory], &p, || {
        let text = Text::new().scratch("groups", "u32", Access::Read).scratch("starts", "u32", Access::Read);
        (text.output("counts", DType::I64, DType::I64), GROUP_COUNTS)
    })
}

/// Ones at the elements of the order that differ from the one before. NaN differs from everything.
fn heads(gpu: &Arc<Gpu>, x: &View, rows: Option<&Rows>, order: &Lines) -> Result<Allocation> {
    let heads = memory::allocate(gpu, order.n * 4)?;
    let mut p = Words::from_slice(&[order.n as u32]);
    let mut buffers = vec![&order.keys, &order.positions, &heads];
    if let Some(r) = rows {
        p.extend([x.shape[r.dim] as u32, r.width() as u32]);
        in_lines(x, r.dim).write(&mut p);
        buffers.push(x.memory);
    }
    each(gpu, ("unique_heads", &[x.dtype as u32, u32::from(rows.is_some())]), &buffers, &p, || {
        let mut text = Text::new();
        text = text.scratch("keys", if rows.is_some() { "u32" } else { "K" }, Access::Read);
        text = text.scratch("positions", "u32", Access::Read).scratch("heads", "u32", Access::Write);
        text = match rows {
            Some(_) => text
                .input("x", x.dtype, x.dtype)
                .line(key_of(x.dtype))
                .line("fn key(i: u32, c: u32) -> K { return key_of(x_at(walk3(c * P(1u) + positions[i], 3u).x)); }"),
            None => text.line("fn key(i: u32, c: u32) -> K { return keys[i]; }"),
        };
        let columns = if rows.is_some() { "P(2u)" } else { "1u" };
        text =
            text.line(&format!("fn columns() -> u32 {{ return {columns}; }}\nconst FLOAT = {};", x.dtype.is_float()));
        text = text.line(word_order(x.dtype == DType::I64)).line(SAME);
        (text, HEADS)
    })?;
    Ok(heads)
}
