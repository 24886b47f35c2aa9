//! Stable sorting of lines by keys: blocks in workgroup memory, then merges of runs.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::text::Text;
use super::view::View;
use super::walk::{Walk, Words, each, moved_last};
use super::wgsl::register;
use crate::dtype::DType;
use crate::error::Result;
use std::sync::Arc;

const ORDER: &str = include_str!("../../../../shaders/sort/order.wgsl");
const ROWS: &str = include_str!("../../../../shaders/sort/rows.wgsl");
const PACK: &str = include_str!("../../../../shaders/sort/pack.wgsl");
const BLOCK: &str = include_str!("../../../../shaders/sort/block.wgsl");
const KEYS_WORD: &str = include_str!("../../../../shaders/sort/keys_word.wgsl");
const KEYS_DOUBLE: &str = include_str!("../../../../shaders/sort/keys_double.wgsl");
const KEY_OF_FLOAT: &str = include_str!("../../../../shaders/sort/key_of_float.wgsl");
const MERGE: &str = include_str!("../../../../shaders/sort/merge.wgsl");

/// Elements that a workgroup sorts, and that an invocation merges.
const SLOTS: usize = 512;
const SLICE: usize = 8;
/// Up to this many best elements of a block may be wanted: more, and lines are sorted whole.
const FEW: usize = SLOTS / 4;

/// What is compared.
#[derive(Clone, Copy)]
pub enum Keys<'a> {
    /// A word.
    Word,
    /// Two words, the low one first.
    Double,
    /// The slices at the positions.
    Rows(&'a Rows<'a>),
}

/// The slices of a tensor along a dim.
pub struct Rows<'a> {
    pub x: &'a View<'a>,
    pub dim: usize,
}

impl Rows<'_> {
    pub fn width(&self) -> usize {
        self.x.shape.iter().enumerate().filter(|&(d, _)| d != self.dim).map(|(_, &s)| s).product()
    }

    /// The words from 8 on that `sort/rows.wgsl` reads.
    fn write(&self, p: &mut Words) {
        p.resize(8, 0);
        p.extend([self.x.shape[self.dim] as u32, self.width() as u32, 11]);
        in_lines(self.x, self.dim).write(p);
    }
}

/// The elements of a window line by line along a dim.
pub fn in_lines(x: &View, dim: usize) -> Walk {
    Walk::new(&moved_last(x.shape, dim), [&moved_last(x.strides, dim)], [x.offset])
}

impl Keys<'_> {
    pub fn of(dtype: DType) -> Keys<'static> {
        if dtype == DType::I64 { Keys::Double } else { Keys::Word }
    }

    fn bytes(&self) -> usize {
        if matches!(self, Keys::Double) { 8 } else { 4 }
    }

    fn variant(&self) -> u32 {
        match self {
            Keys::Word => 0,
            Keys::Double => 1,
            Keys::Rows(r) => 2 + r.x.dtype as u32,
        }
    }

    /// Buffers and definitions of the order.
    fn text(&self) -> Text {
        let mut t = Text::new();
        for (name, element, access) in [
            ("keys_in", "K", Access::Read),
            ("positions_in", "u32", Access::Read),
            ("keys_out", "K", Access::Write),
            ("positions_out", "u32", Access::Write),
        ] {
            t = t.scratch(name, element, access);
        }
        match self {
            Keys::Rows(r) => t
                .input("x", r.x.dtype, r.x.dtype)
                .line("alias K = u32;\nfn last() -> u32 { return 0u; }")
                .line(&key_text(r.x.dtype))
                .line(ROWS),
            Keys::Word => t.line(word_order(false)).line(ORDER),
            Keys::Double => t.line(word_order(true)).line(ORDER),
        }
    }
}

/// The type K of keys and comparisons.
pub fn word_order(double: bool) -> &'static str {
    if double { KEYS_DOUBLE } else { KEYS_WORD }
}

/// `key_of`: an unsigned integer that orders as the dtype does, NaN above everything and both zeros equal.
pub fn key_of(dtype: DType) -> &'static str {
    match register(dtype) {
        "f32" => KEY_OF_FLOAT,
        "I64" => "fn key_of(v: I64) -> vec2<u32> { return vec2<u32>(v.x, v.y ^ 0x80000000u); }",
        "bool" => "fn key_of(v: bool) -> u32 { return select(0u, 1u, v); }",
        _ => "fn key_of(v: i32) -> u32 { return bitcast<u32>(v) ^ 0x80000000u; }",
    }
}

