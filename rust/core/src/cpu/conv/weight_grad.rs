//! The weight gradient: patches times output gradients, summed over every point of the batch.
//!
//! The points are cut into splits that depend on the shapes alone; each split has its own partial sums, which are added
//! in order at the end, so the result does not depend on the number of threads.

use crate::cpu::conv::kernel::{Operands, Real, Start, Tile};
use crate::cpu::conv::patches::{Panel, Patches, transpose};
use crate::cpu::conv::product::{Sizes, tile_rows};
use crate::cpu::conv::scratch::Scratch;
use crate::cpu::planes::{Shared, for_parts, grain};
use crate::cpu::simd::simd_dispatch;
use crate::cpu::threads;
use std::ops::Range;

/// Points whose products are summed in registers before they are added to memory.
const CHUNK_POINTS: usize = 192;
/// Rows of patches that one task sums.
const BLOCK_ROWS: usize = 256;
/// Tasks that the cut into splits aims at.
const TASKS: usize = 16;
/// Elements that all partial sums together may have.
const PARTIAL_ELEMENTS: usize = 4 << 20;
/// Multiplications and additions of a chunk of parallel work: about 20 µs.
const GRAIN_FLOPS: usize = 2 << 20;

/// `out[g, m, c, t] = Σ grad[n, g·rows + m, o] · patch[n, g·channels + c, t, o]`.
pub struct WeightGrad<'a, T> {
    pub patches: &'a Patches,
    pub x: &'a [T],
    pub grad: &'a [T],
    pub sizes: Sizes,
}

/// How patches enter the product.
enum Layout<T> {
    /// As right operand, copied from the input with channels last; for whole tiles of channels.
    ChannelsLast(Columns<T>),
    /// As right operand, packed and transposed.
    Packed,
    /// As left operand, packed and transposed; for few patch rows.
    Swapped,
}

/// Channels as `[group][tile][point of the batch][channel]`, ready to be an operand.
struct Columns<T> {
    data: Scratch<T>,
    tiles: Vec<Range<usize>>,
    /// Channels of a tile in memory, when they are padded.
    padded: Option<usize>,
    points: usize,
}

impl<T: Real> Columns<T> {
    /// From `(batches, groups · channels, points)`.
    fn new(
        x: &[T],
        batches: usize,
        groups: usize,
        points: usize,
        tiles: Vec<Range<usize>>,
        padded: Option<usize>,
    ) -> Self {
        const BLOCK: usize = 32;
        let channels = tiles.last().map_or(0, |t| t.end);
        let size = padded.map_or(channels, |p| p * tiles.len());
        let mut data = Scratch::<T>::new(groups * size * batches * points);
        let shared = Shared::new(data.as_mut_slice());
        let columns = Columns { data, tiles, padded, points: batches * points };
        let blocks = points.div_ceil(BLOCK);
        threads::parallel_for(batches * blocks, grain(groups * channels * BLOCK / 4), |range| {
            for i in range {
                let (n, from) = (i / blocks, i % blocks * BLOCK);
                for (group, t) in (0..groups).flat_map(|g| (0..columns.tiles.len()).map(move |t| (g, t))) {
                    let (rows, pitch) = (&columns.tiles[t], columns.pitch(t));
                    let source = &x[((n * groups + group) * channels + rows.start) * points + from..];
                    let to = shared.ptr().wrapping_add(columns.offset(group, t, n * points + from));
                    // SAFETY: every block reads and writes its own points.
                    unsafe {
                        transpose(source.as_ptr(), points, rows.len(), BLOCK.min(points - from), to, pitch);
                    }
                }
            }
        });
        columns
    }
    fn pitch(&self, tile: usize) -> usize {
        self.padded.unwrap_or(self.tiles[tile].len())
    }
    fn offset(&self, group: usize, tile: usize, point: usize) -> usize {
        let (start, size) = match self.padded {
            Some(p) => (tile * p, self.tiles.len() * p),
            None => (self.tiles[tile].start, self.tiles.last().map_or(0, |t| t.end)),
        };
        (group * size + start) * self.points + point * self.pitch(tile)
    }
    fn at(&self, group: usize, tile: usize, point: usize) -> *const T {
        self.data.as_slice()[self.offset(group, tile, point)..].as_ptr()
    }
}

