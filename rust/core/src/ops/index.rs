//! Reading and writing along one dim by index tensors: gather, scatter, and the `index_*` family, which is the same with one
//! index vector for all lines.

pub use super::advanced::{index, index_put, nonzero_columns};
pub use super::rearrange::flip;

use super::elementwise::{apply, cast, output_layout};
use super::{create, view};
use crate::capture;
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::error::{Breach, Error, Result};
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule};
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::index::{Indexing, ScatterMode};
use crate::op::{Ew, Op};
use crate::shape::{Dims, Layout, wrap_dim};
use crate::tensor::{Keep, Tensor, attach};
use crate::{bail, ensure, exec};
use smallvec::SmallVec;
use std::sync::Arc;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

/// A value that is never right or wrong by itself: of `low..high`, or one that is no index at all.
fn no_other(low: i64, high: i64) -> i64 {
    if low < high { low } else { i64::MIN }
}

/// The first element of an integer tensor outside `low..high`; computes the tensor.
pub(super) fn first_outside(t: &Tensor, low: i64, high: i64) -> Result<Option<i64>> {
    first_outside_or(t, low, high, no_other(low, high))
}

/// [`first_outside`] with one more value that is right.
fn first_outside_or(t: &Tensor, low: i64, high: i64, other: i64) -> Result<Option<i64>> {
    let t = &super::device::on_host(t)?;
    let outside = |i: i64| ((i < low) | (i >= high)) & (i != other);
    let copied;
    let values = if t.dtype() == DType::I64 && t.is_contiguous() {
        let buffer = exec::materialize(t)?;
        // SAFETY: the layout lies inside the storage and is contiguous; buffers are aligned for every element type.
        unsafe { std::slice::from_raw_parts(buffer.ptr().cast::<i64>().add(t.layout().offset), t.numel()) }
    } else {
        copied = super::to_vec_i64(t)?;
        &copied
    };
    // Without an early exit the common case is vectorised.
    let bad = values.iter().fold(false, |bad, &i| bad | outside(i));
    Ok(if bad { values.iter().copied().find(|&i| outside(i)) } else { None })
}

/// Refuses an index with an element outside `low..high`. On the CPU at once; a GPU looks while it works, and whoever reads
/// a value from it next gets the error.
pub(super) fn check_within(index: &Tensor, low: i64, high: i64, breach: Breach) -> Result<()> {
    check_within_or(index, low, high, no_other(low, high), breach)
}

/// [`check_within`] with one more value that is right.
pub(super) fn check_within_or(index: &Tensor, low: i64, high: i64, other: i64, breach: Breach) -> Result<()> {
    if index.device() == Device::Cpu {
        let look = move |t: &Tensor| first_outside_or(t, low, high, other)?.map_or(Ok(()), |i| Err(breach.of(i)));
        return capture::checked(index, look);
    }
    if index.numel() == 0 || index.device() == Device::Meta {
        return Ok(());
    }
    let number = |n: i64| Input::Scalar(n as u64, DType::I64);
    let rule = exec::transfer::rule(index.device(), breach)?;
    let inputs = SmallVec::from_iter([index.detach().input(), number(low), number(high), number(other), number(rule)]);
    let layout = Arc::new(Layout::contiguous(Dims::from([0])));
    record_one(Op::Indexing(Indexing::Check), inputs, OutSpec { dtype: DType::I32, layout })?;
    Ok(())
}

/// The values of an index as int64, checked to name elements of a dim of `size`.
fn checked(index: &Tensor, d: usize, size: usize) -> Result<Tensor> {
    let size = size as i64;
    let breach = Breach::new([d as i64, size], |i, [d, size]| {
        Error::Runtime(format!("index {i} is out of bounds for dimension {d} with size {size}"))
    });
    check_within(index, 0, size, breach)?;
    cast(index, DType::I64)
}

/// A 0-d tensor as a vector with one element.
pub(super) fn at_least_1d(t: &Tensor) -> Result<Tensor> {
    if t.rank() == 0 { view::reshape(t, &[1]) } else { Ok(t.clone()) }
}

/// An index vector read as an index of `shape`: the same for all lines along dim `d`.
fn along(index: &Tensor, d: usize, shape: &[usize]) -> Tensor {
    let mut strides = Dims::filled(0, shape.len());
    strides[d] = index.layout().strides.first().copied().unwrap_or(1);
    index.alias(Layout { shape: Dims::from_slice(shape), strides, offset: index.layout().offset }, index.dtype())
}

