//! Losses. Those over classes have fused kernels; the others are composed elementwise. Each has one gradient node, which
//! keeps its inputs only.

use super::elementwise::{apply, cast};
use super::index::check_within_or;
use super::{create, reduce, softmax, view};
use crate::dtype::{DType, Scalar};
use crate::error::{Breach, Error, Result};
use crate::exec::record::record;
use crate::grad::{Grads, Rule, Vjp, modes, with_grad_mode};
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::fused::{Fused, Loss};
use crate::op::{Ew, Op};
use crate::shape::{Dims, Layout};
use crate::tensor::{Keep, Tensor, attach, attach_with};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// What becomes of the losses of the elements or samples; PyTorch's codes 0, 1, 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reduce {
    None,
    Mean,
    Sum,
}

impl Reduce {
    pub fn from_code(op: &str, code: i64) -> Result<Reduce> {
        Ok(match code {
            0 => Reduce::None,
            1 => Reduce::Mean,
            2 => Reduce::Sum,
            _ => bail!(Value, "{op}: {code} is not a valid value for reduction"),
        })
    }
    fn apply(self, losses: Tensor) -> Result<Tensor> {
        match self {
            Reduce::None => Ok(losses),
            Reduce::Mean => reduce::mean(&losses, None, false, None),
            Reduce::Sum => reduce::sum(&losses, None, false, None),
        }
    }
    /// The gradient of every one of `n` losses from that of the result.
    fn spread(self, g: &Tensor, n: usize) -> Result<Tensor> {
        if self == Reduce::Mean { g.div(n as f64) } else { Ok(g.clone()) }
    }
}

fn spec(dtype: DType, shape: &[usize]) -> OutSpec {
    OutSpec { dtype, layout: Arc::new(Layout::contiguous(Dims::from_slice(shape))) }
}

/// PyTorch's refusal of gradients for weights.
fn no_gradient(function: &str, argument: &str, t: Option<&Tensor>) -> Result<()> {
    ensure!(
        !modes().grad || !t.is_some_and(Tensor::requires_grad),
        Runtime,
        "The function '{function}' is not differentiable with respect to argument '{argument}'. This input cannot have requires_grad True."
    );
    Ok(())
}

// Losses of elements.

type Slopes = fn(&Vjp, &Tensor, f64) -> Result<Grads>;

/// A loss of elements with one gradient node: `losses` makes them, `slopes` turns the gradient of every loss (or one for
/// all) into those of the inputs, with the loss's number.
fn elementwise(
    name: &'static str,
    inputs: &[&Tensor],
    reduction: Reduce,
    number: f64,
    losses: impl FnOnce() -> Result<Tensor>,
    slopes: Slopes,
) -> Result<Tensor> {
    let (out, n) = with_grad_mode(false, || -> Result<(Tensor, usize)> {
        let each = losses()?;
        let n = each.numel();
        Ok((reduction.apply(each)?, n))
    })?;
    let all: SmallVec<[usize; 4]> = (0..inputs.len()).collect();
    attach(name, inputs, std::slice::from_ref(&out), Keep { inputs: &all, outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| slopes(v, &reduction.spread(v.grad()?, n)?, number)))
    })?;
    Ok(out)
}

/// (d, −d) for losses of a difference.
fn opposite(v: &Vjp, d: Tensor) -> Result<Grads> {
    let minus = if v.needs(1) { Some(d.neg()?) } else { None };
    Ok(Grads::from_iter([Some(d), minus]))
}

fn check_float(kernel: &str, x: &Tensor, y: &Tensor) -> Result<()> {
    ensure!(
        x.dtype().is_float() || y.dtype().is_float(),
        NotImplemented,
        "\"{kernel}\" not implemented for '{}'",
        x.dtype().scalar_name()
    );
    Ok(())
}

