//! Views: new strided windows on one storage, with gradients that write back through the window.

use super::complex;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::grad::{Grads, Origin, Rule, Vjp, modes, next_step};
use crate::graph::{Input, OutSpec};
use crate::op::Op;
use crate::shape::{Dims, Layout, wrap_dim};
use crate::tensor::{Keep, Tensor, attach, attach_rule};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// A window as a function of the layout it looks through; the same function serves the value and its gradients.
pub type Window = Arc<dyn Fn(&Layout) -> Result<Layout> + Send + Sync>;

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

/// A view of `t` with this layout and gradient rule.
pub fn make_view(
    t: &Tensor,
    layout: Layout,
    name: &'static str,
    rule: impl Fn(&Vjp) -> Result<Grads> + Send + Sync + 'static,
) -> Tensor {
    make_view_as(t, layout, t.dtype(), name, rule)
}

/// [`make_view`] of another dtype: the parts of complex numbers, or complex numbers in place of their parts.
pub fn make_view_as(
    t: &Tensor,
    layout: Layout,
    dtype: DType,
    name: &'static str,
    rule: impl Fn(&Vjp) -> Result<Grads> + Send + Sync + 'static,
) -> Tensor {
    let out = unrecorded_view(t, layout, dtype);
    attach_rule(name, &[t], std::slice::from_ref(&out), || Rule::Fn(Arc::new(rule)));
    out
}

/// A view without a node of its own.
fn unrecorded_view(t: &Tensor, layout: Layout, dtype: DType) -> Tensor {
    let base = t.base().cloned().unwrap_or_else(|| t.clone());
    let out = Tensor::assemble(t.cell().clone(), Arc::new(layout), dtype, None, Some(base)).counting_with(t.counter());
    let modes = modes();
    out.set_origin(match (modes.inference, modes.grad) {
        (true, _) => Origin::Inference,
        (false, false) => Origin::NoGrad,
        (false, true) => t.origin(),
    });
    out
}

/// A view whose gradient is written through the same window into zeros.
pub fn window(t: &Tensor, name: &'static str, f: Window) -> Result<Tensor> {
    let layout = f(t.layout())?;
    layout.shape.checked_numel()?;
    let shape = t.shape_dims().clone();
    Ok(make_view(t, layout, name, move |v| Ok(one(scatter_through(v.grad()?, &shape, f.clone())?))))
}

/// Zeros of `shape` with `g` added through the window.
pub fn scatter_through(g: &Tensor, shape: &Dims, f: Window) -> Result<Tensor> {
    let target = f(&Layout::contiguous(shape.clone()))?;
    let zeros = super::create::zeros(shape.clone(), g.dtype(), g.device())?;
    let out = if overlapping(&target) {
        let offsets = offsets_of(&target, g.device())?;
        let flat = super::index::index_add(
            &reshape(&zeros.detach(), &[shape.numel()])?,
            0,
            &offsets,
            &reshape(&g.detach(), &[g.numel()])?,
        )?;
        reshape(&flat, shape)?.detach()
    } else {
        write(&zeros, target, g)?
    };
    attach("ScatterThroughBackward0", &[g], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(one(window(v.grad()?, "WindowBackward0", f.clone())?))))
    })?;
    Ok(out)
}

/// Whether two indices of the window may name one element.
fn overlapping(l: &Layout) -> bool {
    let mut dims: SmallVec<[(usize, usize); 6]> =
        (0..l.rank()).filter(|&d| l.shape[d] > 1).map(|d| (l.strides[d], l.shape[d])).collect();
    dims.sort_unstable();
    let mut reach = 0;
    for (stride, size) in dims {
        if stride <= reach {
            return true;
        }
        reach += stride * (size - 1);
    }
    false
}

/// The linear positions of a window's elements in row-major order, as an int64 vector.
fn offsets_of(l: &Layout, device: Device) -> Result<Tensor> {
    let mut list = Vec::with_capacity(l.numel());
    crate::shape::for_each_offset(&l.shape, &l.strides, |o| list.push((o + l.offset) as i64));
    super::device::to_device(&super::create::from_slice(&list)?, device)
}

