//! Running a structured operator and the elementwise work around it as one kernel of the GPU.

use super::plan::{After, Fused, Joined, Kernel};
use super::run::{Slots, allocate, buffer_of, fused, kernel, node_at, operands_of, view};
use super::{COUNTERS, count, transfer};
use crate::device::Device;
use crate::error::Result;
use crate::gpu::elementwise::Operand;
use crate::gpu::inline::{Inline, MOST};
use crate::gpu::memory::Allocation;
use crate::gpu::view::View;
use crate::gpu::{self, Gpu};
use crate::graph::{Buffer, Edge, Input, Node};
use crate::shape::Layout;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The most dims of a structured operator whose parameters leave room for those of programs.
const MOST_DIMS: usize = 12;

/// Runs the parts in one kernel, or one after the other where the device cannot have them so.
pub fn joined(slots: &mut Slots, j: &Joined, device: Device, spoils: &mut bool) -> Result<()> {
    if let Device::Gpu(index) = device
        && in_one(slots, j, &gpu::gpu(index)?, device)?
    {
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

/// A program with what it reads.
struct Bound<'a> {
    fused: &'a Fused,
    space: Arc<Layout>,
    edges: SmallVec<[Edge; 8]>,
    numbers: SmallVec<[u64; 8]>,
}

impl<'a> Bound<'a> {
    fn new(slots: &Slots, fused: &'a Fused, space: &Node) -> Result<Bound<'a>> {
        let (edges, numbers) = operands_of(slots, fused)?;
        Ok(Bound { fused, space: space.outs[0].layout.clone(), edges, numbers })
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
            before.push((*made, Bound::new(slots, f, node_at(slots, *made)?)?));
        }
        let after = j.after.as_ref().map(|a| Bound::new(slots, &a.fused, &node).map(|b| (a, b))).transpose()?;
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
    if !inputs_small || !small(&node.outs[0].layout) || j.before.len() + 1 > MOST {
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
