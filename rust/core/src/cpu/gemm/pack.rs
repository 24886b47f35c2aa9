//! Operands and packing: how parts of A and B become the contiguous panels that the micro-kernels stream.

use super::kernel::Compute;
use super::{Matrix, RowFn, words};
use crate::cpu::math::Real;
use crate::cpu::simd::{Simd, simd_dispatch};
use crate::dtype::Element;
use half::{bf16, f16};
use std::ops::Range;

/// Fills panels of an operand. "Lanes" are the rows of A or the columns of B, "depth" is the shared dimension k.
///
/// Closures `Fn(lanes, depth, width, panel)` are packers too; that is how convolution feeds patches without storing them.
pub trait Pack<T>: Sync {
    /// Sets `panel[p·width + i]` to the element at lane `lanes.start + i` and depth `depth.start + p`, for every i below
    /// `lanes.len() ≤ width`; the rest of each row may stay as it is. Called from several threads.
    fn pack(&self, lanes: Range<usize>, depth: Range<usize>, width: usize, panel: &mut [T]);
}

impl<T, F: Fn(Range<usize>, Range<usize>, usize, &mut [T]) + Sync> Pack<T> for F {
    fn pack(&self, lanes: Range<usize>, depth: Range<usize>, width: usize, panel: &mut [T]) {
        self(lanes, depth, width, panel)
    }
}

/// One factor of a product.
#[derive(Clone, Copy)]
pub struct Operand<'a, T> {
    pub(super) pack: &'a dyn Pack<T>,
    /// The memory, when the operand is a strided matrix of T itself: address, lane stride, depth stride.
    pub(super) direct: Option<(*const T, usize, usize)>,
}

// SAFETY: the pointer is only read, and the packer is Sync.
unsafe impl<T> Sync for Operand<'_, T> {}

impl<'a, T: Compute> Operand<'a, T> {
    pub fn packed(pack: &'a dyn Pack<T>) -> Self {
        Operand { pack, direct: None }
    }
    /// A matrix in memory; the kernels may skip packing it.
    pub fn matrix<E: Storage<Acc = T>>(m: &'a Strided<E>) -> Self {
        Operand { pack: m, direct: E::DIRECT.then_some((m.ptr.cast(), m.lane, m.depth)) }
    }
}

/// A float as it lies in memory, computed with as `Acc`.
pub trait Storage: Element {
    type Acc: Compute;
    /// Whether `Acc` is the type itself.
    const DIRECT: bool;
    fn widen(self) -> Self::Acc;
    /// Rounds to nearest, ties to even.
    fn narrow(v: Self::Acc) -> Self;
    /// The sums of a product by instructions made for this type, handed over by [`RowFn`]; false, with nothing done, where
    /// the level has none.
    ///
    /// # Safety
    /// The matrices cover m × k and k × n.
    unsafe fn product_of_its_own(
        _size: (usize, usize, usize),
        _a: Matrix<Self>,
        _b: Matrix<Self>,
        _finish: &RowFn<Self::Acc>,
    ) -> bool {
        false
    }
}

impl Storage for f32 {
    type Acc = f32;
    const DIRECT: bool = true;
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(v: f32) -> f32 {
        v
    }
}

impl Storage for f64 {
    type Acc = f64;
    const DIRECT: bool = true;
    #[inline(always)]
    fn widen(self) -> f64 {
        self
    }
    #[inline(always)]
    fn narrow(v: f64) -> f64 {
        v
    }
}

impl Storage for bf16 {
    type Acc = f32;
    const DIRECT: bool = false;
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits((self.to_bits() as u32) << 16)
    }
    #[inline(always)]
    fn narrow(v: f32) -> bf16 {
        let bits = v.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        // A NaN must not round up to infinity.
        bf16::from_bits(if v.is_nan() { (bits >> 16) | 0x40 } else { rounded } as u16)
    }
    unsafe fn product_of_its_own(
        size: (usize, usize, usize),
        a: Matrix<bf16>,
        b: Matrix<bf16>,
        finish: &RowFn<f32>,
    ) -> bool {
        let Some(kernel) = words::bf16_kernel() else { return false };
        let left = words::Source { ptr: a.ptr, lane: a.row, depth: a.col };
        let right = words::Source { ptr: b.ptr, lane: b.col, depth: b.row };
        // SAFETY: passed on; the kernel is the level's.
        unsafe { words::bf16_product(kernel, size, left, right, finish) };
        true
    }
}

