//! Scaled dot-product attention: the problem and the forward pass. The gradient is in `attention_backward.rs`.
//!
//! Blocks of scores are made, exponentiated against a running maximum and multiplied with the values at once, so the
//! matrix of scores never exists (online softmax: Milakov and Gimelshein, 2018; blocks: Dao et al., 2022).

use crate::cpu::math::Real;
use crate::cpu::rows::{self, Acc, LANES, Shared, Storage};
use crate::cpu::threads::{num_threads, parallel_for};
use crate::cpu::tiles::{self, Left, Matrix, ROWS, panel, product};
use crate::cpu::view::{In, Out};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::{dispatch, simd_dispatch};
use std::borrow::Cow;
use std::ops::Range;

/// Scores are `scale`·q·k; with `causal` query i sees keys 0..=i. With `dropout` p over 0, a probability is kept where
/// the uniform number of its element, at index ((b·H + h)·L + i)·S + j of the stream (`seed`, `offset`), is below 1 -
/// p.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AttentionParams {
    pub scale: f64,
    pub causal: bool,
    pub dropout: f64,
    pub seed: u64,
    pub offset: u64,
}

/// Fills `out` with the uniform numbers in [0, 1) of elements `first ..` of the stream (seed, offset).
pub type Uniform = fn(seed: u64, offset: u64, first: u64, out: &mut [f32]);

/// Keys per block of scores.
pub(super) const KEYS: usize = 256;
/// Queries per block of scores.
pub(super) const QUERIES: usize = 32;
/// Queries of one task: keys are packed once for all of them.
const TASK_QUERIES: usize = 512;

/// Up to this many queries are multiplied row by row.
const FEW: usize = 3;

/// (B, heads, rows, columns) with contiguous rows.
#[derive(Clone, Copy)]
pub(super) struct Heads<T> {
    ptr: *const T,
    strides: [usize; 3],
    rows: usize,
    columns: usize,
}

// SAFETY: heads are read only.
unsafe impl<T: Sync> Send for Heads<T> {}
unsafe impl<T: Sync> Sync for Heads<T> {}

impl<T: Storage> Heads<T> {
    /// The window itself, or `copy` filled with its elements when rows are not contiguous.
    pub(super) fn new(window: &In, copy: &mut Cow<'_, [T]>) -> Self {
        let &[_, heads, rows, columns] = window.shape else { unreachable!("checked by Sizes::new") };
        if window.strides[3] == 1 || columns <= 1 {
            let strides = [window.strides[0], window.strides[1], window.strides[2]];
            return Heads { ptr: window.ptr.cast(), strides, rows, columns };
        }
        *copy = Cow::Owned(window.to_vec_or_slice::<T>().into_owned());
        Heads { ptr: copy.as_ptr(), strides: [heads * rows * columns, rows * columns, columns], rows, columns }
    }
    pub(super) fn head(&self, batch: usize, head: usize) -> Matrix<T> {
        let ptr = self.ptr.wrapping_add(batch * self.strides[0] + head * self.strides[1]);
        Matrix { ptr, rows: self.rows, columns: self.columns, pitch: self.strides[2] }
    }
}

/// An output of the same form; rows are written by one task each.
#[derive(Clone, Copy)]
pub(super) struct HeadsMut<T> {
    ptr: *mut T,
    strides: [usize; 3],
    columns: usize,
}

// SAFETY: tasks write disjoint rows.
unsafe impl<T: Send> Send for HeadsMut<T> {}
unsafe impl<T: Send> Sync for HeadsMut<T> {}

impl<T: Storage> HeadsMut<T> {
    pub(super) fn new(window: &mut Out) -> Result<Self> {
        let &[_, _, _, columns] = window.shape else {
            return Err(Error::Internal(format!("{OP}: outputs have rank 4")));
        };
        if window.strides[3] != 1 && columns > 1 {
            return Err(Error::Internal(format!("{OP}: rows of outputs must be contiguous")));
        }
        let strides = [window.strides[0], window.strides[1], window.strides[2]];
        Ok(HeadsMut { ptr: window.ptr.cast(), strides, columns })
    }
    /// # Safety
    /// The indices are in range, and nobody else has the row.
    #[inline(always)]
    pub(super) unsafe fn row<'a>(&self, batch: usize, head: usize, row: usize) -> &'a mut [T] {
        let at = batch * self.strides[0] + head * self.strides[1] + row * self.strides[2];
        // SAFETY: the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(at), self.columns) }
    }
}

pub(super) const OP: &str = "scaled_dot_product_attention";

/// The sizes of q (B, H, L, E), k (B, Hkv, S, E) and v (B, Hkv, S, Ev).
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub b: usize,
    pub h: usize,
    pub hkv: usize,
    pub l: usize,
    pub s: usize,
    pub e: usize,
    pub ev: usize,
}

