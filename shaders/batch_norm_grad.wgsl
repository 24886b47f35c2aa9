// The input's gradient of batch normalisation, an invocation RUN neighbours of a channel: with h = g·weight and
// x̂ = (x - mean)·rstd, dx = rstd·(h - mean(h) - x̂·mean(h·x̂)) in training, rstd·h with running statistics.
//
// Needs: TRAINING; RUN, 1 or 4; V; g_load, x_load, dx_store; fn mean_of(c: u32) -> f32; fn rstd_of(c: u32) -> f32; fn
// scaled(rstd: f32, c: u32) -> f32, times weight; fn total_of(c: u32) -> vec2<f32>, Σ g and Σ g·x̂ of a channel, in training.
//
// P: 0 elements, 1 eps, 2 the channels in the memory order of dx, 3 4 x and g in this order, 5 6 7 mean, rstd (or variance) and
// weight, 8 elements a channel, 9 10 how far neighbours in dx lie apart in x and g.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = ((group.x + group.y * grid.x) * 256u + lane) * RUN;
    if (i >= P(0u)) {
        return;
    }
    let c = place2(i);
    let rstd = rstd_of(c);
    var corrected = g_load(place4(i), P(10u), RUN);
    if (TRAINING) {
        let means = total_of(c) / f32(P(8u));
        corrected -= means.x + (x_load(place3(i), P(9u), RUN) - mean_of(c)) * (rstd * means.y);
    }
    dx_store(i, 1u, RUN, corrected * scaled(rstd, c));
}
