//! Products of bfloat16 and of bytes by instructions that multiply several neighbours along the depth at once and add
//! them to one sum: two bfloat16 to a float32, two or four bytes to an int32.
//!
//! Both operands are packed into words of 32 bits that hold those neighbours. Sums of int32 wrap and are the same at every
//! level; those of bfloat16 depend on the depth alone, never on the number of threads.

use super::blocked::SendPtr;
use super::pack::transpose;
use crate::cpu::scratch::{Number, with_scratch};
use crate::cpu::simd::simd_dispatch;
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::{Level, level};
use crate::cpu::threads;
use half::bf16;
use std::ops::Range;

/// Words along the depth between two visits of a tile: a strip of the right operand of 32 columns then fills L1.
const DEPTH: usize = 256;
/// Tiles that a task computes of one strip.
const TILES: usize = 8;
/// Multiply-adds that are worth a thread's while (about 20 µs).
const GRAIN: usize = 2_000_000;

/// A register of sums.
///
/// # Safety
/// Callers run only on processors with the implementation's instructions; pointers cover the lanes accessed.
trait Sums: Copy {
    type T: Number;
    const LANES: usize;
    unsafe fn zero() -> Self;
    unsafe fn load(p: *const Self::T) -> Self;
    unsafe fn store(self, p: *mut Self::T);
    /// Adds the products of the parts of one word of the left operand with those of `LANES` words at `right`.
    unsafe fn add_products(self, left: u32, right: *const u32) -> Self;
}

/// `c[r·pitch + j] = Σ a[k·rows + r] · b[k·columns + j]`, added to what `c` holds if `add`.
type TileFn<T> = unsafe fn(usize, usize, *const u32, *const u32, *mut T, usize, bool);

/// A tile of sums in registers.
pub(super) struct Kernel<T> {
    /// Neighbours in a word.
    parts: usize,
    rows: usize,
    columns: usize,
    tile: TileFn<T>,
}

/// # Safety
/// The instructions of `V` are there; pointers cover what [`TileFn`] reads and writes.
#[inline(always)]
unsafe fn tile<V: Sums, const M: usize>(
    k: usize,
    mut a: *const u32,
    mut b: *const u32,
    c: *mut V::T,
    pitch: usize,
    add: bool,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let place = |i: usize, v: usize| c.add(i * pitch + v * V::LANES);
        let mut sums = [[V::zero(); 2]; M];
        if add {
            for i in 0..M {
                sums[i] = [V::load(place(i, 0)), V::load(place(i, 1))];
            }
        }
        for _ in 0..k {
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = *a.add(i);
                sums[0] = sums[0].add_products(x, b);
                sums[1] = sums[1].add_products(x, b.add(V::LANES));
            }
            a = a.add(M);
            b = b.add(2 * V::LANES);
        }
        for (i, sums) in sums.into_iter().enumerate() {
            sums[0].store(place(i, 0));
            sums[1].store(place(i, 1));
        }
    }
}

