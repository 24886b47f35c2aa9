// A tile of a product a workgroup, as in product/staged.wgsl but straight from the matrices: for devices that gain nothing from
// workgroup memory. An invocation computes R neighbouring rows of C columns, in fours that lie ACROSS fours apart.
//
// Needs: T, V, vzero(), vstep; ROWS, COLUMNS, R, C; struct Job with row0, column0, rows, columns, first, end, idle; job_of and finish as
// there; struct Step; fn first_step(job: Job) -> Step and fn next_step(s: Step) -> Step; fn a_row(job: Job, row: u32) -> u32;
// fn a_value(at: u32, s: Step) -> T, the element of a row that lies there; struct Line;
// fn line_of(job: Job, column: u32) -> Line, four columns, those beyond the last being any others; fn b_values(l: Line, s: Step) -> V.

const ACROSS = COLUMNS / C;
const LANES = ACROSS * (ROWS / R);

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
    let row0 = job.row0 + lane / ACROSS * R;
    let column0 = job.column0 + 4u * (lane % ACROSS);
    if (row0 >= job.rows || column0 >= job.columns) {
        return;
    }
    var sums: array<V, R * C / 4u>;
    for (var i = 0u; i < R * C / 4u; i++) {
        sums[i] = vzero();
    }
    var rows: array<u32, R>;
    for (var i = 0u; i < R; i++) {
        rows[i] = a_row(job, min(row0 + i, job.rows - 1u));
    }
    var lines: array<Line, C / 4u>;
    for (var j = 0u; j < C / 4u; j++) {
        lines[j] = line_of(job, column0 + 4u * j * ACROSS);
    }
    var s = first_step(job);
    for (var k = job.first; k < job.end; k++) {
        var b: array<V, C / 4u>;
        for (var j = 0u; j < C / 4u; j++) {
            b[j] = b_values(lines[j], s);
        }
        // Two loops, each short enough for a compiler to unroll, so that all sums are in registers.
        for (var four = 0u; four < R / 4u; four++) {
            for (var i = 0u; i < 4u; i++) {
                let row = 4u * four + i;
                let a = a_value(rows[row], s);
                for (var j = 0u; j < C / 4u; j++) {
                    sums[row * C / 4u + j] = vstep(sums[row * C / 4u + j], a, b[j]);
                }
            }
        }
        s = next_step(s);
    }
    for (var four = 0u; four < R / 4u; four++) {
        for (var i = 0u; i < 4u; i++) {
            let row = 4u * four + i;
            for (var j = 0u; j < C / 4u; j++) {
                finish(job, row0 + row, column0 + 4u * j * ACROSS, sums[row * C / 4u + j]);
            }
        }
    }
}
