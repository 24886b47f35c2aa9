// The gradient of negative log-likelihoods, an invocation an element: -g·weight at the target, 0 elsewhere.
//
// Needs: g_at, labels_at, dx_put; fn weight_of(c: u32) -> f32.
//
// P: 0 samples, 1 classes, 3 4 the target to be ignored, 7 axes of the samples in target, 8 axes of the weight, 9 axes of g,
// 13 elements, 14 consecutive elements of a class.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * grid.x) * 256u + lane;
    if (i >= P(13u)) {
        return;
    }
    let inner = i % P(14u);
    let rest = i / P(14u);
    let category = rest % P(1u);
    let sample = (rest / P(1u)) * P(14u) + inner;
    let label = labels_at(place7(sample));
    var d = 0.0;
    if (counts(label) && label.x == category) {
        d = f_neg(g_at(place9(sample))) * weight_of(category);
    }
    dx_put(i, d);
}
