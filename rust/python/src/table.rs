//! The operator table: a row per overload, in PyTorch's schema notation, with the function that runs it. Elementwise
//! operators get their rows from the engine's own table; the families are in `ops/`.

use crate::args::Args;
use corten_core::error::Result;
use corten_core::op::Ew;
use corten_core::tensor::Tensor;

/// What a row returns.
pub enum Ret {
    Tensor(Tensor),
    Tuple(Vec<Tensor>),
    /// A tuple with named fields; the name is the operator's.
    Named(&'static str, Vec<Tensor>),
}

impl From<Tensor> for Ret {
    fn from(t: Tensor) -> Ret {
        Ret::Tensor(t)
    }
}

/// How a row is run.
#[derive(Clone, Copy)]
pub enum Call {
    Fn(fn(&Args) -> Result<Ret>),
    /// An elementwise operator on the arguments as they come.
    Ew(Ew),
}

pub const FUNCTION: u8 = 1;
pub const METHOD: u8 = 2;
pub const INPLACE: u8 = 4;
pub const OUT: u8 = 8;
/// Makes a tensor from nothing: the dtype of `out=` is the result's.
pub const CREATES: u8 = 16;

/// One overload of an operator.
pub struct Row {
    pub signature: &'static str,
    pub flags: u8,
    pub doc: &'static str,
    pub call: Call,
}

/// `rows! { "name(Tensor self)" fmio "Doc." |a| expression; … }`: f function, m method, i in-place, o out=,
/// c creation (`out=` decides the dtype).
#[macro_export]
macro_rules! rows {
    ($($signature:literal $flags:ident $doc:literal |$a:ident| $e:expr;)*) => {
        vec![$($crate::table::Row {
            signature: $signature,
            flags: $crate::table::flags(stringify!($flags)),
            doc: $doc,
            call: $crate::table::Call::Fn(|$a| Ok($e.into())),
        }),*]
    };
}

/// The flag letters of a row.
pub const fn flags(letters: &str) -> u8 {
    let mut out = 0;
    let bytes = letters.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        out |= match bytes[i] {
            b'f' => FUNCTION,
            b'm' => METHOD,
            b'i' => INPLACE,
            b'o' => OUT,
            b'c' => CREATES,
            _ => 0,
        };
        i += 1;
    }
    out
}

/// Every row.
pub fn rows() -> Vec<Row> {
    let mut all = crate::ops::elementwise::rows();
    all.extend(crate::ops::complex::rows());
    all.extend(crate::ops::shape::rows());
    all.extend(crate::ops::reduce::rows());
    all.extend(crate::ops::linear::rows());
    all.extend(crate::ops::fourier::rows());
    all.extend(crate::ops::create::rows());
    all.extend(crate::ops::random::rows());
    all.extend(crate::ops::norm::rows());
    all.extend(crate::ops::loss::rows());
    all.extend(crate::ops::window::rows());
    all.extend(crate::ops::index::rows());
    all.extend(crate::ops::sort::rows());
    all.extend(crate::ops::deprecated::rows());
    all
}
