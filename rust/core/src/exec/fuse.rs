//! Fusion: groups elementwise nodes that share an index space into units. A unit is executed as one kernel.
//!
//! A node joins the unit of a producer when
//! * both are elementwise and the value passes whole: same dtype, same layout on both sides,
//! * the unit stays small enough (`MAX_INSTRS`, `MAX_OPERANDS`),
//! * none of the node's other inputs depends on the unit (that would be a cycle) or is a value of the unit itself seen
//!   through another layout.
//!
//! Two producer units of one node merge under the same rule. Numerics do not change: every operator rounds to its dtype.
//!
//! A unit may also begin with one structured operator that joins ([`Op::joins`]): what follows is then computed from each element
//! that its kernel writes. It may pass in another shape, as long as its elements stay in the order of their memory.

use crate::graph::{Input, Node};
use crate::op::{Ew, Op};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::segment::{in_order, same_layout};
use crate::shape::Layout;

pub(super) const MAX_INSTRS: usize = 1024;
const MAX_OPERANDS: usize = 48;

/// One kernel to be: its nodes in recorded order and the units it must wait for.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    pub nodes: Vec<u32>,
    pub after: Vec<u32>,
    pub elementwise: bool,
    /// The structured operator whose results the elementwise nodes are computed from.
    pub core: Option<u32>,
    /// Those of `after` that this unit reads through another layout: they can never be one kernel.
    windowed: Vec<u32>,
    operands: usize,
    /// The distinct values that it reads and does not make.
    reads: Vec<Value>,
}

/// An output of a node, by identity.
type Value = (*const Node, u8);

pub fn is_elementwise(node: &Node) -> bool {
    matches!(node.op, Op::Ew(_) | Op::Cast | Op::Bits)
}

struct Fuser<'a> {
    nodes: &'a [Arc<Node>],
    units: Vec<Unit>,
    unit_of: Vec<u32>,
    fusion: bool,
    /// Distinct values that a unit may read: a kernel of the GPU binds only so many buffers.
    most_reads: usize,
    /// The placed nodes that read each node.
    readers: HashMap<*const Node, Vec<u32>>,
    seen: Vec<u32>,
    round: u32,
}

/// Groups the segment's nodes into units; units that were merged away are left empty.
pub fn fuse(nodes: &[Arc<Node>], fusion: bool, most_reads: usize) -> Vec<Unit> {
    let (units, unit_of, seen) = (Vec::new(), Vec::new(), Vec::new());
    let mut f = Fuser { nodes, units, unit_of, fusion, most_reads, readers: HashMap::new(), seen, round: 0 };
    for i in 0..nodes.len() {
        f.place(i as u32);
    }
    f.units
}

