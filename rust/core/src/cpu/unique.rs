//! Unique elements and unique slices; results whose size depends on the data are planned first and written afterwards.

use crate::cpu::sort::{Packed, key_of, pack_line, sort_packed};
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Axes, base};
use crate::dtype::Element;
use crate::{dispatch, dispatch_packed};

/// Where the unique elements (or slices) are, in the order of the result.
pub struct Unique {
    /// Row-major position, or index along the dimension, of the first occurrence.
    pub first: Vec<i64>,
    /// For every element or slice of the input, its place in the result.
    pub inverse: Vec<i64>,
    /// How often each occurs.
    pub counts: Vec<i64>,
}

impl Unique {
    pub fn len(&self) -> usize {
        self.first.len()
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Writes the unique elements of the window this plan was made from.
    pub fn write_values(&self, x: &In, out: &mut Out) {
        dispatch!(x.dtype, T => {
            let axes = Axes::new(x.shape, [x.strides]);
            let src = base::<T>(x);
            for (o, &i) in out.as_mut_slice::<T>().iter_mut().zip(&self.first) {
                // SAFETY: positions come from a walk over this window.
                *o = unsafe { *src.add(axes.offsets(i as usize)[0]) };
            }
        });
    }

    pub fn write_inverse(&self, out: &mut Out) {
        out.as_mut_slice::<i64>().copy_from_slice(&self.inverse);
    }

    pub fn write_counts(&self, out: &mut Out) {
        out.as_mut_slice::<i64>().copy_from_slice(&self.counts);
    }

    /// Groups items, given in the result's order, by a test on neighbours.
    fn group(order: &[usize], same: impl Fn(usize, usize) -> bool) -> Unique {
        let mut u = Unique { first: Vec::new(), inverse: vec![0; order.len()], counts: Vec::new() };
        for (at, &i) in order.iter().enumerate() {
            if at == 0 || !same(order[at - 1], i) {
                u.first.push(i as i64);
                u.counts.push(0);
            }
            let last = u.counts.len() - 1;
            u.counts[last] += 1;
            u.inverse[i] = last as i64;
        }
        u
    }
}

/// The distinct elements in ascending order. Every NaN is distinct from every other, as in PyTorch.
pub fn unique(x: &In) -> Unique {
    let n = x.numel();
    dispatch_packed!(x.dtype, n, T, P => {
        let data = x.to_vec_or_slice::<T>();
        let (mut line, mut scratch) = (Vec::<P>::new(), Vec::new());
        // SAFETY: the slice holds `n` elements.
        unsafe { pack_line(data.as_ptr(), 1, n, false, &mut line) };
        sort_packed(&mut line, &mut scratch, size_of::<T>());
        let order: Vec<usize> = line.iter().map(|p| p.position()).collect();
        Unique::group(&order, |a, b| data[a] == data[b])
    })
}

/// The elements that differ from their predecessor, in row-major order.
pub fn unique_consecutive(x: &In) -> Unique {
    dispatch!(x.dtype, T => {
        let data = x.to_vec_or_slice::<T>();
        let n = data.len();
        let (mut first, mut inverse) = (vec![0i64; n], vec![0i64; n]);
        let mut found = n.min(1);
        for i in 1..n {
            // Written whether it stays or not, so that nothing depends on a guess.
            first[found] = i as i64;
            found += usize::from(data[i] != data[i - 1]);
            inverse[i] = found as i64 - 1;
        }
        first.truncate(found);
        let ends = first.iter().skip(1).copied().chain((n > 0).then_some(n as i64));
        let counts = first.iter().zip(ends).map(|(from, to)| to - from).collect();
        Unique { first, inverse, counts }
    })
}

/// The distinct slices along `dim` in lexicographic order, or, when `consecutive`, those that differ from their predecessor.
/// The caller gathers them with `first` as the index.
pub fn unique_dim(x: &In, dim: usize, consecutive: bool) -> Unique {
    dispatch!(x.dtype, T => {
        let (rows, width) = slices::<T>(x, dim);
        let row = |i: usize| &rows[i * width..(i + 1) * width];
        let mut order: Vec<usize> = (0..x.shape[dim]).collect();
        if !consecutive {
            let keys: Vec<u64> = rows.iter().map(|&v| key_of(v)).collect();
            let key = |i: usize| &keys[i * width..(i + 1) * width];
            order.sort_by(|&a, &b| key(a).cmp(key(b)));
        }
        Unique::group(&order, |a, b| row(a) == row(b))
    })
}

/// The slices along `dim` as rows of one matrix, and its width.
fn slices<T: Element>(x: &In, dim: usize) -> (Vec<T>, usize) {
    let mut order: Vec<usize> = (0..x.shape.len()).filter(|&d| d != dim).collect();
    order.insert(0, dim);
    let shape: Vec<usize> = order.iter().map(|&d| x.shape[d]).collect();
    let strides: Vec<usize> = order.iter().map(|&d| x.strides[d]).collect();
    let moved = In { ptr: x.ptr, dtype: x.dtype, shape: &shape, strides: &strides };
    (moved.to_vec_or_slice::<T>().into_owned(), shape[1..].iter().product())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;
    use crate::dtype::DType;

    #[test]
    fn elements_are_grouped_sorted_and_counted() {
        at_every_level(|| {
            let x = [3i32, 1, 3, 2, 1, 3];
            let input = In { ptr: x.as_ptr().cast(), dtype: DType::I32, shape: &[6], strides: &[1] };
            let u = unique(&input);
            assert_eq!((u.first, u.inverse, u.counts), (vec![1, 3, 0], vec![2, 0, 2, 1, 0, 2], vec![2, 1, 3]));
            let u = unique_consecutive(&input);
            assert_eq!(u.len(), 6);
        });
    }

    #[test]
    fn nan_is_never_a_duplicate() {
        at_every_level(|| {
            let x = [f32::NAN, 1.0, f32::NAN, -0.0, 0.0];
            let u = unique(&In { ptr: x.as_ptr().cast(), dtype: DType::F32, shape: &[5], strides: &[1] });
            assert_eq!(u.inverse, [2, 1, 3, 0, 0]);
        });
    }

    #[test]
    fn slices_compare_lexicographically() {
        at_every_level(|| {
            let x = [2i64, 9, 1, 5, 2, 9, 1, 4];
            let u = unique_dim(
                &In { ptr: x.as_ptr().cast(), dtype: DType::I64, shape: &[4, 2], strides: &[2, 1] },
                0,
                false,
            );
            assert_eq!((u.first, u.counts), (vec![3, 1, 0], vec![1, 1, 2]));
        });
    }
}
