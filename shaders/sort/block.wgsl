// Sorts blocks of lines in workgroup memory by a bitonic network. Needs alias K; NONE; before; last(), the key after all;
// keys_in, positions_in, keys_out, positions_out.
//
// P: 0 slots, 1 slots a block (a power of two up to 512), 2 elements a line, 3 blocks a line, 4 elements taken of the start of
// every block of the source (0: all), 5 elements a line in the source, 6 elements a block there.

var<workgroup> held_keys: array<K, 512>;
var<workgroup> held: array<u32, 512>;

fn fetch(slot: u32, n: u32) {
    let m = P(1u);
    let block = slot / m;
    let line = block / P(3u);
    let j = (block % P(3u)) * m + slot % m;
    var origin = j;
    if (P(4u) > 0u) {
        let offset = j % P(4u);
        origin = (j / P(4u)) * P(6u) + offset;
        if (offset >= P(6u)) {
            origin = P(5u);
        }
    }
    var key = last();
    var position = NONE;
    if (slot < P(0u) && j < n && origin < P(5u)) {
        key = keys_in[line * P(5u) + origin];
        position = positions_in[line * P(5u) + origin];
    }
    held_keys[slot % 512u] = key;
    held[slot % 512u] = position;
}

fn store(slot: u32, n: u32) {
    let m = P(1u);
    let block = slot / m;
    let j = (block % P(3u)) * m + slot % m;
    if (slot < P(0u) && j < n) {
        keys_out[(block / P(3u)) * n + j] = held_keys[slot % 512u];
        positions_out[(block / P(3u)) * n + j] = held[slot % 512u];
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.x + group.y * grid.x) * 512u;
    let m = P(1u);
    let n = P(2u);
    fetch(first + lane, n);
    fetch(first + lane + 256u, n);
    workgroupBarrier();
    for (var size = 2u; size <= m; size = size * 2u) {
        for (var step = size / 2u; step > 0u; step = step / 2u) {
            // The lane's pair: two slots that differ in the bit of `step`.
            let a = (lane / step) * step * 2u + lane % step;
            let b = a + step;
            let rising = ((a % m) & size) == 0u;
            let x = held_keys[a];
            let y = held_keys[b];
            let i = held[a];
            let j = held[b];
            // Blocks that are padding altogether are equal everywhere, and exchanging them changes nothing.
            if (before(y, j, x, i) == rising) {
                held_keys[a] = y;
                held_keys[b] = x;
                held[a] = j;
                held[b] = i;
            }
            workgroupBarrier();
        }
    }
    store(first + lane, n);
    store(first + lane + 256u, n);
}
