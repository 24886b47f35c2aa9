// Products.
struct Acc { v: T }
fn init() -> Acc { return Acc(one()); }
fn fold(a: Acc, v: T, i: u32) -> Acc { return Acc(mul(a.v, v)); }
fn merge(a: Acc, b: Acc) -> Acc { return Acc(mul(a.v, b.v)); }
