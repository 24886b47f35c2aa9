// Layer, RMS and group normalisation of rows; the work of rows/: y = (x - mean)·rstd·weight + bias.
//
// Needs: RMS, whether the mean is not subtracted; x_at, y_put; fn weighted(v: f32, channel: u32) -> f32 and
// fn shifted(v: f32, channel: u32) -> f32, which apply weight and bias; fn save(row: u32, mean: f32, rstd: f32);
// fn channel_of(i: u32) -> u32, the channel in a row of its element i.
//
// P: 0 rows, 1 elements a row, 2 rows after which weights repeat, 3 channels a row, 4 elements of a channel in a row, 5 eps,
// 6 axes of the rows of x, 7 of the elements of a row, 8 9 axes of weight and bias.

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
    let first = enter7(lane);
    let by = enter7(LANES);
    var near = 0.0;
    if (!RMS && lane < n) {
        near = x_at(start + found7(first));
        near = select(0.0, near, f_isfinite(near));
    }
    var sum = 0.0;
    var squares = 0.0;
    var at = first;
    for (var i = lane; i < n; i += LANES) {
        let d = x_at(start + found7(at)) - near;
        sum += d;
        squares += d * d;
        at = move7(at, by);
    }
    var total = vec3<f32>(0.0, 0.0, squares);
    if (!RMS) {
        total = moments_near(near, (max(n, lane) - lane + LANES - 1u) / LANES, sum, squares);
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
    for (var i = lane; i < n; i += LANES) {
        let normal = (x_at(start + found7(at)) - mean) * rstd;
        let c = channel + channel_of(i);
        y_put(row * n + i, shifted(weighted(normal, c), c));
        at = move7(at, by);
    }
    if (row < P(0u) && lane == 0u) {
        save(row, mean, rstd);
    }
}
