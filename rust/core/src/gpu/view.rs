//! What kernels read and write.

use super::memory::Allocation;
use crate::dtype::DType;

/// A strided window of device memory; offset and strides count elements.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub memory: &'a Allocation,
    pub offset: usize,
    pub dtype: DType,
    pub shape: &'a [usize],
    pub strides: &'a [usize],
}

impl View<'_> {
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
}
