// The gradient of cross-entropy for the scores of a sample, a row of rows/: with p the probabilities, t the target, ε the
// smoothing and W = Σ w, g·((1 - ε)·w_t·(p - 1ₜ) + ε/C·(W·p - w)). Zeros where the target is to be ignored.
//
// Needs: SMOOTH; g_at, x_at, labels_at, stats_at, dx_put; fn weight_of(c: u32) -> f32.
//
// P: 0 samples, 1 classes, 2 stride of x along classes, 3 4 the target to be ignored, 5 the smoothing, 6 7 axes of the samples
// in x and target, 8 axes of the weight, 9 10 axes of g and of the statistics, 11 stride of dx along classes, 12 axes of the
// samples in dx.

alias Acc = f32;

fn merge(a: Acc, b: Acc) -> Acc {
    return a + b;
}

fn work(row: u32, lane: u32) {
    let inside = row < P(0u);
    let n = select(0u, P(1u), inside);
    let sample = select(0u, row, inside);
    var total = 0.0;
    if (SMOOTH) {
        for (var i = lane; i < n; i += LANES) {
            total += weight_of(i);
        }
        total = row_merge(total);
    }
    let label = labels_at(place7(sample));
    let hits = counts(label);
    let g = g_at(place9(sample));
    let smoothing = bitcast<f32>(P(5u));
    let share = select(0.0, g * (smoothing / f32(P(1u))), SMOOTH);
    let hit = g * (1.0 - smoothing) * weight_of(select(0u, label.x, hits));
    let scale = hit + share * total;
    let top = stats_at(place10(sample));
    let log_sum = stats_at(place10(sample + P(0u)));
    let start = place6(sample);
    let to = place12(sample);
    for (var i = lane; i < n; i += LANES) {
        var d = 0.0;
        if (hits) {
            d = f_exp((x_at(start + i * P(2u)) - top) - log_sum) * scale;
            if (SMOOTH) {
                d -= share * weight_of(i);
            }
            d -= select(0.0, hit, i == label.x);
        }
        dx_put(to + i * P(11u), d);
    }
}
