// Writes one sorted element of every line. Needs keys, positions; x_at, values_put, indices_put; fn place(base: u32, n: u32)
// -> u32, which of the line's sorted elements; INDICES, whether positions are wanted.
//
// P: 0 lines, 1 elements a line, 2 a number, 3 where the walk of x begins, 4 walk of values and indices.

// How many keys of a sorted line lie before one.
fn keys_before(base: u32, n: u32, key: K) -> u32 {
    var low = 0u;
    var high = n;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (key_less(keys[base + middle], key)) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

fn each(line: u32) {
    let n = P(1u);
    let position = positions[line * n + place(line * n, n)];
    let at = walk3(line, 4u);
    if (INDICES) {
        indices_put(at.y, vec2<u32>(position, 0u));
    }
    values_put(at.x, x_at(walk3(line * n + position, P(3u)).x));
}
