// Where a value belongs in its sorted sequence. Needs sequence_at, values_at, out_put; fn passed(s: T, v: T) -> bool, whether
// an element of the sequence lies before a value's place.
//
// P: 0 values, 1 elements a sequence, 2 values that share one, 3 where the walk of the sequences begins, 4 walk of the values.
fn each(i: u32) {
    let v = values_at(walk3(i, 4u).x);
    let base = (i / P(2u)) * P(1u);
    var low = 0u;
    var high = P(1u);
    while (low < high) {
        let middle = (low + high) / 2u;
        if (passed(sequence_at(walk3(base + middle, P(3u)).x), v)) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    out_put(i, vec2<u32>(low, 0u));
}
