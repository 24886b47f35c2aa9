// The maximum under a window and its flat position: the first of equal values, the last NaN.
//
// Needs: taps; fn exceeds(a: T, b: T) -> bool, false where one is NaN; is_nan, lowest.
fn element(p: Place) {
    let d = taps(0u, p.at.x);
    let h = taps(1u, p.at.y);
    let w = taps(2u, p.at.z);
    var best = lowest();
    var place = flat(min(vec3<u32>(d.x, h.x, w.x), parameters[4].yzw - vec3<u32>(1u)));
    for (var i = 0u; i < d.y; i++) {
        for (var j = 0u; j < h.y; j++) {
            for (var k = 0u; k < w.y; k++) {
                let at = vec3<u32>(d.x + i * d.z, h.x + j * h.z, w.x + k * w.z);
                let v = x_at(in_x(p, at));
                if (exceeds(v, best) || is_nan(v)) {
                    best = v;
                    place = flat(at);
                }
            }
        }
    }
    y_put(in_y(p), best);
    z_put(in_z(p, p.at), vec2<u32>(place, 0u));
}
