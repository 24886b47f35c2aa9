//! Elementwise operators: simple ones straight from the engine's table, and those with options of their own.

use crate::rows;
use crate::table::{Call, FUNCTION, INPLACE, METHOD, OUT, Row};
use corten_core::dtype::{DType, Scalar};
use corten_core::error::Result;
use corten_core::op::Ew;
use corten_core::ops::elementwise::{
    Operand, apply, cast, check_subtraction, default_dtype, div_rounded, result_type, square,
};
use corten_core::tensor::Tensor;
use corten_core::{bail, ensure};

/// Operators whose Python form differs from "tensors in, tensor out"; their rows are below or in other files.
const SPECIAL: &[Ew] = &[
    Ew::Copy,
    Ew::Add,
    Ew::Sub,
    Ew::Div,
    Ew::TruncDiv,
    Ew::Pow,
    Ew::Clamp,
    Ew::Where,
    Ew::Addcmul,
    Ew::Addcdiv,
    Ew::NanToNum,
    Ew::Softplus,
    Ew::Elu,
    Ew::LeakyRelu,
    Ew::Hardshrink,
    Ew::Softshrink,
    Ew::Threshold,
    Ew::GeluTanh,
    Ew::Gelu,
    Ew::Polygamma,
    Ew::Igamma,
    Ew::Igammac,
    Ew::LogSigmoid,
    Ew::Ldexp,
    Ew::Logit,
    Ew::Hardtanh,
    Ew::FloorDiv,
    Ew::Lerp,
    Ew::Heaviside,
    Ew::Round,
];

/// Operators whose second argument must be a tensor.
const OF_TENSORS: &[Ew] = &[
    Ew::Atan2,
    Ew::Fmax,
    Ew::Fmin,
    Ew::Gcd,
    Ew::Hypot,
    Ew::Lcm,
    Ew::LogAddExp,
    Ew::LogAddExp2,
    Ew::LogicalAnd,
    Ew::LogicalOr,
    Ew::LogicalXor,
    Ew::Maximum,
    Ew::Minimum,
    Ew::Nextafter,
];

/// Operators that take a number as their first argument.
const LEFT_NUMBER: &[Ew] = &[Ew::Remainder, Ew::Xlogy, Ew::BitwiseAnd, Ew::BitwiseOr, Ew::BitwiseXor, Ew::Shl, Ew::Shr];

/// Functions of `nn.functional` only.
const NOT_METHODS: &[Ew] = &[Ew::Silu, Ew::Mish, Ew::Hardswish, Ew::Hardsigmoid, Ew::I1];

pub fn rows() -> Vec<Row> {
    let mut all = Vec::new();
    for &op in Ew::ALL {
        if SPECIAL.contains(&op) || op.is_random() {
            continue;
        }
        let name = op.name();
        let rest = match op.arity() {
            1 => "(Tensor self)",
            _ if OF_TENSORS.contains(&op) => "(Tensor self, Tensor other)",
            _ => "(Tensor self, Operand other)",
        };
        let signature = format!("{name}{rest}");
        let flags = if NOT_METHODS.contains(&op) { FUNCTION | OUT } else { FUNCTION | METHOD | INPLACE | OUT };
        all.push(Row { signature: leak(signature), flags, doc: op.doc(), call: Call::Ew(op) });
        // A number on the left is allowed where PyTorch allows it.
        if LEFT_NUMBER.contains(&op) {
            let signature = leak(format!("{name}(Scalar self, Tensor other)"));
            all.push(Row { signature, flags: FUNCTION, doc: op.doc(), call: Call::Ew(op) });
        }
        for alias in aliases(op) {
            all.push(Row { signature: leak(format!("{alias}{rest}")), flags, doc: op.doc(), call: Call::Ew(op) });
        }
    }
    all.extend(special());
    all.extend(arithmetic_of_numbers());
    all
}

