//! The gradient graph that a captured function leaves behind, in a form from which it can be made again.

use super::trace::{CellRef, NewTensor, Wanted};
use super::{Capture, lock};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::grad::{AutogradMeta, GradEdge, GradMeta, GradNode, Held, Rule, Saved, SavedGrad, Window};
use crate::graph::{Cell, Value};
use crate::shape::Layout;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// The gradient state of a tensor from outside.
#[derive(Clone)]
pub enum MetaRef {
    Arg(u32),
    Meta(Arc<AutogradMeta>),
}

impl MetaRef {
    pub fn is(&self, other: &MetaRef) -> bool {
        match (self, other) {
            (MetaRef::Arg(a), MetaRef::Arg(b)) => a == b,
            (MetaRef::Meta(a), MetaRef::Meta(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    pub fn of(&self, args: &[Tensor]) -> Arc<AutogradMeta> {
        match self {
            MetaRef::Arg(i) => args[*i as usize].meta_or_init().clone(),
            MetaRef::Meta(m) => m.clone(),
        }
    }
}

/// Where a gradient goes.
#[derive(Clone)]
pub enum GradRef {
    /// An output of a step of the function's own.
    Step(u32, u32),
    /// To an argument.
    Arg(u32),
    /// To a leaf from outside.
    Leaf(Tensor),
}

/// A step of the gradient graph.
struct Step {
    name: &'static str,
    rule: Rule,
    edges: SmallVec<[Option<GradRef>; 3]>,
    outputs: SmallVec<[GradMeta; 1]>,
    /// `None` where a backward pass has freed them.
    saved: Option<SmallVec<[SavedRef; 3]>>,
}

struct SavedRef {
    cell: CellRef,
    layout: Arc<Layout>,
    dtype: DType,
    grad: SavedGradRef,
}

enum SavedGradRef {
    /// A tensor with this gradient state, or none.
    Own(Option<GradRef>),
    Outside(MetaRef),
    Nothing,
    Output(u32),
    Constant,
}

/// The steps that a function leaves behind, in the order of their making.
#[derive(Default)]
pub struct History {
    steps: Vec<Step>,
}

impl History {
    /// The storages of kept values.
    pub(super) fn cells(&self) -> impl Iterator<Item = &CellRef> {
        self.steps.iter().flat_map(|step| step.saved.iter().flatten().map(|s| &s.cell))
    }
}

impl Capture {
    /// How a replay finds a gradient state from outside.
    pub(super) fn meta_name(&self, meta: &Arc<AutogradMeta>) -> MetaRef {
        let mine = |t: &Tensor| t.meta().is_some_and(|m| Arc::ptr_eq(m, meta));
        match self.args.iter().position(mine) {
            Some(i) => MetaRef::Arg(i as u32),
            None => MetaRef::Meta(meta.clone()),
        }
    }

    /// The number of a tensor that is to be left behind. Its history leads to `steps`.
    pub(super) fn wanted(&mut self, t: &Tensor, steps: &HashMap<*const GradNode, u32>) -> u32 {
        if let Some((number, _)) = self.wanted.get(&t.id()) {
            return *number;
        }
        let wanted = self.way_to(t, steps);
        let number = self.trace.tensors.len() as u32;
        self.trace.tensors.push(wanted);
        self.wanted.insert(t.id(), (number, t.clone()));
        number
    }

    fn way_to(&mut self, t: &Tensor, steps: &HashMap<*const GradNode, u32>) -> Wanted {
        if let Some(i) = self.args.iter().position(|a| a.ptr_eq(t)) {
            return Wanted::Arg(i as u32);
        }
        if let Some(i) = self.args.iter().position(|a| a.base().is_some_and(|b| b.ptr_eq(t))) {
            return Wanted::BaseOfArg(i as u32);
        }
        let cell = self.name(t.cell());
        if t.capture() != self.id {
            return match cell {
                CellRef::Cell(_) => Wanted::Known(t.clone()),
                CellRef::Grad(meta) => Wanted::Grad(meta),
                _ => {
                    self.refuse("it returns a tensor from outside that shares an argument's storage");
                    Wanted::Known(t.clone())
                }
            };
        }
        if t.meta().is_some_and(|m| m.state().grad.is_some()) {
            self.refuse("it leaves a new tensor behind that has a .grad");
        }
        if t.is_inference() != self.inference || t.counter().is_some() {
            self.refuse("it leaves a tensor behind that was made in another mode, or by .data");
        }
        if t.is_leaf() && t.requires_grad() {
            self.refuse("it leaves a new leaf behind");
        }
        let base = t.base().cloned().map(|b| self.wanted(&b, steps));
        let history = t.grad_fn().and_then(|edge| self.edge_of(&edge, steps));
        let (layout, dtype, origin) = (t.layout().clone(), t.dtype(), t.origin());
        Wanted::New(NewTensor { cell, layout, dtype, base, origin, history })
    }

    /// Writes down the outputs with all that their gradients need.
    pub(super) fn finish_histories(&mut self, outputs: &[Tensor]) {
        let mut nodes: Vec<Arc<GradNode>> = Vec::new();
        let mut stack: Vec<Arc<GradNode>> = Vec::new();
        for t in outputs.iter().flat_map(|t| std::iter::once(t).chain(t.base())) {
            stack.extend(t.grad_fn().map(|e| e.node));
        }
        let mut numbers: HashMap<*const GradNode, u32> = HashMap::new();
        while let Some(node) = stack.pop() {
            let outside = node.sequence < self.first_step || matches!(node.rule, Rule::Accumulate(_));
            if outside || numbers.insert(Arc::as_ptr(&node), 0).is_some() {
                continue;
            }
            if !node.is_released() {
                stack.extend(node.edges.iter().flatten().map(|e| e.node.clone()));
            }
            nodes.push(node);
        }
        nodes.sort_by_key(|n| n.sequence);
        for (i, node) in nodes.iter().enumerate() {
            numbers.insert(Arc::as_ptr(node), i as u32);
        }
        for node in &nodes {
            let step = self.step_of(node, &numbers);
            self.trace.history.steps.push(step);
        }
        for t in outputs {
            let number = self.wanted(t, &numbers);
            self.trace.outputs.push(number);
        }
    }

    fn edge_of(&mut self, edge: &GradEdge, numbers: &HashMap<*const GradNode, u32>) -> Option<GradRef> {
        if let Some(&n) = numbers.get(&Arc::as_ptr(&edge.node)) {
            return Some(GradRef::Step(n, edge.output));
        }
        let same = |e: &GradEdge| Arc::ptr_eq(&e.node, &edge.node) && e.output == edge.output;
        if let Some(i) = self.args.iter().position(|a| a.gradient_edge().as_ref().is_some_and(same)) {
            return Some(GradRef::Arg(i as u32));
        }
        match &edge.node.rule {
            Rule::Accumulate(leaf) => leaf.tensor.upgrade().map(GradRef::Leaf),
            _ => {
                self.refuse("it uses a tensor from outside, other than an argument, that has a gradient history");
                None
            }
        }
    }

    fn step_of(&mut self, node: &Arc<GradNode>, numbers: &HashMap<*const GradNode, u32>) -> Step {
        if matches!(node.rule, Rule::Custom(_)) {
            self.refuse(format!("{} is written in Python and runs after the function has returned", node.name));
        }
        if lock(&node.hooks).any() {
            self.refuse("it registers a hook on a gradient");
        }
        let released = node.is_released();
        let edges = if released {
            SmallVec::new()
        } else {
            node.edges.iter().map(|e| e.as_ref().and_then(|e| self.edge_of(e, numbers))).collect()
        };
        let values = node.saved_values();
        let saved = values.map(|values| values.iter().filter_map(|s| self.saved_of(s, numbers)).collect());
        Step { name: node.name, rule: node.rule.clone(), edges, outputs: node.outputs.clone(), saved }
    }

    /// A kept value, where a replay can find it.
    fn saved_of(&mut self, saved: &Saved, numbers: &HashMap<*const GradNode, u32>) -> Option<SavedRef> {
        let Held::Here(window) = &saved.value else {
            self.refuse("saved_tensors_hooks are active");
            return None;
        };
        if window.counter.is_some() || window.cell.version() != window.version {
            self.refuse("a value that a gradient needs was overwritten");
        }
        let grad = match &saved.grad {
            SavedGrad::Constant => SavedGradRef::Constant,
            SavedGrad::Output(i) => SavedGradRef::Output(*i),
            SavedGrad::Input(None, _) => SavedGradRef::Nothing,
            SavedGrad::Input(Some(meta), _) if meta.capture == self.id => {
                let edge = meta.state().grad_fn.clone();
                SavedGradRef::Own(edge.and_then(|e| self.edge_of(&e, numbers)))
            }
            SavedGrad::Input(Some(meta), _) => SavedGradRef::Outside(self.meta_name(meta)),
        };
        Some(SavedRef { cell: self.name(&window.cell), layout: window.layout.clone(), dtype: window.dtype, grad })
    }
}

/// What a replay has found and made so far.
pub struct Surroundings<'a> {
    pub args: &'a [Tensor],
    pub cells: &'a [Arc<Cell>],
    /// How far the windows of each argument lie from where they lay in the capture, in elements.
    pub shifts: &'a [isize],
    /// The gradients that there were when the replay began.
    pub before: &'a [(MetaRef, Tensor)],
}

impl Surroundings<'_> {
    /// The gradient that a tensor had when the replay began.
    pub fn grad(&self, of: &MetaRef) -> Result<&Tensor> {
        let found = self.before.iter().find(|(other, _)| other.is(of));
        found.map(|(_, g)| g).ok_or_else(|| Error::Internal("a replay misses a .grad that its capture found".into()))
    }

    pub fn cell(&self, name: &CellRef) -> Result<Arc<Cell>> {
        match name {
            CellRef::Arg(i) => Ok(self.args[*i as usize].cell().clone()),
            CellRef::Own(k) => Ok(self.cells[*k as usize].clone()),
            CellRef::Cell(c) => Ok(c.clone()),
            CellRef::Grad(m) => Ok(self.grad(m)?.cell().clone()),
        }
    }

    /// How far windows on a storage have moved since the capture.
    pub fn shift(&self, name: &CellRef) -> isize {
        if let CellRef::Arg(i) = name { self.shifts[*i as usize] } else { 0 }
    }

    /// The edge to where a gradient goes.
    fn edge(&self, steps: &[Arc<GradNode>], name: &GradRef) -> Option<GradEdge> {
        match name {
            GradRef::Step(n, output) => Some(GradEdge { node: steps[*n as usize].clone(), output: *output }),
            GradRef::Arg(i) => self.args[*i as usize].gradient_edge(),
            GradRef::Leaf(t) => t.gradient_edge(),
        }
    }

    /// Makes the gradient graph anew.
    pub fn steps(&self, history: &History) -> Result<Vec<Arc<GradNode>>> {
        let mut made: Vec<Arc<GradNode>> = Vec::with_capacity(history.steps.len());
        for step in &history.steps {
            let edges = step.edges.iter().map(|e| e.as_ref().and_then(|e| self.edge(&made, e))).collect();
            let node = GradNode::new(step.name, step.rule.clone(), edges, step.outputs.clone());
            match &step.saved {
                None => node.forget_saved(),
                Some(values) => {
                    node.save(values.iter().map(|s| self.saved(&made, s)).collect::<Result<_>>()?)?;
                }
            }
            made.push(Arc::new(node));
        }
        Ok(made)
    }

    fn saved(&self, steps: &[Arc<GradNode>], s: &SavedRef) -> Result<Saved> {
        let grad = match &s.grad {
            SavedGradRef::Constant => SavedGrad::Constant,
            SavedGradRef::Output(i) => SavedGrad::Output(*i),
            SavedGradRef::Nothing => SavedGrad::Input(None, None),
            SavedGradRef::Outside(m) => SavedGrad::Input(Some(m.of(self.args)), None),
            SavedGradRef::Own(edge) => {
                let meta = edge.as_ref().and_then(|e| self.edge(steps, e)).map(AutogradMeta::with_grad_fn);
                SavedGrad::Input(meta.map(Arc::new), None)
            }
        };
        let cell = self.cell(&s.cell)?;
        let version = cell.version();
        let layout = moved(&s.layout, self.shift(&s.cell));
        Ok(Saved { value: Held::Here(Window { cell, layout, dtype: s.dtype, version, counter: None }), grad })
    }

    /// A tensor that the function leaves behind; `base` is what it is a view of.
    pub fn tensor(&self, steps: &[Arc<GradNode>], w: &NewTensor, base: Option<Tensor>) -> Result<Tensor> {
        let edge = w.history.as_ref().and_then(|e| self.edge(steps, e));
        let meta = edge.map(AutogradMeta::with_grad_fn).map(Arc::new);
        let t = Tensor::assemble(self.cell(&w.cell)?, moved(&w.layout, self.shift(&w.cell)), w.dtype, meta, base);
        t.set_origin(w.origin);
        Ok(t)
    }
}

/// A layout `shift` elements further on.
pub fn moved(layout: &Arc<Layout>, shift: isize) -> Arc<Layout> {
    if shift == 0 {
        return layout.clone();
    }
    let offset = layout.offset.wrapping_add_signed(shift);
    Arc::new(Layout { offset, ..(**layout).clone() })
}

/// A cell over a value.
pub fn cell_of(value: &Value) -> Arc<Cell> {
    Cell::new(value.node.clone(), value.out, value.node.device)
}
