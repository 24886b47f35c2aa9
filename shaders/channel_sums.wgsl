// Sums over the elements of each channel, or over parts of them; the work of rows/: (Σ g, Σ g·(x - mean)·rstd), or count, mean
// and squared deviations of x. A row of rows/ is one part of one channel; parts vary slowest, so that neighbouring rows are
// neighbouring channels.
//
// Needs: MOMENTS, which of the two; x_at; fn save(row: u32, channel: u32, total: vec3<f32>); for gradients g_at, and fn
// mean_of(stat: u32) -> f32 and fn rstd_of(stat: u32) -> f32 with the number of a statistic, fn stat_of(i: u32, channel: u32)
// -> u32, and STEADY, whether all elements of a channel have the same.
//
// P: 0 channels, 1 elements a channel, 2 parts, 3 elements a part, 4 consecutive elements with one statistic, 5 statistics a
// sample, 6 channels a statistic (a statistic belongs to a sample and some channels), 7 8 the channels of g and x, 9 10 the
// elements of a channel, 11 12 mean and rstd, 13 eps where the variance is given instead.

alias Acc = vec3<f32>;

fn merge(a: Acc, b: Acc) -> Acc {
    if (MOMENTS) {
        return moments_merge(a, b);
    }
    return a + b;
}

fn work(row: u32, lane: u32) {
    let inside = row < P(0u) * P(2u);
    let channel = row % P(0u);
    let first = select(0u, (row / P(0u)) * P(3u), inside);
    let begin = first + lane;
    let end = select(0u, min(first + P(3u), P(1u)), inside);
    let from_x = place8(channel);
    var x = enter10(begin);
    let by_x = enter10(LANES);
    var total = vec3<f32>(0.0, 0.0, 0.0);
    if (MOMENTS) {
        var near = 0.0;
        if (begin < end) {
            near = x_at(from_x + found10(x));
            near = select(0.0, near, f_isfinite(near));
        }
        var sum = 0.0;
        var squares = 0.0;
        for (var i = begin; i < end; i += LANES) {
            let d = x_at(from_x + found10(x)) - near;
            sum += d;
            squares += d * d;
            x = move10(x, by_x);
        }
        total = moments_near(near, (max(end, begin) - begin + LANES - 1u) / LANES, sum, squares);
    } else {
        let from_g = place7(channel);
        var g = enter9(begin);
        let by_g = enter9(LANES);
        var mean = 0.0;
        var rstd = 0.0;
        if (STEADY) {
            mean = mean_of(stat_of(0u, channel));
            rstd = rstd_of(stat_of(0u, channel));
        }
        for (var i = begin; i < end; i += LANES) {
            if (!STEADY) {
                mean = mean_of(stat_of(i, channel));
                rstd = rstd_of(stat_of(i, channel));
            }
            let h = g_at(from_g + found9(g));
            total += vec3<f32>(h, h * ((x_at(from_x + found10(x)) - mean) * rstd), 0.0);
            x = move10(x, by_x);
            g = move9(g, by_g);
        }
    }
    total = row_merge(total);
    if (inside && lane == 0u) {
        save(row, channel, total);
    }
}
