// Orders slices of a tensor by their elements. Needs x_at, key_of, key_less, key_same.
//
// P: 8 the number of slices, 9 elements a slice, 10 where the walk of all begins, slices varying fastest.
const NONE = 0xffffffffu;

fn before(x: u32, i: u32, y: u32, j: u32) -> bool {
    if (i == NONE || j == NONE) {
        return i < j;
    }
    for (var c = 0u; c < P(9u); c++) {
        let a = key_of(x_at(walk3(c * P(8u) + i, P(10u)).x));
        let b = key_of(x_at(walk3(c * P(8u) + j, P(10u)).x));
        if (key_less(a, b)) {
            return true;
        }
        if (key_less(b, a)) {
            return false;
        }
    }
    return i < j;
}