impl Sizes {
    pub(super) fn new(q: &In, k: &In, v: &In) -> Result<Sizes> {
        match (q.shape, k.shape, v.shape) {
            (&[b, h, l, e], &[bk, hkv, s, ek], &[bv, hv, sv, ev])
                if (bk, bv, ek, hv, sv) == (b, b, e, hkv, s) && (h == hkv || hkv > 0 && h % hkv == 0) =>
            {
                Ok(Sizes { b, h, hkv, l, s, e, ev })
            }
            (q, k, v) => Err(Error::Runtime(format!(
                "{OP}: query {q:?}, key {k:?} and value {v:?} must be (B, H, L, E), (B, Hkv, S, E) and \
                 (B, Hkv, S, Ev) with H a multiple of Hkv"
            ))),
        }
    }
    /// Query heads per key head.
    pub(super) fn group(&self) -> usize {
        self.h / self.hkv.max(1)
    }
}

/// What happens to scores after the product: mask, causality, dropout.
pub(super) struct Scores<'a> {
    pub params: &'a AttentionParams,
    pub mask: Option<In<'a>>,
    pub uniform: Uniform,
    pub sizes: Sizes,
}

impl Scores<'_> {
    /// How many of the keys `first .. first + count` query `i` sees.
    #[inline(always)]
    pub(super) fn seen(&self, i: usize, first: usize, count: usize) -> usize {
        if self.params.causal { (i + 1).saturating_sub(first).min(count) } else { count }
    }
    /// Whether the last of some queries sees key `first`.
    #[inline(always)]
    pub(super) fn reaches(&self, last_query: usize, first: usize) -> bool {
        !self.params.causal || last_query >= first
    }
    /// Applies the mask to the scores of query `i` for the keys from `first` on.
    #[inline(always)]
    pub(super) fn apply_mask<A: Acc>(&self, row: &mut [A], [b, h, i]: [usize; 3], first: usize) {
        let Some(mask) = &self.mask else { return };
        let [sb, sh, si, sj] = [mask.strides[0], mask.strides[1], mask.strides[2], mask.strides[3]];
        let base = b * sb + h * sh + i * si + first * sj;
        if mask.dtype == DType::Bool {
            for (j, v) in row.iter_mut().enumerate() {
                // SAFETY: the mask broadcasts to (B, H, L, S), so the element is inside its window.
                if unsafe { !*mask.ptr.cast::<bool>().add(base + j * sj) } {
                    *v = -A::INFINITY;
                }
            }
            return;
        }
        dispatch!(float mask.dtype, M => {
            // SAFETY: as above.
            let at = |j: usize| unsafe { (*mask.ptr.cast::<M>().add(base + j * sj)).to_f64() };
            if sj == 1 {
                for (j, v) in row.iter_mut().enumerate() {
                    // SAFETY: as above.
                    *v += A::from_f64(unsafe { (*mask.ptr.cast::<M>().add(base + j)).to_f64() });
                }
            } else {
                for (j, v) in row.iter_mut().enumerate() {
                    *v += A::from_f64(at(j));
                }
            }
        }, else {});
    }
    /// The factors of dropout for query `i` and the keys from `first` on: 0 or 1/(1 - p).
    pub(super) fn dropout<A: Acc>(&self, factors: &mut [A], [b, h, i]: [usize; 3], first: usize) {
        let Sizes { h: heads, l, s, .. } = self.sizes;
        let index = ((b * heads + h) * l + i) * s + first;
        let keep = 1.0 - self.params.dropout;
        let factor = if keep > 0.0 { A::from_f64(1.0 / keep) } else { A::ZERO };
        let mut uniform = [0.0f32; KEYS];
        let uniform = &mut uniform[..factors.len()];
        (self.uniform)(self.params.seed, self.params.offset, index as u64, uniform);
        for (f, &u) in factors.iter_mut().zip(uniform.iter()) {
            *f = if f64::from(u) < keep { factor } else { A::ZERO };
        }
    }
}

/// The mask, checked: bool or floating, and of shape (B, H, L, S) with any strides.
pub(super) fn checked_mask<'a>(mask: Option<&In<'a>>, z: Sizes) -> Result<Option<In<'a>>> {
    let Some(mask) = mask else { return Ok(None) };
    if mask.shape != [z.b, z.h, z.l, z.s] || !(mask.dtype == DType::Bool || mask.dtype.is_float()) {
        return Err(Error::Internal(format!(
            "{OP}: mask {:?} of dtype {} is not a bool or floating mask broadcast to (B, H, L, S)",
            mask.shape, mask.dtype
        )));
    }
    Ok(Some(*mask))
}

