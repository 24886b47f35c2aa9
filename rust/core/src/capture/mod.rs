//! What a function does to tensors, written down while it runs, so that [`crate::transform::replay`] can do it again without
//! the function.
//!
//! A capture sees values, not tensors: a node never changes, so a recorded operator is its payload, the values it reads and
//! their layouts. Storages (cells) from outside the function are read and written at known points; whatever the function
//! makes and drops again leaves no trace but its nodes. The hooks below are called where the engine records, reads a cell,
//! writes one, draws numbers or sets a `.grad`; without a capture each costs a look at a thread's number.

mod history;
mod trace;

pub use history::{GradRef, History, MetaRef, Surroundings, cell_of, moved};
pub use trace::{ArgSpec, CellRef, Event, In, NewTensor, Operation, Read, Start, Trace, Wanted};

use crate::error::Result;
use crate::grad::AutogradMeta;
use crate::graph::{Cell, Input, Node, Value};
use crate::op::Op;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::cell::{Cell as StdCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::sync::lock;

/// Makes a value anew, as a tensor over the whole of it.
pub type Maker = Arc<dyn Fn() -> Result<Tensor> + Send + Sync>;
/// Looks at a value and refuses it.
pub type Checker = Arc<dyn Fn(&Tensor) -> Result<()> + Send + Sync>;
/// Reserves numbers of a generator: seed and offset.
pub type Reserver = Arc<dyn Fn() -> (u64, u64) + Send + Sync>;

thread_local! {
    /// The number of the capture that sees what this thread does; 0 without one, or while it is paused.
    static ACTIVE: StdCell<u32> = const { StdCell::new(0) };
    static STATE: RefCell<Option<Box<Capture>>> = const { RefCell::new(None) };
}

/// Cells that were made in a capture and live, by its number.
static LIVE: Mutex<Option<HashMap<u32, usize>>> = Mutex::new(None);

/// The number of the capture that sees what this thread does, or 0. Cells and gradient states keep it.
#[inline]
pub fn current() -> u32 {
    ACTIVE.with(StdCell::get)
}

/// A value's identity.
type Key = (*const Node, u8);

struct Known {
    slot: u32,
    /// Keeps the address from being used for another node.
    _identity: Weak<Node>,
}

struct Capture {
    id: u32,
    args: Vec<Tensor>,
    /// The sequence number of the first gradient node that may be the function's own.
    first_step: u64,
    trace: Trace,
    known: HashMap<Key, Known>,
    /// Cells that are found through something else than themselves.
    names: HashMap<*const Cell, CellRef>,
    /// The value that each cell from outside was last seen with.
    seen: HashMap<*const Cell, Key>,
    /// The slots of values that are the same each time.
    constants: HashSet<u32>,
    inference: bool,
    /// Tensors that are left behind, by identity, with their numbers.
    wanted: HashMap<usize, (u32, Tensor)>,
    dirty: Vec<Arc<Cell>>,
    /// Own cells that became visible outside, in the order of their numbers.
    exposed: Vec<Arc<Cell>>,
    /// Gradient states from outside whose `.grad` was set.
    assigned: Vec<Arc<AutogradMeta>>,
    /// Gradient states whose `.grad` was looked at or set.
    looked_at: HashSet<*const AutogradMeta>,
    /// Gradients that were there: their storages keep their addresses.
    found: Vec<Tensor>,
    refused: Option<String>,
}

/// Starts writing down what this thread does. `args` are the tensors that a replay gets others for.
pub fn begin(args: Vec<Tensor>) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed).max(1);
    let mut names = HashMap::new();
    for (i, t) in args.iter().enumerate() {
        names.entry(Arc::as_ptr(t.cell())).or_insert(CellRef::Arg(i as u32));
    }
    let capture = Capture {
        id,
        first_step: crate::grad::next_step(),
        trace: Trace::new(&args),
        args,
        known: HashMap::new(),
        names,
        seen: HashMap::new(),
        constants: HashSet::new(),
        inference: crate::grad::modes().inference,
        wanted: HashMap::new(),
        dirty: Vec::new(),
        exposed: Vec::new(),
        assigned: Vec::new(),
        looked_at: HashSet::new(),
        found: Vec::new(),
        refused: None,
    };
    STATE.set(Some(Box::new(capture)));
    lock(&LIVE).get_or_insert_default().insert(id, 0);
    ACTIVE.set(id);
}

/// Ends the capture without a result.
pub fn abandon() {
    ACTIVE.set(0);
    if let Some(capture) = STATE.take() {
        forget_live(capture.id);
    }
}

