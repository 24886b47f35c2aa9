//! Windows of 3×3 with stride 1 by the minimal algorithm F(2×2, 3×3): 16 products for four outputs instead of 36; flat windows
//! of three by F(2, 3), 4 products for two outputs instead of 6.
//!
//! A tile of 2×2 outputs `y` reads 4×4 inputs `d`, and `y = Aᵀ[Σ (G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A`, where the sum over the channels
//! makes 16 matrix products. The algorithm is Winograd's (*Arithmetic complexity of computations*, 1980), its use for
//! convolution Lavin's and Gray's (2016):
//!
//! ```text
//! Bᵀ = 1  0 -1  0    G =  1   0   0    Aᵀ = 1  1  1  0
//!      0  1  1  0        1/2  1/2 1/2       0  1 -1 -1
//!      0 -1  1  0        1/2 -1/2 1/2
//!      0  1  0 -1         0   0   1
//! ```
//!
//! The weight gradient turns it around: `Gᵀ[Σ (A·y·Aᵀ) ⊙ (Bᵀ·d·B)]G`, where the sum is over the tiles. Halves are exact, so
//! small whole numbers give exact results, and no output meets an input that lies outside its window. In depth a window
//! may be anything: its taps count as channels.

mod panels;
mod product;
#[cfg(test)]
mod tests;
mod transform;
mod weight_grad;

use crate::cpu::conv::Geometry;
use crate::cpu::conv::kernel::Real;
use crate::cpu::conv::product::{Place, Sizes};
use crate::cpu::planes::Shared;
use panels::{Source, Tiles};
use transform::MOST_LANES;
pub use transform::Transforms;
pub use weight_grad::weight_grad;

/// A convolution or its input gradient: `out[n, r, place(o)] = Σ w[r, c, t]·x[n, c, o + t]`.
pub struct Windows {
    sizes: Sizes,
    tiles: Tiles,
    source: Source,
    place: Place,
    weights: WeightPlan,
}

/// Where the kernel of (row, channel, depth tap) begins within a group, and whether it is read backwards.
struct WeightPlan {
    row_stride: usize,
    channel_stride: usize,
    depth_taps: Vec<usize>,
    group_stride: usize,
    backwards: bool,
}

/// The rows that a tile with one or two rows of outputs reads.
fn rows_read(height: usize) -> usize {
    if height == 1 { 1 } else { 4 }
}

impl Geometry {
    /// Whether windows have one row: those of a 1-d convolution, among others.
    fn is_flat(&self) -> bool {
        (self.kernel[1], self.stride[1], self.padding[1]) == (1, 1, 0)
    }
    /// Whether the algorithm computes this.
    fn is_minimal(&self) -> bool {
        let along = |axis: usize| self.kernel[axis] == 3 && self.stride[axis] == 1 && self.dilation[axis] == 1;
        along(2) && (self.is_flat() || along(1))
    }
}

impl Windows {
    /// The forward pass, where the algorithm applies.
    fn of_forward(g: &Geometry) -> Option<Windows> {
        if !g.is_minimal() {
            return None;
        }
        let height = if g.is_flat() { 1 } else { 2 };
        let sizes = Sizes { groups: g.groups, rows: g.group_rows(), channels: g.group_channels() };
        Some(Windows {
            sizes,
            tiles: Tiles { batches: g.batch, grid: g.output, height },
            source: Source {
                size: g.input,
                channels: g.channels,
                origin: [g.shift(1, 0), g.shift(2, 0)],
                depth_taps: (0..g.kernel[0]).map(|k| g.shift(0, k)).collect(),
                depth_step: g.stride[0],
                row_step: height,
                rows: rows_read(height),
                pairs: 2,
            },
            place: Place::dense(g.output),
            weights: WeightPlan {
                row_stride: sizes.channels * g.taps(),
                channel_stride: g.taps(),
                depth_taps: (0..g.kernel[0]).map(|k| k * g.kernel[1] * 3).collect(),
                group_stride: sizes.rows * sizes.channels * g.taps(),
                backwards: false,
            },
        })
    }

