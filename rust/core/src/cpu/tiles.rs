//! Products of small blocks whose right operand is packed: what attention multiplies inside one task.
//!
//! A right operand (depth × columns) lies in panels of `nr` columns, each `depth × nr` and contiguous; missing columns are
//! zero. Rows of the left operand and of the result are padded to whole tiles, so that there are no edges.

use crate::cpu::math::Real;
use crate::cpu::rows::{Acc, Storage};
use crate::cpu::simd::{Level, Simd, level};
use crate::simd_dispatch;

/// Rows of every block are padded to a multiple of this: tiles of 4 rows and more make up any such number.
pub const ROWS: usize = 4;

/// Columns of a panel at the current level.
pub fn panel<A: Acc>() -> usize {
    let registers = match level() {
        Level::Avx512 => 128,
        Level::Avx2 => 64,
        _ => 32,
    };
    registers / A::DTYPE.size()
}

/// The padded number of columns.
pub fn padded(columns: usize, nr: usize) -> usize {
    columns.next_multiple_of(nr)
}

/// A matrix with contiguous rows, `pitch` apart.
#[derive(Clone, Copy)]
pub struct Matrix<T> {
    pub ptr: *const T,
    pub rows: usize,
    pub columns: usize,
    pub pitch: usize,
}

// SAFETY: matrices are read only.
unsafe impl<T: Sync> Send for Matrix<T> {}
unsafe impl<T: Sync> Sync for Matrix<T> {}

impl<T: Storage> Matrix<T> {
    #[inline(always)]
    pub fn row(&self, r: usize) -> &[T] {
        debug_assert!(r < self.rows);
        // SAFETY: the matrix describes valid memory for as long as its owner lives.
        unsafe { std::slice::from_raw_parts(self.ptr.add(r * self.pitch), self.columns) }
    }
    /// The rows `first ..`, `count` of them.
    pub fn part(&self, first: usize, count: usize) -> Matrix<T> {
        debug_assert!(first + count <= self.rows);
        Matrix { ptr: self.ptr.wrapping_add(first * self.pitch), rows: count, ..*self }
    }
}

simd_dispatch! {
    /// Rows as accumulators times `scale`, `columns` apart; rows past the last are zero.
    pub fn pack_left<T: Storage>(m: Matrix<T>, scale: T::Acc, out: &mut [T::Acc]) {
        for (r, row) in out.chunks_exact_mut(m.columns.max(1)).enumerate() {
            if r >= m.rows {
                row.fill(T::Acc::ZERO);
                continue;
            }
            T::widen(m.row(r), row);
            for v in row {
                *v *= scale;
            }
        }
    }

    /// The matrix as a right operand: its rows are the depth.
    pub fn pack_right<T: Storage>(m: Matrix<T>, nr: usize, out: &mut [T::Acc]) {
        for (p, panel) in out.chunks_exact_mut((m.rows * nr).max(1)).enumerate() {
            let (start, width) = (p * nr, nr.min(m.columns - p * nr));
            for (r, lane) in panel.chunks_exact_mut(nr).enumerate() {
                T::widen(&m.row(r)[start..start + width], &mut lane[..width]);
                lane[width..].fill(T::Acc::ZERO);
            }
        }
    }

    /// The transposed matrix as a right operand: its columns are the depth.
    pub fn pack_right_transposed<T: Storage>(m: Matrix<T>, nr: usize, out: &mut [T::Acc]) {
        let mut block = [[T::Acc::ZERO; BLOCK]; BLOCK];
        for (p, panel) in out.chunks_exact_mut((m.columns * nr).max(1)).enumerate() {
            for j0 in (0..nr).step_by(BLOCK) {
                for k0 in (0..m.columns).step_by(BLOCK) {
                    let depth = BLOCK.min(m.columns - k0);
                    for (j, row) in block.iter_mut().enumerate() {
                        let r = p * nr + j0 + j;
                        if r < m.rows {
                            T::widen(&m.row(r)[k0..k0 + depth], &mut row[..depth]);
                        } else {
                            row.fill(T::Acc::ZERO);
                        }
                    }
                    for k in 0..depth {
                        let lane = &mut panel[(k0 + k) * nr + j0..][..BLOCK.min(nr - j0)];
                        for (j, v) in lane.iter_mut().enumerate() {
                            *v = block[j][k];
                        }
                    }
                }
            }
        }
    }
}

/// Rows and columns transposed at a time.
const BLOCK: usize = 8;

