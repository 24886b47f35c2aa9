//! Elementwise operators on complex tensors.

use super::functions::Z;
use super::{abs, complex, imag, owned, real, tensors, view_as_real};
use crate::bail;
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::op::Ew;
use crate::ops::elementwise::{Operand, apply, record_broadcast};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// The real or imaginary parts of an operand; a number's are numbers.
fn parts(o: Operand) -> Result<Z> {
    match o {
        Operand::Tensor(t) => Ok(Z { re: real(t)?, im: imag(t)? }),
        Operand::Number(_) => bail!(Internal, "a number was not made a complex tensor"),
    }
}

fn of_parts(z: Z) -> Result<Tensor> {
    complex(&z.re, &z.im)
}

/// Records an operator that [`Ew::supports`] complex numbers, without history. Operands are tensors of the dtype, and numbers.
pub fn record(op: Ew, operands: &[Operand], dtype: DType, out: DType) -> Result<Tensor> {
    use Ew::*;
    if let Some(out) = with_real_side(op, operands)? {
        return Ok(out);
    }
    let own = tensors(operands, dtype)?;
    let all: SmallVec<[Operand; 4]> = own.iter().map(Operand::from).collect();
    match op {
        Copy | Neg | Add | Sub | Where => record_broadcast(op, &all, dtype, out),
        Abs => abs(&own[0]),
        Eq => differs(&own[0], &own[1])?.logical_not(),
        Ne => differs(&own[0], &own[1]),
        LogicalNot => nonzero(&own[0])?.logical_not(),
        IsNan => either(IsNan, LogicalOr, &own[0]),
        IsInf => either(IsInf, LogicalOr, &own[0]),
        IsFinite => either(IsFinite, LogicalAnd, &own[0]),
        Silu => own[0].mul(&own[0].sigmoid()?),
        Lerp => lerp(&own),
        Addcmul => own[0].add(&own[1].mul(&own[2])?.mul(&own[3])?),
        Addcdiv => own[0].add(&own[1].div(&own[2])?.mul(&own[3])?),
        Ldexp => own[0].mul(&apply(Exp2, &[(&own[1]).into()])?),
        _ => of_parts(function(op, &all)?),
    }
}

fn function(op: Ew, operands: &[Operand]) -> Result<Z> {
    use Ew::*;
    let z = parts(operands[0])?;
    let other = || parts(operands[1]);
    match op {
        Reciprocal => z.reciprocal(),
        Sqrt => z.sqrt(),
        Rsqrt => z.rsqrt(),
        Mul => z.mul(&other()?),
        Div => z.div(&other()?),
        Pow => z.pow(&other()?),
        Exp => z.exp(),
        Exp2 => z.exp2(),
        Expm1 => z.expm1(),
        Log => z.log(),
        Log2 => z.log2(),
        Log10 => z.log10(),
        Log1p => z.log1p(),
        LogAddExp => z.logaddexp(&other()?),
        Sin => z.sin(),
        Cos => z.cos(),
        Tan => z.tan(),
        Asin => z.asin(),
        Acos => z.acos(),
        Atan => z.atan(),
        Sinh => z.sinh(),
        Cosh => z.cosh(),
        Tanh => z.tanh(),
        Asinh => z.asinh(),
        Acosh => z.acosh(),
        Atanh => z.atanh(),
        Sigmoid => z.sigmoid(),
        _ => bail!(Internal, "{} has no formula for complex numbers", op.name()),
    }
}

/// Products with, quotients by and small powers of real numbers, and what looks at each part by itself.
fn with_real_side(op: Ew, operands: &[Operand]) -> Result<Option<Tensor>> {
    let by = |z: &Tensor, x: f64, f: Ew| owned(&apply(f, &[(&view_as_real(z)?).into(), x.into()])?);
    Ok(Some(match (op, operands) {
        (Ew::Mul, [Operand::Tensor(z), Operand::Number(s)] | [Operand::Number(s), Operand::Tensor(z)])
            if s.category() < 3 =>
        {
            by(z, s.to_f64(), Ew::Mul)?
        }
        (Ew::Div, [Operand::Tensor(z), Operand::Number(s)]) if s.category() < 3 => by(z, s.to_f64(), Ew::Div)?,
        (Ew::Pow, [Operand::Tensor(z), Operand::Number(s)]) if s.category() < 3 => match s.to_f64() {
            0.0 => crate::ops::create::full_with(
                (*crate::ops::elementwise::output_layout(z.layout())).clone(),
                Scalar::Int(1),
                z.dtype(),
                z.device(),
            )?,
            1.0 => z.copy()?,
            2.0 => z.mul(*z)?,
            3.0 => z.mul(*z)?.mul(*z)?,
            0.5 => z.sqrt()?,
            -0.5 => z.rsqrt()?,
            -1.0 => z.reciprocal()?,
            -2.0 => z.mul(*z)?.reciprocal()?,
            _ => return Ok(None),
        },
        (Ew::NanToNum, [Operand::Tensor(z), limits @ ..]) => {
            let pairs = view_as_real(z)?;
            let all: SmallVec<[Operand; 4]> =
                std::iter::once(Operand::from(&pairs)).chain(limits.iter().copied()).collect();
            owned(&apply(Ew::NanToNum, &all)?)?
        }
        _ => return Ok(None),
    }))
}

/// x + w·(y − x), counted from the nearer end.
fn lerp(own: &[Tensor]) -> Result<Tensor> {
    let (x, y, w) = (&own[0], &own[1], &own[2]);
    let way = y.sub(x)?;
    let near = abs(w)?.lt(0.5)?;
    let from_x = x.add(&w.mul(&way)?)?;
    let from_y = y.sub(&way.mul(&w.rsub_one()?)?)?;
    apply(Ew::Where, &[(&near).into(), (&from_x).into(), (&from_y).into()])
}

fn either(test: Ew, joined: Ew, z: &Tensor) -> Result<Tensor> {
    let (re, im) = (apply(test, &[(&real(z)?).into()])?, apply(test, &[(&imag(z)?).into()])?);
    apply(joined, &[(&re).into(), (&im).into()])
}

fn differs(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    real(x)?.ne(&real(y)?)?.logical_or(&imag(x)?.ne(&imag(y)?)?)
}

/// Where a complex number is not 0.
pub fn nonzero(z: &Tensor) -> Result<Tensor> {
    real(z)?.ne(0.0)?.logical_or(&imag(z)?.ne(0.0)?)
}
