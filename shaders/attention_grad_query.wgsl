// The gradients of attention for a block of queries and for the mask, after attention_tiles.wgsl. With p the probabilities, f
// the factors of dropout and D = Σ dout·out, the scores' gradient is ds = p·(f·(dout·v) - D), dq = scale·ds·k.
//
// Needs: WANT_QUERY, WANT_MASK; stats, an array of vec2<f32> with log-sum-exp and D of queries; dq_put, dmask_put.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let workgroup = group.x + group.y * grid.x;
    if (workgroup >= P(0u) * P(1u) * P(4u)) {
        return;
    }
    let i0 = (workgroup % P(0u)) * BLOCK;
    let first = ((workgroup / P(0u)) % P(1u)) * (SLAB * SLABS);
    let head = workgroup / (P(0u) * P(1u));
    let b = head / P(2u);
    let h = head % P(2u);
    let x = lane % 16u;
    let i = i0 + 4u * (lane / 16u);
    let q = side(16u, b, h, i0, P(5u) - i0);
    let dout = side(36u, b, h, i0, P(5u) - i0);
    let mask = P(31u) + b * P(32u) + h * P(33u);
    let to_mask = P(46u) + b * P(47u) + h * P(48u);
    var sums: array<vec4<f32>, 4u * SLABS>;
    for (var k = 0u; k < 4u * SLABS; k++) {
        sums[k] = vec4<f32>(0.0);
    }
    // Every element of the mask has a gradient, seen or not.
    let end = select(P(6u), min(P(6u), i0 + BLOCK), CAUSAL && !WANT_MASK);
    for (var j0 = 0u; j0 < end; j0 += TILE) {
        let j = j0 + 2u * x;
        let k = side(21u, b, h / P(3u), j0, P(6u) - j0);
        let s = product(0u, q, k, P(7u), lane);
        let dp = product(1u, dout, side(26u, b, h / P(3u), j0, P(6u) - j0), P(8u), lane);
        var ds = Pair(vec4<f32>(0.0), vec4<f32>(0.0));
        for (var r = 0u; r < 4u; r++) {
            if (i + r >= P(5u)) {
                break;
            }
            let stat = stats[head * P(5u) + i + r];
            let pa = probability(seen(s.a[r], i + r, j, mask), stat.x);
            let pb = probability(seen(s.b[r], i + r, j + 1u, mask), stat.x);
            ds.a[r] = pa * (dp.a[r] * kept(head, i + r, j) - stat.y);
            ds.b[r] = pb * (dp.b[r] * kept(head, i + r, j + 1u) - stat.y);
            if (WANT_MASK && first == 0u) {
                let to = to_mask + (i + r) * P(49u) + j * P(50u);
                if (j < P(6u)) {
                    dmask_put(to, ds.a[r]);
                }
                if (j + 1u < P(6u)) {
                    dmask_put(to + P(50u), ds.b[r]);
                }
            }
        }
        if (WANT_QUERY) {
            put_weights(ds, lane);
            accumulate(0u, k, first, P(7u), lane, &sums);
        }
    }
    if (!WANT_QUERY) {
        return;
    }
    for (var r = 0u; r < 4u; r++) {
        if (i + r >= P(5u)) {
            break;
        }
        let to = P(41u) + b * P(42u) + h * P(43u) + (i + r) * P(44u);
        for (var slab = 0u; slab < SLABS; slab++) {
            for (var k = 0u; k < 4u; k++) {
                let column = first + slab * SLAB + 4u * x + k;
                if (column < P(7u)) {
                    dq_put(to + column * P(45u), sums[4u * slab + r][k] * number_at(9u));
                }
            }
        }
    }
}
