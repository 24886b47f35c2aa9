// Exponentials, logarithms and powers of f32, after rust/core/src/cpu/math/single.rs, whose polynomials these are.
// Within 2 ulp (log10 3) where the result is normal; the driver may flush denormal results to 0, not arguments.

// x - n·log 2 with log 2 in two parts, the first of 10 bits, so that its product with n is exact.
fn f_exp_rest(x: f32, n: f32) -> f32 {
    return (x - n * 0.6933594) - n * -0.00021219444;
}

// (e^r - 1 - r)/r² for |r| <= 0.3475.
fn f_exp_tail(r: f32) -> f32 {
    return 0.5 + r * (0.16666636 + r * (0.04166651 + r * (0.008341509 + r * (0.0013930544 + r * 0.00015017281))));
}

fn f_exp_reduced(r: f32) -> f32 {
    return 1.0 + (r + r * r * f_exp_tail(r));
}

fn f_exp(x: f32) -> f32 {
    let a = clamp(x, -104.0, 89.0);
    let n = round(a * 1.442695);
    let e = f_scale(f_exp_reduced(f_exp_rest(a, n)), i32(n));
    return select(e, x, f_isnan(x));
}

fn f_exp2(x: f32) -> f32 {
    let a = clamp(x, -151.0, 129.0);
    let n = round(a);
    let e = f_scale(f_exp_reduced((a - n) * 0.6931472), i32(n));
    return select(e, x, f_isnan(x));
}

fn f_expm1(x: f32) -> f32 {
    let a = clamp(x, -20.0, 89.0);
    let n = round(a * 1.442695);
    let r = f_exp_rest(a, n);
    let p = r + r * r * f_exp_tail(r);
    // 2^(n-1) instead of 2^n, which would overflow at the upper end.
    let s = f_pow2(i32(n) - 1);
    let y = 2.0 * (s * p + (s - 0.5));
    return select(y, x, f_isnan(x) || f_abs(x) < 1e-8);
}

// |x| = 2^k·(1 + f) with 1 + f in [√½, √2), for finite x other than 0: (k, f).
fn f_log_split(x: f32) -> vec2<f32> {
    let m = f_abs(f_mantissa(x));
    let high = m >= 1.4142135;
    let k = f_exponent(x) + select(0, 1, high);
    return vec2<f32>(f32(k), m * select(1.0, 0.5, high) - 1.0);
}

// log(1 + f) - f for 1 + f in [√½, √2).
fn f_log1p_tail(f: f32) -> f32 {
    let high = -0.12549697 + f * (0.121089615 + f * (-0.10916425 + f * 0.053384807));
    let p = 0.33333313 + f * (-0.25000167 + f * (0.20002224 + f * (-0.16659367 + f * (0.1420956 + f * high))));
    let ff = f * f;
    return f * ff * p - 0.5 * ff;
}

// The logarithm's values at 0, infinity, below 0 and for NaN; r elsewhere.
fn f_log_edges(x: f32, r: f32) -> f32 {
    let bits = bitcast<u32>(x);
    var edge = select(f_nan(), x, (bits >> 31u) == 0u);
    edge = select(edge, bitcast<f32>(bitcast<u32>(f_inf()) | 0x80000000u), f_iszero(x));
    return select(edge, r, bits - 1u < 0x7f7fffffu);
}

fn f_log(x: f32) -> f32 {
    let s = f_log_split(x);
    let r = s.x * 0.6933594 + (s.y + (s.x * -0.00021219444 + f_log1p_tail(s.y)));
    return f_log_edges(x, r);
}

fn f_log2(x: f32) -> f32 {
    let s = f_log_split(x);
    return f_log_edges(x, s.x + f_log2_of(s.y));
}

// log2(1 + f), the product with log2 e in parts: the error of a rounded factor would show where k is 0.
fn f_log2_of(f: f32) -> f32 {
    let tail = f_log1p_tail(f);
    let hi = f_top(f);
    // 1.4423828 has 12 bits.
    return hi * 1.4423828 + ((f - hi) * 1.4423828 + (tail * 1.442695 + f * 0.00031222839));
}

fn f_log10(x: f32) -> f32 {
    let s = f_log_split(x);
    let small = (s.y + f_log1p_tail(s.y)) * 0.4342945 + s.x * 4.605039e-6;
    return f_log_edges(x, s.x * 0.3010254 + small);
}

