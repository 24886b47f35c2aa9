//! Max, average and adaptive pooling over the last one to three dimensions, their gradients, and max unpooling.

use crate::cpu::planes::{Acc, Shared, Widen, accumulate_parts, contiguous, for_parts, grain, volume, widened};
use crate::cpu::simd::simd_dispatch;
use crate::cpu::threads;
use crate::cpu::view::{In, Out};
use crate::dispatch;
use crate::dtype::Element;
use crate::ensure;
use crate::error::Result;
use crate::params::{AvgPoolParams, PoolParams};
use std::ops::Range;

/// The output size of a window sliding over one dimension; with `ceil_mode` the last window must start inside the input
/// or its left padding. Not positive when the window does not fit.
pub fn output_size(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    ceil_mode: bool,
) -> i64 {
    let (input, stride, padding) = (input as i64, stride as i64, padding as i64);
    let reach = dilation as i64 * (kernel as i64 - 1) + 1;
    let slack = if ceil_mode { stride - 1 } else { 0 };
    let size = (input + 2 * padding - reach + slack).div_euclid(stride) + 1;
    if ceil_mode && (size - 1) * stride >= input + padding { size - 1 } else { size }
}

/// The input range that output `i` of `output` averages in adaptive pooling: ⌊i·in/out⌋ to ⌈(i+1)·in/out⌉.
#[inline]
fn adaptive_range(i: usize, input: usize, output: usize) -> Range<usize> {
    i * input / output..((i + 1) * input).div_ceil(output)
}

/// The input positions `start + t·dilation` of one window that lie inside `0..input`.
#[derive(Clone, Copy)]
struct Taps {
    first: usize,
    count: usize,
    step: usize,
}

impl Taps {
    fn new(p: &PoolParams, axis: usize, out: usize, input: usize) -> Taps {
        let (step, start) = (p.dilation[axis], (out * p.stride[axis]) as i64 - p.padding[axis] as i64);
        let skipped = (-start).max(0) as usize;
        let skipped = skipped.div_ceil(step);
        let first = (start + (skipped * step) as i64) as usize;
        let inside = input.saturating_sub(first).div_ceil(step);
        Taps { first, count: p.kernel[axis].saturating_sub(skipped).min(inside), step }
    }
    fn contiguous(range: Range<usize>) -> Taps {
        Taps { first: range.start, count: range.len(), step: 1 }
    }
    #[inline(always)]
    fn iter(self) -> impl Iterator<Item = usize> + Clone {
        (0..self.count).map(move |t| self.first + t * self.step)
    }
}

/// For each window column `t`: the outputs `lo..hi` whose input column `o·stride + shift` is inside the row.
fn column_ranges(p: &PoolParams, width: usize, out_width: usize) -> Vec<(Range<usize>, isize)> {
    let stride = p.stride[2] as i64;
    (0..p.kernel[2])
        .map(|t| {
            let shift = (t * p.dilation[2]) as i64 - p.padding[2] as i64;
            let lo = (-shift).max(0) as u64;
            let lo = lo.div_ceil(stride as u64) as usize;
            let hi = (width as i64 - shift).max(0) as u64;
            let hi = (hi.div_ceil(stride as u64) as usize).min(out_width);
            (lo.min(hi)..hi, shift as isize)
        })
        .collect()
}

/// A flat index into a plane, as narrow as the plane allows.
trait FlatIndex: Copy + Default + Send + Sync {
    fn of(i: usize) -> Self;
    fn get(self) -> i64;
}
impl FlatIndex for u32 {
    #[inline(always)]
    fn of(i: usize) -> Self {
        i as u32
    }
    #[inline(always)]
    fn get(self) -> i64 {
        self as i64
    }
}
impl FlatIndex for u64 {
    #[inline(always)]
    fn of(i: usize) -> Self {
        i as u64
    }
    #[inline(always)]
    fn get(self) -> i64 {
        self as i64
    }
}

/// Takes `value` where it exceeds `best` or is NaN, so that the first of equal values and the last NaN win.
#[inline(always)]
fn take_max<A: Acc, I: FlatIndex>(best: &mut A, at: &mut I, value: A, index: I) {
    let take = (value > *best) | value.is_nan();
    *best = if take { value } else { *best };
    *at = if take { index } else { *at };
}

/// Outputs whose maxima are found together.
const LANES: usize = 16;

