//! Normalisations: layer, RMS, group, batch and instance. Gradients come from fused kernels; while a graph of the gradient
//! itself is being made they are composed of public operators, so that derivatives of any order follow.

use super::elementwise::cast;
use super::{inplace, reduce, view};
use crate::dtype::DType;
use crate::error::Result;
use crate::exec::record::record;
use crate::grad::{Grads, Rule, Vjp, modes, with_grad_mode};
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::Op;
use crate::op::fused::{Affine, Fused, Norm, NormGrad};
use crate::shape::{Dims, Layout};
use crate::tensor::{Keep, Tensor, any_requires_grad, attach_with};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// The dtype of statistics: float64 for float64, else float32.
fn wide(t: &Tensor) -> DType {
    t.dtype().accumulator()
}

fn contiguous_spec(dtype: DType, shape: &[usize]) -> OutSpec {
    OutSpec { dtype, layout: Arc::new(Layout::contiguous(Dims::from_slice(shape))) }
}

/// One normalisation: what over, its count (elements or groups) where it has one, and eps.
#[derive(Clone, Copy)]
struct Call {
    kind: Norm,
    count: Option<usize>,
    eps: f64,
}

impl Call {
    fn push_numbers(&self, inputs: &mut Inputs) {
        if let Some(n) = self.count {
            inputs.push(Input::Scalar(n as u64, DType::I64));
        }
        inputs.push(Input::Scalar(self.eps.to_bits(), DType::F64));
    }
    /// How x is seen by the composed gradient: its shape, the dims of the statistics, the shape of weights.
    fn frame(&self, shape: &[usize]) -> (Dims, SmallVec<[i64; 2]>, Dims) {
        let product = |s: &[usize]| s.iter().product::<usize>();
        match self.kind {
            Norm::Layer | Norm::Rms => {
                let n = self.count.unwrap_or(1);
                let rows = product(shape).checked_div(n).unwrap_or(0);
                (Dims::from([rows, n]), SmallVec::from_slice(&[1]), Dims::from([1, n]))
            }
            Norm::Group => {
                let groups = self.count.unwrap_or(1);
                let per = shape[1] / groups;
                let seen = Dims::from([shape[0], groups, per, product(&shape[2..])]);
                (seen, SmallVec::from_slice(&[2, 3]), Dims::from([1, groups, per, 1]))
            }
            Norm::Batch | Norm::Running => {
                let seen = Dims::from([shape[0], shape[1], product(&shape[2..])]);
                (seen, SmallVec::from_slice(&[0, 2]), Dims::from([1, shape[1], 1]))
            }
        }
    }
}

/// Parameters have the input's dtype, or float32 all of them beside a half-precision input.
fn check_dtypes(name: &str, x: &Tensor, parameters: &[Option<&Tensor>]) -> Result<()> {
    ensure!(x.dtype().is_float(), NotImplemented, "\"{name}\" not implemented for '{}'", x.dtype().scalar_name());
    let Some(first) = parameters.iter().flatten().next() else { return Ok(()) };
    let mixed = first.dtype() != x.dtype();
    let half = matches!(x.dtype(), DType::F16 | DType::BF16);
    for p in parameters.iter().flatten() {
        if mixed {
            ensure!(
                half && p.dtype() == DType::F32,
                Runtime,
                "mixed dtype (CPU): expect parameter to have scalar type of Float"
            );
        } else {
            ensure!(
                p.dtype() == x.dtype(),
                Runtime,
                "expected scalar type {} but found {}",
                x.dtype().scalar_name(),
                p.dtype().scalar_name()
            );
        }
    }
    Ok(())
}

