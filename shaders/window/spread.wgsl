// The gradient of a maximum under windows: the elements of x whose position, in z, is this one's.
fn share(p: Place, o: vec3<u32>) -> T {
    if (z_at(in_z(p, o)).x == flat(p.at)) {
        return x_at(in_x(p, o));
    }
    return zero();
}
