//! `Op`: the closed list of primitive families, each a small payload deriving `Hash` and `Eq`. Sizes, scalars and offsets
//! are never in a payload: they belong to the node, so plans are shared between shapes.

pub mod fft;
pub mod fused;
pub mod index;
pub mod kernel;
pub mod linalg;

use crate::device::Device;
use crate::dtype::DType;
use crate::elementwise_table;
pub use crate::params::{
    AvgPoolParams, BlockParams, ConvParams, Outside, PadMode, PadParams, PoolParams, ResizeMode, ResizeParams,
    SampleMode, SampleParams,
};
use fft::Fourier;
use fused::Fused;
use index::{Indexing, Sorting};
use kernel::Kernel;
use linalg::Linalg;

/// How an elementwise operator treats dtypes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The result has the input's dtype.
    Same,
    /// Floating inputs only; the result has the input's dtype.
    Floats,
    /// Integers and bool become the default float dtype.
    Float,
    /// Inputs are promoted to one dtype, which is the result's.
    Arith,
    /// As `Arith`, and integers become the default float dtype.
    Quotient,
    /// Inputs are promoted; the result is bool.
    Compare,
    /// One input of any dtype; the result is bool.
    Test,
    /// Inputs are taken as bool; the result is bool.
    Logic,
    /// Integers and bool, promoted.
    Bits,
    /// Integers only, promoted.
    Integers,
    /// A bool condition, and two promoted values.
    Select,
}

macro_rules! rule {
    (same) => {
        Rule::Same
    };
    (floats) => {
        Rule::Floats
    };
    (float) => {
        Rule::Float
    };
    (arith) => {
        Rule::Arith
    };
    (quotient) => {
        Rule::Quotient
    };
    (compare) => {
        Rule::Compare
    };
    (test) => {
        Rule::Test
    };
    (logic) => {
        Rule::Logic
    };
    (bits) => {
        Rule::Bits
    };
    (integers) => {
        Rule::Integers
    };
    (select) => {
        Rule::Select
    };
}

/// Bits of `Ew::saves`: arguments 0 to 3, and the output.
pub const SAVE_OUTPUT: u8 = 1 << 7;

macro_rules! define_elementwise {
    ($(($V:ident, $name:literal, $rule:ident, ($($arg:ident),*), $doc:literal, cpu { $($cls:ident : $e:expr),* }, wgsl { $($wc:ident : $w:literal),* }, grad $($grad:tt)*))*) => {
        /// The elementwise operators, from the table in `ops/elementwise_table.rs`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Ew { $(#[doc = $doc] $V),* }

        impl Ew {
            pub const ALL: &'static [Ew] = &[$(Ew::$V),*];
            /// PyTorch's name.
            pub const fn name(self) -> &'static str {
                match self { $(Ew::$V => $name),* }
            }
            pub const fn doc(self) -> &'static str {
                match self { $(Ew::$V => $doc),* }
            }
            pub const fn rule(self) -> Rule {
                match self { $(Ew::$V => rule!($rule)),* }
            }
            pub const fn arity(self) -> usize {
                match self { $(Ew::$V => [$(stringify!($arg)),*].len()),* }
            }
            /// The arguments' names.
            pub const fn arguments(self) -> &'static [&'static str] {
                match self { $(Ew::$V => &[$(stringify!($arg)),*]),* }
            }
            /// The expression over the arguments' names, in WGSL, for values of a class given as bits of [`class_bit`].
            const fn wgsl_of(self, class: u8) -> Option<&'static str> {
                match self { $(Ew::$V => { $(if class_bit(stringify!($wc)) & class != 0 { return Some($w) })* None }),* }
            }
            /// Which dtype classes the row computes, as bits of [`class_bit`].
            const fn classes(self) -> u8 {
                match self { $(Ew::$V => 0 $(| class_bit(stringify!($cls)))*),* }
            }
            /// What the derivative needs, as a bit per argument and [`SAVE_OUTPUT`].
            pub fn saves(self) -> u8 {
                match self { $(Ew::$V => saves!([$($arg),*] $($grad)*)),* }
            }
            /// Per argument: the saved values its gradient expression mentions, as bits of [`Ew::saves`].
            pub fn gradient_uses(self) -> smallvec::SmallVec<[u8; 4]> {
                let (names, texts): (&[&str], &[&str]) = match self {
                    $(Ew::$V => (&[$(stringify!($arg)),*], gradient_texts!($($grad)*))),*
                };
                let mentions = |text: &str, name: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == name);
                texts
                    .iter()
                    .map(|text| {
                        let inputs = names.iter().enumerate().filter(|(_, n)| mentions(text, n)).fold(0, |m, (i, _)| m | 1 << i);
                        (inputs | if mentions(text, "out") { SAVE_OUTPUT } else { 0 }) & self.saves()
                    })
                    .collect()
            }
            /// Whether a floating result may require grad.
            pub const fn differentiable(self) -> bool {
                match self { $(Ew::$V => differentiable!($($grad)*)),* }
            }
        }
    };
}

