//! The block functions of the elementwise interpreter: each computes a run of elements that lie in cache, one function per
//! operator and type, made from the CPU expressions of the operator table.

use super::halves;
use super::math::{Real, bessel, gamma};
use super::simd_dispatch;
use crate::dtype::{DType, no_kernel};
use crate::elementwise_table;
use crate::op::Ew;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// `dst` and `src` hold `n` elements of the function's types; they may not overlap.
pub type BlockFn = unsafe fn(dst: *mut u8, src: &[*const u8; 4], n: usize);

/// The type in which values of a dtype travel between instructions: half types travel as f32, rounded after each step.
pub const fn register_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        d => d,
    }
}

/// Integer arithmetic as PyTorch's: wrapping, division by zero refused before recording or giving 0.
pub trait Integer: Copy + Ord + Send + Sync + 'static {
    const I0: Self;
    const I1: Self;
    const BITS: u32;
    fn w_add(self, y: Self) -> Self;
    fn w_sub(self, y: Self) -> Self;
    fn w_mul(self, y: Self) -> Self;
    fn w_neg(self) -> Self;
    fn w_abs(self) -> Self;
    fn w_sign(self) -> Self;
    fn floor_div(self, y: Self) -> Self;
    fn trunc_div(self, y: Self) -> Self;
    fn py_rem(self, y: Self) -> Self;
    fn c_rem(self, y: Self) -> Self;
    fn int_pow(self, y: Self) -> Self;
    fn shift_left(self, y: Self) -> Self;
    fn shift_right(self, y: Self) -> Self;
    fn gcd(self, y: Self) -> Self;
    fn lcm(self, y: Self) -> Self;
}

macro_rules! integer {
    ($($t:ty, $signed:tt);*) => {$(
        impl Integer for $t {
            const I0: Self = 0;
            const I1: Self = 1;
            const BITS: u32 = <$t>::BITS;
            #[inline(always)] fn w_add(self, y: Self) -> Self { self.wrapping_add(y) }
            #[inline(always)] fn w_sub(self, y: Self) -> Self { self.wrapping_sub(y) }
            #[inline(always)] fn w_mul(self, y: Self) -> Self { self.wrapping_mul(y) }
            #[inline(always)] fn w_neg(self) -> Self { self.wrapping_neg() }
            #[inline(always)] fn w_abs(self) -> Self { integer!(@abs $signed self) }
            #[inline(always)] fn w_sign(self) -> Self { integer!(@sign $signed self) }
            #[inline(always)] fn trunc_div(self, y: Self) -> Self { if y == 0 { 0 } else { self.wrapping_div(y) } }
            #[inline(always)] fn c_rem(self, y: Self) -> Self { if y == 0 { 0 } else { self.wrapping_rem(y) } }
            #[inline(always)] fn floor_div(self, y: Self) -> Self {
                let (q, r) = (self.trunc_div(y), self.c_rem(y));
                if r != 0 && integer!(@neg $signed r) != integer!(@neg $signed y) { q.wrapping_sub(1) } else { q }
            }
            #[inline(always)] fn py_rem(self, y: Self) -> Self {
                let r = self.c_rem(y);
                if r != 0 && integer!(@neg $signed r) != integer!(@neg $signed y) { r.wrapping_add(y) } else { r }
            }
            // A negative exponent gives 0 except for bases 1 and -1, as in PyTorch.
            #[inline(always)] fn int_pow(self, y: Self) -> Self {
                if integer!(@neg $signed y) {
                    return if self == 1 { 1 } else if integer!(@minus_one $signed self) { if y & 1 == 0 { 1 } else { self } } else { 0 };
                }
                let (mut base, mut exp, mut acc) = (self, y, 1 as $t);
                while exp > 0 {
                    if exp & 1 == 1 { acc = acc.wrapping_mul(base); }
                    base = base.wrapping_mul(base);
                    exp >>= 1;
                }
                acc
            }
            #[inline(always)] fn shift_left(self, y: Self) -> Self {
                if integer!(@neg $signed y) || y as u128 >= <$t>::BITS as u128 { 0 } else { self << y as u32 }
            }
            #[inline(always)] fn shift_right(self, y: Self) -> Self {
                let big = integer!(@neg $signed y) || y as u128 >= <$t>::BITS as u128;
                if big { self >> (<$t>::BITS - 1) >> integer!(@extra $signed) } else { self >> y as u32 }
            }
            #[inline(always)] fn gcd(self, y: Self) -> Self {
                let (mut a, mut b) = (self.w_abs(), y.w_abs());
                while b != 0 { (a, b) = (b, a.c_rem(b)); }
                a.w_abs()
            }
            #[inline(always)] fn lcm(self, y: Self) -> Self {
                let g = self.gcd(y);
                if g == 0 { 0 } else { self.trunc_div(g).wrapping_mul(y).w_abs() }
            }
        }
    )*};
    (@abs signed $x:expr) => { $x.wrapping_abs() };
    (@abs unsigned $x:expr) => { $x };
    (@sign signed $x:expr) => { $x.signum() };
    (@sign unsigned $x:expr) => { ($x != 0) as u8 };
    (@neg signed $x:expr) => { $x < 0 };
    (@neg unsigned $x:expr) => { { let _ = $x; false } };
    (@minus_one signed $x:expr) => { $x == -1 };
    (@minus_one unsigned $x:expr) => { false };
    (@extra signed) => { 0 };
    (@extra unsigned) => { 1 };
}
integer!(u8, unsigned; i8, signed; i16, signed; i32, signed; i64, signed);

