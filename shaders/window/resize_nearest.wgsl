// An element of any dtype, taken as it is.
fn element(p: Place) {
    let d = plan_of(0u, p.at.x).first;
    let h = plan_of(1u, p.at.y).first;
    let w = plan_of(2u, p.at.z).first;
    y_put(in_y(p), x_at(in_x(p, vec3<u32>(vec3<i32>(d, h, w)))));
}
