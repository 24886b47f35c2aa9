// Writes an element's coordinates. Needs out_put.
//
// P: 1 dims, 2 3 strides of the output, then the sizes.
fn move_to(i: u32, rank: u32) {
    var rest = i;
    for (var d = P(1u); d > 0u; d--) {
        out_put(rank * P(2u) + (d - 1u) * P(3u), vec2<u32>(rest % P(3u + d), 0u));
        rest = rest / P(3u + d);
    }
}
