// A tile of a product a workgroup: y[row, column] = Σ a[row, step] · b[step, column], from tiles of a and b that the workgroup
// holds in its memory. An invocation computes R rows of C columns, in fours that lie DOWN and ACROSS fours apart. It reads its
// share of the next tiles before it multiplies those at hand, so that memory and arithmetic work at the same time.
//
// Needs: T, V, vzero(), fn vstep(c: V, a: T, b: V) -> V, c plus a times b; ROWS, COLUMNS and DEPTH, the sizes of a tile, R and C,
// all multiples of 4; A_ALONG and B_ALONG, whether neighbouring invocations read a along steps and b along columns;
// struct Job with row0, column0, first, end and idle, whether there is nothing to do; fn job_of(workgroup: u32) -> Job;
// fn prepare(job: Job, lane: u32) and fn plan(job: Job, k0: u32, lane: u32), before the first tile and before each;
// Held, what workgroup memory holds of a V, and fn value_of(h: Held) -> V;
// fn a_tile(job: Job, row: u32, k: u32, slot: u32, whole: bool) -> Held, four steps of a row or, not A_ALONG, four rows of a
// step, k being step `slot` of its tile; fn b_tile(job: Job, k: u32, column: u32, slot: u32, whole: bool) -> Held; both zero
// outside of the matrices, where nothing is if the tile is `whole`;
// fn multiply_tile(sums: ptr<function, Sums>, across: u32, down: u32), which calls multiply for every step of a tile;
// fn finish(job: Job, row: u32, column: u32, v: V), which keeps four columns of a row; product/edges.wgsl.

const ACROSS = COLUMNS / C;
const DOWN = ROWS / R;
const LANES = ACROSS * DOWN;
const A_FOURS = ROWS / 4u;
const B_FOURS = COLUMNS / 4u;
const D_FOURS = DEPTH / 4u;
// Blocks of four by four elements: those of a, those of both, and those of an invocation.
const A_BLOCKS = A_FOURS * D_FOURS;
const BLOCKS = (A_FOURS + B_FOURS) * D_FOURS;
const SHARE = (BLOCKS + LANES - 1u) / LANES;

alias Sums = array<V, R * C / 4u>;

struct Block {
    p: Held,
    q: Held,
    r: Held,
    s: Held,
}

var<workgroup> tile_a: array<Held, DEPTH * A_FOURS>;
var<workgroup> tile_b: array<Held, DEPTH * B_FOURS>;

// A block of four rows and four steps, or of four steps and four columns, as it is read.
fn fetch(job: Job, k0: u32, number: u32, whole: bool) -> Block {
    if (number < A_BLOCKS) {
        let row = job.row0 + 4u * select(number % A_FOURS, number / D_FOURS, A_ALONG);
        let slot = 4u * select(number / A_FOURS, number % D_FOURS, A_ALONG);
        let k = k0 + slot;
        if (A_ALONG) {
            return Block(
                a_tile(job, row, k, slot, whole),
                a_tile(job, row + 1u, k, slot, whole),
                a_tile(job, row + 2u, k, slot, whole),
                a_tile(job, row + 3u, k, slot, whole),
            );
        }
        return Block(
            a_tile(job, row, k, slot, whole),
            a_tile(job, row, k + 1u, slot + 1u, whole),
            a_tile(job, row, k + 2u, slot + 2u, whole),
            a_tile(job, row, k + 3u, slot + 3u, whole),
        );
    }
    let other = number - A_BLOCKS;
    let column = job.column0 + 4u * select(other / D_FOURS, other % B_FOURS, B_ALONG);
    let slot = 4u * select(other % D_FOURS, other / B_FOURS, B_ALONG);
    let k = k0 + slot;
    if (B_ALONG) {
        return Block(
            b_tile(job, k, column, slot, whole),
            b_tile(job, k + 1u, column, slot + 1u, whole),
            b_tile(job, k + 2u, column, slot + 2u, whole),
            b_tile(job, k + 3u, column, slot + 3u, whole),
        );
    }
    return Block(
        b_tile(job, k, column, slot, whole),
        b_tile(job, k, column + 1u, slot, whole),
        b_tile(job, k, column + 2u, slot, whole),
        b_tile(job, k, column + 3u, slot, whole),
    );
}

