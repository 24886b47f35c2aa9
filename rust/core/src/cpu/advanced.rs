//! Advanced indexing with broadcast index tensors, flat indexing (take, put) and masks.

use crate::cpu::count::{CHUNK, nonzero_starts};
use crate::cpu::index::{
    IndexRule, Indices, ScatterKind, TASK, check_index, in_f32, integers, meet, meet_row, wrap_index,
};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Axes, Shared, base, base_mut};
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::{dispatch, dispatch_bytes, ensure};

/// Where `x[indices]` reads: the shape of the result, and for every one of its elements a place in `x`.
///
/// `indices` has one entry per leading dimension of `x`, `None` for a full slice; all tensors among them are windows of one
/// broadcast shape. Its dimensions take the place of the indexed ones when those are adjacent, else they come first.
pub struct Selection {
    pub shape: Vec<usize>,
    /// Strides in `x`, zero in the dimensions of the index tensors.
    x_strides: Vec<usize>,
    /// Strides in `offsets`, zero in the dimensions of the slices.
    offset_strides: Vec<usize>,
    /// For every element of the index tensors the offset in `x` that they add up to.
    offsets: Vec<usize>,
}

impl Selection {
    /// Checks all indices and adds up their offsets. `x` is given by shape and strides, so that outputs can be selected from too.
    pub fn new(shape: &[usize], strides: &[usize], indices: &[Option<In>]) -> Result<Self> {
        let indexed: Vec<usize> = (0..indices.len()).filter(|&d| indices[d].is_some()).collect();
        let block = indices.iter().flatten().next().map_or(&[][..], |i| i.shape);
        let n: usize = block.iter().product();
        let mut offsets = vec![0usize; n];
        for (d, index) in indices.iter().enumerate() {
            let Some(index) = index else { continue };
            check_index(IndexRule::Advanced, index, d, shape[d])?;
            let rows = Indices::new(index);
            let axes = Axes::new(block, [rows.strides()]);
            let (ptr, step) = (rows.ptr(), axes.inner().strides[0]);
            let mut at = 0;
            axes.for_each_run(0..n, |[o], len| {
                for j in 0..len {
                    // SAFETY: the run lies inside the index window.
                    offsets[at + j] += wrap_index(unsafe { *ptr.add(o + j * step) }, shape[d]) * strides[d];
                }
                at += len;
            });
        }
        let adjacent = indexed.windows(2).all(|w| w[1] == w[0] + 1);
        let place = if adjacent { indexed.first().copied().unwrap_or(0) } else { 0 };
        let mut s = Selection { shape: vec![], x_strides: vec![], offset_strides: vec![], offsets };
        let slices: Vec<usize> = (0..shape.len()).filter(|d| !indexed.contains(d)).collect();
        for &d in slices.iter().filter(|&&d| d < place) {
            s.push(shape[d], strides[d], 0);
        }
        for (i, &size) in block.iter().enumerate() {
            s.push(size, 0, block[i + 1..].iter().product());
        }
        for &d in slices.iter().filter(|&&d| d >= place) {
            s.push(shape[d], strides[d], 0);
        }
        Ok(s)
    }

    fn push(&mut self, size: usize, x_stride: usize, offset_stride: usize) {
        self.shape.push(size);
        self.x_strides.push(x_stride);
        self.offset_strides.push(offset_stride);
    }
}