fn is_index(dtype: DType) -> bool {
    matches!(dtype, DType::I64 | DType::I32)
}

// Primitives: arguments are known to fit.

/// `out[i][j] = t[index[i][j]][j]` for indices that are known to be in range.
pub(super) fn gather_known(t: &Tensor, d: usize, index: &Tensor) -> Result<Tensor> {
    let layout = Arc::new(Layout::contiguous(index.shape_dims().clone()));
    let inputs = SmallVec::from_iter([t.input(), index.input()]);
    let out = record_one(Op::Indexing(Indexing::Gather(d as u8)), inputs, OutSpec { dtype: t.dtype(), layout })?;
    let shape = t.shape_dims().clone();
    attach("GatherBackward0", &[t, index], std::slice::from_ref(&out), Keep { inputs: &[1], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| Ok(one(add_along(v.grad()?, v.saved(0), d as i64, &shape)?))))
    })?;
    Ok(out)
}

/// A row-major layout, the tensor's own where it lies so.
fn row_major(t: &Tensor) -> Arc<Layout> {
    if t.is_contiguous() { output_layout(t.layout()) } else { Arc::new(Layout::contiguous(t.shape_dims().clone())) }
}

/// A scatter without history; `source` has the index's shape or is a number of the tensor's dtype.
fn record_scatter(op: Indexing, t: &Tensor, index: &Tensor, source: Input, factor: Option<Scalar>) -> Result<Tensor> {
    record_scatter_as(row_major(t), op, t, index, source, factor)
}

/// [`record_scatter`] with a chosen dense layout of the result.
fn record_scatter_as(
    layout: Arc<Layout>,
    op: Indexing,
    t: &Tensor,
    index: &Tensor,
    source: Input,
    factor: Option<Scalar>,
) -> Result<Tensor> {
    let mut inputs: Inputs = SmallVec::from_iter([t.input(), index.input(), source]);
    if let Some(f) = factor {
        let wide = if t.dtype().is_differentiable() { DType::F64 } else { DType::I64 };
        inputs.push(Input::Scalar(f.to_bits(wide), wide));
    }
    record_one(Op::Indexing(op), inputs, OutSpec { dtype: t.dtype(), layout })
}

const fn plain(mode: ScatterMode, d: usize) -> Indexing {
    Indexing::Scatter { mode, dim: d as u8, include_self: true }
}

/// Zeros of `shape` with `g` added at the indices along a dim.
pub fn add_along(g: &Tensor, index: &Tensor, dim: i64, shape: &Dims) -> Result<Tensor> {
    into_zeros(ScatterMode::Add, g, index, dim, shape)
}

/// As [`add_along`] for indices that are distinct along the dim.
pub fn put_along(g: &Tensor, index: &Tensor, dim: i64, shape: &Dims) -> Result<Tensor> {
    into_zeros(ScatterMode::Set, g, index, dim, shape)
}

fn into_zeros(mode: ScatterMode, g: &Tensor, index: &Tensor, dim: i64, shape: &Dims) -> Result<Tensor> {
    let d = wrap_dim("scatter_add", dim, shape.len())?;
    let zeros = create::zeros(shape.clone(), g.dtype(), g.device())?;
    let edge = zeros.input();
    drop(zeros);
    let layout = Arc::new(Layout::contiguous(shape.clone()));
    let inputs = SmallVec::from_iter([edge, index.input(), g.input()]);
    let out = record_one(Op::Indexing(plain(mode, d)), inputs, OutSpec { dtype: g.dtype(), layout })?;
    attach(
        "ScatterAddBackward0",
        &[g, index],
        std::slice::from_ref(&out),
        Keep { inputs: &[1], outputs: &[] },
        || Rule::Fn(Arc::new(move |v| Ok(one(gather_known(v.grad()?, d, v.saved(0))?)))),
    )?;
    Ok(out)
}

/// `t` with `source` written at the indices.
fn set_known(name: &'static str, t: &Tensor, d: usize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let out = record_scatter(plain(ScatterMode::Set, d), t, index, source.input(), None)?;
    attach(name, &[t, source, index], std::slice::from_ref(&out), Keep { inputs: &[2], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let (g, index) = (v.grad()?, v.saved(0));
            let base =
                if v.needs(0) { Some(fill_known("ScatterBackward1", g, d, index, Scalar::Int(0))?) } else { None };
            let source = if v.needs(1) { Some(gather_known(g, d, index)?) } else { None };
            Ok(Grads::from_iter([base, source]))
        }))
    })?;
    Ok(out)
}

