// Trigonometric and hyperbolic functions of f32 and their inverses, after rust/core/src/cpu/math/single.rs, whose
// polynomials these are. Within 3 ulp for every finite argument, however large.

// Three words of 2/π from bit 32·k on, and the word before them; 2/π begins in word 1.
fn f_two_over_pi(k: u32) -> vec4<u32> {
    switch k {
        case 0u: {
            return vec4<u32>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u);
        }
        case 1u: {
            return vec4<u32>(0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u);
        }
        case 2u: {
            return vec4<u32>(0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u);
        }
        default: {
            return vec4<u32>(0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u);
        }
    }
}

// a less a whole number of quarter turns, and that number modulo 4, for 1 <= a (Payne and Hanek 1983): a·2/π modulo 4
// in integers of 64 bits, of which 2 are whole. Whole multiples of 4 drop out with the words of 2/π before the window.
fn f_reduce_large(a: f32) -> vec2<f32> {
    let bits = bitcast<u32>(a);
    let start = (bits >> 23u) - 128u;
    let words = f_two_over_pi(start >> 5u);
    let k = start & 31u;
    // Two steps, since a shift by 32 is not one.
    let window = (words.xyz << vec3<u32>(k)) | ((words.yzw >> vec3<u32>(31u - k)) >> vec3<u32>(1u));
    let m = (bits << 8u) | 0x80000000u;
    let tail = u32_mul_wide(m, window.z).y;
    let turns = i64_add(i64_add(u32_mul_wide(m, window.y), vec2<u32>(0u, m * window.x)), vec2<u32>(tail, 0u));
    let quarter = (turns.y + 0x20000000u) >> 30u;
    let rest = vec2<u32>(turns.x, turns.y - (quarter << 30u));
    // The top word of |rest| times π/2 in units of 2^-31, so that one rounding is left.
    let size = i64_abs(rest);
    let zeros = min(select(countLeadingZeros(size.y), 32u + countLeadingZeros(size.x), size.y == 0u), 63u);
    let angle = u64_right_shift(u32_mul_wide(u64_left_shift(size, zeros).y, 0xc90fdaa2u), 1u);
    let r = i64_to_f32(angle) * f_pow2(-60 - bitcast<i32>(zeros));
    return vec2<f32>(select(r, -r, i64_signbit(rest)), f32(quarter));
}

// The same for 0 <= a <= 800, with π/2 in four parts of 13 bits, whose products with the number of turns are exact.
fn f_reduce_small(a: f32) -> vec2<f32> {
    let n = round(a * 0.63661975);
    let near = (a - n * 1.57055664) - n * 0.000239670277;
    return vec2<f32>((near - n * 1.58906914e-8) - n * 2.56334407e-12, n);
}

// NaN for infinity and NaN.
fn f_reduce(a: f32) -> vec2<f32> {
    if !f_isfinite(a) {
        return vec2<f32>(f_nan(), 0.0);
    }
    if a <= 800.0 {
        return f_reduce_small(a);
    }
    return f_reduce_large(a);
}

fn f_sin_reduced(r: f32) -> f32 {
    let z = r * r;
    return r + r * z * (-0.16666655 + z * (0.008332189 + z * -0.00019518283));
}

fn f_cos_reduced(r: f32) -> f32 {
    let z = r * r;
    return 1.0 - (0.5 * z - z * z * (0.041666646 + z * (-0.001388731 + z * 2.4432327e-5)));
}

// The sine of q quarter turns and r, its sign bit flipped by `sign`.
fn f_sin_turned(q: u32, r: f32, sign: u32) -> f32 {
    let v = select(f_cos_reduced(r), f_sin_reduced(r), (q & 1u) == 0u);
    return bitcast<f32>(bitcast<u32>(v) ^ ((q & 2u) << 30u) ^ sign);
}

fn f_sin(x: f32) -> f32 {
    let a = f_reduce(f_abs(x));
    return f_sin_turned(u32(a.y), a.x, bitcast<u32>(x) & 0x80000000u);
}

fn f_cos(x: f32) -> f32 {
    let a = f_reduce(f_abs(x));
    return f_sin_turned(u32(a.y) + 1u, a.x, 0u);
}

fn f_tan(x: f32) -> f32 {
    let a = f_reduce(f_abs(x));
    let s = f_sin_reduced(a.x);
    let c = f_cos_reduced(a.x);
    let even = (u32(a.y) & 1u) == 0u;
    let v = f_div(select(-c, s, even), select(s, c, even));
    return bitcast<f32>(bitcast<u32>(v) ^ (bitcast<u32>(x) & 0x80000000u));
}

// asin(s) for 0 <= s <= ½, with z = s².
fn f_asin_reduced(s: f32, z: f32) -> f32 {
    let p = 0.04451374 + z * (0.03183269 + z * (0.014350779 + z * 0.03763153));
    return s + s * z * (0.1666666 + z * (0.07500522 + z * p));
}

