// 64-bit two's complement integers on pairs of u32, the low word first. Arithmetic wraps; dividing by zero gives 0.

alias I64 = vec2<u32>;

// The product of two words.
fn u32_mul_wide(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let middle = a1 * b0 + ((a0 * b0) >> 16u);
    let other = a0 * b1 + (middle & 0xffffu);
    return vec2<u32>(a * b, a1 * b1 + (middle >> 16u) + (other >> 16u));
}

// The high half of the product of unsigned numbers.
fn u64_mul_high(x: I64, y: I64) -> I64 {
    let low = u32_mul_wide(x.x, y.x);
    let a = u32_mul_wide(x.y, y.x);
    let b = u32_mul_wide(x.x, y.y);
    let middle = i64_add(i64_add(vec2<u32>(low.y, 0u), vec2<u32>(a.x, 0u)), vec2<u32>(b.x, 0u));
    let carried = i64_add(i64_add(vec2<u32>(a.y, 0u), vec2<u32>(b.y, 0u)), vec2<u32>(middle.y, 0u));
    return i64_add(u32_mul_wide(x.y, y.y), carried);
}

fn u64_lt(x: I64, y: I64) -> bool {
    return x.y < y.y || (x.y == y.y && x.x < y.x);
}

fn u64_left_shift(x: I64, n: u32) -> I64 {
    let k = n & 31u;
    // Two steps, since a shift by 32 is not one.
    let carried = (x.x >> (31u - k)) >> 1u;
    let near = vec2<u32>(x.x << k, (x.y << k) | carried);
    return select(near, vec2<u32>(0u, x.x << k), n >= 32u);
}

fn u64_right_shift(x: I64, n: u32) -> I64 {
    let k = n & 31u;
    let carried = (x.y << (31u - k)) << 1u;
    let near = vec2<u32>((x.x >> k) | carried, x.y >> k);
    return select(near, vec2<u32>(x.y >> k, 0u), n >= 32u);
}

// One digit of 16 bits of a long division: the quotient of (high : next) by v, high < v, the top bit of v set.
fn u48_digit(high: u32, next: u32, v: u32) -> u32 {
    let v1 = v >> 16u;
    let v0 = v & 0xffffu;
    var q = high / v1;
    var r = high - q * v1;
    // The guess is at most 2 too large (Knuth, The Art of Computer Programming, 4.3.1, theorem B).
    for (var k = 0u; k < 2u; k++) {
        if r <= 0xffffu && (q > 0xffffu || q * v0 > ((r << 16u) | next)) {
            q -= 1u;
            r += v1;
        }
    }
    return q;
}

// The quotient and the remainder of (high : low) by v, for high < v.
fn u64_divide_word(high: u32, low: u32, v: u32) -> vec2<u32> {
    let s = countLeadingZeros(v);
    let d = v << s;
    let u = u64_left_shift(vec2<u32>(low, high), s);
    let q1 = u48_digit(u.y, u.x >> 16u, d);
    let middle = (u.y << 16u) + (u.x >> 16u) - q1 * d;
    let q0 = u48_digit(middle, u.x & 0xffffu, d);
    let rest = (middle << 16u) + (u.x & 0xffffu) - q0 * d;
    return vec2<u32>((q1 << 16u) + q0, rest >> s);
}

// Quotient (xy) and remainder (zw) of unsigned numbers; y is not 0.
fn u64_divide(x: I64, y: I64) -> vec4<u32> {
    if (x.y | y.y) == 0u {
        let q = x.x / y.x;
        return vec4<u32>(q, 0u, x.x - q * y.x, 0u);
    }
    if y.y == 0u {
        let top = x.y / y.x;
        let below = u64_divide_word(x.y - top * y.x, x.x, y.x);
        return vec4<u32>(below.x, top, below.y, 0u);
    }
    // From the top words the quotient comes out right or 1 too large (Warren, Hacker's Delight, 9-5).
    let n = countLeadingZeros(y.y);
    let half = u64_right_shift(x, 1u);
    let guess = u64_divide_word(half.y, half.x, u64_left_shift(y, n).y).x;
    var q = u64_right_shift(u64_left_shift(vec2<u32>(guess, 0u), n), 31u).x;
    q -= select(0u, 1u, q != 0u);
    var r = i64_sub(x, i64_mul(vec2<u32>(q, 0u), y));
    if !u64_lt(r, y) {
        q += 1u;
        r = i64_sub(r, y);
    }
    return vec4<u32>(q, 0u, r);
}

fn i64_zero() -> I64 {
    return vec2<u32>(0u, 0u);
}

