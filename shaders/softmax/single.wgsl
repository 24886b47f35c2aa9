// Folds one number at a time into the sum of exponentials of a row, see sums.wgsl.

fn fold(a: Acc, v: f32) -> Acc {
    return exp_sum_fold(a, v);
}

fn fold_four(a: Acc, p: V, q: V, r: V, s: V) -> Acc {
    return fold(fold(fold(fold(a, p), q), r), s);
}
