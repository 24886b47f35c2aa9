"""Activation functions, the softmax family and the dropout family."""

import warnings

import corten

from ... import _ops
from ...overrides import hand_over, taken, takes_over


def relu(input, inplace=False):
    """Computes ``max(x, 0)`` elementwise."""
    if taken.over and takes_over(input):
        return hand_over(relu, locals(), input)
    return _ops.relu_(input) if inplace else _ops.relu(input)


def relu6(input, inplace=False):
    """Computes ``min(max(x, 0), 6)`` elementwise."""
    if taken.over and takes_over(input):
        return hand_over(relu6, locals(), input)
    return _ops.hardtanh_(input, 0.0, 6.0) if inplace else _ops.relu6(input)


def elu(input, alpha=1.0, inplace=False):
    """Computes ``x`` where positive, else ``alpha (exp(x) - 1)``."""
    if taken.over and takes_over(input):
        return hand_over(elu, locals(), input)
    return _ops.elu_(input, alpha) if inplace else _ops.elu(input, alpha)


def selu(input, inplace=False):
    """Computes the scaled ELU of self-normalizing networks (Klambauer et al. 2017)."""
    if taken.over and takes_over(input):
        return hand_over(selu, locals(), input)
    return _ops.selu_(input) if inplace else _ops.selu(input)


def celu(input, alpha=1.0, inplace=False):
    """Computes ``max(0, x) + min(0, alpha (exp(x / alpha) - 1))``.

    Raises:
        RuntimeError: where ``alpha`` is 0.
    """
    if taken.over and takes_over(input):
        return hand_over(celu, locals(), input)
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _ops.celu_(input, alpha) if inplace else _ops.celu(input, alpha)


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """Computes ``x`` where positive, else ``negative_slope * x``."""
    if taken.over and takes_over(input):
        return hand_over(leaky_relu, locals(), input)
    return _ops.leaky_relu_(input, negative_slope) if inplace else _ops.leaky_relu(input, negative_slope)


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """Computes a leaky ReLU whose slope is drawn uniformly in training and is the mean slope otherwise."""
    if taken.over and takes_over(input):
        return hand_over(rrelu, locals(), input)
    function = _ops.rrelu_ if inplace else _ops.rrelu
    return function(input, lower, upper, training)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """Clamps elementwise to ``[min_val, max_val]``."""
    if taken.over and takes_over(input):
        return hand_over(hardtanh, locals(), input)
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    function = _ops.hardtanh_ if inplace else _ops.hardtanh
    return function(input, min_val, max_val)


def hardswish(input, inplace=False):
    """Computes ``x * relu6(x + 3) / 6``."""
    if taken.over and takes_over(input):
        return hand_over(hardswish, locals(), input)
    return _ops.hardswish_(input) if inplace else _ops.hardswish(input)


def hardsigmoid(input, inplace=False):
    """Computes ``relu6(x + 3) / 6``."""
    if taken.over and takes_over(input):
        return hand_over(hardsigmoid, locals(), input)
    return _ops.hardsigmoid_(input) if inplace else _ops.hardsigmoid(input)


def silu(input, inplace=False):
    """Computes ``x * sigmoid(x)``."""
    if taken.over and takes_over(input):
        return hand_over(silu, locals(), input)
    return _ops.silu_(input) if inplace else _ops.silu(input)


def mish(input, inplace=False):
    """Computes ``x * tanh(softplus(x))``."""
    if taken.over and takes_over(input):
        return hand_over(mish, locals(), input)
    return _ops.mish_(input) if inplace else _ops.mish(input)


def threshold(input, threshold, value, inplace=False):
    """Keeps what is greater than ``threshold`` and replaces the rest by ``value``."""
    function = _ops.threshold_ if inplace else _ops.threshold
    return function(input, threshold, value)


def glu(input, dim=-1):
    """Halves ``input`` along ``dim`` into ``a`` and ``b`` and returns ``a * sigmoid(b)``."""
    if taken.over and takes_over(input):
        return hand_over(glu, locals(), input)
    if input.dim() == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    return _ops.glu(input, dim)


def sigmoid(input):
    """Computes ``1 / (1 + exp(-x))``."""
    return input.sigmoid()


def tanh(input):
    """Computes the hyperbolic tangent."""
    return input.tanh()


def softsign(input):
    """Computes ``x / (1 + |x|)``."""
    if taken.over and takes_over(input):
        return hand_over(softsign, locals(), input)
    return input / (input.abs() + 1)


def tanhshrink(input):
    """Computes ``x - tanh(x)``."""
    if taken.over and takes_over(input):
        return hand_over(tanhshrink, locals(), input)
    return input - input.tanh()


