// Scans lines by blocks of 1024 elements, a workgroup each, or folds the blocks (TOTALS).
//
// Needs: Acc, identity, combine; fn base_of(line: u32) -> vec3<u32>; fn take(base: vec3<u32>, j: u32) -> Acc; fn emit(base:
// vec3<u32>, j: u32, a: Acc); fn carry(block: u32) -> Acc, what comes before a block; fn emit_total(block: u32, a: Acc).
//
// P: 0 lines, 1 elements a line, 2 blocks a line, the rest by the definitions.

var<workgroup> held: array<Acc, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.x + group.y * grid.x;
    let line = block / P(2u);
    let n = select(0u, P(1u), line < P(0u));
    let base = base_of(line);
    let first = (block % P(2u)) * 1024u + lane * 4u;
    var own: array<Acc, 4>;
    var all = identity();
    for (var k = 0u; k < 4u; k++) {
        if (first + k < n) {
            all = combine(all, take(base, first + k));
        }
        own[k] = all;
    }
    held[lane] = all;
    workgroupBarrier();
    for (var step = 1u; step < 256u; step = step * 2u) {
        var below = identity();
        if (lane >= step) {
            below = held[lane - step];
        }
        workgroupBarrier();
        held[lane] = combine(below, held[lane]);
        workgroupBarrier();
    }
    if (TOTALS) {
        if (lane == 255u && line < P(0u)) {
            emit_total(block, held[255]);
        }
    } else {
        var before = identity();
        if (block % P(2u) > 0u && line < P(0u)) {
            before = carry(block);
        }
        if (lane > 0u) {
            before = combine(before, held[lane - 1u]);
        }
        for (var k = 0u; k < 4u; k++) {
            if (first + k < n) {
                emit(base, first + k, combine(before, own[k]));
            }
        }
    }
}
