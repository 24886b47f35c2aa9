//! Embedding lookup and the gradient of its table.

use crate::cpu::index::integers;
use crate::cpu::math::Real;
use crate::cpu::rows::Storage;
use crate::cpu::simd::prefetch;
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Shared, base_mut, grain, load_line};
use crate::dispatch;
use crate::dtype::Element;
use crate::{dispatch_bytes, simd_dispatch};
use std::ops::Range;

/// out[i] = weight[index[i]]: `weight` is `(V, D)`, `out` contiguous with the index's shape and `D` appended. Indices are
/// checked before (`IndexRule::Select`).
pub fn embedding(weight: &In, index: &In, out: &mut Out) {
    let rows = integers(index);
    let [step, column] = [weight.strides[0], weight.strides[1]];
    dispatch_bytes!(weight.dtype, U => {
        let (table, target) = (Shared(weight.ptr.cast::<U>().cast_mut()), Shared(out.ptr.cast::<U>()));
        look_up(table, (step, column), &rows, target, weight.shape[1]);
    });
}

/// Rows ahead of the copied one that are asked for: their places are random, so the processor cannot foresee them.
const AHEAD: usize = 4;
/// Bytes of a cache line.
const LINE: usize = 64;

fn look_up<U: Copy>(table: Shared<U>, (step, column): (usize, usize), rows: &[i64], target: Shared<U>, width: usize) {
    parallel_for(rows.len(), grain(16 * 1024, width), |range| {
        for i in range {
            if let Some(&next) = rows.get(i + AHEAD)
                && column == 1
            {
                let row = table.at(next as usize * step);
                (0..width).step_by(LINE / size_of::<U>()).for_each(|j| prefetch(row.wrapping_add(j)));
            }
            // SAFETY: indices were checked, so rows lie inside the table; tasks write disjoint rows of the output.
            unsafe {
                let out = std::slice::from_raw_parts_mut(target.at(i * width), width);
                load_line(table.at(rows[i] as usize * step), column, out);
            }
        }
    });
}

/// out[b] = Σ factors[b, k] · weight[index[b, k]]: `weight` is `(V, D)`, `index` and `factors` `(B, K)`, `out` contiguous.
/// Halves are summed in float32.
pub fn bag(weight: &In, index: &In, factors: Option<&In>, out: &mut Out) {
    let (rows, width, lookups) = (integers(index), weight.shape[1], index.shape[1]);
    if out.numel() == 0 || lookups == 0 {
        return dispatch!(out.dtype, T => out.as_mut_slice::<T>().fill(T::default()));
    }
    dispatch!(float out.dtype, T => {
        let (dense, factors) = (rows_of::<T>(weight), factors.map(|f| f.to_vec_or_slice::<T>()));
        let (table, step) = match &dense {
            Some(rows) => (Shared(rows.as_ptr().cast_mut()), width),
            None => (Shared(weight.ptr.cast::<T>().cast_mut()), weight.strides[0]),
        };
        let (bags, target) = (out.shape[0], base_mut::<T>(out));
        parallel_for(bags, grain(16 * 1024, width * lookups), |range| {
            let (here, size) = (range.start * lookups..range.end * lookups, range.len() * width);
            let bags = Bags { rows: &rows, here: here.clone(), factors: factors.as_deref().map(|f| &f[here]), lookups };
            // SAFETY: indices were checked, so rows lie inside the table; tasks write disjoint rows of the output.
            unsafe {
                let out = std::slice::from_raw_parts_mut(target.at(range.start * width), size);
                match width {
                    1 => bags.short::<1>(table.at(0), step, out),
                    2 => bags.short::<2>(table.at(0), step, out),
                    3 => bags.short::<3>(table.at(0), step, out),
                    4 => bags.short::<4>(table.at(0), step, out),
                    _ => bags.long(table.at(0), step, width, out),
                }
            }
        });
    }, else unreachable!("embedding tables are float"))
}

/// The bags of a task.
struct Bags<'a, T> {
    /// The rows of all bags.
    rows: &'a [i64],
    /// Which of them are the task's.
    here: Range<usize>,
    factors: Option<&'a [T]>,
    lookups: usize,
}

