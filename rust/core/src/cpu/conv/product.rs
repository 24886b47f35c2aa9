//! Packed weights times patches: the forward pass of a convolution and, phase by phase, its input gradient.

use crate::cpu::conv::kernel::{Real, Start, Tile};
use crate::cpu::conv::patches::{Panel, Patches, transpose};
use crate::cpu::elementwise::Then;
use crate::cpu::planes::{Shared, for_parts, grain};
use crate::cpu::scratch::Scratch;
use crate::cpu::threads;
use std::ops::Range;

/// Rows of a patch panel that are packed at once: with 32 float32 columns the panel stays in the first-level cache.
const BLOCK_ROWS: usize = 256;
/// Panels of one task, so that a slice of the weights is read from the second-level cache that many times.
const TASK_PANELS: usize = 8;
/// Multiplications and additions of a chunk of parallel work: about 20 µs.
pub const GRAIN_FLOPS: usize = 2 << 20;

/// Points of a task from which on its results are finished in cache; shorter stretches cost more than another pass.
const FINISH_FROM: usize = 128;

/// Columns of weights that are turned at once.
const TURNED: usize = 32;

/// Where the weight of (row, channel, tap) lies within a group: `row·row_stride + channel·channel_stride + taps[tap]`.
pub struct WeightLayout {
    pub row_stride: usize,
    pub channel_stride: usize,
    pub taps: Vec<usize>,
    pub group_stride: usize,
}

/// The sizes of a grouped product, per group.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub groups: usize,
    pub rows: usize,
    pub channels: usize,
}

/// Cuts `total` rows into the fewest tiles of at most `most`, as even as possible.
pub fn tile_rows(total: usize, most: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let count = total.div_ceil(most).max(1);
    let (base, longer) = (total / count, total % count);
    (0..count).map(move |i| i * base + i.min(longer)..(i + 1) * base + (i + 1).min(longer))
}

/// Turns `rows` rows of `columns` elements, `pitch` apart, into columns.
fn turn<T: Real>(from: &[T], pitch: usize, columns: usize, rows: usize, to: &mut [T]) {
    assert!(from.len() >= (rows - 1) * pitch + columns && to.len() >= rows * columns);
    let whole = columns / TURNED * TURNED;
    for (first, width) in (0..whole).step_by(TURNED).map(|c| (c, TURNED)).chain([(whole, columns - whole)]) {
        // SAFETY: the assertion above.
        unsafe { transpose(from.as_ptr().add(first), pitch, width, rows, to.as_mut_ptr().add(first * rows), rows) };
    }
}

/// Weights as `[group][tile][channel][tap][row]`.
pub struct PackedWeights<T> {
    data: Scratch<T>,
    tiles: Vec<Range<usize>>,
}

impl<T: Real> PackedWeights<T> {
    pub fn new(weights: &[T], layout: &WeightLayout, sizes: Sizes) -> Self {
        let depth = sizes.channels * layout.taps.len();
        let mut data = Scratch::new(sizes.groups * sizes.rows * depth);
        let tiles: Vec<_> = tile_rows(sizes.rows, T::tile().rows).collect();
        let shared = Shared::new(data.as_mut_slice());
        let taps = layout.taps.len();
        // The weights of a row in one stretch are the rows of a matrix.
        let stretch = layout.channel_stride == taps && layout.taps.iter().enumerate().all(|(i, &tap)| i == tap);
        threads::parallel_for(sizes.groups * sizes.channels, grain(taps * sizes.rows), |range| {
            for rows in &tiles {
                let mut i = range.start;
                while i < range.end {
                    let (g, c) = (i / sizes.channels, i % sizes.channels);
                    let count = if stretch { (sizes.channels - c).min(range.end - i) } else { 1 };
                    let source = &weights[g * layout.group_stride + c * layout.channel_stride..];
                    let source = &source[rows.start * layout.row_stride..];
                    let at = (g * sizes.rows + rows.start) * depth + c * taps * rows.len();
                    // SAFETY: the parts of some channels in a tile belong to this iteration alone.
                    let to = unsafe { shared.range(at, count * taps * rows.len()) };
                    if stretch {
                        turn(source, layout.row_stride, count * taps, rows.len(), to);
                    } else if layout.row_stride == 1 {
                        for (column, &tap) in to.chunks_exact_mut(rows.len()).zip(&layout.taps) {
                            column.copy_from_slice(&source[tap..][..rows.len()]);
                        }
                    } else {
                        for (column, &tap) in to.chunks_exact_mut(rows.len()).zip(&layout.taps) {
                            let source = source[tap..].iter().step_by(layout.row_stride);
                            column.iter_mut().zip(source).for_each(|(w, &v)| *w = v);
                        }
                    }
                    i += count;
                }
            }
        });
        PackedWeights { data, tiles }
    }
}

