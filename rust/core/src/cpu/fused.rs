//! The arms of `execute` for the fused operators of networks: windows and numbers into kernel parameters.

use super::attention::{self, AttentionParams};
use super::attention_backward::{self, Gradients};
use super::batch_norm::{self, BatchNormParams, Saved};
use super::loss::{self, CrossEntropyParams, NllParams};
use super::norm::{self, GroupNormParams, LayerNormParams};
use super::philox::Philox;
use super::rnn;
use super::rnn_backward;
use super::softmax::{self, SoftmaxParams};
use super::view::{In, Out};
use crate::error::{Error, Result};
use crate::op::fused::{Affine, Cell, Fused, Loss, Norm, NormGrad, Recurrence};

/// Hands out inputs in order.
struct Inputs<'a, 'b> {
    windows: std::slice::Iter<'a, In<'b>>,
    op: &'static str,
}

impl<'a, 'b> Inputs<'a, 'b> {
    fn take(&mut self) -> Result<&'a In<'b>> {
        self.windows.next().ok_or_else(|| Error::Internal(format!("{}: an input is missing", self.op)))
    }
    fn take_if(&mut self, present: bool) -> Result<Option<&'a In<'b>>> {
        if present { self.take().map(Some) } else { Ok(None) }
    }
}

pub fn execute(op: &Fused, ins: &[In], numbers: &[u64], outs: &mut [Out]) -> Result<()> {
    let mut ins = Inputs { windows: ins.iter(), op: op.name() };
    match *op {
        Fused::Softmax { log, dim } => {
            softmax::forward(&SoftmaxParams { dim: dim as usize, log }, ins.take()?, &mut outs[0])
        }
        Fused::SoftmaxGrad { log, dim } => {
            let p = SoftmaxParams { dim: dim as usize, log };
            softmax::backward(&p, ins.take()?, ins.take()?, &mut outs[0])
        }
        Fused::Norm(kind, affine) => normalise(kind, affine, ins, numbers, outs),
        Fused::NormGrad(kind, g) => normalise_grad(kind, g, ins, numbers, outs),
        Fused::Attention { causal, mask } => {
            let [out, lse] = outs else { return Err(missing_output(op)) };
            let (q, k, v) = (ins.take()?, ins.take()?, ins.take()?);
            let mask = ins.take_if(mask)?;
            attention::forward(&attention_params(causal, numbers), q, k, v, mask, uniform, out, Some(lse))
        }
        Fused::AttentionGrad { causal, mask, wants } => {
            let (dout, q, k, v) = (ins.take()?, ins.take()?, ins.take()?, ins.take()?);
            let (mask, out, lse) = (ins.take_if(mask)?, ins.take()?, ins.take()?);
            let saved = attention_backward::Saved { dout, q, k, v, mask, out, lse };
            let [dq, dk, dv, dmask] = wanted(wants, outs);
            attention_backward::backward(
                &attention_params(causal, numbers),
                saved,
                uniform,
                Gradients { dq, dk, dv, dmask },
            )
        }
        Fused::Loss(kind, weighted) => class_loss(kind, weighted, ins, numbers, outs),
        Fused::Recurrence(r, saves) => recurrence(r, saves, ins, numbers, outs),
        Fused::RecurrenceGrad { of, given, weight } => recurrence_grad(of, given, weight, ins, numbers, outs),
    }
}

fn recurrence(r: Recurrence, saves: bool, mut ins: Inputs, numbers: &[u64], outs: &mut [Out]) -> Result<()> {
    let lstm = r.cell == Cell::Lstm;
    let (projected, h, weight) = (ins.take()?, ins.take()?, ins.take()?);
    let (c, bias, sizes) = (ins.take_if(lstm)?, ins.take_if(r.bias)?, ins.take_if(r.sizes)?);
    let steps = numbers[0] as usize;
    let args = rnn::Forward { cell: r.cell, reverse: r.reverse, steps, projected, h, c, weight, bias, sizes };
    let activations = saves && (lstm || r.cell == Cell::Gru);
    let [hs, h_last, c_last, activations, cells] = wanted([true, true, lstm, activations, saves && lstm], outs);
    let (Some(hs), Some(h_last)) = (hs, h_last) else {
        return Err(Error::Internal(format!("{}: an output is missing", ins.op)));
    };
    rnn::forward(&args, rnn::Results { hs, h_last, c_last, activations, cells })
}

fn recurrence_grad(
    r: Recurrence,
    given: [bool; 3],
    weight: bool,
    mut ins: Inputs,
    numbers: &[u64],
    outs: &mut [Out],
) -> Result<()> {
    let (lstm, gru) = (r.cell == Cell::Lstm, r.cell == Cell::Gru);
    let args = rnn_backward::Backward {
        cell: r.cell,
        reverse: r.reverse,
        steps: numbers[0] as usize,
        dhs: ins.take_if(given[0])?,
        dh_last: ins.take_if(given[1])?,
        dc_last: ins.take_if(given[2])?,
        hs: ins.take()?,
        h: ins.take()?,
        weight: ins.take()?,
        activations: ins.take_if(lstm || gru)?,
        cells: ins.take_if(lstm)?,
        c: ins.take_if(lstm)?,
        sizes: ins.take_if(r.sizes)?,
    };
    let [projected, recurrent, h, c, weight] = wanted([true, gru, true, lstm, weight], outs);
    let (Some(projected), Some(h)) = (projected, h) else {
        return Err(Error::Internal(format!("{}: an output is missing", ins.op)));
    };
    rnn_backward::backward(&args, rnn_backward::Gradients { projected, recurrent, h, c, weight })
}

