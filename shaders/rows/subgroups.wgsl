// Rows of work, each shared by LANES neighbouring invocations of a workgroup, which merge what they found within their
// subgroups, and then the results of a row's subgroups. The size of subgroups is known when the shader runs.
//
// Needs: LANES, a power of two up to 256; LEAST, the size of the smallest subgroup; type Acc; fn merge(a: Acc, b: Acc) -> Acc;
// fn shuffled(a: Acc, mask: u32) -> Acc, the value of the invocation whose number in the subgroup differs by the mask;
// fn work(row: u32, lane: u32), the work of one of a row's invocations. Rows past the last have no elements, but take the same
// way.

// The results of subgroups.
var<workgroup> held: array<Acc, 256u / LEAST>;
// Where an invocation is in its workgroup, and the size of subgroups. Invocations are counted through the subgroups, since
// nothing says that a subgroup is made of neighbours.
var<private> invocation: u32;
var<private> width: u32;

// Merges the values of `count` neighbours in a subgroup; each gets the result.
fn neighbours_merge(a: Acc, count: u32) -> Acc {
    var all = a;
    if (count > 1u) {
        all = merge(all, shuffled(all, 1u));
    }
    if (count > 2u) {
        all = merge(all, shuffled(all, 2u));
    }
    if (count > 4u) {
        all = merge(all, shuffled(all, 4u));
    }
    if (count > 8u) {
        all = merge(all, shuffled(all, 8u));
    }
    if (count > 16u) {
        all = merge(all, shuffled(all, 16u));
    }
    if (count > 32u) {
        all = merge(all, shuffled(all, 32u));
    }
    if (count > 64u) {
        all = merge(all, shuffled(all, 64u));
    }
    return all;
}

// Merges the values of a row's invocations; each gets the result. All invocations call it.
fn row_merge(a: Acc) -> Acc {
    var all = neighbours_merge(a, min(LANES, width));
    if (LANES <= LEAST) {
        return all;
    }
    workgroupBarrier();
    if (invocation % width == 0u) {
        held[invocation / width] = all;
    }
    workgroupBarrier();
    let parts = LANES / width;
    if (parts > 1u) {
        // A subgroup has an invocation for each part, or some for each one.
        let count = min(parts, width);
        let part = (invocation - invocation % LANES) / width + invocation % count;
        all = held[part];
        for (var i = count; i < parts; i += count) {
            all = merge(all, held[part + i]);
        }
        all = neighbours_merge(all, count);
    }
    return all;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) size: u32,
    @builtin(subgroup_invocation_id) index: u32,
) {
    width = size;
    invocation = subgroup * size + index;
    work((group.x + group.y * grid.x) * (256u / LANES) + invocation / LANES, invocation % LANES);
}
