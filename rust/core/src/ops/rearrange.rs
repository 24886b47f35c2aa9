//! Operators that only move elements: flips, rolls, repeats, triangles, diagonals, and writes into a window of a copy.

use super::elementwise::{Operand, cast, output_layout};
use super::index::{first_outside, select_known};
use super::{create, inplace, reduce, view};
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule, with_grad_mode};
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::Op;
use crate::op::index::Indexing;
use crate::shape::{Dims, Layout, wrap_dim, wrap_dims};
use crate::tensor::{Keep, Tensor, attach};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

/// The tensor with the given dims reversed.
pub fn flip(t: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let dims = wrap_dims("flip", dims, t.rank())?;
    if t.rank() == 0 || dims.is_empty() {
        return t.copy();
    }
    let mask = dims.iter().fold(0u64, |m, &d| m | 1 << d);
    let spec = OutSpec { dtype: t.dtype(), layout: output_layout(t.layout()) };
    let out = record_one(Op::Indexing(Indexing::Flip(mask)), SmallVec::from_iter([t.input()]), spec)?;
    let dims: SmallVec<[i64; 6]> = dims.iter().map(|&d| d as i64).collect();
    attach("FlipBackward0", &[t], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(one(flip(v.grad()?, &dims)?))))
    })?;
    Ok(out)
}

/// Elements shifted cyclically along dims, or along the flattened tensor where no dim is given.
pub fn roll(t: &Tensor, shifts: &[i64], dims: &[i64]) -> Result<Tensor> {
    ensure!(!shifts.is_empty(), Runtime, "`shifts` required");
    if dims.is_empty() && shifts.len() == 1 {
        let flat = roll(&view::reshape(t, &[t.numel()])?, shifts, &[0])?;
        return view::reshape(&flat, t.shape());
    }
    ensure!(
        shifts.len() == dims.len(),
        Runtime,
        "shifts and dimensions must align. shifts: {}, dims:{}",
        shifts.len(),
        dims.len()
    );
    ensure!(t.rank() > 0, Index, "Dimension specified as {} but tensor has no dimensions", dims[0]);
    let mut by_dim = Dims::filled(0, t.rank());
    for (&shift, &dim) in shifts.iter().zip(dims) {
        let d = wrap_dim("roll", dim, t.rank())?;
        let n = t.shape()[d].max(1) as i64;
        by_dim[d] = (by_dim[d] as i64 + shift.rem_euclid(n)).rem_euclid(n) as usize;
    }
    // A shift by nothing lays the elements out row by row, as in PyTorch.
    let still = shifts
        .iter()
        .zip(dims)
        .any(|(&s, &d)| wrap_dim("roll", d, t.rank()).is_ok_and(|d| s % t.shape()[d].max(1) as i64 == 0));
    let out = record_roll(t, &by_dim, !still)?;
    let back: Vec<i64> = by_dim.iter().map(|&s| -(s as i64)).collect();
    attach("RollBackward0", &[t], std::slice::from_ref(&out), Keep::default(), || {
        let dims: Vec<i64> = (0..back.len() as i64).collect();
        Rule::Fn(Arc::new(move |v| Ok(one(roll(v.grad()?, &back, &dims)?))))
    })?;
    Ok(out)
}

/// The rolled memory: channels-last where the tensor is and that is to be kept, else row by row.
fn record_roll(t: &Tensor, by_dim: &Dims, keeps: bool) -> Result<Tensor> {
    let rank = t.rank();
    let last = keeps && matches!(rank, 4 | 5) && t.layout().suggests_channels_last();
    let order: Vec<usize> =
        if last { [0].into_iter().chain(2..rank).chain([1]).collect() } else { (0..rank).collect() };
    let source = if last { view::permute(&t.detach(), &order) } else { t.clone() };
    let mut inputs: Inputs = SmallVec::from_iter([source.input()]);
    inputs.extend(order.iter().map(|&d| Input::Scalar(by_dim[d] as u64, DType::I64)));
    let spec = OutSpec { dtype: t.dtype(), layout: Arc::new(Layout::contiguous(source.shape_dims().clone())) };
    let out = record_one(Op::Indexing(Indexing::Roll), inputs, spec)?;
    Ok(if last { out.alias(Layout::channels_last(t.shape_dims().clone()), t.dtype()) } else { out })
}

