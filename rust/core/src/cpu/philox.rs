//! Block functions of the counter-based generator: the numbers of a stretch of elements, wherever the stretch begins.
//!
//! Element `i` of the kernel with this seed and offset has the same bits on every device, thread count and SIMD level.

use crate::rng::{philox4x32, unit_f32};
use crate::simd_dispatch;

/// Counter blocks computed together, 16 per vector register at the widest level.
const BLOCKS: usize = 16;
/// The elements those blocks hold.
const GROUP: usize = 4 * BLOCKS;
/// Elements up to which one counter block after the other is faster than a group of which most is thrown away.
const SHORT: usize = 8;

/// The random numbers of one kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Philox {
    pub seed: u64,
    pub offset: u64,
}

simd_dispatch! {
    /// The bits of the elements `4·first ..` of a kernel, `out.len()` a multiple of `GROUP`.
    fn fill_groups(seed: u64, offset: u64, first: u64, out: &mut [u32]) {
        for (g, out) in out.chunks_exact_mut(GROUP).enumerate() {
            let block = first + (g * BLOCKS) as u64;
            let mut c0: [u32; BLOCKS] = std::array::from_fn(|i| (block + i as u64) as u32);
            let mut c1: [u32; BLOCKS] = std::array::from_fn(|i| ((block + i as u64) >> 32) as u32);
            let mut c2 = [offset as u32; BLOCKS];
            let mut c3 = [(offset >> 32) as u32; BLOCKS];
            let (mut k0, mut k1) = (seed as u32, (seed >> 32) as u32);
            for _ in 0..10 {
                for i in 0..BLOCKS {
                    let p0 = c0[i] as u64 * 0xd251_1f53;
                    let p1 = c2[i] as u64 * 0xcd9e_8d57;
                    c0[i] = (p1 >> 32) as u32 ^ c1[i] ^ k0;
                    c1[i] = p1 as u32;
                    c2[i] = (p0 >> 32) as u32 ^ c3[i] ^ k1;
                    c3[i] = p0 as u32;
                }
                k0 = k0.wrapping_add(0x9e37_79b9);
                k1 = k1.wrapping_add(0xbb67_ae85);
            }
            for i in 0..BLOCKS {
                out[4 * i..4 * i + 4].copy_from_slice(&[c0[i], c1[i], c2[i], c3[i]]);
            }
        }
    }
    fn floats_of(bits: &[u32], out: &mut [f32]) {
        for (o, &b) in out.iter_mut().zip(bits) {
            *o = unit_f32(b);
        }
    }
    fn below(bits: &[u32], p: f32, out: &mut [bool]) {
        for (o, &b) in out.iter_mut().zip(bits) {
            *o = unit_f32(b) < p;
        }
    }
}

impl Philox {
    /// The 32 random bits of the elements `first ..`.
    pub fn fill_bits(self, first: u64, out: &mut [u32]) {
        // Up to the next whole counter block, then whole groups, then the rest: as a group too, unless it is short.
        let head = (first.wrapping_neg() as usize & 3).min(out.len());
        let (start, rest) = out.split_at_mut(head);
        let whole = rest.len() / GROUP * GROUP;
        let (groups, tail) = rest.split_at_mut(whole);
        self.fill_single(first, start);
        let first = first + head as u64;
        fill_groups(self.seed, self.offset, first / 4, groups);
        let first = first + whole as u64;
        if tail.len() <= SHORT {
            return self.fill_single(first, tail);
        }
        let mut group = [0; GROUP];
        fill_groups(self.seed, self.offset, first / 4, &mut group);
        tail.copy_from_slice(&group[..tail.len()]);
    }

    fn fill_single(self, first: u64, out: &mut [u32]) {
        let mut at = first;
        let mut rest = out;
        while !rest.is_empty() {
            let words = philox4x32(self.seed, self.offset, at / 4);
            let skip = (at % 4) as usize;
            let n = (4 - skip).min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&words[skip..skip + n]);
            at += n as u64;
            rest = later;
        }
    }

    /// The uniform numbers in [0, 1) of the elements `first ..`.
    pub fn fill_uniform(self, first: u64, out: &mut [f32]) {
        self.in_parts(first, out, floats_of);
    }

    /// Whether the uniform number of each element lies below `p`: a Bernoulli draw, or a dropout mask for keeping with
    /// probability `p`.
    pub fn fill_below(self, first: u64, p: f32, out: &mut [bool]) {
        self.in_parts(first, out, |bits, part| below(bits, p, part));
    }

    fn in_parts<T>(self, first: u64, out: &mut [T], convert: impl Fn(&[u32], &mut [T])) {
        let mut bits = [0; 8 * GROUP];
        for (i, part) in out.chunks_mut(bits.len()).enumerate() {
            let bits = &mut bits[..part.len()];
            self.fill_bits(first + (i * 8 * GROUP) as u64, bits);
            convert(bits, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd;
    use crate::rng::{philox_bits, philox_uniform};

    #[test]
    fn any_stretch_has_the_bits_of_its_elements() {
        let p = Philox { seed: 0x1234_5678_9abc_def0, offset: 77 };
        for first in [0u64, 1, 3, 4, 1000, (1 << 34) - 30] {
            for len in [0, 1, 2, 5, 9, 12, 33, 64, 76, 200, 1031] {
                let want: Vec<u32> = (0..len).map(|i| philox_bits(p.seed, p.offset, first + i as u64)).collect();
                for level in simd::available() {
                    let mut got = vec![0; len];
                    simd::with_level(level, || p.fill_bits(first, &mut got));
                    assert_eq!(got, want);
                }
            }
        }
    }

    #[test]
    fn masks_and_uniforms_agree() {
        let p = Philox { seed: 9, offset: 0 };
        let (mut u, mut keep) = (vec![0f32; 5000], vec![false; 5000]);
        p.fill_uniform(13, &mut u);
        p.fill_below(13, 0.3, &mut keep);
        assert!(u.iter().zip(&keep).all(|(&u, &k)| (u < 0.3) == k));
        assert_eq!(u[4999], philox_uniform(9, 0, 13 + 4999));
        let kept = keep.iter().filter(|&&k| k).count();
        assert!((1350..1650).contains(&kept));
    }
}
