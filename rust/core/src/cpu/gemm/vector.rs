//! Vector registers as one small trait, so that each micro-kernel is written once.

/// A register of `LANES` numbers. The methods are compiled for whatever features their caller enables.
///
/// # Safety
/// Callers run only on processors with the implementation's instruction set; pointers cover the lanes accessed.
pub(super) trait Vector: Copy {
    type T: Copy;
    /// Selects the first n lanes.
    type Mask: Copy;
    const LANES: usize;
    unsafe fn mask(n: usize) -> Self::Mask;
    unsafe fn zero() -> Self;
    unsafe fn splat(v: Self::T) -> Self;
    unsafe fn load(p: *const Self::T) -> Self;
    /// The masked lanes, zeros elsewhere; memory behind the other lanes is not touched.
    unsafe fn load_masked(p: *const Self::T, m: Self::Mask) -> Self;
    unsafe fn store(self, p: *mut Self::T);
    unsafe fn store_masked(self, p: *mut Self::T, m: Self::Mask);
    /// self·b + c
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    /// Asks for the cache line at p, which will be written soon.
    #[inline(always)]
    unsafe fn prefetch(_p: *const Self::T) {}
    /// The sum of all lanes, halving the register again and again.
    unsafe fn sum(self) -> Self::T;
}

/// The portable register: an array that LLVM maps onto whatever the target has. Products round before they are added.
#[derive(Clone, Copy)]
pub(super) struct Array<T, const N: usize>([T; N]);

