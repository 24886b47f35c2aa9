//! The linear maps before and after the products, on vectors whose lanes are neighbouring tiles.
//!
//! With the matrices of [`super`], `V = Bᵀ·d·B`, `U = G·g·Gᵀ` and `y = Aᵀ·M·A`; each is applied to columns and then to rows. Flat
//! windows have rows only.

use crate::cpu::conv::vector::{Lanes, Vector, low_mask};
use crate::cpu::simd::{Level, level};

/// Registers that the lanes of a panel fill.
pub const REGISTERS: usize = 2;
/// Planes ahead of the transformed one that are asked for.
const AHEAD: usize = 4;
/// The most lanes of a panel.
pub const MOST_LANES: usize = 32;

/// A masked load of two neighbouring elements per lane.
#[derive(Clone, Copy, Default)]
pub struct Load {
    pub offset: isize,
    pub mask: u32,
}

/// Where the lanes of a panel read a tile of `rows` rows of pairs: for every register, row and pair `most` loads.
pub struct Loads<'a> {
    pub loads: &'a [Load],
    pub most: usize,
}

/// Where transformed tiles go: point `i` of the `j`-th one at `to + i·point + j·step`.
#[derive(Clone, Copy)]
pub struct Transformed<T> {
    pub to: *mut T,
    pub point: usize,
    pub step: usize,
}

/// Where the outputs of some neighbouring lanes go.
#[derive(Clone, Copy)]
pub struct Place {
    pub lane: usize,
    /// Outputs in a row, and rows.
    pub count: usize,
    pub rows: usize,
    /// Where the first one lies.
    pub at: usize,
}

/// The places of a panel's outputs, in planes with rows of `width`.
#[derive(Default)]
pub struct Places {
    pub places: Vec<Place>,
    pub width: usize,
}

/// Kernels as `[tap][lane]`.
pub type Kernels<T> = [[T; MOST_LANES]; 9];

/// Transforms `count` tiles, which are read from planes `plane` apart.
pub type TransformFn<T> = unsafe fn(&Loads, *const T, plane: usize, count: usize, Transformed<T>);

/// The transforms of one instruction-set level.
#[derive(Clone, Copy)]
pub struct Transforms<T> {
    /// `V` of inputs.
    pub input: TransformFn<T>,
    /// `A·y·Aᵀ` of output gradients.
    pub gradient: TransformFn<T>,
    /// `U` of the kernels of `count` lanes, stored `count` at a time.
    pub weights: unsafe fn(&Kernels<T>, count: usize, Transformed<T>),
    /// `y + bias` of the sums `m[point][lane]`, `point` elements apart, written to their places in a plane.
    pub output: unsafe fn(*const T, point: usize, bias: T, &Places, *mut T),
    /// `Gᵀ·M·G` of the sums `m[point][lane]`: gradients of kernels.
    pub weight_grad: unsafe fn(*const T, point: usize, &mut Kernels<T>),
}

impl Transforms<f32> {
    /// The transforms of the level in use, for flat windows or square ones.
    pub fn of_level(flat: bool) -> Self {
        match (level(), flat) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, false) => avx512::SQUARE,
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, true) => avx512::FLAT,
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, false) => avx2::SQUARE,
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, true) => avx2::FLAT,
            #[cfg(target_arch = "aarch64")]
            (Level::Neon, false) => neon::SQUARE,
            #[cfg(target_arch = "aarch64")]
            (Level::Neon, true) => neon::FLAT,
            (_, false) => base::SQUARE,
            (_, true) => base::FLAT,
        }
    }
}

/// `Bᵀ·d` of four rows.
#[inline(always)]
unsafe fn input_rows<V: Vector>(d: [V; 4]) -> [V; 4] {
    // SAFETY: registers only.
    unsafe { [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[1].sub(d[3])] }
}

/// `Aᵀ·m` of four rows.
#[inline(always)]
unsafe fn output_rows<V: Vector>(m: [V; 4]) -> [V; 2] {
    // SAFETY: registers only.
    unsafe { [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3])] }
}

