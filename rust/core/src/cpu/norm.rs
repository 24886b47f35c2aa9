//! Layer, RMS and group normalisation, forward and gradient. Batch normalisation is in `batch_norm.rs`.
//!
//! Statistics are taken per row in two passes over blocks that stay in cache. Sums over rows (the gradients of weight
//! and bias) go through partial sums of fixed row blocks, so they do not depend on the thread count.

use crate::cpu::math::Real;
use crate::cpu::rows::{self, Acc, Moments, Row, Shared, Storage, grain, moments};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::dispatch;
use crate::dtype::Element;
use crate::error::Result;
use crate::simd_dispatch;

/// Normalises every run of the last `n` elements; `rms` divides by the root mean square without subtracting the mean
/// (Zhang and Sennrich, 2019), else layer normalisation (Ba et al., 2016).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LayerNormParams {
    pub n: usize,
    pub eps: f64,
    pub rms: bool,
}

impl LayerNormParams {
    fn name(&self) -> &'static str {
        if self.rms { "rms_norm" } else { "layer_norm" }
    }
}

/// Group normalisation (Wu and He, 2018) of (N, C, …) with `groups` dividing C.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GroupNormParams {
    pub groups: usize,
    pub eps: f64,
}

/// Below this many elements per channel, weights are repeated per element instead of looping over channels.
const SHORT: usize = 16;
/// The most partial sums over rows.
const PARTIALS: usize = 64;
/// A partial sum covers at least this many rows, so that partial sums are small beside the input.
const PARTIAL_ROWS: usize = 4;

/// Rows of `n` elements; row `i` takes weights `i % period · n ..`.
#[derive(Clone, Copy)]
struct Rows {
    count: usize,
    n: usize,
    period: usize,
    rms: bool,
}

impl Rows {
    fn affine<'a, A>(&self, values: Option<&'a [A]>, row: usize) -> Option<&'a [A]> {
        values.map(|v| &v[row % self.period * self.n..][..self.n])
    }
    /// Rows per partial sum: a function of the sizes alone.
    fn partial_rows(&self) -> usize {
        self.count.div_ceil(PARTIALS).max(grain(self.n * 4)).clamp(PARTIAL_ROWS, self.count.max(PARTIAL_ROWS))
    }
}

/// y = (x - mean)·rstd·weight + bias per row; `mean` and `rstd` hold one value per row (any floating dtype).
pub fn layer_norm(
    p: &LayerNormParams,
    x: &In,
    weight: Option<&In>,
    bias: Option<&In>,
    y: &mut Out,
    mean: Option<&mut Out>,
    rstd: Option<&mut Out>,
) -> Result<()> {
    let op = p.name();
    dispatch!(float x.dtype, T => {
        let rows = Rows { count: x.numel() / p.n.max(1), n: p.n, period: 1, rms: p.rms };
        let (w, b) = (rows::read_optional(op, weight)?, rows::read_optional(op, bias)?);
        let x = x.to_vec_or_slice::<T>();
        let stats = normalise::<T>(rows, p.eps, &x, w.as_deref(), b.as_deref(), y.as_mut_slice::<T>());
        write_stats(op, &stats, mean, rstd)
    }, else Err(rows::unsupported(op, x.dtype)))
}

/// The gradients that are asked for, from the output's gradient and the saved statistics (`mean` is ignored by RMS).
pub fn layer_norm_backward(
    p: &LayerNormParams,
    dy: &In,
    x: &In,
    mean: Option<&In>,
    rstd: &In,
    weight: Option<&In>,
    dx: Option<&mut Out>,
    dweight: Option<&mut Out>,
    dbias: Option<&mut Out>,
) -> Result<()> {
    let op = p.name();
    dispatch!(float x.dtype, T => {
        let rows = Rows { count: x.numel() / p.n.max(1), n: p.n, period: 1, rms: p.rms };
        let w = rows::read_optional(op, weight)?;
        let stats = read_stats(op, mean, rstd, rows.count)?;
        let dx = dx.map(|o| o.as_mut_slice::<T>());
        let wanted = dweight.is_some() || dbias.is_some();
        let (x, dy) = (x.to_vec_or_slice::<T>(), dy.to_vec_or_slice::<T>());
        let (dw, db) = normalise_backward::<T>(rows, &dy, &x, &stats, w.as_deref(), dx, wanted);
        write_grads(op, &dw, &db, dweight, dbias)
    }, else Err(rows::unsupported(op, x.dtype)))
}

