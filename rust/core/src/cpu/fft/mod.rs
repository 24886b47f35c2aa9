//! Fourier transforms along the last dims. `rustfft` transforms lines in working order; here they are brought together from
//! strided memory, a few neighbours at a time, and real lines are taken as complex ones of half their length (W. Press et
//! al., "Numerical Recipes", section 12.3).

mod plans;
mod real;

use super::scratch::with_scratch;
use super::threads::parallel_for;
use super::view::{In, Out};
use super::walk::{Axes, Shared, base, base_mut, grain};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::op::fft::Fourier;
use plans::{Part, Plan, plan};
use rustfft::num_complex::Complex;
use smallvec::SmallVec;

/// Elements of a line or more that a thread takes at least.
const TASK: usize = 16 * 1024;
/// Neighbouring lines gathered together at most: a cache line or more of what lies side by side.
const NEIGHBOURS: usize = 16;

/// How many of `count` lines of this length are gathered together.
fn neighbours(length: usize, count: usize) -> usize {
    NEIGHBOURS.min(((1 << 18) / length).max(4)).min(count)
}

/// Runs a transform over `dims` last dims; numbers are the scale and the factor of inner elements.
pub fn execute(kind: Fourier, dims: usize, x: &In, numbers: &[u64], out: &mut Out) -> Result<()> {
    match out.dtype {
        DType::F32 => run::<f32>(kind, dims, x, numbers, out),
        DType::F64 => run::<f64>(kind, dims, x, numbers, out),
        d => return Err(Error::Internal(format!("{} of {}", kind.name(), d.scalar_name()))),
    }
    Ok(())
}

fn run<T: Part>(kind: Fourier, dims: usize, x: &In, numbers: &[u64], out: &mut Out) {
    debug_assert!(out.is_contiguous());
    if out.numel() == 0 {
        return;
    }
    let number = |k: usize| <T as Element>::from_f64(numbers.get(k).map_or(1.0, |&bits| f64::from_bits(bits)));
    let (scale, inner) = (number(0), number(1));
    let last = out.shape.len().saturating_sub(2);
    match kind {
        Fourier::Forward | Fourier::Backward => lines(kind == Fourier::Backward, x, scale, out),
        Fourier::FromReal => real::forward(x, scale, inner, out),
        Fourier::ToReal => return real::backward(x, scale, inner, out),
    }
    for axis in (last + 1 - dims..last).rev() {
        across::<T>(kind == Fourier::Backward, axis, out);
    }
}

/// Lines of an input: where each begins, in elements of its window, and how far its elements lie apart.
struct Source<T> {
    data: Shared<T>,
    rows: Axes<1>,
    stride: usize,
}

impl<T: Part> Source<T> {
    /// The lines along dim `last`.
    fn new(x: &In, last: usize) -> Self {
        Source {
            data: Shared(base::<T>(x).cast_mut()),
            rows: Axes::of(x.shape, 0..last, [x.strides]),
            stride: x.strides[last],
        }
    }

    /// Calls `f(element, line, value)` for the first `length` values of `lines` lines from `first` on, taken as `V`:
    /// `T` or pairs of it.
    ///
    /// # Safety
    /// The window has these elements, each with the parts of `V` side by side.
    unsafe fn each<V: Copy>(&self, first: usize, lines: usize, length: usize, mut f: impl FnMut(usize, usize, V)) {
        let starts: SmallVec<[usize; NEIGHBOURS]> =
            (first..first + lines).map(|line| self.rows.offsets(line)[0]).collect();
        for k in 0..length {
            for (line, start) in starts.iter().enumerate() {
                // SAFETY: as the caller says.
                f(k, line, unsafe { *self.data.at(start + k * self.stride).cast::<V>().cast_const() });
            }
        }
    }

