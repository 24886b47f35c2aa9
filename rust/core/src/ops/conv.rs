//! Convolution in one to three dims, direct and transposed. Its two gradients are convolutions of each other's kind, so
//! derivatives of any order follow.

use super::{matmul, reduce, view};
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule};
use crate::graph::{Inputs, OutSpec};
use crate::op::{Conv, ConvParams, Op};
use crate::shape::{Dims, Layout};
use crate::tensor::{Keep, Tensor, attach};
use smallvec::SmallVec;
use std::sync::Arc;

/// Three sizes aligned to the right, from one per spatial dim or one for all.
pub fn triple(op: &str, name: &str, given: &[i64], spatial: usize, fill: usize) -> Result<[usize; 3]> {
    ensure!(
        given.len() == spatial || given.len() == 1,
        Runtime,
        "{op}: expected {name} to be a single integer value or a list of {spatial} values to match the convolution dimensions, but got {name}={given:?}"
    );
    let mut out = [fill; 3];
    for i in 0..spatial {
        let v = given[if given.len() == 1 { 0 } else { i }];
        ensure!(v >= 0, Runtime, "{op}: negative {name} is not supported, got {given:?}");
        out[3 - spatial + i] = v as usize;
    }
    Ok(out)
}

/// What a pass makes of its tensors, without history.
fn record_conv(pass: Conv, p: &ConvParams, tensors: &[&Tensor], shape: Dims) -> Result<Tensor> {
    if let Some(out) = record_product(pass, p, tensors, &shape)? {
        return Ok(out);
    }
    let inputs: Inputs = tensors.iter().map(|t| t.input()).collect();
    let out = OutSpec { dtype: tensors[0].dtype(), layout: Arc::new(Layout::contiguous(shape)) };
    record_one(Op::Conv(pass, Box::new(p.clone())), inputs, out)
}

/// A convolution with one window, the whole of its input, as a matrix product: rows of points are rows of images times the
/// weights, which lie in memory as they are wanted. A transposed convolution of single points is its input gradient.
fn record_product(pass: Conv, p: &ConvParams, tensors: &[&Tensor], shape: &Dims) -> Result<Option<Tensor>> {
    let (first, second) = (tensors[0].shape(), tensors[1].shape());
    let (x, w, y): (&[usize], &[usize], &[usize]) = match pass {
        Conv::Forward => (first, second, shape),
        Conv::InputGrad => (shape, second, first),
        Conv::WeightGrad => (first, shape, second),
    };
    let (image, points) = if p.transposed { (y, x) } else { (x, y) };
    let one_window = image[2..] == w[2..] && points[2..].iter().all(|&n| n == 1);
    let plain = p.groups == 1 && p.padding == [0; 3] && tensors[0].dtype().is_float();
    if !one_window || !plain || tensors.iter().any(|t| t.numel() == 0) {
        return Ok(None);
    }
    let flat = |t: &Tensor| view::reshape(&t.detach(), &[t.shape()[0], t.numel() / t.shape()[0]]);
    let (a, b) = (flat(tensors[0])?, flat(tensors[1])?);
    let found = match (pass, p.transposed) {
        (Conv::Forward, false) | (Conv::InputGrad, true) => matmul::product(&a, &matmul::t(&b)?)?,
        (Conv::Forward, true) | (Conv::InputGrad, false) => matmul::product(&a, &b)?,
        (Conv::WeightGrad, false) => matmul::product(&matmul::t(&b)?, &a)?,
        (Conv::WeightGrad, true) => matmul::product(&matmul::t(&a)?, &b)?,
    };
    let found = view::reshape(&found, shape)?;
    let Some(bias) = tensors.get(2) else { return Ok(Some(found)) };
    let mut per_channel = Dims::filled(1, shape.len() - 1);
    per_channel[0] = bias.numel();
    Ok(Some(found.add(&view::reshape(&bias.detach(), &per_channel)?)?))
}

/// Channels-last where the input or the weight is; for one dim the weight alone decides. In three dims PyTorch's own kernels, which it takes for double
/// precision and for one small sample, do not follow.
fn output_format(p: &ConvParams, x: &Tensor, w: &Tensor, shape: &Dims) -> Layout {
    let suggests = |t: &Tensor| t.layout().suggests_channels_last();
    let follows = suggests(w) || (x.rank() > 3 && suggests(x));
    let large = w.shape().iter().rev().take(2).all(|&k| k > 3) || x.numel() > 20_480;
    let native = x.dtype() == DType::F64 || (x.shape()[0] == 1 && p.groups == 1 && !large);
    if follows && !(x.rank() == 5 && native) {
        Layout::channels_last(shape.clone())
    } else {
        Layout::contiguous(shape.clone())
    }
}

