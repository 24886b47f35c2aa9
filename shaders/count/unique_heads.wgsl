// Marks the elements that begin a group of equal ones. Needs keys, positions, heads; fn same(i: u32, j: u32) -> bool for
// places in the order.
//
// P: 0 elements.
fn each(i: u32) {
    var head = i == 0u;
    if (!head) {
        head = !same(i - 1u, i);
    }
    heads[i] = select(0u, 1u, head);
}
