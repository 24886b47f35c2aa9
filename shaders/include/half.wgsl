// float16 and bfloat16: conversions on bits, since pack2x16float may do anything with values out of range, and a
// driver may flush subnormals. A half type is the low 16 bits of a u32.

fn f16_to_f32(bits: u32) -> f32 {
    let exponent = (bits >> 10u) & 31u;
    let mantissa = bits & 0x3ffu;
    var r = ((exponent + 112u) << 23u) | (mantissa << 13u);
    if exponent == 0u {
        r = bitcast<u32>(f32(mantissa) * 5.9604645e-8);
    } else if exponent == 31u {
        // NaN becomes quiet, as in hardware.
        r = 0x7f800000u | (mantissa << 13u) | select(0x400000u, 0u, mantissa == 0u);
    }
    return bitcast<f32>(r | ((bits & 0x8000u) << 16u));
}

fn bf16_to_f32(bits: u32) -> f32 {
    return bitcast<f32>(bits << 16u);
}

// To the nearest, ties to even; infinite from 65520 on.
fn f32_to_f16(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let sign = (bits >> 16u) & 0x8000u;
    let a = bits & 0x7fffffffu;
    if a > 0x7f800000u {
        return sign | 0x7e00u | ((a >> 13u) & 0x3ffu);
    }
    if a >= 0x477ff000u {
        return sign | 0x7c00u;
    }
    if a >= 0x38800000u {
        return sign | ((a + 0xfffu + ((a >> 13u) & 1u) - 0x38000000u) >> 13u);
    }
    // Below 2^-14 the grid is 2^-24.
    let shift = min(126u - (a >> 23u), 25u);
    let mantissa = (a & 0x7fffffu) | 0x800000u;
    let whole = mantissa >> shift;
    let rest = mantissa & ((1u << shift) - 1u);
    let half = 1u << (shift - 1u);
    let up = rest > half || (rest == half && (whole & 1u) == 1u);
    return sign | (whole + select(0u, 1u, up));
}

fn f32_to_bf16(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    if (bits & 0x7fffffffu) > 0x7f800000u {
        return (bits >> 16u) | 0x40u;
    }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn round_f16(x: f32) -> f32 {
    // A NaN that becomes another: drivers take a conversion there and back for none.
    let bits = f32_to_f16(x);
    return f16_to_f32(bits + u32(bits == 0x7d5au));
}

fn round_bf16(x: f32) -> f32 {
    return bf16_to_f32(f32_to_bf16(x));
}
