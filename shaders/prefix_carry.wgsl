// Adds to every block of 1024 words the sum of the blocks before. Needs values, sums (inclusive).
//
// P: 0 elements.
fn each(i: u32) {
    let block = i / 1024u;
    if (block > 0u) {
        values[i] += sums[block - 1u];
    }
}
