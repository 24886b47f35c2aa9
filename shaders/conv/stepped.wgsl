// The elements of a convolution's operands for product/direct.wgsl, step after step.
//
// Needs: conv/job.wgsl; STEPS; a_load, b_at.

struct Step {
    at: vec4<u32>,
    sizes: vec4<u32>,
    a: u32,
    b: vec4<u32>,
    b0: u32,
    outer_fastest: bool,
}

struct Line {
    columns: array<vec4<u32>, 4>,
}

fn place(s: Step) -> Step {
    var placed = s;
    placed.a = dot4(s.at, parameters[6]);
    placed.b = step_term(s.at);
    return placed;
}

fn first_step(job: Job) -> Step {
    var s: Step;
    s.sizes = job.part.sizes;
    s.outer_fastest = flag(4u);
    s.b0 = job.b;
    s.at = vec4<u32>(0u);
    if (job.first < job.end) {
        s.at = digits(job.first, s.sizes, s.outer_fastest);
    }
    return place(s);
}

fn next_step(s: Step) -> Step {
    var n = s;
    var carry = true;
    if (s.outer_fastest) {
        n.at.x = select(s.at.x + 1u, 0u, s.at.x + 1u == s.sizes.x);
        carry = n.at.x == 0u;
    }
    n.at.w += u32(carry);
    carry = n.at.w == s.sizes.w;
    n.at.w = select(n.at.w, 0u, carry);
    n.at.z += u32(carry);
    carry = n.at.z == s.sizes.z;
    n.at.z = select(n.at.z, 0u, carry);
    n.at.y += u32(carry);
    carry = n.at.y == s.sizes.y;
    n.at.y = select(n.at.y, 0u, carry);
    n.at.x += u32(carry && !s.outer_fastest);
    return place(n);
}

fn a_row(job: Job, row: u32) -> u32 {
    return job.a + row * parameters[2].x;
}

fn a_values(at: u32, s: Step) -> V {
    return a_load(at + s.a, 1u, STEPS);
}

fn line_of(job: Job, column: u32) -> Line {
    var l: Line;
    for (var i = 0u; i < 4u; i++) {
        let c = min(column + i, job.columns - 1u);
        l.columns[i] = column_term(digits(c, parameters[5], flag(8u)), job.part);
    }
    return l;
}

fn b_one(s: Step, column: vec4<u32>) -> T {
    let at = column + s.b;
    let ok = inside(at.yzw);
    return select(zero(), b_at(select(0u, s.b0 + at.x, ok)), ok);
}

fn b_values(l: Line, s: Step) -> V {
    return V(b_one(s, l.columns[0]), b_one(s, l.columns[1]), b_one(s, l.columns[2]), b_one(s, l.columns[3]));
}
