//! `out=`: a result is written into the tensor that the program gives.

use crate::args::{Signature, Value, Values};
use crate::checks;
use crate::dispatch::Overload;
use crate::error::IntoPy;
use crate::table::{CREATES, Call, Ret};
use crate::tensor::PyTensor;
use crate::types::type_name;
use corten_core::dtype::DType;
use corten_core::grad::modes;
use corten_core::ops::elementwise::{cast, preserved};
use corten_core::ops::{copy_as, inplace};
use corten_core::shape::Layout;
use corten_core::tensor::Tensor;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

/// Products read their operands in full before they write, so parts of the written memory are allowed.
const PRODUCTS: [&str; 7] = ["mm", "bmm", "matmul", "addmm", "addmv", "addbmm", "baddbmm"];

/// Operators that read elsewhere than they write: `out=` must be apart from what they read.
const APART: [&str; 7] = ["gather", "take", "index_select", "masked_select", "kthvalue", "cat", "stack"];

/// Operators whose `out=` must have the result's dtype, where others convert.
const EXACT: &[&str] = &[
    "_linalg_qr",
    "_linalg_solve_triangular",
    "_linalg_svd",
    "_linalg_svdvals",
    "abs",
    "absolute",
    "addbmm",
    "addmm",
    "addmv",
    "all",
    "amax",
    "amin",
    "aminmax",
    "any",
    "argmax",
    "argmin",
    "avg_pool2d",
    "avg_pool3d",
    "baddbmm",
    "bitwise_not",
    "bmm",
    "bucketize",
    "ceil",
    "conj_physical",
    "cummax",
    "cummin",
    "diag",
    "dot",
    "floor",
    "frac",
    "gather",
    "gelu",
    "hardshrink",
    "heaviside",
    "histc",
    "index_add",
    "index_copy",
    "index_reduce",
    "index_select",
    "inner",
    "isin",
    "isneginf",
    "isposinf",
    "kthvalue",
    "linear",
    "log_softmax",
    "logcumsumexp",
    "logsigmoid",
    "masked_select",
    "matmul",
    "mm",
    "mode",
    "msort",
    "multinomial",
    "mv",
    "nan_to_num",
    "neg",
    "negative",
    "nonzero",
    "round",
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "searchsorted",
    "sgn",
    "sign",
    "signbit",
    "slice_scatter",
    "softmax",
    "softplus",
    "softshrink",
    "sort",
    "take",
    "take_along_dim",
    "topk",
    "tril",
    "triu",
    "trunc",
    "where",
];

/// Operators that are computed in the dtype of `out=`, which a given `dtype` must equal.
pub const ACCUMULATIONS: [&str; 4] = ["cumprod", "cumsum", "prod", "sum"];

pub fn creation_mismatch(given: DType, out: DType) -> String {
    format!("dtype {} does not match dtype of out parameter ({})", given.scalar_name(), out.scalar_name())
}

pub fn dtype_mismatch(wanted: DType, out: DType) -> String {
    format!("Expected out tensor to have dtype {wanted}, but got {out} instead")
}

/// PyTorch's rule for operators that read and write element by element.
pub fn overlap(overload: &Overload, target: &Tensor, operands: &[Value]) -> PyResult<()> {
    if PRODUCTS.contains(&overload.signature.name) {
        return Ok(());
    }
    let check = if APART.contains(&overload.signature.name) { inplace::check_apart } else { inplace::check_overlap };
    for v in operands {
        match v {
            Value::Tensor(source) => check(target, source).py()?,
            Value::Tensors(sources) => sources.iter().try_for_each(|source| check(target, source)).py()?,
            _ => {}
        }
    }
    Ok(())
}

/// Operators besides the creations that give `out=` another shape without a word, as PyTorch does.
const QUIET: &[&str] = &["addbmm", "bernoulli", "multinomial"];

/// Operators whose result lies packed, row by row, in an `out=` that is made larger; in others it keeps its own strides.
const PACKED: &[&str] = &[
    "cat",
    "concat",
    "concatenate",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "gather",
    "index_add",
    "index_copy",
    "index_reduce",
    "index_select",
    "isin",
    "kthvalue",
    "logcumsumexp",
    "mode",
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "searchsorted",
    "softmax",
    "log_softmax",
    "stack",
    "take_along_dim",
    "topk",
    "tril",
    "triu",
];

