//! From recorded nodes to results, one file per stage in this order: `record` collects nodes, `segment` drops the dead
//! ones and writes the plan's key, `fuse` groups elementwise nodes, `late` puts off what that would compute too early, `plan`
//! orders the groups and is cached, `run` allocates and executes, and `failures` keeps what failed. `transfer` moves values
//! between devices. `program` is the fused code that passes from `fuse` to the kernels; `draw` makes random numbers at the call;
//! `profile` and `cost` tell what ran, how long, and what it moved.

pub mod carried;
pub mod cost;
pub mod draw;
pub mod failures;
pub mod fuse;
mod joined;
mod late;
pub mod pairs;
pub mod plan;
pub mod profile;
pub mod program;
pub mod record;
pub mod run;
pub mod segment;
pub mod transfer;

use crate::capture;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Buffer;
use crate::tensor::Tensor;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Switches for tests and debugging.
pub struct Options {
    pub fusion: AtomicBool,
    /// Flush after this many recorded nodes; 1 is eager execution.
    pub flush_every: AtomicUsize,
    /// 0 silent, 1 flushes and plan hits, 2 kernels with time and rates, 3 shaders, 4 new graphs before and after fusion
    /// (`CORTEN_DEBUG`).
    pub debug: AtomicUsize,
    /// Whether work on the CPU is done: tests of the GPU refuse it, so that nothing falls back unseen.
    pub cpu_kernels: AtomicBool,
}

/// Nodes that may be pending before a flush; also the longest program a plan is made for.
pub const NODE_BUDGET: usize = 2048;
/// Bytes of pending results before a flush. Those that fusion leaves out count as well, and a flush between them costs a pass
/// over memory: tensors on a GPU tend to be larger.
pub const fn byte_budget(device: Device) -> usize {
    match device {
        Device::Cpu => 512 << 20,
        Device::Gpu(_) => 2 << 30,
        Device::Meta => usize::MAX,
    }
}

pub static OPTIONS: Options = Options {
    fusion: AtomicBool::new(true),
    flush_every: AtomicUsize::new(NODE_BUDGET),
    debug: AtomicUsize::new(0),
    cpu_kernels: AtomicBool::new(true),
};

/// What happened since the process began.
pub struct Counters {
    pub nodes: AtomicUsize,
    pub flushes: AtomicUsize,
    pub kernels: AtomicUsize,
    pub plan_hits: AtomicUsize,
    pub plan_misses: AtomicUsize,
    pub copies_on_write: AtomicUsize,
    pub donations: AtomicUsize,
    pub fused_nodes: AtomicUsize,
}

pub static COUNTERS: Counters = Counters {
    nodes: AtomicUsize::new(0),
    flushes: AtomicUsize::new(0),
    kernels: AtomicUsize::new(0),
    plan_hits: AtomicUsize::new(0),
    plan_misses: AtomicUsize::new(0),
    copies_on_write: AtomicUsize::new(0),
    donations: AtomicUsize::new(0),
    fused_nodes: AtomicUsize::new(0),
};

#[inline]
pub fn count(counter: &AtomicUsize, by: usize) {
    counter.fetch_add(by, Relaxed);
}

/// What the binding contributes: running long work without the interpreter's lock, and noticing Ctrl-C.
pub struct Hooks {
    pub without_lock: fn(&mut dyn FnMut()),
    /// Called between kernels; `true` asks to stop.
    pub interrupted: fn() -> bool,
}

pub static HOOKS: OnceLock<Hooks> = OnceLock::new();

/// Whether somebody wants the computation to stop.
pub fn interrupted() -> bool {
    HOOKS.get().is_some_and(|h| (h.interrupted)())
}

/// Runs long work that touches nothing of the binding's without the interpreter's lock.
pub fn without_lock<T>(work: impl FnOnce() -> T) -> Option<T> {
    let mut work = Some(work);
    let mut out = None;
    let mut run = || out = work.take().map(|w| w());
    match HOOKS.get() {
        Some(hooks) => (hooks.without_lock)(&mut run),
        None => run(),
    }
    out
}

/// Runs everything this thread has recorded, and raises what fails, once.
pub fn flush() -> Result<()> {
    record::flush_current()
}

/// Runs everything this thread has recorded. What fails is raised where it is read.
pub fn flush_quietly() -> Result<()> {
    record::flush_quietly()
}

/// The tensor's storage on the CPU, computed if it was pending. The window to read is the tensor's layout over it.
pub fn materialize(t: &Tensor) -> Result<Arc<Buffer>> {
    capture::looked_at(t);
    materialize_unseen(t)
}

/// [`materialize`] for what does not decide anything.
pub(crate) fn materialize_unseen(t: &Tensor) -> Result<Arc<Buffer>> {
    if t.device() == Device::Meta {
        return Err(transfer::no_data());
    }
    if t.device() != Device::Cpu {
        return Err(Error::Type(format!(
            "can't convert {} device type tensor to numpy or read its memory. Use Tensor.cpu() to copy the tensor to host memory first.",
            t.device()
        )));
    }
    let buffer = compute_unseen(t)?;
    if buffer.device() != Device::Cpu {
        return Err(Error::Internal("a tensor of the CPU has its values elsewhere".into()));
    }
    Ok(buffer)
}

/// The tensor's storage wherever it lies, computed (or sent to the GPU) if it was pending.
pub fn compute(t: &Tensor) -> Result<Arc<Buffer>> {
    if t.device() == Device::Meta {
        return Err(transfer::no_data());
    }
    capture::looked_at(t);
    compute_unseen(t)
}

fn compute_unseen(t: &Tensor) -> Result<Arc<Buffer>> {
    loop {
        let value = t.cell().peek();
        if let Some(b) = value.node.buffer(value.out) {
            return Ok(b.clone());
        }
        record::flush_value(&value.node)?;
    }
}
