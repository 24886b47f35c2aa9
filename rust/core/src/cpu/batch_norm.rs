//! Batch normalisation (Ioffe and Szegedy, 2015) of (N, C, …): training and evaluation forward, and both gradients.
//!
//! Memory is seen as (n, c, s). With a long spatial extent the unit of work is one run of `s` elements of one sample
//! and channel; otherwise samples are rows of c·s columns and the unit is a tile of rows and columns. Tensors in
//! channels-last order are rows of c columns. Statistics of units merge in a fixed order.

use crate::cpu::math::Real;
use crate::cpu::rows::{self, Acc, Moments, Row, Shared, Storage, grain, moments};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::dtype::Element;
use crate::error::Result;
use crate::{dispatch, ensure, simd_dispatch};
use std::borrow::Cow;

/// `eps` is added to variances.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BatchNormParams {
    pub eps: f64,
}

const OP: &str = "batch_norm";
/// Runs shorter than this are treated as columns.
const SHORT: usize = 64;
/// Rows and columns of one tile.
const TILE_ROWS: usize = 64;
const TILE: usize = 64;

/// A dense layout of (n, c, s). With `fold` over 1 (and s = 1), that many samples make one row of columns, so that rows
/// of few channels still fill the lanes.
#[derive(Clone, Copy, PartialEq)]
struct Sizes {
    n: usize,
    c: usize,
    s: usize,
    fold: usize,
}

impl Sizes {
    fn new(n: usize, c: usize, s: usize) -> Sizes {
        let fold = if s == 1 && c > 0 { (1..=TILE / c).rev().find(|f| n.is_multiple_of(*f)) } else { None };
        Sizes { n, c, s, fold: fold.unwrap_or(1) }
    }
    /// How the memory of a window is read; `None` for layouts that are neither contiguous nor channels-last.
    fn of(shape: &[usize], strides: &[usize]) -> Option<Sizes> {
        let (n, c) = (shape[0], shape[1]);
        let s: usize = shape[2..].iter().product();
        let dense = |order: &mut dyn Iterator<Item = usize>| {
            let mut expect = 1;
            order.filter(|&d| shape[d] != 1).all(|d| {
                let fits = strides[d] == expect;
                expect *= shape[d];
                fits
            })
        };
        if n * c * s == 0 || dense(&mut (0..shape.len()).rev()) {
            return Some(Sizes::new(n, c, s));
        }
        let channels_last = dense(&mut std::iter::once(1).chain((2..shape.len()).rev()).chain([0]));
        channels_last.then(|| Sizes::new(n * s, c, 1))
    }
    fn numel(&self) -> usize {
        self.n * self.c * self.s
    }
    /// Values per channel.
    fn per_channel(&self) -> usize {
        self.n * self.s
    }
    fn by_runs(&self) -> bool {
        self.s >= SHORT
    }
    fn rows(&self) -> usize {
        self.n / self.fold
    }
    fn columns(&self) -> usize {
        self.c * self.s * self.fold
    }
    fn channel(&self, column: usize) -> usize {
        if self.fold > 1 { column % self.c } else { column / self.s }
    }
    /// A value per channel, once per column.
    fn expand<V>(&self, value: impl Fn(usize) -> V) -> Vec<V> {
        (0..self.columns()).map(|k| value(self.channel(k))).collect()
    }
    /// Tiles of rows, tiles of columns.
    fn tiles(&self) -> (usize, usize) {
        (self.rows().div_ceil(TILE_ROWS), self.columns().div_ceil(TILE))
    }
    /// Sums parts over rows of parts, in order, and then over the columns of each channel.
    fn merge<const K: usize>(&self, parts: &[[f64; K]]) -> Vec<[f64; K]> {
        let add = |t: &mut [f64; K], p: &[f64; K]| t.iter_mut().zip(p).for_each(|(t, p)| *t += p);
        let columns = if self.by_runs() { self.c } else { self.columns() };
        let mut total = vec![[0.0; K]; columns];
        for row in parts.chunks_exact(columns) {
            total.iter_mut().zip(row).for_each(|(t, p)| add(t, p));
        }
        if columns == self.c {
            return total;
        }
        let mut channels = vec![[0.0; K]; self.c];
        for (k, part) in total.iter().enumerate() {
            add(&mut channels[self.channel(k)], part);
        }
        channels
    }
}

