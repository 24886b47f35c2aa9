//! Scaled dot-product attention over any batch dims, with masks, grouped queries and dropout. The fused gradient serves
//! first derivatives; while a graph of the gradient is being made, it is composed of public operators.

use super::elementwise::{Operand, apply, cast, dense_like};
use super::matmul::{product, t};
use super::parametric::c_name;
use super::random::default_generator;
use super::{create, reduce, softmax, view};
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::ensure;
use crate::error::Result;
use crate::exec::record::{record, record_on};
use crate::grad::{Grads, Rule, Vjp, modes};
use crate::graph::{Input, Inputs, OutSpec, lock};
use crate::op::fused::Fused;
use crate::op::{Ew, Op};
use crate::shape::{Dims, Layout, broadcast_shapes};
use crate::tensor::{Keep, Tensor, attach_with};
use smallvec::SmallVec;
use std::sync::Arc;

const OP: &str = "scaled_dot_product_attention";

/// What `scaled_dot_product_attention` takes beside query, key and value.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Bool (true: may attend) or added to the scores; broadcasts to (…, L, S).
    pub mask: Option<&'a Tensor>,
    pub dropout: f64,
    /// Query i sees keys 0..=i.
    pub causal: bool,
    /// 1/√E where none is given.
    pub scale: Option<f64>,
    /// Whether groups of query heads may share a key head.
    pub grouped: bool,
}

fn check(q: &Tensor, k: &Tensor, v: &Tensor, o: &Options) -> Result<()> {
    ensure!(
        q.dtype() == k.dtype() && q.dtype() == v.dtype(),
        Runtime,
        "Expected query, key, and value to have the same dtype, but got query.dtype: {} key.dtype: {} and value.dtype: {} instead.",
        c_name(q.dtype()),
        c_name(k.dtype()),
        c_name(v.dtype())
    );
    ensure!(
        q.rank() >= 2 && k.rank() >= 2 && v.rank() >= 2,
        Runtime,
        "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {} key.dim: {} and value.dim: {} instead.",
        q.rank(),
        k.rank(),
        v.rank()
    );
    ensure!(
        q.dtype().is_float(),
        Runtime,
        "{OP}: expected query, key and value of a floating dtype but found {}",
        q.dtype().scalar_name()
    );
    if let Some(mask) = o.mask {
        ensure!(
            mask.dtype() == DType::Bool || mask.dtype() == q.dtype() || mask.dtype() == DType::F32,
            Runtime,
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: {} and  query.dtype: {} instead.",
            c_name(mask.dtype()),
            c_name(q.dtype())
        );
        ensure!(!o.causal, Runtime, "_{OP}: Explicit attn_mask should not be set when is_causal=True");
    }
    ensure!(o.dropout <= 1.0, Runtime, "dropout probability has to be between 0 and 1, but got {}", o.dropout);
    let last = |x: &Tensor, back: usize| x.shape()[x.rank() - back];
    ensure!(
        last(q, 1) == last(k, 1),
        Runtime,
        "{OP}: query of shape {} and key of shape {} must have the same last dimension",
        q.shape_dims(),
        k.shape_dims()
    );
    ensure!(
        last(k, 2) == last(v, 2),
        Runtime,
        "{OP}: key of shape {} and value of shape {} must have the same length (second to last dimension)",
        k.shape_dims(),
        v.shape_dims()
    );
    Ok(())
}

/// The tensor with its batch dims broadcast to `batch`, seen as (B, heads, rows, columns).
fn four(x: &Tensor, batch: &[usize]) -> Result<Tensor> {
    let inner = &x.shape()[x.rank().saturating_sub(2)..];
    let full: Dims = batch.iter().chain(inner).copied().collect();
    let wide = if x.shape() == &full[..] { x.clone() } else { view::expand(x, &full)? };
    four_of(&wide, batch)
}

fn four_of(x: &Tensor, batch: &[usize]) -> Result<Tensor> {
    match batch {
        [] => view::unsqueeze(&view::unsqueeze(x, 0)?, 0),
        [_] => view::unsqueeze(x, 0),
        [_, _] => Ok(x.clone()),
        [lead @ .., heads] => {
            let flat = [lead.iter().product(), *heads, x.shape()[batch.len()], x.shape()[batch.len() + 1]];
            view::reshape(x, &flat)
        }
    }
}

/// Every head repeated `times` times in place (dim −3).
fn repeat_heads(x: &Tensor, times: usize) -> Result<Tensor> {
    if times == 1 {
        return Ok(x.clone());
    }
    let d = x.rank() - 3;
    let mut wide = x.shape_dims().clone();
    wide.insert(d + 1, times);
    let mut shape = x.shape_dims().clone();
    shape[d] *= times;
    view::reshape(&view::expand(&view::unsqueeze(x, d as i64 + 1)?, &wide)?, &shape)
}

