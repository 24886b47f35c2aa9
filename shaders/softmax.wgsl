// Softmax and log-softmax of rows, after rows.wgsl. Two passes: maximum and sum together, then the results.
//
// Needs: LOG; x_at, y_put.
//
// P: 0 rows, 1 elements a row, 2 3 strides of x and y along a row, 4 5 where the axes of the rows of x and y stand.

alias Acc = ExpSum;

fn merge(a: Acc, b: Acc) -> Acc {
    return exp_sum_merge(a, b);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_of(group, grid, lane);
    let n = select(0u, P(1u), row < P(0u));
    let start = axes_at(row, P(4u));
    let to = axes_at(row, P(5u));
    var a = exp_sum_none();
    for (var i = lane % LANES; i < n; i += LANES) {
        a = exp_sum_fold(a, x_at(start + i * P(2u)));
    }
    a = row_merge(lane, a);
    let total = exp_sum_total(a);
    let log_total = f_log(total);
    let scale = f_div(1.0, total);
    for (var i = lane % LANES; i < n; i += LANES) {
        let v = x_at(start + i * P(2u)) - a.top;
        var y = 0.0;
        if (LOG) {
            y = v - log_total;
        } else {
            y = f_exp(v) * scale;
        }
        y_put(to + i * P(3u), y);
    }
}
