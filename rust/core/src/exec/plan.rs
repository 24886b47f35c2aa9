//! Plans: a segment's units in execution order, with the fused programs ready. Plans are cached by structure; sizes,
//! strides and numbers are read from the nodes at every run.

use super::fuse::{self, Unit};
use super::late;
use super::program::{Code, Instr, Program};
use super::segment::{Key, hash_key, pending_inputs, same_layout};
use super::{COUNTERS, count};
use crate::device::Device;
use crate::error::Result;
use crate::graph::{Input, Node, lock};
use crate::op::{Ew, Op};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock, Mutex};

/// Words of the keys of segments that are so short that finding their plan costs as much as running it.
const SHORT: usize = 64;
/// Plans kept; the least recently used go first.
const CAPACITY: usize = 1024;

/// One kernel launch.
#[derive(Debug)]
pub enum Step {
    /// A structured operator: the node's position.
    Kernel(u32),
    Fused(Box<Fused>),
    Joined(Box<Joined>),
}

impl Step {
    /// The nodes that it computes.
    pub fn nodes(&self) -> smallvec::SmallVec<[u32; 8]> {
        match self {
            Step::Kernel(n) => smallvec::SmallVec::from_slice(&[*n]),
            Step::Fused(f) => smallvec::SmallVec::from_slice(&f.nodes),
            Step::Joined(j) => {
                let before = j.before.iter().flat_map(|(_, f)| f.nodes.iter().copied());
                let after = j.after.iter().flat_map(|a| a.fused.nodes.iter().copied());
                before.chain([j.node]).chain(after).collect()
            }
        }
    }
}

/// A structured operator with the elementwise work around it in one kernel. Where a device cannot have it so, the parts run
/// one after the other.
#[derive(Debug)]
pub struct Joined {
    pub node: u32,
    /// What computes an input: the node whose result it is.
    pub before: Vec<(u32, Fused)>,
    pub after: Option<After>,
}

/// What is computed from the results.
#[derive(Debug)]
pub struct After {
    pub fused: Fused,
    /// The load that is the result.
    pub load: u16,
    /// Whether the result itself is needed as well.
    pub keeps: bool,
}

/// A fused program made ready for a device.
#[derive(Debug)]
pub enum Kernel {
    Cpu(crate::cpu::elementwise::Kernel),
    Gpu(crate::gpu::elementwise::Kernel),
}

/// A fused elementwise kernel bound to positions in the segment.
#[derive(Debug)]
pub struct Fused {
    pub nodes: Vec<u32>,
    pub kernel: Kernel,
    /// Per load: the node and input through which it is read, and how many inputs of the unit read that very node.
    pub loads: Vec<(u32, u8)>,
    pub scalars: Vec<(u32, u8)>,
    /// Per store: the node whose output it is, and the load that it copies unchanged, if it does.
    pub stores: Vec<(u32, Option<u16>)>,
}

#[derive(Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Of each structured operator with several results: the nodes that read it, and through which of their inputs.
    pub readers: HashMap<u32, Vec<(u32, u8)>>,
}

struct Entry {
    key: Key,
    plan: Arc<Plan>,
    used: u64,
}

#[derive(Default)]
struct Cache {
    buckets: HashMap<u64, Vec<Entry>>,
    len: usize,
    clock: u64,
}

static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

/// A thread's last plan: in a loop over few operators the next is the same.
#[derive(Default)]
pub struct Last {
    key: Key,
    fusion: bool,
    plan: Option<Arc<Plan>>,
}

impl Last {
    pub const fn new() -> Last {
        Last { key: Vec::new(), fusion: false, plan: None }
    }

