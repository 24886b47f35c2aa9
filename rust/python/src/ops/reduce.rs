//! Reductions and scans.

use crate::rows;
use crate::table::{Ret, Row};
use corten_core::error::Result;
use corten_core::ops::{reduce, scan};
use corten_core::tensor::Tensor;

fn pair(name: &'static str, v: (Tensor, Tensor)) -> Ret {
    Ret::Named(name, vec![v.0, v.1])
}

/// max and min of everything: ties share the gradient.
fn full_extremum(max: bool, t: &Tensor) -> Result<Tensor> {
    corten_core::ensure!(
        t.numel() > 0,
        Runtime,
        "{}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.",
        if max { "max" } else { "min" }
    );
    reduce::extremum(max, t, None, false)
}

/// Minimum and maximum, over everything or over a dim.
fn both_extrema(t: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Ret> {
    if let Some(dim) = dim.filter(|_| t.rank() > 0) {
        let d = corten_core::shape::wrap_dim("aminmax", dim, t.rank())?;
        corten_core::ensure!(t.shape()[d] > 0, Index, "aminmax: Expected reduction dim {d} to have non-zero size.");
    }
    corten_core::ensure!(
        dim.is_some() || t.numel() > 0,
        Runtime,
        "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
    );
    let dims = dim.map(|d| [d]);
    let one = |max: bool| reduce::extremum(max, t, dims.as_ref().map(|d| &d[..]), keepdim);
    Ok(pair("aminmax", (one(false)?, one(true)?)))
}

/// The correction of var and std: `unbiased` is the old spelling.
fn correction(unbiased: Option<bool>, correction: Option<f64>) -> f64 {
    correction.unwrap_or(if unbiased == Some(false) { 0.0 } else { 1.0 })
}

/// The variance over dims, or its root for names that begin with std, with a warning where there are no degrees of freedom.
fn spread(name: &str, t: &Tensor, dims: Option<&[i64]>, correction: f64, keepdim: bool) -> Result<Tensor> {
    let out = if name.starts_with("std") { reduce::std } else { reduce::var }(t, dims, correction, keepdim)?;
    crate::checks::degrees_of_freedom(name, t, dims, correction)?;
    Ok(out)
}

/// [`spread`], and the mean over the same dims.
fn spread_and_mean(name: &str, t: &Tensor, dims: Option<&[i64]>, correction: f64, keepdim: bool) -> Result<Ret> {
    Ok(Ret::Tuple(vec![spread(name, t, dims, correction, keepdim)?, reduce::mean(t, dims, keepdim, None)?]))
}

pub fn rows() -> Vec<Row> {
    rows! {
        "sum(Tensor self, *, dtype? dtype=None)" fm "The sum of everything." |a| reduce::sum(a.tensor(0), None, false, a.dtype(1))?;
        "sum(Tensor self, int[]? dim, bool keepdim=False, *, dtype? dtype=None)" fmo "The sum over dims." |a| reduce::sum(a.tensor(0), a.opt_ints(1), a.bool(2), a.dtype(3))?;
        "mean(Tensor self, *, dtype? dtype=None)" fm "The mean of everything." |a| reduce::mean(a.tensor(0), None, false, a.dtype(1))?;
        "mean(Tensor self, int[]? dim, bool keepdim=False, *, dtype? dtype=None)" fmo "The mean over dims." |a| reduce::mean(a.tensor(0), a.opt_ints(1), a.bool(2), a.dtype(3))?;
        "prod(Tensor self, *, dtype? dtype=None)" fm "The product of everything." |a| reduce::prod(a.tensor(0), None, false, a.dtype(1))?;
        "prod(Tensor self, int dim, bool keepdim=False, *, dtype? dtype=None)" fmo "The product over a dim." |a| reduce::prod(a.tensor(0), Some(&[a.int(1)]), a.bool(2), a.dtype(3))?;
        "amax(Tensor self, int[]? dim=[], bool keepdim=False)" fmo "The maximum over dims; ties share the gradient." |a| reduce::extremum(true, a.tensor(0), a.opt_ints(1), a.bool(2))?;
        "amin(Tensor self, int[]? dim=[], bool keepdim=False)" fmo "The minimum over dims; ties share the gradient." |a| reduce::extremum(false, a.tensor(0), a.opt_ints(1), a.bool(2))?;
        "max(Tensor self)" fm "The maximum of everything, over a dim with its index, or of two tensors." |a| full_extremum(true, a.tensor(0))?;
        "max(Tensor self, Tensor other)" fmo "" |a| a.tensor(0).maximum(a.tensor(1))?;
        "max(Tensor self, int dim, bool keepdim=False)" fmo "" |a| pair("max", reduce::extremum_with_index(true, a.tensor(0), a.int(1), a.bool(2))?);
        "min(Tensor self)" fm "The minimum of everything, over a dim with its index, or of two tensors." |a| full_extremum(false, a.tensor(0))?;
        "min(Tensor self, Tensor other)" fmo "" |a| a.tensor(0).minimum(a.tensor(1))?;
        "min(Tensor self, int dim, bool keepdim=False)" fmo "" |a| pair("min", reduce::extremum_with_index(false, a.tensor(0), a.int(1), a.bool(2))?);
        "aminmax(Tensor self, *, int? dim=None, bool keepdim=False)" fmo "Minimum and maximum together; ties share the gradient." |a| both_extrema(a.tensor(0), a.opt_int(1), a.bool(2))?;
        "argmax(Tensor self, int? dim=None, bool keepdim=False)" fmo "The first index of the maximum." |a| reduce::arg_extremum(true, a.tensor(0), a.opt_int(1), a.bool(2))?;
        "argmin(Tensor self, int? dim=None, bool keepdim=False)" fmo "The first index of the minimum." |a| reduce::arg_extremum(false, a.tensor(0), a.opt_int(1), a.bool(2))?;
        "any(Tensor self)" fm "Whether an element is non-zero." |a| reduce::truth(false, a.tensor(0), None, false)?;
        "any(Tensor self, int[]? dim=None, bool keepdim=False)" fmo "" |a| reduce::truth(false, a.tensor(0), a.opt_ints(1), a.bool(2))?;
        "all(Tensor self)" fm "Whether every element is non-zero." |a| reduce::truth(true, a.tensor(0), None, false)?;
        "all(Tensor self, int[]? dim=None, bool keepdim=False)" fmo "" |a| reduce::truth(true, a.tensor(0), a.opt_ints(1), a.bool(2))?;
        "var(Tensor self, bool unbiased)" fm "The variance." |a| spread("var", a.tensor(0), None, correction(a.opt_bool(1), None), false)?;
        "var(Tensor self, int[]? dim, bool unbiased, bool keepdim=False)" fmo "" |a| spread("var", a.tensor(0), a.opt_ints(1), correction(a.opt_bool(2), None), a.bool(3))?;
        "var(Tensor self, int[]? dim=None, *, Scalar? correction=None, bool keepdim=False)" fmo "" |a| spread("var", a.tensor(0), a.opt_ints(1), correction(None, a.opt_number(2).map(|s| s.to_f64())), a.bool(3))?;
        "std(Tensor self, bool unbiased)" fm "The standard deviation." |a| spread("std", a.tensor(0), None, correction(a.opt_bool(1), None), false)?;
        "std(Tensor self, int[]? dim, bool unbiased, bool keepdim=False)" fmo "" |a| spread("std", a.tensor(0), a.opt_ints(1), correction(a.opt_bool(2), None), a.bool(3))?;
        "std(Tensor self, int[]? dim=None, *, Scalar? correction=None, bool keepdim=False)" fmo "" |a| spread("std", a.tensor(0), a.opt_ints(1), correction(None, a.opt_number(2).map(|s| s.to_f64())), a.bool(3))?;
        "var_mean(Tensor self, bool unbiased)" f "The variance and the mean." |a| spread_and_mean("var_mean", a.tensor(0), None, correction(a.opt_bool(1), None), false)?;
        "var_mean(Tensor self, int[]? dim, bool unbiased, bool keepdim=False)" f "" |a| spread_and_mean("var_mean", a.tensor(0), a.opt_ints(1), correction(a.opt_bool(2), None), a.bool(3))?;
        "var_mean(Tensor self, int[]? dim=None, *, Scalar? correction=None, bool keepdim=False)" f "" |a| spread_and_mean("var_mean", a.tensor(0), a.opt_ints(1), correction(None, a.opt_number(2).map(|s| s.to_f64())), a.bool(3))?;
        "std_mean(Tensor self, bool unbiased)" f "The standard deviation and the mean." |a| spread_and_mean("std_mean", a.tensor(0), None, correction(a.opt_bool(1), None), false)?;
        "std_mean(Tensor self, int[]? dim, bool unbiased, bool keepdim=False)" f "" |a| spread_and_mean("std_mean", a.tensor(0), a.opt_ints(1), correction(a.opt_bool(2), None), a.bool(3))?;
        "std_mean(Tensor self, int[]? dim=None, *, Scalar? correction=None, bool keepdim=False)" f "" |a| spread_and_mean("std_mean", a.tensor(0), a.opt_ints(1), correction(None, a.opt_number(2).map(|s| s.to_f64())), a.bool(3))?;
        "logsumexp(Tensor self, int[] dim, bool keepdim=False)" fmo "log Σ eˣ without overflow." |a| reduce::logsumexp(a.tensor(0), a.opt_ints(1), a.bool(2))?;
        "_vector_norm(Tensor self, float ord=2.0, int[]? dim=None, bool keepdim=False)" f "The vector norm over dims." |a| reduce::norm(a.tensor(0), a.float(1), a.opt_ints(2), a.bool(3))?;
        "count_nonzero(Tensor self, int[]? dim=None)" fm "How many elements are not zero." |a| reduce::count_nonzero(a.tensor(0), a.opt_ints(1))?;
        "cumsum(Tensor self, int dim, *, dtype? dtype=None)" fmio "The running sum." |a| scan::cumsum(a.tensor(0), a.int(1), a.dtype(2), false)?;
        "cumprod(Tensor self, int dim, *, dtype? dtype=None)" fmio "The running product." |a| scan::cumprod(a.tensor(0), a.int(1), a.dtype(2))?;
        "logcumsumexp(Tensor self, int dim)" fmo "The running log-sum-exp." |a| scan::logcumsumexp(a.tensor(0), a.int(1))?;
        "cummax(Tensor self, int dim)" fmo "The running maximum and its positions." |a| pair("cummax", scan::cumulative_extremum(true, a.tensor(0), a.int(1))?);
        "cummin(Tensor self, int dim)" fmo "The running minimum and its positions." |a| pair("cummin", scan::cumulative_extremum(false, a.tensor(0), a.int(1))?);
    }
}