/// The window's memory in the order that `sizes` describes, copied when it lies otherwise.
fn dense<'a, T: Storage>(window: &In<'a>, sizes: Sizes) -> Cow<'a, [T]> {
    if Sizes::of(window.shape, window.strides) == Some(sizes) {
        // SAFETY: a dense window covers `numel` elements from its pointer on.
        return Cow::Borrowed(unsafe { std::slice::from_raw_parts(window.ptr.cast::<T>(), window.numel()) });
    }
    let contiguous = window.to_vec_or_slice::<T>();
    if sizes.c == window.shape[1] && sizes.n == window.shape[0] {
        return contiguous;
    }
    // From (n, c, s) to channels-last.
    let s = sizes.n / window.shape[0];
    let mut out = Vec::with_capacity(contiguous.len());
    for sample in contiguous.chunks_exact(sizes.c * s) {
        out.extend((0..s * sizes.c).map(|i| sample[i % sizes.c * s + i / sizes.c]));
    }
    Cow::Owned(out)
}

fn dense_mut<'a, T: Storage>(window: &mut Out<'a>) -> Result<(Sizes, &'a mut [T])> {
    match Sizes::of(window.shape, window.strides) {
        // SAFETY: a dense window covers `numel` elements from its pointer on, and the caller holds the only one.
        Some(sizes) => Ok((sizes, unsafe { std::slice::from_raw_parts_mut(window.ptr.cast::<T>(), window.numel()) })),
        None => Err(crate::error::Error::Internal(format!("{OP}: the output is neither contiguous nor channels-last"))),
    }
}

/// Training: y from the statistics of this batch. `mean` and `rstd` are saved for the gradient and `variance` is
/// unbiased, for the running statistics; each has C elements of any floating dtype. `y` may be contiguous or
/// channels-last.
pub fn forward_training(
    p: &BatchNormParams,
    x: &In,
    weight: Option<&In>,
    bias: Option<&In>,
    y: &mut Out,
    mean: Option<&mut Out>,
    rstd: Option<&mut Out>,
    variance: Option<&mut Out>,
) -> Result<()> {
    dispatch!(float x.dtype, T => {
        let (sizes, y) = dense_mut::<T>(y)?;
        ensure!(
            sizes.numel() > 0, Value,
            "input tensor must have at least one element, but got input_sizes = {:?}", x.shape
        );
        let x = dense::<T>(x, sizes);
        let stats = statistics::<T>(&x, sizes);
        let means: Vec<<T as Storage>::Acc> = stats.iter().map(|m| Element::from_f64(m.mean)).collect();
        let rstds: Vec<<T as Storage>::Acc> =
            stats.iter().map(|m| Element::from_f64(1.0 / (m.variance() + p.eps).sqrt())).collect();
        apply_affine::<T>(&x, sizes, &means, &rstds, weight, bias, y)?;
        if let Some(out) = mean {
            rows::write(OP, &means, out)?;
        }
        if let Some(out) = rstd {
            rows::write(OP, &rstds, out)?;
        }
        if let Some(out) = variance {
            let unbiased: Vec<f64> = stats.iter().map(|m| m.m2 / (m.count - 1.0)).collect();
            rows::write(OP, &unbiased, out)?;
        }
        Ok(())
    }, else Err(rows::unsupported(OP, x.dtype)))
}