/// Records the forward kernel and attaches its gradient. `fixed` are the mean and variance of `Norm::Running`; `stats` are
/// the outputs after the first, of which the first two (one for RMS) serve the gradient. Returns all outputs.
fn run(
    call: Call,
    name: &'static str,
    x: &Tensor,
    affine: [Option<&Tensor>; 2],
    fixed: Option<[Tensor; 2]>,
    y: OutSpec,
    stats: &[OutSpec],
) -> Result<SmallVec<[Tensor; 1]>> {
    let [weight, bias] = affine;
    let mut inputs: Inputs = SmallVec::from_iter([x.input()]);
    inputs.extend(fixed.iter().flatten().map(Tensor::input));
    inputs.extend(affine.iter().flatten().map(|t| t.input()));
    call.push_numbers(&mut inputs);
    let op = Fused::Norm(call.kind, Affine { weight: weight.is_some(), bias: bias.is_some() });
    let outs = record(Op::Fused(op), inputs, std::iter::once(y).chain(stats.iter().cloned()).collect())?;
    let stats: SmallVec<[Tensor; 2]> = match fixed {
        Some(pair) => pair.into_iter().collect(),
        None => outs[1..].iter().take(2).cloned().collect(),
    };
    let shapes = affine.map(|t| t.map(|t| (t.shape_dims().clone(), t.dtype())));
    let tensors: SmallVec<[&Tensor; 3]> = std::iter::once(x).chain(affine.into_iter().flatten()).collect();
    let keep: &[usize] = if weight.is_some() { &[0, 1] } else { &[0] };
    let first_stat = keep.len();
    attach_with(name, &tensors, &outs[..1], Keep { inputs: keep, outputs: &[] }, &stats, || {
        Rule::Fn(Arc::new(move |v| {
            let saved = &v.all_saved()[first_stat..];
            if modes().grad { composed(&call, v, saved, &shapes) } else { kernel(&call, v, saved, &shapes) }
        }))
    })?;
    Ok(outs)
}

type Shapes = [Option<(Dims, DType)>; 2];

/// Which gradients are asked for, by parameter; positions in the node skip absent parameters.
fn wants(v: &Vjp, shapes: &Shapes) -> [bool; 3] {
    let weight = shapes[0].is_some();
    [v.needs(0), weight && v.needs(1), shapes[1].is_some() && v.needs(1 + weight as usize)]
}

/// The gradients in the node's order.
fn in_order(shapes: &Shapes, [dx, dw, db]: [Option<Tensor>; 3]) -> Grads {
    let mut grads = Grads::from_iter([dx]);
    if shapes[0].is_some() {
        grads.push(dw);
    }
    if shapes[1].is_some() {
        grads.push(db);
    }
    grads
}

/// The gradients by the fused kernel.
fn kernel(call: &Call, v: &Vjp, saved: &[Tensor], shapes: &Shapes) -> Result<Grads> {
    let (x, weight) = (v.saved(0), shapes[0].as_ref().map(|_| v.saved(1)));
    let wants = wants(v, shapes);
    let mut inputs: Inputs = SmallVec::from_iter([v.grad()?.input(), x.input()]);
    inputs.extend(saved.iter().map(Tensor::input));
    inputs.extend(weight.map(Tensor::input));
    call.push_numbers(&mut inputs);
    let mut outs: SmallVec<[OutSpec; 1]> = SmallVec::new();
    if wants[0] {
        outs.push(match call.kind {
            Norm::Batch | Norm::Running => OutSpec { dtype: x.dtype(), layout: batch_layout(x) },
            _ => contiguous_spec(x.dtype(), x.shape()),
        });
    }
    for (shape, _) in shapes.iter().zip(&wants[1..]).filter(|(_, w)| **w) {
        if let Some((shape, dtype)) = shape {
            outs.push(contiguous_spec(*dtype, shape));
        }
    }
    if outs.is_empty() {
        return Ok(Grads::new());
    }
    let op = Fused::NormGrad(call.kind, NormGrad { weight: weight.is_some(), wants });
    let mut results = record(Op::Fused(op), inputs, outs)?.into_iter();
    Ok(in_order(shapes, wants.map(|w| if w { results.next() } else { None })))
}