    /// The plan for this segment, made now if its structure is new; and whether it was known.
    pub fn plan_for(
        &mut self,
        nodes: &[Arc<Node>],
        key: &Key,
        live: &[bool],
        fusion: bool,
    ) -> Result<(Arc<Plan>, bool)> {
        if let Some(plan) = self.plan.as_ref().filter(|_| self.fusion == fusion && self.key == *key) {
            count(&COUNTERS.plan_hits, 1);
            return Ok((plan.clone(), true));
        }
        let (plan, known) = find(nodes, key, live, fusion)?;
        if key.len() <= SHORT {
            self.key.clone_from(key);
            (self.fusion, self.plan) = (fusion, Some(plan.clone()));
        }
        Ok((plan, known))
    }
}

/// As [`Last::plan_for`], among the plans of all threads.
fn find(nodes: &[Arc<Node>], key: &Key, live: &[bool], fusion: bool) -> Result<(Arc<Plan>, bool)> {
    let hash = hash_key(key) ^ fusion as u64;
    {
        let mut cache = lock(&CACHE);
        cache.clock += 1;
        let clock = cache.clock;
        if let Some(entry) = cache.buckets.get_mut(&hash).and_then(|b| b.iter_mut().find(|e| e.key == *key)) {
            entry.used = clock;
            count(&COUNTERS.plan_hits, 1);
            return Ok((entry.plan.clone(), true));
        }
    }
    count(&COUNTERS.plan_misses, 1);
    let plan = Arc::new(compile(nodes, live, fusion)?);
    let mut cache = lock(&CACHE);
    if cache.len >= CAPACITY {
        cache.evict();
    }
    let used = cache.clock;
    cache.len += 1;
    cache.buckets.entry(hash).or_default().push(Entry { key: key.clone(), plan: plan.clone(), used });
    Ok((plan, false))
}

impl Cache {
    /// Drops the older half.
    fn evict(&mut self) {
        let mut ages: Vec<u64> = self.buckets.values().flatten().map(|e| e.used).collect();
        ages.sort_unstable();
        let Some(&middle) = ages.get(ages.len() / 2) else { return };
        for bucket in self.buckets.values_mut() {
            bucket.retain(|e| e.used > middle);
        }
        self.buckets.retain(|_, b| !b.is_empty());
        self.len = self.buckets.values().map(Vec::len).sum();
    }
}

/// No work is recorded on the device `meta`.
pub(super) fn nothing_to_run() -> crate::error::Error {
    crate::error::Error::Internal("there is nothing to run on the device meta".into())
}

/// How many values a fused kernel may read: on the GPU so many that at least two results find a binding too.
fn most_reads(device: Device) -> Result<usize> {
    match device {
        Device::Cpu => Ok(usize::MAX),
        Device::Gpu(i) => Ok(crate::gpu::gpu(i)?.limits.max_storage_buffers_per_shader_stage as usize - 2),
        Device::Meta => Err(nothing_to_run()),
    }
}

fn compile(nodes: &[Arc<Node>], live: &[bool], fusion: bool) -> Result<Plan> {
    let device = nodes[0].device;
    let mut units = fuse::fuse(nodes, fusion, most_reads(device)?);
    let mut order = schedule(&units);
    if fusion && device == Device::Cpu && late::postpone(nodes, live, &mut units, &order) {
        order = schedule(&units);
    }
    if order.len() < units.iter().filter(|u| !u.nodes.is_empty()).count() {
        return Err(crate::error::Error::Internal("fusion made units that wait for each other".into()));
    }
    let mut unit_of = vec![0u32; nodes.len()];
    for (u, unit) in units.iter().enumerate() {
        for &n in &unit.nodes {
            unit_of[n as usize] = u as u32;
        }
    }
    // A value must reach memory when something outside its unit reads it.
    let mut readers: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        for p in pending_inputs(node).map(|p| p as usize) {
            if unit_of[p] != unit_of[i] {
                readers[p].push(i as u32);
            }
        }
    }
    let stored: Vec<bool> = live.iter().zip(&readers).map(|(&l, r)| l || !r.is_empty()).collect();
    // The CPU's kernels read memory.
    let absorbs = fusion && device != Device::Cpu;
    let absorbed = if absorbs { absorbed(nodes, &units, &unit_of, live, &readers) } else { HashMap::new() };
    let mut steps = Vec::with_capacity(order.len());
    for u in order {
        let unit = &units[u as usize];
        if absorbed.values().any(|v| v.contains(&u)) {
            continue;
        }
        match unit.core {
            None if unit.elementwise => steps.push(Step::Fused(Box::new(assemble(nodes, unit, &stored)?.0))),
            Some(node) if unit.nodes.len() > 1 || absorbed.contains_key(&u) => {
                let mut before = Vec::new();
                for &b in absorbed.get(&u).into_iter().flatten() {
                    let fused = assemble(nodes, &units[b as usize], &stored)?.0;
                    before.push((fused.stores[0].0, fused));
                }
                let after = if unit.nodes.len() > 1 {
                    let (fused, load) = assemble(nodes, unit, &stored)?;
                    Some(After { fused, load: load.unwrap_or_default(), keeps: stored[node as usize] })
                } else {
                    None
                };
                steps.push(Step::Joined(Box::new(Joined { node, before, after })));
            }
            _ => steps.extend(unit.nodes.iter().map(|&n| Step::Kernel(n))),
        }
    }
    Ok(Plan { steps, readers: readers_of_several(nodes) })
}

