//! Softmax, log-softmax and logsumexp along one dimension, and the gradients of the first two.
//!
//! A contiguous tensor is seen as (outer, n, inner) around the dimension. With `inner` = 1 every row is read from
//! memory once and stays in cache; otherwise blocks of neighbouring columns are gathered into a tile that stays in
//! cache.

use crate::cpu::math::Real;
use crate::cpu::rows::{self, Acc, Row, Shared, Storage, grain};
use crate::cpu::simd::Simd;
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::dispatch;
use crate::error::Result;
use crate::simd_dispatch;

/// Which function, along which dimension (`0..rank`; 0 for a scalar).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SoftmaxParams {
    pub dim: usize,
    pub log: bool,
}

impl SoftmaxParams {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }
}

/// The sizes (outer, n, inner) around dimension `dim`.
pub fn around(shape: &[usize], dim: usize) -> (usize, usize, usize) {
    if shape.is_empty() {
        return (1, 1, 1);
    }
    (shape[..dim].iter().product(), shape[dim], shape[dim + 1..].iter().product())
}

/// Columns per tile.
const COLUMNS: usize = 64;
/// Rows up to this length are too short for lanes: a tile is made of many rows, side by side as columns.
const SHORT: usize = 20;
/// Below this many columns a tile would be mostly empty, and single columns are gathered into rows instead.
const FEW_COLUMNS: usize = 12;
/// Operations that one exponential costs, for choosing grains.
const EXP_COST: usize = 3;

/// out = softmax(x) or log_softmax(x), of x's shape and dtype. A row without a finite maximum gives NaN.
pub fn forward(p: &SoftmaxParams, x: &In, out: &mut Out) -> Result<()> {
    let (outer, n, inner) = around(x.shape, p.dim);
    dispatch!(float x.dtype, T => {
        softmax_typed::<T>(&x.to_vec_or_slice::<T>(), out.as_mut_slice::<T>(), (outer, n, inner), p.log);
        Ok(())
    }, else Err(rows::unsupported(p.name(), x.dtype)))
}

/// dx from the gradient of the output and the output itself.
pub fn backward(p: &SoftmaxParams, grad: &In, output: &In, dx: &mut Out) -> Result<()> {
    let (outer, n, inner) = around(output.shape, p.dim);
    dispatch!(float output.dtype, T => {
        let (g, y) = (grad.to_vec_or_slice::<T>(), output.to_vec_or_slice::<T>());
        backward_typed::<T>(&g, &y, dx.as_mut_slice::<T>(), (outer, n, inner), p.log);
        Ok(())
    }, else Err(rows::unsupported(p.name(), output.dtype)))
}

/// out = log Σ exp(x) along `dim`, of x's shape without that dimension (or with size 1 there).
pub fn logsumexp(dim: usize, x: &In, out: &mut Out) -> Result<()> {
    let (outer, n, inner) = around(x.shape, dim);
    dispatch!(float x.dtype, T => {
        logsumexp_typed::<T>(&x.to_vec_or_slice::<T>(), out.as_mut_slice::<T>(), (outer, n, inner));
        Ok(())
    }, else Err(rows::unsupported("logsumexp", x.dtype)))
}

fn softmax_typed<T: Storage>(x: &[T], out: &mut [T], (outer, n, inner): (usize, usize, usize), log: bool) {
    if x.is_empty() {
        return;
    }
    let dst = Shared::new(out);
    if inner == 1 && n > SHORT {
        parallel_for(outer, grain(n * EXP_COST), |r| {
            // SAFETY: chunks of rows are disjoint.
            let out = unsafe { dst.range(r.start * n, r.len() * n) };
            softmax_rows(&x[r.start * n..r.end * n], out, n, log);
        });
    } else if inner > 1 && inner < FEW_COLUMNS && n > SHORT {
        parallel_for(outer * inner, grain(n * EXP_COST), |r| {
            let mut row = vec![T::Acc::ZERO; n];
            for i in r {
                // SAFETY: columns are disjoint.
                unsafe { softmax_strided(x, dst, i / inner * n * inner + i % inner, inner, log, &mut row) };
            }
        });
    } else {
        let blocks = Blocks::new(outer, n, inner);
        parallel_for(blocks.count, grain(n * COLUMNS * EXP_COST), |r| {
            let mut tile = vec![T::Acc::ZERO; n * COLUMNS];
            for i in r {
                // SAFETY: blocks of columns are disjoint.
                unsafe { softmax_columns(x, dst, blocks.at(i), log, &mut tile) };
            }
        });
    }
}

