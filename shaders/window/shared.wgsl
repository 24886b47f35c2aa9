// A workgroup an element of y, for large windows; the work of rows/.
//
// Needs: taps; struct Acc; fn init() -> Acc; fn fold(a: Acc, p: Place, at: vec3<u32>) -> Acc with the input at a position;
// fn merge(a: Acc, b: Acc) -> Acc; fn emit(p: Place, a: Acc), which writes the element.

fn work(i: u32, lane: u32) {
    let inside = i < parameters[0].x;
    let p = place_of(min(i, parameters[0].x - 1u));
    let d = taps(0u, p.at.x);
    let h = taps(1u, p.at.y);
    let w = taps(2u, p.at.z);
    let count = select(0u, d.y * h.y * w.y, inside);
    var a = init();
    for (var k = lane; k < count; k += LANES) {
        let tap = vec3<u32>(k / (h.y * w.y), k / w.y % h.y, k % w.y);
        a = fold(a, p, vec3<u32>(d.x, h.x, w.x) + tap * vec3<u32>(d.z, h.z, w.z));
    }
    a = row_merge(a);
    if (inside && lane == 0u) {
        emit(p, a);
    }
}
