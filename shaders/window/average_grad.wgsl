// An input's shares of the gradients of the means that it entered. Needs: readers; divisor; zero, add, over.
fn element(p: Place) {
    let d = readers(0u, p.at.x);
    let h = readers(1u, p.at.y);
    let w = readers(2u, p.at.z);
    var sum = zero();
    for (var i = d.x; i < d.y; i++) {
        for (var j = h.x; j < h.y; j++) {
            for (var k = w.x; k < w.y; k++) {
                let o = vec3<u32>(i, j, k);
                sum = add(sum, over(x_at(in_x(p, o)), divisor(o)));
            }
        }
    }
    y_put(in_y(p), sum);
}