/// [`key_of`] and comparisons of keys, for kernels whose K is something else.
fn key_text(dtype: DType) -> String {
    let order = match dtype {
        DType::I64 => "fn key_less(x: vec2<u32>, y: vec2<u32>) -> bool { return u64_lt(x, y); }",
        _ => "fn key_less(x: u32, y: u32) -> bool { return x < y; }",
    };
    format!("{}\n{order}", key_of(dtype))
}

/// Lines of keys with the positions that they had.
pub struct Lines {
    pub keys: Allocation,
    pub positions: Allocation,
    pub lines: usize,
    /// Elements a line.
    pub n: usize,
}

impl Lines {
    pub fn new(gpu: &Arc<Gpu>, bytes: usize, lines: usize, n: usize) -> Result<Lines> {
        let keys = memory::allocate(gpu, lines * n * bytes)?;
        Ok(Lines { keys, positions: memory::allocate(gpu, lines * n * 4)?, lines, n })
    }

    /// The elements of a window, in lines that are given by the walk.
    pub fn pack(gpu: &Arc<Gpu>, x: &View, walk: &Walk, lines: usize, n: usize, descending: bool) -> Result<Lines> {
        let packed = Lines::new(gpu, Keys::of(x.dtype).bytes(), lines, n)?;
        let mut p = Words::from_slice(&[(lines * n) as u32, n as u32, if descending { u32::MAX } else { 0 }]);
        walk.write(&mut p);
        each(gpu, ("sort_pack", &[x.dtype as u32]), &[x.memory, &packed.keys, &packed.positions], &p, || {
            let text = Text::new().input("x", x.dtype, x.dtype).scratch("keys", "K", Access::Write);
            let text = text.scratch("positions", "u32", Access::Write).line(key_of(x.dtype));
            (text.line(word_order(x.dtype == DType::I64)), PACK)
        })?;
        Ok(packed)
    }

    /// Sorts every line.
    pub fn sort(self, gpu: &Arc<Gpu>, keys: Keys) -> Result<Lines> {
        let mut sorted = self.blocks(gpu, keys, 0)?;
        let mut run = SLOTS;
        while run < sorted.n {
            sorted = sorted.merged(gpu, keys, run)?;
            run *= 2;
        }
        Ok(sorted)
    }

    /// Lines that begin with their `k` first elements in order.
    pub fn best(self, gpu: &Arc<Gpu>, keys: Keys, k: usize) -> Result<Lines> {
        if k > FEW || k == 0 {
            return self.sort(gpu, keys);
        }
        let mut best = self.blocks(gpu, keys, 0)?;
        while best.n > SLOTS {
            best = best.blocks(gpu, keys, k)?;
        }
        Ok(best)
    }

    /// Sorts blocks of up to [`SLOTS`] elements; of the blocks that were sorted before only the first `keep` elements.
    fn blocks(self, gpu: &Arc<Gpu>, keys: Keys, keep: usize) -> Result<Lines> {
        let n = if keep == 0 { self.n } else { self.n.div_ceil(SLOTS) * keep };
        let out = Lines::new(gpu, keys.bytes(), self.lines, n)?;
        let block = n.next_power_of_two().clamp(2, SLOTS);
        let per_line = n.div_ceil(block);
        let slots = self.lines * per_line * block;
        let mut p = Words::from_slice(&[slots as u32, block as u32, n as u32, per_line as u32]);
        p.extend([keep as u32, self.n as u32, SLOTS as u32]);
        let pipeline = gpu.pipeline(("sort_block", vec![keys.variant()]), || keys.text().finish(BLOCK))?;
        let buffers = self.bind(keys, &out, &mut p);
        let groups = Gpu::grid(slots.div_ceil(SLOTS));
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &p, groups })?;
        Ok(out)
    }

    fn merged(self, gpu: &Arc<Gpu>, keys: Keys, run: usize) -> Result<Lines> {
        let out = Lines::new(gpu, keys.bytes(), self.lines, self.n)?;
        let slices = self.n.div_ceil(SLICE);
        let mut p = Words::from_slice(&[(self.lines * slices) as u32, self.n as u32, run as u32, slices as u32]);
        let buffers = self.bind(keys, &out, &mut p);
        each(gpu, ("sort_merge", &[keys.variant()]), &buffers, &p, || (keys.text(), MERGE))?;
        Ok(out)
    }

    /// The buffers of a pass, and the words that the order reads.
    fn bind<'a>(&'a self, keys: Keys<'a>, out: &'a Lines, p: &mut Words) -> Vec<&'a Allocation> {
        let mut buffers = vec![&self.keys, &self.positions, &out.keys, &out.positions];
        if let Keys::Rows(r) = keys {
            r.write(p);
            buffers.push(r.x.memory);
        }
        buffers
    }
}