/// How the work is cut; a function of shapes (and the tile) only.
struct Cut {
    /// Channels of a task.
    block: usize,
    blocks: usize,
    /// Points of a split.
    split: usize,
    splits: usize,
}

/// Channels of a group and points of the batch.
struct Task {
    group: usize,
    channels: Range<usize>,
    points: Range<usize>,
}

/// Sums of a task as `[right tile][left row][lane]`.
struct Sums<T> {
    data: Scratch<T>,
    left_rows: usize,
    width: usize,
}

impl<T: Real> Sums<T> {
    fn new(left_rows: usize, right_tiles: usize, width: usize) -> Self {
        Sums { data: Scratch::new(right_tiles * left_rows * width), left_rows, width }
    }
    fn tile(&mut self, right_tile: usize, left_row: usize) -> *mut T {
        self.data.as_mut_slice()[(right_tile * self.left_rows + left_row) * self.width..].as_mut_ptr()
    }
    /// The lanes of one left row in one right tile.
    #[inline(always)]
    fn row(&self, left: usize, right_tile: usize) -> &[T] {
        &self.data.as_slice()[(right_tile * self.left_rows + left) * self.width..][..self.width]
    }
}

impl<T: Real> WeightGrad<'_, T> {
    pub fn run(&self, out: &mut [T]) {
        let (tile, s, taps) = (T::tile(), self.sizes, self.patches.taps.len());
        let layout = self.layout(&tile);
        let cut = self.cut(&tile, &layout);
        let swapped = matches!(layout, Layout::Swapped);
        let (height, padded) = if swapped { (tile.columns, Some(tile.columns)) } else { (tile.rows, None) };
        let tiles = if swapped { full_tiles(s.rows, height) } else { tile_rows(s.rows, height).collect() };
        let grad = Columns::new(self.grad, self.patches.batches, s.groups, self.patches.points(), tiles, padded);
        let total = s.groups * s.rows * s.channels * taps;
        let mut partial = Scratch::new(if cut.splits == 1 { 0 } else { total * cut.splits });
        let target = Shared::new(if cut.splits == 1 { &mut *out } else { partial.as_mut_slice() });
        let flops = 2 * s.rows * cut.block * taps * cut.split;
        threads::parallel_for(s.groups * cut.blocks * cut.splits, (GRAIN_FLOPS / flops.max(1)).max(1), |range| {
            for i in range {
                let (split, rest) = (i % cut.splits, i / cut.splits);
                let (group, block) = (rest / cut.blocks, rest % cut.blocks);
                let channels = block * cut.block..((block + 1) * cut.block).min(s.channels);
                let points = split * cut.split..((split + 1) * cut.split).min(self.patches.columns());
                let task = Task { group, channels, points };
                // SAFETY: every task has its own split, group and channels.
                unsafe { self.task(&tile, &layout, &grad, &task, target, split * total) };
            }
        });
        if cut.splits > 1 {
            add_partials(out, partial.as_slice(), total);
        }
    }

    fn layout(&self, tile: &Tile<T>) -> Layout<T> {
        let (s, rows) = (self.sizes, self.sizes.channels * self.patches.taps.len());
        // A tile is as wide as its right operand rounded up; a left operand wastes nothing.
        let padded = |n: usize| n.next_multiple_of(tile.columns);
        if rows * padded(s.rows) * 8 < s.rows * padded(rows) * 7 {
            return Layout::Swapped;
        }
        if padded(s.channels) * 7 > s.channels * 8 {
            return Layout::Packed;
        }
        let (plane, tiles) = (self.patches.plane(), full_tiles(s.channels, tile.columns));
        let padded = Some(tile.columns);
        Layout::ChannelsLast(Columns::new(self.x, self.patches.batches, s.groups, plane, tiles, padded))
    }

    fn cut(&self, tile: &Tile<T>, layout: &Layout<T>) -> Cut {
        let (s, taps, points) = (self.sizes, self.patches.taps.len(), self.patches.columns());
        let block = match layout {
            Layout::ChannelsLast(_) => (BLOCK_ROWS / taps).max(1).next_multiple_of(tile.columns).min(s.channels),
            _ => s.channels.div_ceil((s.channels * taps).div_ceil(BLOCK_ROWS).clamp(1, s.channels)),
        };
        let blocks = s.channels.div_ceil(block);
        let most = (PARTIAL_ELEMENTS / (s.groups * s.rows * s.channels * taps).max(1)).max(1);
        let splits = TASKS.div_ceil(s.groups * blocks).min(most).min(points.div_ceil(2 * CHUNK_POINTS)).max(1);
        let split = points.div_ceil(splits).next_multiple_of(CHUNK_POINTS);
        Cut { block, blocks, split, splits: points.div_ceil(split) }
    }

    /// Sums one task and writes it at `target[base..]`.
    unsafe fn task(
        &self,
        tile: &Tile<T>,
        layout: &Layout<T>,
        grad: &Columns<T>,
        task: &Task,
        target: Shared<T>,
        base: usize,
    ) {
        let (s, taps, width) = (self.sizes, self.patches.taps.len(), tile.columns);
        let channels = &task.channels;
        // SAFETY: the task's channels and points are inside the operands.
        let sums = unsafe {
            match layout {
                Layout::ChannelsLast(x) => self.multiply_channels_last(tile, task, x, grad),
                Layout::Packed => self.multiply_packed(tile, task, grad, false),
                Layout::Swapped => self.multiply_packed(tile, task, grad, true),
            }
        };
        // Lanes of a tap are padded to whole tiles when channels come last.
        let lanes = channels.len().next_multiple_of(width);
        for m in 0..s.rows {
            let start = base + ((task.group * s.rows + m) * s.channels + channels.start) * taps;
            // SAFETY: this task's part of the target.
            let to = unsafe { target.range(start, channels.len() * taps) };
            match layout {
                Layout::ChannelsLast(_) => {
                    for t in 0..taps {
                        for c in (0..channels.len()).step_by(width) {
                            let to = to[c * taps + t..].iter_mut().step_by(taps);
                            to.zip(sums.row(m, (t * lanes + c) / width)).for_each(|(to, &v)| *to = v);
                        }
                    }
                }
                Layout::Packed => {
                    for (to, tile) in to.chunks_mut(width).zip(0..) {
                        to.copy_from_slice(&sums.row(m, tile)[..to.len()]);
                    }
                }
                Layout::Swapped => {
                    for (k, to) in to.iter_mut().enumerate() {
                        *to = sums.row(k, m / width)[m % width];
                    }
                }
            }
        }
    }

    /// Gradients times patches copied from the input with channels last.
    unsafe fn multiply_channels_last(&self, tile: &Tile<T>, task: &Task, x: &Columns<T>, grad: &Columns<T>) -> Sums<T> {
        let (s, width) = (self.sizes, tile.columns);
        let tiles = task.channels.start / width..task.channels.end.div_ceil(width);
        let mut sums = Sums::new(s.rows, tiles.len() * self.patches.taps.len(), width);
        let mut packed = Scratch::<T>::new(CHUNK_POINTS * width);
        let mut places = Vec::with_capacity(CHUNK_POINTS);
        let plain = self.patches.is_plain();
        for from in task.points.clone().step_by(CHUNK_POINTS) {
            let k = CHUNK_POINTS.min(task.points.end - from);
            let start = if from == task.points.start { Start::Zero } else { Start::Add };
            for (t, tap) in self.patches.taps.iter().enumerate() {
                if !plain {
                    self.patches.places(from..from + k, tap, &mut places);
                }
                for j in tiles.clone() {
                    let mut b = x.at(task.group, j, if plain { from } else { 0 });
                    if !plain {
                        // SAFETY: `packed` holds a chunk; places are points of `x`.
                        unsafe { copy_rows(b, &places, packed.as_mut_ptr()) };
                        b = packed.as_ptr();
                    }
                    for (i, rows) in grad.tiles.iter().enumerate() {
                        let c = sums.tile(t * tiles.len() + j - tiles.start, rows.start);
                        let (a, a_stride) = (grad.at(task.group, i, from), grad.pitch(i));
                        let operands = Operands { k, a, a_stride, b, b_stride: width, c, c_stride: width, start };
                        // SAFETY: `k` points of both operands, and a tile of `sums`.
                        unsafe { tile.run(rows.len(), &operands) };
                    }
                }
            }
        }
        sums
    }

    /// The product of gradients and patches that are packed as panels and then transposed; `swapped` makes the patches the
    /// left operand.
    unsafe fn multiply_packed(&self, tile: &Tile<T>, task: &Task, grad: &Columns<T>, swapped: bool) -> Sums<T> {
        let (s, width) = (self.sizes, tile.columns);
        let count = task.channels.len() * self.patches.taps.len();
        let tiles: Vec<_> = if swapped { tile_rows(count, tile.rows).collect() } else { full_tiles(count, width) };
        let pitch = |t: &Range<usize>| if swapped { t.len() } else { width };
        let (left, right) = if swapped { (count, grad.tiles.len()) } else { (s.rows, tiles.len()) };
        let mut sums = Sums::new(left, right, width);
        let mut rows = Scratch::<T>::new(count * width);
        let mut packed = Scratch::<T>::new(tiles.len() * width.max(tile.rows) * CHUNK_POINTS);
        let mut panel = Panel::default();
        let x = self.x[task.group * s.channels * self.patches.plane()..].as_ptr();
        for from in task.points.clone().step_by(CHUNK_POINTS) {
            let k = CHUNK_POINTS.min(task.points.end - from);
            let start = if from == task.points.start { Start::Zero } else { Start::Add };
            for j in (0..k).step_by(width) {
                self.patches.plan(from + j, width, &mut panel);
                // SAFETY: `rows` holds a panel; the transposes stay in their tiles.
                unsafe {
                    self.patches.pack(&panel, x, task.channels.clone(), rows.as_mut_ptr(), width);
                    for t in &tiles {
                        let to = packed.as_mut_ptr().add(t.start * CHUNK_POINTS + j * pitch(t));
                        transpose(rows.as_ptr().add(t.start * width), width, t.len(), width, to, pitch(t));
                    }
                }
            }
            for t in &tiles {
                let patches = packed.as_ptr().wrapping_add(t.start * CHUNK_POINTS);
                for (i, g) in grad.tiles.iter().enumerate() {
                    let gradients = grad.at(task.group, i, from);
                    let (len, a, b, c) = if swapped {
                        (t.len(), patches, gradients, sums.tile(i, t.start))
                    } else {
                        (g.len(), gradients, patches, sums.tile(t.start / width, g.start))
                    };
                    let operands = Operands { k, a, a_stride: len, b, b_stride: width, c, c_stride: width, start };
                    // SAFETY: `k` points of both operands, and a tile of `sums`.
                    unsafe { tile.run(len, &operands) };
                }
            }
        }
        sums
    }
}

