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

/// Which operands the tile multiplies.
enum Layout<T> {
    /// Both with their channels last, so that a patch is copied and a gradient read in place; for whole tiles of channels.
    ChannelsLast { x: Scratch<T>, grad: Scratch<T> },
    /// Gradients times patches, both packed and transposed.
    Packed,
    /// Patches times gradients, for few patch rows.
    Swapped,
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
    /// The sum of a left row and a lane counted over all right tiles.
    #[inline(always)]
    fn at(&self, left: usize, right: usize) -> T {
        self.data.as_slice()[(right / self.width * self.left_rows + left) * self.width + right % self.width]
    }
}

impl<T: Real> WeightGrad<'_, T> {
    pub fn run(&self, out: &mut [T]) {
        let (tile, s, taps) = (T::tile(), self.sizes, self.patches.taps.len());
        let layout = self.layout(&tile);
        let cut = self.cut(&tile, &layout);
        let total = s.groups * s.rows * s.channels * taps;
        let mut partial = Vec::new();
        let target = if cut.splits == 1 {
            Shared::new(out)
        } else {
            partial.resize(total * cut.splits, T::default());
            Shared::new(&mut partial)
        };
        let flops = 2 * s.rows * cut.block * taps * cut.split;
        threads::parallel_for(s.groups * cut.blocks * cut.splits, (GRAIN_FLOPS / flops.max(1)).max(1), |range| {
            for i in range {
                let (split, rest) = (i % cut.splits, i / cut.splits);
                let (group, block) = (rest / cut.blocks, rest % cut.blocks);
                let channels = block * cut.block..((block + 1) * cut.block).min(s.channels);
                let points = split * cut.split..((split + 1) * cut.split).min(self.patches.columns());
                let task = Task { group, channels, points };
                // SAFETY: every task has its own split, group and channels.
                unsafe { self.task(&tile, &layout, &task, target, split * total) };
            }
        });
        if cut.splits > 1 {
            add_partials(out, &partial, total);
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
        let batches = self.patches.batches;
        Layout::ChannelsLast {
            x: channels_last(self.x, batches, s.groups * s.channels, self.patches.plane()),
            grad: channels_last(self.grad, batches, s.groups * s.rows, self.patches.points()),
        }
    }

    fn cut(&self, tile: &Tile<T>, layout: &Layout<T>) -> Cut {
        let (s, taps, points) = (self.sizes, self.patches.taps.len(), self.patches.columns());
        let block = match layout {
            Layout::ChannelsLast { .. } => (BLOCK_ROWS / taps).max(1).next_multiple_of(tile.columns).min(s.channels),
            _ => s.channels.div_ceil((s.channels * taps).div_ceil(BLOCK_ROWS).clamp(1, s.channels)),
        };
        let blocks = s.channels.div_ceil(block);
        let most = (PARTIAL_ELEMENTS / (s.groups * s.rows * s.channels * taps).max(1)).max(1);
        let splits = TASKS.div_ceil(s.groups * blocks).min(most).min(points.div_ceil(2 * CHUNK_POINTS)).max(1);
        let split = points.div_ceil(splits).next_multiple_of(CHUNK_POINTS);
        Cut { block, blocks, split, splits: points.div_ceil(split) }
    }

    /// Sums one task and writes it at `target[base..]`.
    unsafe fn task(&self, tile: &Tile<T>, layout: &Layout<T>, task: &Task, target: Shared<T>, base: usize) {
        let (s, taps, width) = (self.sizes, self.patches.taps.len(), tile.columns);
        let channels = &task.channels;
        let points = self.patches.points();
        let plain = Patches::plain(self.patches.batches, s.groups * s.rows * points, points);
        let gradients = Rows {
            patches: &plain,
            x: self.grad[task.group * s.rows * points..].as_ptr(),
            channels: 0..s.rows,
            count: s.rows,
        };
        let patches = Rows {
            patches: self.patches,
            x: self.x[task.group * s.channels * self.patches.plane()..].as_ptr(),
            channels: channels.clone(),
            count: channels.len() * taps,
        };
        // SAFETY: the operands address whole groups of `x` and `grad`.
        let sums = unsafe {
            match layout {
                Layout::ChannelsLast { x, grad } => self.multiply_channels_last(tile, task, x, grad),
                Layout::Packed => multiply_packed(tile, &gradients, &patches, task.points.clone()),
                Layout::Swapped => multiply_packed(tile, &patches, &gradients, task.points.clone()),
            }
        };
        // Lanes of a tap are padded to whole tiles when channels come last.
        let lanes = channels.len().next_multiple_of(width);
        for m in 0..s.rows {
            let start = base + ((task.group * s.rows + m) * s.channels + channels.start) * taps;
            // SAFETY: this task's part of the target.
            let to = unsafe { target.range(start, channels.len() * taps) };
            for (c, to) in to.chunks_exact_mut(taps).enumerate() {
                for (t, to) in to.iter_mut().enumerate() {
                    *to = match layout {
                        Layout::ChannelsLast { .. } => sums.at(m, t * lanes + c),
                        Layout::Packed => sums.at(m, c * taps + t),
                        Layout::Swapped => sums.at(c * taps + t, m),
                    };
                }
            }
        }
    }

    /// Gradients, read in place, times copied patches.
    unsafe fn multiply_channels_last(
        &self, tile: &Tile<T>, task: &Task, x: &Scratch<T>, grad: &Scratch<T>,
    ) -> Sums<T> {
        let (s, width) = (self.sizes, tile.columns);
        let tiles = task.channels.len().div_ceil(width);
        let mut sums = Sums::new(s.rows, tiles * self.patches.taps.len(), width);
        let mut packed = Scratch::<T>::new(CHUNK_POINTS * width);
        let mut places = Vec::with_capacity(CHUNK_POINTS);
        let (pitch, first) = (s.groups * s.channels, task.group * s.channels + task.channels.start);
        for from in task.points.clone().step_by(CHUNK_POINTS) {
            let count = CHUNK_POINTS.min(task.points.end - from);
            let start = if from == task.points.start { Start::Zero } else { Start::Add };
            let grad = grad.as_slice()[from * s.groups * s.rows + task.group * s.rows..].as_ptr();
            for (t, tap) in self.patches.taps.iter().enumerate() {
                self.patches.places(from..from + count, tap, &mut places);
                for j in 0..tiles {
                    let x = x.as_slice()[first + j * width..].as_ptr();
                    // SAFETY: `x` has room for a tile beyond its last row; `packed` holds a chunk, the tiles of `sums`
                    // are as wide as the tile.
                    unsafe {
                        copy_rows(x, pitch, &places, packed.as_mut_ptr());
                        for rows in tile_rows(s.rows, tile.rows) {
                            let c = sums.tile(t * tiles + j, rows.start);
                            let a = grad.wrapping_add(rows.start);
                            let (a_stride, b) = (s.groups * s.rows, packed.as_ptr());
                            let operands =
                                Operands { k: count, a, a_stride, b, b_stride: width, c, c_stride: width, start };
                            tile.run(rows.len(), &operands);
                        }
                    }
                }
            }
        }
        sums
    }
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

/// `(N, C, P)` as `(N, P, C)`, with room for a tile behind the last row.
fn channels_last<T: Real>(x: &[T], batches: usize, channels: usize, points: usize) -> Scratch<T> {
    const BLOCK: usize = 32;
    let mut out = Scratch::<T>::new(x.len() + 64);
    let shared = Shared::new(out.as_mut_slice());
    let blocks = points.div_ceil(BLOCK);
    threads::parallel_for(batches * blocks, grain(channels * BLOCK / 4), |range| {
        for i in range {
            let (n, from) = (i / blocks, i % blocks * BLOCK);
            let rows = x[n * channels * points + from..].as_ptr();
            let to = shared.ptr().wrapping_add((n * points + from) * channels);
            // SAFETY: blocks read and write their own points.
            unsafe { transpose(rows, points, channels, BLOCK.min(points - from), to, channels) };
        }
    });
    out
}

simd_dispatch! {
    /// Copies the two registers at `x + place·pitch` for every place, zeros for those outside the input.
    unsafe fn copy_rows<T: Real>(x: *const T, pitch: usize, places: &[Option<u32>], to: *mut T) {
        let width = 2 * S::WIDTH / size_of::<T>();
        for (i, place) in places.iter().enumerate() {
            let to = to.add(i * width).cast::<u8>();
            match place {
                Some(place) => {
                    let from = x.add(*place as usize * pitch);
                    std::ptr::copy_nonoverlapping(from.cast::<u8>(), to, 2 * S::WIDTH);
                }
                None => std::ptr::write_bytes(to, 0, 2 * S::WIDTH),
            }
        }
    }
}

/// Rows of a patch matrix.
struct Rows<'a, T> {
    patches: &'a Patches,
    x: *const T,
    channels: Range<usize>,
    count: usize,
}

