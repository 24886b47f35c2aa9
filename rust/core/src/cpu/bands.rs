//! Bands of rows for elementwise programs some of whose operands lie across the rows, as transposed ones do.
//!
//! Reading such an operand row by row touches a cache line for every element, and again for the next row. A band is as many
//! rows as there are elements in a line, by a block of columns; each such operand is transposed into a stage once a band.

use crate::cpu::gemm::{Compute, transpose};
use crate::cpu::simd::prefetch;
use crate::shape::Dims;
use crate::simd_dispatch;
use smallvec::SmallVec;

/// Rows of a band: a cache line of 4-byte elements, or a multiple of it where rows are short.
const ROWS: usize = 16;
/// Columns of a band, so that a stage fills half of a first-level cache.
const COLUMNS: usize = 256;
/// Columns that are read before the next row, few enough for any distance between them to find room in a cache.
const GROUP: usize = 8;

/// Columns ahead of the transposed ones that are asked for: no processor foresees steps of a row's length.
const AHEAD: usize = 32;

/// How an index space is cut into bands.
pub struct Bands {
    /// Rows and columns of the last two dimensions.
    size: [usize; 2],
    rows: usize,
    columns: usize,
    shape: Dims,
    across: SmallVec<[usize; 4]>,
}

/// The first `columns` elements of each of some rows.
pub struct Band {
    /// The linear index of the first element.
    pub at: usize,
    pub rows: usize,
    pub columns: usize,
    /// Its index in all dimensions.
    index: Dims,
}

impl Bands {
    /// `None` where no operand lies across the rows.
    pub fn new(shape: &[usize], strides: &[Dims], tile: usize) -> Option<Bands> {
        let (last, before) = (shape.len() - 1, shape.len().checked_sub(2)?);
        let size = [shape[before], shape[last]];
        let lies_across = |s: &Dims| s[before] > 0 && s[last] > s[before];
        let across = (0..strides.len()).filter(|&i| lies_across(&strides[i])).collect::<SmallVec<_>>();
        if across.is_empty() || size.iter().any(|&n| n < GROUP) {
            return None;
        }
        let columns = COLUMNS.min(tile).min(size[1]);
        let rows = (tile / columns / ROWS).max(1) * ROWS;
        let rows = if columns == size[1] { rows } else { ROWS };
        Some(Bands { size, rows, columns, shape: Dims::from_slice(shape), across })
    }

    /// The operands that lie across the rows.
    pub fn across(&self) -> &[usize] {
        &self.across
    }
    /// Elements of a band that follow each other in the space: all where it has whole rows, else those of one row.
    pub fn stretch(&self, rows: usize, columns: usize) -> usize {
        if self.columns == self.size[1] { rows * columns } else { columns }
    }
    /// The longest stretch.
    pub fn longest(&self) -> usize {
        self.stretch(self.rows, self.columns)
    }
    /// The elements of a full band.
    pub fn elements(&self) -> usize {
        self.rows * self.columns
    }
    /// The length of a row.
    pub fn width(&self) -> usize {
        self.size[1]
    }
    fn grid(&self) -> [usize; 2] {
        [self.size[0].div_ceil(self.rows), self.size[1].div_ceil(self.columns)]
    }
    pub fn count(&self) -> usize {
        let outer: usize = self.shape[..self.shape.len() - 2].iter().product();
        outer * self.grid().iter().product::<usize>()
    }

    pub fn band(&self, i: usize) -> Band {
        let ([down, over], rank) = (self.grid(), self.shape.len());
        let (row, column) = (i / over % down * self.rows, i % over * self.columns);
        let outer = i / (over * down);
        let mut index = Dims::filled(0, rank);
        let mut rest = outer;
        for d in (0..rank - 2).rev() {
            index[d] = rest % self.shape[d];
            rest /= self.shape[d];
        }
        (index[rank - 2], index[rank - 1]) = (row, column);
        Band {
            at: (outer * self.size[0] + row) * self.size[1] + column,
            rows: self.rows.min(self.size[0] - row),
            columns: self.columns.min(self.size[1] - column),
            index,
        }
    }

