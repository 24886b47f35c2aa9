//! The old order of arguments, numbers before the tensors that they multiply, which PyTorch still takes with a warning.

use super::elementwise::{add_scaled, addcdiv};
use super::linear::added_product;
use crate::args::Args;
use crate::rows;
use crate::table::{Call, Row, flags};
use corten_core::dtype::Scalar;
use corten_core::error::Result;
use corten_core::op::Ew;
use corten_core::ops::elementwise::apply;
use corten_core::tensor::Tensor;

/// The warning, with the arguments as they were given and as they are to be.
fn warn(op: &str, old: &str, new: &str) -> Result<()> {
    crate::checks::warn(&format!(
        "This overload of {op} is deprecated:\n\t{op}({old})\nConsider using one of the following signatures instead:\n\t{op}({new})"
    ))
}

fn scaled(op: Ew, a: &Args) -> Result<Tensor> {
    warn(op.name(), "Number alpha, Tensor other", "Tensor other, *, Number alpha = 1")?;
    add_scaled(op, a.operand(0), a.operand(2), a.number(1))
}

fn with_product(op: Ew, a: &Args) -> Result<Tensor> {
    let (old, new) =
        ("Number value, Tensor tensor1, Tensor tensor2", "Tensor tensor1, Tensor tensor2, *, Number value = 1");
    warn(op.name(), old, new)?;
    if op == Ew::Addcdiv {
        return addcdiv(a.operand(0), a.operand(2), a.operand(3), a.operand(1));
    }
    apply(op, &[a.operand(0), a.operand(2), a.operand(3), a.operand(1)])
}

/// The operator on a tensor and a product; `at` are the positions of beta, the tensor, alpha where it is given, and the factors.
fn added(op: &'static str, a: &Args, at: (usize, usize, Option<usize>, usize)) -> Result<Tensor> {
    let (beta, t, alpha, x) = at;
    let new = "Tensor input, Tensor, Tensor, *, Number beta = 1, Number alpha = 1";
    let old =
        if alpha.is_some() { "Number beta, Tensor input, Number alpha, …" } else { "Number beta, Tensor input, …" };
    warn(op, old, new)?;
    let alpha = alpha.map_or(Scalar::Int(1), |i| a.number(i));
    added_product(op, a.tensor(t), a.tensor(x), a.tensor(x + 1), a.number(beta), alpha)
}

/// The rows of `addmm` and its like: as functions, beta comes before the tensor.
macro_rules! added_rows {
    (@row $signature:expr, $flags:literal, $name:literal, $at:expr) => {
        Row {
            signature: $signature,
            flags: flags($flags),
            doc: "",
            call: Call::Fn(|a| Ok(added($name, a, $at)?.into())),
        }
    };
    ($($name:literal $x:literal $y:literal;)*) => {
        [$(
            added_rows!(@row concat!($name, "(Scalar beta, Tensor self, Scalar alpha, Tensor ", $x, ", Tensor ", $y, ")"), "fo", $name, (0, 1, Some(2), 3)),
            added_rows!(@row concat!($name, "(Scalar beta, Tensor self, Tensor ", $x, ", Tensor ", $y, ")"), "fo", $name, (0, 1, None, 2)),
            added_rows!(@row concat!($name, "(Tensor self, Scalar beta, Scalar alpha, Tensor ", $x, ", Tensor ", $y, ")"), "mi", $name, (1, 0, Some(2), 3)),
            added_rows!(@row concat!($name, "(Tensor self, Scalar beta, Tensor ", $x, ", Tensor ", $y, ")"), "mi", $name, (1, 0, None, 2)),
        )*]
    };
}

pub fn rows() -> Vec<Row> {
    let mut all = rows! {
        "add(Tensor self, Scalar alpha, Tensor other)" fmi "" |a| scaled(Ew::Add, a)?;
        "sub(Tensor self, Scalar alpha, Tensor other)" fmi "" |a| scaled(Ew::Sub, a)?;
        "addcmul(Tensor self, Scalar value, Tensor tensor1, Tensor tensor2)" fmio "" |a| with_product(Ew::Addcmul, a)?;
        "addcdiv(Tensor self, Scalar value, Tensor tensor1, Tensor tensor2)" fmio "" |a| with_product(Ew::Addcdiv, a)?;
    };
    all.extend(added_rows! {
        "addmm" "mat1" "mat2";
        "addmv" "mat" "vec";
        "addr" "vec1" "vec2";
        "baddbmm" "batch1" "batch2";
        "addbmm" "batch1" "batch2";
    });
    all
}
