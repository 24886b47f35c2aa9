// What an invocation takes at a time, as values V with the statistics S of their rows: one element each of ROWS rows,
// which lie next to each other.

alias V = vec4<f32>;
alias S = vec4<f32>;
const RUN = 1u;
const ROWS = 4u;

fn vzero() -> V {
    return V(0.0);
}

fn sum_of(v: V) -> S {
    return v;
}

fn exp_of(v: V) -> V {
    return fours_exp(v);
}
