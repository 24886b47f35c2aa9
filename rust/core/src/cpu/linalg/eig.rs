//! Eigenvalues and vectors of matrices without symmetry, balanced first, the vectors as LAPACK's geev gives them: of norm 1, and
//! the greatest element of a complex one real.

use super::Number;
use super::batch::Batch;
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::error::{Error, Result};
use faer::complex::Complex;
use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{self, ComputeEigenvectors, EvdParams};
use faer::traits::{ComplexField, RealField};
use faer::{Auto, Mat, MatMut, MatRef, Par, Spec};

/// Eigenvalues, vectors if wanted, and infos.
pub fn execute<R>(complex: bool, a: &In, outs: &[Out]) -> Result<()>
where
    R: RealField<Unit: ComplexField> + Copy,
{
    let rank = a.shape.len() - 2;
    let (a, count) = (Batch::read(a, rank), a.shape[..rank].iter().product());
    let outs: Vec<Batch> = outs.iter().map(|o| Batch::write(o, rank)).collect();
    let (values, vectors, info) = match &outs[..] {
        [w, info] => (w, None, info),
        [w, v, info] => (w, Some(v), info),
        _ => return Err(Error::Internal("linalg_eig: unexpected number of outputs".into())),
    };
    parallel_for(count, 1, |range| {
        for i in range {
            let (w, v) = (values.matrix_mut::<Complex<R>>(i), vectors.map(|v| v.matrix_mut::<Complex<R>>(i)));
            let found = if complex { of_complex(a.matrix(i), w, v) } else { of_real::<R>(a.matrix(i), w, v) };
            info.matrix_mut::<i32>(i)[(0, 0)] = i32::from(!found);
        }
    });
    Ok(())
}

fn wanted(vectors: bool) -> ComputeEigenvectors {
    if vectors { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No }
}

fn of_complex<R>(a: MatRef<Complex<R>>, mut w: MatMut<Complex<R>>, v: Option<MatMut<Complex<R>>>) -> bool
where
    R: RealField<Unit: ComplexField> + Copy,
{
    let n = a.nrows();
    let mut balanced = a.to_owned();
    let scales = balance(balanced.as_mut());
    let mut values = Mat::<Complex<R>>::zeros(n, 1);
    let mut found = v.as_ref().map(|_| Mat::<Complex<R>>::zeros(n, n));
    if n == 1 {
        values[(0, 0)] = a[(0, 0)];
        found.iter_mut().for_each(|x| x[(0, 0)] = Complex::<R>::one_impl());
    } else {
        let params = Spec::<EvdParams, Complex<R>>::new(Auto::<Complex<R>>::auto());
        let room = evd::evd_scratch::<Complex<R>>(n, ComputeEigenvectors::No, wanted(v.is_some()), Par::Seq, params);
        let mut memory = MemBuffer::new(room);
        let diagonal: DiagMut<Complex<R>> = values.as_mut().col_mut(0).as_diagonal_mut();
        let (stack, right) = (MemStack::new(&mut memory), found.as_mut().map(|x| x.as_mut()));
        if evd::evd_cplx(balanced.as_ref(), diagonal, None, right, Par::Seq, stack, params).is_err() {
            return false;
        }
    }
    w.copy_from(&values);
    if let (Some(mut v), Some(found)) = (v, found) {
        for j in 0..n {
            for i in 0..n {
                v[(i, j)] = Complex::<R>::mul_real_impl(&found[(i, j)], &scales[i]);
            }
            turn(v.as_mut().subcols_mut(j, 1));
        }
    }
    true
}

