//! Advanced indexing, flat indexing (take, put), masks, and the positions of non-zero elements.

use super::complex;
use super::device::to_device;
use super::elementwise::{Operand, apply, cast};
use super::index::{Source, at_least_1d, check_within};
use super::{check_values, create, reduce, view};
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::ensure;
use crate::error::{Breach, Error, Result};
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule};
use crate::graph::{Inputs, OutSpec};
use crate::op::index::Indexing;
use crate::op::{Ew, Op};
use crate::shape::{Dims, Layout, broadcast_shapes};
use crate::tensor::{Keep, Tensor, attach};
use smallvec::SmallVec;
use std::sync::Arc;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

fn contiguous(shape: Dims) -> Arc<Layout> {
    Arc::new(Layout::contiguous(shape))
}

/// Index tensors ready to be recorded: the dims they belong to, and int64 tensors of one shape.
struct Indices {
    dims: u64,
    tensors: Vec<Tensor>,
}

impl Indices {
    /// Checks dtypes, bounds and shapes.
    fn new(t: &Tensor, indices: &[Option<Tensor>]) -> Result<Indices> {
        ensure!(
            indices.len() <= t.rank(),
            Index,
            "too many indices for tensor of dimension {} (got {})",
            t.rank(),
            indices.len()
        );
        let mut shape: Option<Dims> = None;
        for i in indices.iter().flatten() {
            ensure!(i.dtype().is_int(), Index, "tensors used as indices must be long, int, byte or bool tensors");
            shape = Some(match shape {
                None => i.shape_dims().clone(),
                Some(s) => broadcast_shapes("index", &s, i.shape()).map_err(|_| mismatch(indices))?,
            });
        }
        let shape = shape.unwrap_or_default();
        let (mut dims, mut tensors) = (0, Vec::new());
        for (d, index) in indices.iter().enumerate() {
            let Some(index) = index else { continue };
            let size = t.shape()[d] as i64;
            ensure!(size > 0 || shape.numel() == 0, Index, "index is out of bounds for dimension with size 0");
            // Indices may lie on the CPU, wherever the tensor is; they are checked where they lie.
            let breach = Breach::new([d as i64, size], |i, [d, size]| {
                Error::Index(format!("index {i} is out of bounds for dimension {d} with size {size}"))
            });
            check_within(index, -size, size, breach)?;
            dims |= 1 << d;
            let index = if index.device() == Device::Cpu { to_device(index, t.device())? } else { index.clone() };
            tensors.push(view::expand(&cast(&index, DType::I64)?.detach(), &shape)?);
        }
        Ok(Indices { dims, tensors })
    }

    /// Which dims of the tensor stay, in two parts: those before and those after the index tensors' own dims. These take the
    /// place of the indexed dims when those are adjacent, else they come first.
    fn kept_dims(&self, t: &Tensor) -> (Vec<usize>, Vec<usize>) {
        let first = self.dims.trailing_zeros() as usize;
        let run = self.dims.checked_shr(first as u32).unwrap_or(0);
        let place = if run & run.wrapping_add(1) == 0 { first } else { 0 };
        (0..t.rank()).filter(|d| self.dims & (1 << d) == 0).partition(|&d| d < place)
    }

    fn block(&self) -> &[usize] {
        self.tensors.first().map_or(&[], Tensor::shape)
    }

    /// The shape of the selection.
    fn result_shape(&self, t: &Tensor) -> Dims {
        let (before, after) = self.kept_dims(t);
        let sizes = |dims: Vec<usize>| dims.into_iter().map(|d| t.shape()[d]);
        sizes(before).chain(self.block().iter().copied()).chain(sizes(after)).collect()
    }

    /// The selection's dense layout: dims ordered by the strides of the tensor and of the index tensors, as PyTorch's
    /// iterator orders them.
    fn result_layout(&self, t: &Tensor) -> Result<Arc<Layout>> {
        let shape = self.result_shape(t);
        if t.is_contiguous() {
            return Ok(contiguous(shape));
        }
        let (before, after) = self.kept_dims(t);
        let (lead, block) = (before.len(), self.block().len());
        let kept = |d: usize| t.layout().strides[d];
        let own = before
            .into_iter()
            .map(kept)
            .chain(std::iter::repeat_n(0, block))
            .chain(after.into_iter().map(kept))
            .collect();
        let mut operands: Vec<Vec<usize>> = vec![own];
        for i in &self.tensors {
            // Kept dims of size 1 are no broadcast dims: there the index has the strides of its reshaped self.
            let mut wide = Dims::filled(1, shape.len());
            wide[lead..lead + block].copy_from_slice(i.shape());
            let wide = view::reshape(i, &wide)?;
            let strides = &wide.layout().strides;
            let inside = lead..lead + block;
            let own = |d: usize| if shape[d] == 1 || inside.contains(&d) { strides[d] } else { 0 };
            operands.push((0..shape.len()).map(own).collect());
        }
        let order = iteration_order(&shape, &operands);
        let (mut strides, mut step) = (Dims::filled(1, shape.len()), 1);
        for d in order {
            strides[d] = step;
            step *= shape[d].max(1);
        }
        Ok(Arc::new(Layout { shape, strides, offset: 0 }))
    }