fn forget_live(id: u32) -> usize {
    lock(&LIVE).as_mut().and_then(|live| live.remove(&id)).unwrap_or(0)
}

/// Ends the capture: what the function did, or why that cannot be done again.
pub fn finish(outputs: &[Tensor]) -> std::result::Result<Trace, String> {
    let id = ACTIVE.replace(0);
    let Some(mut capture) = STATE.take() else { return Err("nothing was being captured".into()) };
    capture.sync();
    capture.finish_histories(outputs);
    let live = forget_live(id);
    if live > capture.exposed.len() {
        capture.refuse("a tensor that the function makes is kept outside of it");
    }
    match capture.refused {
        Some(reason) => Err(reason),
        None => {
            capture.trace.settle_lifetimes();
            Ok(capture.trace)
        }
    }
}

/// Whether a capture is open on this thread, be it paused.
pub fn is_open() -> bool {
    STATE.with_borrow(Option::is_some)
}

#[cold]
fn with(f: impl FnOnce(&mut Capture)) {
    STATE.with_borrow_mut(|s| s.as_deref_mut().map(f));
}

// Hooks.

/// Something happens that a replay could not do.
#[inline]
pub fn refuse(reason: impl FnOnce() -> String) {
    if current() != 0 {
        with(|c| c.refuse(reason()));
    }
}

/// A tensor's memory is read. That of a constant may be: it says the same at every call.
#[inline]
pub fn looked_at(t: &Tensor) {
    if current() != 0 {
        let value = t.cell().peek();
        with(|c| {
            let own = !c.is_outside(t.cell()) && matches!(value.node.op, Op::Data);
            if !own || !c.is_constant(&value) {
                c.refuse("it reads the value of a tensor or moves it to another device");
            }
        });
    }
}

/// A cell's value is looked at.
#[inline]
pub fn read(cell: &Arc<Cell>, value: &Value) {
    if current() != 0 {
        with(|c| c.read(cell, value));
    }
}

/// A tensor's storage is about to be looked at or written through this handle.
#[inline]
pub fn reached(t: &Tensor) {
    if current() != 0 {
        with(|c| c.reached(t));
    }
}

/// Where in its storage a tensor lies decides something.
pub fn offset_seen(t: &Tensor) {
    if current() != 0 {
        with(|c| {
            for (spec, arg) in c.trace.args.iter_mut().zip(&c.args) {
                spec.fixed |= Arc::ptr_eq(arg.cell(), t.cell());
            }
        });
    }
}

/// A backward pass runs the step with this sequence number.
#[inline]
pub fn runs_step(sequence: u64) {
    if current() != 0 {
        with(|c| {
            if sequence < c.first_step {
                c.refuse("it runs a backward pass through what was computed before it was called");
            }
        });
    }
}

/// A cell has got a new value.
#[inline]
pub fn written(cell: &Arc<Cell>, value: &Value) {
    if current() != 0 {
        with(|c| c.written(cell, value));
    }
}

/// A node was recorded.
#[inline]
pub fn recorded(node: &Arc<Node>) {
    if current() != 0 {
        with(|c| c.recorded(node));
    }
}

/// A tensor's whole value was made by `maker`, without a node.
#[inline]
pub fn made(t: &Tensor, maker: impl FnOnce() -> Maker) {
    if current() != 0 {
        let value = t.cell().peek();
        with(|c| {
            let slot = c.define(&value);
            c.trace.events.push(Event::Made(maker(), slot));
        });
    }
}

/// A stretch of a generator, told by its seed and offset, was reserved by what `reserver` does again.
#[inline]
pub fn reserved(stream: (u64, u64), reserver: impl FnOnce() -> Reserver) {
    if current() != 0 {
        with(|c| {
            c.trace.streams.push(stream);
            c.trace.events.push(Event::Stream(reserver()));
        });
    }
}

/// Looks at a value, unseen; a replay looks again.
pub fn checked(t: &Tensor, look: impl Fn(&Tensor) -> Result<()> + Send + Sync + 'static) -> Result<()> {
    let id = current();
    if id == 0 {
        return look(t);
    }
    let (value, look): (Value, Checker) = (t.cell().value(), Arc::new(look));
    with(|c| {
        // What the function has done before an error stays done.
        c.sync();
        let read = c.read_of(&value, t);
        c.trace.events.push(Event::Check(look.clone(), read));
    });
    ACTIVE.set(0);
    let result = look(t);
    ACTIVE.set(id);
    result
}

