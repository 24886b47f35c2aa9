// The sum of what an input gets from the outputs whose windows reach over it.
//
// Needs: readers; TILING, whether windows lie side by side, so that there is one at most; zero, add; fn share(p: Place, o:
// vec3<u32>) -> T, what it gets from an output.
fn element(p: Place) {
    let d = readers(0u, p.at.x);
    let h = readers(1u, p.at.y);
    let w = readers(2u, p.at.z);
    var sum = zero();
    if (TILING) {
        if (d.x < d.y && h.x < h.y && w.x < w.y) {
            sum = share(p, vec3<u32>(d.x, h.x, w.x));
        }
    } else {
        for (var i = d.x; i < d.y; i++) {
            for (var j = h.x; j < h.y; j++) {
                for (var k = w.x; k < w.y; k++) {
                    sum = add(sum, share(p, vec3<u32>(i, j, k)));
                }
            }
        }
    }
    y_put(in_y(p), sum);
}
