//! Reverse-mode differentiation: walks the gradient graph from the roots, latest step first, and records the backward
//! pass through public operators, so that gradients can be differentiated again and fuse like everything else.

use crate::capture;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::grad::{AutogradMeta, GradEdge, GradNode, Grads, Rule, Vjp, modes, next_hook_id, with_grad_mode};
use crate::ops;
use crate::ops::elementwise::dense_like;
use crate::shape::Layout;
use crate::tensor::Tensor;
use crate::{bail, ensure, exec, grad};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

/// What `backward` and `grad` are asked for.
pub struct Request<'a> {
    pub roots: &'a [Tensor],
    /// One per root; `None` means 1 for a root with one element.
    pub seeds: &'a [Option<Tensor>],
    pub retain_graph: bool,
    pub create_graph: bool,
    /// Accumulate only into these, or into every leaf when `None`.
    pub inputs: Option<&'a [Tensor]>,
    /// Return the gradients of `inputs` instead of accumulating.
    pub capture: bool,
}

struct Ready(Arc<GradNode>);

impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        self.0.sequence == other.0.sequence
    }
}
impl Eq for Ready {}
impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ready {
    // Accumulators run as soon as they can; otherwise the latest step goes first.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |n: &GradNode| (matches!(n.rule, Rule::Accumulate(_)), n.sequence);
        key(&self.0).cmp(&key(&other.0))
    }
}

type Key = *const GradNode;

struct Engine<'a> {
    request: &'a Request<'a>,
    waiting: HashMap<Key, usize>,
    gradients: HashMap<Key, Vec<Option<Tensor>>>,
    /// Captured inputs: (node, output) to positions, several where an input was named twice.
    captured: HashMap<(Key, u32), Vec<usize>>,
    results: Vec<Option<Tensor>>,
    /// What is wanted of each node when only some inputs are; `None` when everything is wanted.
    needed: Option<HashMap<Key, Need>>,
}

/// A node's part in a backward pass towards some inputs only.
#[derive(Clone, Copy, Default)]
struct Need {
    /// Its gradient is asked for, or leads to one that is.
    gradient: bool,
    /// Its rule runs: something beyond it is asked for. A captured result's own rule does not.
    rule: bool,
}

/// A backward pass in progress.
struct Pass {
    id: u64,
    roots: Vec<Arc<GradNode>>,
    /// What it computes gradients for, where that is not everything.
    targets: Option<Vec<Arc<GradNode>>>,
}

thread_local! {
    /// The thread's passes, the innermost last.
    static PASSES: RefCell<Vec<Pass>> = const { RefCell::new(Vec::new()) };
}

impl Pass {
    /// Makes this the thread's innermost pass until the result is dropped.
    fn enter(self) -> impl Drop {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                let pass = PASSES.with_borrow_mut(Vec::pop);
                drop(pass);
            }
        }
        PASSES.with_borrow_mut(|passes| passes.push(self));
        Leave
    }
}

/// The number of the backward pass that runs on this thread.
pub fn current_pass() -> Option<u64> {
    PASSES.with_borrow(|passes| passes.last().map(|p| p.id))
}

/// Whether the backward pass that runs on this thread computes the gradient of `t`.
pub fn pass_reaches(t: &Tensor) -> bool {
    let Some(edge) = t.gradient_edge() else { return false };
    PASSES.with_borrow(|passes| {
        let Some(pass) = passes.last() else { return false };
        let wanted = |node: &Arc<GradNode>| match &pass.targets {
            Some(targets) => targets.iter().any(|t| Arc::ptr_eq(t, node)),
            None => true,
        };
        find(&pass.roots, |node| Arc::ptr_eq(node, &edge.node)) && find(std::slice::from_ref(&edge.node), wanted)
    })
}

