//! Conversions between float32 and the half types, many at a time: to the nearest, ties to even; NaN stays NaN.

#[cfg(target_arch = "x86_64")]
use super::simd::Level;
use super::simd::simd_dispatch;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Values of a half type's width, as bits, that one instruction converts.
#[cfg(target_arch = "x86_64")]
const LANES: usize = 8;

simd_dispatch! {
    /// `dst[i] = src[i]`.
    pub fn widen_f16(src: &[f16], dst: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if S::LEVEL >= Level::Avx2 {
            // SAFETY: this copy of the body is compiled for F16C.
            return unsafe { in_lanes(src, dst, |s, d| f16c::widen(s, d)) };
        }
        src.convert_to_f32_slice(dst);
    }
    /// `dst[i] = src[i]`, rounded.
    pub fn narrow_f16(src: &[f32], dst: &mut [f16]) {
        #[cfg(target_arch = "x86_64")]
        if S::LEVEL >= Level::Avx2 {
            // SAFETY: this copy of the body is compiled for F16C.
            return unsafe { in_lanes(src, dst, |s, d| f16c::narrow(s, d)) };
        }
        dst.convert_from_f32_slice(src);
    }
    /// Rounds to float16's values in place.
    pub fn round_f16(values: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if S::LEVEL >= Level::Avx2 {
            let mut chunks = values.chunks_exact_mut(LANES);
            // SAFETY: this copy of the body is compiled for F16C.
            chunks.by_ref().for_each(|c| unsafe { f16c::round(c.as_mut_ptr()) });
            return chunks.into_remainder().iter_mut().for_each(|v| *v = nearest_f16(*v));
        }
        values.iter_mut().for_each(|v| *v = nearest_f16(*v));
    }
    /// `dst[i] = src[i]`.
    pub fn widen_bf16(src: &[bf16], dst: &mut [f32]) {
        for (d, s) in dst.iter_mut().zip(src) {
            *d = f32::from_bits((s.to_bits() as u32) << 16);
        }
    }
    /// `dst[i] = src[i]`, rounded.
    pub fn narrow_bf16(src: &[f32], dst: &mut [bf16]) {
        for (d, &s) in dst.iter_mut().zip(src) {
            *d = bf16::from_bits(bf16_bits(s));
        }
    }
    /// Rounds to bfloat16's values in place.
    pub fn round_bf16(values: &mut [f32]) {
        for v in values.iter_mut() {
            *v = f32::from_bits((bf16_bits(*v) as u32) << 16);
        }
    }
}

/// The upper half of a float32, rounded.
#[inline(always)]
pub fn bf16_bits(v: f32) -> u16 {
    let bits = v.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // A quiet bit, so that a payload in the low half alone does not become infinity.
    (if v.is_nan() { bits >> 16 | 0x40 } else { rounded }) as u16
}

/// `x` rounded to the nearest float16, branch-free: adding and subtracting a power of two rounds to its grid.
#[inline(always)]
fn nearest_f16(x: f32) -> f32 {
    let bits = x.to_bits();
    let sign = bits & 0x8000_0000;
    let a = bits & 0x7fff_ffff;
    // Below 2^-14 the grid is 2^-24; above, ten bits of mantissa.
    let small = (f32::from_bits(a) + 0.5) - 0.5;
    let normal = f32::from_bits(a.wrapping_add(0xfff + ((a >> 13) & 1)) & !0x1fff);
    let tiny = a < 0x3880_0000;
    let r = if tiny { small } else { normal };
    let r = if r >= 65520.0 { f32::INFINITY } else { r };
    let r = if a > 0x7f80_0000 { f32::from_bits(a | 0x0040_0000) } else { r };
    f32::from_bits(r.to_bits() | sign)
}

