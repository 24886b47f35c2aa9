//! Operators over windows and borders of the last dims: pooling, padding, resizing, and unfolding to columns. Each linear
//! one has a partner that is its transpose, and they are each other's gradients.

use super::{create, view};
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::exec::record::{record, record_one};
use crate::grad::{Grads, Rule};
use crate::graph::{Input, OutSpec};
use crate::op::{AvgPoolParams, BlockParams, Op, PadMode, PadParams, PoolParams, ResizeMode, ResizeParams, Window};
use crate::shape::{Dims, Layout};
use crate::tensor::{Keep, Tensor, attach};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

fn spec(dtype: DType, shape: &Dims) -> OutSpec {
    OutSpec { dtype, layout: Arc::new(Layout::contiguous(shape.clone())) }
}

/// A linear operator of one tensor, by kind; the gradient is its partner.
fn linear(
    kind: Window,
    t: &Tensor,
    shape: &Dims,
    name: &'static str,
    partner: fn(&Window) -> Window,
) -> Result<Tensor> {
    if t.dtype().is_complex() {
        return super::complex::by_parts(t, |part| linear(kind.clone(), part, shape, name, partner));
    }
    let out = record_one(Op::Window(Box::new(kind.clone())), SmallVec::from_iter([t.input()]), spec(t.dtype(), shape))?;
    let out = super::laid_out(out, output_format(&kind, t, shape))?;
    let from = t.shape_dims().clone();
    attach(name, &[t], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(one(linear(partner(&kind), v.grad()?, &from, name, partner)?))))
    })?;
    Ok(out)
}

fn transpose(kind: &Window) -> Window {
    match kind.clone() {
        Window::AvgPool(p) => Window::AvgPoolGrad(p),
        Window::AvgPoolGrad(p) => Window::AvgPool(p),
        Window::AdaptiveAvgPool(s) => Window::AdaptiveAvgPoolGrad(s),
        Window::AdaptiveAvgPoolGrad(s) => Window::AdaptiveAvgPool(s),
        Window::Pad(p) => Window::PadGrad(p),
        Window::PadGrad(p) => Window::Pad(p),
        Window::Resize(p) => Window::ResizeGrad(p),
        Window::ResizeGrad(p) => Window::Resize(p),
        Window::Im2col(p) => Window::Col2im(p),
        Window::Col2im(p) => Window::Im2col(p),
        other => other,
    }
}

/// The layout of a result: channels-last after such a batch for the operators that PyTorch wrote so.
fn output_format(kind: &Window, t: &Tensor, shape: &Dims) -> Layout {
    let follows = match kind {
        Window::MaxPool(p) => t.rank() == p.spatial + 2,
        Window::AvgPool(p) => p.window.spatial < 3 && t.rank() == p.window.spatial + 2,
        Window::AdaptiveAvgPool(s) | Window::AdaptiveMaxPool(s) => *s < 3 && t.rank() == *s as usize + 2,
        Window::Pad(p) => p.mode != PadMode::Circular && p.spatial > 1 && t.rank() == p.spatial + 2,
        Window::Resize(_) => t.rank() > 3,
        _ => false,
    };
    if follows { t.layout().format_for(shape.clone()) } else { Layout::contiguous(shape.clone()) }
}

/// Leading dims kept, the spatial ones replaced.
fn with_spatial(t: &Tensor, sizes: &[usize]) -> Dims {
    t.shape()[..t.rank() - sizes.len()].iter().chain(sizes).copied().collect()
}

fn check_spatial(name: &str, t: &Tensor, spatial: usize) -> Result<()> {
    ensure!(
        t.rank() == spatial + 1 || t.rank() == spatial + 2,
        Runtime,
        "{name}: Expected {}D or {}D (batch mode) tensor for input, but got: {}",
        spatial + 1,
        spatial + 2,
        t.shape_dims()
    );
    ensure!(
        t.shape()[t.rank() - spatial - 1..].iter().all(|&n| n > 0),
        Runtime,
        "{name}: Expected input's non-batch dimensions to have positive length, but input has a shape of {}",
        t.shape_dims()
    );
    Ok(())
}

