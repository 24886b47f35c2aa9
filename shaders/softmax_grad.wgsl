// The gradient of softmax, y·(g - Σ g·y), and of log-softmax, g - exp(y)·Σ g, after rows.wgsl.
//
// Needs: LOG; g_at, y_at, dx_put.
//
// P: 0 rows, 1 elements a row, 2 3 4 strides of g, y and dx along a row, 5 6 7 where the axes of their rows stand.

alias Acc = f32;

fn merge(a: Acc, b: Acc) -> Acc {
    return a + b;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_of(group, grid, lane);
    let n = select(0u, P(1u), row < P(0u));
    let from_g = axes_at(row, P(5u));
    let from_y = axes_at(row, P(6u));
    let to = axes_at(row, P(7u));
    var sum = 0.0;
    for (var i = lane % LANES; i < n; i += LANES) {
        let g = g_at(from_g + i * P(2u));
        if (LOG) {
            sum += g;
        } else {
            sum += g * y_at(from_y + i * P(3u));
        }
    }
    sum = row_merge(lane, sum);
    for (var i = lane % LANES; i < n; i += LANES) {
        let g = g_at(from_g + i * P(2u));
        let y = y_at(from_y + i * P(3u));
        var d = 0.0;
        if (LOG) {
            d = g - f_exp(y) * sum;
        } else {
            d = y * (g - sum);
        }
        dx_put(to + i * P(4u), d);
    }
}