// asin(a) up to ½, beyond asin(√((1 - a)/2)): then asin a = π/2 - 2·that. NaN above 1.
fn f_asin_half(a: f32) -> f32 {
    let far = 0.5 - 0.5 * a;
    if a > 0.5 {
        return f_asin_reduced(f_sqrt(far), far);
    }
    return f_asin_reduced(a, a * a);
}

fn f_asin(x: f32) -> f32 {
    let a = f_abs(x);
    let p = f_asin_half(a);
    return f_copysign(select(p, 1.5707964 - (2.0 * p + 4.371139e-8), a > 0.5), x);
}

fn f_acos(x: f32) -> f32 {
    let a = f_abs(x);
    let p = f_asin_half(a);
    let negative = f_signbit(x);
    let near = 1.5707964 - (select(p, -p, negative) + 4.371139e-8);
    let end = select(2.0 * p, 3.1415927 - (2.0 * p + 8.742278e-8), negative);
    return select(near, end, a > 0.5);
}

// atan(t) for 0 <= t <= 1.
fn f_atan_reduced(t: f32) -> f32 {
    let z = t * t;
    let high = -0.08399202 + z * (0.057878688 + z * (-0.031093266 + z * (0.010866082 + z * -0.0017820931)));
    let p = -0.333333 + z * (0.1999853 + z * (-0.14264014 + z * (0.109508604 + z * high)));
    return t + t * z * p;
}

fn f_atan(x: f32) -> f32 {
    let a = f_abs(x);
    if a > 1.0 {
        return f_copysign(1.5707964 - (f_atan_reduced(f_div(1.0, a)) + 4.371139e-8), x);
    }
    return f_copysign(f_atan_reduced(a), x);
}

// The angle of the point (x, y).
fn f_atan2(y: f32, x: f32) -> f32 {
    if f_unordered(x, y) {
        return f_nan();
    }
    let steep = f_abs(y) > f_abs(x);
    let small = f_abs(select(y, x, steep));
    let large = f_abs(select(x, y, steep));
    var t = 0.0;
    if f_isinf(small) {
        t = 1.0;
    } else if !f_iszero(large) {
        t = f_div(small, large);
    }
    var p = f_atan_reduced(t);
    p = select(p, 1.5707964 - (p + 4.371139e-8), steep);
    p = select(p, 3.1415927 - (p + 8.742278e-8), f_signbit(x));
    return f_copysign(p, y);
}

// e^a/2 for 0 <= a.
fn f_half_exp(a: f32) -> f32 {
    let b = clamp(a, 0.0, 90.0);
    let n = round(b * 1.442695);
    return f_scale(f_exp_reduced(f_exp_rest(b, n)), i32(n) - 1);
}

fn f_sinh(x: f32) -> f32 {
    let a = f_abs(x);
    let z = a * a;
    let p = 0.16666667 + z * (0.0083333105 + z * (0.00019842896 + z * 2.782212e-6));
    let e = f_half_exp(a);
    let r = select(e - 0.25 / e, a + a * z * p, a < 1.0);
    return select(f_copysign(r, x), x, f_isnan(x));
}

fn f_cosh(x: f32) -> f32 {
    let e = f_half_exp(f_abs(x));
    return select(e + 0.25 / e, x, f_isnan(x));
}

fn f_tanh(x: f32) -> f32 {
    let a = f_abs(x);
    let z = a * a;
    let p = -0.3333328 + z * (0.13331406 + z * (-0.053736515 + z * (0.020628165 + z * -0.00569229)));
    // Beyond 10 the result is 1 to the last bit.
    let b = 2.0 * clamp(a, 0.0, 10.0);
    let n = round(b * 1.442695);
    let e = f_exp_reduced(f_exp_rest(b, n)) * f_pow2(i32(n));
    let r = select(1.0 - 2.0 / (e + 1.0), a + a * z * p, a < 0.625);
    return select(f_copysign(r, x), x, f_isnan(x));
}

fn f_asinh(x: f32) -> f32 {
    let a = f_abs(x);
    if !f_isfinite(x) || f_iszero(x) {
        return x;
    }
    if a > 8192.0 {
        return f_copysign(f_log(a) + 0.6931472, x);
    }
    let z = a * a;
    return f_copysign(f_log1p(a + f_div(z, 1.0 + f_sqrt(1.0 + z))), x);
}

fn f_acosh(x: f32) -> f32 {
    if !(x >= 1.0) {
        return f_nan();
    }
    if x > 8192.0 {
        return f_log(x) + 0.6931472;
    }
    let t = x - 1.0;
    return f_log1p(t + f_sqrt(2.0 * t + t * t));
}

fn f_atanh(x: f32) -> f32 {
    let a = f_abs(x);
    if a < 1e-4 {
        return x + x * a * a * 0.33333334;
    }
    return f_copysign(0.5 * f_log1p(f_div(2.0 * a, 1.0 - a)), x);
}
