//! Creation, conversion and whole-tensor writes.

use crate::args::Args;
use crate::error::from_py;
use crate::formats::layout_for;
use crate::rows;
use crate::storage::lock_pages_of;
use crate::table::Row;
use crate::tensor::shape_of;
use crate::types::{Format, PyLayout, default_device, type_name};
use corten_core::device::Device;
use corten_core::dtype::{DType, Scalar};
use corten_core::error::{Error, Result};
use corten_core::ops::create;
use corten_core::ops::device::to_device;
use corten_core::ops::elementwise::{Operand, cast, default_dtype};
use corten_core::ops::{inplace, view};
use corten_core::shape::{Dims, Layout};
use corten_core::tensor::Tensor;
use corten_core::{bail, ensure};
use pyo3::prelude::*;

/// Rows of functions that make a tensor: their signatures end with PyTorch's options, which [`Options`] reads.
#[macro_export]
macro_rules! creation_rows {
    ($($head:literal $flags:ident $doc:literal |$a:ident, $o:ident| $e:expr;)*) => {
        vec![$($crate::table::Row {
            signature: concat!(
                $head,
                ", dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=None, bool? requires_grad=None)"
            ),
            flags: $crate::table::flags(stringify!($flags)),
            doc: $doc,
            call: $crate::table::Call::Fn(|$a| {
                let $o = $crate::ops::create::Options::last($a)?;
                $o.finish($e)
            }),
        }),*]
    };
}

/// How many parameters `creation_rows!` appends.
const COUNT: usize = 5;

/// The options at the end of a creation function's signature.
pub struct Options {
    pub dtype: Option<DType>,
    device: Option<Device>,
    pin_memory: bool,
    requires_grad: bool,
}

impl Options {
    pub fn last(a: &Args) -> Result<Options> {
        let first = a.0.len() - COUNT;
        if let Some(layout) = a.object(first + 1) {
            Python::attach(|py| {
                let layout = layout.bind(py);
                ensure!(
                    layout.is_instance_of::<PyLayout>(),
                    Type,
                    "argument 'layout' must be corten.layout, not {}",
                    type_name(layout)
                );
                Ok(())
            })?;
        }
        Ok(Options {
            dtype: a.dtype(first),
            device: a.device(first + 2),
            pin_memory: a.bool(first + 3),
            requires_grad: a.bool(first + 4),
        })
    }
    pub fn dtype_or(&self, other: DType) -> DType {
        self.dtype.unwrap_or(other)
    }
    pub fn float(&self) -> DType {
        self.dtype.unwrap_or_else(default_dtype)
    }
    /// The device asked for, or the default one.
    pub fn device(&self) -> Device {
        self.device.unwrap_or_else(default_device)
    }
    /// The device asked for, or the tensor's.
    pub fn device_or(&self, t: &Tensor) -> Device {
        self.device.unwrap_or(t.device())
    }
    pub fn finish(&self, t: Tensor) -> Result<crate::table::Ret> {
        let t = self.device.map_or(Ok(t.clone()), |d| to_device(&t, d))?;
        if self.pin_memory {
            lock_pages_of(&t)?;
        }
        if self.requires_grad {
            t.set_requires_grad(true)?;
        }
        Ok(t.into())
    }
}

/// Sizes checked for signs.
pub fn dims(op: &str, sizes: &[i64]) -> Result<Dims> {
    shape_of(op, sizes).map_err(from_py)
}

fn usizes(op: &str, what: &str, v: &[i64]) -> Result<Dims> {
    v.iter()
        .map(|&x| {
            usize::try_from(x).map_err(|_| Error::Runtime(format!("{op}: {what} must not be negative, got {v:?}")))
        })
        .collect()
}

fn constant(op: &str, sizes: &[i64], value: Scalar, dtype: DType, device: Device) -> Result<Tensor> {
    let shape = dims(op, sizes)?;
    crate::checks::fits(value, dtype, shape.numel())?;
    create::full(shape, value, dtype, device)
}

/// The dtype that a number has as a tensor.
fn number_dtype(s: Scalar) -> DType {
    match s {
        Scalar::Bool(_) => DType::Bool,
        Scalar::Int(_) | Scalar::Unsigned(_) => DType::I64,
        Scalar::Float(_) => default_dtype(),
        Scalar::Complex(..) => default_dtype().complex(),
    }
}

