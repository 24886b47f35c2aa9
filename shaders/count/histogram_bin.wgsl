// The bin of a value among P(1) over the range P(2) to P(3), both ends included.
fn bin(v: f32) -> u32 {
    let low = bitcast<f32>(P(2u));
    let high = bitcast<f32>(P(3u));
    if (!(f_ge(v, low) && f_le(v, high))) {
        return NOWHERE;
    }
    return min(u32(f_div(v - low, high - low) * f32(P(1u))), P(1u) - 1u);
}
