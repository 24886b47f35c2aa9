//! Matrix products: C = alpha·A·B + beta·C for every dtype, any strides, batches, and operands packed on the fly.
//!
//! `kernel` has the micro-kernels on top of `vector`'s registers, `pack` brings operands into panels, `blocked` cuts the
//! work into tasks, `skinny` handles few rows or columns, `words` bfloat16 and bytes by the instructions made for them, `integer` the
//! integer types. The order in which an element is summed
//! depends on the shape, the strides and the instruction set, never on the number of threads.

mod blocked;
mod integer;
mod kernel;
mod pack;
mod skinny;
#[cfg(test)]
mod tests;
mod vector;
mod words;

pub use integer::{WrappingMul, gemm_integer};
pub use kernel::Compute;
use kernel::Tile;
pub(in crate::cpu) use pack::transpose;
pub use pack::{Operand, Pack, Storage, Strided};

use crate::bail;
use crate::cpu::elementwise::{Finisher, Then};
use crate::cpu::math::Real;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads;
use crate::cpu::view::{In, Out};
use crate::dtype::{DType, no_kernel};
use crate::error::Result;
use blocked::{SendPtr, Target};
use half::{bf16, f16};
use smallvec::SmallVec;
use std::ops::Range;

/// What is called with row, first column and the values of that row segment.
pub type RowFn<'a, T> = dyn Fn(usize, usize, &mut [T]) + Sync + 'a;
/// What is called with the rows and columns of a block whose elements lie finished in C, while it is in cache.
type BlockFn<'a> = dyn Fn(Range<usize>, Range<usize>) + Sync + 'a;

/// One matrix in memory: address, row stride, column stride. Strides of dimensions of size 1 may be anything.
#[derive(Clone, Copy)]
pub struct Matrix<E> {
    pub ptr: *const E,
    pub row: usize,
    pub col: usize,
}

/// The matrix that receives the product.
#[derive(Clone, Copy)]
pub struct MatrixMut<E> {
    pub ptr: *mut E,
    pub row: usize,
    pub col: usize,
}

impl<E> Matrix<E> {
    fn transposed(self) -> Self {
        Matrix { ptr: self.ptr, row: self.col, col: self.row }
    }
    fn offset(self, elements: usize) -> Self {
        Matrix { ptr: self.ptr.wrapping_add(elements), ..self }
    }
}

impl<E> MatrixMut<E> {
    fn transposed(self) -> Self {
        MatrixMut { ptr: self.ptr, row: self.col, col: self.row }
    }
    fn offset(self, elements: usize) -> Self {
        MatrixMut { ptr: self.ptr.wrapping_add(elements), ..self }
    }
    fn hand_over(self, rows: Range<usize>, columns: Range<usize>, then: &Finisher) {
        let first = self.ptr.wrapping_add(rows.start * self.row + columns.start * self.col);
        // A vector may have any stride across.
        if self.col == 1 || columns.len() == 1 && self.row != 1 {
            then.block(first, rows.len(), self.row, columns.len());
        } else {
            then.block(first, columns.len(), self.col, rows.len());
        }
    }
}

// SAFETY: the functions below read through `Matrix` and write disjoint parts through `MatrixMut`.
unsafe impl<E> Send for Matrix<E> {}
unsafe impl<E> Sync for Matrix<E> {}
unsafe impl<E> Send for MatrixMut<E> {}
unsafe impl<E> Sync for MatrixMut<E> {}

/// Up to this many rows against columns with contiguous depth, dot products beat packing.
const DOT_ROWS_MAX: usize = 16;
/// Up to so many tiles' columns a matrix is read where it lies instead of being packed.
const FEW_STRIPS: usize = 2;
/// Down to this depth, summing the registers at the end of a dot product stays cheap.
const DOT_DEPTH_MIN: usize = 128;

/// C (m × n) = alpha·A (m × k)·B (k × n) + beta·C, whose parts are handed over to what finishes them. With beta = 0 the old C is
/// not read; half-precision elements are computed in f32 and rounded once.
///
/// # Safety
/// A and B are readable and C writable over their whole sizes; C overlaps neither, nor itself.
pub unsafe fn gemm<E: Storage>(
    (m, n, k): (usize, usize, usize),
    alpha: E::Acc,
    a: Matrix<E>,
    b: Matrix<E>,
    beta: E::Acc,
    c: MatrixMut<E>,
    then: Then,
) {
    if m == 0 || n == 0 {
        return;
    }
    // A C that is contiguous along its columns is computed as its transpose.
    if n > 1 && m > 1 && c.row == 1 && c.col != 1 {
        let (a, b, c) = (b.transposed(), a.transposed(), c.transposed());
        // SAFETY: the same matrices.
        return unsafe { oriented::<E>((n, m, k), alpha, a, b, beta, c, then) };
    }
    // SAFETY: passed on.
    unsafe { oriented::<E>((m, n, k), alpha, a, b, beta, c, then) }
}

