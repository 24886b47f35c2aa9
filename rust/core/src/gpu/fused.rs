//! The fused operators of networks: windows and numbers into the calls of their launchers.

use super::attention::{self, Attention};
use super::channels::Operands;
use super::device::Gpu;
use super::view::View;
use super::{batch_norm, loss, norm, softmax};
use crate::error::{Error, Result};
use crate::op::fused::{Fused, Norm};
use std::sync::Arc;

/// Hands out inputs in order.
struct Inputs<'a, 'b> {
    views: std::slice::Iter<'a, View<'b>>,
    op: &'static str,
}

impl<'a, 'b> Inputs<'a, 'b> {
    fn take(&mut self) -> Result<&'a View<'b>> {
        self.views.next().ok_or_else(|| Error::Internal(format!("{}: an input is missing", self.op)))
    }
    fn take_if(&mut self, present: bool) -> Result<Option<&'a View<'b>>> {
        if present { self.take().map(Some) } else { Ok(None) }
    }
}

/// The number of a normalisation (elements or groups, where it has one) and its eps.
fn norm_numbers(kind: Norm, numbers: &[u64]) -> (usize, f64) {
    match kind {
        Norm::Layer | Norm::Rms | Norm::Group => (numbers[0] as usize, f64::from_bits(numbers[1])),
        Norm::Batch | Norm::Running => (0, f64::from_bits(numbers[0])),
    }
}

pub fn execute(gpu: &Arc<Gpu>, op: &Fused, views: &[View], numbers: &[u64], outs: &[View]) -> Result<()> {
    let mut ins = Inputs { views: views.iter(), op: op.name() };
    match *op {
        Fused::Softmax { log, dim } => softmax::forward(gpu, log, dim as usize, ins.take()?, &outs[0]),
        Fused::SoftmaxGrad { log, dim } => {
            softmax::gradient(gpu, log, dim as usize, ins.take()?, ins.take()?, &outs[0])
        }
        Fused::Norm(kind, affine) => {
            let x = ins.take()?;
            let running = kind == Norm::Running;
            let (mean, rstd) = (ins.take_if(running)?, ins.take_if(running)?);
            let (weight, bias) = (ins.take_if(affine.weight)?, ins.take_if(affine.bias)?);
            let given = Operands { mean, rstd, weight, bias };
            let (number, eps) = norm_numbers(kind, numbers);
            match kind {
                Norm::Batch | Norm::Running => batch_norm::forward(gpu, running, x, given, eps, outs),
                _ => norm::forward(gpu, kind, x, given, number, eps, outs),
            }
        }
        Fused::NormGrad(kind, wants) => {
            let (g, x) = (ins.take()?, ins.take()?);
            let mean = ins.take_if(kind != Norm::Rms)?;
            let (rstd, weight) = (Some(ins.take()?), ins.take_if(wants.weight)?);
            let given = Operands { mean, rstd, weight, bias: None };
            let (number, eps) = norm_numbers(kind, numbers);
            match kind {
                Norm::Batch | Norm::Running => {
                    batch_norm::gradient(gpu, kind == Norm::Running, wants, [g, x], given, eps, outs)
                }
                _ => norm::gradient(gpu, kind, wants, [g, x], given, number, outs),
            }
        }
        Fused::Attention { causal, mask } => {
            let (q, k, v) = (ins.take()?, ins.take()?, ins.take()?);
            let call = Attention::new(causal, [q, k, v], ins.take_if(mask)?, numbers);
            attention::forward(gpu, &call, outs)
        }
        Fused::AttentionGrad { causal, mask, wants } => {
            let (dout, q, k, v) = (ins.take()?, ins.take()?, ins.take()?, ins.take()?);
            let call = Attention::new(causal, [q, k, v], ins.take_if(mask)?, numbers);
            attention::gradient(gpu, &call, [dout, ins.take()?, ins.take()?], wants, outs)
        }
        Fused::Loss(kind, weighted) => loss::execute(gpu, kind, weighted, views, numbers, outs),
        // Layers on the GPU are composed of other operators.
        Fused::Recurrence(..) | Fused::RecurrenceGrad { .. } => {
            Err(Error::NotImplemented(format!("{}: not implemented on the GPU", op.name())))
        }
    }
}
