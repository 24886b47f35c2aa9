// Merges pairs of sorted runs of every line. An invocation writes 8 neighbouring elements of the result. Needs before;
// keys_in, positions_in, keys_out, positions_out.
//
// P: 0 invocations, 1 elements a line, 2 elements a run, 3 invocations a line.
fn each(q: u32) {
    let n = P(1u);
    let base = (q / P(3u)) * n;
    let first = (q % P(3u)) * 8u;
    let run = P(2u);
    let start = (first / (2u * run)) * 2u * run;
    let middle = min(start + run, n);
    let end = min(start + 2u * run, n);
    let origin = first - start;
    // How many of the elements before the first come from run a.
    var low = max(origin, end - middle) - (end - middle);
    var high = min(origin, middle - start);
    while (low < high) {
        let i = (low + high) / 2u;
        let a = base + start + i;
        let b = base + middle + origin - i - 1u;
        if (before(keys_in[a], positions_in[a], keys_in[b], positions_in[b])) {
            low = i + 1u;
        } else {
            high = i;
        }
    }
    var a = base + start + low;
    var b = base + middle + origin - low;
    let a_end = base + middle;
    let b_end = base + end;
    for (var o = base + first; o < min(base + first + 8u, b_end); o++) {
        var take_a = a < a_end;
        if (take_a && b < b_end) {
            take_a = before(keys_in[a], positions_in[a], keys_in[b], positions_in[b]);
        }
        let chosen = select(b, a, take_a);
        keys_out[o] = keys_in[chosen];
        positions_out[o] = positions_in[chosen];
        a += select(0u, 1u, take_a);
        b += select(1u, 0u, take_a);
    }
}
