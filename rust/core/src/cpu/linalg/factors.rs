//! Cholesky, LU, LDL and eigenvalue decompositions of batches of matrices, with LAPACK's pivots and infos.

use super::batch::Batch;
use super::{BLOCK, Number, ldl, quotient, real};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::linalg::Linalg;
use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{self as llt, LltError, LltParams};
use faer::linalg::evd::{self, ComputeEigenvectors, SelfAdjointEvdParams};
use faer::linalg::{matmul, triangular_solve};
use faer::traits::ComplexField;
use faer::{Accum, Auto, Mat, MatMut, MatRef, Par, Spec};
use std::cmp::Ordering;
use std::sync::atomic::{self, AtomicBool};

pub fn execute<T: Number>(op: Linalg, ins: &[In], outs: &[Out]) -> Result<()> {
    // Pivots are vectors; everything else that is read is matrices.
    let rank = ins[0].shape.len() - if op == Linalg::Permutation { 1 } else { 2 };
    let count = ins[0].shape[..rank].iter().product();
    let source = Batch::read(&ins[0], rank);
    let outs: Vec<Batch> = outs.iter().map(|o| Batch::write(o, rank)).collect();
    let told = |k: usize, i: usize, info: i32| outs[k].matrix_mut::<i32>(i)[(0, 0)] = info;
    let each = |f: &(dyn Fn(usize) + Sync)| parallel_for(count, 1, |range| range.for_each(f));
    match (op, outs.len()) {
        (Linalg::Cholesky { upper }, 2) => each(&|i| {
            // The transpose of A = Uᴴ·U is that of U times its own adjoint.
            let (a, l) = (source.matrix::<T>(i), outs[0].matrix_mut::<T>(i));
            told(1, i, if upper { cholesky(a.transpose(), l.transpose_mut()) } else { cholesky(a, l) });
        }),
        (Linalg::LuFactor, 3) => {
            each(&|i| told(2, i, lu::<T>(source.matrix(i), outs[0].matrix_mut(i), outs[1].matrix_mut(i))));
        }
        (Linalg::Ldl { hermitian }, 3) => each(&|i| {
            let (a, ld) = (source.matrix::<T>(i), outs[0].matrix_mut::<T>(i));
            told(2, i, ldl::factor(hermitian, a, ld, outs[1].matrix_mut(i)));
        }),
        (Linalg::Eigh, n @ (2 | 3)) => each(&|i| {
            let vectors = (n == 3).then(|| outs[1].matrix_mut::<T>(i));
            told(n - 1, i, eigh::<T>(source.matrix(i), outs[0].matrix_mut(i), vectors));
        }),
        (Linalg::Permutation, 1) => return permutations(ins, &outs[0], count),
        (Linalg::LdlSolve { hermitian }, 1) => {
            let (pivots, b) = (Batch::read(&ins[1], rank), Batch::read(&ins[2], rank));
            each(&|i| {
                let mut x = outs[0].matrix_mut::<T>(i);
                x.copy_from(b.matrix::<T>(i));
                ldl::solve(hermitian, source.matrix(i), pivots.matrix(i), x);
            });
        }
        _ => return Err(Error::Internal(format!("{}: unexpected number of outputs", op.name()))),
    }
    Ok(())
}

/// L of A = L·Lᴴ, of A's lower triangle; the order of the first leading minor that is not positive, or 0.
fn cholesky<T: Number>(a: MatRef<T>, mut l: MatMut<T>) -> i32 {
    let n = a.nrows();
    if n == 0 {
        return 0;
    }
    let mut factor = a.to_owned();
    (0..n).for_each(|j| factor[(j, j)] = T::from_real_impl(&real(a[(j, j)])));
    let params = Spec::<LltParams, T>::new(Auto::<T>::auto());
    let mut memory = MemBuffer::new(llt::cholesky_in_place_scratch::<T>(n, Par::Seq, params));
    let stack = MemStack::new(&mut memory);
    let found = llt::cholesky_in_place(factor.as_mut(), Default::default(), Par::Seq, stack, params);
    for j in 0..n {
        for i in 0..n {
            l[(i, j)] = match i.cmp(&j) {
                Ordering::Less => T::zero_impl(),
                Ordering::Equal => T::from_real_impl(&real(factor[(i, j)])),
                Ordering::Greater => factor[(i, j)],
            };
        }
    }
    match found {
        Ok(_) => 0,
        Err(LltError::NonPositivePivot { index }) => index as i32 + 1,
    }
}

