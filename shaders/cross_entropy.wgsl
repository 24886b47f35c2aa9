// Cross-entropy of samples, a row of rows.wgsl each: the loss, the statistics for the gradient (the maximum m of the scores and
// log Σ exp(x - m)) and the weight of the target. Zeros where the target is to be ignored.
//
// Needs: SMOOTH; x_at, labels_at; fn weight_of(c: u32) -> f32; loss_put, stats_put; counted, an array of f32.
//
// P: 0 samples, 1 classes, 2 stride of x along classes, 3 4 the target to be ignored, 5 the smoothing, 6 7 axes of the samples
// in x and target, 8 axes of the weight.

alias Acc = ExpSum;

fn merge(a: Acc, b: Acc) -> Acc {
    return exp_sum_merge(a, b);
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
    let start = axes_at(row, P(6u));
    var a = exp_sum_none();
    for (var i = lane % LANES; i < n; i += LANES) {
        a = exp_sum_fold(a, x_at(start + i * P(2u)));
    }
    a = row_merge(lane, a);
    // (Σ w, Σ w·(x - m)): sums, which merge as exponentials of equal maxima do.
    var total = 0.0;
    var even = 0.0;
    if (SMOOTH) {
        for (var i = lane % LANES; i < n; i += LANES) {
            let w = weight_of(i);
            total += w;
            even += w * (x_at(start + i * P(2u)) - a.top);
        }
        total = row_merge(lane, ExpSum(0.0, total)).sum;
        even = row_merge(lane, ExpSum(0.0, even)).sum;
    }
    if (!inside || lane % LANES != 0u) {
        return;
    }
    let label = labels_at(axes_at(row, P(7u)));
    var loss = 0.0;
    var weight = 0.0;
    var top = 0.0;
    var log_sum = 0.0;
    if (counts(label)) {
        top = a.top;
        log_sum = f_log(exp_sum_total(a));
        weight = weight_of(label.x);
        loss = (log_sum - (x_at(start + label.x * P(2u)) - top)) * weight;
        if (SMOOTH) {
            let smoothing = bitcast<f32>(P(5u));
            loss = (1.0 - smoothing) * loss + smoothing / f32(P(1u)) * (total * log_sum - even);
        }
    }
    loss_put(row, loss);
    stats_put(row, top);
    stats_put(P(0u) + row, log_sum);
    counted[row] = weight;
}
