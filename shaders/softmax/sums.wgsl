// The sum of exponentials of a row.

alias Acc = ExpSum;

fn none() -> Acc {
    return exp_sum_none();
}

fn merge(a: Acc, b: Acc) -> Acc {
    return exp_sum_merge(a, b);
}

fn total_of(a: Acc) -> f32 {
    return exp_sum_total(a);
}

fn log_of(s: f32) -> f32 {
    return f_log(s);
}

fn inverse_of(s: f32) -> f32 {
    return f_div(1.0, s);
}