fn readers_of_several(nodes: &[Arc<Node>]) -> HashMap<u32, Vec<(u32, u8)>> {
    let several = |(i, node): (usize, &Arc<Node>)| (node.outs.len() > 1).then(|| (i as u32, Vec::new()));
    let mut found: HashMap<u32, Vec<(u32, u8)>> = nodes.iter().enumerate().filter_map(several).collect();
    for (i, node) in nodes.iter().enumerate() {
        for (k, input) in node.inputs().iter().enumerate() {
            if let Input::Tensor(e) = input
                && e.node.is_pending()
                && let Some(readers) = found.get_mut(&e.node.slot.load(Relaxed))
            {
                readers.push((i as u32, k as u8));
            }
        }
    }
    found
}

/// Elementwise units whose one value a single structured operator reads, by the unit of that operator: they are computed where
/// they are read. Products read an element many times, so only what is cheap to compute again is part of them.
fn absorbed(
    nodes: &[Arc<Node>],
    units: &[Unit],
    unit_of: &[u32],
    live: &[bool],
    readers: &[Vec<u32>],
) -> HashMap<u32, Vec<u32>> {
    let mut found: HashMap<u32, Vec<u32>> = HashMap::new();
    for (u, unit) in units.iter().enumerate() {
        let Some(core) = unit.core else { continue };
        let product = !matches!(nodes[core as usize].op, Op::Reduce(..));
        for p in pending_inputs(&nodes[core as usize]).take(2).map(|p| p as usize) {
            let maker = &units[unit_of[p] as usize];
            let only = |&n: &u32| n as usize == p || (!live[n as usize] && readers[n as usize].is_empty());
            // A write into what the unit reads waits for the unit, not for where it would be computed.
            let others_wait = || {
                let waits = |(v, other): (usize, &Unit)| v != u && other.after.contains(&unit_of[p]);
                units.iter().enumerate().any(waits)
            };
            let joins = maker.elementwise
                && !live[p]
                && readers[p].iter().all(|&r| r == core)
                && maker.nodes.iter().all(only)
                && !found.get(&(u as u32)).is_some_and(|f| f.contains(&unit_of[p]));
            if joins && (!product || is_cheap(nodes, maker)) && !others_wait() {
                found.entry(u as u32).or_default().push(unit_of[p]);
            }
        }
    }
    found
}

