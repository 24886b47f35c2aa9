// out[b, d] = the sum over k of factor[b, k] * x[index[b, k], d]. Needs x_at, index_at, factor_at, out_put.
//
// P: 0 elements, 1 lookups of a bag, 2 stride of the index and 3 of the factors along them, 4 stride and 5 number of x's rows, 6
// where the output begins, 7 walk of x (without its rows), index and factors over the output.
fn each(i: u32) {
    let at = walk3(i, 7u);
    var sum = 0.0;
    for (var k = 0u; k < P(1u); k++) {
        let row = index_wrapped(index_at(at.y + k * P(2u)), P(5u));
        sum = fma(factor_at(at.z + k * P(3u)), x_at(at.x + row * P(4u)), sum);
    }
    out_put(P(6u) + i, sum);
}
