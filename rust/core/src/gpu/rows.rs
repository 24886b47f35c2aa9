//! What kernels over rows share: how many invocations take a row, how they merge what they found, and parameters with the axes
//! of strided windows.

use super::device::Gpu;
use super::text::Text;
use super::view::View;
use crate::dtype::DType;
use smallvec::SmallVec;
use std::fmt::Write;

/// How the invocations of a row merge: in workgroup memory, or within subgroups first.
const TREE: &str = include_str!("../../../../shaders/rows/tree.wgsl");
const SUBGROUPS: &str = include_str!("../../../../shaders/rows/subgroups.wgsl");
/// What an invocation takes at a time, see [`Piece`].
const SINGLE: &str = include_str!("../../../../shaders/rows/single.wgsl");
const FOURS: &str = include_str!("../../../../shaders/rows/fours.wgsl");
const COLUMNS: &str = include_str!("../../../../shaders/rows/columns.wgsl");
pub const WORKGROUP: usize = 256;
/// Elements that an invocation adds up one after the other at most, which bounds rounding errors.
const SERIAL: usize = 256;
/// Invocations that keep a GPU's memory busy.
const MANY: usize = 1 << 17;

/// Invocations that share a row of `n` elements. `across` says that neighbouring rows are neighbours in memory and the
/// elements of a row are not: then few share a row, so that neighbouring invocations still read neighbours.
pub fn lanes(gpu: &Gpu, rows: usize, n: usize, across: bool) -> usize {
    if across && rows >= WORKGROUP {
        return match n {
            2048.. if rows < 1 << 12 => 16,
            64.. if rows < 1 << 16 => 4,
            _ => 1,
        };
    }
    let most = [256, 64, 16, 4].into_iter().find(|l| 2 * l <= n).unwrap_or(1);
    if gpu.features.workgroup_memory || !gpu.features.subgroups {
        return most;
    }
    // A processor's thread takes a workgroup: the lanes of a vector are as many as work at a time, and waiting for others costs
    // more than the work. But there should be workgroups for all threads.
    let mut lanes = (least_subgroup(gpu) as usize).max(n.div_ceil(SERIAL).next_power_of_two());
    while lanes < most && rows * lanes < 16 * WORKGROUP {
        lanes *= 2;
    }
    lanes.min(most)
}

fn least_subgroup(gpu: &Gpu) -> u32 {
    gpu.info.subgroup_min_size.clamp(1, WORKGROUP as u32)
}

/// The text in front of a kernel over rows, of which each has so many invocations: `main`, which calls the kernel's `work`, and
/// `row_merge`. `fields` are those of the accumulator if it is a struct.
pub fn frame(gpu: &Gpu, lanes: usize, fields: &[&str]) -> String {
    if !gpu.features.subgroups || lanes == 1 {
        return tree(lanes, false);
    }
    let mut text = format!("const LANES = {lanes}u;\n");
    let value = match fields {
        [] => "subgroupShuffleXor(a, mask)".into(),
        _ => {
            let parts: Vec<_> = fields.iter().map(|f| format!("subgroupShuffleXor(a.{f}, mask)")).collect();
            format!("Acc({})", parts.join(", "))
        }
    };
    let _ = writeln!(text, "const LEAST = {}u;", least_subgroup(gpu));
    let _ = writeln!(text, "fn shuffled(a: Acc, mask: u32) -> Acc {{ return {value}; }}");
    text + SUBGROUPS
}

fn tree(lanes: usize, across: bool) -> String {
    format!("const LANES = {lanes}u;\nconst ACROSS = {across};\n{TREE}")
}

/// What an invocation takes of rows at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// An element.
    Single,
    /// Four neighbours of a row.
    Fours,
    /// An element each of four rows that lie next to each other.
    Columns,
}

impl Piece {
    /// Elements of a row.
    pub fn along(self) -> usize {
        if self == Piece::Fours { 4 } else { 1 }
    }
    pub fn rows(self) -> usize {
        if self == Piece::Columns { 4 } else { 1 }
    }

    /// Invocations that share `count` rows, or four of them, whose elements are `n`; `across` as in [`lanes`].
    pub fn lanes(self, gpu: &Gpu, count: usize, n: usize, across: bool) -> usize {
        if self != Piece::Columns {
            return lanes(gpu, count, n / self.along(), across);
        }
        if !gpu.features.workgroup_memory {
            return lanes(gpu, count, n, true);
        }
        let mut lanes = 1;
        while lanes < 64 && count * lanes < MANY && 16 * lanes <= n {
            lanes *= 4;
        }
        lanes
    }