/// The value of `base` with `value` written through `target` (a layout over the base's storage order): a new tensor,
/// without history.
fn write(base: &Tensor, target: Layout, value: &Tensor) -> Result<Tensor> {
    if !base.dtype().is_primitive() {
        let target = if base.dtype().is_complex() { target.paired() } else { target };
        let written = write(&base.stored(), target, &value.stored())?;
        return Ok(written.alias((**base.layout()).clone(), base.dtype()));
    }
    let mut edge = base.edge();
    let spec = OutSpec { dtype: base.dtype(), layout: edge.node.outs[edge.out as usize].layout.clone() };
    edge.layout = Arc::new(target);
    record_one(Op::WriteView, SmallVec::from_iter([Input::Tensor(edge), value.input()]), spec)
}

/// A tensor's storage as a flat gradient: the common ground of a base and the windows on it.
#[derive(Clone)]
struct Flat {
    base: Layout,
    window: Layout,
    len: usize,
}

impl Flat {
    /// Both layouts address one storage.
    fn new(base: &Layout, window: &Layout) -> Result<Flat> {
        ensure!(
            !overlapping(base),
            NotImplemented,
            "gradients through in-place writes to views of a tensor whose elements share memory: {:?}",
            base
        );
        let origin = base.offset.min(window.offset);
        let shifted = |l: &Layout| Layout { offset: l.offset - origin, ..l.clone() };
        let (base, window) = (shifted(base), shifted(window));
        let len = base.end().max(window.end());
        Ok(Flat { base, window, len })
    }

    fn is_whole(&self) -> bool {
        self.base.offset == 0 && self.base.is_contiguous() && self.base.numel() == self.len
    }

    /// A gradient of the base over the storage, zero in its gaps.
    fn of_base(&self, g: &Tensor) -> Result<Tensor> {
        if self.is_whole() {
            return reshape(g, &[self.len]);
        }
        let base = self.base.clone();
        scatter_through(g, &Dims::from_slice(&[self.len]), Arc::new(move |_: &Layout| Ok(base.clone())))
    }

    /// The part of a gradient of the storage that is the base's.
    fn to_base(&self, flat: &Tensor) -> Result<Tensor> {
        if self.is_whole() { reshape(flat, &self.base.shape) } else { look_through(flat, self.base.clone()) }
    }
}

/// The window of a flat tensor; the layout counts from its first element.
fn look_through(flat: &Tensor, layout: Layout) -> Result<Tensor> {
    let dense = super::contiguous(flat)?;
    window(
        &dense,
        "AsStridedBackward0",
        Arc::new(move |l: &Layout| Ok(Layout { offset: l.offset + layout.offset, ..layout.clone() })),
    )
}

/// `g`, shaped as a window with `layout` over the storage of a tensor with `base` layout, as a gradient of that tensor.
pub fn scatter_into_zeros(g: &Tensor, base: &Layout, layout: &Layout) -> Result<Tensor> {
    scatter_into(g, (g.dtype(), base), layout)
}

/// [`scatter_into_zeros`] for a tensor whose dtype may be complex where the window's is not, or the other way round.
pub fn scatter_into(g: &Tensor, base: (DType, &Layout), layout: &Layout) -> Result<Tensor> {
    if base.0.is_complex() != g.dtype().is_complex() {
        let (wide, view) = (in_parts(base.0, base.1), in_parts(g.dtype(), layout));
        let spread = scatter_into_zeros(&opened(g)?, &wide, &view)?;
        return closed(&spread, base.0);
    }
    let flat = Flat::new(base.1, layout)?;
    let target = flat.window.clone();
    let spread = scatter_through(g, &Dims::from_slice(&[flat.len]), Arc::new(move |_: &Layout| Ok(target.clone())))?;
    flat.to_base(&spread)
}

