//! What the row kernels (softmax, normalisation, losses, cells, attention) share: element types and the type they
//! compute in, sums and maps over rows in lanes, and windows read or written as accumulators.
//!
//! Sums have one shape whatever the thread count: element `i` of a block goes to lane `i % LANES`, lanes combine
//! pairwise, blocks are added in order in float64.

use crate::cpu::halves;
use crate::cpu::math::Real;
use crate::cpu::scratch::Number;
use crate::cpu::simd::Simd;
use crate::cpu::view::{In, Out};
use crate::dispatch;
use crate::dtype::Element;
use crate::error::{Error, Result};
use half::{bf16, f16};
use std::ops::{AddAssign, MulAssign, SubAssign};

/// Lanes of a row sum: two AVX-512 registers of float32.
pub const LANES: usize = 32;
/// Elements of one block of a row sum.
const BLOCK: usize = 4096;
/// Operations per chunk of parallel work: about 20 µs.
const GRAIN: usize = 64 * 1024;

/// The types in which rows are computed, f32 and f64.
pub trait Acc: Number + Real + Storage<Acc = Self> + AddAssign + SubAssign + MulAssign {
    /// e^x for x up to 80: the exponents of a softmax. What would be denormal is zero.
    fn exp_small<S: Simd>(self) -> Self;
}

