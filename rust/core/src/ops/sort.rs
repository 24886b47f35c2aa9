//! Sorting along a dim, selection by rank, and searching in sorted sequences.

use super::carried;
use super::elementwise::{Operand, apply, cast, output_layout};
use super::index::{check_within, gather_known, put_along};
use super::{create, reduce, view};
use crate::dtype::{DType, Scalar};
use crate::error::{Breach, Error, Result};
use crate::exec::record::{record, record_one};
use crate::grad::{Grads, Rule};
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::index::{Rank, Sorting};
use crate::op::{Ew, Op};
use crate::shape::{Dims, Layout, wrap_dim};
use crate::tensor::{Keep, Tensor, attach};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

/// Records an operator that yields values and their int64 positions in the input.
fn record_pair(op: Sorting, t: &Tensor, layout: Arc<Layout>, number: Option<i64>) -> Result<(Tensor, Tensor)> {
    let mut inputs: Inputs = SmallVec::from_iter([t.input()]);
    inputs.extend(number.map(|n| Input::Scalar(n as u64, DType::I64)));
    let outs = [OutSpec { dtype: t.dtype(), layout: layout.clone() }, OutSpec { dtype: DType::I64, layout }];
    let mut pair = record(Op::Sorting(op), inputs, outs.into_iter().collect())?;
    match (pair.pop(), pair.pop()) {
        (Some(indices), Some(values)) => Ok((values, indices)),
        _ => bail!(Internal, "{}: two outputs expected", op.name()),
    }
}

/// The gradient of values picked along a dim: back to where they came from. `keep` is their shape with the dim kept.
fn attach_picked(
    name: &'static str,
    t: &Tensor,
    d: usize,
    keep: Dims,
    values: &Tensor,
    indices: &Tensor,
) -> Result<()> {
    let shape = t.shape_dims().clone();
    let saved = Keep { inputs: &[1], outputs: &[] };
    attach(name, &[t, indices], std::slice::from_ref(values), saved, || {
        Rule::Fn(Arc::new(move |v| {
            if shape.is_empty() {
                return Ok(one(view::reshape(v.grad()?, &[])?));
            }
            let (g, at) = (view::reshape(v.grad()?, &keep)?, view::reshape(v.saved(0), &keep)?);
            Ok(one(put_along(&g, &at, d as i64, &shape)?))
        }))
    })
}

/// Complex numbers have no order.
fn check_ordered(t: &Tensor, op: &str) -> Result<()> {
    ensure!(!t.dtype().is_complex(), Runtime, "{op} does not support complex dtypes, got {}", t.dtype().scalar_name());
    Ok(())
}

/// Values in order along a dim, and their positions. Equal elements keep their order; NaN counts as largest.
pub fn sort(t: &Tensor, dim: i64, descending: bool) -> Result<(Tensor, Tensor)> {
    check_ordered(t, "Sort")?;
    let d = wrap_dim("sort", dim, t.rank())?;
    let op = Sorting::Sort { dim: d as u8, descending };
    let (values, indices) = record_pair(op, &carried::as_signed(t, true)?, output_layout(t.layout()), None)?;
    let values = carried::from_signed(&values, t.dtype())?;
    attach_picked("SortBackward0", t, d, t.shape_dims().clone(), &values, &indices)?;
    Ok((values, indices))
}

/// The positions that sort a dim.
pub fn argsort(t: &Tensor, dim: i64, descending: bool) -> Result<Tensor> {
    check_ordered(t, "Sort")?;
    let d = wrap_dim("argsort", dim, t.rank())?;
    let spec = OutSpec { dtype: DType::I64, layout: output_layout(t.layout()) };
    let t = carried::as_signed(t, true)?;
    record_one(Op::Sorting(Sorting::Sort { dim: d as u8, descending }), SmallVec::from_iter([t.input()]), spec)
}

/// The `k` largest or smallest elements of a dim, best first, and their positions.
pub fn topk(t: &Tensor, k: i64, dim: i64, largest: bool) -> Result<(Tensor, Tensor)> {
    check_ordered(t, "topk")?;
    let d = wrap_dim("topk", dim, t.rank())?;
    let n = t.shape().get(d).copied().unwrap_or(1);
    ensure!(k >= 0 && k as usize <= n, Runtime, "selected index k out of range");
    ensure!(t.dtype() != DType::Bool, Runtime, "topk does not support bool dtypes on CPU");
    let mut shape = t.shape_dims().clone();
    if let Some(size) = shape.get_mut(d) {
        *size = k as usize;
    }
    let op = Sorting::TopK { dim: d as u8, largest };
    let (values, indices) = record_pair(op, t, Arc::new(Layout::contiguous(shape.clone())), None)?;
    attach_picked("TopkBackward0", t, d, shape, &values, &indices)?;
    Ok((values, indices))
}

