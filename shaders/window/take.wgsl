// The element of x's plane at the flat position in z.
fn element(p: Place) {
    let size = parameters[4].yzw;
    let i = min(z_at(in_z(p, p.at)).x, size.x * size.y * size.z - 1u);
    y_put(in_y(p), x_at(in_x(p, vec3<u32>(i / (size.y * size.z), i / size.z % size.y, i % size.z))));
}
