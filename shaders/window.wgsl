// Operators over planes, the last one to three dims read as depth, height and width.
//
// An operator defines fn element(p: Place), which computes and writes an element of y by x_at, y_put, and z_at or z_put where
// there is a third tensor; window/each.wgsl calls it.
//
// parameters, vectors of 4 words, of which the last three are depth, height, width:
//  0 elements of y, leading dims      1 offset and strides of x      2 offset and strides of z      3 -, strides of y
//  4 -, sizes of the operator's input      5 -, sizes of its output (a gradient goes from the output to the input)
//  6 to 14 the operator's own      15 -, sizes of y
// From word 64: sizes of the leading dims, then their strides of x, z and y.

// An element of y, and where the planes to which it belongs begin.
struct Place {
    at: vec3<u32>,
    x: u32,
    z: u32,
    y: u32,
}

fn axis_of(block: u32, axis: u32) -> u32 {
    return parameters[block][axis + 1u];
}

fn along(at: vec3<u32>, strides: vec3<u32>) -> u32 {
    return at.x * strides.x + at.y * strides.y + at.z * strides.z;
}

fn in_x(p: Place, at: vec3<u32>) -> u32 {
    return p.x + along(at, parameters[1].yzw);
}

fn in_z(p: Place, at: vec3<u32>) -> u32 {
    return p.z + along(at, parameters[2].yzw);
}

fn in_y(p: Place) -> u32 {
    return p.y + along(p.at, parameters[3].yzw);
}

// The position in a row-major plane of the operator's input.
fn flat(at: vec3<u32>) -> u32 {
    let size = parameters[4].yzw;
    return (at.x * size.y + at.y) * size.z + at.z;
}

// The element at row-major position i.
fn place_of(i: u32) -> Place {
    let size = parameters[15].yzw;
    var p: Place;
    p.at = vec3<u32>(i / (size.y * size.z) % size.x, i / size.z % size.y, i % size.z);
    p.x = parameters[1].x;
    p.z = parameters[2].x;
    p.y = 0u;
    var rest = i / (size.x * size.y * size.z);
    let rank = parameters[0].y;
    for (var k = 0u; k < rank; k++) {
        let d = 64u + rank - 1u - k;
        let c = rest % P(d);
        rest = rest / P(d);
        p.x += c * P(d + rank);
        p.z += c * P(d + 2u * rank);
        p.y += c * P(d + 3u * rank);
    }
    return p;
}