/// The gradient bookkeeping of a write into a view: `base` gets a node that sends the window's gradient to the value.
pub fn rebase_history(base: &Tensor, target: &Tensor, value: Option<&Tensor>) -> Result<()> {
    use crate::grad::{GradEdge, GradMeta, GradNode};
    // A base and a view of which one is complex meet on their parts.
    let mixed = base.dtype().is_complex() != target.dtype().is_complex();
    let layout = |t: &Tensor| if mixed { in_parts(t.dtype(), t.layout()) } else { (**t.layout()).clone() };
    let flat = Flat::new(&layout(base), &layout(target))?;
    let (of_base, of_target) = (base.dtype(), target.dtype());
    let edges = [base.gradient_edge(), value.and_then(|v| v.gradient_edge())].into_iter().collect();
    let meta = GradMeta::of(base);
    let rule = Rule::Once(Arc::new(move |v: &Vjp| {
        let close = |t: Tensor, dtype| if mixed { closed(&t, dtype) } else { Ok(t) };
        let g = if mixed { opened(v.grad()?)? } else { v.grad()?.clone() };
        let g = flat.of_base(&g)?;
        let kept = match v.needs(0) {
            true => Some(close(flat.to_base(&zero_window(&g, &flat.window)?)?, of_base)?),
            false => None,
        };
        let part = match v.needs(1) {
            true => Some(close(look_through(&g, flat.window.clone())?, of_target)?),
            false => None,
        };
        Ok(SmallVec::from_iter([kept, part]))
    }));
    let node = GradNode::new("CopySlices", rule, edges, SmallVec::from_iter([meta]));
    base.meta_or_init().set_grad_fn(Some(GradEdge { node: Arc::new(node), output: 0 }));
    // The view has its history from now on, not only when somebody asks for it.
    target.grad_fn();
    Ok(())
}

/// A layout in elements of the dtype's parts.
fn in_parts(dtype: DType, layout: &Layout) -> Layout {
    if dtype.is_complex() { layout.paired() } else { layout.clone() }
}

/// The parts of a complex gradient, a real one itself.
fn opened(g: &Tensor) -> Result<Tensor> {
    if g.dtype().is_complex() { complex::view_as_real(g) } else { Ok(g.clone()) }
}

/// A gradient of the parts of a tensor as one of the tensor.
fn closed(g: &Tensor, dtype: DType) -> Result<Tensor> {
    if dtype.is_complex() { complex::from_pairs(g) } else { Ok(g.clone()) }
}

/// `g` with zeros in the window.
fn zero_window(g: &Tensor, rel: &Layout) -> Result<Tensor> {
    let dense = g.detach().copy_contiguous()?;
    let zeros = super::create::zeros(rel.shape.clone(), g.dtype(), g.device())?;
    let out = write(&dense, rel.clone(), &zeros)?;
    let rel = rel.clone();
    attach("ZeroWindowBackward0", &[g], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(one(zero_window(v.grad()?, &rel)?))))
    })?;
    Ok(out)
}

pub fn permute(t: &Tensor, order: &[usize]) -> Tensor {
    let mut inverse = Dims::filled(0, order.len());
    for (i, &o) in order.iter().enumerate() {
        inverse[o] = i;
    }
    make_view(t, t.layout().permute(order), "PermuteBackward0", move |v| Ok(one(permute(v.grad()?, &inverse))))
}

pub fn transpose(t: &Tensor, a: i64, b: i64) -> Result<Tensor> {
    let (a, b) = (wrap_dim("transpose", a, t.rank())?, wrap_dim("transpose", b, t.rank())?);
    if t.rank() == 0 {
        return Ok(alias(t));
    }
    let mut order: SmallVec<[usize; 6]> = (0..t.rank()).collect();
    order.swap(a, b);
    let out = make_view(t, t.layout().permute(&order), "TransposeBackward0", move |v| {
        Ok(one(transpose(v.grad()?, a as i64, b as i64)?))
    });
    Ok(out)
}

/// The same window again: a distinct tensor on the same storage.
pub fn alias(t: &Tensor) -> Tensor {
    make_view(t, (**t.layout()).clone(), "AliasBackward0", |v| Ok(one(v.grad()?.clone())))
}

/// Repeats size-1 dims by zero strides.
pub fn expand(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let Some(layout) = t.layout().broadcast_to(shape) else {
        if shape.len() < t.rank() {
            bail!(
                Runtime,
                "expand({} of size {}, size={}): the number of sizes provided ({}) must be greater or equal to the number of dimensions in the tensor ({})",
                t.dtype(),
                t.shape_dims(),
                Dims::from_slice(shape),
                shape.len(),
                t.rank()
            );
        }
        let lead = shape.len() - t.rank();
        let d = (0..t.rank()).find(|&d| t.shape()[d] != 1 && t.shape()[d] != shape[lead + d]).unwrap_or(0);
        bail!(
            Runtime,
            "The expanded size of the tensor ({}) must match the existing size ({}) at non-singleton dimension {}.  Target sizes: {}.  Tensor sizes: {}",
            shape[lead + d],
            t.shape()[d],
            lead + d,
            Dims::from_slice(shape),
            t.shape_dims()
        )
    };
    layout.shape.checked_numel()?;
    let from = t.shape_dims().clone();
    Ok(make_view(t, layout, "ExpandBackward0", move |v| Ok(one(super::reduce::sum_to(v.grad()?, &from)?))))
}