// Helpers that the table's expressions call.

#[inline(always)]
fn max_nan<T: Real>(x: T, y: T) -> T {
    if x > y || x.is_nan() { x } else { y }
}
#[inline(always)]
fn min_nan<T: Real>(x: T, y: T) -> T {
    if x < y || x.is_nan() { x } else { y }
}
#[inline(always)]
fn sign_bit<T: Real>(x: T) -> bool {
    x.to_f64().is_sign_negative()
}
fn nextafter<T: Real>(x: T, y: T) -> T {
    let (a, b) = (x.to_f64(), y.to_f64());
    if a.is_nan() || b.is_nan() {
        return T::NAN;
    }
    if a == b {
        return y;
    }
    if T::DTYPE == DType::F64 {
        return T::from_f64(if b > a { a.next_up() } else { a.next_down() });
    }
    let a = a as f32;
    T::from_f64(if b > a as f64 { a.next_up() } else { a.next_down() } as f64)
}
#[inline(always)]
fn logaddexp2<T: Real, S: super::simd::Simd>(x: T, y: T) -> T {
    let (hi, lo) = if x > y { (x, y) } else { (y, x) };
    if hi == lo && hi.abs() == T::INFINITY {
        return hi;
    }
    hi + (lo - hi).exp2::<S>().log1p::<S>() * T::from_f64(std::f64::consts::LOG2_E)
}
fn polygamma<T: Real, S: super::simd::Simd>(x: T, n: T) -> T {
    if n == T::ZERO {
        return x.digamma::<S>();
    }
    T::from_f64(super::math::zeta::polygamma(n.to_f64(), x.to_f64()))
}
/// x · 2^y with one rounding where y is whole.
fn ldexp<T: Real, S: super::simd::Simd>(x: T, y: T) -> T {
    if y.trunc() != y || y.abs() == T::INFINITY {
        return x * y.exp2::<S>();
    }
    // A step of 2^-969 leaves 53 bits above the subnormal range, so only the last product rounds.
    let power = |e: i32| f64::from_bits(((e + 1023) as u64) << 52);
    let (mut value, mut e) = (x.to_f64(), y.to_f64().clamp(-2200.0, 2200.0) as i32);
    while e > 1023 {
        value *= power(1023);
        e -= 1023;
    }
    while e < -1022 {
        value *= power(-969);
        e += 969;
    }
    T::from_f64(value * power(e))
}
#[inline(always)]
fn select<T>(c: u8, x: T, y: T) -> T {
    if c != 0 { x } else { y }
}

/// Reads element `i` of argument `k`.
macro_rules! at {
    ($src:ident, $k:expr, $i:ident, $t:ty) => {
        *$src[$k].cast::<$t>().add($i)
    };
}

