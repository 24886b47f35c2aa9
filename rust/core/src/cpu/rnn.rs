//! The recurrence of a layer of an RNN, LSTM or GRU over all of its steps. The gradient is in `rnn_backward.rs`.
//!
//! The recurrent weights are packed once. A step is cut into blocks of units and of rows; a task multiplies the state
//! with the columns of all gates of its units and applies the gates while the products are in cache, so a step is one
//! parallel loop. The order of every sum depends on the sizes and the instruction set alone.
//!
//! Rows are sorted by falling length: step t has the first `sizes[t]` of them, and the rows of all steps lie one after
//! the other (PyTorch's packed sequences; without lengths every step has all rows). Gates are blocks of H columns in
//! PyTorch's order: input, forget, cell, output for the LSTM (Hochreiter & Schmidhuber, 1997); reset, update, new for the
//! GRU (Cho et al., 2014, with the reset gate applied after the product).

use crate::cpu::gemm::{Compute, panel_product};
use crate::cpu::rows::{self, Acc, Shared};
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::Simd;
use crate::cpu::threads::parallel_for;
use crate::cpu::tiles::{self, Matrix, panel};
use crate::cpu::view::{In, Out};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::fused::Cell;
use crate::simd_dispatch;
use std::borrow::Cow;
use std::ops::Range;

/// Rows of a task.
const TASK_ROWS: usize = 32;
/// Multiply-adds that are worth a thread's while.
const GRAIN: usize = 500_000;

pub(super) const OP: &str = "rnn";

/// Which rows each step has, and the order of the steps.
pub(super) struct Steps {
    pub sizes: Vec<usize>,
    /// The first row of each step among those of all steps.
    pub offsets: Vec<usize>,
    pub reverse: bool,
}

impl Steps {
    pub fn new(rows: usize, batch: usize, steps: usize, sizes: Option<&In>, reverse: bool) -> Result<Steps> {
        let sizes: Vec<usize> = match sizes {
            Some(s) if s.dtype == DType::I64 => s.to_vec_or_slice::<i64>().iter().map(|&n| n as usize).collect(),
            Some(_) => return Err(Error::Internal(format!("{OP}: batch sizes are int64"))),
            None => vec![batch; steps],
        };
        let mut end = 0;
        let mut offsets = Vec::with_capacity(sizes.len());
        for &n in &sizes {
            offsets.push(end);
            end += n;
        }
        if end != rows || sizes.iter().any(|&n| n > batch) || !sizes.is_sorted_by(|a, b| a >= b) {
            return Err(Error::Runtime(format!("{OP}: batch sizes {sizes:?} do not fit {rows} rows, {batch} at most")));
        }
        Ok(Steps { sizes, offsets, reverse })
    }
    /// The step that runs as number `i`.
    pub fn at(&self, i: usize) -> usize {
        if self.reverse { self.sizes.len() - 1 - i } else { i }
    }
    /// The rows of a step among those of all steps.
    pub fn rows(&self, step: usize) -> Range<usize> {
        self.offsets[step]..self.offsets[step] + self.sizes[step]
    }
    /// Where row `r` of step `step` was one step earlier; `None` where it begins.
    pub fn before(&self, step: usize, r: usize) -> Option<usize> {
        let earlier = if self.reverse { Some(step + 1).filter(|&t| t < self.sizes.len()) } else { step.checked_sub(1) };
        earlier.filter(|&t| r < self.sizes[t]).map(|t| self.offsets[t] + r)
    }
}

/// The distance of rows of a product's left operand: a power of two would have them compete for the same cache lines.
pub(super) fn pitch(width: usize) -> usize {
    width.next_multiple_of(16) + 16
}

/// A matrix of the state's width cut into blocks of units, which are a panel's columns.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    pub hidden: usize,
    pub nr: usize,
}

impl Blocks {
    pub fn new<A: Acc>(hidden: usize) -> Blocks {
        Blocks { hidden, nr: panel::<A>() }
    }
    pub fn count(self) -> usize {
        self.hidden.div_ceil(self.nr)
    }
    pub fn units(self, block: usize) -> Range<usize> {
        block * self.nr..((block + 1) * self.nr).min(self.hidden)
    }
}

