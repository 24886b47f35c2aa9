// The passes of softmax.wgsl over rows that are read once: an invocation keeps its pieces, KEPT of them at most, which is 4 or 8.

// A piece of which nothing comes into the sum past the row's end.
fn piece_of(start: u32, i: u32, n: u32) -> V {
    if (i < n) {
        return x_load(start + i * P(2u), P(2u), RUN * ROWS);
    }
    return V(-f_inf());
}

fn finish(to: u32, i: u32, n: u32, v: V, scale: S, log_total: S) {
    if (i < n) {
        y_store(to + i * P(3u), P(3u), RUN * ROWS, result(v, scale, log_total));
    }
}

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    let start = place4(row * ROWS);
    let to = place5(row * ROWS);
    let step = LANES * RUN;
    let i = lane * RUN;
    // Past four there are none where KEPT is 4.
    let more = select(0u, n, KEPT > 4u);
    let p = piece_of(start, i, n);
    let q = piece_of(start, i + step, n);
    let r = piece_of(start, i + 2u * step, n);
    let s = piece_of(start, i + 3u * step, n);
    let t = piece_of(start, i + 4u * step, more);
    let u = piece_of(start, i + 5u * step, more);
    let v = piece_of(start, i + 6u * step, more);
    let w = piece_of(start, i + 7u * step, more);
    var a = fold_four(none(), p, q, r, s);
    if (KEPT > 4u) {
        a = fold_four(a, t, u, v, w);
    }
    a = row_merge(a);
    let total = total_of(a);
    let log_total = log_of(total);
    let scale = inverse_of(total);
    finish(to, i, n, p - a.top, scale, log_total);
    finish(to, i + step, n, q - a.top, scale, log_total);
    finish(to, i + 2u * step, n, r - a.top, scale, log_total);
    finish(to, i + 3u * step, n, s - a.top, scale, log_total);
    finish(to, i + 4u * step, more, t - a.top, scale, log_total);
    finish(to, i + 5u * step, more, u - a.top, scale, log_total);
    finish(to, i + 6u * step, more, v - a.top, scale, log_total);
    finish(to, i + 7u * step, more, w - a.top, scale, log_total);
}
