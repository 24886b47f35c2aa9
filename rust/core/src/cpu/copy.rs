//! Strided copies and fills, by element size.

use super::lines::{Lines, copy_lines};
use super::threads;
use super::view::{In, for_each_offset};
use crate::dtype::DType;
use crate::shape::Dims;

/// Bytes a thread moves at least.
const GRAIN_BYTES: usize = 64 << 10;

/// Copies `source` (same dtype, same shape) to strided memory; `overlaps` says that both lie in one buffer.
pub fn copy_strided(dst: *mut u8, shape: &[usize], strides: &[usize], source: &In, overlaps: bool) {
    debug_assert_eq!(shape, source.shape);
    let size = source.dtype.size();
    if size >= 4
        && let Some((rest, [to, from])) =
            whole_pairs(shape, [strides, source.strides], [dst.cast_const(), source.ptr], size)
    {
        let source = In { ptr: source.ptr, dtype: source.dtype, shape: &rest, strides: &from };
        return match size {
            4 => copy_sized::<u64>(dst, &rest, &to, &source, overlaps),
            _ => copy_sized::<[u64; 2]>(dst, &rest, &to, &source, overlaps),
        };
    }
    match size {
        1 => copy_sized::<u8>(dst, shape, strides, source, overlaps),
        2 => copy_sized::<u16>(dst, shape, strides, source, overlaps),
        4 => copy_sized::<u32>(dst, shape, strides, source, overlaps),
        _ => copy_sized::<u64>(dst, shape, strides, source, overlaps),
    }
}

/// Shape and strides in pairs of elements, where the last dim holds pairs that lie side by side in every window: complex
/// numbers, whose parts move together.
pub fn whole_pairs<const N: usize>(
    shape: &[usize],
    strides: [&[usize]; N],
    addresses: [*const u8; N],
    size: usize,
) -> Option<(Dims, [Dims; N])> {
    let (&[rest @ .., 2], false) = (&shape, shape.len() < 2) else { return None };
    let last = rest.len();
    let fits = |(s, p): (&&[usize], &*const u8)| {
        s[last] == 1 && s[..last].iter().all(|v| v % 2 == 0) && p.addr().is_multiple_of((2 * size).min(8))
    };
    let halves = |s: &[usize]| s[..last].iter().map(|v| v / 2).collect();
    strides.iter().zip(&addresses).all(fits).then(|| (Dims::from_slice(rest), strides.map(halves)))
}

/// Two rows of `n` elements side by side, element by element.
pub fn interleave(dst: *mut u8, a: *const u8, b: *const u8, n: usize, size: usize) {
    match size {
        4 => interleave_as::<u32>(dst, a, b, n),
        _ => interleave_as::<u64>(dst, a, b, n),
    }
}

fn interleave_as<T: Copy + Send + Sync>(dst: *mut u8, a: *const u8, b: *const u8, n: usize) {
    let (to, a, b) = (Shared(dst.cast::<[T; 2]>()), Shared(a.cast::<T>().cast_mut()), Shared(b.cast::<T>().cast_mut()));
    threads::parallel_for(n, GRAIN_BYTES / size_of::<T>(), |r| {
        let (to, a, b) = (to, a, b);
        // SAFETY: `n` elements each, and the result lies apart from both.
        let (out, a, b) = unsafe {
            (
                std::slice::from_raw_parts_mut(to.0.add(r.start), r.len()),
                std::slice::from_raw_parts(a.0.add(r.start), r.len()),
                std::slice::from_raw_parts(b.0.add(r.start), r.len()),
            )
        };
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = [a, b];
        }
    });
}

#[derive(Clone, Copy)]
struct Shared<T>(*mut T);
// SAFETY: threads write disjoint rows.
unsafe impl<T> Sync for Shared<T> {}

