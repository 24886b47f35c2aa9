// Writes through a strided window. An invocation moves one element.
//
// Needs: fn fetch(i: u32) -> vec2<u32>, the element at position i of the source or a number for every i; and
// fn store(i: u32, v: vec2<u32>), which stores at position i of the target.
//
// P: 0 elements, 1 dims, 2 target offset, 3 source offset, 4 5 a number, then sizes, target strides, source strides.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
    let element = id.x + id.y * grid.x * 256u;
    if (element >= P(0u)) {
        return;
    }
    let rank = P(1u);
    var rest = element;
    var to = P(2u);
    var from_ = P(3u);
    for (var k = 0u; k < rank; k++) {
        let d = rank - 1u - k;
        let size = P(6u + d);
        let c = rest % size;
        rest = rest / size;
        to += c * P(6u + rank + d);
        from_ += c * P(6u + 2u * rank + d);
    }
    store(to, fetch(from_));
}
