// Merges the partial sums of channel_sums.wgsl, an invocation a channel: sums are added, moments merged.
//
// Needs: MOMENTS; partial, an array of vec4<f32>; fn emit(channel: u32, total: vec3<f32>).
//
// P: 0 channels, 2 parts, 14 eps.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (group.x + group.y * grid.x) * 256u + lane;
    if (channel >= P(0u)) {
        return;
    }
    var total = vec3<f32>(0.0, 0.0, 0.0);
    for (var i = 0u; i < P(2u); i++) {
        let part = partial[channel + i * P(0u)].xyz;
        if (MOMENTS) {
            total = moments_merge(total, part);
        } else {
            total += part;
        }
    }
    emit(channel, total);
}