/// Evaluation: y from running statistics.
pub fn forward_eval(
    p: &BatchNormParams,
    x: &In,
    mean: &In,
    variance: &In,
    weight: Option<&In>,
    bias: Option<&In>,
    y: &mut Out,
) -> Result<()> {
    dispatch!(float x.dtype, T => {
        let (sizes, y) = dense_mut::<T>(y)?;
        let x = dense::<T>(x, sizes);
        let (means, rstds) = running::<<T as Storage>::Acc>(p, mean, variance)?;
        apply_affine::<T>(&x, sizes, &means, &rstds, weight, bias, y)
    }, else Err(rows::unsupported(OP, x.dtype)))
}

/// Where a gradient takes its statistics from.
#[derive(Clone, Copy)]
pub enum Saved<'a> {
    /// What `forward_training` saved.
    Training { mean: &'a In<'a>, rstd: &'a In<'a> },
    /// The running statistics, constants for the gradient.
    Eval { mean: &'a In<'a>, variance: &'a In<'a> },
}

/// The gradients that are asked for.
pub fn backward(
    p: &BatchNormParams,
    dy: &In,
    x: &In,
    saved: Saved,
    weight: Option<&In>,
    dx: Option<&mut Out>,
    dweight: Option<&mut Out>,
    dbias: Option<&mut Out>,
) -> Result<()> {
    dispatch!(float x.dtype, T => {
        type A = <T as Storage>::Acc;
        let (means, rstds) = match saved {
            Saved::Training { mean, rstd } => (rows::read::<A>(OP, mean)?, rows::read::<A>(OP, rstd)?),
            Saved::Eval { mean, variance } => running::<A>(p, mean, variance)?,
        };
        let training = matches!(saved, Saved::Training { .. });
        let dx = dx.map(|o| dense_mut::<T>(o)).transpose()?;
        let sizes = match &dx {
            Some((sizes, _)) => Some(*sizes),
            None => Sizes::of(x.shape, x.strides),
        };
        let sizes = sizes.unwrap_or_else(|| Sizes::new(x.shape[0], x.shape[1], x.shape[2..].iter().product()));
        let (x, dy) = (dense::<T>(x, sizes), dense::<T>(dy, sizes));
        let sums = if training || dweight.is_some() || dbias.is_some() {
            gradient_sums::<T>(&dy, &x, sizes, &means)
        } else {
            vec![[0.0; 2]; sizes.c]
        };
        if let Some((_, dx)) = dx {
            let w = rows::read_optional::<A>(OP, weight)?;
            let count = sizes.per_channel() as f64;
            let maps: Vec<Map<A>> = (0..sizes.c).map(|c| {
                let (rstd, [sum, dot]) = (rstds[c], sums[c]);
                let scale = w.as_ref().map_or(A::from_f64(1.0), |w| w[c]) * rstd;
                let of = |v: f64| if training { A::from_f64(v / count) * scale } else { A::default() };
                Map { scale, centre: means[c], slope: of(dot) * rstd * rstd, shift: of(sum) }
            }).collect();
            apply_gradient::<T>(&dy, &x, sizes, &maps, dx);
        }
        if let Some(out) = dweight {
            let dw: Vec<f64> = sums.iter().zip(&rstds).map(|(s, r)| s[1] * r.to_f64()).collect();
            rows::write(OP, &dw, out)?;
        }
        if let Some(out) = dbias {
            rows::write(OP, &sums.iter().map(|s| s[0]).collect::<Vec<f64>>(), out)?;
        }
        Ok(())
    }, else Err(rows::unsupported(OP, x.dtype)))
}

fn running<A: Acc>(p: &BatchNormParams, mean: &In, variance: &In) -> Result<(Vec<A>, Vec<A>)> {
    let rstd = |v: f64| A::from_f64(1.0 / (v + p.eps).sqrt());
    Ok((rows::read(OP, mean)?, rows::read::<f64>(OP, variance)?.into_iter().map(rstd).collect()))
}

