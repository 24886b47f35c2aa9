//! Payloads of the fused operators of networks: normalisation, softmax, attention, losses over classes,
//! recurrent layers, and their gradients.

/// What a normalisation takes its statistics over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Norm {
    /// The last elements. Numbers: how many, eps.
    Layer,
    /// As `Layer`, without subtracting the mean.
    Rms,
    /// Groups of channels of one sample. Numbers: how many groups, eps.
    Group,
    /// Each channel of the batch. Numbers: eps.
    Batch,
    /// Given statistics per channel. Numbers: eps.
    Running,
}

/// Which of the optional inputs of a normalisation are there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Affine {
    pub weight: bool,
    pub bias: bool,
}

/// The gradient of a normalisation: whether it has a weight, and which of the gradients of input, weight and bias are made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NormGrad {
    pub weight: bool,
    pub wants: [bool; 3],
}

/// Losses over class indices. Numbers: the index to ignore and, for cross-entropy, the label smoothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Loss {
    /// `[scores, target, weight?]` to losses per sample, statistics for the gradient, the sum of the weights.
    CrossEntropy,
    /// `[grad, scores, target, weight?, statistics]`.
    CrossEntropyGrad,
    /// `[log-probabilities, target, weight?]` to losses per sample and the sum of the weights.
    Nll,
    /// `[grad, target, weight?]`.
    NllGrad,
}

/// What a recurrent layer computes in a step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cell {
    Tanh,
    Relu,
    Lstm,
    Gru,
}

impl Cell {
    pub const fn gates(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }
}

/// A layer over all steps: whether it begins with the last one, has a bias, and is told the rows of each step. Numbers:
/// the steps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Recurrence {
    pub cell: Cell,
    pub reverse: bool,
    pub bias: bool,
    pub sizes: bool,
}

/// Operators with kernels of their own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fused {
    /// Along a dim.
    Softmax { log: bool, dim: u8 },
    /// `[grad, output]`.
    SoftmaxGrad { log: bool, dim: u8 },
    /// `[x, mean, variance (both for Running), weight?, bias?]` to the output and its statistics.
    Norm(Norm, Affine),
    /// `[grad, x, mean (not for Rms), rstd or variance, weight?]`.
    NormGrad(Norm, NormGrad),
    /// `[query, key, value, mask?]` to the output and its log-sum-exp. Numbers: scale, dropout, seed, offset.
    Attention { causal: bool, mask: bool },
    /// `[grad, query, key, value, mask?, output, log-sum-exp]` to the wanted gradients of query, key, value and mask.
    AttentionGrad { causal: bool, mask: bool, wants: [bool; 4] },
    /// With a weight per class or without.
    Loss(Loss, bool),
    /// `[projected input, h, weight, c (LSTM), bias?, sizes?]` to the states of all steps, the last h and c, and, if it
    /// saves, LSTM's and GRU's activations and LSTM's cells.
    Recurrence(Recurrence, bool),
    /// `[gradients of states?, last h? and last c?, states, h, weight, activations and cells where there are, c (LSTM),
    /// sizes?]` to the gradients of the projected input, the recurrent product (GRU), h, c (LSTM) and the weight.
    RecurrenceGrad { of: Recurrence, given: [bool; 3], weight: bool },
}

impl Fused {
    pub const fn name(&self) -> &'static str {
        match self {
            Fused::Softmax { log: false, .. } => "softmax",
            Fused::Softmax { log: true, .. } => "log_softmax",
            Fused::SoftmaxGrad { log: false, .. } => "softmax_backward",
            Fused::SoftmaxGrad { log: true, .. } => "log_softmax_backward",
            Fused::Norm(n, _) => match n {
                Norm::Layer => "layer_norm",
                Norm::Rms => "rms_norm",
                Norm::Group => "group_norm",
                Norm::Batch | Norm::Running => "batch_norm",
            },
            Fused::NormGrad(n, _) => match n {
                Norm::Layer => "layer_norm_backward",
                Norm::Rms => "rms_norm_backward",
                Norm::Group => "group_norm_backward",
                Norm::Batch | Norm::Running => "batch_norm_backward",
            },
            Fused::Attention { .. } => "scaled_dot_product_attention",
            Fused::AttentionGrad { .. } => "scaled_dot_product_attention_backward",
            Fused::Loss(l, _) => match l {
                Loss::CrossEntropy => "cross_entropy",
                Loss::CrossEntropyGrad => "cross_entropy_backward",
                Loss::Nll => "nll_loss",
                Loss::NllGrad => "nll_loss_backward",
            },
            Fused::Recurrence(r, _) => match r.cell {
                Cell::Tanh => "rnn_tanh",
                Cell::Relu => "rnn_relu",
                Cell::Lstm => "lstm",
                Cell::Gru => "gru",
            },
            Fused::RecurrenceGrad { of, .. } => match of.cell {
                Cell::Tanh => "rnn_tanh_backward",
                Cell::Relu => "rnn_relu_backward",
                Cell::Lstm => "lstm_backward",
                Cell::Gru => "gru_backward",
            },
        }
    }
}
