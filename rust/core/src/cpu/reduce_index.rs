//! Reductions that return where the extremum lies: argmax and argmin over any dimensions, max and min with indices.

use crate::cpu::fold::{Acc, BLOCK, Fold, Load, Max, Min, fold_slice, loader};
use crate::cpu::reduce::SHORT_ROW;
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Axes, Axis, Shared, grain};
use crate::dtype::DType;
use crate::error::Result;
use crate::simd_dispatch;

/// Max or min along `dim`: the values, and the index (int64) of the first one; NaN counts as the extremum.
pub fn reduce_with_index(max: bool, x: &In, dim: usize, values: &mut Out, indices: &mut Out) -> Result<()> {
    let dims: &[usize] = if x.shape.is_empty() { &[] } else { &[dim] };
    arg_reduce(max, x, dims, Some(values), indices)
}

/// The extremum of every output and its row-major index within the reduced dimensions, which hold at least one element.
pub fn arg_reduce(max: bool, x: &In, dims: &[usize], values: Option<&mut Out>, indices: &mut Out) -> Result<()> {
    if indices.numel() == 0 {
        return Ok(());
    }
    let indices = indices.as_mut_slice::<i64>();
    match (x.dtype.accumulator(), max) {
        (DType::F32, true) => run::<f32, Max>(x, dims, values, indices),
        (DType::F32, false) => run::<f32, Min>(x, dims, values, indices),
        (DType::F64, true) => run::<f64, Max>(x, dims, values, indices),
        (DType::F64, false) => run::<f64, Min>(x, dims, values, indices),
        (_, true) => run::<i64, Max>(x, dims, values, indices),
        (_, false) => run::<i64, Min>(x, dims, values, indices),
    }
    Ok(())
}

/// An extremum and where it was first seen.
#[derive(Clone, Copy)]
struct Best<A> {
    value: A,
    index: i64,
}

impl<A: Acc> Best<A> {
    /// Takes over a later candidate if it is strictly better, NaN being best.
    #[inline(always)]
    fn merge<F: Fold<A>>(&mut self, later: Best<A>) {
        if beats::<A, F>(later.value, self.value) {
            *self = later;
        }
    }
}

/// Whether `new` replaces the earlier `old`.
#[inline(always)]
fn beats<A: Acc, F: Fold<A>>(new: A, old: A) -> bool {
    // `combine` keeps its second argument on ties and NaNs.
    (new.is_nan() || (F::combine(new, old) == new && new != old)) && !old.is_nan()
}

simd_dispatch! {
    fn find<A: Acc>(x: &[A], value: A) -> usize {
        // Whole groups first: a search that stops inside its loop is not vectorised.
        let mut start = 0;
        for group in x.chunks(64) {
            let mut hit = false;
            for &v in group {
                hit |= v == value || v.is_nan();
            }
            if hit {
                break;
            }
            start += group.len();
        }
        start + x[start..].iter().position(|&v| v == value || v.is_nan()).unwrap_or(0)
    }
    fn update_columns<A: Acc, F>(best: &mut [A], index: &mut [i64], row: &[A], at: i64) where [F: Fold<A>] {
        for ((b, i), &v) in best.iter_mut().zip(index).zip(row) {
            let take = beats::<A, F>(v, *b);
            *b = if take { v } else { *b };
            *i = if take { at } else { *i };
        }
    }
}

/// Elements of a row searched as one task, and the width of a tile of columns.
const CHUNK: usize = 64 * 1024;
const TILE: usize = 256;
const TASK: usize = 32 * 1024;

fn run<A: Acc, F: Fold<A>>(x: &In, dims: &[usize], values: Option<&mut Out>, indices: &mut [i64]) {
    let rank = x.shape.len();
    let mut out_strides = vec![0; rank];
    let mut step = 1;
    for d in (0..rank).rev().filter(|d| !dims.contains(d)) {
        out_strides[d] = step;
        step *= x.shape[d];
    }
    let walk = Walk {
        base: x.ptr,
        dtype: x.dtype,
        kept: Axes::of(x.shape, (0..rank).filter(|d| !dims.contains(d)), [x.strides, &out_strides]),
        reduced: Axes::of(x.shape, dims.iter().copied(), [x.strides]),
    };
    let mut best = vec![A::ZERO; indices.len()];
    let nearest = |it: &mut dyn Iterator<Item = usize>| it.filter(|&s| s > 0).min().unwrap_or(usize::MAX);
    let kept_stride = nearest(&mut walk.kept.0.iter().map(|a| a.strides[0]));
    let reduced_stride = nearest(&mut walk.reduced.0.iter().map(|a| a.strides[0]));
    let short_rows = walk.reduced.numel() <= SHORT_ROW && walk.kept.inner().size >= SHORT_ROW;
    if short_rows || (kept_stride < reduced_stride && indices.len() >= 8) {
        walk.columns::<A, F>(Shared(best.as_mut_ptr()), Shared(indices.as_mut_ptr()));
    } else {
        walk.rows::<A, F>(&mut best, indices);
    }
    if let Some(values) = values {
        crate::dispatch!(values.dtype, T => {
            for (o, &v) in values.as_mut_slice::<T>().iter_mut().zip(&best) {
                *o = v.to_element::<T>();
            }
        });
    }
}

struct Walk {
    base: *const u8,
    dtype: DType,
    kept: Axes<2>,
    reduced: Axes<1>,
}

// SAFETY: only reads, from memory that outlives it.
unsafe impl Sync for Walk {}