/// The pooled size of one dim, with PyTorch's `ceil_mode` rule: the last window starts inside the input or left padding.
fn pooled(input: usize, kernel: usize, stride: usize, padding: usize, dilation: usize, ceil: bool) -> i64 {
    let (n, s, p) = (input as i64, stride as i64, padding as i64);
    let reach = dilation as i64 * (kernel as i64 - 1) + 1;
    let size = (n + 2 * p - reach + if ceil { s - 1 } else { 0 }).div_euclid(s) + 1;
    if ceil && (size - 1) * s >= n + p { size - 1 } else { size }
}

fn pool_shape(name: &str, t: &Tensor, p: &PoolParams, ceil: bool) -> Result<Dims> {
    check_spatial(name, t, p.spatial)?;
    let mut sizes = Vec::new();
    for i in 0..p.spatial {
        let a = 3 - p.spatial + i;
        ensure!(p.kernel[a] > 0, Runtime, "{name}: kernel size should be greater than zero");
        ensure!(p.stride[a] > 0, Runtime, "{name}: stride should not be zero");
        ensure!(p.dilation[a] > 0, Runtime, "{name}: dilation should be greater than zero");
        ensure!(
            p.padding[a] * 2 <= p.dilation[a] * (p.kernel[a] - 1) + 1,
            Runtime,
            "pad should be at most half of effective kernel size, but got pad={}, kernel_size={} and dilation={}",
            p.padding[a],
            p.kernel[a],
            p.dilation[a]
        );
        ensure!(
            p.padding[a] * 2 <= p.kernel[a],
            Runtime,
            "pad should be smaller than or equal to half of kernel size, but got pad = {}, kernel size = {}",
            p.padding[a],
            p.kernel[a]
        );
        let n = t.shape()[t.rank() - p.spatial + i];
        let size = pooled(n, p.kernel[a], p.stride[a], p.padding[a], p.dilation[a], ceil);
        ensure!(
            size > 0,
            Runtime,
            "Given input size: {}. Calculated output size of dimension {i}: {size}. Output size is too small",
            t.shape_dims()
        );
        sizes.push(size as usize);
    }
    Ok(with_spatial(t, &sizes))
}

/// The pooled maxima and their flat positions in the input's spatial dims.
pub fn max_pool(t: &Tensor, p: &PoolParams, ceil: bool) -> Result<(Tensor, Tensor)> {
    let shape = pool_shape("max_pool", t, p, ceil)?;
    let name = if p.spatial == 3 { "MaxPool3DWithIndicesBackward0" } else { "MaxPool2DWithIndicesBackward0" };
    select_max(Window::MaxPool(p.clone()), t, &shape, p.spatial, name)
}

/// Adaptive max pooling to the given sizes, with positions.
pub fn adaptive_max_pool(t: &Tensor, sizes: &[usize]) -> Result<(Tensor, Tensor)> {
    check_spatial("adaptive_max_pool", t, sizes.len())?;
    let shape = with_spatial(t, sizes);
    select_max(Window::AdaptiveMaxPool(sizes.len() as u8), t, &shape, sizes.len(), "AdaptiveMaxPool2DBackward0")
}

fn select_max(kind: Window, t: &Tensor, shape: &Dims, spatial: usize, name: &'static str) -> Result<(Tensor, Tensor)> {
    let outs = SmallVec::from_iter([spec(t.dtype(), shape), spec(DType::I64, shape)]);
    let format = output_format(&kind, t, shape);
    let under = if let Window::MaxPool(p) = &kind { Some(p.clone()) } else { None };
    let pair = record(Op::Window(Box::new(kind)), SmallVec::from_iter([t.input()]), outs)?;
    let values = super::laid_out(pair[0].clone(), format.clone())?;
    let indices = super::laid_out(pair[1].clone(), format)?;
    let from = t.shape_dims().clone();
    attach(name, &[t, &indices], std::slice::from_ref(&values), POSITIONS, || {
        Rule::Fn(Arc::new(move |v| Ok(one(spread_planes(v.grad()?, v.saved(0), &from, spatial, &under)?))))
    })?;
    Ok((values, indices))
}

