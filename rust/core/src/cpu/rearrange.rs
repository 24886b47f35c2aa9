//! Kernels that only move elements: triangles, flips, rolls, and the index list of repeat_interleave.

use crate::cpu::copy::collapse;
use crate::cpu::index::{TASK, integers};
use crate::cpu::lines::gather;
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Axes, Shared, grain, load_line};
use crate::error::Result;
use crate::shape::Dims;
use crate::{dispatch_bytes, ensure};

/// The part of every `(.., R, C)` matrix on and below (`upper`: above) diagonal `diagonal`, zero elsewhere.
pub fn triangle(x: &In, upper: bool, diagonal: i64, out: &mut Out) {
    let rank = x.shape.len();
    let (rows, columns, step) = (x.shape[rank - 2], x.shape[rank - 1], x.strides[rank - 1]);
    let lines = Axes::of(x.shape, 0..rank - 1, [x.strides]);
    debug_assert!(out.is_contiguous());
    dispatch_bytes!(x.dtype, U => {
        let (src, target) = (Shared(x.ptr.cast::<U>().cast_mut()), Shared(out.ptr.cast::<U>()));
        parallel_for(lines.numel(), grain(TASK, columns), |range| {
            for line in range {
                let [offset] = lines.offsets(line);
                // SAFETY: every line owns one row of the contiguous output, and reads one of the input.
                unsafe {
                    let out = std::slice::from_raw_parts_mut(target.at(line * columns), columns);
                    let edge = (line % rows) as i64 + diagonal + !upper as i64;
                    let edge = edge.clamp(0, columns as i64) as usize;
                    let (from, to) = if upper { (edge, columns) } else { (0, edge) };
                    out[..from].fill(0);
                    load_line(src.at(offset + from * step), step, &mut out[from..to]);
                    out[to..].fill(0);
                }
            }
        });
    });
}

/// How one dimension of a rearranged window is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reading {
    Forward,
    Reversed,
    /// Element `i` comes from `i - shift`, cyclically; the shift lies below the size.
    Rolled(usize),
}

impl Reading {
    fn source(self, i: usize, size: usize) -> usize {
        match self {
            Reading::Forward => i,
            Reading::Reversed => size - 1 - i,
            Reading::Rolled(shift) => (i + size - shift) % size,
        }
    }
}

/// Copies `x` with every dimension read as told (`flip`, `roll`) into a contiguous output of the same shape.
pub fn rearrange(x: &In, readings: &[Reading], out: &mut Out) {
    let rank = x.shape.len();
    debug_assert!(out.is_contiguous());
    if x.numel() == 0 {
        return;
    }
    if readings.iter().all(|r| !matches!(r, Reading::Rolled(_))) {
        return turn(x, readings, out);
    }
    let (columns, step) = (x.shape.last().copied().unwrap_or(1), x.strides.last().copied().unwrap_or(1));
    let inner = readings.last().copied().unwrap_or(Reading::Forward);
    dispatch_bytes!(x.dtype, U => {
        let (src, target) = (Shared(x.ptr.cast::<U>().cast_mut()), Shared(out.ptr.cast::<U>()));
        parallel_for(x.numel() / columns, grain(TASK, columns), |range| {
            for line in range {
                let (mut rest, mut offset) = (line, 0);
                for d in (0..rank.saturating_sub(1)).rev() {
                    offset += readings[d].source(rest % x.shape[d], x.shape[d]) * x.strides[d];
                    rest /= x.shape[d];
                }
                // SAFETY: every line owns one row of the contiguous output, and reads one of the input.
                unsafe {
                    let out = std::slice::from_raw_parts_mut(target.at(line * columns), columns);
                    match inner {
                        Reading::Forward => load_line(src.at(offset), step, out),
                        Reading::Reversed => {
                            for (i, o) in out.iter_mut().rev().enumerate() {
                                *o = *src.at(offset + i * step);
                            }
                        }
                        Reading::Rolled(shift) => {
                            let (head, tail) = out.split_at_mut(shift);
                            load_line(src.at(offset + (columns - shift) * step), step, head);
                            load_line(src.at(offset), step, tail);
                        }
                    }
                }
            }
        });
    });
}