/// The batch shape of the result, and that of keys and values, which has fewer heads where groups of queries share them.
fn batches(q: &Tensor, k: &mut Tensor, v: &mut Tensor, grouped: bool) -> Result<(Dims, Dims)> {
    let of = |x: &Tensor| Dims::from_slice(&x.shape()[..x.rank() - 2]);
    let heads = |x: &Tensor| x.shape()[x.rank() - 3];
    if grouped {
        ensure!(
            q.rank() > 2 && k.rank() > 2 && v.rank() > 2,
            Index,
            "{OP}: Dimension out of range: enable_gqa needs a dimension of heads, but query, key and value are {}-, {}- and {}-dimensional",
            q.rank(),
            k.rank(),
            v.rank()
        );
        let (hq, hk, hv) = (heads(q), heads(k), heads(v));
        let divides = |h: usize| h == hq || (h > 0 && hq % h == 0);
        ensure!(
            divides(hk) && divides(hv),
            Runtime,
            "Number of heads in key and value must divide the number of heads in query, but got {hk}, {hv} and {hq}"
        );
        if hk != hv {
            (*k, *v) = (repeat_heads(k, hq / hk.max(1))?, repeat_heads(v, hq / hv.max(1))?);
        }
    }
    let some_heads = q.rank() > 2 && k.rank() > 2 && v.rank() > 2;
    let shared = some_heads && heads(k) == heads(v) && heads(k) != heads(q) && (grouped || heads(k) == 1);
    if shared {
        let without = |x: &Tensor| Dims::from_slice(&x.shape()[..x.rank() - 3]);
        let lead = broadcast_shapes(OP, &broadcast_shapes(OP, &without(q), &without(k))?, &without(v))?;
        let with = |h: usize| -> Dims { lead.iter().copied().chain([h]).collect() };
        return Ok((with(heads(q)), with(heads(k))));
    }
    let batch = broadcast_shapes(OP, &broadcast_shapes(OP, &of(q), &of(k))?, &of(v))?;
    Ok((batch.clone(), batch))
}

/// Whether a gradient is wanted of half types in other shapes than (N, H, L, E), which PyTorch computes in float32.
fn wants_float32(all: [&Tensor; 3]) -> bool {
    matches!(all[0].dtype(), DType::F16 | DType::BF16)
        && all.iter().any(|x| x.rank() != 4)
        && modes().grad
        && all.iter().any(|x| x.requires_grad())
}

/// softmax(scale·q·kᵀ + mask)·v for q (…, L, E), k (…, S, E) and v (…, S, Ev).
pub fn scaled_dot_product_attention(q: &Tensor, k: &Tensor, v: &Tensor, o: &Options) -> Result<Tensor> {
    check(q, k, v, o)?;
    if wants_float32([q, k, v]) {
        let wide = |x: &Tensor| cast(x, DType::F32);
        let mask = match o.mask {
            Some(m) if m.dtype() != DType::Bool => Some(wide(m)?),
            other => other.cloned(),
        };
        let options = Options { mask: mask.as_ref(), ..*o };
        return cast(&scaled_dot_product_attention(&wide(q)?, &wide(k)?, &wide(v)?, &options)?, q.dtype());
    }
    let (mut k, mut v) = (k.clone(), v.clone());
    let (batch, shared) = batches(q, &mut k, &mut v, o.grouped)?;
    let (l, s) = (q.shape()[q.rank() - 2], k.shape()[k.rank() - 2]);
    let mask = match o.mask {
        None => None,
        Some(m) => {
            let full: Dims = batch.iter().copied().chain([l, s]).collect();
            ensure!(
                m.layout().broadcast_to(&full).is_some(),
                Runtime,
                "{OP}: attn_mask of shape {} does not broadcast to the scores of shape {full}",
                m.shape_dims()
            );
            Some(four_of(&view::expand(m, &full)?, &batch)?)
        }
    };
    let scale = o.scale.unwrap_or_else(|| 1.0 / (q.shape()[q.rank() - 1] as f64).sqrt());
    let dropout = o.dropout.max(0.0);
    let draws = dropout > 0.0 && q.device() != Device::Meta;
    let (seed, offset) = if draws { lock(&default_generator(q.device())).reserve_philox() } else { (0, 0) };
    let call = Call { scale, dropout, seed, offset, causal: o.causal };
    let ev = v.shape()[v.rank() - 1];
    // The result lies as the query does: heads outside or inside of rows.
    let strides = &q.layout().strides;
    let merge = batch.len() == 2 && q.rank() == 4 && strides[3] == 1 && strides[1] < strides[2];
    let out = call.record(&four(q, &batch)?, &four(&k, &shared)?, &four(&v, &shared)?, mask.as_ref(), merge)?;
    if batch.len() == 2 {
        return Ok(out);
    }
    let shape: Dims = batch.iter().copied().chain([l, ev]).collect();
    view::reshape(&out, &shape)
}

