//! Panels of tiles: which tiles are the lanes of a panel, and what they read.

use super::transform::{Load, Loads, REGISTERS};
use crate::cpu::conv::vector::low_mask;
use std::ops::Range;

/// The tiles of all output slices, in order of sample, slice, row and column.
#[derive(Clone, Copy)]
pub struct Tiles {
    pub batches: usize,
    /// Output points.
    pub grid: [usize; 3],
    /// Rows of outputs in a tile: two, or one of flat windows.
    pub height: usize,
}

impl Tiles {
    /// Rows and columns of tiles in a slice.
    fn plane(&self) -> [usize; 2] {
        [self.grid[1].div_ceil(self.height), self.grid[2].div_ceil(2)]
    }
    pub fn count(&self) -> usize {
        self.batches * self.grid[0] * self.plane().iter().product::<usize>()
    }
}

/// Lanes of a panel that are neighbours in one row of tiles.
pub struct Run {
    pub lane: usize,
    pub len: usize,
    pub sample: usize,
    /// Slice, row and column of the first tile.
    pub at: [usize; 3],
}

/// What tiles read: the slices of a tensor, along the rows of which tiles are two elements apart.
pub struct Source {
    /// The size of a plane of one channel.
    pub size: [usize; 3],
    pub channels: usize,
    /// The row and column that tile 0 begins at.
    pub origin: [isize; 2],
    /// Rows from one tile to the next below.
    pub row_step: usize,
    /// The slices that output slice 0 reads; the next one reads those `depth_step` on.
    pub depth_taps: Vec<isize>,
    pub depth_step: usize,
    /// Rows and pairs of columns of a tile.
    pub rows: usize,
    pub pairs: usize,
}

impl Source {
    pub fn plane(&self) -> usize {
        self.size.iter().product()
    }

    /// What the lanes of `run` in the register of `lanes` from lane `first` on read in `row` of their tiles, two elements
    /// from `column` on.
    fn load(&self, run: &Run, (first, lanes): (usize, usize), tap: isize, row: usize, column: usize) -> Option<Load> {
        let [slice, y, x] = run.at;
        let slice = (slice * self.depth_step) as isize + tap;
        let y = (self.row_step * y + row) as isize + self.origin[0];
        if !(0..self.size[0] as isize).contains(&slice) || !(0..self.size[1] as isize).contains(&y) {
            return None;
        }
        let width = self.size[2] as isize;
        // The first lane of the register, were it in this run, would read from here.
        let x = 2 * (x as isize + first as isize - run.lane as isize) + column as isize + self.origin[1];
        let (lo, hi) = (run.lane.max(first) - first, (run.lane + run.len).min(first + lanes) - first);
        let (lo, hi) = ((2 * lo as isize).max(-x), (2 * hi as isize).min(width - x));
        if lo >= hi {
            return None;
        }
        let sample = run.sample * self.channels * self.plane();
        let offset = sample as isize + (slice * self.size[1] as isize + y) * width + x;
        Some(Load { offset, mask: low_mask(hi as usize) & !low_mask(lo as usize) })
    }
}

/// The runs of a panel, and the loads from a source for each of its taps in depth.
#[derive(Default)]
pub struct Panel {
    pub runs: Vec<Run>,
    lanes: usize,
}

/// The loads of a panel from one source.
#[derive(Default)]
pub struct PanelLoads {
    loads: Vec<Load>,
    most: usize,
    per_tap: usize,
}

impl Panel {
    /// The panel of the tiles `index·width..`, as far as there are any.
    pub fn plan(&mut self, tiles: &Tiles, index: usize, width: usize) {
        let [height, across] = tiles.plane();
        let (from, end) = (index * width, ((index + 1) * width).min(tiles.count()));
        self.lanes = width / REGISTERS;
        self.runs.clear();
        let mut q = from;
        while q < end {
            let (row, column) = (q / across, q % across);
            let (slice, row) = (row / height, row % height);
            let len = (across - column).min(end - q);
            let at = [slice % tiles.grid[0], row, column];
            self.runs.push(Run { lane: q - from, len, sample: slice / tiles.grid[0], at });
            q += len;
        }
    }

    /// The runs that reach into a register.
    fn runs_of(&self, register: usize) -> impl Iterator<Item = &Run> {
        let lanes = first_lanes(register, self.lanes);
        self.runs.iter().filter(move |r| r.lane < lanes.end && r.lane + r.len > lanes.start)
    }

    pub fn plan_loads(&self, source: &Source, to: &mut PanelLoads) {
        to.most = (0..REGISTERS).map(|r| self.runs_of(r).count()).max().unwrap_or(1).max(1);
        to.per_tap = REGISTERS * source.rows * source.pairs * to.most;
        to.loads.clear();
        for &tap in &source.depth_taps {
            for register in 0..REGISTERS {
                for row in 0..source.rows {
                    for pair in 0..source.pairs {
                        let start = to.loads.len();
                        let place = (register * self.lanes, self.lanes);
                        let runs = self.runs_of(register);
                        to.loads.extend(runs.filter_map(|r| source.load(r, place, tap, row, 2 * pair)));
                        // A load of no lanes has an address that another one touches, lest it be slow.
                        let filler = Load { mask: 0, ..to.loads.get(start).copied().unwrap_or_default() };
                        to.loads.resize(start + to.most, filler);
                    }
                }
            }
        }
    }
}

fn first_lanes(register: usize, lanes: usize) -> Range<usize> {
    register * lanes..(register + 1) * lanes
}

impl PanelLoads {
    pub fn tap(&self, tap: usize) -> Loads<'_> {
        Loads { loads: &self.loads[tap * self.per_tap..][..self.per_tap], most: self.most }
    }
}
