// Triangular systems A·X = B in place, X being a copy of B: a workgroup takes 16 right-hand sides of a matrix, 16 invocations
// each. Launches take ranges of steps; step s finds unknown s of a lower triangle, n - 1 - s of an upper one.
//
// Needs: UPPER, UNIT; a_at; x, an array of f32.
//
// P: 0 matrices, 1 unknowns n, 2 right-hand sides, 3 4 the range of steps, 5 6 axes of the batch in A and X, 7 8 strides of A by
// row and column, 9 10 of X.

var<workgroup> found: array<f32, 16>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (P(2u) + 15u) / 16u;
    let workgroup = group.x + group.y * grid.x;
    if (workgroup >= P(0u) * blocks) {
        return;
    }
    let n = P(1u);
    let side = lane / 16u;
    let k = lane % 16u;
    let column = (workgroup % blocks) * 16u + side;
    let inside = column < P(2u);
    let a = place5(workgroup / blocks);
    let b = place6(workgroup / blocks) + column * P(10u);
    for (var s = P(3u); s < P(4u); s++) {
        let i = select(s, n - 1u - s, UPPER);
        // An invocation has every 16th unknown of its column to itself.
        if (inside && i % 16u == k) {
            var v = x[b + i * P(9u)];
            if (!UNIT) {
                v = f_div(v, a_at(a + i * (P(7u) + P(8u))));
            }
            x[b + i * P(9u)] = v;
            found[side] = v;
        }
        workgroupBarrier();
        let v = found[side];
        if (inside) {
            let first = select(i + 1u, 0u, UPPER);
            let end = select(n, i, UPPER);
            for (var r = first + (k + 16u - first % 16u) % 16u; r < end; r += 16u) {
                x[b + r * P(9u)] -= a_at(a + r * P(7u) + i * P(8u)) * v;
            }
        }
        workgroupBarrier();
    }
}
