// Sums.
struct Acc { v: T }
fn init() -> Acc { return Acc(zero()); }
fn fold(a: Acc, v: T, i: u32) -> Acc { return Acc(add(a.v, v)); }
fn merge(a: Acc, b: Acc) -> Acc { return Acc(add(a.v, b.v)); }