/// Whether a unit reads one tensor in its own order and does little with it.
fn is_cheap(nodes: &[Arc<Node>], unit: &Unit) -> bool {
    let tensors = |n: &u32| {
        let node = &nodes[*n as usize];
        let aligned = |e: &crate::graph::Edge| same_layout(&e.layout, &node.outs[0].layout);
        node.inputs()
            .iter()
            .map(|i| if let Input::Tensor(e) = i { 2 - usize::from(aligned(e)) } else { 0 })
            .sum::<usize>()
    };
    let cheap = |n: &u32| match nodes[*n as usize].op {
        Op::Cast | Op::Bits => true,
        Op::Ew(e) => matches!(e, Ew::Copy | Ew::Add | Ew::Sub | Ew::Mul | Ew::Neg | Ew::Relu),
        _ => false,
    };
    unit.nodes.len() <= 3 && unit.nodes.iter().all(|n| tensors(n) <= 1 && cheap(n))
}

/// Units in an order that respects their waits and otherwise follows the program: a unit stands where its last node does, or
/// before the first of those that wait for it.
fn schedule(units: &[Unit]) -> Vec<u32> {
    let mut waits = vec![0usize; units.len()];
    let mut waiters: Vec<Vec<u32>> = vec![Vec::new(); units.len()];
    for (u, unit) in units.iter().enumerate() {
        waits[u] = unit.after.len();
        for &a in &unit.after {
            waiters[a as usize].push(u as u32);
        }
    }
    let last = |u: u32| units[u as usize].nodes.last().copied().unwrap_or(0);
    let order = in_order(units, waits.clone(), &waiters, last);
    let mut places: Vec<u32> = (0..units.len() as u32).map(last).collect();
    for &u in order.iter().rev() {
        let first = waiters[u as usize].iter().map(|&w| places[w as usize]).min();
        places[u as usize] = places[u as usize].min(first.unwrap_or(u32::MAX));
    }
    in_order(units, waits, &waiters, |u| places[u as usize])
}

/// Units after those that they wait for, and of those that may run, the one with the lowest place.
fn in_order(units: &[Unit], mut waits: Vec<usize>, waiters: &[Vec<u32>], place: impl Fn(u32) -> u32) -> Vec<u32> {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    let mut ready: BinaryHeap<Reverse<(u32, u32)>> = (0..units.len() as u32)
        .filter(|&u| waits[u as usize] == 0 && !units[u as usize].nodes.is_empty())
        .map(|u| Reverse((place(u), u)))
        .collect();
    let mut order = Vec::with_capacity(units.len());
    while let Some(Reverse((_, u))) = ready.pop() {
        order.push(u);
        for &w in &waiters[u as usize] {
            waits[w as usize] -= 1;
            if waits[w as usize] == 0 {
                ready.push(Reverse((place(w), w)));
            }
        }
    }
    order
}

/// A unit's program while it is put together.
#[derive(Default)]
struct Assembly {
    program: Program,
    register_of: HashMap<u32, u16>,
    loads: Vec<(u32, u8)>,
    scalars: Vec<(u32, u8)>,
    stores: Vec<(u32, Option<u16>)>,
    /// The unit's structured operator, and the load that is its value.
    core: Option<u32>,
    own: Option<u16>,
}

impl Assembly {
    /// The register with input `k` of node `n`, and the input's dtype.
    fn read(&mut self, n: u32, k: u8, input: &Input) -> (u16, crate::dtype::DType) {
        let e = match input {
            Input::Scalar(_, dtype) => {
                self.scalars.push((n, k));
                self.program.scalars.push(*dtype);
                let index = self.program.scalars.len() as u16 - 1;
                return (self.program.emit(Code::Scalar(index), *dtype, Default::default()), *dtype);
            }
            Input::Tensor(e) => e,
        };
        let local = e.node.is_pending().then(|| e.node.slot.load(Relaxed));
        if let Some(&reg) = local.and_then(|p| self.register_of.get(&p)) {
            return (reg, e.dtype);
        }
        self.loads.push((n, k));
        self.program.loads.push(e.dtype);
        let index = self.program.loads.len() as u16 - 1;
        let reg = self.program.emit(Code::Load(index), e.dtype, Default::default());
        if let Some(core) = self.core.filter(|&c| local == Some(c)) {
            self.own = Some(index);
            self.register_of.insert(core, reg);
        }
        (reg, e.dtype)
    }