/// Runs, unseen, what a replay has its caller run again under the number that comes with the result.
pub fn host<T>(work: impl FnOnce() -> T) -> (u32, T) {
    let id = current();
    let mut number = 0;
    with(|c| {
        c.sync();
        number = c.trace.hosts;
        c.trace.hosts += 1;
        c.trace.events.push(Event::Host(number));
        c.seen.clear();
    });
    ACTIVE.set(0);
    let result = work();
    ACTIVE.set(id);
    (number, result)
}

/// A tensor's `.grad` is looked at.
#[inline]
pub fn grad_read(meta: &Arc<AutogradMeta>, grad: Option<&Tensor>) {
    if current() != 0 {
        with(|c| c.grad_read(meta, grad));
    }
}

/// A tensor's `.grad` is about to be set, or `dropped`.
#[inline]
pub fn grad_set(meta: &Arc<AutogradMeta>, dropped: bool) {
    if current() != 0 {
        with(|c| c.grad_set(meta, dropped));
    }
}

/// A cell that was made in capture `id` begins or ceases to live.
pub fn count_cell(id: u32, more: bool) {
    if let Some(n) = lock(&LIVE).as_mut().and_then(|live| live.get_mut(&id)) {
        *n = if more { *n + 1 } else { n.saturating_sub(1) };
    }
}

impl Capture {
    fn refuse(&mut self, reason: impl Into<String>) {
        self.refused.get_or_insert(reason.into());
    }

    fn is_constant(&mut self, value: &Value) -> bool {
        let slot = self.slot_of(value);
        self.constants.contains(&slot)
    }

    fn is_outside(&self, cell: &Arc<Cell>) -> bool {
        cell.capture != self.id || self.names.contains_key(&Arc::as_ptr(cell))
    }

    /// How a replay finds a cell; cells of the function's own get a number.
    fn name(&mut self, cell: &Arc<Cell>) -> CellRef {
        if let Some(name) = self.names.get(&Arc::as_ptr(cell)) {
            return name.clone();
        }
        if cell.capture != self.id {
            return CellRef::Cell(cell.clone());
        }
        let name = CellRef::Own(self.exposed.len() as u32);
        self.exposed.push(cell.clone());
        self.names.insert(Arc::as_ptr(cell), name.clone());
        let value = cell.peek();
        self.seen.insert(Arc::as_ptr(cell), (Arc::as_ptr(&value.node), value.out));
        let first = self.slot_of(&value);
        self.trace.events.push(Event::Cell(first));
        name
    }

    /// A slot for a new value.
    fn define(&mut self, value: &Value) -> u32 {
        let slot = self.trace.slots;
        self.trace.slots += 1;
        let known = Known { slot, _identity: Arc::downgrade(&value.node) };
        self.known.insert((Arc::as_ptr(&value.node), value.out), known);
        slot
    }

    /// The slot of a value. One that nobody has told of is a constant: it was made outside of the engine's operators.
    fn slot_of(&mut self, value: &Value) -> u32 {
        if let Some(known) = self.known.get(&(Arc::as_ptr(&value.node), value.out)) {
            return known.slot;
        }
        if value.node.buffer(value.out).is_none_or(|b| b.is_outside()) {
            self.refuse("it reads memory that another library owns, or work of another thread");
        }
        let slot = self.define(value);
        self.constants.insert(slot);
        self.trace.events.push(Event::Constant(value.clone(), slot));
        slot
    }

    fn read_of(&mut self, value: &Value, t: &Tensor) -> Read {
        Read { slot: self.slot_of(value), dtype: t.dtype(), layout: t.layout().clone() }
    }

    fn read(&mut self, cell: &Arc<Cell>, value: &Value) {
        let key = (Arc::as_ptr(&value.node), value.out);
        if !self.is_outside(cell) || self.seen.get(&Arc::as_ptr(cell)) == Some(&key) {
            return;
        }
        self.seen.insert(Arc::as_ptr(cell), key);
        let name = self.name(cell);
        let same = self.known.get(&key).map(|k| k.slot);
        let slot = self.define(value);
        let spec = value.node.outs[value.out as usize].clone();
        self.trace.events.push(Event::Load { cell: name, slot, same, spec, written: false });
    }

    fn written(&mut self, cell: &Arc<Cell>, value: &Value) {
        if !self.is_outside(cell) {
            return;
        }
        // The old value may have been read by nobody: its layout is what must be the same again.
        let before = cell.peek();
        self.read(cell, &before);
        let key = Arc::as_ptr(cell);
        self.seen.insert(key, (Arc::as_ptr(&value.node), value.out));
        self.slot_of(value);
        if !self.dirty.iter().any(|c| Arc::ptr_eq(c, cell)) {
            self.dirty.push(cell.clone());
        }
    }

