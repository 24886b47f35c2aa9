// Sums of exponentials relative to the largest exponent (Milakov and Gimelshein, 2018).

struct ExpSum {
    top: f32,
    sum: f32,
}

fn exp_sum_none() -> ExpSum {
    return ExpSum(-f_inf(), 0.0);
}

// NaN is no maximum but makes the sum NaN.
fn exp_sum_fold(a: ExpSum, v: f32) -> ExpSum {
    if (f_isneginf(v)) {
        return a;
    }
    if (f_gt(v, a.top)) {
        return ExpSum(v, a.sum * f_exp(a.top - v) + 1.0);
    }
    return ExpSum(a.top, a.sum + select(f_exp(v - a.top), f_nan(), f_isnan(v)));
}

fn exp_sum_merge(a: ExpSum, b: ExpSum) -> ExpSum {
    let over = f_gt(a.top, b.top);
    let high = ExpSum(select(b.top, a.top, over), select(b.sum, a.sum, over));
    let low = ExpSum(select(a.top, b.top, over), select(a.sum, b.sum, over));
    // Equal tops, infinite ones too, keep their sums as they are.
    let same = bitcast<u32>(high.top) == bitcast<u32>(low.top);
    return ExpSum(high.top, high.sum + select(low.sum * f_exp(low.top - high.top), low.sum, same));
}

// The sum, NaN where the maximum is not finite: exponentials relative to it have no value.
fn exp_sum_total(a: ExpSum) -> f32 {
    return select(f_nan(), a.sum, f_isfinite(a.top));
}
