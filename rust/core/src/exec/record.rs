//! Recording: one recorder per thread collects pending nodes in program order and flushes them by budget.

use super::{BYTE_BUDGET, COUNTERS, HOOKS, OPTIONS, count, run};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Input, Inputs, Node, OutSpec, lock};
use crate::op::Op;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, RwLock};

/// A thread's pending work. It outlives its thread while work is pending.
pub struct Recorder {
    id: u32,
    pending: Mutex<Pending>,
}

#[derive(Default)]
pub struct Pending {
    pub nodes: Vec<Arc<Node>>,
    pub bytes: usize,
}

impl Pending {
    /// Whether what is pending must run before a node with results of `bytes` joins it.
    fn is_full(&self, bytes: usize) -> bool {
        self.nodes.len() >= OPTIONS.flush_every.load(Ordering::Relaxed)
            || (!self.nodes.is_empty() && self.bytes.saturating_add(bytes) > BYTE_BUDGET)
    }
}

static NEXT_ID: AtomicU32 = AtomicU32::new(1);
static RECORDERS: LazyLock<RwLock<Vec<Arc<Recorder>>>> = LazyLock::new(RwLock::default);

struct Own(Arc<Recorder>);

impl Drop for Own {
    fn drop(&mut self) {
        // The thread ends: nodes nobody holds are dead, the rest can still be flushed by id.
        if lock(&self.0.pending).nodes.iter().all(|n| Arc::strong_count(n) == 1) {
            let mut all = RECORDERS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            all.retain(|r| r.id != self.0.id);
        }
    }
}

thread_local! {
    static CURRENT: Own = {
        let recorder = Arc::new(Recorder { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), pending: Mutex::default() });
        RECORDERS.write().unwrap_or_else(std::sync::PoisonError::into_inner).push(recorder.clone());
        Own(recorder)
    };
}

/// Records a node and returns a tensor per output. Nodes that read or keep pinned memory run before this returns.
pub fn record(op: Op, inputs: Inputs, outs: SmallVec<[OutSpec; 1]>) -> Result<SmallVec<[Tensor; 1]>> {
    let node = add(op, inputs, outs)?;
    Ok((0..node.outs.len()).map(|i| Tensor::from_node(node.clone(), i as u8, Device::Cpu)).collect())
}

/// Records an operator with one output.
#[inline]
pub fn record_one(op: Op, inputs: Inputs, out: OutSpec) -> Result<Tensor> {
    Ok(Tensor::from_node(add(op, inputs, SmallVec::from_buf([out]))?, 0, Device::Cpu))
}

fn add(op: Op, inputs: Inputs, outs: SmallVec<[OutSpec; 1]>) -> Result<Arc<Node>> {
    let mut bytes = 0usize;
    for o in &outs {
        bytes = bytes.saturating_add(o.layout.numel().saturating_mul(o.dtype.size()));
    }
    crate::os::check_allocation(bytes, || outs[0].layout.shape.to_string())?;
    if matches!(op, Op::WriteView) {
        bytes = 0; // in place
    }
    count(&COUNTERS.nodes, 1);
    CURRENT.with(|own| {
        let recorder = &own.0;
        let mut pinned = false;
        for input in &inputs {
            let Input::Tensor(e) = input else { continue };
            match e.node.buffer(e.out) {
                Some(b) => pinned |= b.is_pinned(),
                None if e.node.owner != recorder.id => flush_owner(e.node.owner)?,
                None => {}
            }
        }
        let node = Arc::new(Node::pending(op, inputs, outs, recorder.id));
        let mut pending = lock(&recorder.pending);
        if pending.is_full(bytes) {
            drop(pending);
            // Before this node joins: its caller has yet to repoint the cell it writes to, and would be seen as a reader
            // of the old value.
            flush_recorder(recorder)?;
            pending = lock(&recorder.pending);
        }
        pending.nodes.push(node.clone());
        pending.bytes = pending.bytes.saturating_add(bytes);
        drop(pending);
        if pinned {
            flush_recorder(recorder)?;
        }
        Ok(node)
    })
}

/// How many nodes an operator may record, generously.
const ROOM: usize = 64;

/// Runs now what recording an operator on these tensors might have to run in its middle: work that is pending in other
/// threads, and this thread's if it is nearly full. Up to the operator's last node no flush then lets another thread of the
/// interpreter in, so that reading a storage and writing it is one step.
pub fn settle<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<()> {
    let mine = CURRENT.with(|own| own.0.id);
    for t in tensors {
        let node = t.cell().value().node;
        if node.is_pending() && node.owner != mine {
            flush_owner(node.owner)?;
        }
    }
    let nearly_full = CURRENT.with(|own| {
        let every = OPTIONS.flush_every.load(Ordering::Relaxed);
        every > ROOM && lock(&own.0.pending).nodes.len() + ROOM >= every
    });
    if nearly_full { flush_current() } else { Ok(()) }
}

pub fn flush_current() -> Result<()> {
    CURRENT.with(|own| flush_recorder(&own.0))
}

/// Flushes the recorder that holds a pending node, whichever thread it belongs to.
pub fn flush_owner(id: u32) -> Result<()> {
    let recorder = {
        let all = RECORDERS.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.iter().find(|r| r.id == id).cloned()
    };
    match recorder {
        Some(r) => flush_recorder(&r),
        None => Err(Error::Internal(format!("pending work of recorder {id} was lost"))),
    }
}

fn flush_recorder(recorder: &Arc<Recorder>) -> Result<()> {
    if lock(&recorder.pending).nodes.is_empty() {
        return Ok(());
    }
    let mut result = Ok(());
    let mut work = || {
        // The lock is held while running: a second reader of the same work waits for it and finds it done.
        let mut pending = lock(&recorder.pending);
        result = run::run(&mut pending);
    };
    match HOOKS.get() {
        Some(hooks) => (hooks.without_lock)(&mut work),
        None => work(),
    }
    result
}

/// In a forked child: pending work of the parent's other threads is gone; this thread's stays.
pub fn after_fork_in_child() {
    let mine = CURRENT.with(|own| own.0.id);
    if let Ok(mut all) = RECORDERS.try_write() {
        all.retain(|r| r.id == mine);
    }
}
