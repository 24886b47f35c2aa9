//! Input gradients of convolutions that step along a row: the points of each phase of the stride are computed side by side,
//! and rows are put together from their phases at the end.

use super::patches::Patches;
use super::product::{self, PackedWeights, Place, Product, Sizes, WeightLayout};
use super::{Float, Geometry};
use crate::cpu::conv::kernel::Real;
use crate::cpu::planes::{Shared, grain};
use crate::cpu::scratch::Scratch;
use crate::cpu::threads;
use crate::simd_dispatch;

/// The kernel elements of a phase on each axis, each with the output position that the first point reads.
type Taps = [Vec<(usize, isize)>; 3];

/// One phase, which has points and taps: a convolution of stride 1 over the output gradient.
pub fn product<T: Real>(
    g: &Geometry,
    (grid, taps): ([usize; 3], &Taps),
    grad: &[T],
    w: &[T],
    bias: Option<&[T]>,
    place: &Place,
    out: &mut [T],
) {
    let sizes = Sizes { groups: g.groups, rows: g.group_channels(), channels: g.group_rows() };
    let [d, h, w_taps] = taps;
    let index = d.iter().flat_map(|d| h.iter().flat_map(move |h| w_taps.iter().map(move |w| [d, h, w])));
    let [_, kh, kw] = g.kernel;
    let layout = WeightLayout {
        row_stride: g.taps(),
        channel_stride: sizes.rows * g.taps(),
        taps: index.map(|[d, h, w]| (d.0 * kh + h.0) * kw + w.0).collect(),
        group_stride: sizes.rows * sizes.channels * g.taps(),
    };
    let patches = Patches {
        size: g.output,
        grid,
        stride: [1; 3],
        axes: taps.each_ref().map(|axis| axis.iter().map(|t| t.1).collect()),
        batch_stride: g.rows * g.output.iter().product::<usize>(),
        batches: g.batch,
    };
    let weights = PackedWeights::new(w, &layout, sizes);
    let product = Product { patches: &patches, x: grad, weights: &weights, sizes, bias, place, then: None };
    // SAFETY: `out` is ours alone.
    unsafe { product.run(Shared::new(out)) }
}

/// A phase's points in memory: where those of the first channel begin, and their grid.
struct Phase {
    first: usize,
    grid: [usize; 3],
}

impl Phase {
    fn points(&self) -> usize {
        self.grid.iter().product()
    }
}

/// The input gradient, for any stride.
pub fn input_grad<T: Float>(g: &Geometry, grad: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    let mut points = Scratch::<T>::new(out.len());
    let mut phases = Vec::new();
    let mut first = 0;
    for phase in g.phases() {
        let (grid, taps) = g.phase(phase);
        let made = Phase { first, grid };
        let to = &mut points.as_mut_slice()[first..][..g.batch * g.channels * made.points()];
        first += to.len();
        if taps.iter().any(Vec::is_empty) {
            product::fill(to, g.channels, made.points(), bias);
        } else if !to.is_empty() {
            product(g, (grid, &taps), grad, w, bias, &Place::dense(grid), to);
        }
        phases.push(made);
    }
    put_together(g, points.as_slice(), &phases, out);
}

/// Rows from the points of their phases.
fn put_together<T: Real>(g: &Geometry, points: &[T], phases: &[Phase], out: &mut [T]) {
    let ([_, height, width], [_, sh, sw]) = (g.input, g.stride);
    let plane = g.input.iter().product::<usize>();
    let out = Shared::new(out);
    threads::parallel_for(g.batch * g.channels, grain(plane), |range| {
        for channel in range {
            // SAFETY: a plane belongs to one iteration.
            let to = unsafe { out.range(channel * plane, plane) };
            for (i, row) in to.chunks_exact_mut(width).enumerate() {
                let (d, h) = (i / height, i % height);
                let phases = &phases[(d % g.stride[0] * sh + h % sh) * sw..][..sw];
                let from = |p: &Phase| {
                    let [_, rows, columns] = p.grid;
                    let row = d / g.stride[0] * rows + h / sh;
                    &points[p.first + channel * p.points() + row * columns..][..columns]
                };
                match phases {
                    [even, odd] => zip(from(even), from(odd), row),
                    _ => {
                        for (i, phase) in phases.iter().enumerate().take(width) {
                            row[i..].iter_mut().step_by(sw).zip(from(phase)).for_each(|(to, &v)| *to = v);
                        }
                    }
                }
            }
        }
    });
}

simd_dispatch! {
    /// A row from its even and its odd elements.
    fn zip<T: Real>(even: &[T], odd: &[T], row: &mut [T]) {
        let (pairs, last) = row.as_chunks_mut::<2>();
        for ((to, &a), &b) in pairs.iter_mut().zip(even).zip(odd) {
            *to = [a, b];
        }
        if let ([last], Some(&v)) = (last, even.last()) {
            *last = v;
        }
    }
}