/// What the rows of outputs of a max pooling share.
struct MaxRows<'a> {
    p: &'a PoolParams,
    /// Columns of the input.
    width: usize,
    /// The column that each output's window begins at.
    first: &'a [usize],
}

impl MaxRows<'_> {
    /// Elements of a row with its borders, as far as whole groups of outputs read it.
    fn staged(&self, outputs: usize) -> usize {
        let (stride, reach) = (self.p.stride[2], self.p.dilation[2] * self.p.kernel[2].saturating_sub(1));
        let read = outputs.next_multiple_of(LANES) * stride + reach;
        read.max(self.p.padding[2] + self.width)
    }
}

/// The elements that one tap brings to groups of outputs enter their maxima; those of output `o` has index `from + o·step`.
#[inline(always)]
fn max_tap<A: Acc, I: FlatIndex, const STEP: usize>(stage: &[A], from: usize, best: &mut [A], at: &mut [I]) {
    let groups = best.as_chunks_mut::<LANES>().0.iter_mut().zip(at.as_chunks_mut::<LANES>().0);
    for (group, (best, at)) in groups.enumerate() {
        let stage = &stage[group * LANES * STEP..][..LANES * STEP];
        let first = from.wrapping_add(group * LANES * STEP);
        // On copies of known size the loop becomes instructions on vectors.
        let (mut values, mut maxima, mut places) = ([A::LOWEST; LANES], *best, *at);
        for i in 0..LANES {
            values[i] = stage[i * STEP];
        }
        for i in 0..LANES {
            take_max(&mut maxima[i], &mut places[i], values[i], I::of(first.wrapping_add(i * STEP)));
        }
        (*best, *at) = (maxima, places);
    }
}

simd_dispatch! {
    /// One output row of max pooling: `rows` are the flat starts of the input rows under it. `stage` has the lowest value
    /// in its borders; `best` and `at` are whole groups.
    fn max_row<A: Acc, I: FlatIndex>(
        shared: &MaxRows, plane: &[A], rows: &[usize], stage: &mut [A], best: &mut [A], at: &mut [I],
    ) {
        let p = shared.p;
        best.fill(A::LOWEST);
        let top = rows.first().copied().unwrap_or(0);
        for (a, &column) in at.iter_mut().zip(shared.first) {
            *a = I::of(top + column);
        }
        for &start in rows {
            stage[p.padding[2]..][..shared.width].copy_from_slice(&plane[start..start + shared.width]);
            for tap in 0..p.kernel[2] {
                let shift = tap * p.dilation[2];
                let from = (start + shift).wrapping_sub(p.padding[2]);
                match p.stride[2] {
                    1 => max_tap::<A, I, 1>(&stage[shift..], from, best, at),
                    2 => max_tap::<A, I, 2>(&stage[shift..], from, best, at),
                    3 => max_tap::<A, I, 3>(&stage[shift..], from, best, at),
                    4 => max_tap::<A, I, 4>(&stage[shift..], from, best, at),
                    step => {
                        for (o, (best, at)) in best.iter_mut().zip(at.iter_mut()).enumerate() {
                            take_max(best, at, stage[shift + o * step], I::of(from.wrapping_add(o * step)));
                        }
                    }
                }
            }
        }
    }
}

/// Max pooling of `x` into `out`, and the flat input index of each maximum (int64) into `indices` when asked for.
pub fn max_pool(p: &PoolParams, x: In, out: &mut Out, indices: Option<&mut Out>) {
    let (_, size) = volume(x.shape, p.spatial);
    dispatch!(x.dtype, T => {
        if size.iter().product::<usize>() <= u32::MAX as usize {
            max_pool_as::<T, u32>(p, x, out, indices)
        } else {
            max_pool_as::<T, u64>(p, x, out, indices)
        }
    })
}