/// y = (x - mean)·rstd·weight + bias, statistics per sample and group, weight and bias per channel; `mean` and `rstd`
/// are (N, groups).
pub fn group_norm(
    p: &GroupNormParams,
    x: &In,
    weight: Option<&In>,
    bias: Option<&In>,
    y: &mut Out,
    mean: Option<&mut Out>,
    rstd: Option<&mut Out>,
) -> Result<()> {
    let op = "group_norm";
    dispatch!(float x.dtype, T => {
        let (w, b) = (rows::read_optional(op, weight)?, rows::read_optional(op, bias)?);
        let groups = Groups::new(x.shape, p.groups);
        let (x, y) = (x.to_vec_or_slice::<T>(), y.as_mut_slice::<T>());
        let stats = if groups.spatial < SHORT {
            let (w, b) = (w.map(|w| groups.repeat(&w)), b.map(|b| groups.repeat(&b)));
            normalise::<T>(groups.rows(), p.eps, &x, w.as_deref(), b.as_deref(), y)
        } else {
            groups.normalise::<T>(p.eps, &x, w.as_deref(), b.as_deref(), y)
        };
        write_stats(op, &stats, mean, rstd)
    }, else Err(rows::unsupported(op, x.dtype)))
}

/// The gradients that are asked for, from the output's gradient and the saved statistics.
pub fn group_norm_backward(
    p: &GroupNormParams,
    dy: &In,
    x: &In,
    mean: &In,
    rstd: &In,
    weight: Option<&In>,
    dx: Option<&mut Out>,
    dweight: Option<&mut Out>,
    dbias: Option<&mut Out>,
) -> Result<()> {
    let op = "group_norm";
    dispatch!(float x.dtype, T => {
        let w = rows::read_optional(op, weight)?;
        let groups = Groups::new(x.shape, p.groups);
        let stats = read_stats(op, Some(mean), rstd, groups.n * groups.groups)?;
        let dx = dx.map(|o| o.as_mut_slice::<T>());
        let (x, dy) = (x.to_vec_or_slice::<T>(), dy.to_vec_or_slice::<T>());
        let (dw, db) = if groups.spatial < SHORT {
            let w = w.map(|w| groups.repeat(&w));
            let wanted = dweight.is_some() || dbias.is_some();
            let (dw, db) = normalise_backward::<T>(groups.rows(), &dy, &x, &stats, w.as_deref(), dx, wanted);
            (groups.sum_repeats(&dw), groups.sum_repeats(&db))
        } else {
            groups.backward::<T>(&dy, &x, &stats, w.as_deref(), dx)
        };
        write_grads(op, &dw, &db, dweight, dbias)
    }, else Err(rows::unsupported(op, x.dtype)))
}

/// Mean and 1/√(variance + eps) of one row.
#[derive(Clone, Copy, Default)]
struct Stat<A> {
    mean: A,
    rstd: A,
}

fn write_stats<A: Acc>(op: &str, stats: &[Stat<A>], mean: Option<&mut Out>, rstd: Option<&mut Out>) -> Result<()> {
    if let Some(out) = mean {
        rows::write(op, &stats.iter().map(|s| s.mean).collect::<Vec<A>>(), out)?;
    }
    if let Some(out) = rstd {
        rows::write(op, &stats.iter().map(|s| s.rstd).collect::<Vec<A>>(), out)?;
    }
    Ok(())
}

fn read_stats<A: Acc>(op: &str, mean: Option<&In>, rstd: &In, count: usize) -> Result<Vec<Stat<A>>> {
    let mean = rows::read_optional(op, mean)?.unwrap_or_else(|| vec![A::ZERO; count]);
    Ok(mean.into_iter().zip(rows::read(op, rstd)?).map(|(mean, rstd)| Stat { mean, rstd }).collect())
}

