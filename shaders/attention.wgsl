// Attention after attention_tiles.wgsl: a block of queries meets tiles of keys, whose scores are exponentiated against a running
// maximum and multiplied with the values at once (online softmax: Milakov and Gimelshein, 2018; blocks: Dao et al., 2022).
//
// Needs: out_put, lse_put.

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
    let y = lane / 16u;
    let i = i0 + 4u * y;
    let q = side(16u, b, h, i0, P(5u) - i0);
    let mask = P(31u) + b * P(32u) + h * P(33u);
    var sums: array<vec4<f32>, 4u * SLABS>;
    for (var k = 0u; k < 4u * SLABS; k++) {
        sums[k] = vec4<f32>(0.0);
    }
    var top = vec4<f32>(-f_inf());
    // Of this invocation's keys only.
    var total = vec4<f32>(0.0);
    let end = select(P(6u), min(P(6u), i0 + BLOCK), CAUSAL);
    for (var j0 = 0u; j0 < end; j0 += TILE) {
        let j = j0 + 2u * x;
        var s = product(0u, q, side(21u, b, h / P(3u), j0, P(6u) - j0), P(7u), lane);
        for (var r = 0u; r < 4u; r++) {
            s.a[r] = seen(s.a[r], i + r, j, mask);
            s.b[r] = seen(s.b[r], i + r, j + 1u, mask);
        }
        workgroupBarrier();
        part[x * 16u + y] = max(s.a, s.b);
        workgroupBarrier();
        var high = top;
        for (var k = 0u; k < 16u; k++) {
            high = max(high, part[k * 16u + y]);
        }
        var decay = vec4<f32>(0.0);
        for (var r = 0u; r < 4u; r++) {
            decay[r] = probability(top[r], high[r]);
            s.a[r] = probability(s.a[r], high[r]);
            s.b[r] = probability(s.b[r], high[r]);
        }
        top = high;
        total = total * decay + (s.a + s.b);
        for (var slab = 0u; slab < SLABS; slab++) {
            sums[4u * slab] *= decay.x;
            sums[4u * slab + 1u] *= decay.y;
            sums[4u * slab + 2u] *= decay.z;
            sums[4u * slab + 3u] *= decay.w;
        }
        if (DROPOUT) {
            for (var r = 0u; r < 4u; r++) {
                s.a[r] *= kept(head, i + r, j);
                s.b[r] *= kept(head, i + r, j + 1u);
            }
        }
        put_weights(s, lane);
        accumulate(1u, side(26u, b, h / P(3u), j0, P(6u) - j0), first, P(8u), lane, &sums);
    }
    workgroupBarrier();
    part[x * 16u + y] = total;
    workgroupBarrier();
    total = vec4<f32>(0.0);
    for (var k = 0u; k < 16u; k++) {
        total += part[k * 16u + y];
    }
    for (var r = 0u; r < 4u; r++) {
        if (i + r >= P(5u)) {
            break;
        }
        // A query that sees no key gives zeros.
        let none = f_iszero(total[r]);
        let scale = select(f_div(1.0, total[r]), 0.0, none);
        let to = P(36u) + b * P(37u) + h * P(38u) + (i + r) * P(39u);
        for (var slab = 0u; slab < SLABS; slab++) {
            for (var k = 0u; k < 4u; k++) {
                let column = first + slab * SLAB + 4u * x + k;
                if (column < P(8u)) {
                    out_put(to + column * P(40u), sums[4u * slab + r][k] * scale);
                }
            }
        }
        if (first == 0u && x == 0u) {
            lse_put(head * P(5u) + i + r, select(top[r] + f_log(total[r]), -f_inf(), none));
        }
    }
}