/// Up to `COLUMNS` columns of n elements: element (d, j) lies at `start + d·down + j·across`.
#[derive(Clone, Copy)]
struct Block {
    start: usize,
    down: usize,
    across: usize,
    width: usize,
}

impl Block {
    /// Row `d` of the block as accumulators.
    #[inline(always)]
    fn load<T: Storage>(&self, x: &[T], d: usize, row: &mut [T::Acc]) {
        let at = self.start + d * self.down;
        if self.across == 1 {
            T::widen(&x[at..at + self.width], &mut row[..self.width]);
        } else {
            for (v, x) in row[..self.width].iter_mut().zip(x[at..].iter().step_by(self.across)) {
                *v = x.up();
            }
        }
    }
    /// Rounds `row` into row `d` of the block.
    ///
    /// # Safety
    /// The block lies inside `out`, and nobody else touches it.
    #[inline(always)]
    unsafe fn store<T: Storage>(&self, row: &[T::Acc], out: Shared<T>, d: usize) {
        let at = self.start + d * self.down;
        // SAFETY: the caller's contract.
        unsafe {
            if self.across == 1 {
                T::narrow(&row[..self.width], out.range(at, self.width));
            } else {
                for (j, &v) in row[..self.width].iter().enumerate() {
                    out.range(at + j * self.across, 1)[0] = T::down(v);
                }
            }
        }
    }
}

/// How (outer, n, inner) is cut into blocks of columns; with one column per row, the rows are the columns.
struct Blocks {
    n: usize,
    inner: usize,
    columns: usize,
    count: usize,
    per_outer: usize,
}

impl Blocks {
    fn new(outer: usize, n: usize, inner: usize) -> Self {
        let columns = if inner == 1 { outer } else { inner };
        let per_outer = columns.div_ceil(COLUMNS);
        Blocks { n, inner, columns, count: if inner == 1 { per_outer } else { outer * per_outer }, per_outer }
    }
    fn at(&self, i: usize) -> Block {
        let (outer, column) = (i / self.per_outer, i % self.per_outer * COLUMNS);
        let width = COLUMNS.min(self.columns - column);
        if self.inner == 1 {
            return Block { start: column * self.n, down: 1, across: self.n, width };
        }
        Block { start: outer * self.n * self.inner + column, down: self.inner, across: 1, width }
    }
}

#[inline(always)]
fn softmax_row<A: Acc, S: Simd>(x: &[A], out: &mut [A], log: bool) {
    let max = rows::max(x);
    if log {
        let log_sum = rows::exp_sum::<A, S>(x, max).log::<S>();
        for (o, &v) in out.iter_mut().zip(x) {
            *o = (v - max) - log_sum;
        }
    } else {
        let scale = A::ONE / rows::exp_sum_into::<A, S>(x, max, out);
        for o in out.iter_mut() {
            *o *= scale;
        }
    }
}

simd_dispatch! {
    fn softmax_rows<T: Storage>(x: &[T], out: &mut [T], n: usize, log: bool) {
        let (mut source, mut target) = (Row::new::<T>(n), Row::new::<T>(n));
        for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            let x = source.load(x);
            target.fill(out, |o| softmax_row::<T::Acc, S>(x, o, log));
        }
    }

    fn backward_rows<T: Storage>(grad: &[T], y: &[T], dx: &mut [T], n: usize, log: bool) {
        let (mut g_row, mut y_row, mut target) = (Row::new::<T>(n), Row::new::<T>(n), Row::new::<T>(n));
        for ((g, y), dx) in grad.chunks_exact(n).zip(y.chunks_exact(n)).zip(dx.chunks_exact_mut(n)) {
            let (g, y) = (g_row.load(g), y_row.load(y));
            target.fill(dx, |dx| backward_row::<T::Acc, S>(g, y, dx, log));
        }
    }

    fn logsumexp_rows<T: Storage>(x: &[T], out: &mut [T], n: usize) {
        let mut source = Row::new::<T>(n);
        for (x, o) in x.chunks_exact(n).zip(out.iter_mut()) {
            *o = T::down(rows::logsumexp::<T::Acc, S>(source.load(x)));
        }
    }
}