fn write_grads<A: Acc>(op: &str, dw: &[A], db: &[A], dweight: Option<&mut Out>, dbias: Option<&mut Out>) -> Result<()> {
    if let Some(out) = dweight {
        rows::write(op, dw, out)?;
    }
    if let Some(out) = dbias {
        rows::write(op, db, out)?;
    }
    Ok(())
}

impl<A: Acc> Stat<A> {
    fn new(m: Moments, eps: f64) -> Self {
        Stat { mean: A::from_f64(m.mean), rstd: A::from_f64(1.0 / (m.variance() + eps).sqrt()) }
    }
}

/// The statistics of one row; with `rms` the mean is zero and the deviations are the values themselves.
#[inline(always)]
fn stat<A: Acc>(x: &[A], eps: f64, rms: bool) -> Stat<A> {
    if !rms {
        return Stat::new(moments(x), eps);
    }
    let m2 = rows::sum1(x, A::ZERO, |v| v * v).to_f64();
    Stat::new(Moments { count: x.len() as f64, mean: 0.0, m2 }, eps)
}

fn normalise<T: Storage>(
    rows: Rows,
    eps: f64,
    x: &[T],
    w: Option<&[T::Acc]>,
    b: Option<&[T::Acc]>,
    y: &mut [T],
) -> Vec<Stat<T::Acc>> {
    // What PyTorch saves for rows without elements.
    let mut stats = vec![Stat { mean: T::Acc::ZERO, rstd: T::Acc::NAN }; rows.count];
    if x.is_empty() {
        return stats;
    }
    let (dst, saved) = (Shared::new(y), Shared::new(&mut stats));
    parallel_for(rows.count, grain(rows.n * 2), |r| {
        // SAFETY: chunks of rows are disjoint.
        let (y, stats) = unsafe { (dst.range(r.start * rows.n, r.len() * rows.n), saved.range(r.start, r.len())) };
        normalise_rows(rows, r.start, eps, &x[r.start * rows.n..r.end * rows.n], w, b, y, stats);
    });
    stats
}

simd_dispatch! {
    fn normalise_rows<T: Storage>(
        rows: Rows, first: usize, eps: f64, x: &[T], w: Option<&[T::Acc]>, b: Option<&[T::Acc]>, y: &mut [T],
        stats: &mut [Stat<T::Acc>]
    ) {
        let n = rows.n;
        let (mut source, mut target) = (Row::new::<T>(n), Row::new::<T>(n));
        for (i, ((x, y), s)) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)).zip(stats).enumerate() {
            let x = source.load(x);
            *s = stat(x, eps, rows.rms);
            let (w, b) = (rows.affine(w, first + i), rows.affine(b, first + i));
            target.fill(y, |y| affine(x, *s, w, b, y));
        }
    }
}

#[inline(always)]
fn affine<A: Acc>(x: &[A], s: Stat<A>, w: Option<&[A]>, b: Option<&[A]>, y: &mut [A]) {
    let Stat { mean, rstd } = s;
    match (w, b) {
        (Some(w), Some(b)) => {
            for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(w).zip(b) {
                *y = (x - mean) * rstd * w + b;
            }
        }
        (Some(w), None) => {
            for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
                *y = (x - mean) * rstd * w;
            }
        }
        (None, Some(b)) => {
            for ((y, &x), &b) in y.iter_mut().zip(x).zip(b) {
                *y = (x - mean) * rstd + b;
            }
        }
        (None, None) => {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = (x - mean) * rstd;
            }
        }
    }
}

/// Fills `dx` and returns (dweight, dbias) of period·n elements each; both empty unless wanted.
fn normalise_backward<T: Storage>(
    rows: Rows,
    dy: &[T],
    x: &[T],
    stats: &[Stat<T::Acc>],
    w: Option<&[T::Acc]>,
    dx: Option<&mut [T]>,
    wanted: bool,
) -> (Vec<T::Acc>, Vec<T::Acc>) {
    let len = rows.period * rows.n;
    if x.is_empty() {
        return (vec![T::Acc::ZERO; len], vec![T::Acc::ZERO; len]);
    }
    let block = rows.partial_rows();
    let blocks = rows.count.div_ceil(block);
    let mut partial = vec![T::Acc::ZERO; if wanted { blocks * 2 * len } else { 0 }];
    let (dst, parts) = (dx.map(Shared::new), Shared::new(&mut partial));
    parallel_for(blocks, 1, |r| {
        for i in r {
            let (first, end) = (i * block, ((i + 1) * block).min(rows.count));
            let span = first * rows.n..end * rows.n;
            // SAFETY: blocks of rows and their partial sums are disjoint.
            let (dx, part) = unsafe {
                let dx = dst.map(|d| d.range(span.start, span.len()));
                (dx, if wanted { parts.range(i * 2 * len, 2 * len) } else { &mut [] })
            };
            backward_rows(rows, first, &dy[span.clone()], &x[span], &stats[first..end], w, dx, part);
        }
    });
    if !wanted {
        return (Vec::new(), Vec::new());
    }
    let mut sums = sum_partials(&partial, 2 * len);
    let db = sums.split_off(len);
    (sums, db)
}

