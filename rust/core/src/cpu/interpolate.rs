//! Resizing of the last one to three dimensions: nearest, linear, cubic, and antialiased linear and cubic, with gradients.
//!
//! Every mode is separable: along each axis an output is a weighted sum of a few inputs ([`Axis`]). The gradient applies
//! the transposed sums, in the opposite order of axes.

use crate::cpu::planes::{Acc, Widen, contiguous, for_parts, volume, widened};
use crate::cpu::simd::simd_dispatch;
use crate::cpu::view::{In, Out};
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::params::{ResizeMode, ResizeParams};
use crate::{bail, dispatch};
use half::{bf16, f16};

/// One axis: output `o` is `Σ weights[o·taps + t] · input[sources[o·taps + t]]`.
struct Axis<A> {
    taps: usize,
    sources: Vec<u32>,
    weights: Vec<A>,
    /// Output equals input, so the axis is skipped.
    identity: bool,
}

/// The arithmetic of coordinates, which PyTorch does in the accumulator's type.
trait Coordinate: Acc {
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn minus(self, other: Self) -> Self;
}

macro_rules! coordinate {
    ($($t:ty),*) => {$(
        impl Coordinate for $t {
            #[inline(always)] fn floor(self) -> Self { <$t>::floor(self) }
            #[inline(always)] fn ceil(self) -> Self { <$t>::ceil(self) }
            #[inline(always)] fn minus(self, other: Self) -> Self { self - other }
        }
    )*};
}
coordinate!(f32, f64);

/// Input positions per output position when corners are not aligned.
fn area_scale<A: Coordinate>(input: usize, output: usize, factor: Option<f64>) -> A {
    match factor {
        Some(f) if f > 0.0 => A::from_f64(1.0 / f),
        _ => A::from_i64(input as i64).over(A::from_i64(output as i64)),
    }
}

fn scale<A: Coordinate>(p: &ResizeParams, input: usize, output: usize, factor: Option<f64>) -> A {
    if !p.align_corners {
        area_scale(input, output, factor)
    } else if output > 1 {
        A::from_i64(input as i64 - 1).over(A::from_i64(output as i64 - 1))
    } else {
        A::from_f64(0.0)
    }
}

/// The weights of cubic convolution at the four points around a fraction `t` (Keys, 1981).
fn cubic_weights<A: Coordinate>(t: A, a: f64) -> [A; 4] {
    let c = |v: f64| A::from_f64(v);
    let inner = |x: A| {
        // ((a + 2) x - (a + 3)) x² + 1, for |x| ≤ 1
        c(a + 2.0).times(x).minus(c(a + 3.0)).times(x).times(x).plus(c(1.0))
    };
    let outer = |x: A| {
        // ((a x - 5a) x + 8a) x - 4a, for 1 < |x| < 2
        c(a).times(x).minus(c(5.0 * a)).times(x).plus(c(8.0 * a)).times(x).minus(c(4.0 * a))
    };
    let one = c(1.0);
    [outer(t.plus(one)), inner(t), inner(one.minus(t)), outer(c(2.0).minus(t))]
}

/// The filter that antialiasing stretches over the inputs under an output: a triangle, or cubic convolution.
fn antialias_filter<A: Coordinate>(mode: ResizeMode, x: A) -> A {
    let zero = A::default();
    let x = if x < zero { zero.minus(x) } else { x };
    let (one, two) = (A::from_f64(1.0), A::from_f64(2.0));
    match mode {
        ResizeMode::Cubic if x < one => cubic_weights(x, -0.5)[1],
        ResizeMode::Cubic if x < two => cubic_weights(x.minus(one), -0.5)[0],
        ResizeMode::Cubic => zero,
        _ if x < one => one.minus(x),
        _ => zero,
    }
}

fn nearest_axis<A: Coordinate>(p: &ResizeParams, input: usize, output: usize, factor: Option<f64>) -> Axis<A> {
    let scale: A = area_scale(input, output, factor);
    let shift = A::from_f64(if p.mode == ResizeMode::NearestExact { 0.5 } else { 0.0 });
    let last = (input as i64 - 1).max(0);
    let source = |o: usize| A::from_i64(o as i64).plus(shift).times(scale).floor().to_i64().min(last) as u32;
    let sources = (0..output).map(source).collect();
    Axis { taps: 1, sources, weights: vec![A::from_i64(1); output], identity: false }
}