def _implicit_softmax_dim(name, ndim, stacklevel):
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """Computes ``exp(x) / sum(exp(x))`` along ``dim``, after casting to ``dtype`` when it is given."""
    if taken.over and takes_over(input):
        return hand_over(softmax, locals(), input)
    if dim is None:
        dim = _implicit_softmax_dim("softmax", input.dim(), _stacklevel)
    return _ops.softmax(input, dim, dtype)


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """Computes ``softmax(-x)`` along ``dim``."""
    if taken.over and takes_over(input):
        return hand_over(softmin, locals(), input)
    if dim is None:
        dim = _implicit_softmax_dim("softmin", input.dim(), _stacklevel)
    return _ops.softmax(-input, dim, dtype)


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """Computes ``log(softmax(x))`` along ``dim`` without overflow."""
    if taken.over and takes_over(input):
        return hand_over(log_softmax, locals(), input)
    if dim is None:
        dim = _implicit_softmax_dim("log_softmax", input.dim(), _stacklevel)
    return _ops.log_softmax(input, dim, dtype)


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """Samples from the Gumbel-Softmax distribution of ``logits`` (Jang et al. 2017).

    Args:
        logits: unnormalised log probabilities ``(*, num_features)``.
        tau: temperature.
        hard: return one-hot samples whose gradient is that of the soft ones.
        dim: the dimension of the distribution.
    """
    if taken.over and takes_over(logits):
        return hand_over(gumbel_softmax, locals(), logits)
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    gumbels = -corten.empty_like(logits, memory_format=corten.legacy_contiguous_format).exponential_().log()
    soft = ((logits + gumbels) / tau).softmax(dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    one_hot = corten.zeros_like(logits, memory_format=corten.legacy_contiguous_format).scatter_(dim, index, 1.0)
    # The value is one_hot; the gradient flows through the soft sample.
    return one_hot - soft.detach() + soft


def _check_probability(p):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input, p=0.5, training=True, inplace=False):
    """Zeroes elements with probability ``p`` in training and scales the rest by ``1 / (1 - p)``."""
    if taken.over and takes_over(input):
        return hand_over(dropout, locals(), input)
    _check_probability(p)
    function = _ops.dropout_ if inplace else _ops.dropout
    return function(input, p, training)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Dropout that keeps mean and variance of SELU activations (Klambauer et al. 2017)."""
    if taken.over and takes_over(input):
        return hand_over(alpha_dropout, locals(), input)
    _check_probability(p)
    function = _ops.alpha_dropout_ if inplace else _ops.alpha_dropout
    return function(input, p, training)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Alpha dropout of whole channels of ``(N, C, *)``."""
    if taken.over and takes_over(input):
        return hand_over(feature_alpha_dropout, locals(), input)
    _check_probability(p)
    function = _ops.feature_alpha_dropout_ if inplace else _ops.feature_alpha_dropout
    return function(input, p, training)


def dropout1d(input, p=0.5, training=True, inplace=False):
    """Zeroes whole channels of ``(N, C, L)`` or ``(C, L)`` with probability ``p`` in training."""
    if taken.over and takes_over(input):
        return hand_over(dropout1d, locals(), input)
    _check_probability(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that dropout1d exists to "
            "provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional "
            "batch dimension (i.e. 2D or 3D inputs)."
        )
    return _channel_dropout(input, p, training, inplace, batched=input.dim() == 3)


def dropout2d(input, p=0.5, training=True, inplace=False):
    """Zeroes whole channels of ``(N, C, H, W)`` with probability ``p`` in training.

    A 3-d input counts as ``(N, C, L)``; use :func:`dropout1d` for that.
    """
    if taken.over and takes_over(input):
        return hand_over(dropout2d, locals(), input)
    _check_probability(p)
    if input.dim() not in (3, 4):
        _warn_unexpected_rank("dropout2d", input.dim(), 2, "3D or 4D")
    elif input.dim() == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is "
            "desired - input is interpreted as shape (N, C, L), where C is the channel dim. This behavior will change "
            "in a future release to interpret the input as one without a batch dimension, i.e. shape (C, H, W). To "
            "maintain the 1D channel-wise dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _channel_dropout(input, p, training, inplace, batched=True)


def dropout3d(input, p=0.5, training=True, inplace=False):
    """Zeroes whole channels of ``(N, C, D, H, W)`` or ``(C, D, H, W)`` with probability ``p`` in training."""
    if taken.over and takes_over(input):
        return hand_over(dropout3d, locals(), input)
    _check_probability(p)
    if input.dim() not in (4, 5):
        _warn_unexpected_rank("dropout3d", input.dim(), 3, "4D or 5D")
    return _channel_dropout(input, p, training, inplace, batched=input.dim() != 4)


def _warn_unexpected_rank(name, ndim, spatial, expected):
    warnings.warn(
        f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an error in a future "
        f"release. To retain the behavior and silence this warning, please use dropout instead. Note that {name} "
        f"exists to provide channel-wise dropout on inputs with {spatial} spatial dimensions, a channel dimension, "
        f"and an optional batch dimension (i.e. {expected} inputs).",
        stacklevel=3,
    )


def _channel_dropout(input, p, training, inplace, batched):
    function = _ops.feature_dropout_ if inplace else _ops.feature_dropout
    if batched:
        return function(input, p, training)
    result = function(input.unsqueeze(0), p, training)
    return input if inplace else result.squeeze(0)