/// `G·g` of three rows.
#[inline(always)]
unsafe fn weight_rows<V: Vector<T = f32>>(g: [V; 3]) -> [V; 4] {
    // SAFETY: registers only.
    unsafe {
        let (half, zero) = (V::splat(0.5), V::splat(0.0));
        let (outer, inner) = (g[0].add(g[2]).fma(half, zero), g[1].fma(half, zero));
        [g[0], outer.add(inner), outer.sub(inner), g[2]]
    }
}

/// `A·y` of two rows.
#[inline(always)]
unsafe fn gradient_rows<V: Vector>(y: [V; 2]) -> [V; 4] {
    // SAFETY: registers only.
    unsafe { [y[0], y[0].add(y[1]), y[0].sub(y[1]), V::splat(V::T::default()).sub(y[1])] }
}

/// `Gᵀ·m` of four rows.
#[inline(always)]
unsafe fn kernel_rows<V: Vector<T = f32>>(m: [V; 4]) -> [V; 3] {
    // SAFETY: registers only.
    unsafe {
        let half = V::splat(0.5);
        let sum = m[1].add(m[2]);
        [sum.fma(half, m[0]), m[1].sub(m[2]).fma(half, V::splat(0.0)), sum.fma(half, m[3])]
    }
}

/// Four registers, `step` numbers apart.
#[inline(always)]
unsafe fn column<V: Vector>(m: *const V::T, step: usize) -> [V; 4] {
    // SAFETY: the caller's.
    unsafe {
        [
            V::load(m),
            V::load(m.wrapping_add(step)),
            V::load(m.wrapping_add(2 * step)),
            V::load(m.wrapping_add(3 * step)),
        ]
    }
}

/// Two neighbours of every lane.
#[inline(always)]
unsafe fn pair<V: Vector>(x: *const V::T, loads: &[Load]) -> (V, V) {
    let all = low_mask(V::LANES);
    // SAFETY: the masked lanes lie inside the input.
    unsafe {
        let (mut low, mut high) = (V::splat(V::T::default()), V::splat(V::T::default()));
        for l in loads {
            let p = x.wrapping_offset(l.offset);
            low = low.join_masked(p, l.mask & all);
            high = high.join_masked(p.wrapping_add(V::LANES), l.mask >> V::LANES);
        }
        low.unzip(high)
    }
}