    fn of(dims: u64, saved: &[Tensor]) -> Indices {
        Indices { dims, tensors: saved.to_vec() }
    }
}

/// Dims from the fastest to the slowest: an insertion sort by the operands' strides in which zeros (broadcast dims) decide
/// nothing, and where nothing decides the last dim stays fastest.
fn iteration_order(shape: &[usize], operands: &[Vec<usize>]) -> Vec<usize> {
    use std::cmp::Ordering;
    let compare = |a: usize, b: usize| {
        for s in operands {
            // A dim of size 1 is a broadcast dim too.
            if s[a] == 0 || s[b] == 0 {
                continue;
            }
            match s[a].cmp(&s[b]) {
                Ordering::Equal if shape[a] > shape[b] => return Ordering::Greater,
                Ordering::Equal => {}
                decided => return decided,
            }
        }
        Ordering::Equal
    };
    let mut order: Vec<usize> = (0..shape.len()).rev().collect();
    for i in 1..order.len() {
        let mut moving = i;
        for j in (0..i).rev() {
            match compare(order[j], order[moving]) {
                Ordering::Greater => {
                    order.swap(j, moving);
                    moving = j;
                }
                Ordering::Less => break,
                Ordering::Equal => {}
            }
        }
    }
    order
}

fn mismatch(indices: &[Option<Tensor>]) -> Error {
    let shapes: Vec<String> = indices.iter().flatten().map(|i| i.shape_dims().to_string()).collect();
    Error::Index(format!(
        "shape mismatch: indexing tensors could not be broadcast together with shapes {}",
        shapes.join(", ")
    ))
}

/// The differentiable inputs, then the index tensors, and the positions of the latter for [`Keep`].
fn with_indices<'a>(first: &[&'a Tensor], indices: &'a Indices) -> (Vec<&'a Tensor>, Vec<usize>) {
    let all: Vec<&Tensor> = first.iter().copied().chain(&indices.tensors).collect();
    let kept = (first.len()..all.len()).collect();
    (all, kept)
}

/// Advanced indexing: index tensors by dim (`None` keeps the dim), broadcast against each other.
pub fn index(t: &Tensor, indices: &[Option<Tensor>]) -> Result<Tensor> {
    index_known(t, &Indices::new(t, indices)?)
}

fn index_known(t: &Tensor, at: &Indices) -> Result<Tensor> {
    let inputs: Inputs = std::iter::once(t).chain(&at.tensors).map(Tensor::input).collect();
    let spec = OutSpec { dtype: t.dtype(), layout: at.result_layout(t)? };
    let out = record_one(Op::Indexing(Indexing::Index(at.dims)), inputs, spec)?;
    let (all, kept) = with_indices(&[t], at);
    let (shape, dims) = (t.shape_dims().clone(), at.dims);
    attach("IndexBackward0", &all, std::slice::from_ref(&out), Keep { inputs: &kept, outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let g = v.grad()?;
            let zeros = create::zeros(shape.clone(), g.dtype(), g.device())?;
            Ok(one(put_known(&zeros, &Indices::of(dims, v.all_saved()), g, true)?))
        }))
    })?;
    Ok(out)
}

/// `t` with `values` written (or added) at advanced indices.
pub fn index_put(t: &Tensor, indices: &[Option<Tensor>], values: &Tensor, accumulate: bool) -> Result<Tensor> {
    ensure!(
        t.dtype() == values.dtype(),
        Runtime,
        "Index put requires the source and destination dtypes match, got {} for the destination and {} for the source.",
        t.dtype().scalar_name(),
        values.dtype().scalar_name()
    );
    let at = Indices::new(t, indices)?;
    if at.tensors.is_empty() {
        let whole = view::expand(values, t.shape())?;
        return if accumulate { t.add(&whole) } else { super::contiguous(&whole)?.copy() };
    }
    let shape = at.result_shape(t);
    let mut v = values.clone();
    while v.rank() > shape.len() && v.shape()[0] == 1 {
        v = view::squeeze(&v, &[0]);
    }
    ensure!(
        v.layout().broadcast_to(&shape).is_some(),
        Runtime,
        "shape mismatch: value tensor of shape {} cannot be broadcast to indexing result of shape {shape}",
        values.shape_dims()
    );
    put_known(t, &at, &v, accumulate)
}