/// (x − y)².
pub fn mse_loss(x: &Tensor, y: &Tensor, reduction: Reduce) -> Result<Tensor> {
    check_float("mse_cpu", x, y)?;
    let losses = || {
        let d = x.sub(y)?;
        d.mul(&d)
    };
    elementwise("MseLossBackward0", &[x, y], reduction, 0.0, losses, |v, g, _| {
        opposite(v, v.saved(0).sub(v.saved(1))?.mul(&g.mul(2.0)?)?)
    })
}

/// |x − y|.
pub fn l1_loss(x: &Tensor, y: &Tensor, reduction: Reduce) -> Result<Tensor> {
    reduction.apply(x.sub(y)?.abs()?)
}

/// x limited to [−limit, limit].
fn clamp(x: &Tensor, limit: f64) -> Result<Tensor> {
    apply(Ew::Clamp, &[x.into(), (-limit).into(), limit.into()])
}

/// 0.5·d²/β where d = |x − y| < β, else d − 0.5·β (Girshick 2015).
pub fn smooth_l1_loss(x: &Tensor, y: &Tensor, reduction: Reduce, beta: f64) -> Result<Tensor> {
    ensure!(beta >= 0.0, Runtime, "smooth_l1_loss does not support negative values for beta.");
    if beta == 0.0 {
        return l1_loss(x, y, reduction);
    }
    check_float("smooth_l1_cpu", x, y)?;
    // With c = min(d, β) both pieces are c·(d − c/2)/β.
    let losses = || {
        let d = x.sub(y)?.abs()?;
        let c = d.minimum(beta)?;
        c.mul(&d.sub(&c.mul(0.5)?)?)?.div(beta)
    };
    elementwise("SmoothL1LossBackward0", &[x, y], reduction, beta, losses, |v, g, beta| {
        opposite(v, clamp(&v.saved(0).sub(v.saved(1))?.div(beta)?, 1.0)?.mul(g)?)
    })
}

/// 0.5·d² where d = |x − y| ≤ δ, else δ·(d − 0.5·δ) (Huber 1964).
pub fn huber_loss(x: &Tensor, y: &Tensor, reduction: Reduce, delta: f64) -> Result<Tensor> {
    ensure!(delta > 0.0, Runtime, "huber_loss does not support non-positive values for delta.");
    check_float("huber_cpu", x, y)?;
    // With c = min(d, δ) both pieces are c·(d − c/2).
    let losses = || {
        let d = x.sub(y)?.abs()?;
        let c = d.minimum(delta)?;
        c.mul(&d.sub(&c.mul(0.5)?)?)
    };
    elementwise("HuberLossBackward0", &[x, y], reduction, delta, losses, |v, g, delta| {
        opposite(v, clamp(&v.saved(0).sub(v.saved(1))?, delta)?.mul(g)?)
    })
}

/// Whether every element lies in [0, 1]; computes what is pending.
fn in_unit_range(t: &Tensor) -> Result<bool> {
    let inside = t.detach().ge(0.0)?.logical_and(&t.detach().le(1.0)?)?;
    super::holds(&reduce::truth(true, &inside, None, false)?)
}

/// A logarithm, at least −100.
fn bounded(log: Tensor) -> Result<Tensor> {
    log.maximum(-100.0)
}

