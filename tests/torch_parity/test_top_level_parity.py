"""Functions of the package itself that are made of others, beside PyTorch's: values, gradients and error classes."""

from __future__ import annotations

import warnings

import corten
import numpy as np
import pytest
import torch

LIBRARIES = (corten, torch)


def normal(*shape, dtype="float32"):
    return np.random.default_rng(sum(shape) + len(shape)).standard_normal(shape).astype(dtype)


def flat(value):
    """The tensors and numbers in a result, as arrays."""
    if isinstance(value, (tuple, list)):
        return [part for item in value for part in flat(item)]
    return [value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)]


def both(call):
    """The arrays that ``call(library)`` gives with each library, or the error's class."""
    results = []
    for lib in LIBRARIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                results.append(flat(call(lib)))
            except Exception as error:
                results.append(type(error).__name__)
    return results


def grid(lib):
    return lib.from_numpy(np.clip(normal(2, 3, 4, 2), -1.2, 1.2))


def volume_grid(lib):
    return lib.from_numpy(np.clip(normal(2, 2, 3, 4, 3), -1.2, 1.2))


def t(lib, *shape):
    return lib.from_numpy(normal(*shape))


CALLS = {
    "angle": lambda lib: lib.angle(t(lib, 5)),
    "angle of integers": lambda lib: lib.angle(lib.tensor([-1, 0, 3])),
    "frexp": lambda lib: lib.frexp(t(lib, 5) * 100),
    "histogram": lambda lib: lib.histogram(t(lib, 50), 6, range=(-1.0, 1.0), density=True),
    "histogramdd": lambda lib: lib.histogramdd(t(lib, 30, 2), [3, 4], weight=t(lib, 30)),
    "histogramdd edges": lambda lib: lib.histogramdd(
        t(lib, 30, 2), [lib.tensor([-1.0, 0.0, 2.0]), lib.tensor([-2.0, 0.5, 1.0, 1.5])]
    ),
    "unravel_index": lambda lib: lib.unravel_index(lib.tensor([[3, 11], [-1, 5]]), (3, 4)),
    "nonzero_static": lambda lib: lib.nonzero_static(lib.tensor([[1, 0], [2, 3]]), size=5),
    "matrix_exp": lambda lib: lib.matrix_exp(t(lib, 2, 4, 4)),
    "householder_product": lambda lib: lib.linalg.householder_product(t(lib, 2, 5, 3), t(lib, 2, 3)),
    "nuclear_norm": lambda lib: lib.nuclear_norm(t(lib, 3, 4)),
    "frobenius_norm": lambda lib: lib.frobenius_norm(t(lib, 2, 3, 4), (1, 2), True),
    "cosine_similarity": lambda lib: lib.cosine_similarity(t(lib, 3, 4), t(lib, 1, 4), dim=-1),
    "pairwise_distance": lambda lib: lib.pairwise_distance(t(lib, 3, 4), t(lib, 3, 4) * 2, p=1.0),
    "pixel_shuffle": lambda lib: lib.pixel_shuffle(t(lib, 1, 8, 2, 3), 2),
    "pixel_unshuffle": lambda lib: lib.pixel_unshuffle(t(lib, 1, 2, 4, 6), 2),
    "channel_shuffle": lambda lib: lib.channel_shuffle(t(lib, 1, 6, 2, 2), 3),
    "ctc_loss": lambda lib: lib.ctc_loss(
        t(lib, 6, 2, 4).log_softmax(-1), lib.tensor([[1, 2], [3, 3]]), (6, 5), (2, 2), 0, 1
    ),
    "cosine_embedding_loss": lambda lib: lib.cosine_embedding_loss(
        t(lib, 2, 3), t(lib, 2, 3) * 2 + 1, lib.tensor([1, -1]), 0.2, 0
    ),
    "hinge_embedding_loss": lambda lib: lib.hinge_embedding_loss(t(lib, 3), lib.tensor([1, -1, 1]), 1.0, 1),
    "hinge_embedding_loss without a reduction": lambda lib: lib.hinge_embedding_loss(t(lib, 3), lib.tensor([1, -1, 1])),
    "ctc_loss without a reduction": lambda lib: lib.ctc_loss(
        t(lib, 6, 2, 4).log_softmax(-1), lib.tensor([[1, 2], [3, 3]]), (6, 5), (2, 2)
    ),
    "poisson_nll_loss": lambda lib: lib.poisson_nll_loss(t(lib, 3), t(lib, 3).abs() * 3, True, True, 1e-8, 1),
    "triplet_margin_loss": lambda lib: lib.triplet_margin_loss(
        t(lib, 2, 3), t(lib, 2, 3) + 1, t(lib, 2, 3) * 2, swap=True, reduction=2
    ),
    "affine_grid_generator": lambda lib: lib.affine_grid_generator(t(lib, 2, 2, 3), [2, 1, 3, 4], False),
    "grid_sampler": lambda lib: lib.grid_sampler(t(lib, 2, 3, 5, 4), grid(lib), 0, 2, True),
    "grid_sampler_2d": lambda lib: lib.grid_sampler_2d(t(lib, 2, 3, 5, 4), grid(lib), 2, 1, False),
    "grid_sampler_3d": lambda lib: lib.grid_sampler_3d(t(lib, 2, 1, 3, 5, 4), volume_grid(lib), 0, 0, False),
    "conv_tbc": lambda lib: lib.conv_tbc(t(lib, 6, 2, 3), t(lib, 3, 3, 4), t(lib, 4), 1),
    "convolution": lambda lib: lib.convolution(
        t(lib, 2, 4, 6), t(lib, 6, 2, 3), t(lib, 6), [2], [1], [1], False, [0], 2
    ),
    "convolution transposed": lambda lib: lib.convolution(
        t(lib, 2, 4, 5, 6), t(lib, 4, 3, 3, 3), None, [2, 2], [1, 1], [1, 1], True, [1, 0], 1
    ),
    "norm_except_dim": lambda lib: lib.norm_except_dim(t(lib, 2, 3, 4), 2, 1),
    "lstm": lambda lib: lib.lstm(
        t(lib, 2, 5, 3), (t(lib, 2, 2, 4), t(lib, 2, 2, 4)),
        [t(lib, 16, 3), t(lib, 16, 4), t(lib, 16), t(lib, 16)] * 2, True, 1, 0.0, False, True, True,
    ),
    "gru_cell": lambda lib: lib.gru_cell(t(lib, 2, 3), t(lib, 2, 4), t(lib, 12, 3), t(lib, 12, 4), t(lib, 12), None),
    "rnn_relu_cell": lambda lib: lib.rnn_relu_cell(t(lib, 2, 3), t(lib, 2, 4), t(lib, 4, 3), t(lib, 4, 4)),
    "saddmm": lambda lib: lib.addmm(t(lib, 2, 2), t(lib, 2, 3), t(lib, 3, 2)),
    "narrow_copy": lambda lib: t(lib, 4, 3).narrow_copy(0, 1, 2),
    "unsafe_chunk": lambda lib: t(lib, 5, 3).unsafe_chunk(2),
    "can_cast": lambda lib: [lib.can_cast(getattr(lib, a), getattr(lib, b)) for a in KINDS for b in KINDS],
    "type": lambda lib: lib.ones(2).type(lib.LongTensor),
    "LongTensor": lambda lib: lib.LongTensor([[1, 2], [3, 4]]),
    "FloatTensor of doubles": lambda lib: lib.FloatTensor(lib.ones(2).double()),
    "imag": lambda lib: lib.imag(lib.ones(2)),
    "frexp of integers": lambda lib: lib.frexp(lib.tensor([1])),
    "histogram of integers": lambda lib: lib.histogram(lib.tensor([1]), 2),
    "matrix_exp of a vector": lambda lib: lib.matrix_exp(lib.ones(2)),
    "householder_product of wide matrices": lambda lib: lib.linalg.householder_product(lib.ones(2, 3), lib.ones(2)),
    "abs_ of a number": lambda lib: lib.abs_(2),
    "unravel_index of floats": lambda lib: lib.unravel_index(lib.ones(1), (2,)),
    "lstsq": lambda lib: lib.ones(2).lstsq(lib.ones(2)),
    "default type": lambda lib: lib.set_default_tensor_type(lib.LongTensor),
}  # fmt: skip
KINDS = ("bool", "uint8", "int8", "int64", "float16", "float32")


