//! Complex tensors: pairs of real numbers (`exec/pairs.rs`) and what is computed with them. Every operator is put together
//! from operators on the real and the imaginary parts, which fuse, run on every device and have gradients; holomorphic
//! functions take their derivative from the elementwise table, at conjugate values. The gradient of a real number with
//! respect to x + iy is ∂/∂x + i·∂/∂y, as in PyTorch.

pub mod elementwise;
mod functions;
pub mod reduce;

use super::elementwise::{Operand, apply, cast};
use super::{contiguous, create, join, view};
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::ensure;
use crate::error::Result;
use crate::grad::{Grads, Rule, with_grad_mode};
use crate::op::Ew;
use crate::shape::{Dims, Layout};
use crate::tensor::{Keep, Tensor, attach};
use smallvec::SmallVec;
use std::sync::Arc;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

impl Tensor {
    /// The parts of a complex tensor in a last dim of two: the same memory, without history.
    pub fn pairs(&self) -> Tensor {
        self.alias(self.layout().paired(), self.dtype().part())
    }
}

/// The real and imaginary parts in a last dim of two: a view (`torch.view_as_real`).
pub fn view_as_real(z: &Tensor) -> Result<Tensor> {
    ensure!(z.dtype().is_complex(), Runtime, "view_as_real is only supported for complex tensors");
    let layout = z.layout().paired();
    Ok(view::make_view_as(z, layout, z.dtype().part(), "ViewAsRealBackward0", |v| Ok(one(from_pairs(v.grad()?)?))))
}

/// A last dim of two as real and imaginary parts: a view (`torch.view_as_complex`).
pub fn view_as_complex(x: &Tensor) -> Result<Tensor> {
    ensure!(
        matches!(x.dtype(), DType::F16 | DType::F32 | DType::F64),
        Runtime,
        "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: {}",
        x.dtype().scalar_name()
    );
    let l = x.layout();
    ensure!(x.rank() > 0, Runtime, "Input tensor must have one or more dimensions");
    let last = x.rank() - 1;
    ensure!(l.shape[last] == 2, Runtime, "Tensor must have a last dimension of size 2");
    ensure!(l.strides[last] == 1, Runtime, "Tensor must have a last dimension with stride 1");
    ensure!(
        l.strides[..last].iter().all(|s| s % 2 == 0),
        Runtime,
        "Tensor must have a stride divisible by 2 for all but last dimension"
    );
    ensure!(l.offset.is_multiple_of(2), Runtime, "Tensor must have a storage_offset divisible by 2");
    Ok(as_complex(x, l.unpaired().unwrap_or_else(|| (**l).clone())))
}

fn as_complex(x: &Tensor, layout: Layout) -> Tensor {
    view::make_view_as(x, layout, x.dtype().complex(), "ViewAsComplexBackward0", |v| Ok(one(view_as_real(v.grad()?)?)))
}

/// [`view_as_complex`], of a copy where the pairs lie otherwise.
pub fn from_pairs(x: &Tensor) -> Result<Tensor> {
    if let Some(layout) = x.layout().unpaired() {
        return Ok(as_complex(x, layout));
    }
    let dense = if x.is_contiguous() { x.copy_contiguous()? } else { contiguous(x)? };
    let layout = dense.layout().unpaired();
    let layout = layout.ok_or_else(|| crate::error::Error::Internal("pairs that do not lie side by side".into()))?;
    Ok(as_complex(&dense, layout))
}

/// The real part: a view, of a real tensor the tensor itself (`torch.real`).
pub fn real(z: &Tensor) -> Result<Tensor> {
    if z.dtype().is_complex() { view::select(&view_as_real(z)?, -1, 0) } else { Ok(z.clone()) }
}

/// The imaginary part: a view (`torch.imag`).
pub fn imag(z: &Tensor) -> Result<Tensor> {
    ensure!(z.dtype().is_complex(), Runtime, "imag is not implemented for tensors with non-complex dtypes.");
    view::select(&view_as_real(z)?, -1, 1)
}

/// The tensor with these parts (`torch.complex`).
pub fn complex(re: &Tensor, im: &Tensor) -> Result<Tensor> {
    let float = |t: &Tensor| matches!(t.dtype(), DType::F16 | DType::F32 | DType::F64);
    ensure!(
        float(re) && float(im),
        Runtime,
        "Expected both inputs to be Half, Float or Double tensors but got {} and {}",
        re.dtype().scalar_name(),
        im.dtype().scalar_name()
    );
    ensure!(
        re.dtype() == im.dtype(),
        Runtime,
        "Expected object of scalar type {} but got scalar type {} for second argument",
        re.dtype().scalar_name(),
        im.dtype().scalar_name()
    );
    let shape = crate::shape::broadcast_shapes("complex", re.shape(), im.shape())?;
    joined(&view::expand(re, &shape)?, &view::expand(im, &shape)?)
}