/// Positions are kept as the second input.
const POSITIONS: Keep = Keep { inputs: &[1], outputs: &[] };

/// Adds each element at its position in planes of zeros. The positions were found under the window, or by adaptive pooling.
fn spread_planes(
    g: &Tensor,
    indices: &Tensor,
    shape: &Dims,
    spatial: usize,
    under: &Option<PoolParams>,
) -> Result<Tensor> {
    let inputs = SmallVec::from_iter([g.input(), indices.input()]);
    let kind = Window::SpreadPlanes(spatial as u8, under.clone());
    let out = record_one(Op::Window(Box::new(kind)), inputs, spec(g.dtype(), shape))?;
    let under = under.clone();
    attach("MaxPoolBackwardBackward0", &[g, indices], std::slice::from_ref(&out), POSITIONS, || {
        Rule::Fn(Arc::new(move |v| Ok(one(take_planes(v.grad()?, v.saved(0), spatial, &under)?))))
    })?;
    Ok(out)
}

/// Reads planes at flat positions.
fn take_planes(t: &Tensor, indices: &Tensor, spatial: usize, under: &Option<PoolParams>) -> Result<Tensor> {
    let inputs = SmallVec::from_iter([t.input(), indices.input()]);
    let out = record_one(
        Op::Window(Box::new(Window::TakePlanes(spatial as u8))),
        inputs,
        spec(t.dtype(), indices.shape_dims()),
    )?;
    let (from, under) = (t.shape_dims().clone(), under.clone());
    attach("TakePlanesBackward0", &[t, indices], std::slice::from_ref(&out), POSITIONS, || {
        Rule::Fn(Arc::new(move |v| Ok(one(spread_planes(v.grad()?, v.saved(0), &from, spatial, &under)?))))
    })?;
    Ok(out)
}

pub fn avg_pool(t: &Tensor, p: &AvgPoolParams, ceil: bool) -> Result<Tensor> {
    ensure!(p.divisor_override != Some(0), Runtime, "divisor must be not zero");
    let shape = pool_shape("avg_pool", t, &p.window, ceil)?;
    let name = if p.window.spatial == 3 { "AvgPool3DBackward0" } else { "AvgPool2DBackward0" };
    linear(Window::AvgPool(p.clone()), t, &shape, name, transpose)
}

pub fn adaptive_avg_pool(t: &Tensor, sizes: &[usize]) -> Result<Tensor> {
    check_spatial("adaptive_avg_pool", t, sizes.len())?;
    let shape = with_spatial(t, sizes);
    let name = if sizes.len() == 3 { "AdaptiveAvgPool3DBackward0" } else { "AdaptiveAvgPool2DBackward0" };
    linear(Window::AdaptiveAvgPool(sizes.len() as u8), t, &shape, name, transpose)
}

