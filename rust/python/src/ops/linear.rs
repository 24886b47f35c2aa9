//! Matrix products and decompositions.

use crate::rows;
use crate::table::{Ret, Row};
use corten_core::dtype::{DType, Scalar};
use corten_core::ensure;
use corten_core::error::Result;
use corten_core::ops::elementwise::{cast, result_type};
use corten_core::ops::{factors, linalg, matmul, reduce, view};
use corten_core::tensor::Tensor;

fn check_rank(op: &str, t: &Tensor, rank: usize, name: &str) -> Result<()> {
    ensure!(t.rank() == rank, Runtime, "{op}: {name} must be {rank}-D, got a tensor of shape {}", t.shape_dims());
    Ok(())
}

fn mm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check_rank("mm", a, 2, "self")?;
    check_rank("mm", b, 2, "mat2")?;
    matmul::matmul(a, b)
}

fn bmm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check_rank("bmm", a, 3, "batch1")?;
    check_rank("bmm", b, 3, "batch2")?;
    ensure!(
        a.shape()[0] == b.shape()[0],
        Runtime,
        "bmm: Expected size for first two dimensions of batch2 tensor to be: [{}, {}] but got: [{}, {}].",
        a.shape()[0],
        a.shape()[2],
        b.shape()[0],
        b.shape()[1]
    );
    matmul::matmul(a, b)
}

fn summed_bmm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    reduce::sum(&bmm(a, b)?, Some(&[0]), false, Some(a.dtype()))
}

fn mv(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ensure!(a.rank() > 0, Index, "Dimension specified as 0 but tensor has no dimensions");
    check_rank("mv", a, 2, "self")?;
    check_rank("mv", b, 1, "vec")?;
    matmul::matmul(a, b)
}

fn dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ensure!(
        a.rank() == 1 && b.rank() == 1,
        Runtime,
        "1D tensors expected, but got {}D and {}D tensors",
        a.rank(),
        b.rank()
    );
    matmul::matmul(a, b)
}

/// β·c + α·p, skipping c (and its NaN) when β is 0.
fn blend(c: &Tensor, p: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    let p = if alpha.is(1.0) { p.clone() } else { p.mul(alpha)? };
    if beta.is(0.0) {
        return Ok(p);
    }
    let c = if beta.is(1.0) { c.clone() } else { c.mul(beta)? };
    // The product lends its layout.
    p.add(&c)
}

/// β·c + α·(x ⊗ y), elementwise: c lends its layout, also where β is 0.
fn addr(c: &Tensor, x: &Tensor, y: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    let result = result_type(&[c.into(), x.into(), y.into()]);
    for (name, factor) in [("beta", beta), ("alpha", alpha)] {
        ensure!(
            factor.category() <= result.category().max(1),
            Runtime,
            "For integral input tensors, argument {name} must not be a floating point number."
        );
    }
    // Truth values stay truth values: sums are `or`, products `and`.
    let factor = |s: Scalar| if result == DType::Bool { Scalar::Bool(s.to_f64() != 0.0) } else { s };
    let (beta, alpha) = (factor(beta), factor(alpha));
    let p = outer(x, y)?;
    let p = if alpha.is(1.0) { p } else { p.mul(alpha)? };
    if !beta.is(0.0) {
        return if beta.is(1.0) { c.add(&p) } else { c.mul(beta)?.add(&p) };
    }
    let wide = view::expand(&c.detach(), p.shape())?;
    corten_core::ops::copy_as(&p, corten_core::ops::elementwise::dense_like(wide.layout()))
}

/// `addmm` and its like by name: β·c + α·product(a, b).
pub fn added_product(op: &str, c: &Tensor, a: &Tensor, b: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    ensure!(
        op == "addr" || c.dtype() == b.dtype(),
        Runtime,
        "{op}: self and the second factor must have the same dtype, but got {} and {}",
        c.dtype().scalar_name(),
        b.dtype().scalar_name()
    );
    let product = match op {
        "addr" => return addr(c, a, b, beta, alpha),
        "addmm" => mm,
        "addmv" => mv,
        "baddbmm" => bmm,
        _ => summed_bmm,
    };
    blend_product(c, a, b, product, beta, alpha)
}

