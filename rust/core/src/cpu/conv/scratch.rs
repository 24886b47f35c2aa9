//! Working memory aligned to cache lines.

/// Zeroed memory whose first element lies on a 64-byte boundary.
pub struct Scratch<T> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Scratch<T> {
    pub fn new(len: usize) -> Self {
        let slack = 64 / size_of::<T>();
        let data = vec![T::default(); len + slack];
        let start = data.as_ptr().align_offset(64).min(slack);
        Scratch { data, start, len }
    }
    pub fn as_slice(&self) -> &[T] {
        &self.data[self.start..self.start + self.len]
    }
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data[self.start..self.start + self.len]
    }
    pub fn as_ptr(&self) -> *const T {
        self.as_slice().as_ptr()
    }
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.as_mut_slice().as_mut_ptr()
    }
}
