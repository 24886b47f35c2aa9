//! Associative folds over f32, f64 and i64: the operators, their SIMD kernels and the fixed tree in which they combine.
//!
//! The tree is a property of the number of elements alone: element `i` goes to lane `i % LANES` of block `i / BLOCK`, lanes
//! and then blocks are combined pairwise. Threads, tiles and memory layouts only decide who computes which part of it.

use crate::cpu::gemm::Storage;
use crate::cpu::simd::{Simd, prefetch};
use crate::dtype::{DType, Element};
use crate::{dispatch, simd_dispatch};

/// Lanes of a block, each summed in order.
pub const LANES: usize = 16;
/// Elements of a block.
pub const BLOCK: usize = 256;

/// The types in which reductions accumulate.
pub trait Acc: Element + PartialOrd {
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    const HIGHEST: Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn magnitude(self) -> Self;
    /// The element as this type, rounded once.
    fn from_element<T: Element>(v: T) -> Self;
    fn to_element<T: Element>(self) -> T;
}

macro_rules! float_acc {
    ($($t:ty),*) => {$(
        impl Acc for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = <$t>::NEG_INFINITY;
            const HIGHEST: Self = <$t>::INFINITY;
            #[inline(always)] fn add(self, other: Self) -> Self { self + other }
            #[inline(always)] fn sub(self, other: Self) -> Self { self - other }
            #[inline(always)] fn mul(self, other: Self) -> Self { self * other }
            #[inline(always)] fn magnitude(self) -> Self { self.abs() }
            #[inline(always)]
            fn from_element<T: Element>(v: T) -> Self {
                // Integers go to f32 directly: by way of f64 they would be rounded twice.
                if T::DTYPE.is_float() { v.to_f64() as $t } else { v.to_i64() as $t }
            }
            #[inline(always)] fn to_element<T: Element>(self) -> T { T::from_f64(self as f64) }
        }
    )*};
}
float_acc!(f32, f64);

impl Acc for i64 {
    const ZERO: Self = 0;
    const ONE: Self = 1;
    const LOWEST: Self = i64::MIN;
    const HIGHEST: Self = i64::MAX;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.wrapping_mul(other)
    }
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.wrapping_abs()
    }
    #[inline(always)]
    fn from_element<T: Element>(v: T) -> Self {
        v.to_i64()
    }
    #[inline(always)]
    fn to_element<T: Element>(self) -> T {
        T::from_i64(self)
    }
}

/// An associative operator with an identity, applied to mapped elements; `p` is a parameter of the output being folded.
pub trait Fold<A: Acc>: 'static {
    const IDENTITY: A;
    fn map<S: Simd>(x: A, p: A) -> A;
    fn combine(a: A, b: A) -> A;
}

macro_rules! folds {
    ($($(#[$doc:meta])* $name:ident<$a:ident: $bound:ident> { $identity:expr; |$x:ident, $p:ident| $map:expr; |$l:ident, $r:ident| $combine:expr })*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl<$a: $bound> Fold<$a> for $name {
            const IDENTITY: $a = $identity;
            #[inline(always)] fn map<S: Simd>($x: $a, $p: $a) -> $a { let _ = $p; $map }
            #[inline(always)] fn combine($l: $a, $r: $a) -> $a { $combine }
        }
    )*};
}

