// The maximum and the sum of exponentials relative to it.
struct Acc { top: f32, sum: f32 }
fn init() -> Acc { return Acc(-f_inf(), 0.0); }
fn fold(a: Acc, v: T, i: u32) -> Acc { return merge(a, Acc(v, 1.0)); }
fn merge(a: Acc, b: Acc) -> Acc {
    if (f_isnan(a.top) || f_isnan(b.top)) { return Acc(f_nan(), 1.0); }
    let top = max(a.top, b.top);
    // Equal tops, infinite ones too, keep their sums as they are.
    let p = select(f_exp(a.top - top), 1.0, a.top == top);
    let q = select(f_exp(b.top - top), 1.0, b.top == top);
    return Acc(top, a.sum * p + b.sum * q);
}