/// `F.pad`: amounts for the last dims, last dim first, as (left, right) pairs.
pub fn pad(t: &Tensor, amounts: &[i64], mode: &str, value: Scalar) -> Result<Tensor> {
    ensure!(amounts.len().is_multiple_of(2), Runtime, "Padding length must be divisible by 2");
    ensure!(
        amounts.len() <= 2 * t.rank(),
        Runtime,
        "Padding length should be less than or equal to two times the input dimension but got padding length {} and input of dimension {}",
        amounts.len(),
        t.rank()
    );
    let mode = match mode {
        "constant" => return constant_pad(t, amounts, value),
        "reflect" => PadMode::Reflect,
        "replicate" => PadMode::Replicate,
        "circular" => PadMode::Circular,
        other => bail!(NotImplemented, "Unrecognised padding mode {other}"),
    };
    let spatial = amounts.len() / 2;
    ensure!(
        spatial <= 3 && (t.rank() == spatial + 1 || t.rank() == spatial + 2),
        NotImplemented,
        "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now"
    );
    ensure!(
        mode == PadMode::Circular || t.shape()[t.rank() - spatial - 1..].iter().all(|&n| n > 0),
        Runtime,
        "Expected {}D or {}D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: {}",
        spatial + 1,
        spatial + 2,
        t.shape_dims()
    );
    let mut left = [0i64; 3];
    let mut sizes = Vec::new();
    for i in 0..spatial {
        let (l, r) = (amounts[2 * (spatial - 1 - i)], amounts[2 * (spatial - 1 - i) + 1]);
        let n = t.shape()[t.rank() - spatial + i] as i64;
        let limit = match mode {
            PadMode::Reflect => n - 1,
            PadMode::Circular => n,
            PadMode::Replicate => i64::MAX,
        };
        ensure!(
            l <= limit && r <= limit,
            Runtime,
            "Padding size should be less than the corresponding input dimension, but got: padding ({l}, {r}) at dimension {} of input {}",
            t.rank() - spatial + i,
            t.shape_dims()
        );
        ensure!(
            n + l + r > 0,
            Runtime,
            "The input size {n}, plus padding {l} and {r}, resulted in a negative output size"
        );
        left[3 - spatial + i] = l;
        sizes.push((n + l + r) as usize);
    }
    let shape = with_spatial(t, &sizes);
    linear(Window::Pad(PadParams { mode, spatial, left }), t, &shape, "PadBackward0", transpose)
}

/// Surrounds the tensor by a constant; negative amounts crop.
fn constant_pad(t: &Tensor, amounts: &[i64], value: Scalar) -> Result<Tensor> {
    let mut source = t.clone();
    let mut shape = t.shape_dims().clone();
    let mut starts = Dims::filled(0, t.rank());
    for (i, pair) in amounts.chunks(2).enumerate() {
        let d = t.rank() - 1 - i;
        let (l, r, n) = (pair[0], pair[1], t.shape()[d] as i64);
        ensure!(
            n + l + r >= 0,
            Runtime,
            "The input size {n}, plus negative padding {l} and {r} resulted in a negative output size, which is invalid. Check dimension {d} of your input."
        );
        shape[d] = (n + l + r) as usize;
        starts[d] = l.max(0) as usize;
        let (from, kept) = ((-l).max(0), (n + l.min(0) + r.min(0)).max(0));
        if from > 0 || kept < n {
            source = view::slice(&source, d, from.min(n) as usize, kept as usize, 1)?;
        }
    }
    if shape == *t.shape_dims() && source.shape() == t.shape() {
        return source.copy();
    }
    let mut target = if t.rank() > 3 { t.layout().format_for(shape) } else { Layout::contiguous(shape) };
    let base = create::full_with(target.clone(), value, t.dtype(), t.device())?;
    target.offset = starts.iter().zip(&*target.strides).map(|(a, b)| a * b).sum();
    target.shape = source.shape_dims().clone();
    let mut edge = base.edge();
    let out_spec = OutSpec { dtype: t.dtype(), layout: base.layout().clone() };
    edge.layout = Arc::new(target.clone());
    let out = record_one(Op::WriteView, SmallVec::from_iter([Input::Tensor(edge), source.input()]), out_spec)?;
    let inner = source.shape_dims().clone();
    attach("ConstantPadNdBackward0", &[&source], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| {
            let mut g = v.grad()?.clone();
            for d in 0..inner.len() {
                g = view::slice(&g, d, starts[d], inner[d], 1)?;
            }
            Ok(one(g))
        }))
    })?;
    Ok(out)
}

