//! Activations with parameters or gates, and the bilinear form.

use super::elementwise::apply;
use super::{matmul, view};
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::op::Ew;
use crate::shape::{Dims, wrap_dim};
use crate::tensor::Tensor;

/// x above 0, weight·x below, with one weight or one per channel (dim 1).
pub fn prelu(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    ensure!(
        x.dtype() == weight.dtype(),
        Runtime,
        "prelu: Type promoting not supported. Got {} and {}",
        x.dtype().scalar_name(),
        weight.dtype().scalar_name()
    );
    ensure!(x.dtype().is_float(), NotImplemented, "\"prelu_cpu\" not implemented for '{}'", x.dtype().scalar_name());
    ensure!(
        weight.rank() <= 1,
        Runtime,
        "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {}",
        weight.rank()
    );
    let mut shape = Dims::filled(1, x.rank());
    if weight.numel() != 1 {
        ensure!(x.rank() > 0, Runtime, "Not allow zero-dim input tensor.");
        let channels = if x.rank() > 1 { x.shape()[1] } else { 1 };
        ensure!(
            weight.numel() == channels,
            Runtime,
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = {} and channel size = {channels}.",
            weight.numel()
        );
        shape[1] = channels;
    }
    apply(Ew::Prelu, &[x.into(), (&view::reshape(weight, &shape)?).into()])
}

/// a·sigmoid(b) of the two halves along a dim (Dauphin et al. 2017).
pub fn glu(x: &Tensor, dim: i64) -> Result<Tensor> {
    ensure!(x.rank() > 0, Runtime, "glu does not support 0-dimensional tensors");
    let d = wrap_dim("glu", dim, x.rank())?;
    let size = x.shape()[d];
    ensure!(size.is_multiple_of(2), Runtime, "Halving dimension must be even, but dimension {d} is size {size}");
    ensure!(x.dtype().is_float(), NotImplemented, "\"glu_cpu\" not implemented for '{}'", x.dtype().scalar_name());
    let half = size / 2;
    view::slice(x, d, 0, half, 1)?.mul(&view::slice(x, d, half, half, 1)?.sigmoid()?)
}

/// C++'s name of a dtype, as PyTorch's messages have it.
pub(super) fn c_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::U8 => "unsigned char",
        DType::I8 => "signed char",
        DType::I16 => "short int",
        DType::I32 => "int",
        DType::I64 => "long int",
        DType::F16 => "c10::Half",
        DType::BF16 => "c10::BFloat16",
        DType::F32 => "float",
        DType::F64 => "double",
        DType::C32 => "c10::complex<c10::Half>",
        DType::C64 => "c10::complex<float>",
        DType::C128 => "c10::complex<double>",
        carried => carried.name(),
    }
}

fn check_bilinear(x: &Tensor, y: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<()> {
    ensure!(
        x.dtype() == y.dtype() && x.dtype() == w.dtype(),
        Runtime,
        "All tensors must have the same dtype, got input1: {}, input2: {}, weight: {}",
        c_name(x.dtype()),
        c_name(y.dtype()),
        c_name(w.dtype())
    );
    ensure!(
        x.rank() == y.rank() && x.rank() > 0,
        Runtime,
        "bilinear(): input dimensions do not match: got {} and {}",
        x.rank(),
        y.rank()
    );
    let last = x.rank() - 1;
    for d in 0..last {
        let (a, b) = (x.shape()[d], y.shape()[d]);
        ensure!(a == b, Runtime, "bilinear(): input batch dimensions do not match at dim {d}: got {a} and {b}");
    }
    ensure!(
        w.rank() == 3,
        Runtime,
        "bilinear(): weight must be (out, in1, in2), but got a tensor of shape {}",
        w.shape_dims()
    );
    for (name, t, wanted) in [("input1", x, w.shape()[1]), ("input2", y, w.shape()[2])] {
        let size = t.shape()[last];
        ensure!(
            size == wanted,
            Runtime,
            "bilinear(): {name} size does not match weight size: got {size} but expected {wanted}"
        );
    }
    if let Some(b) = bias {
        let (size, wanted) = (b.shape().first().copied().unwrap_or(1), w.shape()[0]);
        ensure!(
            b.rank() <= 1 && size == wanted,
            Runtime,
            "bilinear(): bias size does not match weight size: got {size} but expected {wanted}"
        );
    }
    Ok(())
}

/// y[…, o] = Σ x1[…, i]·weight[o, i, j]·x2[…, j] + bias[o].
pub fn bilinear(x: &Tensor, y: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check_bilinear(x, y, w, bias)?;
    let [outputs, n1, n2] = [w.shape()[0], w.shape()[1], w.shape()[2]];
    let lead = &x.shape()[..x.rank() - 1];
    let rows: usize = lead.iter().product();
    let forms = view::reshape(&view::permute(w, &[1, 0, 2]), &[n1, outputs * n2])?;
    let half = matmul::product(&view::reshape(x, &[rows, n1])?, &forms)?;
    let half = view::reshape(&half, &[rows, outputs, n2])?;
    let shape: Dims = lead.iter().copied().chain([outputs]).collect();
    let out = view::reshape(&matmul::product(&half, &view::reshape(y, &[rows, n2, 1])?)?, &shape)?;
    match bias {
        Some(b) => out.add(b),
        None => Ok(out),
    }
}