/// Σ over partial sums of `len` elements, in order, in float64.
fn sum_partials<A: Acc>(partial: &[A], len: usize) -> Vec<A> {
    let mut sums = vec![A::ZERO; len];
    let count = partial.len() / len.max(1);
    let dst = Shared::new(&mut sums);
    parallel_for(len, grain(count), |r| {
        let mut total = vec![0.0f64; r.len()];
        for part in partial.chunks_exact(len) {
            for (t, v) in total.iter_mut().zip(&part[r.clone()]) {
                *t += v.to_f64();
            }
        }
        // SAFETY: ranges are disjoint.
        for (s, t) in unsafe { dst.range(r.start, r.len()) }.iter_mut().zip(total) {
            *s = A::from_f64(t);
        }
    });
    sums
}

simd_dispatch! {
    /// One block of rows; `part` is empty, or (dweight, dbias) to be added to.
    fn backward_rows<T: Storage>(
        rows: Rows, first: usize, dy: &[T], x: &[T], stats: &[Stat<T::Acc>], w: Option<&[T::Acc]>,
        dx: Option<&mut [T]>, part: &mut [T::Acc]
    ) {
        let n = rows.n;
        let (mut dy_row, mut x_row, mut target) = (Row::new::<T>(n), Row::new::<T>(n), Row::new::<T>(n));
        let mut weighted = vec![T::Acc::ZERO; n];
        let (dw, db) = part.split_at_mut(part.len() / 2);
        let mut dx = dx.map(|d| d.chunks_exact_mut(n));
        for (i, ((dy, x), &s)) in dy.chunks_exact(n).zip(x.chunks_exact(n)).zip(stats).enumerate() {
            let (dy, x) = (dy_row.load(dy), x_row.load(x));
            if !dw.is_empty() {
                let at = (first + i) % rows.period * n;
                for (((w, b), &g), &v) in dw[at..].iter_mut().zip(&mut db[at..]).zip(dy).zip(x) {
                    *w += g * ((v - s.mean) * s.rstd);
                    *b += g;
                }
            }
            let Some(dx) = dx.as_mut().and_then(Iterator::next) else { continue };
            let g = match rows.affine(w, first + i) {
                Some(w) => {
                    for ((g, &d), &w) in weighted.iter_mut().zip(dy).zip(w) {
                        *g = d * w;
                    }
                    &weighted[..]
                }
                None => dy,
            };
            let centre = s.mean;
            let (sum, dot) = rows::sum2(g, x, [T::Acc::ZERO, centre], |g, v| (g, g * (v - centre)));
            let scale = T::Acc::from_f64(1.0 / n as f64);
            let shift = if rows.rms { T::Acc::ZERO } else { sum * scale };
            let slope = dot * scale * s.rstd * s.rstd;
            target.fill(dx, |dx| {
                for ((d, &g), &v) in dx.iter_mut().zip(g).zip(x) {
                    *d = s.rstd * (g - shift - (v - centre) * slope);
                }
            });
        }
    }
}

/// The sizes of a group normalisation: (n, groups·per_group, spatial).
#[derive(Clone, Copy)]
struct Groups {
    n: usize,
    groups: usize,
    per_group: usize,
    spatial: usize,
}

