// Orders by keys, equal ones by position: no two elements are equal, so any correct sort is a stable one.
const NONE = 0xffffffffu;

fn before(x: K, i: u32, y: K, j: u32) -> bool {
    return key_less(x, y) || (key_same(x, y) && i < j);
}
