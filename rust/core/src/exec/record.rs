//! Recording: one recorder per thread and device collects pending nodes in program order and flushes them by budget.

use super::failures::Failures;
use super::{COUNTERS, HOOKS, OPTIONS, byte_budget, count, pairs, run};
use crate::capture;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Edge, Input, Inputs, Node, OutSpec, lock};
use crate::op::Op;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, RwLock};

/// A thread's pending work on a device. It outlives its thread while work is pending.
pub struct Recorder {
    id: u32,
    device: Device,
    pending: Mutex<Pending>,
}

#[derive(Default)]
pub struct Pending {
    pub nodes: Vec<Arc<Node>>,
    pub bytes: usize,
    /// Recorded before `nodes`.
    pub failed: Failures,
}

/// Elementwise work that takes less than a microsecond.
const BRIEF_NODES: usize = 4;
const BRIEF_BYTES: usize = 16 << 10;

/// Whose failure a flush raises.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// Nobody's: the flush only makes room or order.
    Nothing,
    Everything,
    Value(&'a Arc<Node>),
}

impl Pending {
    /// Whether what is pending must run before a node on the same device with results of `bytes` joins it.
    fn is_full(&self, bytes: usize, device: Device) -> bool {
        self.nodes.len() >= OPTIONS.flush_every.load(Ordering::Relaxed)
            || (!self.nodes.is_empty() && self.bytes.saturating_add(bytes) > byte_budget(device))
    }

    /// Whether running what is pending takes no longer than giving the interpreter's lock away and taking it back.
    fn is_brief(&self, device: Device) -> bool {
        let simple = |n: &Arc<Node>| matches!(n.op, Op::Ew(_) | Op::Cast | Op::Bits);
        device == Device::Cpu
            && self.nodes.len() <= BRIEF_NODES
            && self.bytes <= BRIEF_BYTES
            && self.failed.is_empty()
            && self.nodes.iter().all(simple)
    }
}

static NEXT_ID: AtomicU32 = AtomicU32::new(1);
static RECORDERS: LazyLock<RwLock<Vec<Arc<Recorder>>>> = LazyLock::new(RwLock::default);

impl Recorder {
    fn new(device: Device) -> Arc<Recorder> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let recorder = Arc::new(Recorder { id, device, pending: Mutex::default() });
        RECORDERS.write().unwrap_or_else(std::sync::PoisonError::into_inner).push(recorder.clone());
        recorder
    }
}

/// A thread's recorders: the CPU's, and one for each GPU it has used.
struct Own {
    cpu: Arc<Recorder>,
    gpus: RefCell<Vec<Arc<Recorder>>>,
}

impl Own {
    fn on(&self, device: Device) -> Arc<Recorder> {
        let mut gpus = self.gpus.borrow_mut();
        if let Some(found) = gpus.iter().find(|r| r.device == device) {
            return found.clone();
        }
        let recorder = Recorder::new(device);
        gpus.push(recorder.clone());
        recorder
    }

    fn all(&self) -> SmallVec<[Arc<Recorder>; 2]> {
        std::iter::once(self.cpu.clone()).chain(self.gpus.borrow().iter().cloned()).collect()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // The thread ends: nodes nobody holds are dead, the rest can still be flushed by id.
        let unused = |r: &Arc<Recorder>| {
            let pending = lock(&r.pending);
            pending.nodes.iter().all(|n| Arc::strong_count(n) == 1) && pending.failed.is_unheld()
        };
        let gone: SmallVec<[u32; 2]> = self.all().iter().filter(|r| unused(r)).map(|r| r.id).collect();
        let mut all = RECORDERS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.retain(|r| !gone.contains(&r.id));
    }
}

thread_local! {
    static CURRENT: Own = Own { cpu: Recorder::new(Device::Cpu), gpus: RefCell::default() };
}

/// Records a node and returns a tensor per output. Nodes that read or keep pinned memory run before this returns.
pub fn record(op: Op, mut inputs: Inputs, outs: SmallVec<[OutSpec; 1]>) -> Result<SmallVec<[Tensor; 1]>> {
    let device = device_of(&op, &mut inputs)?;
    record_all_on(op, inputs, outs, device)
}

/// Records an operator with one output.
#[inline]
pub fn record_one(op: Op, mut inputs: Inputs, out: OutSpec) -> Result<Tensor> {
    let device = device_of(&op, &mut inputs)?;
    record_on(op, inputs, out, device)
}

