// Softmax and log-softmax of rows; the work of rows/, in pieces of rows/, in the passes of softmax/streamed.wgsl or
// softmax/kept.wgsl: maximum and sum together, then the results.
//
// Needs: LOG; type Acc with the field top: S; fn none() -> Acc; fn fold(a: Acc, v: V) -> Acc
// and fn fold_four(a: Acc, p: V, q: V, r: V, s: V) -> Acc; fn merge(a: Acc, b: Acc) -> Acc;
// fn total_of(a: Acc) -> S; fn log_of(s: S) -> S; fn inverse_of(s: S) -> S; x_load, y_store.
//
// P: 0 rows, or ROWS of them at a time, 1 elements a row, 2 3 strides of x and y along a row, 4 5 the rows of x and y.

fn result(v: V, scale: S, log_total: S) -> V {
    if (LOG) {
        return v - log_total;
    }
    return exp_of(v) * scale;
}