#[inline(always)]
unsafe fn input<V: Vector, const ROWS: usize>(
    from: &Loads,
    x: *const V::T,
    plane: usize,
    count: usize,
    to: Transformed<V::T>,
) {
    let (most, point) = (from.most, to.point);
    for i in 0..count {
        let (x, to) = (x.wrapping_add(i * plane), to.to.wrapping_add(i * to.step));
        for register in 0..REGISTERS {
            let loads = &from.loads[register * 2 * ROWS * most..][..2 * ROWS * most];
            // SAFETY: the caller's contract: loads lie inside the planes, `to` holds the points.
            unsafe {
                let mut rows = [[V::splat(V::T::default()); 4]; ROWS];
                for (r, row) in rows.iter_mut().enumerate() {
                    let (first, second) = loads[2 * r * most..][..2 * most].split_at(most);
                    // Planes lie far apart, where the processor does not look ahead.
                    let ahead = x.wrapping_offset(first[0].offset).wrapping_add(AHEAD * plane);
                    V::prefetch(ahead);
                    V::prefetch(ahead.wrapping_add(V::LANES));
                    (row[0], row[1]) = pair(x, first);
                    (row[2], row[3]) = pair(x, second);
                }
                if ROWS == 4 {
                    for c in 0..4 {
                        let column = input_rows([rows[0][c], rows[1][c], rows[2][c], rows[3][c]]);
                        for r in 0..4 {
                            rows[r][c] = column[r];
                        }
                    }
                }
                for (r, row) in rows.into_iter().enumerate() {
                    for (c, v) in input_rows(row).into_iter().enumerate() {
                        v.store(to.wrapping_add((4 * r + c) * point + register * V::LANES));
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn gradient<V: Vector, const ROWS: usize>(
    from: &Loads,
    y: *const V::T,
    plane: usize,
    count: usize,
    to: Transformed<V::T>,
) {
    let (most, point) = (from.most, to.point);
    for i in 0..count {
        let (y, to) = (y.wrapping_add(i * plane), to.to.wrapping_add(i * to.step));
        for register in 0..REGISTERS {
            let loads = &from.loads[register * ROWS * most..][..ROWS * most];
            // SAFETY: the caller's contract: loads lie inside the planes, `to` holds the points.
            unsafe {
                V::prefetch(y.wrapping_offset(loads[0].offset).wrapping_add(AHEAD * plane));
                let top: (V, V) = pair(y, &loads[..most]);
                if ROWS == 1 {
                    for (c, v) in gradient_rows([top.0, top.1]).into_iter().enumerate() {
                        v.store(to.wrapping_add(c * point + register * V::LANES));
                    }
                    continue;
                }
                let bottom: (V, V) = pair(y, &loads[most..]);
                let (left, right) = (gradient_rows([top.0, bottom.0]), gradient_rows([top.1, bottom.1]));
                for r in 0..4 {
                    for (c, v) in gradient_rows([left[r], right[r]]).into_iter().enumerate() {
                        v.store(to.wrapping_add((4 * r + c) * point + register * V::LANES));
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn weight_grad<V: Vector<T = f32>, const ROWS: usize>(m: *const f32, point: usize, to: &mut Kernels<f32>) {
    for lane in (0..REGISTERS * V::LANES).step_by(V::LANES) {
        // SAFETY: `m` holds all points and lanes, and each row of `to` all lanes.
        unsafe {
            let mut rows = [[V::splat(0.0); 4]; 3];
            for c in 0..4 {
                let top = m.wrapping_add(c * point + lane);
                if ROWS == 1 {
                    rows[0][c] = V::load(top);
                } else {
                    [rows[0][c], rows[1][c], rows[2][c]] = kernel_rows(column(top, 4 * point));
                }
            }
            for (r, row) in rows.into_iter().enumerate().take(kernel_height(ROWS)) {
                for (c, v) in kernel_rows(row).into_iter().enumerate() {
                    v.store(to[3 * r + c].as_mut_ptr().wrapping_add(lane));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn weights<V: Vector<T = f32>, const ROWS: usize>(g: &Kernels<f32>, count: usize, to: Transformed<f32>) {
    for lane in (0..count).step_by(V::LANES) {
        let mask = low_mask(V::LANES.min(count - lane));
        // SAFETY: the arrays have whole registers; `to` holds the masked lanes.
        unsafe {
            let mut rows = [[V::splat(0.0); 3]; ROWS];
            for c in 0..3 {
                let at = |tap: usize| g[tap].as_ptr().wrapping_add(lane);
                if ROWS == 1 {
                    rows[0][c] = V::load(at(c));
                } else {
                    let column = weight_rows([V::load(at(c)), V::load(at(3 + c)), V::load(at(6 + c))]);
                    for r in 0..ROWS {
                        rows[r][c] = column[r];
                    }
                }
            }
            for (r, row) in rows.into_iter().enumerate() {
                for (c, v) in weight_rows(row).into_iter().enumerate() {
                    v.store_masked(to.to.wrapping_add((4 * r + c) * to.point + lane), mask);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn output<V: Vector, const ROWS: usize>(
    m: *const V::T,
    point: usize,
    bias: V::T,
    to: &Places,
    plane: *mut V::T,
) {
    // Two rows of twice as many outputs as lanes, or one.
    let mut outputs = [[V::T::default(); 2 * MOST_LANES]; 2];
    for lane in (0..REGISTERS * V::LANES).step_by(V::LANES) {
        // SAFETY: `m` holds all points and lanes.
        unsafe {
            let mut rows = [[V::splat(bias); 4]; 2];
            for c in 0..4 {
                let top = m.wrapping_add(c * point + lane);
                if ROWS == 1 {
                    rows[0][c] = V::load(top);
                } else {
                    [rows[0][c], rows[1][c]] = output_rows(column(top, 4 * point));
                }
            }
            for (row, to) in rows.into_iter().zip(outputs.iter_mut()).take(ROWS.div_ceil(2)) {
                let [even, odd] = output_rows(row);
                let (low, high) = even.add(V::splat(bias)).zip(odd.add(V::splat(bias)));
                low.store(to.as_mut_ptr().wrapping_add(2 * lane));
                high.store(to.as_mut_ptr().wrapping_add(2 * lane + V::LANES));
            }
        }
    }
    for place in &to.places {
        for (i, row) in outputs.iter().enumerate().take(place.rows) {
            let from = row.as_ptr().wrapping_add(2 * place.lane);
            let to = plane.wrapping_add(place.at + i * to.width);
            for j in (0..place.count).step_by(V::LANES) {
                let mask = low_mask(V::LANES.min(place.count - j));
                // SAFETY: the masked lanes lie in the row and in the caller's places.
                unsafe { V::load_masked(from.wrapping_add(j), mask).store_masked(to.wrapping_add(j), mask) };
            }
        }
    }
}

/// Rows of a kernel whose transformed tiles have `rows` rows.
const fn kernel_height(rows: usize) -> usize {
    if rows == 1 { 1 } else { 3 }
}

/// Defines the transforms of one register type under its target features.
macro_rules! transforms {
    ($(#[$meta:meta])* $module:ident, $v:ty, $t:ty) => {
        mod $module {
            use super::*;
            // SAFETY of all: the table is used only where the features are; contracts are passed on.
            $(#[$meta])*
            unsafe fn input<const R: usize>(from: &Loads, x: *const $t, plane: usize, count: usize, to: Transformed<$t>) {
                unsafe { super::input::<$v, R>(from, x, plane, count, to) }
            }
            $(#[$meta])*
            unsafe fn gradient<const R: usize>(
                from: &Loads, y: *const $t, plane: usize, count: usize, to: Transformed<$t>,
            ) {
                unsafe { super::gradient::<$v, R>(from, y, plane, count, to) }
            }
            $(#[$meta])*
            unsafe fn weight_grad<const R: usize>(m: *const $t, point: usize, to: &mut Kernels<$t>) {
                unsafe { super::weight_grad::<$v, R>(m, point, to) }
            }
            $(#[$meta])*
            unsafe fn weights<const R: usize>(g: &Kernels<$t>, count: usize, to: Transformed<$t>) {
                unsafe { super::weights::<$v, R>(g, count, to) }
            }
            $(#[$meta])*
            unsafe fn output<const R: usize>(m: *const $t, point: usize, bias: $t, to: &Places, plane: *mut $t) {
                unsafe { super::output::<$v, R>(m, point, bias, to, plane) }
            }
            pub const SQUARE: Transforms<$t> = Transforms {
                input: input::<4>,
                gradient: gradient::<2>,
                weight_grad: weight_grad::<4>,
                weights: weights::<4>,
                output: output::<4>,
            };
            pub const FLAT: Transforms<$t> = Transforms {
                input: input::<1>,
                gradient: gradient::<1>,
                weight_grad: weight_grad::<1>,
                weights: weights::<1>,
                output: output::<1>,
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
transforms!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
    avx512,
    std::arch::x86_64::__m512,
    f32
);
#[cfg(target_arch = "x86_64")]
transforms!(
    #[target_feature(enable = "avx2,fma,f16c")]
    avx2,
    std::arch::x86_64::__m256,
    f32
);
#[cfg(target_arch = "aarch64")]
transforms!(neon, std::arch::aarch64::float32x4_t, f32);
transforms!(base, Lanes<f32, 4>, f32);