/// Whether a node at or behind `from` is one that is looked for.
fn find(from: &[Arc<GradNode>], found: impl Fn(&Arc<GradNode>) -> bool) -> bool {
    let mut seen: HashSet<Key> = from.iter().map(Arc::as_ptr).collect();
    let mut stack: Vec<&Arc<GradNode>> = from.iter().collect();
    while let Some(node) = stack.pop() {
        if found(node) {
            return true;
        }
        for edge in node.edges.iter().flatten() {
            if seen.insert(Arc::as_ptr(&edge.node)) {
                stack.push(&edge.node);
            }
        }
    }
    false
}

/// Runs the backward pass; returns the captured gradients.
pub fn run(request: &Request) -> Result<Vec<Option<Tensor>>> {
    let results = with_grad_mode(request.create_graph, || walk(request))?;
    exec::flush()?;
    Ok(results)
}

fn walk(request: &Request) -> Result<Vec<Option<Tensor>>> {
    let mut engine = Engine {
        request,
        waiting: HashMap::new(),
        gradients: HashMap::new(),
        captured: HashMap::new(),
        results: vec![None; request.inputs.map_or(0, <[_]>::len)],
        needed: None,
    };
    let mut roots: Vec<(GradEdge, Tensor)> = Vec::new();
    for (i, t) in request.roots.iter().enumerate() {
        t.check_view()?;
        let Some(edge) = t.gradient_edge() else {
            bail!(Runtime, "element {i} of tensors does not require grad and does not have a grad_fn")
        };
        roots.push((edge, seed(t, request.seeds.get(i).and_then(Option::as_ref))?));
    }
    let targets = engine.choose_inputs()?;
    let pass = Pass { id: next_hook_id(), roots: roots.iter().map(|(edge, _)| edge.node.clone()).collect(), targets };
    let _innermost = pass.enter();
    engine.count(&roots);
    let mut ready: BinaryHeap<Ready> = BinaryHeap::new();
    for (edge, g) in roots {
        engine.add(&edge, g, (edge.node.name, 0))?;
        if engine.waiting.get(&Arc::as_ptr(&edge.node)) == Some(&0) {
            engine.waiting.remove(&Arc::as_ptr(&edge.node));
            ready.push(Ready(edge.node));
        }
    }
    while let Some(Ready(node)) = ready.pop() {
        engine.step(&node, &mut ready)?;
    }
    Ok(engine.results)
}

/// The gradient a root starts from.
fn seed(t: &Tensor, given: Option<&Tensor>) -> Result<Tensor> {
    match given {
        Some(g) => {
            ensure!(
                g.shape() == t.shape(),
                Runtime,
                "Mismatch in shape: grad_output[0] has a shape of corten.Size({}) and output[0] has a shape of corten.Size({}).",
                g.shape_dims(),
                t.shape_dims()
            );
            Ok(g.clone())
        }
        None => {
            ensure!(t.numel() == 1, Runtime, "grad can be implicitly created only for scalar outputs");
            ensure!(
                !t.dtype().is_complex(),
                Runtime,
                "grad can be implicitly created only for real scalar outputs but got {}",
                t.dtype()
            );
            ops::create::full(t.shape_dims().clone(), crate::dtype::Scalar::Int(1), t.dtype(), t.device())
        }
    }
}

