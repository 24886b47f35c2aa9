//! The strides of an elementwise result, by the rule of PyTorch's `TensorIterator`: dims are ordered by the operands'
//! strides, the first operand that tells two dims apart decides, and the result is dense in that order.

use crate::shape::{Dims, Layout};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// The result's layout for operands that broadcast to `shape`.
pub fn result_layout(operands: &[&Layout], shape: &Dims) -> Layout {
    let one_shape = operands.iter().all(|l| l.shape == *shape);
    if one_shape && let Some(layout) = common(operands) {
        return layout;
    }
    let strides: SmallVec<[Dims; 4]> = operands.iter().map(|l| spread(l, shape)).collect();
    dense_in(shape, &fastest_first(&strides, shape))
}

/// Operands of one shape that are laid out alike lend their layout.
fn common(operands: &[&Layout]) -> Option<Layout> {
    let first = operands.first()?;
    if operands.iter().all(|l| l.is_contiguous()) {
        return Some(Layout::contiguous(first.shape.clone()));
    }
    if first.rank() == 4 && operands.iter().all(|l| l.is_channels_last()) {
        return Some(dense_in(&first.shape, &[1, 3, 2, 0]));
    }
    let alike = operands.iter().all(|l| l.is_dense() && l.strides == first.strides);
    alike.then(|| Layout { offset: 0, ..(*first).clone() })
}

/// Strides over the broadcast shape, zero where a size is repeated.
fn spread(l: &Layout, shape: &Dims) -> Dims {
    let lead = shape.len() - l.rank();
    let mut strides = Dims::filled(0, shape.len());
    for d in 0..l.rank() {
        if l.shape[d] != 1 || shape[lead + d] == 1 {
            strides[lead + d] = l.strides[d];
        }
    }
    strides
}

/// The dims from the fastest to the slowest: an insertion sort that leaves alone what no operand decides.
fn fastest_first(operands: &[Dims], shape: &Dims) -> SmallVec<[usize; 6]> {
    let mut order: SmallVec<[usize; 6]> = (0..shape.len()).rev().collect();
    for i in 1..order.len() {
        let mut at = i;
        for before in (0..i).rev() {
            match compare(operands, shape, order[before], order[at]) {
                Ordering::Greater => {
                    order.swap(before, at);
                    at = before;
                }
                Ordering::Less => break,
                Ordering::Equal => {}
            }
        }
    }
    order
}

/// Whether dim `a` is slower than dim `b`. Repeated dims say nothing; of equal strides only a larger size of `a` does.
fn compare(operands: &[Dims], shape: &Dims, a: usize, b: usize) -> Ordering {
    for strides in operands {
        let (x, y) = (strides[a], strides[b]);
        if x == 0 || y == 0 {
            continue;
        }
        match x.cmp(&y) {
            Ordering::Equal if shape[a] > shape[b] => return Ordering::Greater,
            Ordering::Equal => {}
            decided => return decided,
        }
    }
    Ordering::Equal
}

/// Dense strides with the dims in this order, the fastest first.
fn dense_in(shape: &Dims, order: &[usize]) -> Layout {
    let row_major = order.iter().rev().enumerate().all(|(i, &d)| i == d);
    if row_major {
        return Layout::contiguous(shape.clone());
    }
    let mut strides = Dims::filled(0, shape.len());
    let mut next = 1;
    for &d in order {
        strides[d] = next;
        next *= shape[d];
    }
    Layout { shape: shape.clone(), strides, offset: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(shape: &[usize], strides: &[usize]) -> Layout {
        Layout { shape: Dims::from_slice(shape), strides: Dims::from_slice(strides), offset: 0 }
    }

    fn strides(operands: &[&Layout], shape: &[usize]) -> Vec<usize> {
        result_layout(operands, &Dims::from_slice(shape)).strides.to_vec()
    }

    // Expected values: `(a + b).stride()` in PyTorch 2.13.

    #[test]
    fn the_first_operand_with_an_opinion_decides() {
        let (rows, columns) = (layout(&[3, 2], &[2, 1]), layout(&[3, 2], &[1, 3]));
        assert_eq!(strides(&[&rows, &columns], &[3, 2]), [2, 1]);
        assert_eq!(strides(&[&columns, &rows], &[3, 2]), [1, 3]);
    }

    #[test]
    fn repeated_dims_keep_their_place() {
        let expanded = layout(&[2, 2, 2, 2], &[0, 1, 4, 2]);
        assert_eq!(strides(&[&expanded], &[2, 2, 2, 2]), [8, 1, 4, 2]);
        assert_eq!(strides(&[&layout(&[3, 2], &[0, 0]), &layout(&[3, 2], &[1, 3])], &[3, 2]), [1, 3]);
    }

    #[test]
    fn gaps_are_closed() {
        assert_eq!(strides(&[&layout(&[4, 3], &[2, 16])], &[4, 3]), [1, 4]);
    }
}
