//! A flushed stretch of recorded nodes: dead nodes are dropped, the rest get slots, liveness and a key.

use crate::device::Device;
use crate::graph::{Input, Node};
use crate::op::Op;
use crate::shape::Layout;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock};

/// The key of a plan: everything its structure depends on, in words, compared in full. Sizes, strides, numbers and offsets
/// are not in it.
pub type Key = Vec<u64>;

/// Addresses spread well after one multiplication.
#[derive(Default)]
struct Addresses(u64);

impl Hasher for Addresses {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_usize(b as usize);
        }
    }
    fn write_usize(&mut self, v: usize) {
        let h = (self.0 ^ (v as u64 >> 4)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = h ^ h >> 32;
    }
}

/// Finished nodes that a segment reads, numbered in the order of first mention.
#[derive(Default)]
struct Externals {
    /// The first few, which are looked through faster than a map is made.
    few: SmallVec<[*const Node; 8]>,
    more: HashMap<*const Node, u64, BuildHasherDefault<Addresses>>,
}

impl Externals {
    fn number(&mut self, node: *const Node) -> u64 {
        if let Some(at) = self.few.iter().position(|&n| n == node) {
            return at as u64;
        }
        if self.few.len() < self.few.inline_size() {
            self.few.push(node);
            return self.few.len() as u64 - 1;
        }
        let next = (self.few.len() + self.more.len()) as u64;
        *self.more.entry(node).or_insert(next)
    }
}

/// Turns derived `Hash` calls into words, so that a payload's full content is part of the key.
struct Words<'a>(&'a mut Key);

impl Hasher for Words<'_> {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0.push(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, v: u8) {
        self.0.push(v as u64);
    }
    fn write_u64(&mut self, v: u64) {
        self.0.push(v);
    }
    fn write_usize(&mut self, v: usize) {
        self.0.push(v as u64);
    }
    fn write_isize(&mut self, v: isize) {
        self.0.push(v as u64);
    }
}

#[inline]
pub fn same_layout(a: &Arc<Layout>, b: &Arc<Layout>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// Whether a view has all of a value's elements in the order of their memory, in whatever shape.
pub fn in_order(view: &Layout, value: &Layout) -> bool {
    view.offset == 0 && view.is_contiguous() && value.is_contiguous() && view.numel() == value.numel()
}

/// Takes the place of a node that was dropped.
static DEAD: LazyLock<Arc<Node>> =
    LazyLock::new(|| Arc::new(Node::pending(Op::Data, Default::default(), Default::default(), Device::Cpu, 0)));

/// The positions of a node's inputs that are not computed yet.
pub fn pending_inputs(node: &Node) -> impl Iterator<Item = u32> {
    let found: SmallVec<[u32; 4]> = node
        .inputs()
        .iter()
        .filter_map(|input| match input {
            Input::Tensor(e) if e.node.is_pending() => Some(e.node.slot.load(Relaxed)),
            _ => None,
        })
        .collect();
    found.into_iter()
}

/// Removes nodes that nobody can read any more, latest first, so that whole dead chains go.
pub fn drop_dead(nodes: &mut Vec<Arc<Node>>) {
    let mut any = false;
    for node in nodes.iter_mut().rev() {
        if Arc::strong_count(node) == 1 && !node.op.acts() {
            // Dropping it releases its inputs, which may make earlier nodes dead.
            *node = DEAD.clone();
            any = true;
        }
    }
    if any {
        nodes.retain(|n| !matches!(n.op, Op::Data));
    }
}

/// Writes the key of `nodes` and returns for each node whether something outside the segment holds it.
pub fn describe(nodes: &[Arc<Node>], key: &mut Key, live: &mut Vec<bool>) {
    key.clear();
    live.clear();
    let mut inner_uses: SmallVec<[usize; 8]> = SmallVec::from_elem(0, nodes.len());
    let mut externals = Externals::default();
    for (i, node) in nodes.iter().enumerate() {
        node.slot.store(i as u32, Relaxed);
    }
    key.push(u64::from(nodes.first().is_some_and(|n| n.device != Device::Cpu)));
    for node in nodes {
        node.op.hash(&mut Words(key));
        let out = &node.outs[0];
        let mut head = node.outs.len() as u64;
        for o in &node.outs {
            head = head << 4 | o.dtype as u64;
        }
        let inputs = node.inputs();
        key.push(head << 8 | inputs.len() as u64);
        for input in inputs.iter() {
            let word = match input {
                Input::Scalar(_, dtype) => (*dtype as u64) << 2,
                Input::Tensor(e) => {
                    let produced = &e.node.outs[e.out as usize];
                    let whole = same_layout(&e.layout, &produced.layout) && e.dtype == produced.dtype;
                    let in_order = whole || e.dtype == produced.dtype && in_order(&e.layout, &produced.layout);
                    let aligned = same_layout(&e.layout, &out.layout);
                    let (kind, index) = if e.node.is_pending() {
                        let slot = e.node.slot.load(Relaxed);
                        inner_uses[slot as usize] += 1;
                        (1, slot as u64)
                    } else {
                        (2, externals.number(Arc::as_ptr(&e.node)))
                    };
                    index << 24
                        | (e.out as u64) << 16
                        | (e.dtype as u64) << 8
                        | (aligned as u64) << 3
                        | (whole as u64) << 4
                        | (in_order as u64) << 5
                        | kind
                }
            };
            key.push(word);
        }
    }
    for (i, node) in nodes.iter().enumerate() {
        live.push(Arc::strong_count(node) > 1 + inner_uses[i] || node.op.acts());
    }
    for chunk in live.chunks(64) {
        key.push(chunk.iter().enumerate().fold(0, |w, (b, &l)| w | (l as u64) << b));
    }
}

/// A quick hash of the key for the plan cache's buckets.
pub fn hash_key(key: &Key) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    for &w in key {
        h = (h ^ w).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        h ^= h >> 29;
    }
    h
}
