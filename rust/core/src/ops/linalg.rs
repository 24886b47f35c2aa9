//! Decompositions of matrices and triangular systems.

use super::elementwise::cast;
use super::matmul::{product, t};
use super::rearrange::triangle;
use super::{complex, create, join, view};
use crate::dtype::DType;
use crate::error::Result;
use crate::exec::record::{record, record_one};
use crate::grad::{Grads, Rule, Vjp};
use crate::graph::{Input, OutSpec};
use crate::op::Op;
use crate::op::linalg::Linalg;
use crate::shape::{Dims, Layout, broadcast_shapes};
use crate::tensor::{Keep, Tensor, attach};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

pub(super) fn check_matrix(name: &str, x: &Tensor, argument: &str) -> Result<()> {
    ensure!(x.rank() >= 2, Runtime, "{name}: The input tensor {argument} must have at least 2 dimensions.");
    Ok(())
}

/// The last two dims swapped, complex numbers conjugated.
pub(super) fn adjoint(x: &Tensor) -> Result<Tensor> {
    complex::conj(&t(x)?)
}

/// Refuses integers, in PyTorch's words.
pub(super) fn check_inexact(name: &str, x: &Tensor) -> Result<()> {
    ensure!(
        x.dtype().is_float() || x.dtype().is_complex(),
        Runtime,
        "{name}: Expected a floating point or complex tensor as input. Got {}",
        x.dtype().scalar_name()
    );
    Ok(())
}

/// Refuses the dtypes that PyTorch's kernel refuses, in its words.
pub(super) fn check_wide(kernel: &str, x: &Tensor) -> Result<()> {
    let wide = matches!(x.dtype(), DType::F32 | DType::F64 | DType::C64 | DType::C128);
    ensure!(wide, NotImplemented, "\"{kernel}\" not implemented for '{}'", x.dtype().scalar_name());
    Ok(())
}

/// Batches of matrices that lie column after column, as LAPACK's results do.
pub(super) fn columns(batch: &[usize], rows: usize, cols: usize) -> Arc<Layout> {
    let shape: Dims = batch.iter().copied().chain([rows, cols]).collect();
    let mut layout = Layout::contiguous(batch.iter().copied().chain([cols, rows]).collect());
    let rank = shape.len();
    layout.strides.swap(rank - 2, rank - 1);
    layout.shape = shape;
    Arc::new(layout)
}

/// Which parts of a QR decomposition are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum QrMode {
    Reduced,
    Complete,
    OnlyR,
}

