//! Cholesky, LU, LDL and eigenvalue decompositions of square matrices, and the systems that they solve.

use super::elementwise::cast;
use super::index::gather_known;
use super::linalg::{adjoint, check_inexact, check_matrix, check_wide, columns, is_small, raw_svd, solve_triangular};
use super::matmul::{product, t};
use super::rearrange::triangle;
use super::{complex, copy_as, create, join, rearrange, reduce, sort, view};
use crate::dtype::DType;
use crate::error::Result;
use crate::exec::record::{record, record_one};
use crate::grad::{Grads, Rule, Vjp, modes};
use crate::graph::{Inputs, OutSpec};
use crate::op::Op;
use crate::op::linalg::Linalg;
use crate::shape::{Dims, Layout, broadcast_shapes};
use crate::tensor::{Keep, Tensor, attach, attach_with};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// Square matrices of floats that the kernel named `kernel` takes; `name` is the operator's in errors.
fn check_square(name: &str, kernel: &str, a: &Tensor) -> Result<(Dims, usize)> {
    check_matrix(name, a, "A")?;
    let (batch, m, n) = sizes(a);
    ensure!(m == n, Runtime, "{name}: A must be batches of square matrices, but they are {m} by {n} matrices");
    check_floats(name, kernel, a)?;
    Ok((batch, n))
}

fn check_floats(name: &str, kernel: &str, a: &Tensor) -> Result<()> {
    check_inexact(name, a)?;
    check_wide(kernel, a)
}

fn check_cpu(name: &str, a: &Tensor, instead: &str) -> Result<()> {
    ensure!(
        !a.device().is_gpu(),
        NotImplemented,
        "{name}: not available on the GPU; {instead}, or move the matrices to the CPU with .cpu()"
    );
    Ok(())
}

fn sizes(a: &Tensor) -> (Dims, usize, usize) {
    let rank = a.rank();
    (a.shape()[..rank - 2].iter().copied().collect(), a.shape()[rank - 2], a.shape()[rank - 1])
}

fn rows_of(batch: &[usize], tail: &[usize]) -> Arc<Layout> {
    Arc::new(Layout::contiguous(batch.iter().chain(tail).copied().collect()))
}

fn outputs<const N: usize>(op: Linalg, inputs: Inputs, outs: [(DType, Arc<Layout>); N]) -> Result<[Tensor; N]> {
    let specs = outs.into_iter().map(|(dtype, layout)| OutSpec { dtype, layout }).collect();
    match record(Op::Linalg(op), inputs, specs)?.into_iter().collect::<Vec<_>>().try_into() {
        Ok(outs) => Ok(outs),
        Err(_) => bail!(Internal, "{}: {N} outputs expected", op.name()),
    }
}

/// A with the batch dims of `batch` in front of its own last two.
fn broadcast(a: &Tensor, batch: &[usize]) -> Result<Tensor> {
    let tail = &a.shape()[a.rank() - 2..];
    let shape: Dims = batch.iter().chain(tail).copied().collect();
    if a.shape() == &shape[..] { Ok(a.clone()) } else { view::expand(a, &shape) }
}

/// L of A = L·Lᴴ, or its adjoint, of one triangle of A, and the orders of the first leading minors that are not positive.
pub fn cholesky(name: &str, a: &Tensor, upper: bool) -> Result<[Tensor; 2]> {
    let (batch, n) = check_square(name, "cholesky_cpu", a)?;
    let layout = columns(&batch, n, n);
    let inputs = SmallVec::from_iter([a.input()]);
    let found = [(a.dtype(), layout), (DType::I32, rows_of(&batch, &[]))];
    let outs = outputs(Linalg::Cholesky { upper }, inputs, found)?;
    attach("LinalgCholeskyExBackward0", &[a], &outs, Keep { inputs: &[], outputs: &[0] }, || {
        Rule::Fn(Arc::new(move |v| Ok(Grads::from_iter([Some(cholesky_grad(v, upper)?)]))))
    })?;
    Ok(outs)
}

/// L⁻ᴴ·Φ(Lᴴ·gL)·L⁻¹ with Φ the lower triangle mirrored into the upper one, and all of it halved (Murray, "Differentiation of the
/// Cholesky decomposition", 2016).
fn cholesky_grad(v: &Vjp, upper: bool) -> Result<Tensor> {
    let turned = |x: &Tensor| if upper { adjoint(x) } else { Ok(x.clone()) };
    let (l, g) = (turned(v.saved(0))?, turned(v.grad()?)?);
    let inner = triangle(false, &product(&adjoint(&l)?, &g)?, 0)?;
    let inner = inner.add(&adjoint(&triangle(false, &inner, -1)?)?)?.mul(0.5)?;
    let half = solve_triangular(&adjoint(&l)?, &inner, true, true, false)?;
    solve_triangular(&l, &half, false, false, false)
}

