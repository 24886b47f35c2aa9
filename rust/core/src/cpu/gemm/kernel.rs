//! The micro-kernels and the table that picks one by type, instruction-set level and tile size.

// Loops over constant ranges unroll completely, which keeps the accumulators in registers.
#![allow(clippy::needless_range_loop)]

use super::vector::{Array, Vector};
use crate::cpu::math::Real;
use crate::cpu::scratch::Number;
use crate::cpu::simd::{Level, Simd, level};

/// One tile product: c = alpha·a·b + beta·c, for `MR` rows and `NV` registers of columns.
pub(super) struct Tile<T> {
    pub k: usize,
    pub a: *const T,
    /// Strides of a along rows and along k.
    pub a_row: usize,
    pub a_depth: usize,
    /// Rows of b are contiguous and `b_depth` apart.
    pub b: *const T,
    pub b_depth: usize,
    pub c: *mut T,
    pub c_row: usize,
    pub alpha: T,
    /// With 0 the old c is not read.
    pub beta: T,
    /// Columns in the last register.
    pub last: usize,
}

type TileFn<T> = unsafe fn(&Tile<T>);
type DotsFn<T> = unsafe fn(usize, *const T, usize, *const T, usize, *mut T);
type CombineFn<T> = unsafe fn(usize, *const T, usize, *const T, usize, &mut [T]);

/// The kernels and block sizes of one type at one level.
pub(super) struct Kernels<T: 'static> {
    /// Rows of the largest tile.
    pub mr: usize,
    /// Columns of the widest tile: two registers, or three on NEON.
    pub nr: usize,
    pub lanes: usize,
    /// The largest number of products summed between two visits of a tile of C: a B panel of kc × nr fits in L1.
    pub kc: usize,
    /// Rows of A that one task packs at a time: mc × kc fits in L2.
    pub mc: usize,
    /// Indexed by `(rows − 1)·(nr/lanes) + registers − 1`; the first of a pair reads A where it lies, the second packed.
    tiles: &'static [[TileFn<T>; 2]],
    dots: [[DotsFn<T>; 2]; DOT_ROWS],
    pub combine: CombineFn<T>,
}

/// Rows and columns of the largest block of dot products.
pub(super) const DOT_ROWS: usize = 4;
pub(super) const DOT_COLS: usize = 4;
/// The longest row that `combine` accumulates, so that it stays in L1.
pub(super) const COMBINE_COLS: usize = 1024;

impl<T> Kernels<T> {
    #[inline]
    pub fn tile(&self, rows: usize, cols: usize, packed: bool) -> TileFn<T> {
        self.tiles[(rows - 1) * (self.nr / self.lanes) + cols.div_ceil(self.lanes) - 1][packed as usize]
    }
    /// The block of `rows` × (DOT_COLS if `wide`, else 1) dot products.
    #[inline]
    pub fn dots(&self, rows: usize, wide: bool) -> DotsFn<T> {
        self.dots[rows - 1][wide as usize]
    }
}

/// The types in which products are computed: f32 and f64.
pub trait Compute: Real + Number {
    #[doc(hidden)]
    fn kernels() -> &'static KernelsOf<Self>;
    /// Transposes whole blocks: `dst[j·ds + i] = src[i·ss + j]` for `BLOCK` rows and columns.
    ///
    /// # Safety
    /// Both blocks are valid, and the level's instructions are there.
    #[doc(hidden)]
    unsafe fn transpose_block<S: Simd>(src: *const Self, ss: usize, dst: *mut Self, ds: usize);
    #[doc(hidden)]
    const BLOCK: usize;
}

/// Keeps the table's type out of the public interface.
pub struct KernelsOf<T: 'static>(pub(super) Kernels<T>);

/// With `PACKED` the strides of A are (1, MR): known offsets instead of a chain of additions as long as the arithmetic.
///
/// # Safety
/// The instruction set of `V` is there; the tile's pointers and strides describe valid memory.
#[inline(always)]
unsafe fn tile<V: Vector, const MR: usize, const NV: usize, const PACKED: bool>(t: &Tile<V::T>)
where
    V::T: Real,
{
    // SAFETY: the caller's contract; masked lanes are not touched.
    unsafe {
        let last = V::mask(t.last);
        let whole = t.last == V::LANES;
        let (a_row, a_depth) = if PACKED { (1, MR) } else { (t.a_row, t.a_depth) };
        for i in 0..MR {
            for v in 0..NV {
                V::prefetch(t.c.wrapping_add(i * t.c_row + v * V::LANES));
            }
        }
        let mut acc = [[V::zero(); NV]; MR];
        let (mut a, mut b) = (t.a, t.b);
        macro_rules! steps {
            ($load_last:expr) => {
                for _ in 0..t.k {
                    let mut row = [V::zero(); NV];
                    for (v, r) in row.iter_mut().enumerate() {
                        let p = b.add(v * V::LANES);
                        *r = if v + 1 < NV { V::load(p) } else { $load_last(p) };
                    }
                    for i in 0..MR {
                        let x = V::splat(*a.add(i * a_row));
                        for v in 0..NV {
                            acc[i][v] = x.mul_add(row[v], acc[i][v]);
                        }
                    }
                    a = a.wrapping_add(a_depth);
                    b = b.wrapping_add(t.b_depth);
                }
            };
        }
        if whole {
            steps!(|p| V::load(p))
        } else {
            steps!(|p| V::load_masked(p, last))
        }
        let (alpha, beta) = (V::splat(t.alpha), V::splat(t.beta));
        let plain = t.alpha == V::T::ONE;
        for i in 0..MR {
            for v in 0..NV {
                let c = t.c.add(i * t.c_row + v * V::LANES);
                let edge = v + 1 == NV && !whole;
                let mut r = acc[i][v];
                if !plain {
                    r = r.mul(alpha);
                }
                if t.beta != V::T::ZERO {
                    let old = if edge { V::load_masked(c, last) } else { V::load(c) };
                    r = old.mul_add(beta, r);
                }
                if edge { r.store_masked(c, last) } else { r.store(c) }
            }
        }
    }
}

