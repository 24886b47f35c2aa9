//! Embedding lookup and the gradient of its table.

use crate::cpu::index::integers;
use crate::cpu::simd::prefetch;
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Shared, base_mut, grain, load_line};
use crate::dispatch;
use crate::dtype::{DType, Element};
use crate::{dispatch_bytes, simd_dispatch};

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

/// Options of [`embedding_backward`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct EmbeddingGrad {
    /// The row that receives no gradient.
    pub padding_idx: Option<usize>,
    /// Divide a row's gradient by how often the row was looked up.
    pub scale_grad_by_freq: bool,
}

simd_dispatch! {
    fn add_row<T: Element>(sum: &mut [f64], row: &[T]) {
        for (s, &v) in sum.iter_mut().zip(row) {
            *s += v.to_f64();
        }
    }
    fn add_row_f32<T: Element>(sum: &mut [f32], row: &[T]) {
        for (s, &v) in sum.iter_mut().zip(row) {
            *s += v.to_f64() as f32;
        }
    }
}

/// The table's gradient `(V, D)`: every row is the sum, in order of lookup, of the gradients of its lookups.
///
/// Rows are disjoint between threads, so the result does not depend on their number. `grad` has `D` as its last dimension.
pub fn embedding_backward(options: EmbeddingGrad, grad: &In, index: &In, out: &mut Out) {
    let (rows, width) = (out.shape[0], out.shape[1]);
    let index: Vec<usize> = integers(index).into_iter().map(|i| i as usize).collect();
    let (starts, lookups) = group_by_row(&index, rows);
    dispatch!(float out.dtype, T => {
        let grad = grad.to_vec_or_slice::<T>();
        let target = base_mut::<T>(out);
        let per_row = width * (1 + index.len() / rows.max(1));
        parallel_for(rows, grain(16 * 1024, per_row), |range| {
            let mut sum = RowSum::new(T::DTYPE, width);
            for row in range {
                // SAFETY: rows are disjoint parts of the contiguous output.
                let out = unsafe { std::slice::from_raw_parts_mut(target.at(row * width), width) };
                let lookups = &lookups[starts[row]..starts[row + 1]];
                if lookups.is_empty() || options.padding_idx == Some(row) {
                    out.fill(T::default());
                    continue;
                }
                sum.clear();
                for &i in lookups {
                    sum.add(&grad[i as usize * width..][..width]);
                }
                sum.write(out, if options.scale_grad_by_freq { lookups.len() as f64 } else { 1.0 });
            }
        });
    }, else unreachable!("embedding tables are float"));
}

/// Lookups sorted by row, in order within a row: `lookups[starts[r]..starts[r + 1]]` are those of row `r`.
fn group_by_row(index: &[usize], rows: usize) -> (Vec<usize>, Vec<u32>) {
    let mut starts = vec![0usize; rows + 1];
    index.iter().for_each(|&r| starts[r + 1] += 1);
    for r in 0..rows {
        starts[r + 1] += starts[r];
    }
    let mut next = starts.clone();
    let mut lookups = vec![0u32; index.len()];
    for (i, &r) in index.iter().enumerate() {
        lookups[next[r]] = i as u32;
        next[r] += 1;
    }
    (starts, lookups)
}

/// A running row: float64 sums in f64, the other floats in f32.
enum RowSum {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl RowSum {
    fn new(dtype: DType, width: usize) -> Self {
        if dtype == DType::F64 { RowSum::Double(vec![0.0; width]) } else { RowSum::Single(vec![0.0; width]) }
    }

    fn clear(&mut self) {
        match self {
            RowSum::Single(s) => s.fill(0.0),
            RowSum::Double(s) => s.fill(0.0),
        }
    }

    fn add<T: Element>(&mut self, row: &[T]) {
        match self {
            RowSum::Single(s) => add_row_f32(s, row),
            RowSum::Double(s) => add_row(s, row),
        }
    }

    fn write<T: Element>(&self, out: &mut [T], divisor: f64) {
        match self {
            RowSum::Single(s) => {
                out.iter_mut().zip(s).for_each(|(o, &v)| *o = T::from_f64((v / divisor as f32) as f64));
            }
            RowSum::Double(s) => out.iter_mut().zip(s).for_each(|(o, &v)| *o = T::from_f64(v / divisor)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

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
