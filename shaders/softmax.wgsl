// Softmax and log-softmax of rows; the work of rows/. Two passes: maximum and sum together, then the results.
//
// Needs: LOG; x_at, y_put.
//
// P: 0 rows, 1 elements a row, 2 3 strides of x and y along a row, 4 5 the rows of x and y.

alias Acc = ExpSum;

fn merge(a: Acc, b: Acc) -> Acc {
    return exp_sum_merge(a, b);
}

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    let start = place4(row);
    let to = place5(row);
    var a = exp_sum_none();
    for (var i = lane; i < n; i += LANES) {
        a = exp_sum_fold(a, x_at(start + i * P(2u)));
    }
    a = row_merge(a);
    let total = exp_sum_total(a);
    let log_total = f_log(total);
    let scale = f_div(1.0, total);
    for (var i = lane; i < n; i += LANES) {
        let v = x_at(start + i * P(2u)) - a.top;
        var y = 0.0;
        if (LOG) {
            y = v - log_total;
        } else {
            y = f_exp(v) * scale;
        }
        y_put(to + i * P(3u), y);
    }
}