simd_dispatch! {
    /// One block of columns; `tile` has room for it.
    ///
    /// # Safety
    /// The block lies inside `x` and `out`, and nobody else touches it in `out`.
    unsafe fn softmax_columns<T: Storage>(x: &[T], out: Shared<T>, block: Block, log: bool, tile: &mut [T::Acc]) {
        let mut max = [-T::Acc::INFINITY; COLUMNS];
        for (d, row) in tile.chunks_exact_mut(COLUMNS).enumerate() {
            block.load(x, d, row);
            row[block.width..].fill(T::Acc::ZERO);
            for j in 0..COLUMNS {
                max[j] = rows::max_of(max[j], row[j]);
            }
        }
        let mut sum = [T::Acc::ZERO; COLUMNS];
        for row in tile.chunks_exact_mut(COLUMNS) {
            for j in 0..COLUMNS {
                let shifted = row[j] - max[j];
                let e = shifted.exp_small::<S>();
                sum[j] += e;
                row[j] = if log { shifted } else { e };
            }
        }
        for v in &mut sum {
            *v = if log { v.log::<S>() } else { T::Acc::ONE / *v };
        }
        for (d, row) in tile.chunks_exact_mut(COLUMNS).enumerate() {
            for j in 0..COLUMNS {
                row[j] = if log { row[j] - sum[j] } else { row[j] * sum[j] };
            }
            block.store(row, out, d);
        }
    }

    /// One column, `down` apart, gathered into a row.
    ///
    /// # Safety
    /// As for `softmax_columns`.
    unsafe fn softmax_strided<T: Storage>(
        x: &[T], out: Shared<T>, start: usize, down: usize, log: bool, row: &mut [T::Acc]
    ) {
        for (v, x) in row.iter_mut().zip(x[start..].iter().step_by(down)) {
            *v = x.up();
        }
        let max = rows::max(row);
        if log {
            let log_sum = rows::exp_sum::<T::Acc, S>(row, max).log::<S>();
            row.iter_mut().for_each(|v| *v = (*v - max) - log_sum);
        } else {
            rows::map1_in_place(row, |v| (v - max).exp_small::<S>());
            let scale = T::Acc::ONE / rows::sum1(row, T::Acc::ZERO, |v| v);
            row.iter_mut().for_each(|v| *v *= scale);
        }
        for (d, &v) in row.iter().enumerate() {
            out.range(start + d * down, 1)[0] = T::down(v);
        }
    }
}

/// softmax: dx = y·(g - Σ g·y); log-softmax: dx = g - exp(y)·Σ g.
#[inline(always)]
fn backward_row<A: Acc, S: Simd>(g: &[A], y: &[A], dx: &mut [A], log: bool) {
    if log {
        let sum = rows::sum1(g, A::ZERO, |v| v);
        rows::map2(g, y, dx, |g, y| g - y.exp::<S>() * sum);
    } else {
        let (sum, _) = rows::sum2(g, y, [A::ZERO; 2], |g, y| (g * y, A::ZERO));
        for ((d, &g), &y) in dx.iter_mut().zip(g).zip(y) {
            *d = y * (g - sum);
        }
    }
}

fn backward_typed<T: Storage>(g: &[T], y: &[T], dx: &mut [T], (outer, n, inner): (usize, usize, usize), log: bool) {
    if y.is_empty() {
        return;
    }
    let dst = Shared::new(dx);
    let cost = if log { EXP_COST } else { 1 };
    if inner == 1 {
        parallel_for(outer, grain(n * cost), |r| {
            let part = r.start * n..r.end * n;
            // SAFETY: chunks of rows are disjoint.
            backward_rows(&g[part.clone()], &y[part], unsafe { dst.range(r.start * n, r.len() * n) }, n, log);
        });
        return;
    }
    let blocks = Blocks::new(outer, n, inner);
    parallel_for(blocks.count, grain(n * COLUMNS * cost), |r| {
        for i in r {
            // SAFETY: blocks of columns are disjoint.
            unsafe { backward_columns(g, y, dst, blocks.at(i), n, log) };
        }
    });
}