fn max_pool_as<T: Widen, I: FlatIndex>(p: &PoolParams, x: In, out: &mut Out, indices: Option<&mut Out>) {
    let (_, size) = volume(x.shape, p.spatial);
    let (planes, osize) = volume(out.shape, p.spatial);
    let (plane, width) = (size.iter().product::<usize>(), osize[2]);
    let x = contiguous::<T>(&x);
    let first: Vec<usize> =
        (0..width).map(|o| Taps::new(p, 2, o, size[2]).first.min(size[2].saturating_sub(1))).collect();
    let shared = MaxRows { p, width: size[2], first: &first };
    let values = Shared::new(out.as_mut_slice::<T>());
    let indices = indices.map(|i| Shared::new(i.as_mut_slice::<i64>()));
    let cost = width * p.kernel.iter().product::<usize>() / 4 + 8;
    let rows_per_plane = osize[0] * osize[1];
    threads::parallel_for(planes * rows_per_plane, grain(cost), |range| {
        let (mut scratch, mut rows) = (Vec::new(), Vec::new());
        let padded = width.next_multiple_of(LANES);
        let (mut best, mut at) = (vec![T::Acc::default(); padded], vec![I::default(); padded]);
        let mut stage = vec![T::Acc::LOWEST; shared.staged(width)];
        let mut current: (usize, &[T::Acc]) = (usize::MAX, &[]);
        // A raw copy of the scratch's address lets one widened plane serve all its rows.
        for r in range {
            let (n, od, oh) = (r / rows_per_plane, r / osize[1] % osize[0], r % osize[1]);
            if current.0 != n {
                let wide = widened(&x[n * plane..(n + 1) * plane], &mut scratch);
                // SAFETY: `scratch` is neither moved nor refilled before `current` is replaced.
                current = (n, unsafe { std::slice::from_raw_parts(wide.as_ptr(), wide.len()) });
            }
            let (td, th) = (Taps::new(p, 0, od, size[0]), Taps::new(p, 1, oh, size[1]));
            rows.clear();
            rows.extend(td.iter().flat_map(|d| th.iter().map(move |h| (d * size[1] + h) * size[2])));
            max_row(&shared, current.1, &rows, &mut stage, &mut best, &mut at);
            // SAFETY: row `r` of both outputs belongs to this iteration alone.
            let row = unsafe { values.range(r * width, width) };
            row.iter_mut().zip(&best).for_each(|(o, &b)| *o = T::narrow(b));
            if let Some(indices) = indices {
                // SAFETY: as above.
                let row = unsafe { indices.range(r * width, width) };
                row.iter_mut().zip(&at).for_each(|(o, a)| *o = a.get());
            }
        }
    });
}

/// Adds each gradient into the place its index names: the gradient of every max pooling.
pub fn max_pool_grad(spatial: usize, grad_out: In, indices: In, out: &mut Out) {
    dispatch!(grad_out.dtype, T => max_pool_grad_as::<T>(spatial, grad_out, indices, out))
}

fn max_pool_grad_as<T: Widen>(spatial: usize, grad_out: In, indices: In, out: &mut Out) {
    let (_, gsize) = volume(grad_out.shape, spatial);
    let (_, size) = volume(out.shape, spatial);
    let (from, plane) = (gsize.iter().product::<usize>(), size.iter().product::<usize>());
    let (grad, indices) = (contiguous::<T>(&grad_out), contiguous::<i64>(&indices));
    accumulate_parts(out.as_mut_slice::<T>(), plane, 2 * from, |n, acc| {
        let range = n * from..(n + 1) * from;
        for (g, &i) in grad[range.clone()].iter().zip(&indices[range]) {
            let slot = &mut acc[i as usize];
            *slot = slot.plus(g.widen());
        }
    });
}

/// Reads each plane of `x` at the flat indices of the same plane: the gradient of max unpooling, and the second
/// gradient of max pooling.
pub fn take_planes(spatial: usize, x: In, indices: In, out: &mut Out) {
    let (_, size) = volume(x.shape, spatial);
    let (_, osize) = volume(out.shape, spatial);
    let (plane, len) = (size.iter().product::<usize>(), osize.iter().product::<usize>());
    dispatch!(x.dtype, T => {
        let (x, indices) = (contiguous::<T>(&x), contiguous::<i64>(&indices));
        for_parts(out.as_mut_slice::<T>(), len, 2 * len, |n, part| {
            let plane = &x[n * plane..(n + 1) * plane];
            for (o, &i) in part.iter_mut().zip(&indices[n * len..]) {
                *o = plane[i as usize];
            }
        });
    })
}