impl Engine<'_> {
    /// Notes what gradients are asked for; returns their nodes.
    fn choose_inputs(&mut self) -> Result<Option<Vec<Arc<GradNode>>>> {
        let Some(inputs) = self.request.inputs else { return Ok(None) };
        let mut targets = Vec::new();
        let mut needed = HashMap::new();
        for (i, t) in inputs.iter().enumerate() {
            t.check_view()?;
            let Some(edge) = t.gradient_edge() else {
                bail!(Runtime, "One of the differentiated Tensors does not require grad")
            };
            let accumulates = !self.request.capture && matches!(edge.node.rule, Rule::Accumulate(_));
            needed.insert(Arc::as_ptr(&edge.node), Need { gradient: true, rule: accumulates });
            if self.request.capture {
                self.captured.entry((Arc::as_ptr(&edge.node), edge.output)).or_default().push(i);
            } else if !accumulates {
                t.retain_grad()?;
            }
            targets.push(edge.node);
        }
        self.needed = Some(needed);
        Ok(Some(targets))
    }

    /// Counts, for every node reachable from the roots, how many gradients it will receive; marks what is needed.
    fn count(&mut self, roots: &[(GradEdge, Tensor)]) {
        let mut order: Vec<Arc<GradNode>> = Vec::new();
        let mut stack: Vec<Arc<GradNode>> = Vec::new();
        for (edge, _) in roots {
            if let Entry::Vacant(unseen) = self.waiting.entry(Arc::as_ptr(&edge.node)) {
                unseen.insert(0);
                stack.push(edge.node.clone());
            }
        }
        while let Some(node) = stack.pop() {
            for edge in node.edges.iter().flatten() {
                let key = Arc::as_ptr(&edge.node);
                match self.waiting.get_mut(&key) {
                    Some(n) => *n += 1,
                    None => {
                        self.waiting.insert(key, 1);
                        stack.push(edge.node.clone());
                    }
                }
            }
            order.push(node);
        }
        if let Some(needed) = &mut self.needed {
            // Inputs were recorded before their readers, so ascending order settles every node in one pass.
            order.sort_by_key(|n| (!matches!(n.rule, Rule::Accumulate(_)), n.sequence));
            for node in &order {
                let here = needed.get(&Arc::as_ptr(node)).copied().unwrap_or_default();
                let beyond =
                    node.edges.iter().flatten().any(|e| needed.get(&Arc::as_ptr(&e.node)).is_some_and(|n| n.gradient));
                let need = Need { gradient: here.gradient || beyond, rule: here.rule || beyond };
                needed.insert(Arc::as_ptr(node), need);
            }
        }
    }

    /// Adds a gradient at an edge, shaped and typed as the forward value was. `from` names the rule that gave it, and which
    /// of its results it is.
    fn add(&mut self, edge: &GradEdge, g: Tensor, from: (&str, usize)) -> Result<()> {
        let meta = edge.node.outputs.get(edge.output as usize);
        let g = match meta {
            Some(m) => conform(from, g, &m.layout, m.dtype)?,
            None => g,
        };
        let slots =
            self.gradients.entry(Arc::as_ptr(&edge.node)).or_insert_with(|| vec![None; edge.node.outputs.len().max(1)]);
        let slot = &mut slots[edge.output as usize];
        *slot = Some(match slot.take() {
            Some(sum) => sum.add(&g)?,
            None => g,
        });
        Ok(())
    }

    fn step(&mut self, node: &Arc<GradNode>, ready: &mut BinaryHeap<Ready>) -> Result<()> {
        if !matches!(node.rule, Rule::Accumulate(_)) {
            capture::runs_step(node.sequence);
        }
        let key = Arc::as_ptr(node);
        let mut grads = self.gradients.remove(&key).unwrap_or_else(|| vec![None; node.outputs.len()]);
        let need = match &self.needed {
            Some(needed) => needed.get(&key).copied().unwrap_or_default(),
            None => Need { gradient: true, rule: true },
        };
        let arrived = grads.iter().any(Option::is_some);
        if need.gradient && arrived {
            self.incoming(node, &mut grads)?;
        }
        let inputs = if need.rule && arrived { self.apply(node, &grads)? } else { Grads::new() };
        self.forward_gradients(node, inputs, ready)
    }

    /// Hooks, retained gradients and captures on the gradients that arrive at a node.
    fn incoming(&mut self, node: &Arc<GradNode>, grads: &mut Vec<Option<Tensor>>) -> Result<()> {
        let (tensor_hooks, retain, pre) = {
            let h = crate::graph::lock(&node.hooks);
            (h.tensor.clone(), h.retain.clone(), h.pre.clone())
        };
        if !tensor_hooks.is_empty() || !pre.is_empty() {
            capture::refuse(|| "a hook runs on a gradient".into());
        }
        for (output, _, hook) in tensor_hooks {
            if let Some(g) = &grads[output as usize]
                && let Some(new) = hook(g)?
            {
                grads[output as usize] = Some(new);
            }
        }
        for (output, meta) in retain {
            if let (Some(g), Some(meta)) = (&grads[output as usize], meta.upgrade()) {
                keep_gradient(&meta, g)?;
            }
        }
        if let Rule::Accumulate(leaf) = &node.rule
            && let Some(meta) = leaf.meta.upgrade()
        {
            let hooks = meta.state().hooks.clone();
            if !hooks.is_empty() {
                capture::refuse(|| "a hook runs on a gradient".into());
            }
            for (_, hook) in hooks {
                if let Some(g) = &grads[0]
                    && let Some(new) = hook(g)?
                {
                    grads[0] = Some(new);
                }
            }
        }
        for (_, hook) in pre {
            hook(grads)?;
        }
        for (i, g) in grads.iter().enumerate() {
            if let (Some(places), Some(g)) = (self.captured.get(&(Arc::as_ptr(node), i as u32)), g) {
                places.iter().for_each(|&at| self.results[at] = Some(g.clone()));
            }
        }
        Ok(())
    }

    /// The node's rule, its post hooks and the anomaly checks.
    fn apply(&self, node: &Arc<GradNode>, grads: &[Option<Tensor>]) -> Result<Grads> {
        self.apply_rule(node, grads).map_err(|e| match e {
            Error::Runtime(text) if modes().anomaly && !text.contains(TRACE_TITLE) => Error::Runtime(format!(
                "{text}\nError detected in {}. {TRACE_TITLE}\n{}",
                node.name,
                forward_line(node)
            )),
            other => other,
        })
    }

    fn apply_rule(&self, node: &Arc<GradNode>, grads: &[Option<Tensor>]) -> Result<Grads> {
        let _streams = node.streams.get().map(|s| grad::use_streams(s.clone()));
        let mut inputs = match &node.rule {
            Rule::Accumulate(leaf) => {
                if !self.request.capture
                    && let (Some(meta), Some(g)) = (leaf.meta.upgrade(), &grads[0])
                {
                    accumulate_into(&meta, g, &node.outputs[0].layout, self.request.create_graph)?;
                    let hooks = meta.state().post_accumulate.clone();
                    if !hooks.is_empty() {
                        capture::refuse(|| "a hook runs after a gradient was accumulated".into());
                    }
                    if let Some(t) = leaf.tensor.upgrade() {
                        for (_, hook) in hooks {
                            hook(&t)?;
                        }
                    }
                }
                return Ok(Grads::new());
            }
            Rule::Ew(op, compute) => ops::elementwise::vjp(*op, *compute, &Vjp::new(node, grads)?)?,
            Rule::Fn(f) | Rule::Once(f) => f(&Vjp::new(node, grads)?)?,
            Rule::Window { base, view } => {
                let v = Vjp::new(node, grads)?;
                smallvec::SmallVec::from_iter([Some(ops::view::scatter_into(v.grad()?, (base.0, &base.1), view)?)])
            }
            Rule::Custom(c) => c.backward(&Vjp::without_saved(node, grads)?)?,
        };
        let post = crate::graph::lock(&node.hooks).post.clone();
        for (_, hook) in post {
            hook(&mut inputs, grads)?;
        }
        if modes().anomaly && modes().anomaly_check_nan {
            check_for_nan(node, &inputs)?;
        }
        if !self.request.retain_graph {
            node.release();
        }
        Ok(inputs)
    }

    fn forward_gradients(
        &mut self,
        node: &Arc<GradNode>,
        mut inputs: Grads,
        ready: &mut BinaryHeap<Ready>,
    ) -> Result<()> {
        inputs.resize(node.edges.len().max(inputs.len()), None);
        for (i, (edge, g)) in node.edges.iter().zip(inputs).enumerate() {
            let Some(edge) = edge else { continue };
            if let Some(g) = g {
                self.add(edge, g, (node.name, i))?;
            }
            let key = Arc::as_ptr(&edge.node);
            if let Some(n) = self.waiting.get_mut(&key) {
                *n -= 1;
                if *n == 0 {
                    self.waiting.remove(&key);
                    ready.push(Ready(edge.node.clone()));
                }
            }
        }
        Ok(())
    }
}