/// [`record`] for an operator that has no tensors among its inputs, or only those of `device`.
pub fn record_all_on(
    op: Op,
    inputs: Inputs,
    outs: SmallVec<[OutSpec; 1]>,
    device: Device,
) -> Result<SmallVec<[Tensor; 1]>> {
    if pairs::concerns(&inputs, &outs) {
        return pairs::record(op, inputs, &outs, device);
    }
    let node = add(op, inputs, outs, device)?;
    Ok((0..node.outs.len()).map(|i| Tensor::from_node(node.clone(), i as u8, device)).collect())
}

/// Records an operator with one output that has no tensors among its inputs, or only those of `device`.
#[inline]
pub fn record_on(op: Op, inputs: Inputs, out: OutSpec, device: Device) -> Result<Tensor> {
    if pairs::concerns(&inputs, std::slice::from_ref(&out)) {
        return Ok(pairs::record(op, inputs, &[out], device)?.swap_remove(0));
    }
    Ok(Tensor::from_node(add(op, inputs, SmallVec::from_buf([out]), device)?, 0, device))
}

/// The device of the inputs, which must be one. Tensors without dims on the CPU count as numbers and are brought along.
fn device_of(op: &Op, inputs: &mut Inputs) -> Result<Device> {
    let mut devices = inputs.iter().filter_map(|i| match i {
        Input::Tensor(e) => Some(e.node.device),
        Input::Scalar(..) => None,
    });
    let Some(first) = devices.next() else { return Ok(Device::Cpu) };
    if devices.all(|d| d == first) { Ok(first) } else { unite(op, inputs) }
}

#[cold]
fn unite(op: &Op, inputs: &mut Inputs) -> Result<Device> {
    let tensors = || inputs.iter().filter_map(|i| if let Input::Tensor(e) = i { Some(e) } else { None });
    let is_number = |e: &Edge| e.node.device == Device::Cpu && e.layout.rank() == 0;
    let mut fixed = tensors().filter(|e| !is_number(e)).map(|e| e.node.device);
    let device = fixed.next().unwrap_or(Device::Cpu);
    if let Some(other) = fixed.find(|d| *d != device) {
        return Err(Error::Runtime(format!(
            "Expected all tensors to be on the same device, but found at least two devices, {device} and {other}! ({})",
            op.name()
        )));
    }
    for input in inputs.iter_mut() {
        if let Input::Tensor(e) = input
            && e.node.device != device
        {
            *input = Input::Tensor(super::transfer::edge(e, device)?);
        }
    }
    Ok(device)
}

/// Records a node whose inputs are known to fit. On the device `meta` its results are all there is to it.
pub fn add(op: Op, inputs: Inputs, outs: SmallVec<[OutSpec; 1]>, device: Device) -> Result<Arc<Node>> {
    let mut bytes = 0usize;
    for o in &outs {
        bytes = bytes.saturating_add(o.layout.shape.checked_numel()?.saturating_mul(o.dtype.size()));
    }
    if device == Device::Meta {
        return Ok(without_memory(outs));
    }
    crate::os::check_allocation(bytes, || outs[0].layout.shape.to_string())?;
    if matches!(op, Op::WriteView) {
        bytes = 0; // in place
    }
    count(&COUNTERS.nodes, 1);
    CURRENT.with(|own| match device {
        Device::Cpu => join(&own.cpu, op, inputs, outs, bytes),
        Device::Gpu(_) => {
            outs.iter().try_for_each(|o| super::transfer::check_dtype(o.dtype, device))?;
            join(&own.on(device), op, inputs, outs, bytes)
        }
        Device::Meta => Err(super::plan::nothing_to_run()),
    })
}

/// What an operator on the device `meta` yields.
#[cold]
fn without_memory(outs: SmallVec<[OutSpec; 1]>) -> Arc<Node> {
    capture::refuse(|| "it makes a tensor on the device meta".into());
    Arc::new(Node::without_memory(outs))
}