/// `shape` with one −1 filled in, checked against the number of elements.
pub fn infer_shape(op: &str, shape: &[i64], numel: usize) -> Result<Dims> {
    let text = || format!("{shape:?}");
    let mut known = 1usize;
    let mut unknown = None;
    for (i, &s) in shape.iter().enumerate() {
        if s == -1 {
            ensure!(unknown.is_none(), Runtime, "{op}: only one dimension can be inferred");
            unknown = Some(i);
        } else {
            ensure!(s >= 0, Runtime, "{op}: invalid shape dimension {s}");
            known = known.saturating_mul(s as usize);
        }
    }
    let mut dims: Dims = shape.iter().map(|&s| s.max(0) as usize).collect();
    match unknown {
        Some(i) => {
            ensure!(
                known != 0,
                Runtime,
                "{op}: cannot reshape tensor of 0 elements into shape {} because the unspecified dimension size -1 can be any value and is ambiguous",
                text()
            );
            ensure!(
                numel.is_multiple_of(known),
                Runtime,
                "{op}: shape '{}' is invalid for input of size {numel}",
                text()
            );
            dims[i] = numel / known;
        }
        None => ensure!(known == numel, Runtime, "{op}: shape '{}' is invalid for input of size {numel}", text()),
    }
    Ok(dims)
}

/// A view of another shape; fails where a copy would be needed.
pub fn view(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    match t.layout().reshape(shape) {
        Some(layout) => Ok(reshaped(t, layout)),
        None => bail!(
            Runtime,
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead. (size {} with strides {} viewed as {})",
            t.shape_dims(),
            t.layout().strides,
            Dims::from_slice(shape)
        ),
    }
}

fn reshaped(t: &Tensor, layout: Layout) -> Tensor {
    let from = t.shape_dims().clone();
    make_view(t, layout, "ViewBackward0", move |v| Ok(one(reshape(v.grad()?, &from)?)))
}

/// A view where possible, else a view of a contiguous copy.
pub fn reshape(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    match t.layout().reshape(shape) {
        Some(layout) => Ok(reshaped(t, layout)),
        None => {
            let dense = super::contiguous(t)?;
            let layout = Layout { offset: dense.layout().offset, ..Layout::contiguous(Dims::from_slice(shape)) };
            let since = next_step();
            let out = reshaped(&dense, layout);
            out.name_step("UnsafeViewBackward0", since);
            Ok(out)
        }
    }
}

/// Elements `start, start + step, …` (`len` of them) of a dim.
pub fn slice(t: &Tensor, dim: usize, start: usize, len: usize, step: usize) -> Result<Tensor> {
    window(t, "SliceBackward0", Arc::new(move |l: &Layout| Ok(sliced(l, dim, start, len, step))))
}

fn sliced(l: &Layout, dim: usize, start: usize, len: usize, step: usize) -> Layout {
    let mut out = l.clone();
    out.offset += start * l.strides[dim];
    out.shape[dim] = len;
    out.strides[dim] = l.strides[dim] * step;
    out
}

/// Pieces of the given lengths along a dim.
pub fn split(name: &'static str, t: &Tensor, dim: usize, lengths: &[usize]) -> Result<Vec<Tensor>> {
    let mut start = 0;
    let pieces = lengths.iter().map(|&len| {
        start += len;
        unrecorded_view(t, sliced(t.layout(), dim, start - len, len, 1), t.dtype())
    });
    let pieces = siblings(pieces.collect());
    attach_rule(name, &[t], &pieces, || {
        Rule::Fn(Arc::new(move |v| Ok(one(super::join::cat(&all_gradients(v)?, dim as i64)?))))
    });
    Ok(pieces)
}

