//! One step of an LSTM or GRU cell after its matrix products: gate activations, new state, and their gradients.
//!
//! Gates are blocks of H columns in PyTorch's order: (N, 4H) input, forget, cell, output for the LSTM; (N, 3H) reset,
//! update, new for the GRU. The activations are saved because they are cheaper to read than to compute again.

use crate::cpu::math::Real;
use crate::cpu::rows::{self, Row, Shared, Storage, grain};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::dispatch;
use crate::error::{Error, Result};
use crate::simd_dispatch;

/// Operations per unit of a step, for choosing grains.
const LSTM_COST: usize = 24;
const GRU_COST: usize = 16;

/// The hidden size of (N, H) windows.
fn hidden(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}

fn expect(op: &str, what: &str, window: usize, n: usize) -> Result<()> {
    if window == n { Ok(()) } else { Err(Error::Internal(format!("{op}: {what} has {window} elements, not {n}"))) }
}

/// i, f, o = σ, g = tanh of `gates` (N, 4H); c' = f·c + i·g; h' = o·tanh(c'). Saves (N, 4H) activations i, f, g, o.
pub fn lstm_step(gates: &In, c: &In, h_next: &mut Out, c_next: &mut Out, saved: Option<&mut Out>) -> Result<()> {
    let (op, h) = ("lstm_cell", hidden(c.shape));
    expect(op, "gates", gates.numel(), 4 * c.numel())?;
    dispatch!(float gates.dtype, T => {
        let (gates, c) = (gates.to_vec_or_slice::<T>(), c.to_vec_or_slice::<T>());
        let (h_next, c_next) = (Shared::new(h_next.as_mut_slice::<T>()), Shared::new(c_next.as_mut_slice::<T>()));
        let saved = saved.map(|s| Shared::new(s.as_mut_slice::<T>()));
        parallel_for(c.len() / h.max(1), grain(h * LSTM_COST), |r| {
            let (one, four) = (r.start * h..r.end * h, r.start * 4 * h..r.end * 4 * h);
            // SAFETY: ranges of rows are disjoint.
            let (h_next, c_next, saved) = unsafe {
                let part = |s: Shared<T>| s.range(one.start, one.len());
                (part(h_next), part(c_next), saved.map(|s| s.range(four.start, four.len())))
            };
            lstm_rows(&gates[four], &c[one], h, h_next, c_next, saved);
        });
        Ok(())
    }, else Err(rows::unsupported(op, gates.dtype)))
}

simd_dispatch! {
    fn lstm_rows<T: Storage>(
        gates: &[T], c: &[T], h: usize, h_next: &mut [T], c_next: &mut [T], saved: Option<&mut [T]>
    ) {
        let (mut gate_row, mut c_row) = (Row::new::<T>(4 * h), Row::new::<T>(h));
        let mut act = vec![T::Acc::ZERO; 4 * h];
        let (mut h_row, mut c_next_row) = (vec![T::Acc::ZERO; h], vec![T::Acc::ZERO; h]);
        let mut saved = saved.map(|s| s.chunks_exact_mut(4 * h));
        let states = c.chunks_exact(h).zip(h_next.chunks_exact_mut(h)).zip(c_next.chunks_exact_mut(h));
        for (gates, ((c, h_out), c_out)) in gates.chunks_exact(4 * h).zip(states) {
            let (gates, c) = (gate_row.load(gates), c_row.load(c));
            rows::map1(&gates[..2 * h], &mut act[..2 * h], |v| v.sigmoid::<S>());
            rows::map1(&gates[2 * h..3 * h], &mut act[2 * h..3 * h], |v| v.tanh::<S>());
            rows::map1(&gates[3 * h..], &mut act[3 * h..], |v| v.sigmoid::<S>());
            let [i, f, g, o] = split(&act, h);
            for j in 0..h {
                c_next_row[j] = f[j] * c[j] + i[j] * g[j];
            }
            rows::map2(&c_next_row, o, &mut h_row, |c, o| o * c.tanh::<S>());
            T::narrow(&h_row, h_out);
            T::narrow(&c_next_row, c_out);
            if let Some(saved) = saved.as_mut().and_then(Iterator::next) {
                T::narrow(&act, saved);
            }
        }
    }
}

