//! Images and volumes read at given places, on the CPU: without history, for `nn.functional.grid_sample`, which has the
//! derivatives of every order and on every device from other operators.

use crate::ensure;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::graph::OutSpec;
use crate::op::{Op, SampleParams, Window};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::sync::Arc;

fn run(kind: Window, tensors: &[&Tensor], shape: Dims) -> Result<Tensor> {
    let spec = OutSpec { dtype: tensors[0].dtype(), layout: Arc::new(Layout::contiguous(shape)) };
    record_one(Op::Window(Box::new(kind)), SmallVec::from_iter(tensors.iter().map(|t| t.input())), spec)
}

/// The grid of images or volumes `(N, C, *sizes)`.
fn check(image: &[usize], grid: &Tensor, p: &SampleParams) -> Result<()> {
    let (spatial, g) = (p.spatial, grid.shape());
    ensure!(
        image.len() == spatial + 2 && g.len() == spatial + 2 && g[spatial + 1] == spatial && g[0] == image[0],
        Runtime,
        "grid_sampler(): expected an input (N, C, *sizes) and a grid (N, *places, {spatial}), but got sizes {image:?} and {g:?}"
    );
    ensure!(
        image[2..].iter().all(|&n| n > 0),
        Runtime,
        "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes {image:?}"
    );
    Ok(())
}

/// What is read: `(N, C, *places)`.
pub fn sample(image: &Tensor, grid: &Tensor, p: &SampleParams) -> Result<Tensor> {
    check(image.shape(), grid, p)?;
    let mut shape = image.shape_dims().clone();
    shape[2..].copy_from_slice(&grid.shape()[1..=p.spatial]);
    run(Window::Sample(*p), &[image, grid], shape)
}

/// The gradient by images of the given sizes.
pub fn image_grad(grad: &Tensor, grid: &Tensor, sizes: &[usize], p: &SampleParams) -> Result<Tensor> {
    check(sizes, grid, p)?;
    run(Window::SampleImageGrad(*p), &[grad, grid], Dims::from_slice(sizes))
}

/// The gradient by the grid.
pub fn grid_grad(grad: &Tensor, image: &Tensor, grid: &Tensor, p: &SampleParams) -> Result<Tensor> {
    check(image.shape(), grid, p)?;
    run(Window::SampleGridGrad(*p), &[grad, image, grid], grid.shape_dims().clone())
}