/// The elements of a dim.
pub fn unbind(t: &Tensor, dim: i64) -> Result<Vec<Tensor>> {
    ensure!(t.rank() > 0, Index, "Dimension specified as {dim} but tensor has no dimensions");
    let d = wrap_dim("unbind", dim, t.rank())?;
    let elements =
        siblings((0..t.shape()[d]).map(|i| unrecorded_view(t, selected(t.layout(), d, i), t.dtype())).collect());
    attach_rule("UnbindBackward0", &[t], &elements, || {
        Rule::Fn(Arc::new(move |v| Ok(one(super::join::stack(&all_gradients(v)?, d as i64)?))))
    });
    Ok(elements)
}

/// The gradients of all outputs of a step, zeros where none arrived.
fn all_gradients(v: &Vjp) -> Result<Vec<Tensor>> {
    let outputs = v.grads.iter().zip(&v.node.outputs);
    let full = outputs.map(|(g, meta)| match g {
        Some(g) => Ok(g.clone()),
        None => super::create::zeros(meta.layout.shape.clone(), meta.dtype, meta.device),
    });
    full.collect()
}

/// Marks the outputs of an operator that returns several views.
fn siblings(views: Vec<Tensor>) -> Vec<Tensor> {
    for (i, v) in views.iter().enumerate().filter(|_| modes().grad) {
        v.set_origin(Origin::OneOfMany(i as u32));
    }
    views
}

/// One element of a dim, which disappears.
pub fn select(t: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    ensure!(t.rank() > 0, Index, "select() cannot be applied to a 0-dim tensor.");
    let d = wrap_dim("select", dim, t.rank())?;
    let size = t.shape()[d] as i64;
    ensure!(index >= -size && index < size, Index, "index {index} is out of bounds for dimension {d} with size {size}");
    let i = if index < 0 { index + size } else { index } as usize;
    window(t, "SelectBackward0", Arc::new(move |l: &Layout| Ok(selected(l, d, i))))
}

fn selected(l: &Layout, dim: usize, index: usize) -> Layout {
    let mut out = l.clone();
    out.offset += index * l.strides[dim];
    out.shape.remove(dim);
    out.strides.remove(dim);
    out
}

pub fn unsqueeze(t: &Tensor, dim: i64) -> Result<Tensor> {
    let d = wrap_dim("unsqueeze", dim, t.rank() + 1)?;
    let mut layout = (**t.layout()).clone();
    let stride = if d < t.rank() { layout.shape[d] * layout.strides[d] } else { 1 };
    layout.shape.insert(d, 1);
    layout.strides.insert(d, stride);
    Ok(make_view(t, layout, "UnsqueezeBackward0", move |v| Ok(one(squeeze(v.grad()?, &[d])))))
}

/// Drops the given dims where their size is 1.
pub fn squeeze(t: &Tensor, dims: &[usize]) -> Tensor {
    let keep: SmallVec<[usize; 6]> = (0..t.rank()).filter(|d| !dims.contains(d) || t.shape()[*d] != 1).collect();
    let l = t.layout();
    let layout = l.permute(&keep);
    let from = t.shape_dims().clone();
    make_view(t, layout, "SqueezeBackward0", move |v| Ok(one(reshape(v.grad()?, &from)?)))
}

/// The diagonal of two dims, appended as the last dim.
pub fn diagonal(t: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    let (a, b) = (wrap_dim("diagonal", dim1, t.rank())?, wrap_dim("diagonal", dim2, t.rank())?);
    ensure!(a != b, Runtime, "diagonal dimensions cannot be identical {dim1}, {dim2}");
    window(t, "DiagonalBackward0", diagonal_window(offset, a, b))
}

/// The window of [`diagonal`].
pub fn diagonal_window(offset: i64, a: usize, b: usize) -> Window {
    Arc::new(move |l: &Layout| {
        let (rows, cols) = (l.shape[a] as i64, l.shape[b] as i64);
        let len = if offset >= 0 { rows.min(cols - offset) } else { (rows + offset).min(cols) }.max(0) as usize;
        let mut out = l.clone();
        if len > 0 {
            out.offset += if offset >= 0 { offset as usize * l.strides[b] } else { (-offset) as usize * l.strides[a] };
        }
        out.shape.remove(a.max(b));
        out.shape.remove(a.min(b));
        out.strides.remove(a.max(b));
        out.strides.remove(a.min(b));
        out.shape.push(len);
        out.strides.push(l.strides[a] + l.strides[b]);
        Ok(out)
    })
}