    fn add(&mut self, n: u32, node: &Node, stored: bool) {
        let mut src = smallvec::SmallVec::new();
        let mut source_dtype = node.outs[0].dtype;
        for (k, input) in node.inputs().iter().enumerate() {
            let (reg, dtype) = self.read(n, k as u8, input);
            // The condition of `where` is bool; the compute dtype is that of the values.
            if k == 0 || (k == 1 && matches!(node.op, Op::Ew(Ew::Where))) {
                source_dtype = dtype;
            }
            src.push(reg);
        }
        let reg = self.program.emit_node(node, source_dtype, src);
        self.register_of.insert(n, reg);
        if stored {
            self.program.stores.push((reg, node.outs[0].dtype));
            let copied = match self.program.instrs[reg as usize].code {
                Code::Load(k) => Some(k),
                _ => None,
            };
            self.stores.push((n, copied));
        }
    }
}

/// Turns a unit into a program. Loads of one value through one layout are shared by the run-time binding, not here: the
/// program depends on structure only. In a unit with a structured operator the second result is the load of its value.
fn assemble(nodes: &[Arc<Node>], unit: &Unit, stored: &[bool]) -> Result<(Fused, Option<u16>)> {
    let mut made = Assembly { core: unit.core, ..Default::default() };
    let elementwise: Vec<u32> = unit.nodes.iter().copied().filter(|&n| unit.core != Some(n)).collect();
    for &n in &elementwise {
        made.add(n, &nodes[n as usize], stored[n as usize]);
    }
    let Assembly { mut program, loads, scalars, stores, own, .. } = made;
    program.allocate_registers();
    let kernel = match nodes[unit.nodes[0] as usize].device {
        Device::Cpu => Kernel::Cpu(crate::cpu::elementwise::Kernel::new(program)?),
        Device::Gpu(_) => Kernel::Gpu(crate::gpu::elementwise::Kernel::new(program)),
        Device::Meta => return Err(nothing_to_run()),
    };
    Ok((Fused { nodes: elementwise, kernel, loads, scalars, stores }, own))
}

impl Program {
    /// The instruction of an elementwise node or conversion; the register that holds its value.
    fn emit_node(&mut self, node: &Node, source: crate::dtype::DType, src: smallvec::SmallVec<[u16; 4]>) -> u16 {
        let to = node.outs[0].dtype;
        match node.op {
            // A copy, or a conversion to the same dtype, is the value itself.
            Op::Ew(Ew::Copy) => src[0],
            Op::Cast if source == to => src[0],
            Op::Ew(e) if e.is_random() => self.emit(Code::Ew(e), to, src),
            Op::Ew(e) => self.emit(Code::Ew(e), source, src),
            Op::Bits => self.emit(Code::Bits(to), source, src),
            _ => self.emit(Code::Cast(to), source, src),
        }
    }

    fn emit(&mut self, code: Code, dtype: crate::dtype::DType, src: smallvec::SmallVec<[u16; 4]>) -> u16 {
        let dst = self.instrs.len() as u16;
        self.instrs.push(Instr { code, dtype, dst, src });
        dst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(nodes: &[u32], after: &[u32]) -> Unit {
        let mut unit = Unit::default();
        unit.nodes.extend(nodes);
        unit.after.extend(after);
        unit
    }

    #[test]
    fn what_a_program_does_late_does_not_run_before_what_waits_for_a_unit_with_late_nodes() {
        // Fusion gave node 9 to the unit of node 0, for which the others wait; node 5 could run at any time.
        let units = [unit(&[0, 9], &[]), unit(&[1], &[0]), unit(&[5], &[]), unit(&[6], &[1]), unit(&[10], &[3, 2])];
        assert_eq!(schedule(&units), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn units_that_wait_for_each_other_are_left_out() {
        assert_eq!(schedule(&[unit(&[0], &[]), unit(&[1], &[2]), unit(&[2], &[1])]), [0]);
    }
}
