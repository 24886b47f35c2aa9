// Convolutions as products of matrices that are gathered on the way. A workgroup of 16 × 16 invocations computes a tile of
// 64 × 64, 4 × 4 each, from tiles of DEPTH steps that it holds in workgroup memory.
//
// Needs: conv/terms.wgsl and what it names; alias T, zero(), fn step(c: T, a: T, b: T) -> T, c plus a times b; a_at, b_at, y_put;
// fn bias_of(row: u32) -> T; DEPTH, a multiple of 4.

const TILE = 64u;
const LOADS = DEPTH / 4u;

var<workgroup> tile_a: array<T, TILE * DEPTH>;
var<workgroup> tile_b: array<T, TILE * DEPTH>;
var<workgroup> step_a: array<u32, DEPTH>;
var<workgroup> step_b: array<vec4<u32>, DEPTH>;
var<workgroup> column_b: array<vec4<u32>, TILE>;

fn plan_step(k: u32, slot: u32, part: Part) {
    if (k < part.steps) {
        let at = digits(k, part.sizes, flag(4u));
        step_a[slot] = part.a + dot4(at, parameters[6]);
        step_b[slot] = step_term(at);
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let rows = parameters[0].x;
    let columns = parameters[0].y;
    let down = (rows + TILE - 1u) / TILE;
    let across = (columns + TILE - 1u) / TILE;
    let workgroup = parameters[10].x + group.x + group.y * grid.x;
    let batches = parameters[0].z * parameters[3].w;
    if (workgroup >= down * across * batches * parameters[0].w) {
        return;
    }
    let row0 = (workgroup % down) * TILE;
    let column0 = (workgroup / down % across) * TILE;
    let batch = workgroup / (down * across) % batches;
    let split = workgroup / (down * across * batches);
    let g = batch % parameters[0].z;
    let part = part_of(batch / parameters[0].z);
    let a0 = parameters[1].y + g * parameters[3].x;
    let b0 = parameters[1].z + g * parameters[3].y;
    let first = split * parameters[1].x;
    let end = min(first + parameters[1].x, part.steps);
    if (lane < TILE && column0 + lane < columns) {
        column_b[lane] = column_term(digits(column0 + lane, parameters[5], flag(8u)), part);
    }
    if (lane < DEPTH) {
        plan_step(first + lane, lane, part);
    }
    let a_along = flag(1u);
    let b_along = flag(2u);
    let r = (lane / 16u) * 4u;
    let c = (lane % 16u) * 4u;
    var sums: array<T, 16>;
    for (var i = 0u; i < 4u; i++) {
        let row = row0 + r + i;
        var initial = zero();
        if (split == 0u && row < rows) {
            initial = bias_of(g * rows + row);
        }
        for (var j = 0u; j < 4u; j++) {
            sums[4u * i + j] = initial;
        }
    }
    workgroupBarrier();
    for (var k0 = first; k0 < end; k0 += DEPTH) {
        for (var i = 0u; i < LOADS; i++) {
            let n = lane + i * 256u;
            let ar = select(n % TILE, n / DEPTH, a_along);
            let ak = select(n / TILE, n % DEPTH, a_along);
            var a = zero();
            if (row0 + ar < rows && k0 + ak < end) {
                a = a_at(a0 + (row0 + ar) * parameters[2].x + step_a[ak]);
            }
            tile_a[ak * TILE + ar] = a;
            let bc = select(n / DEPTH, n % TILE, b_along);
            let bk = select(n % DEPTH, n / TILE, b_along);
            var b = zero();
            if (column0 + bc < columns && k0 + bk < end) {
                let at = column_b[bc] + step_b[bk];
                if (inside(at.yzw)) {
                    b = b_at(b0 + at.x);
                }
            }
            tile_b[bk * TILE + bc] = b;
        }
        workgroupBarrier();
        if (lane < DEPTH) {
            plan_step(k0 + DEPTH + lane, lane, part);
        }
        for (var k = 0u; k < DEPTH; k++) {
            let at = k * TILE;
            let b_0 = tile_b[at + c];
            let b_1 = tile_b[at + c + 1u];
            let b_2 = tile_b[at + c + 2u];
            let b_3 = tile_b[at + c + 3u];
            for (var i = 0u; i < 4u; i++) {
                let a = tile_a[at + r + i];
                sums[4u * i] = step(sums[4u * i], a, b_0);
                sums[4u * i + 1u] = step(sums[4u * i + 1u], a, b_1);
                sums[4u * i + 2u] = step(sums[4u * i + 2u], a, b_2);
                sums[4u * i + 3u] = step(sums[4u * i + 3u], a, b_3);
            }
        }
        workgroupBarrier();
    }
    let y0 = split * parameters[9].x + g * parameters[3].z;
    for (var j = 0u; j < 4u; j++) {
        if (column0 + c + j < columns) {
            let column = digits(column0 + c + j, parameters[5], flag(8u));
            if (exists(column, part)) {
                let place = y0 + place_of(column, part);
                for (var i = 0u; i < 4u; i++) {
                    if (row0 + r + i < rows) {
                        y_put(place + (row0 + r + i) * parameters[2].y, sums[4u * i + j]);
                    }
                }
            }
        }
    }
}