/// The left operand of a product: element (row, k) lies at `row·row_step + k·depth_step`.
#[derive(Clone, Copy)]
pub struct Left<'a, A> {
    pub data: &'a [A],
    pub row_step: usize,
    pub depth_step: usize,
}

simd_dispatch! {
    /// `c (rows × columns) = a·b`, added to c if `add`; rows is a multiple of [`ROWS`] and b has `depth` rows in panels.
    pub fn product<A: Acc>(
        a: Left<A>, b: &[A], depth: usize, c: &mut [A], pitch: usize, rows: usize, columns: usize, add: bool
    ) {
        let nr = 2 * S::WIDTH / A::DTYPE.size();
        if depth == 0 || rows == 0 {
            if !add {
                c.fill(A::ZERO);
            }
            return;
        }
        assert!(rows % ROWS == 0 && c.len() >= (rows - 1) * pitch + columns.next_multiple_of(nr));
        assert!(b.len() >= columns.next_multiple_of(nr) * depth);
        assert!(a.data.len() > (rows - 1) * a.row_step + (depth - 1) * a.depth_step);
        for (p, panel) in b.chunks_exact(depth * nr).take(columns.div_ceil(nr)).enumerate() {
            let mut r = 0;
            while r < rows {
                // SAFETY: the assertions above: every element of the tile lies inside its slice.
                unsafe {
                    let (a, steps) = (a.data.as_ptr().add(r * a.row_step), (a.row_step, a.depth_step));
                    let c = c.as_mut_ptr().add(r * pitch + p * nr);
                    r += match nr {
                        32 => rows_of_tiles::<A, S, 12, 32>(a, steps, panel, c, pitch, add, rows - r),
                        16 if S::LEVEL == Level::Avx512 => {
                            rows_of_tiles::<A, S, 12, 16>(a, steps, panel, c, pitch, add, rows - r)
                        }
                        16 => rows_of_tiles::<A, S, 6, 16>(a, steps, panel, c, pitch, add, rows - r),
                        8 => rows_of_tiles::<A, S, 6, 8>(a, steps, panel, c, pitch, add, rows - r),
                        _ => rows_of_tiles::<A, S, 4, 4>(a, steps, panel, c, pitch, add, rows - r),
                    };
                }
            }
        }
    }
}

/// The next tile of at most MR rows: the tallest after which whole tiles of 4 rows or more remain. Returns its height.
///
/// # Safety
/// As for [`tile`], for the rows left.
#[inline(always)]
unsafe fn rows_of_tiles<A: Acc, S: Simd, const MR: usize, const NR: usize>(
    a: *const A,
    steps: (usize, usize),
    panel: &[A],
    c: *mut A,
    pitch: usize,
    add: bool,
    left: usize,
) -> usize {
    // SAFETY: the caller's contract.
    unsafe {
        if left >= MR + 4 || left == MR {
            tile::<A, S, MR, NR>(a, steps, panel, c, pitch, add);
            MR
        } else if MR > 8 && left >= 8 {
            tile::<A, S, 8, NR>(a, steps, panel, c, pitch, add);
            8
        } else {
            tile::<A, S, 4, NR>(a, steps, panel, c, pitch, add);
            4
        }
    }
}

/// One tile of MR rows and NR columns, kept in registers.
///
/// # Safety
/// `a` covers MR rows and the panel's depth with the given steps, `c` MR rows of NR columns `pitch` apart.
#[inline(always)]
unsafe fn tile<A: Acc, S: Simd, const MR: usize, const NR: usize>(
    a: *const A,
    (row_step, depth_step): (usize, usize),
    panel: &[A],
    c: *mut A,
    pitch: usize,
    add: bool,
) {
    let mut acc = [[A::ZERO; NR]; MR];
    for (k, b) in panel.chunks_exact(NR).enumerate() {
        for i in 0..MR {
            // SAFETY: the caller's contract.
            let x = unsafe { *a.add(i * row_step + k * depth_step) };
            for j in 0..NR {
                acc[i][j] = x.fma::<S>(b[j], acc[i][j]);
            }
        }
    }
    for (i, row) in acc.iter().enumerate() {
        // SAFETY: the caller's contract.
        let c = unsafe { std::slice::from_raw_parts_mut(c.add(i * pitch), NR) };
        for j in 0..NR {
            c[j] = if add { c[j] + row[j] } else { row[j] };
        }
    }
}
