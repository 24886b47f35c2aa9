// Windows that slide. Vectors: 6 kernel, 7 stride, 8 padding, 9 dilation, 10 kind of divisor, a fixed one as float32 and int64.

// The inputs under output o of an axis: the first, how many, and how far apart.
fn taps(axis: u32, o: u32) -> vec3<u32> {
    let step = axis_of(9u, axis);
    let start = i32(o * axis_of(7u, axis)) - i32(axis_of(8u, axis));
    let skipped = (u32(max(0 - start, 0)) + step - 1u) / step;
    let first = u32(start + i32(skipped * step));
    let size = axis_of(4u, axis);
    let inside = (size - min(first, size) + step - 1u) / step;
    let kernel = axis_of(6u, axis);
    return vec3<u32>(first, min(kernel - min(skipped, kernel), inside), step);
}

// The outputs whose windows reach over input i of an axis: from the first to before the second.
fn readers(axis: u32, i: u32) -> vec2<u32> {
    let stride = axis_of(7u, axis);
    let padded = i + axis_of(8u, axis);
    let reach = (axis_of(6u, axis) - 1u) * axis_of(9u, axis);
    let first = (padded - min(reach, padded) + stride - 1u) / stride;
    return vec2<u32>(first, min(padded / stride + 1u, axis_of(5u, axis)));
}

fn padded_length(axis: u32, o: u32) -> u32 {
    let start = o * axis_of(7u, axis);
    let end = min(start + axis_of(6u, axis), axis_of(4u, axis) + 2u * axis_of(8u, axis));
    return end - min(start, end);
}

fn divisor(o: vec3<u32>) -> T {
    if (parameters[10].x == 2u) {
        return fixed_divisor();
    }
    if (parameters[10].x == 1u) {
        return of_count(padded_length(0u, o.x) * padded_length(1u, o.y) * padded_length(2u, o.z));
    }
    return of_count(taps(0u, o.x).y * taps(1u, o.y).y * taps(2u, o.z).y);
}
