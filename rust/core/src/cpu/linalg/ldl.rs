//! The factorization A = L·D·Lᵀ of symmetric matrices, or L·D·Lᴴ of Hermitian ones, with blocks of one or two rows in D, pivoted
//! as Bunch and Kaufman, "Some stable methods for calculating inertia and solving symmetric linear systems" (1977); stored as
//! LAPACK's sytrf and hetrf do.

use super::{Number, conj, quotient, real};
use faer::traits::ComplexField;
use faer::{MatMut, MatRef};

/// (1 + √17) / 8 bounds the growth of elements.
const ALPHA: f64 = 0.640_388_203_202_207_6;

fn swap<T: Copy>(w: &mut MatMut<T>, a: (usize, usize), b: (usize, usize)) {
    (w[a], w[b]) = (w[b], w[a]);
}

/// What stands across the diagonal from x.
fn mirrored<T: Number>(hermitian: bool, x: T) -> T {
    if hermitian { conj(x) } else { x }
}

/// An element of the diagonal.
fn diagonal<T: Number>(hermitian: bool, x: T) -> T {
    if hermitian { T::from_real_impl(&real(x)) } else { x }
}

/// Factors A's lower triangle and writes the pivots: r + 1 where row r took a
/// row's place, twice −(r + 1) where it took that of a pair's second row. Returns the number of the first zero pivot, or 0.
pub fn factor<T: Number>(hermitian: bool, a: MatRef<T>, mut ld: MatMut<T>, mut pivots: MatMut<i32>) -> i32 {
    let n = a.nrows();
    ld.fill(T::zero_impl());
    ld.copy_from_triangular_lower(a);
    (0..n).for_each(|i| ld[(i, i)] = diagonal(hermitian, ld[(i, i)]));
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
        exchange(hermitian, &mut ld, k, step, pivot);
        if step == 1 {
            reduce_one(hermitian, &mut ld, k);
            pivots[(k, 0)] = pivot as i32 + 1;
        } else {
            reduce_two(hermitian, &mut ld, k);
            pivots[(k, 0)] = -(pivot as i32) - 1;
            pivots[(k + 1, 0)] = -(pivot as i32) - 1;
        }
        k += step;
    }
    info
}

/// How many rows the next pivot has, and which row takes its last place; none for a column of zeros.
fn choose<T: Number>(w: MatRef<T>, k: usize) -> (usize, Option<usize>) {
    let n = w.nrows();
    let size = |i: usize, j: usize| T::abs1_impl(&w[(i, j)]);
    let alpha = T::Real::from_f64_impl(ALPHA);
    let zero = T::Real::zero_impl();
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
fn exchange<T: Number>(hermitian: bool, w: &mut MatMut<T>, k: usize, step: usize, pivot: usize) {
    let last = k + step - 1;
    if pivot == last {
        return;
    }
    for i in pivot + 1..w.nrows() {
        swap(w, (i, last), (i, pivot));
    }
    for i in last + 1..pivot {
        let (below, right) = (w[(i, last)], w[(pivot, i)]);
        w[(i, last)] = mirrored(hermitian, right);
        w[(pivot, i)] = mirrored(hermitian, below);
    }
    w[(pivot, last)] = mirrored(hermitian, w[(pivot, last)]);
    swap(w, (last, last), (pivot, pivot));
    if step == 2 {
        swap(w, (k + 1, k), (pivot, k));
    }
}

fn reduce_one<T: Number>(hermitian: bool, w: &mut MatMut<T>, k: usize) {
    let n = w.nrows();
    let scale = quotient(T::one_impl(), w[(k, k)]);
    for j in k + 1..n {
        let factor = scale * mirrored(hermitian, w[(j, k)]);
        for i in j..n {
            w[(i, j)] = w[(i, j)] - w[(i, k)] * factor;
        }
        w[(j, j)] = diagonal(hermitian, w[(j, j)]);
    }
    for i in k + 1..n {
        w[(i, k)] *= scale;
    }
}

/// A block of D and its inverse, divided and multiplied by the size of the element beside its diagonal.
struct Pair<T> {
    first: T,
    second: T,
    below: T,
    beside: T,
    /// Of the inverse.
    scale: T,
}

impl<T: Number> Pair<T> {
    fn new(hermitian: bool, ld: MatRef<T>, k: usize) -> Self {
        let off = ld[(k + 1, k)];
        let size = T::Real::one_impl() / T::abs_impl(&off);
        let [first, second, below] = [ld[(k, k)], ld[(k + 1, k + 1)], off].map(|x| T::mul_real_impl(&x, &size));
        let beside = mirrored(hermitian, below);
        let scale = T::mul_real_impl(&quotient(T::one_impl(), first * second - below * beside), &size);
        Pair { first, second, below, beside, scale }
    }
}

fn reduce_two<T: Number>(hermitian: bool, w: &mut MatMut<T>, k: usize) {
    let n = w.nrows();
    let d = Pair::new(hermitian, w.as_ref(), k);
    for j in k + 2..n {
        let left = d.scale * (d.second * w[(j, k)] - d.below * w[(j, k + 1)]);
        let right = d.scale * (d.first * w[(j, k + 1)] - d.beside * w[(j, k)]);
        let (across_left, across_right) = (mirrored(hermitian, left), mirrored(hermitian, right));
        for i in j..n {
            w[(i, j)] = w[(i, j)] - w[(i, k)] * across_left - w[(i, k + 1)] * across_right;
        }
        w[(j, k)] = left;
        w[(j, k + 1)] = right;
        w[(j, j)] = diagonal(hermitian, w[(j, j)]);
    }
}

/// X, which holds B, becomes the solution of L·D·Lᵀ·X = B, or of L·D·Lᴴ·X = B.
pub fn solve<T: Number>(hermitian: bool, ld: MatRef<T>, pivots: MatRef<i32>, mut x: MatMut<T>) {
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
                x[(k, c)] = quotient(x[(k, c)], diagonal(hermitian, ld[(k, k)]));
            } else {
                let d = Pair::new(hermitian, ld, k);
                let (a, b) = (x[(k, c)], x[(k + 1, c)]);
                x[(k, c)] = d.scale * (d.second * a - d.beside * b);
                x[(k + 1, c)] = d.scale * (d.first * b - d.below * a);
            }
        }
        k += step;
    }
    while k > 0 {
        let step = if pivots[(k - 1, 0)] > 0 || k == 1 { 1 } else { 2 };
        for c in 0..x.ncols() {
            for j in k - step..k {
                for i in k..n {
                    x[(j, c)] = x[(j, c)] - mirrored(hermitian, ld[(i, j)]) * x[(i, c)];
                }
            }
            swap(&mut x, (k - 1, c), (place(k - 1), c));
        }
        k -= step;
    }
}
