//! The register tile of convolution: a few rows of packed weights times one panel of packed pixels.
//!
//! `a` is packed as `[k][rows]`, or lies in rows as panels of pixels do, `b` as `[k][columns]` with two vectors of columns, and the
//! tile is accumulated in registers: up to 14×32 float32 with AVX-512, 6×16 with AVX2, 12×8 with NEON.

use crate::cpu::conv::vector::{Lanes, Vector};
use crate::cpu::conv::winograd::Transforms;
use crate::cpu::planes::Widen;
use crate::cpu::scratch::Number;
use crate::cpu::simd::{Level, level};

/// How a tile begins.
#[derive(Clone, Copy)]
pub enum Start<T> {
    /// From zero.
    Zero,
    /// Every row from its bias.
    Bias(*const T),
    /// From what the output holds.
    Add,
}

/// Rows in panels, `[panel][row][k]`, each of as many `k` as a tile has columns.
#[derive(Clone, Copy)]
pub struct Panels<T> {
    /// The first row of the tile in the first panel.
    pub at: *const T,
    /// From a panel to the next.
    pub pitch: usize,
    pub count: usize,
}

type RowsFn<T> = unsafe fn(usize, Panels<T>, *const T, *mut T, usize, Start<T>);
type TileFn<T> = unsafe fn(usize, usize, *const T, *const T, *mut T, usize, Start<T>);

/// The tile kernel of one element type at one instruction-set level.
#[derive(Clone, Copy)]
pub struct Tile<T> {
    /// The most rows of a tile.
    pub rows: usize,
    /// The columns of a tile.
    pub columns: usize,
    run: TileFn<T>,
    run_rows: RowsFn<T>,
}

impl<T> Tile<T> {
    /// `c[r·ldc + j] = start + Σ a[k·rows + r] · b[k·columns + j]`.
    ///
    /// # Safety
    /// `1 ≤ rows ≤ self.rows`; `a`, `b`, `c` and the bias hold what the formula reads and writes.
    #[inline(always)]
    pub unsafe fn run(&self, rows: usize, k: usize, a: *const T, b: *const T, c: *mut T, ldc: usize, start: Start<T>) {
        debug_assert!((1..=self.rows).contains(&rows));
        // SAFETY: the caller's contract; the level was available when the tile was chosen.
        unsafe { (self.run)(rows, k, a, b, c, ldc, start) }
    }

    /// As [`Tile::run`], where `a` lies in rows.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn run_rows(&self, rows: usize, a: Panels<T>, b: *const T, c: *mut T, ldc: usize, start: Start<T>) {
        debug_assert!((1..=self.rows).contains(&rows));
        // SAFETY: as above.
        unsafe { (self.run_rows)(rows, a, b, c, ldc, start) }
    }
}

/// float32 and float64.
pub trait Real:
    Widen<Acc = Self> + Number + Default + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self>
{
    /// The tile of the level in use.
    fn tile() -> Tile<Self>;
    /// The transforms of fast convolution for flat windows or square ones; float64 is what results are compared with, and
    /// keeps to the definition.
    fn transforms(_flat: bool) -> Option<Transforms<Self>> {
        None
    }
}

/// One tile of `M` rows and two vectors of columns.
#[inline(always)]
unsafe fn tile<V: Vector, const M: usize>(
    k: usize,
    mut a: *const V::T,
    mut b: *const V::T,
    c: *mut V::T,
    ldc: usize,
    start: Start<V::T>,
) {
    // SAFETY: the contract of `Tile::run`.
    unsafe {
        ask::<V, M>(c, ldc);
        let mut acc = [[V::splat(V::T::default()); 2]; M];
        for _ in 0..k {
            add_products(&mut acc, a, 1, b);
            a = a.add(M);
            b = b.add(2 * V::LANES);
        }
        finish(acc, c, ldc, start);
    }
}

/// As [`tile`], of rows in panels.
#[inline(always)]
unsafe fn tile_of_rows<V: Vector, const M: usize>(
    a: Panels<V::T>,
    mut b: *const V::T,
    c: *mut V::T,
    ldc: usize,
    start: Start<V::T>,
) {
    // SAFETY: the contract of `Tile::run_rows`.
    unsafe {
        ask::<V, M>(c, ldc);
        let mut acc = [[V::splat(V::T::default()); 2]; M];
        for panel in 0..a.count {
            let rows = a.at.add(panel * a.pitch);
            for k in 0..2 * V::LANES {
                add_products(&mut acc, rows.add(k), 2 * V::LANES, b);
                b = b.add(2 * V::LANES);
            }
        }
        finish(acc, c, ldc, start);
    }
}

/// Adds the products of one `k`, whose rows of `a` are `pitch` apart.
#[inline(always)]
unsafe fn add_products<V: Vector, const M: usize>(acc: &mut [[V; 2]; M], a: *const V::T, pitch: usize, b: *const V::T) {
    // SAFETY: the contract of `Tile::run`.
    unsafe {
        let (b0, b1) = (V::load(b), V::load(b.add(V::LANES)));
        for (i, acc) in acc.iter_mut().enumerate() {
            let s = V::splat(*a.add(i * pitch));
            acc[0] = s.fma(b0, acc[0]);
            acc[1] = s.fma(b1, acc[1]);
        }
    }
}

