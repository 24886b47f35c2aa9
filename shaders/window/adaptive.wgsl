// Windows that divide the input among the outputs: output o of n reads from ⌊o · size / n⌋ to before ⌈(o + 1) · size / n⌉.
//
// Needs: WIDE, whether products of sizes may exceed a word.

// ⌊(a · b + c) / n⌋.
fn scaled(a: u32, b: u32, c: u32, n: u32) -> u32 {
    if (WIDE) {
        return u64_divide(i64_add(u32_mul_wide(a, b), vec2<u32>(c, 0u)), vec2<u32>(n, 0u)).x;
    }
    return (a * b + c) / n;
}

// The inputs under output o of an axis: the first, how many, and how far apart.
fn taps(axis: u32, o: u32) -> vec3<u32> {
    if (axis < FIRST) {
        return vec3<u32>(0u, 1u, 1u);
    }
    let size = axis_of(4u, axis);
    let n = axis_of(5u, axis);
    let first = scaled(o, size, 0u, n);
    return vec3<u32>(first, scaled(o + 1u, size, n - 1u, n) - first, 1u);
}

// The outputs whose windows reach over input i of an axis: from the first to before the second.
fn readers(axis: u32, i: u32) -> vec2<u32> {
    if (axis < FIRST) {
        return vec2<u32>(0u, 1u);
    }
    let size = axis_of(4u, axis);
    let n = axis_of(5u, axis);
    return vec2<u32>(scaled(i, n, 0u, size), scaled(i + 1u, n, size - 1u, size));
}
