//! From the payloads of sorting and counting operators to their kernels.

use super::indexing::malformed;
use super::view::{In, Out};
use super::{count, select, sort, unique};
use crate::error::Result;
use crate::op::index::{Rank, Sorting};
use select::SelectKind;
use smallvec::SmallVec;

pub fn execute(op: Sorting, ins: &[In], numbers: &[u64], outs: &mut [Out]) -> Result<()> {
    let x = &ins[0];
    match (op, outs) {
        (Sorting::Sort { dim, descending }, [values, indices]) => {
            sort::sort(x, dim as usize, descending, Some(values), indices)
        }
        (Sorting::Sort { dim, descending }, [indices]) => sort::sort(x, dim as usize, descending, None, indices),
        (Sorting::TopK { dim, largest }, [values, indices]) => {
            let k = indices.shape.get(dim as usize).copied().unwrap_or(1);
            sort::topk(x, k, dim as usize, largest, values, indices)
        }
        (Sorting::Select { rank, dim }, [values, indices]) => {
            let kind = match rank {
                Rank::Kth => SelectKind::Kth(numbers[0] as usize),
                Rank::Median => SelectKind::Median,
                Rank::NanMedian => SelectKind::NanMedian,
                Rank::Mode => SelectKind::Mode,
            };
            let dim = dim as usize;
            let (shape, strides) = (without(values.shape, x, dim), without(values.strides, x, dim));
            let kept = |o: &Out| Out { ptr: o.ptr, dtype: o.dtype, shape: &shape, strides: &strides };
            select::select(kind, x, dim, &mut kept(values), &mut kept(indices))
        }
        (Sorting::Median { ignore_nan }, [out]) => select::median_of_all(x, ignore_nan, out),
        (Sorting::Search { right }, [out]) => count::searchsorted(x, &ins[1], right, out),
        (Sorting::Bincount, [out]) => count::bincount(x, ins.get(1), out),
        (Sorting::Histogram, [out]) => count::histc(x, f64::from_bits(numbers[0]), f64::from_bits(numbers[1]), out),
        (Sorting::Unique { dim, consecutive }, [first, inverse, counts, len]) => {
            let found = match dim {
                Some(d) => unique::unique_dim(x, d as usize, consecutive),
                None if consecutive => unique::unique_consecutive(x),
                None => unique::unique(x),
            };
            len.as_mut_slice::<i64>()[0] = found.len() as i64;
            first.as_mut_slice::<i64>()[..found.len()].copy_from_slice(&found.first);
            counts.as_mut_slice::<i64>()[..found.len()].copy_from_slice(&found.counts);
            found.write_inverse(inverse);
            Ok(())
        }
        _ => Err(malformed(op.name())),
    }
}

/// A kept dim's size and stride left out: the kernel knows only the dims that remain.
fn without(list: &[usize], x: &In, dim: usize) -> SmallVec<[usize; 6]> {
    let keeps = list.len() == x.shape.len();
    list.iter().enumerate().filter(|&(d, _)| !(keeps && d == dim)).map(|(_, &v)| v).collect()
}
