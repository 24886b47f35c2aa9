//! Walking strided windows: dimensions merged where strides allow, and linear index ranges split into inner runs.

use crate::cpu::view::{In, Out};
use crate::dtype::Element;
use smallvec::SmallVec;
use std::ops::Range;

/// A raw pointer that kernels share between threads; whoever uses it keeps the threads' parts disjoint.
#[derive(Clone, Copy)]
pub struct Shared<T>(pub *mut T);

// SAFETY: an address alone does nothing; every dereference states why its part is its own.
unsafe impl<T> Send for Shared<T> {}
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The address of element `i`. A method, so that closures capture the wrapper and not the bare pointer.
    #[inline(always)]
    pub fn at(self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}

/// One dimension as `K` windows see it; strides count elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis<const K: usize> {
    pub size: usize,
    pub strides: [usize; K],
}

/// The dimensions of a loop over `K` windows at once, outermost first.
#[derive(Clone, Debug, Default)]
pub struct Axes<const K: usize>(pub SmallVec<[Axis<K>; 6]>);

impl<const K: usize> Axes<K> {
    /// The given dimensions of a shape, without those of size 1, neighbours merged where all windows allow it.
    pub fn of(shape: &[usize], dims: impl IntoIterator<Item = usize>, strides: [&[usize]; K]) -> Self {
        let mut axes = Axes(SmallVec::new());
        for d in dims {
            axes.push(Axis { size: shape[d], strides: strides.map(|s| s[d]) });
        }
        axes
    }

    /// All dimensions of a shape.
    pub fn new(shape: &[usize], strides: [&[usize]; K]) -> Self {
        Axes::of(shape, 0..shape.len(), strides)
    }

    /// Appends an inner axis, merging it into the last one when the two address memory like one.
    pub fn push(&mut self, axis: Axis<K>) {
        if axis.size == 1 {
            return;
        }
        if let Some(last) = self.0.last_mut()
            && (0..K).all(|k| last.strides[k] == axis.strides[k] * axis.size)
        {
            last.size *= axis.size;
            last.strides = axis.strides;
            return;
        }
        self.0.push(axis);
    }

    pub fn numel(&self) -> usize {
        self.0.iter().map(|a| a.size).product()
    }

    /// The innermost axis; a single element counts as a run of one.
    pub fn inner(&self) -> Axis<K> {
        self.0.last().copied().unwrap_or(Axis { size: 1, strides: [1; K] })
    }

    /// The offsets of the element with row-major index `linear`.
    #[inline]
    pub fn offsets(&self, mut linear: usize) -> [usize; K] {
        let mut offsets = [0; K];
        for axis in self.0.iter().rev() {
            let i = linear % axis.size;
            linear /= axis.size;
            for (o, stride) in offsets.iter_mut().zip(axis.strides) {
                *o += i * stride;
            }
        }
        offsets
    }

    /// Calls `f(offsets, length)` for the stretches of `range` along the innermost axis, in order.
    #[inline]
    pub fn for_each_run(&self, range: Range<usize>, mut f: impl FnMut([usize; K], usize)) {
        if range.is_empty() {
            return;
        }
        let Some((inner, outer)) = self.0.split_last() else { return f([0; K], 1) };
        let mut first = range.start % inner.size;
        let mut left = range.len();
        if first + left <= inner.size {
            return f(self.offsets(range.start), left);
        }
        let mut row = range.start / inner.size;
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, outer.len());
        let mut offsets = [0; K];
        for (i, axis) in index.iter_mut().zip(outer).rev() {
            *i = row % axis.size;
            row /= axis.size;
            for (o, stride) in offsets.iter_mut().zip(axis.strides) {
                *o += *i * stride;
            }
        }
        loop {
            let len = (inner.size - first).min(left);
            f(std::array::from_fn(|k| offsets[k] + first * inner.strides[k]), len);
            left -= len;
            if left == 0 {
                return;
            }
            first = 0;
            for (i, axis) in index.iter_mut().zip(outer).rev() {
                *i += 1;
                let wrapped = *i == axis.size;
                for (o, stride) in offsets.iter_mut().zip(axis.strides) {
                    *o += stride;
                    if wrapped {
                        *o -= stride * axis.size;
                    }
                }
                if !wrapped {
                    break;
                }
                *i = 0;
            }
        }
    }
}