/// `t` with a number written at the indices.
pub(super) fn fill_known(name: &'static str, t: &Tensor, d: usize, index: &Tensor, value: Scalar) -> Result<Tensor> {
    if t.dtype().is_complex() {
        let value = create::number(value, t.dtype(), t.device())?;
        return set_known(name, t, d, index, &view::expand(&value, index.shape())?);
    }
    let number = Input::Scalar(value.to_bits(t.dtype()), t.dtype());
    let out = record_scatter(plain(ScatterMode::Set, d), t, index, number, None)?;
    attach(name, &[t, index], std::slice::from_ref(&out), Keep { inputs: &[1], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| Ok(one(fill_known("ScatterBackward1", v.grad()?, d, v.saved(0), Scalar::Int(0))?))))
    })?;
    Ok(out)
}

/// `t` with `source`, times `factor`, added at the indices.
fn add_known(
    name: &'static str,
    t: &Tensor,
    d: usize,
    index: &Tensor,
    source: &Tensor,
    factor: Scalar,
) -> Result<Tensor> {
    if matches!(factor, Scalar::Complex(..)) {
        return add_known(name, t, d, index, &source.mul(factor)?, Scalar::Int(1));
    }
    let factor = if factor.to_f64() == 1.0 { None } else { Some(factor) };
    let out = record_scatter(plain(ScatterMode::Add, d), t, index, source.input(), factor)?;
    attach(name, &[t, source, index], std::slice::from_ref(&out), Keep { inputs: &[2], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let g = v.grad()?;
            let source = match v.needs(1) {
                true => Some(gather_known(g, d, v.saved(0))?),
                false => None,
            };
            let source = match (source, factor) {
                (Some(s), Some(f)) => Some(s.mul(f)?),
                (s, _) => s,
            };
            Ok(Grads::from_iter([Some(g.clone()), source]))
        }))
    })?;
    Ok(out)
}

// Public operators.

/// PyTorch's rules for the shapes of gather and scatter: an index is not larger than what it indexes, apart from the dim.
fn check_fits(index: &Tensor, t: &Tensor, d: usize) -> bool {
    (0..t.rank()).all(|k| k == d || index.shape()[k] <= t.shape()[k])
}

/// `out[i][j] = t[index[i][j]][j]` along a dim; the result has the index's shape.
pub fn gather(t: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    let d = wrap_dim("gather", dim, t.rank())?;
    if index.numel() > 0 {
        ensure!(is_index(index.dtype()), Runtime, "gather(): Expected dtype int32/int64 for index");
    }
    let (x, at) = (at_least_1d(t)?, at_least_1d(index)?);
    if at.numel() > 0 {
        ensure!(x.rank() == at.rank(), Runtime, "Index tensor must have the same number of dimensions as input tensor");
        ensure!(
            check_fits(&at, &x, d),
            Runtime,
            "Size does not match at dimension {} expected index {} to be no larger than self {} apart from dimension {d}",
            (0..x.rank()).find(|&k| k != d && at.shape()[k] > x.shape()[k]).unwrap_or(0),
            index.shape_dims(),
            t.shape_dims()
        );
    }
    if at.rank() != x.rank() {
        return gather_nothing(t, index.shape_dims().clone());
    }
    let out = gather_known(&x, d, &checked(&at, d, x.shape()[d])?)?;
    if index.rank() == 0 { view::reshape(&out, &[]) } else { Ok(out) }
}

/// What an empty index gathers: nothing, to which everything has gradient zero.
fn gather_nothing(t: &Tensor, shape: Dims) -> Result<Tensor> {
    let out = create::zeros(shape, t.dtype(), t.device())?;
    let (layout, dtype, device) = (output_layout(t.layout()), t.dtype(), t.device());
    attach("GatherBackward0", &[t], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |_| {
            let zeros = create::full_with((*layout).clone(), Scalar::Int(0), dtype, device)?;
            Ok(SmallVec::from_iter([Some(zeros)]))
        }))
    })?;
    Ok(out)
}