/// The K blocks of H columns of a row.
#[inline(always)]
fn split<A, const K: usize>(row: &[A], h: usize) -> [&[A]; K] {
    std::array::from_fn(|k| &row[k * h..(k + 1) * h])
}

/// d gates (N, 4H) and d c (N, H) from the gradients of h' and c' (a missing one is zero).
pub fn lstm_step_backward(
    dh: Option<&In>,
    dc_next: Option<&In>,
    saved: &In,
    c: &In,
    c_next: &In,
    dgates: &mut Out,
    dc: &mut Out,
) -> Result<()> {
    let (op, h) = ("lstm_cell", hidden(c.shape));
    expect(op, "saved", saved.numel(), 4 * c.numel())?;
    dispatch!(float c.dtype, T => {
        let [saved, c, c_next] = [saved, c, c_next].map(|w| w.to_vec_or_slice::<T>());
        let (dh, dc_next) = (dh.map(|d| d.to_vec_or_slice::<T>()), dc_next.map(|d| d.to_vec_or_slice::<T>()));
        let (dgates, dc) = (Shared::new(dgates.as_mut_slice::<T>()), Shared::new(dc.as_mut_slice::<T>()));
        parallel_for(c.len() / h.max(1), grain(h * LSTM_COST), |r| {
            let (one, four) = (r.start * h..r.end * h, r.start * 4 * h..r.end * 4 * h);
            let (dh, dc_next) = (dh.as_ref().map(|d| &d[one.clone()]), dc_next.as_ref().map(|d| &d[one.clone()]));
            // SAFETY: ranges of rows are disjoint.
            let (dgates, dc) = unsafe { (dgates.range(four.start, four.len()), dc.range(one.start, one.len())) };
            lstm_backward_rows([dh, dc_next], &saved[four], &c[one.clone()], &c_next[one], h, dgates, dc);
        });
        Ok(())
    }, else Err(rows::unsupported(op, c.dtype)))
}

/// Row `i` of a gradient as accumulators; zeros when it is missing.
#[inline(always)]
fn load_or_zero<'a, T: Storage>(
    row: &'a mut Row<T::Acc>,
    zeros: &'a [T::Acc],
    grad: Option<&'a [T]>,
    i: usize,
) -> &'a [T::Acc] {
    match grad {
        Some(g) => row.load(&g[i * zeros.len()..][..zeros.len()]),
        None => zeros,
    }
}

simd_dispatch! {
    fn lstm_backward_rows<T: Storage>(
        grads: [Option<&[T]>; 2], saved: &[T], c: &[T], c_next: &[T], h: usize, dgates: &mut [T], dc: &mut [T]
    ) {
        let [mut dh_row, mut dcn_row, mut c_row, mut cn_row] = [(); 4].map(|_| Row::new::<T>(h));
        let mut saved_row = Row::new::<T>(4 * h);
        let zeros = vec![T::Acc::ZERO; h];
        let (mut tanh_c, mut out, mut dc_out) = (zeros.clone(), vec![T::Acc::ZERO; 4 * h], zeros.clone());
        let one = T::Acc::ONE;
        let outs = dgates.chunks_exact_mut(4 * h).zip(dc.chunks_exact_mut(h));
        for (n, ((saved, (c, c_next)), (dgates, dc))) in
            saved.chunks_exact(4 * h).zip(c.chunks_exact(h).zip(c_next.chunks_exact(h))).zip(outs).enumerate()
        {
            let dh = load_or_zero(&mut dh_row, &zeros, grads[0], n);
            let dcn = load_or_zero(&mut dcn_row, &zeros, grads[1], n);
            let (saved, c, c_next) = (saved_row.load(saved), c_row.load(c), cn_row.load(c_next));
            rows::map1(c_next, &mut tanh_c, |v| v.tanh::<S>());
            let [i, f, g, o]: [&[T::Acc]; 4] = split(saved, h);
            let [di, rest @ ..] = split_mut::<T::Acc, 4>(&mut out, h);
            let [df, dg, d_o] = rest;
            for j in 0..h {
                let t = tanh_c[j];
                let cell = dcn[j] + dh[j] * o[j] * (one - t * t);
                di[j] = cell * g[j] * i[j] * (one - i[j]);
                df[j] = cell * c[j] * f[j] * (one - f[j]);
                dg[j] = cell * i[j] * (one - g[j] * g[j]);
                d_o[j] = dh[j] * t * o[j] * (one - o[j]);
                dc_out[j] = cell * f[j];
            }
            T::narrow(&out, dgates);
            T::narrow(&dc_out, dc);
        }
    }
}

