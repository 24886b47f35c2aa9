// The key and the position in its line of every element. Needs x_at, key_of, keys, positions.
//
// P: 0 elements, 1 elements a line, 2 a word whose bits are flipped in keys, 3 walk of x in lines.
fn each(i: u32) {
    keys[i] = key_flip(key_of(x_at(walk3(i, 3u).x)), P(2u));
    positions[i] = i % P(1u);
}