/// `left · rightᵀ` over a range of columns, both packed as panels and then transposed.
unsafe fn multiply_packed<T: Real>(tile: &Tile<T>, left: &Rows<T>, right: &Rows<T>, points: Range<usize>) -> Sums<T> {
    let (width, depth) = (tile.columns, CHUNK_POINTS);
    let right_tiles = right.count.div_ceil(width);
    let left_tiles: Vec<_> = tile_rows(left.count, tile.rows).collect();
    let mut sums = Sums::new(left.count, right_tiles, width);
    let mut rows = Scratch::<T>::new(left.count.max(right.count) * width);
    let mut packed_left = Scratch::<T>::new(left.count * depth);
    let mut packed_right = Scratch::<T>::new(right_tiles * width * depth);
    let mut panel = Panel::default();
    for from in points.clone().step_by(depth) {
        let panels = depth.min(points.end - from).div_ceil(width);
        for j in 0..panels {
            // SAFETY: `rows` holds a panel of either operand; the transposes stay in their tiles.
            unsafe {
                left.patches.plan(from + j * width, width, &mut panel);
                left.patches.pack(&panel, left.x, left.channels.clone(), rows.as_mut_ptr(), width);
                for t in &left_tiles {
                    let to = packed_left.as_mut_ptr().add(t.start * depth + j * width * t.len());
                    transpose(rows.as_ptr().add(t.start * width), width, t.len(), width, to, t.len());
                }
                right.patches.plan(from + j * width, width, &mut panel);
                right.patches.pack(&panel, right.x, right.channels.clone(), rows.as_mut_ptr(), width);
                for t in 0..right_tiles {
                    let to = packed_right.as_mut_ptr().add((t * depth + j * width) * width);
                    let count = width.min(right.count - t * width);
                    transpose(rows.as_ptr().add(t * width * width), width, count, width, to, width);
                }
            }
        }
        let start = if from == points.start { Start::Zero } else { Start::Add };
        for r in 0..right_tiles {
            for t in &left_tiles {
                // SAFETY: the tile's operands and sums were laid out above.
                unsafe {
                    let (a, a_stride) = (packed_left.as_ptr().add(t.start * depth), t.len());
                    let (b, b_stride) = (packed_right.as_ptr().add(r * depth * width), width);
                    let (c, c_stride, k) = (sums.tile(r, t.start), width, panels * width);
                    tile.run(t.len(), &Operands { k, a, a_stride, b, b_stride, c, c_stride, start });
                }
            }
        }
    }
    sums
}