#[inline(always)]
fn split_mut<A, const K: usize>(row: &mut [A], h: usize) -> [&mut [A]; K] {
    let mut rest = row;
    std::array::from_fn(|_| {
        let (head, tail) = std::mem::take(&mut rest).split_at_mut(h);
        rest = tail;
        head
    })
}

/// r, z = σ of the sums of the first two gates; n = tanh(x_n + r·h_n), the reset gate applied after the product (Cho et
/// al., 2014, in cuDNN's form); h' = (1 - z)·n + z·h. `gates_x` and `gates_h` are (N, 3H) products of input and hidden
/// state with their biases. Saves (N, 4H): r, z, n and h_n.
pub fn gru_step(gates_x: &In, gates_h: &In, h: &In, h_next: &mut Out, saved: Option<&mut Out>) -> Result<()> {
    let (op, size) = ("gru_cell", hidden(h.shape));
    expect(op, "the input's gates", gates_x.numel(), 3 * h.numel())?;
    expect(op, "the hidden state's gates", gates_h.numel(), 3 * h.numel())?;
    dispatch!(float h.dtype, T => {
        let [x, hidden_gates, h] = [gates_x, gates_h, h].map(|w| w.to_vec_or_slice::<T>());
        let h_next = Shared::new(h_next.as_mut_slice::<T>());
        let saved = saved.map(|s| Shared::new(s.as_mut_slice::<T>()));
        parallel_for(h.len() / size.max(1), grain(size * GRU_COST), |r| {
            let at = |k: usize| r.start * k * size..r.end * k * size;
            // SAFETY: ranges of rows are disjoint.
            let (h_next, saved) = unsafe {
                (h_next.range(at(1).start, at(1).len()), saved.map(|s| s.range(at(4).start, at(4).len())))
            };
            gru_rows(&x[at(3)], &hidden_gates[at(3)], &h[at(1)], size, h_next, saved);
        });
        Ok(())
    }, else Err(rows::unsupported(op, h.dtype)))
}

simd_dispatch! {
    fn gru_rows<T: Storage>(x: &[T], hidden: &[T], h: &[T], size: usize, h_next: &mut [T], saved: Option<&mut [T]>) {
        let (mut x_row, mut hidden_row, mut h_row) =
            (Row::new::<T>(3 * size), Row::new::<T>(3 * size), Row::new::<T>(size));
        let (mut act, mut out) = (vec![T::Acc::ZERO; 4 * size], vec![T::Acc::ZERO; size]);
        let mut saved = saved.map(|s| s.chunks_exact_mut(4 * size));
        let inputs = x.chunks_exact(3 * size).zip(hidden.chunks_exact(3 * size)).zip(h.chunks_exact(size));
        for (((x, hidden), h), h_out) in inputs.zip(h_next.chunks_exact_mut(size)) {
            let (x, hidden, h) = (x_row.load(x), hidden_row.load(hidden), h_row.load(h));
            let (gates, rest) = act.split_at_mut(2 * size);
            let (n, h_n) = rest.split_at_mut(size);
            rows::map2(&x[..2 * size], &hidden[..2 * size], gates, |a, b| (a + b).sigmoid::<S>());
            h_n.copy_from_slice(&hidden[2 * size..]);
            for j in 0..size {
                n[j] = x[2 * size + j] + gates[j] * h_n[j];
            }
            rows::map1_in_place(n, |v| v.tanh::<S>());
            for j in 0..size {
                out[j] = n[j] + gates[size + j] * (h[j] - n[j]);
            }
            T::narrow(&out, h_out);
            if let Some(saved) = saved.as_mut().and_then(Iterator::next) {
                T::narrow(&act, saved);
            }
        }
    }
}

