// Partial sums over the elements of each channel, after rows.wgsl: (Σ g, Σ g·(x - mean)·rstd), or count, mean and squared
// deviations of x. A row of rows.wgsl is one part of one channel; parts vary slowest, so that neighbouring rows are neighbouring
// channels.
//
// Needs: MOMENTS, which of the two; x_at; g_at, fn mean_of(stat: u32) -> f32 and fn rstd_of(stat: u32) -> f32 for gradients;
// partial, an array of vec4<f32>.
//
// P: 0 channels, 1 elements a channel, 2 parts, 3 elements a part, 4 consecutive elements with one statistic, 5 statistics a
// sample, 6 channels a statistic (a statistic belongs to a sample and some channels), 7 8 axes of the channels of g and x, 9 10
// of the elements of a channel, 11 12 axes of mean and rstd, 13 eps where the variance is given instead.

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
    let inside = row < P(0u) * P(2u);
    let channel = row % P(0u);
    let begin = (row / P(0u)) * P(3u);
    let end = select(0u, min(begin + P(3u), P(1u)), inside);
    let from_x = axes_at(channel, P(8u));
    var result = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    if (MOMENTS) {
        var sum = 0.0;
        for (var i = begin + lane % LANES; i < end; i += LANES) {
            sum += x_at(from_x + axes_at(i, P(10u)));
        }
        let count = f32(max(end, begin + 1u) - begin);
        let mean = row_merge(lane, vec2<f32>(sum, 0.0)).x / count;
        var squares = 0.0;
        for (var i = begin + lane % LANES; i < end; i += LANES) {
            let d = x_at(from_x + axes_at(i, P(10u))) - mean;
            squares += d * d;
        }
        result = vec4<f32>(count, mean, row_merge(lane, vec2<f32>(squares, 0.0)).x, 0.0);
    } else {
        let from_g = axes_at(channel, P(7u));
        var sums = vec2<f32>(0.0, 0.0);
        for (var i = begin + lane % LANES; i < end; i += LANES) {
            let stat = (i / P(4u)) * P(5u) + channel / P(6u);
            let g = g_at(from_g + axes_at(i, P(9u)));
            sums += vec2<f32>(g, g * ((x_at(from_x + axes_at(i, P(10u))) - mean_of(stat)) * rstd_of(stat)));
        }
        sums = row_merge(lane, sums);
        result = vec4<f32>(sums.x, sums.y, 0.0, 0.0);
    }
    if (inside && lane % LANES == 0u) {
        partial[row] = result;
    }
}
