// LU decompositions with rows exchanged, in place: a workgroup a matrix. Launches take ranges of columns; step j brings the largest
// element of column j into row j, divides what is below by it, and subtracts the products from the rest.
//
// Needs: x, an array of f32, a copy of A; pivots, an array of i32: the rows that were exchanged, from 1; info, an array of i32,
// zeros before the first launch: the number of the first pivot that is zero.
//
// P: 0 matrices, 1 rows m, 2 columns n, 3 4 the range of columns, 5 6 7 axes of the batch in x, pivots and info, 8 9 strides of x
// by row and column, 10 stride of the pivots.

var<workgroup> sizes: array<f32, 256>;
var<workgroup> places: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let matrix = group.x + group.y * grid.x;
    if (matrix >= P(0u)) {
        return;
    }
    let m = P(1u);
    let n = P(2u);
    let base = place5(matrix);
    let row = P(8u);
    let column = P(9u);
    for (var j = P(3u); j < P(4u); j++) {
        // Every comparison with NaN is false: a column of them keeps its row.
        var largest = -1.0;
        var found = j;
        for (var i = j + lane; i < m; i += 256u) {
            let v = abs(x[base + i * row + j * column]);
            if (v > largest) {
                largest = v;
                found = i;
            }
        }
        sizes[lane] = largest;
        places[lane] = found;
        workgroupBarrier();
        for (var half = 128u; half > 0u; half = half / 2u) {
            if (lane < half) {
                let other = sizes[lane + half];
                let place = places[lane + half];
                if (other > sizes[lane] || (other == sizes[lane] && place < places[lane])) {
                    sizes[lane] = other;
                    places[lane] = place;
                }
            }
            workgroupBarrier();
        }
        let pivot = places[0];
        let v = x[base + pivot * row + j * column];
        let zero = v == 0.0;
        storageBarrier();
        workgroupBarrier();
        if (pivot != j && !zero) {
            for (var c = lane; c < n; c += 256u) {
                let upper = base + j * row + c * column;
                let lower = base + pivot * row + c * column;
                let moved = x[upper];
                x[upper] = x[lower];
                x[lower] = moved;
            }
        }
        if (lane == 0u) {
            pivots[place6(matrix) + j * P(10u)] = i32(pivot) + 1;
            if (zero && info[place7(matrix)] == 0) {
                info[place7(matrix)] = i32(j) + 1;
            }
        }
        storageBarrier();
        if (!zero) {
            for (var i = j + 1u + lane; i < m; i += 256u) {
                let at = base + i * row + j * column;
                x[at] = f_div(x[at], v);
            }
        }
        storageBarrier();
        // Rows change fastest among neighbouring invocations.
        let below = m - j - 1u;
        let count = below * (n - j - 1u);
        for (var k = lane; k < count; k += 256u) {
            let r = j + 1u + k % below;
            let c = j + 1u + k / below;
            x[base + r * row + c * column] -= x[base + r * row + j * column] * x[base + j * row + c * column];
        }
        storageBarrier();
    }
}
