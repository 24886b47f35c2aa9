//! The gradient of the recurrence of an RNN, LSTM or GRU layer, from the last step to the first.
//!
//! As in the forward pass a step is one parallel loop over blocks of units and rows: a task multiplies the gates'
//! gradients of the later step with the recurrent weights of its units, adds what came from outside, and makes the gates'
//! gradients of its own step. The gradient of the weights is one product over the rows of all steps.

use crate::cpu::gemm::{self, Operand, Strided};
use crate::cpu::rnn::{Blocks, OP, Steps, elements, for_each_part, pitch, split};
use crate::cpu::rows::{self, Acc, Shared};
use crate::cpu::scratch::Scratch;
use crate::cpu::threads::parallel_for;
use crate::cpu::tiles::{self, Matrix};
use crate::cpu::view::{In, Out};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::fused::Cell;
use crate::simd_dispatch;
use std::borrow::Cow;
use std::ops::Range;

/// Depth of the products between two visits of their sums: a panel's part stays in the first-level cache.
const DEPTH: usize = 256;

/// The gradients that arrive (a missing one is zero), what the forward pass read and what it saved.
pub struct Backward<'a, 'b> {
    pub cell: Cell,
    pub reverse: bool,
    pub steps: usize,
    pub dhs: Option<&'a In<'b>>,
    pub dh_last: Option<&'a In<'b>>,
    pub dc_last: Option<&'a In<'b>>,
    pub hs: &'a In<'b>,
    pub h: &'a In<'b>,
    pub c: Option<&'a In<'b>>,
    pub weight: &'a In<'b>,
    pub activations: Option<&'a In<'b>>,
    pub cells: Option<&'a In<'b>>,
    pub sizes: Option<&'a In<'b>>,
}

/// The gradients of the gates' parts of input and state (the same but for the GRU), of the first states, and of the
/// weights where somebody asks for it.
pub struct Gradients<'a, 'b> {
    pub projected: &'a mut Out<'b>,
    pub recurrent: Option<&'a mut Out<'b>>,
    pub h: &'a mut Out<'b>,
    pub c: Option<&'a mut Out<'b>>,
    pub weight: Option<&'a mut Out<'b>>,
}

pub fn backward(args: &Backward, out: Gradients) -> Result<()> {
    match args.hs.dtype {
        DType::F32 => run::<f32>(args, out),
        DType::F64 => run::<f64>(args, out),
        other => Err(rows::unsupported(OP, other)),
    }
}

/// The weights as right operands: a panel of all gates' rows for each block of units.
fn pack_weight<A: Acc>(weight: &[A], depth: usize, blocks: Blocks) -> Scratch<A> {
    let (h, nr) = (blocks.hidden, blocks.nr);
    let mut packed = Scratch::new(blocks.count() * depth * nr);
    let out = Shared::new(packed.as_mut_slice());
    parallel_for(blocks.count(), rows::grain(depth * nr), |range| {
        for block in range {
            let units = blocks.units(block);
            let columns = Matrix { ptr: weight[units.start..].as_ptr(), rows: depth, columns: units.len(), pitch: h };
            // SAFETY: panels are disjoint.
            tiles::pack_right(columns, nr, unsafe { out.range(block * depth * nr, depth * nr) });
        }
    });
    packed
}

/// Fills `to` with a gradient that may be missing.
fn start<A: Acc>(what: &str, to: &mut [A], from: Option<&In>) -> Result<()> {
    match from {
        Some(g) => to.copy_from_slice(&elements::<A>(what, g, to.len())?),
        None => to.fill(A::ZERO),
    }
    Ok(())
}

fn optional<'a, A: Acc>(what: &str, window: Option<&In<'a>>, n: usize) -> Result<Cow<'a, [A]>> {
    window.map_or(Ok(Cow::Borrowed(&[][..])), |w| elements(what, w, n))
}