/// A gradient must have its tensor's shape and dtype: broadcast dims are summed here, once for all rules.
fn conform(from: (&str, usize), g: Tensor, layout: &Arc<Layout>, dtype: DType) -> Result<Tensor> {
    let g = if g.shape() == &layout.shape[..] {
        g
    } else {
        ensure!(
            layout.broadcast_to(g.shape()).is_some(),
            Runtime,
            "Function {} returned an invalid gradient at index {} - got {} but expected shape compatible with {}",
            from.0,
            from.1,
            g.shape_dims(),
            layout.shape
        );
        ops::reduce::sum_to(&g, &layout.shape)?
    };
    g.to_dtype(dtype)
}

/// Adds `g` to a leaf's `.grad`. The first one is laid out like the leaf, or row-major where the leaf has gaps.
fn accumulate_into(meta: &Arc<AutogradMeta>, g: &Tensor, leaf: &Arc<Layout>, create_graph: bool) -> Result<()> {
    let old = meta.grad();
    let new = match old {
        // With a graph the sum is a new tensor; without one `.grad` is updated in place, so that aliases of it see the sum.
        Some(sum) if create_graph => sum.add(g)?,
        Some(sum) => {
            let total = sum.detach().add(&g.detach())?;
            return ops::inplace::write_tensor(&sum, &total);
        }
        None => {
            let (g, laid_out) = if create_graph { (g.clone(), false) } else { (g.detach(), follows(g.layout(), leaf)) };
            if laid_out { fresh(&g)? } else { ops::copy_as(&g, dense_like(leaf))? }
        }
    };
    meta.set_grad(Some(new));
    Ok(())
}

