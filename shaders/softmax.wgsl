// Softmax and log-softmax of rows; the work of rows/, in pieces of rows/. Two passes: maximum and sum together, then the
// results.
//
// Needs: LOG; type Acc with the field top: S; fn none() -> Acc; fn fold(a: Acc, v: V) -> Acc
// and fn fold_four(a: Acc, p: V, q: V, r: V, s: V) -> Acc; fn merge(a: Acc, b: Acc) -> Acc;
// fn total_of(a: Acc) -> S; fn log_of(s: S) -> S; fn inverse_of(s: S) -> S; x_load, y_store.
//
// P: 0 rows, or ROWS of them at a time, 1 elements a row, 2 3 strides of x and y along a row, 4 5 the rows of x and y.

fn result(v: V, scale: S, log_total: S) -> V {
    if (LOG) {
        return v - log_total;
    }
    return exp_of(v) * scale;
}

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    let start = place4(row * ROWS);
    let to = place5(row * ROWS);
    var a = none();
    let step = LANES * RUN;
    var i = lane * RUN;
    // Four reads at a time, which overlap.
    for (; i + 3u * step < n; i += 4u * step) {
        let p = x_load(start + i * P(2u), P(2u), RUN * ROWS);
        let q = x_load(start + (i + step) * P(2u), P(2u), RUN * ROWS);
        let r = x_load(start + (i + 2u * step) * P(2u), P(2u), RUN * ROWS);
        let s = x_load(start + (i + 3u * step) * P(2u), P(2u), RUN * ROWS);
        a = fold_four(a, p, q, r, s);
    }
    for (; i < n; i += step) {
        a = fold(a, x_load(start + i * P(2u), P(2u), RUN * ROWS));
    }
    a = row_merge(a);
    let total = total_of(a);
    let log_total = log_of(total);
    let scale = inverse_of(total);
    i = lane * RUN;
    for (; i + 3u * step < n; i += 4u * step) {
        let p = x_load(start + i * P(2u), P(2u), RUN * ROWS);
        let q = x_load(start + (i + step) * P(2u), P(2u), RUN * ROWS);
        let r = x_load(start + (i + 2u * step) * P(2u), P(2u), RUN * ROWS);
        let s = x_load(start + (i + 3u * step) * P(2u), P(2u), RUN * ROWS);
        y_store(to + i * P(3u), P(3u), RUN * ROWS, result(p - a.top, scale, log_total));
        y_store(to + (i + step) * P(3u), P(3u), RUN * ROWS, result(q - a.top, scale, log_total));
        y_store(to + (i + 2u * step) * P(3u), P(3u), RUN * ROWS, result(r - a.top, scale, log_total));
        y_store(to + (i + 3u * step) * P(3u), P(3u), RUN * ROWS, result(s - a.top, scale, log_total));
    }
    for (; i < n; i += step) {
        let v = x_load(start + i * P(2u), P(2u), RUN * ROWS);
        y_store(to + i * P(3u), P(3u), RUN * ROWS, result(v - a.top, scale, log_total));
    }
}