/// The numbers of one call.
#[derive(Clone, Copy)]
struct Call {
    scale: f64,
    dropout: f64,
    seed: u64,
    offset: u64,
    causal: bool,
}

/// (B, H, L, E) in the memory order (B, L, H, E), which merging the heads afterwards makes contiguous.
fn rows_first([b, h, l, e]: [usize; 4]) -> Layout {
    let strides = Dims::from([h * l * e, e, h * e, 1].map(|s: usize| s.max(1)));
    Layout { shape: Dims::from([b, h, l, e]), strides, offset: 0 }
}

/// The layout of a gradient: its tensor's order of dims where rows are contiguous in it.
fn gradient_layout(x: &Tensor) -> Layout {
    let like = dense_like(x.layout());
    if like.strides.last() == Some(&1) && like.is_dense() { like } else { Layout::contiguous(x.shape_dims().clone()) }
}

fn sizes4(x: &Tensor) -> [usize; 4] {
    let s = x.shape();
    [s[0], s[1], s[2], s[3]]
}

impl Call {
    fn numbers(&self) -> [Input; 4] {
        let [scale, dropout] = [self.scale, self.dropout].map(|f| Input::Scalar(f.to_bits(), DType::F64));
        [scale, dropout, Input::Scalar(self.seed, DType::I64), Input::Scalar(self.offset, DType::I64)]
    }

    /// The kernel on 4-d tensors.
    fn record(self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, merge: bool) -> Result<Tensor> {
        let ([b, h, l, _], ev) = (sizes4(q), v.shape()[3]);
        let layout = if merge { rows_first([b, h, l, ev]) } else { Layout::contiguous(Dims::from([b, h, l, ev])) };
        let lse =
            OutSpec { dtype: q.dtype().accumulator(), layout: Arc::new(Layout::contiguous(Dims::from([b, h, l]))) };
        let tensors: SmallVec<[&Tensor; 4]> = [q, k, v].into_iter().chain(mask).collect();
        let inputs: Inputs = tensors.iter().map(|t| t.input()).chain(self.numbers()).collect();
        let op = Op::Fused(Fused::Attention { causal: self.causal, mask: mask.is_some() });
        let out = OutSpec { dtype: q.dtype(), layout: Arc::new(layout) };
        let outs = record(op, inputs, SmallVec::from_iter([out, lse]))?;
        let (out, lse) = (outs[0].clone(), outs[1].clone());
        let kept: &[usize] = if mask.is_some() { &[0, 1, 2, 3] } else { &[0, 1, 2] };
        let keep = Keep { inputs: kept, outputs: &[0] };
        let name = "ScaledDotProductAttentionBackward0";
        attach_with(name, &tensors, std::slice::from_ref(&out), keep, &[lse], || {
            Rule::Fn(Arc::new(move |v| if modes().grad { self.composed(v) } else { self.kernel(v) }))
        })?;
        Ok(out)
    }

    fn kernel(&self, v: &Vjp) -> Result<Grads> {
        let [tensors @ .., out, lse] = v.all_saved() else { return Ok(Grads::new()) };
        let mask = tensors.get(3);
        let wants = [v.needs(0), v.needs(1), v.needs(2), mask.is_some() && v.needs(3)];
        let mut inputs: Inputs = SmallVec::from_iter([v.grad()?.input()]);
        inputs.extend(tensors.iter().chain([out, lse]).map(Tensor::input));
        inputs.extend(self.numbers());
        // The mask's gradient is as wide as the scores; the rest of the graph sums what was broadcast.
        let mut specs: SmallVec<[OutSpec; 1]> = SmallVec::new();
        for (t, _) in tensors.iter().zip(wants).filter(|(_, w)| *w) {
            specs.push(OutSpec { dtype: tensors[0].dtype(), layout: Arc::new(gradient_layout(t)) });
        }
        if specs.is_empty() {
            return Ok(Grads::new());
        }
        let op = Op::Fused(Fused::AttentionGrad { causal: self.causal, mask: mask.is_some(), wants });
        let mut results = record(op, inputs, specs)?.into_iter();
        Ok(wants.iter().take(tensors.len()).map(|&w| if w { results.next() } else { None }).collect())
    }

