//! `Tensor`: the handle users hold, a strided view onto a cell, with a slot for its gradient state.

use crate::capture;
use crate::device::Device;
use crate::dtype::DType;
use crate::ensure;
use crate::error::{Error, Result};
use crate::grad::{AutogradMeta, GradEdge, GradMeta, GradNode, Leaf, Origin, Rule, Saved, modes};
use crate::graph::{Cell, Edge, Input, Node, lock};
use crate::shape::{Dims, Layout};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// A strided view of a storage. Cloning gives another handle on the same tensor.
#[derive(Clone)]
pub struct Tensor(Arc<TensorImpl>);

/// A handle that does not keep its tensor alive.
#[derive(Clone)]
pub struct WeakTensor(Weak<TensorImpl>);

impl WeakTensor {
    pub fn upgrade(&self) -> Option<Tensor> {
        self.0.upgrade().map(Tensor)
    }
}

struct TensorImpl {
    cell: Arc<Cell>,
    layout: Arc<Layout>,
    dtype: DType,
    /// The tensor this one is a differentiable view of; never a view itself.
    base: Option<Tensor>,
    /// For views, [`Origin`] as a word.
    origin: AtomicU32,
    /// For views, the version of the storage that the view's own history belongs to.
    seen: AtomicU64,
    meta: OnceLock<Arc<AutogradMeta>>,
    /// The version counter of a tensor from `.data`, and of its aliases, in place of the cell's.
    counter: Option<Arc<AtomicU64>>,
    /// Address of the binding's wrapper object while it lives, 0 otherwise.
    wrapper: AtomicUsize,
    /// The capture in which this handle was made, or 0.
    capture: u32,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({} {})", self.dtype(), self.shape_dims())
    }
}

impl Tensor {
    /// A tensor over output `out` of a node: the start of a new storage.
    #[inline]
    pub fn from_node(node: Arc<Node>, out: u8, device: Device) -> Tensor {
        let spec = &node.outs[out as usize];
        let (dtype, layout) = (spec.dtype, spec.layout.clone());
        Tensor(Arc::new(TensorImpl {
            cell: Cell::new(node, out, device),
            layout,
            dtype,
            base: None,
            origin: AtomicU32::new(0),
            seen: AtomicU64::new(0),
            meta: OnceLock::new(),
            counter: None,
            wrapper: AtomicUsize::new(0),
            capture: capture::current(),
        }))
    }

    /// A tensor from its parts.
    pub fn assemble(
        cell: Arc<Cell>,
        layout: Arc<Layout>,
        dtype: DType,
        meta: Option<Arc<AutogradMeta>>,
        base: Option<Tensor>,
    ) -> Tensor {
        let slot = OnceLock::new();
        if let Some(m) = meta {
            let _ = slot.set(m);
        }
        let seen = AtomicU64::new(if base.is_some() { cell.version() } else { 0 });
        let (origin, wrapper) = (AtomicU32::new(0), AtomicUsize::new(0));
        let capture = capture::current();
        Tensor(Arc::new(TensorImpl {
            cell,
            layout,
            dtype,
            base,
            origin,
            seen,
            meta: slot,
            counter: None,
            wrapper,
            capture,
        }))
    }

    /// Another view of this storage, without gradient history.
    pub fn alias(&self, layout: Layout, dtype: DType) -> Tensor {
        Tensor::assemble(self.cell().clone(), Arc::new(layout), dtype, None, None).counting_with(self.counter())
    }

    /// This very tensor for a reader: same storage, no history (`detach`).
    pub fn detach(&self) -> Tensor {
        Tensor::assemble(self.cell().clone(), self.layout().clone(), self.dtype(), None, None)
            .counting_with(self.counter())
    }

    /// The same storage without history and with a version of its own (`.data`): writes go unnoticed by autograd.
    pub fn data(&self) -> Tensor {
        self.detach().counting_with(Some(&Arc::new(AtomicU64::new(0))))
    }

    /// This new tensor, with `counter` in place of the cell's version.
    pub fn counting_with(mut self, counter: Option<&Arc<AtomicU64>>) -> Tensor {
        if let Some(inner) = Arc::get_mut(&mut self.0).filter(|_| counter.is_some()) {
            inner.counter = counter.cloned();
            inner.seen = AtomicU64::new(counter.map_or(0, |c| c.load(Ordering::Acquire)));
        }
        self
    }

    pub fn counter(&self) -> Option<&Arc<AtomicU64>> {
        self.0.counter.as_ref()
    }

    /// How often the storage was written through tensors that count together with this one.
    pub fn version(&self) -> u64 {
        self.0.counter.as_ref().map_or_else(|| self.cell().version(), |c| c.load(Ordering::Acquire))
    }

