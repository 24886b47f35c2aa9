// The input's gradient of batch normalisation, an invocation an element: with h = g·weight and x̂ = (x - mean)·rstd,
// dx = rstd·(h - mean(h) - x̂·mean(h·x̂)) in training, rstd·h with running statistics.
//
// Needs: TRAINING; g_at, x_at, dx_put; fn mean_of(c: u32) -> f32; fn rstd_of(c: u32) -> f32; fn scaled(rstd: f32, c: u32) ->
// f32; fn total_of(c: u32) -> vec2<f32>, Σ g and Σ g·x̂ of a channel, in training.
//
// P: 0 elements, 1 eps, 2 the axes of channels in the memory order of dx, 3 4 those of x and g, 5 6 7 axes of mean, rstd (or
// variance) and weight, 8 elements a channel.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * grid.x) * 256u + lane;
    if (i >= P(0u)) {
        return;
    }
    let c = axes_at(i, P(2u));
    let rstd = rstd_of(c);
    let g = g_at(axes_at(i, P(4u)));
    var corrected = g;
    if (TRAINING) {
        let means = total_of(c) / f32(P(8u));
        corrected = g - means.x - (x_at(axes_at(i, P(3u))) - mean_of(c)) * rstd * means.y;
    }
    dx_put(i, corrected * scaled(rstd, c));
}
