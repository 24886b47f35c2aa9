//! Images and volumes read at given places (spatial transformers, Jaderberg et al. 2015), with gradients.
//!
//! Along each axis a place reads up to four pixels ([`Line`]); what it reads in all is the product of the axes ([`Taps`]),
//! found once for all channels, a tile of places at a time. As in PyTorch, places that are no numbers become the first
//! pixel where the image goes on outside; where zeros lie there, what they read is NaN.

use crate::cpu::math::Real;
use crate::cpu::planes::contiguous;
use crate::cpu::simd::simd_dispatch;
use crate::cpu::threads::{num_threads, parallel_for};
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Shared, base_mut, grain};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::params::{Outside, SampleMode, SampleParams};
use std::borrow::Cow;

/// Places whose taps are found together.
const TILE: usize = 64;
const TASK: usize = 16 * 1024;
/// What stands for a pixel outside: behind every plane.
const NOWHERE: usize = usize::MAX;
/// The slope of cubic convolution at its inner points.
const A: f64 = -0.75;

/// Calls a kernel with the pixels a place reads along an axis and in all.
macro_rules! by_mode {
    ($p:expr, $dtype:expr, $kernel:ident $args:tt) => {
        match $dtype {
            DType::F32 => by_mode!(@typed $p, $kernel, f32, $args),
            DType::F64 => by_mode!(@typed $p, $kernel, f64, $args),
            other => {
                let name = other.scalar_name();
                return Err(Error::NotImplemented(format!("\"grid_sampler\" not implemented for '{name}'")));
            }
        }
    };
    (@typed $p:expr, $kernel:ident, $t:ty, $args:tt) => {
        match ($p.mode, $p.spatial) {
            (SampleMode::Nearest, _) => $kernel::<$t, 1, 1> $args,
            (SampleMode::Linear, 2) => $kernel::<$t, 2, 4> $args,
            (SampleMode::Linear, _) => $kernel::<$t, 2, 8> $args,
            (SampleMode::Cubic, _) => $kernel::<$t, 4, 16> $args,
        }
    };
}

/// `[image, grid]`: what is read.
pub fn sample(p: &SampleParams, image: &In, grid: &In, out: &mut Out) -> Result<()> {
    by_mode!(p, out.dtype, forward(p, image, grid, out));
    Ok(())
}

/// `[grad, grid]`: the gradient by the image.
pub fn image_grad(p: &SampleParams, grad: &In, grid: &In, out: &mut Out) -> Result<()> {
    by_mode!(p, out.dtype, spread(p, grad, grid, out));
    Ok(())
}

/// `[grad, image, grid]`: the gradient by the grid.
pub fn grid_grad(p: &SampleParams, grad: &In, image: &In, grid: &In, out: &mut Out) -> Result<()> {
    by_mode!(p, out.dtype, slopes(p, grad, image, grid, out));
    Ok(())
}

/// What a tile of places reads along an axis, the weights, and their derivatives by the coordinate.
struct Line<T, const N: usize> {
    at: [[i64; TILE]; N],
    weight: [[T; TILE]; N],
    slope: [[T; TILE]; N],
}

/// What a tile of places reads, and the weights.
struct Taps<T, const K: usize> {
    at: [[usize; TILE]; K],
    weight: [[T; TILE]; K],
}

/// A position brought into an image of `size` pixels, and its derivative.
#[inline(always)]
fn inside<T: Real>(p: &SampleParams, position: T, size: usize) -> (T, T) {
    let last = T::from_f64(size as f64 - 1.0);
    let (position, slope) = match p.outside {
        Outside::Zeros => return (position, T::ONE),
        Outside::Border => (position, T::ONE),
        Outside::Reflection if p.align_corners => reflected(position, T::ZERO, last),
        Outside::Reflection => reflected(position, -T::HALF, last + T::ONE),
    };
    if position >= last {
        (last, T::ZERO)
    } else if position > T::ZERO {
        (position, slope)
    } else {
        (T::ZERO, T::ZERO)
    }
}

/// A position mirrored into the `span` from `low` on, and its derivative.
#[inline(always)]
fn reflected<T: Real>(position: T, low: T, span: T) -> (T, T) {
    if span == T::ZERO {
        return (T::ZERO, T::ZERO);
    }
    let from = position - low;
    let (distance, side) = if from < T::ZERO { (-from, -T::ONE) } else { (from, T::ONE) };
    let extra = distance.fmod(span);
    let mirrored = (distance / span).floor() * T::HALF;
    if mirrored == mirrored.floor() { (extra + low, side) } else { (span - extra + low, -side) }
}