/// Adds `g` to the `.grad` of a tensor that is no leaf; the sum is always a new tensor.
fn keep_gradient(meta: &Arc<AutogradMeta>, g: &Tensor) -> Result<()> {
    let old = meta.grad();
    let new = match old {
        Some(sum) => sum.add(g)?,
        None => ops::copy_as(g, dense_like(g.layout()))?,
    };
    meta.set_grad(Some(new));
    Ok(())
}

/// Whether a gradient has the strides that a leaf's gradient should have.
fn follows(g: &Layout, leaf: &Layout) -> bool {
    if !leaf.is_dense() {
        return g.is_contiguous();
    }
    (0..g.rank()).all(|d| g.shape[d] == 1 || g.strides[d] == leaf.strides[d])
}

/// A tensor of its own for `.grad`: gradients may be shared between inputs, or be views.
fn fresh(d: &Tensor) -> Result<Tensor> {
    if d.covers_storage() && !d.cell().is_pinned() {
        // A new cell on the same value: writing to one leaves the other alone.
        let value = d.cell().value();
        let own = Tensor::from_node(value.node, value.out, d.device());
        return Ok(if d.dtype().is_primitive() { own } else { own.alias((**d.layout()).clone(), d.dtype()) });
    }
    d.copy()
}

const TRACE_TITLE: &str = "Traceback of forward call that caused the error:";

fn forward_line(node: &GradNode) -> &str {
    node.trace.as_deref().unwrap_or("(the forward pass ran without anomaly detection)")
}

fn check_for_nan(node: &Arc<GradNode>, grads: &Grads) -> Result<()> {
    for (i, g) in grads.iter().enumerate() {
        let Some(g) = g.as_ref().filter(|g| g.device() != Device::Meta) else { continue };
        let bad = ops::reduce::truth(false, &g.isnan()?, None, false)?;
        if ops::item(&bad)?.to_bool() {
            return Err(Error::Runtime(format!(
                "Function '{}' returned nan values in its {i}th output. {TRACE_TITLE}\n{}",
                node.name,
                forward_line(node)
            )));
        }
    }
    Ok(())
}