/// out[i·DOT_COLS + j] = Σₚ a[i·a_row + p]·b[j·b_col + p]
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn dots<V: Vector, const MR: usize, const NC: usize>(
    k: usize,
    a: *const V::T,
    a_row: usize,
    b: *const V::T,
    b_col: usize,
    out: *mut V::T,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut acc = [[V::zero(); NC]; MR];
        let whole = k / V::LANES * V::LANES;
        let mut p = 0;
        while p < whole {
            let x: [V; MR] = std::array::from_fn(|i| V::load(a.add(i * a_row + p)));
            for j in 0..NC {
                let y = V::load(b.add(j * b_col + p));
                for i in 0..MR {
                    acc[i][j] = x[i].mul_add(y, acc[i][j]);
                }
            }
            p += V::LANES;
        }
        if p < k {
            let m = V::mask(k - p);
            for j in 0..NC {
                let y = V::load_masked(b.add(j * b_col + p), m);
                for i in 0..MR {
                    acc[i][j] = V::load_masked(a.add(i * a_row + p), m).mul_add(y, acc[i][j]);
                }
            }
        }
        for i in 0..MR {
            for j in 0..NC {
                *out.add(i * DOT_COLS + j) = acc[i][j].sum();
            }
        }
    }
}

/// y[j] += Σₚ x[p·x_step]·b[p·b_depth + j], four rows of b at a time.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn combine<V: Vector>(k: usize, x: *const V::T, x_step: usize, b: *const V::T, b_depth: usize, y: &mut [V::T]) {
    // SAFETY: the caller's contract.
    unsafe {
        let whole = y.len() / V::LANES * V::LANES;
        let edge = V::mask(y.len() - whole);
        let y_end = y.as_mut_ptr().add(whole);
        let mut p = 0;
        while p < k {
            let rows = (k - p).min(4);
            // Missing rows repeat the last one; they are not added.
            let xs: [V; 4] = std::array::from_fn(|r| V::splat(*x.add((p + r.min(rows - 1)) * x_step)));
            let from = b.add(p * b_depth);
            for j in (0..whole).step_by(V::LANES) {
                let out = y.as_mut_ptr().add(j);
                let mut sum = V::load(out);
                for (r, xr) in xs.iter().enumerate().take(rows) {
                    sum = xr.mul_add(V::load(from.add(r * b_depth + j)), sum);
                }
                sum.store(out);
            }
            if whole < y.len() {
                let mut sum = V::load_masked(y_end, edge);
                for (r, xr) in xs.iter().enumerate().take(rows) {
                    sum = xr.mul_add(V::load_masked(from.add(r * b_depth + whole), edge), sum);
                }
                sum.store_masked(y_end, edge);
            }
            p += rows;
        }
    }
}

