//! The gradient graph's data: what a tensor knows about its gradient, and the nodes that will compute it. The engine that
//! walks it is `transform/autograd.rs`; the rules are beside the operators in `ops/`.

use crate::capture;
use crate::device::Device;
use crate::dtype::DType;
use crate::ensure;
use crate::error::{Error, Result};
use crate::graph::{Cell, lock};
use crate::op::Ew;
use crate::shape::Layout;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::cell::{Cell as StdCell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

/// Gradients of a node's inputs, in order; `None` where none is needed or it is zero.
pub type Grads = SmallVec<[Option<Tensor>; 3]>;

/// A function on a gradient: returns a replacement or nothing.
pub type Hook = Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>;
/// A function on a node's input gradients and output gradients; may replace the former.
pub type NodeHook = Arc<dyn Fn(&mut Grads, &[Option<Tensor>]) -> Result<()> + Send + Sync>;
/// A function on a node's incoming gradients, before its rule runs.
pub type PreHook = Arc<dyn Fn(&mut Vec<Option<Tensor>>) -> Result<()> + Send + Sync>;

/// A backward rule written outside the engine (`autograd.Function`).
pub trait CustomRule: Send + Sync {
    fn backward(&self, vjp: &Vjp) -> Result<Grads>;
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A rule as a closure over the payload it needs.
pub type RuleFn = Arc<dyn Fn(&Vjp) -> Result<Grads> + Send + Sync>;

/// How a node turns output gradients into input gradients.
#[derive(Clone)]
pub enum Rule {
    /// An elementwise operator and the dtype it computed in.
    Ew(Ew, DType),
    Fn(RuleFn),
    /// As `Fn`, and gone with the first backward pass that does not retain the graph, although it keeps no values.
    Once(RuleFn),
    /// Adds into the leaf's `.grad`.
    Accumulate(Leaf),
    Custom(Arc<dyn CustomRule>),
    /// The window `view` on a tensor laid out as `base`: a view whose base was written in place.
    Window {
        base: (DType, Arc<Layout>),
        view: Arc<Layout>,
    },
}

/// A leaf without its strong gradient state, so that the graph does not keep itself alive.
#[derive(Clone)]
pub struct Leaf {
    pub meta: Weak<AutogradMeta>,
    pub tensor: crate::tensor::WeakTensor,
}

/// An edge towards the inputs: which node, and which of its outputs the gradient belongs to.
#[derive(Clone)]
pub struct GradEdge {
    pub node: Arc<GradNode>,
    pub output: u32,
}

/// Shape, dtype and device that a gradient must have.
#[derive(Clone, Debug)]
pub struct GradMeta {
    pub layout: Arc<Layout>,
    pub dtype: DType,
    pub device: Device,
}

impl GradMeta {
    /// Of the gradients of this tensor.
    pub fn of(t: &Tensor) -> GradMeta {
        GradMeta { layout: t.layout().clone(), dtype: t.dtype(), device: t.device() }
    }
}

const RELEASED: &str = "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors after calling backward.";

/// One differentiable step of the forward pass.
pub struct GradNode {
    pub name: &'static str,
    /// Later steps run first in the backward pass.
    pub sequence: u64,
    pub rule: Rule,
    pub edges: SmallVec<[Option<GradEdge>; 3]>,
    pub outputs: SmallVec<[GradMeta; 1]>,
    saved: Mutex<Option<SmallVec<[Saved; 3]>>>,
    pub hooks: Mutex<NodeHooks>,
    /// The forward line, kept when anomaly detection is on.
    pub trace: Option<String>,
    /// For a step that was made again: what takes the place of the stretches of generators that its rule knows.
    pub streams: OnceLock<Streams>,
    /// What the binding keeps with this node.
    pub binding: OnceLock<Box<dyn std::any::Any + Send + Sync>>,
}

#[derive(Default)]
pub struct NodeHooks {
    /// Per output: hooks of the tensors, run on the incoming gradient.
    pub tensor: Vec<(u32, u64, Hook)>,
    /// Tensors that asked to keep their gradient.
    pub retain: Vec<(u32, Weak<AutogradMeta>)>,
    pub pre: Vec<(u64, PreHook)>,
    pub post: Vec<(u64, NodeHook)>,
}

impl NodeHooks {
    pub fn any(&self) -> bool {
        !(self.tensor.is_empty() && self.retain.is_empty() && self.pre.is_empty() && self.post.is_empty())
    }
}

/// Pairs of stretches of generators, each told by seed and offset: the second takes the place of the first.
pub type Streams = Arc<Vec<[(u64, u64); 2]>>;

thread_local! {
    static STREAMS: RefCell<Option<Streams>> = const { RefCell::new(None) };
}

/// From now on the thread draws from the second stretches of the pairs instead of the first, until the result is dropped.
pub fn use_streams(streams: Streams) -> impl Drop {
    struct Before(Option<Streams>);
    impl Drop for Before {
        fn drop(&mut self) {
            STREAMS.set(self.0.take());
        }
    }
    Before(STREAMS.replace(Some(streams)))
}

/// The stretch that takes the place of this one now.
pub fn stream_now(stream: (u64, u64)) -> (u64, u64) {
    let other = |s: &Streams| s.iter().find(|[old, _]| *old == stream).map(|[_, new]| *new);
    STREAMS.with_borrow(|s| s.as_ref().and_then(other)).unwrap_or(stream)
}

/// Packs the values that operators keep (`saved_tensors_hooks`).
pub trait SavedHooks: Send + Sync {
    fn pack(&self, value: &Tensor) -> Result<Arc<dyn Packed>>;
}

/// A kept value in the form that a [`SavedHooks`] gave it.
pub trait Packed: Send + Sync {
    fn unpack(&self) -> Result<Tensor>;
}

thread_local! {
    static SAVED_HOOKS: RefCell<Vec<Arc<dyn SavedHooks>>> = const { RefCell::new(Vec::new()) };
}

/// From now on the thread's kept values go through `hooks`, until [`pop_saved_hooks`].
pub fn push_saved_hooks(hooks: Arc<dyn SavedHooks>) {
    SAVED_HOOKS.with_borrow_mut(|stack| stack.push(hooks));
}

/// Ends the innermost [`push_saved_hooks`]; whether there was one.
pub fn pop_saved_hooks() -> bool {
    let last = SAVED_HOOKS.with_borrow_mut(Vec::pop);
    last.is_some()
}

/// Whether the thread's kept values go through hooks.
pub fn has_saved_hooks() -> bool {
    SAVED_HOOKS.with_borrow(|stack| !stack.is_empty())
}

/// A value kept for the backward pass. Outputs are kept without their own gradient node, which would be a cycle.
#[derive(Clone)]
pub struct Saved {
    pub(crate) value: Held,
    pub(crate) grad: SavedGrad,
}

#[derive(Clone)]
pub(crate) enum Held {
    Here(Window),
    /// As hooks packed it: nobody can tell whether it was written since.
    Packed(Arc<dyn Packed>),
}

/// A tensor's window on its storage, with the version it must still have.
#[derive(Clone)]
pub(crate) struct Window {
    pub cell: Arc<Cell>,
    pub layout: Arc<Layout>,
    pub dtype: DType,
    pub version: u64,
    /// Counts in place of the cell, see [`Tensor::data`].
    pub counter: Option<Arc<AtomicU64>>,
}

#[derive(Clone)]
pub(crate) enum SavedGrad {
    Input(Option<Arc<AutogradMeta>>, Option<Tensor>),
    Output(u32),
    /// A number or a placeholder: no hook sees it.
    Constant,
}

impl Saved {
    /// PyTorch's check before a value is kept for the backward pass.
    pub fn check(t: &Tensor) -> Result<()> {
        ensure!(
            !t.cell().inference,
            Runtime,
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it in autograd, or use `corten.no_grad()` instead of `corten.inference_mode()`."
        );
        Ok(())
    }
    fn held(t: &Tensor) -> Held {
        Held::Here(Window {
            cell: t.cell().clone(),
            layout: t.layout().clone(),
            dtype: t.dtype(),
            version: t.version(),
            counter: t.counter().cloned(),
        })
    }
    pub fn input(t: &Tensor) -> Saved {
        Saved { value: Saved::held(t), grad: SavedGrad::Input(t.meta().cloned(), t.base().cloned()) }
    }
    pub fn output(t: &Tensor, index: u32) -> Saved {
        Saved { value: Saved::held(t), grad: SavedGrad::Output(index) }
    }
    pub fn constant(t: &Tensor) -> Saved {
        Saved { value: Saved::held(t), grad: SavedGrad::Constant }
    }

    fn is_packed(&self) -> bool {
        matches!(self.value, Held::Packed(_))
    }
    /// This value in the form that `hooks` give it. The history stays here, as it is now.
    fn pack(self, hooks: &dyn SavedHooks) -> Result<Saved> {
        let (Held::Here(window), false) = (&self.value, matches!(self.grad, SavedGrad::Constant)) else {
            return Ok(self);
        };
        let grad = match &self.grad {
            SavedGrad::Input(meta, base) => {
                let t = window.tensor(meta.clone(), base.clone());
                let own = match t.grad_fn() {
                    Some(edge) => Some(Arc::new(AutogradMeta::with_grad_fn(edge))),
                    None => meta.clone(),
                };
                SavedGrad::Input(own, None)
            }
            SavedGrad::Output(index) => SavedGrad::Output(*index),
            SavedGrad::Constant => SavedGrad::Constant,
        };
        let given = window.tensor(None, None);
        let before = given.version();
        let packed = with_grad_mode(false, || hooks.pack(&given))?;
        ensure!(
            given.version() == before,
            Runtime,
            "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be modified by in-place operations as this can lead to unexpected side-effects. Please open an issue if you need to perform in-place operations on the input to a pack hook."
        );
        Ok(Saved { value: Held::Packed(packed), grad })
    }
    /// The step whose output the value is, as a clause of an error; nothing for leaves.
    fn maker(&self, node: &Arc<GradNode>) -> String {
        let found = match &self.grad {
            SavedGrad::Output(index) => Some((node.name, *index)),
            SavedGrad::Input(meta, _) => {
                meta.as_ref().and_then(|m| m.state().grad_fn.as_ref().map(|e| (e.node.name, e.output)))
            }
            SavedGrad::Constant => None,
        };
        found.map_or_else(String::new, |(name, index)| format!(", which is output {index} of {},", plain_name(name)))
    }
    /// The value again, if its storage was not written since.
    pub fn restore(&self, node: &Arc<GradNode>) -> Result<Tensor> {
        let (meta, base) = match &self.grad {
            SavedGrad::Input(meta, base) => (meta.clone(), base.clone()),
            SavedGrad::Output(index) => {
                let edge = GradEdge { node: node.clone(), output: *index };
                (Some(Arc::new(AutogradMeta::with_grad_fn(edge))), None)
            }
            SavedGrad::Constant => (None, None),
        };
        match &self.value {
            Held::Here(window) => {
                window.check(|| self.maker(node))?;
                Ok(window.tensor(meta, base))
            }
            Held::Packed(packed) => {
                let t = packed.unpack()?;
                let t = Tensor::assemble(t.cell().clone(), t.layout().clone(), t.dtype(), meta, None);
                Ok(t)
            }
        }
    }
}

impl Window {
    fn tensor(&self, meta: Option<Arc<AutogradMeta>>, base: Option<Tensor>) -> Tensor {
        Tensor::assemble(self.cell.clone(), self.layout.clone(), self.dtype, meta, base)
            .counting_with(self.counter.as_ref())
    }
    /// Refuses a value whose storage was written since; `maker` tells in the error where the value is from.
    fn check(&self, maker: impl FnOnce() -> String) -> Result<()> {
        let now = self.counter.as_ref().map_or_else(|| self.cell.version(), |c| c.load(Ordering::Acquire));
        if now == self.version {
            return Ok(());
        }
        Err(Error::Runtime(format!(
            "one of the variables needed for gradient computation has been modified by an inplace operation: [corten.{}Tensor {}]{} is at version {now}; expected version {} instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, with corten.autograd.set_detect_anomaly(True).",
            self.dtype.scalar_name(),
            self.layout.shape,
            maker(),
            self.version
        )))
    }
}

/// How a view came about, where that forbids in-place writes that gradients would have to follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    Plain,
    /// Made while gradients were not recorded.
    NoGrad,
    Inference,
    /// Output of a custom function.
    Custom,
    /// Output of an operator that returns several views, with its number.
    OneOfMany(u32),
}

impl Origin {
    /// As one word, for an atomic.
    pub fn pack(self) -> u32 {
        match self {
            Origin::Plain => 0,
            Origin::NoGrad => 1,
            Origin::Inference => 2,
            Origin::Custom => 3,
            Origin::OneOfMany(i) => 4 + i,
        }
    }
    pub fn unpack(word: u32) -> Origin {
        match word {
            0 => Origin::Plain,
            1 => Origin::NoGrad,
            2 => Origin::Inference,
            3 => Origin::Custom,
            i => Origin::OneOfMany(i - 4),
        }
    }
}

/// What a rule sees: the output gradients and the saved values.
pub struct Vjp<'a> {
    pub node: &'a Arc<GradNode>,
    pub grads: &'a [Option<Tensor>],
    saved: SmallVec<[Tensor; 3]>,
}

