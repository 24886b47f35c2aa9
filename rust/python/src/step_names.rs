//! PyTorch's names for the backward steps of operators that run as others do: their last step gets the operator's own name.

use crate::args::Args;
use corten_core::ops::elementwise::Operand;

/// The name of an operator's last step, by its arguments.
pub type Namer = fn(&Args) -> &'static str;

fn is_tensor(a: &Args, i: usize) -> bool {
    matches!(a.operand(i), Operand::Tensor(_))
}

/// How the steps of an operator are named, where not as the engine does it.
pub fn namer(operator: &str, arguments: usize) -> Option<Namer> {
    Some(match (operator, arguments) {
        ("t", _) => |_| "TBackward0",
        ("linear", _) => |a| match (a.tensor(0).rank(), a.opt_tensor(2).is_some()) {
            (2, true) => "AddmmBackward0",
            (2, false) => "MmBackward0",
            (1, true) => "AddBackward0",
            (1, false) => "SqueezeBackward4",
            (_, true) => "ViewBackward0",
            (_, false) => "UnsafeViewBackward0",
        },
        ("addmm", _) => |_| "AddmmBackward0",
        ("addmv", _) => |_| "AddmvBackward0",
        ("addr", _) => |_| "AddrBackward0",
        ("addbmm", _) => |_| "AddbmmBackward0",
        ("baddbmm", _) => |_| "BaddbmmBackward0",
        ("rsub", _) => |a| if is_tensor(a, 1) { "RsubBackward0" } else { "RsubBackward1" },
        ("clamp_min", _) => |a| if is_tensor(a, 1) { "ClampMinBackward1" } else { "ClampMinBackward0" },
        ("clamp_max", _) => |a| if is_tensor(a, 1) { "ClampMaxBackward1" } else { "ClampMaxBackward0" },
        ("masked_fill", _) => |a| if is_tensor(a, 2) { "MaskedFillBackward1" } else { "MaskedFillBackward0" },
        ("round", _) => |a| if a.int(1) == 0 { "RoundBackward0" } else { "RoundBackward1" },
        ("sgn", _) => |_| "SgnBackward0",
        ("celu", _) => |_| "CeluBackward0",
        ("prelu", _) => |_| "PreluKernelBackward0",
        ("squeeze", 2) => |a| if a.ints(1).len() == 1 { "SqueezeBackward1" } else { "SqueezeBackward2" },
        ("stack", _) => |_| "StackBackward0",
        ("repeat" | "tile", _) => |_| "RepeatBackward0",
        ("rot90", _) => |_| "Rot90Backward0",
        ("trace", _) => |_| "TraceBackward0",
        ("diag", _) => |a| if a.tensor(0).rank() == 1 { "DiagEmbedBackward0" } else { "DiagonalBackward0_copy" },
        ("diag_embed", _) => |_| "DiagEmbedBackward0",
        ("select_scatter", _) => |_| "SelectScatterBackward0",
        ("slice_scatter", _) => |_| "SliceScatterBackward0",
        ("diagonal_scatter", _) => |_| "DiagonalScatterBackward0",
        ("index_select", _) => |_| "IndexSelectBackward0",
        ("index_reduce", _) => |_| "IndexReduceBackward0",
        ("std", _) => |_| "StdBackward0",
        ("aminmax", _) => |_| "AminmaxBackward0",
        ("max", 1) => |_| "MaxBackward1",
        ("min", 1) => |_| "MinBackward1",
        ("zero_", _) => |_| "ZeroBackward0",
        ("fill_", _) => |a| if is_tensor(a, 1) { "FillBackward3" } else { "FillBackward2" },
        ("uniform_", _) => |_| "UniformBackward0",
        ("normal_", _) => |_| "NormalBackward0",
        ("bernoulli_", _) => |_| "BernoulliBackward2",
        ("random_", _) => |_| "RandomBackward2",
        ("exponential_", _) => |_| "ExponentialBackward0",
        _ => return None,
    })
}