/// Binds the arguments of element `i` and evaluates the row's expression.
macro_rules! evaluate {
    ($src:ident, $i:ident, $t:ty, ($a:ident), $e:expr) => {{
        let $a = at!($src, 0, $i, $t);
        $e
    }};
    ($src:ident, $i:ident, $t:ty, ($a:ident, $b:ident), $e:expr) => {{
        let ($a, $b) = (at!($src, 0, $i, $t), at!($src, 1, $i, $t));
        $e
    }};
    ($src:ident, $i:ident, $t:ty, ($a:ident, $b:ident, $c:ident), $e:expr) => {{
        let ($a, $b, $c) = (at!($src, 0, $i, $t), at!($src, 1, $i, $t), at!($src, 2, $i, $t));
        $e
    }};
    ($src:ident, $i:ident, $t:ty, ($a:ident, $b:ident, $c:ident, $d:ident), $e:expr) => {{
        let ($a, $b, $c, $d) = (at!($src, 0, $i, $t), at!($src, 1, $i, $t), at!($src, 2, $i, $t), at!($src, 3, $i, $t));
        $e
    }};
}

/// As `evaluate!`, with arguments stored as bytes read as truth values.
macro_rules! evaluate_bool {
    ($src:ident, $i:ident, ($a:ident), $e:expr) => {{
        let $a = at!($src, 0, $i, u8) != 0;
        $e
    }};
    ($src:ident, $i:ident, ($a:ident, $b:ident), $e:expr) => {{
        let ($a, $b) = (at!($src, 0, $i, u8) != 0, at!($src, 1, $i, u8) != 0);
        $e
    }};
}

/// The block functions of one row and class. Results are values of the class or, for comparisons and tests, truth values.
macro_rules! class_function {
    ($kind:ident, b, $args:tt, $e:expr) => {
        simd_dispatch! {
            #[allow(unused_variables, clippy::redundant_locals)]
            pub unsafe fn b(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                let out = std::slice::from_raw_parts_mut(dst, n);
                for i in 0..n {
                    out[i] = evaluate_bool!(src, i, $args, $e) as u8;
                }
            }
        }
    };
    (select, a, $args:tt, $e:expr) => {
        simd_dispatch! {
            pub unsafe fn a<T: Copy>(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                let out = std::slice::from_raw_parts_mut(dst.cast::<T>(), n);
                for i in 0..n {
                    out[i] = select(at!(src, 0, i, u8), at!(src, 1, i, T), at!(src, 2, i, T));
                }
            }
        }
    };
    ($kind:ident, a, $args:tt, $e:expr) => {
        simd_dispatch! {
            pub unsafe fn a<T: Copy>(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                let out = std::slice::from_raw_parts_mut(dst.cast::<T>(), n);
                for i in 0..n {
                    out[i] = evaluate!(src, i, T, $args, $e);
                }
            }
        }
    };
    (compare, $class:ident, $args:tt, $e:expr) => { class_function!(@flag $class, $args, $e); };
    (test, $class:ident, $args:tt, $e:expr) => { class_function!(@flag $class, $args, $e); };
    (@flag f, $args:tt, $e:expr) => {
        simd_dispatch! {
            pub unsafe fn f<T: Real>(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                let out = std::slice::from_raw_parts_mut(dst, n);
                for i in 0..n {
                    out[i] = evaluate!(src, i, T, $args, $e) as u8;
                }
            }
        }
    };
    (@flag i, $args:tt, $e:expr) => {
        simd_dispatch! {
            #[allow(unused_variables)]
            pub unsafe fn i<T: Integer>(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                let out = std::slice::from_raw_parts_mut(dst, n);
                for i in 0..n {
                    out[i] = evaluate!(src, i, T, $args, $e) as u8;
                }
            }
        }
    };
    ($kind:ident, f, $args:tt, $e:expr) => {
        simd_dispatch! {
            pub unsafe fn f<T: Real>(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                let out = std::slice::from_raw_parts_mut(dst.cast::<T>(), n);
                for i in 0..n {
                    out[i] = evaluate!(src, i, T, $args, $e);
                }
            }
        }
    };
    ($kind:ident, i, $args:tt, $e:expr) => {
        simd_dispatch! {
            pub unsafe fn i<T: IntegerBits>(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                let out = std::slice::from_raw_parts_mut(dst.cast::<T>(), n);
                for i in 0..n {
                    out[i] = evaluate!(src, i, T, $args, $e);
                }
            }
        }
    };
}