    pub fn bump_version(&self) {
        match &self.0.counter {
            Some(c) => _ = c.fetch_add(1, Ordering::AcqRel),
            None => self.cell().bump_version(),
        }
    }

    /// The value of now with its history: later writes to this tensor do not reach the result.
    pub fn snapshot(&self) -> Result<Tensor> {
        // Its own record of the history: this tensor is about to get another one.
        let meta = match self.grad_fn() {
            Some(edge) => Some(Arc::new(AutogradMeta::with_grad_fn(edge))),
            None => self.meta().filter(|m| m.state().requires_grad).cloned(),
        };
        if self.cell().is_pinned() {
            let copy = self.detach().copy_contiguous()?;
            return Ok(Tensor::assemble(copy.cell().clone(), copy.layout().clone(), self.dtype(), meta, None));
        }
        let value = self.cell().value();
        let cell = Cell::new(value.node, value.out, self.device());
        Ok(Tensor::assemble(cell, self.layout().clone(), self.dtype(), meta, None))
    }

    #[inline]
    pub fn cell(&self) -> &Arc<Cell> {
        &self.0.cell
    }
    #[inline]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.0.layout
    }
    #[inline]
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }
    #[inline]
    pub fn device(&self) -> Device {
        self.0.cell.device
    }
    #[inline]
    pub fn shape(&self) -> &[usize] {
        &self.0.layout.shape
    }
    #[inline]
    pub fn shape_dims(&self) -> &Dims {
        &self.0.layout.shape
    }
    #[inline]
    pub fn rank(&self) -> usize {
        self.0.layout.rank()
    }
    pub fn numel(&self) -> usize {
        self.0.layout.numel()
    }
    pub fn is_contiguous(&self) -> bool {
        self.0.layout.is_contiguous()
    }
    #[inline]
    pub fn base(&self) -> Option<&Tensor> {
        self.0.base.as_ref()
    }
    pub fn origin(&self) -> Origin {
        Origin::unpack(self.0.origin.load(Ordering::Relaxed))
    }
    pub fn set_origin(&self, origin: Origin) {
        self.0.origin.store(origin.pack(), Ordering::Relaxed);
    }
    /// Whether the storage was made in inference mode.
    #[inline]
    pub fn is_inference(&self) -> bool {
        self.0.cell.inference
    }
    #[inline]
    pub fn meta(&self) -> Option<&Arc<AutogradMeta>> {
        self.0.meta.get()
    }
    pub fn meta_or_init(&self) -> &Arc<AutogradMeta> {
        self.0.meta.get_or_init(Arc::default)
    }
    pub fn ptr_eq(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
    /// A number that only handles of one tensor share while it lives.
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
    /// [`AutogradState::listeners`](crate::grad::AutogradState::listeners) of its gradient.
    pub fn listeners(&self) -> usize {
        self.meta().map_or(0, |m| m.state().listeners())
    }
    /// The capture in which this handle was made, or 0.
    #[inline]
    pub fn capture(&self) -> u32 {
        self.0.capture
    }
    /// Identity of the tensor, stable while any handle lives.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
    pub fn downgrade(&self) -> WeakTensor {
        WeakTensor(Arc::downgrade(&self.0))
    }
    /// The slot in which the binding remembers its wrapper object.
    pub fn wrapper(&self) -> &AtomicUsize {
        &self.0.wrapper
    }
    pub fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// The current value as a node input.
    #[inline]
    pub fn input(&self) -> Input {
        Input::Tensor(self.edge())
    }
    #[inline]
    pub fn edge(&self) -> Edge {
        capture::reached(self);
        let value = self.0.cell.value();
        Edge { node: value.node, out: value.out, dtype: self.0.dtype, layout: self.0.layout.clone() }
    }

    /// Whether this handle covers its whole storage exactly as the current node lays it out.
    pub fn covers_storage(&self) -> bool {
        let value = self.cell().peek();
        let spec = &value.node.outs[value.out as usize];
        if self.dtype().is_complex() {
            return spec.dtype == self.dtype().part() && *spec.layout == self.layout().paired();
        }
        spec.dtype == self.dtype().stored()
            && (Arc::ptr_eq(&spec.layout, self.layout()) || *spec.layout == **self.layout())
    }

    // Gradient state.

    pub fn requires_grad(&self) -> bool {
        if let Some(meta) = self.meta() {
            let s = meta.state();
            if s.requires_grad || s.grad_fn.is_some() {
                return true;
            }
        }
        // As in PyTorch, also a view made before its base began to require grad, or while gradients were off.
        self.base().is_some_and(Tensor::requires_grad)
    }

    /// For a view: whether its storage was written since its own history was made, which then begins at the base.
    fn view_is_stale(&self) -> bool {
        let Some(base) = self.base() else { return false };
        self.version() != self.0.seen.load(Ordering::Relaxed) && (self.has_own_history() || base.requires_grad())
    }

    /// Refuses a view whose way to its base gradients cannot follow, once the storage was written.
    pub fn check_view(&self) -> Result<()> {
        let stale = self.base().is_some() && self.origin() != Origin::Plain && self.view_is_stale();
        if stale {
            Err(self.origin_error("its base or another view of its base has been modified inplace"))
        } else {
            Ok(())
        }
    }

    /// PyTorch's words on a write that this view's origin forbids.
    pub fn origin_error(&self, happened: &str) -> Error {
        let name = self.meta().and_then(|m| m.state().grad_fn.as_ref().map(|e| e.node.name));
        let name = name.map_or("a function", |n| crate::grad::plain_name(n));
        let (mode, now) = match self.origin() {
            Origin::OneOfMany(i) => {
                return Error::Runtime(format!(
                    "Output {i} of {name} is a view and {happened}. This view is the output of a function that returns multiple views. Such functions do not allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one."
                ));
            }
            Origin::Custom => {
                return Error::Runtime(format!(
                    "Output 0 of {name} is a view and {happened}. This view was created inside a custom Function (or because an input was returned as-is) and the autograd logic to handle view+inplace would override the custom backward associated with the custom Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function."
                ));
            }
            Origin::Inference => ("inference", "in normal mode"),
            Origin::NoGrad | Origin::Plain => ("no_grad", "with grad mode enabled"),
        };
        Error::Runtime(format!(
            "A view was created in {mode} mode and {happened} {now}. Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both inside the {mode} block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
        ))
    }

    pub fn is_leaf(&self) -> bool {
        self.grad_fn().is_none()
    }

    /// Whether this very tensor has a history, rather than the one that a view may get from its base.
    pub fn has_own_history(&self) -> bool {
        self.meta().is_some_and(|m| m.state().grad_fn.is_some())
    }

    /// The node that made this tensor, if it has a history. A view whose storage was written in place gets a new node.
    pub fn grad_fn(&self) -> Option<GradEdge> {
        if self.base().is_some() && self.view_is_stale() {
            return self.regenerate_view_grad();
        }
        self.meta().and_then(|m| m.state().grad_fn.clone())
    }

    /// Names the step that made this tensor, where no other tensor knows it and it is `since` or later.
    pub fn name_step(&self, name: &'static str, since: u64) {
        let Some(meta) = self.meta() else { return };
        if let Some(edge) = &mut meta.state().grad_fn
            && let Some(node) = Arc::get_mut(&mut edge.node)
            && node.sequence >= since
        {
            node.name = name;
        }
    }

    fn regenerate_view_grad(&self) -> Option<GradEdge> {
        let base = self.base()?;
        let edges = [base.gradient_edge()].into_iter().collect();
        let rule = Rule::Window { base: (base.dtype(), base.layout().clone()), view: self.layout().clone() };
        let meta = GradMeta::of(self);
        let node = GradNode::new("AsStridedBackward0", rule, edges, [meta].into_iter().collect());
        let edge = GradEdge { node: Arc::new(node), output: 0 };
        self.history_is_current();
        self.meta_or_init().set_grad_fn(Some(edge.clone()));
        Some(edge)
    }

    /// The history of this view belongs to the storage as it is now.
    pub fn history_is_current(&self) {
        self.0.seen.store(self.version(), Ordering::Relaxed);
    }

    /// The edge through which gradients reach this tensor: its `grad_fn`, or the accumulator of a leaf.
    pub fn gradient_edge(&self) -> Option<GradEdge> {
        if let Some(edge) = self.grad_fn() {
            return Some(edge);
        }
        let meta = self.meta()?;
        let mut state = meta.state();
        if !state.requires_grad {
            return None;
        }
        if let Some(node) = state.accumulator.upgrade() {
            return Some(GradEdge { node, output: 0 });
        }
        let leaf = Leaf { meta: Arc::downgrade(meta), tensor: self.downgrade() };
        let out = GradMeta::of(self);
        let node = Arc::new(GradNode::new(
            "AccumulateGrad",
            Rule::Accumulate(leaf),
            SmallVec::new(),
            [out].into_iter().collect(),
        ));
        state.accumulator = Arc::downgrade(&node);
        Some(GradEdge { node, output: 0 })
    }

    /// Keeps the gradient of a tensor that is no leaf in its `.grad`.
    pub fn retain_grad(&self) -> Result<()> {
        ensure!(self.requires_grad(), Runtime, "can't retain_grad on Tensor that has requires_grad=False");
        let Some(edge) = self.grad_fn() else { return Ok(()) };
        capture::refuse(|| "it keeps the gradient of a tensor that is no leaf".into());
        let meta = self.meta_or_init();
        if !std::mem::replace(&mut meta.state().retains_grad, true) {
            lock(&edge.node.hooks).retain.push((edge.output, Arc::downgrade(meta)));
        }
        Ok(())
    }

    pub fn set_requires_grad(&self, on: bool) -> Result<()> {
        if on && !self.dtype().is_differentiable() {
            return Err(Error::Runtime(
                "only Tensors of floating point and complex dtype can require gradients".into(),
            ));
        }
        if on && self.is_inference() && !modes().inference {
            return Err(Error::Runtime(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.".into(),
            ));
        }
        if !on && self.grad_fn().is_some() {
            return Err(Error::Runtime(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach().".into(),
            ));
        }
        if on && self.grad_fn().is_some() {
            return Ok(());
        }
        if on != self.requires_grad() && self.meta().is_none_or(|m| m.capture != capture::current()) {
            let own = self.capture() == capture::current();
            capture::refuse(|| if own { "it makes a new leaf" } else { "it changes requires_grad" }.into());
        }
        self.meta_or_init().state().requires_grad = on;
        Ok(())
    }
}