/// Q and R; Q is empty in mode "r".
pub fn qr(a: &Tensor, mode: &str) -> Result<(Tensor, Tensor)> {
    check_matrix("linalg.qr", a, "A")?;
    check_inexact("linalg.qr", a)?;
    let mode = match mode {
        "reduced" => QrMode::Reduced,
        "complete" => QrMode::Complete,
        "r" => QrMode::OnlyR,
        _ => bail!(
            Runtime,
            "qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        ),
    };
    check_wide("geqrf_cpu", a)?;
    let rank = a.rank();
    let (batch, m, n) = (&a.shape()[..rank - 2], a.shape()[rank - 2], a.shape()[rank - 1]);
    let size = if mode == QrMode::Complete { m } else { m.min(n) };
    let spec = |layout| OutSpec { dtype: a.dtype(), layout };
    let inputs = SmallVec::from_iter([a.input()]);
    let r = spec(columns(batch, size, n));
    let (q, r) = if mode == QrMode::OnlyR {
        let empty = create::zeros(Dims::from([0]), a.dtype(), a.device())?;
        (empty, record_one(Op::Linalg(Linalg::Qr), inputs, r)?)
    } else {
        let outs = [spec(columns(batch, m, size)), r].into_iter().collect();
        let mut pair = record(Op::Linalg(Linalg::Qr), inputs, outs)?;
        let (Some(r), Some(q)) = (pair.pop(), pair.pop()) else { bail!(Internal, "qr: two outputs expected") };
        (q, r)
    };
    let outs = [q, r];
    attach("LinalgQrBackward0", &[a], &outs, Keep { inputs: &[], outputs: &[0, 1] }, || {
        Rule::Fn(Arc::new(move |v| Ok(Grads::from_iter([Some(qr_grad(v, mode)?)]))))
    })?;
    let [q, r] = outs;
    Ok((q, r))
}

/// The rule of Walter and Lehmann, "On evaluating higher-order derivatives of the QR decomposition" (2012), with the columns
/// beyond a square R written as Q·R, so that A is not kept.
fn qr_grad(v: &Vjp, mode: QrMode) -> Result<Tensor> {
    let (q, r) = (v.saved(0), v.saved(1));
    ensure!(
        mode != QrMode::OnlyR,
        Runtime,
        "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr."
    );
    let (rank, n) = (r.rank(), r.shape()[r.rank() - 1]);
    let m = q.shape()[rank - 2];
    ensure!(
        mode != QrMode::Complete || m <= n,
        Runtime,
        "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
    );
    let size = m.min(n);
    let part = |x: &Tensor, from: usize, to: usize| view::slice(x, rank - 1, from, to - from, 1);
    let (gq, gr) = (v.grads[0].as_ref(), v.grads[1].as_ref());
    let (square, beyond) = (part(r, 0, size)?, part(r, size, n)?);
    // The gradient of Q, and of R's Hermitian counterpart M = R·gRᴴ − gQᴴ·Q.
    let mut for_q = gq.cloned();
    let mut middle = match gr {
        Some(g) => Some(product(&square, &adjoint(&part(g, 0, size)?)?)?),
        None => None,
    };
    if let Some(g) = gq {
        let projected = product(&adjoint(g)?, q)?;
        middle = Some(match middle {
            Some(m) => m.sub(&projected)?,
            None => projected.neg()?,
        });
    }
    let wide = gr.filter(|_| n > size);
    if let Some(g) = wide {
        let outer = product(&beyond, &adjoint(&part(g, size, n)?)?)?;
        if let Some(m) = middle.take() {
            middle = Some(m.sub(&adjoint(&outer)?)?);
        }
        let through = product(q, &outer)?;
        for_q = Some(match for_q {
            Some(g) => g.add(&through)?,
            None => through,
        });
    }
    let Some(middle) = middle else { bail!(Internal, "linalg_qr: no gradient") };
    // R's diagonal is real, and so is M's.
    let lower = triangle(false, &middle, 0)?.add(&triangle(false, &middle, -1)?)?.mul(0.5)?;
    let total = product(q, &lower.add(&adjoint(&lower)?)?)?;
    let total = for_q.map_or(Ok(total.clone()), |g| total.add(&g))?;
    let ga = solve_triangular(&adjoint(&square)?, &total, false, false, false)?;
    if n == size {
        return Ok(ga);
    }
    let rest = match wide {
        Some(g) => product(q, &part(g, size, n)?)?,
        None => {
            let shape = ga.shape()[..rank - 1].iter().copied().chain([n - size]).collect();
            create::zeros(shape, ga.dtype(), ga.device())?
        }
    };
    join::cat(&[ga, rest], -1)
}

/// R with the vectors of the reflections that make it below its diagonal, and their factors: LAPACK's geqrf.
pub fn geqrf(a: &Tensor) -> Result<[Tensor; 2]> {
    ensure!(a.rank() >= 2, Runtime, "torch.geqrf: input must have at least 2 dimensions.");
    check_wide("geqrf_cpu", a)?;
    ensure!(
        !a.device().is_gpu(),
        NotImplemented,
        "geqrf: not available on the GPU; linalg.qr is there, or move the matrices to the CPU with .cpu()"
    );
    let rank = a.rank();
    let (batch, m, n) = (&a.shape()[..rank - 2], a.shape()[rank - 2], a.shape()[rank - 1]);
    let factors = Layout::contiguous(batch.iter().copied().chain([m.min(n)]).collect());
    let spec = |layout| OutSpec { dtype: a.dtype(), layout };
    let outs = [spec(columns(batch, m, n)), spec(Arc::new(factors))].into_iter().collect();
    let mut pair = record(Op::Linalg(Linalg::Geqrf), SmallVec::from_iter([a.input()]), outs)?;
    let (Some(tau), Some(w)) = (pair.pop(), pair.pop()) else { bail!(Internal, "geqrf: two outputs expected") };
    let outs = [w, tau];
    attach("GeqrfBackward0", &[a], &outs, Keep::default(), || {
        Rule::Fn(Arc::new(|_| bail!(NotImplemented, "the derivative for 'geqrf' is not implemented.")))
    })?;
    Ok(outs)
}

/// U, S and Vᴴ of a singular value decomposition, in full or with as many columns as there are singular values.
pub fn svd(a: &Tensor, full: bool) -> Result<[Tensor; 3]> {
    check_svd(a)?;
    let outs = raw_svd(a, full)?;
    attach("LinalgSvdBackward0", &[a], &outs, Keep { inputs: &[], outputs: &[0, 1, 2] }, || {
        Rule::Fn(Arc::new(move |v| Ok(Grads::from_iter([Some(svd_grad(v)?)]))))
    })?;
    Ok(outs)
}

/// [`svd`] of matrices that are known to be finite, without history.
pub(super) fn raw_svd(a: &Tensor, full: bool) -> Result<[Tensor; 3]> {
    let rank = a.rank();
    let (batch, m, n) = (&a.shape()[..rank - 2], a.shape()[rank - 2], a.shape()[rank - 1]);
    let k = m.min(n);
    let (rows, cols) = if full { (m, n) } else { (k, k) };
    let spec = |layout| OutSpec { dtype: a.dtype(), layout };
    let values = Arc::new(Layout::contiguous(batch.iter().copied().chain([k]).collect()));
    let values = OutSpec { dtype: a.dtype().part(), layout: values };
    let outs = [spec(columns(batch, m, rows)), values, spec(columns(batch, cols, n))];
    let found = record(Op::Linalg(Linalg::Svd), SmallVec::from_iter([a.input()]), outs.into_iter().collect())?;
    let Ok(outs): std::result::Result<[Tensor; 3], _> = found.into_iter().collect::<Vec<_>>().try_into() else {
        bail!(Internal, "svd: three outputs expected")
    };
    Ok(outs)
}

/// The singular values in descending order; the vectors are found only where a gradient may need them.
pub fn svdvals(a: &Tensor) -> Result<Tensor> {
    if a.requires_grad() && crate::grad::modes().grad {
        let [_, s, _] = svd(a, false)?;
        return Ok(s);
    }
    let (batch, m, n) = check_svd(a)?;
    let layout = Arc::new(Layout::contiguous(batch.iter().copied().chain([m.min(n)]).collect()));
    let spec = OutSpec { dtype: a.dtype().part(), layout };
    record_one(Op::Linalg(Linalg::Svd), SmallVec::from_iter([a.input()]), spec)
}

/// The batch dims and sizes of matrices whose singular values can be found; reads the values.
fn check_svd(a: &Tensor) -> Result<(Dims, usize, usize)> {
    check_matrix("linalg.svd", a, "A")?;
    check_inexact("linalg.svd", a)?;
    check_wide("linalg_svd_cpu", a)?;
    // The iteration would not end on them.
    let finite = super::reduce::truth(true, &a.detach().isfinite()?, None, false)?;
    ensure!(
        super::holds(&finite)?,
        Runtime,
        "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values."
    );
    let rank = a.rank();
    Ok((a.shape()[..rank - 2].iter().copied().collect(), a.shape()[rank - 2], a.shape()[rank - 1]))
}

/// With E_ij = s_j² − s_i² and k(X) = (X − Xᴴ) / E: gA = U·[k(Uᴴ·gU)·S + S·k(Vᴴ·gV) + gS]·Vᴴ, and the parts of gU and gV
/// outside the spans of U and V divided by S (Townsend, "Differentiating the singular value decomposition", 2016).
fn svd_grad(v: &Vjp) -> Result<Tensor> {
    let rank = v.saved(0).rank();
    let k = v.saved(1).shape()[rank - 2];
    let narrow = |x: &Tensor, dim: usize| view::slice(x, dim, 0, k, 1);
    let (u, s, vh) = (narrow(v.saved(0), rank - 1)?, v.saved(1), narrow(v.saved(2), rank - 2)?);
    let gu = v.grads[0].as_ref().map(|g| narrow(g, rank - 1)).transpose()?;
    let gvh = v.grads[2].as_ref().map(|g| narrow(g, rank - 2)).transpose()?;
    let (row, column) = (view::unsqueeze(s, -2)?, view::unsqueeze(s, -1)?);
    let squares = row.mul(&row)?;
    let gaps = squares.sub(&t(&squares)?)?;
    let diagonal = create::eye(k as i64, k as i64, s.dtype(), s.device())?;
    let gaps = gaps.add(&diagonal)?;
    let skew = |x: Tensor| x.sub(&adjoint(&x)?);
    let of_u = gu.as_ref().map(|g| skew(product(&adjoint(&u)?, g)?)).transpose()?;
    let of_v = gvh.as_ref().map(|g| skew(product(&vh, &adjoint(g)?)?)).transpose()?;
    let mut middle = match v.grads[1].as_ref() {
        Some(g) => view::unsqueeze(g, -1)?.mul(&diagonal)?,
        None => create::zeros(gaps.shape_dims().clone(), s.dtype(), s.device())?,
    };
    if let Some(x) = &of_u {
        middle = middle.add(&x.div(&gaps)?.mul(&row)?)?;
    }
    if let Some(x) = &of_v {
        middle = middle.add(&x.div(&gaps)?.mul(&column)?)?;
    }
    if u.dtype().is_complex() {
        middle = cast(&middle, u.dtype())?;
        if of_u.is_some() || of_v.is_some() {
            middle = with_phases(middle, of_u, of_v, &row, &diagonal)?;
        }
    }
    let mut total = product(&product(&u, &middle)?, &vh)?;
    if let Some(g) = gu.filter(|_| u.shape()[rank - 2] > k) {
        let outside = g.sub(&product(&u, &product(&adjoint(&u)?, &g)?)?)?;
        total = total.add(&product(&outside.div(&row)?, &vh)?)?;
    }
    if let Some(g) = gvh.filter(|_| vh.shape()[rank - 1] > k) {
        let outside = g.sub(&product(&product(&g, &adjoint(&vh)?)?, &vh)?)?;
        total = total.add(&product(&u, &outside.div(&column)?)?)?;
    }
    Ok(total)
}

/// Takes from the diagonal what the skew parts of Uᴴ·gU and Vᴴ·gV have put there, and adds what the difference of the phases
/// of a pair of vectors, which A determines, makes of it.
fn with_phases(
    middle: Tensor,
    of_u: Option<Tensor>,
    of_v: Option<Tensor>,
    row: &Tensor,
    diagonal: &Tensor,
) -> Result<Tensor> {
    let on_diagonal = |x: &Option<Tensor>| x.as_ref().map(|x| x.mul(diagonal)).transpose();
    let (of_u, of_v) = (on_diagonal(&of_u)?, on_diagonal(&of_v)?);
    let total = match (&of_u, &of_v) {
        (Some(a), Some(b)) => a.add(b)?,
        (Some(a), None) | (None, Some(a)) => a.clone(),
        (None, None) => return Ok(middle),
    };
    // A loss that depends on the phases themselves has no gradient; rounding leaves a little.
    ensure!(
        is_small(&complex::imag(&total)?)?,
        Runtime,
        "svd_backward: The singular vectors in the complex case are specified up to multiplication by e^{{i phi}}. The specified loss function depends on this phase term, making it ill-defined."
    );
    let mut middle = middle.sub(&total.mul(row)?)?;
    if let Some(x) = of_u {
        middle = middle.add(&x.div(row)?.mul(0.5)?)?;
    }
    Ok(middle)
}

/// Whether numbers are 0 but for rounding; reads the values.
pub(super) fn is_small(x: &Tensor) -> Result<bool> {
    let small = super::reduce::truth(true, &x.detach().abs()?.le(1e-2)?, None, false)?;
    super::holds(&small)
}

/// X in A·X = B, or in X·A = B unless `left`; only A's triangle is read, and its diagonal taken as 1 when `unit`.
pub fn solve_triangular(a: &Tensor, b: &Tensor, upper: bool, left: bool, unit: bool) -> Result<Tensor> {
    const NAME: &str = "linalg.solve_triangular";
    check_matrix(NAME, a, "A")?;
    check_matrix(NAME, b, "B")?;
    let last = |x: &Tensor| (x.shape()[x.rank() - 2], x.shape()[x.rank() - 1]);
    let ((m, n), (rows, cols)) = (last(a), last(b));
    ensure!(m == n, Runtime, "{NAME}: A must be batches of square matrices, but they are {m} by {n} matrices");
    ensure!(
        n == if left { rows } else { cols },
        Runtime,
        "{NAME}: Incompatible shapes of A and B for the equation {} ({m}x{n} and {rows}x{cols})",
        if left { "AX = B" } else { "XA = B" }
    );
    check_wide("triangular_solve_cpu", b)?;
    ensure!(
        a.dtype() == b.dtype(),
        Runtime,
        "{NAME}: Expected A and B to have the same dtype, but found A of type {} and B of type {} instead",
        a.dtype().scalar_name(),
        b.dtype().scalar_name()
    );
    let batch = broadcast_shapes("linalg_solve_triangular", &a.shape()[..a.rank() - 2], &b.shape()[..b.rank() - 2])?;
    let mut inputs = SmallVec::new();
    for (x, size) in [(a, [n, n]), (b, [rows, cols])] {
        let mut edge = x.edge();
        let shape: Dims = batch.iter().copied().chain(size).collect();
        if edge.layout.shape != shape {
            let Some(wide) = edge.layout.broadcast_to(&shape) else {
                bail!(Internal, "{NAME}: batch dims do not broadcast")
            };
            edge.layout = Arc::new(wide);
        }
        inputs.push(Input::Tensor(edge));
    }
    let spec = OutSpec { dtype: a.dtype(), layout: columns(&batch, rows, cols) };
    let out = record_one(Op::Linalg(Linalg::SolveTriangular { upper, left, unit }), inputs, spec)?;
    let saved = Keep { inputs: &[0], outputs: &[0] };
    attach("LinalgSolveTriangularBackward0", &[a, b], std::slice::from_ref(&out), saved, || {
        Rule::Fn(Arc::new(move |v| {
            let (a, x) = (v.saved(0), v.saved(1));
            let gb = solve_triangular(&adjoint(a)?, v.grad()?, !upper, left, unit)?;
            let ga = if v.needs(0) {
                let outer = if left { product(&gb, &adjoint(x)?)? } else { product(&adjoint(x)?, &gb)? };
                let skipped = unit as i64;
                Some(triangle(upper, &outer.neg()?, if upper { skipped } else { -skipped })?)
            } else {
                None
            };
            Ok(Grads::from_iter([ga, v.needs(1).then_some(gb)]))
        }))
    })?;
    Ok(out)
}
