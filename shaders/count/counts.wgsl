// Counts become elements. Needs counts, out_put, fn counted(n: u32) -> T.
//
// P: 0 bins.
fn each(i: u32) {
    out_put(i, counted(counts[i]));
}