/// The gradients as differentiable functions of input, weight and incoming gradient. With x̂ = (x − mean)·rstd and
/// h = g·weight, dx = rstd·(h − mean(h) − x̂·mean(h·x̂)); RMS has no mean(h), running statistics neither correction.
fn composed(call: &Call, v: &Vjp, saved: &[Tensor], shapes: &Shapes) -> Result<Grads> {
    let (source, weight) = (v.saved(0), shapes[0].as_ref().map(|_| v.saved(1)));
    let acc = wide(source);
    let (seen, dims, channel) = call.frame(source.shape());
    let x = view::reshape(&cast(source, acc)?, &seen)?;
    let g = view::reshape(&cast(v.grad()?, acc)?, &seen)?;
    let over = |t: &Tensor| reduce::mean(t, Some(&dims), true, None);
    let (centred, rstd) = match call.kind {
        Norm::Running => {
            let stat = |t: &Tensor| view::reshape(&cast(t, acc)?, &channel);
            (x.sub(&stat(&saved[0])?)?, stat(&saved[1])?.add(call.eps)?.rsqrt()?)
        }
        kind => {
            let centred = if kind == Norm::Rms { x } else { x.sub(&over(&x)?)? };
            let rstd = over(&centred.mul(&centred)?)?.add(call.eps)?.rsqrt()?;
            (centred, rstd)
        }
    };
    let normal = centred.mul(&rstd)?;
    let wants = wants(v, shapes);
    let dx = if wants[0] {
        let h = match weight {
            Some(w) => g.mul(&view::reshape(&cast(w, acc)?, &channel)?)?,
            None => g.clone(),
        };
        let corrected = match call.kind {
            Norm::Running => h,
            kind => {
                let h0 = if kind == Norm::Rms { h.clone() } else { h.sub(&over(&h)?)? };
                h0.sub(&normal.mul(&over(&h.mul(&normal)?)?)?)?
            }
        };
        Some(view::reshape(&corrected.mul(&rstd)?, source.shape())?)
    } else {
        None
    };
    let parameter = |want: bool, shape: &Option<(Dims, DType)>, t: &dyn Fn() -> Result<Tensor>| match shape {
        Some((shape, _)) if want => view::reshape(&reduce::sum_to(&t()?, &channel)?, shape).map(Some),
        _ => Ok(None),
    };
    let dw = parameter(wants[1], &shapes[0], &|| g.mul(&normal))?;
    let db = parameter(wants[2], &shapes[1], &|| Ok(g.clone()))?;
    Ok(in_order(shapes, [dx, dw, db]))
}

// Layer and RMS normalisation.

/// The number of trailing dims that `normalized` names, checked.
fn check_last(rms: bool, x: &Tensor, normalized: &[i64], affine: [Option<&Tensor>; 2]) -> Result<usize> {
    ensure!(
        !normalized.is_empty(),
        Runtime,
        "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = []"
    );
    let same =
        |shape: &[usize]| shape.len() == normalized.len() && shape.iter().zip(normalized).all(|(&a, &b)| a as i64 == b);
    for (name, t) in ["weight", "bias"].into_iter().zip(affine) {
        if let Some(t) = t {
            ensure!(
                same(t.shape()),
                Runtime,
                "Expected {name} to be of same shape as normalized_shape, but got {name} of shape {} and normalized_shape = {normalized:?}",
                t.shape_dims()
            );
        }
    }
    let lead = x.rank().checked_sub(normalized.len());
    match lead {
        Some(lead) if same(&x.shape()[lead..]) => Ok(lead),
        _ => {
            let list: Vec<String> = normalized.iter().map(i64::to_string).collect();
            let star = if rms { "*" } else { "*, " };
            bail!(
                Runtime,
                "Given normalized_shape={normalized:?}, expected input with shape [{star}{}], but got input of size{}",
                list.join(", "),
                x.shape_dims()
            )
        }
    }
}

fn over_last(call: Call, name: &'static str, x: &Tensor, affine: [Option<&Tensor>; 2], lead: usize) -> Result<Tensor> {
    let mut shape = x.shape_dims().clone();
    shape[lead..].fill(1);
    let stat = contiguous_spec(wide(x), &shape);
    let stats = if call.kind == Norm::Rms { vec![stat] } else { vec![stat.clone(), stat] };
    let mut outs = run(call, name, x, affine, None, contiguous_spec(x.dtype(), x.shape()), &stats)?;
    Ok(outs.swap_remove(0))
}

/// Normalises the last dims, whose sizes are `normalized`, to mean 0 and variance 1 (Ba et al. 2016).
pub fn layer_norm(
    x: &Tensor,
    normalized: &[i64],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let lead = check_last(false, x, normalized, [weight, bias])?;
    check_dtypes("LayerNormKernelImpl", x, &[weight, bias])?;
    let count = Some(x.shape()[lead..].iter().product());
    over_last(Call { kind: Norm::Layer, count, eps }, "NativeLayerNormBackward0", x, [weight, bias], lead)
}

