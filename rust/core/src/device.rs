//! Where a tensor lives.

use std::fmt;

/// A device; GPUs are numbered in the order in which adapters are found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Device {
    #[default]
    Cpu,
    Gpu(u16),
    /// Shapes, strides and dtypes without elements (PyTorch's `meta`). Nothing there is computed, kept or waited for.
    Meta,
}

impl Device {
    #[inline]
    pub fn is_gpu(self) -> bool {
        matches!(self, Device::Gpu(_))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Gpu(i) => write!(f, "gpu:{i}"),
            Device::Meta => f.write_str("meta"),
        }
    }
}
