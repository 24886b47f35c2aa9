//! Vector registers behind one trait, so that a kernel is written once for every level and element type.

/// A vector register, or an array that LLVM turns into one. Masks hold one bit per lane, the lowest for the first.
pub trait Vector: Copy {
    type T: Copy + Default;
    const LANES: usize;
    unsafe fn load(p: *const Self::T) -> Self;
    unsafe fn store(self, p: *mut Self::T);
    unsafe fn splat(v: Self::T) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// `self · b + c`
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// Asks for the cache line at `p`, which may be any address.
    #[inline(always)]
    unsafe fn prefetch(_p: *const Self::T) {}
    /// Loads the masked lanes and touches no others, which become zero.
    unsafe fn load_masked(p: *const Self::T, mask: u32) -> Self;
    unsafe fn store_masked(self, p: *mut Self::T, mask: u32);
    /// The masked lanes from `p`, and zero plus the lanes of `self`, which are zero in the mask.
    #[inline(always)]
    unsafe fn join_masked(self, p: *const Self::T, mask: u32) -> Self {
        // SAFETY: passed on.
        unsafe { self.add(Self::load_masked(p, mask)) }
    }
    /// The lanes at even places of `self` followed by `other`, and those at odd places.
    #[inline(always)]
    unsafe fn unzip(self, other: Self) -> (Self, Self) {
        let mut lanes = [Self::T::default(); 32];
        let (mut even, mut odd) = ([Self::T::default(); 16], [Self::T::default(); 16]);
        // SAFETY: the arrays hold two registers and one.
        unsafe {
            self.store(lanes.as_mut_ptr());
            other.store(lanes.as_mut_ptr().add(Self::LANES));
            for i in 0..Self::LANES {
                (even[i], odd[i]) = (lanes[2 * i], lanes[2 * i + 1]);
            }
            (Self::load(even.as_ptr()), Self::load(odd.as_ptr()))
        }
    }
    /// The inverse of [`unzip`](Self::unzip).
    #[inline(always)]
    unsafe fn zip(self, other: Self) -> (Self, Self) {
        let (mut even, mut odd) = ([Self::T::default(); 16], [Self::T::default(); 16]);
        let mut lanes = [Self::T::default(); 32];
        // SAFETY: the arrays hold two registers and one.
        unsafe {
            self.store(even.as_mut_ptr());
            other.store(odd.as_mut_ptr());
            for i in 0..Self::LANES {
                (lanes[2 * i], lanes[2 * i + 1]) = (even[i], odd[i]);
            }
            (Self::load(lanes.as_ptr()), Self::load(lanes.as_ptr().add(Self::LANES)))
        }
    }

    /// Loads lane `i` from `p + i·step`; masked as above.
    #[inline(always)]
    unsafe fn load_step(p: *const Self::T, step: usize, mask: u32) -> Self {
        let mut lanes = [Self::T::default(); 16];
        for (i, lane) in lanes.iter_mut().enumerate().take(Self::LANES) {
            if mask >> i & 1 == 1 {
                // SAFETY: the caller vouches for the masked lanes.
                *lane = unsafe { *p.add(i * step) };
            }
        }
        // SAFETY: 16 lanes are enough for every register.
        unsafe { Self::load(lanes.as_ptr()) }
    }
    /// Stores lane `i` at `p + i·step`; masked as above.
    #[inline(always)]
    unsafe fn store_step(self, p: *mut Self::T, step: usize, mask: u32) {
        let mut lanes = [Self::T::default(); 16];
        // SAFETY: 16 lanes are enough for every register; the caller vouches for the masked places.
        unsafe {
            self.store(lanes.as_mut_ptr());
            for (i, lane) in lanes.iter().enumerate().take(Self::LANES) {
                if mask >> i & 1 == 1 {
                    *p.add(i * step) = *lane;
                }
            }
        }
    }
}

/// The mask of the lowest `n` lanes.
#[inline(always)]
pub fn low_mask(n: usize) -> u32 {
    ((1u64 << n) - 1) as u32
}