impl Fuser<'_> {
    fn place(&mut self, i: u32) {
        let node = &self.nodes[i as usize];
        let elementwise = is_elementwise(node);
        let mut after: Vec<u32> = Vec::new();
        let mut candidates: Vec<u32> = Vec::new();
        // Units of which this node reads a value through another layout: that value must be in memory first.
        let mut windowed: Vec<u32> = Vec::new();
        let mut operands = 1;
        let mut reads: Vec<Value> = Vec::new();
        for input in node.inputs().iter() {
            let Input::Tensor(e) = input else { continue };
            operands += 1;
            if self.most_reads != usize::MAX {
                join(&mut reads, std::iter::once((Arc::as_ptr(&e.node), e.out)));
            }
            if !e.node.is_pending() {
                continue;
            }
            let p = e.node.slot.load(Relaxed);
            let unit = self.unit_of[p as usize];
            if !after.contains(&unit) {
                after.push(unit);
            }
            let produced = &e.node.outs[e.out as usize];
            let aligned = e.dtype == produced.dtype && same_layout(&e.layout, &node.outs[0].layout);
            let producer = &self.units[unit as usize];
            let whole = same_layout(&e.layout, &produced.layout);
            let passes = aligned
                && match self.space(unit) {
                    _ if producer.core != Some(p) => whole,
                    None => whole || in_order(&e.layout, &produced.layout),
                    Some(space) => whole && same_layout(space, &produced.layout),
                };
            if !passes || !elementwise {
                windowed.push(unit);
            } else if (producer.elementwise || producer.core.is_some()) && !candidates.contains(&unit) {
                candidates.push(unit);
            }
        }
        candidates.retain(|c| self.fusion && elementwise && !windowed.contains(c));
        if node.op.overwrites_first() {
            self.wait_for_readers(i, &mut after);
        }
        if matches!(node.op, Op::Ew(Ew::Philox)) {
            candidates.clear();
        }
        let home = self.find_home(candidates, &mut after, &mut windowed, operands, &reads);
        let unit = home.unwrap_or_else(|| self.found(i, elementwise));
        let u = &mut self.units[unit as usize];
        u.nodes.push(i);
        u.operands += operands;
        if self.most_reads != usize::MAX {
            join(&mut u.reads, reads.into_iter());
        }
        join(&mut u.after, after.into_iter().filter(|&a| a != unit));
        join(&mut u.windowed, windowed.into_iter());
        self.unit_of.push(unit);
        self.forget_own_values(unit);
        self.note_reader(i);
    }

    /// The index space of a unit's elementwise nodes.
    fn space(&self, unit: u32) -> Option<&Arc<Layout>> {
        let unit = &self.units[unit as usize];
        let first = unit.nodes.iter().find(|&&n| unit.core != Some(n))?;
        Some(&self.nodes[*first as usize].outs[0].layout)
    }

    /// A new unit for this node.
    fn found(&mut self, i: u32, elementwise: bool) -> u32 {
        let node = &self.nodes[i as usize];
        let core = node.op.joins(node.device).then_some(i);
        self.units.push(Unit { elementwise, core, ..Default::default() });
        self.seen.push(0);
        (self.units.len() - 1) as u32
    }

    fn note_reader(&mut self, i: u32) {
        for input in self.nodes[i as usize].inputs().iter() {
            if let Input::Tensor(e) = input {
                self.readers.entry(Arc::as_ptr(&e.node)).or_default().push(i);
            }
        }
    }

    /// The unit that a node joins: the latest candidate that admits it, with the other candidates merged into it where that is
    /// allowed. The node's own lists follow the merges.
    fn find_home(
        &mut self,
        mut candidates: Vec<u32>,
        after: &mut Vec<u32>,
        windowed: &mut Vec<u32>,
        operands: usize,
        reads: &[Value],
    ) -> Option<u32> {
        candidates.sort_unstable_by_key(|&u| std::cmp::Reverse(self.last(u)));
        let mut home: Option<u32> = None;
        for c in candidates {
            match home {
                None => {
                    if self.can_join(c, after, 1, operands, reads) {
                        home = Some(c);
                    }
                }
                Some(h) => {
                    if self.can_merge(h, c, after) {
                        self.merge(h, c);
                        rename(after, c, h);
                        rename(windowed, c, h);
                    }
                }
            }
        }
        home
    }

    /// A write into a storage comes after the recorded readers of its old value, so that it can happen in place.
    fn wait_for_readers(&self, i: u32, after: &mut Vec<u32>) {
        let inputs = self.nodes[i as usize].inputs();
        let Some(Input::Tensor(base)) = inputs.first() else { return };
        let readers = self.readers.get(&Arc::as_ptr(&base.node)).into_iter().flatten();
        join(after, readers.map(|&j| self.unit_of[j as usize]));
    }

    fn last(&self, u: u32) -> u32 {
        self.units[u as usize].nodes.last().copied().unwrap_or(0)
    }

    /// Whether a unit that reads `reads` as well stays within the limit; those that it makes itself do not count.
    fn admits(&self, unit: u32, reads: &[Value]) -> bool {
        let own = &self.units[unit as usize].reads;
        let made =
            |v: &Value| self.units[unit as usize].nodes.iter().any(|&n| Arc::as_ptr(&self.nodes[n as usize]) == v.0);
        own.len() + reads.len() <= self.most_reads
            || own.len() + reads.iter().filter(|v| !own.contains(v) && !made(v)).count() <= self.most_reads
    }

    /// Values that are now made by the unit are no longer read from outside.
    fn forget_own_values(&mut self, unit: u32) {
        if self.most_reads == usize::MAX {
            return;
        }
        let made =
            |v: &Value| self.units[unit as usize].nodes.iter().any(|&n| Arc::as_ptr(&self.nodes[n as usize]) == v.0);
        let kept: Vec<Value> = self.units[unit as usize].reads.iter().copied().filter(|v| !made(v)).collect();
        self.units[unit as usize].reads = kept;
    }

    fn can_join(&mut self, c: u32, after: &[u32], instrs: usize, operands: usize, reads: &[Value]) -> bool {
        let u = &self.units[c as usize];
        u.nodes.len() + instrs <= MAX_INSTRS
            && self.admits(c, reads)
            && u.operands + operands <= MAX_OPERANDS * 4
            && !self.reaches(after.iter().copied().filter(|&a| a != c).collect(), c)
    }

    fn can_merge(&mut self, a: u32, b: u32, after: &[u32]) -> bool {
        let (ua, ub) = (&self.units[a as usize], &self.units[b as usize]);
        if ua.nodes.len() + ub.nodes.len() >= MAX_INSTRS || ua.operands + ub.operands > MAX_OPERANDS * 4 {
            return false;
        }
        if !self.admits(a, &ub.reads) || ua.core.is_some() && ub.core.is_some() {
            return false;
        }
        if ua.windowed.contains(&b) || ub.windowed.contains(&a) {
            return false;
        }
        // Index spaces must agree.
        if let (Some(a), Some(b)) = (self.space(a), self.space(b))
            && !same_layout(a, b)
        {
            return false;
        }
        let from_a: Vec<u32> = ua.after.iter().copied().filter(|&x| x != b).collect();
        let from_b: Vec<u32> = ub.after.iter().copied().filter(|&x| x != a).collect();
        let others: Vec<u32> = after.iter().copied().filter(|&x| x != a && x != b).collect();
        !self.reaches(from_a, b)
            && !self.reaches(from_b, a)
            && !self.reaches(others.clone(), a)
            && !self.reaches(others, b)
    }

    fn merge(&mut self, into: u32, from: u32) {
        let gone = std::mem::take(&mut self.units[from as usize]);
        for &n in &gone.nodes {
            self.unit_of[n as usize] = into;
        }
        let u = &mut self.units[into as usize];
        u.nodes.extend(gone.nodes);
        u.nodes.sort_unstable();
        u.operands += gone.operands;
        u.core = u.core.or(gone.core);
        u.elementwise &= gone.elementwise;
        join(&mut u.after, gone.after.into_iter());
        join(&mut u.windowed, gone.windowed.into_iter());
        join(&mut u.reads, gone.reads.into_iter());
        for unit in &mut self.units {
            rename(&mut unit.after, from, into);
            rename(&mut unit.windowed, from, into);
        }
        self.units[into as usize].after.retain(|&a| a != into);
    }

    /// Whether one of `start` is `target` or waits for it. A unit that ended before the target began may: through one that
    /// has grown since.
    fn reaches(&mut self, start: Vec<u32>, target: u32) -> bool {
        self.round += 1;
        let mut stack = start;
        while let Some(u) = stack.pop() {
            if u == target {
                return true;
            }
            if self.seen[u as usize] == self.round {
                continue;
            }
            self.seen[u as usize] = self.round;
            stack.extend(&self.units[u as usize].after);
        }
        false
    }
}

/// Adds what is not there yet.
fn join<T: PartialEq>(set: &mut Vec<T>, more: impl Iterator<Item = T>) {
    for m in more {
        if !set.contains(&m) {
            set.push(m);
        }
    }
}

/// Replaces `from` by `into`, keeping each entry once.
fn rename(set: &mut Vec<u32>, from: u32, into: u32) {
    let Some(at) = set.iter().position(|&u| u == from) else { return };
    set.swap_remove(at);
    join(set, std::iter::once(into));
}