/// L and U in one matrix with P·L·U = A, the rows that were swapped with each row, counted from 1, and the number of the
/// first pivot that is zero, or 0: LAPACK's getrf, by panels.
fn lu<T: Number>(a: MatRef<T>, mut lu: MatMut<T>, mut pivots: MatMut<i32>) -> i32 {
    let (m, n) = a.shape();
    let size = m.min(n);
    let mut w = a.to_owned();
    let mut info = 0;
    for start in (0..size).step_by(BLOCK) {
        let end = size.min(start + BLOCK);
        for j in start..end {
            let pivot = largest_below(w.as_ref(), j);
            pivots[(j, 0)] = pivot as i32 + 1;
            if w[(pivot, j)] == T::zero_impl() {
                info = if info == 0 { j as i32 + 1 } else { info };
                continue;
            }
            if pivot != j {
                faer::perm::swap_rows_idx(w.as_mut(), j, pivot);
            }
            eliminate(w.as_mut().subcols_mut(j, end - j), j);
        }
        if end == n {
            continue;
        }
        let (panel, mut rest) = w.as_mut().split_at_col_mut(end);
        let panel = panel.as_ref().subcols(start, end - start);
        let (upper, lower) = rest.as_mut().get_mut(start.., ..).split_at_row_mut(end - start);
        let mut upper = upper;
        let corner = panel.subrows(start, end - start);
        triangular_solve::solve_unit_lower_triangular_in_place(corner, upper.as_mut(), Par::Seq);
        let below = panel.subrows(end, m - end);
        matmul::matmul(lower, Accum::Add, below, upper.as_ref(), T::zero_impl() - T::one_impl(), Par::Seq);
    }
    lu.copy_from(&w);
    info
}

/// The row, from the `j`-th on, with the largest magnitude in column `j`.
fn largest_below<T: Number>(w: MatRef<T>, j: usize) -> usize {
    let column = w.col(j);
    let mut best = j;
    for i in j + 1..w.nrows() {
        if T::abs1_impl(&column[i]) > T::abs1_impl(&column[best]) {
            best = i;
        }
    }
    best
}

/// Divides the first column below row `j` by its pivot there, and subtracts its multiples from the others.
fn eliminate<T: Number>(w: MatMut<T>, j: usize) {
    let (first, mut others) = w.split_at_col_mut(1);
    let Some(first) = first.col_mut(0).try_as_col_major_mut().map(|c| c.as_slice_mut()) else { return };
    let pivot = first[j];
    first[j + 1..].iter_mut().for_each(|v| *v = quotient(*v, pivot));
    for c in 0..others.ncols() {
        let Some(column) = others.as_mut().col_mut(c).try_as_col_major_mut().map(|c| c.as_slice_mut()) else { return };
        let factor = column[j];
        for (v, l) in column[j + 1..].iter_mut().zip(&first[j + 1..]) {
            *v -= *l * factor;
        }
    }
}

/// Eigenvalues in ascending order, and vectors, of A's lower triangle; 1 where the iteration did not converge.
fn eigh<T: Number>(a: MatRef<T>, mut w: MatMut<T::Real>, mut vectors: Option<MatMut<T>>) -> i32 {
    let n = a.nrows();
    if n == 0 {
        return 0;
    }
    // The iteration has no meaning for them, and may not end.
    if (0..n).any(|j| (j..n).any(|i| !T::is_finite_impl(&a[(i, j)]))) {
        w.fill(T::Real::nan_impl());
        if let Some(v) = &mut vectors {
            v.fill(T::nan_impl());
        }
        return 0;
    }
    let wanted = if vectors.is_some() { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
    let params = Spec::<SelfAdjointEvdParams, T>::new(Auto::<T>::auto());
    let mut memory = MemBuffer::new(evd::self_adjoint_evd_scratch::<T>(n, wanted, Par::Seq, params));
    let mut values = Mat::<T>::zeros(n, 1);
    let diagonal: DiagMut<T> = values.as_mut().col_mut(0).as_diagonal_mut();
    let mut a = a.to_owned();
    (0..n).for_each(|j| a[(j, j)] = T::from_real_impl(&real(a[(j, j)])));
    let found = evd::self_adjoint_evd(a.as_ref(), diagonal, vectors, Par::Seq, MemStack::new(&mut memory), params);
    for i in 0..n {
        w[(i, 0)] = real(values[(i, 0)]);
    }
    i32::from(found.is_err())
}

/// The rows of A in the order in which P·L·U takes them, from the swaps of [`lu`].
fn permutations(ins: &[In], out: &Batch, count: usize) -> Result<()> {
    if ins[0].dtype != DType::I32 {
        return Err(Error::Internal("permutations of pivots: int32 expected".into()));
    }
    let pivots = Batch::read(&ins[0], ins[0].shape.len() - 1);
    let outside = AtomicBool::new(false);
    parallel_for(count, 64, |range| {
        for i in range {
            let (swaps, mut rows) = (pivots.matrix::<i32>(i), out.matrix_mut::<i32>(i));
            let m = rows.nrows();
            (0..m).for_each(|r| rows[(r, 0)] = r as i32);
            for j in 0..swaps.nrows() {
                let other = swaps[(j, 0)] as usize;
                if !(1..=m).contains(&other) || j >= m {
                    outside.store(true, atomic::Ordering::Relaxed);
                    break;
                }
                let (a, b) = (rows[(j, 0)], rows[(other - 1, 0)]);
                (rows[(j, 0)], rows[(other - 1, 0)]) = (b, a);
            }
        }
    });
    if outside.into_inner() {
        return Err(Error::Runtime(
            "pivots must be between 1 and LU.size(-2) inclusive. Did you properly pass the result of lu_factor?".into(),
        ));
    }
    Ok(())
}