/// The output's shape.
fn output_shape(p: &ConvParams, x: &[usize], w: &[usize]) -> Result<Dims> {
    let spatial = x.len() - 2;
    let channels = if p.transposed { w[1] * p.groups } else { w[0] };
    let mut shape = Dims::from([x[0], channels]);
    for i in 0..spatial {
        let a = 3 - spatial + i;
        let (n, k) = (x[2 + i] as i64, w[2 + i] as i64);
        let (s, pad, d) = (p.stride[a] as i64, p.padding[a] as i64, p.dilation[a] as i64);
        let size = if p.transposed {
            (n - 1) * s - 2 * pad + d * (k - 1) + p.output_padding[a] as i64 + 1
        } else {
            (n + 2 * pad - d * (k - 1) - 1).div_euclid(s) + 1
        };
        ensure!(
            p.transposed || n + 2 * pad > d * (k - 1),
            Runtime,
            "Calculated padded input size per channel: ({}). Kernel size: ({}). Kernel size can't be greater than actual input size",
            n + 2 * pad,
            d * (k - 1) + 1
        );
        ensure!(
            size > 0 || (size == 0 && (!p.transposed || x[0] == 0)),
            Runtime,
            "Given input size per channel: ({n}). Calculated output size per channel: ({size}). Output size is too small"
        );
        shape.push(size as usize);
    }
    Ok(shape)
}

fn check(p: &ConvParams, x: &Tensor, w: &Tensor, bias: Option<&Tensor>, spatial: usize) -> Result<()> {
    let name = if p.transposed { "conv_transpose" } else { "conv" };
    ensure!(
        w.rank() == spatial + 2 && (x.rank() == spatial + 2 || x.rank() == spatial + 1),
        Runtime,
        "Expected {}D (unbatched) or {}D (batched) input to {name}{spatial}d, but got input of size: {} and weight of size {}",
        spatial + 1,
        spatial + 2,
        x.shape_dims(),
        w.shape_dims()
    );
    ensure!(
        x.dtype() == w.dtype(),
        Runtime,
        "Input type ({}) and weight type ({}) should be the same",
        x.dtype(),
        w.dtype()
    );
    if let Some(b) = bias {
        ensure!(
            b.dtype() == x.dtype(),
            Runtime,
            "Input type ({}) and bias type ({}) should be the same",
            x.dtype(),
            b.dtype()
        );
    }
    let channels = x.shape()[x.rank() - spatial - 1];
    ensure!(p.groups > 0, Runtime, "non-positive groups is not supported");
    ensure!(p.stride.iter().all(|&s| s > 0), Runtime, "non-positive stride is not supported");
    ensure!(p.dilation.iter().all(|&d| d > 0), Runtime, "dilation should be greater than zero");
    let (wanted, outputs) =
        if p.transposed { (w.shape()[0], w.shape()[1] * p.groups) } else { (w.shape()[1] * p.groups, w.shape()[0]) };
    ensure!(
        channels == wanted && (p.transposed || w.shape()[0].is_multiple_of(p.groups)) && wanted % p.groups == 0,
        Runtime,
        "Given groups={}, weight of size {}, expected input{} to have {wanted} channels, but got {channels} channels instead",
        p.groups,
        w.shape_dims(),
        x.shape_dims()
    );
    if let Some(b) = bias {
        ensure!(
            b.shape() == [outputs],
            Runtime,
            "Given transposed={}, weight of size {}, expected bias to be 1-dimensional with {outputs} elements, but got bias of size {} instead",
            p.transposed as u8,
            w.shape_dims(),
            b.shape_dims()
        );
    }
    Ok(())
}

/// `conv1d` … `conv_transpose3d`; x is (N, C, …) or (C, …).
pub fn convolution(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, p: &ConvParams, spatial: usize) -> Result<Tensor> {
    check(p, x, w, bias, spatial)?;
    if x.rank() == spatial + 1 {
        let y = convolution(&view::unsqueeze(x, 0)?, w, bias, p, spatial)?;
        return Ok(view::squeeze(&y, &[0]));
    }
    if x.dtype().is_complex() {
        let y = super::complex::bilinear(x, w, |x, w| convolution(x, w, None, p, spatial))?;
        let Some(b) = bias else { return Ok(y) };
        let mut shape = Dims::filled(1, spatial + 1);
        shape[0] = b.numel();
        return y.add(&view::reshape(b, &shape)?);
    }
    let shape = output_shape(p, x.shape(), w.shape())?;
    let mut tensors = vec![x, w];
    tensors.extend(bias);
    let format = output_format(p, x, w, &shape);
    let out = super::laid_out(record_conv(Conv::Forward, p, &tensors, shape)?, format)?;
    let (p, xs, ws) = (p.clone(), x.shape_dims().clone(), w.shape_dims().clone());
    attach(
        "ConvolutionBackward0",
        &tensors,
        std::slice::from_ref(&out),
        Keep { inputs: &[0, 1], outputs: &[] },
        || {
            Rule::Fn(Arc::new(move |v| {
                let (g, x, w) = (v.grad()?, v.saved(0), v.saved(1));
                let gx = if v.needs(0) { Some(input_grad(&p, g, w, &xs)?) } else { None };
                let gw = if v.needs(1) { Some(weight_grad(&p, x, g, &ws)?) } else { None };
                let mut grads: Grads = SmallVec::from_iter([gx, gw]);
                if v.needs(2) {
                    let dims: SmallVec<[i64; 4]> = (0..g.rank() as i64).filter(|&d| d != 1).collect();
                    grads.push(Some(reduce::sum(g, Some(&dims), false, None)?));
                }
                Ok(grads)
            }))
        },
    )?;
    Ok(out)
}