/// The dtype of evenly spaced numbers where none is asked for.
fn spaced(start: Scalar, end: Scalar) -> DType {
    if start.category().max(end.category()) < 3 { default_dtype() } else { default_dtype().complex() }
}

/// The layout of a `…_like` result.
pub fn like_layout(t: &Tensor, format: Option<Format>) -> Result<Layout> {
    layout_for(t.shape_dims(), Some(format.unwrap_or(Format::Preserve)), Some(t.layout())).map_err(from_py)
}

fn full_like(t: &Tensor, value: Scalar, o: &Options, format: Option<Format>) -> Result<Tensor> {
    crate::checks::fits(value, o.dtype_or(t.dtype()), t.numel())?;
    create::full_with(like_layout(t, format)?, value, o.dtype_or(t.dtype()), o.device_or(t))
}

fn empty(op: &str, sizes: &[i64], dtype: DType, format: Option<Format>, device: Device) -> Result<Tensor> {
    let shape = dims(op, sizes)?;
    ensure!(
        format != Some(Format::Preserve),
        Runtime,
        "{op}: the preserve_format memory format has no meaning without a tensor to follow"
    );
    create::empty(layout_for(&shape, format, None).map_err(from_py)?, dtype, device)
}

fn empty_strided(op: &str, sizes: &[i64], strides: &[i64], dtype: DType, device: Device) -> Result<Tensor> {
    ensure!(
        sizes.len() == strides.len(),
        Runtime,
        "{op}: dimensionality of sizes ({}) must match dimensionality of strides ({})",
        sizes.len(),
        strides.len()
    );
    let layout = Layout { shape: dims(op, sizes)?, strides: usizes(op, "strides", strides)?, offset: 0 };
    create::empty(layout, dtype, device)
}

/// A dense tensor whose dims lie in memory in the given order.
fn empty_permuted(sizes: &[i64], order: &[i64], dtype: DType, device: Device) -> Result<Tensor> {
    let shape = dims("empty_permuted", sizes)?;
    ensure!(
        order.len() == shape.len(),
        Runtime,
        "Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {} is not equal to len(physical_layout) = {}",
        shape.len(),
        order.len()
    );
    let mut strides = Dims::filled(0, shape.len());
    let mut seen = vec![false; shape.len()];
    let mut step = 1usize;
    for &d in order.iter().rev() {
        let at = usize::try_from(d).ok().filter(|&d| d < shape.len());
        let Some(at) = at else {
            bail!(Runtime, "Dimension out of range (expected to be between 0 and {}, but got {d})", shape.len())
        };
        ensure!(!seen[at], Runtime, "Duplicate dim not allowed");
        seen[at] = true;
        strides[at] = step;
        step = step.saturating_mul(shape[at].max(1));
    }
    create::empty(Layout { shape, strides, offset: 0 }, dtype, device)
}

/// The ends of an evenly spaced row: numbers, or tensors of no dims.
fn ends(op: &str, a: &Args) -> Result<(Scalar, Scalar)> {
    let number = |operand: Operand, name: &str| match operand {
        Operand::Number(n) => Ok(n),
        Operand::Tensor(t) => {
            ensure!(
                t.rank() == 0,
                Runtime,
                "{op} only supports 0-dimensional start and end tensors, but got {name} with {} dimension(s).",
                t.rank()
            );
            corten_core::ops::item(t)
        }
    };
    Ok((number(a.operand(0), "start")?, number(a.operand(1), "end")?))
}

fn range(a: &Args) -> Result<(Scalar, Scalar, Scalar)> {
    Ok((a.number(0), a.number(1), a.number(2)))
}

/// A conversion that leaves the tensor as it is when it fits already.
fn convert(
    t: &Tensor,
    device: Option<Device>,
    dtype: Option<DType>,
    copy: bool,
    format: Option<Format>,
) -> Result<Tensor> {
    super::shape::to(t, device, dtype, copy, format)
}

/// The GPU asked for, or the current one.
fn gpu_or_default(device: Option<Device>) -> Result<Device> {
    match device {
        Some(d) => Ok(d),
        None => crate::types::current_gpu().map_err(from_py),
    }
}

