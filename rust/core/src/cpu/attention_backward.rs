//! The gradient of scaled dot-product attention: probabilities are computed again from the scores and their saved
//! log-sum-exp, block by block.
//!
//! A task owns what it writes. Where there are enough key heads one task makes all gradients of a key head; otherwise
//! the queries' gradients and those of keys and values are separate tasks. Either way a sum runs over the same blocks
//! in the same order.

use crate::cpu::attention::{
    AttentionParams, Heads, HeadsMut, KEYS, OP, QUERIES, Scores, Sizes, Uniform, checked_mask, task_rows,
};
use crate::cpu::math::Real;
use crate::cpu::rows::{self, Acc, LANES, Storage};
use crate::cpu::threads::{num_threads, parallel_for};
use crate::cpu::tiles::{self, Left, ROWS, panel, product};
use crate::cpu::view::{In, Out};
use crate::dtype::Element;
use crate::error::Result;
use crate::{dispatch, simd_dispatch};
use std::borrow::Cow;
use std::ops::Range;

/// What the forward pass read and wrote, and the gradient of its output.
#[derive(Clone, Copy)]
pub struct Saved<'a> {
    pub dout: &'a In<'a>,
    pub q: &'a In<'a>,
    pub k: &'a In<'a>,
    pub v: &'a In<'a>,
    pub mask: Option<&'a In<'a>>,
    pub out: &'a In<'a>,
    /// (B, H, L), contiguous, of the accumulator's dtype.
    pub lse: &'a In<'a>,
}

/// The gradients that are asked for; `dmask` is (B, H, L, S), to be summed by the caller where the mask was broadcast.
/// Rows are contiguous, other strides free.
#[derive(Default)]
pub struct Gradients<'a, 'b> {
    pub dq: Option<&'a mut Out<'b>>,
    pub dk: Option<&'a mut Out<'b>>,
    pub dv: Option<&'a mut Out<'b>>,
    pub dmask: Option<&'a mut Out<'b>>,
}

/// Fills the gradients of attention.
pub fn backward(p: &AttentionParams, saved: Saved, uniform: Uniform, gradients: Gradients) -> Result<()> {
    let Saved { dout, q, k, v, mask, out, lse } = saved;
    let sizes = Sizes::new(q, k, v)?;
    let scores = Scores { params: p, mask: checked_mask(mask, sizes)?, uniform, sizes };
    dispatch!(float q.dtype, T => {
        let mut copies = [(); 5].map(|_| Cow::Borrowed(&[][..]));
        let [cq, ck, cv, co, cd] = &mut copies;
        let write = |o: Option<&mut Out>| o.map(HeadsMut::<T>::new).transpose();
        let problem = Problem {
            q: Heads::<T>::new(q, cq),
            k: Heads::new(k, ck),
            v: Heads::new(v, cv),
            out: Heads::new(out, co),
            dout: Heads::new(dout, cd),
            lse: lse.to_vec_or_slice::<<T as Storage>::Acc>(),
            dq: write(gradients.dq)?,
            dk: write(gradients.dk)?,
            dv: write(gradients.dv)?,
            dmask: write(gradients.dmask)?,
            scores,
        };
        problem.run();
        Ok(())
    }, else Err(rows::unsupported(OP, q.dtype)))
}

struct Problem<'a, T: Storage> {
    q: Heads<T>,
    k: Heads<T>,
    v: Heads<T>,
    out: Heads<T>,
    dout: Heads<T>,
    lse: Cow<'a, [T::Acc]>,
    dq: Option<HeadsMut<T>>,
    dk: Option<HeadsMut<T>>,
    dv: Option<HeadsMut<T>>,
    dmask: Option<HeadsMut<T>>,
    scores: Scores<'a>,
}

/// The part of the gradients that one task makes.
struct Task {
    batch: usize,
    key_head: usize,
    /// Query heads that share the key head.
    heads: Range<usize>,
    queries: Range<usize>,
    keys: Range<usize>,
    for_queries: bool,
    for_keys: bool,
}