fn interpolating_axis<A: Coordinate>(p: &ResizeParams, input: usize, output: usize, factor: Option<f64>) -> Axis<A> {
    let scale: A = scale(p, input, output, factor);
    let (last, half, zero) = (input as i64 - 1, A::from_f64(0.5), A::default());
    let cubic = p.mode == ResizeMode::Cubic;
    let taps = if cubic { 4 } else { 2 };
    let (mut sources, mut weights) = (Vec::with_capacity(output * taps), Vec::with_capacity(output * taps));
    for o in 0..output {
        let o = A::from_i64(o as i64);
        let mut position = if p.align_corners { scale.times(o) } else { scale.times(o.plus(half)).minus(half) };
        if !cubic && position < zero {
            position = zero;
        }
        let base = position.floor().to_i64().min(last);
        let t = position.minus(A::from_i64(base));
        let one = A::from_i64(1);
        let t = if t < zero {
            zero
        } else if t > one {
            one
        } else {
            t
        };
        if cubic {
            sources.extend((base - 1..=base + 2).map(|i| i.clamp(0, last) as u32));
            weights.extend(cubic_weights(t, -0.75));
        } else {
            sources.extend([base as u32, (base + 1).min(last) as u32]);
            weights.extend([one.minus(t), t]);
        }
    }
    Axis { taps, sources, weights, identity: false }
}

fn antialiased_axis<A: Coordinate>(p: &ResizeParams, input: usize, output: usize, factor: Option<f64>) -> Axis<A> {
    let scale: A = scale(p, input, output, factor);
    let (one, half, zero) = (A::from_i64(1), A::from_f64(0.5), A::default());
    let radius = A::from_i64(if p.mode == ResizeMode::Cubic { 2 } else { 1 });
    let shrinks = scale >= one;
    let support = if shrinks { radius.times(scale) } else { radius };
    let inverse = if shrinks { one.over(scale) } else { one };
    let taps = (support.ceil().to_i64() as usize * 2 + 1).min(input.max(1));
    let (mut sources, mut weights) = (vec![0u32; output * taps], vec![zero; output * taps]);
    for o in 0..output {
        let centre = scale.times(A::from_i64(o as i64).plus(half));
        let first = centre.minus(support).plus(half).to_i64().max(0);
        let end = centre.plus(support).plus(half).to_i64().min(input as i64);
        let count = ((end - first).max(0) as usize).min(taps);
        let weights = &mut weights[o * taps..][..count];
        let mut total = zero;
        for (j, w) in weights.iter_mut().enumerate() {
            let x = A::from_i64(first + j as i64).minus(centre).plus(half).times(inverse);
            *w = antialias_filter(p.mode, x);
            total = total.plus(*w);
        }
        if total != zero {
            weights.iter_mut().for_each(|w| *w = w.over(total));
        }
        // Unused taps keep weight zero and read a valid place.
        for (j, s) in sources[o * taps..(o + 1) * taps].iter_mut().enumerate() {
            *s = (first + j as i64).clamp(0, input as i64 - 1) as u32;
        }
    }
    Axis { taps, sources, weights, identity: false }
}

/// The three axes of a resizing; an axis outside the `spatial` ones, or whose outputs are its inputs, is skipped.
fn axes<A: Coordinate>(p: &ResizeParams, size: [usize; 3], osize: [usize; 3]) -> [Axis<A>; 3] {
    // PyTorch's kernel for small images copies equal sizes and doubles exactly, whatever factor was given; its other
    // kernels follow the factor.
    let exact = p.mode == ResizeMode::Nearest && p.spatial == 2 && osize[1] + osize[2] <= 128;
    [0, 1, 2].map(|a| {
        let (input, output, factor) = (size[a], osize[a], p.scale_factors[a].map(f64::from_bits));
        let mut axis = match p.mode {
            ResizeMode::Nearest if exact && (input == output || 2 * input == output) => {
                nearest_axis(p, input, output, None)
            }
            ResizeMode::Nearest | ResizeMode::NearestExact => nearest_axis(p, input, output, factor),
            ResizeMode::Linear if input == output => nearest_axis(p, input, output, None),
            ResizeMode::Cubic if p.antialias && input == output => nearest_axis(p, input, output, None),
            _ if p.antialias => antialiased_axis(p, input, output, factor),
            _ => interpolating_axis(p, input, output, factor),
        };
        axis.identity = a < 3 - p.spatial
            || (input == output && axis.taps == 1 && axis.sources.iter().enumerate().all(|(i, &s)| s as usize == i));
        axis
    })
}