folds! {
    Sum<A: Acc> { A::ZERO; |x, p| x; |a, b| a.add(b) }
    /// The sum with NaN counted as zero.
    NanSum<A: Acc> { A::ZERO; |x, p| if x.is_nan() { A::ZERO } else { x }; |a, b| a.add(b) }
    Prod<A: Acc> { A::ONE; |x, p| x; |a, b| a.mul(b) }
    Max<A: Acc> { A::LOWEST; |x, p| x; |a, b| if a > b || a.is_nan() { a } else { b } }
    Min<A: Acc> { A::HIGHEST; |x, p| x; |a, b| if a < b || a.is_nan() { a } else { b } }
    /// The sum of squared deviations from `p`.
    SquaredDeviation<A: Acc> { A::ZERO; |x, p| { let d = x.sub(p); d.mul(d) }; |a, b| a.add(b) }
    /// The sum of magnitudes.
    AbsSum<A: Acc> { A::ZERO; |x, p| x.magnitude(); |a, b| a.add(b) }
    SquareSum<A: Acc> { A::ZERO; |x, p| x.mul(x); |a, b| a.add(b) }
    AbsMax<A: Acc> { A::ZERO; |x, p| x.magnitude(); |a, b| if a > b || a.is_nan() { a } else { b } }
    AbsMin<A: Acc> { A::HIGHEST; |x, p| x.magnitude(); |a, b| if a < b || a.is_nan() { a } else { b } }
}

/// Combines the halves of the first `count` pieces of 2·`HALF` elements, and moves the results together.
#[inline(always)]
fn halve<A: Acc, F: Fold<A>, const HALF: usize>(x: &mut [A], count: usize) {
    for i in 0..count {
        let piece: [A; HALF] = std::array::from_fn(|j| F::combine(x[2 * HALF * i + j], x[2 * HALF * i + HALF + j]));
        x[HALF * i..][..HALF].copy_from_slice(&piece);
    }
}

/// Combines the lanes of the first `count` blocks, whose results come to lie together.
#[inline(always)]
fn fold_lanes<A: Acc, F: Fold<A>>(lanes: &mut [A], count: usize) {
    halve::<A, F, 8>(lanes, count);
    halve::<A, F, 4>(lanes, count);
    halve::<A, F, 2>(lanes, count);
    halve::<A, F, 1>(lanes, count);
}

/// Elements that are asked for before they are needed: processors look ahead within a page of memory only.
const AHEAD: usize = 1024;