/// Resizing of the last dims.
pub fn resize(t: &Tensor, p: &ResizeParams, sizes: &[usize]) -> Result<Tensor> {
    ensure!(
        t.rank() == sizes.len() + 2,
        Runtime,
        "interpolate: expected an input of {} dims for {} output sizes, got {}",
        sizes.len() + 2,
        sizes.len(),
        t.shape_dims()
    );
    ensure!(
        t.shape()[1..].iter().all(|&n| n > 0) && sizes.iter().all(|&n| n > 0),
        Runtime,
        "Input and output sizes should be greater than 0, but got input {} output {sizes:?}",
        t.shape_dims()
    );
    let name = match (p.mode, sizes.len()) {
        (ResizeMode::Nearest, 1) => "UpsampleNearest1DBackward0",
        (ResizeMode::Nearest, 2) => "UpsampleNearest2DBackward0",
        (ResizeMode::Nearest, _) => "UpsampleNearest3DBackward0",
        (ResizeMode::NearestExact, 1) => "UpsampleNearestExact1DBackward0",
        (ResizeMode::NearestExact, 2) => "UpsampleNearestExact2DBackward0",
        (ResizeMode::NearestExact, _) => "UpsampleNearestExact3DBackward0",
        (ResizeMode::Linear, 1) => "UpsampleLinear1DBackward0",
        (ResizeMode::Linear, 2) => "UpsampleBilinear2DBackward0",
        (ResizeMode::Linear, _) => "UpsampleTrilinear3DBackward0",
        (ResizeMode::Cubic, _) => "UpsampleBicubic2DBackward0",
    };
    linear(Window::Resize(p.clone()), t, &with_spatial(t, sizes), name, transpose)
}

/// Blocks as columns: (N, C, H, W) to (N, C·kh·kw, L).
pub fn im2col(t: &Tensor, p: &BlockParams) -> Result<Tensor> {
    if t.rank() == 3 {
        return Ok(view::squeeze(&im2col(&view::unsqueeze(t, 0)?, p)?, &[0]));
    }
    const EXPECTED: &str =
        "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input";
    ensure!(t.rank() > 2, Index, "{EXPECTED}, but got: {}", t.shape_dims());
    ensure!(t.rank() == 4, Runtime, "{EXPECTED}, but got: {}", t.shape_dims());
    let blocks: Vec<i64> = (0..2).map(|i| p.output_size(i, t.shape()[2 + i])).collect();
    ensure!(
        blocks.iter().all(|&b| b > 0),
        Runtime,
        "Given input with spatial size ({}, {}), kernel_size={:?}, dilation={:?}, padding={:?}, calculated shape of the array of sliding blocks as ({}, {}), but its components must be at least one.",
        t.shape()[2],
        t.shape()[3],
        p.kernel,
        p.dilation,
        p.padding,
        blocks[0],
        blocks[1]
    );
    let shape = Dims::from([t.shape()[0], t.shape()[1] * p.kernel[0] * p.kernel[1], (blocks[0] * blocks[1]) as usize]);
    linear(Window::Im2col(p.clone()), t, &shape, "Im2ColBackward0", transpose)
}

/// Columns added back into an image of the given size.
pub fn col2im(t: &Tensor, size: [usize; 2], p: &BlockParams) -> Result<Tensor> {
    if t.rank() == 2 {
        return Ok(view::squeeze(&col2im(&view::unsqueeze(t, 0)?, size, p)?, &[0]));
    }
    ensure!(t.rank() == 3, Runtime, "Expected 2D or 3D (batch mode) tensor for input, but got: {}", t.shape_dims());
    let area = p.kernel[0] * p.kernel[1];
    ensure!(
        area > 0 && t.shape()[1].is_multiple_of(area),
        Runtime,
        "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)={} and kernel_size={:?}.",
        t.shape()[1],
        p.kernel
    );
    let blocks: Vec<i64> = (0..2).map(|i| p.output_size(i, size[i])).collect();
    ensure!(
        blocks.iter().all(|&b| b > 0) && (blocks[0] * blocks[1]) as usize == t.shape()[2],
        Runtime,
        "Given output_size={size:?}, kernel_size={:?}, dilation={:?}, padding={:?}, stride={:?}, expected size of input's dimension 2 to match the calculated number of sliding blocks {} * {} = {}, but got input.size(2)={}.",
        p.kernel,
        p.dilation,
        p.padding,
        p.stride,
        blocks[0],
        blocks[1],
        blocks[0] * blocks[1],
        t.shape()[2]
    );
    let shape = Dims::from([t.shape()[0], t.shape()[1] / area, size[0], size[1]]);
    linear(Window::Col2im(p.clone()), t, &shape, "Col2ImBackward0", transpose)
}
