// A tile of a product a workgroup: y[row, column] = Σ a[row, step] · b[step, column], from tiles of a and b that the workgroup
// holds in its memory. An invocation computes R rows of C columns, in fours that lie DOWN and ACROSS fours apart.
//
// Needs: T, V, vzero(), fn vstep(c: V, a: T, b: V) -> V, c plus a times b; ROWS, COLUMNS and DEPTH, the sizes of a tile, R and C,
// all multiples of 4; A_ALONG and B_ALONG, whether neighbouring invocations read a along steps and b along columns;
// struct Job with row0, column0, first, end and idle, whether there is nothing to do; fn job_of(workgroup: u32) -> Job;
// fn prepare(job: Job, lane: u32) and fn plan(job: Job, k0: u32, lane: u32), before the first tile and before each;
// fn a_tile(job: Job, row: u32, k: u32, slot: u32) -> V, four steps of a row or, not A_ALONG, four rows of a step, k being step
// `slot` of its tile; fn b_tile(job: Job, k: u32, column: u32, slot: u32) -> V; both zero outside of the matrices;
// Held, what workgroup memory holds of a V, fn hold(v: V) -> Held and fn value_of(h: Held) -> V;
// fn finish(job: Job, row: u32, column: u32, v: V), which keeps four columns of a row.

const ACROSS = COLUMNS / C;
const DOWN = ROWS / R;
const LANES = ACROSS * DOWN;
const A_FOURS = ROWS / 4u;
const B_FOURS = COLUMNS / 4u;
const D_FOURS = DEPTH / 4u;

var<workgroup> tile_a: array<Held, DEPTH * A_FOURS>;
var<workgroup> tile_b: array<Held, DEPTH * B_FOURS>;

// Four rows of four steps.
fn stage_a(job: Job, k0: u32, block: u32) {
    let row4 = select(block % A_FOURS, block / D_FOURS, A_ALONG);
    let k4 = select(block / A_FOURS, block % D_FOURS, A_ALONG);
    let row = job.row0 + 4u * row4;
    let slot = 4u * k4;
    let k = k0 + slot;
    let at = slot * A_FOURS + row4;
    if (A_ALONG) {
        let p = a_tile(job, row, k, slot);
        let q = a_tile(job, row + 1u, k, slot);
        let r = a_tile(job, row + 2u, k, slot);
        let s = a_tile(job, row + 3u, k, slot);
        tile_a[at] = hold(V(p.x, q.x, r.x, s.x));
        tile_a[at + A_FOURS] = hold(V(p.y, q.y, r.y, s.y));
        tile_a[at + 2u * A_FOURS] = hold(V(p.z, q.z, r.z, s.z));
        tile_a[at + 3u * A_FOURS] = hold(V(p.w, q.w, r.w, s.w));
    } else {
        tile_a[at] = hold(a_tile(job, row, k, slot));
        tile_a[at + A_FOURS] = hold(a_tile(job, row, k + 1u, slot + 1u));
        tile_a[at + 2u * A_FOURS] = hold(a_tile(job, row, k + 2u, slot + 2u));
        tile_a[at + 3u * A_FOURS] = hold(a_tile(job, row, k + 3u, slot + 3u));
    }
}

// Four columns of four steps.
fn stage_b(job: Job, k0: u32, block: u32) {
    let column4 = select(block / D_FOURS, block % B_FOURS, B_ALONG);
    let k4 = select(block % D_FOURS, block / B_FOURS, B_ALONG);
    let column = job.column0 + 4u * column4;
    let slot = 4u * k4;
    let k = k0 + slot;
    let at = slot * B_FOURS + column4;
    if (B_ALONG) {
        tile_b[at] = hold(b_tile(job, k, column, slot));
        tile_b[at + B_FOURS] = hold(b_tile(job, k + 1u, column, slot + 1u));
        tile_b[at + 2u * B_FOURS] = hold(b_tile(job, k + 2u, column, slot + 2u));
        tile_b[at + 3u * B_FOURS] = hold(b_tile(job, k + 3u, column, slot + 3u));
    } else {
        let p = b_tile(job, k, column, slot);
        let q = b_tile(job, k, column + 1u, slot);
        let r = b_tile(job, k, column + 2u, slot);
        let s = b_tile(job, k, column + 3u, slot);
        tile_b[at] = hold(V(p.x, q.x, r.x, s.x));
        tile_b[at + B_FOURS] = hold(V(p.y, q.y, r.y, s.y));
        tile_b[at + 2u * B_FOURS] = hold(V(p.z, q.z, r.z, s.z));
        tile_b[at + 3u * B_FOURS] = hold(V(p.w, q.w, r.w, s.w));
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let job = job_of(group.x + group.y * grid.x);
    if (job.idle) {
        return;
    }
    let across = lane % ACROSS;
    let down = lane / ACROSS;
    var sums: array<V, R * C / 4u>;
    for (var i = 0u; i < R * C / 4u; i++) {
        sums[i] = vzero();
    }
    prepare(job, lane);
    plan(job, job.first, lane);
    workgroupBarrier();
    for (var k0 = job.first; k0 < job.end; k0 += DEPTH) {
        for (var block = lane; block < (A_FOURS + B_FOURS) * D_FOURS; block += LANES) {
            if (block < A_FOURS * D_FOURS) {
                stage_a(job, k0, block);
            } else {
                stage_b(job, k0, block - A_FOURS * D_FOURS);
            }
        }
        workgroupBarrier();
        plan(job, k0 + DEPTH, lane);
        for (var k = 0u; k < DEPTH; k++) {
            var b: array<V, C / 4u>;
            for (var j = 0u; j < C / 4u; j++) {
                b[j] = value_of(tile_b[k * B_FOURS + across + j * ACROSS]);
            }
            for (var i = 0u; i < R / 4u; i++) {
                let a = value_of(tile_a[k * A_FOURS + down + i * DOWN]);
                for (var j = 0u; j < C / 4u; j++) {
                    let s = i * C + j;
                    sums[s] = vstep(sums[s], a.x, b[j]);
                    sums[s + C / 4u] = vstep(sums[s + C / 4u], a.y, b[j]);
                    sums[s + 2u * C / 4u] = vstep(sums[s + 2u * C / 4u], a.z, b[j]);
                    sums[s + 3u * C / 4u] = vstep(sums[s + 3u * C / 4u], a.w, b[j]);
                }
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < R; i++) {
        let row = job.row0 + 4u * (down + i / 4u * DOWN) + i % 4u;
        for (var j = 0u; j < C / 4u; j++) {
            finish(job, row, job.column0 + 4u * (across + j * ACROSS), sums[i * C / 4u + j]);
        }
    }
}