/// out (B, H, L, Ev) = softmax(scale·q·kᵀ + mask)·v, and `lse` (B, H, L), contiguous, of the accumulator's dtype: the
/// logarithm of the softmax's denominator. A bool mask keeps where true; a floating one is added. A query that sees no
/// key gives zeros, and -inf in `lse`. Rows of `out` are contiguous, its other strides free.
pub fn forward(
    p: &AttentionParams,
    q: &In,
    k: &In,
    v: &In,
    mask: Option<&In>,
    uniform: Uniform,
    out: &mut Out,
    lse: Option<&mut Out>,
) -> Result<()> {
    let sizes = Sizes::new(q, k, v)?;
    let scores = Scores { params: p, mask: checked_mask(mask, sizes)?, uniform, sizes };
    dispatch!(float q.dtype, T => {
        let mut copies = [(); 3].map(|_| Cow::Borrowed(&[][..]));
        let [cq, ck, cv] = &mut copies;
        let inputs = [Heads::<T>::new(q, cq), Heads::new(k, ck), Heads::new(v, cv)];
        let lse = lse.map(|o| Shared::new(o.as_mut_slice::<<T as Storage>::Acc>()));
        run::<T>(&scores, inputs, HeadsMut::new(out)?, lse);
        Ok(())
    }, else Err(rows::unsupported(OP, q.dtype)))
}

/// Queries per task: many where there are enough heads to keep every thread busy. It does not change results.
pub(super) fn task_rows(heads: usize, rows: usize) -> usize {
    let mut size = TASK_QUERIES;
    while size > QUERIES && heads * rows.div_ceil(size) < 4 * num_threads() {
        size /= 2;
    }
    size
}

fn run<T: Storage>(scores: &Scores, inputs: [Heads<T>; 3], out: HeadsMut<T>, lse: Option<Shared<T::Acc>>) {
    let z = scores.sizes;
    let size = task_rows(z.b * z.h, z.l);
    let tasks = z.l.div_ceil(size);
    let total = z.b * z.h * z.l * z.s.max(1) * (z.e + z.ev);
    // Small problems stay on this thread.
    let grain = (z.b * z.h * tasks * (1 << 18) / total.max(1)).max(1);
    parallel_for(z.b * z.h * tasks, grain, |r| {
        let mut space = Space::<T::Acc>::new(z, size.min(z.l));
        for i in r {
            let (head, q0) = (i / tasks, i % tasks * size);
            let (b, h) = (head / z.h, head % z.h);
            let queries = q0..(q0 + size).min(z.l);
            attend(scores, inputs, [b, h], queries.clone(), &mut space);
            for (r, i) in queries.enumerate() {
                // SAFETY: each task has its own queries.
                let row = unsafe { out.row(b, h, i) };
                let value = space.finish(r, row);
                if let Some(lse) = lse {
                    // SAFETY: as above.
                    unsafe { lse.range(head * z.l + i, 1)[0] = value };
                }
            }
        }
    });
}

/// The buffers of one task.
struct Space<A> {
    nr: usize,
    /// Queries times scale, E columns.
    q: Vec<A>,
    /// A block of keys, transposed, and of values, as right operands.
    k: Vec<A>,
    v: Vec<A>,
    /// QUERIES × KEYS.
    scores: Vec<A>,
    /// The sums so far, their running maxima and denominators.
    acc: Vec<A>,
    max: Vec<A>,
    sum: Vec<A>,
    acc_pitch: usize,
}

impl<A: Acc> Space<A> {
    fn new(z: Sizes, queries: usize) -> Self {
        let nr = panel::<A>();
        let (rows, columns) = (queries.next_multiple_of(ROWS), tiles::padded(z.ev, nr));
        let zeros = |n: usize| vec![A::ZERO; n];
        Space {
            nr,
            q: zeros(rows * z.e),
            k: zeros(KEYS * z.e),
            v: zeros(KEYS * columns),
            scores: zeros(QUERIES * KEYS),
            acc: zeros(rows * columns),
            max: zeros(rows),
            sum: zeros(rows),
            acc_pitch: columns,
        }
    }
    /// Rounds output row `r` into `out` and returns its log-sum-exp.
    fn finish<T: Storage<Acc = A>>(&self, r: usize, out: &mut [T]) -> A {
        let (max, sum) = (self.max[r], self.sum[r]);
        if sum == A::ZERO {
            out.fill(T::down(A::ZERO));
            return -A::INFINITY;
        }
        let (acc, scale) = (&self.acc[r * self.acc_pitch..][..out.len()], A::ONE / sum);
        rows::map1_of_acc(acc, out, |v| v * scale);
        A::from_f64(max.to_f64() + sum.to_f64().ln())
    }
}

