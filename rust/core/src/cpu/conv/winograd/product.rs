//! Transformed weights times transformed inputs: the forward pass and the input gradient.

use super::Windows;
use super::panels::{Panel, PanelLoads};
use super::transform::{Kernels, MOST_LANES, Place, Places, Transformed, Transforms};
use crate::cpu::conv::kernel::{Real, Start, Tile};
use crate::cpu::conv::product::{GRAIN_FLOPS, tile_rows};
use crate::cpu::planes::{Shared, grain};
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::prefetch;
use crate::cpu::threads;
use std::ops::Range;

impl Windows {
    /// # Safety
    /// No other thread touches the places of these windows in `out`.
    pub unsafe fn run<T: Real>(&self, with: Transforms<T>, x: &[T], w: &[T], bias: Option<&[T]>, out: Shared<T>) {
        let tile = T::tile();
        let weights = TransformedWeights::new(self, &with, &tile, w);
        let panels = self.tiles.count().div_ceil(tile.columns);
        // How the work is cut changes no sum.
        let tiles = weights.tiles.len();
        let wanted = 4 * threads::num_threads();
        let parts = (wanted / (panels * self.sizes.groups)).clamp(1, tiles);
        let part = tiles.div_ceil(parts);
        let parts = tiles.div_ceil(part);
        let flops = 2 * self.points() * tile.columns * (self.sizes.rows / parts).max(1) * self.depth().max(8);
        threads::parallel_for(panels * parts * self.sizes.groups, (GRAIN_FLOPS / flops).max(1), |range| {
            let mut worker = Worker::new(self, with, tile);
            for i in range {
                let (panel, rest) = (i % panels, i / panels);
                let (group, p) = (rest / parts, rest % parts);
                let tiles = &weights.tiles[p * part..((p + 1) * part).min(tiles)];
                // SAFETY: tasks write disjoint rows or columns.
                unsafe {
                    worker.transform(panel, group, x);
                    worker.multiply(group, &weights, tiles, bias, out);
                }
            }
        });
    }
}

/// Weights as `[group][row tile][point][channel][depth tap][row]`.
struct TransformedWeights<T> {
    data: Scratch<T>,
    tiles: Vec<Range<usize>>,
}

impl<T: Real> TransformedWeights<T> {
    fn new(windows: &Windows, with: &Transforms<T>, tile: &Tile<T>, w: &[T]) -> Self {
        let (s, plan, depth) = (windows.sizes, &windows.weights, windows.depth());
        let (taps, points) = (plan.depth_taps.len(), windows.points());
        let mut data = Scratch::<T>::new(s.groups * s.rows * depth * points);
        let tiles: Vec<_> = tile_rows(s.rows, tile.rows).collect();
        let shared = Shared::new(data.as_mut_slice());
        threads::parallel_for(s.groups * tiles.len() * s.channels, grain(16 * tile.rows * taps), |range| {
            let mut kernels: Kernels<T> = [[T::default(); MOST_LANES]; 9];
            for i in range {
                let (channel, rest) = (i % s.channels, i / s.channels);
                let (rows, group) = (&tiles[rest % tiles.len()], rest / tiles.len());
                for t in 0..taps {
                    let at = group * plan.group_stride + channel * plan.channel_stride + plan.depth_taps[t];
                    for (lane, r) in rows.clone().enumerate() {
                        let kernel = &w[at + r * plan.row_stride..][..windows.taps()];
                        kernels.iter_mut().zip(kernel).for_each(|(to, &v)| to[lane] = v);
                    }
                    if plan.backwards {
                        kernels[..windows.taps()].reverse();
                    }
                    let first = (group * s.rows + rows.start) * depth * points;
                    let to = shared.ptr().wrapping_add(first + (channel * taps + t) * rows.len());
                    // SAFETY: the parts of a channel belong to this iteration alone.
                    unsafe {
                        (with.weights)(&kernels, rows.len(), Transformed { to, point: depth * rows.len(), step: 0 })
                    };
                }
            }
        });
        TransformedWeights { data, tiles }
    }
}

/// What one thread needs for its tasks.
struct Worker<'a, T> {
    windows: &'a Windows,
    with: Transforms<T>,
    tile: Tile<T>,
    panel: Panel,
    /// Where the outputs of the panel lie, from the plane of a channel in the first sample on.
    places: Places,
    loads: PanelLoads,
    /// Transformed inputs of a panel, `[point][channel][depth tap][lane]`.
    inputs: Scratch<T>,
    /// Elements from one point of them to the next: an odd number of cache lines, lest all points compete for the same.
    point: usize,
    /// Sums of a row tile, `[point][row][lane]`.
    sums: Scratch<T>,
}