/// Integers with the bit operators the table uses.
pub trait IntegerBits:
    Integer
    + std::ops::Not<Output = Self>
    + std::ops::BitAnd<Output = Self>
    + std::ops::BitOr<Output = Self>
    + std::ops::BitXor<Output = Self>
{
}
impl<T> IntegerBits for T where
    T: Integer
        + std::ops::Not<Output = T>
        + std::ops::BitAnd<Output = T>
        + std::ops::BitOr<Output = T>
        + std::ops::BitXor<Output = T>
{
}

macro_rules! resolve {
    ($dtype:ident, $V:ident, f) => {
        match register_dtype($dtype) {
            DType::F32 => return Some(row::$V::f::<f32>),
            DType::F64 => return Some(row::$V::f::<f64>),
            _ => {}
        }
    };
    ($dtype:ident, $V:ident, i) => {
        match $dtype {
            DType::U8 => return Some(row::$V::i::<u8>),
            DType::I8 => return Some(row::$V::i::<i8>),
            DType::I16 => return Some(row::$V::i::<i16>),
            DType::I32 => return Some(row::$V::i::<i32>),
            DType::I64 => return Some(row::$V::i::<i64>),
            _ => {}
        }
    };
    ($dtype:ident, $V:ident, b) => {
        if $dtype == DType::Bool {
            return Some(row::$V::b);
        }
    };
    ($dtype:ident, $V:ident, a) => {
        return Some(match register_dtype($dtype).size() {
            1 => row::$V::a::<u8>,
            2 => row::$V::a::<u16>,
            4 => row::$V::a::<u32>,
            _ => row::$V::a::<u64>,
        })
    };
}

macro_rules! define_blocks {
    ($(($V:ident, $name:literal, $rule:ident, $args:tt, $doc:literal, cpu { $($cls:ident : $e:expr),* }, wgsl { $($wc:ident : $w:literal),* }, grad $($grad:tt)*))*) => {
        /// One module per row, named as its variant.
        #[allow(non_snake_case, unused_imports)]
        mod row {
            $(pub mod $V {
                use super::super::*;
                $(class_function!($rule, $cls, $args, $e);)*
            })*
        }

        /// The block function of an operator for values of `dtype`, if its row has that class.
        #[allow(unreachable_code)]
        pub fn block_fn(op: Ew, dtype: DType) -> Option<BlockFn> {
            if let Some(f) = whole_fn(op, dtype) {
                return Some(f);
            }
            match op {
                $(Ew::$V => { $(resolve!(dtype, $V, $cls);)* None })*
            }
        }
    };
}
elementwise_table!(define_blocks);

macro_rules! whole_functions {
    (unary { $($u:ident => $uf:ident),* } binary { $($b:ident => $bf:ident),* }) => {
        /// Functions of whole slices as block functions.
        mod whole {
            use super::*;
            use crate::cpu::math::slices;
            $(pub unsafe fn $uf<T: Real>(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                // SAFETY: the contract of `BlockFn`.
                unsafe { slices::$uf(from_raw_parts(src[0].cast::<T>(), n), from_raw_parts_mut(dst.cast(), n)) }
            })*
            $(pub unsafe fn $bf<T: Real>(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                // SAFETY: the contract of `BlockFn`.
                unsafe {
                    let (x, y) = (from_raw_parts(src[0].cast::<T>(), n), from_raw_parts(src[1].cast(), n));
                    slices::$bf(x, y, from_raw_parts_mut(dst.cast(), n))
                }
            })*
        }

        /// What looks at several elements before it computes them.
        fn whole_fn(op: Ew, dtype: DType) -> Option<BlockFn> {
            match (op, register_dtype(dtype)) {
                $((Ew::$u, DType::F32) => Some(whole::$uf::<f32>), (Ew::$u, DType::F64) => Some(whole::$uf::<f64>),)*
                $((Ew::$b, DType::F32) => Some(whole::$bf::<f32>), (Ew::$b, DType::F64) => Some(whole::$bf::<f64>),)*
                _ => None,
            }
        }
    };
}
whole_functions! {
    unary { Sin => sin, Cos => cos, Tan => tan }
    binary { Fmod => fmod, Remainder => remainder, FloorDiv => floor_div, Pow => pow }
}

