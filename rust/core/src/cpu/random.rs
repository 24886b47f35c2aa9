//! Filling windows from a sequential generator, draw for draw as PyTorch's CPU generator does: uniform, normal, integers,
//! permutations, Bernoulli.
//!
//! Windows that are not contiguous are filled in the order of their addresses, as PyTorch's iterator visits them.

use crate::cpu::math::single;
use crate::cpu::view::{In, Out, for_each_offset};
use crate::cpu::walk::base_mut;
use crate::dispatch;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::rng::Generator;
use crate::{ensure, simd_dispatch};
use half::{bf16, f16};

/// Draws made at once.
const BATCH: usize = 1024;
const U24: f32 = 1.0 / (1u32 << 24) as f32;
const MASK24: u32 = 0xff_ffff;

/// The dimensions of an output, largest stride first.
pub(super) fn address_order(out: &Out) -> Vec<usize> {
    let mut order: Vec<usize> = (0..out.shape.len()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(out.strides[d]));
    order
}

/// Writes one value after the other, in row-major order when the output is contiguous, else in address order.
pub(super) fn fill_with<T: Element>(out: &mut Out, mut next: impl FnMut() -> T) {
    if out.is_contiguous() {
        out.as_mut_slice::<T>().fill_with(next);
        return;
    }
    let order = address_order(out);
    let shape: Vec<usize> = order.iter().map(|&d| out.shape[d]).collect();
    let strides: Vec<usize> = order.iter().map(|&d| out.strides[d]).collect();
    let target = base_mut::<T>(out);
    // SAFETY: every offset lies inside the output.
    for_each_offset(&shape, &strides, |o| unsafe { *target.at(o) = next() });
}

/// [`fill_with`] for outputs whose elements depend on those of inputs of the same shape, which are passed as f64.
pub(super) fn fill_from<T: Element, const K: usize>(out: &mut Out, ins: [&In; K], mut next: impl FnMut([f64; K]) -> T) {
    let order = if out.is_contiguous() { (0..out.shape.len()).collect() } else { address_order(out) };
    let columns = ins.map(|x| {
        let shape: Vec<usize> = order.iter().map(|&d| x.shape[d]).collect();
        let strides: Vec<usize> = order.iter().map(|&d| x.strides[d]).collect();
        let moved = In { ptr: x.ptr, dtype: x.dtype, shape: &shape, strides: &strides };
        dispatch!(x.dtype, U => moved.to_vec_or_slice::<U>().iter().map(|v| v.to_f64()).collect::<Vec<f64>>())
    });
    let mut i = 0;
    fill_with::<T>(out, || {
        i += 1;
        next(std::array::from_fn(|k| columns[k][i - 1]))
    });
}

simd_dispatch! {
    fn unit_doubles(bits: &[u32], out: &mut [f64]) {
        for (o, pair) in out.iter_mut().zip(bits.chunks_exact(2)) {
            let wide = (pair[0] as u64) << 32 | pair[1] as u64;
            *o = (wide & ((1 << 53) - 1)) as f64 * (1.0 / (1u64 << 53) as f64);
        }
    }
}

/// Writes a function of one uniform double per element.
pub(super) fn fill_from_doubles<T: Element>(generator: &mut Generator, out: &mut Out, f: impl Fn(f64) -> T) {
    if !out.is_contiguous() {
        return fill_with(out, || f(generator.uniform_f64()));
    }
    let (mut bits, mut u) = ([0; BATCH], [0.0; BATCH / 2]);
    for part in out.as_mut_slice::<T>().chunks_mut(BATCH / 2) {
        let (bits, u) = (&mut bits[..2 * part.len()], &mut u[..part.len()]);
        generator.fill_random(bits);
        unit_doubles(bits, u);
        part.iter_mut().zip(u).for_each(|(o, u)| *o = f(*u));
    }
}

/// A value rounded to the output's dtype; one that rounds up to the excluded end becomes the start.
#[inline(always)]
fn half_open<T: Element>(v: f64, from: T, to: T) -> T {
    let v = T::from_f64(v);
    if v == to { from } else { v }
}

simd_dispatch! {
    fn scale_bits(bits: &[u32], out: &mut [f32], from: f32, range: f32, to: f32) {
        for (o, &b) in out.iter_mut().zip(bits) {
            // One rounding, as the fused instruction has in PyTorch's builds.
            let v = ((b & MASK24) as f32 * U24).mul_add(range, from);
            *o = if v == to { from } else { v };
        }
    }
    fn unit_floats(bits: &[u32], out: &mut [f32]) {
        for (o, &b) in out.iter_mut().zip(bits) {
            *o = (b & MASK24) as f32 * U24;
        }
    }
}