/// A plane turned `k` times by 90 degrees, from the first dim towards the second.
pub fn rot90(t: &Tensor, k: i64, dims: &[i64]) -> Result<Tensor> {
    ensure!(dims.len() == 2, Runtime, "expected total rotation dims == 2, but got dims = {}", dims.len());
    ensure!(t.rank() >= 2, Runtime, "expected total dims >= 2, but got total dims = {}", t.rank());
    let (a, b) = (wrap_dim("rot90", dims[0], t.rank())? as i64, wrap_dim("rot90", dims[1], t.rank())? as i64);
    ensure!(
        a != b,
        Runtime,
        "expected rotation dims to be different, but got dim0 = {} and dim1 = {}",
        dims[0],
        dims[1]
    );
    match k.rem_euclid(4) {
        1 => view::transpose(&flip(t, &[b])?, a, b),
        2 => flip(t, &[a, b]),
        3 => view::transpose(&flip(t, &[a])?, a, b),
        _ => t.copy_contiguous(),
    }
}

/// The tensor repeated `counts[d]` times along every dim; more counts than dims add dims in front.
pub fn repeat(t: &Tensor, counts: &[i64]) -> Result<Tensor> {
    ensure!(
        counts.len() >= t.rank(),
        Runtime,
        "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
    );
    let lead = counts.len() - t.rank();
    let size = |d: usize| if d < lead { 1 } else { t.shape()[d - lead] };
    if let Some(d) = (0..counts.len()).find(|&d| counts[d] < 0) {
        let shape: Vec<i64> = (0..counts.len()).map(|d| size(d) as i64 * counts[d]).collect();
        bail!(Runtime, "Trying to create tensor with negative dimension {}: {shape:?}", shape[d]);
    }
    let (mut split, mut wide, mut joined) = (Dims::new(), Dims::new(), Dims::new());
    for (d, &n) in counts.iter().enumerate() {
        let n = n as usize;
        split.push(1);
        split.push(size(d));
        wide.push(n);
        wide.push(size(d));
        joined.push(n.saturating_mul(size(d)));
    }
    let spread = view::expand(&view::reshape(t, &split)?, &wide)?;
    view::reshape(&spread.copy_contiguous()?, &joined)
}

/// [`repeat`] with missing counts taken as 1.
pub fn tile(t: &Tensor, counts: &[i64]) -> Result<Tensor> {
    let mut all = vec![1; t.rank().saturating_sub(counts.len())];
    all.extend_from_slice(counts);
    repeat(t, &all)
}

/// Every element of a dim repeated `count` times, or of the flattened tensor where no dim is given.
pub fn repeat_interleave(t: &Tensor, count: i64, dim: Option<i64>, output_size: Option<i64>) -> Result<Tensor> {
    ensure!(count >= 0, Runtime, "Repeats must be non-negative");
    let Some(dim) = dim else {
        return repeat_interleave(&view::reshape(t, &[t.numel()])?, count, Some(0), output_size);
    };
    let t = &super::index::at_least_1d(t)?;
    let d = wrap_dim("repeat_interleave", dim, t.rank())?;
    let mut wide = t.shape_dims().clone();
    wide.insert(d + 1, count as usize);
    let mut joined = t.shape_dims().clone();
    joined[d] = joined[d].saturating_mul(count as usize);
    ensure!(
        output_size.is_none_or(|n| n == joined[d] as i64),
        Runtime,
        "repeat_interleave: Invalid output_size, expected {} but got {}",
        joined[d],
        output_size.unwrap_or(0)
    );
    let spread = view::expand(&view::unsqueeze(t, d as i64 + 1)?, &wide)?;
    view::reshape(&spread.copy_contiguous()?, &joined)
}

/// Position `i` repeated `repeats[i]` times; computes the repeats.
pub fn repeat_positions(repeats: &Tensor, output_size: Option<i64>) -> Result<Tensor> {
    ensure!(repeats.rank() == 1, Runtime, "repeat_interleave only accept 1D vector as repeat");
    ensure!(matches!(repeats.dtype(), DType::I64 | DType::I32), Runtime, "repeats has to be Long or Int tensor");
    let total = match (repeats.device(), output_size) {
        (Device::Meta, Some(given)) => given,
        (Device::Meta, None) => bail!(Runtime, "cannot repeat_interleave a meta tensor without output_size"),
        _ => {
            ensure!(first_outside(repeats, 0, i64::MAX)?.is_none(), Runtime, "repeats can not be negative");
            super::item(&reduce::sum(repeats, None, false, None)?)?.to_i64()
        }
    };
    ensure!(output_size.is_none_or(|n| n == total), Runtime, "allocated size does not match required size");
    let layout = Arc::new(Layout::contiguous(Dims::from([total as usize])));
    let spec = OutSpec { dtype: DType::I64, layout };
    record_one(Op::Indexing(Indexing::RepeatPositions), SmallVec::from_iter([repeats.input()]), spec)
}

