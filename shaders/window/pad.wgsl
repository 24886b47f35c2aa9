// Padding by what the input holds. Vectors: 6 left padding, 7 what circular padding crops on the left, 8 what it keeps.
//
// Needs: MODE, 0 reflect, 1 replicate, 2 circular; GRAD.

// The input that output o of an axis reads.
fn source(axis: u32, o: u32) -> u32 {
    let last = i32(axis_of(4u, axis)) - 1;
    var i = i32(o) - bitcast<i32>(axis_of(6u, axis));
    if (MODE == 0u) {
        i = abs(i);
        i = select(i, 2 * last - i, i > last);
    } else if (MODE == 2u) {
        let crop = i32(axis_of(7u, axis));
        let kept = i32(axis_of(8u, axis));
        i = crop + ((i - crop) % kept + kept) % kept;
    }
    return u32(clamp(i, 0, last));
}

// The outputs that read input i of an axis may be the first, the second … of so many.
fn candidates(axis: u32, i: u32) -> u32 {
    if (MODE == 0u) {
        return 3u;
    }
    let n = axis_of(4u, axis);
    let out = i32(axis_of(5u, axis));
    let copy = i32(i) + bitcast<i32>(axis_of(6u, axis));
    if (MODE == 1u) {
        let first = select(clamp(copy, 0, out), 0, i == 0u);
        let end = select(clamp(copy + 1, 0, out), out, i == n - 1u);
        return u32(max(end - first, 0));
    }
    let crop = axis_of(7u, axis);
    let kept = axis_of(8u, axis);
    if (i < crop || i >= crop + kept) {
        return 0u;
    }
    return (u32(out) + kept - 1u - min(u32(copy) % kept, u32(out))) / kept;
}

// Candidate j, or a number past the end.
fn candidate(axis: u32, i: u32, j: u32) -> u32 {
    let left = bitcast<i32>(axis_of(6u, axis));
    let copy = i32(i) + left;
    if (MODE == 1u) {
        return select(u32(max(copy, 0)), 0u, i == 0u) + j;
    }
    if (MODE == 2u) {
        return u32(copy) % axis_of(8u, axis) + j * axis_of(8u, axis);
    }
    let last = i32(axis_of(4u, axis)) - 1;
    let mirrored = select(left - i32(i), left + 2 * last - i32(i), j == 2u);
    let twice = (j == 1u && i == 0u) || (j == 2u && i32(i) == last);
    return select(bitcast<u32>(select(mirrored, copy, j == 0u)), 0xffffffffu, twice);
}

fn gather(p: Place) -> T {
    var sum = zero();
    let size = parameters[5].yzw;
    let count = vec3<u32>(candidates(0u, p.at.x), candidates(1u, p.at.y), candidates(2u, p.at.z));
    for (var i = 0u; i < count.x; i++) {
        let d = candidate(0u, p.at.x, i);
        for (var j = 0u; j < count.y; j++) {
            let h = candidate(1u, p.at.y, j);
            for (var k = 0u; k < count.z; k++) {
                let o = vec3<u32>(d, h, candidate(2u, p.at.z, k));
                if (all(o < size)) {
                    sum = add(sum, x_at(in_x(p, o)));
                }
            }
        }
    }
    return sum;
}

fn element(p: Place) {
    if (GRAD) {
        y_put(in_y(p), gather(p));
    } else {
        y_put(in_y(p), x_at(in_x(p, vec3<u32>(source(0u, p.at.x), source(1u, p.at.y), source(2u, p.at.z)))));
    }
}
