//! The weight gradient: patches times output gradients, summed over every point of the batch.
//!
//! The points are cut into splits that depend on the shapes alone; each split has its own partial sums, which are added
//! in order at the end, so the result does not depend on the number of threads.

use crate::cpu::conv::kernel::{Real, Start, Tile};
use crate::cpu::conv::patches::{Panel, Patches, transpose};
use crate::cpu::conv::product::{Sizes, tile_rows};
use crate::cpu::conv::scratch::Scratch;
use crate::cpu::planes::{Shared, for_parts};
use crate::cpu::threads;
use std::ops::Range;

/// Points whose packed operands are multiplied at once.
const CHUNK_POINTS: usize = 192;
/// Rows of patches that one task sums.
const BLOCK_ROWS: usize = 256;
/// Tasks that the cut into splits aims at.
const TASKS: usize = 16;
/// Elements that all partial sums together may have.
const PARTIAL_ELEMENTS: usize = 4 << 20;

/// `out[g, m, c, t] = Σ grad[n, g·rows + m, o] · patch[n, g·channels + c, t, o]`.
pub struct WeightGrad<'a, T> {
    pub patches: &'a Patches,
    pub x: &'a [T],
    pub grad: &'a [T],
    pub sizes: Sizes,
}

/// One operand of the product: rows of a patch matrix.
struct Operand<'a, T> {
    patches: &'a Patches,
    x: *const T,
    channels: Range<usize>,
    rows: usize,
}

/// How the work is cut; a function of shapes (and the tile) only.
struct Cut {
    /// Channels of a task.
    block: usize,
    blocks: usize,
    /// Panels of a split.
    split: usize,
    splits: usize,
    /// Patches are the left operand of the tile, gradients the right one.
    swapped: bool,
}

impl<T: Real> WeightGrad<'_, T> {
    pub fn run(&self, out: &mut [T]) {
        let tile = T::tile();
        let cut = self.cut(&tile);
        let (s, taps) = (self.sizes, self.patches.taps.len());
        let total = s.groups * s.rows * s.channels * taps;
        let mut partial = Vec::new();
        let target = if cut.splits == 1 {
            Shared::new(out)
        } else {
            partial.resize(total * cut.splits, T::default());
            Shared::new(&mut partial)
        };
        let flops = 2 * s.rows * cut.block * taps * cut.split * tile.columns;
        let grain = ((2 << 20) / flops.max(1)).max(1);
        threads::parallel_for(s.groups * cut.blocks * cut.splits, grain, |range| {
            for i in range {
                let (split, rest) = (i % cut.splits, i / cut.splits);
                let (group, block) = (rest / cut.blocks, rest % cut.blocks);
                let channels = block * cut.block..((block + 1) * cut.block).min(s.channels);
                // SAFETY: every task has its own split, group and channels.
                unsafe { self.task(&tile, &cut, group, split, channels, target, split * total) };
            }
        });
        if cut.splits > 1 {
            for_parts(out, 1024.min(total), 1024 * cut.splits, |i, part| {
                add_partials(part, &partial[i * 1024.min(total)..], total);
            });
            let done = total / 1024.min(total) * 1024.min(total);
            add_partials(&mut out[done..], &partial[done..], total);
        }
    }

    fn cut(&self, tile: &Tile<T>) -> Cut {
        let (s, taps) = (self.sizes, self.patches.taps.len());
        let blocks = (s.channels * taps).div_ceil(BLOCK_ROWS).clamp(1, s.channels);
        let block = s.channels.div_ceil(blocks);
        let blocks = s.channels.div_ceil(block);
        let panels = self.patches.columns().div_ceil(tile.columns);
        let chunk = (CHUNK_POINTS / tile.columns).max(1);
        let most = (PARTIAL_ELEMENTS / (s.groups * s.rows * s.channels * taps).max(1)).max(1);
        let splits = TASKS.div_ceil(s.groups * blocks).min(most).min(panels.div_ceil(2 * chunk)).max(1);
        let split = panels.div_ceil(splits).next_multiple_of(chunk);
        // A tile is as wide as its right operand rounded up; a left operand wastes nothing.
        let padded = |n: usize| n.next_multiple_of(tile.columns);
        let swapped = block * taps * padded(s.rows) * 8 < s.rows * padded(block * taps) * 7;
        Cut { block, blocks, split, splits: panels.div_ceil(split), swapped }
    }

    /// Sums one split for some channels of a group and writes it at `target[base..]`.
    unsafe fn task(
        &self,
        tile: &Tile<T>,
        cut: &Cut,
        group: usize,
        split: usize,
        channels: Range<usize>,
        target: Shared<T>,
        base: usize,
    ) {
        let (s, taps, width) = (self.sizes, self.patches.taps.len(), tile.columns);
        let points = self.patches.points();
        let plain = Patches::plain(self.patches.batches, s.groups * s.rows * points, points);
        let gradient = Operand {
            patches: &plain,
            x: self.grad[group * s.rows * points..].as_ptr(),
            channels: 0..s.rows,
            rows: s.rows,
        };
        let patches = Operand {
            patches: self.patches,
            x: self.x[group * s.channels * self.patches.plane()..].as_ptr(),
            channels: channels.clone(),
            rows: channels.len() * taps,
        };
        let (left, right) = if cut.swapped { (&patches, &gradient) } else { (&gradient, &patches) };
        let panels = self.patches.columns().div_ceil(width);
        let panels = split * cut.split..((split + 1) * cut.split).min(panels);
        let chunk = (CHUNK_POINTS / width).max(1);
        // SAFETY: the operands address whole groups of `x` and `grad`.
        let sums = unsafe { multiply(tile, left, right, panels, chunk) };
        let sums = sums.as_slice();
        // `sums[right / width][left][right % width]`
        let rows = left.rows;
        let at = |l: usize, r: usize| sums[(r / width * rows + l) * width + r % width];
        for m in 0..s.rows {
            let start = base + ((group * s.rows + m) * s.channels + channels.start) * taps;
            // SAFETY: this task's rows of the target.
            let to = unsafe { target.range(start, channels.len() * taps) };
            for (k, to) in to.iter_mut().enumerate() {
                *to = if cut.swapped { at(k, m) } else { at(m, k) };
            }
        }
    }
}