    /// The factors 0 or 1/(1 − p) of the probabilities (B, H, L, S): those of the forward pass.
    fn kept(&self, shape: Dims, dtype: DType, device: Device) -> Result<Option<Tensor>> {
        if self.dropout == 0.0 {
            return Ok(None);
        }
        let inputs = [self.seed, self.offset].map(|n| Input::Scalar(n, DType::I64));
        let out = OutSpec { dtype: DType::F32, layout: Arc::new(Layout::contiguous(shape)) };
        let uniform = record_on(Op::Ew(Ew::Philox), SmallVec::from_iter(inputs), out, device)?;
        let keep = 1.0 - self.dropout;
        // The kernel compares in double precision: a float32 below `keep` is below the next float32 that is not less than it.
        let bound = keep as f32;
        let bound = if f64::from(bound) < keep { bound.next_up() } else { bound };
        let kept = cast(&uniform.lt(f64::from(bound))?, dtype)?;
        Ok(Some(if keep > 0.0 { kept.mul(1.0 / keep)? } else { kept }))
    }

    /// The scores (B, H, L, S), −∞ where a query does not see a key.
    fn scores(&self, q: &Tensor, k: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let raw = product(q, &t(k)?)?.mul(self.scale)?;
        let hidden = Operand::Number(Scalar::Float(f64::NEG_INFINITY));
        let hide = |seen: &Tensor| apply(Ew::Where, &[seen.into(), (&raw).into(), hidden]);
        match mask {
            Some(m) if m.dtype() == DType::Bool => hide(m),
            Some(m) => raw.add(&cast(m, raw.dtype())?),
            None if self.causal => {
                let [_, _, l, s] = sizes4(&raw);
                let count = |n: usize| create::ramp(Scalar::Int(0), Scalar::Int(1), n, DType::I64, raw.device());
                hide(&view::unsqueeze(&count(l)?, 1)?.ge(&count(s)?)?)
            }
            None => Ok(raw),
        }
    }

    /// The gradients as differentiable functions: with probabilities P and kept factors D, dv = (P·D)ᵀ·g, and the scores'
    /// gradient is that of softmax at (g·vᵀ)·D.
    fn composed(&self, v: &Vjp) -> Result<Grads> {
        let (saved, acc) = (v.all_saved(), v.saved(0).dtype().accumulator());
        let mask = if saved.len() == 6 { Some(v.saved(3)) } else { None };
        let g = cast(v.grad()?, acc)?;
        let (q, k, value) = (cast(v.saved(0), acc)?, cast(v.saved(1), acc)?, cast(v.saved(2), acc)?);
        let group = q.shape()[1] / k.shape()[1].max(1);
        let (keys, values) = (repeat_heads(&k, group)?, repeat_heads(&value, group)?);
        let scores = self.scores(&q, &keys, mask)?;
        if scores.numel() == 0 {
            let zeros = |x: &Tensor| x.mul(0.0).map(Some);
            let mut grads = Grads::from_iter([zeros(&q)?, zeros(&k)?, zeros(&value)?]);
            if let Some(m) = mask.filter(|_| v.needs(3)) {
                grads.push(zeros(m)?);
            }
            return Ok(grads);
        }
        // A query without any key has probabilities 0.
        let any = reduce::extremum(true, &scores.detach(), Some(&[3]), true)?.gt(f64::NEG_INFINITY)?;
        let finite = scores.masked_zero(&any)?;
        let p = softmax::softmax(false, &finite, 3, None)?.masked_zero(&any)?;
        let kept = self.kept(p.shape_dims().clone(), acc, p.device())?;
        let drop = |x: Tensor| match &kept {
            Some(d) => x.mul(d),
            None => Ok(x),
        };
        // Sums the gradients of the query heads that shared a key head.
        let shared = |x: Tensor, like: &Tensor| -> Result<Tensor> {
            if group == 1 {
                return Ok(x);
            }
            let [b, h, s, e] = sizes4(like);
            reduce::sum(&view::reshape(&x, &[b, h, group, s, e])?, Some(&[2]), false, None)
        };
        let mut grads = Grads::new();
        let dp = drop(product(&g, &t(&values)?)?)?;
        let ds = softmax::gradient(false, &dp, &p, 3)?;
        grads.push(if v.needs(0) { Some(product(&ds, &keys)?.mul(self.scale)?) } else { None });
        grads.push(if v.needs(1) { Some(shared(product(&t(&ds)?, &q)?.mul(self.scale)?, &k)?) } else { None });
        grads.push(if v.needs(2) { Some(shared(product(&t(&drop(p)?)?, &g)?, &value)?) } else { None });
        if mask.is_some() {
            grads.push(if v.needs(3) { Some(ds) } else { None });
        }
        Ok(grads)
    }
}