impl Storage for f16 {
    type Acc = f32;
    const DIRECT: bool = false;
    // Integer arithmetic instead of the conversion instructions, so that every level vectorises the loop around it.
    #[inline(always)]
    fn widen(self) -> f32 {
        let h = self.to_bits() as u32;
        let magnitude = (h & 0x7fff) << 13;
        let normal = magnitude + ((127 - 15) << 23);
        // Subnormals get an exponent and lose the implicit bit again; the largest exponent moves to f32's.
        let subnormal = f32::from_bits(normal + (1 << 23)) - f32::from_bits(113 << 23);
        let bits = if magnitude >= 31 << 23 { normal + ((128 - 16) << 23) } else { normal };
        let bits = if magnitude < 1 << 23 { subnormal.to_bits() } else { bits };
        f32::from_bits(bits | ((h & 0x8000) << 16))
    }
    #[inline(always)]
    fn narrow(v: f32) -> f16 {
        let sign = v.to_bits() & 0x8000_0000;
        let bits = v.to_bits() ^ sign;
        // Below the normal range, adding ½ puts f16's last place at f32's.
        let subnormal = (f32::from_bits(bits) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        let normal = bits.wrapping_sub((127 - 15) << 23).wrapping_add(0xfff + ((bits >> 13) & 1)) >> 13;
        let h = if bits < 113 << 23 { subnormal } else { normal };
        let h = if bits >= (127 + 16) << 23 { 0x7c00 } else { h };
        let h = if bits > 255 << 23 { 0x7e00 } else { h };
        f16::from_bits((h | (sign >> 16)) as u16)
    }
}

/// A matrix in memory: element (lane, depth) is at `ptr + lane·self.lane + depth·self.depth`.
#[derive(Clone, Copy)]
pub struct Strided<E> {
    pub(super) ptr: *const E,
    pub(super) lane: usize,
    pub(super) depth: usize,
}

// SAFETY: the memory is only read.
unsafe impl<E> Sync for Strided<E> {}

impl<E: Storage> Strided<E> {
    /// # Safety
    /// Every element that the product will address is readable for as long as the value is used.
    pub unsafe fn new(ptr: *const E, lane: usize, depth: usize) -> Self {
        Strided { ptr, lane, depth }
    }
}

impl<E: Storage> Pack<E::Acc> for Strided<E> {
    fn pack(&self, lanes: Range<usize>, depth: Range<usize>, width: usize, panel: &mut [E::Acc]) {
        if lanes.is_empty() || depth.is_empty() {
            return;
        }
        assert!(lanes.len() <= width && panel.len() >= (depth.len() - 1) * width + lanes.len());
        let src = self.ptr.wrapping_add(lanes.start * self.lane + depth.start * self.depth);
        // SAFETY: the matrix covers the ranges (`new`), and the panel was checked above.
        unsafe {
            if self.lane == 1 {
                pack_rows(src, self.depth, lanes.len(), depth.len(), width, panel.as_mut_ptr());
            } else if self.depth == 1 {
                pack_columns(src, self.lane, lanes.len(), depth.len(), width, panel.as_mut_ptr());
            } else {
                for p in 0..depth.len() {
                    for i in 0..lanes.len() {
                        panel[p * width + i] = (*src.add(i * self.lane + p * self.depth)).widen();
                    }
                }
            }
        }
    }
}

/// Elements converted at once; a constant, so that the copy becomes a few vector moves instead of a call.
const CHUNK: usize = 16;
/// Depth of the block that half-precision columns are widened into before they are transposed.
const WIDENED: usize = 64;

simd_dispatch! {
    /// dst[i] = src[i], widened.
    unsafe fn widen_into<E: Storage>(src: *const E, dst: *mut E::Acc, n: usize) {
        for i in (0..n / CHUNK * CHUNK).step_by(CHUNK) {
            for j in i..i + CHUNK {
                *dst.add(j) = (*src.add(j)).widen();
            }
        }
        for j in n / CHUNK * CHUNK..n {
            *dst.add(j) = (*src.add(j)).widen();
        }
    }
    /// dst[i] = src[i], rounded.
    pub(super) unsafe fn narrow_into<E: Storage>(src: *const E::Acc, dst: *mut E, n: usize) {
        for i in 0..n {
            *dst.add(i) = E::narrow(*src.add(i));
        }
    }
    /// Lanes lie side by side: rows are copied.
    unsafe fn pack_rows<E: Storage>(
        src: *const E, src_depth: usize, lanes: usize, depth: usize, width: usize, panel: *mut E::Acc
    ) {
        for p in 0..depth {
            let (from, to) = (src.add(p * src_depth), panel.add(p * width));
            let whole = lanes / CHUNK * CHUNK;
            for i in (0..whole).step_by(CHUNK) {
                let chunk = from.add(i).cast::<[E; CHUNK]>().read_unaligned();
                to.add(i).cast::<[E::Acc; CHUNK]>().write_unaligned(chunk.map(E::widen));
            }
            for i in whole..lanes {
                *to.add(i) = (*from.add(i)).widen();
            }
        }
    }
    /// The depth lies side by side: blocks are transposed.
    unsafe fn pack_columns<E: Storage>(
        src: *const E, src_lane: usize, lanes: usize, depth: usize, width: usize, panel: *mut E::Acc
    ) {
        if E::DIRECT {
            return transpose::<S, E::Acc>(src.cast(), src_lane, lanes, depth, width, panel);
        }
        let mut block = [E::Acc::ZERO; 8 * WIDENED];
        for p in (0..depth).step_by(WIDENED) {
            let ps = WIDENED.min(depth - p);
            for i in (0..lanes).step_by(8) {
                let is = 8.min(lanes - i);
                for l in 0..is {
                    for q in 0..ps {
                        block[l * WIDENED + q] = (*src.add((i + l) * src_lane + p + q)).widen();
                    }
                }
                transpose::<S, E::Acc>(block.as_ptr(), WIDENED, is, ps, width, panel.add(p * width + i));
            }
        }
    }
}

/// Widens `src` into `dst`, which is equally long.
pub(super) fn widen<E: Storage>(src: &[E], dst: &mut [E::Acc]) {
    assert_eq!(src.len(), dst.len());
    // SAFETY: both slices have that length.
    unsafe { widen_into(src.as_ptr(), dst.as_mut_ptr(), src.len()) }
}

/// dst[p·width + i] = src[i·src_lane + p]
///
/// # Safety
/// Both areas are valid, and the level's instructions are there.
#[inline(always)]
pub(in crate::cpu) unsafe fn transpose<S: Simd, T: Compute>(
    src: *const T,
    src_lane: usize,
    lanes: usize,
    depth: usize,
    width: usize,
    dst: *mut T,
) {
    let block = T::BLOCK;
    // SAFETY: the caller's contract; the last block of each direction overlaps its neighbour instead of reaching out.
    unsafe {
        if lanes < block || depth < block {
            for i in 0..lanes {
                for p in 0..depth {
                    *dst.add(p * width + i) = *src.add(i * src_lane + p);
                }
            }
            return;
        }
        let mut p = 0;
        loop {
            let mut i = 0;
            loop {
                T::transpose_block::<S>(src.add(i * src_lane + p), src_lane, dst.add(p * width + i), width);
                if i + block >= lanes {
                    break;
                }
                i = (i + block).min(lanes - block);
            }
            if p + block >= depth {
                break;
            }
            p = (p + block).min(depth - block);
        }
    }
}