/// The lanes of a block.
#[inline(always)]
fn block_lanes<S: Simd, A: Acc, F: Fold<A>>(x: &[A], p: A) -> [A; LANES] {
    let mut lanes = [F::IDENTITY; LANES];
    let (rows, rest) = x.as_chunks::<LANES>();
    for row in rows {
        prefetch(row.as_ptr().wrapping_add(AHEAD));
        for (lane, &v) in lanes.iter_mut().zip(row) {
            *lane = F::combine(*lane, F::map::<S>(v, p));
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane = F::combine(*lane, F::map::<S>(v, p));
    }
    lanes
}

#[inline(always)]
fn fold_block<S: Simd, A: Acc, F: Fold<A>>(x: &[A], p: A) -> A {
    let mut lanes = block_lanes::<S, A, F>(x, p);
    // The lanes pass through memory: seeing the pairwise tree below, LLVM would cut the loop above into pairs as well.
    std::hint::black_box(&mut lanes);
    fold_lanes::<A, F>(&mut lanes, 1);
    lanes[0]
}

/// log₂ of the blocks whose lanes are combined together: one by one they would wait for the memory that lanes pass through,
/// and how far each leaf carries in the tree is a branch that processors guess wrong half the time.
const GROUP_LEVEL: u32 = 4;
const GROUP: usize = 1 << GROUP_LEVEL;

#[repr(align(64))]
struct Lanes<A>([A; GROUP * LANES]);

#[inline(always)]
fn fold_group<S: Simd, A: Acc, F: Fold<A>>(blocks: &[[A; BLOCK]; GROUP], p: A) -> A {
    let mut all = Lanes([F::IDENTITY; GROUP * LANES]);
    for (out, block) in all.0.as_chunks_mut::<LANES>().0.iter_mut().zip(blocks) {
        *out = block_lanes::<S, A, F>(block, p);
    }
    // As in `fold_block`.
    std::hint::black_box(&mut all);
    let all = &mut all.0;
    fold_lanes::<A, F>(all, GROUP);
    // Then neighbouring blocks.
    let mut count = GROUP;
    while count > 1 {
        count /= 2;
        halve::<A, F, 1>(all, count);
    }
    all[0]
}

simd_dispatch! {
    fn fold_blocks<A: Acc, F>(x: &[A], p: A, tree: &mut Tree<A>) where [F: Fold<A>] {
        let (blocks, rest) = x.as_chunks::<BLOCK>();
        // Groups stand where subtrees of their size do.
        let first = (tree.count.wrapping_neg() % GROUP as u64).min(blocks.len() as u64) as usize;
        let (groups, last) = blocks[first..].as_chunks::<GROUP>();
        for block in &blocks[..first] {
            tree.push::<F>(fold_block::<S, A, F>(block, p));
        }
        for group in groups {
            tree.push_subtree::<F>(fold_group::<S, A, F>(group, p), GROUP_LEVEL);
        }
        for block in last {
            tree.push::<F>(fold_block::<S, A, F>(block, p));
        }
        if !rest.is_empty() {
            tree.push::<F>(fold_block::<S, A, F>(rest, p));
        }
    }
    fn fold_short<A: Acc, F>(x: &[A], p: A) -> A where [F: Fold<A>] {
        fold_block::<S, A, F>(x, p)
    }
}

simd_dispatch! {
    /// Folds `rows` rows of `width` elements into the lanes `acc` (`LANES × width`), the first row into `first_lane`.
    ///
    /// # Safety
    /// `x` covers `rows` rows of `width` elements, `row_stride` apart.
    pub unsafe fn fold_rows<A: Acc, F>(
        x: *const A, row_stride: usize, rows: usize, width: usize, acc: &mut [A], first_lane: usize, params: &[A]
    ) where [F: Fold<A>] {
        if row_stride == width && params.len() == 1 {
            // Whole rounds of lanes are one stretch of memory, however narrow the rows are.
            let (p, mut row) = (params[0], 0);
            while row < rows {
                let lane = (first_lane + row) % LANES;
                let n = (LANES - lane).min(rows - row) * width;
                // SAFETY: rows lie back to back, so `n` elements follow; the caller vouches for all of them.
                let x = unsafe { std::slice::from_raw_parts(x.add(row * width), n) };
                for (a, &v) in acc[lane * width..][..n].iter_mut().zip(x) {
                    *a = F::combine(*a, F::map::<S>(v, p));
                }
                row += n / width;
            }
            return;
        }
        for row in 0..rows {
            let lane = (first_lane + row) % LANES;
            // SAFETY: the caller vouches for every row.
            let x = unsafe { std::slice::from_raw_parts(x.add(row * row_stride), width) };
            let acc = &mut acc[lane * width..][..width];
            if let [p] = *params {
                for (a, &v) in acc.iter_mut().zip(x) {
                    *a = F::combine(*a, F::map::<S>(v, p));
                }
            } else {
                for ((a, &v), &p) in acc.iter_mut().zip(x).zip(params) {
                    *a = F::combine(*a, F::map::<S>(v, p));
                }
            }
        }
    }
}

simd_dispatch! {
    /// Combines the first `lanes` lanes of `acc` into its first `width` elements.
    pub fn fold_row_lanes<A: Acc, F>(acc: &mut [A], width: usize, lanes: usize) where [F: Fold<A>] {
        let mut half = lanes.next_power_of_two() / 2;
        let mut lanes = lanes;
        while half > 0 {
            let (low, high) = acc.split_at_mut(half * width);
            let n = (lanes - half) * width;
            for (a, &b) in low[..n].iter_mut().zip(&high[..n]) {
                *a = F::combine(*a, b);
            }
            lanes = half;
            half /= 2;
        }
    }
    /// acc = combine(older, acc), element by element.
    pub fn combine_rows<A: Acc, F>(older: &[A], acc: &mut [A]) where [F: Fold<A>] {
        for (a, &b) in acc.iter_mut().zip(older) {
            *a = F::combine(b, *a);
        }
    }
}

/// The pairwise tree over block results, built like a binary counter: `partial[k]` waits for its right neighbour of size 2ᵏ.
#[derive(Clone)]
pub struct Tree<A> {
    count: u64,
    partial: [A; 48],
}

impl<A: Acc> Default for Tree<A> {
    fn default() -> Self {
        Tree { count: 0, partial: [A::ZERO; 48] }
    }
}

impl<A: Acc> Tree<A> {
    /// Appends the next leaf. A subtree of 2ᵏ leaves may be pushed as one leaf of a tree that counts in such subtrees.
    #[inline(always)]
    pub fn push<F: Fold<A>>(&mut self, leaf: A) {
        self.push_subtree::<F>(leaf, 0);
    }

    /// Appends what the next 2ˡᵉᵛᵉˡ leaves combine to; as many or a multiple of them are there already.
    #[inline(always)]
    fn push_subtree<F: Fold<A>>(&mut self, leaves: A, level: u32) {
        let top = (level + (self.count >> level).trailing_ones()) as usize;
        let mut value = leaves;
        for k in level as usize..top {
            value = F::combine(self.partial[k], value);
        }
        self.partial[top] = value;
        self.count += 1 << level;
    }

    pub fn finish<F: Fold<A>>(&self) -> A {
        let mut rest = self.count;
        if rest == 0 {
            return F::IDENTITY;
        }
        let mut value = self.partial[rest.trailing_zeros() as usize];
        rest &= rest - 1;
        while rest != 0 {
            value = F::combine(self.partial[rest.trailing_zeros() as usize], value);
            rest &= rest - 1;
        }
        value
    }
}

/// Folds a row that arrives in tiles. The result has the bits of [`fold_slice`] over the whole row, as long as every tile but
/// the last is a multiple of [`BLOCK`] elements long (1024 is).
pub struct RowFold<A, F> {
    tree: Tree<A>,
    ragged: bool,
    fold: std::marker::PhantomData<F>,
}

/// The sum of a float32 row, tile by tile.
pub type SumRow = RowFold<f32, Sum>;
/// The maximum of a float32 row, NaN if there is one, tile by tile.
pub type MaxRow = RowFold<f32, Max>;

impl<A: Acc, F: Fold<A>> Default for RowFold<A, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Acc, F: Fold<A>> RowFold<A, F> {
    pub fn new() -> Self {
        RowFold { tree: Tree::default(), ragged: false, fold: std::marker::PhantomData }
    }

    #[inline]
    pub fn push(&mut self, tile: &[A]) {
        self.push_with(tile, A::ZERO);
    }

    /// Appends a tile; `p` is the parameter of folds that take one (the mean of [`SquaredDeviation`]).
    #[inline]
    pub fn push_with(&mut self, tile: &[A], p: A) {
        debug_assert!(!self.ragged || tile.is_empty(), "a tile followed one that was not a multiple of {BLOCK} long");
        self.ragged |= !tile.len().is_multiple_of(BLOCK);
        fold_blocks::<A, F>(tile, p, &mut self.tree);
    }

    pub fn finish(&self) -> A {
        self.tree.finish::<F>()
    }
}

/// Folds a whole row.
#[inline]
pub fn fold_slice<A: Acc, F: Fold<A>>(x: &[A], p: A) -> A {
    if x.len() <= BLOCK {
        return fold_short::<A, F>(x, p);
    }
    let mut tree = Tree::default();
    fold_blocks::<A, F>(x, p, &mut tree);
    tree.finish::<F>()
}

/// How elements become accumulator values.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Load {
    Convert,
    /// Rounded to a 16-bit float first, as a cast before the reduction would.
    Round(DType),
    /// 1 where the element differs from zero (NaN does).
    NonZero,
}

