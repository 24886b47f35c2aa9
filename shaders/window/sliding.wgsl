// Windows that slide. Vectors: 6 kernel, 7 stride, 8 padding, 9 dilation.
//
// Needs: DILATED, whether elements under a window lie apart; TILING, whether windows lie side by side.

// The inputs under output o of an axis: the first, how many, and how far apart.
fn taps(axis: u32, o: u32) -> vec3<u32> {
    if (axis < FIRST) {
        return vec3<u32>(0u, 1u, 1u);
    }
    var step = 1u;
    if (DILATED) {
        step = axis_of(9u, axis);
    }
    let start = i32(o * axis_of(7u, axis)) - i32(axis_of(8u, axis));
    var skipped = u32(max(0 - start, 0));
    if (DILATED) {
        skipped = (skipped + step - 1u) / step;
    }
    let first = u32(start + i32(skipped * step));
    let size = axis_of(4u, axis);
    var inside = size - min(first, size);
    if (DILATED) {
        inside = (inside + step - 1u) / step;
    }
    let kernel = axis_of(6u, axis);
    return vec3<u32>(first, min(kernel - min(skipped, kernel), inside), step);
}

// The outputs whose windows reach over input i of an axis: from the first to before the second.
fn readers(axis: u32, i: u32) -> vec2<u32> {
    if (axis < FIRST) {
        return vec2<u32>(0u, 1u);
    }
    let stride = axis_of(7u, axis);
    let padded = i + axis_of(8u, axis);
    let reach = (axis_of(6u, axis) - 1u) * axis_of(9u, axis);
    let last = padded / stride;
    var first = last;
    if (!TILING) {
        first = (padded - min(reach, padded) + stride - 1u) / stride;
    }
    return vec2<u32>(first, min(last + 1u, axis_of(5u, axis)));
}
