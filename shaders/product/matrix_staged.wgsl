// The tiles of strided matrices for product/staged.wgsl.
//
// Needs: product/matrix.wgsl; product/edges.wgsl; A_ALONG, B_ALONG; Held; a_load and b_load, which return it.

fn prepare(job: Job, lane: u32) {}

fn plan(job: Job, k0: u32, lane: u32) {}

fn a_tile(job: Job, row: u32, k: u32, slot: u32, whole: bool) -> Held {
    let at = job.a + row * P(6u) + k * P(7u);
    if (A_ALONG) {
        return a_load(at, P(7u), there(k, job.end, row < job.rows, whole));
    }
    return a_load(at, P(6u), there(row, job.rows, k < job.end, whole));
}

fn b_tile(job: Job, k: u32, column: u32, slot: u32, whole: bool) -> Held {
    let at = job.b + k * P(8u) + column * P(9u);
    if (B_ALONG) {
        return b_load(at, P(9u), there(column, job.columns, k < job.end, whole));
    }
    return b_load(at, P(8u), there(k, job.end, column < job.columns, whole));
}
