//! Gathering and scattering along one dimension, and the checks of indices that come from data.
//!
//! A 1-d index tensor (`index_select`, `index_add`, …) is passed as a window of the full shape with zero strides.

use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Axes, Shared, base, base_mut, grain, load_line};
use crate::dispatch;
use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, Result};
use crate::simd_dispatch;

/// Which operator an index belongs to: it decides whether negative values count from the end, and the words of the error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IndexRule {
    /// gather, scatter and their relatives, index_add, index_reduce.
    Gather,
    /// Advanced indexing and index_fill: negative values count from the end.
    Advanced,
    /// index_select and embedding.
    Select,
    /// index_copy.
    Copy,
    /// take and put: the size is the number of elements, negative values count from the end.
    Take,
}

/// Checks that every index lies inside a dimension, or returns PyTorch's error for the first that does not.
pub fn check_index(rule: IndexRule, index: &In, dim: usize, size: usize) -> Result<()> {
    let low = if matches!(rule, IndexRule::Advanced | IndexRule::Take) { -(size as i64) } else { 0 };
    if rule == IndexRule::Advanced && size == 0 && index.numel() > 0 {
        return Err(Error::Index("index is out of bounds for dimension with size 0".into()));
    }
    let bad = dispatch!(index.dtype, T => first_outside::<T>(index, low, size as i64));
    let Some(i) = bad else { return Ok(()) };
    Err(match rule {
        IndexRule::Gather => Error::Runtime(format!("index {i} is out of bounds for dimension {dim} with size {size}")),
        IndexRule::Advanced => Error::Index(format!("index {i} is out of bounds for dimension {dim} with size {size}")),
        IndexRule::Select => Error::Index("index out of range in self".into()),
        IndexRule::Copy => {
            Error::Index(format!("index_copy_(): index {i} is out of bounds for dimension {dim} with size {size}"))
        }
        IndexRule::Take => {
            Error::Index(format!("out of range: tried to access index {i} on a tensor of {size} elements."))
        }
    })
}

fn first_outside<T: Element>(index: &In, low: i64, high: i64) -> Option<i64> {
    let axes = Axes::new(index.shape, [index.strides]);
    let (src, step) = (base::<T>(index), axes.inner().strides[0]);
    let mut bad = None;
    axes.for_each_run(0..index.numel(), |[offset], n| {
        // A repeated index needs one look.
        let n = if step == 0 { 1 } else { n };
        for i in 0..n {
            // SAFETY: the run lies inside the window.
            let v = unsafe { *src.add(offset + i * step) }.to_i64();
            if bad.is_none() && (v < low || v >= high) {
                bad = Some(v);
            }
        }
    });
    bad
}

/// The place an index means in a dimension of `size` elements, negative ones counted from the end.
#[inline(always)]
pub fn wrap_index(i: i64, size: usize) -> usize {
    (if i < 0 { i + size as i64 } else { i }) as usize
}

/// The elements of an integer window in row-major order.
pub fn integers(x: &In) -> Vec<i64> {
    dispatch!(x.dtype, T => x.to_vec_or_slice::<T>().iter().map(|v| v.to_i64()).collect())
}

/// An index window of 64-bit integers, copied when it came as another type.
pub struct Indices<'a> {
    copy: Vec<i64>,
    window: In<'a>,
    strides: Vec<usize>,
}

impl<'a> Indices<'a> {
    pub fn new(index: &In<'a>) -> Self {
        if index.dtype == DType::I64 {
            return Indices { copy: Vec::new(), window: *index, strides: index.strides.to_vec() };
        }
        // Only what the strides reach is converted, so a broadcast index stays small.
        let end: usize = index.shape.iter().zip(index.strides).map(|(&n, &s)| n.saturating_sub(1) * s).sum();
        let n = if index.numel() == 0 { 0 } else { end + 1 };
        let copy = dispatch!(index.dtype, T => {
            let src = base::<T>(index);
            // SAFETY: the executor's windows lie in one allocation, all of it readable.
            (0..n).map(|i| unsafe { *src.add(i) }.to_i64()).collect()
        });
        Indices { copy, window: *index, strides: index.strides.to_vec() }
    }

    pub fn ptr(&self) -> *const i64 {
        if self.window.dtype == DType::I64 { self.window.ptr.cast() } else { self.copy.as_ptr() }
    }

