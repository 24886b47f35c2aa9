//! The weight gradient: patches times output gradients, summed over every point of the batch.
//!
//! The points are cut into splits that depend on the shapes alone; each split has its own partial sums, which are added
//! in order at the end, so the result does not depend on the number of threads.

use crate::cpu::conv::kernel::{Panels, Real, Start, Tile};
use crate::cpu::conv::patches::{Panel, Patches, transpose};
use crate::cpu::conv::product::{GRAIN_FLOPS, Sizes, tile_rows};
use crate::cpu::planes::{Shared, for_parts};
use crate::cpu::scratch::Scratch;
use crate::cpu::threads;
use std::ops::Range;

/// Points whose packed operands are multiplied at once.
const CHUNK_POINTS: usize = 192;
/// Rows of patches that one task sums.
const BLOCK_ROWS: usize = 256;
/// Chunks of points in a split, so that adding the splits is little beside their products.
const LEAST_CHUNKS: usize = 4;
/// Tasks that the cut into splits aims at.
const TASKS: usize = 16;
/// Multiply-adds in the time that turning an element of the right operand takes.
const TURN: usize = 4;
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
pub struct Cut {
    sizes: Sizes,
    /// Elements of a kernel of one channel.
    taps: usize,
    /// Channels of a task.
    block: usize,
    blocks: usize,
    /// Panels of a split.
    split: usize,
    splits: usize,
    panels: usize,
}

/// What is summed at once: some channels of a group, over some panels of columns.
pub struct Task {
    pub group: usize,
    pub channels: Range<usize>,
    pub panels: Range<usize>,
    /// Where the gradients of the task's split begin in the target.
    base: usize,
}

impl Cut {
    /// `panels` of columns, of which `chunk` are multiplied at once; a task has `block` channels, more or less.
    pub fn new(sizes: Sizes, taps: usize, block: usize, panels: usize, chunk: usize) -> Cut {
        let blocks = sizes.channels.div_ceil(block.max(1));
        let block = sizes.channels.div_ceil(blocks);
        let blocks = sizes.channels.div_ceil(block);
        let most = (PARTIAL_ELEMENTS / (sizes.groups * sizes.rows * sizes.channels * taps).max(1)).max(1);
        let splits = TASKS.div_ceil(sizes.groups * blocks).min(most).min(panels.div_ceil(LEAST_CHUNKS * chunk)).max(1);
        let split = panels.div_ceil(splits).next_multiple_of(chunk);
        Cut { sizes, taps, block, blocks, split, splits: panels.div_ceil(split), panels }
    }

    /// Channels of a full task.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Lets `task` compute the gradients of every task, each of which costs `flops` a panel, and adds the splits.
    pub fn run<T: Real>(&self, out: &mut [T], flops: usize, task: impl Fn(&Task, Shared<T>) + Sync) {
        let total = self.sizes.groups * self.sizes.rows * self.sizes.channels * self.taps;
        let mut partial = Scratch::<T>::new(if self.splits == 1 { 0 } else { total * self.splits });
        let target = if self.splits == 1 { Shared::new(out) } else { Shared::new(partial.as_mut_slice()) };
        let grain = (GRAIN_FLOPS / (flops * self.split).max(1)).max(1);
        threads::parallel_for(self.sizes.groups * self.blocks * self.splits, grain, |range| {
            for i in range {
                let (split, rest) = (i % self.splits, i / self.splits);
                let (group, block) = (rest / self.blocks, rest % self.blocks);
                let channels = block * self.block..((block + 1) * self.block).min(self.sizes.channels);
                let panels = split * self.split..((split + 1) * self.split).min(self.panels);
                task(&Task { group, channels, panels, base: split * total }, target);
            }
        });
        if self.splits > 1 {
            let partial = partial.as_slice();
            for_parts(out, 1024.min(total), 1024 * self.splits, |i, part| {
                add_partials(part, &partial[i * 1024.min(total)..], total);
            });
            let done = total / 1024.min(total) * 1024.min(total);
            add_partials(&mut out[done..], &partial[done..], total);
        }
    }

    /// The gradients of a task's channels in a row.
    ///
    /// # Safety
    /// Called for every row of every task once at a time.
    pub unsafe fn row<'a, T>(&self, task: &Task, row: usize, target: Shared<T>) -> &'a mut [T] {
        let start = ((task.group * self.sizes.rows + row) * self.sizes.channels + task.channels.start) * self.taps;
        // SAFETY: every task has its own split, group and channels.
        unsafe { target.range(task.base + start, task.channels.len() * self.taps) }
    }
}

