//! Working memory aligned to cache lines, kept by its thread for the next use: fresh memory costs a page fault per 4 KiB.

use std::cell::RefCell;

/// Bytes that a thread keeps at most.
const KEPT: usize = 32 << 20;
const LINE: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
}

/// Plain numbers of any value; the first lies on a cache line.
pub struct Scratch<T> {
    data: Vec<u64>,
    len: usize,
    kind: std::marker::PhantomData<T>,
}

/// Types without invalid bit patterns, whose memory may be reused as any other's.
pub trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for f64 {}

impl<T: Plain> Scratch<T> {
    pub fn new(len: usize) -> Self {
        let words = (len * size_of::<T>()).div_ceil(8) + LINE / 8;
        let found = FREE.with_borrow_mut(|free| {
            let fits = free.iter().enumerate().filter(|(_, v)| (words..=4 * words).contains(&v.len()));
            fits.min_by_key(|(_, v)| v.len()).map(|(i, _)| i).map(|i| free.swap_remove(i))
        });
        Scratch { data: found.unwrap_or_else(|| vec![0; words]), len, kind: std::marker::PhantomData }
    }
    fn start(&self) -> *const T {
        let p = self.data.as_ptr().cast::<u8>();
        p.wrapping_add(p.align_offset(LINE).min(LINE)).cast()
    }
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the words from the first cache line on hold `len` numbers, and any bits are one.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let p = self.data.as_mut_ptr().cast::<u8>();
        let start = p.wrapping_add(p.align_offset(LINE).min(LINE)).cast();
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(start, self.len) }
    }
    pub fn as_ptr(&self) -> *const T {
        self.as_slice().as_ptr()
    }
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.as_mut_slice().as_mut_ptr()
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        // A thread that is ending keeps nothing.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            free.push(data);
            while free.iter().map(|v| 8 * v.len()).sum::<usize>() > KEPT {
                free.remove(0);
            }
        });
    }
}