impl<'a> Vjp<'a> {
    pub fn new(node: &'a Arc<GradNode>, grads: &'a [Option<Tensor>]) -> Result<Vjp<'a>> {
        let saved = node.unpack_saved()?;
        Ok(Vjp { node, grads, saved })
    }
    /// The same saved values under other output gradients.
    pub fn with_grads<'b>(&self, grads: &'b [Option<Tensor>]) -> Vjp<'b>
    where
        'a: 'b,
    {
        Vjp { node: self.node, grads, saved: self.saved.clone() }
    }
    /// For rules that unpack what they saved themselves, if they want it.
    pub fn without_saved(node: &'a Arc<GradNode>, grads: &'a [Option<Tensor>]) -> Result<Vjp<'a>> {
        ensure!(lock(&node.saved).is_some(), Runtime, "{RELEASED}");
        Ok(Vjp { node, grads, saved: SmallVec::new() })
    }
    /// Whether anybody wants the gradient of input `i`.
    #[inline]
    pub fn needs(&self, i: usize) -> bool {
        self.node.edges.get(i).is_some_and(Option::is_some)
    }
    /// The gradient of the first output; the engine runs no node without one.
    pub fn grad(&self) -> Result<&Tensor> {
        self.grads.iter().flatten().next().ok_or_else(|| Error::Internal(format!("{}: no gradient", self.node.name)))
    }
    pub fn saved(&self, i: usize) -> &Tensor {
        &self.saved[i]
    }
    pub fn all_saved(&self) -> &[Tensor] {
        &self.saved
    }
}

