// Layer, RMS and group normalisation of rows; the work of rows/, in pieces of rows/, in the passes of norm/streamed.wgsl or
// norm/kept.wgsl: y = (x - mean)·rstd·weight + bias.
//
// Needs: RMS, whether the mean is not subtracted; x_load, y_store; fn weighted(v: V, channel: u32, i: u32) -> V
// and fn shifted(v: V, channel: u32, i: u32) -> V, which apply weight and bias to elements from i on of a row whose
// channels begin at `channel`; fn save(row: u32, mean: f32, rstd: f32).
//
// P: 0 rows, 1 elements a row, 2 rows after which weights repeat, 3 channels a row, 4 elements of a channel in a row, 5 eps,
// 6 axes of the rows of x, 7 of the elements of a row, 8 9 axes of weight and bias, 10 how far neighbours in a row lie
// apart in x.

alias Acc = vec3<f32>;

fn merge(a: Acc, b: Acc) -> Acc {
    if (RMS) {
        return a + b;
    }
    return moments_merge(a, b);
}

fn finish(first: u32, channel: u32, i: u32, normal: V) {
    y_store(first + i, 1u, RUN, shifted(weighted(normal, channel, i), channel, i));
}

// The first element of a row's piece, to which the others are near; 0 where that would hide what they are.
fn near_of(v: V) -> f32 {
    let first = first_of(v);
    return select(0.0, first, !RMS && f_isfinite(first));
}

// The moments of an invocation's pieces from the sums of their elements' distances to one of them, and of their squares.
fn moments_of(near: f32, count: u32, sums: V, squares: V) -> Acc {
    if (RMS) {
        return vec3<f32>(0.0, 0.0, sum_of(squares));
    }
    return moments_near(near, count, sum_of(sums), sum_of(squares));
}

fn rstd_of(total: Acc) -> f32 {
    // What PyTorch saves for rows without elements.
    if (P(1u) == 0u) {
        return f_nan();
    }
    return f_rsqrt(total.z / f32(P(1u)) + bitcast<f32>(P(5u)));
}
