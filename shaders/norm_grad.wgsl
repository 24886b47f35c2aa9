// The input's gradient of layer, RMS and group normalisation; the work of rows/. With h = g·weight and x̂ = (x - mean)·rstd,
// dx = rstd·(h - mean(h) - x̂·mean(h·x̂)), without mean(h) for RMS.
//
// Needs: RMS; g_at, x_at, dx_put; fn mean_of(row: u32) -> f32; fn rstd_of(row: u32) -> f32; fn weighted(g: f32, channel: u32)
// -> f32; fn channel_of(i: u32) -> u32, the channel in a row of its element i.
//
// P: 0 rows, 1 elements a row, 2 rows after which weights repeat, 3 channels a row, 4 elements of a channel in a row, 5 6 axes
// of the rows of g and x, 7 8 of the elements of a row, 9 10 11 axes of mean, rstd and weight.

alias Acc = vec2<f32>;

fn merge(a: Acc, b: Acc) -> Acc {
    return a + b;
}

fn work(row: u32, lane: u32) {
    let inside = row < P(0u);
    let n = select(0u, P(1u), inside);
    let from_g = place5(row);
    let from_x = place6(row);
    let channel = (row % P(2u)) * P(3u);
    let place = select(0u, row, inside);
    let mean = mean_of(place);
    let rstd = rstd_of(place);
    var g = enter7(lane);
    let by_g = enter7(LANES);
    var x = enter8(lane);
    let by_x = enter8(LANES);
    var sums = vec2<f32>(0.0, 0.0);
    for (var i = lane; i < n; i += LANES) {
        let h = weighted(g_at(from_g + found7(g)), channel + channel_of(i));
        sums += vec2<f32>(h, h * (x_at(from_x + found8(x)) - mean));
        g = move7(g, by_g);
        x = move8(x, by_x);
    }
    sums = row_merge(sums) / max(f32(P(1u)), 1.0);
    let shift = select(sums.x, 0.0, RMS);
    let slope = sums.y * rstd * rstd;
    g = enter7(lane);
    x = enter8(lane);
    for (var i = lane; i < n; i += LANES) {
        let h = weighted(g_at(from_g + found7(g)), channel + channel_of(i));
        let d = x_at(from_x + found8(x)) - mean;
        dx_put(row * n + i, rstd * (h - shift - d * slope));
        g = move7(g, by_g);
        x = move8(x, by_x);
    }
}
