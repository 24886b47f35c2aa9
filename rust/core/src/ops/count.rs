//! Counting: bincount, histograms, and one-hot vectors.

use super::index::{Source, first_outside, scatter};
use super::{check_values, create, reduce, view};
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::ensure;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::Op;
use crate::op::index::Sorting;
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::sync::Arc;

/// The largest element of an integer tensor that is not empty; computes it.
fn largest(t: &Tensor) -> Result<i64> {
    Ok(super::item(&reduce::extremum(true, t, None, false)?)?.to_i64())
}

fn vector(n: usize, dtype: DType) -> OutSpec {
    OutSpec { dtype, layout: Arc::new(Layout::contiguous(Dims::from([n]))) }
}

/// How often every value 0, 1, … occurs in a vector, or the sum of the weights at each; computes the vector.
pub fn bincount(t: &Tensor, weights: Option<&Tensor>, minlength: i64) -> Result<Tensor> {
    ensure!(t.dtype().is_int(), NotImplemented, "\"bincount_cpu\" not implemented for '{}'", t.dtype().scalar_name());
    ensure!(minlength >= 0, Runtime, "minlength should be >= 0");
    if t.rank() == 1 && t.numel() == 0 {
        return create::zeros(Dims::from([minlength as usize]), DType::I64, t.device());
    }
    check_values("bincount", t)?;
    ensure!(
        t.rank() == 1 && first_outside(t, 0, i64::MAX)?.is_none(),
        Runtime,
        "bincount only supports 1-d non-negative integral inputs."
    );
    let mut inputs: Inputs = SmallVec::from_iter([t.input()]);
    let mut dtype = DType::I64;
    if let Some(w) = weights {
        ensure!(w.shape() == t.shape(), Runtime, "weights should be 1-d and have the same length as input");
        dtype = if w.dtype() == DType::F32 { DType::F32 } else { DType::F64 };
        inputs.push(w.to_dtype(dtype)?.input());
    }
    let n = minlength.max(largest(t)? + 1) as usize;
    record_one(Op::Sorting(Sorting::Bincount), inputs, vector(n, dtype))
}

/// The histogram over `[low, high]`, or over the data's own range when both are equal (which computes it).
pub fn histc(t: &Tensor, bins: i64, low: f64, high: f64) -> Result<Tensor> {
    ensure!(
        t.dtype().is_float(),
        NotImplemented,
        "\"histogram_cpu\" not implemented for '{}'",
        t.dtype().scalar_name()
    );
    ensure!(bins > 0, Runtime, "torch.histogram(): bins must be > 0, but got {bins} for dimension 0");
    let t = &t.detach();
    let (mut low, mut high) = (low, high);
    if low == high && t.numel() > 0 && t.device() != Device::Meta {
        let bound = |max: bool| -> Result<f64> { Ok(super::item(&reduce::extremum(max, t, None, false)?)?.to_f64()) };
        (low, high) = (bound(false)?, bound(true)?);
    }
    if low == high {
        (low, high) = (low - 1.0, high + 1.0);
    }
    let text = |v: f64| v.to_string().to_lowercase();
    ensure!(
        low.is_finite() && high.is_finite(),
        Runtime,
        "torch.histc: range of [{}, {}] is not finite",
        text(low),
        text(high)
    );
    ensure!(low < high, Runtime, "torch.histc: max must be larger than min");
    let number = |v: f64| Input::Scalar(v.to_bits(), DType::F64);
    let inputs = SmallVec::from_iter([t.input(), number(low), number(high)]);
    record_one(Op::Sorting(Sorting::Histogram), inputs, vector(bins as usize, t.dtype()))
}

/// Vectors, in a new last dim, that are 1 at the class and 0 elsewhere; computes the classes.
pub fn one_hot(t: &Tensor, num_classes: i64) -> Result<Tensor> {
    ensure!(t.dtype() == DType::I64, Runtime, "one_hot is only applicable to index tensor of type LongTensor.");
    let with = |n: usize| -> Dims { t.shape().iter().copied().chain([n]).collect() };
    if t.numel() == 0 {
        ensure!(num_classes > 0, Runtime, "Can not infer total number of classes from empty tensor.");
        return create::zeros(with(num_classes as usize), DType::I64, t.device());
    }
    if t.device() == Device::Meta {
        let classes = if num_classes > 0 { num_classes } else { largest(t)? + 1 };
        return create::zeros(with(classes as usize), DType::I64, t.device());
    }
    ensure!(first_outside(t, 0, i64::MAX)?.is_none(), Runtime, "Class values must be non-negative.");
    let most = largest(t)?;
    ensure!(num_classes == -1 || num_classes > most, Runtime, "Class values must be smaller than num_classes.");
    let n = if num_classes == -1 { most + 1 } else { num_classes };
    let zeros = create::zeros(with(n as usize), DType::I64, t.device())?;
    scatter(&zeros, -1, &view::unsqueeze(t, -1)?, Source::Number(Scalar::Int(1)))
}