fn run<A: Acc + gemm::Compute + gemm::Storage<Acc = A>>(args: &Backward, out: Gradients) -> Result<()> {
    let (n, h) = (args.h.shape[0], args.h.shape[1]);
    let (total, depth) = (args.hs.numel() / h.max(1), args.cell.gates() * h);
    let steps = Steps::new(total, n, args.steps, args.sizes, args.reverse)?;
    let weight = elements::<A>("weight", args.weight, depth * h)?;
    let (dh, dprojected) = (out.h.as_mut_slice::<A>(), out.projected.as_mut_slice::<A>());
    start("the last state's gradient", dh, args.dh_last)?;
    let mut none: [A; 0] = [];
    let dc = out.c.map_or(&mut none[..], |c| c.as_mut_slice::<A>());
    start("the last cell's gradient", dc, args.dc_last)?;
    let mut drecurrent = out.recurrent.map(|r| r.as_mut_slice::<A>());
    let saves = args.activations.is_some();
    let part = Part {
        cell: args.cell,
        blocks: Blocks::new::<A>(h),
        steps: &steps,
        dhs: args.dhs.map(|g| elements::<A>("the states' gradient", g, total * h)).transpose()?,
        hs: &elements::<A>("states", args.hs, total * h)?,
        h: &elements::<A>("h", args.h, n * h)?,
        c: &optional::<A>("c", args.c, n * h)?,
        activations: &optional::<A>("activations", args.activations, if saves { total * 4 * h } else { 0 })?,
        cells: &optional::<A>("cells", args.cells, total * h)?,
        dh: Shared::new(dh),
        dc: Shared::new(dc),
        dprojected: Shared::new(dprojected),
        drecurrent: drecurrent.as_mut().map(|r| Shared::new(r)),
    };
    walk(&part, n, &pack_weight(&weight, depth, part.blocks));
    if let Some(w) = out.weight {
        let gates: &[A] = drecurrent.as_deref().unwrap_or(dprojected);
        weight_gradient(&part, gates, (depth, h, total), w.as_mut_slice::<A>())?;
    }
    Ok(())
}

/// All steps, and after them the product that reaches the first state.
fn walk<A: Acc + gemm::Compute>(part: &Part<A>, n: usize, packed: &Scratch<A>) {
    let (blocks, steps, depth) = (part.blocks, part.steps, part.cell.gates() * part.blocks.hidden);
    let count = steps.sizes.len();
    // The gates' gradients of the later and of this step.
    let pitch = pitch(depth);
    let mut gates = [(); 2].map(|_| Scratch::new(n * pitch));
    for i in (0..=count).rev() {
        let later = if i < count { steps.sizes[steps.at(i)] } else { 0 };
        let step = i.checked_sub(1).map(|i| steps.at(i));
        let rows = later.max(step.map_or(0, |t| steps.sizes[t]));
        let [a, b] = &mut gates;
        let (from, to) = if i % 2 == 0 { (a, b) } else { (b, a) };
        let (from, to) = (from.as_slice(), Shared::new(to.as_mut_slice()));
        for_each_part(blocks, rows, depth * blocks.nr, |block, mine| {
            let (nr, panel) = (blocks.nr, &packed.as_slice()[block * depth * blocks.nr..][..depth * blocks.nr]);
            let reached = mine.start.min(later)..mine.end.min(later);
            if !reached.is_empty() {
                let mut sums = Scratch::<A>::new(reached.len() * nr);
                for first in (0..depth).step_by(DEPTH) {
                    let k = DEPTH.min(depth - first);
                    let (left, size) = ((&from[reached.start * pitch + first..], pitch), (reached.len(), nr));
                    let right = (&panel[first * nr..][..k * nr], nr);
                    gemm::panel_product(left, right, k, (sums.as_mut_slice(), nr), size, first > 0);
                }
                part.add_to_state(block, reached, sums.as_slice());
            }
            if let Some(t) = step {
                let mine = mine.start.min(steps.sizes[t])..mine.end.min(steps.sizes[t]);
                gate_rows(part, block, mine, t, to);
            }
        });
    }
}