/// Hands slices of equal length over in pieces of [`LANES`], the last of them filled up.
///
/// # Safety
/// `convert` reads and writes `LANES` elements.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn in_lanes<T: Copy + Default, U: Copy + Default>(
    src: &[T],
    dst: &mut [U],
    convert: impl Fn(*const T, *mut U) + Copy,
) {
    let whole = src.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        // SAFETY: both slices hold the piece.
        unsafe { convert(src.as_ptr().add(at), dst.as_mut_ptr().add(at)) };
    }
    if whole < src.len() {
        let (mut from, mut to) = ([T::default(); LANES], [U::default(); LANES]);
        from[..src.len() - whole].copy_from_slice(&src[whole..]);
        convert(from.as_ptr(), to.as_mut_ptr());
        dst[whole..].copy_from_slice(&to[..src.len() - whole]);
    }
}

/// Eight values by the processor's own instructions.
#[cfg(target_arch = "x86_64")]
mod f16c {
    use half::f16;
    use std::arch::x86_64::*;

    #[inline(always)]
    pub unsafe fn widen(src: *const f16, dst: *mut f32) {
        // SAFETY: the caller's: eight elements each, and F16C.
        unsafe { _mm256_storeu_ps(dst, _mm256_cvtph_ps(_mm_loadu_si128(src.cast()))) }
    }

    #[inline(always)]
    pub unsafe fn narrow(src: *const f32, dst: *mut f16) {
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(dst.cast(), _mm256_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT }>(_mm256_loadu_ps(src))) }
    }

    #[inline(always)]
    pub unsafe fn round(p: *mut f32) {
        // SAFETY: as above.
        unsafe {
            let narrow = _mm256_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT }>(_mm256_loadu_ps(p));
            _mm256_storeu_ps(p, _mm256_cvtph_ps(narrow))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::{available, with_level};

    /// Every float16 and what lies around and between its neighbours, special values, and every upper half of a float32.
    fn values() -> Vec<f32> {
        let mut v = vec![f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::INFINITY, f32::MAX, f32::MIN_POSITIVE];
        v.extend([1e-45, 65504.0, 65519.99, 65520.0, 3e-8, 2.9802322e-8, 2.980_233e-8, 1e5]);
        for bits in 0..=u16::MAX {
            let x = f16::from_bits(bits).to_f32();
            let middle = f32::from_bits(x.to_bits() | 0x1000);
            let upper = (bits as u32) << 16;
            v.extend([x, middle, f32::from_bits(x.to_bits() | 0x1001), f32::from_bits(x.to_bits() | 0xfff)]);
            v.extend([0, 0x7fff, 0x8000, 0x8001].map(|low| f32::from_bits(upper | low)));
        }
        v
    }

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    #[test]
    fn every_level_converts_as_the_definition_does() {
        let v = values();
        for level in available() {
            let (mut h, mut b) = (vec![f16::ZERO; v.len()], vec![bf16::ZERO; v.len()]);
            let (mut rounded_h, mut rounded_b) = (v.clone(), v.clone());
            let (mut wide_h, mut wide_b) = (v.clone(), v.clone());
            let done = with_level(level, || {
                narrow_f16(&v, &mut h);
                narrow_bf16(&v, &mut b);
                round_f16(&mut rounded_h);
                round_bf16(&mut rounded_b);
                widen_f16(&h, &mut wide_h);
                widen_bf16(&b, &mut wide_b);
            });
            assert!(done.is_some());
            for (i, &x) in v.iter().enumerate() {
                let (want_h, want_b) = (f16::from_f32_const(x).to_f32_const(), bf16::from_f32_const(x).to_f32_const());
                assert!(same(rounded_h[i], want_h) && same(wide_h[i], want_h), "{level:?}: float16 of {x:e}");
                assert!(same(rounded_b[i], want_b) && same(wide_b[i], want_b), "{level:?}: bfloat16 of {x:e}");
            }
        }
    }

    #[test]
    fn every_length_is_converted_to_its_end() {
        for n in 0..20 {
            let v: Vec<f32> = (0..n).map(|i| i as f32 + 0.25).collect();
            let (mut h, mut wide, mut rounded) = (vec![f16::ZERO; n], vec![0.0; n], v.clone());
            narrow_f16(&v, &mut h);
            widen_f16(&h, &mut wide);
            round_f16(&mut rounded);
            assert_eq!((&wide, &rounded), (&v, &v));
        }
    }
}
