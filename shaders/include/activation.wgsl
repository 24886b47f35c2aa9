// Activation functions of f32 that are more than a comparison (those are in bits.wgsl).

// 1/(1 + e^-x), without losing the small values.
fn f_sigmoid(x: f32) -> f32 {
    let e = f_exp(f_neg(f_abs(x)));
    return f_div(select(1.0, e, f_signbit(x)), 1.0 + e);
}

// log(1 + e^(b·x))/b, and x itself where b·x exceeds t.
fn f_softplus(x: f32, b: f32, t: f32) -> f32 {
    let scaled = x * b;
    return select(f_div(f_log1p(f_exp(scaled)), b), x, f_gt(scaled, t));
}

fn f_logsigmoid(x: f32) -> f32 {
    return select(0.0, x, f_lt(x, 0.0)) - f_log1p(f_exp(f_neg(f_abs(x))));
}

fn f_gelu(x: f32) -> f32 {
    return x * 0.5 * (1.0 + f_erf(x * 0.70710677));
}

// 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), Hendrycks and Gimpel 2016.
fn f_gelu_tanh(x: f32) -> f32 {
    return 0.5 * x * (1.0 + f_tanh(0.7978846 * (x + 0.044715 * x * x * x)));
}

fn f_mish(x: f32) -> f32 {
    let softplus = select(0.0, x, f_gt(x, 0.0)) + f_log1p(f_exp(f_neg(f_abs(x))));
    return x * f_tanh(softplus);
}

fn f_elu(x: f32, a: f32, s: f32, k: f32) -> f32 {
    return select(f_expm1(x * k) * a * s, x * s, f_gt(x, 0.0));
}

fn f_hardsigmoid(x: f32) -> f32 {
    return f_div(f_clamp(x + 3.0, 0.0, 6.0), 6.0);
}

fn f_hardswish(x: f32) -> f32 {
    return f_div(x * f_clamp(x + 3.0, 0.0, 6.0), 6.0);
}
