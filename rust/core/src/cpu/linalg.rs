//! Decompositions and triangular systems, built from the Householder transformations and the solver of the `faer` crate.

mod factors;
mod ldl;

use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::Axes;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::linalg::Linalg;
use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, SvdParams};
use faer::linalg::{householder, svd, triangular_solve};
use faer::traits::{ComplexField, RealField};
use faer::{Auto, Conj, Mat, MatMut, MatRef, Par, Spec};
use std::sync::atomic::{AtomicBool, Ordering};

/// Columns that are reflected together.
const BLOCK: usize = 32;

pub fn execute(op: Linalg, ins: &[In], outs: &mut [Out]) -> Result<()> {
    match ins[0].dtype {
        DType::F32 => execute_as::<f32>(op, ins, outs),
        DType::F64 => execute_as::<f64>(op, ins, outs),
        // Pivots have no dtype of their own to compute in.
        DType::I32 if op == Linalg::Permutation => factors::execute::<f64>(op, ins, outs),
        other => Err(Error::Internal(format!("{}: no kernel for {}", op.name(), other.scalar_name()))),
    }
}

fn execute_as<T: RealField + Copy>(op: Linalg, ins: &[In], outs: &mut [Out]) -> Result<()> {
    match (op, outs) {
        (Linalg::Qr, [r]) => for_each_matrix([&ins[0]], [r], |[a], [r]| qr::<T>(a, None, r)),
        (Linalg::Qr, [q, r]) => for_each_matrix([&ins[0]], [q, r], |[a], [q, r]| qr::<T>(a, Some(q), r)),
        (Linalg::Geqrf, [a, tau]) => for_each_matrix([&ins[0]], [a, tau], |[x], [a, tau]| reflections::<T>(x, a, tau)),
        (Linalg::Svd, outs) => {
            let failed = AtomicBool::new(false);
            match outs {
                [s] => for_each_matrix([&ins[0]], [s], |[a], [s]| singular_values::<T>(a, s, None, &failed)),
                [u, s, v] => for_each_matrix([&ins[0]], [u, s, v], |[a], [u, s, v]| {
                    singular_values::<T>(a, s, Some((u, v.transpose_mut())), &failed)
                }),
                _ => return Err(Error::Internal("linalg_svd: unexpected number of outputs".into())),
            }
            if failed.into_inner() {
                return Err(Error::Runtime("linalg.svd: The algorithm failed to converge.".into()));
            }
        }
        (Linalg::SolveTriangular { upper, left, unit }, [x]) => {
            for_each_matrix([&ins[0], &ins[1]], [x], |[a, b], [mut x]| {
                x.copy_from(b);
                if left {
                    solve::<T>(upper, unit, a, x);
                } else {
                    solve::<T>(!upper, unit, a.transpose(), x.transpose_mut());
                }
            });
        }
        (op, outs) => return factors::execute::<T>(op, ins, outs),
    }
    Ok(())
}

/// Calls `f` for every matrix of a batch; the windows agree in all dims but the last two. Vectors are matrices of one column.
fn for_each_matrix<T: RealField, const I: usize, const O: usize>(
    ins: [&In; I],
    outs: [&mut Out; O],
    f: impl Fn([MatRef<T>; I], [MatMut<T>; O]) + Sync,
) {
    let outs: [&Out; O] = outs.map(|o| &*o);
    let rank = ins[0].shape.len() - 2;
    let batch = &ins[0].shape[..rank];
    let read = Axes::new(batch, ins.map(|x| &x.strides[..rank]));
    let written = Axes::new(batch, outs.map(|o| &o.strides[..rank]));
    parallel_for(batch.iter().product(), 1, |range| {
        for i in range {
            let (from, to) = (read.offsets(i), written.offsets(i));
            let matrices = std::array::from_fn(|k| {
                let x = ins[k];
                // SAFETY: the window holds a matrix of these strides at every offset of its batch.
                unsafe {
                    let start = x.ptr.cast::<T>().add(from[k]);
                    let strides = (x.strides[rank] as isize, x.strides[rank + 1] as isize);
                    MatRef::from_raw_parts(start, x.shape[rank], x.shape[rank + 1], strides.0, strides.1)
                }
            });
            let results = std::array::from_fn(|k| {
                let o = outs[k];
                // SAFETY: as above, and the matrices of a batch are disjoint.
                unsafe {
                    let start = o.ptr.cast::<T>().add(to[k]);
                    let columns = o.shape.get(rank + 1).copied().unwrap_or(1);
                    let step = o.strides.get(rank + 1).map_or(0, |&s| s as isize);
                    MatMut::from_raw_parts_mut(start, o.shape[rank], columns, o.strides[rank] as isize, step)
                }
            });
            f(matrices, results);
        }
    });
}

