// The part of matrices on one side of a diagonal, zero elsewhere. Needs x_at, out_put, empty() (zero), UPPER.
//
// P: 0 elements, 1 rows, 2 columns, 3 the diagonal (signed), 4 walk of x and out.
fn each(i: u32) {
    let at = walk3(i, 4u);
    let row = i32((i / P(2u)) % P(1u));
    let column = i32(i % P(2u));
    let edge = row + bitcast<i32>(P(3u));
    if (select(column <= edge, column >= edge, UPPER)) {
        out_put(at.y, x_at(at.x));
    } else {
        out_put(at.y, empty());
    }
}
