//! What this machine reaches at best, for benchmarks to be held against: the rate of float32 multiply-adds, and the
//! bandwidth of a mix of reads and writes over a working set of a size. A line of JSON for each request:
//!
//! * `fma:THREADS`: floating-point operations per second, a multiply-add being two;
//! * `move:READS:WRITES:BYTES:THREADS`: bytes per second of passes that read READS streams and write WRITES streams, which
//!   have BYTES together. A set that fits a cache stays there from pass to pass.

use corten_core::cpu::simd::{self, Level};
use corten_core::graph::Buffer;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Of one kernel and request.
const BUDGET: Duration = Duration::from_millis(200);
/// Of one measured stretch; the best stretch counts.
const STRETCH: Duration = Duration::from_millis(4);

/// Vectors of a stream that a pass handles together, so that their additions do not wait for each other.
const TOGETHER: usize = 8;
/// Floats between streams: two streams at the same place of a page would wait for each other.
const APART: usize = 1024 + 16;

/// One pass over streams of `count` floats each: the first streams are read, the others written.
type Pass = unsafe fn(*mut f32, usize) -> f32;

/// The kernels of one instruction set.
#[derive(Clone, Copy)]
struct Kernels {
    name: &'static str,
    /// Floats of a vector.
    lanes: usize,
    /// Multiply-adds that do not wait for each other: latency times those that start in a cycle, and more.
    chains: usize,
    multiply_add: unsafe fn(usize) -> f32,
    /// By reads, writes, and whether stores go around the caches.
    pass: fn(usize, usize, bool) -> Option<Pass>,
}

/// The pass of a request among all that are compiled.
macro_rules! choose {
    ($run:ident, $request:expr, $($reads:literal $writes:literal),*) => {
        match $request {
            $(($reads, $writes, false) => Some($run::<$reads, $writes, false> as Pass),
            ($reads, $writes, true) => Some($run::<$reads, $writes, true> as Pass),)*
            _ => None,
        }
    };
}

