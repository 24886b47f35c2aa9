// What some devices have an instruction for: these functions take the place of those of the same names in include/.

// For devices with 64-bit integers.
fn u32_mul_wide(a: u32, b: u32) -> vec2<u32> {
    let product = u64(a) * u64(b);
    return vec2<u32>(u32(product), u32(product >> 32u));
}

// For devices whose conversions were found to be right for every number, see gpu/halves.rs.
fn f16_to_f32(bits: u32) -> f32 {
    return unpack2x16float(bits).x;
}

fn f32_to_f16(x: f32) -> u32 {
    return pack2x16float(vec2<f32>(x, 0.0)) & 0xffffu;
}
