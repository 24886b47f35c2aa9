//! The in-place operators that PyTorch lets write to expanded tensors.

use crate::args::{Args, Values};
use crate::checks;
use crate::error::IntoPy;
use corten_core::dtype::{DType, Scalar};
use corten_core::ops::elementwise::Operand;
use corten_core::ops::shared::{Places, write};
use corten_core::ops::{advanced, create, rearrange};
use corten_core::shape::Layout;
use corten_core::tensor::Tensor;
use pyo3::prelude::*;

/// Runs an in-place operator on a target whose elements share memory; false if there is no such form.
pub fn run(op: &str, values: &Values) -> PyResult<bool> {
    let a = Args(values, None);
    let target = a.tensor(0);
    match op {
        "masked_fill" => {
            warn(op, "mask] = scalar")?;
            write(target, &Places::Mask(a.tensor(1)), a.operand(2), false, op).py()?;
        }
        "index_fill" => {
            warn(op, "mask] = scalar")?;
            write(target, &Places::Along(a.int(1), a.tensor(2)), a.operand(3), false, op).py()?;
        }
        "index_put" => {
            let given: Vec<Option<Tensor>> = a.tensors(1).iter().cloned().map(Some).collect();
            let indices = advanced::expand_masks(target, &given).py()?;
            put(target, &indices, a.operand(2), a.bool(3))?;
        }
        "tril" | "triu" => {
            let layout = Layout::contiguous(target.shape_dims().clone());
            let all = create::full_with(layout, Scalar::Bool(true), DType::Bool, target.device()).py()?;
            let outside = rearrange::triangle(op == "triu", &all, a.int(1)).and_then(|t| t.logical_not()).py()?;
            write(target, &Places::Mask(&outside), Scalar::Int(0).into(), false, op).py()?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `target[indices] = value`, or `+=`.
pub fn put(target: &Tensor, indices: &[Option<Tensor>], value: Operand, accumulate: bool) -> PyResult<()> {
    warn("index_put", "indices] = tensor")?;
    write(target, &Places::Indices(indices), value, accumulate, "index_put").py()
}

fn warn(op: &str, example: &str) -> PyResult<()> {
    checks::warn(&format!(
        "Use of {op}_ on expanded tensors is deprecated. Please clone() the tensor before performing this operation. This also applies to advanced indexing e.g. tensor[{example}"
    ))
    .py()
}
