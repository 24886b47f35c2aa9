// Layer, RMS and group normalisation of rows, after rows.wgsl: y = (x - mean)·rstd·weight + bias.
//
// Needs: RMS, whether the mean is not subtracted; x_at, y_put; fn weighted(v: f32, channel: u32) -> f32 and
// fn shifted(v: f32, channel: u32) -> f32, which apply weight and bias; fn save(row: u32, mean: f32, rstd: f32).
//
// P: 0 rows, 1 elements a row, 2 rows after which weights repeat, 3 channels a row, 4 elements of a channel in a row, 5 eps,
// 6 axes of the rows of x, 7 of the elements of a row, 8 9 axes of weight and bias.

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
    let count = f32(P(1u));
    let start = axes_at(row, P(6u));
    let channel = (row % P(2u)) * P(3u);
    var mean = 0.0;
    if (!RMS) {
        var sum = 0.0;
        for (var i = lane % LANES; i < n; i += LANES) {
            sum += x_at(start + axes_at(i, P(7u)));
        }
        mean = row_merge(lane, sum) / max(count, 1.0);
    }
    var squares = 0.0;
    for (var i = lane % LANES; i < n; i += LANES) {
        let d = x_at(start + axes_at(i, P(7u))) - mean;
        squares += d * d;
    }
    var rstd = f_rsqrt(row_merge(lane, squares) / max(count, 1.0) + bitcast<f32>(P(5u)));
    // What PyTorch saves for rows without elements.
    if (P(1u) == 0u) {
        rstd = f_nan();
    }
    for (var i = lane % LANES; i < n; i += LANES) {
        let normal = (x_at(start + axes_at(i, P(7u))) - mean) * rstd;
        let c = channel + i / P(4u);
        y_put(row * n + i, shifted(weighted(normal, c), c));
    }
    if (row < P(0u) && lane % LANES == 0u) {
        save(row, mean, rstd);
    }
}
