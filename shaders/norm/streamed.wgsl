// The passes of norm.wgsl over rows of any length, which are read twice.

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    let start = place6(row);
    let begin = lane * RUN;
    let step = LANES * RUN;
    let first = enter7(begin);
    let by = enter7(step);
    var near = 0.0;
    if (begin < n) {
        near = near_of(x_load(start + found7(first), P(10u), RUN));
    }
    var sums = V(0.0);
    var squares = V(0.0);
    var at = first;
    var i = begin;
    // Four reads at a time, which overlap.
    for (; i + 3u * step < n; i += 4u * step) {
        let at1 = move7(at, by);
        let at2 = move7(at1, by);
        let at3 = move7(at2, by);
        let p = x_load(start + found7(at), P(10u), RUN) - near;
        let q = x_load(start + found7(at1), P(10u), RUN) - near;
        let r = x_load(start + found7(at2), P(10u), RUN) - near;
        let s = x_load(start + found7(at3), P(10u), RUN) - near;
        sums += (p + q) + (r + s);
        squares += (p * p + q * q) + (r * r + s * s);
        at = move7(at3, by);
    }
    for (; i < n; i += step) {
        let d = x_load(start + found7(at), P(10u), RUN) - near;
        sums += d;
        squares += d * d;
        at = move7(at, by);
    }
    let count = (max(n, begin) - begin + step - 1u) / step * RUN;
    let total = row_merge(moments_of(near, count, sums, squares));
    let mean = total.y;
    let rstd = rstd_of(total);
    let channel = (row % P(2u)) * P(3u);
    at = first;
    i = begin;
    for (; i + 3u * step < n; i += 4u * step) {
        let at1 = move7(at, by);
        let at2 = move7(at1, by);
        let at3 = move7(at2, by);
        let p = x_load(start + found7(at), P(10u), RUN);
        let q = x_load(start + found7(at1), P(10u), RUN);
        let r = x_load(start + found7(at2), P(10u), RUN);
        let s = x_load(start + found7(at3), P(10u), RUN);
        finish(row * n, channel, i, (p - mean) * rstd);
        finish(row * n, channel, i + step, (q - mean) * rstd);
        finish(row * n, channel, i + 2u * step, (r - mean) * rstd);
        finish(row * n, channel, i + 3u * step, (s - mean) * rstd);
        at = move7(at3, by);
    }
    for (; i < n; i += step) {
        finish(row * n, channel, i, (x_load(start + found7(at), P(10u), RUN) - mean) * rstd);
        at = move7(at, by);
    }
    if (row < P(0u) && lane == 0u) {
        save(row, mean, rstd);
    }
}