/// The moments of every channel, from those of its runs or of its columns within tiles of rows.
fn statistics<T: Storage>(x: &[T], sizes: Sizes) -> Vec<Moments> {
    let mut parts;
    if sizes.by_runs() {
        parts = vec![Moments::default(); sizes.n * sizes.c];
        let saved = Shared::new(&mut parts);
        parallel_for(sizes.n * sizes.c, grain(sizes.s), |r| {
            // SAFETY: chunks of runs are disjoint.
            let out = unsafe { saved.range(r.start, r.len()) };
            run_moments(&x[r.start * sizes.s..r.end * sizes.s], sizes.s, out);
        });
    } else {
        let (down, across) = sizes.tiles();
        parts = vec![Moments::default(); down * sizes.columns()];
        let saved = Shared::new(&mut parts);
        parallel_for(down * across, grain(TILE_ROWS * TILE), |r| {
            for i in r {
                let tile = Tile::at(i, sizes);
                // SAFETY: tiles are disjoint.
                let out = unsafe { saved.range(i / across * sizes.columns() + tile.column, tile.width) };
                tile_moments(x, tile, out);
            }
        });
    }
    // Means first, so that merging needs no division per part.
    let count = sizes.per_channel() as f64;
    let sums: Vec<[f64; 1]> = parts.iter().map(|m| [m.mean * m.count]).collect();
    let mean: Vec<f64> = sizes.merge(&sums).iter().map(|[sum]| sum / count).collect();
    let expanded = if sizes.by_runs() { mean.clone() } else { sizes.expand(|c| mean[c]) };
    let deviations: Vec<[f64; 1]> = parts
        .chunks_exact(expanded.len())
        .flat_map(|row| row.iter().zip(&expanded).map(|(m, mean)| [m.m2 + m.count * (m.mean - mean) * (m.mean - mean)]))
        .collect();
    let m2 = sizes.merge(&deviations);
    mean.into_iter().zip(m2).map(|(mean, [m2])| Moments { count, mean, m2 }).collect()
}

/// A tile of rows and columns of the (n, c·s) view.
#[derive(Clone, Copy)]
struct Tile {
    row: usize,
    rows: usize,
    column: usize,
    width: usize,
    pitch: usize,
}

impl Tile {
    /// Tile `i`, tiles of columns varying fastest.
    fn at(i: usize, sizes: Sizes) -> Tile {
        let (_, across) = sizes.tiles();
        let (row, column) = (i / across * TILE_ROWS, i % across * TILE);
        let (rows, width) = (TILE_ROWS.min(sizes.rows() - row), TILE.min(sizes.columns() - column));
        Tile { row, rows, column, width, pitch: sizes.columns() }
    }
    /// Row `r` of the tile in full lanes; lanes past the width keep what they hold.
    #[inline(always)]
    fn load<T: Storage>(&self, x: &[T], r: usize, lanes: &mut [T::Acc; TILE]) {
        let at = (self.row + r) * self.pitch + self.column;
        T::widen(&x[at..at + self.width], &mut lanes[..self.width]);
    }
}

simd_dispatch! {
    fn run_moments<T: Storage>(x: &[T], s: usize, out: &mut [Moments]) {
        for (run, o) in x.chunks_exact(s).zip(out) {
            *o = moments(run);
        }
    }

    fn tile_moments<T: Storage>(x: &[T], tile: Tile, out: &mut [Moments]) {
        let mut lanes = [T::Acc::ZERO; TILE];
        let mut mean = [T::Acc::ZERO; TILE];
        for r in 0..tile.rows {
            tile.load(x, r, &mut lanes);
            for j in 0..TILE {
                mean[j] += lanes[j];
            }
        }
        let count = T::Acc::from_f64(tile.rows as f64);
        for m in &mut mean {
            *m = *m / count;
        }
        let mut m2 = [T::Acc::ZERO; TILE];
        for r in 0..tile.rows {
            tile.load(x, r, &mut lanes);
            for j in 0..TILE {
                let d = lanes[j] - mean[j];
                m2[j] += d * d;
            }
        }
        for (j, o) in out.iter_mut().enumerate() {
            *o = Moments { count: tile.rows as f64, mean: mean[j].to_f64(), m2: m2[j].to_f64() };
        }
    }
}