/// A kernel of one register type: the tile with the wanted number of rows, under its target features.
macro_rules! kernel {
    ($(#[$meta:meta])* $name:ident, $v:ty, $t:ty, $parts:literal, [$($m:literal)*]) => {
        pub(super) static $name: Kernel<$t> = {
            $(#[$meta])*
            unsafe fn run(rows: usize, k: usize, a: *const u32, b: *const u32, c: *mut $t, pitch: usize, add: bool) {
                // SAFETY: the kernel is used only where the features are; the contract passes through.
                unsafe {
                    match rows {
                        $($m => tile::<$v, $m>(k, a, b, c, pitch, add),)*
                        _ => unreachable!("a tile has at most its kernel's rows"),
                    }
                }
            }
            let rows = [$($m),*].len();
            Kernel { parts: $parts, rows, columns: 2 * <$v as Sums>::LANES, tile: run }
        };
    };
}

/// Sums that LLVM makes registers of, for pairs of 16 bits.
#[derive(Clone, Copy)]
struct Array([i32; 4]);

impl Sums for Array {
    type T = i32;
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Array([0; 4])
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self {
        // SAFETY: the trait's contract.
        Array(unsafe { p.cast::<[i32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut i32) {
        // SAFETY: the trait's contract.
        unsafe { p.cast::<[i32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add_products(mut self, left: u32, right: *const u32) -> Self {
        // SAFETY: the trait's contract.
        let right = unsafe { right.cast::<[u32; 4]>().read_unaligned() };
        let halves = |word: u32| (word as i16 as i32, word as i32 >> 16);
        let (x, y) = halves(left);
        for (sum, word) in self.0.iter_mut().zip(right) {
            let (u, v) = halves(word);
            // Products of bytes: their sum fits.
            *sum = sum.wrapping_add(x * u + y * v);
        }
        self
    }
}

kernel!(PORTABLE, Array, i32, 2, [1 2 3 4]);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    macro_rules! sums {
        ($name:ident, $register:ty, $t:ty, $lanes:literal, $zero:ident, $load:ident, $store:ident, |$sum:ident, $left:ident, $right:ident| $dot:expr) => {
            #[derive(Clone, Copy)]
            struct $name($register);
            // SAFETY of all: the trait's contract.
            impl Sums for $name {
                type T = $t;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    unsafe { $name($zero()) }
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    unsafe { $name($load(p.cast())) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    unsafe { $store(p.cast(), self.0) }
                }
                #[inline(always)]
                unsafe fn add_products(self, left: u32, right: *const u32) -> Self {
                    let ($sum, $left, $right) = (self.0, left as i32, right);
                    unsafe { $name($dot) }
                }
            }
        };
    }
    sums!(
        Pairs256,
        __m256i,
        i32,
        8,
        _mm256_setzero_si256,
        _mm256_loadu_si256,
        _mm256_storeu_si256,
        |sum, left, right| {
            let products = _mm256_madd_epi16(_mm256_set1_epi32(left), _mm256_loadu_si256(right.cast()));
            _mm256_add_epi32(sum, products)
        }
    );
    sums!(
        Pairs512,
        __m512i,
        i32,
        16,
        _mm512_setzero_si512,
        _mm512_loadu_si512,
        _mm512_storeu_si512,
        |sum, left, right| {
            let products = _mm512_madd_epi16(_mm512_set1_epi32(left), _mm512_loadu_si512(right.cast()));
            _mm512_add_epi32(sum, products)
        }
    );
    // Unsigned parts at the left, signed ones at the right, without saturation.
    sums!(
        Quads512,
        __m512i,
        i32,
        16,
        _mm512_setzero_si512,
        _mm512_loadu_si512,
        _mm512_storeu_si512,
        |sum, left, right| _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(left), _mm512_loadu_si512(right.cast()))
    );
    // The instruction takes denormal numbers for zero, and rounds denormal sums to zero.
    sums!(Bf16Pairs, __m512, f32, 16, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, |sum, left, right| {
        // Words as pairs of bfloat16: registers of the same bits.
        let left = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(left));
        let right = std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(right.cast()));
        _mm512_dpbf16_ps(sum, left, right)
    });
    kernel!(#[target_feature(enable = "avx2")] PAIRS_256, Pairs256, i32, 2, [1 2 3 4 5 6]);
    kernel!(#[target_feature(enable = "avx512f,avx512bw")] PAIRS_512, Pairs512, i32, 2, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
    kernel!(#[target_feature(enable = "avx512f,avx512vnni")] QUADS_512, Quads512, i32, 4, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
    kernel!(#[target_feature(enable = "avx512f,avx512bf16")] BF16, Bf16Pairs, f32, 2, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
}

/// The kernel for bfloat16, where the level and the processor have one.
pub(super) fn bf16_kernel() -> Option<&'static Kernel<f32>> {
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 && is_x86_feature_detected!("avx512bf16") {
        return Some(&x86::BF16);
    }
    None
}

/// The kernel for bytes; that of VNNI only if `quads`.
fn byte_kernel(quads: bool) -> &'static Kernel<i32> {
    #[cfg(target_arch = "x86_64")]
    match level() {
        Level::Avx512 if quads && is_x86_feature_detected!("avx512vnni") => return &x86::QUADS_512,
        Level::Avx512 => return &x86::PAIRS_512,
        Level::Avx2 => return &x86::PAIRS_256,
        _ => {}
    }
    let _ = quads;
    &PORTABLE
}

/// How elements of type `E` become the parts of words.
trait Parts<E> {
    const COUNT: usize;
    /// The bits of one part.
    fn bits(e: E) -> u32;
}
struct Pairs;
struct Quads;
/// Quads of an int8 plus 128 as an unsigned byte.
struct Shifted;

impl Parts<bf16> for Pairs {
    const COUNT: usize = 2;
    #[inline(always)]
    fn bits(e: bf16) -> u32 {
        e.to_bits() as u32
    }
}
impl Parts<i8> for Pairs {
    const COUNT: usize = 2;
    #[inline(always)]
    fn bits(e: i8) -> u32 {
        e as i16 as u16 as u32
    }
}
impl Parts<u8> for Pairs {
    const COUNT: usize = 2;
    #[inline(always)]
    fn bits(e: u8) -> u32 {
        e as u32
    }
}
impl Parts<i8> for Quads {
    const COUNT: usize = 4;
    #[inline(always)]
    fn bits(e: i8) -> u32 {
        e as u8 as u32
    }
}
impl Parts<u8> for Quads {
    const COUNT: usize = 4;
    #[inline(always)]
    fn bits(e: u8) -> u32 {
        e as u32
    }
}
impl Parts<i8> for Shifted {
    const COUNT: usize = 4;
    #[inline(always)]
    fn bits(e: i8) -> u32 {
        (e as u8 ^ 0x80) as u32
    }
}

/// A matrix as the product reads it: element (lane, depth) is at `ptr + lane·self.lane + depth·self.depth`.
#[derive(Clone, Copy)]
pub(super) struct Source<E> {
    pub ptr: *const E,
    pub lane: usize,
    pub depth: usize,
}

// SAFETY: the memory is only read.
unsafe impl<E> Send for Source<E> {}
unsafe impl<E> Sync for Source<E> {}

impl<E> Source<E> {
    /// The lanes from `lane` on.
    fn from(&self, lane: usize) -> Source<E> {
        Source { ptr: self.ptr.wrapping_add(lane * self.lane), lane: self.lane, depth: self.depth }
    }
}

/// The word whose first part lies at `p`, with `parts` of it there.
#[inline(always)]
unsafe fn word<E: Copy, P: Parts<E>>(p: *const E, depth: usize, parts: usize) -> u32 {
    let mut word = 0;
    for d in 0..parts {
        // SAFETY: the caller's contract: the parts are readable.
        word |= P::bits(unsafe { *p.add(d * depth) }) << (32 / P::COUNT * d);
    }
    word
}

/// Words of a lane that are put together before they are transposed.
const RUN: usize = 64;

simd_dispatch! {
    /// panel[p·width + i] = word p of lane i
    unsafe fn pack<E: Copy, P>(
        from: Source<E>, lanes: usize, k: usize, width: usize, panel: *mut u32
    ) where [P: Parts<E>] {
        let (whole, rest) = (k / P::COUNT, k % P::COUNT);
        let at = |lane: usize, p: usize| from.ptr.wrapping_add(lane * from.lane + p * P::COUNT * from.depth);
        if from.depth == 1 && from.lane != 1 {
            let mut run = [0u32; 8 * RUN];
            for p in (0..whole).step_by(RUN) {
                let words = RUN.min(whole - p);
                for i in (0..lanes).step_by(8) {
                    let count = 8.min(lanes - i);
                    for l in 0..count {
                        let lane = at(i + l, p);
                        for (q, to) in run[l * RUN..][..words].iter_mut().enumerate() {
                            *to = word::<E, P>(lane.add(q * P::COUNT), 1, P::COUNT);
                        }
                    }
                    // Words move as float32 numbers, whose bits nothing looks at.
                    let to = panel.add(p * width + i).cast::<f32>();
                    transpose::<S, f32>(run.as_ptr().cast(), RUN, count, words, width, to);
                }
            }
        } else {
            for p in 0..whole {
                let to = panel.add(p * width);
                if from.lane == 1 {
                    for i in 0..lanes {
                        *to.add(i) = word::<E, P>(at(0, p).add(i), from.depth, P::COUNT);
                    }
                } else {
                    for i in 0..lanes {
                        *to.add(i) = word::<E, P>(at(i, p), from.depth, P::COUNT);
                    }
                }
            }
        }
        if rest > 0 {
            for i in 0..lanes {
                *panel.add(whole * width + i) = word::<E, P>(at(i, whole), from.depth, rest);
            }
        }
    }
}

/// What is called with a row, its first column and the finished sums of that segment.
type SegmentFn<'a, T> = dyn Fn(usize, usize, &mut [T]) + Sync + 'a;

/// The sums of (m × k)·(k × n), handed over in segments of rows.
///
/// # Safety
/// The operands cover m × k and n × k; the kernel's instructions are there.
unsafe fn run<L: Copy, R: Copy, PL: Parts<L>, PR: Parts<R>, T: Number + Default>(
    kernel: &Kernel<T>,
    (m, n, k): (usize, usize, usize),
    left: Source<L>,
    right: Source<R>,
    finish: &SegmentFn<T>,
) {
    let (words, width) = (k.div_ceil(kernel.parts), kernel.columns);
    let (panels, strips) = (m.div_ceil(kernel.rows), n.div_ceil(width));
    debug_assert!(PL::COUNT == kernel.parts && PR::COUNT == kernel.parts);
    let rows_of = |panel: usize| (panel * m).div_ceil(panels)..((panel + 1) * m).div_ceil(panels);
    let columns_of = |strip: usize| strip * width..((strip + 1) * width).min(n);
    // Lines of cache apart.
    let left_len = (m * words).next_multiple_of(16);
    with_scratch::<u32, _>(left_len + strips * width * words, |scratch| {
        let packed = SendPtr(scratch.as_mut_ptr());
        let (a, b) = (
            |row: usize| packed.get().wrapping_add(row * words),
            move |strip: usize| packed.get().wrapping_add(left_len + strip * width * words),
        );
        let pieces = panels + strips;
        threads::parallel_for(pieces, (65_536 / (words * width).max(1)).max(1), |range| {
            for piece in range {
                // SAFETY: pieces are disjoint parts of the buffer; the operands cover their lanes.
                unsafe {
                    if piece < panels {
                        let rows = rows_of(piece);
                        pack::<L, PL>(left.from(rows.start), rows.len(), k, rows.len(), a(rows.start));
                    } else {
                        let columns = columns_of(piece - panels);
                        pack::<R, PR>(right.from(columns.start), columns.len(), k, width, b(piece - panels));
                    }
                }
            }
        });
        let blocks = panels.div_ceil(TILES);
        let grain = (GRAIN / (m.div_ceil(blocks) * width * k.max(1))).max(1);
        threads::parallel_for(blocks * strips, grain, |range| {
            for task in range {
                let (block, strip) = (task % blocks, task / blocks);
                let panels = block * panels / blocks..(block + 1) * panels / blocks;
                let rows = rows_of(panels.start).start..rows_of(panels.end - 1).end;
                with_scratch::<T, _>(rows.len() * width, |sums| {
                    // SAFETY: the packed operands cover the rows and the strip, the sums the rows; the last strip is packed in
                    // its whole width.
                    unsafe {
                        block_of_tiles(kernel, words, panels.clone().map(rows_of), &a, b(strip), rows.start, sums)
                    };
                    let columns = columns_of(strip);
                    for (row, sums) in rows.zip(sums.chunks_exact_mut(width)) {
                        finish(row, columns.start, &mut sums[..columns.len()]);
                    }
                });
            }
        });
    });
}

/// The sums of some panels' rows with one strip, `kernel.columns` apart.
///
/// # Safety
/// `left` gives the packed words of a panel by its first row, `right` the strip's.
unsafe fn block_of_tiles<T: Number + Default>(
    kernel: &Kernel<T>,
    words: usize,
    panels: impl Iterator<Item = Range<usize>> + Clone,
    left: &impl Fn(usize) -> *mut u32,
    right: *const u32,
    first: usize,
    sums: &mut [T],
) {
    if words == 0 {
        sums.fill(T::default());
    }
    for from in (0..words).step_by(DEPTH) {
        let depth = DEPTH.min(words - from);
        for rows in panels.clone() {
            // SAFETY: the caller's contract.
            unsafe {
                let a = left(rows.start).cast_const().add(from * rows.len());
                let b = right.add(from * kernel.columns);
                let c = sums.as_mut_ptr().add((rows.start - first) * kernel.columns);
                (kernel.tile)(rows.len(), depth, a, b, c, kernel.columns, from > 0);
            }
        }
    }
}

/// The float32 sums of a product of bfloat16 matrices.
///
/// # Safety
/// The operands cover m × k and n × k; `kernel` is the level's.
pub(super) unsafe fn bf16_product(
    kernel: &Kernel<f32>,
    size: (usize, usize, usize),
    left: Source<bf16>,
    right: Source<bf16>,
    finish: &SegmentFn<f32>,
) {
    // SAFETY: passed on.
    unsafe { run::<bf16, bf16, Pairs, Pairs, f32>(kernel, size, left, right, finish) }
}

/// A left operand of bytes, signed or not.
pub(super) trait Byte: Copy {
    /// # Safety
    /// As for [`byte_product`].
    unsafe fn product(
        kernel: &Kernel<i32>,
        size: (usize, usize, usize),
        left: Source<Self>,
        right: Source<i8>,
        finish: &SegmentFn<i32>,
    );
}

impl Byte for u8 {
    unsafe fn product(
        kernel: &Kernel<i32>,
        size: (usize, usize, usize),
        left: Source<u8>,
        right: Source<i8>,
        finish: &SegmentFn<i32>,
    ) {
        // SAFETY: passed on.
        unsafe {
            match kernel.parts {
                4 => run::<u8, i8, Quads, Quads, i32>(kernel, size, left, right, finish),
                _ => run::<u8, i8, Pairs, Pairs, i32>(kernel, size, left, right, finish),
            }
        }
    }
}

impl Byte for i8 {
    unsafe fn product(
        kernel: &Kernel<i32>,
        (m, n, k): (usize, usize, usize),
        left: Source<i8>,
        right: Source<i8>,
        finish: &SegmentFn<i32>,
    ) {
        // SAFETY: passed on.
        unsafe {
            if kernel.parts != 4 {
                return run::<i8, i8, Pairs, Pairs, i32>(kernel, (m, n, k), left, right, finish);
            }
            // Every left element is 128 too large: the products of 128 with the right operand's columns come off again.
            let mut excess = vec![0i32; n];
            let places = SendPtr(excess.as_mut_ptr());
            let row = Source { ptr: [128u8].as_ptr(), lane: 0, depth: 0 };
            // SAFETY: the row is read at one place; segments of it are disjoint.
            run::<u8, i8, Quads, Quads, i32>(kernel, (1, n, k), row, right, &|_, first, sums| {
                std::slice::from_raw_parts_mut(places.get().add(first), sums.len()).copy_from_slice(sums);
            });
            run::<i8, i8, Shifted, Quads, i32>(kernel, (m, n, k), left, right, &|row, first, sums| {
                for (sum, excess) in sums.iter_mut().zip(&excess[first..]) {
                    *sum = sum.wrapping_sub(*excess);
                }
                finish(row, first, sums);
            });
        }
    }
}

/// The int32 sums of a product of bytes, which wrap.
///
/// # Safety
/// The operands cover m × k and n × k.
pub(super) unsafe fn byte_product<L: Byte>(
    size: (usize, usize, usize),
    left: Source<L>,
    right: Source<i8>,
    finish: &SegmentFn<i32>,
) {
    // SAFETY: passed on; the kernel is the level's.
    unsafe { L::product(byte_kernel(true), size, left, right, finish) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

    const SIZES: [(usize, usize, usize); 8] =
        [(1, 1, 1), (2, 3, 5), (17, 33, 64), (13, 70, 67), (130, 31, 7), (1, 40, 2100), (29, 65, 1030), (4, 5, 0)];

    /// Bytes of every value, the extremes among them.
    fn byte(i: usize) -> u8 {
        match i % 7 {
            0 => 0x80,
            3 => 0x7f,
            _ => (i.wrapping_mul(2_654_435_761) >> 11) as u8,
        }
    }

    /// Rows × depth with the rows or the depth side by side, with gaps, or neither.
    fn layouts(lanes: usize, k: usize) -> [(usize, usize); 4] {
        [(k, 1), (1, lanes), (k + 3, 1), (2 * k + 1, 2)]
    }

    fn extent((lanes, k): (usize, usize), (lane, depth): (usize, usize)) -> usize {
        if k == 0 { 0 } else { (lanes - 1) * lane + (k - 1) * depth + 1 }
    }

    fn for_all_layouts(f: impl Fn((usize, usize, usize), (usize, usize), (usize, usize))) {
        for (m, n, k) in SIZES {
            for (left, right) in layouts(m, k).into_iter().flat_map(|l| layouts(n, k).into_iter().map(move |r| (l, r)))
            {
                f((m, n, k), left, right);
            }
        }
    }

    fn bytes_match<L: Byte>(from: fn(u8) -> L, value: fn(u8) -> i64) {
        for_all_layouts(|(m, n, k), left, right| {
            let x: Vec<u8> = (0..extent((m, k), left)).map(byte).collect();
            let y: Vec<u8> = (0..extent((n, k), right)).map(|i| byte(3 * i + 1)).collect();
            let (a, b): (Vec<L>, Vec<i8>) =
                (x.iter().map(|&v| from(v)).collect(), y.iter().map(|&v| v as i8).collect());
            let (a, b) = (
                Source { ptr: a.as_ptr(), lane: left.0, depth: left.1 },
                Source { ptr: b.as_ptr(), lane: right.0, depth: right.1 },
            );
            for kernel in [true, false].map(byte_kernel) {
                let sums = std::sync::Mutex::new(vec![0i32; m * n]);
                let keep = |row: usize, first: usize, found: &mut [i32]| {
                    sums.lock().expect("no panic")[row * n + first..][..found.len()].copy_from_slice(found);
                };
                // SAFETY: the vectors have the extents of the layouts.
                unsafe { L::product(kernel, (m, n, k), a, b, &keep) };
                let sums = sums.into_inner().expect("no panic");
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let term =
                        |p: usize| value(x[i * left.0 + p * left.1]) * (y[j * right.0 + p * right.1] as i8 as i64);
                    let want: i64 = (0..k).map(term).sum();
                    assert_eq!(sums[i * n + j] as i64, want, "{m} {n} {k} {left:?} {right:?} at ({i}, {j})");
                }
            }
        });
    }

    #[test]
    fn products_of_bytes_are_exact() {
        at_every_level(|| {
            bytes_match::<u8>(|v| v, |v| v as i64);
            bytes_match::<i8>(|v| v as i8, |v| v as i8 as i64);
        });
    }

    #[test]
    fn sums_of_bytes_wrap() {
        at_every_level(|| {
            let least = vec![i8::MIN; 150_000];
            let vector = Source { ptr: least.as_ptr(), lane: 0, depth: 1 };
            for kernel in [true, false].map(byte_kernel) {
                let sum = std::sync::atomic::AtomicI32::new(0);
                let keep =
                    |_: usize, _: usize, sums: &mut [i32]| sum.store(sums[0], std::sync::atomic::Ordering::Relaxed);
                // SAFETY: the vector has 150 000 elements.
                unsafe { <i8 as Byte>::product(kernel, (1, 1, 150_000), vector, vector, &keep) };
                assert_eq!(sum.into_inner(), (150_000i64 << 14) as i32);
            }
        });
    }

    #[test]
    fn products_of_bfloat16_match_float64() {
        at_every_level(|| {
            let Some(kernel) = bf16_kernel() else { return };
            let number = |i: usize| bf16::from_f32(((i * 2_654_435_761) % 999_983) as f32 / 5e5 - 1.0);
            for_all_layouts(|(m, n, k), left, right| {
                let a: Vec<bf16> = (0..extent((m, k), left)).map(number).collect();
                let b: Vec<bf16> = (0..extent((n, k), right)).map(|i| number(7 * i + 5)).collect();
                let sums = std::sync::Mutex::new(vec![0f32; m * n]);
                let keep = |row: usize, first: usize, found: &mut [f32]| {
                    sums.lock().expect("no panic")[row * n + first..][..found.len()].copy_from_slice(found);
                };
                let x = Source { ptr: a.as_ptr(), lane: left.0, depth: left.1 };
                let y = Source { ptr: b.as_ptr(), lane: right.0, depth: right.1 };
                // SAFETY: the vectors have the extents of the layouts.
                unsafe { bf16_product(kernel, (m, n, k), x, y, &keep) };
                let sums = sums.into_inner().expect("no panic");
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let term = |p: usize| a[i * left.0 + p * left.1].to_f64() * b[j * right.0 + p * right.1].to_f64();
                    let (want, size) = (0..k).map(term).fold((0.0, 0.0), |(s, t), v: f64| (s + v, t + v.abs()));
                    let found = sums[i * n + j] as f64;
                    // Float32's rounding of each sum, a bound by far: the errors do not all go one way.
                    let bound = k as f64 * f32::EPSILON as f64 * size / 2.0;
                    assert!((found - want).abs() <= bound, "{m} {n} {k} {left:?} {right:?}: {found}, not {want}");
                }
            });
        });
    }
}
