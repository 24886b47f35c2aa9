//! Reading by index tensors and masks, and operators that only move elements. Writing by them is in [`super::scatter`].

use super::copy;
use super::device::Gpu;
use super::guards;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::prefix;
use super::scatter;
use super::text::Text;
use super::view::View;
use super::walk::{Walk, Words, each, raw, zeroed};
use crate::dtype::DType;
use crate::error::Result;
use crate::op::index::Indexing;
use smallvec::SmallVec;
use std::sync::Arc;

const GATHER: &str = include_str!("../../../../shaders/index/gather.wgsl");
const OFFSETS: &str = include_str!("../../../../shaders/index/offsets.wgsl");
const INDEX: &str = include_str!("../../../../shaders/index/index.wgsl");
const BAG: &str = include_str!("../../../../shaders/index/bag.wgsl");
const TAKE: &str = include_str!("../../../../shaders/index/take.wgsl");
const ROLL: &str = include_str!("../../../../shaders/index/roll.wgsl");
const TRIANGLE: &str = include_str!("../../../../shaders/index/triangle.wgsl");
const FLAGS: &str = include_str!("../../../../shaders/index/flags.wgsl");
const MASKED: &str = include_str!("../../../../shaders/index/masked.wgsl");
const NONZERO: &str = include_str!("../../../../shaders/index/nonzero.wgsl");
const REPEAT: &str = include_str!("../../../../shaders/index/repeat.wgsl");

/// Runs an indexing operator. Those that overwrite their first input start from a copy of it, unless they got its memory.
pub fn execute(gpu: &Arc<Gpu>, op: Indexing, ins: &[View], numbers: &[u64], out: &View) -> Result<()> {
    let x = &ins[0];
    if op.overwrites() && x.memory.id != out.memory.id {
        copy::copy(gpu, out, x)?;
    }
    match op {
        Indexing::Gather(dim) => gather(gpu, x, dim as usize, &ins[1], out),
        Indexing::Scatter { mode, dim, include_self } => {
            scatter::along(gpu, mode, include_self, dim as usize, &ins[1], ins.get(2), numbers, out)
        }
        Indexing::Index(dims) => index(gpu, x, dims, &ins[1..], out),
        Indexing::IndexPut { dims, accumulate } => scatter::index_put(gpu, dims, &ins[2..], &ins[1], accumulate, out),
        Indexing::Take => take(gpu, x, &ins[1], out),
        Indexing::Put { accumulate } => scatter::put(gpu, &ins[1], &ins[2], accumulate, out),
        Indexing::MaskedSelect => masked_select(gpu, x, &ins[1], out),
        Indexing::MaskedScatter => masked_scatter(gpu, &ins[1], &ins[2], out),
        Indexing::Nonzero => nonzero(gpu, x, out),
        Indexing::Triangle { upper } => triangle(gpu, x, upper, numbers[0] as i64, out),
        Indexing::Flip(dims) => flip(gpu, x, dims, out),
        Indexing::Roll => roll(gpu, x, numbers, out),
        Indexing::RepeatPositions => repeat_positions(gpu, x, out),
        Indexing::Check => guards::check(gpu, x, numbers),
        Indexing::Embedding => embedding(gpu, x, &ins[1], out),
        Indexing::EmbeddingBag => bag(gpu, x, &ins[1], ins.get(2), out),
        Indexing::EmbeddingGrad { by_frequency } => {
            scatter::embedding_grad(gpu, x, &ins[1], numbers[0] as i64, by_frequency, out)
        }
    }
}

/// What an operator that only moves elements reads and writes: `x_at(i)`, `out_put(i, v)`.
fn moving(dtype: DType) -> Text {
    Text::new().input("x", raw(dtype), raw(dtype)).output("out", raw(dtype), raw(dtype))
}

fn gather(gpu: &Gpu, x: &View, dim: usize, index: &View, out: &View) -> Result<()> {
    let (size, step) = (x.shape.get(dim).copied().unwrap_or(1), x.strides.get(dim).copied().unwrap_or(0));
    let walk = Walk::new(index.shape, [&zeroed(x.strides, dim), index.strides, out.strides], offsets(x, index, out));
    gathered(gpu, x, size, step, index, out, walk)
}