/// A node's name without the ending that tells it from the operator.
pub fn plain_name(name: &str) -> &str {
    name.find("Backward")
        .filter(|&at| at > 0 && name[at + 8..].bytes().all(|b| b.is_ascii_digit()))
        .map_or(name, |at| &name[..at])
}

/// Counts the steps of all graphs.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// The sequence number of the next step.
pub fn next_step() -> u64 {
    SEQUENCE.load(Ordering::Relaxed)
}

impl GradNode {
    pub fn new(
        name: &'static str,
        rule: Rule,
        edges: SmallVec<[Option<GradEdge>; 3]>,
        outputs: SmallVec<[GradMeta; 1]>,
    ) -> GradNode {
        let trace = modes().anomaly.then(|| TRACE_HOOK.get().and_then(|f| f())).flatten();
        GradNode {
            name,
            sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed),
            rule,
            edges,
            outputs,
            saved: Mutex::new(Some(SmallVec::new())),
            hooks: Mutex::default(),
            trace,
            streams: OnceLock::new(),
            binding: OnceLock::new(),
        }
    }
    /// Keeps values, packed where the thread has hooks for that.
    pub fn save(&self, values: SmallVec<[Saved; 3]>) -> Result<()> {
        let values = match SAVED_HOOKS.with_borrow(|stack| stack.last().cloned()) {
            Some(hooks) => values.into_iter().map(|v| v.pack(&*hooks)).collect::<Result<_>>()?,
            None => values,
        };
        *lock(&self.saved) = Some(values);
        Ok(())
    }
    /// Whether hooks packed any of the kept values.
    pub fn is_packed(&self) -> bool {
        lock(&self.saved).iter().flatten().any(Saved::is_packed)
    }
    pub fn unpack_saved(self: &Arc<Self>) -> Result<SmallVec<[Tensor; 3]>> {
        let saved = lock(&self.saved);
        let Some(values) = &*saved else { return Err(Error::Runtime(RELEASED.into())) };
        if !values.iter().any(Saved::is_packed) {
            return values.iter().map(|s| s.restore(self)).collect();
        }
        // Hooks are the user's code, which may come back here.
        let values = values.clone();
        drop(saved);
        values.iter().map(|s| s.restore(self)).collect()
    }
    /// After an in-place operator the node's output lives in its target: later writes there make a saved output stale.
    pub fn output_moved(&self, output: &Tensor, target: &Tensor) {
        for s in lock(&self.saved).iter_mut().flatten() {
            if let (SavedGrad::Output(_), Held::Here(window)) = (&s.grad, &s.value)
                && Arc::ptr_eq(&window.cell, output.cell())
            {
                s.value = Saved::held(target);
            }
        }
    }
    /// Whether a backward pass has freed what the node kept.
    pub(crate) fn is_released(&self) -> bool {
        lock(&self.saved).is_none()
    }
    pub(crate) fn saved_values(&self) -> Option<SmallVec<[Saved; 3]>> {
        lock(&self.saved).clone()
    }
    pub(crate) fn forget_saved(&self) {
        *lock(&self.saved) = None;
    }
    /// Frees the saved values; the graph cannot run again, except nodes that never saved anything.
    pub fn release(&self) {
        let mut saved = lock(&self.saved);
        let had_any =
            saved.as_ref().is_some_and(|s| !s.is_empty()) || matches!(self.rule, Rule::Custom(_) | Rule::Once(_));
        if had_any {
            let old = saved.take();
            drop(saved);
            drop(old);
        }
    }
}