fn copy_into(t: &Tensor, source: &Tensor) -> Result<Tensor> {
    crate::checks::discards_imaginary(source.dtype(), t.dtype())?;
    inplace::copy_(t, source.into())?;
    Ok(t.clone())
}

fn fill_into(t: &Tensor, value: Operand) -> Result<Tensor> {
    fill_fits(t, value)?;
    create::fill_into(t, value)?;
    Ok(t.clone())
}

fn fill_fits(t: &Tensor, value: Operand) -> Result<()> {
    if let Operand::Number(n) = value { crate::checks::fits(n, t.dtype(), t.numel()) } else { Ok(()) }
}

fn filled(t: &Tensor, value: Operand) -> Result<Tensor> {
    fill_fits(t, value)?;
    create::fill(t, value)
}

fn scalar_tensor(value: Scalar, dtype: DType, device: Device) -> Result<Tensor> {
    crate::checks::fits(value, dtype, 1)?;
    create::number(value, dtype, device)
}

fn triangle_indices(upper: bool, a: &Args, o: &Options) -> Result<Tensor> {
    let dtype = o.dtype_or(DType::I64);
    ensure!(
        dtype.is_int(),
        NotImplemented,
        "\"{}\" not implemented for '{}'",
        if upper { "triu_indices" } else { "tril_indices" },
        dtype.scalar_name()
    );
    let positions = corten_core::ops::rearrange::triangle_indices(upper, a.int(0), a.int(1), a.int(2))?;
    // Brought over as the vector that memory holds, so that nothing is computed on the CPU for another device.
    let flat = view::reshape(&positions, &[positions.numel()])?;
    view::reshape(&cast(&to_device(&flat, o.device())?, dtype)?, positions.shape())
}