/// Runs `f(block of units, rows)` for all parts of a step of `rows` rows, whose parts cost `work` multiply-adds a row.
pub(super) fn for_each_part(blocks: Blocks, rows: usize, work: usize, f: impl Fn(usize, Range<usize>) + Sync) {
    let groups = rows.div_ceil(TASK_ROWS);
    let grain = GRAIN / (work * rows.min(TASK_ROWS)).max(1);
    parallel_for(blocks.count() * groups, grain.max(1), |tasks| {
        for task in tasks {
            let (block, first) = (task / groups, task % groups * TASK_ROWS);
            f(block, first..(first + TASK_ROWS).min(rows));
        }
    });
}

/// The elements of a window that must have `n` of them.
pub(super) fn elements<'a, A: Acc>(what: &str, window: &In<'a>, n: usize) -> Result<Cow<'a, [A]>> {
    if window.dtype != A::DTYPE || window.numel() != n {
        return Err(Error::Internal(format!("{OP}: {what} has {} elements, not {n}", window.numel())));
    }
    Ok(window.to_vec_or_slice::<A>())
}

/// What the recurrence reads: the input's product with its weights (rows, G·H), the first states (N, H), the recurrent
/// weights (G·H, H), a bias (G·H), for the GRU (4H) with that of the recurrent product of the new gate last, and the rows
/// of each step.
pub struct Forward<'a, 'b> {
    pub cell: Cell,
    pub reverse: bool,
    pub steps: usize,
    pub projected: &'a In<'b>,
    pub h: &'a In<'b>,
    pub c: Option<&'a In<'b>>,
    pub weight: &'a In<'b>,
    pub bias: Option<&'a In<'b>>,
    pub sizes: Option<&'a In<'b>>,
}

/// What it yields: the states of all steps (rows, H), the last states (N, H), and for the gradient of LSTM and GRU the
/// activations (rows, 4H), which are r, z, n and the product of the new gate for the GRU, and the LSTM's cells (rows, H).
pub struct Results<'a, 'b> {
    pub hs: &'a mut Out<'b>,
    pub h_last: &'a mut Out<'b>,
    pub c_last: Option<&'a mut Out<'b>>,
    pub activations: Option<&'a mut Out<'b>>,
    pub cells: Option<&'a mut Out<'b>>,
}

pub fn forward(args: &Forward, results: Results) -> Result<()> {
    match args.projected.dtype {
        DType::F32 => run::<f32>(args, results),
        DType::F64 => run::<f64>(args, results),
        other => Err(rows::unsupported(OP, other)),
    }
}

fn bias_rows(cell: Cell) -> usize {
    if cell == Cell::Gru { 4 } else { cell.gates() }
}

/// The panels of the gates' columns: those of a block of units follow each other, a panel for each gate.
fn pack_weight<A: Acc>(weight: &[A], gates: usize, blocks: Blocks) -> Scratch<A> {
    let (h, nr) = (blocks.hidden, blocks.nr);
    let mut packed = Scratch::new(blocks.count() * gates * h * nr);
    let out = Shared::new(packed.as_mut_slice());
    parallel_for(blocks.count() * gates, rows::grain(h * nr), |range| {
        for p in range {
            let (units, gate) = (blocks.units(p / gates), p % gates);
            let part = &weight[(gate * h + units.start) * h..][..units.len() * h];
            // SAFETY: panels are disjoint.
            let panel = unsafe { out.range(p * h * nr, h * nr) };
            let rows = Matrix { ptr: part.as_ptr(), rows: units.len(), columns: h, pitch: h };
            tiles::pack_right_transposed(rows, nr, panel);
        }
    });
    packed
}

