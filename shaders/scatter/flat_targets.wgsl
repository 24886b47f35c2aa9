// Where indices of the flattened output point. Needs index_at, targets.
//
// P: 0 indices, 1 elements of the output, 2 where its walk begins, 3 walk of the index.
fn each(i: u32) {
    targets[i] = walk3(index_wrapped(index_at(walk3(i, 3u).x), P(1u)), P(2u)).x;
}
