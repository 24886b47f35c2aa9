// Counts by bin. Needs x_at, counts (atomic), fn bin(v: T) -> u32; NOWHERE, for a value that is not counted.
//
// P: 0 elements, 1 bins, 2 3 the range, 4 walk of x.
fn each(i: u32) {
    let at = bin(x_at(walk3(i, 4u).x));
    if (at < P(1u)) {
        atomicAdd(&counts[at], 1u);
    }
}
