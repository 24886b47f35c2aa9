// The elements of strided matrices for product/direct.wgsl.
//
// Needs: product/matrix.wgsl; STEPS; a_load, b_load.

struct Step {
    a: u32,
    b: u32,
}

struct Line {
    at: u32,
    count: u32,
}

fn first_step(job: Job) -> Step {
    return Step(job.a + job.first * P(7u), job.b + job.first * P(8u));
}

fn next_step(s: Step) -> Step {
    return Step(s.a + P(7u), s.b + P(8u));
}

fn a_row(job: Job, row: u32) -> u32 {
    return row * P(6u);
}

fn a_values(at: u32, s: Step) -> V {
    return a_load(at + s.a, P(7u), STEPS);
}

fn line_of(job: Job, column: u32) -> Line {
    return Line(column * P(9u), left(column, job.columns));
}

fn b_values(l: Line, s: Step) -> V {
    return b_load(l.at + s.b, P(9u), l.count);
}
