//! Random generator state: the Mersenne Twister behind seeded tensors of the CPU, in PyTorch's layout, and Philox for
//! kernels, which is all that a GPU's generator has.

use crate::device::Device;
use crate::ensure;
use crate::error::Result;

const N: usize = 624;
const M: usize = 397;
/// The seed PyTorch's generators start from.
pub const DEFAULT_SEED: u64 = 67_280_421_310_721;
/// Bytes of a serialised state (`Generator.get_state()`): 632 little-endian words of 64 bits.
pub const STATE_BYTES: usize = 5056;
/// Bytes of a GPU generator's state: the seed and the offset.
pub const GPU_STATE_BYTES: usize = 16;
/// What a kernel's reservation adds to the offset that the outside sees. PyTorch counts words and keeps to blocks of four;
/// a kernel here has a stream of its own, so the counter is a fourth of the offset.
const OFFSET_STEP: u64 = 4;

// Places of the fields in the serialised state, in 64-bit words. PyTorch neither writes nor reads the word `PHILOX`,
// so both libraries read each other's states and ours keeps the position of the kernel generator too.
const WORD_SEED: usize = 0;
const WORD_LEFT_SEEDED: usize = 1;
const WORD_NEXT: usize = 2;
const WORD_STATE: usize = 3;
const WORD_PHILOX: usize = WORD_STATE + N;
const WORD_NORMAL: usize = WORD_STATE + N + 1;
const WORD_NORMAL_VALID: usize = WORD_STATE + N + 3;
const WORD_NORMAL_F32: usize = WORD_STATE + N + 4;

/// A seeded source of random numbers: `mt19937` (Matsumoto and Nishimura, 1998) with the cached half of the last normal
/// pair, and the seed and offset of the counter-based generator that kernels use.
#[derive(Clone)]
pub struct Generator {
    device: Device,
    seed: u64,
    /// Draws left before the state must be renewed, counted as PyTorch does (1 means renew now).
    left: u32,
    next: u32,
    mt: [u32; N],
    cached_normal: Option<f64>,
    cached_normal_f32: Option<f32>,
    philox_offset: u64,
}

