"""nn.functional: every function of network parts, native ones and those composed of tensor operators."""

import corten

from .._composites import FUNCTIONS as _FUNCTIONS
from .._composites._arguments import handed_over as _handed_over
from .._ops import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    bilinear,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    gelu,
    hardshrink,
    linear,
    logsigmoid,
    one_hot,
    prelu,
    rrelu_,
    scaled_dot_product_attention,
    softplus,
    softshrink,
)
from ._functional.activation import (
    alpha_dropout,
    celu,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    elu,
    feature_alpha_dropout,
    glu,
    gumbel_softmax,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    mish,
    relu,
    relu6,
    rrelu,
    selu,
    sigmoid,
    silu,
    softmax,
    softmin,
    softsign,
    tanh,
    tanhshrink,
    threshold,
)
from ._functional.attention import _canonical_mask, _in_projection_packed, multi_head_attention_forward
from ._functional.ctc import ctc_loss
from ._functional.distance import cosine_similarity, pairwise_distance, pdist
from ._functional.embedding import embedding, embedding_bag
from ._functional.grid_sample import grid_sample
from ._functional.grouped import grouped_mm
from ._functional.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    linear_cross_entropy,
    mse_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from ._functional.normalization import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    normalize,
    rms_norm,
)
from ._functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from ._functional.ranking import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from ._functional.scaled import ScalingType, SwizzleType, scaled_grouped_mm, scaled_mm
from ._functional.vision import (
    affine_grid,
    channel_shuffle,
    fold,
    interpolate,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    unfold,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)

native_channel_shuffle = channel_shuffle
elu_, hardtanh_, leaky_relu_ = (_handed_over(getattr(corten._ops, n)) for n in ("elu_", "hardtanh_", "leaky_relu_"))
celu_, relu_, selu_, threshold_ = (_FUNCTIONS[name] for name in ("celu_", "relu_", "selu_", "threshold_"))


@_handed_over
def conv_tbc(input, weight, bias, pad=0):  # noqa: F811  (the argument's name is part of the interface)
    """Convolves ``(time, batch, in)`` with ``weight`` ``(kernel, in, out)``; returns ``(time, batch, out)``."""
    if input.dim() != 3 or weight.dim() != 3 or bias.dim() != 1:
        raise RuntimeError(
            "conv_tbc: input must be (time, batch, in), weight (kernel, in, out) and bias (out), but their shapes are "
            f"{list(input.shape)}, {list(weight.shape)} and {list(bias.shape)}"
        )
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)


__all__ = [
    name
    for name, value in list(globals().items())
    if callable(value) and not name.startswith("_") and value is not corten
]