/// The output arrives while the products are summed.
#[inline(always)]
unsafe fn ask<V: Vector, const M: usize>(c: *mut V::T, ldc: usize) {
    for i in 0..M {
        // SAFETY: a prefetch touches nothing.
        unsafe {
            V::prefetch(c.wrapping_add(i * ldc));
            V::prefetch(c.wrapping_add(i * ldc + V::LANES));
        }
    }
}

/// Writes the sums of a tile.
#[inline(always)]
unsafe fn finish<V: Vector, const M: usize>(acc: [[V; 2]; M], c: *mut V::T, ldc: usize, start: Start<V::T>) {
    for (i, acc) in acc.into_iter().enumerate() {
        // SAFETY: the contract of `Tile::run`.
        unsafe {
            let (c0, c1) = (c.add(i * ldc), c.add(i * ldc + V::LANES));
            let (s0, s1) = match start {
                Start::Zero => {
                    acc[0].store(c0);
                    acc[1].store(c1);
                    continue;
                }
                Start::Bias(bias) => (V::splat(*bias.add(i)), V::splat(*bias.add(i))),
                Start::Add => (V::load(c0), V::load(c1)),
            };
            acc[0].add(s0).store(c0);
            acc[1].add(s1).store(c1);
        }
    }
}

/// Defines functions that pick the tile with the wanted number of rows: packed ones, and those that lie in rows.
macro_rules! tile_fn {
    ($(#[$meta:meta])* $name:ident, $rows:ident, $v:ty, $t:ty, $($m:literal)*) => {
        $(#[$meta])*
        pub(super) unsafe fn $name(
            rows: usize, k: usize, a: *const $t, b: *const $t, c: *mut $t, ldc: usize, start: Start<$t>,
        ) {
            // SAFETY: the contract of `Tile::run`.
            unsafe {
                match rows {
                    $($m => tile::<$v, $m>(k, a, b, c, ldc, start),)*
                    _ => unreachable!("a tile has at most its kernel's rows"),
                }
            }
        }

        $(#[$meta])*
        pub(super) unsafe fn $rows(
            rows: usize, a: Panels<$t>, b: *const $t, c: *mut $t, ldc: usize, start: Start<$t>,
        ) {
            // SAFETY: the contract of `Tile::run_rows`.
            unsafe {
                match rows {
                    $($m => tile_of_rows::<$v, $m>(a, b, c, ldc, start),)*
                    _ => unreachable!("a tile has at most its kernel's rows"),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};
    tile_fn!(#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        avx512_f32, avx512_f32_rows, __m512, f32, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    tile_fn!(#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        avx512_f64, avx512_f64_rows, __m512d, f64, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    tile_fn!(#[target_feature(enable = "avx2,fma,f16c")] avx2_f32, avx2_f32_rows, __m256, f32, 1 2 3 4 5 6);
    tile_fn!(#[target_feature(enable = "avx2,fma,f16c")] avx2_f64, avx2_f64_rows, __m256d, f64, 1 2 3 4 5 6);
}
#[cfg(target_arch = "aarch64")]
mod arm {
    use super::*;
    use std::arch::aarch64::{float32x4_t, float64x2_t};
    // 24 sums, a row of two vectors and what is broadcast: 32 registers.
    tile_fn!(neon_f32, neon_f32_rows, float32x4_t, f32, 1 2 3 4 5 6 7 8 9 10 11 12);
    tile_fn!(neon_f64, neon_f64_rows, float64x2_t, f64, 1 2 3 4 5 6 7 8 9 10 11 12);
}
tile_fn!(base_f32, base_f32_rows, Lanes<f32, 4>, f32, 1 2 3 4 5 6);
tile_fn!(base_f64, base_f64_rows, Lanes<f64, 2>, f64, 1 2 3 4 5 6);

impl Real for f32 {
    fn tile() -> Tile<f32> {
        match level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Tile { rows: 14, columns: 32, run: x86::avx512_f32, run_rows: x86::avx512_f32_rows },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Tile { rows: 6, columns: 16, run: x86::avx2_f32, run_rows: x86::avx2_f32_rows },
            #[cfg(target_arch = "aarch64")]
            Level::Neon => Tile { rows: 12, columns: 8, run: arm::neon_f32, run_rows: arm::neon_f32_rows },
            _ => Tile { rows: 6, columns: 8, run: base_f32, run_rows: base_f32_rows },
        }
    }
    fn transforms(flat: bool) -> Option<Transforms<f32>> {
        Some(Transforms::of_level(flat))
    }
}

impl Real for f64 {
    fn tile() -> Tile<f64> {
        match level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Tile { rows: 14, columns: 16, run: x86::avx512_f64, run_rows: x86::avx512_f64_rows },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Tile { rows: 6, columns: 8, run: x86::avx2_f64, run_rows: x86::avx2_f64_rows },
            #[cfg(target_arch = "aarch64")]
            Level::Neon => Tile { rows: 12, columns: 4, run: arm::neon_f64, run_rows: arm::neon_f64_rows },
            _ => Tile { rows: 6, columns: 4, run: base_f64, run_rows: base_f64_rows },
        }
    }
}
