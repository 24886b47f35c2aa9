// Position i repeated so often that its repetitions end at ends[i]. Needs ends, out_put.
//
// P: 0 elements, 1 positions.
fn each(i: u32) {
    var low = 0u;
    var high = P(1u) - 1u;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (ends[middle] > i) {
            high = middle;
        } else {
            low = middle + 1u;
        }
    }
    out_put(i, vec2<u32>(low, 0u));
}
