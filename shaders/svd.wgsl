// Singular values by one-sided Jacobi rotations (Hestenes, 1958), a workgroup a matrix: pairs of the columns of W are made
// orthogonal until all are; their norms are then the singular values, and the rotations make V. A sweep over all
// pairs has rounds of disjoint ones, of which a launch takes a range; a matrix whose last sweep found nothing to rotate is left
// alone.
//
// Needs: VECTORS; work, an array of f32 with m × n matrices W, column after column, m >= n; v, the same with n × n matrices;
// state, an array of u32 with two numbers a matrix: whether this sweep is needed, and whether it rotated anything.
//
// P: 0 matrices, 1 rows m, 2 columns n, 3 4 the range of rounds.

// Smaller cosines of the angle between two columns count as orthogonal.
const TOLERANCE = 2e-7;

var<workgroup> held: array<vec4<f32>, 256>;
var<workgroup> busy: u32;
var<workgroup> turned: atomic<u32>;

// The column that plays at place i of a round: all but the first move on by one place a round.
fn player(i: u32, round: u32, players: u32) -> u32 {
    return select(1u + (i + round - 1u) % (players - 1u), 0u, i == 0u);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let matrix = group.x + group.y * grid.x;
    if (matrix >= P(0u)) {
        return;
    }
    if (lane == 0u) {
        if (P(3u) == 0u) {
            state[2u * matrix] = state[2u * matrix + 1u];
            state[2u * matrix + 1u] = 0u;
        }
        busy = state[2u * matrix];
        atomicStore(&turned, 0u);
    }
    if (workgroupUniformLoad(&busy) == 0u) {
        return;
    }
    let m = P(1u);
    let n = P(2u);
    let w0 = matrix * m * n;
    let v0 = matrix * n * n;
    let x = lane % 16u;
    // An odd column out plays against nobody.
    let players = n + (n & 1u);
    for (var round = P(3u); round < P(4u); round++) {
        for (var first = 0u; first < players / 2u; first += 16u) {
            let i = first + lane / 16u;
            let place = min(i, players / 2u - 1u);
            let p = player(place, round, players);
            let q = player(players - 1u - place, round, players);
            let plays = i < players / 2u && p < n && q < n;
            let wp = w0 + p * m;
            let wq = w0 + q * m;
            var sums = vec4<f32>(0.0);
            if (plays) {
                for (var r = x; r < m; r += 16u) {
                    let a = work[wp + r];
                    let b = work[wq + r];
                    sums += vec4<f32>(a * a, b * b, a * b, 0.0);
                }
            }
            workgroupBarrier();
            held[lane] = sums;
            workgroupBarrier();
            sums = vec4<f32>(0.0);
            for (var k = 0u; k < 16u; k++) {
                sums += held[(lane / 16u) * 16u + k];
            }
            let size = sqrt(sums.x) * sqrt(sums.y);
            if (plays && abs(sums.z) > TOLERANCE * size && size > 0.0) {
                atomicStore(&turned, 1u);
                // The smaller of the two angles.
                let zeta = (sums.y - sums.x) / (2.0 * sums.z);
                let root = f_hypot(1.0, zeta);
                let t = select(-1.0, 1.0, zeta >= 0.0) / (abs(zeta) + root);
                let c = f_rsqrt(1.0 + t * t);
                let s = c * t;
                // c = 1 - s·tau, which keeps the norms better than a rounded c (Rutishauser, 1966).
                let tau = s / (1.0 + c);
                for (var r = x; r < m; r += 16u) {
                    let a = work[wp + r];
                    let b = work[wq + r];
                    work[wp + r] = a - s * (b + tau * a);
                    work[wq + r] = b + s * (a - tau * b);
                }
                if (VECTORS) {
                    for (var r = x; r < n; r += 16u) {
                        let a = v[v0 + p * n + r];
                        let b = v[v0 + q * n + r];
                        v[v0 + p * n + r] = a - s * (b + tau * a);
                        v[v0 + q * n + r] = b + s * (a - tau * b);
                    }
                }
            }
        }
        storageBarrier();
        workgroupBarrier();
    }
    if (lane == 0u && atomicLoad(&turned) != 0u) {
        state[2u * matrix + 1u] = 1u;
    }
}
