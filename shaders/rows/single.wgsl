// What an invocation takes of its row at a time, as values V with the statistics S of a row: one element.

alias V = f32;
alias S = f32;
const RUN = 1u;
const ROWS = 1u;

fn sum_of(v: V) -> S {
    return v;
}

fn exp_of(v: V) -> V {
    return f_exp(v);
}

fn first_of(v: V) -> f32 {
    return v;
}