fn turned(b: Block) -> Block {
    return Block(
        Held(b.p.x, b.q.x, b.r.x, b.s.x),
        Held(b.p.y, b.q.y, b.r.y, b.s.y),
        Held(b.p.z, b.q.z, b.r.z, b.s.z),
        Held(b.p.w, b.q.w, b.r.w, b.s.w),
    );
}

// The tiles hold step after step.
fn keep(number: u32, read: Block) {
    if (number < A_BLOCKS) {
        let row4 = select(number % A_FOURS, number / D_FOURS, A_ALONG);
        let at = 4u * select(number / A_FOURS, number % D_FOURS, A_ALONG) * A_FOURS + row4;
        var b = read;
        if (A_ALONG) {
            b = turned(read);
        }
        tile_a[at] = b.p;
        tile_a[at + A_FOURS] = b.q;
        tile_a[at + 2u * A_FOURS] = b.r;
        tile_a[at + 3u * A_FOURS] = b.s;
    } else if (number < BLOCKS) {
        let other = number - A_BLOCKS;
        let column4 = select(other / D_FOURS, other % B_FOURS, B_ALONG);
        let at = 4u * select(other % D_FOURS, other / B_FOURS, B_ALONG) * B_FOURS + column4;
        var b = read;
        if (!B_ALONG) {
            b = turned(read);
        }
        tile_b[at] = b.p;
        tile_b[at + B_FOURS] = b.q;
        tile_b[at + 2u * B_FOURS] = b.r;
        tile_b[at + 3u * B_FOURS] = b.s;
    }
}

// Adds the products of step k.
fn multiply(sums: ptr<function, Sums>, k: u32, across: u32, down: u32) {
    var b: array<V, C / 4u>;
    for (var j = 0u; j < C / 4u; j++) {
        b[j] = value_of(tile_b[k * B_FOURS + across + j * ACROSS]);
    }
    for (var i = 0u; i < R / 4u; i++) {
        let a = value_of(tile_a[k * A_FOURS + down + i * DOWN]);
        for (var j = 0u; j < C / 4u; j++) {
            let s = i * C + j;
            (*sums)[s] = vstep((*sums)[s], a.x, b[j]);
            (*sums)[s + C / 4u] = vstep((*sums)[s + C / 4u], a.y, b[j]);
            (*sums)[s + 2u * C / 4u] = vstep((*sums)[s + 2u * C / 4u], a.z, b[j]);
            (*sums)[s + 3u * C / 4u] = vstep((*sums)[s + 3u * C / 4u], a.w, b[j]);
        }
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
    var sums: Sums;
    for (var i = 0u; i < R * C / 4u; i++) {
        sums[i] = vzero();
    }
    var next: array<Block, SHARE>;
    prepare(job, lane);
    plan(job, job.first, lane);
    workgroupBarrier();
    for (var i = 0u; i < SHARE; i++) {
        next[i] = fetch(job, job.first, min(lane + i * LANES, BLOCKS - 1u), false);
    }
    workgroupBarrier();
    for (var k0 = job.first; k0 < job.end; k0 += DEPTH) {
        for (var i = 0u; i < SHARE; i++) {
            keep(lane + i * LANES, next[i]);
        }
        plan(job, k0 + DEPTH, lane);
        workgroupBarrier();
        if (whole_tiles(job, k0 + DEPTH)) {
            for (var i = 0u; i < SHARE; i++) {
                next[i] = fetch(job, k0 + DEPTH, min(lane + i * LANES, BLOCKS - 1u), true);
            }
        } else if (k0 + DEPTH < job.end) {
            for (var i = 0u; i < SHARE; i++) {
                next[i] = fetch(job, k0 + DEPTH, min(lane + i * LANES, BLOCKS - 1u), false);
            }
        }
        multiply_tile(&sums, across, down);
        workgroupBarrier();
    }
    for (var i = 0u; i < R; i++) {
        let row = job.row0 + 4u * (down + i / 4u * DOWN) + i % 4u;
        for (var j = 0u; j < C / 4u; j++) {
            finish(job, row, job.column0 + 4u * (across + j * ACROSS), sums[i * C / 4u + j]);
        }
    }
}