/// Divides by the root mean square over the last dims (Zhang and Sennrich 2019); eps defaults to the machine epsilon of
/// the dtype computed in.
pub fn rms_norm(x: &Tensor, normalized: &[i64], weight: Option<&Tensor>, eps: Option<f64>) -> Result<Tensor> {
    let lead = check_last(true, x, normalized, [weight, None])?;
    if x.dtype().is_complex() {
        let dims: Vec<i64> = (lead as i64..x.rank() as i64).collect();
        let square = super::reduce::mean(&x.mul(x)?, Some(&dims), true, None)?;
        let out = x.mul(&square.add(eps.unwrap_or(f32::EPSILON as f64))?.rsqrt()?)?;
        return weight.map_or(Ok(out.clone()), |w| out.mul(w));
    }
    for t in std::iter::once(x).chain(weight) {
        ensure!(t.dtype().is_float(), NotImplemented, "\"rms_norm\" not implemented for '{}'", t.dtype().scalar_name());
    }
    let eps = eps.unwrap_or(if wide(x) == DType::F64 { f64::EPSILON } else { f32::EPSILON as f64 });
    let count = Some(x.shape()[lead..].iter().product());
    over_last(Call { kind: Norm::Rms, count, eps }, "FusedRmsNormBackward0", x, [weight, None], lead)
}

// Group normalisation.

/// Normalises groups of channels of every sample of (N, C, …) (Wu and He 2018).
pub fn group_norm(x: &Tensor, groups: i64, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    ensure!(
        x.rank() >= 2,
        Index,
        "group_norm: Dimension out of range: expected an input of shape (N, C, *), but got {}",
        x.shape_dims()
    );
    ensure!(groups > 0, Runtime, "Expected num groups to be greater than 0, got {groups}");
    let (n, channels, groups) = (x.shape()[0], x.shape()[1], groups as usize);
    ensure!(
        channels % groups == 0,
        Runtime,
        "Expected number of channels in input to be divisible by num_groups, but got input of shape {} and num_groups={groups}",
        x.shape_dims()
    );
    for (name, t) in [("weight", weight), ("bias", bias)] {
        if let Some(t) = t {
            ensure!(
                t.shape() == [channels],
                Runtime,
                "Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape {} and input of shape {}",
                t.shape_dims(),
                x.shape_dims()
            );
        }
    }
    check_dtypes("GroupNormKernelImpl", x, &[weight, bias])?;
    let stat = contiguous_spec(wide(x), &[n, groups]);
    let y = contiguous_spec(x.dtype(), x.shape());
    let call = Call { kind: Norm::Group, count: Some(groups), eps };
    let mut outs = run(call, "NativeGroupNormBackward0", x, [weight, bias], None, y, &[stat.clone(), stat])?;
    let y = outs.swap_remove(0);
    if x.rank() > 3 && x.layout().suggests_channels_last() {
        return super::copy_as(&y, Layout::channels_last(x.shape_dims().clone()));
    }
    Ok(y)
}

// Batch and instance normalisation.

/// The running mean and variance, both or neither.
type Running<'a> = Option<[&'a Tensor; 2]>;

fn check_batch(x: &Tensor, parameters: [(&str, Option<&Tensor>); 4], channels: usize) -> Result<()> {
    for (name, t) in parameters {
        let Some(t) = t else { continue };
        ensure!(t.numel() == channels, Runtime, "{name} should contain {channels} elements not {}", t.numel());
        ensure!(
            !name.starts_with("running") || !modes().grad || !t.requires_grad(),
            Runtime,
            "The function 'native_batch_norm' is not differentiable with respect to argument '{name}'. This input cannot have requires_grad True."
        );
    }
    check_dtypes("batch_norm", x, &[parameters[2].1, parameters[3].1, parameters[0].1, parameters[1].1])
}

fn both<'a>(mean: Option<&'a Tensor>, variance: Option<&'a Tensor>) -> Result<Running<'a>> {
    match (mean, variance) {
        (Some(m), Some(v)) => Ok(Some([m, v])),
        (None, None) => Ok(None),
        _ => bail!(Value, "running_mean and running_var must either both be None or neither be None"),
    }
}