simd_dispatch! {
    /// `out[o] = Σ weight · row[source]` along one row.
    fn gather_row<A: Acc>(taps: usize, sources: &[u32], weights: &[A], row: &[A], out: &mut [A]) {
        if taps == 2 {
            let pairs = sources.chunks_exact(2).zip(weights.chunks_exact(2));
            for (o, (s, w)) in out.iter_mut().zip(pairs) {
                *o = w[0].times(row[s[0] as usize]).plus(w[1].times(row[s[1] as usize]));
            }
            return;
        }
        for (i, o) in out.iter_mut().enumerate() {
            let mut sum = A::default();
            for t in i * taps..(i + 1) * taps {
                sum = sum.plus(weights[t].times(row[sources[t] as usize]));
            }
            *o = sum;
        }
    }
    /// The transpose of `gather_row`, adding to `out`.
    fn scatter_row<A: Acc>(taps: usize, sources: &[u32], weights: &[A], row: &[A], out: &mut [A]) {
        for (i, &g) in row.iter().enumerate() {
            for t in i * taps..(i + 1) * taps {
                let slot = &mut out[sources[t] as usize];
                *slot = slot.plus(weights[t].times(g));
            }
        }
    }
    /// `out += weight · row`.
    fn add_bytes(weight: i32, row: &[u8], out: &mut [i32]) {
        out.iter_mut().zip(row).for_each(|(o, &v)| *o += weight * i32::from(v));
    }
    /// `out += weight · row`, or `out = weight · row`.
    fn add_scaled<A: Acc>(weight: A, row: &[A], first: bool, out: &mut [A]) {
        if first {
            out.iter_mut().zip(row).for_each(|(o, &v)| *o = weight.times(v));
        } else {
            out.iter_mut().zip(row).for_each(|(o, &v)| *o = o.plus(weight.times(v)));
        }
    }
}

/// Applies `axis` to the middle index of `x: (outer, n, inner)`, or its transpose; returns `(outer, output, inner)`.
fn apply<A: Acc>(axis: &Axis<A>, x: &[A], input: usize, output: usize, inner: usize, transpose: bool) -> Vec<A> {
    let (from, to) = if transpose { (output, input) } else { (input, output) };
    let outer = x.len() / (from * inner).max(1);
    let mut out = vec![A::default(); outer * to * inner];
    if from * to * inner == 0 {
        return out;
    }
    for (x, out) in x.chunks_exact(from * inner).zip(out.chunks_exact_mut(to * inner)) {
        if inner == 1 {
            match transpose {
                true => scatter_row(axis.taps, &axis.sources, &axis.weights, x, out),
                false => gather_row(axis.taps, &axis.sources, &axis.weights, x, out),
            }
            continue;
        }
        for o in 0..output {
            for t in 0..axis.taps {
                let i = axis.sources[o * axis.taps + t] as usize;
                let w = axis.weights[o * axis.taps + t];
                if transpose {
                    add_scaled(w, &x[o * inner..(o + 1) * inner], false, &mut out[i * inner..(i + 1) * inner]);
                } else {
                    add_scaled(w, &x[i * inner..(i + 1) * inner], t == 0, &mut out[o * inner..(o + 1) * inner]);
                }
            }
        }
    }
    out
}

/// Resizes one plane, width first.
fn resize_plane<A: Acc>(axes: &[Axis<A>; 3], x: &[A], size: [usize; 3], osize: [usize; 3]) -> Vec<A> {
    let mut current = std::borrow::Cow::Borrowed(x);
    let mut inner = 1;
    for a in [2, 1, 0] {
        if !axes[a].identity {
            current = apply(&axes[a], &current, size[a], osize[a], inner, false).into();
        }
        inner *= osize[a];
    }
    current.into_owned()
}

/// The transpose of [`resize_plane`], depth first.
fn resize_plane_grad<A: Acc>(axes: &[Axis<A>; 3], grad: &[A], size: [usize; 3], osize: [usize; 3]) -> Vec<A> {
    let mut current = std::borrow::Cow::Borrowed(grad);
    for a in [0, 1, 2] {
        if !axes[a].identity {
            // Axes before `a` already have the input's size, axes after it still the output's.
            let inner = osize[a + 1..].iter().product();
            current = apply(&axes[a], &current, size[a], osize[a], inner, true).into();
        }
    }
    current.into_owned()
}