/// dW (G·H, H) = the gates' gradients, transposed, times the states before each step.
fn weight_gradient<A: Acc + gemm::Compute + gemm::Storage<Acc = A>>(
    part: &Part<A>,
    gates: &[A],
    (depth, h, total): (usize, usize, usize),
    out: &mut [A],
) -> Result<()> {
    if gates.len() != total * depth || out.len() != depth * h {
        return Err(Error::Internal(format!("{OP}: sizes of the weights' gradient")));
    }
    let mut before = vec![None; total];
    for t in 0..part.steps.sizes.len() {
        for (r, row) in part.steps.rows(t).enumerate() {
            before[row] = Some(part.before(part.hs, part.h, t, r));
        }
    }
    let states = |lanes: Range<usize>, depth: Range<usize>, width: usize, panel: &mut [A]| {
        for (k, to) in depth.zip(panel.chunks_mut(width)) {
            if let Some(state) = before[k] {
                to[..lanes.len()].copy_from_slice(&state[lanes.clone()]);
            }
        }
    };
    // SAFETY: the operands' sizes were checked above.
    unsafe {
        let turned = Strided::new(gates.as_ptr(), 1, depth);
        let (a, b) = (Operand::matrix(&turned), Operand::packed(&states));
        let sizes = (depth, h, total);
        gemm::gemm_with_packers(sizes, A::ONE, a, b, A::ZERO, out.as_mut_ptr(), h);
    }
    Ok(())
}

/// What the tasks of all steps share.
struct Part<'a, A: Acc> {
    cell: Cell,
    blocks: Blocks,
    steps: &'a Steps,
    dhs: Option<Cow<'a, [A]>>,
    hs: &'a [A],
    h: &'a [A],
    c: &'a [A],
    activations: &'a [A],
    cells: &'a [A],
    /// The gradient of the state of the step at hand, as far as it is known.
    dh: Shared<A>,
    dc: Shared<A>,
    dprojected: Shared<A>,
    drecurrent: Option<Shared<A>>,
}

impl<A: Acc> Part<'_, A> {
    /// Row `r` of the values one step before `step`: among those of all steps, or the first ones.
    #[inline(always)]
    fn before<'a>(&self, all: &'a [A], first: &'a [A], step: usize, r: usize) -> &'a [A] {
        let h = self.blocks.hidden;
        match self.steps.before(step, r) {
            Some(row) => &all[row * h..][..h],
            None => &first[r * h..][..h],
        }
    }

    fn add_to_state(&self, block: usize, rows: Range<usize>, sums: &[A]) {
        let units = self.blocks.units(block);
        for (r, sums) in rows.zip(sums.chunks_exact(self.blocks.nr)) {
            // SAFETY: a task has its rows and units to itself.
            let dh = unsafe { self.dh.range(r * self.blocks.hidden + units.start, units.len()) };
            for (d, &s) in dh.iter_mut().zip(sums) {
                *d += s;
            }
        }
    }
}

/// The gradients of an LSTM's gates; those of the cells and of the states become what reaches the step before.
#[inline(always)]
fn lstm_slopes<A: Acc>(
    [i, f, g, o]: [&[A]; 4],
    c: &[A],
    tanh_c: &[A],
    dh: &mut [A],
    dc: &mut [A],
    [di, df, dg, d_o]: [&mut [A]; 4],
) {
    let one = A::ONE;
    for j in 0..dh.len() {
        let t = tanh_c[j];
        let cell = dc[j] + dh[j] * o[j] * (one - t * t);
        di[j] = cell * g[j] * i[j] * (one - i[j]);
        df[j] = cell * c[j] * f[j] * (one - f[j]);
        dg[j] = cell * i[j] * (one - g[j] * g[j]);
        d_o[j] = dh[j] * t * o[j] * (one - o[j]);
        dc[j] = cell * f[j];
    }
    dh.fill(A::ZERO);
}

