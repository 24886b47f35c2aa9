//! What the spatial kernels (pooling, padding, resizing, folding) share: tensors seen as planes, accumulator types.
//!
//! A *plane* is the volume of the last one to three dimensions, read as `[depth, height, width]` with leading ones.

use crate::cpu::view::In;
use crate::cpu::{copy, threads};
use crate::dtype::Element;
use crate::shape::Dims;
use half::{bf16, f16};
use std::borrow::Cow;

/// Operations per chunk of parallel work: about 20 µs.
const GRAIN: usize = 32 * 1024;

/// The arithmetic of an accumulator; integers wrap.
pub trait Acc: Element + PartialOrd {
    const LOWEST: Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// The quotient; integers truncate, and a zero divisor gives zero.
    fn over(self, other: Self) -> Self;
}

macro_rules! float_acc {
    ($($t:ty),*) => {$(
        impl Acc for $t {
            const LOWEST: Self = <$t>::NEG_INFINITY;
            #[inline(always)] fn plus(self, other: Self) -> Self { self + other }
            #[inline(always)] fn times(self, other: Self) -> Self { self * other }
            #[inline(always)] fn over(self, other: Self) -> Self { self / other }
        }
    )*};
}
float_acc!(f32, f64);

impl Acc for i64 {
    const LOWEST: Self = i64::MIN;
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.wrapping_mul(other)
    }
    #[inline(always)]
    fn over(self, other: Self) -> Self {
        if other == 0 { 0 } else { self.wrapping_div(other) }
    }
}

/// An element and the type its sums are kept in: f32 for halves, i64 for integers, itself for float32 and float64.
pub trait Widen: Element {
    type Acc: Acc;
    fn widen(self) -> Self::Acc;
    fn narrow(acc: Self::Acc) -> Self;
    /// The same memory as accumulators, where the types agree.
    fn as_acc(slice: &[Self]) -> Option<&[Self::Acc]>;
    fn as_acc_mut(slice: &mut [Self]) -> Option<&mut [Self::Acc]>;
}

macro_rules! widen_same {
    ($($t:ty),*) => {$(
        impl Widen for $t {
            type Acc = $t;
            #[inline(always)] fn widen(self) -> $t { self }
            #[inline(always)] fn narrow(acc: $t) -> $t { acc }
            #[inline(always)] fn as_acc(slice: &[$t]) -> Option<&[$t]> { Some(slice) }
            #[inline(always)] fn as_acc_mut(slice: &mut [$t]) -> Option<&mut [$t]> { Some(slice) }
        }
    )*};
}
widen_same!(f32, f64, i64);

macro_rules! widen_to {
    ($($t:ty => $acc:ty, $widen:expr, $narrow:expr);* $(;)?) => {$(
        impl Widen for $t {
            type Acc = $acc;
            #[inline(always)] fn widen(self) -> $acc { ($widen)(self) }
            #[inline(always)] fn narrow(acc: $acc) -> $t { ($narrow)(acc) }
            #[inline(always)] fn as_acc(_: &[$t]) -> Option<&[$acc]> { None }
            #[inline(always)] fn as_acc_mut(_: &mut [$t]) -> Option<&mut [$acc]> { None }
        }
    )*};
}
widen_to! {
    f16 => f32, f16::to_f32, f16::from_f32;
    bf16 => f32, bf16::to_f32, bf16::from_f32;
    u8 => i64, i64::from, |a| a as u8;
    i8 => i64, i64::from, |a| a as i8;
    i16 => i64, i64::from, |a| a as i16;
    i32 => i64, i64::from, |a| a as i32;
    bool => i64, i64::from, |a| a != 0;
}

/// The number of planes and the size of one, when the last `spatial` dimensions make a plane.
pub fn volume(shape: &[usize], spatial: usize) -> (usize, [usize; 3]) {
    debug_assert!((1..=3).contains(&spatial) && spatial <= shape.len());
    let split = shape.len() - spatial;
    let mut size = [1usize; 3];
    size[3 - spatial..].copy_from_slice(&shape[split..]);
    (shape[..split].iter().product(), size)
}

/// A pointer that crosses threads; the kernels write disjoint parts through it.
pub struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}

// SAFETY: every user hands disjoint ranges to different threads.
unsafe impl<T: Send> Send for Shared<T> {}
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(slice: &mut [T]) -> Self {
        Shared(slice.as_mut_ptr())
    }
    /// `len` elements from `start`.
    ///
    /// # Safety
    /// The range lies inside the slice, which outlives the use, and no other thread touches it meanwhile.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn range<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
    #[inline(always)]
    pub fn ptr(self) -> *mut T {
        self.0
    }
}