macro_rules! array_vector {
    ($($t:ty),*) => {$(
        impl<const N: usize> Vector for Array<$t, N> {
            type T = $t;
            type Mask = usize;
            const LANES: usize = N;
            #[inline(always)]
            unsafe fn mask(n: usize) -> usize {
                n
            }
            #[inline(always)]
            unsafe fn zero() -> Self {
                Array([0.0; N])
            }
            #[inline(always)]
            unsafe fn splat(v: $t) -> Self {
                Array([v; N])
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                // SAFETY: the trait's contract.
                Array(unsafe { p.cast::<[$t; N]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn load_masked(p: *const $t, n: usize) -> Self {
                let mut a = [0.0; N];
                for (i, v) in a.iter_mut().enumerate().take(n) {
                    // SAFETY: the trait's contract; i < n.
                    *v = unsafe { *p.add(i) };
                }
                Array(a)
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: the trait's contract.
                unsafe { p.cast::<[$t; N]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn store_masked(self, p: *mut $t, n: usize) {
                for (i, v) in self.0.iter().enumerate().take(n) {
                    // SAFETY: the trait's contract; i < n.
                    unsafe { *p.add(i) = *v };
                }
            }
            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                Array(std::array::from_fn(|i| self.0[i] * b.0[i] + c.0[i]))
            }
            #[inline(always)]
            unsafe fn mul(self, b: Self) -> Self {
                Array(std::array::from_fn(|i| self.0[i] * b.0[i]))
            }
            #[inline(always)]
            unsafe fn sum(self) -> $t {
                let mut a = self.0;
                let mut n = N;
                while n > 1 {
                    n /= 2;
                    for i in 0..n {
                        a[i] += a[i + n];
                    }
                }
                a[0]
            }
        }
    )*};
}
array_vector!(f32, f64);

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub struct F32x16(__m512);
    #[derive(Clone, Copy)]
    pub struct F64x8(__m512d);
    #[derive(Clone, Copy)]
    pub struct F32x8(__m256);
    #[derive(Clone, Copy)]
    pub struct F64x4(__m256d);

    macro_rules! avx512 {
        ($name:ident, $t:ty, $mask:ty, $lanes:literal, $zero:ident, $set:ident, $load:ident, $maskz:ident, $store:ident,
         $mask_store:ident, $fma:ident, $mul:ident) => {
            impl Vector for $name {
                type T = $t;
                type Mask = $mask;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn mask(n: usize) -> $mask {
                    ((1u32 << n) - 1) as $mask
                }
                #[inline(always)]
                unsafe fn zero() -> Self {
                    unsafe { $name($zero()) }
                }
                #[inline(always)]
                unsafe fn splat(v: $t) -> Self {
                    unsafe { $name($set(v)) }
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    unsafe { $name($load(p)) }
                }
                #[inline(always)]
                unsafe fn load_masked(p: *const $t, m: $mask) -> Self {
                    unsafe { $name($maskz(m, p)) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    unsafe { $store(p, self.0) }
                }
                #[inline(always)]
                unsafe fn store_masked(self, p: *mut $t, m: $mask) {
                    unsafe { $mask_store(p, m, self.0) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    unsafe { $name($fma(self.0, b.0, c.0)) }
                }
                #[inline(always)]
                unsafe fn mul(self, b: Self) -> Self {
                    unsafe { $name($mul(self.0, b.0)) }
                }
                #[inline(always)]
                unsafe fn prefetch(p: *const $t) {
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
                }
                #[inline(always)]
                unsafe fn sum(self) -> $t {
                    let mut a = [0.0; $lanes];
                    unsafe { $store(a.as_mut_ptr(), self.0) };
                    halving_sum(a)
                }
            }
        };
    }
    avx512!(
        F32x16,
        f32,
        __mmask16,
        16,
        _mm512_setzero_ps,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_maskz_loadu_ps,
        _mm512_storeu_ps,
        _mm512_mask_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_mul_ps
    );
    avx512!(
        F64x8,
        f64,
        __mmask8,
        8,
        _mm512_setzero_pd,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_maskz_loadu_pd,
        _mm512_storeu_pd,
        _mm512_mask_storeu_pd,
        _mm512_fmadd_pd,
        _mm512_mul_pd
    );

    macro_rules! avx2 {
        ($name:ident, $t:ty, $int:ty, $lanes:literal, $zero:ident, $set:ident, $load:ident, $maskload:ident, $store:ident,
         $maskstore:ident, $fma:ident, $mul:ident) => {
            impl Vector for $name {
                type T = $t;
                type Mask = __m256i;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn mask(n: usize) -> __m256i {
                    let bits: [$int; $lanes] = std::array::from_fn(|i| if i < n { -1 } else { 0 });
                    unsafe { _mm256_loadu_si256(bits.as_ptr().cast()) }
                }
                #[inline(always)]
                unsafe fn zero() -> Self {
                    unsafe { $name($zero()) }
                }
                #[inline(always)]
                unsafe fn splat(v: $t) -> Self {
                    unsafe { $name($set(v)) }
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    unsafe { $name($load(p)) }
                }
                #[inline(always)]
                unsafe fn load_masked(p: *const $t, m: __m256i) -> Self {
                    unsafe { $name($maskload(p, m)) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    unsafe { $store(p, self.0) }
                }
                #[inline(always)]
                unsafe fn store_masked(self, p: *mut $t, m: __m256i) {
                    unsafe { $maskstore(p, m, self.0) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    unsafe { $name($fma(self.0, b.0, c.0)) }
                }
                #[inline(always)]
                unsafe fn mul(self, b: Self) -> Self {
                    unsafe { $name($mul(self.0, b.0)) }
                }
                #[inline(always)]
                unsafe fn prefetch(p: *const $t) {
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
                }
                #[inline(always)]
                unsafe fn sum(self) -> $t {
                    let mut a = [0.0; $lanes];
                    unsafe { $store(a.as_mut_ptr(), self.0) };
                    halving_sum(a)
                }
            }
        };
    }
    avx2!(
        F32x8,
        f32,
        i32,
        8,
        _mm256_setzero_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_maskload_ps,
        _mm256_storeu_ps,
        _mm256_maskstore_ps,
        _mm256_fmadd_ps,
        _mm256_mul_ps
    );
    avx2!(
        F64x4,
        f64,
        i64,
        4,
        _mm256_setzero_pd,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_maskload_pd,
        _mm256_storeu_pd,
        _mm256_maskstore_pd,
        _mm256_fmadd_pd,
        _mm256_mul_pd
    );

    #[inline(always)]
    fn halving_sum<T: Copy + std::ops::Add<Output = T>, const N: usize>(mut a: [T; N]) -> T {
        let mut n = N;
        while n > 1 {
            n /= 2;
            for i in 0..n {
                a[i] = a[i] + a[i + n];
            }
        }
        a[0]
    }

    /// dst[j·ds + i] = src[i·ss + j] for an 8×8 block.
    ///
    /// # Safety
    /// AVX is there; both blocks are valid.
    #[inline(always)]
    pub unsafe fn transpose_8x8_f32(src: *const f32, ss: usize, dst: *mut f32, ds: usize) {
        unsafe {
            // Rows i and i + 4 share a register, so that two rounds of in-lane shuffles suffice.
            let pair = |i: usize, half: usize| {
                let lo = _mm256_castps128_ps256(_mm_loadu_ps(src.add(i * ss + 4 * half)));
                _mm256_insertf128_ps::<1>(lo, _mm_loadu_ps(src.add((i + 4) * ss + 4 * half)))
            };
            for half in 0..2 {
                let (r0, r1, r2, r3) = (pair(0, half), pair(1, half), pair(2, half), pair(3, half));
                let (a, b) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
                let (c, d) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
                let out = dst.add(4 * half * ds);
                _mm256_storeu_ps(out, _mm256_shuffle_ps::<0x44>(a, c));
                _mm256_storeu_ps(out.add(ds), _mm256_shuffle_ps::<0xee>(a, c));
                _mm256_storeu_ps(out.add(2 * ds), _mm256_shuffle_ps::<0x44>(b, d));
                _mm256_storeu_ps(out.add(3 * ds), _mm256_shuffle_ps::<0xee>(b, d));
            }
        }
    }

    /// dst[j·ds + i] = src[i·ss + j] for a 4×4 block.
    ///
    /// # Safety
    /// AVX is there; both blocks are valid.
    #[inline(always)]
    pub unsafe fn transpose_4x4_f64(src: *const f64, ss: usize, dst: *mut f64, ds: usize) {
        unsafe {
            let row = |i: usize| _mm256_loadu_pd(src.add(i * ss));
            let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
            let (a, b) = (_mm256_unpacklo_pd(r0, r1), _mm256_unpackhi_pd(r0, r1));
            let (c, d) = (_mm256_unpacklo_pd(r2, r3), _mm256_unpackhi_pd(r2, r3));
            _mm256_storeu_pd(dst, _mm256_permute2f128_pd::<0x20>(a, c));
            _mm256_storeu_pd(dst.add(ds), _mm256_permute2f128_pd::<0x20>(b, d));
            _mm256_storeu_pd(dst.add(2 * ds), _mm256_permute2f128_pd::<0x31>(a, c));
            _mm256_storeu_pd(dst.add(3 * ds), _mm256_permute2f128_pd::<0x31>(b, d));
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) mod neon {
    use super::Vector;
    use std::arch::aarch64::*;

    #[derive(Clone, Copy)]
    pub struct F32x4(float32x4_t);
    #[derive(Clone, Copy)]
    pub struct F64x2(float64x2_t);

    // Missing lanes are put together in registers: a copy through memory would spill the tile's sums at every step.
    #[inline(always)]
    unsafe fn low_f32(p: *const f32, n: usize) -> float32x4_t {
        // SAFETY: the trait's contract: n elements are readable.
        unsafe {
            match n {
                0 => vdupq_n_f32(0.0),
                1 => vld1q_lane_f32::<0>(p, vdupq_n_f32(0.0)),
                2 => vcombine_f32(vld1_f32(p), vdup_n_f32(0.0)),
                3 => vld1q_lane_f32::<2>(p.add(2), vcombine_f32(vld1_f32(p), vdup_n_f32(0.0))),
                _ => vld1q_f32(p),
            }
        }
    }
    #[inline(never)]
    unsafe fn store_low_f32(p: *mut f32, v: float32x4_t, n: usize) {
        // SAFETY: the trait's contract: n elements are writable.
        unsafe {
            match n {
                0 => {}
                1 => vst1q_lane_f32::<0>(p, v),
                2 => vst1_f32(p, vget_low_f32(v)),
                3 => {
                    vst1_f32(p, vget_low_f32(v));
                    vst1q_lane_f32::<2>(p.add(2), v);
                }
                _ => vst1q_f32(p, v),
            }
        }
    }
    #[inline(always)]
    unsafe fn low_f64(p: *const f64, n: usize) -> float64x2_t {
        // SAFETY: as above.
        unsafe {
            match n {
                0 => vdupq_n_f64(0.0),
                1 => vld1q_lane_f64::<0>(p, vdupq_n_f64(0.0)),
                _ => vld1q_f64(p),
            }
        }
    }
    #[inline(never)]
    unsafe fn store_low_f64(p: *mut f64, v: float64x2_t, n: usize) {
        // SAFETY: as above.
        unsafe {
            match n {
                0 => {}
                1 => vst1q_lane_f64::<0>(p, v),
                _ => vst1q_f64(p, v),
            }
        }
    }

    macro_rules! neon {
        ($name:ident, $t:ty, $lanes:literal, $dup:ident, $load:ident, $low:ident, $store:ident, $store_low:ident, $fma:ident,
         $mul:ident, $sum:ident) => {
            impl Vector for $name {
                type T = $t;
                type Mask = usize;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn mask(n: usize) -> usize {
                    n
                }
                #[inline(always)]
                unsafe fn zero() -> Self {
                    unsafe { $name($dup(0.0)) }
                }
                #[inline(always)]
                unsafe fn splat(v: $t) -> Self {
                    unsafe { $name($dup(v)) }
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    unsafe { $name($load(p)) }
                }
                #[inline(always)]
                unsafe fn load_masked(p: *const $t, n: usize) -> Self {
                    unsafe { $name($low(p, n)) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    unsafe { $store(p, self.0) }
                }
                #[inline(always)]
                unsafe fn store_masked(self, p: *mut $t, n: usize) {
                    unsafe { $store_low(p, self.0, n) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    unsafe { $name($fma(c.0, self.0, b.0)) }
                }
                #[inline(always)]
                unsafe fn mul(self, b: Self) -> Self {
                    unsafe { $name($mul(self.0, b.0)) }
                }
                #[inline(always)]
                unsafe fn sum(self) -> $t {
                    unsafe { $sum(self.0) }
                }
            }
        };
    }
    neon!(F32x4, f32, 4, vdupq_n_f32, vld1q_f32, low_f32, vst1q_f32, store_low_f32, vfmaq_f32, vmulq_f32, vaddvq_f32);
    neon!(F64x2, f64, 2, vdupq_n_f64, vld1q_f64, low_f64, vst1q_f64, store_low_f64, vfmaq_f64, vmulq_f64, vaddvq_f64);
}
