// Batch normalisation with given statistics, an invocation an element: y = (x - mean)·rstd·weight + bias.
//
// Needs: x_at, y_put; fn mean_of(c: u32) -> f32; fn rstd_of(c: u32) -> f32; fn scaled(rstd: f32, c: u32) -> f32, times weight;
// fn shifted(v: f32, c: u32) -> f32, plus bias.
//
// P: 0 elements, 1 eps, 2 the axes of channels in the memory order of y, 3 those of x, 4 5 6 7 axes of mean, rstd (or
// variance), weight and bias.

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
    y_put(i, shifted((x_at(axes_at(i, P(3u))) - mean_of(c)) * scaled(rstd_of(c), c), c));
}