/// The weight of cubic convolution (Keys, 1981) at a distance of up to 1, or from 1 to 2, and its derivative by it.
#[inline(always)]
fn cubic<T: Real>(x: T, near: bool) -> (T, T) {
    let c = T::from_f64;
    if near {
        let value = (c(A + 2.0) * x - c(A + 3.0)) * x * x + T::ONE;
        (value, (c(3.0 * (A + 2.0)) * x - c(2.0 * (A + 3.0))) * x)
    } else {
        let value = ((c(A) * x - c(5.0 * A)) * x + c(8.0 * A)) * x - c(4.0 * A);
        (value, (c(3.0 * A) * x - c(10.0 * A)) * x + c(8.0 * A))
    }
}

/// A pixel along an axis, or −1 outside.
#[inline(always)]
fn index<T: Real>(position: T, extent: T) -> i64 {
    if position >= T::ZERO && position < extent { position.to_i64() } else { -1 }
}

impl<T: Real, const N: usize> Line<T, N> {
    /// An axis that is not there.
    fn none() -> Self {
        Line { at: [[0; TILE]; N], weight: [[T::ONE; TILE]; N], slope: [[T::ZERO; TILE]; N] }
    }

    #[inline(always)]
    fn new(p: &SampleParams, coordinates: &[T; TILE], size: usize) -> Self {
        let extent = T::from_f64(size as f64);
        let two = T::from_f64(2.0);
        let (mut position, factor) = match p.align_corners {
            true => (coordinates.map(|x| (x + T::ONE) / two * (extent - T::ONE)), (extent - T::ONE) / two),
            false => (coordinates.map(|x| ((x + T::ONE) * extent - T::ONE) / two), extent / two),
        };
        let mut line = Line::none();
        match p.mode {
            SampleMode::Nearest => {
                for i in 0..TILE {
                    line.at[0][i] = index(inside(p, position[i], size).0.round(), extent);
                }
            }
            SampleMode::Linear => {
                let mut slope = [factor; TILE];
                if p.outside != Outside::Zeros {
                    for i in 0..TILE {
                        let (within, by) = inside(p, position[i], size);
                        (position[i], slope[i]) = (within, by * factor);
                    }
                }
                for i in 0..TILE {
                    let floor = position[i].floor();
                    let next = floor + T::ONE;
                    (line.at[0][i], line.at[1][i]) = (index(floor, extent), index(next, extent));
                    (line.weight[0][i], line.weight[1][i]) = (next - position[i], position[i] - floor);
                    (line.slope[0][i], line.slope[1][i]) = (-slope[i], slope[i]);
                }
            }
            SampleMode::Cubic => {
                for i in 0..TILE {
                    let floor = position[i].floor();
                    let t = position[i] - floor;
                    let distances = [(t + T::ONE, T::ONE), (t, T::ONE), (T::ONE - t, -T::ONE), (two - t, -T::ONE)];
                    for (j, &(distance, sign)) in distances.iter().enumerate() {
                        let (weight, slope) = cubic(distance, j == 1 || j == 2);
                        line.at[j][i] = index(inside(p, floor + T::from_f64(j as f64 - 1.0), size).0, extent);
                        (line.weight[j][i], line.slope[j][i]) = (weight, slope * sign * factor);
                    }
                }
            }
        }
        line
    }
}

/// The taps of `depth` planes of N × N, x fastest.
#[inline(always)]
fn each<const N: usize>(depth: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..depth).flat_map(|z| (0..N).flat_map(move |y| (0..N).map(move |x| (z, y, x))))
}

/// What is read, as (N, C, D, H, W), with a depth of 1 for images.
struct Space<'a, T: Clone> {
    p: SampleParams,
    grid: Cow<'a, [T]>,
    batch: usize,
    channels: usize,
    size: [usize; 3],
    pixels: usize,
    places: usize,
}

impl<'a, T: Real> Space<'a, T> {
    fn new(p: &SampleParams, image: &[usize], grid: &In<'a>) -> Self {
        let mut size = [1; 3];
        size[3 - p.spatial..].copy_from_slice(&image[2..]);
        let places = grid.shape[1..grid.shape.len() - 1].iter().product();
        let pixels = size.iter().product();
        Space { p: *p, grid: contiguous::<T>(grid), batch: image[0], channels: image[1], size, pixels, places }
    }

    fn deep(&self) -> bool {
        self.p.spatial == 3
    }