/// Tiles of `width`, the last one shorter.
fn full_tiles(total: usize, width: usize) -> Vec<Range<usize>> {
    (0..total).step_by(width).map(|i| i..(i + width).min(total)).collect()
}

/// `out = Σ partial`, one split after another.
fn add_partials<T: Real>(out: &mut [T], partial: &[T], stride: usize) {
    let len = 1024.min(stride);
    let add = |part: &mut [T], first: usize| {
        for (i, o) in part.iter_mut().enumerate() {
            *o = partial[first + i..].iter().step_by(stride).fold(T::default(), |sum, &v| sum + v);
        }
    };
    let (whole, rest) = out.split_at_mut(stride / len * len);
    let done = whole.len();
    for_parts(whole, len, len * partial.len() / stride, |i, part| add(part, i * len));
    add(rest, done);
}

simd_dispatch! {
    /// Copies the rows of two registers that `places` name, zeros for those outside the input.
    unsafe fn copy_rows<T: Real>(x: *const T, places: &[Option<u32>], to: *mut T) {
        for (i, place) in places.iter().enumerate() {
            let to = to.cast::<u8>().add(2 * i * S::WIDTH);
            match place {
                Some(place) => {
                    let from = x.cast::<u8>().add(2 * *place as usize * S::WIDTH);
                    std::ptr::copy_nonoverlapping(from, to, 2 * S::WIDTH);
                }
                None => std::ptr::write_bytes(to, 0, 2 * S::WIDTH),
            }
        }
    }
}