/// Reads `dst.len()` elements, `stride` apart, from element `offset` of an array.
pub type Loader<A> = unsafe fn(*const u8, usize, usize, &mut [A], Load);

/// # Safety
/// `base` points to elements of type `T`, all those addressed readable.
unsafe fn load<T: Element, A: Acc>(base: *const u8, offset: usize, stride: usize, dst: &mut [A], how: Load) {
    let src = base.cast::<T>().wrapping_add(offset);
    // SAFETY: the caller vouches for the elements `src + i·stride`.
    let at = |i: usize| unsafe { *src.add(i * stride) };
    if how == Load::NonZero {
        for (i, d) in dst.iter_mut().enumerate() {
            *d = if at(i) != T::default() { A::ONE } else { A::ZERO };
        }
        return;
    }
    if stride == 1 {
        // SAFETY: as above.
        load_dense(unsafe { std::slice::from_raw_parts(src, dst.len()) }, dst);
    } else {
        for (i, d) in dst.iter_mut().enumerate() {
            *d = A::from_element(at(i));
        }
    }
    match how {
        Load::Round(DType::F16) => dst.iter_mut().for_each(|d| *d = A::from_element(d.to_element::<half::f16>())),
        Load::Round(DType::BF16) => dst.iter_mut().for_each(|d| *d = A::from_element(d.to_element::<half::bf16>())),
        _ => {}
    }
}