    /// How many places the tile from `first` on has.
    fn count(&self, first: usize) -> usize {
        TILE.min(self.places - first)
    }

    /// What the tile from `first` on reads along an axis: 0 for the depth.
    #[inline(always)]
    fn line<const N: usize>(&self, picture: usize, first: usize, axis: usize) -> Line<T, N> {
        let spatial = self.p.spatial;
        let own = &self.grid[(picture * self.places + first) * spatial..][..self.count(first) * spatial];
        let mut coordinates = [T::ZERO; TILE];
        for (x, place) in coordinates.iter_mut().zip(own.chunks_exact(spatial)) {
            *x = place[2 - axis];
        }
        Line::new(&self.p, &coordinates, self.size[axis])
    }

    /// The axes that are read, and how many pixels along the depth.
    #[inline(always)]
    fn lines<const N: usize>(&self, picture: usize, first: usize) -> ([Line<T, N>; 3], usize) {
        let depth = if self.deep() { self.line(picture, first, 0) } else { Line::none() };
        ([depth, self.line(picture, first, 1), self.line(picture, first, 2)], if self.deep() { N } else { 1 })
    }

    /// What is read along `lines`, with so many pixels along the depth.
    #[inline(always)]
    fn taps<const N: usize, const K: usize>(&self, (lines, depth): &([Line<T, N>; 3], usize)) -> Taps<T, K> {
        let [zs, ys, xs] = lines;
        let (height, width) = (self.size[1] as i64, self.size[2] as i64);
        let mut taps = Taps { at: [[NOWHERE; TILE]; K], weight: [[T::ZERO; TILE]; K] };
        for (z, y, x) in each::<N>(*depth) {
            let k = (z * N + y) * N + x;
            for i in 0..TILE {
                let (a, b, c) = (zs.at[z][i], ys.at[y][i], xs.at[x][i]);
                // Where one is −1 all bits are set, which is nowhere.
                let outside = (a | b | c) >> 63;
                taps.at[k][i] = (((a * height + b) * width + c) | outside) as usize;
                taps.weight[k][i] = zs.weight[z][i] * ys.weight[y][i] * xs.weight[x][i];
            }
        }
        taps
    }
}

#[inline(always)]
fn pixel<T: Real>(plane: &[T], at: usize) -> T {
    plane.get(at).copied().unwrap_or(T::ZERO)
}

simd_dispatch! {
    /// Reads a tile of places of all channels of a picture.
    fn read_tile<T: Real; const N: usize, const K: usize>(
        space: &Space<T>, picture: usize, first: usize, pixels: &[T], out: Shared<T>,
    ) {
        let taps = space.taps::<N, K>(&space.lines(picture, first));
        for channel in 0..space.channels {
            let plane = picture * space.channels + channel;
            let from = &pixels[plane * space.pixels..][..space.pixels];
            let mut sums = [T::ZERO; TILE];
            for k in 0..K {
                for i in 0..TILE {
                    sums[i] = sums[i] + taps.weight[k][i] * pixel(from, taps.at[k][i]);
                }
            }
            // SAFETY: tiles are disjoint parts of the contiguous output.
            let to = unsafe {
                std::slice::from_raw_parts_mut(out.at(plane * space.places + first), space.count(first))
            };
            to.copy_from_slice(&sums[..to.len()]);
        }
    }

    /// Adds the gradients of a tile of places to the pixels of some planes of a picture.
    fn spread_tile<T: Real; const N: usize, const K: usize>(
        space: &Space<T>, picture: usize, first: usize, grads: &[T], planes: &mut [T],
    ) {
        let taps = space.taps::<N, K>(&space.lines(picture, first));
        for (from, to) in grads.chunks_exact(space.places).zip(planes.chunks_exact_mut(space.pixels)) {
            for (i, &g) in from[first..].iter().take(TILE).enumerate() {
                for k in 0..K {
                    if let Some(v) = to.get_mut(taps.at[k][i]) {
                        *v = *v + taps.weight[k][i] * g;
                    }
                }
            }
        }
    }

    /// The gradients by the coordinates of a tile of places of a picture.
    fn slope_tile<T: Real; const N: usize, const K: usize>(
        space: &Space<T>, picture: usize, first: usize, pixels: &[T], grads: &[T], out: &mut [T],
    ) {
        let lines = space.lines::<N>(picture, first);
        let taps = space.taps::<N, K>(&lines);
        // For each tap the sum over the channels of gradients times pixels.
        let mut sums = [[T::ZERO; TILE]; K];
        for channel in 0..space.channels {
            let plane = picture * space.channels + channel;
            let from = &pixels[plane * space.pixels..][..space.pixels];
            let mut own = [T::ZERO; TILE];
            let count = space.count(first);
            own[..count].copy_from_slice(&grads[plane * space.places + first..][..count]);
            for k in 0..K {
                for i in 0..TILE {
                    sums[k][i] = sums[k][i] + own[i] * pixel(from, taps.at[k][i]);
                }
            }
        }
        let ([zs, ys, xs], depth) = lines;
        let mut found = [[T::ZERO; TILE]; 3];
        for (z, y, x) in each::<N>(depth) {
            let sums = &sums[(z * N + y) * N + x];
            for i in 0..TILE {
                let (p, q, r) = (xs.weight[x][i], ys.weight[y][i], zs.weight[z][i]);
                found[0][i] = found[0][i] + sums[i] * xs.slope[x][i] * q * r;
                found[1][i] = found[1][i] + sums[i] * ys.slope[y][i] * p * r;
                found[2][i] = found[2][i] + sums[i] * zs.slope[z][i] * p * q;
            }
        }
        for (i, own) in out.chunks_exact_mut(space.p.spatial).enumerate() {
            for (o, along) in own.iter_mut().zip(&found) {
                *o = along[i];
            }
        }
    }
}

