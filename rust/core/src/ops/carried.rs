//! The dtypes that integers carry (`exec/carried.rs`): uint16, uint32, uint64 and float8. Conversions to and from them are
//! integer arithmetic on what carries them, so they fuse and are the same bits on every device; what else PyTorch computes
//! in these dtypes goes through a dtype of the kernels.

use super::elementwise::{Operand, apply, cast, preserved, record_broadcast, result_type};
use super::{complex, create};
use crate::dtype::float8::{Beyond, E8M0_SMALLEST, Float8};
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::exec::record::record_one;
use crate::graph::OutSpec;
use crate::op::{Ew, Op};
use crate::tensor::Tensor;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

impl Tensor {
    /// The numbers in memory as kernels know them, without history: the pairs of complex numbers, the integers that carry
    /// others, the tensor itself.
    pub fn stored(&self) -> Tensor {
        if self.dtype().is_complex() {
            return self.pairs();
        }
        self.alias((**self.layout()).clone(), self.dtype().stored())
    }
}

fn binary(op: Ew, x: &Tensor, y: i64) -> Result<Tensor> {
    apply(op, &[x.into(), y.into()])
}

fn choose<'a>(c: &'a Tensor, x: impl Into<Operand<'a>>, y: impl Into<Operand<'a>>) -> Result<Tensor> {
    apply(Ew::Where, &[c.into(), x.into(), y.into()])
}

fn int32(v: i32) -> Operand<'static> {
    i64::from(v).into()
}

/// The bits of float32 as int32, or of int32 as float32.
fn bits(t: &Tensor, dtype: DType) -> Result<Tensor> {
    let spec = OutSpec { dtype, layout: Arc::new(preserved(t.layout())) };
    record_one(Op::Bits, SmallVec::from_iter([t.input()]), spec)
}

/// A tensor that is carried, or is to be, in another dtype; without history.
pub fn converted(t: &Tensor, dtype: DType) -> Result<Tensor> {
    let t = &t.detach();
    if t.dtype().is_complex() {
        return cast(&complex::real(t)?, dtype);
    }
    if dtype.is_complex() {
        return cast(&decoded(t, dtype.part())?, dtype);
    }
    if !t.dtype().is_carried() {
        return encoded(t, dtype);
    }
    if !dtype.is_carried() {
        return decoded(t, dtype);
    }
    let wide = match (t.dtype().is_float8(), dtype) {
        (true, _) => decoded(t, DType::F32)?,
        // Integers keep their low bits.
        (false, to) if to.is_wide_unsigned() => decoded(t, DType::I64)?,
        (false, _) => decoded(t, DType::F32)?,
    };
    encoded(&wide, dtype)
}

/// What a carried tensor holds, in a dtype of the kernels.
fn decoded(t: &Tensor, to: DType) -> Result<Tensor> {
    let carrier = t.stored();
    match t.dtype() {
        DType::U16 => cast(&binary(Ew::BitwiseAnd, &cast(&carrier, DType::I32)?, 0xffff)?, to),
        DType::U32 => cast(&binary(Ew::BitwiseAnd, &cast(&carrier, DType::I64)?, 0xffff_ffff)?, to),
        DType::U64 if to.is_float() => from_uint64(&carrier, to),
        DType::U64 => {
            if to == DType::I64 {
                carrier.copy()
            } else {
                cast(&carrier, to)
            }
        }
        dtype => match dtype.float8() {
            Some(format) => cast(&from_float8(format, &cast(&carrier, DType::I32)?)?, to),
            None => bail!(Internal, "{dtype} is not carried"),
        },
    }
}

/// A tensor of a dtype of the kernels in one that is carried.
fn encoded(t: &Tensor, to: DType) -> Result<Tensor> {
    let carrier = match to.float8() {
        Some(format) => cast(&to_float8(format, &bits(&cast(t, DType::F32)?, DType::I32)?)?, DType::U8)?,
        None if to == DType::U64 && t.dtype().is_float() => to_uint64(t)?,
        // Integers wrap, and floats do so through int64, but for uint16 as they do in int16.
        None if to == DType::U32 && t.dtype().is_float() => cast(&cast(t, DType::I64)?, DType::I32)?,
        None => cast(t, to.stored())?,
    };
    // What the program goes on to use may be this very tensor.
    let carrier = if carrier.ptr_eq(t) { carrier.copy()? } else { carrier };
    Ok(carrier.alias((**carrier.layout()).clone(), to))
}