impl<T: Storage> Problem<'_, T> {
    fn run(&self) {
        let z = self.scores.sizes;
        let (wants_q, wants_k) = (self.dq.is_some() || self.dmask.is_some(), self.dk.is_some() || self.dv.is_some());
        let key_heads = z.b * z.hkv;
        let small = z.b * z.h * z.l * z.s * (z.e + z.ev) < 1 << 18;
        let cut = |n: usize, size: usize, i: usize| i * size..((i + 1) * size).min(n);
        if small || key_heads >= 2 * num_threads() || num_threads() == 1 {
            parallel_for(key_heads, if small { key_heads } else { 1 }, |r| {
                for i in r {
                    let (batch, key_head) = (i / z.hkv, i % z.hkv);
                    let heads = key_head * z.group()..(key_head + 1) * z.group();
                    let (queries, keys) = (0..z.l, 0..z.s);
                    self.work(Task { batch, key_head, heads, queries, keys, for_queries: wants_q, for_keys: wants_k });
                }
            });
            return;
        }
        if wants_q {
            let size = task_rows(z.b * z.h, z.l);
            let tasks = z.l.div_ceil(size);
            parallel_for(z.b * z.h * tasks, 1, |r| {
                for i in r {
                    let (batch, head) = (i / tasks / z.h, i / tasks % z.h);
                    let (heads, key_head) = (head..head + 1, head / z.group());
                    let (queries, keys) = (cut(z.l, size, i % tasks), 0..z.s);
                    self.work(Task { batch, key_head, heads, queries, keys, for_queries: true, for_keys: false });
                }
            });
        }
        if wants_k {
            let size = self.scores.keys_per_block();
            let tasks = z.s.div_ceil(size);
            parallel_for(key_heads * tasks, 1, |r| {
                for i in r {
                    let (batch, key_head) = (i / tasks / z.hkv, i / tasks % z.hkv);
                    let heads = key_head * z.group()..(key_head + 1) * z.group();
                    let (queries, keys) = (0..z.l, cut(z.s, size, i % tasks));
                    self.work(Task { batch, key_head, heads, queries, keys, for_queries: false, for_keys: true });
                }
            });
        }
    }

    fn work(&self, task: Task) {
        let z = self.scores.sizes;
        let (nr, b) = (panel::<T::Acc>(), task.batch);
        let mut heads: Vec<Head<T::Acc>> = task.heads.clone().map(|h| self.head(&task, h, nr)).collect();
        let mut space = Space::<T::Acc>::new(z, nr);
        let (k, v) = (self.k.head(b, task.key_head), self.v.head(b, task.key_head));
        if let Some(dmask) = self.dmask.filter(|_| task.for_queries) {
            for (h, i) in task.heads.clone().flat_map(|h| task.queries.clone().map(move |i| (h, i))) {
                // SAFETY: the task has these rows for itself.
                unsafe { dmask.row(b, h, i) }.fill(T::down(T::Acc::ZERO));
            }
        }
        for k0 in task.keys.clone().step_by(self.scores.keys_per_block()) {
            let keys = self.scores.keys_per_block().min(task.keys.end - k0);
            space.load_keys(k.part(k0, keys), v.part(k0, keys), nr);
            for (head, h) in heads.iter_mut().zip(task.heads.clone()) {
                for r0 in (0..task.queries.len()).step_by(QUERIES) {
                    let block = QUERIES.min(task.queries.len() - r0);
                    if self.scores.reaches(task.queries.start + r0 + block - 1, k0) {
                        self.block(&task, head, h, r0..r0 + block, k0..k0 + keys, &mut space);
                    }
                }
            }
            if task.for_keys {
                for j in 0..keys {
                    let write = |to: Option<HeadsMut<T>>, from: &[T::Acc], pitch: usize| {
                        if let Some(to) = to {
                            // SAFETY: the task has these keys for itself.
                            let row = unsafe { to.row(b, task.key_head, k0 + j) };
                            T::narrow(&from[j * pitch..][..row.len()], row);
                        }
                    };
                    write(self.dk, &space.dk, space.e_pitch);
                    write(self.dv, &space.dv, space.ev_pitch);
                }
            }
        }
        if let Some(dq) = self.dq.filter(|_| task.for_queries) {
            let scale = T::Acc::from_f64(self.scores.params.scale);
            for (head, h) in heads.iter().zip(task.heads) {
                for (r, i) in task.queries.clone().enumerate() {
                    // SAFETY: the task has these queries for itself.
                    let row = unsafe { dq.row(b, h, i) };
                    rows::map1_of_acc(&head.dq[r * space.e_pitch..][..z.e], row, |v| v * scale);
                }
            }
        }
    }

    /// The task's queries of one head, packed.
    fn head(&self, task: &Task, h: usize, nr: usize) -> Head<T::Acc> {
        let (z, b) = (self.scores.sizes, task.batch);
        let count = task.queries.len();
        let padded = count.next_multiple_of(ROWS);
        let (e_pitch, ev_pitch) = (tiles::padded(z.e, nr), tiles::padded(z.ev, nr));
        let zeros = |n: usize| vec![T::Acc::ZERO; n];
        let mut head = Head {
            q: zeros(padded * z.e),
            dout: zeros(padded * z.ev),
            q_right: zeros(if task.for_keys { count * e_pitch } else { 0 }),
            dout_right: zeros(if task.for_keys { count * ev_pitch } else { 0 }),
            dq: zeros(if task.for_queries { padded * e_pitch } else { 0 }),
            dot: Vec::with_capacity(count),
            lse: self.lse[(b * z.h + h) * z.l..][task.queries.clone()].to_vec(),
        };
        let part = |heads: &Heads<T>| heads.head(b, h).part(task.queries.start, count);
        let (q, dout, out) = (part(&self.q), part(&self.dout), part(&self.out));
        let scale = T::Acc::from_f64(self.scores.params.scale);
        tiles::pack_left(q, scale, &mut head.q);
        tiles::pack_left(dout, T::Acc::ONE, &mut head.dout);
        if task.for_keys {
            for r0 in (0..count).step_by(QUERIES) {
                let block = QUERIES.min(count - r0);
                let to = &mut head.q_right[r0 * e_pitch..(r0 + block) * e_pitch];
                tiles::pack_right(q.part(r0, block), nr, to);
                to.iter_mut().for_each(|v| *v *= scale);
                tiles::pack_right(
                    dout.part(r0, block),
                    nr,
                    &mut head.dout_right[r0 * ev_pitch..(r0 + block) * ev_pitch],
                );
            }
        }
        for r in 0..count {
            let (dot, _) = rows::sum2_of(dout.row(r), out.row(r), [T::Acc::ZERO; 2], |a, b| (a * b, T::Acc::ZERO));
            head.dot.push(T::Acc::from_f64(dot));
        }
        head
    }

    /// Adds what one block of scores contributes.
    fn block(
        &self,
        task: &Task,
        head: &mut Head<T::Acc>,
        h: usize,
        rows: Range<usize>,
        keys: Range<usize>,
        space: &mut Space<T::Acc>,
    ) {
        let z = self.scores.sizes;
        let (count, whole, n) = (rows.len(), rows.len().next_multiple_of(ROWS), keys.len());
        let by_rows = |data, row_step| Left { data, row_step, depth_step: 1 };
        product(by_rows(&head.q[rows.start * z.e..], z.e), &space.k_columns, z.e, &mut space.ds, KEYS, whole, n, false);
        product(
            by_rows(&head.dout[rows.start * z.ev..], z.ev),
            &space.v_columns,
            z.ev,
            &mut space.dp,
            KEYS,
            whole,
            n,
            false,
        );
        let first = [task.batch, h, task.queries.start + rows.start];
        softmax_gradient(&self.scores, first, keys.clone(), &head.lse[rows.clone()], &head.dot[rows.clone()], space);
        if let Some(dmask) = self.dmask.filter(|_| task.for_queries) {
            for r in 0..count {
                // SAFETY: the task has these queries for itself.
                let row = unsafe { dmask.row(first[0], h, first[2] + r) };
                T::narrow(&space.ds[r * KEYS..][..n], &mut row[keys.clone()]);
            }
        }
        if task.for_queries {
            let dq = &mut head.dq[rows.start * space.e_pitch..];
            product(by_rows(&space.ds, KEYS), &space.k_rows, n, dq, space.e_pitch, whole, z.e, true);
        }
        if task.for_keys {
            let by_columns = |data| Left { data, row_step: 1, depth_step: KEYS };
            let key_rows = n.next_multiple_of(ROWS);
            let right = &head.q_right[rows.start * space.e_pitch..rows.end * space.e_pitch];
            product(by_columns(&space.ds), right, count, &mut space.dk, space.e_pitch, key_rows, z.e, true);
            let right = &head.dout_right[rows.start * space.ev_pitch..rows.end * space.ev_pitch];
            product(by_columns(&space.p), right, count, &mut space.dv, space.ev_pitch, key_rows, z.ev, true);
        }
    }
}

