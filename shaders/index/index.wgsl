// Reads a window at summed offsets. Needs x_at, offsets, out_put.
//
// P: 0 elements, 1 walk of x, offsets and out.
fn each(i: u32) {
    let at = walk3(i, 1u);
    out_put(at.z, x_at(at.x + offsets[at.y]));
}
