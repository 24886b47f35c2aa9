//! The rows of the operator table, by family; the functions behind them are the engine's.

pub mod elementwise;
pub mod linear;
pub mod loss;
pub mod norm;
pub mod reduce;
pub mod shape;
pub mod window;
