// QR decompositions by Householder reflections H = I - τ·v·vᵀ with v₀ = 1, a workgroup a matrix, after householder.wgsl.
// STAGE 0 reflects columns of the work matrix, which keeps R above its diagonal and the reflections below; stage 1 applies
// reflections to Q, an identity at first, from the last to the first, stage 2 writes R, and stage 3 turns the columns of Q where
// R's diagonal is negative. Long loops are split over launches by ranges of columns.
//
// Needs: STAGE; work, an array of f32 with m × n matrices, column after column; factors, an array of f32 with min(m, n) numbers
// τ a matrix; fn fetch(i: u32) -> f32 and fn store(i: u32, v: f32) for the work, Q or R.
//
// P: 0 matrices, 1 rows m, 2 columns n, 3 4 the range of reflections, 5 axes of the batch in q or r, 6 7 strides of its rows and
// columns, 8 9 its rows and columns.

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
    let a = matrix * m * n;
    let taus = matrix * min(m, n);
    let y = place5(matrix);
    if (STAGE == 0u) {
        for (var j = P(3u); j < P(4u); j++) {
            let tau = reflect_column(a + j * m, j, m, lane);
            if (lane == 0u) {
                factors[taus + j] = tau;
            }
            storageBarrier();
            for (var c0 = j + 1u; c0 < n; c0 += 16u) {
                apply(tau, a + j * m, j, m, Columns(a, 1u, m, c0, n), lane);
            }
            storageBarrier();
        }
    } else if (STAGE == 1u) {
        // The columns before the j-th are still those of the identity, which the reflection leaves.
        for (var k = P(4u); k > P(3u); k--) {
            let j = k - 1u;
            for (var c0 = j; c0 < P(9u); c0 += 16u) {
                apply(factors[taus + j], a + j * m, j, m, Columns(y, P(6u), P(7u), c0, P(9u)), lane);
            }
            storageBarrier();
        }
    } else if (STAGE == 3u) {
        for (var i = lane; i < m * n; i += 256u) {
            let row = i % m;
            let column = i / m;
            if (work[a + column * m + column] < 0.0) {
                let place = y + row * P(6u) + column * P(7u);
                store(place, -fetch(place));
            }
        }
    } else {
        for (var i = lane; i < P(8u) * P(9u); i += 256u) {
            let row = i % P(8u);
            let column = i / P(8u);
            var v = 0.0;
            if (row <= column) {
                v = work[a + column * m + row];
            }
            store(y + row * P(6u) + column * P(7u), v);
        }
    }
}
