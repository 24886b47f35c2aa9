"""Autocast and `GradScaler` beside PyTorch: the dtype of every operator's result, and the scale over many steps."""

from __future__ import annotations

import corten
import pytest
import torch


def positive(lib, dtype):
    """Makes tensors of a shape with values between 0.1 and 1.1."""
    return lambda *shape: lib.rand(*shape).add(0.1).to(dtype)


# By name: a call of the library, a maker of tensors in the dtype of the test, and one of float32 tensors.
CALLS = {
    "matmul": lambda L, t, f: L.matmul(t(4, 4), t(4, 4)),
    "at": lambda L, t, f: t(4, 4) @ t(4, 4),
    "mm": lambda L, t, f: t(4, 4).mm(t(4, 4)),
    "bmm": lambda L, t, f: L.bmm(t(2, 4, 4), t(2, 4, 4)),
    "mv": lambda L, t, f: L.mv(t(4, 4), t(4)),
    "dot": lambda L, t, f: L.dot(t(4), t(4)),
    "inner": lambda L, t, f: L.inner(t(4), t(4)),
    "outer": lambda L, t, f: L.outer(t(4), t(4)),
    "addmm": lambda L, t, f: L.addmm(t(4, 4), t(4, 4), t(4, 4)),
    "addmv": lambda L, t, f: L.addmv(t(4), t(4, 4), t(4)),
    "addr": lambda L, t, f: L.addr(t(4, 4), t(4), t(4)),
    "baddbmm": lambda L, t, f: L.baddbmm(t(2, 4, 4), t(2, 4, 4), t(2, 4, 4)),
    "addbmm": lambda L, t, f: L.addbmm(t(4, 4), t(2, 4, 4), t(2, 4, 4)),
    "linear": lambda L, t, f: L.nn.functional.linear(t(4, 4), t(4, 4)),
    "bilinear": lambda L, t, f: L.nn.functional.bilinear(t(4, 4), t(4, 4), t(2, 4, 4)),
    "conv1d": lambda L, t, f: L.nn.functional.conv1d(t(1, 2, 5), t(3, 2, 3)),
    "conv2d": lambda L, t, f: L.conv2d(t(1, 2, 5, 5), t(3, 2, 3, 3)),
    "conv3d": lambda L, t, f: L.nn.functional.conv3d(t(1, 2, 5, 5, 5), t(3, 2, 3, 3, 3)),
    "conv_transpose2d": lambda L, t, f: L.nn.functional.conv_transpose2d(t(1, 2, 5, 5), t(2, 3, 3, 3)),
    "conv_tbc": lambda L, t, f: L.nn.functional.conv_tbc(t(5, 1, 2), t(3, 2, 4), t(4)),
    "prelu": lambda L, t, f: L.nn.functional.prelu(t(2, 3), t(1)),
    "attention": lambda L, t, f: L.nn.functional.scaled_dot_product_attention(*[t(1, 1, 4, 4)] * 3),
    "einsum": lambda L, t, f: L.einsum("ij,jk->ik", t(4, 4), t(4, 4)),
    "tensordot": lambda L, t, f: L.tensordot(t(4, 4), t(4, 4), 1),
    "multi_dot": lambda L, t, f: L.linalg.multi_dot([t(4, 4), t(4, 4)]),
    "vecdot": lambda L, t, f: L.linalg.vecdot(t(4), t(4)),
    "kron": lambda L, t, f: L.kron(t(2, 2), t(2, 2)),
    "matrix_power": lambda L, t, f: L.matrix_power(t(4, 4), 2),
    "matrix_exp": lambda L, t, f: L.matrix_exp(f(4, 4)),
    "linalg.matrix_exp": lambda L, t, f: L.linalg.matrix_exp(f(4, 4)),
    "convolution": lambda L, t, f: L.convolution(f(2, 4, 6), f(6, 2, 3), f(6), [2], [1], [1], False, [0], 2),
    "svd": lambda L, t, f: L.svd(t(4, 4))[1],
    "qr": lambda L, t, f: L.linalg.qr(t(4, 4))[1],
    "householder_product": lambda L, t, f: L.linalg.householder_product(t(4, 2), t(2)),
    "pca_lowrank": lambda L, t, f: L.pca_lowrank(f(6, 5), q=2)[1],
    "torch's own ctc_loss": lambda L, t, f: L.ctc_loss(t(6, 2, 4).log(), L.tensor([[1, 2], [3, 3]]), (6, 5), (2, 2)),
    "torch's own cosine_embedding_loss": lambda L, t, f: L.cosine_embedding_loss(t(4, 4), t(4, 4), L.ones(4)),
    "torch's own cosine_similarity": lambda L, t, f: L.cosine_similarity(t(4, 4), t(4, 4)),
    "grid_sampler_2d": lambda L, t, f: L.grid_sampler_2d(f(1, 1, 4, 4), f(1, 2, 2, 2), 0, 0, False),
    "torch's own lstm_cell": lambda L, t, f: L.lstm_cell(f(2, 4), (f(2, 4), f(2, 4)), f(16, 4), f(16, 4))[0],
    "a normal distribution of low rank": lambda L, t, f: L.distributions.LowRankMultivariateNormal(
        f(3), f(3, 1), f(3)
    ).log_prob(f(3)),
    "cdist": lambda L, t, f: L.cdist(t(4, 4), t(4, 4)),
    "avg_pool2d": lambda L, t, f: L.nn.functional.avg_pool2d(t(1, 4, 4), 2),
    "avg_pool3d": lambda L, t, f: L.nn.functional.avg_pool3d(t(1, 4, 4, 4), 2),
    "max_pool3d": lambda L, t, f: L.nn.functional.max_pool3d(t(1, 4, 4, 4), 2),
    "adaptive_avg_pool3d": lambda L, t, f: L.nn.functional.adaptive_avg_pool3d(t(1, 4, 4, 4), 2),
    "adaptive_avg_pool2d": lambda L, t, f: L.nn.functional.adaptive_avg_pool2d(t(1, 4, 4), 2),
    "fractional_max_pool2d": lambda L, t, f: L.nn.functional.fractional_max_pool2d(t(1, 4, 4), 2, output_size=2),
    "binary_cross_entropy": lambda L, t, f: L.nn.functional.binary_cross_entropy(t(4) * 0.5, t(4) * 0.5),
    "bce_with_logits": lambda L, t, f: L.nn.functional.binary_cross_entropy_with_logits(t(4), t(4) * 0.5),
    "grid_sample": lambda L, t, f: L.nn.functional.grid_sample(t(1, 1, 4, 4), t(1, 2, 2, 2), align_corners=False),
    "prod": lambda L, t, f: t(4, 4).prod(1),
    "sum": lambda L, t, f: t(4).sum(),
    "cumsum": lambda L, t, f: t(4).cumsum(0),
    "cumprod": lambda L, t, f: t(4).cumprod(0),
    "quantile": lambda L, t, f: L.quantile(t(4), 0.5),
    "nanquantile": lambda L, t, f: t(4).nanquantile(0.5),
    "trace": lambda L, t, f: L.trace(t(4, 4)),
    "mse_loss": lambda L, t, f: L.nn.functional.mse_loss(t(4), t(4)),
    "nll_loss": lambda L, t, f: L.nn.functional.nll_loss(t(4, 4), L.arange(4)),
    "cross_entropy": lambda L, t, f: L.nn.CrossEntropyLoss()(t(4, 4), L.arange(4)),
    "hinge_embedding_loss": lambda L, t, f: L.nn.functional.hinge_embedding_loss(t(4), L.ones(4)),
    "poisson_nll_loss": lambda L, t, f: L.nn.functional.poisson_nll_loss(t(4), t(4)),
    "smooth_l1_loss": lambda L, t, f: L.nn.functional.smooth_l1_loss(t(4), t(4)),
    "l1_loss": lambda L, t, f: L.nn.functional.l1_loss(t(4), t(4)),
    "huber_loss": lambda L, t, f: L.nn.functional.huber_loss(t(4), t(4)),
    "margin_ranking_loss": lambda L, t, f: L.nn.functional.margin_ranking_loss(t(4), t(4), t(4)),
    "soft_margin_loss": lambda L, t, f: L.nn.functional.soft_margin_loss(t(4), t(4)),
    "triplet_margin_loss": lambda L, t, f: L.nn.functional.triplet_margin_loss(t(2, 4), t(2, 4), t(2, 4)),
    "multi_margin_loss": lambda L, t, f: L.nn.functional.multi_margin_loss(t(4, 4), L.arange(4)),
    "kl_div": lambda L, t, f: L.nn.functional.kl_div(t(4), t(4), reduction="sum"),
    "gaussian_nll_loss": lambda L, t, f: L.nn.functional.gaussian_nll_loss(t(4), t(4), t(4)),
    "multilabel_soft_margin_loss": lambda L, t, f: L.nn.functional.multilabel_soft_margin_loss(t(2, 4), t(2, 4)),
    "ctc_loss": lambda L, t, f: L.nn.functional.ctc_loss(
        t(5, 1, 4).log_softmax(2), L.tensor([[1, 2]]), L.tensor([5]), L.tensor([2])
    ),
    "softmax": lambda L, t, f: t(4).softmax(0),
    "log_softmax": lambda L, t, f: L.nn.functional.log_softmax(t(4), 0),
    "layer_norm": lambda L, t, f: L.nn.functional.layer_norm(t(4, 4), (4,)),
    "group_norm": lambda L, t, f: L.nn.functional.group_norm(t(1, 4, 4), 2),
    "exp": lambda L, t, f: t(4).exp(),
    "pow": lambda L, t, f: t(4) ** 2,
    "norm": lambda L, t, f: t(4).norm(),
    "normalize": lambda L, t, f: L.nn.functional.normalize(t(4, 4)),
    "cosine_similarity": lambda L, t, f: L.nn.functional.cosine_similarity(t(2, 4), t(2, 4)),
    "cat": lambda L, t, f: L.cat([t(4), f(4)]),
    "cat_of_two_alike": lambda L, t, f: L.cat([t(4), t(4)]),
    "stack": lambda L, t, f: L.stack([t(4), f(4)]),
    "hstack": lambda L, t, f: L.hstack([t(4), f(4)]),
    "index_copy": lambda L, t, f: L.index_copy(t(4), 0, L.tensor([1]), f(1)),
    "addcmul": lambda L, t, f: L.addcmul(t(4), f(4), t(4)),
    "atan2": lambda L, t, f: L.atan2(t(4), f(4)),
    "add": lambda L, t, f: t(4) + f(4),
    "pad_replicate": lambda L, t, f: L.nn.functional.pad(t(1, 1, 4), (1, 1), mode="replicate"),
    "pad_constant": lambda L, t, f: L.nn.functional.pad(t(1, 1, 4), (1, 1)),
    "interpolate": lambda L, t, f: L.nn.functional.interpolate(t(1, 1, 4, 4), scale_factor=2, mode="bilinear"),
    "svdvals": lambda L, t, f: L.linalg.svdvals(t(4, 4)),
    "lstm": lambda L, t, f: L.nn.LSTM(4, 4).to(t(1).dtype)(t(2, 1, 4))[0],
    "gru": lambda L, t, f: L.nn.GRU(4, 4).to(t(1).dtype)(t(2, 1, 4))[0],
    "rnn": lambda L, t, f: L.nn.RNN(4, 4).to(t(1).dtype)(t(2, 1, 4))[0],
    "lstm_cell": lambda L, t, f: L.nn.LSTMCell(4, 4).to(t(1).dtype)(t(1, 4))[0],
    "gru_cell": lambda L, t, f: L.nn.GRUCell(4, 4).to(t(1).dtype)(t(1, 4)),
    "multi_head_attention": lambda L, t, f: L.nn.MultiheadAttention(4, 2).to(t(1).dtype)(*[t(2, 1, 4)] * 3)[0],
    "encoder_layer": lambda L, t, f: L.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0).to(t(1).dtype)(t(2, 1, 4)),
    "embedding": lambda L, t, f: L.nn.functional.embedding(L.tensor([0]), t(4, 4)),
    "float64": lambda L, t, f: L.nn.functional.linear(t(4, 4).double(), t(4, 4).double()),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("given", "lower"),
    [("float32", "bfloat16"), ("bfloat16", "bfloat16"), ("float32", "float16"), ("float16", "float16")],
)
@pytest.mark.parametrize("name", sorted(CALLS))
def test_results_have_the_dtype_that_pytorch_gives(name, given, lower):
    if name == "lstm" and lower == "float16":
        return  # PyTorch has no kernel for it on most processors.
    found = []
    for lib in (torch, corten):
        lib.manual_seed(0)
        makers = positive(lib, getattr(lib, given)), positive(lib, lib.float32)
        with lib.autocast("cpu", dtype=getattr(lib, lower)):
            result = CALLS[name](lib, *makers)
        found.append((str(result.dtype).split(".")[1], result.double().sum().item()))
    assert found[0][0] == found[1][0]
    if name not in ("fractional_max_pool2d", "interpolate"):
        assert found[1][1] == pytest.approx(found[0][1], rel=0.03, abs=0.03)


def test_the_scale_goes_where_pytorchs_goes():
    seen = []
    for lib in (torch, corten):
        weight = lib.nn.Parameter(lib.ones(3))
        optimizer = lib.optim.SGD([weight], lr=0.1)
        scaler = lib.amp.GradScaler("cpu", init_scale=2.0**120, growth_interval=3)
        states = []
        for step in range(40):
            optimizer.zero_grad()
            scaler.scale((weight * 3.0 ** (step % 7)).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            states.append((scaler.state_dict(), pytest.approx(weight.tolist(), rel=1e-5)))
        seen.append(states)
    assert seen[0] == [(state, weights.expected) for state, weights in seen[1]]