/// out = x[indices]; `out` is contiguous.
pub fn index(x: &In, indices: &[Option<In>], out: &mut Out) -> Result<()> {
    let s = Selection::new(x.shape, x.strides, indices)?;
    let axes = Axes::new(&s.shape, [&s.x_strides, &s.offset_strides]);
    let [x_step, o_step] = axes.inner().strides;
    debug_assert!(out.is_contiguous());
    dispatch_bytes!(x.dtype, U => {
        let (src, target) = (Shared(x.ptr.cast::<U>().cast_mut()), Shared(out.ptr.cast::<U>()));
        parallel_for(out.numel(), TASK, |range| {
            let mut at = range.start;
            axes.for_each_run(range, |[x, o], n| {
                // SAFETY: indices were checked; tasks write disjoint parts of the output.
                unsafe {
                    let out = std::slice::from_raw_parts_mut(target.at(at), n);
                    if o_step == 0 {
                        crate::cpu::walk::load_line(src.at(x + s.offsets[o]), x_step, out);
                    } else {
                        for (j, out) in out.iter_mut().enumerate() {
                            *out = *src.at(x + j * x_step + s.offsets[o + j * o_step]);
                        }
                    }
                }
                at += n;
            });
        });
    });
    Ok(())
}

/// out[indices] = values, or += when `accumulate`, in place. `values` broadcasts to the selection's shape.
///
/// Elements named more than once are written in the order of the index tensors; sums of 16-bit floats are rounded once.
pub fn index_put(out: &mut Out, indices: &[Option<In>], values: &In, accumulate: bool) -> Result<()> {
    if accumulate && matches!(out.dtype, DType::F16 | DType::BF16) {
        let mut result = Ok(());
        in_f32(out, values, |out, values| result = index_put(out, indices, values, true));
        return result;
    }
    let s = Selection::new(out.shape, out.strides, indices)?;
    let values_strides = broadcast_strides(values, &s.shape)?;
    if accumulate {
        dispatch!(out.dtype, T => put_selected::<T>(&s, base_mut(out), base(values), &values_strides, |a, b| meet(ScatterKind::Sum, a, b)));
    } else {
        dispatch_bytes!(out.dtype, U => {
            put_selected::<U>(&s, Shared(out.ptr.cast()), values.ptr.cast(), &values_strides, |_, new| new);
        });
    }
    Ok(())
}

fn broadcast_strides(values: &In, shape: &[usize]) -> Result<Vec<usize>> {
    // Leading ones may be more than the selection has dimensions.
    let extra = values.shape.len().saturating_sub(shape.len());
    let fits = values.shape[..extra].iter().all(|&n| n == 1)
        && values.shape[extra..].iter().rev().zip(shape.iter().rev()).all(|(&v, &s)| v == s || v == 1);
    ensure!(
        fits,
        Runtime,
        "shape mismatch: value tensor of shape {:?} cannot be broadcast to indexing result of shape {:?}",
        values.shape,
        shape
    );
    let lead = shape.len() + extra - values.shape.len();
    Ok((0..shape.len())
        .map(|d| if d < lead || values.shape[d - lead + extra] == 1 { 0 } else { values.strides[d - lead + extra] })
        .collect())
}

fn put_selected<T: Copy>(
    s: &Selection,
    target: Shared<T>,
    values: *const T,
    values_strides: &[usize],
    meet: impl Fn(T, T) -> T + Sync,
) {
    // Tasks split the slices' dimensions, in which no two elements meet; the index tensors are walked in order by each.
    let rank = s.shape.len();
    let strides = [&s.x_strides[..], &s.offset_strides, values_strides];
    let is_slice = |d: &usize| s.offset_strides[*d] == 0 && s.x_strides[*d] != 0;
    let slices = Axes::of(&s.shape, (0..rank).filter(is_slice), strides);
    let named = Axes::of(&s.shape, (0..rank).filter(|d| !is_slice(d)), strides);
    let (inner, along) = (slices.inner().strides, named.inner().strides);
    let values = Shared(values.cast_mut());
    parallel_for(slices.numel(), (TASK / named.numel().max(1)).max(1), |range| {
        named.for_each_run(0..named.numel(), |[x, o, v], n| {
            for j in 0..n {
                let (x, v) = (x + j * along[0] + s.offsets[o + j * along[1]], v + j * along[2]);
                slices.for_each_run(range.clone(), |[dx, _, dv], len| {
                    // SAFETY: indices were checked, and no other task names these elements.
                    unsafe { meet_row(target.at(x + dx), inner[0], values.at(v + dv), inner[2], len, &meet) };
                });
            }
        });
    });
}

