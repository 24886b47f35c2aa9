//! Steps of optimizers: the updates of many parameters, recorded in one call. Each is made of public operators, so that they
//! fuse with each other and with the backward pass before them.

use super::elementwise::apply;
use super::{create, inplace, item};
use crate::device::Device;
use crate::dtype::Scalar;
use crate::ensure;
use crate::error::Result;
use crate::exec::record::settle;
use crate::op::Ew;
use crate::tensor::Tensor;

/// A parameter with what an Adam step reads and writes of it.
pub struct AdamState {
    pub param: Tensor,
    pub grad: Tensor,
    pub step: Tensor,
    pub mean: Tensor,
    pub square: Tensor,
    /// AMSGrad's largest `square` so far.
    pub largest: Option<Tensor>,
}

/// The numbers of an Adam step.
#[derive(Clone, Copy)]
pub struct Adam {
    pub lr: f64,
    pub betas: (f64, f64),
    pub eps: f64,
    pub weight_decay: f64,
    /// The decay goes to the weights and not to the gradient (AdamW).
    pub decoupled: bool,
    pub maximize: bool,
}

/// One Adam step of a parameter (Kingma and Ba 2014; AdamW: Loshchilov and Hutter 2017; AMSGrad: Reddi et al. 2018).
pub fn adam(s: &AdamState, n: &Adam) -> Result<()> {
    settle([&s.param, &s.grad, &s.mean, &s.square].into_iter().chain(&s.largest))?;
    let count = advance(&s.step)?;
    let (beta1, beta2) = n.betas;
    let mut grad = if n.maximize { s.grad.neg()? } else { s.grad.clone() };
    if n.weight_decay != 0.0 {
        if n.decoupled {
            store(&s.param, &s.param.mul(1.0 - n.lr * n.weight_decay)?)?;
        } else {
            grad = grad.add(&s.param.mul(n.weight_decay)?)?;
        }
    }
    store(&s.mean, &apply(Ew::Lerp, &[(&s.mean).into(), (&grad).into(), (1.0 - beta1).into()])?)?;
    let decayed = s.square.mul(beta2)?;
    store(&s.square, &apply(Ew::Addcmul, &[(&decayed).into(), (&grad).into(), (&grad).into(), (1.0 - beta2).into()])?)?;
    let square = match &s.largest {
        Some(largest) => {
            store(largest, &apply(Ew::Maximum, &[largest.into(), (&s.square).into()])?)?;
            largest
        }
        None => &s.square,
    };
    let size = n.lr / (1.0 - beta1.powf(count));
    let denominator = square.sqrt()?.div((1.0 - beta2.powf(count)).sqrt())?.add(n.eps)?;
    let moved = [(&s.param).into(), (&s.mean).into(), (&denominator).into(), (-size).into()];
    store(&s.param, &apply(Ew::Addcdiv, &moved)?)
}

/// The numbers of a step of stochastic gradient descent.
#[derive(Clone, Copy)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
}

/// One step of gradient descent of a parameter. Where there is a momentum and no buffer yet, the result is the new buffer.
pub fn sgd(param: &Tensor, grad: &Tensor, buffer: Option<&Tensor>, n: &Sgd) -> Result<Option<Tensor>> {
    settle([param, grad].into_iter().chain(buffer))?;
    let mut grad = if n.maximize { grad.neg()? } else { grad.clone() };
    if n.weight_decay != 0.0 {
        grad = grad.add(&param.mul(n.weight_decay)?)?;
    }
    let mut made = None;
    if n.momentum != 0.0 {
        let buffer = match buffer {
            Some(b) => {
                store(b, &b.mul(n.momentum)?.add(&scaled(&grad, 1.0 - n.dampening)?)?)?;
                b.clone()
            }
            None => made.insert(grad.detach().copy()?).clone(),
        };
        grad = if n.nesterov { grad.add(&scaled(&buffer, n.momentum)?)? } else { buffer };
    }
    store(param, &param.add(&scaled(&grad, -n.lr)?)?)?;
    Ok(made)
}

fn scaled(t: &Tensor, factor: f64) -> Result<Tensor> {
    if factor == 1.0 { Ok(t.clone()) } else { t.mul(factor) }
}

/// What an in-place operator does with its result.
fn store(target: &Tensor, value: &Tensor) -> Result<()> {
    inplace::replace(target, value, "step")
}

/// Adds one to a step count and returns it. A count on the CPU is made at once: a kernel for one number costs more than the
/// addition.
fn advance(step: &Tensor) -> Result<f64> {
    ensure!(step.numel() == 1 && step.dtype().is_float(), Runtime, "an optimizer's step count must be one float");
    let count = Scalar::Float(item(step)?.to_f64() + 1.0);
    if step.device() == Device::Cpu && step.covers_storage() && !step.cell().is_pinned() && step.rank() == 0 {
        step.cell().set(create::number_now(count, step.dtype())?.cell().value());
        step.bump_version();
    } else {
        inplace::copy_(step, count.into())?;
    }
    Ok(count.to_f64())
}
