// The sums of exponentials of four rows side by side, as those of one in include/exp_sum.wgsl.

struct Acc {
    top: vec4<f32>,
    sum: vec4<f32>,
}

fn none() -> Acc {
    return Acc(vec4<f32>(-f_inf()), vec4<f32>(0.0));
}

fn fold(a: Acc, v: vec4<f32>) -> Acc {
    let unknown = fours_isnan(v);
    let number = select(v, a.top, unknown);
    let over = number > a.top;
    // Either the number or the sum so far is relative to the lower maximum.
    let e = fours_exp(min(number, a.top) - max(number, a.top));
    let sum = select(a.sum + select(e, v, unknown), a.sum * e + 1.0, over);
    let nothing = bitcast<vec4<u32>>(v) == vec4<u32>(0xff800000u);
    return Acc(max(a.top, number), select(sum, a.sum, nothing));
}

fn merge(a: Acc, b: Acc) -> Acc {
    let over = a.top > b.top;
    let high = select(b.top, a.top, over);
    let low = select(a.top, b.top, over);
    // Equal tops, infinite ones too, keep their sums as they are.
    let same = bitcast<vec4<u32>>(high) == bitcast<vec4<u32>>(low);
    let e = select(fours_exp(low - high), vec4<f32>(1.0), same);
    return Acc(high, select(b.sum, a.sum, over) + select(a.sum, b.sum, over) * e);
}

fn total_of(a: Acc) -> vec4<f32> {
    let finite = (bitcast<vec4<u32>>(a.top) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
    return select(vec4<f32>(f_nan()), a.sum, finite);
}

fn log_of(s: vec4<f32>) -> vec4<f32> {
    return fours_log(s);
}

fn inverse_of(s: vec4<f32>) -> vec4<f32> {
    return fours_inverse(s);
}

fn fold_four(a: Acc, p: V, q: V, r: V, s: V) -> Acc {
    return fold(fold(fold(fold(a, p), q), r), s);
}