/// The gradients of `gates_x`, `gates_h` (N, 3H) and of h along the direct path (N, H).
pub fn gru_step_backward(
    dh_next: &In,
    saved: &In,
    h: &In,
    dgates_x: &mut Out,
    dgates_h: &mut Out,
    dh: &mut Out,
) -> Result<()> {
    let (op, size) = ("gru_cell", hidden(h.shape));
    expect(op, "saved", saved.numel(), 4 * h.numel())?;
    dispatch!(float h.dtype, T => {
        let (grad, saved, h) = (dh_next.to_vec_or_slice::<T>(), saved.to_vec_or_slice::<T>(), h.to_vec_or_slice::<T>());
        let (dx, dhid) = (Shared::new(dgates_x.as_mut_slice::<T>()), Shared::new(dgates_h.as_mut_slice::<T>()));
        let dh = Shared::new(dh.as_mut_slice::<T>());
        parallel_for(h.len() / size.max(1), grain(size * GRU_COST), |r| {
            let at = |k: usize| r.start * k * size..r.end * k * size;
            // SAFETY: ranges of rows are disjoint.
            let (dx, dhid, dh) = unsafe {
                let three = |s: Shared<T>| s.range(at(3).start, at(3).len());
                (three(dx), three(dhid), dh.range(at(1).start, at(1).len()))
            };
            gru_backward_rows(&grad[at(1)], &saved[at(4)], &h[at(1)], size, dx, dhid, dh);
        });
        Ok(())
    }, else Err(rows::unsupported(op, h.dtype)))
}

