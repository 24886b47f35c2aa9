// What the gradients of attention need of each query, a row of rows/: the log-sum-exp and Σ dout·out.
//
// Needs: dout_at, out_at, lse_at; stats, an array of vec2<f32>.
//
// P: 0 queries of all heads, 1 columns, 2 3 strides of dout and out along columns, 4 5 6 axes of the queries in dout, out and
// lse.

alias Acc = f32;

fn merge(a: Acc, b: Acc) -> Acc {
    return a + b;
}

fn work(row: u32, lane: u32) {
    let inside = row < P(0u);
    let n = select(0u, P(1u), inside);
    let from_dout = place4(row);
    let from_out = place5(row);
    var sum = 0.0;
    for (var i = lane; i < n; i += LANES) {
        sum += dout_at(from_dout + i * P(2u)) * out_at(from_out + i * P(3u));
    }
    sum = row_merge(sum);
    if (inside && lane == 0u) {
        stats[row] = vec2<f32>(lse_at(place6(row)), sum);
    }
}