    /// How many pieces of a row of `n` elements an invocation keeps, so that the row is read once; 0 where they are too many.
    pub fn kept(self, n: usize, lanes: usize) -> usize {
        match n.div_ceil(self.along() * lanes) {
            2..=4 if self != Piece::Columns => 4,
            5..=8 if self != Piece::Columns => 8,
            _ => 0,
        }
    }

    /// The text of a kernel's passes over rows, as [`Piece::kept`] says how many pieces an invocation keeps.
    pub fn passes(kept: usize, streamed: &str, once: &str) -> String {
        if kept == 0 { streamed.into() } else { format!("const KEPT = {kept}u;\n{once}") }
    }

    /// As [`frame`], with what the piece is.
    pub fn frame(self, gpu: &Gpu, lanes: usize, fields: &[&str]) -> String {
        match self {
            Piece::Single => frame(gpu, lanes, fields) + SINGLE,
            Piece::Fours => frame(gpu, lanes, fields) + FOURS,
            Piece::Columns if gpu.features.workgroup_memory => tree(lanes, true) + COLUMNS,
            Piece::Columns => frame(gpu, lanes, fields) + COLUMNS,
        }
    }

    /// A buffer that is read as `NAME_load(at, step, count)`, see [`Text::fours`]; `count` is that of a piece.
    pub fn input(self, t: Text, name: &str, view: &View, wide: bool) -> Text {
        match self {
            Piece::Single => t
                .input(name, view.dtype, DType::F32)
                .line(&format!("fn {name}_load(at: u32, step: u32, count: u32) -> V {{ return {name}_at(at); }}")),
            _ => t.fours(name, view, DType::F32, wide),
        }
    }

    /// A buffer that is written by `NAME_store(at, step, count, v)`; all but single elements as vectors.
    pub fn output(self, t: Text, name: &str, view: &View) -> Text {
        match self {
            Piece::Single => t
                .output(name, view.dtype, DType::F32)
                .line(&format!("fn {name}_store(at: u32, step: u32, count: u32, v: V) {{ {name}_put(at, v); }}")),
            _ => t.stores(name, view, DType::F32, true),
        }
    }
}

/// The grid for rows of so many invocations.
pub fn grid(rows: usize, lanes: usize) -> [u32; 3] {
    Gpu::grid((rows * lanes).div_ceil(WORKGROUP))
}

/// A size and a stride.
pub type Axis = (usize, usize);

/// The axes of some dims of a view.
pub fn axes(x: &View, dims: impl IntoIterator<Item = usize>) -> SmallVec<[Axis; 6]> {
    dims.into_iter().map(|d| (x.shape[d], x.strides[d])).collect()
}

/// Whether the innermost of these axes has neighbours in memory.
pub fn dense_inside(axes: &[Axis]) -> bool {
    axes.iter().rfind(|a| a.0 != 1).is_some_and(|a| a.1 == 1)
}

/// Neighbours that an invocation takes: 4 where the innermost axis of each of these windows admits it.
pub fn run<const N: usize>(windows: [&[Axis]; N]) -> usize {
    let fours = |axes: &[Axis]| joined(axes).last().is_some_and(|a| a.0.is_multiple_of(4));
    if windows.into_iter().all(fours) { 4 } else { 1 }
}

/// Whether runs of 4 elements of a window are neighbours that begin at multiples of 4, as vectors do.
pub fn vectors(offset: usize, axes: &[Axis]) -> bool {
    let joined = joined(axes);
    let (last, outer) = match joined.split_last() {
        Some((last, outer)) => (*last, outer),
        None => return false,
    };
    last.1 == 1 && offset.is_multiple_of(4) && outer.iter().all(|a| a.1.is_multiple_of(4))
}

/// The stride of the innermost axis.
pub fn inner_stride(axes: &[Axis]) -> usize {
    joined(axes).last().map_or(0, |a| a.1)
}

/// Axes, those joined that can be walked as one.
fn joined(axes: &[Axis]) -> SmallVec<[Axis; 6]> {
    let mut joined: SmallVec<[Axis; 6]> = SmallVec::new();
    for &(size, stride) in axes.iter().filter(|a| a.0 != 1) {
        match joined.last_mut() {
            Some(last) if last.1 == stride.wrapping_mul(size) => *last = (last.0 * size, stride),
            _ => joined.push((size, stride)),
        }
    }
    joined
}

/// A window whose elements a kernel finds: its number in the kernel, and where its axes stand.
#[derive(Clone, Copy)]
struct Place {
    slot: usize,
    at: usize,
    rank: usize,
}

