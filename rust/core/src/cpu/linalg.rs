//! Decompositions and triangular systems, built from the products, the solvers and the iterations of the `faer` crate.

mod batch;
mod eig;
mod factors;
mod ldl;
mod qr;

use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::linalg::Linalg;
use crate::shape::Dims;
use batch::{Batch, halved};
use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, SvdParams};
use faer::linalg::{svd, triangular_solve};
use faer::traits::ComplexField;
use faer::{Auto, Mat, MatMut, MatRef, Par, Spec, c32, c64};
use std::sync::atomic::{AtomicBool, Ordering};

/// Columns that are reflected, or eliminated, together.
const BLOCK: usize = 32;

/// What matrices hold: real or complex numbers.
trait Number: ComplexField<Real: Copy> + Copy {}
impl<T: ComplexField<Real: Copy> + Copy> Number for T {}

fn real<T: Number>(x: T) -> T::Real {
    T::real_part_impl(&x)
}

fn conj<T: Number>(x: T) -> T {
    T::conj_impl(&x)
}

/// a / b, with the divisor brought to size 1 first, so that its square neither overflows nor vanishes.
fn quotient<T: Number>(a: T, b: T) -> T {
    if T::IS_REAL {
        return a / b;
    }
    let scale = T::Real::one_impl() / T::abs1_impl(&b);
    let (a, b) = (T::mul_real_impl(&a, &scale), T::mul_real_impl(&b, &scale));
    T::mul_real_impl(&(a * conj(b)), &(T::Real::one_impl() / T::abs2_impl(&b)))
}

pub fn execute(op: Linalg, ins: &[In], outs: &[Out]) -> Result<()> {
    match ins[0].dtype {
        DType::F32 => execute_as::<f32>(op, ins, outs),
        DType::F64 => execute_as::<f64>(op, ins, outs),
        // Pivots have no dtype of their own to compute in.
        DType::I32 if op == Linalg::Permutation => factors::execute::<f64>(op, ins, outs),
        other => Err(Error::Internal(format!("{}: no kernel for {}", op.name(), other.scalar_name()))),
    }
}

/// The same of complex matrices: the windows, inputs first, whose bits are set in `complex` hold pairs in their last dim.
pub fn execute_complex(op: Linalg, complex: u8, ins: &[In], outs: &[Out]) -> Result<()> {
    let is_complex = |k: usize| complex & (1 << k) != 0;
    let windows = ins.iter().map(|x| (x.shape, x.strides)).chain(outs.iter().map(|o| (o.shape, o.strides)));
    let steps = windows
        .enumerate()
        .map(|(k, (shape, strides))| match is_complex(k) {
            true => halved(op.name(), shape, strides),
            false => Ok(Dims::from_slice(strides)),
        })
        .collect::<Result<Vec<_>>>()?;
    let (of_ins, of_outs) = steps.split_at(ins.len());
    let ins: Vec<In> = (ins.iter().zip(of_ins))
        .map(|(x, strides)| In { ptr: x.ptr, dtype: x.dtype, shape: &x.shape[..strides.len()], strides })
        .collect();
    let outs: Vec<Out> = (outs.iter().zip(of_outs))
        .map(|(o, strides)| Out { ptr: o.ptr, dtype: o.dtype, shape: &o.shape[..strides.len()], strides })
        .collect();
    match (op, ins[0].dtype) {
        (Linalg::Eig, DType::F32) => eig::execute::<f32>(is_complex(0), &ins[0], &outs),
        (Linalg::Eig, DType::F64) => eig::execute::<f64>(is_complex(0), &ins[0], &outs),
        (_, DType::F32) => execute_as::<c32>(op, &ins, &outs),
        (_, DType::F64) => execute_as::<c64>(op, &ins, &outs),
        (_, other) => Err(Error::Internal(format!("{}: no kernel for pairs of {}", op.name(), other.scalar_name()))),
    }
}

fn execute_as<T: Number>(op: Linalg, ins: &[In], outs: &[Out]) -> Result<()> {
    let rank = ins[0].shape.len() - if op == Linalg::Permutation { 1 } else { 2 };
    let count = ins[0].shape[..rank].iter().product();
    let a = Batch::read(&ins[0], rank);
    let results: Vec<Batch> = outs.iter().map(|o| Batch::write(o, rank)).collect();
    let each = |f: &(dyn Fn(usize) + Sync)| parallel_for(count, 1, |range| range.for_each(f));
    match (op, &results[..]) {
        (Linalg::Qr, [r]) => each(&|i| qr::qr::<T>(a.matrix(i), None, r.matrix_mut(i))),
        (Linalg::Qr, [q, r]) => each(&|i| qr::qr::<T>(a.matrix(i), Some(q.matrix_mut(i)), r.matrix_mut(i))),
        (Linalg::Geqrf, [w, taus]) => each(&|i| qr::geqrf::<T>(a.matrix(i), w.matrix_mut(i), taus.matrix_mut(i))),
        (Linalg::Svd, found @ ([_] | [_, _, _])) => {
            let failed = AtomicBool::new(false);
            each(&|i| {
                let (s, vectors) = match found {
                    [u, s, v] => (s, Some((u.matrix_mut(i), v.matrix_mut::<T>(i).transpose_mut()))),
                    _ => (&found[0], None),
                };
                singular_values::<T>(a.matrix(i), s.matrix_mut(i), vectors, &failed);
            });
            if failed.into_inner() {
                return Err(Error::Runtime("linalg.svd: The algorithm failed to converge.".into()));
            }
        }
        (Linalg::SolveTriangular { upper, left, unit }, [x]) => {
            let b = Batch::read(&ins[1], rank);
            each(&|i| {
                let (a, mut x) = (a.matrix(i), x.matrix_mut(i));
                x.copy_from(b.matrix::<T>(i));
                if left {
                    solve::<T>(upper, unit, a, x);
                } else {
                    solve::<T>(!upper, unit, a.transpose(), x.transpose_mut());
                }
            });
        }
        (op, _) => return factors::execute::<T>(op, ins, outs),
    }
    Ok(())
}

/// A = U·S·Vᴴ; `vectors` are U and the transpose of Vᴴ, as many columns of each as they have room for.
fn singular_values<T: Number>(
    a: MatRef<T>,
    mut s: MatMut<T::Real>,
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
    let (u, mut v) = vectors.unzip();
    let diagonal: DiagMut<T> = values.as_mut().col_mut(0).as_diagonal_mut();
    let stack = MemStack::new(&mut memory);
    if svd::svd(a, diagonal, u, v.as_mut().map(|v| v.as_mut()), Par::Seq, stack, params).is_err() {
        failed.store(true, Ordering::Relaxed);
    }
    for i in 0..size {
        s[(i, 0)] = real(values[(i, 0)]);
    }
    if let (false, Some(v)) = (T::IS_REAL, v) {
        conjugate(v);
    }
}

fn conjugate<T: Number>(mut x: MatMut<T>) {
    for j in 0..x.ncols() {
        for i in 0..x.nrows() {
            x[(i, j)] = conj(x[(i, j)]);
        }
    }
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
