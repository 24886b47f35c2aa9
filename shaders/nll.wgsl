// Negative log-likelihoods, an invocation a sample: -weight·x at the target, 0 where it is to be ignored.
//
// Needs: x_at, labels_at; fn weight_of(c: u32) -> f32; loss_put; counted, an array of f32.
//
// P: as cross_entropy.wgsl.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (group.x + group.y * grid.x) * 256u + lane;
    if (row >= P(0u)) {
        return;
    }
    let label = labels_at(place7(row));
    var loss = 0.0;
    var weight = 0.0;
    if (counts(label)) {
        weight = weight_of(label.x);
        loss = f_neg(x_at(place6(row) + label.x * P(2u))) * weight;
    }
    loss_put(row, loss);
    counted[row] = weight;
}