/// L and U in one matrix with P·L·U = A, pivots from 1, and the numbers of the first pivots that are zero.
pub fn lu_factor(name: &str, a: &Tensor) -> Result<[Tensor; 3]> {
    check_floats(name, "lu_factor_cpu", a)?;
    let (batch, m, n) = sizes(a);
    let k = m.min(n);
    let found =
        [(a.dtype(), columns(&batch, m, n)), (DType::I32, rows_of(&batch, &[k])), (DType::I32, rows_of(&batch, &[]))];
    let outs = outputs(Linalg::LuFactor, SmallVec::from_iter([a.input()]), found)?;
    attach("LinalgLuFactorExBackward0", &[a], &outs, Keep { inputs: &[], outputs: &[0, 1] }, || {
        Rule::Fn(Arc::new(move |v| Ok(Grads::from_iter([Some(lu_grad(v)?)]))))
    })?;
    Ok(outs)
}

/// With A = P·[L₁; L₂]·[U₁ U₂]: dU₁·U₁⁻¹ is upper and L₁⁻¹·dL₁ strictly lower, which splits L₁⁻¹·Pᵀ·dA₁·U₁⁻¹; L₂ and U₂ follow
/// from the blocks beside A₁, of which there is one at most.
fn lu_grad(v: &Vjp) -> Result<Tensor> {
    let (lu, pivots, g) = (v.saved(0), v.saved(1), v.grad()?);
    let (_, m, n) = sizes(lu);
    let (rank, k) = (lu.rank(), m.min(n));
    let part = |x: &Tensor, dim: usize, from: usize, to: usize| view::slice(x, dim, from, to - from, 1);
    let square = |x: &Tensor| part(&part(x, rank - 2, 0, k)?, rank - 1, 0, k);
    let (first, g_first) = (square(lu)?, square(g)?);
    let identity = create::eye(k as i64, k as i64, lu.dtype(), lu.device())?;
    let lower = triangle(false, &first, -1)?.add(&identity)?;
    let upper = triangle(true, &first, 0)?;
    let mut for_lower = product(&adjoint(&lower)?, &triangle(false, &g_first, -1)?)?;
    let mut for_upper = product(&triangle(true, &g_first, 0)?, &adjoint(&upper)?)?;
    if n > k {
        let beyond = product(&part(g, rank - 1, k, n)?, &adjoint(&part(lu, rank - 1, k, n)?)?)?;
        for_lower = for_lower.sub(&beyond)?;
    }
    if m > k {
        let below = product(&adjoint(&part(lu, rank - 2, k, m)?)?, &part(g, rank - 2, k, m)?)?;
        for_upper = for_upper.sub(&below)?;
    }
    let inner = triangle(false, &for_lower, -1)?.add(&triangle(true, &for_upper, 0)?)?;
    let from_upper = |x: &Tensor| solve_triangular(&adjoint(&upper)?, x, false, false, false);
    let from_lower = |x: &Tensor| solve_triangular(&adjoint(&lower)?, x, true, true, true);
    let mut all = from_lower(&from_upper(&inner)?)?;
    if n > k {
        all = join::cat(&[all, from_lower(&part(g, rank - 1, k, n)?)?], -1)?;
    }
    if m > k {
        all = join::cat(&[all, from_upper(&part(g, rank - 2, k, m)?)?], -2)?;
    }
    reorder(&all, &sort::argsort(&permutation(pivots, m)?, -1, false)?)
}

/// The order `(*, m)` in which P·L·U takes A's rows.
pub fn permutation(pivots: &Tensor, m: usize) -> Result<Tensor> {
    ensure!(
        pivots.dtype() == DType::I32,
        Runtime,
        "linalg.lu: pivots are expected to be int32, got {}",
        pivots.dtype().scalar_name()
    );
    ensure!(pivots.rank() > 0, Runtime, "linalg.lu: pivots must have at least 1 dimension");
    let batch = &pivots.shape()[..pivots.rank() - 1];
    let spec = OutSpec { dtype: DType::I32, layout: rows_of(batch, &[m]) };
    record_one(Op::Linalg(Linalg::Permutation), SmallVec::from_iter([pivots.input()]), spec)
}

