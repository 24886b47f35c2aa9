// Writes through a strided window. An invocation moves one element.
//
// Needs, with V = vec2<u32>, or vec4<u32> for elements of 16 bytes: fn fetch(i: u32) -> V, the element at position i of the
// source or a number for every i; fn store(i: u32, v: V), which stores at position i of the target; fn places(i: u32) ->
// vec2<u32>, the i-th positions of both.
//
// P: 0 elements, 1 2 a number, then the walk of target and source.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
    let element = id.x + id.y * grid.x * 256u;
    if (element >= P(0u)) {
        return;
    }
    let at = places(element);
    store(at.x, fetch(at.y));
}
