// Layer, RMS and group normalisation of rows; the work of rows/: y = (x - mean)·rstd·weight + bias.
//
// Needs: RMS, whether the mean is not subtracted; x_at, y_put; fn weighted(v: f32, channel: u32) -> f32 and
// fn shifted(v: f32, channel: u32) -> f32, which apply weight and bias; fn save(row: u32, mean: f32, rstd: f32).
//
// P: 0 rows, 1 elements a row, 2 rows after which weights repeat, 3 channels a row, 4 elements of a channel in a row, 5 eps,
// 6 axes of the rows of x, 7 of the elements of a row, 8 9 axes of weight and bias.

alias Acc = f32;

fn merge(a: Acc, b: Acc) -> Acc {
    return a + b;
}

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    let count = f32(P(1u));
    let start = place6(row);
    let channel = (row % P(2u)) * P(3u);
    var mean = 0.0;
    if (!RMS) {
        var sum = 0.0;
        for (var i = lane; i < n; i += LANES) {
            sum += x_at(start + place7(i));
        }
        mean = row_merge(sum) / max(count, 1.0);
    }
    var squares = 0.0;
    for (var i = lane; i < n; i += LANES) {
        let d = x_at(start + place7(i)) - mean;
        squares += d * d;
    }
    var rstd = f_rsqrt(row_merge(squares) / max(count, 1.0) + bitcast<f32>(P(5u)));
    // What PyTorch saves for rows without elements.
    if (P(1u) == 0u) {
        rstd = f_nan();
    }
    for (var i = lane; i < n; i += LANES) {
        let normal = (x_at(start + place7(i)) - mean) * rstd;
        let c = channel + i / P(4u);
        y_put(row * n + i, shifted(weighted(normal, c), c));
    }
    if (row < P(0u) && lane == 0u) {
        save(row, mean, rstd);
    }
}