/// Writes each value of `x` to the flat place its index names, zero elsewhere; of equal indices the last wins.
pub fn max_unpool(spatial: usize, x: In, indices: In, out: &mut Out) -> Result<()> {
    let (_, size) = volume(x.shape, spatial);
    let (_, osize) = volume(out.shape, spatial);
    let (from, plane) = (size.iter().product::<usize>(), osize.iter().product::<usize>());
    let indices = contiguous::<i64>(&indices);
    if let Some(bad) = indices.iter().find(|&&i| i < 0 || i as usize >= plane) {
        let sizes: Vec<String> = osize[3 - spatial..].iter().map(usize::to_string).collect();
        let sizes = sizes.join("x");
        ensure!(
            false,
            Runtime,
            "max_unpool{spatial}d: Found an invalid max index: {bad} (output volumes are of size {sizes})"
        );
    }
    dispatch!(x.dtype, T => {
        let x = contiguous::<T>(&x);
        for_parts(out.as_mut_slice::<T>(), plane, plane + from, |n, part| {
            part.fill(T::default());
            let range = n * from..(n + 1) * from;
            for (&v, &i) in x[range.clone()].iter().zip(&indices[range]) {
                part[i as usize] = v;
            }
        });
    });
    Ok(())
}

/// The divisors of average pooling along one axis: the window's length with and without its padding.
fn window_lengths(p: &PoolParams, axis: usize, input: usize, output: usize) -> Vec<(usize, usize)> {
    let (kernel, padding) = (p.kernel[axis], p.padding[axis]);
    (0..output)
        .map(|o| {
            let start = o * p.stride[axis];
            let padded = (start + kernel).min(input + 2 * padding).saturating_sub(start);
            (padded, Taps::new(p, axis, o, input).count)
        })
        .collect()
}

/// What each output of average pooling is divided by.
struct Divisors {
    axes: [Vec<(usize, usize)>; 3],
    count_include_pad: bool,
    fixed: Option<i64>,
}

impl Divisors {
    fn new(p: &AvgPoolParams, size: [usize; 3], osize: [usize; 3]) -> Divisors {
        let axes = [0, 1, 2].map(|a| window_lengths(&p.window, a, size[a], osize[a]));
        Divisors { axes, count_include_pad: p.count_include_pad, fixed: p.divisor_override }
    }
    #[inline(always)]
    fn at<A: Acc>(&self, d: usize, h: usize, w: usize) -> A {
        let (d, h, w) = (self.axes[0][d], self.axes[1][h], self.axes[2][w]);
        A::from_i64(match self.fixed {
            Some(fixed) => fixed,
            None if self.count_include_pad => (d.0 * h.0 * w.0) as i64,
            None => (d.1 * h.1 * w.1) as i64,
        })
    }
}

simd_dispatch! {
    /// `out[o] += row[o·stride + shift]` for the outputs of every run.
    fn add_columns<A: Acc>(row: &[A], stride: usize, columns: &[(Range<usize>, isize)], out: &mut [A]) {
        for (run, shift) in columns.iter().filter(|c| !c.0.is_empty()) {
            let out = &mut out[run.clone()];
            let start = ((run.start * stride) as isize + shift) as usize;
            if stride == 1 {
                out.iter_mut().zip(&row[start..]).for_each(|(o, &v)| *o = o.plus(v));
            } else if stride == 2 {
                out.iter_mut().zip(row[start..].chunks(2)).for_each(|(o, v)| *o = o.plus(v[0]));
            } else {
                out.iter_mut().zip(row[start..].iter().step_by(stride)).for_each(|(o, &v)| *o = o.plus(v));
            }
        }
    }
    /// `row[o·stride + shift] += grad[o]` for the outputs of every run.
    fn spread_columns<A: Acc>(grad: &[A], stride: usize, columns: &[(Range<usize>, isize)], row: &mut [A]) {
        for (run, shift) in columns.iter().filter(|c| !c.0.is_empty()) {
            let start = ((run.start * stride) as isize + shift) as usize;
            let grad = &grad[run.clone()];
            if stride == 1 {
                row[start..].iter_mut().zip(grad).for_each(|(o, &g)| *o = o.plus(g));
            } else {
                row[start..].iter_mut().step_by(stride).zip(grad).for_each(|(o, &g)| *o = o.plus(g));
            }
        }
    }
}

/// Average pooling of `x` into `out`.
pub fn avg_pool(p: &AvgPoolParams, x: In, out: &mut Out) {
    dispatch!(x.dtype, T => avg_pool_as::<T>(p, x, out))
}

