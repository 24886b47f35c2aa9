//! The rows of the operator table, by family; the functions behind them are the engine's.

pub mod complex;
pub mod create;
pub mod deprecated;
pub mod elementwise;
pub mod fourier;
pub mod index;
pub mod linear;
pub mod loss;
pub mod norm;
pub mod random;
pub mod reduce;
pub mod shape;
pub mod sort;
pub mod window;