/// −w·(y·log x + (1 − y)·log(1 − x)), logarithms counting at least −100.
pub fn binary_cross_entropy(x: &Tensor, y: &Tensor, weight: Option<&Tensor>, reduction: Reduce) -> Result<Tensor> {
    let name = "binary_cross_entropy";
    ensure!(x.dtype().is_float(), NotImplemented, "\"{name}\" not implemented for '{}'", x.dtype().scalar_name());
    for t in std::iter::once(y).chain(weight) {
        ensure!(
            t.dtype() == x.dtype(),
            Runtime,
            "Found dtype {} but expected {}",
            t.dtype().scalar_name(),
            x.dtype().scalar_name()
        );
    }
    no_gradient(name, "weight", weight)?;
    ensure!(in_unit_range(x)?, Runtime, "all elements of input should be between 0 and 1");
    ensure!(in_unit_range(y)?, Runtime, "all elements of target should be between 0 and 1");
    let losses = || {
        let miss = bounded(x.neg()?.log1p()?)?;
        let each = y.sub(1.0)?.mul(&miss)?.sub(&y.mul(&bounded(x.log()?)?)?)?;
        weighted(each, weight)
    };
    let inputs: SmallVec<[&Tensor; 3]> = [x, y].into_iter().chain(weight).collect();
    elementwise("BinaryCrossEntropyBackward0", &inputs, reduction, 0.0, losses, |v, g, _| {
        let (x, y) = (v.saved(0), v.saved(1));
        let g = weighted(g.clone(), v.all_saved().get(2))?;
        let dx = if v.needs(0) {
            let variance = x.rsub_one()?.mul(x)?.maximum(1e-12)?;
            Some(x.sub(y)?.div(&variance)?.mul(&g)?)
        } else {
            None
        };
        let dy = if v.needs(1) { Some(bounded(x.neg()?.log1p()?)?.sub(&bounded(x.log()?)?)?.mul(&g)?) } else { None };
        Ok(Grads::from_iter([dx, dy]))
    })
}

fn weighted(t: Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
    match weight {
        Some(w) => t.mul(w),
        None => Ok(t),
    }
}

/// Of sigmoid(x), without overflow; `positive` are factors of the positive term: (1 − y)·x − (1 + (p − 1)·y)·log σ(x).
pub fn binary_cross_entropy_with_logits(
    x: &Tensor,
    y: &Tensor,
    weight: Option<&Tensor>,
    positive: Option<&Tensor>,
    reduction: Reduce,
) -> Result<Tensor> {
    let name = "binary_cross_entropy_with_logits";
    ensure!(
        x.dtype().is_float(),
        NotImplemented,
        "\"log_sigmoid_cpu\" not implemented for '{}'",
        x.dtype().scalar_name()
    );
    no_gradient(name, "weight", weight)?;
    no_gradient(name, "pos_weight", positive)?;
    let losses = || {
        let log = apply(Ew::LogSigmoid, &[x.into()])?;
        let each = y.rsub_one()?.mul(x)?.sub(&log.mul(&positive_factor(y, positive)?)?)?;
        weighted(each, weight)
    };
    let inputs: SmallVec<[&Tensor; 4]> = [x, y].into_iter().chain(weight).chain(positive).collect();
    // Which of the optional tensors are saved.
    let slopes: Slopes = match (weight, positive) {
        (None, None) => |v, g, _| logits_slopes(v, g, None, None),
        (Some(_), None) => |v, g, _| logits_slopes(v, g, Some(v.saved(2)), None),
        (None, Some(_)) => |v, g, _| logits_slopes(v, g, None, Some(v.saved(2))),
        (Some(_), Some(_)) => |v, g, _| logits_slopes(v, g, Some(v.saved(2)), Some(v.saved(3))),
    };
    elementwise("BinaryCrossEntropyWithLogitsBackward0", &inputs, reduction, 0.0, losses, slopes)
}

/// 1 + (p − 1)·y.
fn positive_factor(y: &Tensor, positive: Option<&Tensor>) -> Result<Tensor> {
    match positive {
        Some(p) => p.sub(1.0)?.mul(y)?.add(1.0),
        None => create::number(Scalar::Int(1), y.dtype(), y.device()),
    }
}

fn logits_slopes(v: &Vjp, g: &Tensor, weight: Option<&Tensor>, positive: Option<&Tensor>) -> Result<Grads> {
    let (x, y) = (v.saved(0), v.saved(1));
    let g = weighted(g.clone(), weight)?;
    let dx = if v.needs(0) {
        let slope = match positive {
            None => x.sigmoid()?.sub(y)?,
            Some(_) => y.rsub_one()?.sub(&positive_factor(y, positive)?.mul(&x.neg()?.sigmoid()?)?)?,
        };
        Some(slope.mul(&g)?)
    } else {
        None
    };
    let dy = if v.needs(1) {
        let slope = match positive {
            None => x.neg()?,
            Some(p) => x.neg()?.sub(&p.sub(1.0)?.mul(&apply(Ew::LogSigmoid, &[x.into()])?)?)?,
        };
        Some(slope.mul(&g)?)
    } else {
        None
    };
    Ok(Grads::from_iter([dx, dy]))
}

