// Products with at most four columns: a workgroup computes 256 / KL rows, KL invocations sharing the steps of one.
//
// Needs: product/matrix.wgsl with ROWS = 256 / KL and COLUMNS = 4; vadd, vstep, vzero; a_load, b_load; A_ALONG; KL, a power of 2.

const PER = 256u / KL;

var<workgroup> held: array<V, 256>;

fn b_row(job: Job, k: u32) -> V {
    return b_load(job.b + k * P(8u), P(9u), select(0u, job.columns, k < job.end));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let job = job_of(group.x + group.y * grid.x);
    if (job.idle) {
        return;
    }
    // Neighbours read neighbours in memory.
    let r = select(lane % PER, lane / KL, A_ALONG);
    let part = select(lane / PER, lane % KL, A_ALONG);
    let row = job.row0 + r;
    var sum = vzero();
    if (row < job.rows) {
        let base = job.a + row * P(6u);
        for (var k = job.first + 4u * part; k < job.end; k += 4u * KL) {
            let a = a_load(base + k * P(7u), P(7u), left(k, job.end));
            sum = vstep(sum, a.x, b_row(job, k));
            sum = vstep(sum, a.y, b_row(job, k + 1u));
            sum = vstep(sum, a.z, b_row(job, k + 2u));
            sum = vstep(sum, a.w, b_row(job, k + 3u));
        }
    }
    held[part * PER + r] = sum;
    workgroupBarrier();
    for (var half = KL / 2u; half > 0u; half = half / 2u) {
        if (part < half) {
            held[part * PER + r] = vadd(held[part * PER + r], held[(part + half) * PER + r]);
        }
        workgroupBarrier();
    }
    if (part == 0u) {
        finish(job, row, 0u, held[r]);
    }
}
