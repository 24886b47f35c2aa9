// out = x.flatten()[index]. Needs x_at, index_at, out_put.
//
// P: 0 elements, 1 elements of x, 2 where the walk of x begins, 3 walk of index and out.
fn each(i: u32) {
    let at = walk3(i, 3u);
    out_put(at.y, x_at(walk3(index_wrapped(index_at(at.x), P(1u)), P(2u)).x));
}
