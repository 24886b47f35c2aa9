// A tile of a product a workgroup, as in product/staged.wgsl, from float16 operands on the device's matrix units: the matrices
// of M × M elements that a subgroup holds together. A subgroup computes a block of DOWN × ACROSS of them, and the workgroup two
// blocks by two; with fewer than four subgroups the workgroup makes several rounds.
//
// Needs: the definitions of product/staged.wgsl but R and C, with ROWS = 2 DOWN M and COLUMNS = 2 ACROSS M; Held is a vec4<f16>;
// MatA, MatB and MatC, the types of matrices; M, DOWN and ACROSS; LANES, the size of the workgroup. What follows is spelled out,
// since no array holds matrices and since reads only overlap where no loop is between them: TILES reads an invocation's fours of
// both tiles and keeps them, and so does WHOLE where no edge is in them; for each of the block's matrices, SUMS declares it as zero, PRODUCTS adds a tile's products, and
// RESULTS emits it.

const BLOCK_ROWS = DOWN * M;
const BLOCK_COLUMNS = ACROSS * M;
// The tiles lie as they are read: lines of steps, or lines of rows or columns. In fours; lines begin in different banks of the
// workgroup's memory.
const A_LINE = select(ROWS, DEPTH, A_ALONG) / 4u + 2u;
const B_LINE = select(DEPTH, COLUMNS, B_ALONG) / 4u + 2u;

var<workgroup> tile_a: array<Held, select(DEPTH, ROWS, A_ALONG) * A_LINE>;
var<workgroup> tile_b: array<Held, select(COLUMNS, DEPTH, B_ALONG) * B_LINE>;
var<workgroup> patches: array<f32, 4u * M * M>;

// The fours of the tiles in the order in which invocations read them: the elements of one, and where it is kept.
fn a_four(job: Job, k0: u32, four: u32, whole: bool) -> Held {
    if (A_ALONG) {
        let slot = 4u * (four % (DEPTH / 4u));
        return a_tile(job, job.row0 + four / (DEPTH / 4u), k0 + slot, slot, whole);
    }
    let slot = four / (ROWS / 4u);
    return a_tile(job, job.row0 + 4u * (four % (ROWS / 4u)), k0 + slot, slot, whole);
}

fn a_place(four: u32) -> u32 {
    let line = select(ROWS, DEPTH, A_ALONG) / 4u;
    return four / line * A_LINE + four % line;
}

fn b_four(job: Job, k0: u32, four: u32, whole: bool) -> Held {
    if (B_ALONG) {
        let slot = four / (COLUMNS / 4u);
        return b_tile(job, k0 + slot, job.column0 + 4u * (four % (COLUMNS / 4u)), slot, whole);
    }
    let slot = 4u * (four % (DEPTH / 4u));
    return b_tile(job, k0 + slot, job.column0 + four / (DEPTH / 4u), slot, whole);
}

fn b_place(four: u32) -> u32 {
    let line = select(DEPTH, COLUMNS, B_ALONG) / 4u;
    return four / line * B_LINE + four % line;
}

// The matrix of a whose first element is that of this row and step, and the one of b of this step and column.
fn a_matrix(row: u32, k: u32) -> MatA {
    if (A_ALONG) {
        return coopLoadT<MatA>(&tile_a[row * A_LINE + k / 4u], A_LINE);
    }
    return coopLoad<MatA>(&tile_a[k * A_LINE + row / 4u], A_LINE);
}

fn b_matrix(k: u32, column: u32) -> MatB {
    if (B_ALONG) {
        return coopLoadT<MatB>(&tile_b[k * B_LINE + column / 4u], B_LINE);
    }
    return coopLoad<MatB>(&tile_b[column * B_LINE + k / 4u], B_LINE);
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
        SUMS;
        plan(job, job.first, lane);
        workgroupBarrier();
        for (var k0 = job.first; k0 < job.end; k0 += DEPTH) {
            if (whole_tiles(job, k0)) {
                WHOLE;
            } else {
                TILES;
            }
            workgroupBarrier();
            plan(job, k0 + DEPTH, lane);
            PRODUCTS;
            workgroupBarrier();
        }
        let row0 = job.row0 + row;
        let column0 = job.column0 + column;
        RESULTS;
    }
}