/// y = (x - mean)·rstd·weight + bias per channel.
fn apply_affine<T: Storage>(
    x: &[T],
    sizes: Sizes,
    mean: &[T::Acc],
    rstd: &[T::Acc],
    weight: Option<&In>,
    bias: Option<&In>,
    y: &mut [T],
) -> Result<()> {
    let (w, b) = (rows::read_optional::<T::Acc>(OP, weight)?, rows::read_optional::<T::Acc>(OP, bias)?);
    let scale = |c: usize| w.as_ref().map_or(rstd[c], |w| w[c] * rstd[c]);
    let shift = |c: usize| b.as_ref().map_or(T::Acc::ZERO, |b| b[c]);
    if x.is_empty() {
        return Ok(());
    }
    let dst = Shared::new(y);
    if sizes.by_runs() {
        parallel_for(sizes.n * sizes.c, grain(sizes.s), |r| {
            let span = r.start * sizes.s..r.end * sizes.s;
            let affine: Vec<[T::Acc; 3]> = r.map(|i| i % sizes.c).map(|c| [mean[c], scale(c), shift(c)]).collect();
            // SAFETY: chunks of runs are disjoint.
            run_affine(&x[span.clone()], sizes.s, &affine, unsafe { dst.range(span.start, span.len()) });
        });
        return Ok(());
    }
    let (mean, scale, shift) = (sizes.expand(|c| mean[c]), sizes.expand(scale), sizes.expand(shift));
    let columns = sizes.columns();
    parallel_for(sizes.rows(), grain(columns), |r| {
        let span = r.start * columns..r.end * columns;
        // SAFETY: chunks of rows are disjoint.
        row_affine(&x[span.clone()], &mean, &scale, &shift, unsafe { dst.range(span.start, span.len()) });
    });
    Ok(())
}

simd_dispatch! {
    /// `affine` holds mean, scale and shift of every run.
    fn run_affine<T: Storage>(x: &[T], s: usize, affine: &[[T::Acc; 3]], y: &mut [T]) {
        for ((x, y), &[mean, scale, shift]) in x.chunks_exact(s).zip(y.chunks_exact_mut(s)).zip(affine) {
            rows::map1_of(x, y, |v| (v - mean) * scale + shift);
        }
    }

    fn row_affine<T: Storage>(x: &[T], mean: &[T::Acc], scale: &[T::Acc], shift: &[T::Acc], y: &mut [T]) {
        let n = mean.len();
        let (mut source, mut target) = (Row::new::<T>(n), Row::new::<T>(n));
        for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
            let x = source.load(x);
            target.fill(y, |y| {
                for ((((y, &x), &m), &a), &b) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(shift) {
                    *y = (x - m) * a + b;
                }
            });
        }
    }
}

/// (Σ dy, Σ dy·(x - mean)) of every channel.
fn gradient_sums<T: Storage>(dy: &[T], x: &[T], sizes: Sizes, mean: &[T::Acc]) -> Vec<[f64; 2]> {
    if x.is_empty() {
        return vec![[0.0; 2]; sizes.c];
    }
    let mut parts;
    if sizes.by_runs() {
        parts = vec![[0.0; 2]; sizes.n * sizes.c];
        let saved = Shared::new(&mut parts);
        parallel_for(sizes.n * sizes.c, grain(sizes.s * 2), |r| {
            let span = r.start * sizes.s..r.end * sizes.s;
            // SAFETY: chunks of runs are disjoint.
            let out = unsafe { saved.range(r.start, r.len()) };
            run_gradient_sums(&dy[span.clone()], &x[span], sizes.s, r.start, mean, out);
        });
        return sizes.merge(&parts);
    }
    let mean = sizes.expand(|c| mean[c]);
    let (down, across) = sizes.tiles();
    parts = vec![[0.0; 2]; down * sizes.columns()];
    let saved = Shared::new(&mut parts);
    parallel_for(down * across, grain(TILE_ROWS * TILE), |r| {
        for i in r {
            let tile = Tile::at(i, sizes);
            // SAFETY: tiles are disjoint.
            let out = unsafe { saved.range(i / across * sizes.columns() + tile.column, tile.width) };
            tile_gradient_sums(dy, x, tile, &mean[tile.column..tile.column + tile.width], out);
        }
    });
    sizes.merge(&parts)
}

