// Count, mean and sum of squared deviations.

// Merged as by Chan, Golub and LeVeque (1983).
fn moments_merge(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> {
    if (b.x == 0.0) {
        return a;
    }
    if (a.x == 0.0) {
        return b;
    }
    let n = a.x + b.x;
    let d = b.y - a.y;
    let share = b.x / n;
    return vec3<f32>(n, a.y + d * share, a.z + b.z + d * d * (a.x * share));
}

// Those of `count` numbers, of whose distances to one of them these are the sum and the sum of squares. That loses
// little, for this one's distance to the mean is among the deviations.
fn moments_near(near: f32, count: u32, sum: f32, squares: f32) -> vec3<f32> {
    if (count == 0u) {
        return vec3<f32>(0.0, 0.0, 0.0);
    }
    let mean = sum / f32(count);
    return vec3<f32>(f32(count), near + mean, f_maximum(squares - sum * mean, 0.0));
}
