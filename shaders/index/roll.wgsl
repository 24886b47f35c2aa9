// Element c of a dim comes from c - shift, cyclically. Needs x_at, out_put.
//
// P: 0 elements, 1 dims, 2 offset of x, then size, stride in x, stride in out and shift for every dim.
fn each(i: u32) {
    var rest = i;
    var origin = P(2u);
    var to = 0u;
    for (var d = P(1u); d > 0u; d--) {
        let word = 4u * d - 1u;
        let size = P(word);
        let c = rest % size;
        let rolled = select(c + size - P(word + 3u), c - P(word + 3u), c >= P(word + 3u));
        origin += rolled * P(word + 1u);
        to += c * P(word + 2u);
        rest = rest / size;
    }
    out_put(to, x_at(origin));
}
