//! Copies of strided memory into dense lines: what every operator pays that reads a permuted, expanded, sliced or unfolded
//! tensor. Many lines are short, so the loop over them costs a few additions each.

use super::copy::Walk;
use super::simd::simd_dispatch;

/// Lines shorter than this are copied column by column.
const SHORT: usize = 8;
/// Such lines that stay in the first-level cache meanwhile.
const BLOCK: usize = 512;
/// Bytes of a line from which a call of the system's copy is worth it.
const LONG: usize = 256;

/// How lines lie: all in elements, and distances wrap for what runs backward.
#[derive(Clone, Copy)]
pub struct Lines {
    /// Elements of a line.
    pub columns: usize,
    /// From an element of the source's line to the next; in the result they lie side by side.
    pub step: usize,
    /// From a line of the source to the next.
    pub from: usize,
    /// From a line of the result to the next.
    pub to: usize,
}

simd_dispatch! {
    /// Copies `count` lines.
    ///
    /// # Safety
    /// The lines lie inside both memories, which do not overlap.
    pub unsafe fn copy_lines<T: Copy>(dst: *mut T, src: *const T, count: usize, l: Lines) {
        if count > 1 && l.columns < SHORT {
            for first in (0..count).step_by(BLOCK) {
                let n = BLOCK.min(count - first);
                let (to, from) = (dst.wrapping_add(first.wrapping_mul(l.to)), src.wrapping_add(first.wrapping_mul(l.from)));
                for j in 0..l.columns {
                    column(to.wrapping_add(j), l.to, from.wrapping_add(j.wrapping_mul(l.step)), l.from, n);
                }
            }
        } else if l.step == 1 && l.columns * size_of::<T>() < LONG && l.columns * size_of::<T>() >= size_of::<u64>() {
            for i in 0..count {
                let (to, from) = (dst.wrapping_add(i.wrapping_mul(l.to)), src.wrapping_add(i.wrapping_mul(l.from)));
                copy_short(to.cast(), from.cast(), l.columns * size_of::<T>());
            }
        } else {
            for i in 0..count {
                line(dst.wrapping_add(i.wrapping_mul(l.to)), src.wrapping_add(i.wrapping_mul(l.from)), l.columns, l.step);
            }
        }
    }
}

/// `dst[i·to] = src[i·from]`
#[inline(always)]
unsafe fn column<T: Copy>(dst: *mut T, to: usize, src: *const T, from: usize, n: usize) {
    macro_rules! by {
        ($to:expr, $from:expr) => {
            for i in 0..n {
                // SAFETY: the caller's contract.
                unsafe { *dst.wrapping_add(i.wrapping_mul($to)) = *src.wrapping_add(i.wrapping_mul($from)) }
            }
        };
    }
    match (to, from) {
        (2, 1) => by!(2, 1),
        (3, 1) => by!(3, 1),
        (4, 1) => by!(4, 1),
        (_, 1) => by!(to, 1),
        _ => by!(to, from),
    }
}

/// One line.
#[inline(always)]
unsafe fn line<T: Copy>(dst: *mut T, src: *const T, n: usize, step: usize) {
    const BACKWARD: usize = usize::MAX;
    macro_rules! by {
        ($step:expr) => {
            for i in 0..n {
                // SAFETY: the caller's contract.
                unsafe { *dst.add(i) = *src.wrapping_add(i.wrapping_mul($step)) }
            }
        };
    }
    match step {
        // SAFETY: as above.
        1 => unsafe { std::ptr::copy_nonoverlapping(src, dst, n) },
        // SAFETY: as above.
        0 if n > 0 => unsafe { std::slice::from_raw_parts_mut(dst, n).fill(*src) },
        2 if n > 0 => {
            // SAFETY: as above; the last element may be the memory's last.
            let (dst, pairs) = unsafe {
                *dst.add(n - 1) = *src.add(2 * (n - 1));
                (std::slice::from_raw_parts_mut(dst, n - 1), std::slice::from_raw_parts(src.cast::<[T; 2]>(), n - 1))
            };
            dst.iter_mut().zip(pairs).for_each(|(d, p)| *d = p[0]);
        }
        BACKWARD => by!(BACKWARD),
        _ => by!(step),
    }
}

