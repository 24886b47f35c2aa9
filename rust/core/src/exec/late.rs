//! Putting off: fusion computes a value as soon as its operands are there, which is in the forward pass for what only the
//! backward pass reads, as the sign of a value that `relu` made. Until then it takes memory that is not needed where the
//! operand lives nearly as long. Such a node moves to the unit that reads it.

use super::fuse::{MAX_INSTRS, Unit};
use super::segment::same_layout;
use crate::graph::{Edge, Input, Node};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

struct Late<'a> {
    nodes: &'a [Arc<Node>],
    live: &'a [bool],
    unit_of: Vec<u32>,
    /// Where each unit stands in the order of execution.
    place: Vec<usize>,
    readers: Vec<Vec<u32>>,
    /// Nodes whose memory a later one may take over for a write.
    overwritten: HashSet<u32>,
}

/// Moves nodes to later units; whether it moved any. `order` is that of the units.
pub fn postpone(nodes: &[Arc<Node>], live: &[bool], units: &mut [Unit], order: &[u32]) -> bool {
    let mut late = Late::new(nodes, live, units, order);
    let mut any = false;
    // The last first: what a node reads can follow it.
    for n in (0..nodes.len() as u32).rev() {
        if let Some(to) = late.destination(n, units) {
            late.put(n, to, units);
            any = true;
        }
    }
    any
}

fn slot(e: &Edge) -> Option<u32> {
    e.node.is_pending().then(|| e.node.slot.load(Relaxed))
}

/// The tensors that a node reads.
fn edges(node: &Node) -> Vec<Edge> {
    let inputs = node.inputs();
    inputs.iter().filter_map(|i| if let Input::Tensor(e) = i { Some(e.clone()) } else { None }).collect()
}

/// Whether all of a value passes, element by element.
fn passes_whole(e: &Edge, reader: &Node) -> bool {
    let made = &e.node.outs[e.out as usize];
    e.dtype == made.dtype && same_layout(&e.layout, &made.layout) && same_layout(&e.layout, &reader.outs[0].layout)
}

impl<'a> Late<'a> {
    fn new(nodes: &'a [Arc<Node>], live: &'a [bool], units: &[Unit], order: &[u32]) -> Late<'a> {
        let (mut unit_of, mut place) = (vec![0; nodes.len()], vec![0; units.len()]);
        for (at, &u) in order.iter().enumerate() {
            place[u as usize] = at;
            units[u as usize].nodes.iter().for_each(|&n| unit_of[n as usize] = u);
        }
        let mut readers: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
        let mut overwritten = HashSet::new();
        for (i, node) in nodes.iter().enumerate() {
            let read: Vec<Option<u32>> = edges(node).iter().map(slot).collect();
            read.iter().flatten().for_each(|&p| readers[p as usize].push(i as u32));
            overwritten.extend(read.first().copied().flatten().filter(|_| node.op.overwrites_first()));
        }
        Late { nodes, live, unit_of, place, readers, overwritten }
    }

    /// The unit to which a node should move: the only one that reads it, if all that it reads is there until about then.
    fn destination(&self, n: u32, units: &[Unit]) -> Option<u32> {
        let (node, from) = (&self.nodes[n as usize], self.unit_of[n as usize]);
        let readers = &self.readers[n as usize];
        let to = self.unit_of[*readers.first()? as usize];
        let mixed = |u: u32| units[u as usize].elementwise || units[u as usize].core.is_some_and(|core| core != n);
        let apart = to != from && mixed(from) && units[from as usize].nodes.len() > 1;
        let admits = mixed(to) && units[to as usize].nodes.len() < MAX_INSTRS;
        if !apart || !admits || self.live[n as usize] {
            return None;
        }
        let fits = |&r: &u32| {
            let reader = &self.nodes[r as usize];
            let mine = |e: &Edge| slot(e) == Some(n);
            let inside = self.unit_of[r as usize] == to && units[to as usize].core != Some(r);
            inside && edges(reader).iter().filter(|e| mine(e)).all(|e| passes_whole(e, reader))
        };
        let read = edges(node);
        let stay = |e: &Edge| passes_whole(e, node) && slot(e).is_some_and(|p| self.stays(p, n, from, to));
        (!read.is_empty() && readers.iter().all(fits) && read.iter().all(stay)).then_some(to)
    }

    /// Whether value `p`, which `n` reads in unit `from`, is in memory until unit `to` runs, or most of the way.
    fn stays(&self, p: u32, n: u32, from: u32, to: u32) -> bool {
        if self.overwritten.contains(&p) {
            return false;
        }
        let place = |u: u32| self.place[u as usize];
        let others = self.readers[p as usize].iter().filter(|&&r| r != n).map(|&r| place(self.unit_of[r as usize]));
        let last = others.max().unwrap_or(0);
        self.live[p as usize] || last > place(from) && place(to).saturating_sub(last) <= last - place(from)
    }

    fn put(&mut self, n: u32, to: u32, units: &mut [Unit]) {
        let from = std::mem::replace(&mut self.unit_of[n as usize], to);
        units[from as usize].nodes.retain(|&m| m != n);
        let unit = &mut units[to as usize];
        let at = unit.nodes.partition_point(|&m| m < n);
        unit.nodes.insert(at, n);
        for p in edges(&self.nodes[n as usize]).iter().filter_map(slot) {
            let maker = self.unit_of[p as usize];
            if maker != to && !unit.after.contains(&maker) {
                unit.after.push(maker);
            }
        }
    }
}
