// What a prefix sum counts: 1 where an element is not zero, or the element itself. Needs x_at, fn count(i: u32) -> u32, counts.
//
// P: 0 elements, 1 walk of x.
fn each(i: u32) {
    counts[i] = count(walk3(i, 1u).x);
}
