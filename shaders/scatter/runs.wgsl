// Combines the values of every target, in the order of their indices, from a sort of the indices by target. The invocations
// at the beginnings of runs of equal targets walk them. Needs targets (sorted), positions; source_at, out_at, out_put; alias T;
// meet, start, finish, scaled; INCLUDE, whether what is there takes part.
//
// P: 0 values, 1 slices, 2 indices, 3 where the walk of the slices of source and output begins, 4 5 a factor, 6 a target that is
// left alone, 7 walk of the source over the indices.
fn each(q: u32) {
    let first = q / P(1u);
    let to = targets[first];
    if (to == P(6u) || (first > 0u && targets[max(first, 1u) - 1u] == to)) {
        return;
    }
    let slice = walk3(q % P(1u), P(3u));
    var sum = start();
    var count = 0u;
    if (INCLUDE) {
        sum = out_at(to + slice.y);
        count = 1u;
    }
    for (var i = first; i < P(2u); i++) {
        if (targets[i] != to) {
            break;
        }
        sum = meet(sum, scaled(source_at(walk3(positions[i], 7u).x + slice.x)));
        count += 1u;
    }
    out_put(to + slice.y, finish(sum, count));
}
