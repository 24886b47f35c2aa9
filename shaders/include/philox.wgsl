// Philox 4x32-10 (Salmon et al. 2011): the same bits as the CPU's for every (seed, offset, element).

fn philox_block(seed: I64, offset: I64, block: u32) -> vec4<u32> {
    return philox_block_wide(seed, offset, vec2<u32>(block, 0u));
}

fn philox_block_wide(seed: I64, offset: I64, block: I64) -> vec4<u32> {
    var c = vec4<u32>(block.x, block.y, offset.x, offset.y);
    var key = seed;
    for (var round = 0u; round < 10u; round++) {
        let p0 = u32_mul_wide(c.x, 0xd2511f53u);
        let p1 = u32_mul_wide(c.z, 0xcd9e8d57u);
        c = vec4<u32>(p1.y ^ c.y ^ key.x, p1.x, p0.y ^ c.w ^ key.y, p0.x);
        key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

fn philox_bits(seed: I64, offset: I64, element: u32) -> u32 {
    let words = philox_block(seed, offset, element >> 2u);
    let pair = select(words.xy, words.zw, (element & 2u) == 2u);
    return select(pair.x, pair.y, (element & 1u) == 1u);
}

// In [0, 1), on a grid of 2^-24.
fn philox_uniform(seed: I64, offset: I64, element: u32) -> f32 {
    return f32(philox_bits(seed, offset, element) >> 8u) * 5.9604645e-8;
}

// As philox_uniform, for elements past 2^32.
fn philox_uniform_wide(seed: I64, offset: I64, element: I64) -> f32 {
    let words = philox_block_wide(seed, offset, vec2<u32>((element.x >> 2u) | (element.y << 30u), element.y >> 2u));
    let pair = select(words.xy, words.zw, (element.x & 2u) == 2u);
    return f32(select(pair.x, pair.y, (element.x & 1u) == 1u) >> 8u) * 5.9604645e-8;
}
