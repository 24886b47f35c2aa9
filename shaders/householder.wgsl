// Householder reflections by a workgroup; put before a kernel's body.
//
// Needs: work, an array of f32 with the vectors of reflections; fn fetch(i: u32) -> f32 and fn store(i: u32, v: f32) for what they
// are applied to.

var<workgroup> held: array<f32, 256>;

// Some columns of a matrix in whatever `fetch` and `store` reach.
struct Columns {
    base: u32,
    row: u32,
    column: u32,
    first: u32,
    end: u32,
}

fn sum_all(v: f32, lane: u32) -> f32 {
    workgroupBarrier();
    held[lane] = v;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half / 2u) {
        if (lane < half) {
            held[lane] += held[lane + half];
        }
        workgroupBarrier();
    }
    return held[0];
}

fn max_all(v: f32, lane: u32) -> f32 {
    workgroupBarrier();
    held[lane] = v;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half / 2u) {
        if (lane < half) {
            held[lane] = max(held[lane], held[lane + half]);
        }
        workgroupBarrier();
    }
    return held[0];
}

// Turns the column at `base` of the work, from row j on, into a diagonal element and below it the reflection's vector, as
// LAPACK's geqrf does. Returns τ, 0 for a column that needs no reflection.
fn reflect_column(base: u32, j: u32, m: u32, lane: u32) -> f32 {
    var largest = 0.0;
    for (var i = j + 1u + lane; i < m; i += 256u) {
        largest = max(largest, abs(work[base + i]));
    }
    largest = max_all(largest, lane);
    let scale = select(1.0, largest, largest > 0.0);
    var sum = 0.0;
    for (var i = j + 1u + lane; i < m; i += 256u) {
        let v = work[base + i] / scale;
        sum += v * v;
    }
    let below = f_sqrt(sum_all(sum, lane)) * largest;
    let alpha = work[base + j];
    let norm = f_hypot(alpha, below);
    let beta = select(norm, -norm, alpha >= 0.0);
    let none = below == 0.0;
    let pivot = alpha - beta;
    storageBarrier();
    if (!none) {
        for (var i = j + 1u + lane; i < m; i += 256u) {
            work[base + i] = f_div(work[base + i], pivot);
        }
        if (lane == 0u) {
            work[base + j] = beta;
        }
    }
    return select(f_div(beta - alpha, beta), 0.0, none);
}

// Applies a reflection, whose vector lies at `v` of the work from row j on, to 16 columns, 16 invocations each.
fn apply(tau: f32, v: u32, j: u32, m: u32, c: Columns, lane: u32) {
    let column = c.first + lane / 16u;
    let x = lane % 16u;
    let at = c.base + column * c.column;
    var dot = 0.0;
    if (column < c.end) {
        for (var i = j + x; i < m; i += 16u) {
            dot += vector(v, i, j) * fetch(at + i * c.row);
        }
    }
    workgroupBarrier();
    held[lane] = dot;
    workgroupBarrier();
    dot = 0.0;
    for (var k = 0u; k < 16u; k++) {
        dot += held[(lane / 16u) * 16u + k];
    }
    if (column < c.end) {
        for (var i = j + x; i < m; i += 16u) {
            let place = at + i * c.row;
            store(place, fetch(place) - tau * dot * vector(v, i, j));
        }
    }
}

fn vector(v: u32, i: u32, j: u32) -> f32 {
    if (i == j) {
        return 1.0;
    }
    return work[v + i];
}