/// kthvalue (`k` from 1), median, nanmedian or mode along a dim, and the positions.
pub fn select(rank: Rank, t: &Tensor, k: i64, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let op = |d: usize| Sorting::Select { rank, dim: d as u8 };
    let name = op(0).name();
    let d = wrap_dim(name, dim, t.rank())?;
    let n = t.shape().get(d).copied().unwrap_or(1);
    let mut kept = t.shape_dims().clone();
    let mut dropped = kept.clone();
    if t.rank() > 0 {
        kept[d] = 1;
        dropped.remove(d);
    }
    ensure!(n > 0, Index, "{name}(): Expected reduction dim {d} to have non-zero size.");
    if rank == Rank::Kth {
        ensure!(k >= 1 && k as usize <= n, Runtime, "kthvalue(): selected number k out of range for dimension {d}");
    }
    ensure!(
        t.dtype() != DType::Bool || rank == Rank::Mode,
        NotImplemented,
        "\"{}\" not implemented for 'Bool'",
        if rank == Rank::Kth { "kthvalue_cpu" } else { "median_out" }
    );
    let layout = Arc::new(Layout::contiguous(if keepdim { kept.clone() } else { dropped }));
    let (values, indices) = record_pair(op(d), t, layout, Some(k))?;
    let backward = match rank {
        Rank::Kth => "KthvalueBackward0",
        Rank::Median => "MedianBackward1",
        Rank::NanMedian => "NanmedianBackward1",
        Rank::Mode => "ModeBackward0",
    };
    attach_picked(backward, t, d, kept, &values, &indices)?;
    Ok((values, indices))
}

/// The lower median of everything, NaN if there is one (or, ignoring those, only if nothing else is left).
pub fn median(t: &Tensor, ignore_nan: bool) -> Result<Tensor> {
    ensure!(t.dtype() != DType::Bool, NotImplemented, "\"median_cpu\" not implemented for 'Bool'");
    if t.numel() == 0 {
        // Integers have no NaN: what PyTorch's conversion yields is the least wide one, or 0 for narrow types.
        let least = match t.dtype() {
            DType::I64 => i64::MIN,
            DType::I32 => i32::MIN as i64,
            _ => 0,
        };
        let value = if t.dtype().is_float() { Scalar::Float(f64::NAN) } else { Scalar::Int(least) };
        return create::number(value, t.dtype(), t.device());
    }
    let spec = OutSpec { dtype: t.dtype(), layout: Arc::new(Layout::contiguous(Dims::new())) };
    let op = Op::Sorting(Sorting::Median { ignore_nan });
    let out = record_one(op, SmallVec::from_iter([t.input()]), spec)?;
    let name = if ignore_nan { "NanmedianBackward0" } else { "MedianBackward0" };
    attach(name, &[t], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[0] }, || {
        Rule::Fn(Arc::new(|v| {
            // All elements equal to the median share the gradient.
            let (x, m) = (v.saved(0).detach(), v.saved(1).detach());
            let hit = x.eq(&m)?.logical_or(&x.isnan()?.logical_and(&m.isnan()?)?)?.to_dtype(x.dtype())?;
            let count = reduce::sum(&hit, None, false, None)?;
            Ok(one(v.grad()?.div(&count)?.mul(&hit)?))
        }))
    })?;
    Ok(out)
}

/// Options of [`searchsorted`].
#[derive(Clone, Copy, Default)]
pub struct Search<'a> {
    pub out_int32: bool,
    pub right: bool,
    pub side: Option<&'a str>,
    pub sorter: Option<&'a Tensor>,
}