/// out = x.flatten()[index], negative indices counted from the end; `out` is contiguous, of the index's shape.
pub fn take(x: &In, index: &In, out: &mut Out) -> Result<()> {
    check_index(IndexRule::Take, index, 0, x.numel())?;
    let axes = Axes::new(x.shape, [x.strides]);
    let (n, dense) = (x.numel(), x.is_contiguous());
    let places = integers(index);
    dispatch_bytes!(x.dtype, U => {
        let (src, target) = (Shared(x.ptr.cast::<U>().cast_mut()), Shared(out.ptr.cast::<U>()));
        parallel_for(places.len(), TASK, |range| {
            for i in range {
                let place = wrap_index(places[i], n);
                let place = if dense { place } else { axes.offsets(place)[0] };
                // SAFETY: indices were checked; every one owns an output.
                unsafe { *target.at(i) = *src.at(place) };
            }
        });
    });
    Ok(())
}

/// out.flatten()[index] = source, or += when `accumulate`, in place and in order; `out` may be strided.
pub fn put(out: &mut Out, index: &In, source: &In, accumulate: bool) -> Result<()> {
    check_index(IndexRule::Take, index, 0, out.numel())?;
    if accumulate && matches!(out.dtype, DType::F16 | DType::BF16) {
        let mut result = Ok(());
        in_f32(out, source, |out, source| result = put(out, index, source, true));
        return result;
    }
    let axes = Axes::new(out.shape, [out.strides]);
    let (n, dense) = (out.numel(), out.is_contiguous());
    let places = integers(index);
    dispatch!(out.dtype, T => {
        let target = base_mut::<T>(out);
        for (&i, &v) in places.iter().zip(source.to_vec_or_slice::<T>().iter()) {
            let place = wrap_index(i, n);
            let place = target.at(if dense { place } else { axes.offsets(place)[0] });
            // SAFETY: indices were checked.
            unsafe {
                *place = if accumulate { meet(ScatterKind::Sum, *place, v) } else { v };
            }
        }
    });
    Ok(())
}

/// The elements of `x` where `mask` (bool, of the same shape) holds, in row-major order; `out` has room for exactly those.
pub fn masked_select(x: &In, mask: &In, out: &mut Out) {
    let starts = nonzero_starts::<bool>(mask);
    let axes = Axes::new(x.shape, [x.strides, mask.strides]);
    let [x_step, m_step] = axes.inner().strides;
    let (chosen, total) = (Shared(base::<bool>(mask).cast_mut()), x.numel());
    dispatch_bytes!(x.dtype, U => {
        let (src, target) = (Shared(x.ptr.cast::<U>().cast_mut()), Shared(out.ptr.cast::<U>()));
        parallel_for(starts.len() - 1, 1, |range| {
            for c in range {
                let mut at = starts[c];
                axes.for_each_run(c * CHUNK..total.min((c + 1) * CHUNK), |[x, m], n| {
                    let mut chosen_here = [0; 64];
                    for first in (0..n).step_by(64) {
                        let mut count = 0;
                        for i in first..n.min(first + 64) {
                            // SAFETY: the run lies inside both windows.
                            unsafe {
                                // Always written and counted only when chosen: masks defeat branch prediction.
                                chosen_here[count] = *src.at(x + i * x_step);
                                count += *chosen.at(m + i * m_step) as usize;
                            }
                        }
                        // SAFETY: every chosen element owns one output.
                        unsafe { std::ptr::copy_nonoverlapping(chosen_here.as_ptr(), target.at(at), count) };
                        at += count;
                    }
                });
            }
        });
    });
}