impl Default for Generator {
    fn default() -> Self {
        Generator::new(DEFAULT_SEED)
    }
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Generator::on(Device::Cpu, seed)
    }

    /// A generator for tensors of `device`.
    pub fn on(device: Device, seed: u64) -> Self {
        let mut g = Generator {
            device,
            seed: 0,
            left: 1,
            next: 0,
            mt: [0; N],
            cached_normal: None,
            cached_normal_f32: None,
            philox_offset: 0,
        };
        g.manual_seed(seed);
        g
    }

    /// Restarts the generator; the twister uses the low 32 bits, Philox all 64.
    pub fn manual_seed(&mut self, seed: u64) {
        self.seed = seed;
        self.mt[0] = seed as u32;
        for i in 1..N {
            let prev = self.mt[i - 1];
            self.mt[i] = 1_812_433_253u32.wrapping_mul(prev ^ (prev >> 30)).wrapping_add(i as u32);
        }
        self.left = 1;
        self.next = 0;
        self.cached_normal = None;
        self.cached_normal_f32 = None;
        self.philox_offset = 0;
    }

    /// Restarts the generator from the system's entropy and returns the seed chosen.
    pub fn seed(&mut self) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        // Each RandomState carries keys that the standard library draws from the system.
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        hasher.write_u128(now.map_or(0, |d| d.as_nanos()));
        // 53 bits, so that the seed survives a trip through a double.
        let seed = hasher.finish() & ((1 << 53) - 1);
        self.manual_seed(seed);
        seed
    }

    pub fn initial_seed(&self) -> u64 {
        self.seed
    }

    /// Where the numbers are made.
    pub fn device(&self) -> Device {
        self.device
    }

    /// One draw of 32 bits.
    #[inline]
    pub fn random(&mut self) -> u32 {
        self.left -= 1;
        if self.left == 0 {
            self.renew();
        }
        let y = temper(self.mt[self.next as usize]);
        self.next += 1;
        y
    }

    /// Two draws as one number of 64 bits, the first one on top.
    #[inline]
    pub fn random64(&mut self) -> u64 {
        let high = self.random() as u64;
        high << 32 | self.random() as u64
    }

    /// The next `out.len()` draws at once.
    pub fn fill_random(&mut self, out: &mut [u32]) {
        let mut rest = out;
        while !rest.is_empty() {
            if self.left == 1 {
                self.renew();
                self.left = N as u32 + 1;
            }
            // `left` is one more than the words not yet drawn, except right after `random` renewed the state.
            let ready = (self.left as usize - 1).min(rest.len());
            let (now, later) = rest.split_at_mut(ready);
            for (o, &y) in now.iter_mut().zip(&self.mt[self.next as usize..]) {
                *o = temper(y);
            }
            self.next += ready as u32;
            self.left -= ready as u32;
            rest = later;
        }
    }

    /// A uniform double in [0, 1) with 53 random bits.
    #[inline]
    pub fn uniform_f64(&mut self) -> f64 {
        (self.random64() & ((1 << 53) - 1)) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A uniform float in [0, 1) with 24 random bits.
    #[inline]
    pub fn uniform_f32(&mut self) -> f32 {
        (self.random() & 0xff_ffff) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// A standard normal double by Box–Muller; the second of each pair waits for the next call.
    pub fn normal_f64(&mut self) -> f64 {
        if let Some(z) = self.cached_normal.take() {
            return z;
        }
        let (u1, u2) = (self.uniform_f64(), self.uniform_f64());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let (sin, cos) = (2.0 * std::f64::consts::PI * u1).sin_cos();
        self.cached_normal = Some(radius * sin);
        radius * cos
    }

    /// The (seed, offset) pair of a kernel about to be recorded; every kernel gets an offset of its own.
    pub fn reserve_philox(&mut self) -> (u64, u64) {
        let offset = self.philox_offset;
        self.philox_offset += 1;
        (self.seed, offset)
    }

    fn check_offset(&self) -> Result<()> {
        ensure!(self.device != Device::Cpu, Runtime, "CPU Generator does not use offset");
        Ok(())
    }

    /// How far a GPU's generator has come.
    pub fn offset(&self) -> Result<u64> {
        self.check_offset()?;
        Ok(self.philox_offset * OFFSET_STEP)
    }

    pub fn set_offset(&mut self, offset: u64) -> Result<()> {
        self.check_offset()?;
        ensure!(offset.is_multiple_of(OFFSET_STEP), Runtime, "offset must be a multiple of 4");
        self.philox_offset = offset / OFFSET_STEP;
        Ok(())
    }

    /// The state in the byte layout of PyTorch's `Generator.get_state()`.
    pub fn state(&self) -> Vec<u8> {
        if self.device != Device::Cpu {
            return [self.seed, self.philox_offset * OFFSET_STEP].iter().flat_map(|w| w.to_le_bytes()).collect();
        }
        let mut words = [0u64; STATE_BYTES / 8];
        words[WORD_SEED] = self.seed;
        words[WORD_LEFT_SEEDED] = self.left as u64 | 1 << 32;
        words[WORD_NEXT] = self.next as u64;
        for (w, &y) in words[WORD_STATE..].iter_mut().zip(&self.mt) {
            *w = y as u64;
        }
        words[WORD_PHILOX] = self.philox_offset;
        words[WORD_NORMAL] = self.cached_normal.unwrap_or(0.0).to_bits();
        words[WORD_NORMAL_VALID] = self.cached_normal.is_some() as u64;
        let cached = self.cached_normal_f32;
        words[WORD_NORMAL_F32] = cached.unwrap_or(0.0).to_bits() as u64 | (cached.is_some() as u64) << 32;
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// Restores a state made by [`Generator::state`] or by PyTorch.
    pub fn set_state(&mut self, bytes: &[u8]) -> Result<()> {
        let word = |i: usize| {
            let mut le = [0u8; 8];
            le.copy_from_slice(&bytes[i * 8..i * 8 + 8]);
            u64::from_le_bytes(le)
        };
        if self.device != Device::Cpu {
            // PyTorch also reads states without an offset.
            let seed_only = bytes.len() == GPU_STATE_BYTES / 2;
            ensure!(seed_only || bytes.len() == GPU_STATE_BYTES, Runtime, "RNG state is wrong size");
            self.set_offset(if seed_only { 0 } else { word(1) })?;
            self.seed = word(0);
            return Ok(());
        }
        ensure!(
            bytes.len() == STATE_BYTES,
            Runtime,
            "Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG state size to be {}",
            bytes.len()
        );
        let (left, next) = (word(WORD_LEFT_SEEDED) as u32, word(WORD_NEXT));
        let seeded = word(WORD_LEFT_SEEDED) >> 32 == 1;
        let in_range = (1..=N as u32).contains(&left) && next <= N as u64 && (left == 1 || left as u64 + next <= 625);
        ensure!(seeded && in_range, Runtime, "Invalid mt19937 state");
        self.seed = word(WORD_SEED);
        self.left = left;
        self.next = next as u32;
        for i in 0..N {
            self.mt[i] = word(WORD_STATE + i) as u32;
        }
        self.philox_offset = word(WORD_PHILOX);
        self.cached_normal = (word(WORD_NORMAL_VALID) as u32 != 0).then(|| f64::from_bits(word(WORD_NORMAL)));
        let cached = word(WORD_NORMAL_F32);
        self.cached_normal_f32 = (cached >> 32 & 0xff != 0).then(|| f32::from_bits(cached as u32));
        Ok(())
    }

    fn renew(&mut self) {
        let mix = |a: u32, b: u32, far: u32| {
            let twist = (a & 0x8000_0000 | b & 0x7fff_ffff) >> 1;
            far ^ twist ^ if b & 1 == 1 { 0x9908_b0df } else { 0 }
        };
        let mt = &mut self.mt;
        for i in 0..N - M {
            mt[i] = mix(mt[i], mt[i + 1], mt[i + M]);
        }
        for i in N - M..N - 1 {
            mt[i] = mix(mt[i], mt[i + 1], mt[i + M - N]);
        }
        mt[N - 1] = mix(mt[N - 1], mt[0], mt[M - 1]);
        self.left = N as u32;
        self.next = 0;
    }
}

#[inline(always)]
fn temper(mut y: u32) -> u32 {
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c_5680;
    y ^= y << 15 & 0xefc6_0000;
    y ^ y >> 18
}

/// Philox4x32-10 (Salmon et al., 2011): the four words at `(offset, block)` of the stream `seed`.
#[inline(always)]
pub fn philox4x32(seed: u64, offset: u64, block: u64) -> [u32; 4] {
    let mut c = [block as u32, (block >> 32) as u32, offset as u32, (offset >> 32) as u32];
    let (mut k0, mut k1) = (seed as u32, (seed >> 32) as u32);
    for round in 0..10 {
        if round > 0 {
            k0 = k0.wrapping_add(0x9e37_79b9);
            k1 = k1.wrapping_add(0xbb67_ae85);
        }
        let p0 = c[0] as u64 * 0xd251_1f53;
        let p1 = c[2] as u64 * 0xcd9e_8d57;
        c = [(p1 >> 32) as u32 ^ c[1] ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k1, p0 as u32];
    }
    c
}

/// The 32 random bits of element `index`: word `index % 4` of block `index / 4`.
#[inline]
pub fn philox_bits(seed: u64, offset: u64, index: u64) -> u32 {
    philox4x32(seed, offset, index / 4)[(index % 4) as usize]
}

/// 32 random bits as a float in [0, 1) on a grid of 2⁻²⁴.
#[inline(always)]
pub fn unit_f32(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

/// The uniform number in [0, 1) that belongs to element `index` of the kernel with this seed and offset.
#[inline]
pub fn philox_uniform(seed: u64, offset: u64, index: u64) -> f32 {
    unit_f32(philox_bits(seed, offset, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twister_matches_the_reference_stream() {
        // The first outputs of the authors' generator for seed 5489, and its 10,000th (C++ standard, [rand.predef]).
        let mut g = Generator::new(5489);
        assert_eq!([g.random(), g.random(), g.random()], [3_499_211_612, 581_869_302, 3_890_346_734]);
        for _ in 3..9999 {
            g.random();
        }
        assert_eq!(g.random(), 4_123_659_995);
    }

    #[test]
    fn bulk_draws_continue_single_draws() {
        let (mut a, mut b) = (Generator::new(3), Generator::new(3));
        for len in [1usize, 5, 623, 624, 625, 1, 2000, 0, 7] {
            let mut bulk = vec![0; len];
            a.fill_random(&mut bulk);
            let single: Vec<u32> = (0..len).map(|_| b.random()).collect();
            assert_eq!(bulk, single);
            assert_eq!(a.random(), b.random());
            assert_eq!(a.state(), b.state());
        }
    }

    #[test]
    fn state_round_trips() {
        let mut g = Generator::new(u64::MAX - 4);
        g.normal_f64();
        g.reserve_philox();
        let mut copy = Generator::default();
        copy.set_state(&g.state()).expect("a valid state");
        assert_eq!(copy.normal_f64(), g.normal_f64());
        assert_eq!(copy.random64(), g.random64());
        assert_eq!(copy.reserve_philox(), (u64::MAX - 4, 1));
        assert!(copy.set_state(&[0; 16]).is_err());
        assert!(copy.set_state(&[0; STATE_BYTES]).is_err());
    }

    #[test]
    fn the_state_of_a_gpu_is_seed_and_offset() {
        let mut g = Generator::on(Device::Gpu(0), 7);
        g.reserve_philox();
        assert_eq!(g.offset().expect("a GPU's"), 4);
        let mut copy = Generator::on(Device::Gpu(1), 0);
        copy.set_state(&g.state()).expect("a valid state");
        assert_eq!(copy.reserve_philox(), (7, 1));
        assert!(copy.set_offset(6).is_err());
        assert!(copy.set_state(&[0; STATE_BYTES]).is_err());
        copy.set_state(&9u64.to_le_bytes()).expect("a seed alone");
        assert_eq!(copy.reserve_philox(), (9, 0));
        assert!(Generator::new(0).offset().is_err());
    }

    #[test]
    fn philox_matches_the_published_vectors() {
        // Known answers of the Random123 distribution for counter and key all zero, all ones.
        assert_eq!(philox4x32(0, 0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32(!0, !0, !0), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }
}
