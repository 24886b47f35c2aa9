//! Running a plan: binds its steps to the nodes, allocates outputs (or takes over an input's buffer that nobody else
//! needs), executes, and publishes the results. After an error every node is finished, pending, or among the failures.

use super::failures::Cause;
use super::joined::joined;
use super::plan::{Fused, Kernel, Last, Plan, Step};
use super::profile::{self, Watch};
use super::record::{Pending, Wanted};
use super::segment::{self, Key};
use super::transfer;
use super::{COUNTERS, HOOKS, NODE_BUDGET, OPTIONS, count};
use crate::cpu;
use crate::cpu::view::{In, Out};
use crate::device::Device;
use crate::ensure;
use crate::error::{Error, Result};
use crate::gpu;
use crate::gpu::view::View;
use crate::graph::{Buffer, Edge, Input, Node, OutSpec};
use crate::op::Op;
use crate::shape::Layout;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Buffers that a kernel binds on every GPU.
const GPU_BINDINGS: usize = 8;

pub(super) type Slots = Vec<Option<Arc<Node>>>;

thread_local! {
    /// The key is rebuilt at every flush; its memory is kept.
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

/// What a thread's flushes leave for the next.
struct Scratch {
    key: Key,
    live: Vec<bool>,
    last: Last,
}

impl Scratch {
    const fn new() -> Scratch {
        Scratch { key: Vec::new(), live: Vec::new(), last: Last::new() }
    }
}

/// A step that raised an error.
struct Failure {
    nodes: SmallVec<[u32; 4]>,
    cause: Arc<Cause>,
}

/// Runs the pending nodes and, where a failed value is wanted, what it waits for. Kernel panics become `Error::Internal`.
pub fn run(pending: &mut Pending, wanted: Wanted) -> Result<()> {
    segment::drop_dead(&mut pending.nodes);
    pending.failed.drop_dead();
    let mut again = match wanted {
        Wanted::Value(node) => pending.failed.take_behind(node),
        _ => Vec::new(),
    };
    let nodes = std::mem::take(&mut pending.nodes);
    pending.bytes = 0;
    if let Err(e) = run_nodes(pending, again) {
        pending.nodes.extend(nodes);
        return Err(e);
    }
    run_nodes(pending, nodes)?;
    let failed = &mut pending.failed;
    let told = match wanted {
        Wanted::Nothing => None,
        Wanted::Everything => failed.tell_new(),
        Wanted::Value(node) => {
            if failed.may_do_alone(node) {
                again = failed.take_behind(node);
                run_nodes(pending, again)?;
            }
            pending.failed.tell(node)
        }
    };
    told.map_or(Ok(()), Err)
}

/// Runs nodes in recorded order. Those that fail join the failures; an error of the whole leaves the rest pending.
fn run_nodes(pending: &mut Pending, mut nodes: Vec<Arc<Node>>) -> Result<()> {
    while !nodes.is_empty() {
        let later = nodes.split_off(nodes.len().min(NODE_BUDGET));
        pending.failed.keep_unaffected(&mut nodes);
        let mut failures = Vec::new();
        let (result, slots) = run_segment(nodes, &mut failures);
        nodes = sort_out(pending, slots, failures);
        nodes.extend(later);
        if result.is_err() {
            pending.nodes.append(&mut nodes);
            return result;
        }
    }
    Ok(())
}

/// Moves what failed, and what reads it, to the failures. The rest may have been skipped with a step that had to wait.
fn sort_out(pending: &mut Pending, mut slots: Slots, failures: Vec<Failure>) -> Vec<Arc<Node>> {
    if !failures.is_empty() {
        let mut causes: Vec<Option<Arc<Cause>>> = vec![None; slots.len()];
        for f in failures {
            f.nodes.iter().for_each(|&n| causes[n as usize] = Some(f.cause.clone()));
        }
        for i in 0..slots.len() {
            let Some(node) = &slots[i] else { continue };
            if causes[i].is_none() {
                causes[i] = segment::pending_inputs(node).find_map(|slot| causes[slot as usize].clone());
            }
        }
        for (slot, cause) in slots.iter_mut().zip(causes) {
            if let Some(cause) = cause
                && let Some(node) = slot.take()
            {
                pending.failed.add(node, cause);
            }
        }
    }
    slots.into_iter().flatten().collect()
}

/// Plans and executes one stretch of nodes. What was not computed is left in its slot.
fn run_segment(nodes: Vec<Arc<Node>>, failures: &mut Vec<Failure>) -> (Result<()>, Slots) {
    if nodes.is_empty() {
        return (Ok(()), Vec::new());
    }
    count(&COUNTERS.flushes, 1);
    let fusion = OPTIONS.fusion.load(Relaxed);
    let plan = SCRATCH.with(|s| {
        let Scratch { key, live, last } = &mut *s.borrow_mut();
        segment::describe(&nodes, key, live);
        last.plan_for(&nodes, key, live, fusion)
    });
    let (plan, known) = match plan {
        Ok(p) => p,
        Err(e) => {
            // A GPU that cannot be opened, for one: nobody else need be told.
            let nodes: Slots = nodes.into_iter().map(Some).collect();
            failures.push(Failure { nodes: (0..nodes.len() as u32).collect(), cause: Cause::new(e, false, false) });
            return (Ok(()), nodes);
        }
    };
    let device = nodes[0].device;
    let level = OPTIONS.debug.load(Relaxed);
    if level >= 1 {
        let found = if known { "known plan" } else { "new plan" };
        eprintln!("corten: flush of {} nodes in {} kernels on {device}, {found}", nodes.len(), plan.steps.len());
    }
    if level >= 4 && !known {
        eprint!("{}", profile::graph(&nodes, &plan));
    }
    let mut slots: Slots = nodes.into_iter().map(Some).collect();
    (execute(&plan, &mut slots, device, failures), slots)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown panic")
}

/// Refuses work on the CPU while its kernels are switched off.
fn check_allowed(slots: &Slots, device: Device) -> Result<()> {
    if device != Device::Cpu || OPTIONS.cpu_kernels.load(Relaxed) {
        return Ok(());
    }
    // Single numbers stay allowed: an optimizer counts its steps on the CPU.
    let work = slots.iter().flatten().filter(|n| n.outs.iter().any(|o| o.layout.numel() > 1));
    let names: Vec<&str> = work.take(4).map(|n| n.op.name()).collect();
    ensure!(
        names.is_empty(),
        Runtime,
        "the CPU was asked to compute {} while its kernels are switched off",
        names.join(", ")
    );
    Ok(())
}

fn execute(plan: &Plan, slots: &mut Slots, device: Device, failures: &mut Vec<Failure>) -> Result<()> {
    let hooks = HOOKS.get();
    let watch = plan.steps.len() > 1;
    count(&COUNTERS.kernels, plan.steps.len());
    check_allowed(slots, device)?;
    let mut profile = Watch::new(device)?;
    for step in &plan.steps {
        if watch && hooks.is_some_and(|h| (h.interrupted)()) {
            return Err(Error::Interrupted);
        }
        if !failures.is_empty() && waits(slots, step) {
            continue;
        }
        let open = profile.as_ref().map(|w| w.begin(step, |n| slots[n as usize].clone()));
        let mut spoils = false;
        let several = match step {
            Step::Kernel(n) => {
                let node = slots[*n as usize].as_ref().filter(|node| node.outs.len() > 1);
                node.cloned().zip(plan.readers.get(n))
            }
            _ => None,
        };
        if let Err(e) = attempt(slots, step, device, &mut spoils) {
            let stop = matches!(e, Error::Interrupted);
            if stop && !spoils {
                return Err(e);
            }
            let failure = failure(slots, step, e, spoils);
            if let Step::Kernel(n) = step
                && node_at(slots, *n)?.op.acts()
            {
                if !failure.cause.lost {
                    // Nobody reads it, so nobody could be told later: nothing is read before it is done.
                    return Err(failure.cause.error.clone());
                }
                // Who reads what it checks has lost that too.
                slots[*n as usize] = None;
                continue;
            }
            failures.push(failure);
            if stop {
                return Err(Error::Interrupted);
            }
            continue;
        }
        if let (Some(w), Some(open)) = (&mut profile, open) {
            w.end(open);
        }
        if let Some((node, readers)) = several {
            node.separate(readers.iter().filter_map(|&(r, k)| Some((slots[r as usize].as_ref()?, k))));
        }
    }
    if let Device::Gpu(i) = device {
        gpu::gpu(i)?.submit("a flush")?;
    }
    profile.map_or(Ok(()), Watch::finish)
}

/// Runs a step. `spoils` is set before a kernel runs that overwrites what it reads.
fn attempt(slots: &mut Slots, step: &Step, device: Device, spoils: &mut bool) -> Result<()> {
    catch_unwind(AssertUnwindSafe(|| match step {
        Step::Kernel(n) => kernel(slots, *n, spoils),
        Step::Fused(f) => fused(slots, f, device, spoils),
        Step::Joined(j) => joined(slots, j, device, spoils),
    }))
    .unwrap_or_else(|panic| Err(Error::Internal(format!("a kernel panicked: {}", panic_message(&*panic)))))
}

/// Whether a step reads what an earlier one should have made.
fn waits(slots: &Slots, step: &Step) -> bool {
    let nodes = step.nodes();
    let mut found = nodes.iter().filter_map(|&n| slots[n as usize].as_ref());
    found.any(|node| segment::pending_inputs(node).any(|slot| !nodes.contains(&slot)))
}

/// The failure of a step: its error names the operators. No later try can do better where the step overwrote what it read
/// (`spoils`), or where that is gone with its device.
#[cold]
fn failure(slots: &Slots, step: &Step, e: Error, spoils: bool) -> Failure {
    let nodes = step.nodes();
    let found: SmallVec<[Arc<Node>; 4]> = nodes.iter().filter_map(|&n| slots[n as usize].clone()).collect();
    let gone = |input: &Input| match input {
        Input::Tensor(e) => e.node.buffer(e.out).is_some_and(|b| transfer::is_lost(b)),
        Input::Scalar(..) => false,
    };
    let lost = spoils || found.iter().any(|n| n.inputs().iter().any(gone));
    let e = match e {
        Error::Interrupted => Error::Runtime("was interrupted while it overwrote its input, which is lost".into()),
        e => e,
    };
    let mut names: SmallVec<[&str; 4]> = found.iter().map(|n| n.op.name()).filter(|n| !n.starts_with('_')).collect();
    names.dedup();
    let names = names[..names.len().min(4)].join(", ");
    // The CPU's kernels name their operator themselves.
    let unnamed =
        matches!(e, Error::OutOfMemory(_) | Error::Internal(_)) || found.iter().any(|n| n.device != Device::Cpu);
    let error = if unnamed && !names.is_empty() { e.in_operator(&names) } else { e };
    let shared = match step {
        Step::Kernel(_) => false,
        Step::Fused(f) => f.stores.len() > 1,
        Step::Joined(j) => j.after.as_ref().is_some_and(|a| a.keeps || a.fused.stores.len() > 1),
    };
    Failure { nodes: SmallVec::from_slice(&nodes), cause: Cause::new(error, lost, shared) }
}

pub(super) fn node_at(slots: &Slots, n: u32) -> Result<&Arc<Node>> {
    slots[n as usize].as_ref().ok_or_else(|| Error::Internal("a node was executed twice".into()))
}

pub(super) fn buffer_of(edge: &Edge) -> Result<&Arc<Buffer>> {
    edge.node
        .buffer(edge.out)
        .ok_or_else(|| Error::Internal(format!("{} was read before it was computed", edge.node.op.name())))
}

/// The address of the edge's element (0, …, 0).
pub(super) fn address(edge: &Edge) -> Result<*mut u8> {
    let buffer = buffer_of(edge)?;
    // SAFETY: view layouts are checked against their storage when they are made.
    Ok(unsafe { buffer.ptr().add(edge.layout.offset * edge.dtype.size()) })
}

pub(super) fn allocate(spec: &OutSpec, device: Device) -> Result<Arc<Buffer>> {
    Ok(Arc::new(transfer::allocate(device, spec.layout.numel() * spec.dtype.size())?))
}

/// The edges that a program reads, and its numbers.
pub(super) fn operands_of(slots: &Slots, f: &Fused) -> Result<(SmallVec<[Edge; 8]>, SmallVec<[u64; 8]>)> {
    let mut edges: SmallVec<[Edge; 8]> = SmallVec::new();
    for &(n, k) in &f.loads {
        let inputs = node_at(slots, n)?.inputs();
        let Input::Tensor(e) = &inputs[k as usize] else { return Err(Error::Internal("load of a number".into())) };
        edges.push(e.clone());
    }
    let mut numbers: SmallVec<[u64; 8]> = SmallVec::new();
    for &(n, k) in &f.scalars {
        match &node_at(slots, n)?.inputs()[k as usize] {
            Input::Scalar(bits, _) => numbers.push(*bits),
            Input::Tensor(_) => return Err(Error::Internal("number expected".into())),
        }
    }
    Ok((edges, numbers))
}

pub(super) fn fused(slots: &mut Slots, f: &Fused, device: Device, spoils: &mut bool) -> Result<()> {
    count(&COUNTERS.fused_nodes, f.nodes.len());
    let layout = node_at(slots, f.nodes[0])?.outs[0].layout.clone();
    let (edges, numbers) = operands_of(slots, f)?;
    let mut taken: SmallVec<[*const Buffer; 4]> = SmallVec::new();
    let mut results: SmallVec<[Arc<Buffer>; 4]> = SmallVec::new();
    let mut donated = false;
    // Many results may need several launches on the GPU, which must not overwrite what the next one reads.
    let may_donate = device == Device::Cpu || distinct(&edges) + f.stores.len() <= GPU_BINDINGS;
    for (k, &(n, _)) in f.stores.iter().enumerate() {
        let spec = &node_at(slots, n)?.outs[0];
        let buffer = match may_donate.then(|| donate(f, k, spec, &edges, &taken)).flatten() {
            Some(b) => {
                donated = true;
                b
            }
            None => allocate(spec, device)?,
        };
        taken.push(Arc::as_ptr(&buffer));
        results.push(buffer);
    }
    *spoils = donated;
    match &f.kernel {
        Kernel::Cpu(k) => on_cpu(k, &layout, &edges, &numbers, &results)?,
        Kernel::Gpu(k) => on_gpu(k, device, &layout, &edges, &numbers, &results)?,
    }
    drop(edges);
    for (&(n, _), buffer) in f.stores.iter().zip(results) {
        node_at(slots, n)?.finish(SmallVec::from_iter([buffer]));
    }
    for &n in &f.nodes {
        slots[n as usize] = None;
    }
    Ok(())
}

fn on_cpu(
    kernel: &cpu::elementwise::Kernel,
    layout: &Layout,
    edges: &[Edge],
    numbers: &[u64],
    results: &[Arc<Buffer>],
) -> Result<()> {
    use cpu::elementwise::{Operand, Target};
    let mut operands: SmallVec<[Operand; 8]> = SmallVec::new();
    for e in edges {
        operands.push(Operand { ptr: address(e)?, strides: &e.layout.strides });
    }
    let targets: SmallVec<[Target; 4]> = results.iter().map(|b| Target { ptr: b.ptr() }).collect();
    kernel.run(&layout.shape, &layout.strides, &operands, numbers, &targets);
    Ok(())
}

fn on_gpu(
    kernel: &gpu::elementwise::Kernel,
    device: Device,
    layout: &Layout,
    edges: &[Edge],
    numbers: &[u64],
    results: &[Arc<Buffer>],
) -> Result<()> {
    use gpu::elementwise::{Job, Operand};
    let Device::Gpu(index) = device else { return Err(Error::Internal("a kernel of the GPU on the CPU".into())) };
    let mut operands: SmallVec<[Operand; 8]> = SmallVec::new();
    for e in edges {
        let (memory, layout) = (transfer::memory(buffer_of(e)?)?, &e.layout);
        operands.push(Operand { memory, offset: layout.offset, strides: layout.strides.clone() });
    }
    let targets: SmallVec<[_; 4]> = results.iter().map(|b| transfer::memory(b)).collect::<Result<_>>()?;
    let Layout { shape, strides, .. } = layout;
    kernel.run(&gpu::gpu(index)?, Job { shape, strides, operands: &operands, numbers, targets: &targets })
}

/// How many values a kernel reads, each counted once.
fn distinct(edges: &[Edge]) -> usize {
    let again = |k: usize| edges[..k].iter().any(|e| Arc::ptr_eq(&e.node, &edges[k].node));
    (0..edges.len()).filter(|&k| !again(k)).count()
}

/// An input's buffer that the output may overwrite: read by this kernel alone, through the output's own layout. Where
/// another output is a copy of that very input, it would be copied too late.
pub(super) fn donate(
    f: &Fused,
    store: usize,
    spec: &OutSpec,
    edges: &[Edge],
    taken: &[*const Buffer],
) -> Option<Arc<Buffer>> {
    for e in edges {
        let same = e.dtype.size() == spec.dtype.size() && segment::same_layout(&e.layout, &spec.layout);
        let copies = |load: &Option<u16>| load.is_some_and(|l| Arc::ptr_eq(&edges[l as usize].node, &e.node));
        let copied_elsewhere = f.stores.iter().enumerate().any(|(k, (_, load))| k != store && copies(load));
        if !same || e.node.outs.len() != 1 || (copied_elsewhere && !copies(&f.stores[store].1)) {
            continue;
        }
        let mentions = edges.iter().filter(|o| Arc::ptr_eq(&o.node, &e.node));
        let aligned = mentions.clone().all(|o| segment::same_layout(&o.layout, &spec.layout));
        // Each load is counted twice: in its node's inputs and in our list.
        let ours = mentions.count() * 2;
        let Some(buffer) = e.node.buffer(e.out) else { continue };
        let free = Arc::strong_count(&e.node) == ours
            && Arc::strong_count(buffer) == 1
            && !buffer.is_pinned()
            && buffer.bytes() == spec.layout.numel() * spec.dtype.size();
        if aligned && free && !taken.contains(&Arc::as_ptr(buffer)) {
            count(&COUNTERS.donations, 1);
            return Some(buffer.clone());
        }
    }
    None
}

pub(super) fn kernel(slots: &mut Slots, n: u32, spoils: &mut bool) -> Result<()> {
    let node = node_at(slots, n)?.clone();
    let buffers = match node.op {
        Op::WriteView => SmallVec::from_iter([write_view(&node, spoils)?]),
        _ => structured(&node, spoils)?,
    };
    node.finish(buffers);
    slots[n as usize] = None;
    Ok(())
}

/// What a structured operator reads, each kind in order.
pub(super) fn tensors_and_numbers(inputs: &[Input]) -> (SmallVec<[&Edge; 4]>, SmallVec<[u64; 4]>) {
    let (mut edges, mut numbers) = (SmallVec::new(), SmallVec::new());
    for input in inputs {
        match input {
            Input::Scalar(bits, _) => numbers.push(*bits),
            Input::Tensor(e) => edges.push(e),
        }
    }
    (edges, numbers)
}

fn structured(node: &Node, spoils: &mut bool) -> Result<SmallVec<[Arc<Buffer>; 1]>> {
    let inputs = node.inputs();
    let (edges, numbers) = tensors_and_numbers(&inputs);
    let taken = if node.op.overwrites_first() { take_over(&node.outs[0], inputs.first()) } else { None };
    let overwrites = taken.is_some();
    let buffers: SmallVec<[Arc<Buffer>; 1]> = match taken {
        Some(b) => SmallVec::from_iter([b]),
        None => node.outs.iter().map(|spec| allocate(spec, node.device)).collect::<Result<_>>()?,
    };
    *spoils = overwrites;
    if let Device::Gpu(index) = node.device {
        let ins: SmallVec<[View; 4]> = edges.iter().map(|e| view(e)).collect::<Result<_>>()?;
        let mut outs: SmallVec<[View; 2]> = SmallVec::new();
        for (OutSpec { dtype, layout }, b) in node.outs.iter().zip(&buffers) {
            let Layout { shape, strides, .. } = &**layout;
            outs.push(View { memory: transfer::memory(b)?, offset: 0, dtype: *dtype, shape, strides, inline: None });
        }
        gpu::execute(&gpu::gpu(index)?, &node.op, &ins, &numbers, &outs)?;
        drop(outs);
        return Ok(buffers);
    }
    let ins: SmallVec<[In; 4]> = edges.iter().map(|e| window(e)).collect::<Result<_>>()?;
    let mut outs: SmallVec<[Out; 2]> = node
        .outs
        .iter()
        .zip(&buffers)
        .map(|(spec, b)| Out {
            ptr: b.ptr(),
            dtype: spec.dtype,
            shape: &spec.layout.shape,
            strides: &spec.layout.strides,
        })
        .collect();
    cpu::execute(&node.op, &ins, &numbers, &mut outs)?;
    Ok(buffers)
}

/// The first input's buffer, when nobody reads it after this kernel and the output has its layout. The kernel sees equal
/// addresses and leaves out the copy.
fn take_over(spec: &OutSpec, input: Option<&Input>) -> Option<Arc<Buffer>> {
    let Some(Input::Tensor(e)) = input else { return None };
    let whole = e.dtype == spec.dtype && segment::same_layout(&e.layout, &spec.layout) && e.node.outs.len() == 1;
    let buffer = e.node.buffer(e.out)?;
    let alone = Arc::strong_count(&e.node) == 1 && Arc::strong_count(buffer) == 1;
    let sized = buffer.bytes() == spec.layout.numel() * spec.dtype.size();
    if whole && alone && sized && !buffer.is_pinned() {
        count(&COUNTERS.donations, 1);
        return Some(buffer.clone());
    }
    None
}

/// A tensor on the GPU.
pub(super) fn view(e: &Edge) -> Result<View<'_>> {
    let Layout { shape, strides, offset } = &*e.layout;
    Ok(View { memory: transfer::memory(buffer_of(e)?)?, offset: *offset, dtype: e.dtype, shape, strides, inline: None })
}