/// Parts of one shape and dtype side by side, in the order in which the real part lies; it may be that of a dense tensor.
fn joined(re: &Tensor, im: &Tensor) -> Result<Tensor> {
    let out = with_grad_mode(false, || {
        let mut l = (**re.layout()).clone();
        if !l.is_dense() && l.strides.iter().all(|s| s % 2 == 0) {
            l.strides.iter_mut().for_each(|s| *s /= 2);
        }
        if l.is_contiguous() || !l.is_dense() {
            return owned(&join::stack(&[re.detach(), im.detach()], -1)?);
        }
        let mut order: SmallVec<[usize; 6]> = (0..l.rank()).collect();
        order.sort_by_key(|&d| std::cmp::Reverse(l.strides[d]));
        let mut back = order.clone();
        for (i, &d) in order.iter().enumerate() {
            back[d] = i;
        }
        let pairs = join::stack(&[view::permute(&re.detach(), &order), view::permute(&im.detach(), &order)], -1)?;
        let turned = owned(&pairs)?;
        Ok(turned.alias(turned.layout().permute(&back), turned.dtype()))
    })?;
    attach("ComplexBackward0", &[re, im], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(|v| {
            let part = |i, f: fn(&Tensor) -> Result<Tensor>| v.needs(i).then(|| f(v.grad()?)).transpose();
            Ok(SmallVec::from_iter([part(0, real)?, part(1, imag)?]))
        }))
    })?;
    Ok(out)
}

/// Fresh pairs as a complex tensor of its own, which is no view of them.
pub fn owned(pairs: &Tensor) -> Result<Tensor> {
    match pairs.layout().unpaired() {
        Some(layout) => Ok(pairs.alias(layout, pairs.dtype().complex())),
        None => owned(&pairs.copy_contiguous()?),
    }
}

/// abs·(cos angle + i·sin angle) (`torch.polar`).
pub fn polar(abs: &Tensor, angle: &Tensor) -> Result<Tensor> {
    ensure!(
        matches!(abs.dtype(), DType::F32 | DType::F64) && matches!(angle.dtype(), DType::F32 | DType::F64),
        Runtime,
        "Expected both inputs to be Half, Float or Double tensors but got {} and {}",
        abs.dtype().scalar_name(),
        angle.dtype().scalar_name()
    );
    complex(&abs.mul(&angle.cos()?)?, &abs.mul(&angle.sin()?)?)
}

/// x − iy; a real tensor itself.
pub fn conj(z: &Tensor) -> Result<Tensor> {
    if !z.dtype().is_complex() {
        return Ok(z.clone());
    }
    let out = with_grad_mode(false, || joined(&real(z)?, &imag(z)?.neg()?))?;
    attach("ConjBackward0", &[z], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(|v| Ok(one(conj(v.grad()?)?))))
    })?;
    Ok(out)
}

/// The absolute value, of the parts' dtype; its gradient at 0 is 0.
pub fn abs(z: &Tensor) -> Result<Tensor> {
    let out = with_grad_mode(false, || apply(Ew::Hypot, &[(&real(z)?).into(), (&imag(z)?).into()]))?;
    attach("AbsBackward0", &[z], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[] }, || {
        Rule::Fn(Arc::new(|v| Ok(one(sgn(v.saved(0))?.mul(v.grad()?)?))))
    })?;
    Ok(out)
}

/// The angle in (−π, π]; of real numbers 0 or π, and NaN of NaN.
pub fn angle(z: &Tensor) -> Result<Tensor> {
    if z.dtype().is_complex() {
        let out = with_grad_mode(false, || apply(Ew::Atan2, &[(&imag(z)?).into(), (&real(z)?).into()]))?;
        attach("AngleBackward0", &[z], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[] }, || {
            Rule::Fn(Arc::new(|v| {
                // The angle grows along i·z/|z|².
                let (re, im) = (real(v.saved(0))?, imag(v.saved(0))?);
                let size = abs(v.saved(0))?;
                let zero = size.eq_zero()?;
                let scale = v.grad()?.div(&size)?;
                let part = |p: &Tensor| p.div(&size)?.mul(&scale)?.zero_where(&zero);
                Ok(one(complex(&part(&im.neg()?)?, &part(&re)?)?))
            }))
        })?;
        return Ok(out);
    }
    let x = if z.dtype().is_float() { z.clone() } else { cast(z, super::elementwise::default_dtype())? };
    let flat = apply(Ew::Where, &[(&x.lt(0.0)?).into(), std::f64::consts::PI.into(), 0.0.into()])?;
    let flat = cast(&flat, x.dtype())?;
    // NaN stays, and the gradient is zero everywhere.
    apply(Ew::Where, &[(&x.isnan()?).into(), (&x).into(), (&flat).into()])
}

