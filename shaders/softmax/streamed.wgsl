// The passes of softmax.wgsl over rows of any length, which are read twice.

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