simd_dispatch! {
    /// # Safety
    /// As for `softmax_columns`.
    unsafe fn backward_columns<T: Storage>(g: &[T], y: &[T], dx: Shared<T>, block: Block, n: usize, log: bool) {
        let mut sum = [T::Acc::ZERO; COLUMNS];
        let (mut gr, mut yr) = ([T::Acc::ZERO; COLUMNS], [T::Acc::ZERO; COLUMNS]);
        for d in 0..n {
            block.load(g, d, &mut gr);
            block.load(y, d, &mut yr);
            for j in 0..COLUMNS {
                sum[j] += if log { gr[j] } else { gr[j] * yr[j] };
            }
        }
        for d in 0..n {
            block.load(g, d, &mut gr);
            block.load(y, d, &mut yr);
            for j in 0..COLUMNS {
                gr[j] = if log { gr[j] - yr[j].exp::<S>() * sum[j] } else { yr[j] * (gr[j] - sum[j]) };
            }
            block.store(&gr, dx, d);
        }
    }

    /// # Safety
    /// The block lies inside `x`.
    unsafe fn logsumexp_columns<T: Storage>(x: &[T], out: &mut [T], block: Block, n: usize) {
        let mut row = [T::Acc::ZERO; COLUMNS];
        let mut max = [-T::Acc::INFINITY; COLUMNS];
        for d in 0..n {
            block.load(x, d, &mut row);
            for j in 0..COLUMNS {
                max[j] = rows::max_of(max[j], row[j]);
            }
        }
        let mut sum = [T::Acc::ZERO; COLUMNS];
        for d in 0..n {
            block.load(x, d, &mut row);
            for j in 0..COLUMNS {
                sum[j] += (row[j] - max[j]).exp_small::<S>();
            }
        }
        for j in 0..COLUMNS {
            sum[j] = max[j] + sum[j].log::<S>();
        }
        for j in (0..block.width).filter(|&j| max[j].abs() == T::Acc::INFINITY) {
            let column = (0..n).map(|d| x[block.start + d * block.down + j * block.across].up());
            sum[j] = rows::infinite_logsumexp(max[j], column);
        }
        T::narrow(&sum[..block.width], out);
    }
}

