// Resizing of bytes by sums of whole weights; each axis rounds its results to bytes, width first.
//
// z is a table: for each output of an axis its taps, an input and a weight each. Vectors: 6 taps of an axis, 0 where its outputs
// are its inputs; 7 how many bits of a weight lie behind the point; 8 where the axis' part of the table begins.

// Taps of an axis: at least one.
fn taps_of(axis: u32) -> u32 {
    return max(axis_of(6u, axis), 1u);
}

// The j-th input of output o, and its weight.
fn tap_of(axis: u32, o: u32, j: u32) -> vec2<i32> {
    let taps = axis_of(6u, axis);
    if (taps == 0u) {
        return vec2<i32>(i32(o), 1);
    }
    let at = axis_of(8u, axis) + 2u * (o * taps + j);
    return vec2<i32>(z_at(at), z_at(at + 1u));
}

fn rounded(axis: u32, sum: i32) -> i32 {
    let bits = axis_of(7u, axis);
    if (bits == 0u) {
        return clamp(sum, 0, 255);
    }
    return clamp((sum + (1 << (bits - 1u))) >> bits, 0, 255);
}

fn element(p: Place) {
    var sum = 0;
    for (var i = 0u; i < taps_of(0u); i++) {
        let d = tap_of(0u, p.at.x, i);
        var plane = 0;
        for (var j = 0u; j < taps_of(1u); j++) {
            let h = tap_of(1u, p.at.y, j);
            var row = 0;
            for (var k = 0u; k < taps_of(2u); k++) {
                let w = tap_of(2u, p.at.z, k);
                row += w.y * x_at(in_x(p, vec3<u32>(u32(d.x), u32(h.x), u32(w.x))));
            }
            plane += h.y * rounded(2u, row);
        }
        sum += d.y * rounded(1u, plane);
    }
    y_put(in_y(p), rounded(0u, sum));
}