/// Resizes `x` into `out`: nearest modes take every dtype, the others floats and uint8 (rounded to nearest).
pub fn resize(p: &ResizeParams, x: In, out: &mut Out) -> Result<()> {
    let nearest = matches!(p.mode, ResizeMode::Nearest | ResizeMode::NearestExact);
    match x.dtype {
        DType::F64 if nearest => resize_nearest::<f64, f64>(p, x, out),
        _ if nearest => dispatch!(x.dtype, T => resize_nearest::<T, f32>(p, x, out)),
        DType::F16 => resize_as::<f16, f32>(p, x, out),
        DType::BF16 => resize_as::<bf16, f32>(p, x, out),
        DType::F32 => resize_as::<f32, f32>(p, x, out),
        DType::F64 => resize_as::<f64, f64>(p, x, out),
        DType::U8 => resize_u8(p, x, out),
        other => bail!(Runtime, "interpolate: mode {:?} is not implemented for {}", p.mode, other.scalar_name()),
    }
    Ok(())
}

fn resize_nearest<T: Element, A: Coordinate>(p: &ResizeParams, x: In, out: &mut Out) {
    let (_, size) = volume(x.shape, p.spatial);
    let (_, osize) = volume(out.shape, p.spatial);
    let axes = axes::<A>(p, size, osize);
    let (plane, len) = (size.iter().product::<usize>(), osize.iter().product::<usize>());
    let x = contiguous::<T>(&x);
    for_parts(out.as_mut_slice::<T>(), len, len, |n, part| {
        let plane = &x[n * plane..(n + 1) * plane];
        let mut last = None;
        for r in 0..osize[0] * osize[1] {
            let (d, h) = (axes[0].sources[r / osize[1]] as usize, axes[1].sources[r % osize[1]] as usize);
            let start = (d * size[1] + h) * size[2];
            let (done, row) = part[..(r + 1) * osize[2]].split_at_mut(r * osize[2]);
            if last == Some(start) {
                row.copy_from_slice(&done[(r - 1) * osize[2]..]);
                continue;
            }
            last = Some(start);
            let source = &plane[start..start + size[2]];
            row.iter_mut().zip(&axes[2].sources).for_each(|(o, &s)| *o = source[s as usize]);
        }
    });
}

fn resize_as<T, A>(p: &ResizeParams, x: In, out: &mut Out)
where
    T: Widen<Acc = A>,
    A: Coordinate,
{
    let (_, size) = volume(x.shape, p.spatial);
    let (_, osize) = volume(out.shape, p.spatial);
    let axes = axes::<A>(p, size, osize);
    let (plane, len) = (size.iter().product::<usize>(), osize.iter().product::<usize>());
    let x = contiguous::<T>(&x);
    for_parts(out.as_mut_slice::<T>(), len, 2 * (plane + len), |n, part| {
        let mut scratch = Vec::new();
        let values = resize_plane(&axes, widened(&x[n * plane..(n + 1) * plane], &mut scratch), size, osize);
        part.iter_mut().zip(values).for_each(|(o, v)| *o = T::narrow(v));
    });
}

fn resize_u8(p: &ResizeParams, x: In, out: &mut Out) {
    let (_, size) = volume(x.shape, p.spatial);
    let (_, osize) = volume(out.shape, p.spatial);
    let axes = Fixed::axes(p, size, osize);
    let (plane, len) = (size.iter().product::<usize>(), osize.iter().product::<usize>());
    let x = contiguous::<u8>(&x);
    for_parts(out.as_mut_slice::<u8>(), len, 2 * (plane + len), |n, part| {
        let mut current = std::borrow::Cow::Borrowed(&x[n * plane..(n + 1) * plane]);
        let mut inner = 1;
        for a in [2, 1, 0] {
            if let Some(axis) = &axes[a] {
                current = axis.apply(&current, size[a], osize[a], inner).into();
            }
            inner *= osize[a];
        }
        part.copy_from_slice(&current);
    });
}

/// An axis whose weights are multiples of a power of two that fit 16 bits: what images of bytes are resized with, each axis
/// rounding its results, as in PyTorch and in Pillow before it.
pub struct Fixed {
    pub taps: usize,
    pub sources: Vec<u32>,
    pub weights: Vec<i32>,
    /// How many bits of a weight lie behind the point.
    pub bits: u32,
}