/// β·c + α·product(a, b), rounded once as in PyTorch: half types are blended in float32.
fn blend_product(
    c: &Tensor,
    a: &Tensor,
    b: &Tensor,
    product: fn(&Tensor, &Tensor) -> Result<Tensor>,
    beta: Scalar,
    alpha: Scalar,
) -> Result<Tensor> {
    let dtype = a.dtype();
    // For integers the factors are integers as well.
    let factor = |s: Scalar| if dtype.is_int() { Scalar::Int(s.to_i64()) } else { s };
    let (beta, alpha) = (factor(beta), factor(alpha));
    let half = matches!(dtype, DType::F16 | DType::BF16) && b.dtype() == dtype && c.dtype() == dtype;
    if !half {
        return blend(c, &product(a, b)?, beta, alpha);
    }
    let wide = |t: &Tensor| cast(t, DType::F32);
    cast(&blend(&wide(c)?, &product(&wide(a)?, &wide(b)?)?, beta, alpha)?, dtype)
}

/// The products of every vector along x's last dim with every one along y's.
fn inner(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (Some((&n, rows)), Some((&k, cols))) = (x.shape().split_last(), y.shape().split_last()) else {
        return x.mul(y);
    };
    ensure!(
        n == k,
        Runtime,
        "inner() the last dimension must match on both input tensors but got shapes {} and {}",
        x.shape_dims(),
        y.shape_dims()
    );
    if y.rank() <= 2 {
        return linear(x, y, None);
    }
    let matrix = |t: &Tensor, lead: &[usize]| view::reshape(t, &[lead.iter().product(), n]);
    let flat = matmul::matmul(&matrix(x, rows)?, &matmul::t(&matrix(y, cols)?)?)?;
    let shape: Vec<usize> = rows.iter().chain(cols).copied().collect();
    view::reshape(&flat, &shape)
}

/// x·Wᵀ + b.
fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    ensure!(w.rank() <= 2, Runtime, "t() expects a tensor with <= 2 dimensions, but self is {}D", w.rank());
    let wt = if w.rank() == 2 { matmul::t(w)? } else { w.clone() };
    let y = matmul::matmul(x, &wt)?;
    match bias {
        Some(b) => y.add(b),
        None => Ok(y),
    }
}

fn outer(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ensure!(
        a.rank() == 1 && b.rank() == 1,
        Runtime,
        "outer: Expected 1-D arguments, but got {}-D and {}-D",
        a.rank(),
        b.rank()
    );
    view::unsqueeze(a, 1)?.mul(&view::unsqueeze(b, 0)?)
}

fn qr(a: &Tensor, mode: &str) -> Result<Ret> {
    let (q, r) = linalg::qr(a, mode)?;
    Ok(Ret::Named("linalg_qr", vec![q, r]))
}

fn eigh(a: &Tensor, name: &str, upper: bool, vectors: bool) -> Result<Ret> {
    let (values, vectors, info) = factors::eigh(name, a, upper, vectors)?;
    Ok(Ret::Tuple([Some(values), vectors, Some(info)].into_iter().flatten().collect()))
}

fn eig(a: &Tensor, vectors: bool) -> Result<Ret> {
    let (values, vectors, info) = factors::eig(a, vectors)?;
    Ok(Ret::Tuple([Some(values), vectors, Some(info)].into_iter().flatten().collect()))
}

