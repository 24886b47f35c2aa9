// The extreme value and the first position where it occurs; NaN is more extreme than anything. `before(x, y)` says whether x
// is more extreme than y, both being numbers.
struct Acc { v: T, i: u32 }
fn init() -> Acc { return Acc(worst(), 0xffffffffu); }
fn better(x: Acc, y: Acc) -> bool {
    if (x.i == 0xffffffffu || y.i == 0xffffffffu) { return y.i == 0xffffffffu && x.i != 0xffffffffu; }
    let p = is_nan(x.v);
    let q = is_nan(y.v);
    if (p || q) { return p && (!q || x.i < y.i); }
    return before(x.v, y.v) || (!before(y.v, x.v) && x.i < y.i);
}
fn fold(a: Acc, v: T, i: u32) -> Acc { return merge(a, Acc(v, i)); }
fn merge(a: Acc, b: Acc) -> Acc {
    if (better(b, a)) { return b; }
    return a;
}
