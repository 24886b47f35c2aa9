// The orders of rows that exchanges of them lead to: a workgroup a vector of pivots, which one invocation follows.
//
// Needs: pivots, an array of i32: with which row, from 1, each row was exchanged; order, an array of i32.
//
// P: 0 vectors, 1 rows, 2 pivots of each, 3 4 axes of the batch in pivots and order, 5 6 strides of pivots and order.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let vector = group.x + group.y * grid.x;
    if (vector >= P(0u)) {
        return;
    }
    let swaps = place3(vector);
    let base = place4(vector);
    for (var i = lane; i < P(1u); i += 256u) {
        order[base + i * P(6u)] = i32(i);
    }
    storageBarrier();
    if (lane == 0u) {
        for (var j = 0u; j < P(2u); j++) {
            let other = base + u32(clamp(pivots[swaps + j * P(5u)] - 1, 0, i32(P(1u)) - 1)) * P(6u);
            let here = base + j * P(6u);
            let moved = order[here];
            order[here] = order[other];
            order[other] = moved;
        }
    }
}
