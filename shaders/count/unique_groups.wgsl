// The first element of every group, the group of every element, and how many groups there are. Needs positions; groups,
// the inclusive prefix sum of the heads; first_put, inverse_put, length_put, starts.
//
// P: 0 elements.
fn each(i: u32) {
    let group = groups[i] - 1u;
    let position = positions[i];
    inverse_put(position, vec2<u32>(group, 0u));
    if (i == 0u || groups[max(i, 1u) - 1u] == group) {
        first_put(group, vec2<u32>(position, 0u));
        starts[group] = i;
    }
    if (i + 1u == P(0u)) {
        length_put(0u, vec2<u32>(group + 1u, 0u));
        starts[group + 1u] = P(0u);
    }
}
