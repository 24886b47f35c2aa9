// Resizing: along each axis an output is a weighted sum of a few inputs.
//
// Vectors: 6 whether corners are aligned, then what an axis does: 0 nearest, 1 nearest by centres, 2 linear, 3 cubic, 4 5 linear
// and cubic with antialiasing; 7 inputs an output, 8 reach and 9 compression of the filter of antialiasing, as float32.

// The inputs of one output of an axis: `count` from `first`, which may lie beyond the edges and are then those at the edges.
struct Plan {
    first: i32,
    count: u32,
    // How far the output lies beyond an input; for antialiasing, where it lies.
    position: f32,
    total: f32,
}

fn number_of(block: u32, axis: u32) -> f32 {
    return bitcast<f32>(axis_of(block, axis));
}

// Cubic convolution within one input of a point, and from one to two (Keys, 1981).
fn cubic_inner(x: f32, a: f32) -> f32 {
    return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
}

fn cubic_outer(x: f32, a: f32) -> f32 {
    return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
}

fn smooth_weight(axis: u32, plan: Plan, j: u32) -> f32 {
    let x = abs((f32(plan.first + i32(j)) - plan.position + 0.5) * number_of(9u, axis));
    if (axis_of(6u, axis) == 4u) {
        return max(1.0 - x, 0.0);
    }
    if (x < 1.0) {
        return cubic_inner(x, -0.5);
    }
    return select(0.0, cubic_outer(x, -0.5), x < 2.0);
}

fn plan_of(axis: u32, o: u32) -> Plan {
    let kind = axis_of(6u, axis);
    let scale = number_of(7u, axis);
    let size = i32(axis_of(4u, axis));
    if (kind < 2u) {
        let source = floor((f32(o) + select(0.0, 0.5, kind == 1u)) * scale);
        return Plan(min(i32(source), size - 1), 1u, 0.0, 1.0);
    }
    if (kind < 4u) {
        var position = select(scale * (f32(o) + 0.5) - 0.5, scale * f32(o), parameters[6].x != 0u);
        if (kind == 2u) {
            position = max(position, 0.0);
        }
        let base = min(i32(floor(position)), size - 1);
        let t = clamp(position - f32(base), 0.0, 1.0);
        return Plan(select(base, base - 1, kind == 3u), select(2u, 4u, kind == 3u), t, 1.0);
    }
    let support = number_of(8u, axis);
    let centre = scale * (f32(o) + 0.5);
    let first = max(i32(centre - support + 0.5), 0);
    let end = min(i32(centre + support + 0.5), size);
    let most = min(u32(ceil(support)) * 2u + 1u, u32(size));
    var plan = Plan(first, min(u32(max(end - first, 0)), most), centre, 0.0);
    for (var j = 0u; j < plan.count; j++) {
        plan.total += smooth_weight(axis, plan, j);
    }
    return plan;
}

fn source_of(axis: u32, plan: Plan, j: u32) -> u32 {
    return u32(clamp(plan.first + i32(j), 0, i32(axis_of(4u, axis)) - 1));
}

fn weight_of(axis: u32, plan: Plan, j: u32) -> f32 {
    let t = plan.position;
    switch axis_of(6u, axis) {
        case 0u, 1u: {
            return 1.0;
        }
        case 2u: {
            return select(t, 1.0 - t, j == 0u);
        }
        case 3u: {
            switch j {
                case 0u: {
                    return cubic_outer(t + 1.0, -0.75);
                }
                case 1u: {
                    return cubic_inner(t, -0.75);
                }
                case 2u: {
                    return cubic_inner(1.0 - t, -0.75);
                }
                default: {
                    return cubic_outer(2.0 - t, -0.75);
                }
            }
        }
        default: {
            let w = smooth_weight(axis, plan, j);
            if (plan.total == 0.0) {
                return w;
            }
            return f_div(w, plan.total);
        }
    }
}