/// y·(log y − x) for log-probabilities x; with `log_target`, y is a log-probability too.
pub fn kl_div(x: &Tensor, y: &Tensor, reduction: Reduce, log_target: bool) -> Result<Tensor> {
    ensure!(x.dtype().is_float() && y.dtype().is_float(), Runtime, "kl_div: Integral inputs not supported.");
    let losses = if log_target {
        y.exp()?.mul(&y.sub(x)?)?
    } else {
        apply(Ew::Xlogy, &[y.into(), y.into()])?.sub(&y.mul(x)?)?
    };
    reduction.apply(losses)
}

// Losses over classes. A sample is an index of (N, …); classes are dim 1, or dim 0 of a single sample.

/// The dim of the classes.
fn class_dim(x: &Tensor) -> usize {
    usize::from(x.rank() > 1)
}

/// The shape of the losses of samples.
fn sample_shape(x: &Tensor) -> Dims {
    let mut shape = x.shape_dims().clone();
    if x.rank() > 0 {
        shape.remove(class_dim(x));
    }
    shape
}

/// PyTorch's rules about the shapes of scores, target and weight, in its order.
fn check_class_shapes(x: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> Result<()> {
    let (xs, ts) = (x.shape(), target.shape());
    ensure!(x.rank() > 0, Value, "Expected 1 or more dimensions (got 0)");
    if x.rank() > 1 {
        let batch = ts.first().copied().unwrap_or(0);
        ensure!(xs[0] == batch, Value, "Expected input batch_size ({}) to match target batch_size ({batch}).", xs[0]);
    }
    if x.rank() <= 2 {
        ensure!(target.rank() <= 1, Runtime, "0D or 1D target tensor expected, multi-target not supported");
        ensure!(
            x.rank() == 2 || target.numel() == 1,
            Value,
            "For 1D input, 1D target must have size 1, but got target size: {}",
            target.numel()
        );
    } else {
        ensure!(
            x.rank() != 4 || target.rank() == 3,
            Runtime,
            "only batches of spatial targets supported (3D tensors) but got targets of dimension: {}",
            target.rank()
        );
        let wanted = sample_shape(x);
        ensure!(ts == &wanted[..], Runtime, "Expected target size {wanted}, got {}", target.shape_dims());
    }
    let classes = xs[class_dim(x)];
    if let Some(w) = weight {
        ensure!(
            w.shape() == [classes],
            Runtime,
            "weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: {}",
            w.shape_dims()
        );
    }
    Ok(())
}

/// All checks of a loss over class indices, values of the target included.
fn check_classes(x: &Tensor, target: &Tensor, weight: Option<&Tensor>, ignore: i64, kernel: &str) -> Result<()> {
    ensure!(x.dtype().is_float(), NotImplemented, "\"{kernel}\" not implemented for '{}'", x.dtype().scalar_name());
    check_class_shapes(x, target, weight)?;
    ensure!(
        matches!(target.dtype(), DType::I64 | DType::U8),
        Runtime,
        "expected target dtype to be Long or Byte, but got {}",
        target.dtype().scalar_name()
    );
    ensure!(x.rank() < 3 || target.dtype() == DType::I64, Runtime, "expected scalar type Long but found Byte");
    if let Some(w) = weight {
        ensure!(
            w.dtype() == x.dtype(),
            Runtime,
            "expected scalar type {} but found {}",
            x.dtype().scalar_name(),
            w.dtype().scalar_name()
        );
    }
    no_gradient(if x.rank() <= 2 { "nll_loss_forward" } else { "nll_loss2d_forward" }, "weight", weight)?;
    let classes = x.shape()[class_dim(x)] as i64;
    let breach = Breach::new([0; 2], |t, _| Error::Index(format!("Target {t} is out of bounds.")));
    check_within_or(target, 0, classes, ignore, breach)
}

/// What a loss over class indices is called with, beside its tensors.
#[derive(Clone, Copy)]
struct Classes {
    ignore: i64,
    smoothing: f64,
    weighted: bool,
}

impl Classes {
    fn record(&self, loss: Loss, tensors: &[&Tensor], outs: SmallVec<[OutSpec; 1]>) -> Result<SmallVec<[Tensor; 1]>> {
        let mut inputs: Inputs = tensors.iter().map(|t| t.input()).collect();
        inputs.push(Input::Scalar(self.ignore as u64, DType::I64));
        if matches!(loss, Loss::CrossEntropy | Loss::CrossEntropyGrad) {
            inputs.push(Input::Scalar(self.smoothing.to_bits(), DType::F64));
        }
        record(Op::Fused(Fused::Loss(loss, self.weighted)), inputs, outs)
    }
}

fn class_loss_name(x: &Tensor) -> &'static str {
    if x.rank() <= 2 { "NllLossBackward0" } else { "NllLoss2DBackward0" }
}

