// The passes of norm.wgsl over rows that are read once: an invocation keeps its pieces, KEPT of them at most, which is 4 or 8.

fn piece_of(at: u32, i: u32, n: u32) -> V {
    if (i < n) {
        return x_load(at, P(10u), RUN);
    }
    return V(0.0);
}

fn apart(v: V, near: f32, i: u32, n: u32) -> V {
    return select(V(0.0), v - near, i < n);
}

fn put(row: u32, channel: u32, i: u32, n: u32, normal: V) {
    if (i < n) {
        finish(row * n, channel, i, normal);
    }
}

fn work(row: u32, lane: u32) {
    let n = select(0u, P(1u), row < P(0u));
    // Past four there are none where KEPT is 4.
    let more = select(0u, n, KEPT > 4u);
    let start = place6(row);
    let i = lane * RUN;
    let step = LANES * RUN;
    let first = enter7(i);
    let by = enter7(step);
    let p = piece_of(start + found7(first), i, n);
    let at1 = move7(first, by);
    let q = piece_of(start + found7(at1), i + step, n);
    let at2 = move7(at1, by);
    let r = piece_of(start + found7(at2), i + 2u * step, n);
    let at3 = move7(at2, by);
    let s = piece_of(start + found7(at3), i + 3u * step, n);
    let at4 = move7(at3, by);
    let t = piece_of(start + found7(at4), i + 4u * step, more);
    let at5 = move7(at4, by);
    let u = piece_of(start + found7(at5), i + 5u * step, more);
    let at6 = move7(at5, by);
    let v = piece_of(start + found7(at6), i + 6u * step, more);
    let at7 = move7(at6, by);
    let w = piece_of(start + found7(at7), i + 7u * step, more);
    let near = near_of(p);
    let dp = apart(p, near, i, n);
    let dq = apart(q, near, i + step, n);
    let dr = apart(r, near, i + 2u * step, n);
    let ds = apart(s, near, i + 3u * step, n);
    var sums = (dp + dq) + (dr + ds);
    var squares = (dp * dp + dq * dq) + (dr * dr + ds * ds);
    if (KEPT > 4u) {
        let dt = apart(t, near, i + 4u * step, n);
        let du = apart(u, near, i + 5u * step, n);
        let dv = apart(v, near, i + 6u * step, n);
        let dw = apart(w, near, i + 7u * step, n);
        sums += (dt + du) + (dv + dw);
        squares += (dt * dt + du * du) + (dv * dv + dw * dw);
    }
    let count = (max(n, i) - i + step - 1u) / step * RUN;
    let total = row_merge(moments_of(near, count, sums, squares));
    let mean = total.y;
    let rstd = rstd_of(total);
    let channel = (row % P(2u)) * P(3u);
    put(row, channel, i, n, (p - mean) * rstd);
    put(row, channel, i + step, n, (q - mean) * rstd);
    put(row, channel, i + 2u * step, n, (r - mean) * rstd);
    put(row, channel, i + 3u * step, n, (s - mean) * rstd);
    put(row, channel, i + 4u * step, more, (t - mean) * rstd);
    put(row, channel, i + 5u * step, more, (u - mean) * rstd);
    put(row, channel, i + 6u * step, more, (v - mean) * rstd);
    put(row, channel, i + 7u * step, more, (w - mean) * rstd);
    if (row < P(0u) && lane == 0u) {
        save(row, mean, rstd);
    }
}
