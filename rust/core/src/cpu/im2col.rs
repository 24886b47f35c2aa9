//! im2col and col2im over the last two dimensions (`F.unfold` and `F.fold`), each the gradient of the other.

use crate::cpu::planes::{Acc, Widen, accumulate_parts, contiguous, for_parts, volume};
use crate::cpu::view::{In, Out};
use crate::dispatch;
use crate::params::BlockParams;
use std::ops::Range;

impl BlockParams {
    /// The block positions along one axis whose kernel element `tap` lies inside the input, and the input position of
    /// the first of them.
    fn inside(&self, axis: usize, tap: usize, input: usize, blocks: usize) -> (Range<usize>, usize) {
        let stride = self.stride[axis] as i64;
        let shift = (tap * self.dilation[axis]) as i64 - self.padding[axis] as i64;
        let ceil_div = |a: i64| (a.max(0) as u64).div_ceil(stride as u64) as usize;
        let hi = ceil_div(input as i64 - shift).min(blocks);
        let lo = ceil_div(-shift).min(hi);
        (lo..hi, (lo as i64 * stride + shift).max(0) as usize)
    }
}

/// Columns `(N, C·kh·kw, L)` of the blocks of `x: (N, C, H, W)`; zero where a block leaves the input.
pub fn im2col(p: &BlockParams, x: In, out: &mut Out) {
    let (_, [_, height, width]) = volume(x.shape, 2);
    let (rows, cols) = (p.output_size(0, height).max(0) as usize, p.output_size(1, width).max(0) as usize);
    let [kh, kw] = p.kernel;
    dispatch!(x.dtype, T => {
        let x = contiguous::<T>(&x);
        for_parts(out.as_mut_slice::<T>(), rows * cols, rows * cols / 4, |i, part| {
            let (plane, ty, tx) = (i / (kh * kw), i / kw % kh, i % kw);
            let (plane, (ys, y0)) = (&x[plane * height * width..], p.inside(0, ty, height, rows));
            let (xs, x0) = p.inside(1, tx, width, cols);
            part[..ys.start * cols].fill(T::default());
            part[ys.end * cols..].fill(T::default());
            for (j, row) in part[ys.start * cols..ys.end * cols].chunks_exact_mut(cols.max(1)).enumerate() {
                let start = (y0 + j * p.stride[0]) * width;
                let source = &plane[start..start + width];
                row[..xs.start].fill(T::default());
                row[xs.end..].fill(T::default());
                let row = &mut row[xs.clone()];
                if p.stride[1] == 1 {
                    row.copy_from_slice(&source[x0..x0 + row.len()]);
                } else if !row.is_empty() {
                    row.iter_mut().zip(source[x0..].iter().step_by(p.stride[1])).for_each(|(o, &v)| *o = v);
                }
            }
        });
    })
}

/// The sum of the columns `(N, C·kh·kw, L)` at the places of their blocks in `out: (N, C, H, W)`.
pub fn col2im(p: &BlockParams, columns: In, out: &mut Out) {
    dispatch!(columns.dtype, T => col2im_as::<T>(p, columns, out))
}

fn col2im_as<T: Widen>(p: &BlockParams, columns: In, out: &mut Out) {
    let (_, [_, height, width]) = volume(out.shape, 2);
    let (rows, cols) = (p.output_size(0, height).max(0) as usize, p.output_size(1, width).max(0) as usize);
    let [kh, kw] = p.kernel;
    let columns = contiguous::<T>(&columns);
    let len = rows * cols;
    accumulate_parts(out.as_mut_slice::<T>(), height * width, kh * kw * len / 2, |i, acc| {
        for tap in 0..kh * kw {
            let start = (i * kh * kw + tap) * len;
            let column = &columns[start..start + len];
            let (ys, y0) = p.inside(0, tap / kw, height, rows);
            let (xs, x0) = p.inside(1, tap % kw, width, cols);
            for (j, oy) in ys.enumerate() {
                let values = &column[oy * cols..][xs.clone()];
                let row = &mut acc[(y0 + j * p.stride[0]) * width..][..width];
                if p.stride[1] == 1 {
                    row[x0.min(width)..].iter_mut().zip(values).for_each(|(a, v)| *a = a.plus(v.widen()));
                } else if !values.is_empty() {
                    let row = row[x0..].iter_mut().step_by(p.stride[1]);
                    row.zip(values).for_each(|(a, v)| *a = a.plus(v.widen()));
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::planes::testing::{Tensor, assert_close, dot};
    use crate::cpu::rows::testing::at_every_level;

    #[test]
    fn columns_are_the_blocks_with_zeros_outside() {
        at_every_level(|| {
            let p = BlockParams { kernel: [2, 2], stride: [1, 2], padding: [0, 1], dilation: [1, 1] };
            let x = Tensor::<f32>::new(&[1, 1, 2, 3], (1..=6).map(f64::from));
            assert_eq!((p.output_size(0, 2), p.output_size(1, 3)), (1, 2));
            let mut out = Tensor::<f32>::unset(&[1, 4, 2]);
            im2col(&p, x.input(), &mut out.output());
            assert_eq!(out.floats(), [0.0, 2.0, 1.0, 3.0, 0.0, 5.0, 4.0, 6.0]);
        });
    }

    #[test]
    fn a_block_larger_than_the_input_does_not_fit() {
        at_every_level(|| {
            let p = BlockParams { kernel: [3, 3], stride: [2, 2], padding: [0, 0], dilation: [1, 2] };
            assert!(p.output_size(0, 2) <= 0 && p.output_size(1, 4) <= 0);
        });
    }

    #[test]
    fn folding_is_the_transpose_of_unfolding() {
        at_every_level(|| {
            let p = BlockParams { kernel: [3, 2], stride: [2, 1], padding: [1, 2], dilation: [1, 3] };
            let x = Tensor::<f64>::random(&[2, 3, 6, 7], 3);
            let blocks = (p.output_size(0, 6) * p.output_size(1, 7)) as usize;
            let columns = Tensor::<f64>::random(&[2, 18, blocks], 4);
            let (mut unfolded, mut folded) = (Tensor::<f64>::unset(columns.shape()), Tensor::<f64>::unset(x.shape()));
            im2col(&p, x.input(), &mut unfolded.output());
            col2im(&p, columns.input(), &mut folded.output());
            assert_close(&[dot(&unfolded, &columns)], &[dot(&x, &folded)], 1e-12);
        });
    }
}
