// The logarithm of a sum of exponentials.
alias Acc = f32;

fn identity() -> f32 {
    return -f_inf();
}

fn combine(a: f32, b: f32) -> f32 {
    if (f_isnan(a) || f_isnan(b)) {
        return f_nan();
    }
    let low = min(a, b);
    let high = max(a, b);
    // Equal infinities would give the NaN of inf - inf.
    if (f_isinf(low) || f_isinf(high)) {
        return high;
    }
    return f_log1p(f_exp(low - high)) + high;
}