/// [`gemm`] after the choice between C and its transpose.
unsafe fn oriented<E: Storage>(
    (m, n, k): (usize, usize, usize),
    alpha: E::Acc,
    a: Matrix<E>,
    b: Matrix<E>,
    beta: E::Acc,
    c: MatrixMut<E>,
    then: Then,
) {
    let finish = Finish::<E> { alpha, beta, c };
    let done = |rows: Range<usize>, columns: Range<usize>| {
        if let Some(then) = then {
            c.hand_over(rows, columns, then);
        }
    };
    let whole = |f: &dyn Fn(&mut [E::Acc])| {
        finish.whole(m, n, f);
        done(0..m, 0..n);
    };
    // SAFETY: the caller's contract.
    let (rows_a, cols_b) = unsafe { (Strided::new(a.ptr, a.row, a.col), Strided::new(b.ptr, b.col, b.row)) };
    if k == 0 {
        return whole(&|out| out.fill(E::Acc::ZERO));
    }
    // The depth of a vector counts as contiguous for the matrix it meets, because vectors are copied when they are not.
    let (a_rows_contiguous, b_cols_contiguous) = (a.col == 1 || k == 1, b.row == 1 || k == 1);
    // SAFETY: the operands cover m × k and n × k; `finish.whole` provides m × n results.
    unsafe {
        if m == 1 && b.col == 1 && n > 1 {
            return whole(&|out| skinny::combine_rows(&rows_a, &cols_b, n, k, out.as_mut_ptr(), 1));
        }
        if n == 1 && a.row == 1 && m > 1 {
            return whole(&|out| skinny::combine_rows(&cols_b, &rows_a, m, k, out.as_mut_ptr(), 1));
        }
        let deep = k >= DOT_DEPTH_MIN;
        if b_cols_contiguous && (m == 1 || (m <= DOT_ROWS_MAX && deep && n >= m)) {
            let cols_b = Strided { depth: 1, ..cols_b };
            return whole(&|out| skinny::dot_products(&rows_a, m, &cols_b, n, k, out.as_mut_ptr(), (n, 1)));
        }
        if a_rows_contiguous && (n == 1 || (n <= DOT_ROWS_MAX / 2 && deep && m >= n)) {
            let rows_a = Strided { depth: 1, ..rows_a };
            return whole(&|out| skinny::dot_products(&cols_b, n, &rows_a, m, k, out.as_mut_ptr(), (1, n)));
        }
        let by_rows = |row: usize, col: usize, values: &mut [E::Acc]| finish.row(row, col, values);
        if E::product_of_its_own((m, n, k), a, b, &by_rows) {
            return done(0..m, 0..n);
        }
        let (a, b) = (Operand::matrix(&rows_a), Operand::matrix(&cols_b));
        if E::DIRECT && (c.col == 1 || n == 1) {
            // Few rows times the transpose of a large matrix, as in a linear layer: of the transposed product the few are
            // packed, and the large matrix is read where it lies.
            let few = m > 1 && m <= FEW_STRIPS * E::Acc::kernels().0.nr && n >= 2 * m;
            let plain = alpha == E::Acc::ONE && beta == E::Acc::ZERO;
            if few && plain && a_rows_contiguous && b_cols_contiguous {
                let target = Target::Turned { c: c.ptr.cast(), stride: c.row };
                let turned = |rows, columns| done(columns, rows);
                return blocked::run(n, m, k, b, a, &target, then.map(|_| &turned as &BlockFn));
            }
            let target = Target::Rows { c: c.ptr.cast(), stride: c.row, alpha, beta };
            return blocked::run(m, n, k, a, b, &target, then.map(|_| &done as &BlockFn));
        }
        blocked::run(m, n, k, a, b, &Target::Staged(&by_rows), then.map(|_| &done as &BlockFn));
    }
}