fn offsets(x: &View, index: &View, out: &View) -> [usize; 3] {
    [x.offset, index.offset, out.offset]
}

fn gathered(gpu: &Gpu, x: &View, size: usize, step: usize, index: &View, out: &View, walk: Walk) -> Result<()> {
    let mut p = Words::from_slice(&[out.numel() as u32, step as u32, size as u32]);
    walk.write(&mut p);
    let key = [raw(x.dtype) as u32, index.dtype as u32];
    each(gpu, ("gather", &key), &[x.memory, out.memory, index.memory], &p, || {
        (moving(x.dtype).input("index", index.dtype, DType::I32), GATHER)
    })
}

/// Rows of a table: a gather in which the index varies in all dims but the last.
fn embedding(gpu: &Gpu, table: &View, index: &View, out: &View) -> Result<()> {
    let rank = index.shape.len();
    let mut from: SmallVec<[usize; 6]> = SmallVec::from_elem(0, rank);
    from.push(table.strides[1]);
    let mut by: SmallVec<[usize; 6]> = SmallVec::from_slice(index.strides);
    by.push(0);
    let walk = Walk::new(out.shape, [&from, &by, out.strides], offsets(table, index, out));
    gathered(gpu, table, table.shape[0], table.strides[0], index, out, walk)
}

/// Sums of rows of a table, one for each row of the index.
fn bag(gpu: &Gpu, table: &View, index: &View, factors: Option<&View>, out: &View) -> Result<()> {
    let by = factors.unwrap_or(index);
    let walk = Walk::new(
        out.shape,
        [&[0, table.strides[1]], &[index.strides[0], 0], &[by.strides[0], 0]],
        [table.offset, index.offset, by.offset],
    );
    let sizes = [out.numel(), index.shape[1], index.strides[1], by.strides[1], table.strides[0], table.shape[0]];
    let mut p: Words = sizes.iter().map(|&n| n as u32).collect();
    p.push(out.offset as u32);
    walk.write(&mut p);
    let compute = DType::F32;
    let key = [table.dtype as u32, index.dtype as u32, u32::from(factors.is_some())];
    let buffers: SmallVec<[&Allocation; 4]> =
        [table.memory, out.memory, index.memory].into_iter().chain(factors.map(|f| f.memory)).collect();
    each(gpu, ("bag", &key), &buffers, &p, || {
        let text = Text::new().input("x", table.dtype, compute).output("out", out.dtype, compute);
        let text = text.input("index", index.dtype, DType::I32);
        let text = match factors {
            Some(f) => text.input("factor", f.dtype, compute),
            None => text.line("fn factor_at(i: u32) -> f32 { return 1.0; }"),
        };
        (text, BAG)
    })
}

/// Where advanced indexing reads or writes: see [`Selection::new`].
pub struct Selection {
    pub shape: SmallVec<[usize; 6]>,
    /// Strides in the indexed window, zero in the dims of the index tensors.
    pub strides: SmallVec<[usize; 6]>,
    /// Strides in `offsets`, zero in the dims of the slices.
    pub offset_strides: SmallVec<[usize; 6]>,
    /// For every element of the index tensors the offset in the window that they add up to, as words.
    pub offsets: Allocation,
    /// Which dims are those of the index tensors.
    pub block: std::ops::Range<usize>,
}