simd_dispatch! {
    fn gru_backward_rows<T: Storage>(
        grad: &[T], saved: &[T], h: &[T], size: usize, dgates_x: &mut [T], dgates_h: &mut [T], dh: &mut [T]
    ) {
        let (mut grad_row, mut h_row, mut saved_row) =
            (Row::new::<T>(size), Row::new::<T>(size), Row::new::<T>(4 * size));
        let mut dx = vec![T::Acc::ZERO; 3 * size];
        let (mut dhid, mut dh_out) = (dx.clone(), vec![T::Acc::ZERO; size]);
        let one = T::Acc::ONE;
        let outs = dgates_x.chunks_exact_mut(3 * size).zip(dgates_h.chunks_exact_mut(3 * size));
        let outs = outs.zip(dh.chunks_exact_mut(size));
        let inputs = grad.chunks_exact(size).zip(saved.chunks_exact(4 * size)).zip(h.chunks_exact(size));
        for (((grad, saved), h), ((dx_out, dhid_out), dh)) in inputs.zip(outs) {
            let (grad, saved, h) = (grad_row.load(grad), saved_row.load(saved), h_row.load(h));
            let [r, z, n, h_n]: [&[T::Acc]; 4] = split(saved, size);
            let [dr, dz, dn] = split_mut::<T::Acc, 3>(&mut dx, size);
            for j in 0..size {
                let new = grad[j] * (one - z[j]) * (one - n[j] * n[j]);
                dr[j] = new * h_n[j] * r[j] * (one - r[j]);
                dz[j] = grad[j] * (h[j] - n[j]) * z[j] * (one - z[j]);
                dn[j] = new;
                dhid[2 * size + j] = new * r[j];
                dh_out[j] = grad[j] * z[j];
            }
            dhid[..2 * size].copy_from_slice(&dx[..2 * size]);
            T::narrow(&dx, dx_out);
            T::narrow(&dhid, dhid_out);
            T::narrow(&dh_out, dh);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::{Tensor, assert_close, assert_gradient, at_every_level};
    use crate::dtype::Element;

    const SIZES: [(usize, usize); 3] = [(1, 1), (3, 5), (2, 33)];

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn lstm<T: Element>(gates: &Tensor<T>, c: &Tensor<T>, [n, h]: [usize; 2]) -> [Tensor<T>; 3] {
        let [mut h_next, mut c_next, mut saved] = [[n, h], [n, h], [n, 4 * h]].map(|s| Tensor::zeros(&s));
        let outs = (&mut h_next.output(), &mut c_next.output(), &mut saved.output());
        lstm_step(&gates.input(), &c.input(), outs.0, outs.1, Some(outs.2)).expect("a float");
        [h_next, c_next, saved]
    }

    #[test]
    fn lstm_matches_its_equations_and_differences() {
        at_every_level(|| {
            for (n, h) in SIZES {
                let (gates, c) = (Tensor::<f32>::noise(1, &[n, 4 * h]), Tensor::<f32>::noise(2, &[n, h]));
                let [h_next, c_next, _] = lstm(&gates, &c, [n, h]);
                for (at, (row, j)) in (0..n).flat_map(|r| (0..h).map(move |j| (r, j))).enumerate() {
                    let gate = |k: usize| gates.values()[row * 4 * h + k * h + j];
                    let cell = sigmoid(gate(1)) * c.values()[at] + sigmoid(gate(0)) * gate(2).tanh();
                    let found = [c_next.values()[at], h_next.values()[at]];
                    assert_close(&found, &[cell, sigmoid(gate(3)) * cell.tanh()], 1e-6, "lstm");
                }
                let (gates, c) = (Tensor::<f64>::noise(1, &[n, 4 * h]), Tensor::<f64>::noise(2, &[n, h]));
                let [_, c_next, saved] = lstm(&gates, &c, [n, h]);
                let g = Tensor::<f64>::noise(3, &[n, h]);
                for which in [0, 1] {
                    let (mut dgates, mut dc) = (Tensor::<f64>::zeros(&[n, 4 * h]), Tensor::<f64>::zeros(&[n, h]));
                    let ins = [saved.input(), c.input(), c_next.input(), g.input()];
                    let (dh, dcn) = if which == 0 { (Some(&ins[3]), None) } else { (None, Some(&ins[3])) };
                    lstm_step_backward(dh, dcn, &ins[0], &ins[1], &ins[2], &mut dgates.output(), &mut dc.output())
                        .expect("float64");
                    let run = |gates: &Tensor<f64>, c: &Tensor<f64>| lstm(gates, c, [n, h])[which].clone();
                    assert_gradient(|x| run(x, &c), &gates, &g, &dgates, "lstm gates");
                    assert_gradient(|x| run(&gates, x), &c, &g, &dc, "lstm cell");
                }
            }
        });
    }

    fn gru<T: Element>(x: &Tensor<T>, hidden: &Tensor<T>, h: &Tensor<T>, [n, size]: [usize; 2]) -> [Tensor<T>; 2] {
        let (mut h_next, mut saved) = (Tensor::zeros(&[n, size]), Tensor::zeros(&[n, 4 * size]));
        let (out, save) = (&mut h_next.output(), &mut saved.output());
        gru_step(&x.input(), &hidden.input(), &h.input(), out, Some(save)).expect("a float");
        [h_next, saved]
    }

    #[test]
    fn gru_matches_its_equations_and_differences() {
        at_every_level(|| {
            for (n, size) in SIZES {
                let [x, hidden] = [1, 2].map(|seed| Tensor::<f64>::noise(seed, &[n, 3 * size]));
                let [h, g] = [3, 4].map(|seed| Tensor::<f64>::noise(seed, &[n, size]));
                let [h_next, saved] = gru(&x, &hidden, &h, [n, size]);
                for (at, (row, j)) in (0..n).flat_map(|r| (0..size).map(move |j| (r, j))).enumerate() {
                    let gate = |t: &Tensor<f64>, k: usize| t.data[row * 3 * size + k * size + j];
                    let [r, z] = [0, 1].map(|k| sigmoid(gate(&x, k) + gate(&hidden, k)));
                    let new = (gate(&x, 2) + r * gate(&hidden, 2)).tanh();
                    assert_close(&[h_next.data[at]], &[(1.0 - z) * new + z * h.data[at]], 1e-13, "gru");
                }
                let [mut dx, mut dhid] = [(); 2].map(|_| Tensor::<f64>::zeros(&[n, 3 * size]));
                let mut dh = Tensor::<f64>::zeros(&[n, size]);
                let outs = (&mut dx.output(), &mut dhid.output(), &mut dh.output());
                gru_step_backward(&g.input(), &saved.input(), &h.input(), outs.0, outs.1, outs.2).expect("float64");
                let run = |x: &Tensor<f64>, hidden: &Tensor<f64>, h: &Tensor<f64>| {
                    let [y, _] = gru(x, hidden, h, [n, size]);
                    y
                };
                assert_gradient(|v| run(v, &hidden, &h), &x, &g, &dx, "gru input");
                assert_gradient(|v| run(&x, v, &h), &hidden, &g, &dhid, "gru hidden");
                assert_gradient(|v| run(&x, &hidden, v), &h, &g, &dh, "gru state");
            }
        });
    }
}