fn load_dense<T: Element, A: Acc>(src: &[T], dst: &mut [A]) {
    // SAFETY: each arm's types are the ones that the dtypes name.
    unsafe {
        match (T::DTYPE, A::DTYPE) {
            (DType::F16, DType::F32) => widen::<half::f16>(same(src), same_mut(dst)),
            (DType::BF16, DType::F32) => widen::<half::bf16>(same(src), same_mut(dst)),
            _ => convert(src, dst),
        }
    }
}

/// # Safety
/// Both types are the same.
unsafe fn same<T, U>(x: &[T]) -> &[U] {
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) }
}

/// # Safety
/// Both types are the same.
unsafe fn same_mut<T, U>(x: &mut [T]) -> &mut [U] {
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) }
}

simd_dispatch! {
    fn convert<T: Element, A: Acc>(src: &[T], dst: &mut [A]) {
        for (d, &s) in dst.iter_mut().zip(src) {
            *d = A::from_element(s);
        }
    }
    fn widen<T>(src: &[T], dst: &mut [f32]) where [T: Storage<Acc = f32>] {
        for (d, &s) in dst.iter_mut().zip(src) {
            *d = s.widen();
        }
    }
}

/// The loader from `dtype` to `A`.
pub fn loader<A: Acc>(dtype: DType) -> Loader<A> {
    dispatch!(dtype, T => load::<T, A>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd;

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 2_654_435_761) % 1_000_003) as f32 / 1e6 - 0.4).collect()
    }

    #[test]
    fn tiles_give_the_bits_of_the_whole_row() {
        for n in [0, 1, 7, 255, 256, 1024, 5000, 70_000] {
            let x = noise(n);
            let whole = fold_slice::<f32, Sum>(&x, 0.0);
            let exact: f64 = x.iter().map(|&v| v as f64).sum();
            assert!((whole as f64 - exact).abs() <= 1e-6 * exact.abs().max(1.0));
            for tile in [1024, 2048, 9 * 1024] {
                let mut row = SumRow::new();
                x.chunks(tile).for_each(|t| row.push(t));
                assert_eq!(row.finish().to_bits(), whole.to_bits());
            }
        }
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let x = noise(3333);
        let want = simd::with_level(simd::Level::Portable, || fold_slice::<f32, SquareSum>(&x, 0.0));
        for level in simd::available() {
            assert_eq!(simd::with_level(level, || fold_slice::<f32, SquareSum>(&x, 0.0)), want);
        }
    }

    #[test]
    fn nan_wins_maximum_and_minimum() {
        let mut x = noise(600);
        x[411] = f32::NAN;
        assert!(fold_slice::<f32, Max>(&x, 0.0).is_nan() && fold_slice::<f32, Min>(&x, 0.0).is_nan());
        assert_eq!(fold_slice::<f32, NanSum>(&[1.0, f32::NAN, 2.0], 0.0), 3.0);
    }
}