impl<'a, T: Real> Worker<'a, T> {
    fn new(windows: &'a Windows, with: Transforms<T>, tile: Tile<T>) -> Self {
        let line = 64 / size_of::<T>();
        let point = (windows.depth() * tile.columns).next_multiple_of(2 * line) + line;
        let inputs = Scratch::new(windows.points() * point);
        let sums = Scratch::new(windows.points() * tile.rows * tile.columns);
        let (panel, loads) = (Panel::default(), PanelLoads::default());
        Worker { windows, with, tile, panel, places: Places::default(), loads, inputs, point, sums }
    }

    /// Transforms the inputs of a panel for one group.
    unsafe fn transform(&mut self, panel: usize, group: usize, x: &[T]) {
        let (w, channels) = (self.windows, self.windows.sizes.channels);
        self.panel.plan(&w.tiles, panel, self.tile.columns);
        self.panel.plan_loads(&w.source, &mut self.loads);
        self.plan_places();
        let plane = w.source.plane();
        let x = x[group * channels * plane..].as_ptr();
        let taps = w.source.depth_taps.len();
        for t in 0..taps {
            let to = self.inputs.as_mut_ptr().wrapping_add(t * self.tile.columns);
            let to = Transformed { to, point: self.point, step: taps * self.tile.columns };
            // SAFETY: loads lie inside the planes; the scratch holds every point.
            unsafe { (self.with.input)(&self.loads.tap(t), x, plane, channels, to) };
        }
    }

    /// Multiplies the transformed panel with some row tiles, and writes their outputs.
    unsafe fn multiply(
        &mut self,
        group: usize,
        weights: &TransformedWeights<T>,
        tiles: &[Range<usize>],
        bias: Option<&[T]>,
        out: Shared<T>,
    ) {
        let (w, width, depth) = (self.windows, self.tile.columns, self.windows.depth());
        let plane = w.place.size.iter().product::<usize>();
        for rows in tiles {
            let first = (group * w.sizes.rows + rows.start) * depth * w.points();
            let weights = &weights.data.as_slice()[first..];
            self.prefetch_outputs(out.ptr().wrapping_add((group * w.sizes.rows + rows.start) * plane), rows.len());
            for point in 0..w.points() {
                let a = weights[point * depth * rows.len()..].as_ptr();
                let b = self.inputs.as_ptr().wrapping_add(point * self.point);
                let c = self.sums.as_mut_ptr().wrapping_add(point * rows.len() * width);
                // SAFETY: the operands and sums were laid out above.
                unsafe { self.tile.run(rows.len(), depth, a, b, c, width, Start::Zero) };
            }
            for (i, row) in rows.clone().enumerate() {
                let channel = group * w.sizes.rows + row;
                let bias = bias.map_or(T::default(), |b| b[channel]);
                let m = self.sums.as_ptr().wrapping_add(i * width);
                let out = out.ptr().wrapping_add(channel * plane);
                // SAFETY: `sums` holds the tile's points; the places belong to this task.
                unsafe { (self.with.output)(m, rows.len() * width, bias, &self.places, out) };
            }
        }
    }

    /// Asks for the places of the outputs of some rows, the first of which has its plane at `out`: they arrive while the
    /// products are summed.
    fn prefetch_outputs(&self, out: *const T, rows: usize) {
        let plane = self.windows.place.size.iter().product::<usize>();
        for row in 0..rows {
            for place in &self.places.places {
                for i in 0..place.rows {
                    let first = out.wrapping_add(row * plane + place.at + i * self.places.width);
                    (0..place.count).step_by(64 / size_of::<T>()).for_each(|j| prefetch(first.wrapping_add(j)));
                }
            }
        }
    }

    fn plan_places(&mut self) {
        let (w, [_, height, width]) = (self.windows, self.windows.tiles.grid);
        let tall = w.tiles.height;
        let sample = w.sizes.groups * w.sizes.rows * w.place.size.iter().product::<usize>();
        self.places.width = w.place.size[2];
        self.places.places.clear();
        self.places.places.extend(self.panel.runs.iter().map(|run| {
            let [slice, row, column] = run.at;
            let at = w.place.offset(w.tiles.grid, (slice * height + tall * row) * width + 2 * column);
            Place {
                lane: run.lane,
                count: (2 * run.len).min(width - 2 * column),
                rows: (height - tall * row).min(tall),
                at: run.sample * sample + at,
            }
        }));
    }
}
