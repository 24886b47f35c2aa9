//! Running a structured operator and the elementwise work around it as one kernel: on the GPU as one shader, on the CPU by
//! finishing each part of the results while it is in cache.

use super::plan::{After, Fused, Joined, Kernel};
use super::run::{
    Slots, address, allocate, buffer_of, donate, fused, kernel, node_at, operands_of, tensors_and_numbers, view, window,
};
use super::{COUNTERS, count, plan, transfer};
use crate::cpu;
use crate::device::Device;
use crate::error::Result;
use crate::gpu::elementwise::Operand;
use crate::gpu::inline::{Inline, MOST};
use crate::gpu::memory::Allocation;
use crate::gpu::view::View;
use crate::gpu::{self, Gpu};
use crate::graph::{Buffer, Edge, Input, Node, OutSpec};
use crate::shape::Layout;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The most dims of a structured operator whose parameters leave room for those of programs.
const MOST_DIMS: usize = 12;

/// The most tensors of the results' size, among them the results, that a program finishes in cache.
const MOST_STREAMS: usize = 5;

/// Runs the parts in one kernel, or one after the other where the device cannot have them so.
pub fn joined(slots: &mut Slots, j: &Joined, device: Device, spoils: &mut bool) -> Result<()> {
    let done = match device {
        Device::Gpu(index) => in_one(slots, j, &gpu::gpu(index)?, device)?,
        Device::Cpu => on_cpu(slots, j, spoils)?,
        Device::Meta => return Err(plan::nothing_to_run()),
    };
    if done {
        return Ok(());
    }
    for (_, f) in &j.before {
        fused(slots, f, device, spoils)?;
        *spoils = false;
    }
    kernel(slots, j.node, spoils)?;
    *spoils = false;
    j.after.as_ref().map_or(Ok(()), |a| fused(slots, &a.fused, device, spoils))
}

/// The index space of a program.
fn space_of(slots: &Slots, fused: &Fused) -> Result<Arc<Layout>> {
    Ok(node_at(slots, fused.nodes[0])?.outs[0].layout.clone())
}

/// A program with what it reads.
struct Bound<'a> {
    fused: &'a Fused,
    space: Arc<Layout>,
    edges: SmallVec<[Edge; 8]>,
    numbers: SmallVec<[u64; 8]>,
}