/// Rows live as long as the process.
fn leak(s: String) -> &'static str {
    Box::leak(s.into_boxed_str())
}

fn aliases(op: Ew) -> &'static [&'static str] {
    match op {
        Ew::Neg => &["negative"],
        Ew::Abs => &["absolute"],
        Ew::Asin => &["arcsin"],
        Ew::Acos => &["arccos"],
        Ew::Atan => &["arctan"],
        Ew::Atan2 => &["arctan2"],
        Ew::Asinh => &["arcsinh"],
        Ew::Acosh => &["arccosh"],
        Ew::Atanh => &["arctanh"],
        Ew::Trunc => &["fix"],
        Ew::Mul => &["multiply"],
        Ew::Ne => &["not_equal"],
        Ew::Lt => &["less"],
        Ew::Le => &["less_equal"],
        Ew::Gt => &["greater"],
        Ew::Ge => &["greater_equal"],
        _ => &[],
    }
}

/// x + alpha·y, with PyTorch's checks on alpha.
pub fn add_scaled(op: Ew, a: Operand, b: Operand, alpha: Scalar) -> Result<Tensor> {
    if op == Ew::Sub {
        check_subtraction(&[a, b])?;
    }
    let common = result_type(&[a, b]);
    if alpha.is(1.0) && !matches!(alpha, Scalar::Bool(_)) {
        return apply(op, &[a, b]);
    }
    ensure!(
        alpha.category() <= common.category().max(2) && (alpha.category() < 2 || common.category() >= 2),
        Runtime,
        "For integral input tensors, argument alpha must not be a floating point number."
    );
    ensure!(
        !matches!(alpha, Scalar::Bool(_)) || common == corten_core::dtype::DType::Bool,
        Runtime,
        "Boolean alpha only supported for Boolean results."
    );
    match b {
        Operand::Number(n) => apply(op, &[a, Operand::Number(product(n, alpha))]),
        Operand::Tensor(_) => {
            let scaled = apply(Ew::Mul, &[b, alpha.into()])?;
            apply(op, &[a, (&scaled).into()])
        }
    }
}

/// x + value · y / z. A quotient of integers would be rounded, or not: PyTorch refuses it.
pub fn addcdiv(x: Operand, y: Operand, z: Operand, value: Operand) -> Result<Tensor> {
    ensure!(
        result_type(&[y, z]).category() >= 2,
        Runtime,
        "Integer division with addcdiv is not supported: convert one of tensor1 and tensor2 to a floating dtype, or use (input + value * torch.trunc(tensor1 / tensor2)).to(input.dtype)"
    );
    apply(Ew::Addcdiv, &[x, y, z, value])
}

/// x · y, a float where one of them is.
fn product(x: Scalar, y: Scalar) -> Scalar {
    match (x, y) {
        (Scalar::Bool(x), Scalar::Bool(y)) => Scalar::Bool(x && y),
        (Scalar::Complex(..), _) | (_, Scalar::Complex(..)) => {
            let ((a, b), (c, d)) = (x.parts(), y.parts());
            Scalar::Complex(a * c - b * d, a * d + b * c)
        }
        _ if x.category().max(y.category()) < 2 => Scalar::Int(x.to_i64().wrapping_mul(y.to_i64())),
        _ => Scalar::Float(x.to_f64() * y.to_f64()),
    }
}

fn divide(a: Operand, b: Operand, mode: Option<&str>) -> Result<Tensor> {
    match mode {
        None => apply(Ew::Div, &[a, b]),
        Some("floor") => div_rounded(Ew::FloorDiv, a, b),
        Some("trunc") => div_rounded(Ew::TruncDiv, a, b),
        Some(m) => bail!(Runtime, "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{m}'"),
    }
}

fn checked_divide(a: Operand, b: Operand, mode: Option<&str>) -> Result<Tensor> {
    if mode.is_some() {
        let dividend = result_type(&[a, b]);
        crate::checks::divisor(Ew::FloorDiv, b, dividend).map_err(crate::error::from_py)?;
    }
    divide(a, b, mode)
}

