// start + step·i in int64. For floats those count 2^-scale: fixed point, which is exact where float32 would lose the step's
// low bits. Needs y_put, of a float or an int64; fn result(v: I64) -> T.
//
// P: 0 elements, 1 2 start, 3 4 step, 5 the scale (a float).
fn each(i: u32) {
    let start = vec2<u32>(P(1u), P(2u));
    let step = vec2<u32>(P(3u), P(4u));
    y_put(i, result(i64_add(start, i64_mul(step, vec2<u32>(i, 0u)))));
}
