// The transpose of resizing: an input gathers from the outputs that read it.

// Outputs among which are all those that read input i of an axis, from the first to before the second.
fn near(axis: u32, i: u32) -> vec2<u32> {
    let scale = number_of(7u, axis);
    let out = axis_of(5u, axis);
    let reach = 2.0 + select(2.0, number_of(8u, axis), axis_of(6u, axis) >= 4u);
    // Outputs beyond an edge read what lies there.
    let all_before = i <= 1u || scale <= 0.0;
    let all_after = i + 2u >= axis_of(4u, axis) || scale <= 0.0;
    let first = u32(clamp((f32(i) - reach) / scale - 2.0, 0.0, f32(out)));
    let end = u32(clamp((f32(i) + reach) / scale + 3.0, 0.0, f32(out)));
    return vec2<u32>(select(first, 0u, all_before), select(end, out, all_after));
}

// The weight with which an output read input i, and whether it did.
struct Read {
    weight: f32,
    some: bool,
}

fn read_of(axis: u32, o: u32, i: u32) -> Read {
    let plan = plan_of(axis, o);
    var read = Read(0.0, false);
    for (var j = 0u; j < plan.count; j++) {
        if (source_of(axis, plan, j) == i) {
            read.weight += weight_of(axis, plan, j);
            read.some = true;
        }
    }
    return read;
}

fn element(p: Place) {
    let d = near(0u, p.at.x);
    let h = near(1u, p.at.y);
    let w = near(2u, p.at.z);
    var sum = 0.0;
    for (var i = d.x; i < d.y; i++) {
        let by_depth = read_of(0u, i, p.at.x);
        if (by_depth.some) {
            for (var j = h.x; j < h.y; j++) {
                let by_height = read_of(1u, j, p.at.y);
                if (by_height.some) {
                    let weight = by_depth.weight * by_height.weight;
                    for (var k = w.x; k < w.y; k++) {
                        let by_width = read_of(2u, k, p.at.z);
                        if (by_width.some) {
                            sum += weight * by_width.weight * x_at(in_x(p, vec3<u32>(i, j, k)));
                        }
                    }
                }
            }
        }
    }
    y_put(in_y(p), sum);
}