simd_dispatch! {
    /// Runs `first ..` of the (n, c) runs.
    fn run_gradient_sums<T: Storage>(
        dy: &[T], x: &[T], s: usize, first: usize, mean: &[T::Acc], out: &mut [[f64; 2]]
    ) {
        for (i, ((dy, x), o)) in dy.chunks_exact(s).zip(x.chunks_exact(s)).zip(out).enumerate() {
            let m = mean[(first + i) % mean.len()];
            let (sum, dot) = rows::sum2_of(dy, x, [T::Acc::ZERO, m], |g, v| (g, g * (v - m)));
            *o = [sum, dot];
        }
    }

    fn tile_gradient_sums<T: Storage>(dy: &[T], x: &[T], tile: Tile, mean: &[T::Acc], out: &mut [[f64; 2]]) {
        let mut centre = [T::Acc::ZERO; TILE];
        centre[..tile.width].copy_from_slice(mean);
        let (mut g, mut v) = ([T::Acc::ZERO; TILE], [T::Acc::ZERO; TILE]);
        let (mut sum, mut dot) = ([T::Acc::ZERO; TILE], [T::Acc::ZERO; TILE]);
        for r in 0..tile.rows {
            tile.load(dy, r, &mut g);
            tile.load(x, r, &mut v);
            for j in 0..TILE {
                sum[j] += g[j];
                dot[j] += g[j] * (v[j] - centre[j]);
            }
        }
        for (j, o) in out.iter_mut().enumerate() {
            *o = [sum[j].to_f64(), dot[j].to_f64()];
        }
    }
}

/// dx = dy·scale - shift - (x - centre)·slope for one channel.
#[derive(Clone, Copy)]
struct Map<A> {
    scale: A,
    centre: A,
    slope: A,
    shift: A,
}

fn apply_gradient<T: Storage>(dy: &[T], x: &[T], sizes: Sizes, maps: &[Map<T::Acc>], dx: &mut [T]) {
    if x.is_empty() {
        return;
    }
    let dst = Shared::new(dx);
    if sizes.by_runs() {
        parallel_for(sizes.n * sizes.c, grain(sizes.s * 2), |r| {
            let span = r.start * sizes.s..r.end * sizes.s;
            // SAFETY: chunks of runs are disjoint.
            let dx = unsafe { dst.range(span.start, span.len()) };
            run_gradient(&dy[span.clone()], &x[span], sizes.s, r.start, maps, dx);
        });
        return;
    }
    let columns = sizes.columns();
    let maps = [
        sizes.expand(|c| maps[c].scale),
        sizes.expand(|c| maps[c].centre),
        sizes.expand(|c| maps[c].slope),
        sizes.expand(|c| maps[c].shift),
    ];
    parallel_for(sizes.rows(), grain(columns * 2), |r| {
        let span = r.start * columns..r.end * columns;
        // SAFETY: chunks of rows are disjoint.
        row_gradient(&dy[span.clone()], &x[span.clone()], &maps, unsafe { dst.range(span.start, span.len()) });
    });
}

