// An input's shares of the gradients of the means that it entered. Needs: divisor; over.
fn share(p: Place, o: vec3<u32>) -> T {
    return over(x_at(in_x(p, o)), divisor(o));
}