/// Calls `f` with every picture and the first place of every tile.
fn for_tiles<T: Real, const K: usize>(space: &Space<T>, f: impl Fn(usize, usize) + Sync) {
    let tiles = space.places.div_ceil(TILE);
    parallel_for(space.batch * tiles, grain(TASK, TILE * K * space.channels), |tasks| {
        tasks.for_each(|task| f(task / tiles, task % tiles * TILE));
    });
}

fn forward<T: Real, const N: usize, const K: usize>(p: &SampleParams, image: &In, grid: &In, out: &mut Out) {
    let space = Space::<T>::new(p, image.shape, grid);
    let (pixels, target) = (contiguous::<T>(image), base_mut::<T>(out));
    for_tiles::<T, K>(&space, |picture, first| read_tile::<T, N, K>(&space, picture, first, &pixels, target));
}

fn spread<T: Real, const N: usize, const K: usize>(p: &SampleParams, grad: &In, grid: &In, out: &mut Out) {
    let space = Space::<T>::new(p, out.shape, grid);
    let (grad, target) = (contiguous::<T>(grad), base_mut::<T>(out));
    // Places may share pixels, so a plane is one thread's; taps are found once for each group of planes.
    let groups = num_threads().div_ceil(space.batch.max(1)).min(space.channels.max(1));
    let each = space.channels.div_ceil(groups);
    parallel_for(space.batch * groups, grain(TASK, space.places * K * each), |tasks| {
        for task in tasks {
            let (picture, channel) = (task / groups, task % groups * each);
            let planes = channel.min(space.channels)..(channel + each).min(space.channels);
            let start = picture * space.channels + planes.start;
            // SAFETY: groups of planes are disjoint parts of the contiguous output.
            let own =
                unsafe { std::slice::from_raw_parts_mut(target.at(start * space.pixels), planes.len() * space.pixels) };
            own.fill(T::ZERO);
            let grads = &grad[start * space.places..][..planes.len() * space.places];
            for first in (0..space.places).step_by(TILE) {
                spread_tile::<T, N, K>(&space, picture, first, grads, own);
            }
        }
    });
}