/// Integers of 64 bits without a sign as floats, rounded once.
fn from_uint64(x: &Tensor, to: DType) -> Result<Tensor> {
    let wide = if to == DType::F64 { to } else { DType::F32 };
    // Half of a large number, in which the bit that is lost still says on which side of a tie it lies.
    let halved = binary(Ew::BitwiseAnd, &binary(Ew::Shr, x, 1)?, i64::MAX)?;
    let halved = apply(Ew::BitwiseOr, &[(&halved).into(), (&binary(Ew::BitwiseAnd, x, 1)?).into()])?;
    let large = cast(&halved, wide)?.mul(2.0)?;
    cast(&choose(&x.lt(0i64)?, &large, &cast(x, wide)?)?, to)
}

/// Floats as integers of 64 bits without a sign; negative ones wrap.
fn to_uint64(t: &Tensor) -> Result<Tensor> {
    let t = &if t.dtype() == DType::F64 { t.clone() } else { cast(t, DType::F32)? };
    let top = (1u64 << 63) as f64;
    let large = binary(Ew::BitwiseXor, &cast(&t.sub(top)?, DType::I64)?, i64::MIN)?;
    choose(&t.ge(top)?, &large, &cast(t, DType::I64)?)
}

/// The numbers of codes, which are int32, as float32.
fn from_float8(f: Float8, c: &Tensor) -> Result<Tensor> {
    if f.is_e8m0() {
        let number = binary(Ew::Shl, c, 23)?;
        let number = choose(&c.eq(0i64)?, int32(E8M0_SMALLEST), &number)?;
        return bits(&choose(&c.eq(0xffi64)?, int32(f.nan), &number)?, DType::F32);
    }
    let a = binary(Ew::BitwiseAnd, c, 0x7f)?;
    let up = binary(Ew::Shl, &a, 23 - i64::from(f.mantissa))?;
    let normal = binary(Ew::Add, &up, (127 - i64::from(f.bias)) << 23)?;
    // Counts of the smallest number: the exponent of the count is moved.
    let unit = (1 - i64::from(f.bias) - i64::from(f.mantissa)) << 23;
    let small = binary(Ew::Add, &bits(&cast(&a, DType::F32)?, DType::I32)?, unit)?;
    let small = choose(&a.eq(0i64)?, 0i64, &small)?;
    let mut number = choose(&a.lt(1i64 << f.mantissa)?, &small, &normal)?;
    if f.beyond == Beyond::Infinity {
        number = choose(&a.eq(i64::from(f.last_number()))?, int32(f32::INFINITY.to_bits() as i32), &number)?;
    }
    if f.beyond != Beyond::Nan {
        let nan = binary(Ew::BitwiseOr, &binary(Ew::BitwiseAnd, &up, 0x7f_ffff)?, i64::from(f.nan))?;
        number = choose(&a.gt(i64::from(f.last_number()))?, &nan, &number)?;
    }
    let sign = binary(Ew::Shl, &binary(Ew::BitwiseAnd, c, 0x80)?, 24)?;
    let mut number = apply(Ew::BitwiseOr, &[(&number).into(), (&sign).into()])?;
    if f.beyond == Beyond::Nan {
        number = choose(&c.eq(0x80i64)?, int32(f.nan), &number)?;
    }
    bits(&number, DType::F32)
}

