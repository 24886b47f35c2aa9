// Folds four numbers at a time into the sum of exponentials of a row, see sums.wgsl.

// NaN is no maximum but makes the sum NaN.
fn fold(a: Acc, v: vec4<f32>) -> Acc {
    let unknown = fours_isnan(v);
    let numbers = select(v, vec4<f32>(-f_inf()), unknown);
    let highest = max(max(numbers.x, numbers.y), max(numbers.z, numbers.w));
    let over = f_gt(highest, a.top);
    let top = select(a.top, highest, over);
    if (f_isneginf(top)) {
        return Acc(top, select(a.sum, f_nan(), any(unknown)));
    }
    let e = fours_exp(v - top);
    var before = a.sum;
    if (over) {
        before *= f_exp(a.top - top);
    }
    return Acc(top, before + ((e.x + e.y) + (e.z + e.w)));
}
