// The gradient of softmax, y·(g - Σ g·y), and of log-softmax, g - exp(y)·Σ g; the work of rows/.
//
// Needs: LOG; g_at, y_at, dx_put.
//
// P: 0 rows, 1 elements a row, 2 3 4 strides of g, y and dx along a row, 5 6 7 their rows.

alias Acc = f32;

fn merge(a: Acc, b: Acc) -> Acc {
    return a + b;
}

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    let from_g = place5(row);
    let from_y = place6(row);
    let to = place7(row);
    var sum = 0.0;
    for (var i = lane; i < n; i += LANES) {
        let g = g_at(from_g + i * P(2u));
        if (LOG) {
            sum += g;
        } else {
            sum += g * y_at(from_y + i * P(3u));
        }
    }
    sum = row_merge(sum);
    for (var i = lane; i < n; i += LANES) {
        let g = g_at(from_g + i * P(2u));
        let y = y_at(from_y + i * P(3u));
        var d = 0.0;
        if (LOG) {
            d = g - f_exp(y) * sum;
        } else {
            d = y * (g - sum);
        }
        dx_put(to + i * P(4u), d);
    }
}
