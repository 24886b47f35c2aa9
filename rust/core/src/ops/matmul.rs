//! Matrix products: one primitive over (…, m, k) × (…, k, n), and PyTorch's `matmul` on top of it.

use super::carried;
use super::elementwise::{Operand, cast};
use super::view;
use crate::dtype::DType;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule, next_step};
use crate::graph::{Input, OutSpec};
use crate::op::Op;
use crate::shape::{Dims, Layout, broadcast_shapes};
use crate::tensor::{Keep, Tensor, attach};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// The last two dims swapped.
pub fn t(x: &Tensor) -> Result<Tensor> {
    view::transpose(x, -2, -1)
}

/// The primitive: both at least 2-d, batch dims broadcast.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dtype().is_complex() {
        return super::complex::bilinear(a, b, product);
    }
    if a.dtype().is_carried() {
        return carried::product(a, b, product);
    }
    let out = record_product(a, b, a.dtype())?;
    attach_product(a, b, &out)?;
    Ok(out)
}

/// `torch._int_mm`: int8 or uint8 times int8, summed in int32, which wraps.
pub fn int_mm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ensure!(a.rank() == 2, Runtime, "_int_mm: Expected self to be of dimension 2 but got {}", a.rank());
    ensure!(b.rank() == 2, Runtime, "_int_mm: Expected mat2 to be of dimension 2 but got {}", b.rank());
    ensure!(
        a.shape()[1] == b.shape()[0],
        Runtime,
        "_int_mm: self.size(1) needs to match mat2.size(0) but got {} and {}",
        a.shape()[1],
        b.shape()[0]
    );
    ensure!(
        matches!(a.dtype(), DType::I8 | DType::U8),
        Runtime,
        "_int_mm: Expected self dtype to be int8 or uint8 but got {}",
        a.dtype()
    );
    ensure!(b.dtype() == DType::I8, Runtime, "_int_mm: Expected mat2 dtype to be of type int8 but got {}", b.dtype());
    if !a.device().is_gpu() {
        return record_product(a, b, DType::I32);
    }
    // A GPU multiplies int32, and converts where it reads.
    record_product(&cast(a, DType::I32)?, &cast(b, DType::I32)?, DType::I32)
}

/// The node of a product.
fn record_product(a: &Tensor, b: &Tensor, dtype: DType) -> Result<Tensor> {
    let (ra, rb) = (a.rank(), b.rank());
    let (m, k, n) = (a.shape()[ra - 2], a.shape()[ra - 1], b.shape()[rb - 1]);
    ensure!(
        k == b.shape()[rb - 2],
        Runtime,
        "mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})",
        m,
        k,
        b.shape()[rb - 2],
        n
    );
    let batch = broadcast_shapes("matmul", &a.shape()[..ra - 2], &b.shape()[..rb - 2])?;
    let with = |rows: usize, cols: usize| -> Dims { batch.iter().copied().chain([rows, cols]).collect() };
    let mut inputs = SmallVec::new();
    for (x, shape) in [(a, with(m, k)), (b, with(k, n))] {
        let mut edge = x.edge();
        if edge.layout.shape != shape {
            let Some(wide) = edge.layout.broadcast_to(&shape) else {
                bail!(Internal, "matmul: batch dims do not broadcast")
            };
            edge.layout = Arc::new(wide);
        }
        inputs.push(Input::Tensor(edge));
    }
    let layout = Arc::new(Layout::contiguous(with(m, n)));
    record_one(Op::Matmul, inputs, OutSpec { dtype, layout })
}

fn attach_product(a: &Tensor, b: &Tensor, out: &Tensor) -> Result<()> {
    // Each gradient reads the other factor: what nobody will ask for is not kept.
    let kept: &[usize] = match (a.requires_grad(), b.requires_grad()) {
        (true, true) => &[0, 1],
        (true, false) => &[1],
        _ => &[0],
    };
    let (left, right) = (a.shape_dims().clone(), b.shape_dims().clone());
    // The gradient of a transposed matrix is made transposed, so that the matrix itself gets its own layout (`x @ w.T`).
    let (turn_left, turn_right) = (is_transposed(a), is_transposed(b));
    let name = if out.rank() == 2 { "MmBackward0" } else { "BmmBackward0" };
    attach(name, &[a, b], std::slice::from_ref(out), Keep { inputs: kept, outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| {
            let g = v.grad()?;
            let (first, last) = (v.saved(0), v.saved(v.all_saved().len() - 1));
            let ga = match v.needs(0) {
                true if turn_left && alone(&left, g) => Some(t(&product(last, &t(g)?)?)?),
                true => Some(super::reduce::sum_to(&product(g, &t(last)?)?, &left)?),
                false => None,
            };
            let gb = match v.needs(1) {
                true if turn_right && alone(&right, g) => Some(t(&product(&t(g)?, first)?)?),
                true => Some(weight_grad(first, g, &right)?),
                false => None,
            };
            Ok(Grads::from_iter([ga, gb]))
        }))
    })
}