macro_rules! differentiable {
    (none) => {
        false
    };
    ($($other:tt)*) => {
        true
    };
}

macro_rules! gradient_texts {
    (none) => { &[] };
    (($g:ident; $($s:ident),*) [$($e:expr),*]) => { &[$(stringify!($e)),*] };
}

macro_rules! saves {
    ([$($arg:ident),*] none) => { 0 };
    ([$($arg:ident),*] ($g:ident; $($s:ident),*) $grads:tt) => {{
        let arguments: &[&str] = &[$(stringify!($arg)),*];
        let saved: &[&str] = &[$(stringify!($s)),*];
        saved.iter().fold(0u8, |mask, s| mask | arguments.iter().position(|a| a == s).map_or(SAVE_OUTPUT, |i| 1 << i))
    }};
}

/// A row's dtype classes: `f`loat, `i`nteger, `b`ool, `a`ny.
const fn class_bit(class: &str) -> u8 {
    match class.as_bytes()[0] {
        b'f' => 1,
        b'i' => 2,
        b'b' => 4,
        _ => 7,
    }
}

elementwise_table!(define_elementwise);

fn class_of(dtype: DType) -> u8 {
    match dtype {
        DType::Bool => class_bit("b"),
        d if d.is_float() => class_bit("f"),
        _ => class_bit("i"),
    }
}

impl Ew {
    /// Whether the row has an expression for `dtype`.
    pub fn supports(self, dtype: DType) -> bool {
        if !dtype.is_primitive() {
            return if dtype.is_complex() { self.has_complex() } else { self.has_carried(dtype) };
        }
        self.classes() & class_of(dtype) != 0 || self.is_random()
    }
    /// Whether the operator is there for complex numbers: on their pairs, or put together from parts in `ops/complex`.
    fn has_complex(self) -> bool {
        use Ew::*;
        let moves = matches!(self, Copy | Where | Eq | Ne | IsNan | IsInf | IsFinite | LogicalNot | NanToNum);
        let sums = matches!(self, Neg | Abs | Add | Sub | Mul | Div | Reciprocal | Lerp | Addcmul | Addcdiv);
        let powers = matches!(
            self,
            Sqrt | Rsqrt | Pow | Exp | Exp2 | Expm1 | Log | Log2 | Log10 | Log1p | LogAddExp | Ldexp | Sigmoid | Silu
        );
        let circular =
            matches!(self, Sin | Cos | Tan | Asin | Acos | Atan | Sinh | Cosh | Tanh | Asinh | Acosh | Atanh);
        moves || sums || powers || circular
    }
    /// Whether the operator is there for a carried dtype, which is where PyTorch has it: on the integers that carry the numbers,
    /// or put together in `ops/carried`.
    fn has_carried(self, dtype: DType) -> bool {
        use Ew::*;
        if matches!(self, Copy | Where | Eq | Ne | Mul | IsNan) {
            return true;
        }
        if dtype.is_wide_unsigned() {
            return matches!(
                self,
                BitwiseAnd
                    | BitwiseOr
                    | BitwiseXor
                    | Floor
                    | Ceil
                    | Round
                    | Trunc
                    | NanToNum
                    | Signbit
                    | IsInf
                    | IsFinite
                    | IsPosInf
                    | IsNegInf
            );
        }
        match self {
            Abs => dtype != DType::F8E8M0,
            IsInf => dtype == DType::F8E5M2,
            IsFinite => matches!(dtype, DType::F8E5M2 | DType::F8E8M0),
            _ => false,
        }
    }
    /// Whether the first two arguments are the seed and the offset of a stream, and only the result's dtype counts.
    pub fn is_random(self) -> bool {
        matches!(
            self,
            Ew::Philox
                | Ew::PhiloxInteger
                | Ew::PhiloxExponential
                | Ew::PhiloxNormal
                | Ew::PhiloxCauchy
                | Ew::PhiloxPoisson
                | Ew::PhiloxBinomial
                | Ew::PhiloxGamma
        )
    }
    /// The row's expression in WGSL for values of `dtype`; `$` stands for the prefix of the integer type's functions.
    pub fn wgsl(self, dtype: DType) -> Option<&'static str> {
        self.wgsl_of(class_of(dtype))
    }
}