/// The way from sums in f32 or f64 to C: scale, add the old C, round.
struct Finish<E: Storage> {
    alpha: E::Acc,
    beta: E::Acc,
    c: MatrixMut<E>,
}

impl<E: Storage> Finish<E> {
    /// Lets `f` compute all m × n sums in a buffer, and stores them.
    fn whole(&self, m: usize, n: usize, f: impl FnOnce(&mut [E::Acc])) {
        with_scratch::<E::Acc, _>(m * n, |buffer| {
            f(buffer);
            if n == 1 {
                // A column is finished as a row, which is one call instead of m.
                let c = MatrixMut { ptr: self.c.ptr, row: 0, col: self.c.row };
                return Finish::<E> { c, ..*self }.row(0, 0, buffer);
            }
            for (r, row) in buffer.chunks_mut(n).enumerate() {
                self.row(r, 0, row);
            }
        });
    }

    fn row(&self, row: usize, col: usize, values: &mut [E::Acc]) {
        let c = self.c.ptr.wrapping_add(row * self.c.row + col * self.c.col);
        if self.alpha != E::Acc::ONE {
            values.iter_mut().for_each(|v| *v = *v * self.alpha);
        }
        if self.beta != E::Acc::ZERO {
            for (j, v) in values.iter_mut().enumerate() {
                // SAFETY: the segment lies inside C.
                *v = *v + self.beta * unsafe { *c.add(j * self.c.col) }.widen();
            }
        }
        // SAFETY: as above.
        unsafe {
            if self.c.col == 1 {
                pack::narrow_into(values.as_ptr(), c, values.len());
            } else {
                for (j, v) in values.iter().enumerate() {
                    *c.add(j * self.c.col) = E::narrow(*v);
                }
            }
        }
    }
}

/// C (m × n, rows `c_row` apart) = alpha·A·B + beta·C from operands that may be packed on the fly.
///
/// # Safety
/// As for [`gemm`].
pub unsafe fn gemm_with_packers<T: Compute + Storage<Acc = T>>(
    (m, n, k): (usize, usize, usize),
    alpha: T,
    a: Operand<T>,
    b: Operand<T>,
    beta: T,
    c: *mut T,
    c_row: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        let c = MatrixMut { ptr: c, row: c_row, col: 1 };
        return Finish::<T> { alpha, beta, c }.whole(m, n, |out| out.fill(T::ZERO));
    }
    // SAFETY: passed on.
    unsafe { blocked::run(m, n, k, a, b, &Target::Rows { c, stride: c_row, alpha, beta }, None) }
}

/// C (rows × columns, rows `c_row` apart) = A·B, added to C if `add`, on the calling thread. A's rows are contiguous and
/// `a_row` apart. B lies in panels of `width` columns, at most a tile's, each `depth × width`.
pub fn panel_product<T: Compute>(
    (a, a_row): (&[T], usize),
    (panels, width): (&[T], usize),
    depth: usize,
    (c, c_row): (&mut [T], usize),
    (rows, columns): (usize, usize),
    add: bool,
) {
    let kernels = &T::kernels().0;
    assert!(rows > 0 && columns > 0 && depth > 0 && width <= kernels.nr && width.is_multiple_of(kernels.lanes));
    assert!(a.len() >= (rows - 1) * a_row + depth && c.len() >= (rows - 1) * c_row + columns);
    assert!(panels.len() >= columns.div_ceil(width) * depth * width);
    let (tiles, beta) = (rows.div_ceil(kernels.mr), if add { T::ONE } else { T::ZERO });
    for (p, panel) in panels.chunks_exact(depth * width).take(columns.div_ceil(width)).enumerate() {
        let cols = width.min(columns - p * width);
        for i in 0..tiles {
            // Equal heights, give or take a row.
            let (first, end) = (i * rows / tiles, (i + 1) * rows / tiles);
            let tile = Tile {
                k: depth,
                a: a[first * a_row..].as_ptr(),
                a_row,
                a_depth: 1,
                b: panel.as_ptr(),
                b_depth: width,
                c: c[first * c_row + p * width..].as_mut_ptr(),
                c_row,
                alpha: T::ONE,
                beta,
                last: cols - (cols - 1) / kernels.lanes * kernels.lanes,
            };
            // SAFETY: the assertions above; the table is this level's.
            unsafe { kernels.tile(end - first, cols, false)(&tile) };
        }
    }
}

/// Multiply-adds that make a chunk of a batch worth a thread's while (about 20 µs).
const BATCH_GRAIN: usize = 1_000_000;

