// The input's gradient of layer, RMS and group normalisation; the work of rows/, in pieces of rows/. With h = g·weight and
// x̂ = (x - mean)·rstd, dx = rstd·(h - mean(h) - x̂·mean(h·x̂)), without mean(h) for RMS.
//
// Needs: RMS; g_load, x_load, dx_store; fn mean_of(row: u32) -> f32; fn rstd_of(row: u32) -> f32; fn weighted(v: V, channel: u32,
// i: u32) -> V, which applies the weight to elements from i on of a row whose channels begin at `channel`.
//
// P: 0 rows, 1 elements a row, 2 rows after which weights repeat, 3 channels a row, 4 elements of a channel in a row, 5 6 axes
// of the rows of g and x, 7 8 of the elements of a row, 9 10 11 axes of mean, rstd and weight, 12 13 how far neighbours in a row
// lie apart in g and x.

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
    let begin = lane * RUN;
    let step = LANES * RUN;
    var g = enter7(begin);
    let by_g = enter7(step);
    var x = enter8(begin);
    let by_x = enter8(step);
    var shifts = V(0.0);
    var slopes = V(0.0);
    for (var i = begin; i < n; i += step) {
        let h = weighted(g_load(from_g + found7(g), P(12u), RUN), channel, i);
        shifts += h;
        slopes += h * (x_load(from_x + found8(x), P(13u), RUN) - mean);
        g = move7(g, by_g);
        x = move8(x, by_x);
    }
    let means = row_merge(vec2<f32>(sum_of(shifts), sum_of(slopes))) / max(f32(P(1u)), 1.0);
    let shift = select(means.x, 0.0, RMS);
    let slope = means.y * rstd * rstd;
    g = enter7(begin);
    x = enter8(begin);
    for (var i = begin; i < n; i += step) {
        let h = weighted(g_load(from_g + found7(g), P(12u), RUN), channel, i);
        let d = x_load(from_x + found8(x), P(13u), RUN) - mean;
        dx_store(row * n + i, 1u, RUN, rstd * (h - shift - d * slope));
        g = move7(g, by_g);
        x = move8(x, by_x);
    }
}