fn i64_one() -> I64 {
    return vec2<u32>(1u, 0u);
}

fn i64_add(x: I64, y: I64) -> I64 {
    let low = x.x + y.x;
    return vec2<u32>(low, x.y + y.y + select(0u, 1u, low < x.x));
}

fn i64_sub(x: I64, y: I64) -> I64 {
    return vec2<u32>(x.x - y.x, x.y - y.y - select(0u, 1u, x.x < y.x));
}

fn i64_mul(x: I64, y: I64) -> I64 {
    let low = u32_mul_wide(x.x, y.x);
    return vec2<u32>(low.x, low.y + x.x * y.y + x.y * y.x);
}

fn i64_neg(x: I64) -> I64 {
    return i64_sub(vec2<u32>(0u, 0u), x);
}

fn i64_abs(x: I64) -> I64 {
    return select(x, i64_neg(x), i64_signbit(x));
}

fn i64_sign(x: I64) -> I64 {
    let positive = vec2<u32>(select(1u, 0u, i64_iszero(x)), 0u);
    return select(positive, vec2<u32>(0xffffffffu, 0xffffffffu), i64_signbit(x));
}

// Quotient and remainder that round towards zero.
fn i64_divide(x: I64, y: I64) -> vec4<u32> {
    if i64_iszero(y) {
        return vec4<u32>(0u, 0u, 0u, 0u);
    }
    let r = u64_divide(i64_abs(x), i64_abs(y));
    let quotient = select(r.xy, i64_neg(r.xy), i64_signbit(x) != i64_signbit(y));
    return vec4<u32>(quotient, select(r.zw, i64_neg(r.zw), i64_signbit(x)));
}

fn i64_trunc_divide(x: I64, y: I64) -> I64 {
    return i64_divide(x, y).xy;
}

fn i64_fmod(x: I64, y: I64) -> I64 {
    return i64_divide(x, y).zw;
}

fn i64_floor_divide(x: I64, y: I64) -> I64 {
    let r = i64_divide(x, y);
    let down = !i64_iszero(r.zw) && i64_signbit(r.zw) != i64_signbit(y);
    return i64_sub(r.xy, vec2<u32>(select(0u, 1u, down), 0u));
}

fn i64_remainder(x: I64, y: I64) -> I64 {
    let r = i64_divide(x, y).zw;
    return select(r, i64_add(r, y), !i64_iszero(r) && i64_signbit(r) != i64_signbit(y));
}

// A negative exponent gives 0 except for the bases 1 and -1.
fn i64_pow(x: I64, y: I64) -> I64 {
    let one = vec2<u32>(1u, 0u);
    if i64_signbit(y) {
        if all(x == one) {
            return one;
        }
        let minus = select(one, x, (y.x & 1u) == 1u);
        return select(vec2<u32>(0u, 0u), minus, all(x == vec2<u32>(0xffffffffu, 0xffffffffu)));
    }
    var base = x;
    var e = y;
    var r = one;
    while (e.x | e.y) != 0u {
        if (e.x & 1u) == 1u {
            r = i64_mul(r, base);
        }
        base = i64_mul(base, base);
        e = u64_right_shift(e, 1u);
    }
    return r;
}

fn i64_maximum(x: I64, y: I64) -> I64 {
    return select(x, y, i64_lt(x, y));
}

fn i64_minimum(x: I64, y: I64) -> I64 {
    return select(x, y, i64_lt(y, x));
}

fn i64_clamp(x: I64, low: I64, high: I64) -> I64 {
    return i64_minimum(i64_maximum(x, low), high);
}

fn i64_eq(x: I64, y: I64) -> bool {
    return x.x == y.x && x.y == y.y;
}

fn i64_ne(x: I64, y: I64) -> bool {
    return x.x != y.x || x.y != y.y;
}

fn i64_lt(x: I64, y: I64) -> bool {
    return bitcast<i32>(x.y) < bitcast<i32>(y.y) || (x.y == y.y && x.x < y.x);
}

fn i64_le(x: I64, y: I64) -> bool {
    return !i64_lt(y, x);
}

fn i64_gt(x: I64, y: I64) -> bool {
    return i64_lt(y, x);
}

fn i64_ge(x: I64, y: I64) -> bool {
    return !i64_lt(x, y);
}

fn i64_iszero(x: I64) -> bool {
    return (x.x | x.y) == 0u;
}

fn i64_signbit(x: I64) -> bool {
    return (x.y >> 31u) == 1u;
}

