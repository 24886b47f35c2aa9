// Folds four numbers at a time, and four fours, into the sum of exponentials of a row, see sums.wgsl.

// A sum relative to another maximum that is no lower.
fn raised(a: Acc, top: f32) -> f32 {
    if (f_gt(top, a.top)) {
        return a.sum * f_exp(a.top - top);
    }
    return a.sum;
}

fn numbers_of(v: vec4<f32>, unknown: vec4<bool>) -> vec4<f32> {
    return select(v, vec4<f32>(-f_inf()), unknown);
}

fn highest_of(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

// NaN is no maximum but makes the sum NaN.
fn fold(a: Acc, v: vec4<f32>) -> Acc {
    let unknown = fours_isnan(v);
    let highest = highest_of(numbers_of(v, unknown));
    let top = select(a.top, highest, f_gt(highest, a.top));
    if (f_isneginf(top)) {
        return Acc(top, select(a.sum, f_nan(), any(unknown)));
    }
    return Acc(top, raised(a, top) + sum_of(fours_exp(v - top)));
}

fn fold_four(a: Acc, p: V, q: V, r: V, s: V) -> Acc {
    let high = max(max(p, q), max(r, s));
    let unknown = fours_isnan(p) | fours_isnan(q) | fours_isnan(r) | fours_isnan(s);
    let highest = highest_of(high);
    if (any(unknown) || !f_isfinite(highest)) {
        return fold(fold(fold(fold(a, p), q), r), s);
    }
    let top = select(a.top, highest, f_gt(highest, a.top));
    let sums = (fours_exp(p - top) + fours_exp(q - top)) + (fours_exp(r - top) + fours_exp(s - top));
    return Acc(top, raised(a, top) + sum_of(sums));
}
