//! Creation: constants, ranges, identity, and tensors from memory.

use super::device::to_device;
use super::elementwise::Operand;
use super::{carried, complex};
use crate::device::Device;
use crate::dtype::{DType, Element, Scalar};
use crate::error::Result;
use crate::exec::record::record_on;
use crate::exec::transfer::check_dtype;
use crate::grad::Rule;
use crate::graph::{Buffer, Input, Node, OutSpec};
use crate::op::{Ew, Op};
use crate::shape::{Dims, Layout};
use crate::tensor::{Keep, Tensor, attach};
use crate::{bail, dispatch, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// A constant everywhere.
pub fn full(shape: Dims, value: Scalar, dtype: DType, device: Device) -> Result<Tensor> {
    full_with(Layout::contiguous(shape), value, dtype, device)
}

/// A constant with chosen (dense) strides.
pub fn full_with(layout: Layout, value: Scalar, dtype: DType, device: Device) -> Result<Tensor> {
    check_dtype(dtype, device)?;
    if !dtype.is_primitive() {
        return match dtype.is_complex() {
            true => complex::full_with(layout, value, dtype, device),
            false => carried::full_with(layout, value, dtype, device),
        };
    }
    let input = Input::Scalar(value.to_bits(dtype), dtype);
    record_on(Op::Ew(Ew::Copy), SmallVec::from_iter([input]), OutSpec { dtype, layout: Arc::new(layout) }, device)
}

pub fn zeros(shape: Dims, dtype: DType, device: Device) -> Result<Tensor> {
    full(shape, Scalar::Int(0), dtype, device)
}

/// A 0-d constant.
pub fn number(value: Scalar, dtype: DType, device: Device) -> Result<Tensor> {
    full(Dims::new(), value, dtype, device)
}

/// A finished 0-d tensor on the CPU: a kernel for one number costs more than the number.
pub fn number_now(value: Scalar, dtype: DType) -> Result<Tensor> {
    if dtype.is_complex() {
        return complex::number(value, dtype, Device::Cpu);
    }
    let buffer = Buffer::new(dtype.size())?;
    let value = if dtype.is_carried() { Scalar::from_bits(value.to_bits(dtype), dtype.stored()) } else { value };
    dispatch!(dtype.stored(), T => {
        // SAFETY: the buffer holds one element of the dtype, and memory is aligned to 64 bytes.
        unsafe { *buffer.ptr().cast::<T>() = T::from_scalar(value) }
    });
    Ok(from_buffer(Arc::new(buffer), dtype, Layout::contiguous(Dims::new())))
}

/// Memory whose content is not promised; allocated at once.
pub fn empty(layout: Layout, dtype: DType, device: Device) -> Result<Tensor> {
    layout.shape.checked_numel()?;
    if device != Device::Cpu && layout.is_dense() {
        return full_with(layout, Scalar::Int(0), dtype, device);
    }
    let bytes = layout.end().max(layout.numel()).saturating_mul(dtype.size());
    if device == Device::Meta {
        return Ok(from_buffer(Arc::new(Buffer::absent(bytes)), dtype, layout));
    }
    crate::os::check_allocation(bytes, || layout.shape.to_string())?;
    let buffer = Buffer::new(bytes)?;
    // Deterministic even when read before it is written: new memory starts as zeros.
    // SAFETY: the buffer holds `bytes` bytes.
    unsafe { std::ptr::write_bytes(buffer.ptr(), 0, bytes) };
    to_device(&from_buffer(Arc::new(buffer), dtype, layout), device)
}

/// A tensor over existing memory; the layout must lie inside it.
pub fn from_buffer(buffer: Arc<Buffer>, dtype: DType, layout: Layout) -> Tensor {
    if !dtype.is_primitive() {
        let stored = if dtype.is_complex() { layout.paired() } else { layout.clone() };
        return from_buffer(buffer, dtype.stored(), stored).alias(layout, dtype);
    }
    let elements = buffer.bytes() / dtype.size();
    let whole = if layout.offset == 0 && layout.is_dense() && layout.numel() == elements {
        Arc::new(layout.clone())
    } else {
        Arc::new(Layout::contiguous(Dims::from([elements])))
    };
    let node = Arc::new(Node::data(buffer, dtype, whole.clone()));
    let device = node.device;
    let base = Tensor::from_node(node, 0, device);
    if *whole == layout { base } else { base.alias(layout, dtype) }
}

/// A vector with these elements.
pub fn from_slice<T: Element>(values: &[T]) -> Result<Tensor> {
    let buffer = Buffer::new(std::mem::size_of_val(values))?;
    // SAFETY: the buffer is as large as the slice and distinct from it.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr().cast(), buffer.ptr(), std::mem::size_of_val(values)) };
    Ok(from_buffer(Arc::new(buffer), T::DTYPE, Layout::contiguous(Dims::from([values.len()]))))
}

/// start + step · i for `len` elements.
pub fn ramp(start: Scalar, step: Scalar, len: usize, dtype: DType, device: Device) -> Result<Tensor> {
    // Positions are computed in f64 or i64 and rounded once.
    let wide = if dtype.is_float() { DType::F64 } else { DType::I64 };
    let inputs =
        SmallVec::from_iter([Input::Scalar(start.to_bits(wide), wide), Input::Scalar(step.to_bits(wide), wide)]);
    let layout = Arc::new(Layout::contiguous(Dims::from([len])));
    check_dtype(dtype, device)?;
    record_on(Op::Arange, inputs, OutSpec { dtype, layout }, device)
}

/// `torch.arange`.
pub fn arange(start: Scalar, end: Scalar, step: Scalar, dtype: Option<DType>, device: Device) -> Result<Tensor> {
    let all_int = [start, end, step].iter().all(|s| s.category() < 2);
    let dtype = dtype.unwrap_or(if all_int { DType::I64 } else { super::elementwise::default_dtype() });
    check_range("arange", start, end, step, dtype)?;
    // int64 counts in int64: fractions are dropped first.
    let all_int = all_int || dtype == DType::I64;
    let counted = |s: Scalar| if dtype == DType::I64 { Scalar::Int(s.to_i64()) } else { s };
    let (start, end, step) = (counted(start), counted(end), counted(step));
    let (a, b, s) = check_range("arange", start, end, step, dtype)?;
    let len = if all_int {
        let (a, b, s) = (start.to_i64() as i128, end.to_i64() as i128, step.to_i64() as i128);
        ((b - a + s - s.signum()) / s) as usize
    } else {
        ((b - a) / s).ceil() as usize
    };
    ramp(start, step, len, dtype, device)
}

/// `torch.range`: as arange, with the end included.
pub fn range(start: Scalar, end: Scalar, step: Scalar, dtype: Option<DType>, device: Device) -> Result<Tensor> {
    let dtype = dtype.unwrap_or(super::elementwise::default_dtype());
    let (a, b, s) = check_range("range", start, end, step, dtype)?;
    ramp(start, step, ((b - a) / s).floor() as usize + 1, dtype, device)
}

/// The bounds of a range as f64, checked.
fn check_range(op: &str, start: Scalar, end: Scalar, step: Scalar, dtype: DType) -> Result<(f64, f64, f64)> {
    let (a, b, s) = (start.to_f64(), end.to_f64(), step.to_f64());
    ensure!(
        dtype != DType::Bool && dtype.is_primitive(),
        NotImplemented,
        "\"{op}_cpu\" not implemented for '{}'",
        dtype.scalar_name()
    );
    ensure!(s != 0.0, Value, "{op}: step must be nonzero");
    ensure!(a.is_finite() && b.is_finite(), Runtime, "{op}: unsupported range: {a} -> {b}");
    ensure!(
        (s > 0.0 && b >= a) || (s < 0.0 && b <= a),
        Runtime,
        "{op}: upper bound and lower bound inconsistent with step sign"
    );
    Ok((a, b, s))
}

/// `steps` evenly spaced numbers from `start` to `end`, each half counted from its own end so that both are met: float64 on
/// the CPU, float32 on a GPU, and there for whole numbers the exact quotients rounded toward zero.
fn spaced(op: &str, start: Scalar, end: Scalar, steps: i64, dtype: DType, device: Device) -> Result<Tensor> {
    ensure!(steps >= 0, Runtime, "{op}: number of steps must be non-negative");
    ensure!(
        dtype != DType::Bool && !dtype.is_carried(),
        NotImplemented,
        "\"{op}_cpu\" not implemented for '{}'",
        dtype.scalar_name()
    );
    // The ends count as numbers of the result's dtype.
    let value = |s: Scalar| Scalar::from_bits(s.to_bits(dtype), dtype).to_f64();
    let (a, b, n) = (value(start), value(end), steps as usize);
    if device != Device::Meta {
        crate::os::check_allocation(n.saturating_mul(8), || format!("[{n}]"))?;
    }
    let whole = |start, step| ramp(Scalar::Int(start), Scalar::Int(step), n, DType::I64, device);
    if device.is_gpu() && !dtype.is_float() {
        let (a, b, parts) = (a as i64, b as i64, steps.saturating_sub(1).max(1));
        let terms = a.checked_mul(parts).zip(b.checked_sub(a).filter(|d| d.checked_mul(parts).is_some()));
        let Some((first, distance)) = terms else {
            bail!(Runtime, "{op}: {start:?} to {end:?} leaves int64 on {device}")
        };
        return super::elementwise::apply(
            Ew::TruncDiv,
            &[(&whole(first, distance)?).into(), Scalar::Int(parts).into()],
        );
    }
    let wide = if device.is_gpu() { DType::F32 } else { DType::F64 };
    let step = if n > 1 { (b - a) / (n - 1) as f64 } else { 0.0 };
    let from = |start| ramp(Scalar::Float(start), Scalar::Float(step), n, wide, device);
    let (forward, backward) = (from(a)?, from(b - step * n.saturating_sub(1) as f64)?);
    let first_half = whole(0, 1)?.lt((n.max(2) / 2) as i64)?;
    super::elementwise::where_(&first_half, &forward, &backward)
}

/// `steps` evenly spaced numbers from `start` to `end`.
pub fn linspace(start: Scalar, end: Scalar, steps: i64, dtype: DType, device: Device) -> Result<Tensor> {
    if dtype.is_complex() {
        let ((a, b), (c, d)) = (start.parts(), end.parts());
        let part = |from, to| linspace(Scalar::Float(from), Scalar::Float(to), steps, dtype.part(), device);
        return complex::complex(&part(a, c)?, &part(b, d)?);
    }
    super::elementwise::cast(&spaced("linspace", start, end, steps, dtype, device)?, dtype)
}

/// As [`spaced`], with every step rounded to a half type: PyTorch's `logspace` takes powers of such exponents.
fn stepped_in(start: Scalar, end: Scalar, steps: i64, dtype: DType, device: Device) -> Result<Tensor> {
    let n = steps as usize;
    let rounded = |v: f64| Scalar::from_bits(Scalar::Float(v).to_bits(dtype), dtype);
    let (a, b) = (rounded(start.to_f64()), rounded(end.to_f64()));
    let distance = rounded(b.to_f64() - a.to_f64()).to_f64();
    let step = rounded(if n > 1 { distance / rounded((n - 1) as f64).to_f64() } else { 0.0 });
    let count = |from: i64, by: i64| ramp(Scalar::Int(from), Scalar::Int(by), n, dtype, device);
    let forward = count(0, 1)?.mul(step)?.add(a)?;
    let backward = super::elementwise::apply(Ew::Sub, &[b.into(), (&count(steps - 1, -1)?.mul(step)?).into()])?;
    let first_half = ramp(Scalar::Int(0), Scalar::Int(1), n, DType::I64, device)?.lt((n.max(2) / 2) as i64)?;
    let wide = if device.is_gpu() { DType::F32 } else { DType::F64 };
    super::elementwise::cast(&super::elementwise::where_(&first_half, &forward, &backward)?, wide)
}

/// Powers of `base` with evenly spaced exponents from `start` to `end`.
pub fn logspace(start: Scalar, end: Scalar, steps: i64, base: f64, dtype: DType, device: Device) -> Result<Tensor> {
    if dtype.is_complex() {
        let exponents = linspace(start, end, steps, dtype, device)?;
        return super::elementwise::apply(Ew::Pow, &[base.into(), (&exponents).into()]);
    }
    let mut exponents = spaced("logspace", start, end, steps, dtype, device)?;
    if steps == 1 {
        // A lone exponent is not rounded to the dtype.
        let wide = if device.is_gpu() { DType::F32 } else { DType::F64 };
        exponents = number(start, wide, device).and_then(|t| super::view::reshape(&t, &[1]))?;
    } else if matches!(dtype, DType::F16 | DType::BF16) {
        exponents = stepped_in(start, end, steps, dtype, device)?;
    }
    let powers = super::elementwise::apply(Ew::Pow, &[base.into(), (&exponents).into()])?;
    super::elementwise::cast(&powers, dtype)
}

/// Ones on the diagonal of n rows and m columns.
pub fn eye(n: i64, m: i64, dtype: DType, device: Device) -> Result<Tensor> {
    ensure!(n >= 0, Runtime, "eye: n must be greater or equal to 0, got {n}");
    ensure!(m >= 0, Runtime, "eye: m must be greater or equal to 0, got {m}");
    ensure!(!dtype.is_wide_unsigned(), NotImplemented, "\"eye\" not implemented for '{}'", dtype.scalar_name());
    let index = |n: i64| ramp(Scalar::Int(0), Scalar::Int(1), n as usize, DType::I64, device);
    let equal = super::view::unsqueeze(&index(n)?, 1)?.eq(&super::view::unsqueeze(&index(m)?, 0)?)?;
    super::elementwise::cast(&equal, dtype)
}

/// `t` with every element replaced by one value (a number or a 0-d tensor); the old elements have gradient zero.
pub fn fill(t: &Tensor, value: Operand) -> Result<Tensor> {
    if let Operand::Tensor(v) = value {
        ensure!(
            v.rank() == 0,
            Runtime,
            "fill_ only supports 0-dimension value tensor but got tensor with {} dimensions.",
            v.rank()
        );
    }
    let layout = super::elementwise::output_layout(t.layout());
    let out = match value {
        Operand::Number(s) => full_with((*layout).clone(), s, t.dtype(), t.device())?,
        Operand::Tensor(v) => {
            let v = super::elementwise::cast(&to_device(&v.detach(), t.device())?, t.dtype())?;
            super::copy_as(&super::view::expand(&v, t.shape())?, (*layout).clone())?
        }
    };
    let (shape, dtype, device) = (t.shape_dims().clone(), t.dtype(), t.device());
    let value_tensor = if let Operand::Tensor(v) = value { v } else { &number(Scalar::Int(0), dtype, device)? };
    attach("FillBackward0", &[t, value_tensor], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| {
            let old = if v.needs(0) { Some(zeros(shape.clone(), dtype, device)?) } else { None };
            let new = if v.needs(1) { Some(super::reduce::sum(v.grad()?, None, false, None)?) } else { None };
            Ok(SmallVec::from_iter([old, new]))
        }))
    })?;
    Ok(out)
}

/// [`fill`] in place.
pub fn fill_into(t: &Tensor, value: Operand) -> Result<()> {
    let history = crate::grad::modes().grad && t.requires_grad();
    match value {
        Operand::Number(s) if !history => super::inplace::fill_number(t, s),
        _ => {
            super::inplace::check_writable(t)?;
            super::inplace::replace(t, &fill(t, value)?, "fill")
        }
    }
}
