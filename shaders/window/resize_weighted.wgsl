// The weighted sums of the three axes, width first.
fn element(p: Place) {
    let d = plan_of(0u, p.at.x);
    let h = plan_of(1u, p.at.y);
    let w = plan_of(2u, p.at.z);
    var sum = 0.0;
    for (var i = 0u; i < d.count; i++) {
        var plane = 0.0;
        for (var j = 0u; j < h.count; j++) {
            var row = 0.0;
            for (var k = 0u; k < w.count; k++) {
                let at = vec3<u32>(source_of(0u, d, i), source_of(1u, h, j), source_of(2u, w, k));
                row += weight_of(2u, w, k) * x_at(in_x(p, at));
            }
            plane += weight_of(1u, h, j) * row;
        }
        sum += weight_of(0u, d, i) * plane;
    }
    y_put(in_y(p), sum);
}