/// Element `i` of a dim (or of the flattened tensor) repeated `repeats[i]` times; computes the repeats.
pub fn repeat_interleave_by(
    t: &Tensor,
    repeats: &Tensor,
    dim: Option<i64>,
    output_size: Option<i64>,
) -> Result<Tensor> {
    let Some(dim) = dim else {
        return repeat_interleave_by(&view::reshape(t, &[t.numel()])?, repeats, Some(0), output_size);
    };
    let t = &super::index::at_least_1d(t)?;
    let d = wrap_dim("repeat_interleave", dim, t.rank())?;
    ensure!(repeats.rank() <= 1, Runtime, "repeats must be 0-dim or 1-dim tensor");
    let n = t.shape()[d];
    ensure!(
        repeats.numel() == n || repeats.numel() == 1,
        Runtime,
        "repeats must have the same size as input along dim, but got repeats.size(0) = {} and input.size(0) = {n}",
        repeats.numel()
    );
    let repeats = view::expand(&view::reshape(repeats, &[repeats.numel()])?, &[n])?;
    select_known(t, d, &repeat_positions(&repeats, output_size)?)
}

/// The part of every matrix on and above (`upper`) or below a diagonal, zero elsewhere.
pub fn triangle(upper: bool, t: &Tensor, diagonal: i64) -> Result<Tensor> {
    let name = if upper { "triu" } else { "tril" };
    ensure!(t.rank() >= 2, Runtime, "{name}: input tensor must have at least 2 dimensions");
    if t.dtype().is_complex() {
        let ones = create::full(t.shape_dims().clone(), Scalar::Bool(true), DType::Bool, t.device())?;
        return t.masked_zero(&triangle(upper, &ones, diagonal)?);
    }
    let inputs = SmallVec::from_iter([t.input(), Input::Scalar(diagonal as u64, DType::I64)]);
    let spec = OutSpec { dtype: t.dtype(), layout: Arc::new(Layout::contiguous(t.shape_dims().clone())) };
    let out = record_one(Op::Indexing(Indexing::Triangle { upper }), inputs, spec)?;
    let backward = if upper { "TriuBackward0" } else { "TrilBackward0" };
    attach(backward, &[t], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(one(triangle(upper, v.grad()?, diagonal)?))))
    })?;
    Ok(out)
}

/// The sum of `row + offset`, but at least 0 and at most `cols`, over the rows.
fn places_below(rows: i128, cols: i128, offset: i128) -> i128 {
    let growing = (-offset).clamp(0, rows);
    let full = (cols - offset).clamp(growing, rows);
    (growing + full - 1 + 2 * offset) * (full - growing) / 2 + (rows - full) * cols
}

/// Row and column positions of a triangle as an int64 matrix `(2, count)`, row by row.
pub fn triangle_indices(upper: bool, rows: i64, cols: i64, offset: i64) -> Result<Tensor> {
    ensure!(rows >= 0, Runtime, "row must be non-negative, got{rows}");
    ensure!(cols >= 0, Runtime, "col must be non-negative, got{cols}");
    let below = places_below(rows as i128, cols as i128, offset as i128 + i128::from(!upper));
    let places = if upper { rows as i128 * cols as i128 - below } else { below };
    let count = usize::try_from(places).unwrap_or(usize::MAX);
    crate::os::check_allocation(count.saturating_mul(16), || format!("[2, {places}]"))?;
    let (mut row_of, mut col_of) = (Vec::with_capacity(2 * count), Vec::with_capacity(count));
    for r in 0..rows {
        let edge = r.saturating_add(offset);
        let (from, to) = if upper { (edge.clamp(0, cols), cols) } else { (0, edge.saturating_add(1).clamp(0, cols)) };
        for c in from..to {
            row_of.push(r);
            col_of.push(c);
        }
    }
    let n = row_of.len();
    row_of.append(&mut col_of);
    let all = create::from_slice(&row_of)?;
    Ok(all.alias(Layout::contiguous(Dims::from([2, n])), DType::I64))
}

/// A matrix with the vector on a diagonal, or a copy of a matrix's diagonal.
pub fn diag(t: &Tensor, diagonal: i64) -> Result<Tensor> {
    match t.rank() {
        1 => diag_embed(t, diagonal, 0, 1),
        2 => view::diagonal(t, diagonal, 0, 1)?.copy_contiguous(),
        r => bail!(Runtime, "diag(): Supports 1D or 2D tensors. Got {r}D"),
    }
}