fn floor_divide(a: Operand, b: Operand) -> Result<Tensor> {
    crate::checks::divisor(Ew::FloorDiv, b, result_type(&[a, b])).map_err(crate::error::from_py)?;
    apply(Ew::FloorDiv, &[a, b])
}

/// `where`, whose numbers become 0-d tensors of the result's dtype.
pub fn where_(condition: Operand, x: Operand, y: Operand) -> Result<Tensor> {
    let dtype = result_type(&[x, y]);
    for operand in [x, y] {
        if let Operand::Number(n) = operand {
            n.check_fits_one(dtype)?;
        }
    }
    apply(Ew::Where, &[condition, x, y])
}

fn clamp(x: &Tensor, lo: Option<Operand>, hi: Option<Operand>) -> Result<Tensor> {
    let limits = [lo, hi].into_iter().flatten();
    let numbers = limits.clone().all(|l| matches!(l, Operand::Number(_)));
    let dtype = result_type(&[Some(x.into()), lo, hi].into_iter().flatten().collect::<Vec<_>>());
    limits.filter(|_| numbers).try_for_each(|l| crate::checks::operand_fits(l, dtype))?;
    match (lo, hi) {
        (Some(lo), Some(hi)) => apply(Ew::Clamp, &[x.into(), lo, hi]),
        (Some(lo), None) => clamp_one(Ew::Maximum, x, lo),
        (None, Some(hi)) => clamp_one(Ew::Minimum, x, hi),
        (None, None) => bail!(Runtime, "torch.clamp: At least one of 'min' or 'max' must not be None"),
    }
}

/// One-sided clamp: at the bound the gradient goes to x whole.
fn clamp_one(op: Ew, x: &Tensor, bound: Operand) -> Result<Tensor> {
    let far = Operand::Number(Scalar::Float(if op == Ew::Maximum { f64::INFINITY } else { f64::NEG_INFINITY }));
    let common = result_type(&[x.into(), bound]);
    if !common.is_float() {
        return apply(op, &[x.into(), bound]);
    }
    match op {
        Ew::Maximum => apply(Ew::Clamp, &[x.into(), bound, far]),
        _ => apply(Ew::Clamp, &[x.into(), far, bound]),
    }
}

fn logit(x: &Tensor, eps: Option<f64>) -> Result<Tensor> {
    let Some(eps) = eps else { return apply(Ew::Logit, &[x.into()]) };
    let floating = if x.dtype().is_float() { x.clone() } else { cast(x, default_dtype())? };
    let limited = apply(Ew::Clamp, &[(&floating).into(), eps.into(), (1.0 - eps).into()])?;
    apply(Ew::Logit, &[(&limited).into()])
}

fn pow(a: Operand, b: Operand) -> Result<Tensor> {
    crate::checks::pow(a, b).map_err(crate::error::from_py)
}

/// The order is a Python number, the first argument.
fn polygamma(n: i64, x: &Tensor) -> Result<Tensor> {
    ensure!(n >= 0, Runtime, "polygamma(n, x) does not support negative n.");
    apply(Ew::Polygamma, &[x.into(), n.into()])
}

/// Limits become integers with the input; at the limits the slope is 0.
fn hardtanh(x: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    ensure!(x.dtype() != DType::Bool, Runtime, "Bool inputs not supported for hardtanh");
    ensure!(low <= high, Value, "min_val cannot be greater than max_val");
    if x.dtype().is_float() {
        return apply(Ew::Hardtanh, &[x.into(), low.into(), high.into()]);
    }
    let (low, high) = (low as i64, high as i64);
    ensure!(
        x.dtype() != DType::U8 || (low >= 0 && high >= 0),
        Runtime,
        "cannot do hardtanh on an unsigned type with negative limits"
    );
    apply(Ew::Hardtanh, &[x.into(), low.into(), high.into()])
}

