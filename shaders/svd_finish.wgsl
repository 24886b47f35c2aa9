// The end of svd.wgsl: the norms of the columns of W in descending order, and W and V in that order.
//
// Needs: VECTORS; work, norms, arrays of f32; s_put, sorted_put, v_at, out_put.
//
// P: 0 matrices, 1 rows m, 2 columns n, 3 axes of the batch in the singular values, 4 their stride, 5 axes of the batch in V's
// result, 6 7 its strides by element and by column of V.

// The norm of a column, scaled by its largest element.
fn column_norm(at: u32, m: u32) -> f32 {
    var largest = 0.0;
    for (var r = 0u; r < m; r++) {
        largest = max(largest, abs(work[at + r]));
    }
    if (largest == 0.0) {
        return 0.0;
    }
    var sum = 0.0;
    for (var r = 0u; r < m; r++) {
        let v = work[at + r] / largest;
        sum += v * v;
    }
    return f_sqrt(sum) * largest;
}

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
    let m = P(1u);
    let n = P(2u);
    let w0 = matrix * m * n;
    let s0 = place3(matrix);
    let v0 = place5(matrix);
    for (var c = lane; c < n; c += 256u) {
        norms[matrix * n + c] = column_norm(w0 + c * m, m);
    }
    storageBarrier();
    for (var c = lane; c < n; c += 256u) {
        let own = norms[matrix * n + c];
        var place = 0u;
        for (var k = 0u; k < n; k++) {
            let other = norms[matrix * n + k];
            if (other > own || (other == own && k < c)) {
                place++;
            }
        }
        s_put(s0 + place * P(4u), own);
        if (VECTORS) {
            for (var r = 0u; r < m; r++) {
                sorted_put(w0 + place * m + r, work[w0 + c * m + r]);
            }
            for (var r = 0u; r < n; r++) {
                out_put(v0 + r * P(6u) + place * P(7u), v_at(matrix * n * n + c * n + r));
            }
        }
    }
}
