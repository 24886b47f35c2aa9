// Operators over planes, the last one to three dims read as depth, height and width.
//
// An operator defines fn element(p: Place), which computes and writes an element of y by x_at, y_put, and z_at or z_put where
// there is a third tensor; window/each.wgsl calls it.
//
// parameters, vectors of 4 words, of which the last three are depth, height, width:
//  0 elements of y      1 offset and strides of x      2 offset and strides of z      3 0, strides of y
//  4 -, sizes of the operator's input      5 -, sizes of its output (a gradient goes from the output to the input)
//  6 to 14 the operator's own      15 -, sizes of y
//
// Needs: FIRST, the first of the three axes that there is: the sizes of others are 1; place4, place8, place12, where the planes
// of x, z and y are, by their number.

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
    var at = vec3<u32>(0u, 0u, 0u);
    var rest = i / size.z;
    at.z = i - rest * size.z;
    if (FIRST < 2u) {
        let q = rest / size.y;
        at.y = rest - q * size.y;
        rest = q;
    }
    if (FIRST < 1u) {
        let q = rest / size.x;
        at.x = rest - q * size.x;
        rest = q;
    }
    return Place(at, place4(rest), place8(rest), place12(rest));
}
