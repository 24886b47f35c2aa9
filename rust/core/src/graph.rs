//! The recorded graph: nodes (an operator, its inputs, its pending or finished outputs), cells and buffers.
//!
//! A `Node`'s value never changes. In-place operators make a new node and repoint the `Cell`, so a value that somebody
//! still needs survives, and a value that nobody needs gives its buffer to the writer.

use crate::capture;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::memory;
use crate::op::Op;
use crate::shape::Layout;
use smallvec::{SmallVec, smallvec};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

pub use crate::sync::lock;

/// What a node yields at one of its outputs.
#[derive(Clone, Debug)]
pub struct OutSpec {
    pub dtype: DType,
    pub layout: Arc<Layout>,
}

/// A tensor read by a node: an output of another node through a layout.
#[derive(Clone, Debug)]
pub struct Edge {
    pub node: Arc<Node>,
    pub out: u8,
    /// Differs from the producer's only for bit reinterpretation (`Tensor.view(dtype)`).
    pub dtype: DType,
    pub layout: Arc<Layout>,
}

/// One input of a node.
#[derive(Clone, Debug)]
pub enum Input {
    Tensor(Edge),
    /// A number as [`crate::dtype::Scalar::to_bits`] of the dtype: a parameter of the plan, never part of its key.
    Scalar(u64, DType),
}

pub type Inputs = SmallVec<[Input; 3]>;

/// One recorded operator.
#[derive(Debug)]
pub struct Node {
    pub op: Op,
    pub outs: SmallVec<[OutSpec; 1]>,
    /// Where it runs and its outputs lie.
    pub device: Device,
    /// Identity of the recorder that holds this node while it is pending.
    pub owner: u32,
    /// Position in the segment being flushed, or in the list of what failed; meaningless otherwise.
    pub slot: AtomicU32,
    inputs: Mutex<Inputs>,
    buffers: OnceLock<SmallVec<[Arc<Buffer>; 1]>>,
    /// The cells over the outputs of a pending node with several.
    cells: Mutex<Vec<Weak<Cell>>>,
}

impl Node {
    pub fn pending(op: Op, inputs: Inputs, outs: SmallVec<[OutSpec; 1]>, device: Device, owner: u32) -> Node {
        Node {
            op,
            outs,
            device,
            owner,
            slot: AtomicU32::new(0),
            inputs: Mutex::new(inputs),
            buffers: OnceLock::new(),
            cells: Mutex::default(),
        }
    }

    /// A node that is finished from the start: memory that came from outside or was just made.
    pub fn data(buffer: Arc<Buffer>, dtype: DType, layout: Arc<Layout>) -> Node {
        let device = buffer.device();
        let buffers = OnceLock::new();
        let _ = buffers.set(SmallVec::from_iter([buffer]));
        Node {
            op: Op::Data,
            outs: SmallVec::from_iter([OutSpec { dtype, layout }]),
            device,
            owner: 0,
            slot: AtomicU32::new(0),
            inputs: Mutex::default(),
            buffers,
            cells: Mutex::default(),
        }
    }

    /// A node on the device `meta`: finished from the start, with results that have sizes and no memory. Nothing runs it, so
    /// it keeps no inputs.
    pub fn without_memory(outs: SmallVec<[OutSpec; 1]>) -> Node {
        let bytes = |o: &OutSpec| o.layout.end().saturating_mul(o.dtype.size());
        let absent = outs.iter().map(|o| Arc::new(Buffer::absent(bytes(o)))).collect();
        let buffers = OnceLock::new();
        let _ = buffers.set(absent);
        Node {
            op: Op::Data,
            outs,
            device: Device::Meta,
            owner: 0,
            slot: AtomicU32::new(0),
            inputs: Mutex::default(),
            buffers,
            cells: Mutex::default(),
        }
    }

    #[inline]
    pub fn is_pending(&self) -> bool {
        self.buffers.get().is_none()
    }

    /// The finished output, or `None` while pending.
    #[inline]
    pub fn buffer(&self, out: u8) -> Option<&Arc<Buffer>> {
        self.buffers.get().map(|b| &b[out as usize])
    }

