// An unsigned integer that orders as a float does: NaN above everything, both zeros equal.
fn key_of(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    let magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return 0xffffffffu;
    }
    if (magnitude == 0u) {
        return 0x80000000u;
    }
    return select(bits ^ 0x80000000u, ~bits, bits >= 0x80000000u);
}
