// A convolution, or one of its gradients, as a product a group: y[row, column] = Σ a[row, step] · b[step, column]. Steps and
// columns are 4 digits, an outer one (a channel or a sample), depth, height, width. What b reads has a position in its planes
// that is the sum of what the step and the column contribute, and is zero outside of them.
//
// The gradient of the input has PHASES: the elements whose position is the same modulo the stride are read by the same
// elements of the kernel, and form a product of their own.
//
// parameters, vectors of 4 words, by digit where nothing else is said (a dash where the digit does not count):
//  0 rows, columns, groups, splits of the steps      1 steps a split, offset of a, offset of b, flags
//  2 strides of a and y by row, offset and stride of the bias      3 strides of a, b, y by group, phases
//  4 sizes of steps      5 sizes of columns      6 strides of a by step
//  7 stride of b by the step's outer digit, what the others add to the position      8 the same of columns
//  9 elements of y, the first position      10 the first workgroup, sizes of b's planes      11 - strides of b's planes
// 12 strides of y by column
// and of phases: 13 - how many      14 - common divisors of stride and dilation      15 - inverses of dilation / divisor modulo
// stride / divisor      16 - stride / divisor      17 - padding      18 - dilation      19 - size of the kernel
// 20 - strides of a by kernel element      21 - strides of y      22 - sizes of y      23 - stride
//
// PLANAR: no plane has a depth.
//
// Flags: 1 neighbours load a along steps, 2 neighbours load b along columns, 4 the outer digit of steps varies fastest, 8 that
// of columns does.

// What depends on the phase.
struct Part {
    sizes: vec4<u32>,
    steps: u32,
    start: vec3<u32>,
    a: u32,
    phase: vec3<u32>,
}

fn flag(bit: u32) -> bool {
    return (parameters[1].w & bit) != 0u;
}

fn digits(i: u32, sizes: vec4<u32>, outer_fastest: bool) -> vec4<u32> {
    var rest = i;
    var outer = 0u;
    if (outer_fastest) {
        outer = rest % sizes.x;
        rest = rest / sizes.x;
    }
    let w = rest % sizes.w;
    rest = rest / sizes.w;
    let h = rest % sizes.z;
    rest = rest / sizes.z;
    let d = rest % sizes.y;
    if (!outer_fastest) {
        outer = rest / sizes.y;
    }
    return vec4<u32>(outer, d, h, w);
}

fn dot3(a: vec3<u32>, b: vec3<u32>) -> u32 {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

fn dot4(a: vec4<u32>, b: vec4<u32>) -> u32 {
    return a.x * b.x + dot3(a.yzw, b.yzw);
}

fn part_of(index: u32) -> Part {
    var part: Part;
    part.sizes = parameters[4];
    part.start = parameters[9].yzw;
    part.a = 0u;
    part.phase = vec3<u32>(0u);
    if (PHASES) {
        let phase = digits(index, vec4<u32>(1u, parameters[13].yzw), true).yzw;
        let padded = phase + parameters[17].yzw;
        let divisor = parameters[14].yzw;
        let step = parameters[16].yzw;
        let kernel = parameters[19].yzw;
        // The first kernel element k for which padded - k · dilation is a multiple of the stride, where there is one.
        let first = ((padded / divisor % step) * parameters[15].yzw) % step;
        let reached = (padded % divisor == vec3<u32>(0u)) & (first < kernel);
        let count = select(vec3<u32>(0u), (kernel + step - 1u - min(first, kernel)) / step, reached);
        let position = vec3<i32>(padded) - vec3<i32>(first * parameters[18].yzw);
        part.sizes = vec4<u32>(part.sizes.x, count);
        part.start = bitcast<vec3<u32>>(position / vec3<i32>(parameters[23].yzw)) + parameters[9].yzw;
        part.a = dot3(first, parameters[20].yzw);
        part.phase = phase;
    }
    part.steps = part.sizes.x * part.sizes.y * part.sizes.z * part.sizes.w;
    return part;
}

// What a step adds to the place in b and, as y, z, w, to the position.
fn step_term(step: vec4<u32>) -> vec4<u32> {
    let position = step.yzw * parameters[7].yzw;
    return vec4<u32>(step.x * parameters[7].x + dot3(position, parameters[11].yzw), position);
}

fn column_term(column: vec4<u32>, part: Part) -> vec4<u32> {
    let position = part.start + column.yzw * parameters[8].yzw;
    return vec4<u32>(column.x * parameters[8].x + dot3(position, parameters[11].yzw), position);
}

fn inside(position: vec3<u32>) -> bool {
    if (PLANAR) {
        return !CHECKED | ((position.y < parameters[10].z) & (position.z < parameters[10].w));
    }
    return !CHECKED | all(position < parameters[10].yzw);
}

// Whether a column of a phase exists: the later phases are shorter.
fn exists(column: vec4<u32>, part: Part) -> bool {
    return !PHASES || all(part.phase + column.yzw * parameters[23].yzw < parameters[22].yzw);
}

fn place_of(column: vec4<u32>, part: Part) -> u32 {
    return dot4(column, parameters[12]) + select(0u, dot3(part.phase, parameters[21].yzw), PHASES);
}
