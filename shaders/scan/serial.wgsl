// Scans lines, an invocation each. Needs Acc, identity, combine, base_of, take, emit as scan/block.wgsl.
//
// P: 0 lines, 1 elements a line.
fn each(line: u32) {
    let base = base_of(line);
    var all = identity();
    for (var j = 0u; j < P(1u); j++) {
        all = combine(all, take(base, j));
        emit(base, j, all);
    }
}
