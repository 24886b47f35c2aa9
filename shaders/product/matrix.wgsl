// The operands and the result of a batch of products: matrices with any strides.
//
// P: 0 rows, 1 columns, 2 steps, 3 batches, 4 5 offsets of a and b, 6 7 strides of a by row and step, 8 9 strides of b by step
// and column, 10 11 strides of y by row and column, 12 splits of the steps, 13 steps a split, 14 the first workgroup, 15 elements
// of y, 16 dims of the batch, then their sizes and strides of a, b, y.
//
// Needs: ROWS, COLUMNS; A_ALONG, B_ALONG, whether a's steps and b's columns are neighbours; a_load, b_load, y_store.

struct Job {
    row0: u32,
    column0: u32,
    rows: u32,
    columns: u32,
    first: u32,
    end: u32,
    a: u32,
    b: u32,
    y: u32,
    idle: bool,
}

fn job_of(workgroup: u32) -> Job {
    let down = (P(0u) + ROWS - 1u) / ROWS;
    let across = (P(1u) + COLUMNS - 1u) / COLUMNS;
    var rest = P(14u) + workgroup;
    var job = Job(0u, 0u, P(0u), P(1u), 0u, 0u, P(4u), P(5u), 0u, false);
    job.idle = rest >= down * across * P(3u) * P(12u);
    if (job.idle) {
        return job;
    }
    job.column0 = rest % across * COLUMNS;
    rest = rest / across;
    job.row0 = rest % down * ROWS;
    rest = rest / down;
    let split = rest % P(12u);
    rest = rest / P(12u);
    job.first = split * P(13u);
    job.end = min(job.first + P(13u), P(2u));
    job.y = split * P(15u);
    let rank = P(16u);
    for (var k = 0u; k < rank; k++) {
        let d = rank - 1u - k;
        let c = rest % P(17u + d);
        rest = rest / P(17u + d);
        job.a += c * P(17u + rank + d);
        job.b += c * P(17u + 2u * rank + d);
        job.y += c * P(17u + 3u * rank + d);
    }
    return job;
}

fn left(i: u32, end: u32) -> u32 {
    return end - min(i, end);
}

fn finish(job: Job, row: u32, column: u32, v: V) {
    if (row < job.rows) {
        y_store(job.y + row * P(10u) + column * P(11u), P(11u), left(column, job.columns), v);
    }
}