fn gelu(x: &Tensor, approximate: &str) -> Result<Tensor> {
    match approximate {
        "none" => apply(Ew::Gelu, &[x.into()]),
        "tanh" => apply(Ew::GeluTanh, &[x.into()]),
        other => bail!(Runtime, "approximate argument must be either none or tanh, got {other}"),
    }
}

fn nan_to_num(x: &Tensor, nan: Option<f64>, posinf: Option<f64>, neginf: Option<f64>) -> Result<Tensor> {
    if !x.dtype().is_differentiable() {
        return x.copy();
    }
    let limit = match x.dtype().part() {
        corten_core::dtype::DType::F64 => f64::MAX,
        corten_core::dtype::DType::F16 => 65504.0,
        corten_core::dtype::DType::BF16 => 3.389_531_389_251_535_5e38,
        _ => f32::MAX as f64,
    };
    let (n, p, m) = (nan.unwrap_or(0.0), posinf.unwrap_or(limit), neginf.unwrap_or(-limit));
    apply(Ew::NanToNum, &[x.into(), n.into(), p.into(), m.into()])
}

fn round(x: &Tensor, decimals: i64) -> Result<Tensor> {
    if decimals == 0 {
        return apply(Ew::Round, &[x.into()]);
    }
    let scale = 10f64.powi(decimals.unsigned_abs() as i32);
    if decimals > 0 {
        apply(Ew::Round, &[(&x.mul(scale)?).into()])?.div(scale)
    } else {
        apply(Ew::Round, &[(&x.div(scale)?).into()])?.mul(scale)
    }
}

fn softshrink(x: &Tensor, lambd: f64) -> Result<Tensor> {
    ensure!(
        lambd >= 0.0,
        Runtime,
        "lambda must be in range [0, 3.40282e+38] for input dtype {}, but found {lambd}",
        x.dtype().scalar_name()
    );
    apply(Ew::Softshrink, &[x.into(), lambd.into()])
}

/// The numbers count in the input's dtype.
fn threshold(x: &Tensor, threshold: Scalar, value: Scalar) -> Result<Tensor> {
    let dtype = x.dtype();
    let own = |s: Scalar| Operand::Number(s.rounded(dtype));
    apply(Ew::Threshold, &[x.into(), own(threshold), own(value)])
}

/// x + w · (y − x); PyTorch promotes nothing here.
fn lerp(x: &Tensor, y: &Tensor, weight: Operand) -> Result<Tensor> {
    let same = |name: &str, d: DType| -> Result<()> {
        ensure!(d == x.dtype(), Runtime, "expected dtype {} for `{name}` but got dtype {d}", x.dtype());
        Ok(())
    };
    same("end", y.dtype())?;
    if let Operand::Tensor(w) = weight {
        same("weight", w.dtype())?;
    }
    apply(Ew::Lerp, &[x.into(), y.into(), weight])
}

/// The functions of arithmetic take numbers in the place of tensors, of both as well.
fn arithmetic_of_numbers() -> Vec<Row> {
    rows! {
        "add(Scalar self, Operand other, *, Scalar alpha=1)" fo "" |a| add_scaled(Ew::Add, a.operand(0), a.operand(1), a.number(2))?;
        "sub(Scalar self, Operand other, *, Scalar alpha=1)" fo "" |a| add_scaled(Ew::Sub, a.operand(0), a.operand(1), a.number(2))?;
        "subtract(Scalar self, Operand other, *, Scalar alpha=1)" fo "" |a| add_scaled(Ew::Sub, a.operand(0), a.operand(1), a.number(2))?;
        "mul(Scalar self, Operand other)" fo "" |a| apply(Ew::Mul, &[a.operand(0), a.operand(1)])?;
        "multiply(Scalar self, Operand other)" fo "" |a| apply(Ew::Mul, &[a.operand(0), a.operand(1)])?;
        "div(Scalar self, Operand other, *, str? rounding_mode=None)" fo "" |a| checked_divide(a.operand(0), a.operand(1), a.opt_str(2))?;
        "divide(Scalar self, Operand other, *, str? rounding_mode=None)" fo "" |a| checked_divide(a.operand(0), a.operand(1), a.opt_str(2))?;
        "true_divide(Scalar self, Operand other)" fo "" |a| divide(a.operand(0), a.operand(1), None)?;
        "floor_divide(Scalar self, Operand other)" fo "" |a| floor_divide(a.operand(0), a.operand(1))?;
    }
}

