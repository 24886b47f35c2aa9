//! Reflect, replicate and circular padding of the last one to three dimensions, and their gradients.

use crate::cpu::planes::{Acc, Widen, accumulate_parts, contiguous, for_parts, volume};
use crate::cpu::view::{In, Out};
use crate::dispatch;
use crate::params::{PadMode, PadParams};

impl PadParams {
    /// For each output position of one axis, the input position it reads.
    fn source(&self, axis: usize, input: usize, output: usize) -> Vec<usize> {
        let n = input as i64;
        let right = output as i64 - n - self.left[axis];
        // Circular padding repeats what cropping leaves.
        let crop = (-self.left[axis]).max(0);
        let kept = (n - crop - (-right).max(0)).max(1);
        (0..output as i64)
            .map(|o| {
                let i = o - self.left[axis];
                let source = match self.mode {
                    PadMode::Reflect if i < 0 => -i,
                    PadMode::Reflect if i >= n => 2 * (n - 1) - i,
                    PadMode::Reflect => i,
                    PadMode::Replicate => i,
                    PadMode::Circular => crop + (i - crop).rem_euclid(kept),
                };
                source.clamp(0, (n - 1).max(0)) as usize
            })
            .collect()
    }

    /// The outputs of one axis that copy the input unchanged.
    fn interior(&self, axis: usize, input: usize, output: usize) -> std::ops::Range<usize> {
        let (left, output) = (self.left[axis], output as i64);
        let (lo, hi) = (left.clamp(0, output), (input as i64 + left).clamp(0, output));
        lo as usize..hi.max(lo) as usize
    }
}

/// Pads `x` into `out`.
pub fn pad(p: &PadParams, x: In, out: &mut Out) {
    let (_, size) = volume(x.shape, p.spatial);
    let (_, osize) = volume(out.shape, p.spatial);
    let source = [0, 1, 2].map(|a| p.source(a, size[a], osize[a]));
    let inner = p.interior(2, size[2], osize[2]);
    let first = source[2].get(inner.start).copied().unwrap_or(0);
    dispatch!(x.dtype, T => {
        let x = contiguous::<T>(&x);
        for_parts(out.as_mut_slice::<T>(), osize[2], osize[2] / 4 + 8, |r, part| {
            let (n, d, h) = (r / (osize[0] * osize[1]), r / osize[1] % osize[0], r % osize[1]);
            let start = ((n * size[0] + source[0][d]) * size[1] + source[1][h]) * size[2];
            let row = &x[start..start + size[2]];
            part[inner.clone()].copy_from_slice(&row[first..first + inner.len()]);
            for o in (0..inner.start).chain(inner.end..osize[2]) {
                part[o] = row[source[2][o]];
            }
        });
    })
}

/// The gradient of [`pad`]: every output's gradient is added to the input it was read from.
pub fn pad_grad(p: &PadParams, grad_out: In, out: &mut Out) {
    dispatch!(grad_out.dtype, T => pad_grad_as::<T>(p, grad_out, out))
}

fn pad_grad_as<T: Widen>(p: &PadParams, grad_out: In, out: &mut Out) {
    let (_, gsize) = volume(grad_out.shape, p.spatial);
    let (_, size) = volume(out.shape, p.spatial);
    let source = [0, 1, 2].map(|a| p.source(a, size[a], gsize[a]));
    let inner = p.interior(2, size[2], gsize[2]);
    let first = source[2].get(inner.start).copied().unwrap_or(0);
    let (from, plane) = (gsize.iter().product::<usize>(), size.iter().product::<usize>());
    let grad = contiguous::<T>(&grad_out);
    accumulate_parts(out.as_mut_slice::<T>(), plane, from / 2, |n, acc| {
        for (r, row) in grad[n * from..(n + 1) * from].chunks_exact(gsize[2].max(1)).enumerate() {
            let start = (source[0][r / gsize[1]] * size[1] + source[1][r % gsize[1]]) * size[2];
            let to = &mut acc[start..start + size[2]];
            for (a, g) in to[first..].iter_mut().zip(&row[inner.clone()]) {
                *a = a.plus(g.widen());
            }
            for o in (0..inner.start).chain(inner.end..gsize[2]) {
                let slot = &mut to[source[2][o]];
                *slot = slot.plus(row[o].widen());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::planes::testing::{Tensor, assert_close, dot};
    use crate::cpu::rows::testing::at_every_level;

    fn padded(mode: PadMode, left: i64, width: usize) -> Vec<f64> {
        let x = Tensor::<f32>::new(&[1, 1, 4], [1.0, 2.0, 3.0, 4.0]);
        let mut out = Tensor::<f32>::unset(&[1, 1, width]);
        pad(&PadParams { mode, spatial: 1, left: [0, 0, left] }, x.input(), &mut out.output());
        out.floats()
    }

    #[test]
    fn every_mode_reads_beyond_the_edge_as_it_should() {
        at_every_level(|| {
            assert_eq!(padded(PadMode::Reflect, 2, 9), [3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]);
            assert_eq!(padded(PadMode::Replicate, 2, 9), [1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0]);
            assert_eq!(padded(PadMode::Circular, 2, 9), [3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0]);
        });
    }

    #[test]
    fn circular_padding_repeats_what_cropping_leaves() {
        at_every_level(|| {
            assert_eq!(padded(PadMode::Circular, -1, 5), [2.0, 3.0, 4.0, 2.0, 3.0]);
        });
    }

    #[test]
    fn the_gradient_is_the_transpose() {
        at_every_level(|| {
            for mode in [PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
                let p = PadParams { mode, spatial: 3, left: [1, 0, 2] };
                let x = Tensor::<f64>::random(&[2, 3, 4, 5], 1);
                let grad = Tensor::<f64>::random(&[2, 5, 6, 9], 2);
                let (mut out, mut back) = (Tensor::<f64>::unset(grad.shape()), Tensor::<f64>::unset(x.shape()));
                pad(&p, x.input(), &mut out.output());
                pad_grad(&p, grad.input(), &mut back.output());
                assert_close(&[dot(&out, &grad)], &[dot(&x, &back)], 1e-12);
            }
        });
    }
}