/// Matrices, in two new dims, with the last dim on a diagonal.
pub fn diag_embed(t: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    let rank = t.rank() + 1;
    let (a, b) = (wrap_dim("diag_embed", dim1, rank)?, wrap_dim("diag_embed", dim2, rank)?);
    ensure!(a != b, Runtime, "diagonal dimensions cannot be identical {dim1}, {dim2}");
    let n = t.shape()[t.rank() - 1] + offset.unsigned_abs() as usize;
    let mut shape: Dims = t.shape()[..t.rank() - 1].into();
    shape.insert(a.min(b), n);
    shape.insert(a.max(b), n);
    view::scatter_through(t, &shape, view::diagonal_window(offset, a, b))
}

/// The sum of a matrix's diagonal.
pub fn trace(t: &Tensor) -> Result<Tensor> {
    ensure!(t.rank() == 2, Runtime, "trace: expected a matrix, but got tensor with dim {}", t.rank());
    ensure!(
        t.dtype() != DType::Bool && !t.dtype().is_carried(),
        NotImplemented,
        "\"trace\" not implemented for '{}'",
        t.dtype().scalar_name()
    );
    reduce::sum(&view::diagonal(t, 0, 0, 1)?, None, false, None)
}

/// A copy of `t`, with its strides, in which a window, chosen by `choose`, holds `source`.
pub fn with_window(
    t: &Tensor,
    source: &Tensor,
    choose: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    write_window(t, source, Arc::new(choose))
}

type Choice = Arc<dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync>;

fn write_window(t: &Tensor, source: &Tensor, choose: Choice) -> Result<Tensor> {
    let out = with_grad_mode(false, || {
        let out = clone_with_strides(&t.detach())?;
        let part = choose(&out)?;
        ensure!(
            part.shape() == source.shape(),
            Runtime,
            "expected src to have a size equal to the slice of self. src size = {}, slice size = {}",
            source.shape_dims(),
            part.shape_dims()
        );
        inplace::copy_(&part, Operand::Tensor(&source.detach()))?;
        Ok(out)
    })?;
    let (shape, from) = (source.shape_dims().clone(), source.dtype());
    attach("ScatterViewBackward0", &[t, source], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| {
            let g = super::contiguous(v.grad()?)?;
            let kept =
                |g: &Tensor| write_window(g, &create::zeros(shape.clone(), g.dtype(), g.device())?, choose.clone());
            let written = |g: &Tensor| cast(&choose(g)?, from);
            Ok(Grads::from_iter([
                v.needs(0).then(|| kept(&g)).transpose()?,
                v.needs(1).then(|| written(&g)).transpose()?,
            ]))
        }))
    })?;
    Ok(out)
}

/// A copy with the same strides, gaps and offset included; row-major where elements overlap.
fn clone_with_strides(t: &Tensor) -> Result<Tensor> {
    if t.layout().has_internal_overlap() {
        return t.copy_contiguous();
    }
    let storage = Layout::contiguous(Dims::from([t.layout().end()]));
    Ok(t.alias(storage, t.dtype()).copy_contiguous()?.alias((**t.layout()).clone(), t.dtype()))
}

/// Writes a number on the main diagonal of a matrix (repeated below it when `wrap`) or hypercube, in place.
pub fn fill_diagonal(t: &Tensor, value: Scalar, wrap: bool) -> Result<()> {
    ensure!(t.rank() >= 2, Runtime, "dimensions must larger than 1");
    ensure!(
        t.rank() == 2 || t.shape().iter().all(|&n| n == t.shape()[0]),
        Runtime,
        "all dimensions of input must be of equal length"
    );
    let l = t.layout();
    if !l.has_internal_overlap() {
        inplace::check_writable(t)?;
    }
    let step: usize = l.strides.iter().sum();
    let (rows, cols) = (t.shape()[0], t.shape()[1]);
    let side = t.shape().iter().copied().min().unwrap_or(0);
    let window = |offset: usize, len: usize| {
        let layout = Layout { shape: Dims::from([len]), strides: Dims::from([step]), offset };
        view::as_strided(t, &layout.shape, &layout.strides, Some(layout.offset))
    };
    inplace::fill_number(&window(l.offset, side)?, value)?;
    if wrap && t.rank() == 2 {
        // A further diagonal starts one row below the end of the one before.
        let mut row = cols + 1;
        while row < rows {
            let len = cols.min(rows - row);
            inplace::fill_number(&window(l.offset + row * l.strides[0], len)?, value)?;
            row += cols + 1;
        }
    }
    Ok(())
}
