//! Layers of recurrent networks: one product of the input of all steps, and one kernel for the recurrence. The fused
//! gradient serves first derivatives; while a graph of the gradient is being made, it is composed of public operators.

use super::matmul::{product, t};
use super::{join, reduce, to_vec_i64, view};
use crate::device::Device;
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::exec::record::record;
use crate::grad::{Grads, Rule, Vjp, modes};
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::Op;
use crate::op::fused::{Cell, Fused, Recurrence};
use crate::shape::{Dims, Layout};
use crate::tensor::{Keep, Tensor, any_requires_grad, attach_with};
use smallvec::SmallVec;
use std::sync::Arc;

/// One layer and direction. Rows are those of packed sequences: step t has the first `sizes[t]` of the N sequences, or
/// all of them.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    pub cell: Cell,
    pub reverse: bool,
    pub steps: usize,
    /// (rows of all steps, I).
    pub x: &'a Tensor,
    /// (N, H).
    pub h: &'a Tensor,
    /// (N, H), for the LSTM.
    pub c: Option<&'a Tensor>,
    /// Of input (G·H, I) and state (G·H, H).
    pub weights: [&'a Tensor; 2],
    /// (G·H) each.
    pub biases: Option<[&'a Tensor; 2]>,
    pub sizes: Option<&'a Tensor>,
}

fn check(l: &Layer) -> Result<()> {
    let (name, x) = (Fused::Recurrence(l.recurrence(), false).name(), l.x);
    let floats = [x, l.h].into_iter().chain(l.weights).chain(l.c).chain(l.biases.into_iter().flatten());
    for tensor in floats {
        ensure!(
            matches!(x.dtype(), DType::F32 | DType::F64) && tensor.dtype() == x.dtype(),
            Runtime,
            "{name}: expected tensors of one dtype, float32 or float64, but found {} and {}",
            x.dtype(),
            tensor.dtype()
        );
        ensure!(!tensor.device().is_gpu(), Runtime, "{name}: expected tensors on the CPU");
    }
    ensure!(x.rank() == 2 && l.h.rank() == 2, Runtime, "{name}: input and state must have two dims");
    let (n, h, rows) = (l.h.shape()[0], l.h.shape()[1], l.cell.gates() * l.h.shape()[1]);
    let fits = (l.cell == Cell::Lstm) == l.c.is_some()
        && l.c.is_none_or(|c| c.shape() == l.h.shape())
        && l.weights[0].shape() == [rows, x.shape()[1]]
        && l.weights[1].shape() == [rows, h]
        && l.biases.is_none_or(|b| b.iter().all(|b| b.shape() == [rows]))
        && match l.sizes {
            Some(s) => s.dtype() == DType::I64 && s.device() == Device::Cpu && s.shape() == [l.steps],
            None => x.shape()[0] == l.steps * n,
        };
    ensure!(fits, Runtime, "{name}: sizes of input, states, weights and biases do not fit each other");
    Ok(())
}

fn spec(dtype: DType, shape: [usize; 2]) -> OutSpec {
    OutSpec { dtype, layout: Arc::new(Layout::contiguous(Dims::from(shape))) }
}

/// The states of all steps, the last ones, and the LSTM's last cells.
pub fn layer(l: &Layer) -> Result<Vec<Tensor>> {
    check(l)?;
    let lstm = l.cell == Cell::Lstm;
    let mut tensors: SmallVec<[&Tensor; 8]> = SmallVec::from_iter([l.x, l.h, l.weights[0], l.weights[1]]);
    tensors.extend(l.c);
    tensors.extend(l.biases.into_iter().flatten());
    tensors.extend(l.sizes);
    let saves = any_requires_grad(&tensors);
    let outs = l.record(saves)?;
    let public = if lstm { 3 } else { 2 };
    if saves {
        let kept: SmallVec<[usize; 8]> = (0..tensors.len()).collect();
        let keep = Keep { inputs: &kept, outputs: &[0] };
        let call = Call { of: l.recurrence(), steps: l.steps };
        let name = match l.cell {
            Cell::Tanh => "RnnTanhBackward0",
            Cell::Relu => "RnnReluBackward0",
            Cell::Lstm => "LstmBackward0",
            Cell::Gru => "GruBackward0",
        };
        attach_with(name, &tensors, &outs[..public], keep, &outs[public..], || {
            Rule::Fn(Arc::new(move |v| {
                let saved = Saved::of(call, v);
                let gates = if modes().grad { saved.composed(v)? } else { saved.kernel(v)? };
                saved.finish(v, gates)
            }))
        })?;
    }
    Ok(outs[..public].to_vec())
}

impl Layer<'_> {
    fn recurrence(&self) -> Recurrence {
        let (bias, sizes) = (self.biases.is_some(), self.sizes.is_some());
        Recurrence { cell: self.cell, reverse: self.reverse, bias, sizes }
    }

    /// The biases as the kernel adds them, without history.
    fn bias(&self) -> Result<Option<Tensor>> {
        let Some([ih, hh]) = self.biases.map(|b| b.map(Tensor::detach)) else { return Ok(None) };
        let sum = ih.add(&hh)?;
        if self.cell != Cell::Gru {
            return Ok(Some(sum));
        }
        let h = self.h.shape()[1];
        let part = |b: &Tensor, first: usize, len: usize| view::slice(b, 0, first * h, len * h, 1);
        join::cat(&[part(&sum, 0, 2)?, part(&ih, 2, 1)?, part(&hh, 2, 1)?], 0).map(Some)
    }

    fn record(&self, saves: bool) -> Result<SmallVec<[Tensor; 1]>> {
        let [weight, recurrent] = self.weights.map(Tensor::detach);
        let projected = product(&self.x.detach(), &t(&weight)?)?;
        let bias = self.bias()?;
        let mut inputs: Inputs = SmallVec::from_iter([projected.input(), self.h.input(), recurrent.input()]);
        inputs.extend([self.c, bias.as_ref(), self.sizes].into_iter().flatten().map(Tensor::input));
        inputs.push(Input::Scalar(self.steps as u64, DType::I64));
        let (dtype, rows, n, h) = (self.x.dtype(), self.x.shape()[0], self.h.shape()[0], self.h.shape()[1]);
        let (lstm, gru) = (self.cell == Cell::Lstm, self.cell == Cell::Gru);
        let mut outs = SmallVec::from_iter([spec(dtype, [rows, h]), spec(dtype, [n, h])]);
        if lstm {
            outs.push(spec(dtype, [n, h]));
        }
        if saves && (lstm || gru) {
            outs.push(spec(dtype, [rows, 4 * h]));
        }
        if saves && lstm {
            outs.push(spec(dtype, [rows, h]));
        }
        record(Op::Fused(Fused::Recurrence(self.recurrence(), saves)), inputs, outs)
    }
}

