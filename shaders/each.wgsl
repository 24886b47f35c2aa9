// The entry of kernels that do the same for every element. Needs fn each(i: u32).
//
// P: 0 the number of elements.
@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * grid.x) * 256u + lane;
    if (i < P(0u)) {
        each(i);
    }
}