impl Walk {
    fn rows<A: Acc, F: Fold<A>>(&self, values: &mut [A], indices: &mut [i64]) {
        let (count, outputs) = (self.reduced.numel(), indices.len());
        let chunks = if outputs < 32 { count.div_ceil(CHUNK) } else { 1 };
        let empty = Best { value: A::ZERO, index: 0 };
        let mut found = vec![empty; chunks * outputs];
        let slots = Shared(found.as_mut_ptr());
        parallel_for(chunks * outputs, grain(TASK, count.div_ceil(chunks)), |range| {
            for task in range {
                let (o, chunk) = (task / chunks, task % chunks);
                let [base, at] = self.kept.offsets(o);
                let span = if chunks == 1 { 0..count } else { chunk * CHUNK..count.min((chunk + 1) * CHUNK) };
                let best = self.row::<A, F>(base, span);
                // SAFETY: `at` runs over the outputs as `o` does, so every task has a slot of its own.
                unsafe { *slots.at(at * chunks + chunk) = best };
            }
        });
        for (o, parts) in found.chunks(chunks).enumerate() {
            let mut best = parts[0];
            parts[1..].iter().for_each(|&p| best.merge::<F>(p));
            (values[o], indices[o]) = (best.value, best.index);
        }
    }

    fn row<A: Acc, F: Fold<A>>(&self, base: usize, span: std::ops::Range<usize>) -> Best<A> {
        let load = loader::<A>(self.dtype);
        let stride = self.reduced.inner().strides[0];
        let direct = self.dtype == A::DTYPE && stride == 1;
        let mut stage = [A::ZERO; BLOCK];
        let mut best: Option<Best<A>> = None;
        let mut position = span.start;
        self.reduced.for_each_run(span, |[offset], run| {
            let mut done = 0;
            while done < run {
                let at = base + offset + done * stride;
                let n = (if direct { 4 * BLOCK } else { BLOCK }).min(run - done);
                let part = if direct {
                    // SAFETY: the run lies inside the input, which holds `A`s.
                    unsafe { std::slice::from_raw_parts(self.base.cast::<A>().add(at), n) }
                } else {
                    // SAFETY: as above, converted into the stage.
                    unsafe { load(self.base, at, stride, &mut stage[..n], Load::Convert) };
                    &stage[..n]
                };
                let value = fold_slice::<A, F>(part, A::ZERO);
                if best.is_none_or(|b| beats::<A, F>(value, b.value)) {
                    let index = (position + find(part, value)) as i64;
                    best = Some(Best { value, index });
                }
                position += n;
                done += n;
            }
        });
        best.unwrap_or(Best { value: F::IDENTITY, index: 0 })
    }

    fn columns<A: Acc, F: Fold<A>>(&self, values: Shared<A>, indices: Shared<i64>) {
        let load = loader::<A>(self.dtype);
        let mut others = self.kept.clone();
        let nearest =
            (0..others.0.len()).filter(|&i| others.0[i].strides[0] > 0).min_by_key(|&i| others.0[i].strides[0]);
        let vector = nearest.map_or(Axis { size: 1, strides: [1, 1] }, |i| others.0.remove(i));
        let tiles = vector.size.div_ceil(TILE);
        let (count, row_stride) = (self.reduced.numel(), self.reduced.inner().strides[0]);
        let direct = self.dtype == A::DTYPE && vector.strides[0] == 1;
        parallel_for(others.numel() * tiles, grain(TASK, count * TILE.min(vector.size)), |range| {
            let mut stage = [A::ZERO; TILE];
            for task in range {
                let [base, o] = others.offsets(task / tiles);
                let first = task % tiles * TILE;
                let width = TILE.min(vector.size - first);
                let (base, o) = (base + first * vector.strides[0], o + first * vector.strides[1]);
                let (mut best, mut index) = ([A::ZERO; TILE], [0i64; TILE]);
                let mut position = 0;
                self.reduced.for_each_run(0..count, |[offset], run| {
                    for i in 0..run {
                        let at = base + offset + i * row_stride;
                        let row = if direct {
                            // SAFETY: `width` adjacent columns of this row lie inside the input.
                            unsafe { std::slice::from_raw_parts(self.base.cast::<A>().add(at), width) }
                        } else {
                            // SAFETY: as above.
                            unsafe { load(self.base, at, vector.strides[0], &mut stage[..width], Load::Convert) };
                            &stage[..width]
                        };
                        if position == 0 {
                            best[..width].copy_from_slice(row);
                        } else {
                            update_columns::<A, F>(&mut best[..width], &mut index[..width], row, position);
                        }
                        position += 1;
                    }
                });
                for j in 0..width {
                    // SAFETY: every column belongs to one tile, every tile to one task.
                    unsafe {
                        *values.at(o + j * vector.strides[1]) = best[j];
                        *indices.at(o + j * vector.strides[1]) = index[j];
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

    fn argmax(x: &[f32]) -> i64 {
        let mut index = [0i64];
        let x = In { ptr: x.as_ptr().cast(), dtype: DType::F32, shape: &[x.len()], strides: &[1] };
        let mut out = Out { ptr: index.as_mut_ptr().cast(), dtype: DType::I64, shape: &[], strides: &[] };
        arg_reduce(true, &x, &[0], None, &mut out).expect("argmax");
        index[0]
    }

    #[test]
    fn the_first_maximum_wins_and_nan_beats_all() {
        at_every_level(|| {
            assert_eq!(argmax(&[1.0, 3.0, 3.0, 2.0]), 1);
            assert_eq!(argmax(&[1.0, f32::NAN, 9.0, f32::NAN]), 1);
            assert_eq!(argmax(&[f32::NEG_INFINITY; 3]), 0);
            let mut long = vec![0.5; 200_000];
            long[150_001] = 1.0;
            long[199_999] = 1.0;
            assert_eq!(argmax(&long), 150_001);
        });
    }
}
