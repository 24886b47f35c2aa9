// Whether the device converts between float16 and float32 as it should: counts the numbers that it converts otherwise than
// the functions of include/half.wgsl. An invocation takes a float16: its value, what lies halfway to the next one, and the
// neighbours of both.
//
// Needs: f16_to_f32, f32_to_f16; wrong, one word.

fn same_half(a: u32, b: u32) -> bool {
    let not_numbers = (a & 0x7fffu) > 0x7c00u && (b & 0x7fffu) > 0x7c00u;
    return a == b || not_numbers;
}

fn packs(bits: u32) -> bool {
    let x = bitcast<f32>(bits);
    return same_half(f32_to_f16(x), pack2x16float(vec2<f32>(x, 0.0)) & 0xffffu);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let half = id.x;
    let value = bitcast<u32>(f16_to_f32(half));
    let read = bitcast<u32>(unpack2x16float(half).x);
    // An element may be either half of a word.
    let high = bitcast<u32>(unpack2x16float(half << 16u).y);
    let nan = (half & 0x7fffu) > 0x7c00u;
    var right = select(read == value && high == value, (read & 0x7fffffffu) > 0x7f800000u, nan);
    // Above the largest number lies what would be the next one.
    let next = select(bitcast<u32>(f16_to_f32(half + 1u)), 0x47800000u | ((half & 0x8000u) << 16u), (half & 0x7fffu) == 0x7bffu);
    let middle = bitcast<u32>((bitcast<f32>(value) + bitcast<f32>(next)) * 0.5);
    right = right && packs(value) && packs(value + 1u) && packs(value - 1u);
    if ((half & 0x7fffu) < 0x7c00u) {
        right = right && packs(middle) && packs(middle + 1u) && packs(middle - 1u);
    }
    if (!right) {
        atomicAdd(&wrong[0], 1u);
    }
}