fn makers() -> Vec<Row> {
    creation_rows! {
        "zeros(int[] size, *" foc "Zeros." |a, o| constant("zeros", a.ints(0), Scalar::Int(0), o.float(), o.device())?;
        "ones(int[] size, *" foc "Ones." |a, o| constant("ones", a.ints(0), Scalar::Int(1), o.float(), o.device())?;
        "full(int[+] size, Scalar fill_value, *" foc "One value everywhere." |a, o| constant("full", a.ints(0), a.number(1), o.dtype_or(number_dtype(a.number(1))), o.device())?;
        "empty(int[] size, *, format? memory_format=None" foc "Memory whose content is not promised." |a, o| empty("empty", a.ints(0), o.float(), a.format(1), o.device())?;
        "empty_strided(int[+] size, int[] stride, *" f "Memory with the given strides." |a, o| empty_strided("empty_strided", a.ints(0), a.ints(1), o.float(), o.device())?;
        "empty_permuted(int[] size, int[] physical_layout, *" f "Dense memory with dims in the given order, outermost first." |a, o| empty_permuted(a.ints(0), a.ints(1), o.float(), o.device())?;
        "zeros_like(Tensor self, *, format? memory_format=None" f "Zeros in the shape of a tensor." |a, o| full_like(a.tensor(0), Scalar::Int(0), &o, a.format(1))?;
        "ones_like(Tensor self, *, format? memory_format=None" f "Ones in the shape of a tensor." |a, o| full_like(a.tensor(0), Scalar::Int(1), &o, a.format(1))?;
        "full_like(Tensor self, Scalar fill_value, *, format? memory_format=None" f "One value in the shape of a tensor." |a, o| full_like(a.tensor(0), a.number(1), &o, a.format(2))?;
        "empty_like(Tensor self, *, format? memory_format=None" f "Memory in the shape of a tensor." |a, o| create::empty(like_layout(a.tensor(0), a.format(1))?, o.dtype_or(a.tensor(0).dtype()), o.device_or(a.tensor(0)))?;
        "new_zeros(Tensor self, int[] size, *" m "Zeros of this tensor's dtype." |a, o| constant("new_zeros", a.ints(1), Scalar::Int(0), o.dtype_or(a.tensor(0).dtype()), o.device_or(a.tensor(0)))?;
        "new_ones(Tensor self, int[] size, *" m "Ones of this tensor's dtype." |a, o| constant("new_ones", a.ints(1), Scalar::Int(1), o.dtype_or(a.tensor(0).dtype()), o.device_or(a.tensor(0)))?;
        "new_full(Tensor self, int[] size, Scalar fill_value, *" m "One value, of this tensor's dtype." |a, o| constant("new_full", a.ints(1), a.number(2), o.dtype_or(a.tensor(0).dtype()), o.device_or(a.tensor(0)))?;
        "new_empty(Tensor self, int[] size, *" m "Memory of this tensor's dtype." |a, o| empty("new_empty", a.ints(1), o.dtype_or(a.tensor(0).dtype()), None, o.device_or(a.tensor(0)))?;
        "new_empty_strided(Tensor self, int[] size, int[] stride, *" m "Memory of this tensor's dtype with the given strides." |a, o| empty_strided("new_empty_strided", a.ints(1), a.ints(2), o.dtype_or(a.tensor(0).dtype()), o.device_or(a.tensor(0)))?;
        "new_tensor(Tensor self, object data, *" m "The data as a tensor of this tensor's dtype." |a, o| {
            let dtype = o.dtype_or(a.tensor(0).dtype());
            let Some(data) = a.object(1) else { bail!(Type, "new_tensor(): argument 'data' is missing") };
            let device = o.device_or(a.tensor(0));
            Python::attach(|py| crate::create::from_data(data.bind(py), Some(dtype), device)).map_err(from_py)?
        };
        "scalar_tensor(Scalar s, *" f "A number as a 0-d tensor." |a, o| scalar_tensor(a.number(0), o.float(), o.device())?;
        "arange(Scalar end, *" foc "start, start + step, … below end." |a, o| create::arange(Scalar::Int(0), a.number(0), Scalar::Int(1), o.dtype, o.device())?;
        "arange(Scalar start, Scalar end, Scalar step=1, *" foc "" |a, o| { let (x, y, s) = range(a)?; create::arange(x, y, s, o.dtype, o.device())? };
        "_range(Scalar start, Scalar end, Scalar step=1, *" foc "`arange` with the end included." |a, o| { let (x, y, s) = range(a)?; create::range(x, y, s, o.dtype, o.device())? };
        "linspace(Operand start, Operand end, int steps, *" foc "Evenly spaced numbers, both ends included." |a, o| { let (x, y) = ends("linspace", a)?; create::linspace(x, y, a.int(2), o.dtype_or(spaced(x, y)), o.device())? };
        "logspace(Operand start, Operand end, int steps, float base=10.0, *" foc "Powers with evenly spaced exponents." |a, o| { let (x, y) = ends("logspace", a)?; create::logspace(x, y, a.int(2), a.float(3), o.dtype_or(spaced(x, y)), o.device())? };
        "tril_indices(int row, int col, int offset=0, *" f "Positions of the lower triangle, (2, n)." |a, o| triangle_indices(false, a, &o)?;
        "triu_indices(int row, int col, int offset=0, *" f "Positions of the upper triangle, (2, n)." |a, o| triangle_indices(true, a, &o)?;
        "eye(int n, *" foc "The identity matrix." |a, o| create::eye(a.int(0), a.int(0), o.float(), o.device())?;
        "eye(int n, int m, *" foc "" |a, o| create::eye(a.int(0), a.int(1), o.float(), o.device())?;
    }
}

