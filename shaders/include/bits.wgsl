// Tests and choices that NaN, infinity and the sign of zero take part in, on bits: a driver may assume that neither NaN
// nor infinity occurs, and naga compiles `!=` to a comparison that is false for NaN.

// Constants that WGSL cannot spell: an expression of constants may not be infinite or NaN.
fn f_inf() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn f_nan() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

fn f_isnan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn f_isinf(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

fn f_isfinite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}

fn f_isposinf(x: f32) -> bool {
    return bitcast<u32>(x) == 0x7f800000u;
}

fn f_isneginf(x: f32) -> bool {
    return bitcast<u32>(x) == 0xff800000u;
}

fn f_signbit(x: f32) -> bool {
    return (bitcast<u32>(x) >> 31u) == 1u;
}

fn f_iszero(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0u;
}

// |x| and -x as moves of a bit, which keep NaN and the sign of zero.
fn f_abs(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0x7fffffffu);
}

fn f_neg(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u);
}

fn f_copysign(x: f32, y: f32) -> f32 {
    // Added: Mesa 26.2's software driver takes joined masked bits for a selection with its operands in a wrong
    // order, and drivers that take 0 and -0 for equal choose either of them.
    return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) + ((bitcast<u32>(y) >> 31u) << 31u));
}

// x, of which no compiler knows how it was computed: drivers join a product and a sum into one operation, which
// rounds once.
fn f_rounded(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) + u32(bitcast<u32>(x) == 0x7fc55aa5u));
}

// The place of x in the order of numbers; -0 and 0 are one place.
fn f_order(x: f32) -> i32 {
    let bits = bitcast<u32>(x);
    let magnitude = bitcast<i32>(bits & 0x7fffffffu);
    return select(magnitude, 0 - magnitude, (bits >> 31u) == 1u);
}

// Without branches: `&&` and `||` are some.
fn f_unordered(x: f32, y: f32) -> bool {
    return f_isnan(x) | f_isnan(y);
}

fn f_eq(x: f32, y: f32) -> bool {
    return (f_order(x) == f_order(y)) & !f_unordered(x, y);
}

fn f_ne(x: f32, y: f32) -> bool {
    return (f_order(x) != f_order(y)) | f_unordered(x, y);
}

fn f_lt(x: f32, y: f32) -> bool {
    return (f_order(x) < f_order(y)) & !f_unordered(x, y);
}

fn f_le(x: f32, y: f32) -> bool {
    return (f_order(x) <= f_order(y)) & !f_unordered(x, y);
}

fn f_gt(x: f32, y: f32) -> bool {
    return f_lt(y, x);
}

fn f_ge(x: f32, y: f32) -> bool {
    return f_le(y, x);
}

// NaN wins.
fn f_maximum(x: f32, y: f32) -> f32 {
    return select(y, x, f_isnan(x) | (!f_isnan(y) & (f_order(x) > f_order(y))));
}

fn f_minimum(x: f32, y: f32) -> f32 {
    return select(y, x, f_isnan(x) | (!f_isnan(y) & (f_order(x) < f_order(y))));
}

// NaN gives the other.
fn f_fmax(x: f32, y: f32) -> f32 {
    return select(y, x, f_isnan(y) | (!f_isnan(x) & (f_order(x) >= f_order(y))));
}

fn f_fmin(x: f32, y: f32) -> f32 {
    return select(y, x, f_isnan(y) | (!f_isnan(x) & (f_order(x) <= f_order(y))));
}

fn f_clamp(x: f32, low: f32, high: f32) -> f32 {
    return f_minimum(f_maximum(x, low), high);
}

// 0 for NaN.
fn f_sign(x: f32) -> f32 {
    let one = select(1.0, -1.0, f_signbit(x));
    return select(one, 0.0, f_iszero(x) || f_isnan(x));
}

fn f_heaviside(x: f32, y: f32) -> f32 {
    let step = select(1.0, 0.0, f_signbit(x) || f_isnan(x));
    return select(step, y, f_iszero(x));
}

fn f_nan_to_num(x: f32, n: f32, p: f32, m: f32) -> f32 {
    let infinite = select(p, m, f_signbit(x));
    return select(select(x, infinite, f_isinf(x)), n, f_isnan(x));
}

fn f_nextafter(x: f32, y: f32) -> f32 {
    if f_unordered(x, y) {
        return f_nan();
    }
    let from_ = f_order(x);
    let to = f_order(y);
    if from_ == to {
        return y;
    }
    let next = select(from_ - 1, from_ + 1, to > from_);
    // From below to 0 the result is -0.
    let negative = next < 0 || (next == 0 && from_ < 0);
    return bitcast<f32>(bitcast<u32>(abs(next)) | select(0u, 0x80000000u, negative));
}

// The conditions of where, threshold and the shrinking activations: comparisons with NaN are false.
fn f_relu(x: f32) -> f32 {
    // The numbers from the one below -0 to -infinity are neighbours as bits.
    return select(x, 0.0, bitcast<u32>(x) - 0x80000001u < 0x7f800000u);
}

fn f_threshold(x: f32, t: f32, v: f32) -> f32 {
    return select(x, v, f_le(x, t));
}

fn f_leaky_relu(x: f32, s: f32) -> f32 {
    return select(x * s, x, f_gt(x, 0.0));
}

fn f_hardshrink(x: f32, l: f32) -> f32 {
    return select(x, 0.0, f_ge(x, f_neg(l)) && f_le(x, l));
}

fn f_softshrink(x: f32, l: f32) -> f32 {
    if f_gt(x, l) {
        return x - l;
    }
    if f_lt(x, f_neg(l)) {
        return x + l;
    }
    return select(0.0, x, f_isnan(x));
}

fn f32_to_bool(x: f32) -> bool {
    return !f_iszero(x);
}

fn bool_to_f32(x: bool) -> f32 {
    return select(0.0, 1.0, x);
}
