//! Transformed output gradients times transformed inputs, summed over tiles: the weight gradient.

use super::Windows;
use super::panels::{Panel, PanelLoads, Source};
use super::transform::{Kernels, MOST_LANES, TransformFn, Transformed, Transforms};
use crate::cpu::conv::Geometry;
use crate::cpu::conv::kernel::{Real, Start, Tile};
use crate::cpu::conv::patches::transpose;
use crate::cpu::conv::product::tile_rows;
use crate::cpu::conv::weight_grad::{Cut, Task, patches_left};
use crate::cpu::planes::Shared;
use crate::cpu::scratch::Scratch;
use std::ops::Range;

/// Panels whose packed operands are multiplied at once.
const CHUNK: usize = 2;
/// Rows of transformed inputs that a task takes.
const BLOCK_ROWS: usize = 128;

/// The weight gradient, where the algorithm applies and saves work; else false, with nothing done.
pub fn weight_grad<T: Real>(g: &Geometry, x: &[T], grad: &[T], out: &mut [T]) -> bool {
    let Some((with, windows)) = T::transforms(g.is_flat()).zip(Windows::of_forward(g)) else { return false };
    if !windows.pays_for_weights() {
        return false;
    }
    let (tile, s, slices) = (T::tile(), windows.sizes, windows.source.depth_taps.len());
    let gradients = Source {
        size: g.output,
        channels: g.rows,
        origin: [0; 2],
        row_step: windows.tiles.height,
        depth_taps: vec![0],
        depth_step: 1,
        rows: windows.tiles.height,
        pairs: 1,
    };
    let panels = windows.tiles.count().div_ceil(tile.columns);
    let cut = Cut::new(s, slices * windows.taps(), (BLOCK_ROWS / slices).max(1), panels, CHUNK);
    let job = Job { windows: &windows, gradients, with, tile, x, grad };
    let flops = 2 * windows.points() * s.rows * cut.block() * slices * tile.columns;
    // SAFETY: every task is run once.
    cut.run(out, flops, |task, target| unsafe { job.task(&cut, task, target) });
    true
}

struct Job<'a, T> {
    windows: &'a Windows,
    gradients: Source,
    with: Transforms<T>,
    tile: Tile<T>,
    x: &'a [T],
    grad: &'a [T],
}

/// One operand of the products: rows of transformed tiles, one for every channel and tap in depth.
struct Operand<'a, T> {
    source: &'a Source,
    transform: TransformFn<T>,
    x: *const T,
    rows: usize,
    tiles: Vec<Range<usize>>,
    /// The lanes of every tile of a right operand; those of a left one are its rows.
    width: Option<usize>,
    /// Points of a tile.
    points: usize,
    packed: Scratch<T>,
}

