// Flags a rule that an index breaks, with the first such index. Needs index_at (as int64), flags.
//
// P: 0 elements, 1 2 lowest index, 3 4 end of the range, 5 6 a right one outside, 7 8 the rule, 9 walk of the index.
fn each(i: u32) {
    let v = index_at(walk3(i, 9u).x);
    let outside = i64_lt(v, vec2<u32>(P(1u), P(2u))) || !i64_lt(v, vec2<u32>(P(3u), P(4u)));
    if (outside && any(v != vec2<u32>(P(5u), P(6u)))) {
        let slot = 3u * P(7u);
        if (atomicMax(&flags[slot], 1u) == 0u) {
            atomicStore(&flags[slot + 1u], v.x);
            atomicStore(&flags[slot + 2u], v.y);
        }
    }
}