/// What a reduction computes over the reduced dims.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reduction {
    Sum,
    Prod,
    Mean,
    Max,
    Min,
    ArgMax,
    ArgMin,
    /// Values and indices along one dim.
    MaxIndex,
    MinIndex,
    Any,
    All,
    /// Number: the correction.
    Var,
    /// Number: the order.
    Norm,
    LogSumExp,
    CountNonzero,
}

impl Reduction {
    pub const fn name(self) -> &'static str {
        match self {
            Reduction::Sum => "sum",
            Reduction::Prod => "prod",
            Reduction::Mean => "mean",
            Reduction::Max => "amax",
            Reduction::Min => "amin",
            Reduction::ArgMax => "argmax",
            Reduction::ArgMin => "argmin",
            Reduction::MaxIndex => "max",
            Reduction::MinIndex => "min",
            Reduction::Any => "any",
            Reduction::All => "all",
            Reduction::Var => "var",
            Reduction::Norm => "norm",
            Reduction::LogSumExp => "logsumexp",
            Reduction::CountNonzero => "count_nonzero",
        }
    }
}

/// A scan along one dim.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scan {
    Sum {
        reverse: bool,
    },
    Prod {
        reverse: bool,
    },
    LogSumExp {
        reverse: bool,
    },
    /// Values and indices.
    Max,
    /// Values and indices.
    Min,
}

impl Scan {
    pub const fn name(self) -> &'static str {
        match self {
            Scan::Sum { .. } => "cumsum",
            Scan::Prod { .. } => "cumprod",
            Scan::LogSumExp { .. } => "logcumsumexp",
            Scan::Max => "cummax",
            Scan::Min => "cummin",
        }
    }
}

/// Which of a convolution's three products.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Conv {
    /// `[input, weight, bias?]`.
    Forward,
    /// `[grad, weight]`.
    InputGrad,
    /// `[input, grad]`.
    WeightGrad,
}

/// Operators over windows and borders of the last dims.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Window {
    /// Values and flat positions.
    MaxPool(PoolParams),
    /// Values and flat positions; the number of spatial dims.
    AdaptiveMaxPool(u8),
    /// `[values, positions]` added into planes of zeros. The window under which each position lies, none for those of
    /// adaptive pooling, which follow from the sizes.
    SpreadPlanes(u8, Option<PoolParams>),
    /// `[planes, positions]`.
    TakePlanes(u8),
    AvgPool(AvgPoolParams),
    AvgPoolGrad(AvgPoolParams),
    AdaptiveAvgPool(u8),
    AdaptiveAvgPoolGrad(u8),
    Pad(PadParams),
    PadGrad(PadParams),
    Resize(ResizeParams),
    ResizeGrad(ResizeParams),
    Im2col(BlockParams),
    Col2im(BlockParams),
    /// `[image, grid]`; on the CPU, as are its gradients.
    Sample(SampleParams),
    /// `[grad, grid]`.
    SampleImageGrad(SampleParams),
    /// `[grad, image, grid]`.
    SampleGridGrad(SampleParams),
}