/// Copies the elements of `source`, in row-major order, to the places of `out` where `mask` (same shape) holds.
pub fn masked_scatter(out: &mut Out, mask: &In, source: &In) -> Result<()> {
    let starts = nonzero_starts::<bool>(mask);
    let wanted = starts.last().copied().unwrap_or(0);
    ensure!(source.numel() >= wanted, Runtime, "Number of elements of source < number of ones in mask");
    dispatch!(out.dtype, T => scatter_masked::<T>(out, mask, &source.to_vec_or_slice::<T>(), &starts));
    Ok(())
}

fn scatter_masked<T: Element>(out: &mut Out, mask: &In, source: &[T], starts: &[usize]) {
    let axes = Axes::new(out.shape, [out.strides, mask.strides]);
    let [o_step, m_step] = axes.inner().strides;
    let (chosen, target, total) = (Shared(base::<bool>(mask).cast_mut()), base_mut::<T>(out), out.numel());
    parallel_for(starts.len() - 1, 1, |range| {
        for c in range {
            let mut at = starts[c];
            axes.for_each_run(c * CHUNK..total.min((c + 1) * CHUNK), |[o, m], n| {
                for i in 0..n {
                    // SAFETY: runs lie inside the windows; every element of the output belongs to one task.
                    unsafe {
                        if *chosen.at(m + i * m_step) {
                            *target.at(o + i * o_step) = source[at];
                            at += 1;
                        }
                    }
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

    #[test]
    fn adjacent_indices_stay_in_place_and_others_move_to_the_front() {
        at_every_level(|| {
            let index = [0i64, 1, -1];
            let i = || Some(In { ptr: index.as_ptr().cast(), dtype: DType::I64, shape: &[3], strides: &[1] });
            let (shape, strides) = ([2usize, 4, 5, 6], [120usize, 30, 6, 1]);
            assert_eq!(Selection::new(&shape, &strides, &[None, i(), i()]).expect("fits").shape, [2, 3, 6]);
            assert_eq!(Selection::new(&shape, &strides, &[None, i(), None, i()]).expect("fits").shape, [3, 2, 5]);
            assert!(Selection::new(&[1, 1], &[1, 1], &[i()]).is_err());
        });
    }

    #[test]
    fn accumulating_adds_every_duplicate() {
        at_every_level(|| {
            let (index, values) = ([2i64, 0, 2], [1.0f32, 2.0, 3.0]);
            let mut x = [10.0f32; 3];
            let i = In { ptr: index.as_ptr().cast(), dtype: DType::I64, shape: &[3], strides: &[1] };
            let v = In { ptr: values.as_ptr().cast(), dtype: DType::F32, shape: &[3], strides: &[1] };
            let mut out = Out { ptr: x.as_mut_ptr().cast(), dtype: DType::F32, shape: &[3], strides: &[1] };
            index_put(&mut out, &[Some(i)], &v, true).expect("in bounds");
            assert_eq!(x, [12.0, 10.0, 14.0]);
        });
    }

    #[test]
    fn masks_select_and_scatter_in_order() {
        at_every_level(|| {
            let (x, mask) = ([1u8, 2, 3, 4], [true, false, true, true]);
            let window = |p: *const u8, dtype| In { ptr: p, dtype, shape: &[4], strides: &[1] };
            let m = window(mask.as_ptr().cast(), DType::Bool);
            let mut got = [0u8; 3];
            let mut out = Out { ptr: got.as_mut_ptr(), dtype: DType::U8, shape: &[3], strides: &[1] };
            masked_select(&window(x.as_ptr(), DType::U8), &m, &mut out);
            assert_eq!(got, [1, 3, 4]);
            let mut y = [0u8; 4];
            let mut out = Out { ptr: y.as_mut_ptr(), dtype: DType::U8, shape: &[4], strides: &[1] };
            masked_scatter(&mut out, &m, &window(x.as_ptr(), DType::U8)).expect("enough");
            assert_eq!(y, [1, 0, 2, 3]);
        });
    }
}