fn avg_pool_as<T: Widen>(p: &AvgPoolParams, x: In, out: &mut Out) {
    let w = &p.window;
    let (_, size) = volume(x.shape, w.spatial);
    let (_, osize) = volume(out.shape, w.spatial);
    let plane = size.iter().product::<usize>();
    let x = contiguous::<T>(&x);
    let columns = column_ranges(w, size[2], osize[2]);
    let divisors = Divisors::new(p, size, osize);
    let rows_per_plane = osize[0] * osize[1];
    let cost = osize[2] * w.kernel.iter().product::<usize>() / 4 + 8;
    accumulate_parts(out.as_mut_slice::<T>(), osize[2], cost, |r, acc| {
        let (n, od, oh) = (r / rows_per_plane, r / osize[1] % osize[0], r % osize[1]);
        let mut scratch = Vec::new();
        for d in Taps::new(w, 0, od, size[0]).iter() {
            for h in Taps::new(w, 1, oh, size[1]).iter() {
                let start = n * plane + (d * size[1] + h) * size[2];
                add_columns(widened(&x[start..start + size[2]], &mut scratch), w.stride[2], &columns, acc);
            }
        }
        for (ow, a) in acc.iter_mut().enumerate() {
            *a = a.over(divisors.at(od, oh, ow));
        }
    });
}

/// The gradient of average pooling: each output's share goes to the inputs under its window.
pub fn avg_pool_grad(p: &AvgPoolParams, grad_out: In, out: &mut Out) {
    dispatch!(grad_out.dtype, T => avg_pool_grad_as::<T>(p, grad_out, out))
}

fn avg_pool_grad_as<T: Widen>(p: &AvgPoolParams, grad_out: In, out: &mut Out) {
    let w = &p.window;
    let (_, gsize) = volume(grad_out.shape, w.spatial);
    let (_, size) = volume(out.shape, w.spatial);
    let (from, plane) = (gsize.iter().product::<usize>(), size.iter().product::<usize>());
    let grad = contiguous::<T>(&grad_out);
    let columns = column_ranges(w, size[2], gsize[2]);
    let divisors = Divisors::new(p, size, gsize);
    let cost = from * w.kernel.iter().product::<usize>() / 2;
    accumulate_parts(out.as_mut_slice::<T>(), plane, cost, |n, acc| {
        let mut share = vec![T::Acc::default(); gsize[2]];
        for (r, row) in grad[n * from..(n + 1) * from].chunks_exact(gsize[2].max(1)).enumerate() {
            let (od, oh) = (r / gsize[1], r % gsize[1]);
            for (ow, (s, g)) in share.iter_mut().zip(row).enumerate() {
                *s = g.widen().over(divisors.at(od, oh, ow));
            }
            for d in Taps::new(w, 0, od, size[0]).iter() {
                for h in Taps::new(w, 1, oh, size[1]).iter() {
                    let start = (d * size[1] + h) * size[2];
                    spread_columns(&share, w.stride[2], &columns, &mut acc[start..start + size[2]]);
                }
            }
        }
    });
}

simd_dispatch! {
    /// The sum of a run, in 32 interleaved partial sums and then a tree.
    fn sum_run<A: Acc>(run: &[A]) -> A {
        let mut lanes = [A::default(); 32];
        let chunks = run.chunks_exact(32);
        let rest = chunks.remainder();
        for c in chunks {
            for (l, &v) in lanes.iter_mut().zip(c) {
                *l = l.plus(v);
            }
        }
        for (l, &v) in lanes.iter_mut().zip(rest) {
            *l = l.plus(v);
        }
        for half in [16, 8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] = lanes[i].plus(lanes[i + half]);
            }
        }
        lanes[0]
    }
}

/// The windows of adaptive pooling, one list per axis.
fn adaptive_windows(size: [usize; 3], osize: [usize; 3]) -> [Vec<Range<usize>>; 3] {
    [0, 1, 2].map(|a| (0..osize[a]).map(|o| adaptive_range(o, size[a], osize[a])).collect())
}

/// Adaptive average pooling of `x` into `out`, whose shape says the output size.
pub fn adaptive_avg_pool(spatial: usize, x: In, out: &mut Out) {
    dispatch!(x.dtype, T => adaptive_avg_pool_as::<T>(spatial, x, out))
}

