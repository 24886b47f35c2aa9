// Moves the chosen elements: those at which `ends`, an inclusive prefix sum of zeros and ones, grows. Needs ends and
// fn move_to(i: u32, rank: u32), for the element at position i, of which `rank` chosen ones come before.
//
// P: 0 elements, the rest by the definition of move_to.
fn each(i: u32) {
    let end = ends[i];
    let before = select(ends[max(i, 1u) - 1u], 0u, i == 0u);
    if (end != before) {
        move_to(i, before);
    }
}