impl Drop for GradNode {
    fn drop(&mut self) {
        // Graphs are long chains: let go of the edges through a queue instead of recursing.
        thread_local! {
            static QUEUE: RefCell<Option<Vec<GradEdge>>> = const { RefCell::new(None) };
        }
        // Those that others hold, and those that lead nowhere, end here.
        let deep = |edge: &GradEdge| Arc::strong_count(&edge.node) == 1 && !edge.node.edges.is_empty();
        let mut edges: Vec<GradEdge> = self.edges.drain(..).flatten().filter(deep).collect();
        if edges.is_empty() {
            return;
        }
        let nested = QUEUE.try_with(|q| match q.borrow_mut().as_mut() {
            Some(queue) => {
                queue.append(&mut edges);
                true
            }
            None => false,
        });
        if nested != Ok(false) {
            return;
        }
        let _ = QUEUE.try_with(|q| *q.borrow_mut() = Some(edges));
        while let Some(edge) = QUEUE.try_with(|q| q.borrow_mut().as_mut().and_then(Vec::pop)).ok().flatten() {
            drop(edge);
        }
        let _ = QUEUE.try_with(|q| *q.borrow_mut() = None);
    }
}

/// A tensor's gradient state, shared by every handle on that tensor.
pub struct AutogradMeta {
    state: Mutex<AutogradState>,
    /// The capture in which it was made, or 0.
    pub capture: u32,
}