fn adaptive_avg_pool_as<T: Widen>(spatial: usize, x: In, out: &mut Out) {
    let (_, size) = volume(x.shape, spatial);
    let (_, osize) = volume(out.shape, spatial);
    let (plane, len) = (size.iter().product::<usize>(), osize.iter().product::<usize>());
    let x = contiguous::<T>(&x);
    let windows = adaptive_windows(size, osize);
    for_parts(out.as_mut_slice::<T>(), len, plane / 4 + 4 * len, |n, part| {
        let mut scratch = Vec::new();
        let plane = widened(&x[n * plane..(n + 1) * plane], &mut scratch);
        for (i, o) in part.iter_mut().enumerate() {
            let (d, h) = (&windows[0][i / (osize[1] * osize[2])], &windows[1][i / osize[2] % osize[1]]);
            let w = &windows[2][i % osize[2]];
            let count = d.len() * h.len() * w.len();
            let sum = if w.len() == size[2] && h.len() == size[1] {
                sum_run(&plane[d.start * size[1] * size[2]..d.end * size[1] * size[2]])
            } else {
                let mut sum = T::Acc::default();
                for row in d.clone().flat_map(|d| h.clone().map(move |h| (d * size[1] + h) * size[2])) {
                    let row = &plane[row + w.start..row + w.end];
                    sum = sum.plus(if row.len() < 32 {
                        row.iter().fold(T::Acc::default(), |s, &v| s.plus(v))
                    } else {
                        sum_run(row)
                    });
                }
                sum
            };
            *o = T::narrow(sum.over(T::Acc::from_i64(count as i64)));
        }
    });
}

/// The gradient of adaptive average pooling.
pub fn adaptive_avg_pool_grad(spatial: usize, grad_out: In, out: &mut Out) {
    dispatch!(grad_out.dtype, T => adaptive_avg_pool_grad_as::<T>(spatial, grad_out, out))
}

fn adaptive_avg_pool_grad_as<T: Widen>(spatial: usize, grad_out: In, out: &mut Out) {
    let (_, gsize) = volume(grad_out.shape, spatial);
    let (_, size) = volume(out.shape, spatial);
    let (from, plane) = (gsize.iter().product::<usize>(), size.iter().product::<usize>());
    let grad = contiguous::<T>(&grad_out);
    let windows = adaptive_windows(size, gsize);
    accumulate_parts(out.as_mut_slice::<T>(), plane, plane + 4 * from, |n, acc| {
        for (i, g) in grad[n * from..(n + 1) * from].iter().enumerate() {
            let (d, h) = (&windows[0][i / (gsize[1] * gsize[2])], &windows[1][i / gsize[2] % gsize[1]]);
            let w = &windows[2][i % gsize[2]];
            let share = g.widen().over(T::Acc::from_i64((d.len() * h.len() * w.len()) as i64));
            for row in d.clone().flat_map(|d| h.clone().map(move |h| (d * size[1] + h) * size[2])) {
                acc[row + w.start..row + w.end].iter_mut().for_each(|a| *a = a.plus(share));
            }
        }
    });
}

/// Adaptive max pooling of `x` into `out`, and the flat input index of each maximum (int64) into `indices`.
pub fn adaptive_max_pool(spatial: usize, x: In, out: &mut Out, indices: &mut Out) {
    dispatch!(x.dtype, T => adaptive_max_pool_as::<T>(spatial, x, out, indices))
}

fn adaptive_max_pool_as<T: Widen>(spatial: usize, x: In, out: &mut Out, indices: &mut Out) {
    let (_, size) = volume(x.shape, spatial);
    let (_, osize) = volume(out.shape, spatial);
    let (plane, len) = (size.iter().product::<usize>(), osize.iter().product::<usize>());
    let x = contiguous::<T>(&x);
    let axes = adaptive_windows(size, osize).map(|a| a.into_iter().map(Taps::contiguous).collect::<Vec<_>>());
    let indices = Shared::new(indices.as_mut_slice::<i64>());
    for_parts(out.as_mut_slice::<T>(), len, 2 * plane + 4 * len, |n, part| {
        let plane = &x[n * plane..(n + 1) * plane];
        // SAFETY: plane `n` of the indices belongs to this part alone.
        let indices = unsafe { indices.range(n * len, len) };
        for (i, (o, index)) in part.iter_mut().zip(indices).enumerate() {
            let (d, h) = (axes[0][i / (osize[1] * osize[2])], axes[1][i / osize[2] % osize[1]]);
            let w = axes[2][i % osize[2]];
            let (mut best, mut at) = (T::Acc::LOWEST, ((d.first * size[1] + h.first) * size[2] + w.first) as u64);
            for row in d.iter().flat_map(|d| h.iter().map(move |h| (d * size[1] + h) * size[2])) {
                for column in w.iter() {
                    take_max(&mut best, &mut at, plane[row + column].widen(), (row + column) as u64);
                }
            }
            (*o, *index) = (T::narrow(best), at as i64);
        }
    });
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