/// The rows of X in the order of `places`, whose batch dims are those of X or broadcast to them, column after column.
fn reorder(x: &Tensor, places: &Tensor) -> Result<Tensor> {
    let columns = t(x)?;
    let places = view::expand(&view::unsqueeze(places, -2)?, columns.shape())?;
    t(&gather_known(&columns, x.rank() - 1, &places)?)
}

/// X in A·X = B, or in Aᴴ·X = B where `turned`, of an LU decomposition; X·A = B and X·Aᴴ = B unless `left`.
pub fn lu_solve(lu: &Tensor, pivots: &Tensor, b: &Tensor, left: bool, turned: bool) -> Result<Tensor> {
    if !left {
        return adjoint(&lu_solve(lu, pivots, &adjoint(b)?, true, !turned)?);
    }
    let batch = broadcast_shapes("linalg_lu_solve", &lu.shape()[..lu.rank() - 2], &b.shape()[..b.rank() - 2])?;
    let places = permutation(pivots, lu.shape()[lu.rank() - 2])?;
    let b = broadcast(b, &batch)?;
    if turned {
        let half = solve_triangular(&adjoint(lu)?, &b, false, true, false)?;
        let whole = solve_triangular(&adjoint(lu)?, &half, true, true, true)?;
        return reorder(&whole, &sort::argsort(&places, -1, false)?);
    }
    let half = solve_triangular(lu, &reorder(&b, &places)?, false, true, true)?;
    solve_triangular(lu, &half, true, true, false)
}

/// X in A·X = B, or in X·A = B unless `left`, the LU decomposition and pivots it was found by, and infos.
pub fn solve(name: &str, a: &Tensor, b: &Tensor, left: bool) -> Result<[Tensor; 4]> {
    check_square(name, "lu_factor_cpu", a)?;
    let [lu, pivots, info] = lu_factor(name, &a.detach())?;
    let mut x = lu_solve(&lu, &pivots, &b.detach(), left, false)?;
    if !left {
        let (batch, rows, cols) = sizes(&x);
        x = copy_as(&x, (*columns(&batch, rows, cols)).clone())?;
    }
    let outs = [x];
    let saved = Keep { inputs: &[0], outputs: &[0] };
    attach_with("LinalgSolveExBackward0", &[a, b], &outs, saved, &[lu.clone(), pivots.clone()], || {
        Rule::Fn(Arc::new(move |v| {
            let (a, x) = (v.saved(0), v.saved(1));
            // The decomposition has no history: a gradient of the gradient needs A itself.
            let gb = if modes().grad {
                let [gb, ..] = solve("linalg.solve", &adjoint(a)?, v.grad()?, left)?;
                gb
            } else {
                lu_solve(v.saved(2), v.saved(3), v.grad()?, left, true)?
            };
            let outer = || if left { product(&gb, &adjoint(x)?) } else { product(&adjoint(x)?, &gb) };
            let ga = if v.needs(0) { Some(outer()?.neg()?) } else { None };
            Ok(Grads::from_iter([ga, v.needs(1).then_some(gb)]))
        }))
    })?;
    let [x] = outs;
    Ok([x, lu, pivots, info])
}

/// Eigenvalues in ascending order of symmetric or Hermitian matrices, of which one triangle is read, vectors if wanted, and infos.
pub fn eigh(name: &str, a: &Tensor, upper: bool, vectors: bool) -> Result<(Tensor, Option<Tensor>, Tensor)> {
    check_square(name, "linalg_eigh_cpu", a)?;
    let a = if upper { adjoint(a)? } else { a.clone() };
    let (batch, _, n) = sizes(&a);
    let inputs = SmallVec::from_iter([a.input()]);
    let values = (a.dtype().part(), rows_of(&batch, &[n]));
    let info = (DType::I32, rows_of(&batch, &[]));
    if a.device().is_gpu() {
        if a.dtype().is_complex() {
            check_cpu(name, &a, "real matrices are there")?;
        }
        let (w, v, info) = eigh_by_svd(&a.detach())?;
        return attach_eigh(&a, [w, v, info]);
    }
    if !(vectors || a.requires_grad() && modes().grad) {
        let [w, info] = outputs(Linalg::Eigh, inputs, [values, info])?;
        return Ok((w, None, info));
    }
    let outs = outputs(Linalg::Eigh, inputs, [values, (a.dtype(), columns(&batch, n, n)), info])?;
    attach_eigh(&a, outs)
}

fn attach_eigh(a: &Tensor, outs: [Tensor; 3]) -> Result<(Tensor, Option<Tensor>, Tensor)> {
    attach("LinalgEighBackward0", &[a], &outs, Keep { inputs: &[], outputs: &[0, 1] }, || {
        Rule::Fn(Arc::new(move |v| Ok(Grads::from_iter([Some(eigh_grad(v)?)]))))
    })?;
    let [w, v, info] = outs;
    Ok((w, Some(v), info))
}

