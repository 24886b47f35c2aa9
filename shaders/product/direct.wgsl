// A tile of a product a workgroup, as in product/staged.wgsl but straight from the matrices: for devices that gain nothing from
// workgroup memory. An invocation computes R neighbouring rows of C columns, in fours that lie ACROSS fours apart.
//
// Needs: T, V, vzero(), vstep; ROWS, COLUMNS, R, C; struct Job with row0, column0, rows, columns, first, end, idle; job_of and finish as
// there; struct Step; fn first_step(job: Job) -> Step and fn next_step(s: Step) -> Step; fn a_row(job: Job, row: u32) -> u32;
// STEPS, 4 where steps come in whole fours, else 1; fn a_values(at: u32, s: Step) -> V, so many steps of a row from s on; struct Line;
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
    for (var k = job.first; k < job.end; k += STEPS) {
        let first = s;
        var b: array<V, STEPS * C / 4u>;
        for (var q = 0u; q < STEPS; q++) {
            for (var j = 0u; j < C / 4u; j++) {
                b[q * C / 4u + j] = b_values(lines[j], s);
            }
            s = next_step(s);
        }
        // Two loops, each short enough for a compiler to unroll, so that all sums are in registers.
        for (var four = 0u; four < R / 4u; four++) {
            for (var i = 0u; i < 4u; i++) {
                let row = 4u * four + i;
                let a = a_values(rows[row], first);
                for (var j = 0u; j < C / 4u; j++) {
                    var sum = vstep(sums[row * C / 4u + j], a.x, b[j]);
                    if (STEPS == 4u) {
                        sum = vstep(sum, a.y, b[C / 4u + j]);
                        sum = vstep(sum, a.z, b[2u * C / 4u + j]);
                        sum = vstep(sum, a.w, b[3u * C / 4u + j]);
                    }
                    sums[row * C / 4u + j] = sum;
                }
            }
        }
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
