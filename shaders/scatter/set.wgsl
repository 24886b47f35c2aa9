// Writes the value of the last index that names a target. Needs targets, last_index, source_at, out_put.
//
// P: 0 values, 1 slices, 2 where the walk of the slices of source and output begins, 3 4 a number, 5 walk of the source over
// the indices.
fn each(q: u32) {
    let i = q / P(1u);
    let to = targets[i];
    if (last_index[to] == i + 1u) {
        let slice = walk3(q % P(1u), P(2u));
        out_put(to + slice.y, source_at(walk3(i, 5u).x + slice.x));
    }
}