impl<T: Real> Job<'_, T> {
    unsafe fn task(&self, cut: &Cut, task: &Task, target: Shared<T>) {
        let (s, source, points) = (self.windows.sizes, &self.windows.source, self.windows.points());
        let slices = source.depth_taps.len();
        let channel = task.group * s.channels + task.channels.start;
        let inputs =
            (source, self.with.input, self.x[channel * source.plane()..].as_ptr(), task.channels.len() * slices);
        let grad = self.grad[task.group * s.rows * self.gradients.plane()..].as_ptr();
        let gradients = (&self.gradients, self.with.gradient, grad, s.rows);
        let swapped = patches_left(task.channels.len() * slices, s.rows, self.tile.columns);
        let (left, right) = if swapped { (inputs, gradients) } else { (gradients, inputs) };
        let mut left = Operand::new(left, points, &self.tile, None);
        let mut right = Operand::new(right, points, &self.tile, Some(self.tile.columns));
        // SAFETY: the operands address whole groups.
        let sums = unsafe { self.multiply(&mut left, &mut right, task.panels.clone()) };
        let width = self.tile.columns;
        let point = right.tiles.len() * left.rows * width;
        let taps = self.windows.taps();
        let mut kernels: Kernels<T> = [[T::default(); MOST_LANES]; 9];
        for (r, lanes) in right.tiles.iter().enumerate() {
            for l in 0..left.rows {
                // SAFETY: `sums` is `[point][right tile][left row][lane]`; the gradients are this task's.
                unsafe {
                    (self.with.weight_grad)(sums.as_ptr().add((r * left.rows + l) * width), point, &mut kernels);
                    for (lane, i) in lanes.clone().enumerate() {
                        let (row, k) = if swapped { (i, l) } else { (l, i) };
                        let to = &mut cut.row(task, row, target)[k * taps..][..taps];
                        to.iter_mut().zip(&kernels).for_each(|(to, tap)| *to = tap[lane]);
                    }
                }
            }
        }
    }

    /// `left · rightᵀ` over the tiles of `panels` for every point, as `[point][right tile][left row][lane]`.
    unsafe fn multiply<'o>(
        &self,
        left: &mut Operand<'o, T>,
        right: &mut Operand<'o, T>,
        panels: Range<usize>,
    ) -> Scratch<T> {
        let (width, points) = (self.tile.columns, self.windows.points());
        let mut sums = Scratch::<T>::new(points * right.tiles.len() * left.rows * width);
        let mut aside = Scratch::<T>::new(points * self.tile.rows.max(width) * width);
        let (mut panel, mut loads) = (Panel::default(), PanelLoads::default());
        for from in panels.clone().step_by(CHUNK) {
            let count = CHUNK.min(panels.end - from);
            for j in 0..count {
                panel.plan(&self.windows.tiles, from + j, width);
                for operand in [&mut *left, &mut *right] {
                    panel.plan_loads(operand.source, &mut loads);
                    // SAFETY: `aside` holds a row tile of either operand.
                    unsafe { operand.pack(&loads, j, width, &mut aside) };
                }
            }
            let start = if from == panels.start { Start::Zero } else { Start::Add };
            for point in 0..points {
                for r in 0..right.tiles.len() {
                    for (l, rows) in left.tiles.iter().enumerate() {
                        let c = ((point * right.tiles.len() + r) * left.rows + rows.start) * width;
                        // SAFETY: the operands were packed above.
                        unsafe {
                            let (a, b) = (left.packed(point, l, width), right.packed(point, r, width));
                            let c = sums.as_mut_ptr().add(c);
                            self.tile.run(rows.len(), count * width, a, b, c, width, start);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// The source, transform, first element and number of rows of an operand.
type Rows<'a, T> = (&'a Source, TransformFn<T>, *const T, usize);

impl<'a, T: Real> Operand<'a, T> {
    /// The left operand, or with a `width` the right one.
    fn new((source, transform, x, rows): Rows<'a, T>, points: usize, tile: &Tile<T>, width: Option<usize>) -> Self {
        let tiles: Vec<_> = match width {
            Some(width) => (0..rows).step_by(width).map(|i| i..(i + width).min(rows)).collect(),
            None => tile_rows(rows, tile.rows).collect(),
        };
        let padded = width.map_or(rows, |width| tiles.len() * width);
        let packed = Scratch::new(points * padded * CHUNK * tile.columns);
        Operand { source, transform, x, rows, tiles, width, points, packed }
    }

    /// The lanes of a tile in the packed operand, and where it begins for a point.
    fn place(&self, point: usize, tile: usize, depth: usize) -> (usize, usize) {
        match self.width {
            Some(width) => (width, (point * self.tiles.len() + tile) * width * depth),
            None => (self.tiles[tile].len(), (point * self.rows + self.tiles[tile].start) * depth),
        }
    }

    fn packed(&self, point: usize, tile: usize, width: usize) -> *const T {
        self.packed.as_ptr().wrapping_add(self.place(point, tile, CHUNK * width).1)
    }

    /// Transforms all rows for the `j`-th panel of a chunk, and packs them with the tiles as depth.
    unsafe fn pack(&mut self, loads: &PanelLoads, j: usize, width: usize, aside: &mut Scratch<T>) {
        let slices = self.source.depth_taps.len();
        let plane = self.source.plane();
        for (t, rows) in self.tiles.iter().enumerate() {
            let point = rows.len() * width;
            // The rows of a channel are its taps in depth.
            for slice in 0..slices {
                let first = (rows.start + slices - 1 - slice) / slices;
                let count = (rows.end + slices - 1 - slice) / slices - first;
                let row = first * slices + slice - rows.start;
                let to = aside.as_mut_ptr().wrapping_add(row * width);
                let x = self.x.wrapping_add(first * plane);
                let to = Transformed { to, point, step: slices * width };
                // SAFETY: the caller's contract.
                unsafe { (self.transform)(&loads.tap(slice), x, plane, count, to) };
            }
            for p in 0..self.points {
                let (lanes, start) = self.place(p, t, CHUNK * width);
                let to = self.packed.as_mut_ptr().wrapping_add(start + j * width * lanes);
                // SAFETY: as above; the panel's columns stay in their tile.
                unsafe { transpose(aside.as_ptr().wrapping_add(p * point), width, width, rows.len(), to, lanes) };
            }
        }
    }
}