/// By the singular values of A + c·I, which for c above A's norm are its eigenvalues plus c; the error is that of the norm's
/// rounding, as for any method that is backward stable.
fn eigh_by_svd(a: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let (batch, _, n) = sizes(a);
    let info = create::zeros(batch.clone(), DType::I32, a.device())?;
    if a.numel() == 0 {
        let w = create::zeros(batch.iter().copied().chain([n]).collect(), a.dtype(), a.device())?;
        return Ok((w, a.copy()?, info));
    }
    let whole = triangle(false, a, 0)?.add(&t(&triangle(false, a, -1)?)?)?;
    let norm = reduce::extremum(true, &reduce::sum(&whole.abs()?, Some(&[-1]), false, None)?, Some(&[-1]), true)?;
    let shift = norm.mul(1.5)?;
    let identity = create::eye(n as i64, n as i64, a.dtype(), a.device())?;
    let [_, s, vt] = raw_svd(&whole.add(&view::unsqueeze(&shift, -1)?.mul(&identity)?)?, false)?;
    let w = rearrange::flip(&s, &[-1])?.sub(&shift)?;
    Ok((w, rearrange::flip(&t(&vt)?, &[-1])?, info))
}

/// With E_ij = w_j − w_i: V·(K / E + diag(gw))·Vᴴ, K the skew part of Vᴴ·gV, which makes the result symmetric whichever triangle
/// was read (Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008).
fn eigh_grad(v: &Vjp) -> Result<Tensor> {
    let (w, vectors) = (v.saved(0), v.saved(1));
    let n = w.shape()[w.rank() - 1] as i64;
    let diagonal = create::eye(n, n, w.dtype(), w.device())?;
    let mut middle = None;
    if let Some(g) = v.grads[0].as_ref() {
        middle = Some(cast(&view::unsqueeze(g, -1)?.mul(&diagonal)?, vectors.dtype())?);
    }
    if let Some(g) = v.grads[1].as_ref() {
        let gaps = view::unsqueeze(w, -2)?.sub(&view::unsqueeze(w, -1)?)?.add(&diagonal)?;
        let mut turned = product(&adjoint(vectors)?, g)?;
        if vectors.dtype().is_complex() {
            check_phases("linalg_eigh_backward", &turned)?;
            turned = turned.masked_zero(&diagonal.eq_zero()?)?;
        }
        let turned = turned.sub(&adjoint(&turned)?)?.mul(0.5)?.div(&gaps)?;
        middle = Some(match middle {
            Some(m) => turned.add(&m)?,
            None => turned,
        });
    }
    let Some(middle) = middle else { bail!(Internal, "linalg_eigh: no gradient") };
    product(&product(vectors, &middle)?, &adjoint(vectors)?)
}

/// Refuses a loss that depends on the phases of vectors, where Vᴴ·gV has no real diagonal.
fn check_phases(name: &str, turned: &Tensor) -> Result<()> {
    ensure!(
        is_small(&complex::imag(&view::diagonal(turned, 0, -2, -1)?)?)?,
        Runtime,
        "{name}: The eigenvectors in the complex case are specified up to multiplication by e^{{i phi}}. The specified loss function depends on this quantity, so it is ill-defined."
    );
    Ok(())
}

/// Complex eigenvalues of square matrices, vectors if wanted, and infos; reads the values.
pub fn eig(a: &Tensor, vectors: bool) -> Result<(Tensor, Option<Tensor>, Tensor)> {
    const NAME: &str = "linalg.eig";
    let (batch, n) = check_square(NAME, "linalg_eig_out_cpu", a)?;
    check_cpu(NAME, a, "linalg.eigh takes symmetric matrices there")?;
    let finite = reduce::truth(true, &a.detach().isfinite()?, None, false)?;
    ensure!(super::holds(&finite)?, Runtime, "torch.linalg.eig: input tensor should not contain infs or NaNs.");
    let dtype = a.dtype().complex();
    let inputs = SmallVec::from_iter([a.input()]);
    let (values, info) = ((dtype, rows_of(&batch, &[n])), (DType::I32, rows_of(&batch, &[])));
    if !(vectors || a.requires_grad() && modes().grad) {
        let [w, info] = outputs(Linalg::Eig, inputs, [values, info])?;
        return Ok((w, None, info));
    }
    let outs = outputs(Linalg::Eig, inputs, [values, (dtype, columns(&batch, n, n)), info])?;
    let real = !a.dtype().is_complex();
    attach("LinalgEigBackward0", &[a], &outs, Keep { inputs: &[], outputs: &[0, 1] }, || {
        Rule::Fn(Arc::new(move |v| {
            let ga = eig_grad(v)?;
            Ok(Grads::from_iter([Some(if real { complex::real(&ga)? } else { ga })]))
        }))
    })?;
    let [w, v, info] = outs;
    Ok((w, Some(v), info))
}

