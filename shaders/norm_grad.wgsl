// The input's gradient of layer, RMS and group normalisation, after rows.wgsl. With h = g·weight and x̂ = (x - mean)·rstd,
// dx = rstd·(h - mean(h) - x̂·mean(h·x̂)), without mean(h) for RMS.
//
// Needs: RMS; g_at, x_at, dx_put; fn mean_of(row: u32) -> f32; fn rstd_of(row: u32) -> f32; fn weighted(g: f32, channel: u32)
// -> f32.
//
// P: 0 rows, 1 elements a row, 2 rows after which weights repeat, 3 channels a row, 4 elements of a channel in a row, 5 6 axes
// of the rows of g and x, 7 8 of the elements of a row, 9 10 11 axes of mean, rstd and weight.

alias Acc = vec2<f32>;

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
    let inside = row < P(0u);
    let n = select(0u, P(1u), inside);
    let from_g = axes_at(row, P(5u));
    let from_x = axes_at(row, P(6u));
    let channel = (row % P(2u)) * P(3u);
    let place = select(0u, row, inside);
    let mean = mean_of(place);
    let rstd = rstd_of(place);
    var sums = vec2<f32>(0.0, 0.0);
    for (var i = lane % LANES; i < n; i += LANES) {
        let h = weighted(g_at(from_g + axes_at(i, P(7u))), channel + i / P(4u));
        sums += vec2<f32>(h, h * (x_at(from_x + axes_at(i, P(8u))) - mean));
    }
    sums = row_merge(lane, sums) / max(f32(P(1u)), 1.0);
    let shift = select(sums.x, 0.0, RMS);
    let slope = sums.y * rstd * rstd;
    for (var i = lane % LANES; i < n; i += LANES) {
        let h = weighted(g_at(from_g + axes_at(i, P(7u))), channel + i / P(4u));
        let d = x_at(from_x + axes_at(i, P(8u))) - mean;
        dx_put(row * n + i, rstd * (h - shift - d * slope));
    }
}