/// Whether a result of these inputs takes part in the gradient graph.
#[inline]
pub fn any_requires_grad(inputs: &[&Tensor]) -> bool {
    let modes = modes();
    modes.grad
        && !modes.inference
        && inputs.iter().any(|t| (t.meta().is_some() || t.base().is_some()) && t.requires_grad())
}

/// What a differentiable step keeps: which inputs, which outputs, by position.
#[derive(Clone, Copy, Default)]
pub struct Keep<'a> {
    pub inputs: &'a [usize],
    pub outputs: &'a [usize],
}

/// Attaches one gradient node to the outputs of a step if an input requires grad. Outputs of non-floating dtype stay out.
/// `inputs` are the differentiable inputs in the order of the rule's results; kept values come inputs first.
pub fn attach(
    name: &'static str,
    inputs: &[&Tensor],
    outputs: &[Tensor],
    keep: Keep,
    rule: impl FnOnce() -> Rule,
) -> Result<()> {
    attach_with(name, inputs, outputs, keep, &[], rule)
}

/// [`attach`] that also keeps `others`, values without history, after the inputs and outputs.
pub fn attach_with(
    name: &'static str,
    inputs: &[&Tensor],
    outputs: &[Tensor],
    keep: Keep,
    others: &[Tensor],
    rule: impl FnOnce() -> Rule,
) -> Result<()> {
    if !any_requires_grad(inputs) {
        return Ok(());
    }
    inputs.iter().try_for_each(|t| t.check_view())?;
    keep.inputs.iter().try_for_each(|&i| Saved::check(inputs[i]))?;
    let Some(node) = attach_node(name, inputs, outputs, rule) else { return Ok(()) };
    let mut saved: SmallVec<[Saved; 3]> = keep.inputs.iter().map(|&i| Saved::input(inputs[i])).collect();
    saved.extend(keep.outputs.iter().map(|&i| Saved::output(&outputs[i], i as u32)));
    saved.extend(others.iter().map(Saved::input));
    node.save(saved)
}

