"""Graphs, their code and what passes make of them, beside PyTorch: the same programs traced by both."""

from __future__ import annotations

import contextlib
import io
import math
import operator
import pickle

import corten
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:`torch.jit:DeprecationWarning")
LIBRARIES = (corten, torch)

# Calls by their text: `x`, `y`, `z` are traced.
FUNCTIONAL = """
    F.relu(x) | F.relu(x, inplace=True) | F.relu6(x) | F.elu(x, 2.0) | F.selu(x) | F.celu(x, alpha=2.0) | F.relu_(x)
    F.leaky_relu(x, 0.2) | F.rrelu(x, training=True) | F.hardtanh(x, -2, 2) | F.hardswish(x) | F.hardsigmoid(x)
    F.silu(x) | F.mish(x) | F.glu(x, dim=1) | F.sigmoid(x) | F.tanh(x) | F.softsign(x) | F.tanhshrink(x)
    F.softmax(x, dim=-1) | F.softmax(x, 1, dtype=lib.float32) | F.softmin(x, dim=1) | F.log_softmax(x, 1)
    F.gumbel_softmax(x, hard=True) | F.gelu(x) | F.gelu(x, approximate="tanh") | F.logsigmoid(x) | F.softplus(x, 2)
    F.softshrink(x) | F.hardshrink(x, 0.3) | F.prelu(x, y) | F.threshold_(x, 0.1, 2.0)
    F.dropout(x) | F.dropout(x, 0.1, training=False) | F.alpha_dropout(x, 0.1) | F.feature_alpha_dropout(x, 0.1)
    F.dropout1d(x) | F.dropout2d(x, p=0.2) | F.dropout3d(x)
    F.linear(x, y) | F.linear(x, y, z) | F.bilinear(x, y, z) | F.embedding(x, y) | F.embedding(x, y, padding_idx=0)
    F.embedding_bag(x, y, z, mode="sum") | F.one_hot(x, 3) | F.one_hot(x, num_classes=4)
    F.conv1d(x, y) | F.conv2d(x, y, None, 2, 1) | F.conv2d(x, y, stride=2, padding="same") | F.conv3d(x, y, z)
    F.conv_transpose1d(x, y) | F.conv_transpose2d(x, y, stride=2) | F.conv_transpose3d(x, y)
    F.avg_pool1d(x, 2) | F.avg_pool2d(x, 2) | F.avg_pool2d(x, 3, stride=2, padding=1) | F.avg_pool3d(x, 2)
    F.max_pool1d(x, 2) | F.max_pool2d(x, 3, stride=2, padding=1) | F.max_pool2d(x, 2, return_indices=True)
    F.max_pool3d(x, 2) | F.max_unpool2d(x, y, 2) | F.max_unpool1d(x, y, 2) | F.max_unpool3d(x, y, 2)
    F.adaptive_avg_pool1d(x, 1) | F.adaptive_avg_pool2d(x, (1, 1)) | F.adaptive_avg_pool2d(x, 1)
    F.adaptive_avg_pool3d(x, 1) | F.adaptive_max_pool1d(x, 2) | F.adaptive_max_pool2d(x, 1)
    F.adaptive_max_pool2d(x, 1, return_indices=True) | F.adaptive_max_pool3d(x, 1)
    F.lp_pool1d(x, 2, 2) | F.lp_pool2d(x, 2.0, 3, stride=2) | F.lp_pool3d(x, 2, 2)
    F.fractional_max_pool2d(x, 2, output_size=3) | F.fractional_max_pool3d(x, 2, output_ratio=0.5)
    F.batch_norm(x, y, z) | F.batch_norm(x, None, None, training=True) | F.instance_norm(x) | F.layer_norm(x, (3,))
    F.group_norm(x, 2, y, z) | F.rms_norm(x, (3,)) | F.local_response_norm(x, 2) | F.normalize(x, dim=1)
    F.cross_entropy(x, y) | F.cross_entropy(x, y, label_smoothing=0.1) | F.nll_loss(x, y) | F.mse_loss(x, y)
    F.smooth_l1_loss(x, y) | F.huber_loss(x, y, delta=2.0) | F.kl_div(x, y)
    F.binary_cross_entropy(x, y) | F.binary_cross_entropy_with_logits(x, y) | F.poisson_nll_loss(x, y)
    F.gaussian_nll_loss(x, y, z) | F.hinge_embedding_loss(x, y) | F.cosine_embedding_loss(x, y, z)
    F.margin_ranking_loss(x, y, z) | F.multi_margin_loss(x, y) | F.multilabel_margin_loss(x, y)
    F.multilabel_soft_margin_loss(x, y) | F.soft_margin_loss(x, y) | F.triplet_margin_loss(x, y, z)
    F.triplet_margin_with_distance_loss(x, y, z) | F.ctc_loss(x, y, z, z)
    F.cosine_similarity(x, y) | F.pairwise_distance(x, y) | F.pdist(x)
    F.pixel_shuffle(x, 2) | F.pixel_unshuffle(x, 2) | F.channel_shuffle(x, 2) | F.pad(x, (1, 1)) | F.pad(x, (1, 2), "reflect")
    F.interpolate(x, scale_factor=2) | F.interpolate(x, size=(4, 4), mode="bilinear", align_corners=False)
    F.upsample(x, scale_factor=2) | F.unfold(x, 2) | F.fold(x, 4, 2) | F.grid_sample(x, y) | F.affine_grid(x, (1, 1, 2, 2))
    F.scaled_dot_product_attention(x, y, z) | F.scaled_dot_product_attention(x, y, z, is_causal=True)
"""
TOP = """
    lib.add(x, 1) | lib.add(x, y, alpha=2) | lib.sub(x, y) | lib.mul(x, y) | lib.div(x, y, rounding_mode="floor")
    lib.exp(x) | lib.log(x) | lib.sqrt(x) | lib.abs(x) | lib.neg(x) | lib.pow(x, 2) | lib.clamp(x, 0, 1)
    lib.clamp(x, min=0) | lib.relu(x) | lib.sigmoid(x) | lib.tanh(x) | lib.erf(x) | lib.where(x, y, z)
    lib.where(x > 0, y, 0.0) | lib.sum(x, dim=1) | lib.mean(x, 1, keepdim=True) | lib.max(x) | lib.max(x, dim=1)
    lib.argmax(x, dim=-1) | lib.softmax(x, dim=1) | lib.cat([x, y], 1) | lib.cat((x, y), dim=0) | lib.stack([x, y])
    lib.concat([x, y]) | lib.split(x, 2) | lib.split(x, [1, 2], dim=1) | lib.chunk(x, 2, dim=1) | lib.unbind(x)
    lib.flatten(x, 1) | lib.reshape(x, (2, -1)) | lib.transpose(x, 0, 1) | lib.permute(x, (1, 0)) | lib.squeeze(x, 1)
    lib.unsqueeze(x, 0) | lib.matmul(x, y) | lib.mm(x, y) | lib.bmm(x, y) | lib.einsum("ij,jk->ik", x, y)
    lib.tensordot(x, y, dims=1) | lib.outer(x, y) | lib.addmm(x, y, z)
    lib.baddbmm(x, y, z) | lib.norm(x) | lib.norm(x, dim=1) | lib.var(x, 1) | lib.std(x) | lib.cumsum(x, 0)
    lib.gather(x, 1, y) | lib.index_select(x, 0, y) | lib.masked_fill(x, y, 0.0) | lib.topk(x, 2) | lib.sort(x, 1)
    lib.meshgrid(x, y, indexing="ij") | lib.tril(x) | lib.triu(x, 1)
    lib.diag(x) | lib.eye(x) | lib.zeros_like(x) | lib.ones_like(x, dtype=lib.float64) | lib.full_like(x, 2)
    lib.rand_like(x) | lib.randn_like(x) | lib.empty_like(x) | lib.zeros(x) | lib.full((x,), 1.0)
    lib.zeros((x, y)) | lib.arange(x) | lib.arange(0, x, dtype=lib.float32) | lib.linspace(0, 1, x)
    lib.isnan(x) | lib.isfinite(x) | lib.logical_and(x, y) | lib.eq(x, y) | lib.allclose(x, y) | lib.equal(x, y)
    lib.bincount(x) | lib.histc(x) | lib.unique(x) | lib.flip(x, (0,)) | lib.roll(x, 1, 0) | lib.repeat_interleave(x, 2)
    lib.broadcast_tensors(x, y) | lib.cdist(x, y) | lib.cartesian_prod(x, y) | lib.block_diag(x, y) | lib.atleast_2d(x)
    lib.stft(x, 4, return_complex=True) | lib.cross(x, y, dim=1) | lib.lerp(x, y, 0.5) | lib.fft.fft(x)
    lib.fft.rfft(x, dim=1) | lib.linalg.norm(x) | lib.linalg.inv(x) | lib.linalg.solve(x, y) | lib.linalg.svd(x)
    lib.linalg.vector_norm(x, dim=1) | lib.linalg.matrix_norm(x) | lib.linalg.qr(x) | lib.linalg.eigh(x)
    lib.special.entr(x) | lib.special.ndtr(x) | lib.special.xlog1py(x, y) | lib.bernoulli(x) | lib.multinomial(x, 2)
    lib.dropout(x, 0.5, True) | lib.batch_norm(x, y, z, None, None, False, 0.1, 1e-5, True) | lib.layer_norm(x, (3,))
    lib.is_floating_point(x) | lib.numel(x) | lib.scatter(x, 0, y, z) | lib.nonzero(x) | lib.conv2d(x, y) | lib.t(x)
    lib.view_as_real(x) | lib.real(x) | lib.movedim(x, 0, 1) | lib.logsumexp(x, 1) | lib.prod(x) | lib.any(x, 1)
    lib.count_nonzero(x) | lib.take_along_dim(x, y, 1) | lib.searchsorted(x, y) | lib.bucketize(x, y) | lib.kron(x, y)
    lib.trace(x) | lib.dot(x, y) | lib.mv(x, y) | lib.vdot(x, y) | lib.hypot(x, y) | lib.atan2(x, y) | lib.fmod(x, 2)
    lib.remainder(x, 2) | lib.maximum(x, y) | lib.minimum(x, y) | lib.floor(x) | lib.round(x, decimals=1) | lib.sign(x)
"""
OPERATORS = """
    x + 1 | 1 + x | x - y | 2 - x | x * y | 3 * x | x / 2 | 1 / x | x // 2 | 7 // x | x % 3 | 5 % x | x ** 2 | 2 ** x
    x @ y | x & 1 | 1 & x | x | y | x ^ 2 | 3 ^ x | x << 1 | 1 << x | x >> 1 | 8 >> x | ~x | -x | +x | abs(x)
    x == y | x != 1 | x < y | x <= 1 | x > y | x >= 1 | 1 < x | x[0] | x[1:] | x[:, None] | x[..., 1:2] | x[y]
    x["key"] | x[x > 0] | x[y, 1] | x.shape | x.shape[0] | x.size(0) | x.size() | x.T | x.mT.shape
    x.view(y.size(0), -1) | x.relu().sum(dim=(0, 1), keepdim=True) | x.to(lib.float16) | x.to("cpu") | x.to(lib.device("cpu")) | x.type(y.dtype)
    x.add_(1) | x(y, k=z) | x.a.b(1).c | t + x | t * x | t - x | t / x | t @ x | t > x | t == x | t[x] | t.view(x)
    t.add(x) | x + t | t ** x | t // x | t % x | t.reshape(x, -1) | lib.add(t, x) | x + float("inf")
    x * float("nan") | x + 1j | {"a": x, "b": (y,), "c": [x, {"d": 1}]} | (x, None, 3, "text", lib.float32, slice(1, x))
    lib.Size([1, 2]) | x.to(lib.float16, memory_format=lib.channels_last)
    x.contiguous(memory_format=lib.channels_last) | lib.einsum("ij,jk->ik", [x, y])
    t & x | t | x | t ^ x | t < x | t.matmul(x) | t.mul(other=x) | t.sum(x) | t.permute(x, 0) | t.index_select(0, x)
"""


def calls(text):
    """The calls of a table; a bar between spaces separates them, but for that of the operator."""
    found = [call.strip() for line in text.strip().splitlines() for call in line.split(" | ")]
    joined = []
    for call in found:
        if call in ("y", "x") and joined:
            joined[-1] += f" | {call}"
        else:
            joined.append(call)
    return joined


def traced(lib, source, **names):
    """A function of `x`, `y` and `z`, by its text, as a graph module."""
    space = {"lib": lib, "F": lib.nn.functional, "math": math, "t": lib.ones(2, 2), **names}
    function = eval(f"lambda x, y, z: {source}", space)
    return lib.fx.symbolic_trace(function)


def written(lib, module):
    return module.code, str(module.graph).replace("corten.", "torch."), [node.name for node in module.graph.nodes]


@pytest.mark.parametrize("call", calls(FUNCTIONAL) + calls(TOP) + calls(OPERATORS))
def test_a_call_becomes_the_same_node(call):
    ours, theirs = (written(lib, traced(lib, call)) for lib in LIBRARIES)
    assert ours == theirs