simd_dispatch! {
    /// Runs `first ..` of the (n, c) runs.
    fn run_gradient<T: Storage>(dy: &[T], x: &[T], s: usize, first: usize, maps: &[Map<T::Acc>], dx: &mut [T]) {
        let runs = dy.chunks_exact(s).zip(x.chunks_exact(s)).zip(dx.chunks_exact_mut(s));
        for (i, ((dy, x), dx)) in runs.enumerate() {
            let Map { scale, centre, slope, shift } = maps[(first + i) % maps.len()];
            rows::map2_of(dy, x, dx, |g, v| g * scale - shift - (v - centre) * slope);
        }
    }

    /// `maps` holds scale, centre, slope and shift of every column.
    fn row_gradient<T: Storage>(dy: &[T], x: &[T], maps: &[Vec<T::Acc>; 4], dx: &mut [T]) {
        let n = maps[0].len();
        let [scale, centre, slope, shift] = [&maps[0][..n], &maps[1][..n], &maps[2][..n], &maps[3][..n]];
        let (mut dy_row, mut x_row, mut target) = (Row::new::<T>(n), Row::new::<T>(n), Row::new::<T>(n));
        for ((dy, x), dx) in dy.chunks_exact(n).zip(x.chunks_exact(n)).zip(dx.chunks_exact_mut(n)) {
            let (dy, x) = (&dy_row.load(dy)[..n], &x_row.load(x)[..n]);
            target.fill(dx, |dx| {
                for (j, d) in dx[..n].iter_mut().enumerate() {
                    *d = dy[j] * scale[j] - shift[j] - (x[j] - centre[j]) * slope[j];
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::{Tensor, assert_close, assert_gradient, at_every_level};

    const P: BatchNormParams = BatchNormParams { eps: 1e-3 };
    const SHAPES: [&[usize]; 6] = [&[6, 5], &[130, 3], &[3, 2, 4], &[2, 3, 70], &[70, 65, 2], &[8, 2, 1, 1]];

    fn train<T: Storage>(x: &Tensor<T>, shape: &[usize], w: &Tensor<T>, b: &Tensor<T>) -> [Tensor<T>; 4] {
        let c = &shape[1..2];
        let [mut y, mut mean, mut rstd, mut variance] = [shape, c, c, c].map(Tensor::zeros);
        let (m, r, v) = (&mut mean.output(), &mut rstd.output(), &mut variance.output());
        let (w, b) = (w.input(), b.input());
        forward_training(&P, &x.input(), Some(&w), Some(&b), &mut y.output(), Some(m), Some(r), Some(v))
            .expect("a float");
        [y, mean, rstd, variance]
    }

    /// The elements of channel `c`, in memory order.
    fn channel(x: &[f64], shape: &[usize], c: usize) -> Vec<f64> {
        let s: usize = shape[2..].iter().product();
        x.chunks_exact(s).enumerate().filter(|(i, _)| i % shape[1] == c).flat_map(|(_, run)| run.to_vec()).collect()
    }

    #[test]
    fn training_matches_float64() {
        at_every_level(|| {
            for shape in SHAPES {
                let x = Tensor::<f32>::noise(1, shape);
                let [w, b] = [2, 3].map(|seed| Tensor::<f32>::noise(seed, &shape[1..2]));
                let [y, mean, rstd, variance] = train(&x, shape, &w, &b);
                for c in 0..shape[1] {
                    let values = channel(&x.values(), shape, c);
                    let n = values.len() as f64;
                    let m = values.iter().sum::<f64>() / n;
                    let m2: f64 = values.iter().map(|v| (v - m) * (v - m)).sum();
                    let r = 1.0 / (m2 / n + P.eps).sqrt();
                    let found = [mean.values()[c], rstd.values()[c], variance.values()[c]];
                    assert_close(&found, &[m, r, m2 / (n - 1.0)], 2e-6, "statistics");
                    let expected: Vec<f64> =
                        values.iter().map(|v| (v - m) * r * w.values()[c] + b.values()[c]).collect();
                    assert_close(&channel(&y.values(), shape, c), &expected, 4e-6, "batch_norm");
                }
            }
        });
    }

    #[test]
    fn channels_last_memory_gives_the_same_numbers() {
        let shape = [3, 5, 4, 2];
        let x = Tensor::<f64>::noise(1, &shape);
        let [w, b] = [2, 3].map(|seed| Tensor::<f64>::noise(seed, &[5]));
        let [expected, ..] = train(&x, &shape, &w, &b);
        let to_last =
            |v: &[f64]| -> Vec<f64> { (0..v.len()).map(|i| v[i / 40 * 40 + i % 5 * 8 + i % 40 / 5]).collect() };
        let (memory, mut y) = (to_last(&x.data), vec![0.0f64; 120]);
        let strides = [40, 1, 10, 5];
        let dtype = crate::dtype::DType::F64;
        let input = In { ptr: memory.as_ptr().cast(), dtype, shape: &shape, strides: &strides };
        let mut output = Out { ptr: y.as_mut_ptr().cast(), dtype, shape: &shape, strides: &strides };
        let (w, b) = (w.input(), b.input());
        forward_training(&P, &input, Some(&w), Some(&b), &mut output, None, None, None).expect("float64");
        assert_close(&y, &to_last(&expected.data), 1e-13, "channels-last");
        // A contiguous input with a channels-last output is brought into order first.
        y.fill(0.0);
        let mut output = Out { ptr: y.as_mut_ptr().cast(), dtype, shape: &shape, strides: &strides };
        forward_training(&P, &x.input(), Some(&w), Some(&b), &mut output, None, None, None).expect("float64");
        assert_close(&y, &to_last(&expected.data), 1e-13, "mixed layouts");
    }

    #[test]
    fn gradients_match_differences_in_both_modes() {
        at_every_level(|| {
            for shape in [&[6, 5][..], &[30, 2], &[3, 2, 4], &[2, 1, 70]] {
                let [x, g] = [1, 2].map(|seed| Tensor::<f64>::noise(seed, shape));
                let [w, b, running_mean] = [3, 4, 5].map(|seed| Tensor::<f64>::noise(seed, &shape[1..2]));
                let running_var = Tensor::new(running_mean.data.iter().map(|v| v * v + 0.5).collect(), &shape[1..2]);
                for training in [true, false] {
                    let run = |x: &Tensor<f64>, w: &Tensor<f64>, b: &Tensor<f64>| {
                        if training {
                            let [y, ..] = train(x, shape, w, b);
                            return y;
                        }
                        let mut y = Tensor::zeros(shape);
                        let (m, v, w, b) = (running_mean.input(), running_var.input(), w.input(), b.input());
                        forward_eval(&P, &x.input(), &m, &v, Some(&w), Some(&b), &mut y.output()).expect("float64");
                        y
                    };
                    let [_, mean, rstd, _] = train(&x, shape, &w, &b);
                    let (m, r) = if training { (&mean, &rstd) } else { (&running_mean, &running_var) };
                    let (m, r, w_in) = (m.input(), r.input(), w.input());
                    let saved = match training {
                        true => Saved::Training { mean: &m, rstd: &r },
                        false => Saved::Eval { mean: &m, variance: &r },
                    };
                    let [mut dx, mut dw, mut db] = [shape, &shape[1..2], &shape[1..2]].map(Tensor::<f64>::zeros);
                    let outs = (&mut dx.output(), &mut dw.output(), &mut db.output());
                    let (g_in, x_in) = (g.input(), x.input());
                    backward(&P, &g_in, &x_in, saved, Some(&w_in), Some(outs.0), Some(outs.1), Some(outs.2))
                        .expect("float64");
                    assert_gradient(|x| run(x, &w, &b), &x, &g, &dx, "dx");
                    assert_gradient(|w| run(&x, w, &b), &w, &g, &dw, "dweight");
                    assert_gradient(|b| run(&x, &w, b), &b, &g, &db, "dbias");
                }
            }
        });
    }

    #[test]
    fn training_without_elements_is_refused() {
        let x = Tensor::<f32>::zeros(&[0, 3, 2]);
        let mut y = Tensor::<f32>::zeros(&[0, 3, 2]);
        let error = forward_training(&P, &x.input(), None, None, &mut y.output(), None, None, None).expect_err("empty");
        assert!(error.to_string().contains("at least one element"), "{error}");
    }
}
