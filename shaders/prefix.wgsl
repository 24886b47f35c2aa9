// Inclusive prefix sums, in place, of blocks of 1024 words; the sum of every block goes to `sums`. Needs values, sums.
//
// P: 0 elements.

var<workgroup> held: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = P(0u);
    let block = group.x + group.y * grid.x;
    let first = block * 1024u + lane * 4u;
    var own: array<u32, 4>;
    var sum = 0u;
    for (var k = 0u; k < 4u; k++) {
        if (first + k < n) {
            sum += values[first + k];
        }
        own[k] = sum;
    }
    held[lane] = sum;
    workgroupBarrier();
    for (var step = 1u; step < 256u; step = step * 2u) {
        var below = 0u;
        if (lane >= step) {
            below = held[lane - step];
        }
        workgroupBarrier();
        held[lane] += below;
        workgroupBarrier();
    }
    let before = held[lane] - sum;
    for (var k = 0u; k < 4u; k++) {
        if (first + k < n) {
            values[first + k] = before + own[k];
        }
    }
    if (lane == 255u && block * 1024u < n) {
        sums[block] = held[255];
    }
}