/// [`rearrange`] where dimensions are read forward or backward: strides do it.
fn turn(x: &In, readings: &[Reading], out: &mut Out) {
    let mut first = 0usize;
    let mut strides = Dims::from_slice(x.strides);
    for d in (0..x.shape.len()).filter(|&d| readings[d] == Reading::Reversed) {
        first += (x.shape[d] - 1) * strides[d];
        strides[d] = strides[d].wrapping_neg();
    }
    let (shape, [strides]) = collapse(x.shape, [&strides]);
    dispatch_bytes!(x.dtype, U => {
        let (src, target) = (Shared(x.ptr.cast::<U>().cast_mut()), Shared(out.ptr.cast::<U>()));
        parallel_for(x.numel(), TASK, |range| {
            // SAFETY: the strides stay inside the input, and tasks write disjoint parts of the contiguous output.
            unsafe { gather(target.at(range.start), src.at(first), &shape, &strides, range.start, range.len()) };
        });
    });
}

/// The length of `repeat_interleave(repeats)`: the sum of the repeats (int64 or int32, 1-d), none of them negative.
pub fn repeats_total(repeats: &In) -> Result<usize> {
    let repeats = integers(repeats);
    ensure!(repeats.iter().all(|&r| r >= 0), Runtime, "repeats can not be negative");
    Ok(repeats.iter().sum::<i64>() as usize)
}

/// The int64 list in which every position `i` occurs `repeats[i]` times; the caller selects with it.
pub fn repeat_positions(repeats: &In, out: &mut Out) {
    let out = out.as_mut_slice::<i64>();
    let mut at = 0;
    for (i, r) in integers(repeats).into_iter().enumerate() {
        out[at..at + r as usize].fill(i as i64);
        at += r as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;
    use crate::dtype::DType;

    fn run(shape: &[usize], strides: &[usize], kernel: impl Fn(&In, &mut Out)) -> Vec<i32> {
        let x: Vec<i32> = (1..=shape.iter().product::<usize>() as i32).collect();
        let mut got = vec![-1; x.len()];
        let dense = crate::shape::Dims::from_slice(shape).contiguous_strides();
        let input = In { ptr: x.as_ptr().cast(), dtype: DType::I32, shape, strides };
        kernel(&input, &mut Out { ptr: got.as_mut_ptr().cast(), dtype: DType::I32, shape, strides: &dense });
        got
    }

    #[test]
    fn triangles_follow_the_diagonal() {
        at_every_level(|| {
            assert_eq!(run(&[2, 3], &[3, 1], |x, o| triangle(x, false, 0, o)), [1, 0, 0, 4, 5, 0]);
            assert_eq!(run(&[2, 3], &[3, 1], |x, o| triangle(x, true, 1, o)), [0, 2, 3, 0, 0, 6]);
            assert_eq!(run(&[2, 3], &[3, 1], |x, o| triangle(x, false, -5, o)), [0; 6]);
            assert_eq!(run(&[3, 2], &[1, 3], |x, o| triangle(x, true, 0, o)), [1, 4, 0, 5, 0, 0]);
        });
    }

    #[test]
    fn flips_and_rolls_read_other_places() {
        at_every_level(|| {
            use Reading::*;
            assert_eq!(run(&[2, 3], &[3, 1], |x, o| rearrange(x, &[Reversed, Reversed], o)), [6, 5, 4, 3, 2, 1]);
            assert_eq!(run(&[2, 3], &[3, 1], |x, o| rearrange(x, &[Forward, Rolled(1)], o)), [3, 1, 2, 6, 4, 5]);
            assert_eq!(run(&[2, 3], &[3, 1], |x, o| rearrange(x, &[Rolled(1), Forward], o)), [4, 5, 6, 1, 2, 3]);
        });
    }
}