    /// Copies a band of an operand with elements of `size` bytes to rows that lie one after the other.
    ///
    /// # Safety
    /// The index space lies inside the operand, and `to` holds the band.
    pub unsafe fn transpose(&self, band: &Band, from: *const u8, size: usize, strides: &Dims, to: *mut u8) {
        let rank = strides.len();
        let offset: usize = band.index.iter().zip(strides.iter()).map(|(i, s)| i * s).sum();
        let from = from.wrapping_add(offset * size);
        let (steps, counts) = ((strides[rank - 2], strides[rank - 1]), (band.rows, band.columns));
        // SAFETY: passed on; only bits are moved, so floats stand for anything of their size.
        unsafe {
            match size {
                1 => turn_any::<u8>(from.cast(), steps, counts, to.cast()),
                2 => turn_any::<u16>(from.cast(), steps, counts, to.cast()),
                4 if steps.0 == 1 => turn::<f32>(from.cast(), steps.1, counts, to.cast()),
                4 => turn_any::<u32>(from.cast(), steps, counts, to.cast()),
                _ if steps.0 == 1 => turn::<f64>(from.cast(), steps.1, counts, to.cast()),
                _ => turn_any::<u64>(from.cast(), steps, counts, to.cast()),
            }
        }
    }
}

simd_dispatch! {
    /// `to[r·columns + c] = from[c·step + r]`
    unsafe fn turn<T: Compute>(from: *const T, step: usize, counts: (usize, usize), to: *mut T) {
        let (rows, columns) = counts;
        let mut c = 0;
        loop {
            for ahead in c + AHEAD..c + AHEAD + GROUP {
                prefetch(from.wrapping_add(ahead * step));
            }
            transpose::<S, T>(from.add(c * step), step, GROUP.min(columns), rows, columns, to.add(c));
            if c + GROUP >= columns {
                break;
            }
            c = (c + GROUP).min(columns - GROUP);
        }
    }
}

/// `to[r·columns + c] = from[c·steps.1 + r·steps.0]`
unsafe fn turn_any<T: Copy>(from: *const T, steps: (usize, usize), (rows, columns): (usize, usize), to: *mut T) {
    for first in (0..columns).step_by(GROUP) {
        for r in 0..rows {
            for c in first..(first + GROUP).min(columns) {
                // SAFETY: the caller's contract.
                unsafe { *to.add(r * columns + c) = *from.add(c * steps.1 + r * steps.0) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd;

    /// Every element of a transposed operand with elements `T`, band by band.
    fn turned<T: Copy + PartialEq + std::fmt::Debug>(
        outer: usize,
        rows: usize,
        columns: usize,
        of: impl Fn(usize) -> T,
    ) {
        let data: Vec<T> = (0..outer * rows * columns).map(&of).collect();
        let strides = Dims::from_slice(&[rows * columns, 1, rows]);
        let shape = [outer, rows, columns];
        let Some(bands) = Bands::new(&shape, std::slice::from_ref(&strides), 1024) else {
            unreachable!("it lies across")
        };
        let mut seen = 0;
        let mut stage = vec![of(0); bands.elements()];
        for band in (0..bands.count()).map(|i| bands.band(i)) {
            // SAFETY: the data has the shape, the stage room for a band.
            unsafe {
                bands.transpose(&band, data.as_ptr().cast(), size_of::<T>(), &strides, stage.as_mut_ptr().cast());
            }
            for (r, row) in stage.chunks(band.columns).take(band.rows).enumerate() {
                for (c, &v) in row.iter().enumerate() {
                    let at = band.at + r * columns + c;
                    let (o, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
                    assert_eq!(v, data[o * rows * columns + column * rows + row]);
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, data.len());
    }

    #[test]
    fn bands_cover_the_transpose() {
        for level in simd::available() {
            simd::with_level(level, || {
                for (rows, columns) in [(8, 8), (16, 256), (37, 301), (9, 1030)] {
                    turned::<f32>(2, rows, columns, |i| i as f32);
                    turned::<i64>(2, rows, columns, |i| i as i64);
                    turned::<u16>(1, rows, columns, |i| i as u16);
                }
            });
        }
    }

    #[test]
    fn operands_along_the_rows_and_short_ones_need_no_bands() {
        let along =
            |strides: &[usize], shape: &[usize]| Bands::new(shape, &[Dims::from_slice(strides)], 1024).is_none();
        assert!(along(&[20, 1], &[30, 20]) && along(&[0, 1], &[30, 20]) && along(&[1], &[30]));
        assert!(along(&[1, 4], &[4, 20]) && !along(&[1, 30], &[30, 20]));
    }
}