impl Default for AutogradMeta {
    fn default() -> Self {
        AutogradMeta { state: Mutex::default(), capture: capture::current() }
    }
}

#[derive(Default)]
pub struct AutogradState {
    /// Meaningful for leaves; a tensor with a `grad_fn` always requires grad.
    pub requires_grad: bool,
    pub grad: Option<Tensor>,
    pub grad_fn: Option<GradEdge>,
    pub accumulator: Weak<GradNode>,
    pub retains_grad: bool,
    pub hooks: Vec<(u64, Hook)>,
    pub post_accumulate: Vec<(u64, Hook)>,
}

impl AutogradState {
    /// How many functions of the program, and keepers of gradients, a backward pass serves here.
    pub fn listeners(&self) -> usize {
        self.hooks.len() + self.post_accumulate.len() + usize::from(self.retains_grad)
    }
}

impl AutogradMeta {
    pub fn with_grad_fn(edge: GradEdge) -> AutogradMeta {
        let state = Mutex::new(AutogradState { grad_fn: Some(edge), ..Default::default() });
        AutogradMeta { state, capture: capture::current() }
    }
    /// The tensor's `.grad`.
    pub fn grad(self: &Arc<Self>) -> Option<Tensor> {
        let grad = self.state().grad.clone();
        capture::grad_read(self, grad.as_ref());
        grad
    }
    pub fn set_grad(self: &Arc<Self>, new: Option<Tensor>) {
        capture::grad_set(self, new.is_none());
        let old = std::mem::replace(&mut self.state().grad, new);
        drop(old);
    }
    pub fn state(&self) -> MutexGuard<'_, AutogradState> {
        lock(&self.state)
    }
    /// Gives the tensor another node after an in-place operator. A gradient that is to be kept is the new value's.
    pub fn set_grad_fn(self: &Arc<Self>, edge: Option<GradEdge>) {
        if self.capture != capture::current() {
            capture::refuse(|| "it writes a value with a gradient history into a tensor from outside".into());
        }
        let mut state = self.state();
        let old = std::mem::replace(&mut state.grad_fn, edge.clone());
        let moves = state.retains_grad;
        drop(state);
        let (true, Some(old), Some(new)) = (moves, old, edge) else { return };
        let mine = |x: &(u32, Weak<AutogradMeta>)| std::ptr::eq(x.1.as_ptr(), Arc::as_ptr(self));
        let asked = lock(&old.node.hooks).retain.extract_if(.., |x| mine(x)).count() > 0;
        if asked {
            lock(&new.node.hooks).retain.push((new.output, Arc::downgrade(self)));
        }
    }
}

/// Per-thread switches of the gradient machinery.
#[derive(Clone, Copy)]
pub struct Modes {
    pub grad: bool,
    pub inference: bool,
    pub anomaly: bool,
    pub anomaly_check_nan: bool,
}

thread_local! {
    static MODES: StdCell<Modes> =
        const { StdCell::new(Modes { grad: true, inference: false, anomaly: false, anomaly_check_nan: true }) };
}

/// Asked for the current Python line when anomaly detection records a node.
pub static TRACE_HOOK: std::sync::OnceLock<fn() -> Option<String>> = std::sync::OnceLock::new();

#[inline]
pub fn modes() -> Modes {
    MODES.with(StdCell::get)
}

pub fn set_modes(m: Modes) {
    MODES.with(|c| c.set(m));
}

/// Runs `f` with gradient recording switched, and restores the switch even on error.
pub fn with_grad_mode<R>(on: bool, f: impl FnOnce() -> R) -> R {
    struct Restore(Modes);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_modes(self.0);
        }
    }
    let before = modes();
    let _restore = Restore(before);
    set_modes(Modes { grad: on, ..before });
    f()
}

/// Makes the numbers of hooks and of backward passes unique in the process.
pub fn next_hook_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
