// Count, mean and sum of squared deviations, merged as by Chan, Golub and LeVeque (1983).
struct Acc { n: f32, mean: f32, m2: f32 }
fn init() -> Acc { return Acc(0.0, 0.0, 0.0); }
fn fold(a: Acc, v: T, i: u32) -> Acc {
    let n = a.n + 1.0;
    let d = v - a.mean;
    let mean = a.mean + d / n;
    return Acc(n, mean, a.m2 + d * (v - mean));
}
fn merge(a: Acc, b: Acc) -> Acc {
    let n = a.n + b.n;
    if (b.n == 0.0) { return a; }
    if (a.n == 0.0) { return b; }
    let d = b.mean - a.mean;
    return Acc(n, a.mean + d * (b.n / n), a.m2 + b.m2 + d * d * (a.n * (b.n / n)));
}
