// Adds up, over the index tensors, where each of their elements points. Needs index_at, offsets.
//
// P: 0 elements, 1 stride and 2 size of the dim, 3 whether this is the first index tensor, 4 walk of the index.
fn each(i: u32) {
    let place = index_wrapped(index_at(walk3(i, 4u).x), P(2u)) * P(1u);
    offsets[i] = place + select(offsets[i], 0u, P(3u) == 1u);
}
