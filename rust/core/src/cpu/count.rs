//! Counting and searching: nonzero, bincount, histc, searchsorted.

use crate::cpu::fold::Acc;
use crate::cpu::index::integers;
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Axes, Axis, Shared, base, base_mut, grain};
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::{bail, dispatch, ensure};

/// Elements counted as one task of the kernels below and of masks.
pub(super) const CHUNK: usize = 32 * 1024;

/// The number of nonzero elements before each chunk, and in all.
pub(super) fn nonzero_starts<T: Element>(x: &In) -> Vec<usize> {
    let axes = Axes::new(x.shape, [x.strides]);
    let chunks = x.numel().div_ceil(CHUNK);
    let mut starts = vec![0usize; chunks + 1];
    let (src, slots) = (Shared(base::<T>(x).cast_mut()), Shared(starts.as_mut_ptr()));
    let step = axes.inner().strides[0];
    parallel_for(chunks, 2, |range| {
        for c in range {
            let mut count = 0;
            axes.for_each_run(c * CHUNK..x.numel().min((c + 1) * CHUNK), |[offset], n| {
                for i in 0..n {
                    // SAFETY: the run lies inside the window.
                    count += (unsafe { *src.at(offset + i * step) } != T::default()) as usize;
                }
            });
            // SAFETY: every chunk has a slot of its own.
            unsafe { *slots.at(c + 1) = count };
        }
    });
    for c in 0..chunks {
        starts[c + 1] += starts[c];
    }
    starts
}

/// How many elements differ from zero (NaN does).
pub fn nonzero_count(x: &In) -> usize {
    dispatch!(x.dtype, T => *nonzero_starts::<T>(x).last().unwrap_or(&0))
}

/// The coordinates (int64, shape `[count, rank]`, any strides) of the nonzero elements in row-major order.
pub fn nonzero_fill(x: &In, out: &mut Out) {
    dispatch!(x.dtype, T => {
        let starts = nonzero_starts::<T>(x);
        for_each_nonzero::<T>(x, &starts, base_mut::<i64>(out), out.strides);
    });
}

fn for_each_nonzero<T: Element>(x: &In, starts: &[usize], target: Shared<i64>, out_strides: &[usize]) {
    let rank = x.shape.len();
    // Unmerged axes: coordinates are wanted per dimension.
    let axes = Axes::<1>((0..rank).map(|d| Axis { size: x.shape[d], strides: [x.strides[d]] }).collect());
    let (src, total, step) = (Shared(base::<T>(x).cast_mut()), x.numel(), axes.inner().strides[0]);
    parallel_for(starts.len() - 1, 1, |range| {
        for c in range {
            let (mut row, mut linear) = (starts[c], c * CHUNK);
            axes.for_each_run(linear..total.min((c + 1) * CHUNK), |[offset], n| {
                for i in 0..n {
                    // SAFETY: the run lies inside the window; every nonzero element owns one row of the output.
                    unsafe {
                        if *src.at(offset + i * step) != T::default() {
                            let mut rest = linear + i;
                            for d in (0..rank).rev() {
                                *target.at(row * out_strides[0] + d * out_strides[1]) = (rest % x.shape[d]) as i64;
                                rest /= x.shape[d];
                            }
                            row += 1;
                        }
                    }
                }
                linear += n;
            });
        }
    });
}

/// The length of `bincount`'s result: one more than the largest value, at least `minlength`.
pub fn bincount_size(x: &In, minlength: usize) -> Result<usize> {
    ensure!(x.shape.len() == 1, Runtime, "bincount only supports 1-d non-negative integral inputs.");
    ensure!(!x.dtype.is_float(), NotImplemented, "\"bincount_cpu\" not implemented for '{}'", x.dtype.scalar_name());
    let (low, high) = integers(x).into_iter().fold((0, -1), |(low, high), v| (v.min(low), v.max(high)));
    ensure!(low >= 0, Runtime, "bincount only supports 1-d non-negative integral inputs.");
    Ok(minlength.max((high + 1) as usize))
}

/// Counts every value, or sums its weights, in order; the output is int64 without weights, else of the weights' float dtype.
pub fn bincount(x: &In, weights: Option<&In>, out: &mut Out) -> Result<()> {
    let bins: Vec<usize> = integers(x).into_iter().map(|i| i as usize).collect();
    let Some(weights) = weights else {
        let out = out.as_mut_slice::<i64>();
        out.fill(0);
        bins.iter().for_each(|&b| out[b] += 1);
        return Ok(());
    };
    match out.dtype {
        DType::F32 => add_weights::<f32>(&bins, &weights.to_vec_or_slice(), out.as_mut_slice()),
        DType::F64 => {
            let weights: Vec<f64> =
                dispatch!(weights.dtype, T => weights.to_vec_or_slice::<T>().iter().map(|w| w.to_f64()).collect());
            add_weights::<f64>(&bins, &weights, out.as_mut_slice());
        }
        other => bail!(Internal, "bincount: weighted counts are float32 or float64, not {other}"),
    }
    Ok(())
}

fn add_weights<T: Copy + Default + std::ops::AddAssign>(bins: &[usize], weights: &[T], out: &mut [T]) {
    out.fill(T::default());
    bins.iter().zip(weights).for_each(|(&b, &w)| out[b] += w);
}

/// The histogram of a float window over `[low, high]`, or over the data's own range when both are equal.
pub fn histc(x: &In, low: f64, high: f64, out: &mut Out) -> Result<()> {
    match x.dtype {
        DType::F64 => histogram::<f64>(x, low, high, out),
        DType::F32 | DType::F16 | DType::BF16 => histogram::<f32>(x, low, high, out),
        other => bail!(NotImplemented, "\"histogram_cpu\" not implemented for '{}'", other.scalar_name()),
    }
}