impl Groups {
    fn new(shape: &[usize], groups: usize) -> Self {
        Groups { n: shape[0], groups, per_group: shape[1] / groups.max(1), spatial: shape[2..].iter().product() }
    }
    fn channels(&self) -> usize {
        self.groups * self.per_group
    }
    /// Elements that share their statistics.
    fn size(&self) -> usize {
        self.per_group * self.spatial
    }
    fn rows(&self) -> Rows {
        Rows { count: self.n * self.groups, n: self.size(), period: self.groups, rms: false }
    }
    /// Per-channel values, once per element of the channel.
    fn repeat<A: Acc>(&self, values: &[A]) -> Vec<A> {
        values.iter().flat_map(|&v| std::iter::repeat_n(v, self.spatial)).collect()
    }
    /// The inverse of `repeat` for gradients.
    fn sum_repeats<A: Acc>(&self, values: &[A]) -> Vec<A> {
        if values.is_empty() {
            return vec![A::ZERO; self.channels()];
        }
        let sum = |v: &[A]| A::from_f64(v.iter().map(|v| v.to_f64()).sum::<f64>());
        values.chunks_exact(self.spatial).map(sum).collect()
    }

    fn normalise<T: Storage>(
        self,
        eps: f64,
        x: &[T],
        w: Option<&[T::Acc]>,
        b: Option<&[T::Acc]>,
        y: &mut [T],
    ) -> Vec<Stat<T::Acc>> {
        let mut stats = vec![Stat::default(); self.n * self.groups];
        if x.is_empty() {
            return stats;
        }
        let (dst, saved) = (Shared::new(y), Shared::new(&mut stats));
        parallel_for(self.n * self.groups, grain(self.size() * 2), |r| {
            for i in r {
                // SAFETY: groups are disjoint.
                let (y, s) = unsafe { (dst.range(i * self.size(), self.size()), &mut saved.range(i, 1)[0]) };
                *s = normalise_group(self, i % self.groups, eps, &x[i * self.size()..][..self.size()], w, b, y);
            }
        });
        stats
    }

    /// Fills `dx` and returns (dweight, dbias) per channel.
    fn backward<T: Storage>(
        self,
        dy: &[T],
        x: &[T],
        stats: &[Stat<T::Acc>],
        w: Option<&[T::Acc]>,
        dx: Option<&mut [T]>,
    ) -> (Vec<T::Acc>, Vec<T::Acc>) {
        let channels = self.channels();
        // (Σ dy·x̂, Σ dy) of every sample and channel.
        let mut sums = vec![(T::Acc::ZERO, T::Acc::ZERO); self.n * channels];
        let (dst, saved) = (dx.map(Shared::new), Shared::new(&mut sums));
        parallel_for(self.n * self.groups, grain(self.size() * 3), |r| {
            for i in r {
                let span = i * self.size()..(i + 1) * self.size();
                // SAFETY: groups are disjoint.
                let (dx, sums) = unsafe {
                    (dst.map(|d| d.range(span.start, span.len())), saved.range(i * self.per_group, self.per_group))
                };
                let w = w.map(|w| &w[i % self.groups * self.per_group..][..self.per_group]);
                backward_group(self, &dy[span.clone()], &x[span], stats[i], w, dx, sums);
            }
        });
        let total = |pick: fn(&(T::Acc, T::Acc)) -> T::Acc| -> Vec<T::Acc> {
            let sample_sum = |c: usize| (0..self.n).map(|i| pick(&sums[i * channels + c]).to_f64()).sum();
            (0..channels).map(|c| T::Acc::from_f64(sample_sum(c))).collect()
        };
        (total(|s| s.0), total(|s| s.1))
    }
}