/// z/|z|, 0 at 0; the sign of real numbers.
pub fn sgn(z: &Tensor) -> Result<Tensor> {
    if !z.dtype().is_complex() {
        return z.sign();
    }
    let size = abs(z)?;
    let zero = size.eq_zero()?;
    let size = apply(Ew::Where, &[(&zero).into(), 1.0.into(), (&size).into()])?;
    // z is 0 where its size is.
    z.div(&cast(&size, z.dtype().part())?)
}

/// A 0-d complex number on a device.
pub fn number(value: Scalar, dtype: DType, device: Device) -> Result<Tensor> {
    let (re, im) = value.parts();
    let pair = match dtype {
        DType::C128 => create::from_slice(&[re, im])?,
        DType::C32 => create::from_slice(&[re, im].map(<half::f16 as crate::dtype::Element>::from_f64))?,
        _ => create::from_slice(&[re as f32, im as f32])?,
    };
    let pair = super::device::to_device(&pair, device)?;
    Ok(pair.alias(Layout::contiguous(Dims::new()), dtype))
}

/// One complex number everywhere, with chosen (dense) strides.
pub fn full_with(layout: Layout, value: Scalar, dtype: DType, device: Device) -> Result<Tensor> {
    let (re, im) = value.parts();
    if re.to_bits() == im.to_bits() {
        let pairs = create::full_with(layout.paired(), Scalar::Float(re), dtype.part(), device)?;
        return Ok(pairs.alias(layout, dtype));
    }
    super::copy_as(&view::expand(&number(value, dtype, device)?, &layout.shape)?, layout)
}

/// Conversion where one side is complex: real numbers get an imaginary part of 0, complex ones lose theirs.
pub fn converted(t: &Tensor, dtype: DType) -> Result<Tensor> {
    match (t.dtype().is_complex(), dtype.is_complex()) {
        (false, true) => {
            let re = cast(&t.detach(), dtype.part())?;
            let im =
                create::full_with(super::elementwise::preserved(re.layout()), Scalar::Int(0), re.dtype(), re.device())?;
            joined(&re, &im)
        }
        (true, false) if dtype == DType::Bool => elementwise::nonzero(&t.detach()),
        // A copy: the part is a view.
        (true, false) if dtype == t.dtype().part() => real(&t.detach())?.copy(),
        _ => cast(&real(&t.detach())?, dtype),
    }
}

/// An operator on each part, of real tensors on the tensor.
pub fn by_parts(z: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if z.dtype().is_complex() { joined(&f(&real(z)?)?, &f(&imag(z)?)?) } else { f(z) }
}

/// A bilinear operator from that on real tensors: the products of the parts.
pub fn bilinear(x: &Tensor, y: &Tensor, f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (a, b, c, d) = (real(x)?, imag(x)?, real(y)?, imag(y)?);
    complex(&f(&a, &c)?.sub(&f(&b, &d)?)?, &f(&a, &d)?.add(&f(&b, &c)?)?)
}

/// Truth values in place of complex numbers, where only these count; other tensors themselves.
pub fn truths(t: &Tensor) -> Result<Tensor> {
    if t.dtype().is_complex() { elementwise::nonzero(&t.detach()) } else { Ok(t.detach()) }
}

/// Every number among the operands as a tensor of the dtype.
fn tensors(operands: &[Operand], dtype: DType) -> Result<SmallVec<[Tensor; 4]>> {
    let device = operands.iter().find_map(|o| match o {
        Operand::Tensor(t) if t.device() != Device::Cpu => Some(t.device()),
        _ => None,
    });
    operands
        .iter()
        .map(|o| match o {
            Operand::Tensor(t) => Ok((*t).clone()),
            Operand::Number(s) => create::number(*s, dtype, device.unwrap_or(Device::Cpu)),
        })
        .collect()
}