/// Reads a window along one dimension: `outer` indexes the other dimensions in row-major order.
pub struct Lines<const K: usize> {
    pub outer: Axes<K>,
    pub size: usize,
    pub strides: [usize; K],
}

impl<const K: usize> Lines<K> {
    /// Splits a shape into the lines along `dim`; a 0-d window counts as one line of one element.
    pub fn new(shape: &[usize], dim: usize, strides: [&[usize]; K]) -> Self {
        if shape.is_empty() {
            return Lines { outer: Axes::default(), size: 1, strides: [1; K] };
        }
        let outer = Axes::of(shape, (0..shape.len()).filter(|&d| d != dim), strides);
        Lines { outer, size: shape[dim], strides: strides.map(|s| s[dim]) }
    }

    pub fn count(&self) -> usize {
        self.outer.numel()
    }
}

/// Copies `dst.len()` elements that lie `stride` apart.
///
/// # Safety
/// Every element addressed is readable.
#[inline(always)]
pub unsafe fn load_line<T: Copy>(src: *const T, stride: usize, dst: &mut [T]) {
    if stride == 1 {
        // SAFETY: the caller vouches for the source; the destination is a live slice of its own.
        unsafe { std::ptr::copy_nonoverlapping(src, dst.as_mut_ptr(), dst.len()) };
    } else {
        for (i, d) in dst.iter_mut().enumerate() {
            // SAFETY: as above.
            *d = unsafe { *src.add(i * stride) };
        }
    }
}

/// Writes `src` to places `stride` apart.
///
/// # Safety
/// Every element addressed is writable and belongs to the caller alone.
#[inline(always)]
pub unsafe fn store_line<T: Copy>(src: &[T], dst: *mut T, stride: usize) {
    if stride == 1 {
        // SAFETY: the caller vouches for the destination.
        unsafe { std::ptr::copy_nonoverlapping(src.as_ptr(), dst, src.len()) };
    } else {
        for (i, &s) in src.iter().enumerate() {
            // SAFETY: as above.
            unsafe { *dst.add(i * stride) = s };
        }
    }
}

/// Items per task so that a task handles about `work` elements when an item costs `per_item`.
pub fn grain(work: usize, per_item: usize) -> usize {
    (work / per_item.max(1)).max(1)
}

/// The typed address of a window's first element.
#[inline(always)]
pub fn base<T: Element>(x: &In) -> *const T {
    debug_assert_eq!(T::DTYPE, x.dtype);
    x.ptr.cast()
}

/// The typed address of an output's first element, shareable between threads.
#[inline(always)]
pub fn base_mut<T: Element>(out: &Out) -> Shared<T> {
    debug_assert_eq!(T::DTYPE, out.dtype);
    Shared(out.ptr.cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_merge_when_all_windows_allow() {
        let a = Axes::new(&[2, 3, 1, 4], [&[12, 4, 9, 1], &[12, 4, 4, 1]]);
        assert_eq!(a.0.as_slice(), &[Axis { size: 24, strides: [1, 1] }]);
        let b = Axes::new(&[2, 3], [&[3, 1], &[1, 2]]);
        assert_eq!(b.0.len(), 2);
    }

    #[test]
    fn runs_cover_any_range_in_order() {
        let shape = [3, 4, 5];
        let axes = Axes::new(&shape, [&[100, 7, 1]]);
        let all: Vec<usize> = (0..60).map(|i| axes.offsets(i)[0]).collect();
        for (start, end) in [(0, 60), (3, 4), (7, 42), (4, 6), (59, 60), (8, 8)] {
            let mut seen = Vec::new();
            axes.for_each_run(start..end, |[o], n| seen.extend(o..o + n));
            assert_eq!(seen, all[start..end]);
        }
    }
}