simd_dispatch! {
    fn normalise_group<T: Storage>(
        sizes: Groups, group: usize, eps: f64, x: &[T], w: Option<&[T::Acc]>, b: Option<&[T::Acc]>, y: &mut [T]
    ) -> Stat<T::Acc> {
        let s = Stat::new(moments(x), eps);
        for (c, (x, y)) in x.chunks_exact(sizes.spatial).zip(y.chunks_exact_mut(sizes.spatial)).enumerate() {
            let channel = group * sizes.per_group + c;
            let scale = w.map_or(s.rstd, |w| w[channel] * s.rstd);
            let shift = b.map_or(T::Acc::ZERO, |b| b[channel]);
            rows::map1_of(x, y, |v| (v - s.mean) * scale + shift);
        }
        s
    }

    fn backward_group<T: Storage>(
        sizes: Groups, dy: &[T], x: &[T], s: Stat<T::Acc>, w: Option<&[T::Acc]>, dx: Option<&mut [T]>,
        sums: &mut [(T::Acc, T::Acc)]
    ) {
        let spatial = sizes.spatial;
        let one = T::Acc::ONE;
        let (mut sum, mut dot) = (0.0f64, 0.0f64);
        for (c, (g, x)) in dy.chunks_exact(spatial).zip(x.chunks_exact(spatial)).enumerate() {
            let (g_sum, g_dot) = rows::sum2_of(g, x, [T::Acc::ZERO, s.mean], |g, v| (g, g * (v - s.mean)));
            sums[c] = (T::Acc::from_f64(g_dot) * s.rstd, T::Acc::from_f64(g_sum));
            let weight = w.map_or(one, |w| w[c]).to_f64();
            sum += weight * g_sum;
            dot += weight * g_dot;
        }
        let Some(dx) = dx else { return };
        let count = x.len() as f64;
        let shift = T::Acc::from_f64(sum / count) * s.rstd;
        let slope = T::Acc::from_f64(dot / count) * s.rstd * s.rstd * s.rstd;
        let channels = dy.chunks_exact(spatial).zip(x.chunks_exact(spatial)).zip(dx.chunks_exact_mut(spatial));
        for (c, ((g, x), dx)) in channels.enumerate() {
            let scale = w.map_or(one, |w| w[c]) * s.rstd;
            rows::map2_of(g, x, dx, |g, v| g * scale - shift - (v - s.mean) * slope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::{Tensor, assert_close, assert_gradient, at_every_level};

    const EPS: f64 = 1e-3;

    fn layer<T: Storage>(x: &Tensor<T>, shape: &[usize], wb: [Option<&Tensor<T>>; 2], rms: bool) -> [Tensor<T>; 3] {
        let n = shape[1];
        let [mut y, mut mean, mut rstd] = [shape, &shape[..1], &shape[..1]].map(Tensor::zeros);
        let [w, b] = wb.map(|t| t.map(Tensor::input));
        let p = LayerNormParams { n, eps: EPS, rms };
        let (m, r) = (&mut mean.output(), &mut rstd.output());
        layer_norm(&p, &x.input(), w.as_ref(), b.as_ref(), &mut y.output(), Some(m), Some(r)).expect("a float");
        [y, mean, rstd]
    }

    #[test]
    fn layer_and_rms_norm_match_float64() {
        at_every_level(|| {
            for (shape, rms) in
                [([3, 5], false), ([3, 5], true), ([2, 100], false), ([70, 33], true), ([1, 9000], false)]
            {
                let n = shape[1];
                let [x, w, b] = [&shape[..], &shape[1..], &shape[1..]].map(|s| Tensor::<f32>::noise(n as u64, s));
                let [y, ..] = layer(&x, &shape, [Some(&w), Some(&b)], rms);
                let expected: Vec<f64> = x
                    .values()
                    .chunks_exact(n)
                    .flat_map(|row| {
                        let mean = if rms { 0.0 } else { row.iter().sum::<f64>() / n as f64 };
                        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n as f64;
                        let scale = 1.0 / (variance + EPS).sqrt();
                        let affine = w.values().into_iter().zip(b.values());
                        row.iter().zip(affine).map(|(v, (w, b))| (v - mean) * scale * w + b).collect::<Vec<_>>()
                    })
                    .collect();
                assert_close(&y.values(), &expected, 2e-6, "layer_norm");
            }
        });
    }

    #[test]
    fn layer_norm_gradients_match_differences() {
        at_every_level(|| {
            for (shape, rms) in [([7, 5], false), ([7, 5], true), ([3, 40], false), ([3, 40], true)] {
                let [x, g] = [1, 2].map(|seed| Tensor::<f64>::noise(seed, &shape));
                let [w, b] = [3, 4].map(|seed| Tensor::<f64>::noise(seed, &shape[1..]));
                let [_, mean, rstd] = layer(&x, &shape, [Some(&w), Some(&b)], rms);
                let [mut dx, mut dw, mut db] = [&shape[..], &shape[1..], &shape[1..]].map(Tensor::<f64>::zeros);
                let p = LayerNormParams { n: shape[1], eps: EPS, rms };
                let saved = (mean.input(), rstd.input(), w.input());
                let (dx_out, dw_out, db_out) = (&mut dx.output(), &mut dw.output(), &mut db.output());
                let (g_in, x_in) = (g.input(), x.input());
                let outs = (Some(dx_out), Some(dw_out), Some(db_out));
                layer_norm_backward(&p, &g_in, &x_in, Some(&saved.0), &saved.1, Some(&saved.2), outs.0, outs.1, outs.2)
                    .expect("float64");
                let run = |x: &Tensor<f64>, w: &Tensor<f64>, b: &Tensor<f64>| {
                    let [y, ..] = layer(x, &shape, [Some(w), Some(b)], rms);
                    y
                };
                assert_gradient(|x| run(x, &w, &b), &x, &g, &dx, "dx");
                assert_gradient(|w| run(&x, w, &b), &w, &g, &dw, "dweight");
                assert_gradient(|b| run(&x, &w, b), &b, &g, &db, "dbias");
            }
        });
    }

    fn group(x: &Tensor<f64>, shape: &[usize], groups: usize, w: &Tensor<f64>, b: &Tensor<f64>) -> [Tensor<f64>; 3] {
        let stats = [shape[0], groups];
        let [mut y, mut mean, mut rstd] = [shape, &stats, &stats].map(Tensor::zeros);
        let (m, r) = (&mut mean.output(), &mut rstd.output());
        let p = GroupNormParams { groups, eps: EPS };
        let (w, b) = (w.input(), b.input());
        group_norm(&p, &x.input(), Some(&w), Some(&b), &mut y.output(), Some(m), Some(r)).expect("float64");
        [y, mean, rstd]
    }

    #[test]
    fn group_norm_normalises_groups_and_its_gradients_match_differences() {
        at_every_level(|| {
            for (shape, groups) in [(&[2, 6, 3][..], 2), (&[2, 4], 2), (&[2, 4, 5, 4], 2), (&[1, 2, 40], 1)] {
                let [x, g] = [1, 2].map(|seed| Tensor::<f64>::noise(seed, shape));
                let [w, b] = [3, 4].map(|seed| Tensor::<f64>::noise(seed, &shape[1..2]));
                let (ones, zeros) = (Tensor::new(vec![1.0; shape[1]], &shape[1..2]), Tensor::zeros(&shape[1..2]));
                let [plain, _, scale] = group(&x, shape, groups, &ones, &zeros);
                for (part, r) in plain.data.chunks_exact(plain.data.len() / shape[0] / groups).zip(&scale.data) {
                    let n = part.len() as f64;
                    let (mean, square) = (part.iter().sum::<f64>() / n, part.iter().map(|v| v * v).sum::<f64>() / n);
                    assert_close(&[mean, square], &[0.0, 1.0 - EPS * r * r], 1e-12, "the moments of a group");
                }
                let [_, mean, rstd] = group(&x, shape, groups, &w, &b);
                let [mut dx, mut dw, mut db] = [shape, &shape[1..2], &shape[1..2]].map(Tensor::<f64>::zeros);
                let p = GroupNormParams { groups, eps: EPS };
                let ins = [g.input(), x.input(), mean.input(), rstd.input(), w.input()];
                let outs = (&mut dx.output(), &mut dw.output(), &mut db.output());
                let [g_in, x_in, m, r, w_in] = &ins;
                group_norm_backward(&p, g_in, x_in, m, r, Some(w_in), Some(outs.0), Some(outs.1), Some(outs.2))
                    .expect("float64");
                let run = |x: &Tensor<f64>, w: &Tensor<f64>, b: &Tensor<f64>| {
                    let [y, ..] = group(x, shape, groups, w, b);
                    y
                };
                assert_gradient(|x| run(x, &w, &b), &x, &g, &dx, "dx");
                assert_gradient(|w| run(&x, w, &b), &w, &g, &dw, "dweight");
                assert_gradient(|b| run(&x, &w, b), &b, &g, &db, "dbias");
            }
        });
    }
}