fn i64_bitwise_not(x: I64) -> I64 {
    return ~x;
}

fn i64_bitwise_and(x: I64, y: I64) -> I64 {
    return x & y;
}

fn i64_bitwise_or(x: I64, y: I64) -> I64 {
    return x | y;
}

fn i64_bitwise_xor(x: I64, y: I64) -> I64 {
    return x ^ y;
}

// 0 where the count is negative or too large.
fn i64_bitwise_left_shift(x: I64, y: I64) -> I64 {
    return select(u64_left_shift(x, y.x & 63u), vec2<u32>(0u, 0u), y.y != 0u || y.x > 63u);
}

// Only the sign stays where the count is negative or too large.
fn i64_bitwise_right_shift(x: I64, y: I64) -> I64 {
    let n = select(y.x, 63u, y.y != 0u || y.x > 63u);
    let k = n & 31u;
    let sign = select(0u, 0xffffffffu, i64_signbit(x));
    let high = (x.y >> k) | ((sign << (31u - k)) << 1u);
    let low = (x.x >> k) | ((x.y << (31u - k)) << 1u);
    return select(vec2<u32>(low, high), vec2<u32>(high, sign), n >= 32u);
}

fn i64_gcd(x: I64, y: I64) -> I64 {
    var a = i64_abs(x);
    var b = i64_abs(y);
    while (b.x | b.y) != 0u {
        let r = u64_divide(a, b).zw;
        a = b;
        b = r;
    }
    return a;
}

fn i64_lcm(x: I64, y: I64) -> I64 {
    return i64_abs(i64_mul(i64_trunc_divide(x, i64_gcd(x, y)), y));
}

fn i64_heaviside(x: I64, y: I64) -> I64 {
    let step = vec2<u32>(select(1u, 0u, i64_signbit(x)), 0u);
    return select(step, y, i64_iszero(x));
}

fn i64_relu(x: I64) -> I64 {
    return select(x, vec2<u32>(0u, 0u), i64_signbit(x));
}

fn i64_threshold(x: I64, t: I64, v: I64) -> I64 {
    return select(x, v, i64_le(x, t));
}

fn i64_to_i32(x: I64) -> i32 {
    return bitcast<i32>(x.x);
}

fn i32_to_i64(x: i32) -> I64 {
    return vec2<u32>(bitcast<u32>(x), select(0u, 0xffffffffu, x < 0));
}

fn u32_to_i64(x: u32) -> I64 {
    return vec2<u32>(x, 0u);
}

fn i64_to_bool(x: I64) -> bool {
    return (x.x | x.y) != 0u;
}

fn bool_to_i64(x: bool) -> I64 {
    return vec2<u32>(select(0u, 1u, x), 0u);
}

// To the nearest, ties to even.
fn i64_to_f32(x: I64) -> f32 {
    if i64_iszero(x) {
        return 0.0;
    }
    let a = i64_abs(x);
    let zeros = select(countLeadingZeros(a.y), 32u + countLeadingZeros(a.x), a.y == 0u);
    let m = u64_left_shift(a, zeros);
    // 24 bits stay; a carry out of them goes into the exponent.
    let rest = (m.y & 0xffu) | select(0u, 1u, m.x != 0u);
    let kept = m.y >> 8u;
    let up = rest > 0x80u || (rest == 0x80u && (kept & 1u) == 1u);
    let bits = ((189u - zeros) << 23u) + kept + select(0u, 1u, up);
    return bitcast<f32>(bits | (x.y & 0x80000000u));
}

// Towards zero; out of range the smallest integer, as for NaN.
fn f32_to_i64(x: f32) -> I64 {
    let bits = bitcast<u32>(x);
    let exponent = (bits >> 23u) & 255u;
    let negative = (bits >> 31u) == 1u;
    if exponent >= 190u {
        return vec2<u32>(0u, 0x80000000u);
    }
    if exponent < 127u {
        return vec2<u32>(0u, 0u);
    }
    let mantissa = (bits & 0x7fffffu) | 0x800000u;
    var r = vec2<u32>(mantissa >> ((150u - exponent) & 31u), 0u);
    if exponent >= 150u {
        r = u64_left_shift(vec2<u32>(mantissa, 0u), exponent - 150u);
    }
    return select(r, i64_neg(r), negative);
}

// As above, of 32 bits.
fn f32_to_i32(x: f32) -> i32 {
    let bits = bitcast<u32>(x);
    if ((bits >> 23u) & 255u) >= 158u {
        return bitcast<i32>(0x80000000u);
    }
    return i32(x);
}
