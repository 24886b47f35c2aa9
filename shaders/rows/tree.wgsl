// Rows of work, each shared by LANES invocations of a workgroup, which merge what they found in workgroup memory.
//
// Needs: LANES, a power of two up to 256; ACROSS, whether neighbouring invocations take neighbouring rows, not neighbouring
// elements; type Acc; fn merge(a: Acc, b: Acc) -> Acc; fn work(row: u32, lane: u32), the work of one of a row's invocations. Rows
// past the last have no elements, but take the same way.

var<workgroup> held: array<Acc, 256>;
var<private> invocation: u32;

// Merges the values of a row's invocations; each gets the result. All invocations call it.
fn row_merge(a: Acc) -> Acc {
    if (LANES == 1u) {
        return a;
    }
    workgroupBarrier();
    held[invocation] = a;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (invocation % LANES < half) {
            held[invocation] = merge(held[invocation], held[invocation + half]);
        }
        workgroupBarrier();
    }
    return held[invocation - invocation % LANES];
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let rows = 256u / LANES;
    // Counted row by row.
    invocation = index;
    if (ACROSS) {
        invocation = index % rows * LANES + index / rows;
    }
    work((group.x + group.y * grid.x) * rows + invocation / LANES, invocation % LANES);
}
