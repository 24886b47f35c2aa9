// out[.., i, ..] = x[.., index[.., i, ..], ..]. Needs x_at, index_at, out_put.
//
// P: 0 elements, 1 stride and 2 size of the dim in x, 3 walk of x (without the dim), index and out.
fn each(i: u32) {
    let at = walk3(i, 3u);
    out_put(at.z, x_at(at.x + index_wrapped(index_at(at.y), P(2u)) * P(1u)));
}