/// Spreads the low eight bits to the even places.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn spread(mask: u32) -> u32 {
    let m = mask & 0xff;
    let m = (m | m << 4) & 0x0f0f;
    let m = (m | m << 2) & 0x3333;
    (m | m << 1) & 0x5555
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Vector, spread};
    use std::arch::x86_64::*;

    macro_rules! vector {
        ($v:ident, $t:ty, $lanes:literal, $load:ident, $store:ident, $splat:ident, $add:ident, $sub:ident, $fma:ident, $($masked:tt)*) => {
            // SAFETY of all: the caller runs at a level that has the instructions, and vouches for the addresses.
            impl Vector for $v {
                type T = $t;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    unsafe { $load(p) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    unsafe { $store(p, self) }
                }
                #[inline(always)]
                unsafe fn splat(v: $t) -> Self {
                    unsafe { $splat(v) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                unsafe fn sub(self, other: Self) -> Self {
                    unsafe { $sub(self, other) }
                }
                #[inline(always)]
                unsafe fn fma(self, b: Self, c: Self) -> Self {
                    unsafe { $fma(self, b, c) }
                }
                #[inline(always)]
                unsafe fn prefetch(p: *const $t) {
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
                }
                $($masked)*
            }
        };
    }

    vector! {__m512, f32, 16, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_fmadd_ps,
        #[inline(always)]
        unsafe fn load_masked(p: *const f32, mask: u32) -> Self {
            unsafe { _mm512_maskz_loadu_ps(mask as u16, p) }
        }
        #[inline(always)]
        unsafe fn store_masked(self, p: *mut f32, mask: u32) {
            unsafe { _mm512_mask_storeu_ps(p, mask as u16, self) }
        }
        #[inline(always)]
        unsafe fn join_masked(self, p: *const f32, mask: u32) -> Self {
            unsafe { _mm512_mask_loadu_ps(self, mask as u16, p) }
        }
        #[inline(always)]
        unsafe fn unzip(self, other: Self) -> (Self, Self) {
            unsafe {
                let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
                (_mm512_permutex2var_ps(self, even, other), _mm512_permutex2var_ps(self, odd, other))
            }
        }
        #[inline(always)]
        unsafe fn zip(self, other: Self) -> (Self, Self) {
            unsafe {
                let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
                (_mm512_permutex2var_ps(self, low, other), _mm512_permutex2var_ps(self, high, other))
            }
        }
        #[inline(always)]
        unsafe fn load_step(p: *const f32, step: usize, mask: u32) -> Self {
            unsafe {
                if step != 2 {
                    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
                    let index = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(step as i32));
                    return _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), mask as u16, index, p);
                }
                let low = _mm512_maskz_loadu_ps(spread(mask) as u16, p);
                let high = _mm512_maskz_loadu_ps(spread(mask >> 8) as u16, p.wrapping_add(16));
                low.unzip(high).0
            }
        }
        #[inline(always)]
        unsafe fn store_step(self, p: *mut f32, step: usize, mask: u32) {
            unsafe {
                let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
                let index = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(step as i32));
                _mm512_mask_i32scatter_ps::<4>(p, mask as u16, index, self)
            }
        }
    }
    vector! {__m512d, f64, 8, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_set1_pd, _mm512_add_pd, _mm512_sub_pd, _mm512_fmadd_pd,
        #[inline(always)]
        unsafe fn load_masked(p: *const f64, mask: u32) -> Self {
            unsafe { _mm512_maskz_loadu_pd(mask as u8, p) }
        }
        #[inline(always)]
        unsafe fn store_masked(self, p: *mut f64, mask: u32) {
            unsafe { _mm512_mask_storeu_pd(p, mask as u8, self) }
        }
    }
    vector! {__m256, f32, 8, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_fmadd_ps,
        #[inline(always)]
        unsafe fn load_masked(p: *const f32, mask: u32) -> Self {
            unsafe { _mm256_maskload_ps(p, lanes_f32(mask)) }
        }
        #[inline(always)]
        unsafe fn store_masked(self, p: *mut f32, mask: u32) {
            unsafe { _mm256_maskstore_ps(p, lanes_f32(mask), self) }
        }
        #[inline(always)]
        unsafe fn unzip(self, other: Self) -> (Self, Self) {
            unsafe {
                // Of each half, the even lanes of both; then the middle quarters change places.
                let order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
                let even = _mm256_shuffle_ps::<0b10_00_10_00>(self, other);
                let odd = _mm256_shuffle_ps::<0b11_01_11_01>(self, other);
                (_mm256_permutevar8x32_ps(even, order), _mm256_permutevar8x32_ps(odd, order))
            }
        }
        #[inline(always)]
        unsafe fn zip(self, other: Self) -> (Self, Self) {
            unsafe {
                let (low, high) = (_mm256_unpacklo_ps(self, other), _mm256_unpackhi_ps(self, other));
                (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
            }
        }
    }
    vector! {__m256d, f64, 4, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_set1_pd, _mm256_add_pd, _mm256_sub_pd, _mm256_fmadd_pd,
        #[inline(always)]
        unsafe fn load_masked(p: *const f64, mask: u32) -> Self {
            unsafe { _mm256_maskload_pd(p, lanes_f64(mask)) }
        }
        #[inline(always)]
        unsafe fn store_masked(self, p: *mut f64, mask: u32) {
            unsafe { _mm256_maskstore_pd(p, lanes_f64(mask), self) }
        }
    }

    /// Mask bits as lanes of ones.
    #[inline(always)]
    unsafe fn lanes_f32(mask: u32) -> __m256i {
        // SAFETY: AVX2 is the caller's level.
        unsafe {
            let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(mask as i32), bits), bits)
        }
    }
    #[inline(always)]
    unsafe fn lanes_f64(mask: u32) -> __m256i {
        // SAFETY: AVX2 is the caller's level.
        unsafe {
            let bits = _mm256_setr_epi64x(1, 2, 4, 8);
            _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(mask as i64), bits), bits)
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::Vector;
    use std::arch::aarch64::*;

    macro_rules! vector {
        ($v:ident, $t:ty, $lanes:literal, $load:ident, $store:ident, $splat:ident, $add:ident, $sub:ident, $fma:ident,
         $even:ident, $odd:ident, $low:ident, $high:ident) => {
            // SAFETY of all: NEON is part of the target; the caller vouches for the addresses.
            impl Vector for $v {
                type T = $t;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    unsafe { $load(p) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    unsafe { $store(p, self) }
                }
                #[inline(always)]
                unsafe fn splat(v: $t) -> Self {
                    unsafe { $splat(v) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                unsafe fn sub(self, other: Self) -> Self {
                    unsafe { $sub(self, other) }
                }
                #[inline(always)]
                unsafe fn fma(self, b: Self, c: Self) -> Self {
                    unsafe { $fma(c, self, b) }
                }
                #[inline(always)]
                unsafe fn load_masked(p: *const $t, mask: u32) -> Self {
                    unsafe { if mask == super::low_mask($lanes) { Self::load(p) } else { Self::load_step(p, 1, mask) } }
                }
                #[inline(always)]
                unsafe fn store_masked(self, p: *mut $t, mask: u32) {
                    unsafe { if mask == super::low_mask($lanes) { self.store(p) } else { self.store_step(p, 1, mask) } }
                }
                #[inline(always)]
                unsafe fn unzip(self, other: Self) -> (Self, Self) {
                    unsafe { ($even(self, other), $odd(self, other)) }
                }
                #[inline(always)]
                unsafe fn zip(self, other: Self) -> (Self, Self) {
                    unsafe { ($low(self, other), $high(self, other)) }
                }
            }
        };
    }
    vector!(
        float32x4_t,
        f32,
        4,
        vld1q_f32,
        vst1q_f32,
        vdupq_n_f32,
        vaddq_f32,
        vsubq_f32,
        vfmaq_f32,
        vuzp1q_f32,
        vuzp2q_f32,
        vzip1q_f32,
        vzip2q_f32
    );
    vector!(
        float64x2_t,
        f64,
        2,
        vld1q_f64,
        vst1q_f64,
        vdupq_n_f64,
        vaddq_f64,
        vsubq_f64,
        vfmaq_f64,
        vuzp1q_f64,
        vuzp2q_f64,
        vzip1q_f64,
        vzip2q_f64
    );
}

/// 16 bytes, for the levels whose vectors LLVM makes by itself.
#[derive(Clone, Copy)]
pub struct Lanes<T, const N: usize>([T; N]);

macro_rules! array_vector {
    ($t:ty, $lanes:literal) => {
        // SAFETY of all: the caller vouches for the addresses.
        impl Vector for Lanes<$t, $lanes> {
            type T = $t;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                unsafe { Lanes(p.cast::<[$t; $lanes]>().read()) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                unsafe { p.cast::<[$t; $lanes]>().write(self.0) }
            }
            #[inline(always)]
            unsafe fn splat(v: $t) -> Self {
                Lanes([v; $lanes])
            }
            #[inline(always)]
            unsafe fn add(mut self, other: Self) -> Self {
                self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a += b);
                self
            }
            #[inline(always)]
            unsafe fn sub(mut self, other: Self) -> Self {
                self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a -= b);
                self
            }
            #[inline(always)]
            unsafe fn fma(mut self, b: Self, c: Self) -> Self {
                for ((a, b), c) in self.0.iter_mut().zip(b.0).zip(c.0) {
                    *a = *a * b + c;
                }
                self
            }
            #[inline(always)]
            unsafe fn load_masked(p: *const $t, mask: u32) -> Self {
                unsafe { if mask == low_mask($lanes) { Self::load(p) } else { Self::load_step(p, 1, mask) } }
            }
            #[inline(always)]
            unsafe fn store_masked(self, p: *mut $t, mask: u32) {
                unsafe { self.store_step(p, 1, mask) }
            }
        }
    };
}
array_vector!(f32, 4);
array_vector!(f64, 2);
