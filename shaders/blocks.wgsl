// Blocks of an image as columns, and columns summed into an image: (N, C, H, W) and (N, C · kh · kw, blocks).
//
// Needs: FOLD, whether y is the image; alias T, zero, add; x_at, y_put.
//
// parameters, vectors of 4 words: 0 elements of y, offset of x      1 strides of the image      2 strides of the columns
// 3 sizes of the image      4 kernel height and width, stride      5 padding, dilation      6 blocks down and across

// Where block b of an axis reads by its element k, or a number past the end.
fn position(axis: u32, b: u32, k: u32) -> u32 {
    return b * parameters[4][axis + 2u] + k * parameters[5][axis + 2u] - parameters[5][axis];
}

fn image_at(n: u32, c: u32, h: u32, w: u32) -> u32 {
    let s = parameters[1];
    return n * s.x + c * s.y + h * s.z + w * s.w;
}

fn unfold(i: u32) {
    let area = parameters[4].x * parameters[4].y;
    let size = parameters[3];
    let blocks = parameters[6].x * parameters[6].y;
    let l = i % blocks;
    let row = i / blocks % (size.y * area);
    let n = i / (blocks * size.y * area);
    let h = position(0u, l / parameters[6].y, row % area / parameters[4].y);
    let w = position(1u, l % parameters[6].y, row % parameters[4].y);
    var v = zero();
    if (h < size.z && w < size.w) {
        v = x_at(parameters[0].y + image_at(n, row / area, h, w));
    }
    let s = parameters[2];
    y_put(n * s.x + row * s.y + l * s.z, v);
}

// The block of an axis that reads position i by its element k, or a number past the end.
fn block_of(axis: u32, i: u32, k: u32) -> u32 {
    let padded = i + parameters[5][axis];
    let shift = k * parameters[5][axis + 2u];
    let stride = parameters[4][axis + 2u];
    if (padded < shift || (padded - shift) % stride != 0u) {
        return 0xffffffffu;
    }
    return (padded - shift) / stride;
}

fn fold(i: u32) {
    let size = parameters[3];
    let w = i % size.w;
    let h = i / size.w % size.z;
    let c = i / (size.w * size.z) % size.y;
    let n = i / (size.w * size.z * size.y);
    let s = parameters[2];
    let kernel = parameters[4].xy;
    var sum = zero();
    for (var y = 0u; y < kernel.x; y++) {
        let down = block_of(0u, h, y);
        if (down < parameters[6].x) {
            for (var x = 0u; x < kernel.y; x++) {
                let across = block_of(1u, w, x);
                if (across < parameters[6].y) {
                    let row = (c * kernel.x + y) * kernel.y + x;
                    let l = down * parameters[6].y + across;
                    sum = add(sum, x_at(parameters[0].y + n * s.x + row * s.y + l * s.z));
                }
            }
        }
    }
    y_put(image_at(n, c, h, w), sum);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * grid.x) * 256u + lane;
    if (i < parameters[0].x) {
        if (FOLD) {
            fold(i);
        } else {
            unfold(i);
        }
    }
}