fn histogram<A: Acc + std::ops::Div<Output = A> + std::fmt::Display>(
    x: &In,
    low: f64,
    high: f64,
    out: &mut Out,
) -> Result<()> {
    let data: Vec<A> = dispatch!(x.dtype, T => x.to_vec_or_slice::<T>().iter().map(|&v| A::from_element(v)).collect());
    let (mut low, mut high) = (A::from_f64(low), A::from_f64(high));
    if low == high && !data.is_empty() {
        (low, high) = data.iter().fold((data[0], data[0]), |(l, h), &v| {
            (if v < l || v.is_nan() { v } else { l }, if v > h || v.is_nan() { v } else { h })
        });
    }
    if low == high {
        (low, high) = (low.sub(A::ONE), high.add(A::ONE));
    }
    let name = |v: A| v.to_string().to_lowercase();
    let finite = |v: A| v.magnitude() < A::HIGHEST;
    ensure!(
        finite(low) && finite(high),
        Runtime,
        "torch.histc: range of [{}, {}] is not finite",
        name(low),
        name(high)
    );
    ensure!(low < high, Runtime, "torch.histc: max must be larger than min");
    let bins = out.numel();
    let mut counts = vec![0u64; bins];
    for v in data {
        if v >= low && v <= high {
            let place = (v.sub(low) / high.sub(low)).mul(A::from_f64(bins as f64)).to_i64() as usize;
            counts[place.min(bins - 1)] += 1;
        }
    }
    dispatch!(out.dtype, T => {
        out.as_mut_slice::<T>().iter_mut().zip(&counts).for_each(|(o, &c)| *o = T::from_i64(c as i64));
    });
    Ok(())
}

/// For every value the place in its sorted sequence before (`right`: after) equal elements; NaN sorts last.
///
/// `sorted` is 1-d, or has the values' leading dimensions; both have one dtype. The output (int64 or int32) is contiguous.
pub fn searchsorted(sorted: &In, values: &In, right: bool, out: &mut Out) -> Result<()> {
    match out.dtype {
        DType::I32 => dispatch!(values.dtype, T => search::<T, i32>(sorted, values, right, out)),
        _ => dispatch!(values.dtype, T => search::<T, i64>(sorted, values, right, out)),
    }
    Ok(())
}

fn search<T: Element + PartialOrd, I: Element>(sorted: &In, values: &In, right: bool, out: &mut Out) {
    let (sequence, values) = (sorted.to_vec_or_slice::<T>(), values.to_vec_or_slice::<T>());
    let size = sorted.shape.last().copied().unwrap_or(1);
    // Values that share one sequence.
    let per_sequence = if sorted.shape.len() <= 1 { values.len() } else { out.shape.last().copied().unwrap_or(1) };
    let target = base_mut::<I>(out);
    parallel_for(values.len(), grain(4096, size.max(2).ilog2() as usize), |range| {
        for i in range {
            let v = values[i];
            let line = &sequence[i / per_sequence * size..][..size];
            // Written so that comparisons with NaN sort it behind all numbers.
            let place = line.partition_point(|&s| !if right { s > v } else { s >= v });
            // SAFETY: every value owns one output.
            unsafe { *target.at(i) = I::from_i64(place as i64) };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

    #[test]
    fn nonzero_lists_coordinates_in_row_major_order() {
        at_every_level(|| {
            let x = [0.0f32, 1.0, f32::NAN, 0.0, -0.0, 2.0];
            let input = In { ptr: x.as_ptr().cast(), dtype: DType::F32, shape: &[2, 3], strides: &[3, 1] };
            assert_eq!(nonzero_count(&input), 3);
            let mut found = [0i64; 6];
            let mut out = Out { ptr: found.as_mut_ptr().cast(), dtype: DType::I64, shape: &[3, 2], strides: &[1, 3] };
            nonzero_fill(&input, &mut out);
            assert_eq!(found, [0, 0, 1, 1, 2, 2]);
        });
    }

    #[test]
    fn searches_go_left_or_right_of_equals() {
        at_every_level(|| {
            let (seq, v) = ([1i32, 3, 3, 5], [3i32, 0, 6]);
            for (right, want) in [(false, [1, 0, 4]), (true, [3, 0, 4])] {
                let mut got = [0i64; 3];
                let s = In { ptr: seq.as_ptr().cast(), dtype: DType::I32, shape: &[4], strides: &[1] };
                let v = In { ptr: v.as_ptr().cast(), dtype: DType::I32, shape: &[3], strides: &[1] };
                let mut out = Out { ptr: got.as_mut_ptr().cast(), dtype: DType::I64, shape: &[3], strides: &[1] };
                searchsorted(&s, &v, right, &mut out).expect("searchsorted");
                assert_eq!(got, want);
            }
        });
    }

    #[test]
    fn histogram_includes_its_upper_edge() {
        at_every_level(|| {
            let x = [0.0f64, 1.0, 2.0, 3.0, 4.0, 9.0];
            let input = In { ptr: x.as_ptr().cast(), dtype: DType::F64, shape: &[6], strides: &[1] };
            let mut got = [0f64; 4];
            let mut out = Out { ptr: got.as_mut_ptr().cast(), dtype: DType::F64, shape: &[4], strides: &[1] };
            histc(&input, 0.0, 4.0, &mut out).expect("histc");
            assert_eq!(got, [1.0, 1.0, 1.0, 2.0]);
            assert!(histc(&input, 4.0, 0.0, &mut out).is_err());
        });
    }
}