fn conversions() -> Vec<Row> {
    rows! {
        "to(Tensor self, device? device=None, dtype? dtype=None, bool non_blocking=False, bool copy=False, *, format? memory_format=None)" m "The tensor in another dtype or on another device, itself where nothing changes." |a| convert(a.tensor(0), a.device(1), a.dtype(2), a.bool(4), a.format(5))?;
        "to(Tensor self, dtype dtype, bool non_blocking=False, bool copy=False, *, format? memory_format=None)" m "" |a| convert(a.tensor(0), None, a.dtype(1), a.bool(3), a.format(4))?;
        "to(Tensor self, Tensor other, bool non_blocking=False, bool copy=False, *, format? memory_format=None)" m "" |a| convert(a.tensor(0), Some(a.tensor(1).device()), Some(a.tensor(1).dtype()), a.bool(3), a.format(4))?;
        "type_as(Tensor self, Tensor other)" m "The tensor in the dtype of `other`." |a| cast(a.tensor(0), a.tensor(1).dtype())?;
        "cpu(Tensor self, *, format? memory_format=None)" m "The tensor on the CPU." |a| convert(a.tensor(0), Some(Device::Cpu), None, false, a.format(1))?;
        "cuda(Tensor self, device? device=None, bool non_blocking=False, *, format? memory_format=None)" m "The tensor on a GPU." |a| convert(a.tensor(0), Some(gpu_or_default(a.device(1))?), None, false, a.format(3))?;
        "gpu(Tensor self, device? device=None, bool non_blocking=False, *, format? memory_format=None)" m "The tensor on a GPU." |a| convert(a.tensor(0), Some(gpu_or_default(a.device(1))?), None, false, a.format(3))?;
        "double(Tensor self, *, format? memory_format=None)" m "As float64." |a| convert(a.tensor(0), None, Some(DType::F64), false, a.format(1))?;
        "float(Tensor self, *, format? memory_format=None)" m "As float32." |a| convert(a.tensor(0), None, Some(DType::F32), false, a.format(1))?;
        "half(Tensor self, *, format? memory_format=None)" m "As float16." |a| convert(a.tensor(0), None, Some(DType::F16), false, a.format(1))?;
        "chalf(Tensor self, *, format? memory_format=None)" m "As complex32." |a| convert(a.tensor(0), None, Some(DType::C32), false, a.format(1))?;
        "cfloat(Tensor self, *, format? memory_format=None)" m "As complex64." |a| convert(a.tensor(0), None, Some(DType::C64), false, a.format(1))?;
        "cdouble(Tensor self, *, format? memory_format=None)" m "As complex128." |a| convert(a.tensor(0), None, Some(DType::C128), false, a.format(1))?;
        "bfloat16(Tensor self, *, format? memory_format=None)" m "As bfloat16." |a| convert(a.tensor(0), None, Some(DType::BF16), false, a.format(1))?;
        "long(Tensor self, *, format? memory_format=None)" m "As int64." |a| convert(a.tensor(0), None, Some(DType::I64), false, a.format(1))?;
        "int(Tensor self, *, format? memory_format=None)" m "As int32." |a| convert(a.tensor(0), None, Some(DType::I32), false, a.format(1))?;
        "short(Tensor self, *, format? memory_format=None)" m "As int16." |a| convert(a.tensor(0), None, Some(DType::I16), false, a.format(1))?;
        "char(Tensor self, *, format? memory_format=None)" m "As int8." |a| convert(a.tensor(0), None, Some(DType::I8), false, a.format(1))?;
        "byte(Tensor self, *, format? memory_format=None)" m "As uint8." |a| convert(a.tensor(0), None, Some(DType::U8), false, a.format(1))?;
        "bool(Tensor self, *, format? memory_format=None)" m "As bool." |a| convert(a.tensor(0), None, Some(DType::Bool), false, a.format(1))?;
        "copy_(Tensor self, Tensor src, bool non_blocking=False)" m "Overwrites the tensor with another, which is broadcast and converted." |a| copy_into(a.tensor(0), a.tensor(1))?;
        "fill(Tensor self, Operand value)" f "One value in the shape of a tensor." |a| filled(a.tensor(0), a.operand(1))?;
        "fill_(Tensor self, Operand value)" fm "Overwrites every element with one value." |a| fill_into(a.tensor(0), a.operand(1))?;
        "_snapshot(Tensor self)" m "The value of now with its history, untouched by later writes." |a| a.tensor(0).snapshot()?;
        "_replace(Tensor self, Tensor value, str name)" m "Stores the result of the in-place form of an operator." |a| {
            inplace::replace(a.tensor(0), a.tensor(1), a.str(2))?;
            a.tensor(0).clone()
        };
        "_result(Tensor self)" fo "The tensor, for functions that take `out=`." |a| a.tensor(0).clone();
        "zero_(Tensor self)" fm "Overwrites every element with zero." |a| fill_into(a.tensor(0), Scalar::Int(0).into())?;
    }
}

pub fn rows() -> Vec<Row> {
    let mut all = makers();
    all.extend(conversions());
    all
}