/// [`attach`] for a rule that keeps no values.
pub fn attach_rule(name: &'static str, inputs: &[&Tensor], outputs: &[Tensor], rule: impl FnOnce() -> Rule) {
    if any_requires_grad(inputs) {
        attach_node(name, inputs, outputs, rule);
    }
}

/// The node of a step, given to its outputs.
fn attach_node(
    name: &'static str,
    inputs: &[&Tensor],
    outputs: &[Tensor],
    rule: impl FnOnce() -> Rule,
) -> Option<Arc<GradNode>> {
    if !outputs.iter().any(|o| o.dtype().is_differentiable()) {
        return None;
    }
    let edges = inputs.iter().map(|t| if t.dtype().is_differentiable() { t.gradient_edge() } else { None }).collect();
    let metas = outputs.iter().map(GradMeta::of).collect();
    let node = Arc::new(GradNode::new(name, rule(), edges, metas));
    for (i, o) in outputs.iter().enumerate() {
        if o.dtype().is_differentiable() {
            let mut state = o.meta_or_init().state();
            state.grad_fn = Some(GradEdge { node: node.clone(), output: i as u32 });
        }
    }
    Some(node)
}

impl Drop for TensorImpl {
    fn drop(&mut self) {
        debug_assert_eq!(self.wrapper.load(Ordering::Relaxed), 0, "a wrapper outlived its tensor");
    }
}
