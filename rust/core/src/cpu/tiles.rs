//! Products of small blocks whose right operand is packed: what attention multiplies inside one task.
//!
//! A right operand (depth × columns) lies in panels of `nr` columns, each `depth × nr` and contiguous; missing columns
//! are zero. Rows of the left operand and of the result are padded to whole tiles, so that there are no edges.

use crate::cpu::math::Real;
use crate::cpu::rows::{self, Acc, Row, Storage};
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
            match T::as_acc(m.row(r)) {
                Some(source) => row.iter_mut().zip(source).for_each(|(v, &x)| *v = x * scale),
                None => {
                    T::widen(m.row(r), row);
                    row.iter_mut().for_each(|v| *v *= scale);
                }
            }
        }
    }

    /// The matrix as a right operand: its rows are the depth.
    pub fn pack_right<T: Storage>(m: Matrix<T>, nr: usize, out: &mut [T::Acc]) {
        for (p, panel) in out.chunks_exact_mut((m.rows * nr).max(1)).enumerate() {
            let (start, width) = (p * nr, nr.min(m.columns - p * nr));
            if width == 32 {
                // The commonest panel: copies of a known size need no call.
                for (r, lane) in panel.as_chunks_mut::<32>().0.iter_mut().enumerate() {
                    widen_fixed(&m.row(r)[start..start + 32], lane);
                }
                continue;
            }
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
                    for (j, row) in block.iter_mut().enumerate() {
                        let r = p * nr + j0 + j;
                        if r >= m.rows {
                            row.fill(T::Acc::ZERO);
                        } else if k0 + BLOCK <= m.columns {
                            widen_fixed(&m.row(r)[k0..k0 + BLOCK], row);
                        } else {
                            T::widen(&m.row(r)[k0..], &mut row[..m.columns - k0]);
                        }
                    }
                    let lanes = panel.chunks_exact_mut(nr).skip(k0).take(BLOCK);
                    for (k, lane) in lanes.enumerate() {
                        if let Some(lane) = lane[j0..].first_chunk_mut::<BLOCK>() {
                            *lane = std::array::from_fn(|j| block[j][k]);
                        } else {
                            // Only where a panel is narrower than a block.
                            for (j, v) in lane[j0..].iter_mut().enumerate() {
                                *v = block[j][k];
                            }
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn widen_fixed<T: Storage, const N: usize>(src: &[T], dst: &mut [T::Acc; N]) {
    match T::as_acc(src).and_then(|s| s.first_chunk::<N>()) {
        Some(src) => *dst = *src,
        None => T::widen(src, dst),
    }
}

simd_dispatch! {
    /// `out[j]` = row j of m · x, for few x.
    pub fn dots<T: Storage>(m: Matrix<T>, x: &[T::Acc], out: &mut [T::Acc]) {
        let mut row = Row::new::<T>(m.columns);
        for (j, o) in out.iter_mut().enumerate().take(m.rows) {
            *o = rows::dot::<T::Acc, S>(row.load(m.row(j)), x);
        }
    }

    /// `out` += Σ x[j]·(row j of m), for few x.
    pub fn combine<T: Storage>(m: Matrix<T>, x: &[T::Acc], out: &mut [T::Acc]) {
        let mut row = Row::new::<T>(m.columns);
        for (j, &x) in x.iter().enumerate().take(m.rows) {
            for (o, &v) in out.iter_mut().zip(row.load(m.row(j))) {
                *o = v.fma::<S>(x, *o);
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
    /// `c (rows × columns) = a·b`, added to c if `add`; rows is a multiple of [`ROWS`] and b has `depth` rows in
    /// panels.
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
        assert!(rows.is_multiple_of(ROWS) && c.len() >= (rows - 1) * pitch + columns.next_multiple_of(nr));
        assert!(b.len() >= columns.next_multiple_of(nr) * depth);
        assert!(a.data.len() > (rows - 1) * a.row_step + (depth - 1) * a.depth_step);
        for (p, panel) in b.chunks_exact(depth * nr).take(columns.div_ceil(nr)).enumerate() {
            let mut r = 0;
            while r < rows {
                // SAFETY: the assertions above: every element of the tile lies inside its slice.
                unsafe {
                    let (a, steps) = (a.data.as_ptr().add(r * a.row_step), (a.row_step, a.depth_step));
                    let c = c.as_mut_ptr().add(r * pitch + p * nr);
                    // As many rows as leave registers for a row of b and one element of a.
                    r += match (S::LEVEL, nr) {
                        (Level::Avx512, 32) => rows_of_tiles::<A, S, 8, 32>(a, steps, panel, c, pitch, add, rows - r),
                        (Level::Avx512, _) => rows_of_tiles::<A, S, 8, 16>(a, steps, panel, c, pitch, add, rows - r),
                        (Level::Avx2, 16) => rows_of_tiles::<A, S, 6, 16>(a, steps, panel, c, pitch, add, rows - r),
                        (Level::Avx2, _) => rows_of_tiles::<A, S, 6, 8>(a, steps, panel, c, pitch, add, rows - r),
                        (Level::Neon, 8) => rows_of_tiles::<A, S, 8, 8>(a, steps, panel, c, pitch, add, rows - r),
                        (Level::Neon, _) => rows_of_tiles::<A, S, 8, 4>(a, steps, panel, c, pitch, add, rows - r),
                        (_, 8) => rows_of_tiles::<A, S, 4, 8>(a, steps, panel, c, pitch, add, rows - r),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::{Tensor, assert_close, at_every_level};
    use crate::dtype::Element;
    use half::bf16;

    fn matrix<T: Storage>(t: &Tensor<T>, rows: usize, columns: usize) -> Matrix<T> {
        Matrix { ptr: t.data.as_ptr(), rows, columns, pitch: columns }
    }

    fn products_match<T: Storage>(tolerance: f64) {
        for (m, n, depth) in [(1, 1, 1), (4, 5, 3), (12, 33, 20), (31, 70, 9), (64, 64, 64)] {
            let (a, b) = (Tensor::<T>::noise(1, &[m, depth]), Tensor::<T>::noise(2, &[depth, n]));
            let (a_values, b_values) = (a.values(), b.values());
            let (rows, nr) = (m.next_multiple_of(ROWS), panel::<T::Acc>());
            let pitch = padded(n, nr);
            let mut left = vec![T::Acc::ONE; rows * depth];
            pack_left(matrix(&a, m, depth), T::Acc::ONE, &mut left);
            let mut right = vec![T::Acc::ONE; pitch * depth];
            pack_right(matrix(&b, depth, n), nr, &mut right);
            let flipped: Vec<f64> = (0..n * depth).map(|i| b_values[i % depth * n + i / depth]).collect();
            let flipped = Tensor::<T>::new(flipped, &[n, depth]);
            let mut again = vec![T::Acc::ONE; pitch * depth];
            pack_right_transposed(matrix(&flipped, n, depth), nr, &mut again);
            assert!(right == again, "both ways of packing agree");
            let mut c = vec![T::Acc::ZERO; rows * pitch];
            for add in [false, true] {
                let left = Left { data: &left, row_step: depth, depth_step: 1 };
                product(left, &right, depth, &mut c, pitch, rows, n, add);
            }
            for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let terms = (0..depth).map(|k| a_values[i * depth + k] * b_values[k * n + j]);
                assert_close(&[c[i * pitch + j].to_f64()], &[2.0 * terms.sum::<f64>()], tolerance, "product");
            }
            let mut row = vec![T::Acc::ZERO; n];
            dots(matrix(&flipped, n, depth), &left[..depth], &mut row);
            let mut sum = vec![T::Acc::ZERO; n];
            combine(matrix(&b, depth, n), &left[..depth], &mut sum);
            for j in 0..n {
                let expected = [c[j].to_f64() / 2.0; 2];
                assert_close(&[row[j].to_f64(), sum[j].to_f64()], &expected, tolerance, "dots and combine");
            }
        }
    }

    #[test]
    fn products_of_every_shape_match() {
        at_every_level(|| {
            products_match::<f64>(1e-13);
            products_match::<f32>(2e-5);
            products_match::<bf16>(2e-5);
        });
    }
}
