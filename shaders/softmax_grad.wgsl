// The gradient of softmax, y·(g - Σ g·y), and of log-softmax, g - exp(y)·Σ g; the work of rows/, in pieces of rows/.
//
// Needs: LOG; g_load, y_load, dx_store.
//
// P: 0 rows, or ROWS of them at a time, 1 elements a row, 2 3 4 strides of g, y and dx along a row, 5 6 7 their rows.

alias Acc = S;

fn merge(a: Acc, b: Acc) -> Acc {
    return a + b;
}

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    let from_g = place5(row * ROWS);
    let from_y = place6(row * ROWS);
    let to = place7(row * ROWS);
    var sums = V(0.0);
    for (var i = lane * RUN; i < n; i += LANES * RUN) {
        let g = g_load(from_g + i * P(2u), P(2u), RUN * ROWS);
        if (LOG) {
            sums += g;
        } else {
            sums += g * y_load(from_y + i * P(3u), P(3u), RUN * ROWS);
        }
    }
    let sum = row_merge(sum_of(sums));
    for (var i = lane * RUN; i < n; i += LANES * RUN) {
        let g = g_load(from_g + i * P(2u), P(2u), RUN * ROWS);
        let y = y_load(from_y + i * P(3u), P(3u), RUN * ROWS);
        var d: V;
        if (LOG) {
            d = g - exp_of(y) * sum;
        } else {
            d = y * (g - sum);
        }
        dx_store(to + i * P(4u), P(4u), RUN * ROWS, d);
    }
}