/// Row-major, or channels-last where the input lies so.
fn batch_layout(x: &Tensor) -> Arc<Layout> {
    let (shape, rank) = (x.shape(), x.rank());
    let mut strides = Dims::filled(1, rank);
    let mut step = 1;
    for d in std::iter::once(1).chain((2..rank).rev()).chain([0]) {
        strides[d] = step;
        step *= shape[d];
    }
    let channels_last =
        rank > 3 && !x.is_contiguous() && (0..rank).all(|d| shape[d] == 1 || x.layout().strides[d] == strides[d]);
    Arc::new(if channels_last {
        Layout { shape: x.shape_dims().clone(), strides, offset: 0 }
    } else {
        Layout::contiguous(x.shape_dims().clone())
    })
}

/// The value now, unaffected by later writes to `t`.
fn snapshot(t: &Tensor) -> Result<Tensor> {
    if t.covers_storage() && !t.cell().is_pinned() {
        let value = t.cell().value();
        return Ok(Tensor::from_node(value.node, value.out, t.device()));
    }
    t.detach().copy()
}

/// `running` moved towards `value` by `momentum`, in place.
fn blend(running: &Tensor, value: &Tensor, momentum: f64) -> Result<()> {
    let acc = value.dtype();
    let kept = cast(&running.detach(), acc)?.mul(1.0 - momentum)?;
    inplace::write_tensor(running, &cast(&kept.add(&value.mul(momentum)?)?, running.dtype())?)
}

/// Training: returns y and the batch's mean and unbiased variance, both (C).
fn batch_training(x: &Tensor, affine: [Option<&Tensor>; 2], eps: f64) -> Result<[Tensor; 3]> {
    let stat = contiguous_spec(wide(x), &[x.shape()[1]]);
    let y = OutSpec { dtype: x.dtype(), layout: batch_layout(x) };
    let call = Call { kind: Norm::Batch, count: None, eps };
    let outs = run(call, "NativeBatchNormBackward0", x, affine, None, y, &[stat.clone(), stat.clone(), stat])?;
    Ok([outs[0].clone(), outs[1].clone(), outs[3].clone()])
}

/// x·scale + shift by channel, as elementwise work, which what makes x and what reads y may take in.
fn batch_affine(x: &Tensor, affine: [Option<&Tensor>; 2], running: [&Tensor; 2], eps: f64) -> Result<Tensor> {
    let (acc, mut channel) = (wide(x), Dims::filled(1, x.rank()));
    channel[1] = x.shape()[1];
    let mut scale = cast(&running[1].detach(), acc)?.add(eps)?.rsqrt()?;
    if let Some(w) = affine[0] {
        scale = scale.mul(&cast(&w.detach(), acc)?)?;
    }
    let moved = cast(&running[0].detach(), acc)?.mul(&scale)?;
    let shift = match affine[1] {
        Some(b) => cast(&b.detach(), acc)?.sub(&moved)?,
        None => moved.neg()?,
    };
    let of_channel = |t: &Tensor| view::reshape(t, &channel);
    cast(&cast(x, acc)?.mul(&of_channel(&scale)?)?.add(&of_channel(&shift)?)?, x.dtype())
}

fn batch_running(x: &Tensor, affine: [Option<&Tensor>; 2], running: [&Tensor; 2], eps: f64) -> Result<Tensor> {
    let tensors: SmallVec<[&Tensor; 3]> = std::iter::once(x).chain(affine.into_iter().flatten()).collect();
    if !any_requires_grad(&tensors) && batch_layout(x).strides == x.layout().strides {
        return batch_affine(x, affine, running, eps);
    }
    let y = OutSpec { dtype: x.dtype(), layout: batch_layout(x) };
    let fixed = [snapshot(running[0])?, snapshot(running[1])?];
    let call = Call { kind: Norm::Running, count: None, eps };
    let mut outs = run(call, "NativeBatchNormBackward0", x, affine, Some(fixed), y, &[])?;
    Ok(outs.swap_remove(0))
}

