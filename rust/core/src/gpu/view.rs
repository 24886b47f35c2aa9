//! What kernels read and write.

use super::inline::Inline;
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
    /// What is computed instead of being read from the memory, or from what would be written there. Only kernels of
    /// operators that join are given such windows ([`crate::op::Op::joins`]).
    pub inline: Option<&'a Inline<'a>>,
}

impl<'a> View<'a> {
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Adds the buffers that a kernel binds for it.
    pub fn bind(&self, buffers: &mut Vec<&'a Allocation>) {
        match self.inline {
            Some(inline) => inline.bind(self.memory, buffers),
            None => buffers.push(self.memory),
        }
    }
}

/// What a pipeline's key needs of the programs inside its windows.
pub fn inline_key(views: &[&View]) -> Vec<u32> {
    let mut key = Vec::new();
    for view in views {
        match view.inline {
            Some(inline) => {
                let own = inline.key();
                key.push(own.len() as u32);
                key.extend(own);
            }
            None => key.push(0),
        }
    }
    if key.iter().all(|&w| w == 0) { Vec::new() } else { key }
}
