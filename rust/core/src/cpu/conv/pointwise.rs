//! Windows of one element over few points: the weights meet so few columns that packing them would cost more than their
//! products. They are multiplied where they lie, sample by sample.

use super::{Float, Geometry};
use crate::cpu::elementwise::Then;
use crate::cpu::gemm::{Matrix, MatrixMut, gemm};
use crate::cpu::planes::{Shared, grain};
use crate::cpu::scratch::Scratch;
use crate::cpu::threads;

/// Points of all samples up to which packed weights do not pay.
const MOST_POINTS: usize = 512;
/// Points of a sample from which on its own product is worth reading the weights again.
const LEAST_POINTS: usize = 32;

/// The forward pass, where it is a product of few columns; else false, with nothing done.
pub fn forward<T: Float>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T], then: Then) -> bool {
    let points = g.output.iter().product::<usize>();
    let few = g.batch * points <= MOST_POINTS && (g.batch == 1 || points >= LEAST_POINTS);
    if g.kernel != [1; 3] || g.padding != [0; 3] || !few {
        return false;
    }
    let mut taken = Scratch::new(if g.input == g.output { 0 } else { g.batch * g.channels * points });
    let x = if g.input == g.output {
        x
    } else {
        take_points(g, x, taken.as_mut_slice());
        taken.as_slice()
    };
    if let Some(bias) = bias {
        out.chunks_exact_mut(points).zip(bias.iter().cycle()).for_each(|(row, &b)| row.fill(b));
    }
    let (rows, channels) = (g.group_rows(), g.group_channels());
    let beta = if bias.is_some() { T::ONE } else { T::ZERO };
    for (i, out) in out.chunks_exact_mut(rows * points).enumerate() {
        let weights = Matrix { ptr: w[i % g.groups * rows * channels..].as_ptr(), row: channels, col: 1 };
        let from = Matrix { ptr: x[i * channels * points..].as_ptr(), row: points, col: 1 };
        let into = MatrixMut { ptr: out.as_mut_ptr(), row: points, col: 1 };
        // SAFETY: the weights of a group, its channels in a sample, and their results.
        unsafe { gemm::<T>((rows, points, channels), T::ONE, weights, from, beta, into, then) };
    }
    true
}

/// The points that a stride leaves, of every channel.
fn take_points<T: Float>(g: &Geometry, x: &[T], to: &mut [T]) {
    let ([_, height, width], [depth_step, row_step, step]) = (g.input, g.stride);
    let points = to.len() / (g.batch * g.channels);
    let to = Shared::new(to);
    threads::parallel_for(g.batch * g.channels, grain(points), |range| {
        for plane in range {
            let x = &x[plane * g.input.iter().product::<usize>()..];
            // SAFETY: the points of a plane belong to this iteration alone.
            let to = unsafe { to.range(plane * points, points) };
            for (i, to) in to.chunks_exact_mut(g.output[2]).enumerate() {
                let (d, h) = (i / g.output[1] * depth_step, i % g.output[1] * row_step);
                let row = &x[(d * height + h) * width..][..width];
                to.iter_mut().zip(row.iter().step_by(step)).for_each(|(to, &v)| *to = v);
            }
        }
    });
}
