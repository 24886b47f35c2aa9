// The place of the last element of the longest run of equal keys of every sorted line; of equally long runs the first's. A
// workgroup takes a line. Needs keys, key_less, key_same, places.
//
// P: 0 lines, 1 elements a line.

var<workgroup> lengths: array<u32, 256>;
var<workgroup> ends: array<u32, 256>;

fn run_start(base: u32, i: u32) -> u32 {
    var low = 0u;
    var high = i;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (key_less(keys[base + middle], keys[base + i])) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let line = group.x + group.y * grid.x;
    let n = select(0u, P(1u), line < P(0u));
    let base = line * P(1u);
    var longest = 0u;
    var end = 0u;
    for (var i = lane; i < n; i += 256u) {
        var closes = i + 1u == n;
        if (!closes) {
            closes = !key_same(keys[base + i], keys[base + i + 1u]);
        }
        if (closes) {
            let length = i + 1u - run_start(base, i);
            if (length > longest) {
                longest = length;
                end = i;
            }
        }
    }
    lengths[lane] = longest;
    ends[lane] = end;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half / 2u) {
        if (lane < half) {
            let other = lane + half;
            let longer = lengths[other] > lengths[lane];
            if (longer || (lengths[other] == lengths[lane] && ends[other] < ends[lane])) {
                lengths[lane] = lengths[other];
                ends[lane] = ends[other];
            }
        }
        workgroupBarrier();
    }
    if (lane == 0u && line < P(0u)) {
        places[line] = ends[0];
    }
}