fn run<A: Acc + Compute>(args: &Forward, mut results: Results) -> Result<()> {
    let (n, h) = (args.h.shape[0], args.h.shape[1]);
    let (gates, total) = (args.cell.gates(), results.hs.numel() / h.max(1));
    let steps = Steps::new(total, n, args.steps, args.sizes, args.reverse)?;
    let blocks = Blocks::new::<A>(h);
    let weight = elements::<A>("weight", args.weight, gates * h * h)?;
    let packed = pack_weight(&weight, gates, blocks);
    let first = elements::<A>("h", args.h, n * h)?;
    let h_last = results.h_last.as_mut_slice::<A>();
    h_last.copy_from_slice(&first);
    let mut none: [A; 0] = [];
    let cell = match (args.c, results.c_last.as_mut()) {
        (Some(c), Some(last)) => {
            let last = last.as_mut_slice::<A>();
            last.copy_from_slice(&elements::<A>("c", c, n * h)?);
            last
        }
        _ => &mut none[..],
    };
    // The states before and after a step.
    let pitch = pitch(h);
    let mut states = [(); 2].map(|_| Scratch::new(n * pitch));
    for (to, from) in
        states.iter_mut().flat_map(|s| s.as_mut_slice().chunks_exact_mut(pitch).zip(first.chunks(h.max(1))))
    {
        to[..h].copy_from_slice(from);
    }
    let part = Part {
        cell: args.cell,
        blocks,
        projected: &elements::<A>("projected", args.projected, total * gates * h)?,
        bias: args.bias.map(|b| elements::<A>("bias", b, bias_rows(args.cell) * h)).transpose()?,
        hs: Shared::new(results.hs.as_mut_slice::<A>()),
        h_last: Shared::new(h_last),
        c: Shared::new(cell),
        activations: results.activations.map(|a| Shared::new(a.as_mut_slice::<A>())),
        cells: results.cells.map(|c| Shared::new(c.as_mut_slice::<A>())),
    };
    for i in 0..steps.sizes.len() {
        let rows = steps.rows(steps.at(i));
        let [before, after] = &mut states;
        let (before, after) = if i % 2 == 0 { (before, after) } else { (after, before) };
        let (before, after) = (before.as_slice(), Shared::new(after.as_mut_slice()));
        for_each_part(blocks, rows.len(), gates * h * blocks.nr, |block, mine| {
            let width = gates * blocks.nr;
            let panels = (&packed.as_slice()[block * h * width..][..h * width], blocks.nr);
            let mut sums = Scratch::<A>::new(mine.len() * width);
            let (left, size) = ((&before[mine.start * pitch..], pitch), (mine.len(), width));
            panel_product(left, panels, h, (sums.as_mut_slice(), width), size, false);
            gate_rows(&part, block, mine, rows.start, sums.as_mut_slice(), before, after);
        });
    }
    Ok(())
}

/// What the tasks of all steps share.
struct Part<'a, A: Acc> {
    cell: Cell,
    blocks: Blocks,
    projected: &'a [A],
    bias: Option<Cow<'a, [A]>>,
    hs: Shared<A>,
    h_last: Shared<A>,
    c: Shared<A>,
    activations: Option<Shared<A>>,
    cells: Option<Shared<A>>,
}

/// The gates of an LSTM from their sums, in their place, and the new cells and states; a gate has room for `nr` units.
#[inline(always)]
fn lstm_row<A: Acc, S: Simd>(sums: &mut [A], nr: usize, c: &mut [A], h_out: &mut [A]) {
    rows::map1_in_place(&mut sums[..2 * nr], |v| v.sigmoid::<S>());
    rows::map1_in_place(&mut sums[2 * nr..3 * nr], |v| v.tanh::<S>());
    rows::map1_in_place(&mut sums[3 * nr..], |v| v.sigmoid::<S>());
    let [i, f, g, o]: [&[A]; 4] = split(sums, nr);
    for (j, c) in c.iter_mut().enumerate() {
        *c = f[j] * *c + i[j] * g[j];
    }
    rows::map2(c, &o[..c.len()], h_out, |c, o| o * c.tanh::<S>());
}

/// The gates of a GRU from their sums, in their place, and the new states. `bias` is the new gate's.
#[inline(always)]
fn gru_row<A: Acc, S: Simd>(
    sums: &mut [A],
    nr: usize,
    input: [&[A]; 3],
    bias: Option<&[A]>,
    before: &[A],
    h_out: &mut [A],
) {
    add(&mut sums[..nr], input[0]);
    add(&mut sums[nr..2 * nr], input[1]);
    rows::map1_in_place(&mut sums[..2 * nr], |v| v.sigmoid::<S>());
    let (rest, new) = sums.split_at_mut(2 * nr);
    let [reset, update]: [&[A]; 2] = split(rest, nr);
    for ((n, &x), &r) in new.iter_mut().zip(input[2]).zip(reset) {
        *n = x + r * *n;
    }
    if let Some(bias) = bias {
        add(new, bias);
    }
    rows::map1_in_place(new, |v| v.tanh::<S>());
    for (j, h) in h_out.iter_mut().enumerate() {
        *h = new[j] + update[j] * (before[j] - new[j]);
    }
}

