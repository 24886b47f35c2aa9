// What an invocation takes of its row at a time, as values V with the statistics S of a row: four neighbours, RUN of them.

alias V = vec4<f32>;
alias S = f32;
const RUN = 4u;
const ROWS = 1u;

fn vzero() -> V {
    return V(0.0);
}

fn sum_of(v: V) -> S {
    return (v.x + v.y) + (v.z + v.w);
}

fn exp_of(v: V) -> V {
    return fours_exp(v);
}

fn first_of(v: V) -> f32 {
    return v.x;
}