    pub fn strides(&self) -> &[usize] {
        &self.strides
    }
}

/// Runs `$body` with `$U` an unsigned integer of the dtype's size: for kernels that only move elements.
#[macro_export]
macro_rules! dispatch_bytes {
    ($dtype:expr, $U:ident => $body:expr) => {
        match $dtype.size() {
            1 => {
                type $U = u8;
                $body
            }
            2 => {
                type $U = u16;
                $body
            }
            4 => {
                type $U = u32;
                $body
            }
            _ => {
                type $U = u64;
                $body
            }
        }
    };
}

/// Elements a task should move.
pub(super) const TASK: usize = 8 * 1024;

/// `strides` with the one of `dim` set to zero.
fn without(strides: &[usize], dim: usize) -> Vec<usize> {
    strides.iter().enumerate().map(|(d, &s)| if d == dim { 0 } else { s }).collect()
}

/// out[.., i, ..] = x[.., index[.., i, ..], ..] along `dim`; `out` is contiguous and has the index's shape, checked before.
pub fn gather(x: &In, dim: usize, index: &In, out: &mut Out) {
    let rows = Indices::new(index);
    let step = x.strides.get(dim).copied().unwrap_or(0);
    let axes = Axes::new(index.shape, [&without(x.strides, dim), rows.strides()]);
    let index = Shared(rows.ptr().cast_mut());
    debug_assert!(out.is_contiguous());
    dispatch_bytes!(x.dtype, U => {
        let (src, target) = (Shared(x.ptr.cast::<U>().cast_mut()), Shared(out.ptr.cast::<U>()));
        gather_runs(&axes, src, step, index, target, out.numel());
    });
}

fn gather_runs<U: Copy>(axes: &Axes<2>, src: Shared<U>, step: usize, index: Shared<i64>, target: Shared<U>, n: usize) {
    let [x_step, i_step] = axes.inner().strides;
    parallel_for(n, TASK, |range| {
        let mut o = range.start;
        axes.for_each_run(range, |[x, i], len| {
            // SAFETY: indices were checked, so sources lie inside the input; tasks write disjoint parts of the output.
            unsafe {
                let out = std::slice::from_raw_parts_mut(target.at(o), len);
                if i_step == 0 {
                    load_line(src.at(x + *index.at(i) as usize * step), x_step, out);
                } else {
                    for (j, out) in out.iter_mut().enumerate() {
                        *out = *src.at(x + j * x_step + *index.at(i + j * i_step) as usize * step);
                    }
                }
            }
            o += len;
        });
    });
}

/// Walks the lines of `shape` along `dim` so that every line stays in one task and is visited in ascending order.
/// `f(offsets, steps, n)` gets stretches of elements; those of one stretch lie in one line, or all in different lines.
pub(super) fn for_each_line<const K: usize>(
    shape: &[usize],
    dim: usize,
    strides: [&[usize]; K],
    f: impl Fn([usize; K], [usize; K], usize) + Sync,
) {
    let size = shape.get(dim).copied().unwrap_or(1);
    let along = strides.map(|s| s.get(dim).copied().unwrap_or(0));
    let others = Axes::of(shape, (0..shape.len()).filter(|&d| d != dim), strides);
    let lines = others.numel();
    let inner = others.inner();
    let by_line = shape.len() <= dim + 1 || shape[dim + 1..].iter().product::<usize>() == 1;
    parallel_for(lines, grain(TASK, size), |range| {
        if by_line {
            others.for_each_run(range, |offsets, n| {
                for i in 0..n {
                    f(std::array::from_fn(|k| offsets[k] + i * inner.strides[k]), along, size);
                }
            });
        } else {
            for j in 0..size {
                others.for_each_run(range.clone(), |offsets, n| {
                    f(std::array::from_fn(|k| offsets[k] + j * along[k]), inner.strides, n);
                });
            }
        }
    });
}

/// How a scattered value meets the one that is there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ScatterKind {
    Sum,
    Prod,
    Mean,
    Amax,
    Amin,
}

/// What is scattered: a window of the index's shape, or one number.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Window(In<'a>),
    Scalar(Scalar),
}