/// Conversions between register types; those to half types, which come by float32 as in PyTorch, are not rounded yet.
pub fn cast_fn(from: DType, to: DType) -> BlockFn {
    macro_rules! to {
        ($from:ident, $($d:ident => $f:ident),*) => { match to { $(DType::$d => $from::$f,)* DType::F16 | DType::BF16 => $from::f32, _ => no_kernel() } };
    }
    macro_rules! table {
        ($($d:ident => $m:ident),*) => {
            match register_dtype(from) {
                $(DType::$d => to!($m, Bool => boolean, U8 => u8, I8 => i8, I16 => i16, I32 => i32, I64 => i64, F32 => f32, F64 => f64),)*
                DType::F16 | DType::BF16 => from_f32::f32,
                _ => no_kernel(),
            }
        };
    }
    table!(Bool => from_bool, U8 => from_u8, I8 => from_i8, I16 => from_i16, I32 => from_i32, I64 => from_i64, F32 => from_f32, F64 => from_f64)
}

macro_rules! casts {
    ($($m:ident: $t:ty, |$v:ident| $value:expr, $nonzero:expr, $int:ident);* $(;)?) => {$(
        mod $m {
            use super::*;
            casts!(@one u8, $t, u8, |$v| $int!(u8, $value));
            casts!(@one i8, $t, i8, |$v| $int!(i8, $value));
            casts!(@one i16, $t, i16, |$v| $int!(i16, $value));
            casts!(@one i32, $t, i32, |$v| $int!(i32, $value));
            casts!(@one i64, $t, i64, |$v| $int!(i64, $value));
            casts!(@one f32, $t, f32, |$v| $value as f32);
            casts!(@one f64, $t, f64, |$v| $value as f64);
            casts!(@one boolean, $t, u8, |$v| $nonzero as u8);
        }
    )*};
    (@one $name:ident, $from:ty, $to:ty, |$v:ident| $e:expr) => {
        simd_dispatch! {
            pub unsafe fn $name(dst: *mut u8, src: &[*const u8; 4], n: usize) {
                let out = std::slice::from_raw_parts_mut(dst.cast::<$to>(), n);
                for i in 0..n {
                    let $v = at!(src, 0, i, $from);
                    out[i] = $e;
                }
            }
        }
    };
}
macro_rules! low_bits {
    ($t:ty, $v:expr) => {
        $v as $t
    };
}
macro_rules! of_f32 {
    ($t:ty, $v:expr) => {
        <$t as crate::cpu::truncate::Truncate>::of_f32($v)
    };
}
macro_rules! of_f64 {
    ($t:ty, $v:expr) => {
        <$t as crate::cpu::truncate::Truncate>::of_f64($v)
    };
}
casts! {
    from_bool: u8, |v| (v != 0) as u8, v != 0, low_bits;
    from_u8: u8, |v| v, v != 0, low_bits;
    from_i8: i8, |v| v, v != 0, low_bits;
    from_i16: i16, |v| v, v != 0, low_bits;
    from_i32: i32, |v| v, v != 0, low_bits;
    from_i64: i64, |v| v, v != 0, low_bits;
    from_f32: f32, |v| v, v != 0.0, of_f32;
    from_f64: f64, |v| v, v != 0.0, of_f64;
}

/// Rounds f32 registers to a half type in place.
pub fn round_block(dtype: DType, values: &mut [f32]) {
    match dtype {
        DType::F16 => halves::round_f16(values),
        DType::BF16 => halves::round_bf16(values),
        _ => {}
    }
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
