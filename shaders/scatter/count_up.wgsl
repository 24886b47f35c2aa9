// Positions 0, 1, … Needs positions. P: 0 elements.
fn each(i: u32) {
    positions[i] = i;
}