fn add_partials<T: Real>(out: &mut [T], partial: &[T], stride: usize) {
    for (i, o) in out.iter_mut().enumerate() {
        let column = partial[i..].iter().step_by(stride);
        *o = column.fold(T::default(), |sum, &v| sum + v);
    }
}

/// `left · rightᵀ` over the columns of `panels`, as `[right tile][left row][lane]`.
unsafe fn multiply<T: Real>(
    tile: &Tile<T>,
    left: &Operand<T>,
    right: &Operand<T>,
    panels: Range<usize>,
    chunk: usize,
) -> Scratch<T> {
    let width = tile.columns;
    let right_tiles = right.rows.div_ceil(width);
    let left_tiles: Vec<_> = tile_rows(left.rows, tile.rows).collect();
    let mut sums = Scratch::<T>::new(right_tiles * left.rows * width);
    let mut rows = Scratch::<T>::new(left.rows.max(right.rows) * width);
    let depth = chunk * width;
    let mut packed_left = Scratch::<T>::new(left.rows * depth);
    let mut packed_right = Scratch::<T>::new(right_tiles * width * depth);
    let mut panel = Panel::default();
    for from in panels.clone().step_by(chunk) {
        let count = chunk.min(panels.end - from);
        for j in 0..count {
            // SAFETY: `rows` holds a panel of either operand; the transposes stay in their tiles.
            unsafe {
                left.patches.plan((from + j) * width, width, &mut panel);
                left.patches.pack(&panel, left.x, left.channels.clone(), rows.as_mut_ptr(), width);
                for t in &left_tiles {
                    let to = packed_left.as_mut_ptr().add(t.start * depth + j * width * t.len());
                    transpose(rows.as_ptr().add(t.start * width), width, t.len(), to, t.len());
                }
                right.patches.plan((from + j) * width, width, &mut panel);
                right.patches.pack(&panel, right.x, right.channels.clone(), rows.as_mut_ptr(), width);
                for t in 0..right_tiles {
                    let to = packed_right.as_mut_ptr().add((t * depth + j * width) * width);
                    let count = width.min(right.rows - t * width);
                    transpose(rows.as_ptr().add(t * width * width), width, count, to, width);
                }
            }
        }
        let start = if from == panels.start { Start::Zero } else { Start::Add };
        for r in 0..right_tiles {
            for t in &left_tiles {
                // SAFETY: the tile's operands and sums were laid out above.
                unsafe {
                    let a = packed_left.as_ptr().add(t.start * depth);
                    let b = packed_right.as_ptr().add(r * depth * width);
                    let c = sums.as_mut_ptr().add((r * left.rows + t.start) * width);
                    tile.run(t.len(), count * width, a, b, c, width, start);
                }
            }
        }
    }
    sums
}