fn copy_sized<T: Copy + Send + Sync>(dst: *mut u8, shape: &[usize], strides: &[usize], source: &In, overlaps: bool) {
    let (dst, src) = (dst.cast::<T>(), source.ptr.cast::<T>());
    if overlaps {
        let mut values = Vec::with_capacity(source.numel());
        // SAFETY: offsets lie inside the windows.
        for_each_offset(shape, source.strides, |o| values.push(unsafe { *src.add(o) }));
        let mut next = values.into_iter();
        for_each_offset(shape, strides, |o| {
            if let Some(v) = next.next() {
                // SAFETY: as above.
                unsafe { *dst.add(o) = v };
            }
        });
        return;
    }
    let (shape, [ds, ss]) = collapse(shape, [strides, source.strides]);
    if shape.contains(&0) {
        return;
    }
    let (&columns, before) = shape.split_last().unwrap_or((&1, &[]));
    let (&count, outer) = before.split_last().unwrap_or((&1, &[]));
    let (inner, rank) = (before.len(), shape.len());
    let down = |s: &[usize]| inner.checked_sub(1).map_or(0, |d| s[d]);
    let (to, from) = (Shared(dst), Shared(src.cast_mut()));
    if rank == 1 && ds[0] == 1 && ss[0] == 1 {
        let grain = GRAIN_BYTES / size_of::<T>();
        return threads::parallel_for(columns, grain, |r| {
            let (to, from) = (to, from);
            // SAFETY: as above.
            unsafe { std::ptr::copy_nonoverlapping(from.0.add(r.start), to.0.add(r.start), r.len()) }
        });
    }
    let lines = Lines { columns, step: ss[inner], from: down(&ss), to: down(&ds) };
    let grain = (GRAIN_BYTES / size_of::<T>() / columns).max(1);
    threads::parallel_for(before.iter().product(), grain, |range| {
        let (to, from) = (to, from);
        let mut walk = Walk::new(outer, range.start / count);
        let mut at = range.start;
        while at < range.end {
            let (row, lines_here) = (at % count, (count - at % count).min(range.end - at));
            let d = to.0.wrapping_add(walk.offset(&ds).wrapping_add(row.wrapping_mul(lines.to)));
            let s = from.0.wrapping_add(walk.offset(&ss).wrapping_add(row.wrapping_mul(lines.from)));
            // SAFETY: the lines lie inside both windows, which do not overlap.
            unsafe {
                match ds[inner] {
                    1 => copy_lines(d, s, lines_here, lines),
                    across => spread_lines(d, across, s, lines_here, lines),
                }
            }
            at += lines_here;
            walk.step();
        }
    });
}

/// As [`copy_lines`], to elements that do not lie side by side.
unsafe fn spread_lines<T: Copy>(dst: *mut T, across: usize, src: *const T, count: usize, l: Lines) {
    for (row, i) in (0..count).flat_map(|row| (0..l.columns).map(move |i| (row, i))) {
        let to = dst.wrapping_add(row.wrapping_mul(l.to)).wrapping_add(i.wrapping_mul(across));
        // SAFETY: the caller's contract.
        unsafe { *to = *src.wrapping_add(row.wrapping_mul(l.from)).wrapping_add(i.wrapping_mul(l.step)) };
    }
}

/// Writes one number (as [`crate::dtype::Scalar::to_bits`]) everywhere.
pub fn fill_strided(dst: *mut u8, dtype: DType, shape: &[usize], strides: &[usize], bits: u64) {
    let raw = raw_bits(bits, dtype);
    let one = In { ptr: raw.as_ptr().cast(), dtype, shape, strides: &Dims::filled(0, shape.len()) };
    copy_strided(dst, shape, strides, &one, false);
}

/// The memory of one element, in the first bytes.
pub fn raw_bits(bits: u64, dtype: DType) -> [u64; 1] {
    let value = crate::dtype::Scalar::from_bits(bits, dtype);
    let mut out = [0u64];
    crate::dispatch!(dtype, T => {
        // SAFETY: every element type fits eight bytes.
        unsafe { out.as_mut_ptr().cast::<T>().write(<T as crate::dtype::Element>::from_scalar(value)) }
    });
    out
}

/// Drops size-1 dims and joins dims that are adjacent for every stride list; at least one dim remains.
pub fn collapse<const N: usize>(shape: &[usize], strides: [&[usize]; N]) -> (Dims, [Dims; N]) {
    let mut out_shape = Dims::new();
    let mut out: [Dims; N] = std::array::from_fn(|_| Dims::new());
    for d in 0..shape.len() {
        if shape[d] == 1 {
            continue;
        }
        let joins = !out_shape.is_empty()
            && (0..N).all(|k| out[k][out_shape.len() - 1] == strides[k][d].wrapping_mul(shape[d]));
        if joins {
            let last = out_shape.len() - 1;
            out_shape[last] *= shape[d];
            for k in 0..N {
                out[k][last] = strides[k][d];
            }
        } else {
            out_shape.push(shape[d]);
            for k in 0..N {
                out[k].push(strides[k][d]);
            }
        }
    }
    if out_shape.is_empty() {
        out_shape.push(1);
        for o in &mut out {
            o.push(0);
        }
    }
    (out_shape, out)
}

/// A row-major walk over outer indices, startable anywhere.
pub struct Walk<'a> {
    shape: &'a [usize],
    index: Dims,
}

impl<'a> Walk<'a> {
    pub fn new(shape: &'a [usize], mut linear: usize) -> Self {
        let mut index = Dims::filled(0, shape.len());
        for d in (0..shape.len()).rev() {
            index[d] = linear % shape[d];
            linear /= shape[d];
        }
        Walk { shape, index }
    }
    #[inline]
    pub fn offset(&self, strides: &[usize]) -> usize {
        self.index.iter().zip(strides).fold(0, |at, (i, s)| at.wrapping_add(i.wrapping_mul(*s)))
    }
    #[inline]
    pub fn step(&mut self) {
        for d in (0..self.shape.len()).rev() {
            self.index[d] += 1;
            if self.index[d] < self.shape[d] {
                return;
            }
            self.index[d] = 0;
        }
    }
}
