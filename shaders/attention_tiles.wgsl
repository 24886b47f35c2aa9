// Tiles of scores for attention; put before a kernel's body. A workgroup of 16 × 16 invocations has a block of 64 rows (queries,
// or keys for their gradient) and walks tiles of 32 columns. Invocation (y, x) has 4 rows from 4·y on and the columns 2·x and
// 2·x + 1 of a tile, and for the results the same rows and 4 columns from 4·x on of each slab of 64.
//
// Needs: SLABS, CAUSAL, DROPOUT; fn left_at(which: u32, i: u32) -> f32 and right_at for the operands of two products;
// fn masked(s: f32, at: u32) -> f32, a score with element `at` of the mask applied.
//
// P: 0 blocks of rows, 1 groups of result columns, 2 query heads, 3 query heads a key head, 4 heads of all batches that have
// blocks, 5 queries L, 6 keys S, 7 8 columns E of queries and Ev of values, 9 scale, 10 a probability is kept where its uniform
// number is below this, 11 the factor of what is kept, 12 seed, 14 offset, then offset and strides by batch, head, row and
// column of 16 query, 21 key, 26 value, 31 mask, 36 output or its gradient, 41 46 further outputs.

const SLAB = 64u;
const BLOCK = 64u;
const TILE = 32u;
const PART = 16u;

// Some rows of a matrix.
struct Side {
    base: u32,
    row: u32,
    column: u32,
    rows: u32,
}

// 4 rows of two neighbouring columns.
struct Pair {
    a: vec4<f32>,
    b: vec4<f32>,
}

var<workgroup> part: array<vec4<f32>, 256>;
var<workgroup> thin_part: array<vec2<f32>, 256>;
// A tile of probabilities or their gradients: 4 rows an element, 16 elements a column.
var<workgroup> weights: array<vec4<f32>, 512>;

fn number_at(at: u32) -> f32 {
    return bitcast<f32>(P(at));
}

fn side(at: u32, batch: u32, head: u32, first: u32, rows: u32) -> Side {
    let base = P(at) + batch * P(at + 1u) + head * P(at + 2u) + first * P(at + 3u);
    return Side(base, P(at + 3u), P(at + 4u), rows);
}

// The products of a block's rows with a tile's columns, whose rows are `right`.
fn product(which: u32, left: Side, right: Side, depth: u32, lane: u32) -> Pair {
    let x = lane % 16u;
    let y = lane / 16u;
    var sums = Pair(vec4<f32>(0.0), vec4<f32>(0.0));
    for (var first = 0u; first < depth; first += PART) {
        // Neighbouring invocations read neighbours in memory.
        var l = vec4<f32>(0.0);
        var r = vec2<f32>(0.0);
        if (first + x < depth) {
            let from_left = left.base + (first + x) * left.column;
            let from_right = right.base + (first + x) * right.column;
            for (var i = 0u; i < 4u; i++) {
                if (4u * y + i < left.rows) {
                    l[i] = left_at(which, from_left + (4u * y + i) * left.row);
                }
            }
            for (var i = 0u; i < 2u; i++) {
                if (2u * y + i < right.rows) {
                    r[i] = right_at(which, from_right + (2u * y + i) * right.row);
                }
            }
        }
        workgroupBarrier();
        part[x * 16u + y] = l;
        thin_part[x * 16u + y] = r;
        workgroupBarrier();
        for (var k = 0u; k < PART; k++) {
            let p = part[k * 16u + y];
            let q = thin_part[k * 16u + x];
            sums.a += p * q.x;
            sums.b += p * q.y;
        }
    }
    return sums;
}

// Makes the block's tile of weights; all invocations call it.
fn put_weights(tile: Pair, lane: u32) {
    workgroupBarrier();
    weights[(lane % 16u) * 32u + lane / 16u] = tile.a;
    weights[(lane % 16u) * 32u + 16u + lane / 16u] = tile.b;
}

// Adds the weights times the tile's rows of `right`, from column `first` on of `columns`.
fn accumulate(
    which: u32,
    right: Side,
    first: u32,
    columns: u32,
    lane: u32,
    sums: ptr<function, array<vec4<f32>, 4u * SLABS>>,
) {
    let x = lane % 16u;
    let y = lane / 16u;
    for (var slab = 0u; slab < SLABS; slab++) {
        let column = first + slab * SLAB + 4u * x;
        for (var k0 = 0u; k0 < TILE; k0 += PART) {
            var r = vec4<f32>(0.0);
            if (k0 + y < right.rows) {
                for (var i = 0u; i < 4u; i++) {
                    if (column + i < columns) {
                        r[i] = right_at(which, right.base + (k0 + y) * right.row + (column + i) * right.column);
                    }
                }
            }
            workgroupBarrier();
            part[lane] = r;
            workgroupBarrier();
            for (var k = 0u; k < PART; k++) {
                let v = part[k * 16u + x];
                let w = weights[(k0 + k) * 16u + y];
                (*sums)[4u * slab] += v * w.x;
                (*sums)[4u * slab + 1u] += v * w.y;
                (*sums)[4u * slab + 2u] += v * w.z;
                (*sums)[4u * slab + 3u] += v * w.w;
            }
        }
    }
}

// The score of query i and key j of a head, -∞ where it is not seen.
fn seen(product: f32, i: u32, j: u32, mask: u32) -> f32 {
    if (i >= P(5u) || j >= P(6u) || (CAUSAL && j > i)) {
        return -f_inf();
    }
    return masked(product * number_at(9u), mask + i * P(34u) + j * P(35u));
}

// exp(s - shift), 0 where nothing is seen.
fn probability(s: f32, shift: f32) -> f32 {
    return select(f_exp(s - shift), 0.0, f_isneginf(s) || f_isneginf(shift));
}

// What dropout multiplies the probability of key j for query i with; `head` counts over batches.
fn kept(head: u32, i: u32, j: u32) -> f32 {
    if (!DROPOUT) {
        return 1.0;
    }
    let element = i64_add(u32_mul_wide(head * P(5u) + i, P(6u)), vec2<u32>(j, 0u));
    let u = philox_uniform_wide(vec2<u32>(P(12u), P(13u)), vec2<u32>(P(14u), P(15u)), element);
    return select(0.0, number_at(11u), u < number_at(10u));
}
