"""nn.functional beside PyTorch's: values, gradients and the errors that wrong arguments raise."""

from __future__ import annotations

import corten
import numpy as np
import pytest
import torch
from test_nn_parity import as_numpy, backward, integers, into, neutral, normal, signs, tensors_in

RTOL, ATOL = 2e-5, 2e-6
AFFINE = np.array([[[0.9, 0.2, -0.1], [-0.3, 1.1, 0.2]], [[1.3, 0.0, 0.4], [0.1, -0.8, 0.0]]], np.float32)
GRID = normal(2, 4, 5, 2) * 0.8
GRID_3D = normal(1, 3, 4, 2, 3) * 0.8
IMAGE, VOLUME = normal(2, 3, 5, 6), normal(1, 2, 4, 3, 5)
POSITIVE = np.abs(normal(3, 4)) + 0.1

CALLS = {
    "relu inplace": ("F.relu(x * 1, inplace=True)", (normal(3, 4),)),
    "hardtanh inplace": ("F.hardtanh(x * 1, -0.5, 0.5, inplace=True)", (normal(3, 4),)),
    "relu6 inplace": ("F.relu6(x * 9, inplace=True)", (normal(3, 4),)),
    "elu inplace": ("F.elu(x * 1, 0.5, inplace=True)", (normal(3, 4),)),
    "leaky_relu inplace": ("F.leaky_relu(x * 1, 0.3, True)", (normal(3, 4),)),
    "celu inplace": ("F.celu(x * 1, 0.5, inplace=True)", (normal(3, 4),)),
    "selu inplace": ("F.selu(x * 1, inplace=True)", (normal(3, 4),)),
    "silu inplace": ("F.silu(x * 1, inplace=True)", (normal(3, 4),)),
    "mish inplace": ("F.mish(x * 1, inplace=True)", (normal(3, 4),)),
    "hardswish inplace": ("F.hardswish(x * 1, inplace=True)", (normal(3, 4),)),
    "hardsigmoid inplace": ("F.hardsigmoid(x * 1, inplace=True)", (normal(3, 4),)),
    "threshold inplace": ("F.threshold(x * 1, 0.2, -1.0, inplace=True)", (normal(3, 4),)),
    "rrelu in evaluation": ("F.rrelu(x)", (normal(3, 4),)),
    "softmax with dtype": ("F.softmax(x, -1, dtype=f.float64)", (normal(3, 4),)),
    "softmax without dim": ("F.softmax(x)", (normal(3, 4, 2),)),
    "log_softmax without dim": ("F.log_softmax(x)", (normal(3, 4),)),
    "dropout in evaluation": ("F.dropout(x, 0.5, False)", (normal(3, 4),)),
    "alpha_dropout in evaluation": ("F.alpha_dropout(x, 0.5)", (normal(3, 4),)),
    "dropout1d p=0": ("F.dropout1d(x, 0.0)", (normal(3, 4),)),
    "normalize": ("F.normalize(x, 3.0, 0)", (normal(3, 4),)),
    "normalize zero vectors": ("F.normalize(x * 0)", (normal(3, 4),)),
    "cosine_similarity": ("F.cosine_similarity(x, y, -1)", (normal(3, 4), normal(1, 4))),
    "cosine_similarity of zeros": ("F.cosine_similarity(x * 0, y)", (normal(3, 4), normal(1, 4))),
    "pairwise_distance p=1": ("F.pairwise_distance(x, y, 1.0)", (normal(3, 4), normal(4, 4)[:3])),
    "pdist": ("F.pdist(x)", (normal(5, 4),)),
    "pdist p=inf": ("F.pdist(x, float('inf'))", (normal(5, 4),)),
    "pdist p=1.5": ("F.pdist(x, 1.5)", (normal(5, 4),)),
    "batch_norm": ("F.batch_norm(x, None, None, training=True)", (normal(3, 4, 2),)),
    "batch_norm running": ("F.batch_norm(x, y[0].detach(), y[1].detach().abs())", (normal(3, 4), normal(2, 4))),
    "instance_norm": ("F.instance_norm(x, weight=y)", (normal(3, 4, 5), normal(4))),
    "group_norm": ("F.group_norm(x, 2, y, y)", (normal(3, 4, 5), normal(4))),
    "layer_norm": ("F.layer_norm(x, [4], y)", (normal(3, 4), normal(4))),
    "local_response_norm": ("F.local_response_norm(x, 5, 0.9, 0.6, 2.0)", (normal(2, 4, 3),)),
    "max_pool1d with indices": ("F.max_pool1d_with_indices(x, 2)", (normal(2, 3, 8),)),
    "max_pool2d stride": ("F.max_pool2d(x, 3, 1, 1)", (IMAGE,)),
    "max_pool2d negative": ("F.max_pool2d(-x.abs(), 3, 2, 1, return_indices=True)", (IMAGE,)),
    "max_pool3d ceil": ("F.max_pool3d(x, 2, ceil_mode=True, return_indices=True)", (VOLUME,)),
    "adaptive_max_pool2d": ("F.adaptive_max_pool2d(x, 3, return_indices=True)", (IMAGE,)),
    "adaptive_avg_pool3d": ("F.adaptive_avg_pool3d(x, (2, None, 3))", (VOLUME,)),
    "fractional_max_pool2d": (
        "F.fractional_max_pool2d(x, 2, (3, 4), return_indices=True, _random_samples=y.detach())",
        (IMAGE, np.random.default_rng(0).random((2, 3, 2)).astype(np.float32)),
    ),
    "fractional_max_pool3d": (
        "F.fractional_max_pool3d(x, (2, 1, 2), output_ratio=(0.6, 0.7, 0.5), _random_samples=y.detach())",
        (VOLUME, np.random.default_rng(0).random((1, 2, 3)).astype(np.float32)),
    ),
    "lp_pool2d ceil": ("F.lp_pool2d(x, 2, 2, 2, ceil_mode=True)", (IMAGE,)),
    "pad negative": ("F.pad(x, (-1, 2, 1, -2))", (IMAGE,)),
    "pad value": ("F.pad(x, (1, 2), value=4.5)", (normal(3),)),
    "pad circular": ("F.pad(x, (1, 2, 3, 0), 'circular')", (IMAGE,)),
    "pixel_shuffle 3d": ("F.pixel_shuffle(x, 2)", (normal(4, 2, 3),)),
    "pixel_unshuffle 5d": ("F.pixel_unshuffle(x, 3)", (normal(2, 1, 2, 6, 3),)),
    "fold of unfold": ("F.fold(F.unfold(x, 3, 1, 1, 2), (5, 6), 3, 1, 1, 2)", (IMAGE,)),
    "interpolate recomputed": (
        "F.interpolate(x, scale_factor=1.7, mode='bilinear', recompute_scale_factor=True)",
        (IMAGE,),
    ),
    "interpolate area": ("F.interpolate(x, (3, 4), mode='area')", (IMAGE,)),
    "interpolate exact": ("F.interpolate(x, scale_factor=(0.7, 1.6), mode='nearest-exact')", (IMAGE,)),
    "interpolate antialias": ("F.interpolate(x, (3, 3), mode='bilinear', antialias=True)", (IMAGE,)),
    "interpolate bicubic aligned": ("F.interpolate(x, (7, 8), mode='bicubic', align_corners=True)", (IMAGE,)),
    "interpolate volume": ("F.interpolate(x, scale_factor=2)", (VOLUME,)),
    "affine_grid": ("F.affine_grid(x, (2, 3, 4, 5), align_corners=False)", (AFFINE,)),
    "affine_grid aligned": ("F.affine_grid(x, (2, 3, 1, 5), align_corners=True)", (AFFINE,)),
    "affine_grid volume": ("F.affine_grid(x, (2, 1, 2, 3, 4), align_corners=False)", (normal(2, 3, 4),)),
    "one_hot": ("F.one_hot(x, 5)", (integers(5, 3, 2),)),
    "embedding_bag weighted": (
        "F.embedding_bag(y, x, mode='sum', per_sample_weights=z, padding_idx=2)",
        (normal(5, 3), integers(5, 4, 2), normal(4, 2)),
    ),
    "embedding_bag max padding": (
        "F.embedding_bag(y, x, z, mode='max', padding_idx=2)",
        (normal(4, 3), integers(4, 6), np.array([0, 3])),
    ),
    "embedding renormalised": (
        "F.embedding(y, x.detach() * 3, max_norm=1.5, norm_type=1.0)",
        (normal(5, 3), integers(5, 4)),
    ),
    "conv_tbc": ("F.conv_tbc(x, y, z, 1)", (normal(6, 2, 3), normal(2, 3, 4), normal(4))),
    "mse_loss weighted": ("F.mse_loss(x, x * x, weight=y.detach())", (normal(3, 4), POSITIVE)),
    "l1_loss weighted": ("F.l1_loss(x, x * 2, weight=y.detach(), reduction='sum')", (normal(3, 4), POSITIVE)),
    "huber_loss weighted": ("F.huber_loss(x, x * x, delta=0.3, weight=y.detach())", (normal(3, 4), POSITIVE)),
    "nll_loss weighted": ("F.nll_loss(x, y, z.detach())", (normal(5, 4), integers(4, 5), POSITIVE[0])),
    "cross_entropy weighted": (
        "F.cross_entropy(x, y, z.detach(), label_smoothing=0.2, ignore_index=2)",
        (normal(5, 4), integers(4, 5), POSITIVE[0]),
    ),
    "cross_entropy single": ("F.cross_entropy(x, y)", (normal(5), np.array(3))),
    "linear_cross_entropy": ("F.linear_cross_entropy(x, y, z)", (normal(5, 4), normal(3, 4), integers(3, 5))),
    "binary_cross_entropy weighted": (
        "F.binary_cross_entropy(x.sigmoid(), y.detach(), z.detach(), reduction='sum')",
        (normal(3, 4), integers(2, 3, 4).astype(np.float32), POSITIVE[:, :1]),
    ),
    "bce_with_logits weighted": (
        "F.binary_cross_entropy_with_logits(x, y.detach(), z.detach(), pos_weight=z.detach()[0])",
        (normal(3, 4), integers(2, 3, 4).astype(np.float32), POSITIVE),
    ),
    "kl_div none": ("F.kl_div(x, y.detach(), reduction='none')", (normal(3, 4), POSITIVE)),
    "gaussian_nll_loss per row": ("F.gaussian_nll_loss(x, x * x, y)", (normal(3, 4), POSITIVE[:, 0].copy())),
    "gaussian_nll_loss number": ("F.gaussian_nll_loss(x, x * x, 2.0, reduction='none')", (normal(3, 4),)),
    "multi_margin_loss weighted": (
        "F.multi_margin_loss(x, y, weight=z.detach())",
        (normal(5, 4), integers(4, 5), POSITIVE[0]),
    ),
    "multi_margin_loss single": ("F.multi_margin_loss(x, y, reduction='none')", (normal(4), np.array(2))),
    "multilabel_margin_loss single": ("F.multilabel_margin_loss(x, y)", (normal(4), np.array([2, 0, -1, 3]))),
    "multilabel_soft_margin_loss": (
        "F.multilabel_soft_margin_loss(x, y.detach(), z.detach(), reduction='none')",
        (normal(3, 4), integers(2, 3, 4).astype(np.float32), POSITIVE[0]),
    ),
    "cosine_embedding_loss single": ("F.cosine_embedding_loss(x[0], x[1], y, 0.1)", (normal(2, 4), np.array(-1))),
    "hinge_embedding_loss sum": ("F.hinge_embedding_loss(x, y, reduction='sum')", (normal(3, 4), signs(3, 4))),
    "triplet p=1": ("F.triplet_margin_loss(x, y, x * 2, p=1, reduction='sum')", (normal(3, 4), normal(4, 4)[:3])),
    "triplet with distance": (
        "F.triplet_margin_with_distance_loss(x, y, x * 2, swap=True, "
        "distance_function=lambda a, b: (a - b).abs().sum(-1))",
        (normal(3, 4), normal(4, 4)[:3]),
    ),
    "ctc_loss mean": (
        "F.ctc_loss(x.log_softmax(2), y, (7, 4, 6), (3, 1, 0))",
        (normal(7, 3, 4), np.array([[1, 1, 2], [3, 0, 0], [0, 0, 0]])),
    ),
    "ctc_loss impossible": (
        "F.ctc_loss(x.log_softmax(2), y, (2, 5), (3, 2), reduction='sum', zero_infinity=True)",
        (normal(5, 2, 4), np.array([[1, 1, 2], [3, 1, 0]])),
    ),
    "ctc_loss unbatched": (
        "F.ctc_loss(x.log_softmax(1), y, f.tensor(5), f.tensor(3), reduction='none')",
        (normal(5, 4), np.array([1, 2, 2])),
    ),
    **{
        f"grid_sample {mode} {padding} {corners}": (
            f"F.grid_sample(x.double(), y.double(), {mode!r}, {padding!r}, {corners})",
            (IMAGE, GRID),
        )
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (False, True)
    },
    **{
        f"grid_sample volume {mode} {padding}": (
            f"F.grid_sample(x, y, {mode!r}, {padding!r}, False)",
            (VOLUME, GRID_3D),
        )
        for mode in ("bilinear", "nearest")
        for padding in ("zeros", "border", "reflection")
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text, inputs", CALLS.values(), ids=CALLS)
def test_a_function_computes_what_pytorch_computes(text, inputs):
    results = []
    for framework, kind in ((corten, corten.Tensor), (torch, torch.Tensor)):
        framework.manual_seed(5)
        arguments = into(framework, inputs)
        names = dict(zip("xyz", arguments, strict=False), F=framework.nn.functional, f=framework)
        outputs = tensors_in(eval(text, names), kind)
        backward(framework, outputs)
        results.append((outputs, [argument.grad for argument in arguments]))
    (mine, my_grads), (others, their_grads) = results
    for mine_output, other in zip(mine, others, strict=True):
        assert mine_output.dtype is not None and tuple(mine_output.shape) == tuple(other.shape)
        assert neutral(str(mine_output.dtype)) == neutral(str(other.dtype))
        np.testing.assert_allclose(as_numpy(mine_output), as_numpy(other), 1e-4, 1e-5)
    for mine_grad, other in zip(my_grads, their_grads, strict=True):
        assert (mine_grad is None) == (other is None)
        if other is not None:
            np.testing.assert_allclose(as_numpy(mine_grad), as_numpy(other), 2e-4, 2e-5)


# The class of the error, and PyTorch's message where it names the operator and the rule.
MISTAKES = [
    "F.mse_loss(a, a, reduction='foo')",
    "F.mse_loss(a, a, weight=f.ones(2))",
    "F.huber_loss(a, a, delta=0.0)",
    "F.smooth_l1_loss(a, a, beta=-1.0)",
    "F.gaussian_nll_loss(a, a, -a.abs() - 1)",
    "F.gaussian_nll_loss(a, a, f.ones(3, 3))",
    "F.binary_cross_entropy(a, f.ones(2, 2))",
    "F.binary_cross_entropy_with_logits(a, f.ones(2, 2))",
    "F.kl_div(a, a, reduction='foo')",
    "F.cosine_embedding_loss(a, a, a)",
    "F.cosine_embedding_loss(a, a, f.tensor(1))",
    "F.margin_ranking_loss(a, a, f.ones(2))",
    "F.multi_margin_loss(a, f.tensor([0, 1]), p=3)",
    "F.multi_margin_loss(a, f.tensor([0, 1]), weight=a)",
    "F.multi_margin_loss(a, f.tensor([0, 1]), weight=f.ones(2))",
    "F.multi_margin_loss(a, f.tensor([0, 5]))",
    "F.multi_margin_loss(a, f.tensor([0, 1, 1]))",
    "F.multilabel_margin_loss(a, f.tensor([[0, 1], [0, 1]]))",
    "F.multilabel_margin_loss(a, f.tensor([[0, 1, 5], [0, 1, 2]]))",
    "F.triplet_margin_loss(a, a, a, margin=-1)",
    "F.triplet_margin_loss(a, a, f.ones(3))",
    "F.ctc_loss(c, f.ones(2, 3).long(), (5, 6), (3, 2))",
    "F.ctc_loss(c, f.ones(5).long(), (5, 5), (3, 2), blank=5)",
    "F.ctc_loss(c, f.ones(5).long(), (5,), (3, 2))",
    "F.ctc_loss(c, f.ones(5).long(), (5, 5), (3,))",
    "F.glu(f.tensor(1.0))",
    "F.hardtanh(a, 1, -1)",
    "F.dropout(a, 1.5)",
    "F.dropout1d(f.ones(1, 2, 3, 4))",
    "F.feature_alpha_dropout(a, -0.5)",
    "F.batch_norm(f.ones(1, 3), None, None, training=True)",
    "F.instance_norm(f.ones(2, 3, 1))",
    "F.group_norm(f.ones(1, 4), 4)",
    "F.embedding_bag(f.tensor([0, 1]), a)",
    "F.embedding_bag(f.tensor([[0, 1]]), a, f.tensor([0]))",
    "F.embedding_bag(f.tensor([0, 1]), a, f.tensor([0, 1]), mode='foo')",
    "F.embedding_bag(f.tensor([0, 1]), a, f.tensor([0, 1]), mode='sum', per_sample_weights=f.ones(3))",
    "F.embedding_bag(f.tensor([0, 1]), a, f.tensor([[0, 1]]))",
    "F.interpolate(i)",
    "F.interpolate(i, 2, 2)",
    "F.interpolate(i, [2])",
    "F.interpolate(i, scale_factor=[2])",
    "F.interpolate(i, 2, mode='linear')",
    "F.interpolate(i, 2, align_corners=True)",
    "F.interpolate(i, 2, recompute_scale_factor=True)",
    "F.grid_sample(i, f.ones(2, 2, 2, 2), align_corners=False)",
    "F.grid_sample(i, f.ones(1, 2, 2, 3), align_corners=False)",
    "F.grid_sample(i, f.ones(1, 2, 2, 2), mode='foo')",
    "F.grid_sample(i, f.ones(1, 2, 2, 2), padding_mode='foo')",
    "F.affine_grid(f.ones(1, 2, 2), (1, 1, 2, 2), False)",
    "F.affine_grid(f.ones(1, 2, 3), (1, 1, 2), False)",
    "F.affine_grid(f.ones(1, 2, 3), (1, 1, 0, 2), False)",
    "F.pixel_shuffle(f.ones(1, 3, 2, 2), 2)",
    "F.pixel_shuffle(a, 2)",
    "F.pixel_unshuffle(f.ones(1, 3, 3, 2), 2)",
    "F.channel_shuffle(f.ones(1, 3, 3, 2), 2)",
    "F.max_unpool2d(i, f.zeros(1, 1, 4, 4).long(), 2, output_size=(20, 20))",
    "F.max_unpool2d(i, f.zeros(1, 1, 4, 3).long(), 2)",
    "F.max_unpool2d(a, a.long(), 2)",
    "F.max_unpool2d(i, f.full((1, 1, 4, 4), 999), 2)",
    "F.fractional_max_pool2d(i, 2)",
    "F.pdist(i)",
    "F.adaptive_avg_pool2d(a, (2, 2))",
]


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_raises_what_pytorch_raises(text):
    errors = []
    for framework in (corten, torch):
        names = {
            "F": framework.nn.functional,
            "f": framework,
            "a": framework.arange(6.0).reshape(2, 3),
            "c": framework.zeros(5, 2, 4).log_softmax(2),
            "i": framework.ones(1, 1, 4, 4),
        }
        with pytest.raises(Exception) as caught:
            eval(text, names)
        errors.append(caught)
    mine, other = errors
    assert mine.type is other.type
    # A trailing remark about where the check sits is PyTorch's own.
    expected = neutral(str(other.value)).split(" (while checking")[0].split("\n[")[0].strip()
    assert neutral(str(mine.value)).strip() == expected


def test_gumbel_softmax_draws_pytorchs_numbers_and_hard_samples_are_one_hot():
    drawn = []
    for framework in (corten, torch):
        framework.manual_seed(4)
        logits = into(framework, normal(3, 5))
        soft = framework.nn.functional.gumbel_softmax(logits, tau=0.7)
        hard = framework.nn.functional.gumbel_softmax(logits, hard=True)
        backward(framework, [soft, hard])
        assert as_numpy(hard).sum() == pytest.approx(3.0)
        drawn.append((as_numpy(soft), as_numpy(hard), as_numpy(logits.grad)))
    for mine, other in zip(*drawn):
        np.testing.assert_allclose(mine, other, 1e-4, 1e-5)
