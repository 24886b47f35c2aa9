// Walking strided windows.

// Where element i of a window lies. Its parameters stand at word `at`: offset, dims, sizes, strides.
fn axes_at(i: u32, at: u32) -> u32 {
    let rank = P(at + 1u);
    var offset = P(at);
    if (rank == 0u) {
        return offset;
    }
    var rest = i;
    for (var d = rank; d > 1u; d--) {
        let size = P(at + 1u + d);
        offset += (rest % size) * P(at + 1u + rank + d);
        rest = rest / size;
    }
    return offset + rest * P(at + 2u + rank);
}