impl Selection {
    /// The index tensors of one shape take the place of the dims whose bits are set when those are adjacent, else they come
    /// first.
    pub fn new(gpu: &Arc<Gpu>, window: &View, dims: u64, indices: &[View]) -> Result<Selection> {
        let block = indices.first().map_or(&[][..], |i| i.shape);
        let count: usize = block.iter().product();
        let rank = window.shape.len();
        let indexed: SmallVec<[usize; 6]> = (0..rank).filter(|&d| dims & (1 << d) != 0).collect();
        let sum = memory::allocate(gpu, count * 4)?;
        for (k, (&d, index)) in indexed.iter().zip(indices).enumerate() {
            let mut p = Words::from_slice(&[count as u32, window.strides[d] as u32, window.shape[d] as u32]);
            p.push(u32::from(k == 0));
            Walk::of(index).write(&mut p);
            each(gpu, ("offsets", &[index.dtype as u32]), &[index.memory, &sum], &p, || {
                let text = Text::new().input("index", index.dtype, DType::I32);
                (text.scratch("offsets", "u32", Access::Write), OFFSETS)
            })?;
        }
        let adjacent = indexed.windows(2).all(|w| w[1] == w[0] + 1);
        let place = if adjacent { indexed.first().copied().unwrap_or(0) } else { 0 };
        let (shape, strides, offset_strides) = Default::default();
        let lead = (0..place).filter(|&d| dims & (1 << d) == 0).count();
        let mut s = Selection { shape, strides, offset_strides, offsets: sum, block: lead..lead + block.len() };
        for d in 0..=rank {
            if d == place {
                for (i, &size) in block.iter().enumerate() {
                    s.push(size, 0, block[i + 1..].iter().product());
                }
            }
            if d < rank && dims & (1 << d) == 0 {
                s.push(window.shape[d], window.strides[d], 0);
            }
        }
        Ok(s)
    }

    fn push(&mut self, size: usize, stride: usize, offset_stride: usize) {
        self.shape.push(size);
        self.strides.push(stride);
        self.offset_strides.push(offset_stride);
    }
}

fn index(gpu: &Arc<Gpu>, x: &View, dims: u64, indices: &[View], out: &View) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let s = Selection::new(gpu, x, dims, indices)?;
    let mut p = Words::from_slice(&[out.numel() as u32]);
    Walk::new(&s.shape, [&s.strides, &s.offset_strides, out.strides], [x.offset, 0, out.offset]).write(&mut p);
    each(gpu, ("index", &[raw(x.dtype) as u32]), &[x.memory, out.memory, &s.offsets], &p, || {
        (moving(x.dtype).scratch("offsets", "u32", Access::Read), INDEX)
    })
}

fn take(gpu: &Gpu, x: &View, index: &View, out: &View) -> Result<()> {
    let mut p = Words::from_slice(&[out.numel() as u32, x.numel() as u32, 0]);
    Walk::new(index.shape, [index.strides, out.strides], [index.offset, out.offset]).write(&mut p);
    p[2] = p.len() as u32;
    Walk::of(x).write(&mut p);
    let key = [raw(x.dtype) as u32, index.dtype as u32];
    each(gpu, ("take", &key), &[x.memory, out.memory, index.memory], &p, || {
        (moving(x.dtype).input("index", index.dtype, DType::I32), TAKE)
    })
}

/// A copy from a window that begins at the far end of the flipped dims; strides below zero wrap, as offsets in shaders do.
fn flip(gpu: &Arc<Gpu>, x: &View, dims: u64, out: &View) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let mut strides: SmallVec<[usize; 6]> = SmallVec::from_slice(x.strides);
    let mut offset = x.offset;
    for d in (0..strides.len()).filter(|d| dims & (1 << d) != 0) {
        offset += (x.shape[d] - 1) * strides[d];
        strides[d] = strides[d].wrapping_neg();
    }
    copy::copy(gpu, out, &View { offset, strides: &strides, ..*x })
}

fn roll(gpu: &Gpu, x: &View, shifts: &[u64], out: &View) -> Result<()> {
    let mut p = Words::from_slice(&[out.numel() as u32, x.shape.len() as u32, x.offset as u32]);
    for (d, &shift) in shifts.iter().enumerate() {
        p.extend([x.shape[d] as u32, x.strides[d] as u32, out.strides[d] as u32, shift as u32]);
    }
    each(gpu, ("roll", &[raw(x.dtype) as u32]), &[x.memory, out.memory], &p, || (moving(x.dtype), ROLL))
}