/// The losses of samples and the sum of their weights as one result in the scores' dtype.
fn reduce_samples(losses: Tensor, total: &Tensor, reduction: Reduce, dtype: DType) -> Result<Tensor> {
    match reduction {
        Reduce::None => Ok(losses),
        Reduce::Sum => cast(&reduction.apply(losses)?, dtype),
        Reduce::Mean => cast(&Reduce::Sum.apply(losses)?.div(total)?, dtype),
    }
}

/// Losses that are reduced keep the accumulator's precision until then.
fn loss_dtype(x: &Tensor, reduction: Reduce) -> DType {
    if reduction == Reduce::None { x.dtype() } else { x.dtype().accumulator() }
}

/// −weight·x at the target, of log-probabilities (N, C, …) or (C).
pub fn nll_loss(
    x: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: Reduce,
    ignore: i64,
) -> Result<Tensor> {
    check_classes(x, target, weight, ignore, "nll_loss_out_frame")?;
    let call = Classes { ignore, smoothing: 0.0, weighted: weight.is_some() };
    let (shape, dtype) = (x.shape_dims().clone(), x.dtype());
    let tensors: SmallVec<[&Tensor; 3]> = [x, target].into_iter().chain(weight).collect();
    let (out, total) = with_grad_mode(false, || -> Result<(Tensor, Tensor)> {
        let [losses, total] = nll_samples(call, &tensors, loss_dtype(x, reduction))?;
        Ok((reduce_samples(losses, &total, reduction, dtype)?, total))
    })?;
    let kept: &[usize] = if weight.is_some() { &[1, 2] } else { &[1] };
    let keep = Keep { inputs: kept, outputs: &[] };
    attach_with(class_loss_name(x), &tensors, std::slice::from_ref(&out), keep, &[total], || {
        Rule::Fn(Arc::new(move |v| {
            let Some((total, given)) = v.all_saved().split_last() else { bail!(Internal, "nll_loss: nothing saved") };
            let g = if reduction == Reduce::Mean { v.grad()?.div(total)? } else { v.grad()?.clone() };
            let tensors: SmallVec<[&Tensor; 3]> = std::iter::once(&g).chain(given).collect();
            Ok(Grads::from_iter([Some(nll_gradient(call, &tensors, &shape, dtype)?)]))
        }))
    })?;
    Ok(out)
}

