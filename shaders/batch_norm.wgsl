// Batch normalisation with given statistics, an invocation RUN neighbours of a channel: y = (x - mean)·rstd·weight + bias.
//
// Needs: RUN, 1 or 4; V; x_load, y_store; fn mean_of(c: u32) -> f32, fn rstd_of(c: u32) -> f32, fn scaled(rstd: f32, c: u32) ->
// f32, times weight; fn bias_of(c: u32) -> f32.
//
// P: 0 elements, 1 eps, 2 the channels in the memory order of y, 3 x in this order, 4 5 6 7 mean, rstd (or variance), weight and
// bias, 8 how far neighbours in y lie apart in x.

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
    let x = x_load(place3(i), P(8u), RUN);
    y_store(i, 1u, RUN, (x - mean_of(c)) * scaled(rstd_of(c), c) + bias_of(c));
}
