//! The written form of a function: events in order, over numbered values.

use super::history::{GradRef, History, MetaRef};
use super::{Checker, Maker, Reserver};
use crate::device::Device;
use crate::dtype::DType;
use crate::grad::Origin;
use crate::graph::{Cell, OutSpec, Value};
use crate::op::Op;
use crate::shape::Layout;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::collections::HashSet;
use std::sync::Arc;

/// A value as it is read.
#[derive(Clone)]
pub struct Read {
    pub slot: u32,
    pub dtype: DType,
    pub layout: Arc<Layout>,
}

/// An input of a recorded node.
#[derive(Clone)]
pub enum In {
    Value(Read),
    Number(u64, DType),
}

/// How a replay finds a storage.
#[derive(Clone)]
pub enum CellRef {
    /// That of an argument.
    Arg(u32),
    /// That of a `.grad`, as it is when the replay begins.
    Grad(MetaRef),
    /// One that the replay makes.
    Own(u32),
    Cell(Arc<Cell>),
}

impl CellRef {
    fn is(&self, other: &CellRef) -> bool {
        match (self, other) {
            (CellRef::Arg(a), CellRef::Arg(b)) | (CellRef::Own(a), CellRef::Own(b)) => a == b,
            (CellRef::Cell(a), CellRef::Cell(b)) => Arc::ptr_eq(a, b),
            (CellRef::Grad(a), CellRef::Grad(b)) => a.is(b),
            _ => false,
        }
    }
}

/// A tensor that the function leaves behind.
#[derive(Clone)]
pub enum Wanted {
    /// An argument, or what it is a view of.
    Arg(u32),
    BaseOfArg(u32),
    /// The `.grad` that a tensor from outside has when the replay begins.
    Grad(MetaRef),
    /// Another tensor from outside.
    Known(Tensor),
    New(NewTensor),
}

/// A tensor that a replay makes.
#[derive(Clone)]
pub struct NewTensor {
    pub cell: CellRef,
    pub layout: Arc<Layout>,
    pub dtype: DType,
    /// Among [`Trace::tensors`].
    pub base: Option<u32>,
    pub origin: Origin,
    pub history: Option<GradRef>,
}

/// What must be so when a replay begins: a `.grad` that the function looks at, or finds none.
pub struct Start {
    pub meta: MetaRef,
    pub grad: Option<(DType, Arc<Layout>)>,
    /// Whether its tensor is needed once the values that are read at the beginning are known.
    pub kept: bool,
}

/// A recorded operator; its outputs are the slots from `first` on.
pub struct Operation {
    pub op: Op,
    pub inputs: SmallVec<[In; 3]>,
    pub outs: SmallVec<[OutSpec; 1]>,
    pub device: Device,
    pub first: u32,
    /// The stretch of a generator that the first two numbers name.
    pub stream: Option<u32>,
}

pub enum Event {
    Node(Operation),
    Constant(Value, u32),
    Made(Maker, u32),
    /// The next stretch of a generator.
    Stream(Reserver),
    Check(Checker, Read),
    /// A storage's value becomes a slot's. `same` is a slot that held this very value. Where the function writes the storage
    /// as well, what it held must be laid out as `spec`.
    Load {
        cell: CellRef,
        slot: u32,
        same: Option<u32>,
        spec: OutSpec,
        written: bool,
    },
    /// The next own cell begins with this value.
    Cell(u32),
    Write {
        cell: CellRef,
        slot: u32,
    },
    /// A `.grad` becomes one of [`Trace::tensors`], or nothing.
    Grad(MetaRef, Option<u32>),
    /// A part of the function that runs each time.
    Host(u32),
}

/// A captured function.
pub struct Trace {
    pub events: Vec<Event>,
    /// After each event, the slots that nobody needs any more.
    pub done: Vec<SmallVec<[u32; 2]>>,
    pub slots: u32,
    pub hosts: u32,
    /// Seed and offset of the stretches that the capture saw reserved.
    pub streams: Vec<(u64, u64)>,
    pub args: Vec<ArgSpec>,
    pub starts: Vec<Start>,
    pub history: History,
    /// The tensors that are left behind, views after what they are views of.
    pub tensors: Vec<Wanted>,
    /// Those of them that are the results.
    pub outputs: Vec<u32>,
    /// How many storages a replay makes.
    pub own_cells: usize,
    /// The storages from outside that the function reads or writes.
    pub outside: HashSet<usize>,
}

/// What an argument must be like.
pub struct ArgSpec {
    pub dtype: DType,
    pub device: Device,
    pub layout: Arc<Layout>,
    pub requires_grad: bool,
    pub is_leaf: bool,
    /// The first argument that is the same tensor, or shares its storage.
    pub tensor: u32,
    pub storage: u32,
    /// Whether windows must lie at the same place of their storage.
    pub fixed: bool,
    pub is_inference: bool,
    pub is_hooked: bool,
}