fn put_known(t: &Tensor, at: &Indices, values: &Tensor, accumulate: bool) -> Result<Tensor> {
    if accumulate && t.dtype().is_float8() && t.dtype() != DType::F8E8M0 {
        // Sums are float32, and rounded once.
        let sum = put_known(&cast(t, DType::F32)?, at, &cast(values, DType::F32)?, true)?;
        return cast(&sum, t.dtype());
    }
    let inputs: Inputs = [t, values].into_iter().chain(&at.tensors).map(Tensor::input).collect();
    let spec = OutSpec { dtype: t.dtype(), layout: super::elementwise::output_layout(t.layout()) };
    let out = record_one(Op::Indexing(Indexing::IndexPut { dims: at.dims, accumulate }), inputs, spec)?;
    let (all, kept) = with_indices(&[t, values], at);
    let dims = at.dims;
    attach("IndexPutBackward0", &all, std::slice::from_ref(&out), Keep { inputs: &kept, outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let (g, at) = (v.grad()?, Indices::of(dims, v.all_saved()));
            let base = match (v.needs(0), accumulate) {
                (false, _) => None,
                (_, true) => Some(g.clone()),
                (_, false) => Some(put_known(g, &at, &create::number(Scalar::Int(0), g.dtype(), g.device())?, false)?),
            };
            let values = if v.needs(1) { Some(index_known(g, &at)?) } else { None };
            Ok(Grads::from_iter([base, values]))
        }))
    })?;
    Ok(out)
}

/// Masks among index tensors replaced by the positions they select; checks their shapes.
pub fn expand_masks(t: &Tensor, indices: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    let mut out = Vec::new();
    for index in indices {
        let Some(mask) = index.as_ref().filter(|i| matches!(i.dtype(), DType::Bool | DType::U8)) else {
            out.push(index.clone());
            continue;
        };
        for (k, &n) in mask.shape().iter().enumerate() {
            ensure!(
                t.shape().get(out.len() + k) == Some(&n),
                Index,
                "The shape of the mask {} at index {k} does not match the shape of the indexed tensor {} at index {}",
                mask.shape_dims(),
                t.shape_dims(),
                out.len() + k
            );
        }
        out.extend(nonzero_columns(mask)?.into_iter().map(Some));
    }
    Ok(out)
}

/// The positions of non-zero elements as the rows of an int64 matrix `(count, rank)`; computes the tensor.
pub fn nonzero(t: &Tensor) -> Result<Tensor> {
    check_values("nonzero", t)?;
    let t = &complex::truths(t)?;
    let n = super::item(&reduce::count_nonzero(t, None)?)?.to_i64() as usize;
    // Columns are contiguous, as in PyTorch: most readers want one column at a time.
    let layout = Layout { shape: Dims::from([n, t.rank()]), strides: Dims::from([1, n]), offset: 0 };
    let spec = OutSpec { dtype: DType::I64, layout: Arc::new(layout) };
    record_one(Op::Indexing(Indexing::Nonzero), SmallVec::from_iter([t.input()]), spec)
}

/// The positions of non-zero elements, one int64 vector per dim (a 0-d tensor counts as a vector); computes the tensor.
pub fn nonzero_columns(t: &Tensor) -> Result<Vec<Tensor>> {
    let x = at_least_1d(&t.detach())?;
    let all = nonzero(&x)?;
    (0..x.rank()).map(|d| view::select(&all, 1, d as i64)).collect()
}

/// Checks an index of the flattened tensor and its dtype.
fn check_flat(op: &str, t: &Tensor, index: &Tensor) -> Result<()> {
    ensure!(
        index.dtype() == DType::I64,
        Runtime,
        "{op}(): Expected a long tensor for index, but got {}",
        index.dtype().scalar_name()
    );
    let n = t.numel() as i64;
    ensure!(
        n > 0 || index.numel() == 0,
        Index,
        "{op}(): tried to {} an empty tensor",
        if op == "take" { "take from" } else { "put elements into" }
    );
    let breach = Breach::new([n, 0], |i, [n, _]| {
        Error::Index(format!("out of range: tried to access index {i} on a tensor of {n} elements."))
    });
    check_within(index, -n, n, breach)
}