simd_dispatch! {
    /// From the products of a block of units to the new states of some rows; `first` is the step's first row among all.
    fn gate_rows<A: Acc>(
        p: &Part<A>, block: usize, mine: Range<usize>, first: usize, sums: &mut [A], before: &[A], after: Shared<A>
    ) {
        let (h, nr, gates) = (p.blocks.hidden, p.blocks.nr, p.cell.gates());
        let (units, pitch) = (p.blocks.units(block), pitch(h));
        let w = units.len();
        for (r, sums) in mine.zip(sums.chunks_exact_mut(gates * nr)) {
            let (row, state) = (first + r, r * h + units.start);
            let input = |gate: usize| &p.projected[(row * gates + gate) * h + units.start..][..w];
            if let Some(bias) = &p.bias {
                for (gate, sums) in sums.chunks_exact_mut(nr).enumerate() {
                    // That of the GRU's new gate is not multiplied by the reset gate.
                    let gate = if p.cell == Cell::Gru && gate == 2 { 3 } else { gate };
                    add(sums, &bias[gate * h + units.start..][..w]);
                }
            }
            // SAFETY: a task has its rows and units to itself.
            let (h_out, h_row, h_last) = unsafe {
                (after.range(r * pitch + units.start, w), p.hs.range(row * h + units.start, w), p.h_last.range(state, w))
            };
            let keep = |gate: usize, values: &[A]| {
                if let Some(a) = p.activations {
                    // SAFETY: as above.
                    unsafe { a.range((row * 4 + gate) * h + units.start, w) }.copy_from_slice(&values[..w]);
                }
            };
            match p.cell {
                Cell::Tanh | Cell::Relu => {
                    add(sums, input(0));
                    if p.cell == Cell::Tanh {
                        rows::map1_in_place(sums, |v| v.tanh::<S>());
                    } else {
                        // NaN passes.
                        rows::map1_in_place(sums, |v| if v < A::ZERO { A::ZERO } else { v });
                    }
                    h_out.copy_from_slice(&sums[..w]);
                }
                Cell::Lstm => {
                    for (gate, sums) in sums.chunks_exact_mut(nr).enumerate() {
                        add(sums, input(gate));
                    }
                    // SAFETY: as above.
                    let c = unsafe { p.c.range(state, w) };
                    lstm_row::<A, S>(sums, nr, c, h_out);
                    sums.chunks_exact(nr).enumerate().for_each(|(gate, a)| keep(gate, a));
                    if let Some(cells) = p.cells {
                        // SAFETY: as above.
                        unsafe { cells.range(row * h + units.start, w) }.copy_from_slice(c);
                    }
                }
                Cell::Gru => {
                    keep(3, &sums[2 * nr..]);
                    let bias = p.bias.as_ref().map(|b| &b[2 * h + units.start..][..w]);
                    let before = &before[r * pitch + units.start..][..w];
                    gru_row::<A, S>(sums, nr, [0, 1, 2].map(input), bias, before, h_out);
                    sums.chunks_exact(nr).enumerate().for_each(|(gate, a)| keep(gate, a));
                }
            }
            h_row.copy_from_slice(h_out);
            h_last.copy_from_slice(h_out);
        }
    }
}

#[inline(always)]
fn add<A: Acc>(sums: &mut [A], values: &[A]) {
    for (s, &v) in sums.iter_mut().zip(values) {
        *s += v;
    }
}

/// The K blocks of `width` elements of a row.
#[inline(always)]
pub(super) fn split<A, const K: usize>(row: &[A], width: usize) -> [&[A]; K] {
    std::array::from_fn(|k| &row[k * width..(k + 1) * width])
}

#[cfg(test)]
#[path = "rnn_tests.rs"]
mod tests;
