// Reductions of strided windows by a fold and a merge of accumulators; the work of rows/, a row being an output or a split of it.
//
// Needs: type Acc; fn init() -> Acc; fn fold(a: Acc, v: T, i: u32) -> Acc, with element i of the reduced dims; fn merge(a: Acc,
// b: Acc) -> Acc; fn take(a: Acc, at: u32, i: u32) -> Acc, which folds element i of an output whose elements begin at `at`, or
// merges its i-th partial result; fn begin(o: u32) -> u32, where the elements of output o begin; fn emit(o: u32, job: u32, a:
// Acc), which writes a result.
//
// P: 0 outputs, 1 elements an output, 2 splits, 3 elements a split, 4 the kept dims of the input, 5 its reduced dims, 7 a
// number, 8 elements an output before splitting; where the input is a window of all elements, 9 the place of the first partial
// result, 10 how far those of an output lie apart, 11 the number of the first element.

fn work(job: u32, lane: u32) {
    let inside = job < P(0u) * P(2u);
    // Splits vary slowest, so that neighbours read neighbours.
    let o = job % P(0u);
    let first = (job / P(0u)) * P(3u);
    let end = select(0u, min(first + P(3u), P(1u)), inside);
    let base = begin(o);
    var a = init();
    for (var i = first + lane; i < end; i += LANES) {
        a = take(a, base, i);
    }
    a = row_merge(a);
    if (inside && lane == 0u) {
        emit(o, job, a);
    }
}