/// `[x, target, weight?]` to the losses of samples and the sum of their weights. Linear in x.
fn nll_samples(call: Classes, tensors: &[&Tensor], dtype: DType) -> Result<[Tensor; 2]> {
    let x = tensors[0];
    let outs = [spec(dtype, &sample_shape(x)), spec(x.dtype().accumulator(), &[])];
    let outs = call.record(Loss::Nll, tensors, outs.into_iter().collect())?;
    let (shape, dtype) = (x.shape_dims().clone(), x.dtype());
    let kept: &[usize] = if call.weighted { &[1, 2] } else { &[1] };
    attach(class_loss_name(x), tensors, &outs[..1], Keep { inputs: kept, outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let tensors: SmallVec<[&Tensor; 3]> = std::iter::once(v.grad()?).chain(v.all_saved()).collect();
            Ok(Grads::from_iter([Some(nll_gradient(call, &tensors, &shape, dtype)?)]))
        }))
    })?;
    Ok([outs[0].clone(), outs[1].clone()])
}

/// The transpose of [`nll_samples`]: `[grad, target, weight?]` to a gradient of `shape`.
fn nll_gradient(call: Classes, tensors: &[&Tensor], shape: &Dims, dtype: DType) -> Result<Tensor> {
    let outs = call.record(Loss::NllGrad, tensors, SmallVec::from_iter([spec(dtype, shape)]))?;
    let kept: &[usize] = if call.weighted { &[1, 2] } else { &[1] };
    let from = tensors[0].dtype();
    attach("NllLossBackwardBackward0", tensors, &outs, Keep { inputs: kept, outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let tensors: SmallVec<[&Tensor; 3]> = std::iter::once(v.grad()?).chain(v.all_saved()).collect();
            let [losses, _] = nll_samples(call, &tensors, from)?;
            Ok(Grads::from_iter([Some(losses)]))
        }))
    })?;
    Ok(outs[0].clone())
}

/// Cross-entropy of scores (N, C, …) or (C) with class indices, or with probabilities of the scores' shape; `smoothing`
/// moves that share of the target to the uniform distribution (Szegedy et al. 2016).
pub fn cross_entropy_loss(
    x: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: Reduce,
    ignore: i64,
    smoothing: f64,
) -> Result<Tensor> {
    ensure!(smoothing <= 1.0, Runtime, "label_smoothing must be between 0.0 and 1.0. Got: {smoothing}");
    let smoothing = smoothing.max(0.0);
    if x.shape() == target.shape() {
        ensure!(
            target.dtype().is_float(),
            Runtime,
            "Expected floating point type for target with class probabilities, got {}",
            target.dtype().scalar_name()
        );
        ensure!(ignore < 0, Runtime, "ignore_index is not supported for floating point target");
        return with_probabilities(x, target, weight, reduction, smoothing);
    }
    let place =
        if class_dim(x) + 1 == x.rank() { "log_softmax_lastdim_kernel_impl" } else { "log_softmax_kernel_impl" };
    check_classes(x, target, weight, ignore, place)?;
    let call = Classes { ignore, smoothing, weighted: weight.is_some() };
    let (acc, tensors) =
        (x.dtype().accumulator(), [x, target].into_iter().chain(weight).collect::<SmallVec<[&Tensor; 3]>>());
    let shape = sample_shape(x);
    let specs = [spec(loss_dtype(x, reduction), &shape), spec(acc, &[2, shape.numel()]), spec(acc, &[])];
    let outs = call.record(Loss::CrossEntropy, &tensors, specs.into_iter().collect())?;
    let out = with_grad_mode(false, || reduce_samples(outs[0].clone(), &outs[2], reduction, x.dtype()))?;
    let kept: &[usize] = if weight.is_some() { &[0, 1, 2] } else { &[0, 1] };
    let keep = Keep { inputs: kept, outputs: &[] };
    attach_with(class_loss_name(x), &tensors, std::slice::from_ref(&out), keep, &outs[1..], || {
        Rule::Fn(Arc::new(move |v| {
            let [x, target, weight @ .., stats, total] = v.all_saved() else {
                bail!(Internal, "cross_entropy_loss: nothing saved")
            };
            let g = cast(v.grad()?, acc)?;
            let g = if reduction == Reduce::Mean { g.div(total)? } else { g };
            let weight = weight.first();
            if modes().grad {
                return Ok(Grads::from_iter([Some(cross_entropy_slope(&call, &g, x, target, weight)?)]));
            }
            let tensors: SmallVec<[&Tensor; 5]> = [&g, x, target].into_iter().chain(weight).chain([stats]).collect();
            let mut dx =
                call.record(Loss::CrossEntropyGrad, &tensors, SmallVec::from_iter([spec(x.dtype(), x.shape())]))?;
            Ok(Grads::from_iter([dx.pop()]))
        }))
    })?;
    Ok(out)
}