/// Many products whose matrices lie at `offsets(i)` from the given ones: small ones in parallel over the batch, large ones
/// one after the other with all threads.
///
/// # Safety
/// As for [`gemm`], for every matrix of the batch; the results do not overlap.
unsafe fn for_each_product<E: Storage>(
    count: usize,
    offsets: impl Fn(usize) -> (usize, usize, usize) + Sync,
    (m, n, k): (usize, usize, usize),
    alpha: E::Acc,
    a: Matrix<E>,
    b: Matrix<E>,
    beta: E::Acc,
    c: MatrixMut<E>,
    then: Then,
) {
    let one = |i: usize| {
        let (oa, ob, oc) = offsets(i);
        let (a, b, c) = (a.offset(oa), b.offset(ob), c.offset(oc));
        // SAFETY: the caller's contract.
        unsafe { gemm::<E>((m, n, k), alpha, a, b, beta, c, then) };
    };
    let work = m * n * k + 8 * (m * k + k * n + m * n);
    if work > BATCH_GRAIN && count < 4 * threads::num_threads() {
        (0..count).for_each(one);
    } else {
        threads::parallel_for(count, (BATCH_GRAIN / work.max(1)).max(1), |range| range.for_each(one));
    }
}

/// Batched product of windows: a (…, m, k) × b (…, k, n) → out (…, m, n). All have the same rank; the batch dimensions are
/// already broadcast (stride 0 where an operand repeats). Sizes are the caller's to check. The dtype is one, or int8 or
/// uint8 times int8 makes int32. Results are handed over to what finishes them.
pub fn matmul(a: In, b: In, out: &mut Out, then: Then) -> Result<()> {
    let rank = out.shape.len();
    debug_assert!(rank >= 2 && a.shape.len() == rank && b.shape.len() == rank);
    let of_bytes = out.dtype == DType::I32 && b.dtype == DType::I8;
    debug_assert!(of_bytes || (a.dtype == out.dtype && b.dtype == out.dtype));
    debug_assert!(a.shape[rank - 1] == b.shape[rank - 2] && a.shape[..rank - 2] == out.shape[..rank - 2]);
    match out.dtype {
        DType::I32 if of_bytes && a.dtype == DType::U8 => matmul_bytes::<u8>(a, b, out),
        DType::I32 if of_bytes => matmul_bytes::<i8>(a, b, out),
        DType::F32 => matmul_float::<f32>(a, b, out, then),
        DType::F64 => matmul_float::<f64>(a, b, out, then),
        DType::F16 => matmul_float::<f16>(a, b, out, then),
        DType::BF16 => matmul_float::<bf16>(a, b, out, then),
        DType::U8 => matmul_integer::<u8>(a, b, out),
        DType::I8 => matmul_integer::<i8>(a, b, out),
        DType::I16 => matmul_integer::<i16>(a, b, out),
        DType::I32 => matmul_integer::<i32>(a, b, out),
        DType::I64 => matmul_integer::<i64>(a, b, out),
        DType::Bool => bail!(NotImplemented, "\"matmul\" not implemented for 'Bool'"),
        _ => no_kernel(),
    }
    if let Some(then) = then.filter(|_| !out.dtype.is_float()) {
        then.all();
    }
    Ok(())
}

/// One batch dimension: its size and the strides of a, b and out.
type BatchDim = (usize, [usize; 3]);

/// The batch dimensions with neighbours merged where all three windows allow it, the last dimension first.
fn batch_dims(a: &In, b: &In, out: &Out) -> SmallVec<[BatchDim; 6]> {
    let mut dims: SmallVec<[BatchDim; 6]> = SmallVec::new();
    for d in (0..out.shape.len() - 2).rev() {
        let (size, strides) = (out.shape[d], [a.strides[d], b.strides[d], out.strides[d]]);
        if size == 1 {
            continue;
        }
        match dims.last_mut() {
            Some((inner, inner_strides)) if (0..3).all(|i| strides[i] == inner_strides[i] * *inner) => *inner *= size,
            _ => dims.push((size, strides)),
        }
    }
    dims
}

/// The offsets of product i of a batch.
fn batch_offsets(dims: &[BatchDim], mut i: usize) -> (usize, usize, usize) {
    let mut at = [0; 3];
    for (size, strides) in dims {
        let index = i % size;
        i /= size;
        (0..3).for_each(|j| at[j] += index * strides[j]);
    }
    (at[0], at[1], at[2])
}