/// The arguments of a scatter, checked and with at least one dim; `None` when nothing is written.
fn scatter_arguments(
    t: &Tensor,
    dim: i64,
    index: &Tensor,
    source: Option<&Tensor>,
) -> Result<Option<(usize, Tensor, Tensor, Option<Tensor>)>> {
    let d = wrap_dim("scatter", dim, t.rank())?;
    if let Some(s) = source {
        ensure!(s.dtype() == t.dtype(), Runtime, "scatter(): Expected self.dtype to be equal to src.dtype");
    }
    if index.numel() == 0 {
        return Ok(None);
    }
    ensure!(is_index(index.dtype()), Runtime, "scatter(): Expected dtype int32/int64 for index");
    let (x, at) = (at_least_1d(t)?, at_least_1d(index)?);
    ensure!(x.rank() == at.rank(), Runtime, "Index tensor must have the same number of dimensions as self tensor");
    let mut narrowed = None;
    if let Some(s) = source {
        let mut s = at_least_1d(s)?;
        ensure!(s.rank() == at.rank(), Runtime, "Index tensor must have the same number of dimensions as src tensor");
        ensure!(
            check_fits(&at, &x, d) && (0..at.rank()).all(|k| at.shape()[k] <= s.shape()[k]),
            Runtime,
            "Expected index {} to be no larger than self {} apart from dimension {d} and to be no larger size than src {}",
            index.shape_dims(),
            t.shape_dims(),
            s.shape_dims()
        );
        for k in 0..at.rank() {
            if s.shape()[k] > at.shape()[k] {
                s = view::slice(&s, k, 0, at.shape()[k], 1)?;
            }
        }
        narrowed = Some(s);
    } else {
        ensure!(
            check_fits(&at, &x, d),
            Runtime,
            "Expected index {} to be no larger than self {} apart from dimension {d}",
            index.shape_dims(),
            t.shape_dims()
        );
    }
    let at = checked(&at, d, x.shape()[d])?;
    Ok(Some((d, x, at, narrowed)))
}

fn back_to_0d(t: &Tensor, out: Tensor) -> Result<Tensor> {
    if t.rank() == 0 { view::reshape(&out, &[]) } else { Ok(out) }
}

/// What a scatter writes.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Tensor(&'a Tensor),
    Number(Scalar),
}

/// `t` with the source written at the indices along a dim.
pub fn scatter(t: &Tensor, dim: i64, index: &Tensor, source: Source) -> Result<Tensor> {
    let tensor = if let Source::Tensor(s) = source { Some(s) } else { None };
    let Some((d, x, at, narrowed)) = scatter_arguments(t, dim, index, tensor)? else { return t.copy_contiguous() };
    let out = match (source, narrowed) {
        (Source::Number(n), _) => fill_known("ScatterBackward1", &x, d, &at, n)?,
        (_, Some(s)) => set_known("ScatterBackward0", &x, d, &at, &s)?,
        _ => bail!(Internal, "scatter: no source"),
    };
    back_to_0d(t, out)
}

/// `t` with the source added at the indices along a dim; equal indices add up.
pub fn scatter_add(t: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let Some((d, x, at, Some(s))) = scatter_arguments(t, dim, index, Some(source))? else { return t.copy_contiguous() };
    back_to_0d(t, add_known("ScatterAddBackward0", &x, d, &at, &s, Scalar::Int(1))?)
}

/// `sum`, `prod`, `mean`, `amax` or `amin`.
pub fn parse_reduce(op: &str, text: &str) -> Result<ScatterMode> {
    Ok(match text {
        "sum" if op != "index_reduce" => ScatterMode::Add,
        "prod" => ScatterMode::Prod,
        "mean" => ScatterMode::Mean,
        "amax" => ScatterMode::Amax,
        "amin" => ScatterMode::Amin,
        _ if op == "index_reduce" => {
            bail!(Runtime, "reduce argument must be either prod, mean, amax or amin, got {text}.")
        }
        _ => bail!(Runtime, "reduce argument must be either sum, prod, mean, amax or amin, got {text}"),
    })
}