    pub fn inputs(&self) -> MutexGuard<'_, Inputs> {
        lock(&self.inputs)
    }

    /// Publishes the outputs and lets go of the inputs.
    pub fn finish(&self, buffers: SmallVec<[Arc<Buffer>; 1]>) {
        let _ = self.buffers.set(buffers);
        self.release_inputs();
    }

    /// Gives each output of a finished node with several a node of its own, so that its memory is free when nobody reads it
    /// any more, whoever reads the others. `readers` are nodes that read this one, and through which of their inputs.
    pub fn separate<'a>(self: &Arc<Node>, readers: impl Iterator<Item = (&'a Arc<Node>, u8)>) {
        let Some(buffers) = self.buffers.get() else { return };
        let mut parts: SmallVec<[Option<Arc<Node>>; 4]> = smallvec![None; buffers.len()];
        let mut part = |out: u8| {
            let (k, OutSpec { dtype, layout }) = (out as usize, &self.outs[out as usize]);
            parts[k].get_or_insert_with(|| Arc::new(Node::data(buffers[k].clone(), *dtype, layout.clone()))).clone()
        };
        for (reader, k) in readers {
            if let Some(Input::Tensor(e)) = reader.inputs().get_mut(k as usize)
                && Arc::ptr_eq(&e.node, self)
            {
                (e.node, e.out) = (part(e.out), 0);
            }
        }
        for cell in std::mem::take(&mut *lock(&self.cells)).iter().filter_map(Weak::upgrade) {
            // A capture knows its own values by their nodes.
            if cell.capture == 0 {
                let mut current = lock(&cell.current);
                if Arc::ptr_eq(&current.node, self) {
                    *current = Value { node: part(current.out), out: 0 };
                }
            }
        }
    }

    /// Lets go of the inputs of a node that will not run, or not again.
    pub fn release_inputs(&self) {
        drop_inputs(std::mem::take(&mut *self.inputs()));
    }
}

thread_local! {
    /// Inputs waiting to be dropped: chains of recorded nodes may be 100,000 long, so dropping must not recurse.
    static DROP_QUEUE: RefCell<Option<Vec<Inputs>>> = const { RefCell::new(None) };
}

fn drop_inputs(inputs: Inputs) {
    if inputs.is_empty() {
        return;
    }
    let running = DROP_QUEUE.try_with(|q| match q.borrow_mut().as_mut() {
        Some(queue) => {
            queue.push(inputs);
            None
        }
        None => Some(inputs),
    });
    let Ok(Some(first)) = running else { return };
    let _ = DROP_QUEUE.try_with(|q| *q.borrow_mut() = Some(Vec::new()));
    drop(first);
    while let Some(next) = DROP_QUEUE.try_with(|q| q.borrow_mut().as_mut().and_then(Vec::pop)).ok().flatten() {
        drop(next);
    }
    let _ = DROP_QUEUE.try_with(|q| *q.borrow_mut() = None);
}

impl Drop for Node {
    fn drop(&mut self) {
        let inputs = std::mem::take(self.inputs.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
        // Only chains of several links can be deep; a node whose inputs are all shared or finished drops in place.
        drop_inputs(inputs);
    }
}

/// What the tensors that alias one storage share: the current value, its version, and whether outsiders see the memory.
#[derive(Debug)]
pub struct Cell {
    current: Mutex<Value>,
    version: AtomicU64,
    pinned: AtomicBool,
    page_locked: AtomicBool,
    /// Made in inference mode: PyTorch lets nobody write it or save it for a gradient outside that mode.
    pub inference: bool,
    /// The capture in which it was made, or 0.
    pub capture: u32,
    pub device: Device,
}

/// A reference to one output of a node.
#[derive(Clone, Debug)]
pub struct Value {
    pub node: Arc<Node>,
    pub out: u8,
}

impl Value {
    /// Whether both are one value, which may be in a node of its own by now.
    pub fn is(&self, other: &Value) -> bool {
        let memory = |v: &Value| v.node.buffer(v.out).map(Arc::as_ptr);
        Arc::ptr_eq(&self.node, &other.node) && self.out == other.out
            || memory(self).is_some_and(|m| Some(m) == memory(other))
    }
}

impl Cell {
    #[inline]
    pub fn new(node: Arc<Node>, out: u8, device: Device) -> Arc<Cell> {
        let capture = capture::current();
        if capture != 0 {
            capture::count_cell(capture, true);
        }
        let shared = (node.outs.len() > 1 && node.is_pending()).then(|| node.clone());
        let cell = Arc::new(Cell {
            current: Mutex::new(Value { node, out }),
            version: AtomicU64::new(0),
            pinned: AtomicBool::new(false),
            page_locked: AtomicBool::new(false),
            inference: crate::grad::modes().inference,
            capture,
            device,
        });
        if let Some(node) = shared {
            lock(&node.cells).push(Arc::downgrade(&cell));
        }
        cell
    }
    #[inline]
    pub fn value(self: &Arc<Self>) -> Value {
        let value = self.peek();
        capture::read(self, &value);
        value
    }
    /// The value, unseen by a capture.
    #[inline]
    pub fn peek(&self) -> Value {
        lock(&self.current).clone()
    }
    /// Repoints the cell to a new value of the whole storage: every alias sees it.
    pub fn set(self: &Arc<Self>, value: Value) {
        capture::written(self, &value);
        let old = std::mem::replace(&mut *lock(&self.current), value);
        drop(old);
    }
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
    pub fn bump_version(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }
    #[inline]
    pub fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Acquire)
    }
    /// Whether the program asked for page-locked memory. Transfers need none, so that is all there is to it.
    #[inline]
    pub fn is_page_locked(&self) -> bool {
        self.page_locked.load(Ordering::Relaxed)
    }
    pub fn lock_pages(&self) {
        self.page_locked.store(true, Ordering::Relaxed);
    }
    /// From now on the memory is visible outside: readers run at once and writers keep the address.
    pub fn pin(&self) {
        self.pinned.store(true, Ordering::Release);
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if self.capture != 0 {
            capture::count_cell(self.capture, false);
        }
    }
}

