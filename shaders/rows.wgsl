// Rows of work, each shared by LANES neighbouring invocations of a workgroup; put before a kernel's body.
//
// Needs: LANES, a power of two up to 256; type Acc; fn merge(a: Acc, b: Acc) -> Acc.

var<workgroup> held: array<Acc, 256>;

// The row of an invocation; those past the last have no elements, but take the same way.
fn row_of(group: vec3<u32>, grid: vec3<u32>, lane: u32) -> u32 {
    return (group.x + group.y * grid.x) * (256u / LANES) + lane / LANES;
}

// Merges the values of a row's invocations; each gets the result. All invocations call it.
fn row_merge(lane: u32, a: Acc) -> Acc {
    if (LANES == 1u) {
        return a;
    }
    workgroupBarrier();
    held[lane] = a;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (lane % LANES < half) {
            held[lane] = merge(held[lane], held[lane + half]);
        }
        workgroupBarrier();
    }
    return held[lane - lane % LANES];
}
