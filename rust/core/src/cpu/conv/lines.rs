//! Panels of columns that lie in one row of the output grid: a line of the window is read once, and what its taps see are
//! shifts of that. For AVX-512, panels of 32 float32 columns, and strides 1 and 2.

use crate::cpu::conv::patches::{Patches, Run, place};
use crate::cpu::conv::vector::low_mask;

/// Columns of a panel.
const WIDTH: usize = 32;
/// The most taps along a line: the shifts reach into one more register.
const MOST_TAPS: usize = 16;
/// Registers that hold what a panel reads of a line: 32·2 columns and the taps.
const READ: usize = 5;

/// What one panel reads.
#[derive(Default)]
pub struct Lines {
    /// Where each line of the window begins, nowhere outside the input.
    offsets: Vec<Option<isize>>,
    /// The columns inside the input, for every register.
    masks: [u16; READ],
    taps: usize,
    step: usize,
}

impl Lines {
    /// Plans the panel of `runs`; false where it has to be packed otherwise.
    pub fn plan(&mut self, patches: &Patches, runs: &[Run]) -> bool {
        let [run] = runs else { return false };
        let ([ds, hs, ws], [depth, height, width], step) = (&patches.axes, patches.size, patches.stride[2]);
        let neighbours = ws.windows(2).all(|w| w[1] == w[0] + 1);
        if run.len < WIDTH || !(2..=MOST_TAPS).contains(&ws.len()) || !neighbours || step > 2 {
            return false;
        }
        (self.taps, self.step) = (ws.len(), step);
        let column = (run.at[2] * step) as isize + ws[0];
        for (i, mask) in self.masks.iter_mut().enumerate() {
            let first = column + 16 * i as isize;
            let inside = |n: isize| low_mask((n - first).clamp(0, 16) as usize);
            *mask = (inside(width as isize) & !inside(0)) as u16;
        }
        let sample = run.sample * patches.batch_stride;
        self.offsets.clear();
        for &d in ds {
            let d = place(run.at[0], patches.stride[0], d, depth);
            self.offsets.extend(hs.iter().map(|&h| {
                let h = place(run.at[1], patches.stride[1], h, height);
                Some((sample + (d? * height + h?) * width) as isize + column)
            }));
        }
        true
    }

    /// Packs `channels` channels, `plane` apart, to `[channel][line][tap][column]`.
    ///
    /// # Safety
    /// AVX-512 is there; `x` is the first channel of the planned patches and `to` holds the rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
    pub unsafe fn pack(&self, x: *const f32, plane: usize, channels: usize, to: *mut f32) {
        let size = self.taps * WIDTH;
        for c in 0..channels {
            for (i, offset) in self.offsets.iter().enumerate() {
                let to = to.wrapping_add((c * self.offsets.len() + i) * size);
                // SAFETY: the caller's contract; masks keep reads inside the line.
                unsafe {
                    match offset {
                        None => to.write_bytes(0, size),
                        Some(offset) if self.step == 1 => {
                            self.line(x.wrapping_add(c * plane).wrapping_offset(*offset), to)
                        }
                        Some(offset) => self.line_of_pairs(x.wrapping_add(c * plane).wrapping_offset(*offset), to),
                    }
                }
            }
        }
    }

    /// One line at stride 1.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
    unsafe fn line(&self, x: *const f32, to: *mut f32) {
        use std::arch::x86_64::*;
        // SAFETY: as `pack`.
        unsafe {
            let [a, b, c] = [0, 1, 2].map(|i| _mm512_maskz_loadu_ps(self.masks[i], x.wrapping_add(16 * i)));
            _mm_prefetch::<_MM_HINT_T0>(x.wrapping_add(2 * WIDTH).cast());
            _mm_prefetch::<_MM_HINT_T0>(x.wrapping_add(2 * WIDTH + 16).cast());
            for tap in 0..self.taps {
                shifted(a, b, c, tap, to.add(tap * WIDTH));
            }
        }
    }

    /// One line at stride 2: even taps see the even columns, odd taps the odd ones.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
    unsafe fn line_of_pairs(&self, x: *const f32, to: *mut f32) {
        use std::arch::x86_64::*;
        // SAFETY: as `pack`.
        unsafe {
            let read: [__m512; READ] =
                std::array::from_fn(|i| _mm512_maskz_loadu_ps(self.masks[i], x.wrapping_add(16 * i)));
            for i in 0..4 {
                _mm_prefetch::<_MM_HINT_T0>(x.wrapping_add(2 * WIDTH + 16 * (i + 1)).cast());
            }
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let zero = _mm512_setzero_ps();
            for odd in 0..2 {
                let pick = _mm512_add_epi32(even, _mm512_set1_epi32(odd));
                let a = _mm512_permutex2var_ps(read[0], pick, read[1]);
                let b = _mm512_permutex2var_ps(read[2], pick, read[3]);
                let c = _mm512_permutex2var_ps(read[4], pick, zero);
                for tap in (odd as usize..self.taps).step_by(2) {
                    shifted(a, b, c, tap / 2, to.add(tap * WIDTH));
                }
            }
        }
    }
}

/// Stores 32 lanes of `a`, `b`, `c` from lane `shift` on.
#[inline(always)]
unsafe fn shifted(
    a: std::arch::x86_64::__m512,
    b: std::arch::x86_64::__m512,
    c: std::arch::x86_64::__m512,
    shift: usize,
    to: *mut f32,
) {
    use std::arch::x86_64::*;
    // SAFETY: the caller has AVX-512, and `to` is aligned and holds 32 elements.
    unsafe {
        let first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let pick = _mm512_add_epi32(first, _mm512_set1_epi32(shift as i32));
        _mm512_store_ps(to, _mm512_permutex2var_ps(a, pick, b));
        _mm512_store_ps(to.add(16), _mm512_permutex2var_ps(b, pick, c));
    }
}