/// Fills the task's accumulators for some queries of one head.
fn attend<T: Storage>(
    scores: &Scores,
    [q, k, v]: [Heads<T>; 3],
    [b, h]: [usize; 2],
    queries: Range<usize>,
    space: &mut Space<T::Acc>,
) {
    let z = scores.sizes;
    let count = queries.len();
    let padded = count.next_multiple_of(ROWS);
    tiles::pack_left(
        q.head(b, h).part(queries.start, count),
        T::Acc::from_f64(scores.params.scale),
        &mut space.q[..padded * z.e],
    );
    space.acc.fill(T::Acc::ZERO);
    space.max.fill(-T::Acc::INFINITY);
    space.sum.fill(T::Acc::ZERO);
    let (k, v) = (k.head(b, h / z.group()), v.head(b, h / z.group()));
    for k0 in (0..z.s).step_by(KEYS) {
        if !scores.reaches(queries.end - 1, k0) {
            break;
        }
        let keys = KEYS.min(z.s - k0);
        if count <= FEW {
            attend_few(scores, [b, h, queries.start], count, k0, [k.part(k0, keys), v.part(k0, keys)], space);
            continue;
        }
        let (k_len, v_len) = (tiles::padded(keys, space.nr) * z.e, keys * space.acc_pitch);
        tiles::pack_right_transposed(k.part(k0, keys), space.nr, &mut space.k[..k_len]);
        tiles::pack_right(v.part(k0, keys), space.nr, &mut space.v[..v_len]);
        for r0 in (0..count).step_by(QUERIES) {
            let block = QUERIES.min(count - r0);
            if !scores.reaches(queries.start + r0 + block - 1, k0) {
                continue;
            }
            let whole = block.next_multiple_of(ROWS);
            let left = Left { data: &space.q[r0 * z.e..], row_step: z.e, depth_step: 1 };
            product(left, &space.k[..k_len], z.e, &mut space.scores, KEYS, whole, keys, false);
            online_softmax(scores, [b, h, queries.start + r0], k0, keys, r0..r0 + block, space);
            let left = Left { data: &space.scores, row_step: KEYS, depth_step: 1 };
            let acc = &mut space.acc[r0 * space.acc_pitch..];
            product(left, &space.v[..v_len], keys, acc, space.acc_pitch, whole, z.ev, true);
        }
    }
}

/// One block of keys for so few queries that packing it would cost more than the products.
fn attend_few<T: Storage>(
    scores: &Scores,
    first: [usize; 3],
    count: usize,
    k0: usize,
    [k, v]: [Matrix<T>; 2],
    space: &mut Space<T::Acc>,
) {
    let e = k.columns;
    for r in 0..count {
        tiles::dots(k, &space.q[r * e..(r + 1) * e], &mut space.scores[r * KEYS..][..k.rows]);
    }
    online_softmax(scores, first, k0, k.rows, 0..count, space);
    for r in 0..count {
        let acc = &mut space.acc[r * space.acc_pitch..][..v.columns];
        tiles::combine(v, &space.scores[r * KEYS..][..k.rows], acc);
    }
}

simd_dispatch! {
    /// Turns a block of scores into numerators against the new maxima, and rescales the sums so far. `first` is the
    /// batch, the head and the first query; `rows` are the block's rows in the task.
    fn online_softmax<A: Acc>(
        scores: &Scores, first: [usize; 3], k0: usize, keys: usize, rows: Range<usize>, space: &mut Space<A>
    ) {
        let mut factors = [A::ONE; KEYS];
        for (n, r) in rows.enumerate() {
            let place = [first[0], first[1], first[2] + n];
            let row = &mut space.scores[n * KEYS..][..keys.next_multiple_of(LANES)];
            let (seen, unseen) = row.split_at_mut(scores.seen(place[2], k0, keys));
            unseen.fill(-A::INFINITY);
            scores.apply_mask(seen, place, k0);
            let old = space.max[r];
            let max = rows::max_of(old, rows::max(row));
            // Without a key seen so far every exponent is -inf: any finite shift gives zeros.
            let shift = if max == -A::INFINITY { A::ZERO } else { max };
            let sum = rows::exp_sum_in_place::<A, S>(row, shift);
            let decay = (old - shift).exp_small::<S>();
            space.max[r] = max;
            space.sum[r] = space.sum[r] * decay + sum;
            if decay != A::ONE {
                for v in &mut space.acc[r * space.acc_pitch..(r + 1) * space.acc_pitch] {
                    *v *= decay;
                }
            }
            if scores.params.dropout > 0.0 {
                let seen = &mut row[..keys];
                let factors = &mut factors[..keys];
                scores.dropout(factors, place, k0);
                for (v, &f) in seen.iter_mut().zip(factors.iter()) {
                    *v *= f;
                }
            }
        }
    }
}
