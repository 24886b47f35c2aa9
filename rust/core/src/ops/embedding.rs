//! Embedding lookup, its gradient, and renormalisation of looked-up rows.

use super::elementwise::{apply, cast};
use super::index::{check_within, index_copy, index_select, select_known};
use super::{inplace, reduce, view};
use crate::dtype::DType;
use crate::ensure;
use crate::error::{Breach, Error, Result};
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule, modes, with_grad_mode};
use crate::graph::{Input, OutSpec};
use crate::op::index::Indexing;
use crate::op::{Ew, Op};
use crate::shape::{Dims, Layout};
use crate::tensor::{Keep, Tensor, attach};
use smallvec::SmallVec;
use std::sync::Arc;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

/// Which lookups give no gradient, and whether a row's gradient is divided by how often it was looked up.
#[derive(Clone, Copy)]
pub struct Options {
    /// −1 for none.
    pub padding_idx: i64,
    pub scale_grad_by_freq: bool,
}

fn check_indices(op: &str, weight: &Tensor, index: &Tensor) -> Result<()> {
    ensure!(weight.rank() == 2, Runtime, "'weight' must be 2-D");
    ensure!(
        matches!(index.dtype(), DType::I64 | DType::I32),
        Runtime,
        "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got corten.{}Tensor instead (while checking arguments for {op})",
        index.dtype().scalar_name()
    );
    let breach = Breach::new([0; 2], |_, _| Error::Index("index out of range in self".into()));
    check_within(index, 0, weight.shape()[0] as i64, breach)
}

/// Rows of `weight` `(V, D)` at the indices: the index's shape with `D` appended.
pub fn embedding(weight: &Tensor, index: &Tensor, options: Options) -> Result<Tensor> {
    check_indices("embedding", weight, index)?;
    lookup(weight, &cast(index, DType::I64)?, options)
}

fn lookup(weight: &Tensor, index: &Tensor, options: Options) -> Result<Tensor> {
    let shape: Dims = index.shape().iter().copied().chain([weight.shape()[1]]).collect();
    if weight.dtype().is_complex() {
        ensure!(
            !(modes().grad && weight.requires_grad()),
            Runtime,
            "embedding does not support automatic differentiation for outputs with complex dtype."
        );
        return view::reshape(&index_select(weight, 0, &view::reshape(index, &[index.numel()])?)?, &shape);
    }
    let spec = OutSpec { dtype: weight.dtype(), layout: Arc::new(Layout::contiguous(shape)) };
    let inputs = SmallVec::from_iter([weight.input(), index.input()]);
    let out = record_one(Op::Indexing(Indexing::Embedding), inputs, spec)?;
    let rows = weight.shape()[0];
    let keep = Keep { inputs: &[1], outputs: &[] };
    attach("EmbeddingBackward0", &[weight, index], std::slice::from_ref(&out), keep, || {
        Rule::Fn(Arc::new(move |v| Ok(one(embedding_grad(v.grad()?, v.saved(0), rows, options)?))))
    })?;
    Ok(out)
}