/// Some queries of one head: as left operands, as right operands by blocks of QUERIES, and their gradient so far.
struct Head<A> {
    /// Times scale, as is `q_right`.
    q: Vec<A>,
    dout: Vec<A>,
    q_right: Vec<A>,
    dout_right: Vec<A>,
    dq: Vec<A>,
    /// Σ dout·out per query.
    dot: Vec<A>,
    lse: Vec<A>,
}

/// The buffers of one block of keys.
struct Space<A> {
    /// Keys and values as right operands whose columns are the keys, and keys whose rows are.
    k_columns: Vec<A>,
    v_columns: Vec<A>,
    k_rows: Vec<A>,
    /// QUERIES × KEYS each: scores and then their gradient; probabilities; the gradient of probabilities.
    ds: Vec<A>,
    p: Vec<A>,
    dp: Vec<A>,
    dk: Vec<A>,
    dv: Vec<A>,
    e_pitch: usize,
    ev_pitch: usize,
}

impl<A: Acc> Space<A> {
    fn new(z: Sizes, nr: usize) -> Self {
        let (e_pitch, ev_pitch) = (tiles::padded(z.e, nr), tiles::padded(z.ev, nr));
        let zeros = |n: usize| vec![A::ZERO; n];
        let [ds, p, dp] = [(); 3].map(|_| zeros(QUERIES * KEYS));
        let (k_columns, v_columns, k_rows) = (zeros(KEYS * z.e), zeros(KEYS * z.ev), zeros(KEYS * e_pitch));
        Space {
            k_columns,
            v_columns,
            k_rows,
            ds,
            p,
            dp,
            dk: zeros(KEYS * e_pitch),
            dv: zeros(KEYS * ev_pitch),
            e_pitch,
            ev_pitch,
        }
    }
    /// Packs a block of keys and values and clears its gradients.
    fn load_keys<T: Storage<Acc = A>>(&mut self, k: tiles::Matrix<T>, v: tiles::Matrix<T>, nr: usize) {
        let columns = tiles::padded(k.rows, nr);
        tiles::pack_right_transposed(k, nr, &mut self.k_columns[..columns * k.columns]);
        tiles::pack_right_transposed(v, nr, &mut self.v_columns[..columns * v.columns]);
        tiles::pack_right(k, nr, &mut self.k_rows[..k.rows * self.e_pitch]);
        self.dk.fill(A::ZERO);
        self.dv.fill(A::ZERO);
    }
}

