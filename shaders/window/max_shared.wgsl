// The maximum under a window and its flat position: the first of equal values, the last NaN.
//
// Needs: fn exceeds(a: T, b: T) -> bool, false where one is NaN; is_nan, lowest.
struct Acc { v: T, i: u32 }
fn init() -> Acc { return Acc(lowest(), 0xffffffffu); }
fn fold(a: Acc, p: Place, at: vec3<u32>) -> Acc { return merge(a, Acc(x_at(in_x(p, at)), flat(at))); }
fn wins(a: Acc, b: Acc) -> bool {
    if (a.i == 0xffffffffu || b.i == 0xffffffffu) { return b.i == 0xffffffffu; }
    if (is_nan(a.v) || is_nan(b.v)) { return is_nan(a.v) && (!is_nan(b.v) || a.i > b.i); }
    return exceeds(a.v, b.v) || (!exceeds(b.v, a.v) && a.i < b.i);
}
fn merge(a: Acc, b: Acc) -> Acc {
    if (wins(a, b)) { return a; }
    return b;
}
fn emit(p: Place, a: Acc) {
    y_put(in_y(p), a.v);
    z_put(in_z(p, p.at), vec2<u32>(a.i, 0u));
}
