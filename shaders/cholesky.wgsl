// Cholesky factors in place, L being a copy of A whose upper triangle becomes zero: a workgroup a matrix. Launches take ranges
// of columns; column j is divided by the root of its diagonal, and what follows of the lower triangle loses its products.
//
// Needs: l, an array of f32; info, an array of i32, zeros before the first launch: the order of the first leading minor that is
// not positive.
//
// P: 0 matrices, 1 rows n, 2 3 the range of columns, 4 5 axes of the batch in L and info, 6 7 strides of L by row and column.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let matrix = group.x + group.y * grid.x;
    if (matrix >= P(0u)) {
        return;
    }
    let n = P(1u);
    let base = place4(matrix);
    let told = place5(matrix);
    let row = P(6u);
    let column = P(7u);
    for (var j = P(2u); j < P(3u); j++) {
        let at = base + j * (row + column);
        let pivot = l[at];
        // A NaN is not positive either.
        let positive = pivot > 0.0;
        let root = f_sqrt(select(1.0, pivot, positive));
        storageBarrier();
        if (lane == 0u) {
            l[at] = select(pivot, root, positive);
            if (!positive && info[told] == 0) {
                info[told] = i32(j) + 1;
            }
        }
        for (var i = j + 1u + lane; i < n; i += 256u) {
            let below = base + i * row + j * column;
            l[below] = f_div(l[below], root);
            l[base + j * row + i * column] = 0.0;
        }
        storageBarrier();
        // Rows change fastest among neighbouring invocations.
        let rest = n - j - 1u;
        for (var k = lane; k < rest * rest; k += 256u) {
            let r = j + 1u + k % rest;
            let c = j + 1u + k / rest;
            if (r >= c) {
                l[base + r * row + c * column] -= l[base + r * row + j * column] * l[base + c * row + j * column];
            }
        }
        storageBarrier();
    }
}