fn triangle(gpu: &Gpu, x: &View, upper: bool, diagonal: i64, out: &View) -> Result<()> {
    let rank = x.shape.len();
    let (rows, columns) = (x.shape[rank - 2], x.shape[rank - 1]);
    let most = (rows + columns) as i64;
    let mut p = Words::from_slice(&[out.numel() as u32, rows as u32, columns as u32]);
    p.push(diagonal.clamp(-most, most) as i32 as u32);
    Walk::new(x.shape, [x.strides, out.strides], [x.offset, out.offset]).write(&mut p);
    let key = [raw(x.dtype) as u32, u32::from(upper)];
    each(gpu, ("triangle", &key), &[x.memory, out.memory], &p, || {
        let empty = match raw(x.dtype) {
            DType::I64 => "fn empty() -> I64 { return i64_zero(); }",
            _ => "fn empty() -> i32 { return 0; }",
        };
        (moving(x.dtype).line(empty).line(&format!("const UPPER = {upper};")), TRIANGLE)
    })
}

/// Inclusive prefix sums of a count for every element: of ones at those that are not zero, or of the elements themselves.
fn counted(gpu: &Arc<Gpu>, x: &View, values: bool) -> Result<Allocation> {
    let n = x.numel();
    let counts = memory::allocate(gpu, n * 4)?;
    let mut p = Words::from_slice(&[n as u32]);
    Walk::of(x).write(&mut p);
    each(gpu, ("flags", &[x.dtype as u32, u32::from(values)]), &[x.memory, &counts], &p, || {
        let (to, count) = if values { (DType::I32, "u32(x_at(i))") } else { (DType::Bool, "select(0u, 1u, x_at(i))") };
        let text = Text::new().input("x", x.dtype, to).scratch("counts", "u32", Access::Write);
        (text.line(&format!("fn count(i: u32) -> u32 {{ return {count}; }}")), FLAGS)
    })?;
    prefix::sums(gpu, &counts, n)?;
    Ok(counts)
}

fn masked_select(gpu: &Arc<Gpu>, x: &View, mask: &View, out: &View) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let ends = counted(gpu, mask, false)?;
    let mut p = Words::from_slice(&[x.numel() as u32]);
    Walk::of(x).write(&mut p);
    each(gpu, ("masked_select", &[raw(x.dtype) as u32]), &[x.memory, out.memory, &ends], &p, || {
        let move_to = "fn move_to(i: u32, rank: u32) { out_put(rank, x_at(walk3(i, 1u).x)); }";
        (moving(x.dtype).scratch("ends", "u32", Access::Read).line(move_to), MASKED)
    })
}

fn masked_scatter(gpu: &Arc<Gpu>, mask: &View, source: &View, out: &View) -> Result<()> {
    if out.numel() == 0 || source.numel() == 0 {
        return Ok(());
    }
    let ends = counted(gpu, mask, false)?;
    let mut p = Words::from_slice(&[out.numel() as u32, 0]);
    Walk::of(out).write(&mut p);
    p[1] = p.len() as u32;
    Walk::of(source).write(&mut p);
    each(gpu, ("masked_scatter", &[raw(out.dtype) as u32]), &[source.memory, out.memory, &ends], &p, || {
        let move_to = "fn move_to(i: u32, rank: u32) { out_put(walk3(i, 2u).x, x_at(walk3(rank, P(1u)).x)); }";
        (moving(out.dtype).scratch("ends", "u32", Access::Read).line(move_to), MASKED)
    })
}

fn nonzero(gpu: &Arc<Gpu>, x: &View, out: &View) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let ends = counted(gpu, x, false)?;
    let mut p = Words::from_slice(&[x.numel() as u32, x.shape.len() as u32]);
    p.extend([out.strides[0] as u32, out.strides[1] as u32]);
    p.extend(x.shape.iter().map(|&s| s as u32));
    each(gpu, ("nonzero", &[]), &[out.memory, &ends], &p, || {
        let text = Text::new().output("out", DType::I64, DType::I64).scratch("ends", "u32", Access::Read);
        (text.line(NONZERO), MASKED)
    })
}

fn repeat_positions(gpu: &Arc<Gpu>, repeats: &View, out: &View) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let ends = counted(gpu, repeats, true)?;
    let p = [out.numel() as u32, repeats.numel() as u32];
    each(gpu, ("repeat_positions", &[]), &[out.memory, &ends], &p, || {
        (Text::new().output("out", DType::I64, DType::I64).scratch("ends", "u32", Access::Read), REPEAT)
    })
}
