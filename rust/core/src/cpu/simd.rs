//! Instruction-set levels, their detection, and `simd_dispatch!`, which compiles one function body once per level.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// An instruction set that kernels are compiled for, from the weakest to the strongest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Level {
    /// What the target guarantees (SSE2 on x86-64), without fused multiply-add.
    Portable = 0,
    /// aarch64 NEON.
    Neon = 1,
    /// AVX2, FMA and F16C.
    Avx2 = 2,
    /// AVX-512 F, BW, VL and DQ.
    Avx512 = 3,
}

impl Level {
    /// Every level, weakest first.
    pub const ALL: [Level; 4] = [Level::Portable, Level::Neon, Level::Avx2, Level::Avx512];

    /// The name that `CORTEN_SIMD` uses.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

/// Marker types for the levels, so that a body knows at compile time for which level it is being compiled.
/// Inside `simd_dispatch!` the marker is called `S`.
pub trait Simd: Copy + Send + Sync + 'static {
    const LEVEL: Level;
    /// Whether `mul_add` is one instruction here; otherwise it would be a slow library call.
    const FMA: bool;
    /// Bytes of a vector register.
    const WIDTH: usize;
}

macro_rules! marker {
    ($($name:ident, $fma:literal, $width:literal);* $(;)?) => {$(
        #[derive(Clone, Copy)]
        pub struct $name;
        impl Simd for $name {
            const LEVEL: Level = Level::$name;
            const FMA: bool = $fma;
            const WIDTH: usize = $width;
        }
    )*};
}
marker! { Portable, false, 16; Neon, true, 16; Avx2, true, 32; Avx512, true, 64 }

const UNKNOWN: u8 = u8::MAX;
static LEVEL: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The level in use: the best one of this processor, capped by the environment variable `CORTEN_SIMD`.
#[inline(always)]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        3 => Level::Avx512,
        2 => Level::Avx2,
        1 => Level::Neon,
        0 => Level::Portable,
        _ => detect(),
    }
}

#[cold]
fn detect() -> Level {
    let cap = std::env::var("CORTEN_SIMD").unwrap_or_default();
    let cap = Level::ALL.into_iter().find(|l| l.name() == cap).unwrap_or(Level::Avx512);
    let best = available().into_iter().filter(|&l| l <= cap).max().unwrap_or(Level::Portable);
    // An override set meanwhile by `with_level` wins.
    let _ = LEVEL.compare_exchange(UNKNOWN, best as u8, Ordering::Relaxed, Ordering::Relaxed);
    best
}

/// Whether this processor, under this operating system, runs `level`.
pub fn is_available(level: Level) -> bool {
    match level {
        Level::Portable => true,
        #[cfg(target_arch = "aarch64")]
        Level::Neon => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            is_available(Level::Avx2)
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
        }
        _ => false,
    }
}

/// The levels this processor runs, weakest first.
pub fn available() -> Vec<Level> {
    Level::ALL.into_iter().filter(|&l| is_available(l)).collect()
}

/// Asks for the cache line at `p`, which may be any address.
#[inline(always)]
pub fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of the target, and a prefetch of any address is harmless.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Runs `f` with the whole process at `level`, for tests; `None` when this processor does not have the level.
/// Calls exclude each other, so nesting deadlocks; kernels running meanwhile on other threads change level too.
pub fn with_level<R>(level: Level, f: impl FnOnce() -> R) -> Option<R> {
    static EXCLUSIVE: Mutex<()> = Mutex::new(());
    struct Restore(u8);
    impl Drop for Restore {
        fn drop(&mut self) {
            LEVEL.store(self.0, Ordering::SeqCst);
        }
    }
    if !is_available(level) {
        return None;
    }
    let _guard = EXCLUSIVE.lock().unwrap_or_else(PoisonError::into_inner);
    let _restore = Restore(LEVEL.swap(level as u8, Ordering::SeqCst));
    Some(f())
}