impl<T: Storage> Bags<'_, T> {
    /// Rows of so few elements that their sum stays in registers.
    unsafe fn short<const W: usize>(&self, table: *const T, step: usize, out: &mut [T]) {
        let mut at = 0;
        for (rows, out) in self.rows[self.here.clone()].chunks_exact(self.lookups).zip(out.as_chunks_mut::<W>().0) {
            let mut sum = [<T as Storage>::Acc::ZERO; W];
            for (i, &row) in rows.iter().enumerate() {
                let factor = self.factors.map_or(<T as Storage>::Acc::ONE, |f| f[at + i].up());
                // SAFETY: the caller's contract.
                let row = unsafe { &*table.add(row as usize * step).cast::<[T; W]>() };
                (0..W).for_each(|j| sum[j] += row[j].up() * factor);
            }
            *out = sum.map(T::down);
            at += self.lookups;
        }
    }

    unsafe fn long(&self, table: *const T, step: usize, width: usize, out: &mut [T]) {
        let mut sum = vec![<T as Storage>::Acc::ZERO; width];
        for (bag, out) in out.chunks_exact_mut(width).enumerate() {
            sum.fill(<T as Storage>::Acc::ZERO);
            let first = self.here.start + bag * self.lookups;
            let rows = &self.rows[first..self.rows.len().min(first + self.lookups + AHEAD)];
            let factors = self.factors.map(|f| &f[bag * self.lookups..][..self.lookups]);
            // SAFETY: the caller's contract.
            unsafe { add_rows::<T>(table, step, rows, self.lookups, factors, &mut sum) };
            T::narrow(&sum, out);
        }
    }
}

/// The elements of a table whose rows do not lie in a piece each, copied.
fn rows_of<T: Element>(table: &In) -> Option<Vec<T>> {
    (table.shape[1] > 1 && table.strides[1] != 1).then(|| table.to_vec_or_slice::<T>().into_owned())
}

simd_dispatch! {
    /// Adds the first `count` rows of a table, each times its factor, and asks for those that come next.
    unsafe fn add_rows<T: Storage>(
        table: *const T, step: usize, rows: &[i64], count: usize, factors: Option<&[T]>, sum: &mut [T::Acc],
    ) {
        let width = sum.len();
        for i in 0..count {
            if let Some(&coming) = rows.get(i + AHEAD) {
                let row = table.add(coming as usize * step);
                (0..width).step_by(LINE / size_of::<T>()).for_each(|j| prefetch(row.wrapping_add(j)));
            }
            let row = std::slice::from_raw_parts(table.add(rows[i] as usize * step), width);
            match factors {
                None => sum.iter_mut().zip(row).for_each(|(s, v)| *s += v.up()),
                Some(factors) => {
                    let factor = factors[i].up();
                    sum.iter_mut().zip(row).for_each(|(s, v)| *s = Real::fma::<S>(v.up(), factor, *s));
                }
            }
        }
    }
}

/// Options of [`embedding_backward`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct EmbeddingGrad {
    /// The row that receives no gradient.
    pub padding_idx: Option<usize>,
    /// Divide a row's gradient by how often the row was looked up.
    pub scale_grad_by_freq: bool,
}