    fn recorded(&mut self, node: &Arc<Node>) {
        let given = node.inputs().clone();
        let mut inputs: SmallVec<[In; 3]> = SmallVec::new();
        for input in &given {
            inputs.push(match input {
                Input::Scalar(bits, dtype) => In::Number(*bits, *dtype),
                Input::Tensor(e) => {
                    let slot = self.slot_of(&Value { node: e.node.clone(), out: e.out });
                    In::Value(Read { slot, dtype: e.dtype, layout: e.layout.clone() })
                }
            });
        }
        let first = self.trace.slots;
        for out in 0..node.outs.len() {
            self.define(&Value { node: node.clone(), out: out as u8 });
        }
        let stream = self.stream_of(node, &inputs);
        let (op, outs, device) = (node.op.clone(), node.outs.clone(), node.device);
        self.trace.events.push(Event::Node(Operation { op, inputs, outs, device, first, stream }));
    }

    /// Which of the reserved stretches a node draws from.
    fn stream_of(&self, node: &Node, inputs: &[In]) -> Option<u32> {
        let Op::Ew(op) = node.op else { return None };
        let [In::Number(seed, _), In::Number(offset, _), ..] = inputs else { return None };
        let found = self.trace.streams.iter().rposition(|s| *s == (*seed, *offset));
        found.filter(|_| op.is_random()).map(|i| i as u32)
    }

    /// Storages of arguments and gradients are found through these, so nothing else may lead to them.
    fn reached(&mut self, t: &Tensor) {
        let stranger = match self.names.get(&Arc::as_ptr(t.cell())) {
            Some(CellRef::Arg(_)) => {
                let on_it = || self.args.iter().filter(|a| Arc::ptr_eq(a.cell(), t.cell()));
                let inside =
                    |a: &Tensor| a.layout().offset <= t.layout().offset && t.layout().end() <= a.layout().end();
                if t.capture() == self.id { !on_it().any(inside) } else { !on_it().any(|a| a.ptr_eq(t)) }
            }
            Some(CellRef::Grad(_)) => t.capture() != self.id && !self.found.iter().any(|g| g.ptr_eq(t)),
            _ => false,
        };
        if stranger {
            self.refuse("it reaches the storage of an argument or a .grad through another tensor");
        }
    }

    /// Writes down the values that cells and gradients from outside have now.
    fn sync(&mut self) {
        for meta in std::mem::take(&mut self.assigned) {
            let grad = meta.state().grad.clone();
            let wanted = match &grad {
                Some(g) if g.requires_grad() => {
                    self.refuse("a .grad has a history of its own (create_graph=True)");
                    None
                }
                Some(g) => Some(self.wanted(g, &HashMap::new())),
                None => None,
            };
            let meta = self.meta_name(&meta);
            self.trace.events.push(Event::Grad(meta, wanted));
        }
        let mut written = Vec::new();
        for cell in std::mem::take(&mut self.dirty) {
            let value = cell.peek();
            let (cell, slot) = (self.name(&cell), self.slot_of(&value));
            written.push(cell.clone());
            self.trace.events.push(Event::Write { cell, slot });
        }
        if !written.is_empty() {
            self.trace.note_written(&written);
        }
    }

    fn grad_read(&mut self, meta: &Arc<AutogradMeta>, grad: Option<&Tensor>) {
        if meta.capture == self.id || !self.looked_at.insert(Arc::as_ptr(meta)) {
            return;
        }
        let name = self.meta_name(meta);
        if let Some(g) = grad {
            self.names.entry(Arc::as_ptr(g.cell())).or_insert(CellRef::Grad(name.clone()));
            self.found.push(g.clone());
        }
        let layout = grad.map(|g| (g.dtype(), g.layout().clone()));
        self.trace.starts.push(Start { meta: name, grad: layout, kept: true });
    }

    fn grad_set(&mut self, meta: &Arc<AutogradMeta>, dropped: bool) {
        if meta.capture == self.id {
            return;
        }
        // What it was does not matter any more.
        self.looked_at.insert(Arc::as_ptr(meta));
        if dropped {
            // At once, so that the memory of what a replay finds is free for what comes.
            let name = self.meta_name(meta);
            self.trace.events.push(Event::Grad(name, None));
        }
        if !self.assigned.iter().any(|m| Arc::ptr_eq(m, meta)) {
            self.assigned.push(meta.clone());
        }
    }
}
