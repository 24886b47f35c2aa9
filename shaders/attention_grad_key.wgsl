// The gradients of attention for a block of keys and its values, after attention_tiles.wgsl, whose rows are keys here and whose
// columns queries: dv = (f·p)ᵀ·dout and dk = scale·dsᵀ·q over the queries of all heads that share the key head.
//
// Needs: WANT_KEY, WANT_VALUE; stats, an array of vec2<f32> with log-sum-exp and Σ dout·out of queries; dk_put, dv_put.

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
    let j0 = (workgroup % P(0u)) * BLOCK;
    let first = ((workgroup / P(0u)) % P(1u)) * (SLAB * SLABS);
    let key_heads = P(2u) / P(3u);
    let b = workgroup / (P(0u) * P(1u)) / key_heads;
    let key_head = workgroup / (P(0u) * P(1u)) % key_heads;
    let x = lane % 16u;
    let j = j0 + 4u * (lane / 16u);
    let k = side(21u, b, key_head, j0, P(6u) - j0);
    let v = side(26u, b, key_head, j0, P(6u) - j0);
    var key_sums: array<vec4<f32>, 4u * SLABS>;
    var value_sums: array<vec4<f32>, 4u * SLABS>;
    for (var n = 0u; n < 4u * SLABS; n++) {
        key_sums[n] = vec4<f32>(0.0);
        value_sums[n] = vec4<f32>(0.0);
    }
    for (var h = key_head * P(3u); h < (key_head + 1u) * P(3u); h++) {
        let head = b * P(2u) + h;
        let mask = P(31u) + b * P(32u) + h * P(33u);
        // Queries before the first key see none of the block.
        for (var i0 = select(0u, j0, CAUSAL); i0 < P(5u); i0 += TILE) {
            let q = side(16u, b, h, i0, P(5u) - i0);
            let dout = side(36u, b, h, i0, P(5u) - i0);
            let s = product(0u, k, q, P(7u), lane);
            let dp = product(1u, v, dout, P(8u), lane);
            let i = i0 + 2u * x;
            let last = P(5u) - 1u;
            let stat_a = stats[head * P(5u) + min(i, last)];
            let stat_b = stats[head * P(5u) + min(i + 1u, last)];
            var p = Pair(vec4<f32>(0.0), vec4<f32>(0.0));
            var ds = Pair(vec4<f32>(0.0), vec4<f32>(0.0));
            for (var r = 0u; r < 4u; r++) {
                let pa = probability(seen(s.a[r], i, j + r, mask), stat_a.x);
                let pb = probability(seen(s.b[r], i + 1u, j + r, mask), stat_b.x);
                let fa = kept(head, i, j + r);
                let fb = kept(head, i + 1u, j + r);
                p.a[r] = pa * fa;
                p.b[r] = pb * fb;
                ds.a[r] = pa * (dp.a[r] * fa - stat_a.y);
                ds.b[r] = pb * (dp.b[r] * fb - stat_b.y);
            }
            if (WANT_VALUE) {
                put_weights(p, lane);
                accumulate(1u, dout, first, P(8u), lane, &value_sums);
            }
            if (WANT_KEY) {
                put_weights(ds, lane);
                accumulate(0u, q, first, P(7u), lane, &key_sums);
            }
        }
    }
    for (var r = 0u; r < 4u; r++) {
        if (j + r >= P(6u)) {
            break;
        }
        let to_key = P(41u) + b * P(42u) + key_head * P(43u) + (j + r) * P(44u);
        let to_value = P(46u) + b * P(47u) + key_head * P(48u) + (j + r) * P(49u);
        for (var slab = 0u; slab < SLABS; slab++) {
            for (var n = 0u; n < 4u; n++) {
                let column = first + slab * SLAB + 4u * x + n;
                if (WANT_KEY && column < P(7u)) {
                    dk_put(to_key + column * P(45u), key_sums[4u * slab + r][n] * number_at(9u));
                }
                if (WANT_VALUE && column < P(8u)) {
                    dv_put(to_value + column * P(50u), value_sums[4u * slab + r][n]);
                }
            }
        }
    }
}