impl<'a> Bound<'a> {
    fn new(slots: &Slots, fused: &'a Fused) -> Result<Bound<'a>> {
        let (edges, numbers) = operands_of(slots, fused)?;
        Ok(Bound { fused, space: space_of(slots, fused)?, edges, numbers })
    }

    /// The program for a kernel, `given` being the load that the kernel computes, with whatever memory stands for it. `None`
    /// where the kernel cannot have it.
    fn inline<'b>(
        &'b self,
        given: Option<(&After, &'b Allocation)>,
        targets: &[&'b Allocation],
    ) -> Result<Option<Inline<'b>>> {
        let mut operands: SmallVec<[Operand; 8]> = SmallVec::new();
        for (k, e) in self.edges.iter().enumerate() {
            let layout = &e.layout;
            let memory = match given {
                Some((after, memory)) if after.load as usize == k => memory,
                _ => transfer::memory(buffer_of(e)?)?,
            };
            operands.push(Operand { memory, offset: layout.offset, strides: layout.strides.clone() });
        }
        let Kernel::Gpu(program) = &self.fused.kernel else { return Ok(None) };
        let Layout { shape, strides, .. } = &*self.space;
        let given = given.map(|(after, _)| (after.load as usize, after.keeps));
        Ok(Inline::new(program, shape, strides, &operands, &self.numbers, given, targets))
    }
}

/// What one kernel is made of, and the memory of its results.
struct Parts<'a> {
    node: Arc<Node>,
    /// The programs of inputs, each with the node whose result it is.
    before: SmallVec<[(u32, Bound<'a>); 2]>,
    after: Option<(&'a After, Bound<'a>)>,
    /// The results, each with the node that it belongs to; what the operator itself computes comes first if it is needed.
    made: SmallVec<[(u32, Arc<Buffer>); 4]>,
}

impl<'a> Parts<'a> {
    fn gather(slots: &Slots, j: &'a Joined, device: Device) -> Result<Parts<'a>> {
        let node = node_at(slots, j.node)?.clone();
        let mut before: SmallVec<[(u32, Bound); 2]> = SmallVec::new();
        for (made, f) in &j.before {
            before.push((*made, Bound::new(slots, f)?));
        }
        let after = j.after.as_ref().map(|a| Bound::new(slots, &a.fused).map(|b| (a, b))).transpose()?;
        let mut made: SmallVec<[(u32, Arc<Buffer>); 4]> = SmallVec::new();
        if j.after.as_ref().is_none_or(|a| a.keeps) {
            made.push((j.node, allocate(&node.outs[0], device)?));
        }
        for &(n, _) in j.after.iter().flat_map(|a| &a.fused.stores) {
            made.push((n, allocate(&node_at(slots, n)?.outs[0], device)?));
        }
        Ok(Parts { node, before, after, made })
    }

    fn launch(&self, gpu: &Arc<Gpu>) -> Result<bool> {
        let memories: SmallVec<[&Allocation; 4]> =
            self.made.iter().map(|(_, b)| transfer::memory(b)).collect::<Result<_>>()?;
        let Some(&first) = memories.first() else { return Ok(false) };
        let mut prologues: SmallVec<[(u32, Inline); 2]> = SmallVec::new();
        for (n, bound) in &self.before {
            let Some(inline) = bound.inline(None, &[])? else { return Ok(false) };
            prologues.push((*n, inline));
        }
        let mut epilogue = None;
        if let Some((a, bound)) = &self.after {
            epilogue = bound.inline(Some((a, first)), &memories[usize::from(a.keeps)..])?;
            if epilogue.is_none() {
                return Ok(false);
            }
        }
        let (inputs, out) = (self.node.inputs(), &self.node.outs[0]);
        let mut ins: SmallVec<[View; 4]> = SmallVec::new();
        let mut numbers: SmallVec<[u64; 4]> = SmallVec::new();
        for input in inputs.iter() {
            match input {
                Input::Scalar(bits, _) => numbers.push(*bits),
                Input::Tensor(e) => match prologues.iter().find(|(n, _)| is_node(e, *n)) {
                    Some((_, p)) => {
                        let Some(memory) = p.any_memory() else { return Ok(false) };
                        let Layout { shape, strides, offset } = &*e.layout;
                        ins.push(View { memory, offset: *offset, dtype: e.dtype, shape, strides, inline: Some(p) });
                    }
                    None => ins.push(view(e)?),
                },
            }
        }
        let Layout { shape, strides, .. } = &*out.layout;
        let out = View { memory: first, offset: 0, dtype: out.dtype, shape, strides, inline: epilogue.as_ref() };
        let mut buffers = Vec::new();
        ins.iter().chain([&out]).for_each(|v| v.bind(&mut buffers));
        let limit = gpu.limits.max_storage_buffers_per_shader_stage as usize;
        if buffers.len() > limit || gpu.too_large(buffers.iter().copied()) {
            return Ok(false);
        }
        gpu::execute(gpu, &self.node.op, &ins, &numbers, &[out]).map(|()| true)
    }
}

/// Whether an edge comes from the node at this position, which is not computed.
fn is_node(e: &Edge, n: u32) -> bool {
    e.node.is_pending() && e.node.slot.load(Relaxed) == n
}

/// Runs the parts as one kernel; false where the device cannot, and then nothing is done.
fn in_one(slots: &mut Slots, j: &Joined, gpu: &Arc<Gpu>, device: Device) -> Result<bool> {
    let node = node_at(slots, j.node)?;
    let small = |l: &Layout| l.numel() > 0 && l.shape.len() <= MOST_DIMS;
    let inputs_small = node.inputs().iter().all(|i| !matches!(i, Input::Tensor(e) if !small(&e.layout)));
    let space_small = match &j.after {
        Some(after) => small(&*space_of(slots, &after.fused)?),
        None => true,
    };
    if !inputs_small || !space_small || !small(&node.outs[0].layout) || j.before.len() + 1 > MOST {
        return Ok(false);
    }
    let parts = Parts::gather(slots, j, device)?;
    if !parts.launch(gpu)? {
        return Ok(false);
    }
    let made = parts.made;
    drop((parts.before, parts.after, parts.node));
    count(&COUNTERS.fused_nodes, j.before.iter().map(|b| b.1.nodes.len()).sum());
    count(&COUNTERS.fused_nodes, j.after.as_ref().map_or(0, |a| a.fused.nodes.len()));
    for (n, buffer) in made {
        node_at(slots, n)?.finish(SmallVec::from_iter([buffer]));
    }
    let nodes = j.before.iter().flat_map(|b| &b.1.nodes).chain(j.after.iter().flat_map(|a| &a.fused.nodes));
    nodes.chain([&j.node]).for_each(|&n| slots[n as usize] = None);
    Ok(true)
}

/// The memory of what a program stores: for the first that can be there, that of the results it is computed from, unless they
/// are needed; and whether an operand's was taken.
fn targets(
    slots: &Slots,
    after: &After,
    node: &Node,
    edges: &[Edge],
    own: &Arc<Buffer>,
) -> Result<(SmallVec<[Arc<Buffer>; 4]>, bool)> {
    let fused = &after.fused;
    let specs: SmallVec<[&OutSpec; 4]> =
        fused.stores.iter().map(|s| Ok(&node_at(slots, s.0)?.outs[0])).collect::<Result<_>>()?;
    // A copy of the results themselves would be made too late elsewhere.
    let copy = fused.stores.iter().position(|s| s.1 == Some(after.load));
    let fits = || specs.iter().position(|s| s.dtype.size() == node.outs[0].dtype.size());
    let at_own = if after.keeps { None } else { copy.or_else(fits) };
    let mut taken: SmallVec<[*const Buffer; 4]> = SmallVec::new();
    let (mut buffers, mut donated) = (SmallVec::new(), false);
    for (k, spec) in specs.into_iter().enumerate() {
        let given = if at_own == Some(k) { None } else { donate(fused, k, spec, edges, &taken) };
        donated |= given.is_some();
        let buffer = match given {
            Some(buffer) => buffer,
            None if at_own == Some(k) => own.clone(),
            None => allocate(spec, Device::Cpu)?,
        };
        taken.push(Arc::as_ptr(&buffer));
        buffers.push(buffer);
    }
    Ok((buffers, donated))
}

/// Runs the operator, whose results the program finishes part by part; false where there is nothing to finish.
fn on_cpu(slots: &mut Slots, j: &Joined, spoils: &mut bool) -> Result<bool> {
    let (node, Some(after)) = (node_at(slots, j.node)?.clone(), &j.after) else { return Ok(false) };
    let (Kernel::Cpu(kernel), out) = (&after.fused.kernel, &node.outs[0]) else { return Ok(false) };
    if out.layout.numel() == 0 || !j.before.is_empty() {
        return Ok(false);
    }
    let (edges, numbers) = operands_of(slots, &after.fused)?;
    // Where much more than the results comes and goes, a walk in the order of memory is worth more than finding them in cache.
    let whole =
        |e: &&Edge| e.layout.shape.iter().zip(e.layout.strides.iter()).all(|(&n, &stride)| n == 1 || stride > 0);
    if edges.iter().filter(whole).count() + after.fused.stores.len() > MOST_STREAMS {
        return Ok(false);
    }
    let own = allocate(out, Device::Cpu)?;
    let (buffers, donated) = targets(slots, after, &node, &edges, &own)?;
    let mut operands: SmallVec<[cpu::elementwise::Operand; 8]> = SmallVec::new();
    for (k, e) in edges.iter().enumerate() {
        let ptr = if k == after.load as usize { own.ptr() } else { address(e)? };
        operands.push(cpu::elementwise::Operand { ptr, strides: &e.layout.strides });
    }
    let stores: SmallVec<[_; 4]> = buffers.iter().map(|b| cpu::elementwise::Target { ptr: b.ptr() }).collect();
    let space = space_of(slots, &after.fused)?;
    let results = (own.ptr().cast_const(), out.dtype.size());
    let in_space = (&space.shape[..], &space.strides[..]);
    let then = cpu::elementwise::Finisher::new(kernel, in_space, &operands, &numbers, &stores, results);
    let inputs = node.inputs();
    let (tensors, scalars) = tensors_and_numbers(&inputs);
    let ins: SmallVec<[_; 4]> = tensors.into_iter().map(window).collect::<Result<_>>()?;
    let Layout { shape, strides, .. } = &*out.layout;
    let mut outs = [cpu::view::Out { ptr: own.ptr(), dtype: out.dtype, shape, strides }];
    *spoils = donated;
    cpu::execute_then(&node.op, &ins, &scalars, &mut outs, &then)?;
    count(&COUNTERS.fused_nodes, after.fused.nodes.len());
    for (&(n, _), buffer) in after.fused.stores.iter().zip(buffers) {
        node_at(slots, n)?.finish(SmallVec::from_iter([buffer]));
    }
    drop(ins);
    drop(inputs);
    if after.keeps {
        node.finish(SmallVec::from_iter([own]));
    }
    after.fused.nodes.iter().chain([&j.node]).for_each(|&n| slots[n as usize] = None);
    Ok(true)
}