/// out[.., index[.., i, ..], ..] = source[.., i, ..] along `dim`, in place; of equal indices the last one wins.
pub fn scatter(out: &mut Out, dim: usize, index: &In, source: Source) {
    let rows = Indices::new(index);
    dispatch!(out.dtype, T => {
        let (mut value, src, strides) = source_parts::<T>(source, index);
        let src = src.unwrap_or(Shared(&raw mut value));
        scatter_lines::<T>(out, dim, index.shape, &rows, src, &strides, |_, new| new);
    });
}

/// A scalar as a window that repeats it, or the window's own address.
fn source_parts<T: Element>(source: Source, index: &In) -> (T, Option<Shared<T>>, Vec<usize>) {
    match source {
        Source::Window(w) => (T::default(), Some(Shared(base::<T>(&w).cast_mut())), w.strides.to_vec()),
        Source::Scalar(s) => (T::from_scalar(s), None, vec![0; index.shape.len()]),
    }
}

fn scatter_lines<T: Element>(
    out: &mut Out,
    dim: usize,
    shape: &[usize],
    rows: &Indices,
    src: Shared<T>,
    src_strides: &[usize],
    meet: impl Fn(T, T) -> T + Sync,
) {
    let target = base_mut::<T>(out);
    let (index, step) = (Shared(rows.ptr().cast_mut()), out.strides.get(dim).copied().unwrap_or(0));
    let size = out.shape.get(dim).copied().unwrap_or(1);
    for_each_line(shape, dim, [&without(out.strides, dim), rows.strides(), src_strides], |[o, i, s], steps, n| {
        // SAFETY: indices were checked; a line of the output is written by the one task that owns it.
        unsafe {
            if steps[1] == 0 && steps[0] != 0 {
                let at = wrap_index(*index.at(i), size);
                return meet_row(target.at(o + at * step), steps[0], src.at(s), steps[2], n, &meet);
            }
            for j in 0..n {
                let at = wrap_index(*index.at(i + j * steps[1]), size);
                let place = target.at(o + j * steps[0] + at * step);
                *place = meet(*place, *src.at(s + j * steps[2]));
            }
        }
    });
}

simd_dispatch! {
    /// `dst[i] = meet(dst[i], src[i])` for `n` different places, which lie `steps` apart.
    ///
    /// # Safety
    /// They lie in memory, and the source's apart from the others.
    pub(super) unsafe fn meet_row<T: Copy>(
        dst: *mut T, to: usize, src: *const T, from: usize, n: usize, meet: &impl Fn(T, T) -> T,
    ) {
        if to == 1 && from == 1 {
            let (dst, src) = (std::slice::from_raw_parts_mut(dst, n), std::slice::from_raw_parts(src, n));
            for (d, &s) in dst.iter_mut().zip(src) {
                *d = meet(*d, s);
            }
        } else {
            for i in 0..n {
                let place = dst.add(i * to);
                *place = meet(*place, *src.add(i * from));
            }
        }
    }
}

/// `a op b` rounded once to the dtype; integers wrap, bool adds as "or" and multiplies as "and", NaN wins extrema.
#[inline(always)]
pub(super) fn meet<T: Element>(kind: ScatterKind, a: T, b: T) -> T {
    if T::DTYPE.is_float() {
        let (x, y) = (a.to_f64(), b.to_f64());
        return match kind {
            ScatterKind::Sum | ScatterKind::Mean => T::from_f64(x + y),
            ScatterKind::Prod => T::from_f64(x * y),
            ScatterKind::Amax => {
                if x > y || x.is_nan() {
                    a
                } else {
                    b
                }
            }
            ScatterKind::Amin => {
                if x < y || x.is_nan() {
                    a
                } else {
                    b
                }
            }
        };
    }
    let (x, y) = (a.to_i64(), b.to_i64());
    T::from_i64(match kind {
        ScatterKind::Sum | ScatterKind::Mean => x.wrapping_add(y),
        ScatterKind::Prod => x.wrapping_mul(y),
        ScatterKind::Amax => x.max(y),
        ScatterKind::Amin => x.min(y),
    })
}