/// Where the points of the patches' grid lie in the output: point `o` at `start + o·step` of a plane of `size`. Those of a row
/// lie side by side.
#[derive(Clone, Debug)]
pub struct Place {
    pub size: [usize; 3],
    pub start: [usize; 3],
    pub step: [usize; 3],
}

impl Place {
    pub fn dense(size: [usize; 3]) -> Place {
        Place { size, start: [0; 3], step: [1; 3] }
    }
    fn is_dense(&self) -> bool {
        self.step == [1; 3]
    }
    fn plane(&self) -> usize {
        self.size.iter().product()
    }
    /// The offset of the grid's point in the output plane.
    pub fn offset(&self, grid: [usize; 3], point: usize) -> usize {
        let at = [point / (grid[1] * grid[2]), point / grid[2] % grid[1], point % grid[2]];
        let [d, h, w] = [0, 1, 2].map(|a| self.start[a] + at[a] * self.step[a]);
        (d * self.size[1] + h) * self.size[2] + w
    }
}

/// `out[n, g·rows + r, place(o)] = bias[g·rows + r] + Σ weight[g, r, c, t] · patch[n, g·channels + c, t, o]`.
pub struct Product<'a, T> {
    pub patches: &'a Patches,
    pub x: &'a [T],
    pub weights: &'a PackedWeights<T>,
    pub sizes: Sizes,
    pub bias: Option<&'a [T]>,
    pub place: &'a Place,
    /// What finishes the results, where the places are dense.
    pub then: Then<'a>,
}

/// Lanes of a panel that lie side by side in the output.
struct Segment {
    lane: usize,
    len: usize,
    /// Offset in the output without the channel.
    offset: usize,
}

/// A task: panels of one group, and some of its weight tiles.
struct Task<'a> {
    group: usize,
    panels: Range<usize>,
    tiles: &'a [Range<usize>],
}

impl<T: Real> Product<'_, T> {
    /// # Safety
    /// No other thread touches the places of this product in `out`.
    pub unsafe fn run(&self, out: Shared<T>) {
        let tile = T::tile();
        let (columns, width) = (self.patches.columns(), tile.columns);
        let panels = columns.div_ceil(width);
        let tiles = &self.weights.tiles[..];
        // How the work is cut changes no sum: every tile adds its channels in the same blocks.
        let wanted = 4 * threads::num_threads();
        let per_task = (panels * self.sizes.groups / wanted).clamp(1, TASK_PANELS);
        let blocks = panels.div_ceil(per_task);
        let parts = (wanted / (blocks * self.sizes.groups).max(1)).clamp(1, tiles.len());
        let part = tiles.len().div_ceil(parts);
        let parts = tiles.len().div_ceil(part);
        let depth = self.sizes.channels * self.patches.taps();
        let flops = 2 * per_task * width * (self.sizes.rows / parts).max(1) * depth.max(8);
        let long = per_task * width >= FINISH_FROM;
        threads::parallel_for(blocks * parts * self.sizes.groups, (GRAIN_FLOPS / flops).max(1), |range| {
            let mut worker = Worker::new(self, tile, part, self.then.filter(|_| long));
            for i in range {
                let (block, rest) = (i % blocks, i / blocks);
                let (group, p) = (rest / parts, rest % parts);
                let tiles = &tiles[p * part..((p + 1) * part).min(tiles.len())];
                let panels = block * per_task..((block + 1) * per_task).min(panels);
                // SAFETY: tasks write disjoint rows or columns.
                unsafe { worker.run(&Task { group, panels, tiles }, out) };
            }
        });
        if let Some(then) = self.then.filter(|_| !long) {
            then.all();
        }
    }

    /// The places of the lanes of a panel.
    fn segments(&self, from: usize, width: usize, to: &mut Vec<Segment>) {
        to.clear();
        let (points, grid) = (self.patches.points(), self.patches.grid);
        let sample_size = self.sizes.groups * self.sizes.rows * self.place.plane();
        let end = (from + width).min(self.patches.columns());
        let mut q = from;
        while q < end {
            let (sample, point) = (q / points, q % points);
            let run = if self.place.is_dense() { points - point } else { grid[2] - point % grid[2] };
            let len = run.min(end - q);
            let offset = sample * sample_size + self.place.offset(grid, point);
            to.push(Segment { lane: q - from, len, offset });
            q += len;
        }
    }
}

/// What one thread needs for its tasks.
struct Worker<'a, T> {
    product: &'a Product<'a, T>,
    tile: Tile<T>,
    /// Channels packed at once.
    block: usize,
    /// One packed panel.
    packed: Scratch<T>,
    /// The tiles of panels whose lanes are not one run of the output.
    aside: Scratch<T>,
    panels: Vec<(Panel, Vec<Segment>)>,
    /// What finishes the results of each task.
    then: Then<'a>,
}