/// The table's gradient `(V, D)`: every row is the sum, in order of lookup, of the gradients of its lookups.
///
/// Rows are disjoint between threads, so the result does not depend on their number. `grad` has `D` as its last dimension.
pub fn embedding_backward(options: EmbeddingGrad, grad: &In, index: &In, out: &mut Out) {
    let (rows, width) = (out.shape[0], out.shape[1]);
    let index = integers(index);
    let (starts, lookups) = group_by_row(&index, rows);
    dispatch!(float out.dtype, T => {
        type Sum = <T as Storage>::Acc;
        let grad = grad.to_vec_or_slice::<T>();
        let target = base_mut::<T>(out);
        let per_row = width * (1 + index.len() / rows.max(1));
        parallel_for(rows, grain(16 * 1024, per_row), |range| {
            let mut sum = vec![Sum::ZERO; width];
            for row in range {
                // SAFETY: rows are disjoint parts of the contiguous output.
                let out = unsafe { std::slice::from_raw_parts_mut(target.at(row * width), width) };
                let count = starts[row + 1] - starts[row];
                if count == 0 || options.padding_idx == Some(row) {
                    out.fill(T::default());
                    continue;
                }
                sum.fill(Sum::ZERO);
                let from = &lookups[starts[row]..lookups.len().min(starts[row + 1] + AHEAD)];
                // SAFETY: a lookup is the number of one of the gradient's rows.
                unsafe { add_rows::<T>(grad.as_ptr(), width, from, count, None, &mut sum) };
                if options.scale_grad_by_freq {
                    sum.iter_mut().for_each(|s| *s /= Sum::from_f64(count as f64));
                }
                T::narrow(&sum, out);
            }
        });
    }, else unreachable!("embedding tables are float"));
}

/// Lookups sorted by row, in order within a row: `lookups[starts[r]..starts[r + 1]]` are those of row `r`.
fn group_by_row(index: &[i64], rows: usize) -> (Vec<usize>, Vec<i64>) {
    let mut starts = vec![0usize; rows + 1];
    index.iter().for_each(|&r| starts[r as usize + 1] += 1);
    for r in 0..rows {
        starts[r + 1] += starts[r];
    }
    let mut next = starts.clone();
    let mut lookups = vec![0i64; index.len()];
    for (i, &r) in index.iter().enumerate() {
        lookups[next[r as usize]] = i as i64;
        next[r as usize] += 1;
    }
    (starts, lookups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;
    use crate::dtype::DType;

    #[test]
    fn bags_are_sums_of_rows_times_factors() {
        at_every_level(|| {
            let table = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
            let (index, factors) = ([2i64, 0, 1, 1, 0, 2], [1.0f32, 2.0, -1.0, 0.5, 0.0, 3.0]);
            let i = In { ptr: index.as_ptr().cast(), dtype: DType::I64, shape: &[2, 3], strides: &[3, 1] };
            let f = In { ptr: factors.as_ptr().cast(), dtype: DType::F32, shape: &[2, 3], strides: &[3, 1] };
            let run = |strides: &[usize], factors| {
                let mut got = [9f32; 4];
                let w = In { ptr: table.as_ptr().cast(), dtype: DType::F32, shape: &[3, 2], strides };
                let mut out = Out { ptr: got.as_mut_ptr().cast(), dtype: DType::F32, shape: &[2, 2], strides: &[2, 1] };
                bag(&w, &i, factors, &mut out);
                got
            };
            assert_eq!(run(&[2, 1], None), [9.0, 12.0, 9.0, 12.0]);
            assert_eq!(run(&[2, 1], Some(&f)), [4.0, 6.0, 16.5, 20.0]);
            // The same memory as the transpose of two rows of three.
            assert_eq!(run(&[1, 3], Some(&f)), [3.0, 9.0, 10.0, 20.5]);
        });
    }

    #[test]
    fn gradients_of_repeated_lookups_add_up() {
        at_every_level(|| {
            let (index, grad) = ([2i64, 0, 2], [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
            let i = In { ptr: index.as_ptr().cast(), dtype: DType::I64, shape: &[3], strides: &[1] };
            let g = In { ptr: grad.as_ptr().cast(), dtype: DType::F32, shape: &[3, 2], strides: &[2, 1] };
            let run = |options| {
                let mut got = [9f32; 6];
                let mut out = Out { ptr: got.as_mut_ptr().cast(), dtype: DType::F32, shape: &[3, 2], strides: &[2, 1] };
                embedding_backward(options, &g, &i, &mut out);
                got
            };
            assert_eq!(run(EmbeddingGrad::default()), [3.0, 4.0, 0.0, 0.0, 6.0, 8.0]);
            assert_eq!(run(EmbeddingGrad { scale_grad_by_freq: true, ..Default::default() })[4..], [3.0, 4.0]);
            assert_eq!(run(EmbeddingGrad { padding_idx: Some(0), ..Default::default() })[..2], [0.0, 0.0]);
        });
    }
}
