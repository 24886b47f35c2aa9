// Integers of up to 32 bits in an i32. Arithmetic wraps; dividing by zero gives 0. Narrow types wrap after each
// operator by wrap_u8, wrap_i8 and wrap_i16. The remainder is x - (x / y) * y: naga's signed % was wrong below 0.

fn wrap_u8(x: i32) -> i32 {
    return x & 255;
}

fn wrap_i8(x: i32) -> i32 {
    return (x << 24u) >> 24u;
}

fn wrap_i16(x: i32) -> i32 {
    return (x << 16u) >> 16u;
}

fn i32_zero() -> i32 {
    return 0;
}

fn i32_add(x: i32, y: i32) -> i32 {
    return x + y;
}

fn i32_sub(x: i32, y: i32) -> i32 {
    return x - y;
}

fn i32_mul(x: i32, y: i32) -> i32 {
    return x * y;
}

fn i32_neg(x: i32) -> i32 {
    return 0 - x;
}

fn i32_abs(x: i32) -> i32 {
    return select(x, 0 - x, x < 0);
}

fn i32_sign(x: i32) -> i32 {
    return select(select(0, 1, x > 0), -1, x < 0);
}

fn i32_trunc_divide(x: i32, y: i32) -> i32 {
    // -1 apart, because the most negative number has no opposite.
    let divisor = select(y, 1, y == 0 || y == -1);
    let quotient = select(x / divisor, 0 - x, y == -1);
    return select(quotient, 0, y == 0);
}

fn i32_fmod(x: i32, y: i32) -> i32 {
    let divisor = select(y, 1, y == 0 || y == -1);
    return x - (x / divisor) * divisor;
}

fn i32_floor_divide(x: i32, y: i32) -> i32 {
    let r = i32_fmod(x, y);
    return i32_trunc_divide(x, y) - select(0, 1, r != 0 && (r < 0) != (y < 0));
}

fn i32_remainder(x: i32, y: i32) -> i32 {
    let r = i32_fmod(x, y);
    return r + select(0, y, r != 0 && (r < 0) != (y < 0));
}

// A negative exponent gives 0 except for the bases 1 and -1.
fn i32_pow(x: i32, y: i32) -> i32 {
    if y < 0 {
        let minus = select(x, 1, (y & 1) == 0);
        return select(select(0, minus, x == -1), 1, x == 1);
    }
    var base = x;
    var e = bitcast<u32>(y);
    var r = 1;
    while e != 0u {
        if (e & 1u) == 1u {
            r = r * base;
        }
        base = base * base;
        e = e >> 1u;
    }
    return r;
}

fn i32_maximum(x: i32, y: i32) -> i32 {
    return max(x, y);
}

fn i32_minimum(x: i32, y: i32) -> i32 {
    return min(x, y);
}

fn i32_clamp(x: i32, low: i32, high: i32) -> i32 {
    return min(max(x, low), high);
}

fn i32_eq(x: i32, y: i32) -> bool {
    return x == y;
}

fn i32_ne(x: i32, y: i32) -> bool {
    return x != y;
}

fn i32_lt(x: i32, y: i32) -> bool {
    return x < y;
}

fn i32_le(x: i32, y: i32) -> bool {
    return x <= y;
}

fn i32_gt(x: i32, y: i32) -> bool {
    return x > y;
}

fn i32_ge(x: i32, y: i32) -> bool {
    return x >= y;
}

fn i32_iszero(x: i32) -> bool {
    return x == 0;
}

fn i32_signbit(x: i32) -> bool {
    return x < 0;
}

fn i32_bitwise_not(x: i32) -> i32 {
    return ~x;
}

fn i32_bitwise_and(x: i32, y: i32) -> i32 {
    return x & y;
}

fn i32_bitwise_or(x: i32, y: i32) -> i32 {
    return x | y;
}

fn i32_bitwise_xor(x: i32, y: i32) -> i32 {
    return x ^ y;
}

// 0 where the count is negative or too large.
fn i32_bitwise_left_shift(x: i32, y: i32) -> i32 {
    return select(x << (bitcast<u32>(y) & 31u), 0, y < 0 || y > 31);
}

// Only the sign stays where the count is negative or too large.
fn i32_bitwise_right_shift(x: i32, y: i32) -> i32 {
    return x >> select(bitcast<u32>(y), 31u, y < 0 || y > 31);
}

fn i32_gcd(x: i32, y: i32) -> i32 {
    var a = bitcast<u32>(i32_abs(x));
    var b = bitcast<u32>(i32_abs(y));
    while b != 0u {
        let r = a - (a / b) * b;
        a = b;
        b = r;
    }
    return bitcast<i32>(a);
}

fn i32_lcm(x: i32, y: i32) -> i32 {
    return i32_abs(i32_trunc_divide(x, i32_gcd(x, y)) * y);
}

fn i32_heaviside(x: i32, y: i32) -> i32 {
    return select(select(1, 0, x < 0), y, x == 0);
}

fn i32_relu(x: i32) -> i32 {
    return max(x, 0);
}

fn i32_threshold(x: i32, t: i32, v: i32) -> i32 {
    return select(x, v, x <= t);
}

fn i32_to_f32(x: i32) -> f32 {
    return f32(x);
}

fn i32_to_bool(x: i32) -> bool {
    return x != 0;
}

fn bool_to_i32(x: bool) -> i32 {
    return select(0, 1, x);
}
