// A running extremum with the position of the latest element that equals it; NaN stays once seen. Needs T, is_nan,
// fn worse(a: T, b: T) -> bool, whether a lies on the far side of b.
struct Acc {
    v: T,
    i: u32,
}

const NOWHERE = 0xffffffffu;

fn identity() -> Acc {
    return Acc(zero(), NOWHERE);
}

fn combine(a: Acc, b: Acc) -> Acc {
    if (b.i == NOWHERE) {
        return a;
    }
    if (a.i == NOWHERE || is_nan(b.v) || (!is_nan(a.v) && !worse(b.v, a.v))) {
        return b;
    }
    return a;
}
