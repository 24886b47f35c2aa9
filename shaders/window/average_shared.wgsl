// The mean under a window. Needs: divisor; zero, add, over.
struct Acc { v: T }
fn init() -> Acc { return Acc(zero()); }
fn fold(a: Acc, p: Place, at: vec3<u32>) -> Acc { return Acc(add(a.v, x_at(in_x(p, at)))); }
fn merge(a: Acc, b: Acc) -> Acc { return Acc(add(a.v, b.v)); }
fn emit(p: Place, a: Acc) { y_put(in_y(p), over(a.v, divisor(p.at))); }
