// The sizes of groups, from where they start. Needs groups, starts, counts_put.
//
// P: 0 elements.
fn each(i: u32) {
    if (i < groups[P(0u) - 1u]) {
        counts_put(i, vec2<u32>(starts[i + 1u] - starts[i], 0u));
    }
}