/// The gradients of a GRU's gates: reset, update, new gate's product, new gate's input.
#[inline(always)]
fn gru_slopes<A: Acc>(
    [reset, update, new, product]: [&[A]; 4],
    before: &[A],
    dh: &mut [A],
    [dr, dz, dn, dx]: [&mut [A]; 4],
) {
    let one = A::ONE;
    for j in 0..dh.len() {
        let d = dh[j] * (one - update[j]) * (one - new[j] * new[j]);
        dr[j] = d * product[j] * reset[j] * (one - reset[j]);
        dz[j] = dh[j] * (before[j] - new[j]) * update[j] * (one - update[j]);
        dx[j] = d;
        dn[j] = d * reset[j];
        dh[j] *= update[j];
    }
}

simd_dispatch! {
    /// The gates' gradients of some rows and units of a step; the state's gradient becomes what skips the gates.
    fn gate_rows<A: Acc>(p: &Part<A>, block: usize, mine: Range<usize>, step: usize, to: Shared<A>) {
        let (h, gates, one) = (p.blocks.hidden, p.cell.gates(), A::ONE);
        let (units, first) = (p.blocks.units(block), p.steps.offsets[step]);
        let (w, pitch) = (units.len(), pitch(gates * h));
        let mut tanh_c = vec![A::ZERO; w];
        for r in mine {
            let row = first + r;
            let (at, state) = (row * h + units.start, r * h + units.start);
            // SAFETY: a task has its rows and units to itself.
            let gate = |out: Shared<A>, r: usize, k: usize| unsafe { out.range((r * gates + k) * h + units.start, w) };
            // SAFETY: as above.
            let made = |k: usize| unsafe { to.range(r * pitch + k * h + units.start, w) };
            // SAFETY: as above.
            let dh = unsafe { p.dh.range(state, w) };
            if let Some(g) = &p.dhs {
                for (d, &g) in dh.iter_mut().zip(&g[at..at + w]) {
                    *d += g;
                }
            }
            match p.cell {
                Cell::Tanh | Cell::Relu => {
                    let (d, y) = (made(0), &p.hs[at..at + w]);
                    for j in 0..w {
                        d[j] = match p.cell {
                            Cell::Tanh => dh[j] * (one - y[j] * y[j]),
                            _ if y[j] > A::ZERO => dh[j],
                            _ => A::ZERO,
                        };
                    }
                    dh.fill(A::ZERO);
                }
                Cell::Lstm => {
                    let c = &p.before(p.cells, p.c, step, r)[units.clone()];
                    let [i, f, g, o]: [&[A]; 4] = split(&p.activations[row * 4 * h..][..4 * h], h).map(|a: &[A]| &a[units.clone()]);
                    let [di, df, dg, d_o] = [0, 1, 2, 3].map(made);
                    // SAFETY: as above.
                    let dc = unsafe { p.dc.range(state, w) };
                    rows::map1(&p.cells[at..at + w], &mut tanh_c, |v| v.tanh::<S>());
                    lstm_slopes([i, f, g, o], c, &tanh_c, dh, dc, [di, df, dg, d_o]);
                }
                Cell::Gru => {
                    let before = &p.before(p.hs, p.h, step, r)[units.clone()];
                    let [reset, update, new, product]: [&[A]; 4] =
                        split(&p.activations[row * 4 * h..][..4 * h], h).map(|a: &[A]| &a[units.clone()]);
                    let [dr, dz, dn] = [0, 1, 2].map(made);
                    let dx = gate(p.dprojected, row, 2);
                    gru_slopes([reset, update, new, product], before, dh, [dr, dz, dn, dx]);
                }
            }
            for k in 0..gates {
                let made = made(k);
                if p.cell != Cell::Gru || k < 2 {
                    gate(p.dprojected, row, k).copy_from_slice(made);
                }
                if let Some(out) = p.drecurrent {
                    gate(out, row, k).copy_from_slice(made);
                }
            }
        }
    }
}