macro_rules! kernels {
    ($name:literal, $(#[$feature:meta])? $vector:ident, $lanes:literal lanes, $chains:literal chains) => {
        pub const KERNELS: Kernels = Kernels {
            name: $name,
            lanes: $lanes,
            chains: $chains,
            multiply_add,
            pass,
        };

        /// `turns` multiply-adds in each chain.
        ///
        /// # Safety
        /// The processor has the instruction set.
        $(#[$feature])?
        unsafe fn multiply_add(turns: usize) -> f32 {
            // The factors are hidden from the compiler; values stay near 1, away from denormal numbers.
            let (a, b) = (splat(black_box(0.5)), splat(black_box(0.5)));
            let mut x = [splat(1.0); $chains];
            for _ in 0..turns {
                for v in &mut x {
                    *v = fused(*v, a, b);
                }
            }
            total(&x)
        }

        /// # Safety
        /// The processor has the instruction set; at `base` are R + W streams of `count` floats, APART floats between
        /// them, aligned to a vector; `count` is a multiple of TOGETHER vectors.
        $(#[$feature])?
        unsafe fn run<const R: usize, const W: usize, const AROUND: bool>(base: *mut f32, count: usize) -> f32 {
            let mut sums = [splat(0.0); TOGETHER];
            for i in (0..count).step_by(TOGETHER * $lanes) {
                if W > 0 {
                    sums = [splat(1.0); TOGETHER];
                }
                for stream in 0..R + W {
                    for (k, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: inside the streams, as the caller promises.
                        unsafe {
                            let place = base.add(stream * (count + APART) + i + k * $lanes).cast::<$vector>();
                            if stream < R {
                                *sum = add(*sum, place.read());
                            } else if AROUND {
                                around(place, *sum);
                            } else {
                                place.write(*sum);
                            }
                        }
                    }
                }
            }
            total(&sums)
        }

        $(#[$feature])?
        fn total(vectors: &[$vector]) -> f32 {
            let mut sum = splat(0.0);
            for &v in vectors {
                sum = add(sum, v);
            }
            // SAFETY: a vector is its floats.
            unsafe { std::slice::from_raw_parts((&raw const sum).cast::<f32>(), $lanes) }.iter().sum()
        }

        fn pass(reads: usize, writes: usize, around: bool) -> Option<Pass> {
            let request = (reads, writes, around);
            choose!(run, request, 0 1, 0 2, 1 0, 1 1, 1 2, 2 0, 2 1, 2 2, 3 0, 3 1, 3 2, 4 0, 4 1, 4 2)
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::*;
    use std::arch::x86_64::*;

    kernels!("avx512", #[target_feature(enable = "avx512f")] __m512, 16 lanes, 24 chains);

    #[target_feature(enable = "avx512f")]
    fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[target_feature(enable = "avx512f")]
    fn add(x: __m512, y: __m512) -> __m512 {
        _mm512_add_ps(x, y)
    }
    #[target_feature(enable = "avx512f")]
    fn fused(x: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_fmadd_ps(x, a, b)
    }
    /// # Safety
    /// `place` may be written and is aligned.
    #[target_feature(enable = "avx512f")]
    unsafe fn around(place: *mut __m512, x: __m512) {
        // SAFETY: the caller's.
        unsafe { _mm512_stream_ps(place.cast(), x) }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::*;
    use std::arch::x86_64::*;

    kernels!("avx2", #[target_feature(enable = "avx2,fma")] __m256, 8 lanes, 12 chains);

    #[target_feature(enable = "avx2,fma")]
    fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }
    #[target_feature(enable = "avx2,fma")]
    fn add(x: __m256, y: __m256) -> __m256 {
        _mm256_add_ps(x, y)
    }
    #[target_feature(enable = "avx2,fma")]
    fn fused(x: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_fmadd_ps(x, a, b)
    }
    /// # Safety
    /// `place` may be written and is aligned.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn around(place: *mut __m256, x: __m256) {
        // SAFETY: the caller's.
        unsafe { _mm256_stream_ps(place.cast(), x) }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::*;
    use std::arch::aarch64::*;

    kernels!("neon", #[target_feature(enable = "neon")] float32x4_t, 4 lanes, 24 chains);

    #[target_feature(enable = "neon")]
    fn splat(x: f32) -> float32x4_t {
        vdupq_n_f32(x)
    }
    #[target_feature(enable = "neon")]
    fn add(x: float32x4_t, y: float32x4_t) -> float32x4_t {
        vaddq_f32(x, y)
    }
    #[target_feature(enable = "neon")]
    fn fused(x: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vfmaq_f32(b, x, a)
    }
    /// Rust has no such store here, and processors find out by themselves that a stream is written whole.
    ///
    /// # Safety
    /// `place` may be written.
    #[target_feature(enable = "neon")]
    unsafe fn around(place: *mut float32x4_t, x: float32x4_t) {
        // SAFETY: the caller's.
        unsafe { place.write(x) }
    }
}

/// Without intrinsics: multiplication and addition are two instructions.
mod portable {
    use super::*;

    type Four = [f32; 4];

    kernels!("portable", Four, 4 lanes, 12 chains);

    fn splat(x: f32) -> Four {
        [x; 4]
    }
    #[inline(always)]
    fn add(x: Four, y: Four) -> Four {
        std::array::from_fn(|k| x[k] + y[k])
    }
    #[inline(always)]
    fn fused(x: Four, a: Four, b: Four) -> Four {
        std::array::from_fn(|k| x[k] * a[k] + b[k])
    }
    /// # Safety
    /// `place` may be written.
    unsafe fn around(place: *mut Four, x: Four) {
        // SAFETY: the caller's.
        unsafe { place.write(x) }
    }
}

/// Those of the best instruction set of this processor, capped by CORTEN_SIMD as the engine is.
fn kernels() -> Kernels {
    match simd::level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => avx512::KERNELS,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2::KERNELS,
        #[cfg(target_arch = "aarch64")]
        Level::Neon => neon::KERNELS,
        _ => portable::KERNELS,
    }
}

/// The most calls a second of works that `threads` threads do together, each its own that `make` made.
fn best_rate<W: FnMut()>(threads: usize, make: impl Fn() -> W + Sync) -> f64 {
    let seconds = seconds_of_a_call(&mut make());
    let calls = (STRETCH.as_secs_f64() / seconds).ceil() as usize;
    let stretches = (BUDGET.as_secs_f64() / (calls as f64 * seconds)).clamp(5.0, 100.0) as usize;
    let barrier = Barrier::new(threads);
    let run = || {
        let mut work = make();
        let mut stretch = |_| {
            barrier.wait();
            let start = Instant::now();
            for _ in 0..calls {
                work();
            }
            (start, Instant::now())
        };
        (0..stretches).map(&mut stretch).collect::<Vec<_>>()
    };
    let times: Vec<Vec<(Instant, Instant)>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().expect("the kernels do not panic")).collect()
    });
    let seconds_of = |k: usize| {
        let start = times.iter().map(|thread| thread[k].0).min();
        let end = times.iter().map(|thread| thread[k].1).max();
        start.zip(end).map_or(f64::INFINITY, |(start, end)| (end - start).as_secs_f64())
    };
    // The first stretch touches the memory.
    let best = (1..stretches).map(seconds_of).fold(f64::INFINITY, f64::min);
    (threads * calls) as f64 / best
}

fn seconds_of_a_call(work: &mut impl FnMut()) -> f64 {
    work();
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed() < STRETCH {
        work();
        calls += 1;
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}

/// Floating-point operations per second.
fn multiply_adds(kernels: Kernels, threads: usize) -> f64 {
    const TURNS: usize = 10_000;
    let make = || {
        move || {
            // SAFETY: `kernels` has what this processor has.
            black_box(unsafe { (kernels.multiply_add)(black_box(TURNS)) });
        }
    };
    best_rate(threads, make) * (2 * TURNS * kernels.chains * kernels.lanes) as f64
}

/// Bytes per second, the best of one, two and four times as many streams: processors fetch several ahead at a time. None
/// where such a mix is not compiled.
fn bandwidth(kernels: Kernels, reads: usize, writes: usize, bytes: usize, threads: usize) -> Option<f64> {
    let rates = [1, 2, 4].map(|times| bandwidth_of(kernels, reads * times, writes * times, bytes, threads));
    rates.into_iter().flatten().reduce(f64::max)
}

fn bandwidth_of(kernels: Kernels, reads: usize, writes: usize, bytes: usize, threads: usize) -> Option<f64> {
    let streams = reads + writes;
    let block = TOGETHER * kernels.lanes;
    let count = (bytes / size_of::<f32>() / streams / threads).next_multiple_of(block);
    let moved = (streams * count * size_of::<f32>()) as f64;
    let rates = [false, true].map(|around| {
        let pass = (kernels.pass)(reads, writes, around)?;
        let make = || {
            let buffer = Buffer::new(streams * (count + APART) * size_of::<f32>()).expect("memory for the streams");
            // SAFETY: zero bytes are floats, and the buffer has that many.
            unsafe { buffer.ptr().write_bytes(0, buffer.bytes()) };
            move || {
                // SAFETY: `kernels` has what this processor has; the buffer has the streams and is aligned to 64 bytes.
                black_box(unsafe { pass(black_box(buffer.ptr().cast()), count) });
            }
        };
        Some(best_rate(threads, make) * moved)
    });
    rates.into_iter().flatten().reduce(f64::max)
}

/// The rate that a request asks for; None where it is none.
fn answer(kernels: Kernels, request: &str) -> Option<f64> {
    let (kind, numbers) = request.split_once(':')?;
    let numbers: Vec<usize> = numbers.split(':').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    match (kind, numbers.as_slice()) {
        ("fma", &[threads]) if threads > 0 => Some(multiply_adds(kernels, threads)),
        ("move", &[reads, writes, bytes, threads]) if threads > 0 => bandwidth(kernels, reads, writes, bytes, threads),
        _ => None,
    }
}

fn main() {
    let kernels = kernels();
    for request in std::env::args().skip(1) {
        let Some(rate) = answer(kernels, &request) else {
            eprintln!(
                "`{request}` is neither fma:THREADS nor move:READS:WRITES:BYTES:THREADS with a mix that is there"
            );
            std::process::exit(2);
        };
        println!("{{\"request\": \"{request}\", \"level\": \"{}\", \"rate\": {rate}}}", kernels.name);
    }
}
