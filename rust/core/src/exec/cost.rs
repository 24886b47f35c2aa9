//! What a kernel reads, writes and computes, for profiles: bytes, and floating-point operations as papers count them.

use super::plan::{Fused, Joined};
use crate::graph::{Edge, Input, Node};
use crate::op::fft::Fourier;
use crate::op::fused::Fused as Network;
use crate::op::{Op, Reduction, Window};
use crate::shape::{Dims, Layout};
use std::sync::Arc;

/// Bytes read and written, and operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    pub read: u64,
    pub written: u64,
    pub flops: u64,
}

/// Bytes of the elements that a window holds; repeated ones count once.
fn bytes(layout: &Layout, size: usize) -> u64 {
    let distinct = layout.shape.iter().zip(layout.strides.iter()).filter(|(_, stride)| **stride != 0);
    distinct.map(|(&n, _)| n as u64).product::<u64>() * size as u64
}

fn edges(inputs: &[Input]) -> impl Iterator<Item = &Edge> {
    inputs.iter().filter_map(|i| if let Input::Tensor(e) = i { Some(e) } else { None })
}

/// The shapes of a node's tensors.
pub fn shapes(node: &Node) -> Vec<Dims> {
    edges(&node.inputs()).map(|e| e.layout.shape.clone()).collect()
}

/// The cost of a structured operator, or of a write into a storage.
pub fn of_node(node: &Node) -> Cost {
    let inputs = node.inputs();
    let ins: Vec<&Edge> = edges(&inputs).collect();
    let out = &node.outs[0];
    if matches!(node.op, Op::WriteView) {
        let value = ins.get(1).map_or(0, |e| bytes(&e.layout, e.dtype.size()));
        return Cost { read: value, written: ins.first().map_or(0, |e| bytes(&e.layout, e.dtype.size())), flops: 0 };
    }
    Cost {
        read: ins.iter().map(|e| bytes(&e.layout, e.dtype.size())).sum(),
        written: node.outs.iter().map(|o| bytes(&o.layout, o.dtype.size())).sum(),
        flops: flops(&node.op, &ins, &out.layout),
    }
}

fn flops(op: &Op, ins: &[&Edge], out: &Arc<Layout>) -> u64 {
    let numel = |k: usize| ins.get(k).map_or(0, |e| e.layout.numel() as u64);
    let dim = |k: usize, d: usize| ins.get(k).and_then(|e| e.layout.shape.iter().rev().nth(d)).map_or(1, |&n| n as u64);
    // Operations on each output of a filter: its taps.
    let taps = |weight: &Layout| weight.shape[1..].iter().product::<usize>() as u64;
    match op {
        Op::Matmul => 2 * out.numel() as u64 * dim(0, 0),
        Op::Conv(crate::op::Conv::Forward, _) => 2 * out.numel() as u64 * taps(&ins[1].layout),
        Op::Conv(crate::op::Conv::InputGrad, _) => 2 * numel(0) * taps(&ins[1].layout),
        Op::Conv(crate::op::Conv::WeightGrad, _) => 2 * numel(1) * taps(out),
        // Two products for each pair of a query and a key; the gradient needs five.
        Op::Fused(Network::Attention { .. }) => 2 * numel(0) * dim(1, 1) + 2 * out.numel() as u64 * dim(1, 1),
        Op::Fused(Network::AttentionGrad { .. }) => 10 * numel(1) * dim(2, 1),
        Op::Fused(Network::Recurrence(..)) => 2 * numel(0) * dim(1, 0),
        Op::Fused(Network::RecurrenceGrad { weight, .. }) => 2 * (1 + *weight as u64) * out.numel() as u64 * dim(0, 0),
        // 5·n·log₂ n for n pairs, half as many for real numbers, as papers on the subject count them.
        Op::Fft(kind, dims) => {
            let real = matches!(kind, Fourier::FromReal | Fourier::ToReal);
            let shape =
                if *kind == Fourier::FromReal { ins.first().map(|e| &e.layout.shape) } else { Some(&out.shape) };
            let lines = shape.map_or(&[][..], |s| if real { &s[..] } else { &s[..s.len() - 1] });
            let each: u64 = lines.iter().rev().take(*dims as usize).map(|&n| n as u64).product();
            let all: u64 = lines.iter().map(|&n| n as u64).product();
            5 * all * each.max(1).ilog2() as u64 / if real { 2 } else { 1 }
        }
        Op::Fused(_) | Op::Scan(..) => numel(0),
        Op::Reduce(Reduction::Any | Reduction::All, _) => 0,
        Op::Reduce(..) => numel(0),
        Op::Window(w) => match **w {
            Window::Pad(_) | Window::PadGrad(_) | Window::Im2col(_) => 0,
            _ => numel(0).max(out.numel() as u64),
        },
        _ => 0,
    }
}

/// The cost of a structured operator with the work around it: what passes between them touches no memory.
pub fn of_joined(j: &Joined, node: impl Fn(u32) -> Option<Arc<Node>>) -> (Cost, Vec<Dims>) {
    let Some(core) = node(j.node) else { return Default::default() };
    let (mut cost, shapes) = (of_node(&core), shapes(&core));
    for (made, f) in &j.before {
        let own = of_fused(f, &node).0;
        let value = node(*made).map_or(0, |n| bytes(&n.outs[0].layout, n.outs[0].dtype.size()));
        cost.read = (cost.read + own.read).saturating_sub(value);
        cost.flops += own.flops;
    }
    if let Some(a) = &j.after {
        let own = of_fused(&a.fused, &node).0;
        let value = bytes(&core.outs[0].layout, core.outs[0].dtype.size());
        cost.read = (cost.read + own.read).saturating_sub(value);
        cost.written = (cost.written + own.written).saturating_sub(if a.keeps { 0 } else { value });
        cost.flops += own.flops;
    }
    (cost, shapes)
}

/// The cost of a fused program: an operation for each element of each of its nodes.
pub fn of_fused(f: &Fused, node: impl Fn(u32) -> Option<Arc<Node>>) -> (Cost, Vec<Dims>) {
    let mut cost = Cost::default();
    let mut shapes = Vec::new();
    let mut seen: Vec<(usize, usize)> = Vec::new();
    for &(n, k) in &f.loads {
        let Some(node) = node(n) else { continue };
        let inputs = node.inputs();
        let Some(Input::Tensor(e)) = inputs.get(k as usize) else { continue };
        // A value that several nodes read is in registers after the first.
        let value = (Arc::as_ptr(&e.node) as usize, Arc::as_ptr(&e.layout) as usize);
        if !seen.contains(&value) {
            seen.push(value);
            cost.read += bytes(&e.layout, e.dtype.size());
            shapes.push(e.layout.shape.clone());
        }
    }
    for &(n, _) in &f.stores {
        let Some(node) = node(n) else { continue };
        cost.written += bytes(&node.outs[0].layout, node.outs[0].dtype.size());
    }
    for &n in &f.nodes {
        let Some(node) = node(n) else { continue };
        if matches!(node.op, Op::Ew(e) if e != crate::op::Ew::Copy) {
            cost.flops += node.outs[0].layout.numel() as u64;
        }
    }
    (cost, shapes)
}