/// What an output that does not take part (`include_self=False`) starts from.
fn start_of<T: Element>(kind: ScatterKind) -> T {
    use ScatterKind::*;
    match (kind, T::DTYPE) {
        (Sum | Mean, _) => T::default(),
        (Prod, _) => T::from_i64(1),
        (Amax, d) if d.is_float() => T::from_f64(f64::NEG_INFINITY),
        (Amin, d) if d.is_float() => T::from_f64(f64::INFINITY),
        (Amax, DType::Bool | DType::U8) | (Amin, DType::Bool) => T::from_i64((kind == Amin) as i64),
        (Amin, DType::U8) => T::from_i64(255),
        (Amax, d) => T::from_i64(-1i64 << (d.size() * 8 - 1)),
        (Amin, d) => T::from_i64(!(-1i64 << (d.size() * 8 - 1))),
    }
}

/// Combines `source`, times `alpha`, into the places that `index` names along `dim`, in place and in ascending order.
///
/// 16-bit floats accumulate in f32 and are rounded at the end. A mean divides by the values that met, itself counted when
/// `include_self`; integers divide rounding down.
pub fn scatter_reduce(
    out: &mut Out,
    kind: ScatterKind,
    include_self: bool,
    dim: usize,
    index: &In,
    source: &In,
    alpha: Scalar,
) {
    if index.numel() == 0 || out.numel() == 0 {
        return;
    }
    if matches!(out.dtype, DType::F16 | DType::BF16) {
        return in_f32(out, source, |out, source| scatter_reduce(out, kind, include_self, dim, index, source, alpha));
    }
    let rows = Indices::new(index);
    dispatch!(out.dtype, T => {
        let src = Shared(base::<T>(source).cast_mut());
        if !include_self {
            let mut start = start_of::<T>(kind);
            let zeros = vec![0; index.shape.len()];
            scatter_lines::<T>(out, dim, index.shape, &rows, Shared(&raw mut start), &zeros, |_, new| new);
        }
        let plain = matches!(alpha, Scalar::Int(1) | Scalar::Bool(true)) || alpha == Scalar::Float(1.0);
        if plain {
            scatter_by_kind::<T>(out, kind, dim, index.shape, &rows, src, source.strides);
        } else {
            let scale = |v: T| match alpha {
                Scalar::Float(a) if T::DTYPE.is_float() => T::from_f64(v.to_f64() * a),
                _ if T::DTYPE.is_float() => T::from_f64(v.to_f64() * alpha.to_f64()),
                _ => T::from_i64(v.to_i64().wrapping_mul(alpha.to_i64())),
            };
            scatter_lines::<T>(out, dim, index.shape, &rows, src, source.strides, |a, b| meet(kind, a, scale(b)));
        }
        if kind == ScatterKind::Mean {
            divide_by_counts::<T>(out, include_self, dim, index.shape, &rows);
        }
    });
}

/// One loop per kind, so that the choice is not made for every element.
fn scatter_by_kind<T: Element>(
    out: &mut Out,
    kind: ScatterKind,
    dim: usize,
    shape: &[usize],
    rows: &Indices,
    src: Shared<T>,
    strides: &[usize],
) {
    use ScatterKind::*;
    match kind {
        Sum | Mean => scatter_lines(out, dim, shape, rows, src, strides, |a, b| meet(Sum, a, b)),
        Prod => scatter_lines(out, dim, shape, rows, src, strides, |a, b| meet(Prod, a, b)),
        Amax => scatter_lines(out, dim, shape, rows, src, strides, |a, b| meet(Amax, a, b)),
        Amin => scatter_lines(out, dim, shape, rows, src, strides, |a, b| meet(Amin, a, b)),
    }
}

/// Runs a kernel on float32 copies of a 16-bit output and source, and rounds the result back.
pub(super) fn in_f32(out: &mut Out, source: &In, kernel: impl FnOnce(&mut Out, &In)) {
    use crate::dtype::DType::F32;
    let wide = |x: &In| -> Vec<f32> {
        dispatch!(x.dtype, T => x.to_vec_or_slice::<T>().iter().map(|v| v.to_f64() as f32).collect())
    };
    let current = In { ptr: out.ptr, dtype: out.dtype, shape: out.shape, strides: out.strides };
    let (mut result, source_wide) = (wide(&current), wide(source));
    let dense = |shape: &[usize]| crate::shape::Dims::from_slice(shape).contiguous_strides();
    let (out_strides, source_strides) = (dense(out.shape), dense(source.shape));
    let mut wide_out = Out { ptr: result.as_mut_ptr().cast(), dtype: F32, shape: out.shape, strides: &out_strides };
    let wide_source =
        In { ptr: source_wide.as_ptr().cast(), dtype: F32, shape: source.shape, strides: &source_strides };
    kernel(&mut wide_out, &wide_source);
    dispatch!(out.dtype, T => {
        let (target, mut results) = (base_mut::<T>(out), result.iter());
        crate::cpu::view::for_each_offset(out.shape, out.strides, |o| {
            if let Some(&v) = results.next() {
                // SAFETY: the offset lies inside the output.
                unsafe { *target.at(o) = T::from_f64(v as f64) };
            }
        });
    });
}