/// At least eight bytes in pieces, the last of which may overlap the one before.
#[inline(always)]
unsafe fn copy_short(dst: *mut u8, src: *const u8, bytes: usize) {
    #[inline(always)]
    unsafe fn pieces<const N: usize>(dst: *mut u8, src: *const u8, bytes: usize) {
        let last = bytes - N;
        let mut at = 0;
        // SAFETY: every piece lies within the bytes.
        unsafe {
            while at < last {
                std::ptr::copy_nonoverlapping(src.add(at), dst.add(at), N);
                at += N;
            }
            std::ptr::copy_nonoverlapping(src.add(last), dst.add(last), N);
        }
    }
    // SAFETY: as above.
    unsafe {
        match bytes {
            32.. => pieces::<32>(dst, src, bytes),
            16.. => pieces::<16>(dst, src, bytes),
            _ => pieces::<8>(dst, src, bytes),
        }
    }
}

/// Copies the elements `at..at + n` of a strided index space to dense memory.
///
/// # Safety
/// The index space lies inside the source; the result holds `n` elements and lies apart from it.
pub unsafe fn gather<T: Copy>(dst: *mut T, src: *const T, shape: &[usize], strides: &[usize], at: usize, n: usize) {
    let Some((&columns, before)) = shape.split_last() else { return };
    let (&count, outer) = before.split_last().unwrap_or((&1, &[]));
    let step = strides[shape.len() - 1];
    let from = before.len().checked_sub(1).map_or(0, |d| strides[d]);
    let lines = Lines { columns, step, from, to: columns };
    let (mut row, mut column) = (at / columns % count, at % columns);
    let mut walk = Walk::new(outer, at / columns / count);
    let mut done = 0;
    while done < n {
        let plane = src.wrapping_add(walk.offset(strides));
        while row < count && done < n {
            let here = plane.wrapping_add(row.wrapping_mul(from)).wrapping_add(column.wrapping_mul(step));
            let whole = if column == 0 { (count - row).min((n - done) / columns) } else { 0 };
            // SAFETY: the caller's contract.
            unsafe {
                if whole > 0 {
                    copy_lines(dst.add(done), here, whole, lines);
                    row += whole;
                    done += whole * columns;
                } else {
                    let part = (columns - column).min(n - done);
                    copy_lines(dst.add(done), here, 1, Lines { columns: part, ..lines });
                    (row, column) = if column + part == columns { (row + 1, 0) } else { (row, column + part) };
                    done += part;
                }
            }
        }
        row = 0;
        walk.step();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::{available, with_level};

    fn check<T: Copy + PartialEq + std::fmt::Debug + Default>(
        shape: &[usize],
        strides: &[usize],
        start: usize,
        of: fn(usize) -> T,
    ) {
        let data: Vec<T> = (0..20_000).map(of).collect();
        let total: usize = shape.iter().product();
        let want: Vec<T> = (0..total)
            .map(|mut i| {
                let mut offset = start;
                for d in (0..shape.len()).rev() {
                    offset = offset.wrapping_add((i % shape[d]).wrapping_mul(strides[d]));
                    i /= shape[d];
                }
                data[offset]
            })
            .collect();
        for (at, n) in [(0, total), (1, total - 1), (total / 3, total / 2), (total - 1, 1), (total / 2, 0)] {
            let mut got = vec![T::default(); n];
            // SAFETY: the strides stay inside the data.
            unsafe { gather(got.as_mut_ptr(), data.as_ptr().add(start), shape, strides, at, n) };
            assert_eq!(got, want[at..at + n], "{shape:?} {strides:?} from {at}");
        }
    }

    #[test]
    fn every_stretch_of_every_order_is_what_the_strides_say() {
        let minus = |n: usize| n.wrapping_neg();
        let spaces: &[(&[usize], &[usize], usize)] = &[
            (&[300], &[1], 0),
            (&[300], &[2], 0),
            (&[300], &[3], 0),
            (&[300], &[0], 7),
            (&[300], &[minus(1)], 300),
            (&[20, 28], &[30, 1], 0),
            (&[20, 5], &[1, 20], 0),
            (&[5, 7, 3], &[21, 1, 7], 0),
            (&[9, 16], &[4, 1], 0),
            (&[9, 100], &[0, 1], 3),
            (&[9, 3], &[1, 0], 3),
            (&[4, 3, 2, 6, 2], &[144, 48, 24, 1, 6], 0),
            (&[6, 40], &[minus(40), 1], 240),
            (&[6, 40], &[40, minus(1)], 300),
            (&[2, 3, 4, 11], &[132, 44, 11, 1], 0),
        ];
        for level in available() {
            let _ = with_level(level, || {
                for &(shape, strides, start) in spaces {
                    check::<u8>(shape, strides, start, |i| (i % 251) as u8);
                    check::<u16>(shape, strides, start, |i| i as u16);
                    check::<u32>(shape, strides, start, |i| i as u32);
                    check::<u64>(shape, strides, start, |i| i as u64);
                    check::<[u64; 2]>(shape, strides, start, |i| [i as u64, 1]);
                }
            });
        }
    }
}