pub(super) fn window(e: &Edge) -> Result<In<'_>> {
    Ok(In { ptr: address(e)?, dtype: e.dtype, shape: &e.layout.shape, strides: &e.layout.strides })
}

/// Writes the value through the target layout into the base's buffer, or into a copy of it while others need the old one.
fn write_view(node: &Node, spoils: &mut bool) -> Result<Arc<Buffer>> {
    let inputs = node.inputs();
    let (Some(Input::Tensor(base)), Some(value)) = (inputs.first(), inputs.get(1)) else {
        return Err(Error::Internal("copy_: malformed node".into()));
    };
    let old = buffer_of(base)?;
    // Pinned storages keep their address whoever looks; their readers have run already.
    let pinned = matches!(inputs.get(2), Some(Input::Scalar(1, _)));
    let alone = Arc::strong_count(&base.node) == 1 && Arc::strong_count(old) == 1;
    let buffer = if pinned || (alone && !old.is_pinned()) {
        *spoils = true;
        old.clone()
    } else {
        count(&COUNTERS.copies_on_write, 1);
        let fresh = transfer::allocate(node.device, old.bytes())?;
        match node.device {
            // SAFETY: both buffers hold `old.bytes()` bytes and are distinct.
            Device::Cpu => unsafe { std::ptr::copy_nonoverlapping(old.ptr(), fresh.ptr(), old.bytes()) },
            Device::Gpu(i) => {
                let bytes = (old.bytes() as u64).next_multiple_of(4);
                gpu::gpu(i)?.copy(transfer::memory(old)?, 0, transfer::memory(&fresh)?, 0, bytes)?;
            }
            Device::Meta => return Err(super::plan::nothing_to_run()),
        }
        Arc::new(fresh)
    };
    if let Device::Gpu(i) = node.device {
        let (gpu, memory) = (gpu::gpu(i)?, transfer::memory(&buffer)?);
        let Layout { shape, strides, offset } = &*base.layout;
        let target = View { memory, offset: *offset, dtype: base.dtype, shape, strides, inline: None };
        match value {
            Input::Scalar(bits, dtype) => gpu::copy::fill(&gpu, &target, *bits, *dtype)?,
            Input::Tensor(v) => gpu::copy::copy(&gpu, &target, &view(v)?)?,
        }
        return Ok(buffer);
    }
    let size = base.dtype.size();
    // SAFETY: the target layout lies inside the storage.
    let ptr = unsafe { buffer.ptr().add(base.layout.offset * size) };
    let shape = &base.layout.shape;
    match value {
        Input::Scalar(bits, dtype) => cpu::copy::fill_strided(ptr, *dtype, shape, &base.layout.strides, *bits),
        Input::Tensor(v) => {
            let source = window(v)?;
            let overlaps = Arc::ptr_eq(buffer_of(v)?, &buffer);
            cpu::copy::copy_strided(ptr, shape, &base.layout.strides, &source, overlaps);
        }
    }
    Ok(buffer)
}
