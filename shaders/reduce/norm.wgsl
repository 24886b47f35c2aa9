// The vector norm of order p = P(7), infinite orders and 0 included.
struct Acc { v: f32 }
fn order() -> f32 { return bitcast<f32>(P(7u)); }
fn init() -> Acc {
    if (f_isneginf(order())) { return Acc(f_inf()); }
    return Acc(0.0);
}
fn fold(a: Acc, v: T, i: u32) -> Acc {
    let p = order();
    let size = abs(v);
    if (p == 2.0) { return Acc(a.v + size * size); }
    if (p == 1.0 || f_isinf(p)) { return merge(a, Acc(size)); }
    if (p == 0.0) { return Acc(a.v + select(0.0, 1.0, f32_to_bool(v))); }
    return Acc(a.v + f_pow(size, p));
}
fn merge(a: Acc, b: Acc) -> Acc {
    let p = order();
    if (f_isposinf(p)) { return Acc(f_maximum(a.v, b.v)); }
    if (f_isneginf(p)) { return Acc(f_minimum(a.v, b.v)); }
    return Acc(a.v + b.v);
}
fn root_of(s: f32) -> f32 {
    let p = order();
    if (p == 2.0) { return f_sqrt(s); }
    if (p == 1.0 || p == 0.0 || f_isinf(p)) { return s; }
    return f_pow(s, f_div(1.0, p));
}
