// Softmax and log-softmax of rows; the work of rows/, in pieces of rows/. Two passes: maximum and sum together, then the
// results.
//
// Needs: LOG; type Acc with the field top: S; fn none() -> Acc; fn fold(a: Acc, v: V) -> Acc; fn merge(a: Acc, b: Acc) -> Acc;
// fn total_of(a: Acc) -> S; fn log_of(s: S) -> S; fn inverse_of(s: S) -> S; x_load, y_store.
//
// P: 0 rows, or ROWS of them at a time, 1 elements a row, 2 3 strides of x and y along a row, 4 5 the rows of x and y.

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    let start = place4(row * ROWS);
    let to = place5(row * ROWS);
    var a = none();
    for (var i = lane * RUN; i < n; i += LANES * RUN) {
        a = fold(a, x_load(start + i * P(2u), P(2u), RUN * ROWS));
    }
    a = row_merge(a);
    let total = total_of(a);
    let log_total = log_of(total);
    let scale = inverse_of(total);
    for (var i = lane * RUN; i < n; i += LANES * RUN) {
        let v = x_load(start + i * P(2u), P(2u), RUN * ROWS) - a.top;
        var y: V;
        if (LOG) {
            y = v - log_total;
        } else {
            y = exp_of(v) * scale;
        }
        y_store(to + i * P(3u), P(3u), RUN * ROWS, y);
    }
}
