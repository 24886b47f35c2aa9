// Places in strided windows, described by words of the parameters.

// Offsets in three windows of the i-th position of their common dims, in row-major order. Word `at` of the parameters
// is the number of dims and the next three are the windows' own offsets; then a size and three strides for every dim.
fn walk3(i: u32, at: u32) -> vec3<u32> {
    var rest = i;
    var offsets = vec3<u32>(P(at + 1u), P(at + 2u), P(at + 3u));
    let rank = P(at);
    for (var d = rank; d > 1u; d--) {
        let word = at + 4u * d;
        let size = P(word);
        let q = rest / size;
        offsets += (rest - q * size) * vec3<u32>(P(word + 1u), P(word + 2u), P(word + 3u));
        rest = q;
    }
    if (rank > 0u) {
        offsets += rest * vec3<u32>(P(at + 5u), P(at + 6u), P(at + 7u));
    }
    return offsets;
}

// The place that an index means among `size`; negative ones count from the end.
fn index_wrapped(i: i32, size: u32) -> u32 {
    return min(u32(select(i, i + i32(size), i < 0)), size - 1u);
}