/// Where every value belongs in its sorted sequence, the last dim of `sorted` (or `sorted` itself, if a vector).
pub fn searchsorted(sorted: &Tensor, values: &Tensor, options: Search) -> Result<Tensor> {
    let name = "torch.searchsorted()";
    if let Some(side) = options.side {
        ensure!(
            side == "left" || side == "right",
            Runtime,
            "{name}: side can only be 'left' or 'right' but got {side}"
        );
        ensure!(
            side == "right" || !options.right,
            Runtime,
            "{name}: side and right can't be set to opposites, got side of left while right was True"
        );
    }
    let right = options.right || options.side == Some("right");
    ensure!(
        sorted.rank() > 0,
        Runtime,
        "{name}: boundaries tensor should have positive dimension, but got 0 dimension"
    );
    ensure!(
        values.rank() > 0 || sorted.rank() == 1,
        Runtime,
        "{name}: input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries tensor dim({}) and input value's dim(0) numel(1)",
        sorted.rank()
    );
    let lead = sorted.rank() - 1;
    ensure!(
        sorted.rank() == 1 || (values.rank() == sorted.rank() && values.shape()[..lead] == sorted.shape()[..lead]),
        Runtime,
        "{name}: boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor must match, but we got boundaries tensor {} and input value tensor {}",
        sorted.shape_dims(),
        values.shape_dims()
    );
    let sorted = match options.sorter {
        Some(sorter) => in_order(sorted, sorter)?,
        None => sorted.clone(),
    };
    let dtype = carried::checked_result_type(&[(&sorted).into(), values.into()])?;
    ensure!(dtype != DType::Bool, NotImplemented, "\"searchsorted_out_cpu\" not implemented for 'Bool'");
    let layout = Arc::new(Layout::contiguous(values.shape_dims().clone()));
    let spec = OutSpec { dtype: if options.out_int32 { DType::I32 } else { DType::I64 }, layout };
    let inputs = SmallVec::from_iter([cast(&sorted, dtype)?.input(), cast(values, dtype)?.input()]);
    record_one(Op::Sorting(Sorting::Search { right }), inputs, spec)
}

/// A sequence in the order that `sorter` gives.
fn in_order(sequence: &Tensor, sorter: &Tensor) -> Result<Tensor> {
    let name = "torch.searchsorted()";
    ensure!(
        sorter.shape() == sequence.shape(),
        Runtime,
        "{name}: boundary and sorter must have the same size, but got boundary tensor {}and got sorter tensor {}",
        sequence.shape_dims(),
        sorter.shape_dims()
    );
    ensure!(
        sorter.dtype() == DType::I64,
        Runtime,
        "{name}: sorter must be a tensor of long dtype but got dtype {}",
        sorter.dtype().scalar_name()
    );
    let last = sequence.rank() - 1;
    let breach = Breach::new([0; 2], |_, _| Error::Runtime("torch.searchsorted(): sorter index out of range".into()));
    check_within(sorter, 0, sequence.shape()[last] as i64, breach)?;
    gather_known(&sequence.detach(), last, sorter)
}

/// Where every value belongs among ascending boundaries.
pub fn bucketize(values: &Tensor, boundaries: &Tensor, out_int32: bool, right: bool) -> Result<Tensor> {
    ensure!(
        boundaries.rank() == 1,
        Runtime,
        "boundaries tensor must be 1 dimension, but got dim({})",
        boundaries.rank()
    );
    searchsorted(boundaries, values, Search { out_int32, right, ..Default::default() })
}

/// Which elements occur among the test elements. NaN occurs nowhere.
pub fn isin(elements: Operand, tests: Operand, invert: bool) -> Result<Tensor> {
    let dtype = carried::checked_result_type(&[elements, tests])?;
    ensure!(!dtype.is_carried(), NotImplemented, "\"isin\" not implemented for '{}'", dtype.scalar_name());
    let on = |o: Operand| if let Operand::Tensor(t) = o { Some(t.device()) } else { None };
    let device = on(elements).or(on(tests)).unwrap_or_default();
    ensure!(dtype != DType::Bool, Runtime, "Unsupported input type encountered for isin(): Bool");
    let tensor = |o: Operand| match o {
        Operand::Tensor(t) => cast(&t.detach(), dtype),
        Operand::Number(n) => create::number(n, dtype, device),
    };
    let (x, tests) = (tensor(elements)?, tensor(tests)?);
    let relation = if invert { Ew::Ne } else { Ew::Eq };
    if tests.numel() == 1 {
        return super::contiguous(&apply(relation, &[(&x).into(), (&view::reshape(&tests, &[])?).into()])?);
    }
    if tests.numel() == 0 {
        return create::full(x.shape_dims().clone(), Scalar::Bool(invert), DType::Bool, x.device());
    }
    let flat = view::reshape(&tests, &[tests.numel()])?;
    let (sorted, _) = sort(&flat, 0, false)?;
    let place = searchsorted(&sorted, &x, Search::default())?.minimum(tests.numel() as i64 - 1)?;
    let nearest = gather_known(&sorted, 0, &view::reshape(&place, &[x.numel()])?)?;
    super::contiguous(&apply(relation, &[(&x).into(), (&view::reshape(&nearest, x.shape())?).into()])?)
}