fn matmul_float<E: Storage>(a: In, b: In, out: &mut Out, then: Then) {
    let rank = out.shape.len();
    let (mut m, n, k) = (out.shape[rank - 2], out.shape[rank - 1], a.shape[rank - 1]);
    let matrix = |w: &In| Matrix { ptr: w.ptr.cast::<E>(), row: w.strides[rank - 2], col: w.strides[rank - 1] };
    let mut c = MatrixMut { ptr: out.ptr.cast::<E>(), row: out.strides[rank - 2], col: out.strides[rank - 1] };
    let (mut ma, mb) = (matrix(&a), matrix(&b));
    let mut dims = batch_dims(&a, &b, out);
    // One B for a batch of rows: the batch is more rows.
    while let Some(&(size, [sa, 0, sc])) = dims.first() {
        if m == 1 {
            (ma.row, c.row) = (sa, sc);
        } else if sa != m * ma.row || sc != m * c.row {
            break;
        }
        m *= size;
        dims.remove(0);
    }
    let count = dims.iter().map(|d| d.0).product();
    let (zero, one) = (E::Acc::ZERO, E::Acc::ONE);
    // SAFETY: windows cover their shapes and `out` overlaps no input (kernel convention).
    unsafe { for_each_product::<E>(count, |i| batch_offsets(&dims, i), (m, n, k), one, ma, mb, zero, c, then) }
}

fn matmul_integer<T: WrappingMul>(a: In, b: In, out: &mut Out) {
    let rank = out.shape.len();
    let (m, n, k) = (out.shape[rank - 2], out.shape[rank - 1], a.shape[rank - 1]);
    let strides = |s: &[usize]| (s[rank - 2], s[rank - 1]);
    let dims = batch_dims(&a, &b, out);
    let count: usize = dims.iter().map(|d| d.0).product();
    let (pa, pb, pc) = (a.ptr.cast::<T>(), b.ptr.cast::<T>(), SendPtr(out.ptr.cast::<T>()));
    let (sa, sb, sc) = (strides(a.strides), strides(b.strides), strides(out.strides));
    let (pa, pb) = (SendPtr(pa.cast_mut()), SendPtr(pb.cast_mut()));
    let one = |i: usize| {
        let (oa, ob, oc) = batch_offsets(&dims, i);
        let (a, b, c) = (pa.get().wrapping_add(oa), pb.get().wrapping_add(ob), pc.get().wrapping_add(oc));
        // SAFETY: windows cover their shapes and `out` overlaps no input (kernel convention).
        unsafe { gemm_integer((m, n, k), T::from_i64(1), a, sa, b, sb, T::default(), c, sc) };
    };
    if m == 0 || n == 0 {
        return;
    }
    if count < threads::num_threads() {
        (0..count).for_each(one);
    } else {
        threads::parallel_for(count, (BATCH_GRAIN / (8 * m * n * k).max(1)).max(1), |range| range.for_each(one));
    }
}

fn matmul_bytes<L: words::Byte>(a: In, b: In, out: &mut Out) {
    let rank = out.shape.len();
    let (m, n, k) = (out.shape[rank - 2], out.shape[rank - 1], a.shape[rank - 1]);
    if m == 0 || n == 0 {
        return;
    }
    let dims = batch_dims(&a, &b, out);
    let (row, col, c) = (out.strides[rank - 2], out.strides[rank - 1], SendPtr(out.ptr.cast::<i32>()));
    for i in 0..dims.iter().map(|d| d.0).product() {
        let (oa, ob, oc) = batch_offsets(&dims, i);
        let (lane, depth) = (a.strides[rank - 2], a.strides[rank - 1]);
        let left = words::Source { ptr: a.ptr.cast::<L>().wrapping_add(oa), lane, depth };
        let (lane, depth) = (b.strides[rank - 1], b.strides[rank - 2]);
        let right = words::Source { ptr: b.ptr.cast::<i8>().wrapping_add(ob), lane, depth };
        // SAFETY: windows cover their shapes and `out` overlaps no input (kernel convention); segments are disjoint.
        unsafe {
            words::byte_product((m, n, k), left, right, &|r, first, sums| {
                for (j, sum) in sums.iter().enumerate() {
                    *c.get().add(oc + r * row + (first + j) * col) = *sum;
                }
            })
        }
    }
}