/// What does not depend on the tensors.
#[derive(Clone, Copy)]
struct Call {
    of: Recurrence,
    steps: usize,
}

/// The values that the rule reads, and where the inputs stand that not every layer has.
struct Saved<'a> {
    call: Call,
    x: &'a Tensor,
    h: &'a Tensor,
    weights: [&'a Tensor; 2],
    c: Option<&'a Tensor>,
    biases: Option<[&'a Tensor; 2]>,
    sizes: Option<&'a Tensor>,
    hs: &'a Tensor,
    /// The activations, and the LSTM's cells.
    others: &'a [Tensor],
}

/// The gradients of the gates' parts of input and state, which are the same but for the GRU, of the first states and of
/// the recurrent weights.
struct Gates {
    projected: Tensor,
    recurrent: Tensor,
    h: Tensor,
    c: Option<Tensor>,
    weight: Option<Tensor>,
}

const WEIGHT: usize = 3;

impl<'a> Saved<'a> {
    fn of(call: Call, v: &'a Vjp) -> Saved<'a> {
        let all = v.all_saved();
        let mut at = 4;
        let mut take = |present: bool| {
            at += usize::from(present);
            present.then(|| &all[at - 1])
        };
        let c = take(call.of.cell == Cell::Lstm);
        let (ih, hh, sizes) = (take(call.of.bias), take(call.of.bias), take(call.of.sizes));
        let biases = ih.zip(hh).map(|(a, b)| [a, b]);
        let [x, h, weight, recurrent] = [0, 1, 2, 3].map(|i| &all[i]);
        Saved { call, x, h, weights: [weight, recurrent], c, biases, sizes, hs: &all[at], others: &all[at + 1..] }
    }

    /// From the gates' gradients to those of all inputs.
    fn finish(&self, v: &Vjp, gates: Gates) -> Result<Grads> {
        let p = &gates.projected;
        let mut grads = Grads::new();
        grads.push(if v.needs(0) { Some(product(p, self.weights[0])?) } else { None });
        grads.push(if v.needs(1) { Some(gates.h) } else { None });
        grads.push(if v.needs(2) { Some(product(&t(p)?, self.x)?) } else { None });
        grads.push(gates.weight);
        if self.c.is_some() {
            grads.push(gates.c);
        }
        if self.biases.is_some() {
            let at = grads.len();
            let column = |g: &Tensor| reduce::sum(g, Some(&[0]), false, None);
            let of_input = if v.needs(at) || v.needs(at + 1) { Some(column(p)?) } else { None };
            let of_state = if self.call.of.cell == Cell::Gru && v.needs(at + 1) {
                Some(column(&gates.recurrent)?)
            } else {
                of_input.clone()
            };
            grads.extend([of_input, of_state]);
        }
        Ok(grads)
    }

    fn kernel(&self, v: &Vjp) -> Result<Gates> {
        let (lstm, gru) = (self.c.is_some(), self.call.of.cell == Cell::Gru);
        let given = [0, 1, 2].map(|i| v.grads.get(i).and_then(Option::as_ref));
        let mut inputs: Inputs = given.iter().flatten().map(|g| g.input()).collect();
        inputs.extend([self.hs, self.h, self.weights[1]].map(Tensor::input));
        inputs.extend(self.others.iter().map(Tensor::input));
        inputs.extend([self.c, self.sizes].into_iter().flatten().map(Tensor::input));
        inputs.push(Input::Scalar(self.call.steps as u64, DType::I64));
        let (dtype, rows, n, h) = (self.x.dtype(), self.x.shape()[0], self.h.shape()[0], self.h.shape()[1]);
        let gates = self.call.of.cell.gates() * h;
        let mut outs = SmallVec::from_iter([spec(dtype, [rows, gates])]);
        if gru {
            outs.push(spec(dtype, [rows, gates]));
        }
        outs.push(spec(dtype, [n, h]));
        if lstm {
            outs.push(spec(dtype, [n, h]));
        }
        let weight = v.needs(WEIGHT);
        if weight {
            outs.push(spec(dtype, [gates, h]));
        }
        let op = Fused::RecurrenceGrad { of: self.call.of, given: given.map(|g| g.is_some()), weight };
        let made = record(Op::Fused(op), inputs, outs)?;
        let state = 1 + usize::from(gru);
        Ok(Gates {
            projected: made[0].clone(),
            recurrent: made[state - 1].clone(),
            h: made[state].clone(),
            c: lstm.then(|| made[state + 1].clone()),
            weight: weight.then(|| made[made.len() - 1].clone()),
        })
    }

    /// The rows of each step.
    fn ranges(&self) -> Result<Vec<(usize, usize)>> {
        let sizes = match self.sizes {
            Some(s) => to_vec_i64(s)?.into_iter().map(|n| n as usize).collect(),
            None => vec![self.h.shape()[0]; self.call.steps],
        };
        let mut end = 0;
        let mut ranges = Vec::with_capacity(sizes.len());
        for n in sizes {
            ranges.push((end, n));
            end += n;
        }
        Ok(ranges)
    }

    /// The gates' gradients as differentiable functions of what the layer read: all steps again, and back.
    fn composed(&self, v: &Vjp) -> Result<Gates> {
        let (cell, ranges) = (self.call.of.cell, self.ranges()?);
        let mut projected = product(self.x, &t(self.weights[0])?)?;
        if let Some([ih, hh]) = self.biases {
            projected = projected.add(&if cell == Cell::Gru { ih.clone() } else { ih.add(hh)? })?;
        }
        let turned = t(self.weights[1])?;
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        if self.call.of.reverse {
            order.reverse();
        }
        let (mut h, mut c) = (self.h.clone(), self.c.cloned());
        let mut trace = Vec::new();
        for &step in &order {
            let (first, rows) = ranges[step];
            let before = head(&h, rows)?;
            let mut recurrent = product(&before, &turned)?;
            if let Some([_, bias]) = self.biases.filter(|_| cell == Cell::Gru) {
                recurrent = recurrent.add(bias)?;
            }
            let input = view::slice(&projected, 0, first, rows, 1)?;
            let cell_before = c.as_ref().map(|c| head(c, rows)).transpose()?;
            let (state, new_cell, saved) = advance(cell, &input, &recurrent, &before, cell_before.as_ref())?;
            h = with_head(&h, &state)?;
            c = c.zip(new_cell.as_ref()).map(|(c, new)| with_head(&c, new)).transpose()?;
            trace.push(Trace { before, cell: new_cell, cell_before, saved, state });
        }
        let given = |i: usize| v.grads.get(i).and_then(Option::as_ref).cloned();
        let start = |g: Option<Tensor>| g.map_or_else(|| self.h.detach().mul(0.0), Ok);
        let (mut dh, mut dc) = (start(given(1))?, start(given(2))?);
        let mut found: Vec<Option<[Tensor; 2]>> = vec![None; ranges.len()];
        for (&step, trace) in order.iter().zip(&trace).rev() {
            let (first, rows) = ranges[step];
            let mut g = head(&dh, rows)?;
            if let Some(all) = given(0) {
                g = g.add(&view::slice(&all, 0, first, rows, 1)?)?;
            }
            let gates = trace.retreat(cell, &g, &head(&dc, rows)?)?;
            let through = product(&gates.recurrent, self.weights[1])?;
            dh = with_head(&dh, &gates.direct.map_or_else(|| Ok(through.clone()), |d| d.add(&through))?)?;
            if let Some(cell) = gates.cell {
                dc = with_head(&dc, &cell)?;
            }
            found[step] = Some([gates.projected, gates.recurrent]);
        }
        let all = |k: usize| {
            let parts: Vec<Tensor> = found.iter().flatten().map(|pair| pair[k].clone()).collect();
            join::cat(&parts, 0)
        };
        let recurrent = all(1)?;
        let weight = if v.needs(WEIGHT) {
            let mut before: Vec<Tensor> = trace.iter().map(|t| t.before.clone()).collect();
            if self.call.of.reverse {
                before.reverse();
            }
            Some(product(&t(&recurrent)?, &join::cat(&before, 0)?)?)
        } else {
            None
        };
        Ok(Gates { projected: all(0)?, recurrent, h: dh, c: self.c.map(|_| dc), weight })
    }
}

/// The first `rows` rows.
fn head(x: &Tensor, rows: usize) -> Result<Tensor> {
    if rows == x.shape()[0] { Ok(x.clone()) } else { view::slice(x, 0, 0, rows, 1) }
}

/// `x` with its first rows replaced.
fn with_head(x: &Tensor, rows: &Tensor) -> Result<Tensor> {
    let (n, all) = (rows.shape()[0], x.shape()[0]);
    if n == all { Ok(rows.clone()) } else { join::cat(&[rows.clone(), view::slice(x, 0, n, all - n, 1)?], 0) }
}

/// The K blocks of columns.
fn columns<const K: usize>(x: &Tensor) -> Result<[Tensor; K]> {
    let width = x.shape()[1] / K;
    let parts = (0..K).map(|k| view::slice(x, 1, k * width, width, 1)).collect::<Result<Vec<_>>>()?;
    Ok(std::array::from_fn(|k| parts[k].clone()))
}

/// What one step of the composed gradient keeps.
struct Trace {
    before: Tensor,
    state: Tensor,
    cell_before: Option<Tensor>,
    cell: Option<Tensor>,
    /// i, f, g, o; r, z, n and the product of the new gate; nothing.
    saved: Option<[Tensor; 4]>,
}

/// The gradients of one step: of the gates' two parts, what reaches the earlier state past the gates, and its cell's.
struct StepGrads {
    projected: Tensor,
    recurrent: Tensor,
    direct: Option<Tensor>,
    cell: Option<Tensor>,
}

type Advanced = (Tensor, Option<Tensor>, Option<[Tensor; 4]>);

fn advance(cell: Cell, input: &Tensor, recurrent: &Tensor, h: &Tensor, c: Option<&Tensor>) -> Result<Advanced> {
    match (cell, c) {
        (Cell::Gru, _) => {
            let ([xr, xz, xn], [hr, hz, hn]) = (columns::<3>(input)?, columns::<3>(recurrent)?);
            let (r, z) = (xr.add(&hr)?.sigmoid()?, xz.add(&hz)?.sigmoid()?);
            let n = xn.add(&r.mul(&hn)?)?.tanh()?;
            let state = n.add(&z.mul(&h.sub(&n)?)?)?;
            Ok((state, None, Some([r, z, n, hn])))
        }
        (Cell::Lstm, Some(c)) => {
            let [i, f, g, o] = columns::<4>(&input.add(recurrent)?)?;
            let [i, f, g, o] = [i.sigmoid()?, f.sigmoid()?, g.tanh()?, o.sigmoid()?];
            let cell = f.mul(c)?.add(&i.mul(&g)?)?;
            Ok((o.mul(&cell.tanh()?)?, Some(cell), Some([i, f, g, o])))
        }
        (Cell::Tanh, _) => Ok((input.add(recurrent)?.tanh()?, None, None)),
        (Cell::Relu | Cell::Lstm, _) => Ok((input.add(recurrent)?.relu()?, None, None)),
    }
}

impl Trace {
    /// `g` and `dc` are the gradients of the step's state and cell.
    fn retreat(&self, cell: Cell, g: &Tensor, dc: &Tensor) -> Result<StepGrads> {
        // The derivatives of the sigmoid and of tanh by their values.
        let sigmoid = |s: &Tensor| s.mul(&s.rsub_one()?);
        let tanh = |t: &Tensor| t.mul(t)?.rsub_one();
        match (cell, &self.saved, &self.cell, &self.cell_before) {
            (Cell::Gru, Some([r, z, n, hn]), ..) => {
                let dn = g.mul(&z.rsub_one()?)?.mul(&tanh(n)?)?;
                let dr = dn.mul(hn)?.mul(&sigmoid(r)?)?;
                let dz = g.mul(&self.before.sub(n)?)?.mul(&sigmoid(z)?)?;
                let recurrent = join::cat(&[dr.clone(), dz.clone(), dn.mul(r)?], 1)?;
                let projected = join::cat(&[dr, dz, dn], 1)?;
                Ok(StepGrads { projected, recurrent, direct: Some(g.mul(z)?), cell: None })
            }
            (Cell::Lstm, Some([i, f, gate, o]), Some(c), Some(before)) => {
                let t = c.tanh()?;
                let cell = dc.add(&g.mul(o)?.mul(&tanh(&t)?)?)?;
                let di = cell.mul(gate)?.mul(&sigmoid(i)?)?;
                let df = cell.mul(before)?.mul(&sigmoid(f)?)?;
                let dg = cell.mul(i)?.mul(&tanh(gate)?)?;
                let d_o = g.mul(&t)?.mul(&sigmoid(o)?)?;
                let gates = join::cat(&[di, df, dg, d_o], 1)?;
                Ok(StepGrads { projected: gates.clone(), recurrent: gates, direct: None, cell: Some(cell.mul(f)?) })
            }
            (Cell::Tanh, ..) => Ok(StepGrads::plain(g.mul(&tanh(&self.state)?)?)),
            _ => Ok(StepGrads::plain(g.masked_zero(&self.state.gt(0.0)?)?)),
        }
    }
}

impl StepGrads {
    fn plain(gates: Tensor) -> StepGrads {
        StepGrads { projected: gates.clone(), recurrent: gates, direct: None, cell: None }
    }
}