/// Windows of `size` elements every `step` along a dim, appended as the last dim.
pub fn unfold(t: &Tensor, dim: i64, size: i64, step: i64) -> Result<Tensor> {
    let d = wrap_dim("unfold", dim, t.rank())?;
    let have = if t.rank() == 0 { 1 } else { t.shape()[d] as i64 };
    ensure!(size >= 0, Runtime, "unfold: size is {size} but must be >= 0");
    ensure!(size <= have, Runtime, "unfold: maximum size for tensor at dimension {d} is {have} but size is {size}");
    ensure!(step > 0, Runtime, "unfold: step is {step} but must be > 0");
    window(
        t,
        "UnfoldBackward0",
        Arc::new(move |l: &Layout| {
            let mut out = l.clone();
            if l.rank() == 0 {
                out.shape.push(size as usize);
                out.strides.push(1);
                return Ok(out);
            }
            out.shape[d] = ((have - size) / step + 1) as usize;
            out.strides[d] = l.strides[d] * step as usize;
            out.shape.push(size as usize);
            out.strides.push(l.strides[d]);
            Ok(out)
        }),
    )
}

/// Any window on the storage, checked to lie inside it.
pub fn as_strided(t: &Tensor, shape: &[usize], strides: &[usize], offset: Option<usize>) -> Result<Tensor> {
    ensure!(
        shape.len() == strides.len(),
        Runtime,
        "as_strided: mismatch in length of strides and shape ({} and {})",
        strides.len(),
        shape.len()
    );
    if offset.is_some() {
        crate::capture::offset_seen(t);
    }
    let layout = Layout {
        shape: Dims::from_slice(shape),
        strides: Dims::from_slice(strides),
        offset: offset.unwrap_or(t.layout().offset),
    };
    check_bounds(t, &layout)?;
    let from = t.layout().clone();
    let target = layout.clone();
    Ok(make_view(t, layout, "AsStridedBackward0", move |v| Ok(one(scatter_into_zeros(v.grad()?, &from, &target)?))))
}

/// Refuses a layout that reaches beyond the tensor's storage.
pub fn check_bounds(t: &Tensor, layout: &Layout) -> Result<()> {
    layout.shape.checked_numel()?;
    let bytes = storage_bytes(t);
    let end = layout.end().saturating_mul(t.dtype().size());
    ensure!(
        end <= bytes || layout.numel() == 0,
        Runtime,
        "setStorage: sizes {}, strides {}, storage offset {}, and itemsize {} requiring a storage size of {end} are out of bounds for storage of size {bytes}",
        layout.shape,
        layout.strides,
        layout.offset,
        t.dtype().size()
    );
    Ok(())
}

/// Bytes of the tensor's storage.
pub fn storage_bytes(t: &Tensor) -> usize {
    let value = t.cell().peek();
    match value.node.buffer(value.out) {
        Some(b) => b.bytes(),
        None => {
            let spec = &value.node.outs[value.out as usize];
            spec.layout.numel() * spec.dtype.size()
        }
    }
}

/// The same bits as another dtype: the last dim is rescaled when sizes differ.
pub fn view_dtype(t: &Tensor, dtype: DType) -> Result<Tensor> {
    let (from, to) = (t.dtype().size(), dtype.size());
    let mut layout = (**t.layout()).clone();
    if from != to {
        ensure!(
            t.rank() > 0,
            Runtime,
            "self.dim() cannot be 0 to view {} as {dtype} (different element sizes)",
            t.dtype()
        );
        let last = t.rank() - 1;
        ensure!(
            layout.strides[last] == 1 || layout.shape[last] == 1,
            Runtime,
            "self.stride(-1) must be 1 to view {} as {dtype} (different element sizes), but got {}",
            t.dtype(),
            layout.strides[last]
        );
        let scale = |v: usize, what: &str| -> Result<usize> {
            ensure!(
                (v * from).is_multiple_of(to),
                Runtime,
                "{what} must be divisible by {} to view {} as {dtype} (different element sizes), but got {v}",
                to / from.max(1),
                t.dtype()
            );
            Ok(v * from / to)
        };
        layout.shape[last] = scale(layout.shape[last], "self.size(-1)")?;
        layout.offset = scale(layout.offset, "self.storage_offset()")?;
        for d in 0..last {
            layout.strides[d] = scale(layout.strides[d], "self.stride()")?;
        }
        layout.strides[last] = 1;
    }
    Ok(t.alias(layout, dtype))
}
