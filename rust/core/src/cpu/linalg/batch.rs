//! The windows of a batch of matrices, and those of complex ones among pairs of real numbers.

use crate::cpu::view::{In, Out};
use crate::cpu::walk::Axes;
use crate::error::{Error, Result};
use crate::shape::Dims;
use faer::{MatMut, MatRef};

/// The windows of a batch: matrices, vectors (matrices of one column) or single elements.
pub struct Batch<'a> {
    ptr: *mut u8,
    axes: Axes<1>,
    shape: &'a [usize],
    strides: &'a [usize],
    rank: usize,
}

// SAFETY: plain addresses; every matrix of the batch is used by one thread alone.
unsafe impl Sync for Batch<'_> {}

impl<'a> Batch<'a> {
    pub fn read(x: &In<'a>, rank: usize) -> Self {
        Batch::new(x.ptr.cast_mut(), x.shape, x.strides, rank)
    }
    pub fn write(x: &Out<'a>, rank: usize) -> Self {
        Batch::new(x.ptr, x.shape, x.strides, rank)
    }
    fn new(ptr: *mut u8, shape: &'a [usize], strides: &'a [usize], rank: usize) -> Self {
        Batch { ptr, axes: Axes::new(&shape[..rank], [&strides[..rank]]), shape, strides, rank }
    }
    fn sizes(&self) -> [(usize, isize); 2] {
        [0, 1].map(|d| {
            let d = self.rank + d;
            (self.shape.get(d).copied().unwrap_or(1), self.strides.get(d).map_or(0, |&s| s as isize))
        })
    }
    /// The `i`-th matrix to read.
    pub fn matrix<T>(&self, i: usize) -> MatRef<'a, T> {
        let [(rows, row), (columns, column)] = self.sizes();
        // SAFETY: the window holds a matrix of these strides at every offset of its batch.
        unsafe { MatRef::from_raw_parts(self.ptr.cast::<T>().add(self.axes.offsets(i)[0]), rows, columns, row, column) }
    }
    /// The `i`-th matrix to write; asked for once.
    pub fn matrix_mut<T>(&self, i: usize) -> MatMut<'a, T> {
        let [(rows, row), (columns, column)] = self.sizes();
        // SAFETY: as above, matrices of a batch are disjoint, and the window was handed out to be written.
        unsafe {
            let start = self.ptr.cast::<T>().add(self.axes.offsets(i)[0]);
            MatMut::from_raw_parts_mut(start, rows, columns, row, column)
        }
    }
}

/// The strides, in complex elements, of a window of pairs without its last dim.
pub fn halved(name: &str, shape: &[usize], strides: &[usize]) -> Result<Dims> {
    let odd = |(&n, &s): (&usize, &usize)| n > 1 && s % 2 != 0;
    match (shape.split_last(), strides.split_last()) {
        (Some((&2, rest)), Some((&1, steps))) if !rest.iter().zip(steps).any(odd) => {
            Ok(steps.iter().map(|s| s / 2).collect())
        }
        _ => Err(Error::Internal(format!("{name}: pairs that do not lie side by side"))),
    }
}