/// How many items of `cost` operations each make one chunk of parallel work.
#[inline]
pub fn grain(cost: usize) -> usize {
    (GRAIN / cost.max(1)).max(1)
}

/// Runs `f(i, part)` for the `i`-th run of `len` elements of `out`, in parallel; `cost` is the work of one part.
pub fn for_parts<T: Send>(out: &mut [T], len: usize, cost: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if len == 0 {
        return;
    }
    let (count, shared) = (out.len() / len, Shared::new(out));
    threads::parallel_for(count, grain(cost), |range| {
        for i in range {
            // SAFETY: part `i` belongs to this iteration alone.
            f(i, unsafe { shared.range(i * len, len) });
        }
    });
}

/// As [`for_parts`], but `f` adds into accumulators that start at zero and are rounded to `T` once at the end.
pub fn accumulate_parts<T: Widen>(out: &mut [T], len: usize, cost: usize, f: impl Fn(usize, &mut [T::Acc]) + Sync) {
    for_parts(out, len, cost + len, |i, part| match T::as_acc_mut(part) {
        Some(acc) => {
            acc.fill(Default::default());
            f(i, acc);
        }
        None => {
            let mut acc = vec![T::Acc::default(); len];
            f(i, &mut acc);
            for (o, a) in part.iter_mut().zip(acc) {
                *o = T::narrow(a);
            }
        }
    });
}

/// `slice` as accumulators, in `scratch` when the types differ.
#[inline]
pub fn widened<'a, T: Widen>(slice: &'a [T], scratch: &'a mut Vec<T::Acc>) -> &'a [T::Acc] {
    match T::as_acc(slice) {
        Some(s) => s,
        None => {
            scratch.clear();
            scratch.extend(slice.iter().map(|v| v.widen()));
            scratch
        }
    }
}

/// The elements of `x` in row-major order, copied in parallel when they do not lie so.
pub fn contiguous<'a, T: Element>(x: &In<'a>) -> Cow<'a, [T]> {
    match x.as_slice::<T>() {
        Some(s) => Cow::Borrowed(s),
        None => {
            let mut v = vec![T::default(); x.numel()];
            let strides = Dims::from_slice(x.shape).contiguous_strides();
            copy::copy_strided(v.as_mut_ptr().cast(), x.shape, &strides, x, false);
            Cow::Owned(v)
        }
    }
}

/// Windows over vectors, and numbers, for the tests of the spatial kernels.
#[cfg(test)]
pub mod testing {
    use crate::cpu::view::{In, Out};
    use crate::dtype::Element;
    use crate::shape::Dims;

    /// A contiguous tensor.
    pub struct Tensor<T> {
        pub data: Vec<T>,
        shape: Dims,
        strides: Dims,
    }

    impl<T: Element> Tensor<T> {
        pub fn new(shape: &[usize], data: impl IntoIterator<Item = f64>) -> Self {
            let shape = Dims::from_slice(shape);
            let data: Vec<T> = data.into_iter().map(T::from_f64).take(shape.numel()).collect();
            assert_eq!(data.len(), shape.numel());
            Tensor { data, strides: shape.contiguous_strides(), shape }
        }
        /// Numbers between -1 and 1 that depend on the seed.
        pub fn random(shape: &[usize], seed: u64) -> Self {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            Tensor::new(
                shape,
                std::iter::repeat_with(|| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
                }),
            )
        }
        /// A tensor full of a value that no kernel should leave.
        pub fn unset(shape: &[usize]) -> Self {
            Tensor::new(shape, std::iter::repeat(77.0))
        }
        pub fn shape(&self) -> &[usize] {
            &self.shape
        }
        pub fn input(&self) -> In<'_> {
            In { ptr: self.data.as_ptr().cast(), dtype: T::DTYPE, shape: &self.shape, strides: &self.strides }
        }
        pub fn output(&mut self) -> Out<'_> {
            Out { ptr: self.data.as_mut_ptr().cast(), dtype: T::DTYPE, shape: &self.shape, strides: &self.strides }
        }
        pub fn floats(&self) -> Vec<f64> {
            self.data.iter().map(|v| v.to_f64()).collect()
        }
    }

    pub fn dot<T: Element>(a: &Tensor<T>, b: &Tensor<T>) -> f64 {
        a.data.iter().zip(&b.data).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
    }

    pub fn assert_close(got: &[f64], want: &[f64], tolerance: f64) {
        assert_eq!(got.len(), want.len());
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "element {i}: {g}, expected {w}");
        }
    }
}