/// Bytes of live buffers and their highest value since the last reset.
pub static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
pub static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Aligned memory, owned by the engine or borrowed from outside together with whatever keeps it alive; or memory of a GPU.
pub struct Buffer {
    ptr: *mut u8,
    bytes: usize,
    owner: Owner,
    /// Outsiders know the address and may write at any time: readers run before they return.
    pinned: AtomicBool,
}

enum Owner {
    Engine,
    Outside(Box<dyn std::any::Any + Send + Sync>),
    /// The backend's own handle; the address is null.
    Device(Device, Box<dyn std::any::Any + Send + Sync>),
}

// SAFETY: a buffer is plain memory; the executor orders its readers and writers.
unsafe impl Send for Buffer {}
unsafe impl Sync for Buffer {}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes at {:p})", self.bytes, self.ptr)
    }
}

impl Buffer {
    /// Uninitialised memory, 64-byte aligned; fails with the size in the message when the system refuses.
    pub fn new(bytes: usize) -> Result<Buffer> {
        let ptr = memory::allocate(bytes)
            .ok_or_else(|| Error::OutOfMemory(format!("out of memory: could not allocate {bytes} bytes on the CPU")))?;
        let live = LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes;
        PEAK_BYTES.fetch_max(live, Ordering::Relaxed);
        Ok(Buffer { ptr, bytes, owner: Owner::Engine, pinned: AtomicBool::new(false) })
    }

    /// Memory owned elsewhere.
    ///
    /// # Safety
    /// `ptr` must stay valid for reads and writes of `bytes` bytes as long as `keep` lives.
    pub unsafe fn outside(ptr: *mut u8, bytes: usize, keep: Box<dyn std::any::Any + Send + Sync>) -> Buffer {
        Buffer { ptr, bytes, owner: Owner::Outside(keep), pinned: AtomicBool::new(true) }
    }

    /// `bytes` bytes of a device's memory, behind the backend's handle.
    pub fn on_device(device: Device, bytes: usize, handle: Box<dyn std::any::Any + Send + Sync>) -> Buffer {
        let owner = Owner::Device(device, handle);
        Buffer { ptr: std::ptr::null_mut(), bytes, owner, pinned: AtomicBool::new(false) }
    }

    /// What stands for the memory of a tensor on the device `meta`: a size, and nothing of that size.
    pub fn absent(bytes: usize) -> Buffer {
        Buffer::on_device(Device::Meta, bytes, Box::new(()))
    }

    #[inline]
    pub fn device(&self) -> Device {
        match &self.owner {
            Owner::Device(device, _) => *device,
            _ => Device::Cpu,
        }
    }
    /// The address; null for a device's memory.
    #[inline]
    pub fn ptr(&self) -> *mut u8 {
        self.ptr
    }
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
    /// What keeps memory from outside alive, or the handle of a device's memory, if it is of this type.
    pub fn owner<T: 'static>(&self) -> Option<&T> {
        match &self.owner {
            Owner::Outside(keep) | Owner::Device(_, keep) => keep.downcast_ref(),
            Owner::Engine => None,
        }
    }
    #[inline]
    pub fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Acquire)
    }
    pub fn pin(&self) {
        self.pinned.store(true, Ordering::Release);
    }
    pub fn is_outside(&self) -> bool {
        matches!(self.owner, Owner::Outside(_))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if matches!(self.owner, Owner::Engine) {
            LIVE_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
            memory::release(self.ptr, self.bytes);
        }
    }
}

/// Gives the allocator's kept blocks back to the system.
pub fn empty_cache() {
    memory::clear();
}