impl Fixed {
    /// The axes of a resizing of `size` to `osize`, without those whose outputs are their inputs.
    pub fn axes(p: &ResizeParams, size: [usize; 3], osize: [usize; 3]) -> [Option<Fixed>; 3] {
        axes::<f64>(p, size, osize).map(Fixed::new)
    }

    /// The axis, unless its outputs are its inputs.
    fn new(axis: Axis<f64>) -> Option<Fixed> {
        if axis.identity {
            return None;
        }
        let (taps, mut weights) = (axis.taps, axis.weights);
        // What reads one place, at the ends, is one weight, which is rounded once.
        for (w, s) in weights.chunks_exact_mut(taps).zip(axis.sources.chunks_exact(taps)) {
            for t in 1..taps {
                if let Some(first) = s[..t].iter().position(|&k| k == s[t]) {
                    w[first] += std::mem::take(&mut w[t]);
                }
            }
        }
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let fits = |bits: &u32| 0.5 + largest * f64::from(1u32 << (bits + 1)) < 32768.0;
        let bits = (0..22).take_while(fits).count() as u32;
        let scaled = |w: f64| (w * f64::from(1u32 << bits) + if w < 0.0 { -0.5 } else { 0.5 }) as i32;
        Some(Fixed { taps, sources: axis.sources, weights: weights.into_iter().map(scaled).collect(), bits })
    }

    /// Applies the axis to the middle index of `x: (outer, n, inner)`; returns `(outer, output, inner)`.
    fn apply(&self, x: &[u8], n: usize, output: usize, inner: usize) -> Vec<u8> {
        let outer = x.len() / (n * inner).max(1);
        let mut out = vec![0; outer * output * inner];
        let half = if self.bits == 0 { 0 } else { 1 << (self.bits - 1) };
        let mut sums = vec![0; inner];
        for (k, row) in out.chunks_exact_mut(inner.max(1)).enumerate() {
            let (x, o) = (&x[k / output * n * inner..][..n * inner], k % output);
            sums.fill(half);
            for t in o * self.taps..(o + 1) * self.taps {
                let source = &x[self.sources[t] as usize * inner..][..inner];
                add_bytes(self.weights[t], source, &mut sums);
            }
            row.iter_mut().zip(&sums).for_each(|(o, s)| *o = (s >> self.bits).clamp(0, 255) as u8);
        }
        out
    }
}

/// The gradient of [`resize`] for floats.
pub fn resize_grad(p: &ResizeParams, grad_out: In, out: &mut Out) -> Result<()> {
    match grad_out.dtype {
        DType::F16 => resize_grad_as::<f16, f32>(p, grad_out, out),
        DType::BF16 => resize_grad_as::<bf16, f32>(p, grad_out, out),
        DType::F32 => resize_grad_as::<f32, f32>(p, grad_out, out),
        DType::F64 => resize_grad_as::<f64, f64>(p, grad_out, out),
        other => bail!(Runtime, "interpolate: the gradient is not implemented for {}", other.scalar_name()),
    }
    Ok(())
}

