//! Order statistics along a dimension: k-th smallest value, median, nanmedian and mode.

use crate::cpu::sort::{Packed, key_of, pack_line, sort_packed};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Lines, Shared, base, base_mut, grain};
use crate::dispatch_packed;
use crate::dtype::Element;
use crate::error::Result;

/// Which element of a line is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SelectKind {
    /// The `k`-th smallest, counted from 1; NaN counts as largest.
    Kth(usize),
    /// The lower median, or the first NaN.
    Median,
    /// The lower median of the elements that are not NaN; NaN when there is none.
    NanMedian,
    /// The most frequent value, the smallest of several, at its last position.
    Mode,
}

/// Selects along `dim`, which is not empty: values, and their positions (int64). Both outputs have the kept dimensions only.
pub fn select(kind: SelectKind, x: &In, dim: usize, values: &mut Out, indices: &mut Out) -> Result<()> {
    if indices.numel() == 0 {
        return Ok(());
    }
    let n = x.shape.get(dim).copied().unwrap_or(1);
    // The output's strides as the input's dimensions see them.
    let kept = indices.strides.len().min(dim);
    let mut strides = indices.strides[..kept].to_vec();
    strides.push(0);
    strides.extend_from_slice(&indices.strides[kept..]);
    dispatch_packed!(x.dtype, n, T, P => {
        select_lines::<T, P>(kind, x, dim, n, &strides, base_mut::<T>(values), base_mut::<i64>(indices));
    });
    Ok(())
}

fn select_lines<T: Element, P: Packed>(
    kind: SelectKind,
    x: &In,
    dim: usize,
    n: usize,
    out_strides: &[usize],
    values: Shared<T>,
    indices: Shared<i64>,
) {
    let lines = Lines::new(x.shape, dim, [x.strides, out_strides]);
    let src = Shared(base::<T>(x).cast_mut());
    let step = lines.strides[0];
    parallel_for(lines.count(), grain(8192, n), |range| {
        let (mut line, mut scratch) = (Vec::<P>::new(), Vec::<P>::new());
        for l in range {
            let [offset, o] = lines.outer.offsets(l);
            // SAFETY: the line lies inside the input; its outputs belong to it alone.
            unsafe {
                pack_line(src.at(offset), step, n, false, &mut line);
                let position = match kind {
                    SelectKind::Mode => mode_of(&mut line, &mut scratch, size_of::<T>()),
                    _ => ranked::<T, P>(kind, &mut line),
                };
                *indices.at(o) = position as i64;
                *values.at(o) = *src.at(offset + position * step);
            }
        }
    });
}

/// The position of the element of the wanted rank.
fn ranked<T: Element, P: Packed>(kind: SelectKind, line: &mut [P]) -> usize {
    let nan = u64::MAX >> (64 - size_of::<T>() * 8);
    let is_nan = |p: &P| T::DTYPE.is_float() && p.key() == nan;
    let rank = match kind {
        SelectKind::Median => match line.iter().find(|p| is_nan(p)) {
            Some(first) => return first.position(),
            None => (line.len() - 1) / 2,
        },
        SelectKind::NanMedian => match line.iter().filter(|p| !is_nan(p)).count() {
            0 => return 0,
            valid => (valid - 1) / 2,
        },
        SelectKind::Kth(k) => k - 1,
        SelectKind::Mode => unreachable!("the mode has no rank"),
    };
    line.select_nth_unstable(rank).1.position()
}

fn mode_of<P: Packed>(line: &mut [P], scratch: &mut Vec<P>, key_bytes: usize) -> usize {
    sort_packed(line, scratch, key_bytes);
    let (mut longest, mut position, mut start) = (0, 0, 0);
    for run in line.chunk_by(|a, b| a.key() == b.key()) {
        start += run.len();
        if run.len() > longest {
            (longest, position) = (run.len(), line[start - 1].position());
        }
    }
    position
}

/// The lower median of all elements of a window, which may be empty (NaN, or the least integer as PyTorch returns).
pub fn median_of_all(x: &In, ignore_nan: bool, out: &mut Out) -> Result<()> {
    crate::dispatch!(x.dtype, T => {
        let mut all = x.to_vec_or_slice::<T>().into_owned();
        let out = out.as_mut_slice::<T>();
        let nan = all.iter().copied().find(|v| v.is_nan());
        if ignore_nan {
            all.retain(|v| !v.is_nan());
        }
        out[0] = match nan {
            Some(nan) if !ignore_nan || all.is_empty() => nan,
            _ if all.is_empty() => T::from_scalar(crate::dtype::Scalar::Float(f64::NAN)),
            _ => {
                let rank = (all.len() - 1) / 2;
                *all.select_nth_unstable_by_key(rank, |&v| key_of(v)).1
            }
        };
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;
    use crate::dtype::DType;

    fn selected(kind: SelectKind, x: &[f64]) -> (f64, i64) {
        let (mut value, mut index) = ([0f64], [0i64]);
        let input = In { ptr: x.as_ptr().cast(), dtype: DType::F64, shape: &[x.len()], strides: &[1] };
        let mut v = Out { ptr: value.as_mut_ptr().cast(), dtype: DType::F64, shape: &[], strides: &[] };
        let mut i = Out { ptr: index.as_mut_ptr().cast(), dtype: DType::I64, shape: &[], strides: &[] };
        select(kind, &input, 0, &mut v, &mut i).expect("select");
        (value[0], index[0])
    }

    #[test]
    fn medians_take_the_lower_middle() {
        at_every_level(|| {
            let nan = f64::NAN;
            assert_eq!(selected(SelectKind::Median, &[4.0, 1.0, 3.0, 2.0]), (2.0, 3));
            assert_eq!(selected(SelectKind::Median, &[4.0, nan, 3.0, nan]).1, 1);
            assert_eq!(selected(SelectKind::NanMedian, &[4.0, nan, 3.0, 5.0]), (4.0, 0));
            assert!(selected(SelectKind::NanMedian, &[nan, nan]).0.is_nan());
        });
    }

    #[test]
    fn kth_counts_from_one_and_mode_prefers_the_smallest() {
        at_every_level(|| {
            assert_eq!(selected(SelectKind::Kth(3), &[9.0, 7.0, 8.0, 6.0]), (8.0, 2));
            assert_eq!(selected(SelectKind::Mode, &[2.0, 1.0, 2.0, 1.0, 3.0]), (1.0, 3));
        });
    }
}