/// Householder reflections as LAPACK's geqrf chooses them: a column that needs none keeps its sign, and a column that depends
/// on others still takes its row. faer's own factorization skips such columns. R and the vectors below it, and the blocks'
/// factors, on whose diagonals are the inverse factors of single reflections.
fn reflect<T: RealField>(a: MatRef<T>, stack: &mut MemStack) -> (Mat<T>, Mat<T>) {
    let size = a.nrows().min(a.ncols());
    let mut reflected = a.to_owned();
    let mut factors = Mat::<T>::zeros(BLOCK.min(size).max(1), size);
    for start in (0..size).step_by(factors.nrows()) {
        let width = factors.nrows().min(size - start);
        let rest = reflected.as_mut().get_mut(start.., start..);
        let (mut panel, trailing) = rest.split_at_col_mut(width);
        let mut factor = factors.as_mut().submatrix_mut(0, start, width, width);
        reflect_panel(panel.as_mut(), factor.as_mut(), stack);
        householder::apply_block_householder_transpose_on_the_left_in_place_with_conj(
            panel.as_ref(),
            factor.as_ref(),
            Conj::No,
            trailing,
            Par::Seq,
            stack,
        );
    }
    (reflected, factors)
}

/// Memory in which the reflections of an m × n matrix are applied.
fn reflecting_room<T: RealField>(m: usize, n: usize) -> MemBuffer {
    let block = BLOCK.min(m.min(n)).max(1);
    MemBuffer::new(householder::apply_block_householder_on_the_left_in_place_scratch::<T>(m, block, m.max(n)))
}

/// R with the vectors of the reflections below it, whose first elements are 1, and their factors, 0 for none.
fn reflections<T: RealField>(x: MatRef<T>, mut a: MatMut<T>, mut tau: MatMut<T>) {
    let mut memory = reflecting_room::<T>(x.nrows(), x.ncols());
    let (reflected, factors) = reflect(x, MemStack::new(&mut memory));
    a.copy_from(&reflected);
    for j in 0..tau.nrows() {
        tau[(j, 0)] = T::recip_impl(&factors[(j % factors.nrows(), j)]);
    }
}

/// A = Q·R by Householder reflections.
fn qr<T: RealField>(a: MatRef<T>, q: Option<MatMut<T>>, mut r: MatMut<T>) {
    let (m, n) = a.shape();
    let size = m.min(n);
    let mut memory = reflecting_room::<T>(m, n);
    let stack = MemStack::new(&mut memory);
    let (reflected, factors) = reflect(a, stack);
    for j in 0..r.ncols() {
        for i in 0..r.nrows() {
            r[(i, j)] = if i <= j { reflected[(i, j)].clone() } else { T::zero_impl() };
        }
    }
    let Some(mut q) = q else { return };
    q.fill(T::zero_impl());
    q.as_mut().diagonal_mut().fill(T::one_impl());
    if size > 0 {
        householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
            reflected.as_ref().subcols(0, size),
            factors.as_ref(),
            Conj::No,
            q,
            Par::Seq,
            stack,
        );
    }
}

/// Reflects the columns of a panel one after the other, and joins the reflections into one block.
fn reflect_panel<T: RealField>(mut panel: MatMut<T>, mut factor: MatMut<T>, stack: &mut MemStack) {
    let width = panel.ncols();
    for j in 0..width {
        let (mut column, others) = panel.as_mut().get_mut(j.., j..).split_at_col_mut(1);
        let (mut head, tail) = column.as_mut().split_at_row_mut(1);
        let reflection = householder::make_householder_in_place(&mut head[(0, 0)], tail.col_mut(0));
        factor[(j, j)] = reflection.tau;
        householder::apply_block_householder_transpose_on_the_left_in_place_with_conj(
            column.as_ref(),
            factor.as_ref().submatrix(j, j, 1, 1),
            Conj::No,
            others,
            Par::Seq,
            stack,
        );
    }
    householder::upgrade_householder_factor(factor, panel.as_ref(), width, 1, Par::Seq);
}

/// A = U·S·Vᵀ; as many columns of U and V as they have room for.
fn singular_values<T: RealField>(
    a: MatRef<T>,
    mut s: MatMut<T>,
    vectors: Option<(MatMut<T>, MatMut<T>)>,
    failed: &AtomicBool,
) {
    let (m, n) = a.shape();
    let size = m.min(n);
    let wanted = |x: &MatMut<T>| if x.ncols() == size { ComputeSvdVectors::Thin } else { ComputeSvdVectors::Full };
    let (for_u, for_v) = match &vectors {
        Some((u, v)) => (wanted(u), wanted(v)),
        None => (ComputeSvdVectors::No, ComputeSvdVectors::No),
    };
    let params = Spec::<SvdParams, T>::new(Auto::<T>::auto());
    let mut memory = MemBuffer::new(svd::svd_scratch::<T>(m, n, for_u, for_v, Par::Seq, params));
    let mut values = Mat::<T>::zeros(size, 1);
    let (u, v) = vectors.unzip();
    let diagonal: DiagMut<T> = values.as_mut().col_mut(0).as_diagonal_mut();
    if svd::svd(a, diagonal, u, v, Par::Seq, MemStack::new(&mut memory), params).is_err() {
        failed.store(true, Ordering::Relaxed);
    }
    s.copy_from(&values);
}

fn solve<T: ComplexField>(upper: bool, unit: bool, a: MatRef<T>, x: MatMut<T>) {
    let solve = match (upper, unit) {
        (true, false) => triangular_solve::solve_upper_triangular_in_place,
        (true, true) => triangular_solve::solve_unit_upper_triangular_in_place,
        (false, false) => triangular_solve::solve_lower_triangular_in_place,
        (false, true) => triangular_solve::solve_unit_lower_triangular_in_place,
    };
    solve(a, x, Par::Seq);
}