/// The elements of the flattened tensor at `index`, shaped like it.
pub fn take(t: &Tensor, index: &Tensor) -> Result<Tensor> {
    check_flat("take", t, index)?;
    take_known(t, index)
}

fn take_known(t: &Tensor, index: &Tensor) -> Result<Tensor> {
    if t.dtype().is_complex() {
        return self::index(&view::reshape(t, &[t.numel()])?, &[Some(index.clone())]);
    }
    let spec = OutSpec { dtype: t.dtype(), layout: contiguous(index.shape_dims().clone()) };
    let out = record_one(Op::Indexing(Indexing::Take), SmallVec::from_iter([t.input(), index.input()]), spec)?;
    let shape = t.shape_dims().clone();
    attach("TakeBackward0", &[t, index], std::slice::from_ref(&out), Keep { inputs: &[1], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let g = v.grad()?;
            Ok(one(flat_put(&create::zeros(shape.clone(), g.dtype(), g.device())?, v.saved(0), g, true)?))
        }))
    })?;
    Ok(out)
}

/// `t` with `source` written (or added) at positions of the flattened tensor.
pub fn put(t: &Tensor, index: &Tensor, source: &Tensor, accumulate: bool) -> Result<Tensor> {
    ensure!(
        t.dtype() == source.dtype(),
        Runtime,
        "put_(): self and source expected to have the same dtype, but got self.dtype = {} and source.dtype = {}",
        t.dtype().scalar_name(),
        source.dtype().scalar_name()
    );
    ensure!(
        index.numel() == source.numel(),
        Index,
        "put_(): Expected source and index to have the same number of elements, but got source.numel() = {}, index.numel() = {}",
        source.numel(),
        index.numel()
    );
    check_flat("put_", t, index)?;
    flat_put(t, index, &view::reshape(source, index.shape())?, accumulate)
}

fn flat_put(t: &Tensor, index: &Tensor, source: &Tensor, accumulate: bool) -> Result<Tensor> {
    if t.dtype().is_complex() {
        let flat = view::reshape(t, &[t.numel()])?;
        return view::reshape(&index_put(&flat, &[Some(index.clone())], source, accumulate)?, t.shape());
    }
    let spec = OutSpec { dtype: t.dtype(), layout: super::elementwise::output_layout(t.layout()) };
    let inputs = SmallVec::from_iter([t.input(), index.input(), source.input()]);
    let out = record_one(Op::Indexing(Indexing::Put { accumulate }), inputs, spec)?;
    attach(
        "PutBackward0",
        &[t, source, index],
        std::slice::from_ref(&out),
        Keep { inputs: &[2], outputs: &[] },
        || {
            Rule::Fn(Arc::new(move |v| {
                let (g, index) = (v.grad()?, v.saved(0));
                let base = match (v.needs(0), accumulate) {
                    (false, _) => None,
                    (_, true) => Some(g.clone()),
                    (_, false) => {
                        let zeros = create::zeros(index.shape_dims().clone(), g.dtype(), g.device())?;
                        Some(flat_put(g, index, &zeros, false)?)
                    }
                };
                let source = if v.needs(1) { Some(take_known(g, index)?) } else { None };
                Ok(Grads::from_iter([base, source]))
            }))
        },
    )?;
    Ok(out)
}

/// `t` with a value (a number or a 0-d tensor) where the mask holds.
pub fn masked_fill(t: &Tensor, mask: &Tensor, value: Source) -> Result<Tensor> {
    ensure!(
        mask.dtype() == DType::Bool,
        Runtime,
        "masked_fill_ only supports boolean masks, but got mask with dtype {}",
        long_name(mask.dtype())
    );
    let converted;
    let operand: Operand = match value {
        Source::Number(n) => n.rounded(t.dtype()).into(),
        Source::Tensor(v) => {
            ensure!(
                v.rank() == 0,
                Runtime,
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
                v.rank()
            );
            converted = cast(v, t.dtype())?;
            (&converted).into()
        }
    };
    // The value has the tensor's dtype, and a number of equal category does not widen it.
    cast(&apply(Ew::Where, &[mask.into(), operand, t.into()])?, t.dtype())
}

