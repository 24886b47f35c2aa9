// A workgroup an element of y, for large windows.
//
// Needs: taps; struct Acc; fn init() -> Acc; fn fold(a: Acc, p: Place, at: vec3<u32>) -> Acc with the input at a position;
// fn merge(a: Acc, b: Acc) -> Acc; fn emit(p: Place, a: Acc), which writes the element.

var<workgroup> held: array<Acc, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let workgroup = group.x + group.y * grid.x;
    if (workgroup >= parameters[0].x) {
        return;
    }
    let p = place_of(workgroup);
    let d = taps(0u, p.at.x);
    let h = taps(1u, p.at.y);
    let w = taps(2u, p.at.z);
    var a = init();
    for (var i = lane; i < d.y * h.y * w.y; i += 256u) {
        let tap = vec3<u32>(i / (h.y * w.y), i / w.y % h.y, i % w.y);
        a = fold(a, p, vec3<u32>(d.x, h.x, w.x) + tap * vec3<u32>(d.z, h.z, w.z));
    }
    held[lane] = a;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half / 2u) {
        if (lane < half) {
            held[lane] = merge(held[lane], held[lane + half]);
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        emit(p, held[0]);
    }
}
