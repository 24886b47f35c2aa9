//! The structural parameters of windowed operators.

pub use crate::cpu::conv::ConvParams;
pub use crate::cpu::im2col::BlockParams;
pub use crate::cpu::interpolate::{ResizeMode, ResizeParams};
pub use crate::cpu::pad::{PadMode, PadParams};
pub use crate::cpu::pool::{AvgPoolParams, PoolParams};
