//! The input gradient of a convolution with few input channels, which is also how a transposed convolution makes an image:
//! every tap's share is a matrix product, and the shares of a band of output rows are added where they belong.
//!
//! Packed patches would be read by few rows only; here the output gradient is read where it lies.

use crate::cpu::conv::patches::place;
use crate::cpu::conv::{Float, Geometry};
use crate::cpu::gemm::{Matrix, MatrixMut, gemm};
use crate::cpu::math::Real;
use crate::cpu::planes::for_parts;
use crate::cpu::scratch::Scratch;
use crate::simd_dispatch;

/// The most channels of a group.
const MOST_CHANNELS: usize = 4;
/// The fewest channels of the output gradient, the depth of the products.
const LEAST_DEPTH: usize = 8;
/// Elements of a band of shares, which stays in the second-level cache.
const BAND: usize = 48 << 10;

/// Computes the input gradient, unless another way is better.
pub fn input_grad<T: Float>(g: &Geometry, grad: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) -> bool {
    if g.group_channels() > MOST_CHANNELS || g.group_rows() < LEAST_DEPTH || g.taps() == 1 {
        return false;
    }
    let plane: usize = g.input.iter().product();
    let cost = g.taps() * g.group_rows() * g.output.iter().product::<usize>() / 8;
    for_parts(out, plane, cost, |i, to| {
        let (sample, channel) = (i / g.channels, i % g.channels);
        Plane { g, sample, channel }.compute(grad, w, bias.map_or(T::ZERO, |b| b[channel]), to)
    });
    true
}

/// One channel of one sample.
struct Plane<'a> {
    g: &'a Geometry,
    sample: usize,
    channel: usize,
}

impl Plane<'_> {
    fn compute<T: Float>(&self, grad: &[T], w: &[T], bias: T, to: &mut [T]) {
        let (g, taps) = (self.g, self.g.taps());
        let (group, c) = (self.channel / g.group_channels(), self.channel % g.group_channels());
        let points: usize = g.output.iter().product();
        let rows = points / g.output[2];
        let grad = &grad[(self.sample * g.rows + group * g.group_rows()) * points..];
        let w = &w[(group * g.group_rows() * g.group_channels() + c) * taps..];
        let weights = Matrix { ptr: w.as_ptr(), row: 1, col: g.group_channels() * taps };
        // The input's columns by their phase: what a tap adds to is then one stretch.
        let step = g.stride[2];
        let lane = g.input[2].div_ceil(step);
        let mut sums = Scratch::<T>::new(to.len() / g.input[2] * lane * step);
        let sums = sums.as_mut_slice();
        sums.fill(bias);
        let (band, all) = ((BAND / (taps * g.output[2])).clamp(1, rows), g.all_taps());
        let mut shares = Scratch::<T>::new(taps * band * g.output[2]);
        for first in (0..rows).step_by(band) {
            let count = band.min(rows - first);
            let columns = count * g.output[2];
            let from = Matrix { ptr: grad[first * g.output[2]..].as_ptr(), row: points, col: 1 };
            let shares = &mut shares.as_mut_slice()[..taps * columns];
            let into = MatrixMut { ptr: shares.as_mut_ptr(), row: columns, col: 1 };
            let size = (taps, columns, g.group_rows());
            // SAFETY: the weights of the channel, the gradient's rows of the band, and a buffer of their product.
            unsafe { gemm::<T>(size, T::ONE, weights, from, T::ZERO, into, None) };
            for (&tap, share) in all.iter().zip(shares.chunks_exact(columns)) {
                for (row, share) in (first..).zip(share.chunks_exact(g.output[2])) {
                    self.add(tap, row, share, sums, lane);
                }
            }
        }
        for (row, to) in to.chunks_exact_mut(g.input[2]).enumerate() {
            for phase in 0..step.min(g.input[2]) {
                let from = &sums[(row * step + phase) * lane..][..lane];
                to[phase..].iter_mut().step_by(step).zip(from).for_each(|(o, &v)| *o = v);
            }
        }
    }

    /// Adds what one tap gives for one row of the output's grid.
    fn add<T: Real>(&self, tap: [isize; 3], row: usize, share: &[T], sums: &mut [T], lane: usize) {
        let g = self.g;
        let at = |axis: usize, i: usize| place(i, g.stride[axis], tap[axis], g.input[axis]);
        let (Some(d), Some(h)) = (at(0, row / g.output[1]), at(1, row % g.output[1])) else { return };
        let step = g.stride[2] as isize;
        let (phase, shift) = (tap[2].rem_euclid(step) as usize, tap[2].div_euclid(step));
        // Column `shift + i` of the phase belongs to point `i`.
        let inside = g.input[2].saturating_sub(phase).div_ceil(g.stride[2]) as isize;
        let (lo, hi) = ((-shift).max(0), (inside - shift).min(share.len() as isize));
        if lo < hi {
            let to = &mut sums[((d * g.input[1] + h) * g.stride[2] + phase) * lane..][..lane];
            add_into(&mut to[(shift + lo) as usize..(shift + hi) as usize], &share[lo as usize..hi as usize]);
        }
    }
}

simd_dispatch! {
    fn add_into<T: Real>(to: &mut [T], from: &[T]) {
        for (to, &v) in to.iter_mut().zip(from) {
            *to = *to + v;
        }
    }
}