/// Compiles a function once per instruction-set level and calls the copy for [`level()`].
///
/// ```ignore
/// simd_dispatch! {
///     /// out = a + b
///     pub fn add<T: Real>(a: &[T], b: &[T], out: &mut [T]) {
///         for ((o, &x), &y) in out.iter_mut().zip(a).zip(b) { *o = x.fma::<S>(T::ONE, y); }
///     }
/// }
/// ```
///
/// * The body sees the level's marker type as `S` (`S: Simd`); everything it calls must be `#[inline(always)]` to be
///   compiled for the level too, and closures taken as `impl Fn` must be small enough that LLVM inlines them.
/// * Generics are written `<T: Bound + Bound, U; const N: usize>`: bounds are plain names, constants follow a semicolon;
///   longer bounds go in `where [T: path::Bound<X>]` after the return type; lifetimes are elided.
/// * `unsafe fn` works as well; its body is then an unsafe context.
#[macro_export]
macro_rules! simd_dispatch {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident
        $(<$($g:ident $(: $b:ident $(+ $bs:ident)*)?),* $(; $(const $c:ident: $ct:ty),*)?>)?
        ($($arg:ident: $t:ty),* $(,)?) $(-> $r:ty)? $(where [$($w:tt)*])? $body:block)+) => {$(
        $(#[$meta])*
        #[inline]
        $vis fn $name $(<$($g $(: $b $(+ $bs)*)?,)* $($(const $c: $ct),*)?>)? ($($arg: $t),*) $(-> $r)? $(where $($w)*)? {
            $crate::simd_dispatch!(@copies ($(#[$meta])*) () ($($($g $(: $b $(+ $bs)*)?,)* $($(const $c: $ct),*)?)?)
                ($($($g,)* $($($c),*)?)?) ($($arg: $t),*) ($($arg),*) ($(-> $r)?) ($(where $($w)*)?) ($body))
        }
    )+};
    ($($(#[$meta:meta])* $vis:vis unsafe fn $name:ident
        $(<$($g:ident $(: $b:ident $(+ $bs:ident)*)?),* $(; $(const $c:ident: $ct:ty),*)?>)?
        ($($arg:ident: $t:ty),* $(,)?) $(-> $r:ty)? $(where [$($w:tt)*])? $body:block)+) => {$(
        $(#[$meta])*
        #[inline]
        $vis unsafe fn $name $(<$($g $(: $b $(+ $bs)*)?,)* $($(const $c: $ct),*)?>)? ($($arg: $t),*) $(-> $r)? $(where $($w)*)? {
            $crate::simd_dispatch!(@copies ($(#[$meta])*) (unsafe) ($($($g $(: $b $(+ $bs)*)?,)* $($(const $c: $ct),*)?)?)
                ($($($g,)* $($($c),*)?)?) ($($arg: $t),*) ($($arg),*) ($(-> $r)?) ($(where $($w)*)?) ($body))
        }
    )+};
    (@copies ($($meta:tt)*) ($($unsafe:tt)?) ($($gen:tt)*) ($($gname:tt)*) ($($params:tt)*) ($($args:tt)*) ($($ret:tt)*)
        ($($w:tt)*) ($body:block)) => {{
        // The body of an `unsafe fn` is an unsafe context.
        #[allow(unused_unsafe, unsafe_op_in_unsafe_fn, clippy::extra_unused_type_parameters)]
        #[inline(always)]
        $($unsafe)? fn body<S: $crate::cpu::simd::Simd, $($gen)*>($($params)*) $($ret)* $($w)* $body
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        unsafe fn avx512<$($gen)*>($($params)*) $($ret)* $($w)* {
            #[allow(unused_unsafe)]
            // SAFETY: the caller's contract passes through unchanged.
            unsafe { body::<$crate::cpu::simd::Avx512, $($gname)*>($($args)*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2<$($gen)*>($($params)*) $($ret)* $($w)* {
            #[allow(unused_unsafe)]
            // SAFETY: the caller's contract passes through unchanged.
            unsafe { body::<$crate::cpu::simd::Avx2, $($gname)*>($($args)*) }
        }
        #[allow(unused_unsafe)]
        // SAFETY: `level()` names only levels that this processor has; the caller's contract passes through.
        unsafe {
            match $crate::cpu::simd::level() {
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::simd::Level::Avx512 => avx512::<$($gname)*>($($args)*),
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::simd::Level::Avx2 => avx2::<$($gname)*>($($args)*),
                #[cfg(target_arch = "aarch64")]
                $crate::cpu::simd::Level::Neon => body::<$crate::cpu::simd::Neon, $($gname)*>($($args)*),
                _ => body::<$crate::cpu::simd::Portable, $($gname)*>($($args)*),
            }
        }
    }};
}

pub use crate::simd_dispatch;

#[cfg(test)]
mod tests {
    use super::*;

    simd_dispatch! {
        fn which() -> Level { S::LEVEL }
        fn axpy<T; const N: usize>(a: T, x: &[T; N], f: impl Fn(T, T) -> T) -> [T; N] where [T: Copy + std::ops::Add<Output = T>] {
            let mut y = *x;
            for v in y.iter_mut() { *v = f(a, *v) + a; }
            y
        }
    }
    simd_dispatch! {
        unsafe fn read<T: Copy>(p: *const T) -> T { *p }
        unsafe fn first(p: &[u8]) -> &u8 { p.get_unchecked(0) }
    }

    #[test]
    fn every_available_level_runs_its_own_copy() {
        for l in available() {
            assert_eq!(with_level(l, which), Some(l));
        }
    }

    #[test]
    fn generic_and_unsafe_functions_dispatch() {
        assert_eq!(axpy(2, &[1, 2, 3], |a, b| a * b), [4, 6, 8]);
        assert_eq!(unsafe { read(&7u16) }, 7);
        assert_eq!(unsafe { *first(&[9]) }, 9);
    }

    #[test]
    fn a_level_that_is_missing_is_refused() {
        let missing = if cfg!(target_arch = "x86_64") { Level::Neon } else { Level::Avx2 };
        assert_eq!(with_level(missing, which), None);
    }
}