impl Window {
    pub const fn name(&self) -> &'static str {
        match self {
            Window::MaxPool(_) => "max_pool",
            Window::AdaptiveMaxPool(_) => "adaptive_max_pool",
            Window::SpreadPlanes(..) => "max_pool_backward",
            Window::TakePlanes(_) => "take_planes",
            Window::AvgPool(_) => "avg_pool",
            Window::AvgPoolGrad(_) => "avg_pool_backward",
            Window::AdaptiveAvgPool(_) => "adaptive_avg_pool",
            Window::AdaptiveAvgPoolGrad(_) => "adaptive_avg_pool_backward",
            Window::Pad(_) => "pad",
            Window::PadGrad(_) => "pad_backward",
            Window::Resize(_) => "interpolate",
            Window::ResizeGrad(_) => "interpolate_backward",
            Window::Im2col(_) => "im2col",
            Window::Col2im(_) => "col2im",
            Window::Sample(_) => "grid_sampler",
            Window::SampleImageGrad(_) | Window::SampleGridGrad(_) => "grid_sampler_backward",
        }
    }
}

/// The primitive families.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// Memory that exists already.
    Data,
    /// An elementwise operator on inputs broadcast to the output's shape.
    Ew(Ew),
    /// Conversion to the output's dtype.
    Cast,
    /// The bits of float32 as int32, and back.
    Bits,
    /// `[base, value]`: the base's storage with `value` written through the layout kept as the third, layout-only input.
    WriteView,
    /// `[start, step]` scalars: start + step·i.
    Arange,
    /// Over the dims whose bits are set.
    Reduce(Reduction, u64),
    Scan(Scan, u8),
    /// Joins along a dim.
    Cat(u8),
    Indexing(Indexing),
    Sorting(Sorting),
    /// (…, m, k) × (…, k, n).
    Matmul,
    Linalg(Linalg),
    /// The same where inputs, then outputs, whose bits are set hold pairs of real and imaginary part in their last dim.
    ComplexLinalg(Linalg, u8),
    /// Over this many last dims, that of the pairs aside.
    Fft(Fourier, u8),
    /// Large payloads are boxed: nodes of small operators stay small.
    Conv(Conv, Box<ConvParams>),
    Window(Box<Window>),
    Fused(Fused),
    /// Tensors, then numbers as words, then the invocations along one to three dims.
    Kernel(Kernel),
}

impl Op {
    /// Whether it is run for what it does and not for its outputs.
    pub const fn acts(&self) -> bool {
        matches!(self, Op::Indexing(Indexing::Check))
    }

    /// The name in errors, profiles and `grad_fn`.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Data => "data",
            Op::Ew(e) => e.name(),
            Op::Cast => "to",
            Op::Bits => "view",
            Op::WriteView => "copy_",
            Op::Arange => "arange",
            Op::Reduce(k, _) => k.name(),
            Op::Scan(k, _) => k.name(),
            Op::Cat(_) => "cat",
            Op::Indexing(i) => i.name(),
            Op::Sorting(s) => s.name(),
            Op::Matmul => "matmul",
            Op::Linalg(l) | Op::ComplexLinalg(l, _) => l.name(),
            Op::Fft(f, _) => f.name(),
            Op::Conv(..) => "convolution",
            Op::Window(w) => w.name(),
            Op::Fused(f) => f.name(),
            Op::Kernel(k) => k.name(),
        }
    }
    /// Whether elementwise work on what it writes can be part of its kernel; on the GPU also that on what it reads.
    pub fn joins(&self, device: Device) -> bool {
        match self {
            Op::Matmul | Op::Conv(Conv::Forward, _) => true,
            Op::Conv(..) => device.is_gpu(),
            Op::Reduce(kind, _) => device.is_gpu() && !matches!(kind, Reduction::MaxIndex | Reduction::MinIndex),
            _ => false,
        }
    }
    /// Whether the output is the first input with some elements replaced.
    pub fn overwrites_first(&self) -> bool {
        matches!(self, Op::WriteView) || matches!(self, Op::Indexing(i) if i.overwrites())
    }
}
