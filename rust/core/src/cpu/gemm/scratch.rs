//! Buffers for packed panels, kept per thread between calls.

use crate::cpu::math::Real;
use std::cell::RefCell;

/// One cache line, and the alignment of every buffer.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Larger buffers are given back to the system.
const KEEP: usize = 32 << 20;

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with `len` numbers of any value, aligned to a cache line; calls nest.
pub(super) fn with_scratch<T: Real, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    if len == 0 {
        return f(&mut []);
    }
    let lines = (len * std::mem::size_of::<T>()).div_ceil(64);
    // The smallest kept buffer that is large enough, else the largest one, which then grows.
    let kept = FREE.with_borrow_mut(|free| {
        let best = (0..free.len()).min_by_key(|&i| match free[i].len() {
            n if n >= lines => (0, n),
            n => (1, usize::MAX - n),
        });
        best.map(|i| free.swap_remove(i))
    });
    let mut buffer = kept.unwrap_or_default();
    if buffer.len() < lines {
        buffer.clear();
        buffer.resize(lines, Line([0; 64]));
    }
    // SAFETY: the buffer is initialised, aligned to 64 bytes and long enough, and every bit pattern is a number.
    let result = f(unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<T>(), len) });
    if buffer.len() * 64 <= KEEP {
        FREE.with_borrow_mut(|free| free.push(buffer));
    }
    result
}
