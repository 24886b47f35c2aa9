//! A = Q·R by the Householder reflections I − τ·v·vᴴ that LAPACK's geqrf chooses: a column that needs none keeps its sign, one
//! that depends on others still takes its row, and R's diagonal is real. faer's own factorization does otherwise in all three.

use super::{BLOCK, Number, conj, quotient, real};
use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// Q, as many columns of it as there is room for, and R.
pub fn qr<T: Number>(a: MatRef<T>, q: Option<MatMut<T>>, mut r: MatMut<T>) {
    let (reflected, taus) = reflect(a);
    for j in 0..r.ncols() {
        for i in 0..r.nrows() {
            r[(i, j)] = if i <= j { reflected[(i, j)] } else { T::zero_impl() };
        }
    }
    let Some(mut q) = q else { return };
    q.fill(T::zero_impl());
    q.as_mut().diagonal_mut().fill(T::one_impl());
    let starts = (0..taus.nrows()).step_by(BLOCK);
    for start in starts.rev() {
        let block = Block::new(reflected.as_ref(), taus.as_ref(), start);
        block.apply(false, q.as_mut().get_mut(start.., start..));
    }
}

/// R with the reflections' vectors below it, and their τ.
pub fn geqrf<T: Number>(a: MatRef<T>, mut w: MatMut<T>, mut taus: MatMut<T>) {
    let (reflected, found) = reflect(a);
    w.copy_from(&reflected);
    taus.copy_from(&found);
}

fn reflect<T: Number>(a: MatRef<T>) -> (Mat<T>, Mat<T>) {
    let size = a.nrows().min(a.ncols());
    let mut w = a.to_owned();
    let mut taus = Mat::<T>::zeros(size, 1);
    for start in (0..size).step_by(BLOCK) {
        let end = size.min(start + BLOCK);
        for j in start..end {
            taus[(j, 0)] = reflect_column(w.as_mut().get_mut(j.., j..end));
        }
        if end < w.ncols() {
            let block = Block::new(w.as_ref(), taus.as_ref(), start);
            block.apply(true, w.as_mut().get_mut(start.., end..));
        }
    }
    (w, taus)
}

/// Reflects the first column onto its first element, applies that to the others, and returns τ.
fn reflect_column<T: Number>(panel: MatMut<T>) -> T {
    let (mut column, others) = panel.split_at_col_mut(1);
    let head = column[(0, 0)];
    let rest = column.as_ref().get(1.., ..).norm_l2();
    let zero = T::Real::zero_impl();
    if rest == zero && T::imag_part_impl(&head) == zero {
        return T::zero_impl();
    }
    let norm = column.as_ref().norm_l2();
    let reflected = T::from_real_impl(&if real(head) < zero { norm } else { -norm });
    let tau = quotient(reflected - head, reflected);
    let divisor = head - reflected;
    for i in 1..column.nrows() {
        column[(i, 0)] = quotient(column[(i, 0)], divisor);
    }
    if others.ncols() > 0 {
        column[(0, 0)] = T::one_impl();
        let v = column.as_ref();
        let mut row = Mat::<T>::zeros(1, others.ncols());
        matmul(row.as_mut(), Accum::Replace, v.adjoint(), others.as_ref(), T::one_impl(), Par::Seq);
        matmul(others, Accum::Add, v, row.as_ref(), -conj(tau), Par::Seq);
    }
    column[(0, 0)] = reflected;
    tau
}

/// Neighbouring reflections as one: I − V·T·Vᴴ (Schreiber and Van Loan, "A storage-efficient WY representation for products of
/// Householder transformations", 1989).
struct Block<T: Number> {
    v: Mat<T>,
    t: Mat<T>,
}

impl<T: Number> Block<T> {
    /// Those of the columns from `start` on.
    fn new(w: MatRef<T>, taus: MatRef<T>, start: usize) -> Self {
        let width = BLOCK.min(taus.nrows() - start);
        let panel = w.submatrix(start, start, w.nrows() - start, width);
        let v = Mat::from_fn(panel.nrows(), width, |i, j| match i.cmp(&j) {
            std::cmp::Ordering::Less => T::zero_impl(),
            std::cmp::Ordering::Equal => T::one_impl(),
            std::cmp::Ordering::Greater => panel[(i, j)],
        });
        let mut gram = Mat::<T>::zeros(width, width);
        matmul(gram.as_mut(), Accum::Replace, v.adjoint(), v.as_ref(), T::one_impl(), Par::Seq);
        let mut t = Mat::<T>::zeros(width, width);
        for j in 0..width {
            let tau = taus[(start + j, 0)];
            for i in 0..j {
                let mut sum = T::zero_impl();
                for k in i..j {
                    sum += t[(i, k)] * gram[(k, j)];
                }
                t[(i, j)] = -(tau * sum);
            }
            t[(j, j)] = tau;
        }
        Block { v, t }
    }

    /// X becomes their product times X, or its adjoint times X.
    fn apply(&self, adjoint: bool, x: MatMut<T>) {
        let (width, columns) = (self.v.ncols(), x.ncols());
        let [mut inner, mut turned] = [(); 2].map(|()| Mat::<T>::zeros(width, columns));
        matmul(inner.as_mut(), Accum::Replace, self.v.adjoint(), x.as_ref(), T::one_impl(), Par::Seq);
        if adjoint {
            matmul(turned.as_mut(), Accum::Replace, self.t.adjoint(), inner.as_ref(), T::one_impl(), Par::Seq);
        } else {
            matmul(turned.as_mut(), Accum::Replace, self.t.as_ref(), inner.as_ref(), T::one_impl(), Par::Seq);
        }
        matmul(x, Accum::Add, self.v.as_ref(), turned.as_ref(), -T::one_impl(), Par::Seq);
    }
}
