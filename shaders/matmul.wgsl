// A batch of products of strided matrices. A workgroup of 16 × 16 invocations computes a tile of 64 × 64, 4 × 4 each, from
// tiles of 16 steps that it holds in workgroup memory.
//
// Needs: alias T, zero(), fn step(c: T, a: T, b: T) -> T, c plus a times b; a_at, b_at, y_put.
//
// P: 0 rows, 1 columns, 2 steps, 3 batches, 4 5 offsets of a and b, 6 7 strides of a by row and step, 8 9 strides of b by step
// and column, 10 11 strides of y by row and column, 12 dims of the batch, then their sizes and strides of a, b, y.

const TILE = 64u;
const DEPTH = 16u;

var<workgroup> tile_a: array<T, 1024>;
var<workgroup> tile_b: array<T, 1024>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let rows = P(0u);
    let columns = P(1u);
    let steps = P(2u);
    let down = (rows + TILE - 1u) / TILE;
    let across = (columns + TILE - 1u) / TILE;
    let workgroup = group.x + group.y * grid.x;
    if (workgroup >= down * across * P(3u)) {
        return;
    }
    let tile = workgroup % (down * across);
    let row0 = (tile / across) * TILE;
    let column0 = (tile % across) * TILE;
    var rest = workgroup / (down * across);
    var a0 = P(4u);
    var b0 = P(5u);
    var y0 = 0u;
    let rank = P(12u);
    for (var k = 0u; k < rank; k++) {
        let d = rank - 1u - k;
        let c = rest % P(13u + d);
        rest = rest / P(13u + d);
        a0 += c * P(13u + rank + d);
        b0 += c * P(13u + 2u * rank + d);
        y0 += c * P(13u + 3u * rank + d);
    }
    let across_a = P(7u) == 1u;
    let across_b = P(9u) == 1u;
    let r = (lane / 16u) * 4u;
    let c = (lane % 16u) * 4u;
    var sums: array<T, 16>;
    for (var i = 0u; i < 16u; i++) {
        sums[i] = zero();
    }
    for (var k0 = 0u; k0 < steps; k0 += DEPTH) {
        // Neighbouring invocations read neighbours in memory, whichever way the matrix lies.
        for (var i = 0u; i < 4u; i++) {
            let n = lane + i * 256u;
            let ar = select(n % TILE, n / DEPTH, across_a);
            let ak = select(n / TILE, n % DEPTH, across_a);
            var a = zero();
            if (row0 + ar < rows && k0 + ak < steps) {
                a = a_at(a0 + (row0 + ar) * P(6u) + (k0 + ak) * P(7u));
            }
            tile_a[ak * TILE + ar] = a;
            let bc = select(n / DEPTH, n % TILE, across_b);
            let bk = select(n % DEPTH, n / TILE, across_b);
            var b = zero();
            if (column0 + bc < columns && k0 + bk < steps) {
                b = b_at(b0 + (k0 + bk) * P(8u) + (column0 + bc) * P(9u));
            }
            tile_b[bk * TILE + bc] = b;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let at = k * TILE;
            let b_0 = tile_b[at + c];
            let b_1 = tile_b[at + c + 1u];
            let b_2 = tile_b[at + c + 2u];
            let b_3 = tile_b[at + c + 3u];
            for (var i = 0u; i < 4u; i++) {
                let a = tile_a[at + r + i];
                sums[4u * i] = step(sums[4u * i], a, b_0);
                sums[4u * i + 1u] = step(sums[4u * i + 1u], a, b_1);
                sums[4u * i + 2u] = step(sums[4u * i + 2u], a, b_2);
                sums[4u * i + 3u] = step(sums[4u * i + 3u], a, b_3);
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            if (row0 + r + i < rows && column0 + c + j < columns) {
                y_put(y0 + (row0 + r + i) * P(10u) + (column0 + c + j) * P(11u), sums[4u * i + j]);
            }
        }
    }
}