/// `t` with the source combined into it at the indices along a dim.
pub fn scatter_reduce(
    t: &Tensor,
    dim: i64,
    index: &Tensor,
    source: &Tensor,
    mode: ScatterMode,
    include_self: bool,
) -> Result<Tensor> {
    let Some((d, x, at, Some(s))) = scatter_arguments(t, dim, index, Some(source))? else { return t.copy_contiguous() };
    ensure!(
        mode != ScatterMode::Mean || t.dtype() != DType::Bool,
        NotImplemented,
        "\"scatter_gather_tensor_cpu_reduce_mean\" not implemented for 'Bool'"
    );
    if mode == ScatterMode::Prod && t.dtype().is_complex() {
        return back_to_0d(t, super::complex::reduce::scattered_product(&x, d, &at, &s, include_self)?);
    }
    back_to_0d(t, reduce_known(mode, include_self, &x, d, &at, &s)?)
}

/// A combining scatter on arguments that fit.
fn reduce_known(
    mode: ScatterMode,
    include_self: bool,
    t: &Tensor,
    d: usize,
    index: &Tensor,
    source: &Tensor,
) -> Result<Tensor> {
    let op = Indexing::Scatter { mode, dim: d as u8, include_self };
    let out = record_scatter(op, t, index, source.input(), None)?;
    let keep = Keep { inputs: &[0, 1, 2], outputs: &[0] };
    attach("ScatterReduceBackward0", &[t, source, index], std::slice::from_ref(&out), keep, || {
        Rule::Fn(Arc::new(move |v| {
            let call = Reduced {
                t: v.saved(0),
                source: v.saved(1),
                index: v.saved(2),
                out: v.saved(3),
                d,
                mode,
                include_self,
            };
            let (base, source) = call.grads(v.grad()?)?;
            // What takes no part in the result has no gradient.
            let base =
                if include_self { base } else { fill_known("ScatterBackward1", &base, d, call.index, Scalar::Int(0))? };
            Ok(Grads::from_iter([Some(base), Some(source)]))
        }))
    })?;
    Ok(out)
}

/// A combining scatter as its gradient sees it.
struct Reduced<'a> {
    t: &'a Tensor,
    source: &'a Tensor,
    index: &'a Tensor,
    out: &'a Tensor,
    d: usize,
    mode: ScatterMode,
    include_self: bool,
}

impl Reduced<'_> {
    fn gather(&self, t: &Tensor) -> Result<Tensor> {
        gather_known(t, self.d, self.index)
    }

    /// How many elements, of those marked in `base` and `source`, meet at every place.
    fn count(&self, base: &Tensor, source: &Tensor) -> Result<Tensor> {
        add_known("ScatterAddBackward0", base, self.d, self.index, source, Scalar::Int(1))
    }

    fn grads(&self, g: &Tensor) -> Result<(Tensor, Tensor)> {
        match self.mode {
            ScatterMode::Mean => {
                let ones = |t: &Tensor| create::full(t.shape_dims().clone(), Scalar::Int(1), t.dtype(), t.device());
                let mut base = ones(self.t)?;
                if !self.include_self {
                    base = fill_known("ScatterBackward1", &base, self.d, self.index, Scalar::Int(0))?;
                }
                let n = self.count(&base, &ones(self.source)?)?;
                let part = g.div(&n)?;
                Ok((part.clone(), self.gather(&part)?))
            }
            ScatterMode::Prod => self.product_grads(g),
            ScatterMode::Amax | ScatterMode::Amin => {
                let is_best = |t: &Tensor, best: &Tensor| t.detach().eq(&best.detach())?.to_dtype(t.dtype());
                let base = is_best(self.t, self.out)?;
                let source = is_best(self.source, &self.gather(&self.out.detach())?)?;
                // Ties share the gradient; as in PyTorch the tensor counts as one of them even where it takes no part.
                let part = g.div(&self.count(&base, &source)?.maximum(1.0)?)?;
                Ok((part.mul(&base)?, self.gather(&part)?.mul(&source)?))
            }
            ScatterMode::Set | ScatterMode::Add => Ok((g.clone(), self.gather(g)?)),
        }
    }

    /// The product of the other factors: by division where that is safe, else with the only zero replaced by one.
    fn product_grads(&self, g: &Tensor) -> Result<(Tensor, Tensor)> {
        let (d, index) = (self.d, self.index);
        let one = |t: &Tensor, mask: &Tensor| apply(Ew::Where, &[mask.into(), Scalar::Int(1).into(), t.into()]);
        let base_zero = self.t.eq_zero()?;
        let safe = one(self.t, &base_zero)?;
        let others = reduce_known(ScatterMode::Prod, self.include_self, &safe, d, index, self.source)?;
        let base = g.mul(&others.div(&safe)?)?;
        let zero = self.source.eq_zero()?;
        let zeros = zero.to_dtype(g.dtype())?;
        let none = create::zeros(self.t.shape_dims().clone(), g.dtype(), g.device())?;
        let how_many = self.gather(&add_known("ScatterAddBackward0", &none, d, index, &zeros, Scalar::Int(1))?)?;
        let only = zero.logical_and(&how_many.eq(1.0)?)?;
        let patched = one(self.source, &only)?;
        let without =
            self.gather(&g.mul(&reduce_known(ScatterMode::Prod, self.include_self, self.t, d, index, &patched)?)?)?;
        let divided = self.gather(&g.mul(self.out)?)?.div(&one(self.source, &zero)?)?;
        Ok((base, super::elementwise::where_(&only, &without, &divided)?))
    }
}