impl<'a, T: Real> Worker<'a, T> {
    fn new(product: &'a Product<'a, T>, tile: Tile<T>, part: usize, then: Then<'a>) -> Self {
        let (channels, taps) = (product.sizes.channels, product.patches.taps());
        let blocks = (channels * taps).div_ceil(BLOCK_ROWS).clamp(1, channels.max(1));
        let block = channels.div_ceil(blocks).max(1);
        let packed = Scratch::new(block * taps * tile.columns);
        let aside = Scratch::new(TASK_PANELS * part * tile.rows * tile.columns);
        Worker { product, tile, block, packed, aside, panels: Vec::new(), then }
    }

    /// # Safety
    /// As [`Product::run`], for the columns and rows of the task.
    unsafe fn run(&mut self, task: &Task, out: Shared<T>) {
        let (p, width) = (self.product, self.tile.columns);
        self.panels.resize_with(task.panels.len(), Default::default);
        for (i, (panel, segments)) in task.panels.clone().zip(&mut self.panels) {
            p.patches.plan(i * width, width, panel);
            p.segments(i * width, width, segments);
        }
        let channels = p.sizes.channels;
        for from in (0..channels).step_by(self.block) {
            let block = from..(from + self.block).min(channels);
            for j in 0..task.panels.len() {
                // SAFETY: the caller's contract.
                unsafe { self.panel(task, j, block.clone(), out) };
            }
        }
        self.finish(task, out);
    }

    /// Hands the results of a task over: of each channel the points that lie side by side.
    fn finish(&self, task: &Task, out: Shared<T>) {
        let (Some(then), Some(first), Some(last)) = (self.then, task.tiles.first(), task.tiles.last()) else { return };
        let (p, plane) = (self.product, self.product.place.plane());
        let channel = out.ptr().wrapping_add((task.group * p.sizes.rows + first.start) * plane);
        let mut segments = self.panels.iter().flat_map(|(_, segments)| segments).peekable();
        while let Some(segment) = segments.next() {
            let mut len = segment.len;
            while let Some(next) = segments.next_if(|next| next.offset == segment.offset + len) {
                len += next.len;
            }
            then.block(channel.wrapping_add(segment.offset), last.end - first.start, plane, len);
        }
    }

    /// Adds one block of channels to one panel of the output.
    unsafe fn panel(&mut self, task: &Task, j: usize, block: Range<usize>, out: Shared<T>) {
        let (p, tile) = (self.product, self.tile);
        let (plane, taps, width) = (p.place.plane(), p.patches.taps(), tile.columns);
        let depth = p.sizes.channels * taps;
        let (panel, segments) = &self.panels[j];
        let x = p.x[task.group * p.sizes.channels * p.patches.plane()..].as_ptr();
        // SAFETY: the scratch holds one panel of the block; `x` is channel 0 of the group.
        unsafe { p.patches.pack(panel, x, block.clone(), self.packed.as_mut_ptr(), width) };
        let direct = match &segments[..] {
            [one] if one.len == width && p.place.is_dense() => Some(one.offset),
            _ => None,
        };
        let part_rows: usize = task.tiles.iter().map(Range::len).sum();
        let first_row = task.tiles.first().map_or(0, |t| t.start);
        let aside = self.aside.as_mut_ptr().wrapping_add(j * part_rows * width);
        for rows in task.tiles {
            let channel = task.group * p.sizes.rows + rows.start;
            let (c, ldc) = match direct {
                Some(offset) => (out.ptr().wrapping_add(offset + channel * plane), plane),
                None => (aside.wrapping_add((rows.start - first_row) * width), width),
            };
            let start = match p.bias {
                _ if block.start > 0 => Start::Add,
                Some(bias) => Start::Bias(bias[channel..].as_ptr()),
                None => Start::Zero,
            };
            let a = &p.weights.data.as_slice()[(task.group * p.sizes.rows + rows.start) * depth..];
            let a = a[block.start * taps * rows.len()..].as_ptr();
            // SAFETY: `a` holds the block of this tile, the packed panel its patches, `c` a tile of this task.
            unsafe { tile.run(rows.len(), block.len() * taps, a, self.packed.as_ptr(), c, ldc, start) };
        }
        if direct.is_none() && block.end == p.sizes.channels {
            for r in 0..part_rows {
                let channel = (task.group * p.sizes.rows + first_row + r) * plane;
                for s in segments {
                    let to = out.ptr().wrapping_add(s.offset + channel);
                    let from = aside.wrapping_add(r * width + s.lane);
                    // SAFETY: the segment's places belong to this task.
                    unsafe { std::ptr::copy_nonoverlapping(from, to, s.len) };
                }
            }
        }
    }
}

/// Fills every channel with its bias, or zero.
pub fn fill<T: Real>(out: &mut [T], channels: usize, plane: usize, bias: Option<&[T]>) {
    for_parts(out, plane, plane / 8, |i, part| part.fill(bias.map_or(T::default(), |b| b[i % channels])));
}
