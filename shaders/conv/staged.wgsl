// The tiles of a convolution's operands for product/staged.wgsl. What a step and a column contribute to a place in b is worked
// out once a tile.
//
// Needs: conv/job.wgsl; product/edges.wgsl; DEPTH, LANES; Held, fn hold(v: V) -> Held; a_load, which returns it, b_at; A_ALONG,
// B_ALONG; A_WIDE, whether four neighbouring steps lie next to each other in a.

var<workgroup> step_a: array<u32, DEPTH>;
var<workgroup> step_b: array<vec4<u32>, DEPTH>;
var<workgroup> column_b: array<vec4<u32>, COLUMNS>;

fn prepare(job: Job, lane: u32) {
    for (var c = lane; c < COLUMNS; c += LANES) {
        column_b[c] = column_term(digits(job.column0 + c, parameters[5], flag(8u)), job.part);
    }
}

fn plan(job: Job, k0: u32, lane: u32) {
    for (var slot = lane; slot < DEPTH; slot += LANES) {
        if (k0 + slot < job.part.steps) {
            let at = digits(k0 + slot, job.part.sizes, flag(4u));
            step_a[slot] = dot4(at, parameters[6]);
            step_b[slot] = step_term(at);
        }
    }
}

fn a_one(at: u32, slot: u32, ok: bool) -> E {
    return a_load(at + step_a[slot], 1u, u32(ok)).x;
}

fn a_tile(job: Job, row: u32, k: u32, slot: u32, whole: bool) -> Held {
    let at = job.a + row * parameters[2].x;
    if (!A_ALONG) {
        let rows = there(row, job.rows, k < job.end, whole);
        return a_load(at + step_a[slot], parameters[2].x, rows);
    }
    let count = there(k, job.end, row < job.rows, whole);
    if (A_WIDE) {
        return a_load(at + step_a[slot], 1u, count);
    }
    return Held(
        a_one(at, slot, count > 0u),
        a_one(at, slot + 1u, count > 1u),
        a_one(at, slot + 2u, count > 2u),
        a_one(at, slot + 3u, count > 3u),
    );
}

// Without a branch, so that reads that follow each other overlap.
fn b_one(job: Job, column: u32, slot: u32, ok: bool) -> T {
    let at = column_b[column - job.column0] + step_b[slot];
    let there = ok & inside(at.yzw);
    return select(zero(), b_at(select(0u, job.b + at.x, there)), there);
}

fn b_tile(job: Job, k: u32, column: u32, slot: u32, whole: bool) -> Held {
    if (B_ALONG) {
        let count = there(column, job.columns, k < job.end, whole);
        return hold(V(
            b_one(job, column, slot, count > 0u),
            b_one(job, column + 1u, slot, count > 1u),
            b_one(job, column + 2u, slot, count > 2u),
            b_one(job, column + 3u, slot, count > 3u),
        ));
    }
    let count = there(k, job.end, column < job.columns, whole);
    return hold(V(
        b_one(job, column, slot, count > 0u),
        b_one(job, column, slot + 1u, count > 1u),
        b_one(job, column, slot + 2u, count > 2u),
        b_one(job, column, slot + 3u, count > 3u),
    ));
}
