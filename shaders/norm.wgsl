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
    for (var i = begin; i < n; i += step) {
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
    for (var i = begin; i < n; i += step) {
        let normal = (x_load(start + found7(at), P(10u), RUN) - mean) * rstd;
        y_store(row * n + i, 1u, RUN, shifted(weighted(normal, channel, i), channel, i));
        at = move7(at, by);
    }
    if (row < P(0u) && lane == 0u) {
        save(row, mean, rstd);
    }
}
