// The tiles of a convolution's products, for product/staged.wgsl and product/direct.wgsl.
//
// Needs: conv/terms.wgsl and what it names; ROWS, COLUMNS; T, V, zero(), vadd; y_store; fn bias_of(row: u32) -> T; Y_WIDE, whether
// four neighbouring columns lie next to each other in y.

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
    // The number of row 0 among the rows of all groups, for the bias; none where the bias is not added.
    bias_row: u32,
    part: Part,
    idle: bool,
}

fn job_of(workgroup: u32) -> Job {
    let rows = parameters[0].x;
    let columns = parameters[0].y;
    let groups = parameters[0].z;
    let down = (rows + ROWS - 1u) / ROWS;
    let across = (columns + COLUMNS - 1u) / COLUMNS;
    let batches = groups * parameters[3].w;
    let number = parameters[10].x + workgroup;
    let batch = number / (down * across) % batches;
    let split = number / (down * across * batches);
    let g = batch % groups;
    var job: Job;
    job.part = part_of(batch / groups);
    job.row0 = number % down * ROWS;
    job.column0 = number / down % across * COLUMNS;
    job.rows = rows;
    job.columns = columns;
    job.first = split * parameters[1].x;
    job.end = min(job.first + parameters[1].x, job.part.steps);
    job.idle = split >= parameters[0].w;
    job.a = parameters[1].y + g * parameters[3].x + job.part.a;
    job.b = parameters[1].z + g * parameters[3].y;
    job.y = split * parameters[9].x + g * parameters[3].z;
    job.bias_row = select(0xffffffffu, g * rows, split == 0u);
    return job;
}

fn left(i: u32, end: u32) -> u32 {
    return end - min(i, end);
}

fn finish_one(job: Job, y: u32, column: u32, v: T) {
    let at = digits(column, parameters[5], flag(8u));
    if (column < job.columns && exists(at, job.part)) {
        y_store(y + place_of(at, job.part), 1u, 1u, V(v, zero(), zero(), zero()));
    }
}

fn finish(job: Job, row: u32, column: u32, sums: V) {
    if (row >= job.rows || column >= job.columns) {
        return;
    }
    var v = sums;
    if (job.bias_row != 0xffffffffu) {
        let bias = bias_of(job.bias_row + row);
        v = vadd(v, V(bias, bias, bias, bias));
    }
    let y = job.y + row * parameters[2].y;
    if (Y_WIDE) {
        let at = digits(column, parameters[5], flag(8u));
        y_store(y + place_of(at, job.part), 1u, 4u, v);
    } else {
        finish_one(job, y, column, v.x);
        finish_one(job, y, column + 1u, v.y);
        finish_one(job, y, column + 2u, v.z);
        finish_one(job, y, column + 3u, v.w);
    }
}