/// A module with the kernels of one register type under its target features.
macro_rules! kernels {
    ($name:ident, $t:ty, $vector:ty, $features:literal, $nv:tt, [$($mr:literal)*], kc $kc:literal, mc $mc:literal) => {
        pub(super) mod $name {
            use super::*;
            #[cfg_attr(any(target_arch = "x86_64"), target_feature(enable = $features))]
            unsafe fn run<const MR: usize, const NV: usize, const PACKED: bool>(t: &Tile<$t>) {
                // SAFETY: the table is used only where the features are.
                unsafe { tile::<$vector, MR, NV, PACKED>(t) }
            }
            #[cfg_attr(any(target_arch = "x86_64"), target_feature(enable = $features))]
            unsafe fn run_dots<const MR: usize, const NC: usize>(
                k: usize, a: *const $t, a_row: usize, b: *const $t, b_col: usize, out: *mut $t,
            ) {
                // SAFETY: as above.
                unsafe { dots::<$vector, MR, NC>(k, a, a_row, b, b_col, out) }
            }
            #[cfg_attr(any(target_arch = "x86_64"), target_feature(enable = $features))]
            unsafe fn run_combine(k: usize, x: *const $t, x_step: usize, b: *const $t, b_depth: usize, y: &mut [$t]) {
                // SAFETY: as above.
                unsafe { combine::<$vector>(k, x, x_step, b, b_depth, y) }
            }
            const fn pair<const MR: usize, const NV: usize>() -> [TileFn<$t>; 2] {
                [run::<MR, NV, false>, run::<MR, NV, true>]
            }
            kernels!(@table $t, $vector, $nv, [$($mr)*], $kc, $mc);
        }
    };
    (@table $t:ty, $vector:ty, 2, [$($mr:literal)*], $kc:literal, $mc:literal) => {
        const TILES: &[[TileFn<$t>; 2]] = &[$(pair::<$mr, 1>(), pair::<$mr, 2>()),*];
        kernels!(@record $t, $vector, 2, $kc, $mc);
    };
    (@table $t:ty, $vector:ty, 3, [$($mr:literal)*], $kc:literal, $mc:literal) => {
        const TILES: &[[TileFn<$t>; 2]] = &[$(pair::<$mr, 1>(), pair::<$mr, 2>(), pair::<$mr, 3>()),*];
        kernels!(@record $t, $vector, 3, $kc, $mc);
    };
    (@record $t:ty, $vector:ty, $nv:tt, $kc:literal, $mc:literal) => {
        pub(in super::super) static KERNELS: KernelsOf<$t> = KernelsOf(Kernels {
            mr: TILES.len() / $nv,
            nr: <$vector as Vector>::LANES * $nv,
            lanes: <$vector as Vector>::LANES,
            kc: $kc,
            mc: $mc,
            tiles: TILES,
            dots: [
                [run_dots::<1, 1>, run_dots::<1, DOT_COLS>],
                [run_dots::<2, 1>, run_dots::<2, DOT_COLS>],
                [run_dots::<3, 1>, run_dots::<3, DOT_COLS>],
                [run_dots::<4, 1>, run_dots::<4, DOT_COLS>],
            ],
            combine: run_combine,
        });
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::vector::x86::*;
    use super::*;
    kernels!(avx512_f32, f32, F32x16, "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma", 2,
        [1 2 3 4 5 6 7 8 9 10 11 12 13 14], kc 512, mc 112);
    kernels!(avx512_f64, f64, F64x8, "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma", 2,
        [1 2 3 4 5 6 7 8 9 10 11 12 13 14], kc 512, mc 112);
    kernels!(avx2_f32, f32, F32x8, "avx2,fma", 2, [1 2 3 4 5 6], kc 320, mc 144);
    kernels!(avx2_f64, f64, F64x4, "avx2,fma", 2, [1 2 3 4 5 6], kc 256, mc 96);
    kernels!(portable_f32, f32, Array<f32, 4>, "sse2", 2, [1 2 3 4], kc 256, mc 64);
    kernels!(portable_f64, f64, Array<f64, 2>, "sse2", 2, [1 2 3 4], kc 256, mc 64);
}
#[cfg(target_arch = "aarch64")]
mod arm {
    use super::super::vector::neon::*;
    use super::*;
    kernels!(neon_f32, f32, F32x4, "neon", 3, [1 2 3 4 5 6 7 8], kc 384, mc 120);
    kernels!(neon_f64, f64, F64x2, "neon", 3, [1 2 3 4 5 6 7 8], kc 256, mc 120);
}
#[cfg(not(target_arch = "x86_64"))]
mod other {
    use super::*;
    kernels!(portable_f32, f32, Array<f32, 4>, "", 2, [1 2 3 4], kc 256, mc 64);
    kernels!(portable_f64, f64, Array<f64, 2>, "", 2, [1 2 3 4], kc 256, mc 64);
}

macro_rules! compute {
    ($t:ty, $avx512:ident, $avx2:ident, $neon:ident, $portable:ident, $block:literal, $transpose:ident) => {
        impl Compute for $t {
            const BLOCK: usize = $block;
            #[inline]
            fn kernels() -> &'static KernelsOf<$t> {
                match level() {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => &x86::$avx512::KERNELS,
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => &x86::$avx2::KERNELS,
                    #[cfg(target_arch = "aarch64")]
                    Level::Neon => &arm::$neon::KERNELS,
                    #[cfg(target_arch = "x86_64")]
                    _ => &x86::$portable::KERNELS,
                    #[cfg(not(target_arch = "x86_64"))]
                    _ => &other::$portable::KERNELS,
                }
            }
            #[inline(always)]
            unsafe fn transpose_block<S: Simd>(src: *const $t, ss: usize, dst: *mut $t, ds: usize) {
                // SAFETY: the caller's contract.
                unsafe {
                    #[cfg(target_arch = "x86_64")]
                    if S::LEVEL >= Level::Avx2 {
                        return super::vector::x86::$transpose(src, ss, dst, ds);
                    }
                    for i in 0..$block {
                        for j in 0..$block {
                            *dst.add(j * ds + i) = *src.add(i * ss + j);
                        }
                    }
                }
            }
        }
    };
}
compute!(f32, avx512_f32, avx2_f32, neon_f32, portable_f32, 8, transpose_8x8_f32);
compute!(f64, avx512_f64, avx2_f64, neon_f64, portable_f64, 4, transpose_4x4_f64);
