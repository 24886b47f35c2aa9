// Layer, RMS and group normalisation of rows; the work of rows/, in pieces of rows/: y = (x - mean)·rstd·weight + bias.
//
// Needs: RMS, whether the mean is not subtracted; x_load, y_store; fn weighted(v: V, channel: u32, i: u32) -> V
// and fn shifted(v: V, channel: u32, i: u32) -> V, which apply weight and bias to elements from i on of a row whose
// channels begin at `channel`; fn save(row: u32, mean: f32, rstd: f32).
//
// P: 0 rows, 1 elements a row, 2 rows after which weights repeat, 3 channels a row, 4 elements of a channel in a row, 5 eps,
// 6 axes of the rows of x, 7 of the elements of a row, 8 9 axes of weight and bias, 10 how far neighbours in a row lie
// apart in x.

alias Acc = vec3<f32>;

fn merge(a: Acc, b: Acc) -> Acc {
    if (RMS) {
        return a + b;
    }
    return moments_merge(a, b);
}

fn finish(first: u32, channel: u32, i: u32, normal: V) {
    y_store(first + i, 1u, RUN, shifted(weighted(normal, channel, i), channel, i));
}

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    let start = place6(row);
    let begin = lane * RUN;
    let step = LANES * RUN;
    let first = enter7(begin);
    let by = enter7(step);
    var near = 0.0;
    if (!RMS && begin < n) {
        near = first_of(x_load(start + found7(first), P(10u), RUN));
        near = select(0.0, near, f_isfinite(near));
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
    var total = vec3<f32>(0.0, 0.0, sum_of(squares));
    if (!RMS) {
        let count = (max(n, begin) - begin + step - 1u) / step * RUN;
        total = moments_near(near, count, sum_of(sums), total.z);
    }
    total = row_merge(total);
    let mean = total.y;
    var rstd = f_rsqrt(total.z / max(f32(P(1u)), 1.0) + bitcast<f32>(P(5u)));
    // What PyTorch saves for rows without elements.
    if (P(1u) == 0u) {
        rstd = f_nan();
    }
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
