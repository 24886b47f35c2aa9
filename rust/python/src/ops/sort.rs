//! Sorting, selection by rank, searching, unique elements and counting.

use crate::rows;
use crate::table::{Ret, Row};
use corten_core::dtype::{DType, Scalar};
use corten_core::error::Result;
use corten_core::op::index::Rank;
use corten_core::ops::sort::{self, Search, Unique};
use corten_core::ops::{count, create};
use corten_core::shape::Dims;
use corten_core::tensor::Tensor;

fn pair(name: &'static str, v: (Tensor, Tensor)) -> Ret {
    Ret::Named(name, vec![v.0, v.1])
}

/// A number beside a tensor: it takes the tensor's dtype unless its own is of a higher category.
fn beside(n: Scalar, t: &Tensor) -> Result<Tensor> {
    let dtype = match n {
        Scalar::Float(_) if !t.dtype().is_float() => corten_core::ops::elementwise::default_dtype(),
        _ => t.dtype(),
    };
    create::number(n, dtype, t.device())
}

fn found(t: &Tensor, dim: Option<i64>, consecutive: bool) -> Result<Unique> {
    match dim {
        Some(d) => sort::unique_dim(t, d, consecutive),
        None => sort::unique(t, consecutive),
    }
}

/// All three parts, those not asked for empty.
fn parts(u: Unique, inverse: bool, counts: bool) -> Result<Ret> {
    let none = || create::zeros(Dims::from([0]), DType::I64, u.values.device());
    let inverse = if inverse { u.inverse } else { none()? };
    let counts = if counts { u.counts } else { none()? };
    Ok(Ret::Tuple(vec![u.values, inverse, counts]))
}

/// The values, and the parts that were asked for.
fn asked(u: Unique, inverse: bool, counts: bool) -> Ret {
    if !inverse && !counts {
        return Ret::Tensor(u.values);
    }
    let mut all = vec![u.values];
    all.extend(inverse.then_some(u.inverse));
    all.extend(counts.then_some(u.counts));
    Ret::Tuple(all)
}

pub fn rows() -> Vec<Row> {
    rows! {
        "sort(Tensor self, int dim=-1, bool descending=False, *, bool? stable=None)" fmo "Values in order along a dim, and their positions; always stable." |a| pair("sort", sort::sort(a.tensor(0), a.int(1), a.bool(2))?);
        "argsort(Tensor self, int dim=-1, bool descending=False, bool stable=False)" fm "The positions that sort a dim; always stable." |a| sort::argsort(a.tensor(0), a.int(1), a.bool(2))?;
        "msort(Tensor self)" fmo "Values in order along dim 0." |a| sort::sort(a.tensor(0), 0, false)?.0;
        "topk(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True)" fmo "The k largest (or smallest) elements of a dim and their positions, best first." |a| pair("topk", sort::topk(a.tensor(0), a.int(1), a.int(2), a.bool(3))?);
        "kthvalue(Tensor self, int k, int dim=-1, bool keepdim=False)" fmo "The k-th smallest element of a dim and its position." |a| pair("kthvalue", sort::select(Rank::Kth, a.tensor(0), a.int(1), a.int(2), a.bool(3))?);
        "median(Tensor self)" fm "The lower median of everything, or along a dim with its position." |a| sort::median(a.tensor(0), false)?;
        "median(Tensor self, int dim, bool keepdim=False)" fmo "" |a| pair("median", sort::select(Rank::Median, a.tensor(0), 0, a.int(1), a.bool(2))?);
        "nanmedian(Tensor self)" fm "The lower median without NaN of everything, or along a dim with its position." |a| sort::median(a.tensor(0), true)?;
        "nanmedian(Tensor self, int dim, bool keepdim=False)" fmo "" |a| pair("nanmedian", sort::select(Rank::NanMedian, a.tensor(0), 0, a.int(1), a.bool(2))?);
        "mode(Tensor self, int dim=-1, bool keepdim=False)" fmo "The most frequent element of a dim and its last position." |a| pair("mode", sort::select(Rank::Mode, a.tensor(0), 0, a.int(1), a.bool(2))?);
        "bucketize(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False)" fo "Where values belong among ascending boundaries." |a| sort::bucketize(a.tensor(0), a.tensor(1), a.bool(2), a.bool(3))?;
        "bucketize(Scalar self, Tensor boundaries, *, bool out_int32=False, bool right=False)" f "" |a| sort::bucketize(&beside(a.number(0), a.tensor(1))?, a.tensor(1), a.bool(2), a.bool(3))?;
        "searchsorted(Tensor sorted_sequence, Tensor input, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None)" fo "Where values belong in sorted sequences." |a| sort::searchsorted(a.tensor(0), a.tensor(1), Search { out_int32: a.bool(2), right: a.bool(3), side: a.opt_str(4), sorter: a.opt_tensor(5) })?;
        "searchsorted(Tensor sorted_sequence, Scalar input, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None)" f "" |a| sort::searchsorted(a.tensor(0), &beside(a.number(1), a.tensor(0))?, Search { out_int32: a.bool(2), right: a.bool(3), side: a.opt_str(4), sorter: a.opt_tensor(5) })?;
        "isin(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool invert=False)" fo "Which elements occur among the test elements." |a| sort::isin(a.operand(0), a.operand(1), a.bool(3))?;
        "isin(Tensor elements, Scalar test_element, *, bool assume_unique=False, bool invert=False)" fo "" |a| sort::isin(a.operand(0), a.operand(1), a.bool(3))?;
        "isin(Scalar element, Tensor test_elements, *, bool assume_unique=False, bool invert=False)" fo "" |a| sort::isin(a.operand(0), a.operand(1), a.bool(3))?;
        "unique(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False, int? dim=None)" fm "The distinct elements (or slices of a dim) in ascending order." |a| asked(found(a.tensor(0), a.opt_int(4), false)?, a.bool(2), a.bool(3));
        "unique_consecutive(Tensor self, bool return_inverse=False, bool return_counts=False, int? dim=None)" fm "The elements (or slices of a dim) that differ from the one before." |a| asked(found(a.tensor(0), a.opt_int(3), true)?, a.bool(1), a.bool(2));
        "_unique2(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False)" f "Distinct elements, places and counts." |a| parts(sort::unique(a.tensor(0), false)?, a.bool(2), a.bool(3))?;
        "unique_dim(Tensor self, int dim, bool sorted=True, bool return_inverse=False, bool return_counts=False)" f "Distinct slices of a dim, places and counts." |a| parts(sort::unique_dim(a.tensor(0), a.int(1), false)?, a.bool(3), a.bool(4))?;
        "bincount(Tensor self, Tensor? weights=None, int minlength=0)" fm "How often every value occurs, or the sum of weights at each." |a| count::bincount(a.tensor(0), a.opt_tensor(1), a.int(2))?;
        "histc(Tensor self, int bins=100, float min=0, float max=0)" fmo "The histogram over a range, or the data's own." |a| count::histc(a.tensor(0), a.int(1), a.float(2), a.float(3))?;
    }
}