fn missing_output(op: &Fused) -> Error {
    Error::Internal(format!("{}: an output is missing", op.name()))
}

/// The outputs at their places among the possible ones.
fn wanted<'a, 'b, const N: usize>(wants: [bool; N], outs: &'a mut [Out<'b>]) -> [Option<&'a mut Out<'b>>; N] {
    let mut outs = outs.iter_mut();
    wants.map(|w| if w { outs.next() } else { None })
}

fn uniform(seed: u64, offset: u64, first: u64, out: &mut [f32]) {
    Philox { seed, offset }.fill_uniform(first, out);
}

fn attention_params(causal: bool, numbers: &[u64]) -> AttentionParams {
    let (scale, dropout) = (f64::from_bits(numbers[0]), f64::from_bits(numbers[1]));
    AttentionParams { scale, causal, dropout, seed: numbers[2], offset: numbers[3] }
}

/// The parameters of layer and RMS normalisation.
fn last(kind: Norm, numbers: &[u64]) -> LayerNormParams {
    LayerNormParams { n: numbers[0] as usize, eps: f64::from_bits(numbers[1]), rms: kind == Norm::Rms }
}

fn groups(numbers: &[u64]) -> GroupNormParams {
    GroupNormParams { groups: numbers[0] as usize, eps: f64::from_bits(numbers[1]) }
}

fn normalise(kind: Norm, affine: Affine, mut ins: Inputs, numbers: &[u64], outs: &mut [Out]) -> Result<()> {
    let x = ins.take()?;
    let running = kind == Norm::Running;
    let (mean, variance) = (ins.take_if(running)?, ins.take_if(running)?);
    let (w, b) = (ins.take_if(affine.weight)?, ins.take_if(affine.bias)?);
    let has = |i: usize| i < outs.len();
    let [y, s0, s1, s2] = wanted([true, has(1), has(2), has(3)], outs);
    let Some(y) = y else { return Err(Error::Internal("normalisation without an output".into())) };
    match (kind, mean, variance) {
        (Norm::Layer, ..) => norm::layer_norm(&last(kind, numbers), x, w, b, y, s0, s1),
        (Norm::Rms, ..) => norm::layer_norm(&last(kind, numbers), x, w, b, y, None, s0),
        (Norm::Group, ..) => norm::group_norm(&groups(numbers), x, w, b, y, s0, s1),
        (Norm::Running, Some(m), Some(v)) => batch_norm::forward_eval(&batch(numbers), x, m, v, w, b, y),
        (Norm::Batch | Norm::Running, ..) => batch_norm::forward_training(&batch(numbers), x, w, b, y, s0, s1, s2),
    }
}

fn batch(numbers: &[u64]) -> BatchNormParams {
    BatchNormParams { eps: f64::from_bits(numbers[0]) }
}

fn normalise_grad(kind: Norm, g: NormGrad, mut ins: Inputs, numbers: &[u64], outs: &mut [Out]) -> Result<()> {
    let (dy, x) = (ins.take()?, ins.take()?);
    let mean = ins.take_if(kind != Norm::Rms)?;
    let (rstd, w) = (ins.take()?, ins.take_if(g.weight)?);
    let [dx, dw, db] = wanted(g.wants, outs);
    match (kind, mean) {
        (Norm::Group, Some(mean)) => norm::group_norm_backward(&groups(numbers), dy, x, mean, rstd, w, dx, dw, db),
        (Norm::Batch, Some(mean)) => {
            batch_norm::backward(&batch(numbers), dy, x, Saved::Training { mean, rstd }, w, dx, dw, db)
        }
        (Norm::Running, Some(mean)) => {
            batch_norm::backward(&batch(numbers), dy, x, Saved::Eval { mean, variance: rstd }, w, dx, dw, db)
        }
        (_, mean) => norm::layer_norm_backward(&last(kind, numbers), dy, x, mean, rstd, w, dx, dw, db),
    }
}

fn class_loss(kind: Loss, weighted: bool, mut ins: Inputs, numbers: &[u64], outs: &mut [Out]) -> Result<()> {
    let ignore_index = numbers[0] as i64;
    let smoothing = || numbers.get(1).copied().map_or(0.0, f64::from_bits);
    let cross = || CrossEntropyParams { ignore_index, label_smoothing: smoothing() };
    match (kind, outs) {
        (Loss::CrossEntropy, [loss, stats, total]) => {
            let (x, target) = (ins.take()?, ins.take()?);
            loss::cross_entropy(&cross(), x, target, ins.take_if(weighted)?, loss, stats, Some(total))
        }
        (Loss::CrossEntropyGrad, [dx]) => {
            let (grad, x, target) = (ins.take()?, ins.take()?, ins.take()?);
            let w = ins.take_if(weighted)?;
            loss::cross_entropy_backward(&cross(), grad, x, target, w, ins.take()?, dx)
        }
        (Loss::Nll, [loss, total]) => {
            let (x, target) = (ins.take()?, ins.take()?);
            loss::nll_loss(&NllParams { ignore_index }, x, target, ins.take_if(weighted)?, loss, Some(total))
        }
        (Loss::NllGrad, [dx]) => {
            let (grad, target) = (ins.take()?, ins.take()?);
            loss::nll_loss_backward(&NllParams { ignore_index }, grad, target, ins.take_if(weighted)?, dx)
        }
        _ => Err(Error::Internal("a loss without its outputs".into())),
    }
}