fn divide_by_counts<T: Element>(out: &mut Out, include_self: bool, dim: usize, shape: &[usize], rows: &Indices) {
    let strides = crate::shape::Dims::from_slice(out.shape).contiguous_strides();
    let mut counts = vec![include_self as i64; out.numel()];
    let mut counted = Out { ptr: counts.as_mut_ptr().cast(), dtype: DType::I64, shape: out.shape, strides: &strides };
    let mut one = 1i64;
    let zeros = vec![0; shape.len()];
    scatter_lines::<i64>(&mut counted, dim, shape, rows, Shared(&raw mut one), &zeros, |a, b| a + b);
    let (target, mut counts) = (base_mut::<T>(out), counts.iter());
    crate::cpu::view::for_each_offset(out.shape, out.strides, |o| {
        let n = counts.next().map_or(1, |&n| n.max(1));
        // SAFETY: the offset lies inside the output.
        unsafe {
            let v = *target.at(o);
            *target.at(o) = if T::DTYPE.is_float() {
                T::from_f64(v.to_f64() / n as f64)
            } else {
                T::from_i64(v.to_i64().div_euclid(n))
            };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

    fn window<'a, T: Element>(x: &'a [T], shape: &'a [usize], strides: &'a [usize]) -> In<'a> {
        In { ptr: x.as_ptr().cast(), dtype: T::DTYPE, shape, strides }
    }

    #[test]
    fn gather_reads_strided_inputs() {
        at_every_level(|| {
            let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
            let index = [2i64, 0, 1, 2];
            let mut got = [0f32; 4];
            let mut out = Out { ptr: got.as_mut_ptr().cast(), dtype: DType::F32, shape: &[2, 2], strides: &[2, 1] };
            // The (4, 3) transpose of a (3, 4) matrix.
            gather(&window(&x, &[4, 3], &[1, 4]), 1, &window(&index, &[2, 2], &[2, 1]), &mut out);
            assert_eq!(got, [8.0, 0.0, 5.0, 9.0]);
        });
    }

    #[test]
    fn the_last_of_equal_indices_wins_and_sums_add_all() {
        at_every_level(|| {
            let (index, src) = ([1i64, 1, 0], [5i32, 6, 7]);
            let mut got = [10i32, 20];
            let mut out = Out { ptr: got.as_mut_ptr().cast(), dtype: DType::I32, shape: &[2], strides: &[1] };
            let (i, s) = (window(&index, &[3], &[1]), window(&src, &[3], &[1]));
            scatter(&mut out, 0, &i, Source::Window(s));
            assert_eq!(got, [7, 6]);
            let mut out = Out { ptr: got.as_mut_ptr().cast(), dtype: DType::I32, shape: &[2], strides: &[1] };
            scatter_reduce(&mut out, ScatterKind::Sum, true, 0, &i, &s, Scalar::Int(2));
            assert_eq!(got, [21, 28]);
            let mut out = Out { ptr: got.as_mut_ptr().cast(), dtype: DType::I32, shape: &[2], strides: &[1] };
            scatter_reduce(&mut out, ScatterKind::Mean, false, 0, &i, &s, Scalar::Int(1));
            assert_eq!(got, [7, 5]);
        });
    }

    #[test]
    fn bad_indices_are_named() {
        at_every_level(|| {
            let index = [0i64, -1, 3];
            let i = window(&index, &[3], &[1]);
            let message = |rule| check_index(rule, &i, 1, 3).expect_err("out of bounds").to_string();
            assert_eq!(message(IndexRule::Gather), "index -1 is out of bounds for dimension 1 with size 3");
            assert_eq!(message(IndexRule::Advanced), "index 3 is out of bounds for dimension 1 with size 3");
            assert!(check_index(IndexRule::Advanced, &window(&index, &[2], &[1]), 0, 3).is_ok());
        });
    }
}