fn resize_grad_as<T, A>(p: &ResizeParams, grad_out: In, out: &mut Out)
where
    T: Widen<Acc = A>,
    A: Coordinate,
{
    let (_, gsize) = volume(grad_out.shape, p.spatial);
    let (_, size) = volume(out.shape, p.spatial);
    let axes = axes::<A>(p, size, gsize);
    let (from, plane) = (gsize.iter().product::<usize>(), size.iter().product::<usize>());
    let grad = contiguous::<T>(&grad_out);
    for_parts(out.as_mut_slice::<T>(), plane, 2 * (plane + from), |n, part| {
        let mut scratch = Vec::new();
        let values = resize_plane_grad(&axes, widened(&grad[n * from..(n + 1) * from], &mut scratch), size, gsize);
        part.iter_mut().zip(values).for_each(|(o, v)| *o = T::narrow(v));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::planes::testing::{Tensor, assert_close, dot};
    use crate::cpu::rows::testing::at_every_level;

    fn params(mode: ResizeMode, align_corners: bool, antialias: bool) -> ResizeParams {
        ResizeParams { mode, spatial: 2, align_corners, antialias, scale_factors: [None; 3] }
    }

    /// [[1, 4, 2], [0, 3, 5]] resized; the expected values below are PyTorch's.
    fn resized(p: &ResizeParams, size: [usize; 2]) -> Vec<f64> {
        let x = Tensor::<f32>::new(&[1, 1, 2, 3], [1.0, 4.0, 2.0, 0.0, 3.0, 5.0]);
        let mut out = Tensor::<f32>::unset(&[1, 1, size[0], size[1]]);
        resize(p, x.input(), &mut out.output()).expect("float32 is supported");
        out.floats()
    }

    #[test]
    fn bilinear_follows_both_coordinate_rules_and_the_scale_factor() {
        at_every_level(|| {
            let half = resized(&params(ResizeMode::Linear, false, false), [3, 4]);
            assert_close(&half, &[1.0, 2.875, 3.25, 2.0, 0.5, 2.375, 3.5, 3.5, 0.0, 1.875, 3.75, 5.0], 1e-6);
            let corners = resized(&params(ResizeMode::Linear, true, false), [3, 4]);
            assert_close(&corners, &[1.0, 3.0, 3.333333, 2.0, 0.5, 2.5, 3.5, 3.5, 0.0, 2.0, 3.666667, 5.0], 1e-6);
            let scale_factors = [None, Some(1.5f64.to_bits()), Some(1.4f64.to_bits())];
            let factor = resized(&ResizeParams { scale_factors, ..params(ResizeMode::Linear, false, false) }, [3, 4]);
            let want = [1.0, 2.714286, 3.428571, 2.0, 0.5, 2.214286, 3.5, 3.5, 0.0, 1.714286, 3.571429, 5.0];
            assert_close(&factor, &want, 1e-6);
        });
    }

    #[test]
    fn bicubic_overshoots_as_it_should() {
        at_every_level(|| {
            let want = [
                0.871474, 3.263625, 3.570571, 1.571106, 0.284668, 2.418945, 3.82959, 3.5, -0.302137, 1.574267, 4.08861,
                5.428894,
            ];
            assert_close(&resized(&params(ResizeMode::Cubic, false, false), [3, 4]), &want, 1e-5);
        });
    }

    #[test]
    fn antialiasing_averages_what_it_skips() {
        at_every_level(|| {
            assert_close(&resized(&params(ResizeMode::Linear, false, true), [1, 2]), &[1.625, 3.5], 1e-6);
            assert_close(&resized(&params(ResizeMode::Cubic, false, true), [1, 2]), &[1.549759, 3.620385], 1e-5);
        });
    }

    #[test]
    fn the_two_nearest_modes_differ_by_half_a_pixel() {
        at_every_level(|| {
            let nearest = resized(&params(ResizeMode::Nearest, false, false), [3, 4]);
            assert_eq!(nearest, [1.0, 1.0, 4.0, 2.0, 1.0, 1.0, 4.0, 2.0, 0.0, 0.0, 3.0, 5.0]);
            let exact = resized(&params(ResizeMode::NearestExact, false, false), [3, 4]);
            assert_eq!(exact, [1.0, 4.0, 4.0, 2.0, 0.0, 3.0, 3.0, 5.0, 0.0, 3.0, 3.0, 5.0]);
        });
    }

    #[test]
    fn the_gradient_is_the_transpose() {
        at_every_level(|| {
            use ResizeMode::*;
            for (mode, antialias) in [(Nearest, false), (Linear, false), (Cubic, false), (Linear, true), (Cubic, true)]
            {
                for size in [[3, 11], [9, 2]] {
                    let p = params(mode, false, antialias);
                    let x = Tensor::<f64>::random(&[2, 5, 7], 5);
                    let grad = Tensor::<f64>::random(&[2, size[0], size[1]], 6);
                    let (mut out, mut back) = (Tensor::<f64>::unset(grad.shape()), Tensor::<f64>::unset(x.shape()));
                    resize(&p, x.input(), &mut out.output()).expect("float64 is supported");
                    resize_grad(&p, grad.input(), &mut back.output()).expect("float64 is supported");
                    assert_close(&[dot(&out, &grad)], &[dot(&x, &back)], 1e-12);
                }
            }
        });
    }

    #[test]
    fn integers_other_than_uint8_are_refused_by_name() {
        at_every_level(|| {
            let x = Tensor::<i32>::new(&[1, 2, 2], [1.0; 4]);
            let mut out = Tensor::<i32>::unset(&[1, 3, 3]);
            let error = resize(&params(ResizeMode::Linear, false, false), x.input(), &mut out.output());
            assert!(error.is_err_and(|e| e.to_string().contains("Int")));
        });
    }
}