/// Uniform numbers in `[from, to)`: 24 random bits for floats up to 32 bits, 53 for doubles.
pub fn uniform(generator: &mut Generator, out: &mut Out, from: f64, to: f64) {
    match out.dtype {
        DType::F64 => fill_from_doubles(generator, out, |u| half_open(u.mul_add(to - from, from), from, to)),
        DType::F16 => {
            let (low, high) = (<f16 as Element>::from_f64(from), <f16 as Element>::from_f64(to));
            fill_with(out, || half_open(unit_between(generator, from, to), low, high));
        }
        DType::BF16 => {
            let (low, high) = (<bf16 as Element>::from_f64(from), <bf16 as Element>::from_f64(to));
            fill_with(out, || half_open(unit_between(generator, from, to), low, high));
        }
        _ if out.is_contiguous() => {
            let (from, to) = (from as f32, to as f32);
            let mut bits = [0; BATCH];
            for part in out.as_mut_slice::<f32>().chunks_mut(BATCH) {
                let bits = &mut bits[..part.len()];
                generator.fill_random(bits);
                if from == 0.0 && to == 1.0 {
                    unit_floats(bits, part)
                } else {
                    scale_bits(bits, part, from, to - from, to)
                }
            }
        }
        _ => {
            let (low, high) = (from as f32, to as f32);
            fill_with(out, || half_open(unit_between(generator, from, to), low, high));
        }
    }
}

fn unit_between(generator: &mut Generator, from: f64, to: f64) -> f64 {
    let (from, to) = (from as f32, to as f32);
    generator.uniform_f32().mul_add(to - from, from) as f64
}

simd_dispatch! {
    /// Box–Muller over blocks of 16: the first eight uniforms give radii, the last eight angles.
    fn box_muller_f32(x: &mut [f32], mean: f32, std: f32) {
        for block in x.chunks_exact_mut(16) {
            let (a, b) = block.split_at_mut(8);
            for (u1, u2) in a.iter_mut().zip(b) {
                let radius = (-2.0 * single::log::<S>(1.0 - *u1)).sqrt();
                let angle = 2.0 * std::f32::consts::PI * *u2;
                *u1 = single::fma::<S>(radius * single::cos_small::<S>(angle), std, mean);
                *u2 = single::fma::<S>(radius * single::sin_small::<S>(angle), std, mean);
            }
        }
    }
}

fn box_muller_f64(x: &mut [f64], mean: f64, std: f64) {
    for block in x.chunks_exact_mut(16) {
        let (a, b) = block.split_at_mut(8);
        for (u1, u2) in a.iter_mut().zip(b) {
            let radius = (-2.0 * (1.0 - *u1).ln()).sqrt();
            let (sin, cos) = (2.0 * std::f64::consts::PI * *u2).sin_cos();
            *u1 = radius * cos * std + mean;
            *u2 = radius * sin * std + mean;
        }
    }
}

/// Normal numbers. Contiguous outputs of at least 16 elements are made in blocks of 16 from as many uniforms, a ragged end by
/// a fresh block over the last 16; all others one by one in double precision.
pub fn normal(generator: &mut Generator, out: &mut Out, mean: f64, std: f64) {
    if out.numel() < 16 || !out.is_contiguous() {
        dispatch!(float out.dtype, T => fill_with(out, || T::from_f64(generator.normal_f64() * std + mean)), else ());
        return;
    }
    match out.dtype {
        DType::F32 => {
            let x = out.as_mut_slice::<f32>();
            uniform_floats(generator, x);
            let tail = x.len() - 16;
            box_muller_f32(x, mean as f32, std as f32);
            if !x.len().is_multiple_of(16) {
                uniform_floats(generator, &mut x[tail..]);
                box_muller_f32(&mut x[tail..], mean as f32, std as f32);
            }
        }
        DType::F64 => {
            let x = out.as_mut_slice::<f64>();
            x.fill_with(|| generator.uniform_f64());
            let tail = x.len() - 16;
            box_muller_f64(x, mean, std);
            if !x.len().is_multiple_of(16) {
                x[tail..].fill_with(|| generator.uniform_f64());
                box_muller_f64(&mut x[tail..], mean, std);
            }
        }
        DType::F16 => normal_halves(generator, out.as_mut_slice::<f16>(), mean as f32, std as f32),
        _ => normal_halves(generator, out.as_mut_slice::<bf16>(), mean as f32, std as f32),
    }
}

fn uniform_floats(generator: &mut Generator, x: &mut [f32]) {
    let mut bits = [0; BATCH];
    for part in x.chunks_mut(BATCH) {
        generator.fill_random(&mut bits[..part.len()]);
        unit_floats(&bits[..part.len()], part);
    }
}

/// 16-bit floats are drawn block by block, so a ragged end costs one block and not a second pass.
fn normal_halves<T: Element>(generator: &mut Generator, out: &mut [T], mean: f32, std: f32) {
    let mut block = |out: &mut [T]| {
        let mut x = [0f32; 16];
        uniform_floats(generator, &mut x);
        box_muller_f32(&mut x, mean, std);
        out.iter_mut().zip(x).for_each(|(o, v)| *o = T::from_f64(v as f64));
    };
    let tail = out.len() - 16;
    out.chunks_exact_mut(16).for_each(&mut block);
    if !out.len().is_multiple_of(16) {
        block(&mut out[tail..]);
    }
}