/// For each row of the indices `(B, K)` the sum of those rows of `weight` `(V, D)`, each times its factor `(B, K)` if there are
/// factors: `(B, D)`.
pub fn bag(weight: &Tensor, index: &Tensor, factors: Option<&Tensor>, options: Options) -> Result<Tensor> {
    check_indices("embedding_bag", weight, index)?;
    ensure!(index.rank() == 2, Runtime, "embedding_bag: expected indices (B, K), got {}", index.shape_dims());
    if let Some(f) = factors {
        ensure!(
            f.shape() == index.shape() && f.dtype() == weight.dtype(),
            Runtime,
            "embedding_bag: expected per_sample_weights of shape {} and dtype {}, got {} and {}",
            index.shape_dims(),
            weight.dtype().scalar_name(),
            f.shape_dims(),
            f.dtype().scalar_name()
        );
    }
    let (bags, lookups, width) = (index.shape()[0], index.shape()[1], weight.shape()[1]);
    let spread = move |g: &Tensor| view::expand(&view::unsqueeze(g, 1)?, &[bags, lookups, width]);
    let times = |rows: &Tensor, f: Option<&Tensor>| f.map_or(Ok(rows.clone()), |f| rows.mul(&view::unsqueeze(f, -1)?));
    if !weight.dtype().is_float() {
        return reduce::sum(&times(&lookup(weight, index, options)?, factors)?, Some(&[1]), false, None);
    }
    let spec = OutSpec { dtype: weight.dtype(), layout: Arc::new(Layout::contiguous(Dims::from([bags, width]))) };
    let tensors: SmallVec<[&Tensor; 3]> = [weight, index].into_iter().chain(factors).collect();
    let out = record_one(Op::Indexing(Indexing::EmbeddingBag), tensors.iter().map(|t| t.input()).collect(), spec)?;
    let (rows, weighted) = (weight.shape()[0], factors.is_some());
    let keep = Keep { inputs: if weighted { &[1, 2, 0] } else { &[1] }, outputs: &[] };
    attach("EmbeddingBagBackward0", &tensors, std::slice::from_ref(&out), keep, || {
        Rule::Fn(Arc::new(move |v| {
            let (g, index) = (spread(v.grad()?)?, v.saved(0));
            let factors = weighted.then(|| v.saved(1));
            let of_table =
                v.needs(0).then(|| embedding_grad(&times(&g, factors)?, index, rows, options)).transpose()?;
            let mut grads: Grads = SmallVec::from_iter([of_table, None]);
            if weighted {
                let slope = || reduce::sum(&lookup(v.saved(2), index, options)?.mul(&g)?, Some(&[2]), false, None);
                grads.push(v.needs(2).then(slope).transpose()?);
            }
            Ok(grads)
        }))
    })?;
    Ok(out)
}

/// The gradient of a table with `rows` rows.
fn embedding_grad(g: &Tensor, index: &Tensor, rows: usize, options: Options) -> Result<Tensor> {
    let width = g.shape()[g.rank() - 1];
    let spec = OutSpec { dtype: g.dtype(), layout: Arc::new(Layout::contiguous(Dims::from([rows, width]))) };
    let padding = Input::Scalar(options.padding_idx as u64, DType::I64);
    let op = Indexing::EmbeddingGrad { by_frequency: options.scale_grad_by_freq };
    let out = record_one(Op::Indexing(op), SmallVec::from_iter([g.input(), index.input(), padding]), spec)?;
    let keep = Keep { inputs: &[1], outputs: &[] };
    attach("EmbeddingDenseBackwardBackward0", &[g, index], std::slice::from_ref(&out), keep, || {
        Rule::Fn(Arc::new(move |v| {
            let (gg, index) = (v.grad()?, v.saved(0));
            ensure!(
                !options.scale_grad_by_freq,
                Runtime,
                "embedding: double backward is not supported with scale_grad_by_freq"
            );
            let taken = lookup(gg, index, options)?;
            if options.padding_idx < 0 {
                return Ok(one(taken));
            }
            let counts = apply(Ew::Ne, &[index.into(), options.padding_idx.into()])?;
            Ok(one(taken.masked_zero(&view::unsqueeze(&counts, -1)?)?))
        }))
    })?;
    Ok(out)
}

/// Scales looked-up rows whose `norm_type`-norm exceeds `max_norm` down to it, in place and without history.
pub fn embedding_renorm(weight: &Tensor, index: &Tensor, max_norm: f64, norm_type: f64) -> Result<()> {
    check_indices("embedding_renorm_", weight, index)?;
    let index = cast(index, DType::I64)?;
    if index.numel() == 0 {
        return Ok(());
    }
    with_grad_mode(false, || {
        let at = view::reshape(&index, &[index.numel()])?;
        let rows = select_known(&weight.detach(), 0, &at)?;
        let norm = reduce::norm(&rows, norm_type, Some(&[1]), true)?;
        // The small term keeps the result below the limit in spite of rounding.
        let scale = apply(Ew::Div, &[max_norm.into(), (&norm.add(1e-7)?).into()])?;
        let scaled = super::elementwise::where_(&norm.gt(max_norm)?, &rows.mul(&scale)?, &rows)?;
        let new = index_copy(&weight.detach(), 0, &at, &scaled)?;
        inplace::replace(weight, &new, "embedding_renorm")
    })
}