/// The gradient of the scores as a differentiable function of them and of `g`, the gradient of every sample's loss or one
/// for all: with ε the smoothing, p the probabilities, t the target and W = Σ w,
/// g·((1 − ε)·w_t·(p − 1ₜ) + ε/C·(W·p − w)).
fn cross_entropy_slope(
    call: &Classes,
    g: &Tensor,
    x: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
) -> Result<Tensor> {
    let (acc, d) = (g.dtype(), class_dim(x));
    let classes = x.shape()[d];
    let mut along = Dims::filled(1, x.rank());
    along[d] = classes;
    let mut samples = x.shape_dims().clone();
    samples[d] = 1;
    let target = view::reshape(&cast(target, DType::I64)?, &samples)?;
    let counts = cast(&target.ne(call.ignore)?, acc)?;
    let g = if g.rank() == 0 { g.mul(&counts)? } else { view::reshape(g, &samples)?.mul(&counts)? };
    let index = view::reshape(&create::ramp(Scalar::Int(0), Scalar::Int(1), classes, DType::I64, g.device())?, &along)?;
    let hit = cast(&index.eq(&target)?, acc)?;
    let p = softmax::softmax(false, &cast(x, acc)?, d as i64, None)?;
    let weight = match weight {
        Some(w) => Some(view::reshape(&cast(w, acc)?, &along)?),
        None => None,
    };
    let pulled = match &weight {
        Some(w) => reduce::sum(&hit.mul(w)?, Some(&[d as i64]), true, None)?.mul(&p.sub(&hit)?)?,
        None => p.sub(&hit)?,
    };
    if call.smoothing == 0.0 {
        return pulled.mul(&g);
    }
    let even = match &weight {
        Some(w) => p.mul(&reduce::sum(w, None, false, None)?)?.sub(w)?,
        None => p.mul(classes as f64)?.sub(1.0)?,
    };
    let share = call.smoothing / classes as f64;
    pulled.mul(1.0 - call.smoothing)?.add(&even.mul(share)?)?.mul(&g)
}

/// −Σ_c w_c·y_c·log softmax(x)_c; the mean is over the samples.
fn with_probabilities(
    x: &Tensor,
    y: &Tensor,
    weight: Option<&Tensor>,
    reduction: Reduce,
    smoothing: f64,
) -> Result<Tensor> {
    ensure!(x.rank() > 0, Value, "Expected 1 or more dimensions (got 0)");
    let d = class_dim(x);
    let classes = x.shape()[d];
    let log = softmax::softmax(true, x, d as i64, None)?;
    let y = if smoothing > 0.0 { &y.mul(1.0 - smoothing)?.add(smoothing / classes as f64)? } else { y };
    let mut each = log.mul(y)?;
    if let Some(w) = weight {
        ensure!(
            w.shape() == [classes],
            Runtime,
            "cross_entropy: weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: {}",
            w.shape_dims()
        );
        let mut along = Dims::filled(1, x.rank());
        along[d] = classes;
        each = each.mul(&view::reshape(w, &along)?)?;
    }
    match reduction {
        Reduce::None => reduce::sum(&each, Some(&[d as i64]), false, None)?.neg(),
        Reduce::Sum => reduce::sum(&each, None, false, None)?.neg(),
        Reduce::Mean => {
            let samples = x.numel() as f64 / classes as f64;
            reduce::sum(&each, None, false, None)?.neg()?.div(samples)
        }
    }
}