impl Acc for f32 {
    #[inline(always)]
    fn exp_small<S: Simd>(self) -> f32 {
        // Adding it rounds to an integer, whose low bits are then those of the sum.
        const MAGIC: f32 = 12_582_912.0;
        const LOWEST: f32 = -87.336_54;
        let t = Real::fma::<S>(self, std::f32::consts::LOG2_E, MAGIC);
        let n = t - MAGIC;
        // x - n·log 2, with log 2 in two parts, of which the first has few bits.
        let r = Real::fma::<S>(n, 0.000_212_194_44, Real::fma::<S>(n, -0.693_359_4, self));
        // (e^r - 1 - r)/r², a minimax fit on |r| ≤ log(2)/2.
        let mut tail = 0.000_150_172_81;
        for c in [0.001_393_054_4, 0.008_341_509, 0.041_666_51, 0.166_666_36, 0.5] {
            tail = Real::fma::<S>(tail, r, c);
        }
        let e = 1.0 + Real::fma::<S>(r * r, tail, r);
        let power = f32::from_bits((t.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
        // -inf and what underflows; NaN fails the comparison and passes through the product.
        if self < LOWEST { 0.0 } else { e * power }
    }
}

impl Acc for f64 {
    #[inline(always)]
    fn exp_small<S: Simd>(self) -> f64 {
        Real::exp::<S>(self)
    }
}

/// A floating element in memory and the type its kernels compute in: f32 for the halves, itself otherwise.
pub trait Storage: Element {
    type Acc: Acc;
    fn up(self) -> Self::Acc;
    fn down(acc: Self::Acc) -> Self;
    /// `dst[i] = src[i]`, converted.
    fn widen(src: &[Self], dst: &mut [Self::Acc]);
    /// `dst[i] = src[i]`, rounded once.
    fn narrow(src: &[Self::Acc], dst: &mut [Self]);
    /// The same memory as accumulators, where the types agree.
    fn as_acc(slice: &[Self]) -> Option<&[Self::Acc]>;
    fn as_acc_mut(slice: &mut [Self]) -> Option<&mut [Self::Acc]>;
}

macro_rules! storage_same {
    ($($t:ty),*) => {$(
        impl Storage for $t {
            type Acc = $t;
            #[inline(always)] fn up(self) -> $t { self }
            #[inline(always)] fn down(acc: $t) -> $t { acc }
            #[inline(always)] fn widen(src: &[$t], dst: &mut [$t]) { dst.copy_from_slice(src) }
            #[inline(always)] fn narrow(src: &[$t], dst: &mut [$t]) { dst.copy_from_slice(src) }
            #[inline(always)] fn as_acc(slice: &[$t]) -> Option<&[$t]> { Some(slice) }
            #[inline(always)] fn as_acc_mut(slice: &mut [$t]) -> Option<&mut [$t]> { Some(slice) }
        }
    )*};
}
storage_same!(f32, f64);

impl Storage for f16 {
    type Acc = f32;
    #[inline(always)]
    fn up(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn down(acc: f32) -> f16 {
        f16::from_f32(acc)
    }
    #[inline(always)]
    fn widen(src: &[f16], dst: &mut [f32]) {
        halves::widen_f16(src, dst)
    }
    #[inline(always)]
    fn narrow(src: &[f32], dst: &mut [f16]) {
        halves::narrow_f16(src, dst)
    }
    #[inline(always)]
    fn as_acc(_: &[f16]) -> Option<&[f32]> {
        None
    }
    #[inline(always)]
    fn as_acc_mut(_: &mut [f16]) -> Option<&mut [f32]> {
        None
    }
}

impl Storage for bf16 {
    type Acc = f32;
    #[inline(always)]
    fn up(self) -> f32 {
        f32::from_bits((self.to_bits() as u32) << 16)
    }
    #[inline(always)]
    fn down(acc: f32) -> bf16 {
        bf16::from_bits(halves::bf16_bits(acc))
    }
    #[inline(always)]
    fn widen(src: &[bf16], dst: &mut [f32]) {
        halves::widen_bf16(src, dst)
    }
    #[inline(always)]
    fn narrow(src: &[f32], dst: &mut [bf16]) {
        halves::narrow_bf16(src, dst)
    }
    #[inline(always)]
    fn as_acc(_: &[bf16]) -> Option<&[f32]> {
        None
    }
    #[inline(always)]
    fn as_acc_mut(_: &mut [bf16]) -> Option<&mut [f32]> {
        None
    }
}

/// Room for one row as accumulators; stays empty where the element type is its own accumulator.
pub struct Row<A>(Vec<A>);

impl<A: Acc> Row<A> {
    #[inline(always)]
    pub fn new<T: Storage<Acc = A>>(len: usize) -> Self {
        Row(if T::DTYPE == A::DTYPE { Vec::new() } else { vec![A::ZERO; len] })
    }
    /// `row` as accumulators, converted where needed.
    #[inline(always)]
    pub fn load<'a, T: Storage<Acc = A>>(&'a mut self, row: &'a [T]) -> &'a [A] {
        match T::as_acc(row) {
            Some(r) => r,
            None => {
                T::widen(row, &mut self.0[..row.len()]);
                &self.0[..row.len()]
            }
        }
    }
    /// Lets `f` fill `row` as accumulators, which are then rounded into it.
    #[inline(always)]
    pub fn fill<T: Storage<Acc = A>>(&mut self, row: &mut [T], f: impl FnOnce(&mut [A])) {
        match T::as_acc_mut(row) {
            Some(r) => f(r),
            None => {
                let scratch = &mut self.0[..row.len()];
                f(scratch);
                T::narrow(scratch, row);
            }
        }
    }
}

/// A pointer that crosses threads; the kernels write disjoint parts through it.
#[derive(Clone, Copy)]
pub struct Shared<T>(*mut T);

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
    /// The range lies inside the slice, which outlives the use, and nobody else touches it meanwhile.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn range<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

/// How many items of `cost` operations each make one chunk of parallel work.
#[inline]
pub fn grain(cost: usize) -> usize {
    (GRAIN / cost.max(1)).max(1)
}

/// The error for a dtype that a kernel does not have, in PyTorch's class.
pub fn unsupported(op: &str, dtype: crate::dtype::DType) -> Error {
    Error::NotImplemented(format!("{op}: not implemented for '{}' (needs a floating dtype)", dtype.scalar_name()))
}

/// The window's elements as accumulators, whatever its floating dtype.
pub fn read<A: Acc>(op: &str, window: &In) -> Result<Vec<A>> {
    dispatch!(float window.dtype, T => {
        Ok(window.to_vec_or_slice::<T>().iter().map(|v| A::from_f64(v.to_f64())).collect())
    }, else Err(unsupported(op, window.dtype)))
}

/// As [`read`] for an input that may be missing.
pub fn read_optional<A: Acc>(op: &str, window: Option<&In>) -> Result<Option<Vec<A>>> {
    window.map(|w| read(op, w)).transpose()
}

/// Rounds `values` into the window, whatever its floating dtype.
pub fn write<A: Acc>(op: &str, values: &[A], window: &mut Out) -> Result<()> {
    dispatch!(float window.dtype, T => {
        for (o, v) in window.as_mut_slice::<T>().iter_mut().zip(values) {
            *o = T::from_f64(v.to_f64());
        }
        Ok(())
    }, else Err(unsupported(op, window.dtype)))
}

/// The lanes combined in halves; a step has its own array, so that every step is one instruction on a register.
#[inline(always)]
fn fold<A: Acc>(lanes: [A; LANES], f: impl Fn(A, A) -> A) -> A {
    #[inline(always)]
    fn halve<A: Acc, const N: usize, const H: usize>(lanes: [A; N], f: impl Fn(A, A) -> A) -> [A; H] {
        let mut half = [A::ZERO; H];
        for j in 0..H {
            half[j] = f(lanes[j], lanes[j + H]);
        }
        half
    }
    let l16: [A; 16] = halve(lanes, &f);
    let l8: [A; 8] = halve(l16, &f);
    let l4: [A; 4] = halve(l8, &f);
    let l2: [A; 2] = halve(l4, &f);
    f(l2[0], l2[1])
}

#[inline(always)]
pub fn max_of<A: Acc>(a: A, b: A) -> A {
    if b > a { b } else { a }
}

/// The largest element that is not NaN; -inf if there is none.
#[inline(always)]
pub fn max<A: Acc>(x: &[A]) -> A {
    let mut lanes = [-A::INFINITY; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for c in &mut chunks {
        for j in 0..LANES {
            lanes[j] = max_of(lanes[j], c[j]);
        }
    }
    if !chunks.remainder().is_empty() {
        let tail = padded(chunks.remainder(), -A::INFINITY);
        for j in 0..LANES {
            lanes[j] = max_of(lanes[j], tail[j]);
        }
    }
    fold(lanes, max_of)
}

/// The tail of a row in a full set of lanes, the rest being `pad`.
#[inline(always)]
pub fn padded<A: Acc>(tail: &[A], pad: A) -> [A; LANES] {
    let mut lanes = [pad; LANES];
    lanes[..tail.len()].copy_from_slice(tail);
    lanes
}

/// Σ f(x); `f(pad)` is zero.
#[inline(always)]
pub fn sum1<A: Acc>(x: &[A], pad: A, f: impl Fn(A) -> A) -> A {
    let mut total = 0.0f64;
    for block in x.chunks(BLOCK) {
        total += block_sum(block, pad, &f).to_f64();
    }
    A::from_f64(total)
}

#[inline(always)]
fn block_sum<A: Acc>(block: &[A], pad: A, f: impl Fn(A) -> A) -> A {
    let mut lanes = [A::ZERO; LANES];
    // A second set of lanes, so that additions do not wait for each other.
    let mut more = [A::ZERO; LANES];
    let mut pairs = block.chunks_exact(2 * LANES);
    for c in &mut pairs {
        for j in 0..LANES {
            lanes[j] += f(c[j]);
            more[j] += f(c[LANES + j]);
        }
    }
    let mut chunks = pairs.remainder().chunks_exact(LANES);
    for c in &mut chunks {
        for j in 0..LANES {
            lanes[j] += f(c[j]);
        }
    }
    if !chunks.remainder().is_empty() {
        let tail = padded(chunks.remainder(), pad);
        for j in 0..LANES {
            lanes[j] += f(tail[j]);
        }
    }
    for j in 0..LANES {
        lanes[j] += more[j];
    }
    fold(lanes, |a, b| a + b)
}

/// The sums of both parts of f(x, y); `f` of the pads is zero.
#[inline(always)]
pub fn sum2<A: Acc>(x: &[A], y: &[A], pad: [A; 2], f: impl Fn(A, A) -> (A, A)) -> (A, A) {
    let mut totals = (0.0f64, 0.0f64);
    for (xb, yb) in x.chunks(BLOCK).zip(y.chunks(BLOCK)) {
        let (first, second) = block_sum2(xb, yb, pad, &f);
        totals.0 += first.to_f64();
        totals.1 += second.to_f64();
    }
    (A::from_f64(totals.0), A::from_f64(totals.1))
}

#[inline(always)]
fn block_sum2<A: Acc>(x: &[A], y: &[A], pad: [A; 2], f: impl Fn(A, A) -> (A, A)) -> (A, A) {
    let mut first = [A::ZERO; LANES];
    let mut second = [A::ZERO; LANES];
    let (mut xs, mut ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let mut add = |xs: &[A], ys: &[A]| {
        for j in 0..LANES {
            let (a, b) = f(xs[j], ys[j]);
            first[j] += a;
            second[j] += b;
        }
    };
    for (cx, cy) in (&mut xs).zip(&mut ys) {
        add(cx, cy);
    }
    if !xs.remainder().is_empty() {
        add(&padded(xs.remainder(), pad[0]), &padded(ys.remainder(), pad[1]));
    }
    (fold(first, |a, b| a + b), fold(second, |a, b| a + b))
}

/// Σ x·y.
#[inline(always)]
pub fn dot<A: Acc, S: Simd>(x: &[A], y: &[A]) -> A {
    let mut lanes = [A::ZERO; LANES];
    let (mut xs, mut ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    for (x, y) in (&mut xs).zip(&mut ys) {
        for j in 0..LANES {
            lanes[j] = x[j].fma::<S>(y[j], lanes[j]);
        }
    }
    if !xs.remainder().is_empty() {
        let (x, y) = (padded(xs.remainder(), A::ZERO), padded(ys.remainder(), A::ZERO));
        for j in 0..LANES {
            lanes[j] = x[j].fma::<S>(y[j], lanes[j]);
        }
    }
    fold(lanes, |a, b| a + b)
}

/// As [`sum2`] over elements in memory, converted block by block.
#[inline(always)]
pub fn sum2_of<T: Storage>(
    x: &[T],
    y: &[T],
    pad: [T::Acc; 2],
    f: impl Fn(T::Acc, T::Acc) -> (T::Acc, T::Acc),
) -> (f64, f64) {
    let mut totals = (0.0f64, 0.0f64);
    if let (Some(x), Some(y)) = (T::as_acc(x), T::as_acc(y)) {
        for (x, y) in x.chunks(BLOCK).zip(y.chunks(BLOCK)) {
            let (first, second) = block_sum2(x, y, pad, &f);
            totals.0 += first.to_f64();
            totals.1 += second.to_f64();
        }
        return totals;
    }
    let (mut wide_x, mut wide_y) = ([T::Acc::ZERO; BLOCK], [T::Acc::ZERO; BLOCK]);
    for (x, y) in x.chunks(BLOCK).zip(y.chunks(BLOCK)) {
        T::widen(x, &mut wide_x[..x.len()]);
        T::widen(y, &mut wide_y[..y.len()]);
        let (first, second) = block_sum2(&wide_x[..x.len()], &wide_y[..y.len()], pad, &f);
        totals.0 += first.to_f64();
        totals.1 += second.to_f64();
    }
    totals
}

/// Elements converted at a time, on the stack.
const PIECE: usize = 256;

/// `out[i] = f(x[i])`, rounded once.
#[inline(always)]
pub fn map1_of<T: Storage>(x: &[T], out: &mut [T], f: impl Fn(T::Acc) -> T::Acc) {
    let mut wide = [T::Acc::ZERO; PIECE];
    if T::as_acc(x).is_some() {
        for (o, x) in out.iter_mut().zip(x) {
            *o = T::down(f(x.up()));
        }
        return;
    }
    for (x, o) in x.chunks(PIECE).zip(out.chunks_mut(PIECE)) {
        let wide = &mut wide[..x.len()];
        T::widen(x, wide);
        for v in wide.iter_mut() {
            *v = f(*v);
        }
        T::narrow(wide, o);
    }
}

/// `out[i] = f(x[i])` from accumulators, rounded once.
#[inline(always)]
pub fn map1_of_acc<T: Storage>(x: &[T::Acc], out: &mut [T], f: impl Fn(T::Acc) -> T::Acc) {
    if let Some(out) = T::as_acc_mut(out) {
        for (o, &v) in out.iter_mut().zip(x) {
            *o = f(v);
        }
        return;
    }
    let mut wide = [T::Acc::ZERO; PIECE];
    for (x, o) in x.chunks(PIECE).zip(out.chunks_mut(PIECE)) {
        let wide = &mut wide[..x.len()];
        for (w, &v) in wide.iter_mut().zip(x) {
            *w = f(v);
        }
        T::narrow(wide, o);
    }
}

/// `out[i] = f(x[i], y[i])`, rounded once.
#[inline(always)]
pub fn map2_of<T: Storage>(x: &[T], y: &[T], out: &mut [T], f: impl Fn(T::Acc, T::Acc) -> T::Acc) {
    if T::as_acc(x).is_some() {
        for ((o, x), y) in out.iter_mut().zip(x).zip(y) {
            *o = T::down(f(x.up(), y.up()));
        }
        return;
    }
    let (mut wide_x, mut wide_y) = ([T::Acc::ZERO; PIECE], [T::Acc::ZERO; PIECE]);
    for ((x, y), o) in x.chunks(PIECE).zip(y.chunks(PIECE)).zip(out.chunks_mut(PIECE)) {
        let (wide_x, wide_y) = (&mut wide_x[..x.len()], &mut wide_y[..x.len()]);
        T::widen(x, wide_x);
        T::widen(y, wide_y);
        for (a, &b) in wide_x.iter_mut().zip(wide_y.iter()) {
            *a = f(*a, b);
        }
        T::narrow(wide_x, o);
    }
}

/// `x[i] = f(x[i])` in full lanes, for functions that cost more than the copy of a short tail.
#[inline(always)]
pub fn map1_in_place<A: Acc>(x: &mut [A], f: impl Fn(A) -> A) {
    let mut chunks = x.chunks_exact_mut(LANES);
    for c in &mut chunks {
        for v in c {
            *v = f(*v);
        }
    }
    let tail = chunks.into_remainder();
    if !tail.is_empty() {
        let mut lanes = padded(tail, A::ZERO);
        for v in &mut lanes {
            *v = f(*v);
        }
        tail.copy_from_slice(&lanes[..tail.len()]);
    }
}

/// `out[i] = f(x[i])` in full lanes, for functions that cost more than the copy of a short tail.
#[inline(always)]
pub fn map1<A: Acc>(x: &[A], out: &mut [A], f: impl Fn(A) -> A) {
    let (mut xs, mut os) = (x.chunks_exact(LANES), out.chunks_exact_mut(LANES));
    for (x, o) in (&mut xs).zip(&mut os) {
        for j in 0..LANES {
            o[j] = f(x[j]);
        }
    }
    let tail = xs.remainder();
    if !tail.is_empty() {
        let mut lanes = padded(tail, A::ZERO);
        for v in &mut lanes {
            *v = f(*v);
        }
        os.into_remainder().copy_from_slice(&lanes[..tail.len()]);
    }
}

/// `out[i] = f(x[i], y[i])` in full lanes, for functions that cost more than the copy of a short tail.
#[inline(always)]
pub fn map2<A: Acc>(x: &[A], y: &[A], out: &mut [A], f: impl Fn(A, A) -> A) {
    let (mut xs, mut ys, mut os) = (x.chunks_exact(LANES), y.chunks_exact(LANES), out.chunks_exact_mut(LANES));
    for ((x, y), o) in (&mut xs).zip(&mut ys).zip(&mut os) {
        for j in 0..LANES {
            o[j] = f(x[j], y[j]);
        }
    }
    let tail = xs.remainder();
    if !tail.is_empty() {
        let (mut a, b) = (padded(tail, A::ZERO), padded(ys.remainder(), A::ZERO));
        for j in 0..LANES {
            a[j] = f(a[j], b[j]);
        }
        os.into_remainder().copy_from_slice(&a[..tail.len()]);
    }
}

/// Σ exp(x - shift), written to `out` term by term.
#[inline(always)]
pub fn exp_sum_into<A: Acc, S: Simd>(x: &[A], shift: A, out: &mut [A]) -> A {
    let mut total = 0.0f64;
    for (xb, ob) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let mut lanes = [A::ZERO; LANES];
        let (mut xs, mut os) = (xb.chunks_exact(LANES), ob.chunks_exact_mut(LANES));
        for (c, o) in (&mut xs).zip(&mut os) {
            for j in 0..LANES {
                let e = (c[j] - shift).exp_small::<S>();
                o[j] = e;
                lanes[j] += e;
            }
        }
        let tail = xs.remainder();
        if !tail.is_empty() {
            let mut terms = padded(tail, -A::INFINITY);
            for j in 0..LANES {
                terms[j] = (terms[j] - shift).exp_small::<S>();
                lanes[j] += terms[j];
            }
            os.into_remainder().copy_from_slice(&terms[..tail.len()]);
        }
        total += fold(lanes, |a, b| a + b).to_f64();
    }
    A::from_f64(total)
}

/// `x = exp(x - shift)`; returns the sum.
#[inline(always)]
pub fn exp_sum_in_place<A: Acc, S: Simd>(x: &mut [A], shift: A) -> A {
    let mut total = 0.0f64;
    for block in x.chunks_mut(BLOCK) {
        let mut lanes = [A::ZERO; LANES];
        let mut chunks = block.chunks_exact_mut(LANES);
        for c in &mut chunks {
            for j in 0..LANES {
                c[j] = (c[j] - shift).exp_small::<S>();
                lanes[j] += c[j];
            }
        }
        let tail = chunks.into_remainder();
        if !tail.is_empty() {
            let mut terms = padded(tail, -A::INFINITY);
            for j in 0..LANES {
                terms[j] = (terms[j] - shift).exp_small::<S>();
                lanes[j] += terms[j];
            }
            tail.copy_from_slice(&terms[..tail.len()]);
        }
        total += fold(lanes, |a, b| a + b).to_f64();
    }
    A::from_f64(total)
}

/// Σ exp(x - shift).
#[inline(always)]
pub fn exp_sum<A: Acc, S: Simd>(x: &[A], shift: A) -> A {
    let mut total = 0.0f64;
    for block in x.chunks(BLOCK) {
        let mut lanes = [A::ZERO; LANES];
        // The terms go through an array: LLVM vectorises this loop, but not one that only adds to `lanes`.
        let mut add = |mut terms: [A; LANES]| {
            for j in 0..LANES {
                terms[j] = (terms[j] - shift).exp_small::<S>();
                lanes[j] += terms[j];
            }
        };
        let (chunks, tail) = block.as_chunks::<LANES>();
        chunks.iter().for_each(|c| add(*c));
        if !tail.is_empty() {
            add(padded(tail, -A::INFINITY));
        }
        total += fold(lanes, |a, b| a + b).to_f64();
    }
    A::from_f64(total)
}

/// log Σ exp(x - max) + max for a maximum over elements that are not NaN: the cases in which the maximum is infinite.
#[cold]
pub fn infinite_logsumexp<A: Acc>(max: A, x: impl Iterator<Item = A>) -> A {
    let mut x = x;
    if x.any(|v| v.is_nan()) { A::NAN } else { max }
}

/// log Σ exp(x).
#[inline(always)]
pub fn logsumexp<A: Acc, S: Simd>(x: &[A]) -> A {
    let max = max(x);
    if max.abs() == A::INFINITY {
        return infinite_logsumexp(max, x.iter().copied());
    }
    max + exp_sum::<A, S>(x, max).log::<S>()
}

/// Number, mean and sum of squared deviations of a set of values; two sets merge without loss (Chan et al., 1979).
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    pub count: f64,
    pub mean: f64,
    pub m2: f64,
}

impl Moments {
    /// The moments of both sets together.
    #[inline(always)]
    pub fn merge(self, other: Moments) -> Moments {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        let share = other.count / count;
        Moments { count, mean: self.mean + delta * share, m2: self.m2 + other.m2 + delta * delta * self.count * share }
    }
    /// The variance that divides by the count.
    #[inline(always)]
    pub fn variance(self) -> f64 {
        self.m2 / self.count
    }
}

/// The moments of a row, block by block: each block is read twice while it is in cache.
#[inline(always)]
pub fn moments<T: Storage>(x: &[T]) -> Moments {
    let mut total = Moments::default();
    if let Some(x) = T::as_acc(x) {
        for block in x.chunks(BLOCK) {
            total = total.merge(block_moments(block));
        }
        return total;
    }
    let mut wide = [T::Acc::ZERO; BLOCK];
    for block in x.chunks(BLOCK) {
        T::widen(block, &mut wide[..block.len()]);
        total = total.merge(block_moments(&wide[..block.len()]));
    }
    total
}

#[inline(always)]
fn block_moments<A: Acc>(block: &[A]) -> Moments {
    let mean = block_sum(block, A::ZERO, |v| v) / A::from_f64(block.len() as f64);
    let m2 = block_sum(block, mean, |v| (v - mean) * (v - mean));
    Moments { count: block.len() as f64, mean: mean.to_f64(), m2: m2.to_f64() }
}

#[cfg(test)]
#[path = "row_testing.rs"]
pub(super) mod testing;

#[cfg(test)]
mod tests {
    use super::testing::{Tensor, assert_close, at_every_level};
    use super::*;
    use crate::simd_dispatch;

    simd_dispatch! {
        fn exponentials(x: &[f32], out: &mut [f32]) {
            for (o, v) in out.iter_mut().zip(x) {
                *o = v.exp_small::<S>();
            }
        }
        fn sums(x: &[f32]) -> [f64; 3] {
            let m = moments(x);
            [sum1(x, 0.0, |v| v) as f64, m.mean, m.m2]
        }
    }

    #[test]
    fn exp_small_is_accurate_and_keeps_special_values() {
        at_every_level(|| {
            let x: Vec<f32> = (0..20_000).map(|i| -87.3 + i as f32 * 0.0048).collect();
            let mut out = vec![0.0; x.len()];
            exponentials(&x, &mut out);
            for (x, e) in x.iter().zip(&out) {
                let exact = (*x as f64).exp();
                assert!((*e as f64 - exact).abs() <= 1.5e-7 * exact, "exp({x}) = {e}");
            }
            let special = [0.0, f32::NEG_INFINITY, f32::NAN, -1e30];
            let mut out = [9.0; 4];
            exponentials(&special, &mut out);
            assert_eq!((out[0], out[1], out[3]), (1.0, 0.0, 0.0));
            assert!(out[2].is_nan());
        });
    }

    #[test]
    fn sums_and_moments_match_float64_for_every_tail() {
        at_every_level(|| {
            for n in [1, 7, 31, 32, 33, 64, 95, BLOCK - 1, BLOCK, 2 * BLOCK + 5] {
                let x = Tensor::<f32>::noise(n as u64, &[n]);
                let (count, sum) = (n as f64, x.values().iter().sum::<f64>());
                let m2: f64 = x.values().iter().map(|v| (v - sum / count) * (v - sum / count)).sum();
                assert_close(&sums(&x.data), &[sum, sum / count, m2], 2e-6, "sums");
            }
        });
    }

    #[test]
    fn bfloat16_rounds_to_nearest_even_and_keeps_nan() {
        for v in [0.0f32, -0.0, 1.0, 1.003_906_2, 1.011_718_8, 3.4e38, f32::INFINITY, 1e-40, -2.718_281_7] {
            assert_eq!(<bf16 as Storage>::down(v).to_bits(), bf16::from_f32(v).to_bits(), "{v}");
        }
        assert!(<bf16 as Storage>::down(f32::from_bits(0x7f80_0001)).is_nan());
    }
}
