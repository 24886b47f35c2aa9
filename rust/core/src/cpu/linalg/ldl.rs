//! The factorization A = L·D·Lᵀ of symmetric matrices with blocks of one or two rows in D, pivoted as Bunch and Kaufman, "Some
//! stable methods for calculating inertia and solving symmetric linear systems" (1977); stored as LAPACK's sytrf does.

use faer::traits::RealField;
use faer::{MatMut, MatRef};

/// (1 + √17) / 8 bounds the growth of elements.
const ALPHA: f64 = 0.640_388_203_202_207_6;

fn swap<T: Copy>(w: &mut MatMut<T>, a: (usize, usize), b: (usize, usize)) {
    (w[a], w[b]) = (w[b], w[a]);
}

/// Factors A's lower triangle and writes the pivots: r + 1 where row r took a
/// row's place, twice −(r + 1) where it took that of a pair's second row. Returns the number of the first zero pivot, or 0.
pub fn factor<T: RealField + Copy>(a: MatRef<T>, mut ld: MatMut<T>, mut pivots: MatMut<i32>) -> i32 {
    let n = a.nrows();
    ld.fill(T::zero_impl());
    ld.copy_from_triangular_lower(a);
    let mut info = 0;
    let mut k = 0;
    while k < n {
        let (step, pivot) = choose(ld.as_ref(), k);
        let Some(pivot) = pivot else {
            info = if info == 0 { k as i32 + 1 } else { info };
            pivots[(k, 0)] = k as i32 + 1;
            k += 1;
            continue;
        };
        exchange(&mut ld, k, step, pivot);
        if step == 1 {
            reduce_one(&mut ld, k);
            pivots[(k, 0)] = pivot as i32 + 1;
        } else {
            reduce_two(&mut ld, k);
            pivots[(k, 0)] = -(pivot as i32) - 1;
            pivots[(k + 1, 0)] = -(pivot as i32) - 1;
        }
        k += step;
    }
    info
}

/// How many rows the next pivot has, and which row takes its last place; none for a column of zeros.
fn choose<T: RealField + Copy>(w: MatRef<T>, k: usize) -> (usize, Option<usize>) {
    let n = w.nrows();
    let size = |i: usize, j: usize| T::abs1_impl(&w[(i, j)]);
    let alpha = T::from_f64_impl(ALPHA);
    let zero = T::zero_impl();
    let diagonal = size(k, k);
    let (mut best, mut largest) = (k, zero);
    for i in k + 1..n {
        if size(i, k) > largest {
            (best, largest) = (i, size(i, k));
        }
    }
    if (diagonal == zero && largest == zero) || diagonal.partial_cmp(&diagonal).is_none() {
        return (1, None);
    }
    if diagonal >= alpha * largest {
        return (1, Some(k));
    }
    let mut across = zero;
    for j in k..best {
        across = if size(best, j) > across { size(best, j) } else { across };
    }
    for i in best + 1..n {
        across = if size(i, best) > across { size(i, best) } else { across };
    }
    if diagonal >= alpha * largest * (largest / across) {
        (1, Some(k))
    } else if size(best, best) >= alpha * across {
        (1, Some(best))
    } else {
        (2, Some(best))
    }
}

/// Exchanges rows and columns of what is left to factor: the pivot's last one and `pivot`.
fn exchange<T: Copy>(w: &mut MatMut<T>, k: usize, step: usize, pivot: usize) {
    let last = k + step - 1;
    if pivot == last {
        return;
    }
    for i in pivot + 1..w.nrows() {
        swap(w, (i, last), (i, pivot));
    }
    for i in last + 1..pivot {
        swap(w, (i, last), (pivot, i));
    }
    swap(w, (last, last), (pivot, pivot));
    if step == 2 {
        swap(w, (k + 1, k), (pivot, k));
    }
}

fn reduce_one<T: RealField + Copy>(w: &mut MatMut<T>, k: usize) {
    let n = w.nrows();
    let scale = T::one_impl() / w[(k, k)];
    for j in k + 1..n {
        let factor = scale * w[(j, k)];
        for i in j..n {
            w[(i, j)] = w[(i, j)] - w[(i, k)] * factor;
        }
    }
    for i in k + 1..n {
        w[(i, k)] *= scale;
    }
}

fn reduce_two<T: RealField + Copy>(w: &mut MatMut<T>, k: usize) {
    let n = w.nrows();
    let off = w[(k + 1, k)];
    let (first, second) = (w[(k + 1, k + 1)] / off, w[(k, k)] / off);
    let scale = T::one_impl() / (first * second - T::one_impl()) / off;
    for j in k + 2..n {
        let left = scale * (first * w[(j, k)] - w[(j, k + 1)]);
        let right = scale * (second * w[(j, k + 1)] - w[(j, k)]);
        for i in j..n {
            w[(i, j)] = w[(i, j)] - w[(i, k)] * left - w[(i, k + 1)] * right;
        }
        w[(j, k)] = left;
        w[(j, k + 1)] = right;
    }
}

/// X, which holds B, becomes the solution of L·D·Lᵀ·X = B.
pub fn solve<T: RealField + Copy>(ld: MatRef<T>, pivots: MatRef<i32>, mut x: MatMut<T>) {
    let n = ld.nrows();
    let place = |k: usize| (pivots[(k, 0)].unsigned_abs() as usize).clamp(1, n.max(1)) - 1;
    let mut k = 0;
    while k < n {
        let step = if pivots[(k, 0)] > 0 || k + 1 == n { 1 } else { 2 };
        let last = k + step - 1;
        for c in 0..x.ncols() {
            swap(&mut x, (last, c), (place(k), c));
            for i in k + step..n {
                for j in k..k + step {
                    x[(i, c)] = x[(i, c)] - ld[(i, j)] * x[(j, c)];
                }
            }
            if step == 1 {
                x[(k, c)] /= ld[(k, k)];
            } else {
                solve_pair(ld, &mut x, k, c);
            }
        }
        k += step;
    }
    while k > 0 {
        let step = if pivots[(k - 1, 0)] > 0 || k == 1 { 1 } else { 2 };
        for c in 0..x.ncols() {
            for j in k - step..k {
                for i in k..n {
                    x[(j, c)] = x[(j, c)] - ld[(i, j)] * x[(i, c)];
                }
            }
            swap(&mut x, (k - 1, c), (place(k - 1), c));
        }
        k -= step;
    }
}

/// Solves with the block of D of rows `k` and `k + 1`.
fn solve_pair<T: RealField + Copy>(ld: MatRef<T>, x: &mut MatMut<T>, k: usize, c: usize) {
    let off = ld[(k + 1, k)];
    let (first, second) = (ld[(k, k)] / off, ld[(k + 1, k + 1)] / off);
    let below = first * second - T::one_impl();
    let (a, b) = (x[(k, c)] / off, x[(k + 1, c)] / off);
    x[(k, c)] = (second * a - b) / below;
    x[(k + 1, c)] = (first * b - a) / below;
}