fn join(
    recorder: &Arc<Recorder>,
    op: Op,
    inputs: Inputs,
    outs: SmallVec<[OutSpec; 1]>,
    bytes: usize,
) -> Result<Arc<Node>> {
    let mut pinned = false;
    for input in &inputs {
        let Input::Tensor(e) = input else { continue };
        match e.node.buffer(e.out) {
            Some(b) => pinned |= b.is_pinned(),
            None if e.node.owner != recorder.id => flush_value(&e.node)?,
            None => {}
        }
    }
    let node = Arc::new(Node::pending(op, inputs, outs, recorder.device, recorder.id));
    capture::recorded(&node);
    let mut pending = lock(&recorder.pending);
    if pending.is_full(bytes, recorder.device) {
        drop(pending);
        // Before this node joins: its caller has yet to repoint the cell it writes to, and would be seen as a reader
        // of the old value.
        flush_recorder(recorder, Wanted::Nothing)?;
        pending = lock(&recorder.pending);
    }
    pending.nodes.push(node.clone());
    pending.bytes = pending.bytes.saturating_add(bytes);
    drop(pending);
    if pinned {
        flush_recorder(recorder, Wanted::Value(&node))?;
    }
    Ok(node)
}

/// How many nodes an operator may record, generously.
const ROOM: usize = 64;

/// Runs now what recording an operator on these tensors might have to run in its middle: work that is pending in other
/// threads, and this thread's if it is nearly full. Up to the operator's last node no flush then lets another thread of the
/// interpreter in, so that reading a storage and writing it is one step.
pub fn settle<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<()> {
    let tensors: SmallVec<[&Tensor; 4]> = tensors.into_iter().collect();
    let mine = CURRENT.with(Own::all);
    let every = OPTIONS.flush_every.load(Ordering::Relaxed);
    let nearly_full = |r: &Arc<Recorder>| every > ROOM && lock(&r.pending).nodes.len() + ROOM >= every;
    // A flush lets other threads in, which may write to the tensors again: until nothing had to be run.
    loop {
        let mut ran = false;
        for t in &tensors {
            let node = t.cell().peek().node;
            if node.is_pending() && !mine.iter().any(|r| r.id == node.owner) {
                flush_value(&node)?;
                ran = true;
            }
        }
        for r in mine.iter().filter(|r| nearly_full(r)) {
            flush_recorder(r, Wanted::Nothing)?;
            ran = true;
        }
        if !ran {
            return Ok(());
        }
    }
}

/// Runs everything this thread has recorded; what fails is raised here, once.
pub fn flush_current() -> Result<()> {
    let mut result = Ok(());
    for recorder in CURRENT.with(Own::all) {
        // One error is raised at a time: what fails on further devices is told by the next flush.
        let wanted = if result.is_ok() { Wanted::Everything } else { Wanted::Nothing };
        let done = flush_recorder(&recorder, wanted);
        if matches!(done, Err(Error::Interrupted)) {
            return done;
        }
        result = result.and(done);
    }
    result
}

/// Runs everything this thread has recorded. What fails is raised where it is read.
pub fn flush_quietly() -> Result<()> {
    CURRENT.with(Own::all).iter().try_for_each(|r| flush_recorder(r, Wanted::Nothing))
}

/// Computes a pending node, in whichever thread it was recorded, with all that was recorded there.
pub fn flush_value(node: &Arc<Node>) -> Result<()> {
    let recorder = {
        let all = RECORDERS.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.iter().find(|r| r.id == node.owner).cloned()
    };
    match recorder {
        Some(r) => flush_recorder(&r, Wanted::Value(node)),
        None => Err(Error::Internal(format!("pending work of recorder {} was lost", node.owner))),
    }
}

fn flush_recorder(recorder: &Arc<Recorder>, wanted: Wanted) -> Result<()> {
    // Who has the interpreter's lock must not wait for another thread's flush, which may want that lock.
    if let Ok(mut pending) = recorder.pending.try_lock() {
        if pending.nodes.is_empty() && pending.failed.is_empty() {
            return Ok(());
        }
        if pending.is_brief(recorder.device) {
            return run::run(&mut pending, wanted);
        }
    }
    let mut result = Ok(());
    let mut work = || {
        // The lock is held while running: a second reader of the same work waits for it and finds it done.
        let mut pending = lock(&recorder.pending);
        result = run::run(&mut pending, wanted);
    };
    match HOOKS.get() {
        Some(hooks) => (hooks.without_lock)(&mut work),
        None => work(),
    }
    result
}

/// In a forked child: pending work of the parent's other threads is gone; this thread's stays.
pub fn after_fork_in_child() {
    let mine = CURRENT.with(Own::all);
    if let Ok(mut all) = RECORDERS.try_write() {
        all.retain(|r| mine.iter().any(|m| m.id == r.id));
    }
}