/// The codes nearest to float32 numbers, which are given and returned as int32 bits; halves to even.
fn to_float8(f: Float8, b: &Tensor) -> Result<Tensor> {
    let infinity = i64::from(f32::INFINITY.to_bits());
    let a = binary(Ew::BitwiseAnd, b, 0x7fff_ffff)?;
    let exponent = binary(Ew::Shr, &a, 23)?;
    if f.is_e8m0() {
        // A half goes up, but for the one half that has no exponent of its own.
        let up = binary(Ew::BitwiseAnd, &a, 0x7f_ffff)?.gt(0x3f_ffffi64)?;
        let up = apply(Ew::BitwiseAnd, &[(&up).into(), (&a.ne(i64::from(E8M0_SMALLEST))?).into()])?;
        let code = exponent.add(&cast(&up, DType::I32)?)?;
        return choose(&a.ge(infinity)?, 0xffi64, &code);
    }
    let (mantissa, low) = (i64::from(f.mantissa), 128 - i64::from(f.bias));
    // How far the exponent is above, or below, that of the smallest normal number.
    let above = exponent.sub(low)?;
    let below = binary(Ew::Maximum, &above.neg()?, 0)?;
    let shift = binary(Ew::Minimum, &binary(Ew::Add, &below, 23 - mantissa)?, 25)?;
    let whole = binary(Ew::BitwiseOr, &binary(Ew::BitwiseAnd, &a, 0x7f_ffff)?, 0x80_0000)?;
    let shifted = |x: &Tensor| apply(Ew::Shr, &[x.into(), (&shift).into()]);
    let odd = binary(Ew::BitwiseAnd, &shifted(&whole)?, 1)?;
    // One less than half a unit of the last place.
    let half = apply(Ew::Shl, &[Scalar::Int(1).into(), (&shift.sub(1i64)?).into()])?.sub(1i64)?;
    let rounded = shifted(&whole.add(&half)?.add(&odd)?)?;
    let code = rounded.add(&binary(Ew::Shl, &binary(Ew::Maximum, &above, 0)?, mantissa)?)?;
    let sign = binary(Ew::BitwiseAnd, &binary(Ew::Shr, b, 24)?, 0x80)?;
    let signed = |code: &Tensor| apply(Ew::BitwiseOr, &[code.into(), (&sign).into()]);
    let is_nan = a.gt(infinity)?;
    if f.beyond == Beyond::Nan {
        let beyond = apply(Ew::BitwiseOr, &[(&is_nan).into(), (&code.gt(i64::from(f.largest))?).into()])?;
        let number = choose(&code.eq(0i64)?, 0i64, &signed(&code)?)?;
        return choose(&beyond, 0x80i64, &number);
    }
    let number = binary(Ew::Minimum, &code, i64::from(f.last_number()))?;
    signed(&choose(&is_nan, 0x7fi64, &number)?)
}

/// An elementwise operator that [`Ew::supports`] the carried dtype, without history. Operands are tensors of the dtype, and
/// numbers.
pub fn elementwise(op: Ew, operands: &[Operand], dtype: DType, out: DType) -> Result<Tensor> {
    use Ew::*;
    if matches!(op, Copy | Where) {
        return record_broadcast(op, operands, dtype, out);
    }
    if dtype.is_wide_unsigned() {
        return unsigned(op, operands, dtype, out);
    }
    let numbers = operands.iter().any(|o| matches!(o, Operand::Number(_)));
    ensure!(
        op != Mul || !numbers,
        NotImplemented,
        "\"{}\" not implemented for '{}' and a number",
        op.name(),
        dtype.scalar_name()
    );
    let wide: SmallVec<[Option<Tensor>; 4]> = operands
        .iter()
        .map(|o| if let Operand::Tensor(t) = o { cast(t, DType::F32).map(Some) } else { Ok(None) })
        .collect::<Result<_>>()?;
    let wide: SmallVec<[Operand; 4]> = wide
        .iter()
        .zip(operands)
        .map(|(w, o)| match (w, o) {
            (Some(t), _) => t.into(),
            // A number counts as one of the dtype.
            (None, Operand::Number(n)) => n.rounded(dtype).into(),
            (None, o) => *o,
        })
        .collect();
    cast(&apply(op, &wide)?, out)
}