/// With E_ij = w_j − w_i: V⁻ᴴ·((Vᴴ·gV − Vᴴ·V·diag(Re(Vᴴ·gV))) / Eᴴ + diag(gw))·Vᴴ, for vectors of norm 1 (Boeddeker et al., "On
/// the computation of complex-valued gradients with application to statistically optimum beamforming", 2017).
fn eig_grad(v: &Vjp) -> Result<Tensor> {
    let (w, vectors) = (v.saved(0), v.saved(1));
    let n = w.shape()[w.rank() - 1] as i64;
    let turned = adjoint(vectors)?;
    let values = v.grads[0].as_ref().map(|g| view::unsqueeze(g, -1)).transpose()?;
    let Some(g) = v.grads[1].as_ref() else {
        let Some(values) = values else { bail!(Internal, "linalg_eig: no gradient") };
        let [ga, ..] = solve("linalg.solve", &turned, &values.mul(&turned)?, true)?;
        return Ok(ga);
    };
    let diagonal = create::eye(n, n, DType::Bool, w.device())?;
    let inner = product(&turned, g)?;
    check_phases("linalg_eig_backward", &inner)?;
    let lengths = complex::real(&view::diagonal(&inner, 0, -2, -1)?)?;
    let inner = inner.sub(&product(&turned, &vectors.mul(&view::unsqueeze(&lengths, -2)?)?)?)?;
    let gaps = complex::conj(&view::unsqueeze(w, -2)?.sub(&view::unsqueeze(w, -1)?)?)?;
    let mut middle = inner.div(&gaps.add(&cast(&diagonal, w.dtype())?)?)?.zero_where(&diagonal)?;
    if let Some(values) = values {
        middle = middle.add(&values.mul(&cast(&diagonal, w.dtype())?)?)?;
    }
    let [ga, ..] = solve("linalg.solve", &turned, &product(&middle, &turned)?, true)?;
    Ok(ga)
}

/// L and D in one matrix with P·L·D·Lᵀ·Pᵀ = A, or with Lᴴ, of A's lower triangle, pivots as LAPACK's sytrf or hetrf gives them,
/// and infos.
pub fn ldl_factor(name: &str, a: &Tensor, hermitian: bool) -> Result<[Tensor; 3]> {
    let (batch, n) = check_square(name, "ldl_factor_cpu", a)?;
    check_cpu(name, a, "linalg.cholesky is there")?;
    let found =
        [(a.dtype(), columns(&batch, n, n)), (DType::I32, rows_of(&batch, &[n])), (DType::I32, rows_of(&batch, &[]))];
    outputs(Linalg::Ldl { hermitian: hermitian && a.dtype().is_complex() }, SmallVec::from_iter([a.input()]), found)
}

/// X in A·X = B of a decomposition by [`ldl_factor`].
pub fn ldl_solve(ld: &Tensor, pivots: &Tensor, b: &Tensor, hermitian: bool) -> Result<Tensor> {
    const NAME: &str = "torch.linalg.ldl_solve";
    let (batch, n) = check_square(NAME, "ldl_solve_cpu", ld)?;
    check_cpu(NAME, ld, "linalg.cholesky is there")?;
    check_matrix(NAME, b, "B")?;
    let (b_batch, rows, cols) = sizes(b);
    ensure!(
        rows == n,
        Runtime,
        "{NAME}: Incompatible shapes of A and B for the equation AX = B ({n}x{n} and {rows}x{cols})"
    );
    let batch = broadcast_shapes("linalg_ldl_solve", &batch, &b_batch)?;
    let pivots = view::expand(pivots, &batch.iter().copied().chain([n]).collect::<Dims>())?;
    let (ld, b) = (broadcast(ld, &batch)?, broadcast(b, &batch)?);
    let spec = OutSpec { dtype: ld.dtype(), layout: columns(&batch, n, cols) };
    let op = Linalg::LdlSolve { hermitian: hermitian && ld.dtype().is_complex() };
    record_one(Op::Linalg(op), SmallVec::from_iter([ld.input(), pivots.input(), b.input()]), spec)
}