impl Place {
    /// The word with the size of an axis, and the one with its stride. The size of the outermost is never needed.
    fn size(&self, d: usize) -> usize {
        self.at + d - 1
    }
    fn stride(&self, d: usize) -> usize {
        self.at + self.rank.saturating_sub(1) + d
    }

    /// Statements that divide `rest` by the sizes of all axes from `first` inwards, and add what their strides amount to.
    fn write_steps(&self, t: &mut String, first: usize, last: usize) {
        for d in (first..last).rev() {
            if d == 0 {
                let _ = writeln!(t, "    place += rest * P({}u);", self.stride(0));
                continue;
            }
            let (size, stride) = (self.size(d), self.stride(d));
            let _ = writeln!(t, "    let q{d} = rest / P({size}u);");
            let _ = writeln!(t, "    place += (rest - q{d} * P({size}u)) * P({stride}u);\n    rest = q{d};");
        }
    }

    /// The functions of the window with number N:
    /// - `placeN(i)` is where its element i lies;
    /// - `enterN(i)` splits i into the number of a run of the innermost axis and the position in it, `moveN(at, by)` goes on by
    ///   as much as `by` was split from, and `foundN(at)` is where that element lies. So a walk needs few divisions.
    fn write(&self, t: &mut String) {
        let Place { slot, rank, .. } = *self;
        let first = |t: &mut String| {
            let _ = writeln!(t, "    var place = P({slot}u);");
        };
        let _ = writeln!(t, "fn place{slot}(i: u32) -> u32 {{\n    var rest = i;");
        first(t);
        self.write_steps(t, 0, rank);
        let _ = writeln!(t, "    return place;\n}}");
        let _ = writeln!(t, "fn found{slot}(at: vec2<u32>) -> u32 {{\n    var rest = at.x;");
        first(t);
        if rank > 0 {
            let _ = writeln!(t, "    place += at.y * P({}u);", self.stride(rank - 1));
            self.write_steps(t, 0, rank - 1);
        }
        let _ = writeln!(t, "    return place;\n}}");
        let (split, step) = match rank {
            0 | 1 => ("vec2<u32>(0u, i)".to_string(), "at + by".to_string()),
            _ => {
                let size = format!("P({}u)", self.size(rank - 1));
                let wrapped = format!("vec2<u32>(next.x + 1u, next.y - {size})");
                (
                    format!("vec2<u32>(i / {size}, i % {size})"),
                    format!("select(next, {wrapped}, next.y >= {size})").replace("next", "(at + by)"),
                )
            }
        };
        let _ = writeln!(t, "fn enter{slot}(i: u32) -> vec2<u32> {{ return {split}; }}");
        let _ = writeln!(t, "fn move{slot}(at: vec2<u32>, by: vec2<u32>) -> vec2<u32> {{ return {step}; }}");
    }
}

/// The words of a kernel's parameters: a header of fixed length, in which windows have a number, the word with their offset;
/// then the windows' axes. What finds elements of the windows is text that is made for their ranks, so that no shader loops
/// over dims; sizes and strides are parameters.
pub struct Parameters {
    words: SmallVec<[u32; 64]>,
    places: SmallVec<[Place; 8]>,
}

impl Parameters {
    pub fn new(header: &[usize]) -> Parameters {
        Parameters { words: header.iter().map(|&w| w as u32).collect(), places: SmallVec::new() }
    }
    pub fn set(&mut self, slot: usize, value: usize) {
        self.words[slot] = value as u32;
    }
    pub fn set_float(&mut self, slot: usize, value: f64) {
        self.words[slot] = (value as f32).to_bits();
    }
    pub fn words(&self) -> &[u32] {
        &self.words
    }
    /// The window with this number in the kernel.
    pub fn point(&mut self, slot: usize, offset: usize, axes: &[Axis]) {
        let axes = joined(axes);
        self.words[slot] = offset as u32;
        self.places.push(Place { slot, at: self.words.len(), rank: axes.len() });
        self.words.extend(axes.iter().skip(1).map(|a| a.0 as u32));
        self.words.extend(axes.iter().map(|a| a.1 as u32));
    }
    /// All dims of a window.
    pub fn window(&mut self, slot: usize, x: &View) {
        self.point(slot, x.offset, &axes(x, 0..x.shape.len()));
    }
    /// What the text depends on, for the key of a pipeline.
    pub fn key(&self) -> impl Iterator<Item = u32> {
        self.places.iter().map(|p| (p.slot | p.rank << 8 | p.at << 16) as u32)
    }
    /// The functions that find the elements of the windows, see [`Place::write`].
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.places.iter().for_each(|p| p.write(&mut text));
        text
    }
}