impl<T: Real> WeightGrad<'_, T> {
    pub fn run(&self, out: &mut [T]) {
        let tile = T::tile();
        let (s, taps) = (self.sizes, self.patches.taps());
        let blocks = (s.channels * taps).div_ceil(BLOCK_ROWS).clamp(1, s.channels);
        let panels = self.patches.columns().div_ceil(tile.columns);
        let chunk = (CHUNK_POINTS / tile.columns).max(1);
        let cut = Cut::new(s, taps, s.channels.div_ceil(blocks), panels, chunk);
        let (rows, padded) = (cut.block() * taps, |n: usize| n.next_multiple_of(tile.columns));
        let cost = |left: usize, right: usize| left * padded(right) + TURN * right;
        let swapped = cost(rows, s.rows) < cost(s.rows, rows);
        let flops = 2 * s.rows * cut.block() * taps * tile.columns;
        // SAFETY: every task is run once.
        cut.run(out, flops, |task, target| unsafe { self.task(&tile, &cut, task, swapped, target) });
    }

    /// Sums the panels of a task and writes its gradients; with `swapped` patches are the left operand of the tile.
    unsafe fn task(&self, tile: &Tile<T>, cut: &Cut, task: &Task, swapped: bool, target: Shared<T>) {
        let (s, taps, width) = (self.sizes, self.patches.taps(), tile.columns);
        let points = self.patches.points();
        let plain = Patches::plain(self.patches.batches, s.groups * s.rows * points, points);
        let gradient = Operand {
            patches: &plain,
            x: self.grad[task.group * s.rows * points..].as_ptr(),
            channels: 0..s.rows,
            rows: s.rows,
        };
        let patches = Operand {
            patches: self.patches,
            x: self.x[task.group * s.channels * self.patches.plane()..].as_ptr(),
            channels: task.channels.clone(),
            rows: task.channels.len() * taps,
        };
        let (left, right) = if swapped { (&patches, &gradient) } else { (&gradient, &patches) };
        let chunk = (CHUNK_POINTS / width).max(1);
        // SAFETY: the operands address whole groups of `x` and `grad`.
        let sums = unsafe { multiply(tile, left, right, task.panels.clone(), chunk) };
        let sums = sums.as_slice();
        // `sums[right / width][left][right % width]`
        for (r, lanes) in sums.chunks(left.rows * width).enumerate() {
            let (first, count) = (r * width, width.min(right.rows - r * width));
            if swapped {
                for lane in 0..count {
                    // SAFETY: passed on.
                    let to = unsafe { cut.row(task, first + lane, target) };
                    to.iter_mut().zip(lanes[lane..].iter().step_by(width)).for_each(|(to, &v)| *to = v);
                }
            } else {
                for (m, from) in lanes.chunks_exact(width).enumerate() {
                    // SAFETY: passed on.
                    let to = unsafe { cut.row(task, m, target) };
                    to[first..first + count].copy_from_slice(&from[..count]);
                }
            }
        }
    }
}

/// Whether the patches make the better left operand of a product: a tile is as wide as its right operand rounded up, while a
/// left operand wastes nothing.
pub fn patches_left(patches: usize, gradients: usize, width: usize) -> bool {
    let padded = |n: usize| n.next_multiple_of(width);
    patches * padded(gradients) * 8 < gradients * padded(patches) * 7
}

fn add_partials<T: Real>(out: &mut [T], partial: &[T], stride: usize) {
    out.copy_from_slice(&partial[..out.len()]);
    for split in partial.chunks(stride).skip(1) {
        out.iter_mut().zip(split).for_each(|(sum, &v)| *sum = *sum + v);
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
    let mut rows = Scratch::<T>::new(right.rows * width);
    let depth = chunk * width;
    // The left operand stays in the rows that its panels come in.
    let pitch = left.rows * width;
    let mut panels_left = Scratch::<T>::new(chunk * pitch);
    let mut packed_right = Scratch::<T>::new(right_tiles * width * depth);
    let mut panel = Panel::default();
    for from in panels.clone().step_by(chunk) {
        let count = chunk.min(panels.end - from);
        for j in 0..count {
            // SAFETY: the scratch holds as many panels of either operand; the transposes stay in their tiles.
            unsafe {
                left.patches.plan((from + j) * width, width, &mut panel);
                left.patches.pack(
                    &panel,
                    left.x,
                    left.channels.clone(),
                    panels_left.as_mut_ptr().add(j * pitch),
                    width,
                );
                right.patches.plan((from + j) * width, width, &mut panel);
                right.patches.pack(&panel, right.x, right.channels.clone(), rows.as_mut_ptr(), width);
                for t in 0..right_tiles {
                    let to = packed_right.as_mut_ptr().add((t * depth + j * width) * width);
                    let count = width.min(right.rows - t * width);
                    transpose(rows.as_ptr().add(t * width * width), width, width, count, to, width);
                }
            }
        }
        let start = if from == panels.start { Start::Zero } else { Start::Add };
        for r in 0..right_tiles {
            for t in &left_tiles {
                // SAFETY: the tile's operands and sums were laid out above.
                unsafe {
                    let a = Panels { at: panels_left.as_ptr().add(t.start * width), pitch, count };
                    let b = packed_right.as_ptr().add(r * depth * width);
                    let c = sums.as_mut_ptr().add((r * left.rows + t.start) * width);
                    tile.run_rows(t.len(), a, b, c, width, start);
                }
            }
        }
    }
    sums
}