/// C++'s names of integer types, which some of PyTorch's messages show.
fn long_name(dtype: DType) -> &'static str {
    match dtype {
        DType::U8 => "unsigned char",
        DType::I8 => "signed char",
        DType::I16 => "short int",
        DType::I32 => "int",
        DType::I64 => "long int",
        DType::F32 => "float",
        DType::F64 => "double",
        other => other.scalar_name(),
    }
}

/// Both tensors broadcast to one shape, without history for the second.
fn broadcast_pair(op: &str, t: &Tensor, mask: &Tensor) -> Result<(Tensor, Tensor)> {
    let shape = broadcast_shapes(op, t.shape(), mask.shape())?;
    let spread = |x: &Tensor| if x.shape() == &shape[..] { Ok(x.clone()) } else { view::expand(x, &shape) };
    Ok((spread(t)?, spread(mask)?))
}

/// The elements where the mask holds, as a vector; computes the mask.
pub fn masked_select(t: &Tensor, mask: &Tensor) -> Result<Tensor> {
    ensure!(mask.dtype() == DType::Bool, Runtime, "masked_select: expected BoolTensor for mask");
    let (x, m) = broadcast_pair("masked_select", t, mask)?;
    check_values("masked_select", &m)?;
    let n = super::item(&reduce::count_nonzero(&m, None)?)?.to_i64() as usize;
    select_masked(&x, &m, n)
}

fn select_masked(t: &Tensor, mask: &Tensor, n: usize) -> Result<Tensor> {
    let spec = OutSpec { dtype: t.dtype(), layout: contiguous(Dims::from([n])) };
    let out = record_one(Op::Indexing(Indexing::MaskedSelect), SmallVec::from_iter([t.input(), mask.input()]), spec)?;
    let shape = t.shape_dims().clone();
    attach(
        "MaskedSelectBackward0",
        &[t, mask],
        std::slice::from_ref(&out),
        Keep { inputs: &[1], outputs: &[] },
        || {
            Rule::Fn(Arc::new(move |v| {
                let g = v.grad()?;
                Ok(one(scatter_masked(&create::zeros(shape.clone(), g.dtype(), g.device())?, v.saved(0), g, n)?))
            }))
        },
    )?;
    Ok(out)
}

/// `t` with the elements of `source`, in order, where the mask holds; computes the mask.
pub fn masked_scatter(t: &Tensor, mask: &Tensor, source: &Tensor) -> Result<Tensor> {
    ensure!(
        mask.dtype() == DType::Bool,
        Runtime,
        "masked_scatter_ only supports boolean masks, but got mask with dtype {}",
        mask.dtype().scalar_name()
    );
    ensure!(
        t.dtype() == source.dtype(),
        Runtime,
        "masked_scatter: expected self and source to have same dtypes but got{} and {}",
        t.dtype().scalar_name(),
        source.dtype().scalar_name()
    );
    let (x, m) = broadcast_pair("masked_scatter", t, mask)?;
    let x = super::contiguous(&x)?;
    // As many as there are, where nothing is known of the mask.
    let n = match m.device() {
        Device::Meta => source.numel(),
        _ => super::item(&reduce::count_nonzero(&m, None)?)?.to_i64() as usize,
    };
    ensure!(
        source.numel() >= n,
        Runtime,
        "masked_scatter: Number of elements of source ({}) < number of ones in mask ({n})",
        source.numel()
    );
    let flat = view::reshape(source, &[source.numel()])?;
    scatter_masked(&x, &m, &view::slice(&flat, 0, 0, n, 1)?, n)
}

/// Writes exactly the `n` elements that the mask has places for.
fn scatter_masked(t: &Tensor, mask: &Tensor, source: &Tensor, n: usize) -> Result<Tensor> {
    let spec = OutSpec { dtype: t.dtype(), layout: super::elementwise::output_layout(t.layout()) };
    let inputs = SmallVec::from_iter([t.input(), mask.input(), source.input()]);
    let out = record_one(Op::Indexing(Indexing::MaskedScatter), inputs, spec)?;
    let keep = Keep { inputs: &[2], outputs: &[] };
    attach("MaskedScatterBackward0", &[t, source, mask], std::slice::from_ref(&out), keep, || {
        Rule::Fn(Arc::new(move |v| {
            let (g, mask) = (v.grad()?, v.saved(0));
            let base = if v.needs(0) { Some(g.masked_zero(&mask.logical_not()?)?) } else { None };
            let source = if v.needs(1) { Some(select_masked(g, mask, n)?) } else { None };
            Ok(Grads::from_iter([base, source]))
        }))
    })?;
    Ok(out)
}
