//! Softmax and log-softmax along a dim, differentiable to any order.

use super::elementwise::cast;
use super::reduce;
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule};
use crate::graph::OutSpec;
use crate::op::Op;
use crate::op::fused::Fused;
use crate::shape::{Layout, wrap_dim};
use crate::tensor::{Keep, Tensor, attach};
use smallvec::SmallVec;
use std::sync::Arc;

/// eˣ / Σ eˣ along `dim`, or its logarithm; computed in `dtype` where one is given.
pub fn softmax(log: bool, t: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    let name = if log { "log_softmax" } else { "softmax" };
    let t = &match dtype {
        Some(d) => cast(t, d)?,
        None => t.clone(),
    };
    let d = wrap_dim(name, dim, t.rank())?;
    let place = if d + 1 == t.rank() { "_lastdim" } else { "" };
    ensure!(
        t.dtype().is_float() || t.numel() == 0,
        NotImplemented,
        "\"{name}{place}_kernel_impl\" not implemented for '{}'",
        t.dtype().scalar_name()
    );
    if !t.dtype().is_float() {
        return super::create::zeros(t.shape_dims().clone(), t.dtype(), t.device());
    }
    let out = OutSpec { dtype: t.dtype(), layout: Arc::new(Layout::contiguous(t.shape_dims().clone())) };
    let out = record_one(Op::Fused(Fused::Softmax { log, dim: d as u8 }), SmallVec::from_iter([t.input()]), out)?;
    let backward = if log { "LogSoftmaxBackward0" } else { "SoftmaxBackward0" };
    attach(backward, &[t], std::slice::from_ref(&out), Keep { inputs: &[], outputs: &[0] }, || {
        Rule::Fn(Arc::new(move |v| Ok(Grads::from_iter([Some(gradient(log, v.grad()?, v.saved(0), d)?)]))))
    })?;
    Ok(out)
}

/// The input's gradient from the output `y` and its gradient: y·(g − Σ g·y), or g − eʸ·Σ g for the logarithm.
pub fn gradient(log: bool, g: &Tensor, y: &Tensor, d: usize) -> Result<Tensor> {
    let op = Op::Fused(Fused::SoftmaxGrad { log, dim: d as u8 });
    let out = OutSpec { dtype: y.dtype(), layout: Arc::new(Layout::contiguous(y.shape_dims().clone())) };
    let dx = record_one(op, SmallVec::from_iter([g.input(), y.input()]), out)?;
    let name = if log { "LogSoftmaxBackwardDataBackward0" } else { "SoftmaxBackwardDataBackward0" };
    attach(name, &[g, y], std::slice::from_ref(&dx), Keep { inputs: &[0, 1], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let (u, g, y) = (v.grad()?, v.saved(0), v.saved(1));
            if log {
                let p = y.exp()?;
                let dg = u.sub(&along(&u.mul(&p)?, d)?)?;
                return Ok(Grads::from_iter([Some(dg), Some(u.mul(&p)?.mul(&along(g, d)?)?.neg()?)]));
            }
            let dy = u.mul(&g.sub(&along(&g.mul(y)?, d)?)?)?.sub(&g.mul(&along(&u.mul(y)?, d)?)?)?;
            Ok(Grads::from_iter([Some(gradient(false, u, y, d)?), Some(dy)]))
        }))
    })?;
    Ok(dx)
}

/// The sum along one dim, which stays with size 1.
fn along(t: &Tensor, d: usize) -> Result<Tensor> {
    if t.rank() == 0 { Ok(t.clone()) } else { reduce::sum(t, Some(&[d as i64]), true, None) }
}