@pytest.mark.parametrize("name", CALLS)
def test_functions_give_pytorchs_values(name):
    mine, theirs = both(CALLS[name])
    if isinstance(theirs, str) or isinstance(mine, str):
        assert mine == theirs
        return
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


GRADIENTS = {
    "frexp": (lambda lib, x: lib.frexp(x)[0], (4,)),
    "matrix_exp": (lambda lib, x: lib.matrix_exp(x), (3, 3)),
    "householder_product": (lambda lib, x: lib.linalg.householder_product(x, x[0]), (4, 3)),
    "conv_tbc": (lambda lib, x: lib.conv_tbc(x, lib.ones(2, 3, 2), lib.ones(2)), (4, 2, 3)),
    "embedding_bag": (
        lambda lib, x: lib.embedding_bag(x, lib.tensor([0, 2, 1]), lib.tensor([0, 1]), mode=1)[0], (3, 2)
    ),
    "norm_except_dim": (lambda lib, x: lib.norm_except_dim(x, 2, 0), (3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_functions_have_pytorchs_gradients(name):
    function, shape = GRADIENTS[name]
    gradients = []
    for lib in LIBRARIES:
        x = lib.from_numpy(normal(*shape)).requires_grad_()
        y = function(lib, x)
        (y * lib.from_numpy(normal(*y.shape) + 1)).sum().backward()
        gradients.append(x.grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=2e-5, atol=2e-5)


IN_PLACE = sorted(corten._composites.in_place_functions.FUNCTIONS)


def test_pytorch_has_every_in_place_function():
    assert all(callable(getattr(torch, name)) for name in IN_PLACE)


def test_typed_tensors_are_classes_of_the_same_tensors():
    for name in ("FloatTensor", "DoubleTensor", "LongTensor", "IntTensor", "ByteTensor", "BoolTensor", "HalfTensor"):
        for kind in KINDS:
            answers = [isinstance(lib.ones(2).to(getattr(lib, kind)), getattr(lib, name)) for lib in LIBRARIES]
            assert answers[0] == answers[1]