/// The distinct elements with, on demand, the place of every element and the counts.
pub struct Unique {
    pub values: Tensor,
    pub inverse: Tensor,
    pub counts: Tensor,
}

/// Positions of first occurrences, the place of every element or slice, and counts; computes the tensor.
fn find_unique(t: &Tensor, dim: Option<usize>, consecutive: bool) -> Result<(Tensor, Tensor, Tensor)> {
    super::check_values("unique", t)?;
    let n = dim.map_or(t.numel(), |d| t.shape()[d]);
    let t = &carried::as_signed(t, true)?;
    let list = |n: usize| OutSpec { dtype: DType::I64, layout: Arc::new(Layout::contiguous(Dims::from([n]))) };
    let op = Op::Sorting(Sorting::Unique { dim: dim.map(|d| d as u8), consecutive });
    let outs =
        record(op, SmallVec::from_iter([t.input()]), [list(n), list(n), list(n), list(1)].into_iter().collect())?;
    let len = super::item(&outs[3])?.to_i64() as usize;
    let head = |t: &Tensor| view::slice(t, 0, 0, len, 1)?.copy_contiguous();
    Ok((head(&outs[0])?, outs[1].clone(), head(&outs[2])?))
}

/// Distinct elements take part in a gradient's graph, but have no rule.
fn attach_refusal(node: &'static str, name: &'static str, t: &Tensor, values: &Tensor) -> Result<()> {
    attach(node, &[t], std::slice::from_ref(values), Keep::default(), || {
        Rule::Fn(Arc::new(move |_| bail!(NotImplemented, "the derivative for '{name}' is not implemented.")))
    })
}

/// The distinct elements: ascending, or (`consecutive`) those that differ from the element before.
pub fn unique(t: &Tensor, consecutive: bool) -> Result<Unique> {
    let (given, t) = (t, &t.detach());
    let (first, inverse, counts) = find_unique(t, None, consecutive)?;
    let values = gather_known(&view::reshape(t, &[t.numel()])?, 0, &first)?;
    match consecutive {
        true => attach_refusal("UniqueConsecutiveBackward0", "unique_consecutive", given, &values)?,
        false => attach_refusal("Unique2Backward0", "_unique2", given, &values)?,
    }
    Ok(Unique { values, inverse: view::reshape(&inverse, t.shape())?.detach(), counts })
}

/// The distinct slices of a dim: in lexicographic order, or (`consecutive`) those that differ from the slice before.
pub fn unique_dim(t: &Tensor, dim: i64, consecutive: bool) -> Result<Unique> {
    ensure!(t.rank() > 0, Index, "Dimension specified as {dim} but tensor has no dimensions");
    let d = wrap_dim("unique_dim", dim, t.rank())?;
    let (given, t) = (t, &t.detach());
    let empty = (0..t.rank()).filter(|&k| k != d && t.shape()[k] == 0).count();
    if t.shape()[d] == 0 {
        ensure!(empty == 0, Runtime, "Number of zero sized dimensions is more than one, so unique cannot be applied ");
    } else {
        ensure!(
            empty == 0,
            Runtime,
            "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied"
        );
    }
    let (first, inverse, counts) = find_unique(t, Some(d), consecutive)?;
    // The slices are laid out one after the other, as in PyTorch.
    let order: SmallVec<[usize; 6]> = std::iter::once(d).chain((0..t.rank()).filter(|&k| k != d)).collect();
    let mut back = order.clone();
    for (i, &k) in order.iter().enumerate() {
        back[k] = i;
    }
    let slices = super::index::select_known(&view::permute(t, &order), 0, &first)?;
    let values = view::permute(&slices, &back).detach();
    match consecutive {
        true => attach_refusal("UniqueConsecutiveBackward0", "unique_consecutive", given, &values)?,
        false => attach_refusal("UniqueDimBackward0", "unique_dim", given, &values)?,
    }
    Ok(Unique { values, inverse, counts })
}