const JOINS: [&str; 4] = ["cat", "concat", "concatenate", "stack"];

/// The result is written into the given tensor, resized if its shape differs.
pub fn write(overload: &Overload, values: &Values, result: Ret, out: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let sig = &overload.signature;
    let (results, single) = match result {
        Ret::Tensor(t) => (vec![t], true),
        Ret::Tuple(v) | Ret::Named(_, v) => (v, false),
    };
    if single && !out.is_instance_of::<PyTensor>() {
        let given = type_name(out);
        return Err(PyTypeError::new_err(format!("{}argument 'out' must be Tensor, not {given}", shown(sig, "(): "))));
    }
    let targets: Vec<Bound<'_, PyAny>> =
        if out.is_instance_of::<PyTensor>() { vec![out.clone()] } else { out.try_iter()?.collect::<PyResult<_>>()? };
    if targets.len() != results.len() {
        return Err(PyTypeError::new_err(format!("{}out= needs {} tensors", shown(sig, "(): "), results.len())));
    }
    for (t, r) in targets.iter().zip(&results) {
        let target = t.cast::<PyTensor>()?;
        overlap(overload, target.get().get(), values)?;
        check_dtype(sig, r, target.get().get(), results.len())?;
        if modes().grad && (r.requires_grad() || target.get().get().requires_grad()) {
            return Err(PyRuntimeError::new_err(format!(
                "{}functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad.",
                shown(sig, "(): ")
            )));
        }
        write_one(overload, target, r)?;
    }
    Ok(out.clone().unbind())
}

/// The operator's name in front of a message, none where it is the engine's own.
fn shown(sig: &Signature, behind: &str) -> String {
    if sig.name.starts_with('_') { String::new() } else { format!("{}{behind}", sig.name) }
}

/// Refuses a target that the result's numbers cannot be written to.
fn check_dtype(sig: &Signature, r: &Tensor, target: &Tensor, results: usize) -> PyResult<()> {
    let (from, to) = (r.dtype(), target.dtype());
    // A maximum along a dim keeps its dtype, that of two tensors converts.
    let exact = EXACT.contains(&sig.name) || (matches!(sig.name, "max" | "min") && results == 2);
    if exact && from != to {
        let name = shown(sig, ": ");
        return Err(PyRuntimeError::new_err(format!("{name}{}", dtype_mismatch(from, to))));
    }
    if from.category() <= to.category() {
        return Ok(());
    }
    let (from, to) = (from.scalar_name(), to.scalar_name());
    Err(match JOINS.contains(&sig.name) {
        true => PyTypeError::new_err(format!("torch.cat(): input types can't be cast to the desired output type {to}")),
        false => PyRuntimeError::new_err(format!("result type {from} can't be cast to the desired output type {to}")),
    })
}

fn write_one(overload: &Overload, target: &Bound<'_, PyTensor>, r: &Tensor) -> PyResult<()> {
    let sig = &overload.signature;
    let t = target.get().tensor();
    let r = cast(r, t.dtype()).py()?;
    if t.shape() == r.shape() {
        inplace::check_distinct(&t).py()?;
        return inplace::write_tensor(&t, &r).py();
    }
    let creates = overload.row.flags & CREATES != 0 || sig.params.iter().any(|p| p.name == "size");
    let quiet = creates && sig.name != "arange" || QUIET.contains(&sig.name);
    if t.numel() != 0 && !quiet {
        checks::warn(&format!(
            "{}An output with one or more elements was resized since it had shape {}, which does not match the required output shape {}. This behavior is deprecated, and in a future release outputs will not be resized unless they have zero elements.",
            shown(sig, ": "),
            t.shape_dims(),
            r.shape_dims()
        ))
        .py()?;
    }
    let packed = PACKED.contains(&sig.name) && !matches!(overload.row.call, Call::Ew(_));
    let layout = if packed { Layout::contiguous(r.shape_dims().clone()) } else { preserved(r.layout()) };
    let fresh = copy_as(&r, layout).py()?.detach();
    PyTensor::replace(target, fresh);
    Ok(())
}
