// What the sum under a window is divided by. Vectors: those of sliding windows, 10 kind (0 the inputs under the window, 1 with its
// padding, 2 fixed), the fixed one as float32 and int64.
//
// Needs: taps; fn of_count(n: u32) -> T, fn fixed_divisor() -> T.

fn padded_length(axis: u32, o: u32) -> u32 {
    if (axis < FIRST) {
        return 1u;
    }
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
