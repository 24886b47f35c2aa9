// Reductions of strided windows by a fold and a merge of accumulators.
//
// Needs: struct Acc; fn init() -> Acc; fn fold(a: Acc, v: T, i: u32) -> Acc, with element i of the reduced dims;
// fn merge(a: Acc, b: Acc) -> Acc; fn take(o: u32, i: u32) -> Acc, what the i-th element of output o amounts to folded into
// init(), or a partial result; fn emit(o: u32, job: u32, a: Acc), which writes a result; ROWS, whether a workgroup shares
// an output; AXES, where the sizes stand.
//
// P: 0 outputs, 1 elements an output, 2 splits, 3 elements a split, 4 input offset, 5 kept dims, 6 reduced dims, 7 a number,
// 8 elements an output before splitting; where the input is a window of all elements, 9 the place of the first partial result,
// 10 how far those of an output lie apart, 11 the number of the first element; then kept sizes, kept strides, reduced sizes,
// reduced strides.

var<workgroup> held: array<Acc, 256>;

fn strided(i: u32, at: u32, rank: u32) -> u32 {
    if (rank == 1u) {
        return i * P(at + 1u);
    }
    var rest = i;
    var offset = 0u;
    for (var k = 0u; k < rank; k++) {
        let d = rank - 1u - k;
        let size = P(at + d);
        offset += (rest % size) * P(at + rank + d);
        rest = rest / size;
    }
    return offset;
}

// Where the elements of output o begin.
fn start(o: u32) -> u32 {
    return P(4u) + strided(o, AXES, P(5u));
}

// How far element i of the reduced dims lies from the start.
fn step_to(i: u32) -> u32 {
    return strided(i, AXES + 2u * P(5u), P(6u));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let workgroup = group.x + group.y * grid.x;
    let job = select(workgroup * 256u + lane, workgroup, ROWS);
    let splits = P(2u);
    let jobs = P(0u) * splits;
    // The workgroups past the end have nothing to do, but all of one take the same way.
    let inside = job < jobs;
    // Splits vary slowest, so that neighbours read neighbours.
    let o = job % P(0u);
    let first = (job / P(0u)) * P(3u);
    let end = select(0u, min(first + P(3u), P(1u)), inside);
    var a = init();
    let base = start(o);
    let stride = select(1u, 256u, ROWS);
    for (var i = first + select(0u, lane, ROWS); i < end; i += stride) {
        a = take(a, o, base, i);
    }
    if (ROWS) {
        held[lane] = a;
        workgroupBarrier();
        for (var half = 128u; half > 0u; half = half / 2u) {
            if (lane < half) {
                held[lane] = merge(held[lane], held[lane + half]);
            }
            workgroupBarrier();
        }
        if (lane == 0u && inside) {
            emit(o, job, held[0]);
        }
    } else if (inside) {
        emit(o, job, a);
    }
}
