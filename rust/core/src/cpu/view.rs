//! The strided windows through which kernels see memory: `In` to read, `Out` to write.

use crate::cpu::copy::collapse;
use crate::cpu::lines::gather;
use crate::dtype::{DType, Element};
pub use crate::shape::for_each_offset;

/// A strided input: `ptr` addresses element (0, …, 0); strides count elements.
#[derive(Clone, Copy)]
pub struct In<'a> {
    pub ptr: *const u8,
    pub dtype: DType,
    pub shape: &'a [usize],
    pub strides: &'a [usize],
}

/// A strided output; no other window of the same kernel call overlaps it unless the kernel allows that.
pub struct Out<'a> {
    pub ptr: *mut u8,
    pub dtype: DType,
    pub shape: &'a [usize],
    pub strides: &'a [usize],
}

// SAFETY: windows are plain addresses; kernels split them between threads into disjoint parts.
unsafe impl Send for In<'_> {}
unsafe impl Sync for In<'_> {}
unsafe impl Send for Out<'_> {}
unsafe impl Sync for Out<'_> {}

fn row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expect = 1usize;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size == 0 {
            return true;
        }
        if size != 1 {
            if stride != expect {
                return shape.contains(&0);
            }
            expect *= size;
        }
    }
    true
}

impl<'a> In<'a> {
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
    pub fn is_contiguous(&self) -> bool {
        row_major(self.shape, self.strides)
    }
    /// The elements in row-major order, if they lie so.
    pub fn as_slice<T: Element>(&self) -> Option<&'a [T]> {
        debug_assert_eq!(T::DTYPE, self.dtype);
        // SAFETY: the executor hands out windows over live buffers of at least `numel` elements when contiguous.
        self.is_contiguous().then(|| unsafe { std::slice::from_raw_parts(self.ptr.cast::<T>(), self.numel()) })
    }
    /// The elements in row-major order, copied when they do not lie so.
    pub fn to_vec_or_slice<T: Element>(&self) -> std::borrow::Cow<'a, [T]> {
        match self.as_slice::<T>() {
            Some(s) => std::borrow::Cow::Borrowed(s),
            None => {
                let (shape, [strides]) = collapse(self.shape, [self.strides]);
                let n = self.numel();
                let mut v = Vec::with_capacity(n);
                // SAFETY: every offset lies inside the window, and the vector has room; windows without elements are
                // contiguous.
                unsafe {
                    gather(v.as_mut_ptr(), self.ptr.cast::<T>(), &shape, &strides, 0, n);
                    v.set_len(n);
                }
                std::borrow::Cow::Owned(v)
            }
        }
    }
}

impl<'a> Out<'a> {
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
    pub fn is_contiguous(&self) -> bool {
        row_major(self.shape, self.strides)
    }
    /// The elements as one slice; the window must be contiguous.
    pub fn as_mut_slice<T: Element>(&mut self) -> &'a mut [T] {
        debug_assert_eq!(T::DTYPE, self.dtype);
        assert!(self.is_contiguous(), "kernel output is not contiguous");
        // SAFETY: as above, and the caller holds the only window on this output.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.cast::<T>(), self.numel()) }
    }
}