impl ArgSpec {
    fn of(i: usize, args: &[Tensor]) -> ArgSpec {
        let t = &args[i];
        let first = |same: &dyn Fn(&Tensor) -> bool| args.iter().position(same).unwrap_or(i) as u32;
        ArgSpec {
            dtype: t.dtype(),
            device: t.device(),
            layout: t.layout().clone(),
            requires_grad: t.requires_grad(),
            is_leaf: t.is_leaf(),
            tensor: first(&|o| o.ptr_eq(t)),
            storage: first(&|o| Arc::ptr_eq(o.cell(), t.cell())),
            fixed: false,
            is_inference: t.is_inference(),
            is_hooked: t.listeners() > 0,
        }
    }

    /// Whether the arguments' `i`-th will do. Windows on a storage may lie elsewhere in it.
    pub fn admits(&self, i: usize, args: &[Tensor]) -> bool {
        let t = &args[i];
        let (a, b) = (&self.layout, t.layout());
        let shared = self.storage as usize != i || args.iter().skip(i + 1).any(|o| Arc::ptr_eq(o.cell(), t.cell()));
        self.dtype == t.dtype()
            && self.device == t.device()
            && a.shape == b.shape
            && a.strides == b.strides
            && (a.offset == b.offset || !(self.fixed || shared))
            && self.requires_grad == t.requires_grad()
            && self.is_leaf == t.is_leaf()
            && self.is_inference == t.is_inference()
            && self.is_hooked == (t.listeners() > 0)
            && args.iter().position(|o| o.ptr_eq(t)) == Some(self.tensor as usize)
            && args.iter().position(|o| Arc::ptr_eq(o.cell(), t.cell())) == Some(self.storage as usize)
    }
}

impl Trace {
    pub(super) fn new(args: &[Tensor]) -> Trace {
        Trace {
            events: Vec::new(),
            done: Vec::new(),
            slots: 0,
            hosts: 0,
            streams: Vec::new(),
            args: (0..args.len()).map(|i| ArgSpec::of(i, args)).collect(),
            starts: Vec::new(),
            history: History::default(),
            tensors: Vec::new(),
            outputs: Vec::new(),
            own_cells: 0,
            outside: HashSet::new(),
        }
    }

    /// The function writes these storages: what they held must be laid out as it was.
    pub(super) fn note_written(&mut self, cells: &[CellRef]) {
        for cell in cells {
            if let CellRef::Arg(i) = cell {
                self.args[*i as usize].fixed = true;
            }
        }
        for event in &mut self.events {
            if let Event::Load { cell, written, .. } = event {
                *written |= cells.iter().any(|c| c.is(cell));
            }
        }
    }

    /// Finds the last event that needs each slot.
    pub(super) fn settle_lifetimes(&mut self) {
        let mut last = vec![usize::MAX; self.slots as usize];
        for (at, event) in self.events.iter().enumerate() {
            event.slots(|s| last[s as usize] = at);
        }
        self.own_cells = self.events.iter().filter(|e| matches!(e, Event::Cell(_))).count();
        let outside = |e: &Event| match e {
            Event::Load { cell: CellRef::Cell(c), .. } | Event::Write { cell: CellRef::Cell(c), .. } => {
                Some(Arc::as_ptr(c) as usize)
            }
            _ => None,
        };
        self.outside = self.events.iter().filter_map(outside).collect();
        self.done = vec![SmallVec::new(); self.events.len()];
        for (slot, at) in last.into_iter().enumerate() {
            if at != usize::MAX {
                self.done[at].push(slot as u32);
            }
        }
        self.settle_gradients();
    }

    /// Finds the gradients from before that something else than a load at the beginning leads to.
    fn settle_gradients(&mut self) {
        let mut early = true;
        let in_events = self.events.iter().filter_map(|e| match e {
            Event::Load { cell, .. } if !early => Some(cell),
            Event::Write { cell, .. } => Some(cell),
            Event::Host(_) => {
                early = false;
                None
            }
            _ => None,
        });
        let mut kept: Vec<MetaRef> = Vec::new();
        let mut keep = |cell: &CellRef| kept.extend(if let CellRef::Grad(m) = cell { Some(m.clone()) } else { None });
        in_events.chain(self.history.cells()).for_each(&mut keep);
        for wanted in &self.tensors {
            match wanted {
                Wanted::New(new) => keep(&new.cell),
                Wanted::Grad(m) => keep(&CellRef::Grad(m.clone())),
                Wanted::Arg(_) | Wanted::BaseOfArg(_) | Wanted::Known(_) => {}
            }
        }
        for start in &mut self.starts {
            start.kept = kept.iter().any(|m| m.is(&start.meta));
        }
    }
}

impl Event {
    /// The slots that the event reads or fills.
    fn slots(&self, mut f: impl FnMut(u32)) {
        match self {
            Event::Node(Operation { inputs, outs, first, .. }) => {
                for i in inputs {
                    if let In::Value(r) = i {
                        f(r.slot);
                    }
                }
                (0..outs.len() as u32).for_each(|k| f(first + k));
            }
            Event::Constant(_, s) | Event::Made(_, s) | Event::Cell(s) => f(*s),
            Event::Check(_, r) => f(r.slot),
            Event::Load { slot, same, .. } => {
                f(*slot);
                same.iter().for_each(|s| f(*s));
            }
            Event::Write { slot, .. } => f(*slot),
            Event::Grad(..) | Event::Host(_) | Event::Stream(_) => {}
        }
    }
}