    /// One phase of the input gradient, which has taps.
    fn of_input_grad(g: &Geometry, phase: [usize; 3]) -> Option<Windows> {
        if !g.is_minimal() {
            return None;
        }
        let (height, last) = if g.is_flat() { (1, 0) } else { (2, 2) };
        let (grid, [depth, ..]) = g.phase(phase);
        let sizes = Sizes { groups: g.groups, rows: g.group_channels(), channels: g.group_rows() };
        Some(Windows {
            sizes,
            tiles: Tiles { batches: g.batch, grid, height },
            source: Source {
                size: g.output,
                channels: g.rows,
                origin: [-g.shift(1, last), -g.shift(2, 2)],
                depth_taps: depth.iter().map(|t| t.1).collect(),
                depth_step: 1,
                row_step: height,
                rows: rows_read(height),
                pairs: 2,
            },
            place: Place { size: g.input, start: phase, step: g.stride },
            weights: WeightPlan {
                row_stride: g.taps(),
                channel_stride: sizes.rows * g.taps(),
                depth_taps: depth.iter().map(|t| t.0 * g.kernel[1] * 3).collect(),
                group_stride: sizes.rows * sizes.channels * g.taps(),
                backwards: true,
            },
        })
    }

    /// Points of a transformed tile.
    fn points(&self) -> usize {
        if self.tiles.height == 1 { 4 } else { 16 }
    }
    /// Elements of a kernel in height and width.
    fn taps(&self) -> usize {
        if self.tiles.height == 1 { 3 } else { 9 }
    }
    /// Products that make one sum: channels and taps in depth.
    fn depth(&self) -> usize {
        self.sizes.channels * self.source.depth_taps.len()
    }

    /// Full panels of tiles and of points, and the products of a group in one column.
    fn extent(&self) -> (usize, usize, usize) {
        let points = self.tiles.batches * self.tiles.grid.iter().product::<usize>();
        (self.tiles.count().div_ceil(MOST_LANES), points.div_ceil(MOST_LANES), self.sizes.rows * self.depth())
    }

    // What pays is a matter of shapes alone, counted in instructions on two registers of 16 lanes.

    /// Whether fewer products and the transforms take less time than all products and the packing of their patches.
    fn pays(&self) -> bool {
        let ((tiles, points, pairs), (of_tile, taps)) = (self.extent(), (self.points(), self.taps()));
        let transforms = of_tile * (12 * self.depth() + 15 * self.sizes.rows);
        let transformed = tiles * (2 * of_tile * pairs + transforms) + 8 * pairs;
        let direct = points * taps * (2 * pairs + 12 * self.depth()) + 2 * pairs;
        transformed < direct
    }

    /// As [`pays`](Self::pays), for the weight gradient, whose operands are also transposed.
    fn pays_for_weights(&self) -> bool {
        let ((tiles, points, pairs), (of_tile, taps)) = (self.extent(), (self.points(), self.taps()));
        let transformed = tiles * of_tile * (2 * pairs + 25 * (self.depth() + self.sizes.rows)) + 3 * of_tile * pairs;
        let direct = points * (2 * taps * pairs + 30 * (taps * self.depth() + self.sizes.rows)) + taps * pairs;
        transformed < direct
    }
}

/// The forward pass, where the algorithm applies and saves work; else false, with nothing done.
pub fn forward<T: Real>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) -> bool {
    let Some((with, windows)) = T::transforms(g.is_flat()).zip(Windows::of_forward(g)) else { return false };
    if windows.pays() {
        // SAFETY: `out` is ours alone.
        unsafe { windows.run(with, x, w, bias, Shared::new(out)) };
        return true;
    }
    false
}

/// One phase of the input gradient, which has taps; as [`forward`].
pub fn input_grad<T: Real>(
    g: &Geometry,
    phase: [usize; 3],
    grad: &[T],
    w: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) -> bool {
    let Some((with, windows)) = T::transforms(g.is_flat()).zip(Windows::of_input_grad(g, phase)) else { return false };
    if windows.pays() {
        // SAFETY: `out` is ours alone.
        unsafe { windows.run(with, grad, w, bias, Shared::new(out)) };
        return true;
    }
    false
}
