// Where indices along a dim point in the output. Needs index_at, targets.
//
// P: 0 indices, 1 stride and 2 size of the dim, 3 walk of the output (without the dim) and the index.
fn each(i: u32) {
    let at = walk3(i, 3u);
    targets[i] = at.x + index_wrapped(index_at(at.y), P(2u)) * P(1u);
}