simd_dispatch! {
    /// From scores and the gradient of probabilities: probabilities as they met the values, and the gradient of scores,
    /// p·(dp - Σ dout·out). Keys that a query does not see get zeros.
    fn softmax_gradient<A: Acc>(
        scores: &Scores, first: [usize; 3], keys: Range<usize>, lse: &[A], dot: &[A], space: &mut Space<A>
    ) {
        let whole = keys.len().next_multiple_of(LANES);
        let mut factors = [A::ONE; KEYS];
        for (n, (&lse, &dot)) in lse.iter().zip(dot).enumerate() {
            let place = [first[0], first[1], first[2] + n];
            let count = scores.seen(place[2], keys.start, keys.len());
            let part = n * KEYS..n * KEYS + whole;
            let (ds, p, dp) = (&mut space.ds[part.clone()], &mut space.p[part.clone()], &space.dp[part]);
            let (seen, unseen) = ds.split_at_mut(count);
            unseen.fill(-A::INFINITY);
            scores.apply_mask(seen, place, keys.start);
            // A query that sees no key has no probabilities: exp(s - inf) = 0.
            let shift = if lse == -A::INFINITY { A::INFINITY } else { lse };
            rows::map1(ds, p, |s| (s - shift).exp_small::<S>());
            if scores.params.dropout > 0.0 {
                let factors = &mut factors[..count];
                scores.dropout(factors, place, keys.start);
                for j in 0..count {
                    ds[j] = p[j] * (dp[j] * factors[j] - dot);
                    p[j] *= factors[j];
                }
            } else {
                for ((d, &p), &g) in ds.iter_mut().zip(p.iter()).zip(dp.iter()) {
                    *d = p * (g - dot);
                }
            }
            ds[count..].fill(A::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::attention::forward;
    use crate::cpu::rows::testing::{Tensor, assert_close, assert_gradient, at_every_level};
    use crate::cpu::threads::with_threads;
    use half::{bf16, f16};

    /// Any deterministic stream does.
    fn uniform(seed: u64, offset: u64, first: u64, out: &mut [f32]) {
        for (i, u) in out.iter_mut().enumerate() {
            let x = (seed ^ offset << 20).wrapping_add(first + i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *u = (x >> 40) as f32 / (1u64 << 24) as f32;
        }
    }

    #[derive(Clone, Copy)]
    struct Case {
        z: Sizes,
        p: AttentionParams,
    }

    fn case([b, h, hkv, l, s, e, ev]: [usize; 7], causal: bool, dropout: f64) -> Case {
        let p = AttentionParams { scale: 0.7, causal, dropout, seed: 3, offset: 5 };
        Case { z: Sizes { b, h, hkv, l, s, e, ev }, p }
    }

    impl Case {
        fn inputs<T: Storage>(&self) -> [Tensor<T>; 4] {
            let Sizes { b, h, hkv, l, s, e, ev } = self.z;
            let shapes = [[b, h, l, e], [b, hkv, s, e], [b, hkv, s, ev], [b, h, l, s]];
            [0, 1, 2, 3].map(|i| Tensor::noise(i as u64 + 1, &shapes[i]))
        }
        fn forward<T: Storage>(&self, [q, k, v, mask]: [&Tensor<T>; 4]) -> (Tensor<T>, Tensor<T::Acc>) {
            let z = self.z;
            let (mut out, mut lse) = (Tensor::zeros(&[z.b, z.h, z.l, z.ev]), Tensor::zeros(&[z.b, z.h, z.l]));
            let (q, k, v, mask, sum) = (q.input(), k.input(), v.input(), mask.input(), &mut lse.output());
            forward(&self.p, &q, &k, &v, Some(&mask), uniform, &mut out.output(), Some(sum)).expect("valid shapes");
            (out, lse)
        }
        /// The definition, in float64.
        fn naive(&self, [q, k, v, mask]: [Vec<f64>; 4]) -> Vec<f64> {
            let Sizes { b, h, hkv, l, s, e, ev } = self.z;
            let mut out = Vec::new();
            for (bh, i) in (0..b * h).flat_map(|bh| (0..l).map(move |i| (bh, i))) {
                let kv = bh / h * hkv + bh % h / (h / hkv);
                let query = bh * l + i;
                let score = |j: usize| {
                    let dot: f64 = (0..e).map(|c| q[query * e + c] * k[(kv * s + j) * e + c]).sum();
                    let hidden = self.p.causal && j > i;
                    if hidden { f64::NEG_INFINITY } else { dot * self.p.scale + mask[query * s + j] }
                };
                let weights: Vec<f64> = (0..s).map(|j| score(j).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let mut factors = vec![0.0; s];
                uniform(3, 5, (query * s) as u64, &mut factors);
                let kept = |j: usize| {
                    let keep = 1.0 - self.p.dropout;
                    if self.p.dropout == 0.0 {
                        1.0
                    } else if f64::from(factors[j]) < keep {
                        1.0 / keep
                    } else {
                        0.0
                    }
                };
                let value =
                    |c: usize| (0..s).map(|j| weights[j] / sum * kept(j) * v[(kv * s + j) * ev + c]).sum::<f64>();
                out.extend((0..ev).map(value));
            }
            out
        }
    }

    fn forward_matches<T: Storage>(tolerance: f64) {
        for (sizes, causal, dropout) in [
            ([1, 1, 1, 1, 1, 1, 1], false, 0.0),
            ([2, 4, 2, 5, 7, 8, 3], false, 0.0),
            ([1, 2, 2, 40, 40, 16, 16], true, 0.0),
            ([1, 2, 1, 70, 300, 9, 33], false, 0.3),
            ([1, 2, 1, 2, 300, 9, 33], true, 0.2),
        ] {
            let case = case(sizes, causal, dropout);
            let inputs = case.inputs::<T>();
            let (out, _) = case.forward(inputs.each_ref());
            assert_close(&out.values(), &case.naive(inputs.map(|t| t.values())), tolerance, "attention");
        }
    }

    #[test]
    fn forward_matches_its_definition_for_every_dtype() {
        at_every_level(|| {
            forward_matches::<f64>(1e-12);
            forward_matches::<f32>(5e-6);
            forward_matches::<f16>(2e-3);
            forward_matches::<bf16>(1.6e-2);
        });
    }

    #[test]
    fn gradients_match_differences_however_tasks_are_cut() {
        at_every_level(|| {
            for (sizes, causal, dropout) in [
                ([1, 1, 1, 1, 1, 1, 1], false, 0.0),
                ([1, 2, 1, 4, 5, 3, 2], false, 0.0),
                ([2, 2, 2, 5, 4, 2, 3], true, 0.0),
                ([1, 2, 1, 3, 6, 2, 2], false, 0.4),
            ] {
                let case = case(sizes, causal, dropout);
                let [q, k, v, mask] = case.inputs::<f64>();
                let (out, lse) = case.forward([&q, &k, &v, &mask]);
                let Sizes { b, h, l, s, .. } = case.z;
                let g = Tensor::<f64>::noise(9, &[b, h, l, case.z.ev]);
                let (mut dq, mut dk, mut dv, mut dm) = (q.clone(), k.clone(), v.clone(), Tensor::zeros(&[b, h, l, s]));
                let ins = [&g, &q, &k, &v, &mask, &out, &lse].map(Tensor::input);
                let [dout, q_in, k_in, v_in, m_in, out_in, lse_in] = &ins;
                let (q_in, k_in, v_in, mask_in) = (q_in, k_in, v_in, Some(m_in));
                let saved = Saved { dout, q: q_in, k: k_in, v: v_in, mask: mask_in, out: out_in, lse: lse_in };
                let outs = (&mut dq.output(), &mut dk.output(), &mut dv.output(), &mut dm.output());
                let gradients = Gradients { dq: Some(outs.0), dk: Some(outs.1), dv: Some(outs.2), dmask: Some(outs.3) };
                backward(&case.p, saved, uniform, gradients).expect("valid shapes");
                assert_gradient(|x| case.forward([x, &k, &v, &mask]).0, &q, &g, &dq, "dq");
                assert_gradient(|x| case.forward([&q, x, &v, &mask]).0, &k, &g, &dk, "dk");
                assert_gradient(|x| case.forward([&q, &k, x, &mask]).0, &v, &g, &dv, "dv");
                assert_gradient(|x| case.forward([&q, &k, &v, x]).0, &mask, &g, &dm, "dmask");
            }
        });
    }

    #[test]
    fn thread_count_does_not_change_a_bit() {
        at_every_level(|| {
            let case = case([1, 2, 1, 300, 300, 16, 16], true, 0.0);
            let [q, k, v, mask] = case.inputs::<f32>();
            let gradients = || {
                let (out, lse) = case.forward([&q, &k, &v, &mask]);
                let ins = [&out, &q, &k, &v, &mask, &out, &lse].map(Tensor::input);
                let [dout, q_in, k_in, v_in, m_in, out_in, lse_in] = &ins;
                let saved = Saved { dout, q: q_in, k: k_in, v: v_in, mask: Some(m_in), out: out_in, lse: lse_in };
                let (mut dq, mut dk, mut dv) = (q.clone(), k.clone(), v.clone());
                let outs = (&mut dq.output(), &mut dk.output(), &mut dv.output());
                let wanted = Gradients { dq: Some(outs.0), dk: Some(outs.1), dv: Some(outs.2), dmask: None };
                backward(&case.p, saved, uniform, wanted).expect("valid shapes");
                [dq.data, dk.data, dv.data, out.data.clone()].concat()
            };
            assert!(with_threads(1, gradients) == with_threads(4, gradients));
        });
    }

    #[test]
    fn a_query_that_sees_nothing_gives_zeros() {
        at_every_level(|| {
            let case = case([1, 1, 1, 2, 3, 4, 4], false, 0.0);
            let [q, k, v, mut mask] = case.inputs::<f32>();
            mask.data[..3].fill(f32::NEG_INFINITY);
            let (out, lse) = case.forward([&q, &k, &v, &mask]);
            assert_eq!(out.data[..4], [0.0; 4]);
            assert_eq!(lse.data[0], f32::NEG_INFINITY);
            assert!(out.data[4..].iter().all(|v| v.is_finite() && *v != 0.0));
        });
    }
}
