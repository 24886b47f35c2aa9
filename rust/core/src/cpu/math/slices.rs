//! Functions of whole slices that take a quicker way where every element of a block allows it.

use super::{Real, single};
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

/// Elements that are looked at together.
const BLOCK: usize = 256;

/// Whether `test` holds for all: a count instead of an early exit, so that the loop vectorises.
#[inline(always)]
fn all<T: Copy, U: Copy>(x: &[T], y: &[U], test: impl Fn(T, U) -> bool) -> bool {
    x.iter().zip(y).map(|(&x, &y)| !test(x, y) as u32).sum::<u32>() == 0
}

#[inline(always)]
fn map<T: Copy>(x: &[T], out: &mut [T], f: impl Fn(T) -> T) {
    for (o, &v) in out.iter_mut().zip(x) {
        *o = f(v);
    }
}

#[inline(always)]
fn map2<T: Copy>(x: &[T], y: &[T], out: &mut [T], f: impl Fn(T, T) -> T) {
    for ((o, &x), &y) in out.iter_mut().zip(x).zip(y) {
        *o = f(x, y);
    }
}

macro_rules! of_angles {
    ($($(#[$doc:meta])* $name:ident, $small:ident;)*) => {
        simd_dispatch! {$(
            $(#[$doc])*
            pub fn $name<T: Real>(x: &[T], out: &mut [T]) {
                let limit = T::from_f64(single::SMALL_ANGLE as f64);
                for (x, out) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
                    if all(x, x, |v, _| v.abs() <= limit) {
                        map(x, out, |v| v.$small::<S>());
                    } else {
                        map(x, out, |v| v.$name::<S>());
                    }
                }
            }
        )*}
    };
}
of_angles! {
    /// out = sin x. Moderate angles skip the reduction of huge ones, which costs twice the rest and does not vectorise.
    sin, sin_small;
    /// out = cos x, in the same way.
    cos, cos_small;
    /// out = tan x, in the same way.
    tan, tan_small;
}

/// Quotients up to this size leave an exact remainder by one multiply-add.
const NEAR: f64 = 4_194_304.0;

/// Whether [`near_remainder`] applies.
#[inline(always)]
fn near<T: Real>(x: T, y: T) -> bool {
    let y = y.abs();
    (x.abs() < y * T::from_f64(NEAR)) & (y < T::INFINITY)
}

/// C's fmod for near x and y. The rounded quotient may reach the next integer, which leaves a remainder of the other sign.
#[inline(always)]
fn near_remainder<S: Simd, T: Real>(x: T, y: T) -> T {
    let r = (-(x / y).trunc()).fma::<S>(y, x);
    let r = if (r != T::ZERO) & ((r < T::ZERO) != (x < T::ZERO)) { r + y.abs().copysign(x) } else { r };
    if r == T::ZERO { T::ZERO.copysign(x) } else { r }
}

#[inline(always)]
fn with_sign_of_divisor<T: Real>(r: T, y: T) -> T {
    if (r != T::ZERO) & ((r < T::ZERO) != (y < T::ZERO)) { r + y } else { r }
}

#[inline(always)]
fn floor_of_quotient<T: Real>(x: T, y: T, r: T) -> T {
    let q = (x - r) / y;
    let q = if (r != T::ZERO) & ((r < T::ZERO) != (y < T::ZERO)) { q - T::ONE } else { q };
    let floor = q.floor();
    let near = if q - floor > T::HALF { floor + T::ONE } else { floor };
    if q == T::ZERO { T::ZERO.copysign(x / y) } else { near }
}

macro_rules! of_remainders {
    ($($(#[$doc:meta])* $name:ident, |$x:ident, $y:ident, $r:ident| $near:expr;)*) => {
        simd_dispatch! {$(
            $(#[$doc])*
            pub fn $name<T: Real>(x: &[T], y: &[T], out: &mut [T]) {
                for ((x, y), out) in x.chunks(BLOCK).zip(y.chunks(BLOCK)).zip(out.chunks_mut(BLOCK)) {
                    if S::FMA && all(x, y, near) {
                        map2(x, y, out, |$x, $y| {
                            let $r = near_remainder::<S, T>($x, $y);
                            $near
                        });
                    } else {
                        map2(x, y, out, |x, y| x.$name(y));
                    }
                }
            }
        )*}
    };
}
of_remainders! {
    /// out = x − y·trunc(x/y), exactly.
    fmod, |x, y, r| { let _ = x; r };
    /// out = x − y·⌊x/y⌋, as Python's %.
    remainder, |x, y, r| { let _ = x; with_sign_of_divisor(r, y) };
    /// out = ⌊x/y⌋, as Python's //.
    floor_div, |x, y, r| floor_of_quotient(x, y, r);
}

simd_dispatch! {
    /// out = x to the power y. The powers 3, 2 and −2 are products, as in PyTorch.
    pub fn pow<T: Real>(x: &[T], y: &[T], out: &mut [T]) {
        for ((x, y), out) in x.chunks(BLOCK).zip(y.chunks(BLOCK)).zip(out.chunks_mut(BLOCK)) {
            if all(y, y, |v, _| v == T::from_f64(3.0)) {
                map(x, out, |v| v * v * v);
            } else if all(y, y, |v, _| v == T::from_f64(2.0)) {
                map(x, out, |v| v * v);
            } else if all(y, y, |v, _| v == T::from_f64(-2.0)) {
                map(x, out, |v| T::ONE / (v * v));
            } else {
                map2(x, y, out, |x, y| x.pow::<S>(y));
            }
        }
    }
}
