//! Transformations of programs: they see operators only, never kernels.

pub mod autograd;
pub mod replay;