fn slopes<T: Real, const N: usize, const K: usize>(p: &SampleParams, grad: &In, image: &In, grid: &In, out: &mut Out) {
    let space = Space::<T>::new(p, image.shape, grid);
    let (pixels, grad, target) = (contiguous::<T>(image), contiguous::<T>(grad), base_mut::<T>(out));
    for_tiles::<T, K>(&space, |picture, first| {
        let (start, count) = (picture * space.places + first, space.count(first));
        // SAFETY: tiles are disjoint parts of the contiguous output.
        let own = unsafe { std::slice::from_raw_parts_mut(target.at(start * p.spatial), count * p.spatial) };
        slope_tile::<T, N, K>(&space, picture, first, &pixels, &grad, own);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::planes::testing::{Tensor, dot};
    use crate::cpu::rows::testing::at_every_level;

    const OUTSIDES: [Outside; 3] = [Outside::Zeros, Outside::Border, Outside::Reflection];

    fn all() -> Vec<SampleParams> {
        let mut found = Vec::new();
        for (mode, spatial) in
            [(SampleMode::Nearest, 2), (SampleMode::Linear, 2), (SampleMode::Linear, 3), (SampleMode::Cubic, 2)]
        {
            for outside in OUTSIDES {
                found.extend([false, true].map(|align_corners| SampleParams { mode, outside, align_corners, spatial }));
            }
        }
        found
    }

    /// An image of two pictures of three channels, and a grid that goes over its borders, of more than a tile.
    fn given(p: &SampleParams) -> (Tensor<f64>, Tensor<f64>) {
        let (image, grid): (&[usize], &[usize]) =
            if p.spatial == 2 { (&[2, 3, 4, 5], &[2, 7, 11, 2]) } else { (&[2, 3, 3, 4, 5], &[2, 3, 4, 7, 3]) };
        let places = Tensor::<f64>::random(grid, 3).floats().into_iter().map(|v| v * 1.3);
        (Tensor::random(image, 5), Tensor::new(grid, places))
    }

    fn read(p: &SampleParams, image: &Tensor<f64>, grid: &Tensor<f64>) -> Tensor<f64> {
        let (x, g) = (image.input(), grid.input());
        let mut shape = vec![x.shape[0], x.shape[1]];
        shape.extend(&g.shape[1..=p.spatial]);
        let mut out = Tensor::unset(&shape);
        sample(p, &x, &g, &mut out.output()).expect("sample");
        out
    }

    #[test]
    fn the_pixels_own_places_give_the_image() {
        at_every_level(|| {
            for outside in OUTSIDES {
                for mode in [SampleMode::Nearest, SampleMode::Linear, SampleMode::Cubic] {
                    let p = SampleParams { mode, outside, align_corners: true, spatial: 2 };
                    let image = Tensor::random(&[1, 1, 4, 5], 7);
                    let places = (0..20).flat_map(|i| [(i % 5) as f64 / 2.0 - 1.0, (i / 5) as f64 / 1.5 - 1.0]);
                    let out = read(&p, &image, &Tensor::new(&[1, 4, 5, 2], places));
                    for (got, want) in out.data.iter().zip(&image.data) {
                        assert!((got - want).abs() < 1e-12, "{p:?}: {got} for {want}");
                    }
                }
            }
        });
    }

    #[test]
    fn what_is_no_number_is_nan_where_zeros_lie_outside_and_else_the_first_pixel() {
        at_every_level(|| {
            for outside in OUTSIDES {
                let p = SampleParams { mode: SampleMode::Linear, outside, align_corners: false, spatial: 2 };
                let image = Tensor::new(&[1, 1, 2, 2], [3.0, 5.0, 7.0, 9.0]);
                let out = read(&p, &image, &Tensor::new(&[1, 1, 1, 2], [f64::NAN; 2])).data[0];
                assert!(if outside == Outside::Zeros { out.is_nan() } else { out == 3.0 }, "{p:?}: {out}");
            }
        });
    }

    #[test]
    fn the_gradient_by_the_image_is_the_transpose() {
        at_every_level(|| {
            for p in all() {
                let (image, grid) = given(&p);
                let out = read(&p, &image, &grid);
                let grad = Tensor::<f64>::random(out.shape(), 9);
                let mut back = Tensor::unset(image.shape());
                image_grad(&p, &grad.input(), &grid.input(), &mut back.output()).expect("gradient");
                let (a, b) = (dot(&out, &grad), dot(&image, &back));
                assert!((a - b).abs() < 1e-9 * a.abs().max(1.0), "{p:?}: {a} and {b}");
            }
        });
    }

    #[test]
    fn the_gradient_by_the_grid_is_that_of_small_steps() {
        at_every_level(|| {
            for p in all().into_iter().filter(|p| p.mode != SampleMode::Nearest) {
                let (image, grid) = given(&p);
                let out = read(&p, &image, &grid);
                let grad = Tensor::<f64>::random(out.shape(), 9);
                let mut slopes = Tensor::<f64>::unset(grid.shape());
                grid_grad(&p, &grad.input(), &image.input(), &grid.input(), &mut slopes.output()).expect("gradient");
                for at in (0..grid.data.len()).step_by(7) {
                    let moved = |step: f64| {
                        let mut data = grid.data.clone();
                        data[at] += step;
                        dot(&read(&p, &image, &Tensor::new(grid.shape(), data)), &grad)
                    };
                    let want = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    assert!((slopes.data[at] - want).abs() < 1e-5, "{p:?} {at}: {} for {want}", slopes.data[at]);
                }
            }
        });
    }
}
