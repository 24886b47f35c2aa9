// Convolutions whose groups have few rows, above all depthwise ones: an invocation computes an element of y, or SHARED, where
// steps are many and elements few, a workgroup does.
//
// Needs: conv/terms.wgsl and what it names; alias T, zero(), add, fn step(c: T, a: T, b: T) -> T, c plus a times b; a_at, b_at,
// y_put; fn bias_of(row: u32) -> T.

var<workgroup> held: array<T, 256>;

fn serial(start: T, a0: u32, b0: u32, part: Part, base: vec4<u32>) -> T {
    var sum = start;
    let sizes = part.sizes;
    for (var o = 0u; o < sizes.x; o++) {
        for (var d = 0u; d < sizes.y; d++) {
            for (var h = 0u; h < sizes.z; h++) {
                for (var w = 0u; w < sizes.w; w++) {
                    let at = vec4<u32>(o, d, h, w);
                    let place = base + step_term(at);
                    if (inside(place.yzw)) {
                        sum = step(sum, a_at(a0 + dot4(at, parameters[6])), b_at(b0 + place.x));
                    }
                }
            }
        }
    }
    return sum;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let rows = parameters[0].x;
    let columns = parameters[0].y;
    let workgroup = parameters[10].x + group.x + group.y * grid.x;
    let job = select(workgroup * 256u + lane, workgroup, SHARED);
    let jobs = columns * rows * parameters[0].z * parameters[3].w;
    let row = job / columns % rows;
    let batch = job / (columns * rows);
    let g = batch % parameters[0].z;
    let part = part_of(batch / parameters[0].z);
    let column = digits(job % columns, parameters[5], flag(8u));
    let wanted = job < jobs && exists(column, part);
    let a0 = parameters[1].y + g * parameters[3].x + row * parameters[2].x + part.a;
    let b0 = parameters[1].z + g * parameters[3].y;
    let base = column_term(column, part);
    var sum = zero();
    if (wanted && (!SHARED || lane == 0u)) {
        sum = bias_of(g * rows + row);
    }
    if (SHARED) {
        for (var k = lane; wanted && k < part.steps; k += 256u) {
            let at = digits(k, part.sizes, flag(4u));
            let place = base + step_term(at);
            if (inside(place.yzw)) {
                sum = step(sum, a_at(a0 + dot4(at, parameters[6])), b_at(b0 + place.x));
            }
        }
        held[lane] = sum;
        workgroupBarrier();
        for (var half = 128u; half > 0u; half = half / 2u) {
            if (lane < half) {
                held[lane] = add(held[lane], held[lane + half]);
            }
            workgroupBarrier();
        }
        sum = held[0];
    } else if (wanted) {
        sum = serial(sum, a0, b0, part, base);
    }
    if (wanted && (!SHARED || lane == 0u)) {
        y_put(g * parameters[3].z + row * parameters[2].y + place_of(column, part), sum);
    }
}