/// An index vector for a dim of `t`, or the error that says why it is none.
fn vector(index: &Tensor, error: impl FnOnce() -> Error) -> Result<Tensor> {
    if index.rank() > 1 {
        return Err(error());
    }
    at_least_1d(index)
}

/// The given elements of a dim, in the index's order.
pub fn index_select(t: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    let d = wrap_dim("index_select", dim, t.rank())?;
    let at = vector(index, || Error::Index("index_select(): Index is supposed to be a vector".into()))?;
    ensure!(is_index(at.dtype()), Runtime, "index_select(): Expected dtype int32 or int64 for index");
    ensure!(
        t.rank() > 0 || at.numel() == 1,
        Runtime,
        "index_select(): Index to scalar can have only 1 value, got {} value(s)",
        at.numel()
    );
    let x = at_least_1d(t)?;
    let breach = Breach::new([0; 2], |_, _| Error::Index("index out of range in self".into()));
    check_within(&at, 0, x.shape()[d] as i64, breach)?;
    back_to_0d(t, select_known(&x, d, &cast(&at, DType::I64)?)?)
}

/// [`index_select`] for an int64 vector known to be in range.
pub(super) fn select_known(t: &Tensor, d: usize, index: &Tensor) -> Result<Tensor> {
    let mut shape = t.shape_dims().clone();
    shape[d] = index.numel();
    gather_known(t, d, &along(index, d, &shape))
}

/// The source of an `index_*` operator with the tensor's rank, and the index read for all its lines.
fn lines(t: &Tensor, d: usize, index: &Tensor, source: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let (x, s) = (at_least_1d(t)?, at_least_1d(source)?);
    let mut shape = x.shape_dims().clone();
    shape[d] = index.numel();
    let s = if s.shape() == &shape[..] { s } else { view::reshape(&s, &shape)? };
    Ok((x, along(&cast(index, DType::I64)?, d, &shape), s))
}

/// Checks that source and tensor agree apart from the dim.
fn same_elsewhere(t: &Tensor, source: &Tensor, d: usize) -> bool {
    let kept = |x: &Tensor| -> Vec<usize> { (0..x.rank()).filter(|&k| k != d).map(|k| x.shape()[k]).collect() };
    kept(t) == kept(source)
}

/// The checks that index_add and index_reduce share.
fn check_lines(op: &str, t: &Tensor, d: usize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let at = vector(index, || {
        Error::Index(format!(
            "{op}_(): Index is supposed to be a vector, but got dim: {} with type: {} and size: {}",
            index.rank(),
            index.dtype().scalar_name(),
            index.shape_dims()
        ))
    })?;
    ensure!(
        is_index(at.dtype()),
        Runtime,
        "{op}_(): Expected dtype int32/int64 for index but got: {}",
        at.dtype().scalar_name()
    );
    ensure!(
        t.dtype() == source.dtype(),
        Runtime,
        "{op}_(): self ({}) and source ({}) must have the same scalar type",
        t.dtype().scalar_name(),
        source.dtype().scalar_name()
    );
    let n = if source.rank() == 0 { 1 } else { source.shape().get(d).copied().unwrap_or(0) };
    ensure!(
        at.numel() == n,
        Runtime,
        "{op}_(): Number of indices ({}) should be equal to source.size(dim): ({n}), for dim: {d}",
        at.numel()
    );
    ensure!(
        (source.rank() == 0 && t.rank() <= 1) || (t.rank() == source.rank() && same_elsewhere(t, source, d)),
        Runtime,
        "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = {} source.shape = {}",
        t.shape_dims(),
        source.shape_dims()
    );
    let size = if t.rank() == 0 { 1 } else { t.shape()[d] };
    checked(&at, d, size)
}

