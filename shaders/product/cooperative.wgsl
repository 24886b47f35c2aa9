// A tile of a product a workgroup, as in product/staged.wgsl, from float16 operands on the device's matrix units: the matrices
// of M × M elements that a subgroup holds together. A subgroup computes a block of 4 × 2 of them, and the workgroup four blocks;
// with fewer than four subgroups the workgroup makes several rounds.
//
// Needs: the definitions of product/staged.wgsl but R and C, with ROWS = 8 M and COLUMNS = 4 M; MatA, MatB and MatC, the types
// of matrices; M; LANES, the size of the workgroup.

const BLOCK_ROWS = 4u * M;
const BLOCK_COLUMNS = 2u * M;
// Rows of the tiles begin in different banks of the workgroup's memory.
const A_ROW = DEPTH + 8u;
const B_ROW = COLUMNS + 8u;

var<workgroup> tile_a: array<f16, ROWS * A_ROW>;
var<workgroup> tile_b: array<f16, DEPTH * B_ROW>;
var<workgroup> patches: array<f32, 4u * M * M>;

fn stage_a(job: Job, k0: u32, four: u32) {
    if (A_ALONG) {
        let slot = 4u * (four % (DEPTH / 4u));
        let row = four / (DEPTH / 4u);
        let v = a_tile(job, job.row0 + row, k0 + slot, slot);
        let at = row * A_ROW + slot;
        tile_a[at] = f16(v.x);
        tile_a[at + 1u] = f16(v.y);
        tile_a[at + 2u] = f16(v.z);
        tile_a[at + 3u] = f16(v.w);
    } else {
        let row = 4u * (four % (ROWS / 4u));
        let slot = four / (ROWS / 4u);
        let v = a_tile(job, job.row0 + row, k0 + slot, slot);
        let at = row * A_ROW + slot;
        tile_a[at] = f16(v.x);
        tile_a[at + A_ROW] = f16(v.y);
        tile_a[at + 2u * A_ROW] = f16(v.z);
        tile_a[at + 3u * A_ROW] = f16(v.w);
    }
}

fn stage_b(job: Job, k0: u32, four: u32) {
    if (B_ALONG) {
        let column = 4u * (four % (COLUMNS / 4u));
        let slot = four / (COLUMNS / 4u);
        let v = b_tile(job, k0 + slot, job.column0 + column, slot);
        let at = slot * B_ROW + column;
        tile_b[at] = f16(v.x);
        tile_b[at + 1u] = f16(v.y);
        tile_b[at + 2u] = f16(v.z);
        tile_b[at + 3u] = f16(v.w);
    } else {
        let slot = 4u * (four % (DEPTH / 4u));
        let column = four / (DEPTH / 4u);
        let v = b_tile(job, k0 + slot, job.column0 + column, slot);
        let at = slot * B_ROW + column;
        tile_b[at] = f16(v.x);
        tile_b[at + B_ROW] = f16(v.y);
        tile_b[at + 2u * B_ROW] = f16(v.z);
        tile_b[at + 3u * B_ROW] = f16(v.w);
    }
}

// The place of an invocation among those of its workgroup.
struct Place {
    // Which share of `patches` its subgroup has, and whether what it computes is wanted.
    share: u32,
    wanted: bool,
    lane: u32,
    lanes: u32,
}

// Writes a matrix whose first element is y[row, column]. All invocations call it.
fn emit(job: Job, place: Place, row: u32, column: u32, c: MatC) {
    let first = place.share * M * M;
    coopStoreT(c, &patches[first], M);
    workgroupBarrier();
    for (var four = place.lane; place.wanted && four < M * M / 4u; four += place.lanes) {
        let at = first + 4u * four;
        let v = V(patches[at], patches[at + 1u], patches[at + 2u], patches[at + 3u]);
        finish(job, row + four / (M / 4u), column + 4u * (four % (M / 4u)), v);
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_invocation_id) own: u32,
    @builtin(subgroup_size) size: u32,
) {
    // An idle workgroup takes the same way: matrices allow no return before them.
    let job = job_of(group.x + group.y * grid.x);
    prepare(job, lane);
    for (var round = 0u; round * subgroups < 4u; round++) {
        // Subgroups beyond the fourth block repeat it.
        let block = min(round * subgroups + subgroup, 3u);
        let place = Place(block, !job.idle && round * subgroups + subgroup < 4u, own, size);
        let row = block / 2u * BLOCK_ROWS;
        let column = block % 2u * BLOCK_COLUMNS;
        var c00 = MatC();
        var c01 = MatC();
        var c10 = MatC();
        var c11 = MatC();
        var c20 = MatC();
        var c21 = MatC();
        var c30 = MatC();
        var c31 = MatC();
        plan(job, job.first, lane);
        workgroupBarrier();
        for (var k0 = job.first; k0 < job.end; k0 += DEPTH) {
            for (var four = lane; four < (ROWS + COLUMNS) * DEPTH / 4u; four += LANES) {
                if (four < ROWS * DEPTH / 4u) {
                    stage_a(job, k0, four);
                } else {
                    stage_b(job, k0, four - ROWS * DEPTH / 4u);
                }
            }
            workgroupBarrier();
            plan(job, k0 + DEPTH, lane);
            for (var k = 0u; k < DEPTH; k += M) {
                let b0 = coopLoadT<MatB>(&tile_b[k * B_ROW + column], B_ROW);
                let b1 = coopLoadT<MatB>(&tile_b[k * B_ROW + column + M], B_ROW);
                let a0 = coopLoadT<MatA>(&tile_a[row * A_ROW + k], A_ROW);
                c00 = coopMultiplyAdd(a0, b0, c00);
                c01 = coopMultiplyAdd(a0, b1, c01);
                let a1 = coopLoadT<MatA>(&tile_a[(row + M) * A_ROW + k], A_ROW);
                c10 = coopMultiplyAdd(a1, b0, c10);
                c11 = coopMultiplyAdd(a1, b1, c11);
                let a2 = coopLoadT<MatA>(&tile_a[(row + 2u * M) * A_ROW + k], A_ROW);
                c20 = coopMultiplyAdd(a2, b0, c20);
                c21 = coopMultiplyAdd(a2, b1, c21);
                let a3 = coopLoadT<MatA>(&tile_a[(row + 3u * M) * A_ROW + k], A_ROW);
                c30 = coopMultiplyAdd(a3, b0, c30);
                c31 = coopMultiplyAdd(a3, b1, c31);
            }
            workgroupBarrier();
        }
        let row0 = job.row0 + row;
        let column0 = job.column0 + column;
        emit(job, place, row0, column0, c00);
        emit(job, place, row0, column0 + M, c01);
        emit(job, place, row0 + M, column0, c10);
        emit(job, place, row0 + M, column0 + M, c11);
        emit(job, place, row0 + 2u * M, column0, c20);
        emit(job, place, row0 + 2u * M, column0 + M, c21);
        emit(job, place, row0 + 3u * M, column0, c30);
        emit(job, place, row0 + 3u * M, column0 + M, c31);
    }
}