fn logsumexp_typed<T: Storage>(x: &[T], out: &mut [T], (outer, n, inner): (usize, usize, usize)) {
    if n == 0 {
        return out.fill(T::down(-T::Acc::INFINITY));
    }
    let dst = Shared::new(out);
    if inner == 1 && n > SHORT {
        parallel_for(outer, grain(n * EXP_COST), |r| {
            // SAFETY: chunks of rows are disjoint.
            logsumexp_rows(&x[r.start * n..r.end * n], unsafe { dst.range(r.start, r.len()) }, n);
        });
        return;
    }
    let blocks = Blocks::new(outer, n, inner);
    parallel_for(blocks.count, grain(n * COLUMNS * EXP_COST), |r| {
        for i in r {
            let block = blocks.at(i);
            let at = i / blocks.per_outer * blocks.columns + i % blocks.per_outer * COLUMNS;
            // SAFETY: blocks of columns are disjoint, in `out` as in `x`.
            unsafe { logsumexp_columns(x, dst.range(at, block.width), block, n) };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::{Tensor, assert_close, assert_gradient, at_every_level};
    use crate::cpu::threads;
    use half::{bf16, f16};

    /// (Log-)softmax and logsumexp in float64.
    fn naive(x: &[f64], shape: &[usize], dim: usize, log: bool) -> (Vec<f64>, Vec<f64>) {
        let (outer, n, inner) = around(shape, dim);
        let (mut y, mut lse) = (vec![0.0; x.len()], Vec::new());
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            let at = |d: usize| (o * n + d) * inner + i;
            let max = (0..n).map(|d| x[at(d)]).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = (0..n).map(|d| (x[at(d)] - max).exp()).sum();
            lse.push(max + sum.ln());
            for d in 0..n {
                let v = x[at(d)] - max - sum.ln();
                y[at(d)] = if log { v } else { v.exp() };
            }
        }
        (y, lse)
    }

    const SHAPES: [(&[usize], usize); 8] = [
        (&[5, 7], 1),
        (&[5, 7], 0),
        (&[70, 3], 1),
        (&[2, 40, 5], 1),
        (&[2, 3, 70], 1),
        (&[3, 100], 1),
        (&[], 0),
        (&[2, 6, 13, 1], 2),
    ];

    fn forward_matches<T: Storage>(tolerance: f64) {
        for (shape, dim) in SHAPES {
            let x = Tensor::<T>::noise(1, shape);
            for log in [false, true] {
                let (y, lse) = naive(&x.values(), shape, dim, log);
                let mut out = Tensor::<T>::zeros(shape);
                forward(&SoftmaxParams { dim, log }, &x.input(), &mut out.output()).expect("a floating dtype");
                assert_close(&out.values(), &y, tolerance, "softmax");
                let mut out = Tensor::<T>::zeros(&[lse.len()]);
                logsumexp(dim, &x.input(), &mut out.output()).expect("a floating dtype");
                assert_close(&out.values(), &lse, tolerance, "logsumexp");
            }
        }
    }

    #[test]
    fn forward_matches_float64_for_every_dtype_and_layout() {
        at_every_level(|| {
            forward_matches::<f64>(1e-14);
            forward_matches::<f32>(5e-7);
            forward_matches::<f16>(1e-3);
            forward_matches::<bf16>(8e-3);
        });
    }

    #[test]
    fn gradients_match_differences() {
        at_every_level(|| {
            for (shape, dim) in SHAPES {
                for log in [false, true] {
                    let p = SoftmaxParams { dim, log };
                    let run = |x: &Tensor<f64>| {
                        let mut y = Tensor::zeros(shape);
                        forward(&p, &x.input(), &mut y.output()).expect("float64");
                        y
                    };
                    let (x, g) = (Tensor::<f64>::noise(2, shape), Tensor::noise(3, shape));
                    let mut dx = Tensor::zeros(shape);
                    backward(&p, &g.input(), &run(&x).input(), &mut dx.output()).expect("float64");
                    assert_gradient(run, &x, &g, &dx, "softmax");
                }
            }
        });
    }

    #[test]
    fn infinities_and_nan_give_what_pytorch_gives() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let rows = [[-inf, -inf, -inf], [inf, 0.0, 1.0], [nan, 0.0, 1.0], [-inf, 0.0, 0.0]];
        let x = Tensor::<f32>::new(rows.concat(), &[4, 3]);
        let mut y = Tensor::<f32>::zeros(&[4, 3]);
        forward(&SoftmaxParams { dim: 1, log: false }, &x.input(), &mut y.output()).expect("float32");
        let expected = [[nan; 3], [nan; 3], [nan; 3], [0.0, 0.5, 0.5]].concat();
        assert_close(&y.values(), &expected, 1e-7, "softmax");
        let mut lse = Tensor::<f32>::zeros(&[4]);
        logsumexp(1, &x.input(), &mut lse.output()).expect("float32");
        assert_close(&lse.values(), &[-inf, inf, nan, 2.0f64.ln()], 1e-7, "logsumexp");
        let wide: Vec<f64> = rows.iter().flat_map(|r| r.iter().cycle().take(33)).copied().collect();
        logsumexp(1, &Tensor::<f32>::new(wide, &[4, 33]).input(), &mut lse.output()).expect("float32");
        assert_close(&lse.values(), &[-inf, inf, nan, 22.0f64.ln()], 1e-6, "logsumexp of long rows");
    }

    #[test]
    fn thread_count_does_not_change_a_bit() {
        at_every_level(|| {
            let x = Tensor::<f32>::noise(4, &[64, 3000]);
            let results = [1, 2, 5].map(|n| {
                let mut y = Tensor::<f32>::zeros(&[64, 3000]);
                threads::with_threads(n, || {
                    forward(&SoftmaxParams { dim: 1, log: true }, &x.input(), &mut y.output()).expect("float32")
                });
                y.data
            });
            assert!(results.iter().all(|r| *r == results[0]));
        });
    }

    #[test]
    fn integers_are_refused() {
        let x = Tensor::<i64>::zeros(&[2]);
        let mut y = Tensor::<i64>::zeros(&[2]);
        let error = forward(&SoftmaxParams { dim: 0, log: false }, &x.input(), &mut y.output()).expect_err("int64");
        assert!(error.to_string().contains("softmax: not implemented for 'Long'"), "{error}");
    }
}