/// `t` with the rows of `source` added at `index` along a dim.
pub fn index_add(t: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    index_add_scaled(t, dim, index, source, Scalar::Int(1))
}

/// `t` with the rows of `source`, times `alpha`, added at `index` along a dim.
pub fn index_add_scaled(t: &Tensor, dim: i64, index: &Tensor, source: &Tensor, alpha: Scalar) -> Result<Tensor> {
    let d = wrap_dim("index_add", dim, t.rank())?;
    let at = check_lines("index_add", t, d, index, source)?;
    let (x, at, s) = lines(t, d, &at, source)?;
    back_to_0d(t, add_known("IndexAddBackward0", &x, d, &at, &s, alpha)?)
}

/// `t` with the rows of `source` combined into it at `index` along a dim.
pub fn index_reduce(
    t: &Tensor,
    dim: i64,
    index: &Tensor,
    source: &Tensor,
    mode: ScatterMode,
    include_self: bool,
) -> Result<Tensor> {
    let d = wrap_dim("index_reduce", dim, t.rank())?;
    ensure!(
        t.dtype() != DType::Bool || (include_self && mode != ScatterMode::Mean),
        NotImplemented,
        "\"index_reduce\" not implemented for 'Bool'"
    );
    let at = check_lines("index_reduce", t, d, index, source)?;
    let (x, at, s) = lines(t, d, &at, source)?;
    if mode == ScatterMode::Prod && t.dtype().is_complex() {
        return back_to_0d(t, super::complex::reduce::scattered_product(&x, d, &at, &s, include_self)?);
    }
    back_to_0d(t, reduce_known(mode, include_self, &x, d, &at, &s)?)
}

/// `t` with the rows of `source` written at `index` along a dim.
pub fn index_copy(t: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let d = wrap_dim("index_copy", dim, t.rank())?;
    let at = vector(index, || {
        Error::Index(format!("index_copy_(): Index should have dimension 1 or 0 (got {})", index.rank()))
    })?;
    let n = at.numel();
    ensure!(
        source.rank() > 0 || n == 1,
        Index,
        "index_copy_(): When source is scalar, index should have one element (got {n})"
    );
    ensure!(
        source.rank() == t.rank() || source.rank() == 0 || t.rank() == 0,
        Index,
        "index_copy_(): When source and destination are not scalars, their dimensionality must match. Source dimensionality ({}), destination dimensionality ({})",
        source.rank(),
        t.rank()
    );
    ensure!(
        at.dtype() == DType::I64,
        Runtime,
        "index_copy_(): Expected a long tensor for index, but got {}",
        at.dtype().scalar_name()
    );
    ensure!(
        t.dtype() == source.dtype(),
        Runtime,
        "index_copy_(): self and source expected to have the same dtype, but got (self) {} and (source) {}",
        t.dtype().scalar_name(),
        source.dtype().scalar_name()
    );
    ensure!(
        (t.rank() <= 1 && source.rank() <= 1) || same_elsewhere(t, source, d),
        Runtime,
        "index_copy_(): Source/destination tensor must have same slice shapes. Destination slice shape: {} at dimension {d} and source slice shape: {} at dimension 0.",
        rest(t, d),
        rest(source, d)
    );
    ensure!(
        source.rank() == 0 || n == source.shape()[d],
        Index,
        "index_copy_(): Number of indices ({n}) should be equal to source.size(dim) ({})",
        source.shape().get(d).copied().unwrap_or(1)
    );
    let size = if t.rank() == 0 { 1 } else { t.shape()[d] } as i64;
    let breach = Breach::new([d as i64, size], |i, [d, size]| {
        Error::Index(format!("index_copy_(): index {i} is out of bounds for dimension {d} with size {size}"))
    });
    check_within(&at, 0, size, breach)?;
    let (x, at, s) = lines(t, d, &at, source)?;
    back_to_0d(t, set_known("IndexCopyBackward0", &x, d, &at, &s)?)
}

fn rest(t: &Tensor, d: usize) -> Dims {
    (0..t.rank()).filter(|&k| k != d).map(|k| t.shape()[k]).collect()
}