/// The gradient of a convolution's result that is `g` for its input, or for its weight: one product, in which the operand itself
/// counts by its shape alone.
pub fn operand_grad(
    x: &Tensor,
    w: &Tensor,
    g: &Tensor,
    p: &ConvParams,
    spatial: usize,
    of_input: bool,
) -> Result<Tensor> {
    check(p, x, w, None, spatial)?;
    if x.rank() == spatial + 1 {
        let wide = |t: &Tensor| view::unsqueeze(t, 0);
        let found = operand_grad(&wide(x)?, w, &wide(g)?, p, spatial, of_input)?;
        return Ok(if of_input { view::squeeze(&found, &[0]) } else { found });
    }
    let expected = output_shape(p, x.shape(), w.shape())?;
    ensure!(
        g.shape() == &expected[..],
        Runtime,
        "Expected grad_output to have the shape {expected} of the convolution's result, but got {}",
        g.shape_dims()
    );
    let other = if of_input { w } else { x };
    ensure!(
        g.dtype() == other.dtype(),
        Runtime,
        "Input type ({}) and weight type ({}) should be the same",
        g.dtype().scalar_name(),
        other.dtype().scalar_name()
    );
    match of_input {
        true => input_grad(p, g, w, x.shape_dims()),
        false => weight_grad(p, x, g, w.shape_dims()),
    }
}

/// The gradient of the input, of shape `shape`.
fn input_grad(p: &ConvParams, g: &Tensor, w: &Tensor, shape: &Dims) -> Result<Tensor> {
    let out = record_conv(Conv::InputGrad, p, &[g, w], shape.clone())?;
    let (p, ws) = (p.clone(), w.shape_dims().clone());
    attach(
        "ConvolutionBackwardBackward0",
        &[g, w],
        std::slice::from_ref(&out),
        Keep { inputs: &[0, 1], outputs: &[] },
        || {
            Rule::Fn(Arc::new(move |v| {
                let (gg, g, w) = (v.grad()?, v.saved(0), v.saved(1));
                let dg = if v.needs(0) { Some(convolution(gg, w, None, &p, gg.rank() - 2)?) } else { None };
                let dw = if v.needs(1) { Some(weight_grad(&p, gg, g, &ws)?) } else { None };
                Ok(SmallVec::from_iter([dg, dw]))
            }))
        },
    )?;
    Ok(out)
}

/// The gradient of the weight, of shape `shape`.
fn weight_grad(p: &ConvParams, x: &Tensor, g: &Tensor, shape: &Dims) -> Result<Tensor> {
    let out = record_conv(Conv::WeightGrad, p, &[x, g], shape.clone())?;
    let (p, xs) = (p.clone(), x.shape_dims().clone());
    attach(
        "ConvolutionBackwardBackward0",
        &[x, g],
        std::slice::from_ref(&out),
        Keep { inputs: &[0, 1], outputs: &[] },
        || {
            Rule::Fn(Arc::new(move |v| {
                let (gg, x, g) = (v.grad()?, v.saved(0), v.saved(1));
                let dx = if v.needs(0) { Some(input_grad(&p, g, gg, &xs)?) } else { None };
                let dg = if v.needs(1) { Some(convolution(x, gg, None, &p, x.rank() - 2)?) } else { None };
                Ok(SmallVec::from_iter([dx, dg]))
            }))
        },
    )?;
    Ok(out)
}

/// The padding that keeps the size ("same"), per spatial dim as (left, right).
pub fn same_padding(w: &[usize], dilation: &[usize; 3], spatial: usize) -> Vec<(usize, usize)> {
    (0..spatial)
        .map(|i| {
            let total = dilation[3 - spatial + i] * (w[2 + i] - 1);
            (total / 2, total - total / 2)
        })
        .collect()
}