/// Integers in `[from, to)`, in any dtype; `to` of `None` stands for 2⁶³.
pub fn random_range(generator: &mut Generator, out: &mut Out, from: i64, to: Option<i64>) {
    let range = to.map_or(1u64 << 63, |to| to as u64).wrapping_sub(from as u64);
    dispatch!(out.dtype, T => {
        let value = |x: u64| T::from_i64((x as i64).wrapping_add(from));
        if range == 0 {
            // From -2⁶³ without an end: all 64 bits.
            fill_with(out, || T::from_i64(generator.random64() as i64));
        } else if range >= 1 << 28 {
            // Longer ranges take 64 bits so that the remainder stays nearly unbiased.
            fill_with(out, || value(generator.random64() % range));
        } else {
            fill_with(out, || value((generator.random() % range as u32) as u64));
        }
    });
}

/// `random_()` without bounds: all non-negative integers of the dtype, for floats those it represents without gaps.
pub fn random_full(generator: &mut Generator, out: &mut Out) {
    let range = out.dtype.integers();
    let wide = matches!(out.dtype, DType::I64 | DType::F64);
    dispatch!(out.dtype, T => fill_with(out, || {
        let bits = if wide { generator.random64() } else { generator.random() as u64 };
        T::from_i64((bits % range) as i64)
    }));
}

/// From this length on the remainder of 32 random bits would be visibly biased.
const LONG_PERMUTATION: usize = (u32::MAX / 20) as usize;

/// A random permutation of `0 .. n`, `n` the output's length, by a Fisher–Yates shuffle.
pub fn randperm(generator: &mut Generator, out: &mut Out) {
    let n = out.numel();
    let mut order: Vec<i64> = (0..n as i64).collect();
    if n < LONG_PERMUTATION {
        for i in 0..n.saturating_sub(1) {
            let chosen = i + generator.random() as usize % (n - i);
            order.swap(i, chosen);
        }
    } else {
        for i in 0..n {
            let chosen = (generator.random64() % (i as u64 + 1)) as usize;
            order[i] = order[chosen];
            order[chosen] = i as i64;
        }
    }
    let mut order = order.into_iter();
    dispatch!(out.dtype, T => fill_with(out, || T::from_i64(order.next().unwrap_or(0))));
}

/// 1 with probability `p`, from one double per element.
pub fn bernoulli(generator: &mut Generator, out: &mut Out, p: f64) {
    dispatch!(out.dtype, T => fill_from_doubles::<T>(generator, out, |u| T::from_i64((u < p) as i64)));
}

/// 1 with the probability that `p`, a float window of the output's shape, gives each element.
pub fn bernoulli_tensor(generator: &mut Generator, p: &In, out: &mut Out) -> Result<()> {
    let valid = dispatch!(p.dtype, T => p.to_vec_or_slice::<T>().iter().all(|v| (0.0..=1.0).contains(&v.to_f64())));
    ensure!(valid, Runtime, "Expected p_in >= 0 && p_in <= 1 to be true, but got false.");
    let double = p.dtype == DType::F64;
    dispatch!(out.dtype, T => fill_from(out, [p], |[p]| {
        let u = if double { generator.uniform_f64() } else { generator.uniform_f32() as f64 };
        T::from_i64((u < p) as i64)
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

    fn drawn<T: Element>(n: usize, fill: impl FnOnce(&mut Generator, &mut Out)) -> Vec<T> {
        let mut x = vec![T::default(); n];
        let shape = [n];
        fill(
            &mut Generator::new(42),
            &mut Out { ptr: x.as_mut_ptr().cast(), dtype: T::DTYPE, shape: &shape, strides: &[1] },
        );
        x
    }

    #[test]
    fn seed_42_starts_as_everywhere_else() {
        at_every_level(|| {
            // torch.manual_seed(42) before each of rand(3), randn(3), randperm(5), randint(0, 10, (5,)), in PyTorch 2.13.
            let u = drawn::<f32>(3, |g, o| uniform(g, o, 0.0, 1.0));
            assert_eq!(u, [0.882_269_26, 0.915_003_96, 0.382_863_76]);
            let z = drawn::<f32>(3, |g, o| normal(g, o, 0.0, 1.0));
            assert_eq!(z, [0.336_690_37, 0.128_809_4, 0.234_462_37]);
            assert_eq!(drawn::<i64>(5, randperm), [2, 4, 3, 0, 1]);
            assert_eq!(drawn::<i64>(5, |g, o| random_range(g, o, 0, Some(10))), [2, 7, 6, 4, 6]);
        });
    }

    #[test]
    fn strided_outputs_are_filled_in_address_order() {
        at_every_level(|| {
            let dense = drawn::<f32>(6, |g, o| uniform(g, o, -1.0, 2.0));
            let mut x = [0f32; 6];
            let mut out = Out { ptr: x.as_mut_ptr().cast(), dtype: DType::F32, shape: &[2, 3], strides: &[1, 2] };
            uniform(&mut Generator::new(42), &mut out, -1.0, 2.0);
            assert_eq!(x.as_slice(), dense);
        });
    }
}