/// `t` with a value written at `index` along a dim; negative indices count from the end.
pub fn index_fill(t: &Tensor, dim: i64, index: &Tensor, value: Source) -> Result<Tensor> {
    let d = wrap_dim("index_fill", dim, t.rank())?;
    ensure!(index.dtype() == DType::I64, Index, "index_fill_(): Expected dtype int64 for index.");
    let at = vector(index, || Error::Runtime("Index has to be a vector/scalar".into()))?;
    let x = at_least_1d(t)?;
    let size = x.shape()[d] as i64;
    let breach = Breach::new([d as i64, size], |i, [d, size]| {
        Error::Index(format!("index {i} is out of bounds for dimension {d} with size {size}"))
    });
    check_within(&at, -size, size, breach)?;
    let mut shape = x.shape_dims().clone();
    shape[d] = at.numel();
    let at = along(&wrapped(&at, size)?, d, &shape);
    back_to_0d(t, fill_lines(&x, d, &at, value)?)
}

/// Fills and keeps the strides; the value's gradient counts every place once, however often it is named.
fn fill_lines(t: &Tensor, d: usize, index: &Tensor, value: Source) -> Result<Tensor> {
    if let (true, Source::Number(n)) = (t.dtype().is_complex(), value) {
        return fill_lines(t, d, index, Source::Tensor(&create::number(n, t.dtype(), t.device())?));
    }
    let converted;
    let (source, tensor) = match value {
        Source::Number(n) => (Input::Scalar(n.to_bits(t.dtype()), t.dtype()), None),
        Source::Tensor(v) => {
            ensure!(
                v.rank() == 0,
                Runtime,
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
                v.rank()
            );
            converted = cast(v, t.dtype())?;
            (view::expand(&converted, index.shape())?.input(), Some(&converted))
        }
    };
    let out = record_scatter_as(output_layout(t.layout()), plain(ScatterMode::Set, d), t, index, source, None)?;
    let mut inputs: SmallVec<[&Tensor; 3]> = SmallVec::from_iter([t, index]);
    inputs.extend(tensor);
    attach("IndexFillBackward0", &inputs, std::slice::from_ref(&out), Keep { inputs: &[1], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let g = v.grad()?;
            let rest = fill_lines(g, d, v.saved(0), Source::Number(Scalar::Int(0)))?;
            let value = if v.needs(2) { Some(super::reduce::sum(&g.sub(&rest)?, None, false, None)?) } else { None };
            Ok(Grads::from_iter([Some(rest), None, value]))
        }))
    })?;
    Ok(out)
}

/// Indices with negative ones counted from the end, themselves where there are none.
fn wrapped(index: &Tensor, size: i64) -> Result<Tensor> {
    // A GPU would have to be waited for.
    if index.device() == Device::Cpu && first_outside(index, 0, i64::MAX)?.is_none() {
        return Ok(index.clone());
    }
    apply(Ew::Remainder, &[index.into(), size.into()])
}

/// `t` read along a dim at indices that broadcast against it, or flattened where no dim is given.
pub fn take_along_dim(t: &Tensor, index: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    let name = "torch.take_along_dim()";
    ensure!(
        index.dtype() == DType::I64,
        Runtime,
        "{name}: dtype of indices should be Long but got {}",
        index.dtype().scalar_name()
    );
    let Some(dim) = dim else {
        return gather(&view::reshape(t, &[t.numel()])?, 0, &view::reshape(index, &[index.numel()])?);
    };
    ensure!(
        t.rank() == index.rank(),
        Runtime,
        "{name}: input and indices should have the same number of dimensions, but got {} dimensions for input, and {} dimensions for indices",
        t.rank(),
        index.rank()
    );
    ensure!(t.rank() > 0, Index, "Dimension specified as {dim} but tensor has no dimensions");
    let d = wrap_dim("take_along_dim", dim, t.rank())?;
    let with = |from: &Tensor, size: usize| -> Dims {
        let mut s = from.shape_dims().clone();
        s[d] = size;
        s
    };
    let shape = crate::shape::broadcast_shapes("take_along_dim", &with(t, 1), &with(index, 1))?;
    let spread = |x: &Tensor| {
        let mut s = shape.clone();
        s[d] = x.shape()[d];
        view::expand(x, &s)
    };
    // Positions count modulo the size, as in PyTorch, so negative ones from the end.
    let n = t.shape()[d] as i64;
    let wrapped = if n > 0 { apply(Ew::Remainder, &[index.into(), n.into()])? } else { index.clone() };
    gather(&spread(t)?, dim, &spread(&wrapped)?)
}