fn special() -> Vec<Row> {
    rows! {
        "add(Tensor self, Operand other, *, Scalar alpha=1)" fmio "x + alpha · y." |a| add_scaled(Ew::Add, a.operand(0), a.operand(1), a.number(2))?;
        "sub(Tensor self, Operand other, *, Scalar alpha=1)" fmio "x − alpha · y." |a| add_scaled(Ew::Sub, a.operand(0), a.operand(1), a.number(2))?;
        "subtract(Tensor self, Operand other, *, Scalar alpha=1)" fmio "Alias of `sub`." |a| add_scaled(Ew::Sub, a.operand(0), a.operand(1), a.number(2))?;
        "rsub(Tensor self, Operand other, *, Scalar alpha=1)" f "y − alpha · x." |a| add_scaled(Ew::Sub, a.operand(1), a.operand(0), a.number(2))?;
        "div(Tensor self, Operand other, *, str? rounding_mode=None)" fmio "x / y, optionally rounded down or towards zero." |a| checked_divide(a.operand(0), a.operand(1), a.opt_str(2))?;
        "divide(Tensor self, Operand other, *, str? rounding_mode=None)" fmio "Alias of `div`." |a| checked_divide(a.operand(0), a.operand(1), a.opt_str(2))?;
        "true_divide(Tensor self, Operand other)" fmio "x / y." |a| divide(a.operand(0), a.operand(1), None)?;
        "floor_divide(Tensor self, Operand other)" fmio "⌊x / y⌋." |a| floor_divide(a.operand(0), a.operand(1))?;
        "ldexp(Tensor self, Tensor other)" fmio "x · 2^other." |a| apply(Ew::Ldexp, &[a.operand(0), a.operand(1)])?;
        "polygamma(int n, Tensor self)" fo "The n-th derivative of digamma." |a| polygamma(a.int(0), a.tensor(1))?;
        "igamma(Tensor self, Tensor other)" fmio "The regularised lower incomplete gamma function, elementwise." |a| apply(Ew::Igamma, &[a.operand(0), a.operand(1)])?;
        "igammac(Tensor self, Tensor other)" fmio "The regularised upper incomplete gamma function, elementwise." |a| apply(Ew::Igammac, &[a.operand(0), a.operand(1)])?;
        "logsigmoid(Tensor self)" fo "log(sigmoid(x)), row-major whatever the input." |a| apply(Ew::LogSigmoid, &[(&corten_core::ops::contiguous(a.tensor(0))?).into()])?;
        "logit(Tensor self, float? eps=None)" fmio "log(x / (1 − x)), x being limited to `[eps, 1 − eps]` where `eps` is given." |a| logit(a.tensor(0), a.opt_float(1))?;
        "pow(Tensor self, Operand exponent)" fmio "x to the power of the exponent." |a| pow(a.operand(0), a.operand(1))?;
        "pow(Scalar self, Tensor exponent)" f "" |a| pow(a.operand(0), a.operand(1))?;
        "clamp(Tensor self, Operand? min=None, Operand? max=None)" fmio "x limited to a range; NaN stays." |a| clamp(a.tensor(0), a.opt_operand(1), a.opt_operand(2))?;
        "clip(Tensor self, Operand? min=None, Operand? max=None)" fmio "Alias of `clamp`." |a| clamp(a.tensor(0), a.opt_operand(1), a.opt_operand(2))?;
        "clamp_min(Tensor self, Operand min)" fmio "x, at least `min`." |a| clamp(a.tensor(0), Some(a.operand(1)), None)?;
        "clamp_max(Tensor self, Operand max)" fmio "x, at most `max`." |a| clamp(a.tensor(0), None, Some(a.operand(1)))?;
        "where(Tensor condition, Operand self, Operand other)" fo "x where the condition holds, else y." |a| where_(a.operand(0), a.operand(1), a.operand(2))?;
        "lerp(Tensor self, Tensor end, Operand weight)" fmio "Linear interpolation from x to `end`." |a| lerp(a.tensor(0), a.tensor(1), a.operand(2))?;
        "addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1)" fmio "x + value · t1 · t2." |a| apply(Ew::Addcmul, &[a.operand(0), a.operand(1), a.operand(2), a.operand(3)])?;
        "addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1)" fmio "x + value · t1 / t2." |a| addcdiv(a.operand(0), a.operand(1), a.operand(2), a.operand(3))?;
        "nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None)" fmio "x with NaN and infinities replaced." |a| nan_to_num(a.tensor(0), a.opt_float(1), a.opt_float(2), a.opt_float(3))?;
        "heaviside(Tensor self, Tensor values)" fmio "0 below 0, 1 above, `values` at 0." |a| apply(Ew::Heaviside, &[a.operand(0), a.operand(1)])?;
        "round(Tensor self, *, int decimals=0)" fmio "To the nearest integer, halves to even." |a| round(a.tensor(0), a.int(1))?;
        "square(Tensor self)" fmio "x · x." |a| square(a.tensor(0))?;
        "gelu(Tensor self, *, str approximate='none')" f "x · Φ(x), the Gaussian error linear unit." |a| gelu(a.tensor(0), a.str(1))?;
        "softplus(Tensor self, float beta=1.0, float threshold=20.0)" f "log(1 + e^(βx)) / β." |a| apply(Ew::Softplus, &[a.operand(0), a.float(1).into(), a.float(2).into()])?;
        "elu(Tensor self, float alpha=1.0, float scale=1.0, float input_scale=1.0)" f "x above 0, α(eˣ − 1) below." |a| apply(Ew::Elu, &[a.operand(0), a.float(1).into(), a.float(2).into(), a.float(3).into()])?;
        "celu(Tensor self, float alpha=1.0)" fi "x above 0, α(e^(x/α) − 1) below." |a| apply(Ew::Elu, &[a.operand(0), a.float(1).into(), 1.0.into(), (1.0 / a.float(1)).into()])?;
        "selu(Tensor self)" fi "The self-normalising elu (Klambauer et al. 2017)." |a| apply(Ew::Elu, &[a.operand(0), 1.673_263_242_354_377_2.into(), 1.050_700_987_355_480_5.into(), 1.0.into()])?;
        "leaky_relu(Tensor self, float negative_slope=0.01)" f "x above 0, slope · x below." |a| apply(Ew::LeakyRelu, &[a.operand(0), a.float(1).into()])?;
        "hardtanh(Tensor self, float min_val=-1.0, float max_val=1.0)" f "x limited to a range." |a| hardtanh(a.tensor(0), a.float(1), a.float(2))?;
        "relu6(Tensor self)" f "x limited to [0, 6]." |a| hardtanh(a.tensor(0), 0.0, 6.0)?;
        "hardshrink(Tensor self, float lambd=0.5)" fm "x outside [−λ, λ], else 0." |a| apply(Ew::Hardshrink, &[a.operand(0), a.float(1).into()])?;
        "softshrink(Tensor self, float lambd=0.5)" f "x moved towards 0 by λ." |a| softshrink(a.tensor(0), a.float(1))?;
        "threshold(Tensor self, Scalar threshold, Scalar value)" fi "x above the threshold, else the value." |a| threshold(a.tensor(0), a.number(1), a.number(2))?;
    }
}
