// Writes the first sorted elements of every line, or only their positions. Needs positions; x_at, values_put, indices_put;
// VALUES, whether values are wanted.
//
// P: 0 results, 1 results a line, 2 sorted elements a line, 3 elements of x a line, 4 where the walk of x begins, 5 walk of
// values and indices.
fn each(i: u32) {
    let line = i / P(1u);
    let position = positions[line * P(2u) + i % P(1u)];
    let at = walk3(i, 5u);
    indices_put(at.y, vec2<u32>(position, 0u));
    if (VALUES) {
        values_put(at.x, x_at(walk3(line * P(3u) + position, P(4u)).x));
    }
}
