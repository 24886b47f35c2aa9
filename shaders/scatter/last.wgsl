// The last index, counted from 1, that names each target. Needs targets, last_index (atomic).
//
// P: 0 indices.
fn each(i: u32) {
    atomicMax(&last_index[targets[i]], i + 1u);
}