    /// Copies lines to `out`, one after another, `room` values each.
    ///
    /// # Safety
    /// As for [`Source::each`], and `out` has `lines·room` values, at least `length` a line.
    unsafe fn copy<V: Copy>(&self, first: usize, lines: usize, length: usize, out: *mut V, room: usize) {
        if self.stride * size_of::<T>() != size_of::<V>() {
            // SAFETY: as the caller says.
            return unsafe { self.each(first, lines, length, |k, line, v: V| *out.add(line * room + k) = v) };
        }
        for line in 0..lines {
            let start = self.data.at(self.rows.offsets(first + line)[0]).cast::<V>().cast_const();
            // SAFETY: the values of a line lie side by side, and the output is distinct memory.
            unsafe { std::ptr::copy_nonoverlapping(start, out.add(line * room), length) };
        }
    }

    /// How many lines of this length are taken together.
    fn together(&self, length: usize, count: usize) -> usize {
        if self.stride <= 2 { (TASK / 8 / length).max(1) } else { neighbours(length, count) }
    }
}

/// Calls `f` with complex working memory; two of them for a plan's lines and its own use.
fn with_memory<T: Part, R>(lengths: [usize; 2], f: impl FnOnce(&mut [Complex<T>], &mut [Complex<T>]) -> R) -> R {
    with_scratch::<T, R>(2 * (lengths[0] + lengths[1]), |memory| {
        // SAFETY: a complex number is two parts in a row (`repr(C)`).
        let all = unsafe {
            std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast::<Complex<T>>(), lengths[0] + lengths[1])
        };
        let (lines, own) = all.split_at_mut(lengths[0]);
        f(lines, own)
    })
}

fn multiply<T: Part>(values: &mut [Complex<T>], scale: T) {
    if !scale.is_one() {
        values.iter_mut().for_each(|v| *v = *v * scale);
    }
}

/// Transforms the lines along the last dim, from the input into the output.
fn lines<T: Part>(backward: bool, x: &In, scale: T, out: &mut Out) {
    let last = out.shape.len() - 2;
    let n = out.shape[last];
    let (source, dst) = (Source::<T>::new(x, last), base_mut::<T>(out));
    let plan: Plan<T> = plan(n, backward);
    let count = out.numel() / (2 * n);
    let tile = source.together(n, count);
    parallel_for(count, grain(TASK, n).next_multiple_of(tile), |range| {
        with_memory([0, plan.get_inplace_scratch_len()], |_, own| {
            for first in range.clone().step_by(tile) {
                let lines = tile.min(range.end - first);
                // SAFETY: these lines of the output are this task's own, and the input has them all.
                let to = unsafe {
                    let to = dst.at(2 * n * first).cast::<Complex<T>>();
                    source.copy(first, lines, n, to, n);
                    std::slice::from_raw_parts_mut(to, n * lines)
                };
                plan.process_with_scratch(to, own);
                multiply(to, scale);
            }
        })
    });
}

/// Transforms the lines along an outer dim of the output where they lie.
fn across<T: Part>(backward: bool, axis: usize, out: &mut Out) {
    let last = out.shape.len() - 1;
    let n = out.shape[axis];
    let inner: usize = out.shape[axis + 1..last].iter().product();
    let outer: usize = out.shape[..axis].iter().product();
    let dst = Shared(base_mut::<T>(out).0.cast::<Complex<T>>());
    let plan: Plan<T> = plan(n, backward);
    let wide = neighbours(n, inner);
    let tiles = inner.div_ceil(wide);
    parallel_for(outer * tiles, grain(TASK, n * wide), |range| {
        with_memory([n * wide, plan.get_inplace_scratch_len()], |memory, own| {
            for tile in range {
                let column = tile % tiles * wide;
                let start = tile / tiles * n * inner + column;
                let columns = wide.min(inner - column);
                // SAFETY: these columns are this task's own.
                let at = |k: usize| unsafe { std::slice::from_raw_parts_mut(dst.at(start + k * inner), columns) };
                for k in 0..n {
                    at(k).iter().enumerate().for_each(|(c, v)| memory[c * n + k] = *v);
                }
                plan.process_with_scratch(&mut memory[..n * columns], own);
                for k in 0..n {
                    at(k).iter_mut().enumerate().for_each(|(c, v)| *v = memory[c * n + k]);
                }
            }
        })
    });
}

#[cfg(test)]
mod tests;