fn f_log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let bits = bitcast<i32>(bitcast<u32>(u));
    let k = (bits - 0x3f3504f3) >> 23u;
    let m = bitcast<f32>(bitcast<u32>(bits - (k << 23u)));
    // f = (1 + x)/2^k - 1 keeps the bits of x that 1 + x rounds away; above 2^25 they no longer matter.
    let s = bitcast<f32>(bitcast<u32>((127 - k) << 23u));
    let f = select(x * s + (s - 1.0), m - 1.0, x > 33554432.0);
    let n = f32(k);
    let r = n * 0.6933594 + (f + (n * -0.00021219444 + f_log1p_tail(f)));
    return select(f_log_edges(u, r), x, f_isnan(x) || f_abs(x) < 1e-8);
}

// log2|x| as a pair with an error of 2^-33, for finite x other than 0.
fn ff_log2(x: f32) -> vec2<f32> {
    let split = f_log_split(x);
    let f = split.y;
    // s = f/(2 + f) as a pair; then log(1 + f) = 2·atanh(s).
    let dh = f_top(2.0 + f);
    let dl = (2.0 - dh) + f;
    let d = dh + dl;
    let sh = f_top(f / d);
    let s = ff_sum(sh, ((f - sh * dh) - sh * dl) / d);
    let z = ff_mul(s, s);
    let zz = z.x + z.y;
    let rest = zz * (0.2 + zz * (0.14285715 + zz * (0.11111111 + zz * 0.090909091)));
    // 1/3 = 0.33325195 + 8.13802e-5
    let series = ff_add(1.0, ff_mul(z, ff_sum(0.33325195, 8.1380208e-5 + rest)));
    // 2·log2 e
    let log = ff_mul(ff_mul(s, series), vec2<f32>(2.8847656, 0.00062445678));
    return ff_add(split.x, log);
}

// 2^(a.x + a.y) for |a| < 1000, correct to 0.53 ulp.
fn ff_exp2(a: vec2<f32>) -> f32 {
    let n = round(a.x);
    let r = ff_mul(ff_sum(a.x - n, a.y), vec2<f32>(0.69311523, 3.1946185e-5));
    let rr = r.x + r.y;
    let e = ff_add(1.0, r);
    let square = rr * rr * f_exp_tail(rr);
    // The exponential of the tail's own rounding stays below 2^-28.
    return f_scale(e.x + (e.y + square), i32(n));
}

// The magnitude of x to the power y, for finite x other than 0 and finite y.
fn f_pow_magnitude(x: f32, y: f32) -> f32 {
    let log = ff_log2(x);
    let near = y * log.x;
    if !(abs(near) < 200.0) {
        return select(0.0, f_inf(), f_signbit(y) == f_signbit(log.x));
    }
    return ff_exp2(ff_mul(ff_pair(y), log));
}

// By the rules of C99 Annex F.
fn f_pow(x: f32, y: f32) -> f32 {
    if f_iszero(y) || bitcast<u32>(x) == 0x3f800000u {
        return 1.0;
    }
    if f_unordered(x, y) {
        return f_nan();
    }
    let a = f_abs(x);
    let infinite = f_isinf(y);
    let integral = infinite || floor(y) == y;
    let odd = !infinite && integral && floor(0.5 * y) != 0.5 * y;
    let sign = select(0u, 0x80000000u, odd && f_signbit(x));
    if f_iszero(x) || f_isinf(x) {
        return bitcast<f32>(sign | select(0u, 0x7f800000u, f_isinf(x) != f_signbit(y)));
    }
    if infinite {
        let grows = (a > 1.0) != f_signbit(y);
        return select(select(0.0, f_inf(), grows), 1.0, a == 1.0);
    }
    if f_signbit(x) && !integral {
        return f_nan();
    }
    return bitcast<f32>(bitcast<u32>(f_pow_magnitude(x, y)) | sign);
}

// log(e^x + e^y) without overflow.
fn f_logaddexp(x: f32, y: f32) -> f32 {
    if f_isinf(x) && f_eq(x, y) {
        return x;
    }
    let hi = f_maximum(x, y);
    let lo = f_minimum(x, y);
    return hi + f_log1p(f_exp(lo - hi));
}

fn f_logaddexp2(x: f32, y: f32) -> f32 {
    if f_isinf(x) && f_eq(x, y) {
        return x;
    }
    let hi = f_maximum(x, y);
    let lo = f_minimum(x, y);
    return hi + f_log1p(f_exp2(lo - hi)) * 1.442695;
}

// x · log y, 0 where x is 0.
fn f_xlogy(x: f32, y: f32) -> f32 {
    if f_isnan(y) {
        return y;
    }
    return select(x * f_log(y), 0.0, f_iszero(x));
}
