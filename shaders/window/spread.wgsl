// The sum of the elements of x whose position, in z, is this one's: the gradient of a maximum under windows. Only those are
// looked at whose windows reach over it.
fn element(p: Place) {
    let d = readers(0u, p.at.x);
    let h = readers(1u, p.at.y);
    let w = readers(2u, p.at.z);
    let here = flat(p.at);
    var sum = zero();
    for (var i = d.x; i < d.y; i++) {
        for (var j = h.x; j < h.y; j++) {
            for (var k = w.x; k < w.y; k++) {
                let o = vec3<u32>(i, j, k);
                if (z_at(in_z(p, o)).x == here) {
                    sum = add(sum, x_at(in_x(p, o)));
                }
            }
        }
    }
    y_put(in_y(p), sum);
}
