// Cross-entropy of samples, a row of rows/ each: the loss, the statistics for the gradient (the maximum m of the scores and
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

fn work(row: u32, lane: u32) {
    let inside = row < P(0u);
    let n = select(0u, P(1u), inside);
    let start = place6(row);
    var a = exp_sum_none();
    for (var i = lane; i < n; i += LANES) {
        a = exp_sum_fold(a, x_at(start + i * P(2u)));
    }
    a = row_merge(a);
    // (Σ w, Σ w·(x - m)): sums, which merge as exponentials of equal maxima do.
    var total = 0.0;
    var even = 0.0;
    if (SMOOTH) {
        for (var i = lane; i < n; i += LANES) {
            let w = weight_of(i);
            total += w;
            even += w * (x_at(start + i * P(2u)) - a.top);
        }
        total = row_merge(ExpSum(0.0, total)).sum;
        even = row_merge(ExpSum(0.0, even)).sum;
    }
    if (!inside || lane != 0u) {
        return;
    }
    let label = labels_at(place7(row));
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
