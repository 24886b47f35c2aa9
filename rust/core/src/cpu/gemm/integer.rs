//! Products of integers, wrapping in their type.

use super::blocked::SendPtr;
use crate::cpu::math::Integer;
use crate::cpu::simd::simd_dispatch;
use crate::cpu::threads;

/// Rows and columns of the block that is summed in L1.
const ROWS: usize = 4;
const COLS: usize = 64;
/// Rows of b packed at a time when its columns are not contiguous.
const DEPTH: usize = 256;

/// Wrapping arithmetic by one name for all widths.
pub trait WrappingMul: Integer {
    fn wrapping_mul_add(self, b: Self, c: Self) -> Self;
}

macro_rules! wrapping {
    ($($t:ty),*) => {$(
        impl WrappingMul for $t {
            #[inline(always)]
            fn wrapping_mul_add(self, b: $t, c: $t) -> $t {
                self.wrapping_mul(b).wrapping_add(c)
            }
        }
    )*};
}
wrapping!(u8, i8, i16, i32, i64);

simd_dispatch! {
    /// sums[r][j] = Σₚ a(r, p)·b(p, j) over k, with the rows of b contiguous.
    unsafe fn block<T: WrappingMul>(
        rows: usize, cols: usize, k: usize, a: *const T, a_strides: (usize, usize), b: *const T, b_depth: usize,
        sums: &mut [[T; COLS]; ROWS]
    ) {
        for p in 0..k {
            let row = b.add(p * b_depth);
            for (r, sums) in sums.iter_mut().enumerate().take(rows) {
                let x = *a.add(r * a_strides.0 + p * a_strides.1);
                if cols == COLS {
                    let row = &*row.cast::<[T; COLS]>();
                    for (s, &y) in sums.iter_mut().zip(row) {
                        *s = x.wrapping_mul_add(y, *s);
                    }
                } else {
                    for (j, s) in sums.iter_mut().enumerate().take(cols) {
                        *s = x.wrapping_mul_add(*row.add(j), *s);
                    }
                }
            }
        }
    }
}

/// c = alpha·sums + beta·c
///
/// # Safety
/// `c` covers the block.
unsafe fn write<T: WrappingMul>(
    sums: &[[T; COLS]; ROWS],
    (rows, cols): (usize, usize),
    alpha: T,
    beta: T,
    c: *mut T,
    (row, col): (usize, usize),
) {
    for (r, sums) in sums.iter().enumerate().take(rows) {
        for (l, &s) in sums.iter().enumerate().take(cols) {
            // SAFETY: the caller's contract.
            unsafe {
                let out = c.add(r * row + l * col);
                let old = if beta == T::default() { beta } else { beta.wrapping_mul_add(*out, T::default()) };
                *out = alpha.wrapping_mul_add(s, old);
            }
        }
    }
}

/// C = alpha·A·B + beta·C for integers; strides are (row, column).
///
/// # Safety
/// The operands cover m × k and k × n; C covers m × n and overlaps neither.
pub unsafe fn gemm_integer<T: WrappingMul>(
    (m, n, k): (usize, usize, usize),
    alpha: T,
    a: *const T,
    a_strides: (usize, usize),
    b: *const T,
    b_strides: (usize, usize),
    beta: T,
    c: *mut T,
    c_strides: (usize, usize),
) {
    let (a, b, c) = (SendPtr(a.cast_mut()), SendPtr(b.cast_mut()), SendPtr(c));
    let strips = n.div_ceil(COLS);
    let row_blocks = m.div_ceil(ROWS);
    // A task is a strip, cut along the rows only as far as packing stays cheap beside computing.
    let cuts = if strips >= 4 * threads::num_threads() { 1 } else { row_blocks.div_ceil(8).max(1) };
    let per_task = row_blocks.div_ceil(cuts.max(1)) * ROWS * COLS * k;
    let grain = (200_000 / per_task.max(1)).max(1);
    threads::parallel_for(strips * cuts, grain, |range| {
        let mut packed = vec![T::default(); if b_strides.1 == 1 { 0 } else { DEPTH * COLS }];
        for task in range {
            let (strip, cut) = (task / cuts, task % cuts);
            let cols = strip * COLS..((strip + 1) * COLS).min(n);
            // Without packing one block spans all of k.
            let depth = if packed.is_empty() { k.max(1) } else { DEPTH };
            for p in (0..k.max(1)).step_by(depth) {
                let ks = depth.min(k - p);
                // SAFETY: all offsets are inside the matrices; tasks write disjoint blocks of C.
                unsafe {
                    let mut rows_of_b =
                        (b.get().cast_const().add(p * b_strides.0 + cols.start * b_strides.1), b_strides.0);
                    if !packed.is_empty() {
                        for (q, row) in packed.chunks_mut(COLS).enumerate().take(ks) {
                            for (l, v) in row.iter_mut().enumerate().take(cols.len()) {
                                *v = *rows_of_b.0.add(q * b_strides.0 + l * b_strides.1);
                            }
                        }
                        rows_of_b = (packed.as_ptr(), COLS);
                    }
                    for rb in row_blocks * cut / cuts..row_blocks * (cut + 1) / cuts {
                        let rows = rb * ROWS..((rb + 1) * ROWS).min(m);
                        let mut sums = [[T::default(); COLS]; ROWS];
                        let from = a.get().add(rows.start * a_strides.0 + p * a_strides.1);
                        block(rows.len(), cols.len(), ks, from, a_strides, rows_of_b.0, rows_of_b.1, &mut sums);
                        let to = c.get().add(rows.start * c_strides.0 + cols.start * c_strides.1);
                        // Wrapping sums may be cut anywhere.
                        let beta = if p == 0 { beta } else { T::from_i64(1) };
                        write(&sums, (rows.len(), cols.len()), alpha, beta, to, c_strides);
                    }
                }
            }
        }
    });
}