/// Whether matrices are the transposes of row-major ones, wherever those of a batch lie.
fn is_transposed(x: &Tensor) -> bool {
    let (l, last) = (x.layout(), x.rank() - 1);
    l.strides[last - 1] == 1 && l.strides[last] == l.shape[last - 1]
}

/// Whether a factor of the given shape has all batch dims of the product.
fn alone(factor: &Dims, product: &Tensor) -> bool {
    factor.len() == product.rank() && factor[..factor.len() - 2] == product.shape()[..factor.len() - 2]
}

/// aᵀ·g, summed over batch dims that the other factor, of shape `b`, does not have: folded into one long product where that
/// is a matrix.
fn weight_grad(a: &Tensor, g: &Tensor, b: &Dims) -> Result<Tensor> {
    if b.len() == 2 && a.rank() > 2 && a.rank() == g.rank() && a.shape()[..a.rank() - 2] == g.shape()[..g.rank() - 2] {
        let rows: usize = a.shape()[..a.rank() - 1].iter().product();
        let flat_a = view::reshape(a, &[rows, a.shape()[a.rank() - 1]])?;
        let flat_g = view::reshape(g, &[rows, g.shape()[g.rank() - 1]])?;
        return product(&t(&flat_a)?, &flat_g);
    }
    super::reduce::sum_to(&product(&t(a)?, g)?, b)
}

/// `torch.matmul`: vectors are promoted to matrices and the added dims dropped; batch dims broadcast.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ensure!(
        a.rank() > 0 && b.rank() > 0,
        Runtime,
        "both arguments to matmul need to be at least 1D, but they are {}D and {}D",
        a.rank(),
        b.rank()
    );
    ensure!(
        a.dtype() == b.dtype(),
        Runtime,
        "expected m1 and m2 to have the same dtype, but got: {} != {}",
        a.dtype().scalar_name(),
        b.dtype().scalar_name()
    );
    let (x, y) = (a.rank() == 1, b.rank() == 1);
    let since = next_step();
    if x && y {
        ensure!(
            a.numel() == b.numel(),
            Runtime,
            "inconsistent tensor size, expected tensor {} and src {} to have the same number of elements, but got {} and {} elements respectively",
            a.shape_dims(),
            b.shape_dims(),
            a.numel(),
            b.numel()
        );
    }
    let left = if x { view::unsqueeze(a, 0)? } else { a.clone() };
    let right = if y { view::unsqueeze(b, 1)? } else { b.clone() };
    // A batch of rows times one matrix is one tall product.
    let out = if left.rank() > 2 && right.rank() == 2 {
        let rows: usize = left.shape()[..left.rank() - 1].iter().product();
        let k = left.shape()[left.rank() - 1];
        let flat = product(&view::reshape(&left, &[rows, k])?, &right)?;
        let shape: Dims = left.shape()[..left.rank() - 1].iter().copied().chain([right.shape()[1]]).collect();
        let out = view::reshape(&flat, &shape)?;
        out.name_step("UnsafeViewBackward0", since);
        out
    } else {
        product(&left, &right)?
    };
    let mut drop: SmallVec<[usize; 6]> = SmallVec::new();
    if x {
        drop.push(out.rank() - 2);
    }
    if y {
        drop.push(out.rank() - 1);
    }
    if drop.is_empty() {
        return Ok(out);
    }
    let out = view::squeeze(&out, &drop);
    match (a.rank(), b.rank()) {
        (1, 1) => out.name_step("DotBackward0", since),
        (2, 1) => out.name_step("MvBackward0", since),
        _ => {}
    }
    Ok(out)
}

/// Both operands in their common dtype.
pub fn promoted(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let dtype = carried::checked_result_type(&[Operand::from(a), Operand::from(b)])?;
    Ok((cast(a, dtype)?, cast(b, dtype)?))
}
