// Scatters short lines: the first index that names a target combines the values of all that do, or (SET) the last one writes
// its own. Needs index_at, source_at, out_at, out_put; alias T; meet, start, finish, scaled; INCLUDE, whether what is there
// takes part.
//
// P: 0 indices, 1 indices a line, 2 size of the dim, 3 strides of the output, 4 the index and 5 the source along it, 6 7 a number
// or factor, 8 walk of output, index and source over the other dims.
fn target_of(at: vec3<u32>, j: u32) -> u32 {
    return index_wrapped(index_at(at.y + j * P(4u)), P(2u));
}

fn each(q: u32) {
    let n = P(1u);
    let own = q % n;
    let at = walk3(q / n, 8u);
    let to = target_of(at, own);
    var sum = start();
    var count = 0u;
    for (var j = select(0u, own + 1u, SET); j < select(own, n, SET); j++) {
        if (target_of(at, j) == to) {
            return;
        }
    }
    let place = at.x + to * P(3u);
    if (SET) {
        out_put(place, source_at(at.z + own * P(5u)));
        return;
    }
    if (INCLUDE) {
        sum = out_at(place);
        count = 1u;
    }
    for (var j = own; j < n; j++) {
        if (target_of(at, j) == to) {
            sum = meet(sum, scaled(source_at(at.z + j * P(5u))));
            count += 1u;
        }
    }
    out_put(place, finish(sum, count));
}
