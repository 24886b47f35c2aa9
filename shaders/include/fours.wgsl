// Functions of four numbers at a time, without branches, see those of one.

fn fours_isnan(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

// As f_exp, its steps for four numbers.
fn fours_exp(x: vec4<f32>) -> vec4<f32> {
    let a = clamp(x, vec4<f32>(-104.0), vec4<f32>(89.0));
    let n = round(a * 1.442695);
    let r = (a - n * 0.6933594) - n * -0.00021219444;
    let high = 0.008341509 + r * (0.0013930544 + r * 0.00015017281);
    let tail = 0.5 + r * (0.16666636 + r * (0.04166651 + r * high));
    let e = 1.0 + (r + r * r * tail);
    // Two factors, since 2^n may be denormal or infinite.
    let k = vec4<i32>(n);
    let half = k >> vec4<u32>(1u);
    return select(e * fours_pow2(half) * fours_pow2(k - half), x, fours_isnan(x));
}

// 2^n where that is a normal number.
fn fours_pow2(n: vec4<i32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(n + 127) << vec4<u32>(23u));
}

fn fours_log(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(f_log(x.x), f_log(x.y), f_log(x.z), f_log(x.w));
}

fn fours_inverse(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(f_div(1.0, x.x), f_div(1.0, x.y), f_div(1.0, x.z), f_div(1.0, x.w));
}