fn of_real<R>(a: MatRef<R>, mut w: MatMut<Complex<R>>, v: Option<MatMut<Complex<R>>>) -> bool
where
    R: RealField<Unit: ComplexField> + Copy,
{
    let n = a.nrows();
    let mut balanced = a.to_owned();
    let scales = balance(balanced.as_mut());
    let [mut re, mut im] = [(); 2].map(|()| Mat::<R>::zeros(n, 1));
    let mut found = v.as_ref().map(|_| Mat::<R>::zeros(n, n));
    if n == 1 {
        re[(0, 0)] = a[(0, 0)];
        found.iter_mut().for_each(|x| x[(0, 0)] = R::one_impl());
    } else {
        let params = Spec::<EvdParams, R>::new(Auto::<R>::auto());
        let room = evd::evd_scratch::<R>(n, ComputeEigenvectors::No, wanted(v.is_some()), Par::Seq, params);
        let mut memory = MemBuffer::new(room);
        let parts = [&mut re, &mut im].map(|x| x.as_mut().col_mut(0).as_diagonal_mut());
        let [of_re, of_im]: [DiagMut<R>; 2] = parts;
        let (stack, right) = (MemStack::new(&mut memory), found.as_mut().map(|x| x.as_mut()));
        if evd::evd_real(balanced.as_ref(), of_re, of_im, None, right, Par::Seq, stack, params).is_err() {
            return false;
        }
    }
    for j in 0..n {
        w[(j, 0)] = Complex { re: re[(j, 0)], im: im[(j, 0)] };
    }
    if let (Some(v), Some(mut found)) = (v, found) {
        for (i, &scale) in scales.iter().enumerate() {
            (0..n).for_each(|j| found[(i, j)] *= scale);
        }
        expand(found.as_ref(), im.as_ref(), v);
    }
    true
}

/// Vectors of real matrices: a column for a real eigenvalue; real and imaginary part for a conjugate pair.
fn expand<R: RealField<Unit: ComplexField> + Copy>(found: MatRef<R>, im: MatRef<R>, mut v: MatMut<Complex<R>>) {
    let (n, zero) = (found.nrows(), R::zero_impl());
    let mut j = 0;
    while j < n {
        let pair = im[(j, 0)] != zero && j + 1 < n;
        for i in 0..n {
            v[(i, j)] = Complex { re: found[(i, j)], im: if pair { found[(i, j + 1)] } else { zero } };
        }
        if !pair {
            let norm = found.col(j).norm_l2();
            (0..n).for_each(|i| v[(i, j)].re /= norm);
            j += 1;
            continue;
        }
        turn(v.as_mut().subcols_mut(j, 1));
        for i in 0..n {
            let Complex { re, im } = v[(i, j)];
            v[(i, j + 1)] = Complex { re, im: -im };
        }
        j += 2;
    }
}

/// Divides a vector by its norm and the phase of its greatest element.
fn turn<R: RealField<Unit: ComplexField> + Copy>(mut v: MatMut<Complex<R>>) {
    let norm = v.as_ref().norm_l2();
    let mut best = 0;
    for i in 0..v.nrows() {
        v[(i, 0)] = Complex { re: v[(i, 0)].re / norm, im: v[(i, 0)].im / norm };
        if Complex::<R>::abs2_impl(&v[(i, 0)]) > Complex::<R>::abs2_impl(&v[(best, 0)]) {
            best = i;
        }
    }
    let greatest = v[(best, 0)];
    let size = Complex::<R>::abs_impl(&greatest);
    let phase = Complex { re: greatest.re / size, im: -greatest.im / size };
    for i in 0..v.nrows() {
        v[(i, 0)] *= phase;
    }
    v[(best, 0)].im = R::zero_impl();
}

/// Scales rows and columns by powers of 2 until the norms of a row and its column are close, and returns the factors of the
/// columns (James, Langou and Lowery, "On matrix balancing and eigenvector computation", 2014).
fn balance<T: Number>(mut w: MatMut<T>) -> Vec<T::Real> {
    let n = w.nrows();
    let number = |x: f64| T::Real::from_f64_impl(x);
    let (zero, two, half) = (number(0.0), number(2.0), number(0.5));
    let mut scales = vec![number(1.0); n];
    // Every pass lowers the norm; few matrices need more than three.
    for _ in 0..64 {
        let mut done = true;
        for i in 0..n {
            let (mut c, mut r) = (w.as_ref().col(i).norm_l2(), w.as_ref().row(i).norm_l2());
            let whole = c + r;
            if c == zero || r == zero || !T::Real::is_finite_impl(&whole) {
                continue;
            }
            let mut factor = number(1.0);
            while c < r * half {
                (c, r, factor) = (c * two, r * half, factor * two);
            }
            while c * half >= r {
                (c, r, factor) = (c * half, r * two, factor * half);
            }
            if c + r >= whole * number(0.95) || !T::Real::is_finite_impl(&(factor * scales[i])) {
                continue;
            }
            done = false;
            scales[i] *= factor;
            let inverse = number(1.0) / factor;
            for j in 0..n {
                w[(i, j)] = T::mul_real_impl(&w[(i, j)], &inverse);
            }
            for j in 0..n {
                w[(j, i)] = T::mul_real_impl(&w[(j, i)], &factor);
            }
        }
        if done {
            break;
        }
    }
    scales
}
