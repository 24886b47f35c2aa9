// Whether the elements at two places of the order are equal. Needs fn key(i: u32, c: u32) -> K, fn columns() -> u32; FLOAT,
// since NaN equals nothing.
fn same(i: u32, j: u32) -> bool {
    for (var c = 0u; c < columns(); c++) {
        let a = key(i, c);
        if (!key_same(a, key(j, c)) || (FLOAT && key_same(a, last()))) {
            return false;
        }
    }
    return true;
}
