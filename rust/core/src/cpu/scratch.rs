//! Working memory aligned to cache lines, kept per thread between calls.

use std::cell::RefCell;
use std::marker::PhantomData;

/// One cache line, and the alignment of every buffer.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Larger buffers are given back to the system.
const KEEP: usize = 32 << 20;

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Numbers for which every pattern of bits is one.
pub trait Number: Copy {}
impl Number for f32 {}
impl Number for f64 {}
impl Number for i32 {}
impl Number for u32 {}

/// Numbers of any value, the first of which lies on a 64-byte boundary.
pub struct Scratch<T> {
    lines: Vec<Line>,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Number> Scratch<T> {
    pub fn new(len: usize) -> Self {
        let count = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        if count == 0 {
            return Scratch { lines: Vec::new(), len, of: PhantomData };
        }
        // The smallest kept buffer that is large enough, else the largest one, which then grows.
        let kept = FREE.with_borrow_mut(|free| {
            let best = (0..free.len()).min_by_key(|&i| match free[i].len() {
                n if n >= count => (0, n),
                n => (1, usize::MAX - n),
            });
            best.map(|i| free.swap_remove(i))
        });
        let mut lines = kept.unwrap_or_default();
        if lines.len() < count {
            lines.clear();
            lines.resize(count, Line([0; 64]));
        }
        Scratch { lines, len, of: PhantomData }
    }
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the lines are initialised, aligned and long enough, and every bit pattern is a number.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
    pub fn as_ptr(&self) -> *const T {
        self.lines.as_ptr().cast()
    }
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.lines.as_mut_ptr().cast()
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() && lines.len() * size_of::<Line>() <= KEEP {
            // While the thread ends there is nowhere to keep it.
            let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
        }
    }
}

/// Calls `f` with `len` numbers of any value; calls nest.
pub fn with_scratch<T: Number, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    f(Scratch::new(len).as_mut_slice())
}
