// The mean under a window. Needs: taps; divisor; zero, add, fn over(a: T, b: T) -> T, a quotient.
fn element(p: Place) {
    let d = taps(0u, p.at.x);
    let h = taps(1u, p.at.y);
    let w = taps(2u, p.at.z);
    var sum = zero();
    for (var i = 0u; i < d.y; i++) {
        for (var j = 0u; j < h.y; j++) {
            for (var k = 0u; k < w.y; k++) {
                sum = add(sum, x_at(in_x(p, vec3<u32>(d.x + i * d.z, h.x + j * h.z, w.x + k * w.z))));
            }
        }
    }
    y_put(in_y(p), over(sum, divisor(p.at)));
}
