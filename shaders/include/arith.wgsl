// Division, roots, remainders and scaling of f32, and sums and products of pairs with 35 bits.
//
// WGSL allows 2.5 ulp for a quotient, more for a root, and any result for divisors out of the middle of the range.
// Here both are corrected by their residual and come out as on the CPU in nearly all cases. Two rules make that
// independent of the driver. Numbers are split by masking bits, since a compiler may rewrite (x + c) - c to x. And
// products whose rounding matters are exact, so that it makes no difference whether a compiler fuses them with an
// addition.

// The top 12 bits of x: products of two such numbers are exact.
fn f_top(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

// A pair is (hi, lo), hi of 12 bits; its value is the sum.
fn ff_pair(x: f32) -> vec2<f32> {
    let hi = f_top(x);
    return vec2<f32>(hi, x - hi);
}

// p + q as a pair, for |q| below |p| or both small beside the result's error.
fn ff_sum(p: f32, q: f32) -> vec2<f32> {
    let hi = f_top(p + q);
    return vec2<f32>(hi, (p - hi) + q);
}

// c + a for c of 12 bits and |c| above |a|, or c = 0.
fn ff_add(c: f32, a: vec2<f32>) -> vec2<f32> {
    let hi = f_top(c + a.x);
    return vec2<f32>(hi, ((c - hi) + a.x) + a.y);
}

fn ff_mul(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return ff_sum(a.x * b.x, (a.x * b.y + a.y * b.x) + a.y * b.y);
}

// x = m * 2^e with 1 <= |m| < 2, for finite x other than 0; denormals included, on bits.
fn f_mantissa(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let denormal = (bits & 0x7f800000u) == 0u;
    let whole = bitcast<u32>(f32(bits & 0x7fffffu)) & 0x7fffffu;
    return bitcast<f32>(select(bits & 0x7fffffu, whole, denormal) | (bits & 0x80000000u) | 0x3f800000u);
}

fn f_exponent(x: f32) -> i32 {
    let bits = bitcast<u32>(x);
    let exponent = bitcast<i32>((bits >> 23u) & 255u);
    let zeros = bitcast<i32>(countLeadingZeros(bits & 0x7fffffu));
    return select(exponent - 127, -118 - zeros, exponent == 0);
}

// 2^n for -126 <= n <= 127.
fn f_pow2(n: i32) -> f32 {
    return bitcast<f32>(bitcast<u32>(n + 127) << 23u);
}

// v * 2^n with one rounding, for 2^-4 < |v| < 16. The result may be denormal or infinite.
fn f_scale(v: f32, n: i32) -> f32 {
    let bits = bitcast<u32>(v);
    let k = clamp(n, -200, 300);
    let e = bitcast<i32>((bits >> 23u) & 255u) + k;
    if e >= 255 {
        return bitcast<f32>((bits & 0x80000000u) | 0x7f800000u);
    }
    if e > 0 {
        return bitcast<f32>(bits + (bitcast<u32>(k) << 23u));
    }
    return v * f_pow2(k + 100) * f_pow2(-100);
}

// x / y for y in the middle of the range of f32.
fn f_div_middle(x: f32, y: f32) -> f32 {
    // Many devices divide by multiplying with the reciprocal.
    let q = f_rounded(x / y);
    let qh = f_top(q);
    let ql = q - qh;
    let yh = f_top(y);
    let yl = y - yh;
    let residual = (((x - qh * yh) - qh * yl) - ql * yh) - ql * yl;
    return q + residual / y;
}

fn f_div_edges(x: f32, y: f32) -> f32 {
    let sign = (bitcast<u32>(x) ^ bitcast<u32>(y)) & 0x80000000u;
    if f_unordered(x, y) || (f_iszero(x) && f_iszero(y)) || (f_isinf(x) && f_isinf(y)) {
        return f_nan();
    }
    if f_isinf(x) || f_iszero(y) {
        return bitcast<f32>(sign | 0x7f800000u);
    }
    if f_isinf(y) || f_iszero(x) {
        return bitcast<f32>(sign);
    }
    return f_scale(f_div_middle(f_mantissa(x), f_mantissa(y)), f_exponent(x) - f_exponent(y));
}

fn f_div(x: f32, y: f32) -> f32 {
    // Exponents within 2^±47 keep the quotient and its residual away from both ends.
    let ex = (bitcast<u32>(x) >> 23u) & 255u;
    let ey = (bitcast<u32>(y) >> 23u) & 255u;
    if ex - 80u < 95u && ey - 80u < 95u {
        return f_div_middle(x, y);
    }
    return f_div_edges(x, y);
}

// The root of 1 <= m < 4.
fn f_sqrt_middle(m: f32) -> f32 {
    let s = f_rounded(sqrt(m));
    let sh = f_top(s);
    let sl = s - sh;
    let residual = ((m - sh * sh) - 2.0 * sh * sl) - sl * sl;
    return s + 0.5 * residual / s;
}

fn f_sqrt(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if f_iszero(x) || f_isnan(x) || bits == 0x7f800000u {
        return x;
    }
    if (bits >> 31u) == 1u {
        return f_nan();
    }
    let e = f_exponent(x);
    let m = f_mantissa(x) * select(1.0, 2.0, (e & 1) == 1);
    return f_sqrt_middle(m) * f_pow2(e >> 1u);
}

fn f_rsqrt(x: f32) -> f32 {
    return f_div(1.0, f_sqrt(x));
}

// The square root of x² + y², the larger scaled to [1, 2).
fn f_hypot(x: f32, y: f32) -> f32 {
    if f_isinf(x) || f_isinf(y) {
        return f_inf();
    }
    if f_unordered(x, y) {
        return f_nan();
    }
    let large = f_maximum(f_abs(x), f_abs(y));
    let small = f_minimum(f_abs(x), f_abs(y));
    if f_iszero(small) {
        return large;
    }
    let e = f_exponent(large);
    let a = f_mantissa(large);
    let b = f_scale(f_mantissa(small), f_exponent(small) - e);
    let top = f_top(a);
    let square = top * top + ((a - top) * (a + top) + b * b);
    return f_scale(f_sqrt(square), e);
}

// x · 2^y, with one rounding where y is whole.
fn f_ldexp(x: f32, y: f32) -> f32 {
    let whole = f_isfinite(y) && floor(y) == y;
    if !whole {
        return x * f_exp2(y);
    }
    if f_iszero(x) || !f_isfinite(x) {
        return x;
    }
    return f_scale(f_mantissa(x), f_exponent(x) + i32(clamp(y, -600.0, 600.0)));
}

fn f_fmod_magnitude(a: u32, b: u32) -> u32 {
    // a = ma * 2^(ea - 150), denormals included.
    let ea = max(a >> 23u, 1u);
    let eb = max(b >> 23u, 1u);
    let ma = select((a & 0x7fffffu) | 0x800000u, a, (a >> 23u) == 0u);
    let mb = select((b & 0x7fffffu) | 0x800000u, b, (b >> 23u) == 0u);
    var r = ma % mb;
    var left = ea - eb;
    while left > 0u && r != 0u {
        let step = min(left, 8u);
        r = (r << step) % mb;
        left -= step;
    }
    if r == 0u {
        return 0u;
    }
    let shift = countLeadingZeros(r) - 8u;
    if eb > shift {
        return ((eb - shift) << 23u) | ((r << shift) & 0x7fffffu);
    }
    return r << (eb - 1u);
}

// The remainder with the sign of x, exact.
fn f_fmod(x: f32, y: f32) -> f32 {
    if f_unordered(x, y) || f_isinf(x) || f_iszero(y) {
        return f_nan();
    }
    let a = bitcast<u32>(x) & 0x7fffffffu;
    let b = bitcast<u32>(y) & 0x7fffffffu;
    if a < b {
        return x;
    }
    return bitcast<f32>(f_fmod_magnitude(a, b) | (bitcast<u32>(x) & 0x80000000u));
}

// Whether a remainder has the other sign than the divisor.
fn f_remainder_crosses(r: f32, y: f32) -> bool {
    return !f_iszero(r) && !f_isnan(r) && f_signbit(r) != f_signbit(y);
}

// The remainder with the sign of y, as Python's %.
fn f_remainder(x: f32, y: f32) -> f32 {
    let r = f_fmod(x, y);
    return select(r, r + y, f_remainder_crosses(r, y));
}

// Python's //, which is not always floor of the rounded quotient.
fn f_floor_divide(x: f32, y: f32) -> f32 {
    if f_iszero(y) {
        return f_div(x, y);
    }
    let r = f_fmod(x, y);
    var q = f_div(x - r, y);
    q -= select(0.0, 1.0, f_remainder_crosses(r, y));
    if f_iszero(q) {
        return f_copysign(0.0, f_div(x, y));
    }
    let below = floor(q);
    return select(below, below + 1.0, q - below > 0.5);
}

// To the nearest integer, halves to even.
fn f_round(x: f32) -> f32 {
    return round(x);
}

fn f_lerp(x: f32, y: f32, z: f32) -> f32 {
    let step = y - x;
    return select(y - step * (1.0 - z), x + z * step, f_lt(f_abs(z), 0.5));
}