/// A result without elements, through which the parameters still receive gradients of zero.
fn batch_empty(x: &Tensor, affine: [Option<&Tensor>; 2]) -> Result<Tensor> {
    let mut channel = Dims::filled(1, x.rank());
    channel[1] = x.shape()[1];
    let mut y = x.copy()?;
    if let Some(w) = affine[0] {
        y = y.mul(&view::reshape(&cast(w, x.dtype())?, &channel)?)?;
    }
    if let Some(b) = affine[1] {
        y = y.add(&view::reshape(&cast(b, x.dtype())?, &channel)?)?;
    }
    Ok(y)
}

fn check_rank(name: &str, x: &Tensor) -> Result<()> {
    ensure!(
        x.rank() >= 2,
        Index,
        "{name}: Dimension out of range: expected an input of shape (N, C, *), but got {}",
        x.shape_dims()
    );
    Ok(())
}

/// Normalises every channel of (N, C, …) by the statistics of the batch, or by running ones (Ioffe and Szegedy 2015).
/// In training the running statistics move towards the batch's, in place, with the unbiased variance.
pub fn batch_norm(
    x: &Tensor,
    running: [Option<&Tensor>; 2],
    affine: [Option<&Tensor>; 2],
    training: bool,
    momentum: f64,
    eps: f64,
) -> Result<Tensor> {
    check_rank("batch_norm", x)?;
    ensure!(training || running[0].is_some(), Runtime, "running_mean must be defined in evaluation mode");
    ensure!(training || running[1].is_some(), Runtime, "running_var must be defined in evaluation mode");
    let pair = both(running[0], running[1])?;
    let [w, b] = affine;
    let named = [("running_mean", running[0]), ("running_var", running[1]), ("weight", w), ("bias", b)];
    check_batch(x, named, x.shape()[1])?;
    if x.numel() == 0 {
        return batch_empty(x, affine);
    }
    if let (false, Some(running)) = (training, pair) {
        return batch_running(x, affine, running, eps);
    }
    let [y, mean, variance] = batch_training(x, affine, eps)?;
    if let Some([m, v]) = pair {
        with_grad_mode(false, || blend(m, &mean, momentum).and_then(|()| blend(v, &variance, momentum)))?;
    }
    Ok(y)
}

/// Normalises every channel of every sample of (N, C, …) (Ulyanov et al. 2016): batch normalisation of one sample with N·C
/// channels. Running statistics follow the mean over the samples.
pub fn instance_norm(
    x: &Tensor,
    running: [Option<&Tensor>; 2],
    affine: [Option<&Tensor>; 2],
    use_input_stats: bool,
    momentum: f64,
    eps: f64,
) -> Result<Tensor> {
    check_rank("instance_norm", x)?;
    ensure!(
        use_input_stats || (running[0].is_some() && running[1].is_some()),
        Runtime,
        "Expected running_mean and running_var to be defined when use_input_stats is false"
    );
    let pair = both(running[0], running[1])?;
    let [w, b] = affine;
    let named = [("running_mean", running[0]), ("running_var", running[1]), ("weight", w), ("bias", b)];
    check_batch(x, named, x.shape()[1])?;
    if x.numel() == 0 {
        return batch_empty(x, affine);
    }
    if let (false, Some(running)) = (use_input_stats, pair) {
        return batch_running(x, affine, running, eps);
    }
    let (n, c) = (x.shape()[0], x.shape()[1]);
    let mut folded = x.shape_dims().clone();
    (folded[0], folded[1]) = (1, n * c);
    let repeat = |t: Option<&Tensor>| {
        t.map(|t| view::reshape(&view::expand(&view::reshape(t, &[c])?, &[n, c])?, &[n * c])).transpose()
    };
    let (w, b) = (repeat(w)?, repeat(b)?);
    let [y, mean, variance] = batch_training(&view::reshape(x, &folded)?, [w.as_ref(), b.as_ref()], eps)?;
    if let Some([m, v]) = pair {
        with_grad_mode(false, || -> Result<()> {
            for (running, value) in [(m, mean), (v, variance)] {
                blend(running, &reduce::mean(&view::reshape(&value, &[n, c])?, Some(&[0]), false, None)?, momentum)?;
            }
            Ok(())
        })?;
    }
    view::reshape(&y, x.shape())
}