pub fn rows() -> Vec<Row> {
    rows! {
        "_linalg_qr(Tensor self, str mode='reduced')" fo "The QR decomposition." |a| qr(a.tensor(0), a.str(1))?;
        "_linalg_svd(Tensor self, bool full_matrices=True)" fo "The singular value decomposition." |a| Ret::Named("linalg_svd", linalg::svd(a.tensor(0), a.bool(1))?.into());
        "_linalg_svdvals(Tensor self)" fo "The singular values." |a| linalg::svdvals(a.tensor(0))?;
        "_linalg_solve_triangular(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False)" fo "X in A·X = B for a triangular A." |a| linalg::solve_triangular(a.tensor(0), a.tensor(1), a.bool(2), a.bool(3), a.bool(4))?;
        "_linalg_cholesky_ex(Tensor self, str name, bool upper=False)" f "The Cholesky factor, and the orders of minors that are not positive." |a| Ret::Tuple(factors::cholesky(a.str(1), a.tensor(0), a.bool(2))?.into());
        "_linalg_lu_factor_ex(Tensor self, str name)" f "L and U in one matrix, pivots, and the numbers of pivots that are zero." |a| Ret::Tuple(factors::lu_factor(a.str(1), a.tensor(0))?.into());
        "_lu_permutation(Tensor self, int m)" f "The order in which P·L·U takes the rows of A." |a| factors::permutation(a.tensor(0), a.int(1).max(0) as usize)?;
        "_linalg_lu_solve(Tensor self, Tensor pivots, Tensor B, bool left=True, bool adjoint=False)" f "X in A·X = B of an LU decomposition." |a| factors::lu_solve(a.tensor(0), a.tensor(1), a.tensor(2), a.bool(3), a.bool(4))?;
        "_linalg_solve_ex(Tensor self, Tensor B, str name, bool left=True)" f "X in A·X = B, the LU decomposition, pivots and infos." |a| Ret::Tuple(factors::solve(a.str(2), a.tensor(0), a.tensor(1), a.bool(3))?.into());
        "_linalg_eigh(Tensor self, str name, bool upper=False, bool vectors=True)" f "Eigenvalues, vectors and infos of symmetric matrices." |a| eigh(a.tensor(0), a.str(1), a.bool(2), a.bool(3))?;
        "_linalg_eig(Tensor self, bool vectors=True)" f "Complex eigenvalues, vectors and infos of square matrices." |a| eig(a.tensor(0), a.bool(1))?;
        "_linalg_geqrf(Tensor self)" f "R with the vectors of reflections below it, and their factors." |a| Ret::Tuple(linalg::geqrf(a.tensor(0))?.into());
        "_linalg_ldl_factor_ex(Tensor self, str name, bool hermitian=False)" f "L and D in one matrix, pivots and infos of symmetric matrices." |a| Ret::Tuple(factors::ldl_factor(a.str(1), a.tensor(0), a.bool(2))?.into());
        "_linalg_ldl_solve(Tensor self, Tensor pivots, Tensor B, bool hermitian=False)" f "X in A·X = B of an LDL decomposition." |a| factors::ldl_solve(a.tensor(0), a.tensor(1), a.tensor(2), a.bool(3))?;
        "matmul(Tensor self, Tensor other)" fmo "The matrix product, batched and broadcast." |a| matmul::matmul(a.tensor(0), a.tensor(1))?;
        "mm(Tensor self, Tensor mat2)" fmo "The product of two matrices." |a| mm(a.tensor(0), a.tensor(1))?;
        "_int_mm(Tensor self, Tensor mat2)" fo "The product of two matrices of bytes as int32: `self` is int8 or uint8, `mat2` int8." |a| matmul::int_mm(a.tensor(0), a.tensor(1))?;
        "bmm(Tensor self, Tensor mat2)" fmo "The product of two batches of matrices." |a| bmm(a.tensor(0), a.tensor(1))?;
        "mv(Tensor self, Tensor vec)" fmo "A matrix times a vector." |a| mv(a.tensor(0), a.tensor(1))?;
        "dot(Tensor self, Tensor tensor)" fmo "The inner product of two vectors." |a| dot(a.tensor(0), a.tensor(1))?;
        "inner(Tensor self, Tensor other)" fmo "The inner product over the last dims." |a| {
            let (x, y) = (a.tensor(0), a.tensor(1));
            if x.rank() == 0 || y.rank() == 0 { x.mul(y)? } else { inner(x, y)? }
        };
        "outer(Tensor self, Tensor vec2)" fmo "The outer product of two vectors." |a| outer(a.tensor(0), a.tensor(1))?;
        "addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1)" fmio "β·c + α·(a @ b)." |a| added_product("addmm", a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4))?;
        "baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)" fmio "β·c + α·(a @ b) for batches." |a| added_product("baddbmm", a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4))?;
        "addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1)" fmio "β·c + α·(A @ x)." |a| added_product("addmv", a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4))?;
        "addr(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1)" fmio "β·c + α·(x ⊗ y)." |a| added_product("addr", a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4))?;
        "addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)" fmio "β·c + α·Σ (a @ b)." |a| added_product("addbmm", a.tensor(0), a.tensor(1), a.tensor(2), a.number(3), a.number(4))?;
        "linear(Tensor input, Tensor weight, Tensor? bias=None)" f "x · Wᵀ + b over the last dim." |a| linear(a.tensor(0), a.tensor(1), a.opt_tensor(2))?;
    }
}