fn unsigned(op: Ew, operands: &[Operand], dtype: DType, out: DType) -> Result<Tensor> {
    use Ew::*;
    match op {
        Floor | Ceil | Round | Trunc | NanToNum => record_broadcast(Copy, &operands[..1], dtype, out),
        IsNan | IsInf | IsPosInf | IsNegInf | Signbit | IsFinite => match operands[0] {
            Operand::Tensor(t) => {
                create::full_with(preserved(t.layout()), Scalar::Bool(op == IsFinite), DType::Bool, t.device())
            }
            Operand::Number(_) => bail!(Internal, "{}: a tensor was expected", op.name()),
        },
        _ => record_broadcast(op, operands, dtype, out),
    }
}

/// Refuses what PyTorch does not promote, and operators that are defined by truth values. Some operand is carried, or what they
/// promote to is.
pub fn check_promotion(operands: &[Operand]) -> Result<()> {
    let (mut dimmed, mut zero): (Option<DType>, Option<DType>) = (None, None);
    let mut complex_number = false;
    for o in operands {
        let slot = match o {
            Operand::Tensor(t) if t.rank() > 0 => &mut dimmed,
            Operand::Tensor(_) => &mut zero,
            Operand::Number(n) => {
                complex_number |= matches!(n, Scalar::Complex(..));
                continue;
            }
        };
        if let Operand::Tensor(t) = o {
            *slot = Some(slot.map_or(Ok(t.dtype()), |d| d.promoted(t.dtype()))?);
        }
    }
    if let (Some(high), Some(low)) = (dimmed, zero)
        && low.category() > high.category()
        && !low.is_complex()
    {
        high.promoted(low)?;
    }
    let complex = complex_number || zero.is_some_and(DType::is_complex);
    match dimmed.or(zero).filter(|d| complex && d.is_float8()) {
        Some(d) => bail!(Runtime, "Unknown Complex ScalarType for {}", d.scalar_name()),
        None => Ok(()),
    }
}

/// [`result_type`], refused where PyTorch does not promote.
pub fn checked_result_type(operands: &[Operand]) -> Result<DType> {
    let common = result_type(operands);
    if !common.is_primitive() {
        check_promotion(operands)?;
    }
    Ok(common)
}

/// A tensor for what orders, sums or counts numbers: unsigned integers as ones with a sign that are in the same order, and hold
/// the same low bits where `ordered` is false; others themselves.
pub fn as_signed(t: &Tensor, ordered: bool) -> Result<Tensor> {
    match t.dtype() {
        DType::U16 | DType::U32 => decoded(t, DType::I64),
        DType::U64 if ordered => binary(Ew::BitwiseXor, &t.stored(), i64::MIN),
        DType::U64 => Ok(t.stored()),
        _ => Ok(t.clone()),
    }
}

/// Back from [`as_signed`] in order.
pub fn from_signed(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if !dtype.is_wide_unsigned() {
        return Ok(t.clone());
    }
    let t = if dtype == DType::U64 { binary(Ew::BitwiseXor, t, i64::MIN)? } else { t.clone() };
    encoded(&t, dtype)
}

/// A product of float8 matrices, of uint ones none: computed in float32 and rounded once.
pub fn product(a: &Tensor, b: &Tensor, f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let dtype = a.dtype();
    let plain = a.rank() == 2 && b.rank() == 2;
    ensure!(
        plain && dtype.is_float8() && dtype != DType::F8E8M0,
        NotImplemented,
        "\"{}\" not implemented for '{}'",
        if plain { "addmm" } else { "bmm" },
        dtype.scalar_name()
    );
    cast(&f(&cast(a, DType::F32)?, &cast(b, DType::F32)?)?, dtype)
}

/// A number everywhere, with chosen (dense) strides.
pub fn full_with(
    layout: crate::shape::Layout,
    value: Scalar,
    dtype: DType,
    device: crate::device::Device,
) -> Result<Tensor> {
    let carrier = dtype.stored();
    let number = Scalar::from_bits(value.to_bits(dtype), carrier);
    let out = create::full_with(layout, number, carrier, device)?;
    Ok(out.alias((**out.layout()).clone(), dtype))
}
