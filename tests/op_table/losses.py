"""Rows of the loss functions and of the similarities between rows of two tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from .row import STEPS, WIDE_FLOATS, Maker, Operand, Row, Sample, tolerances

REDUCTIONS = ("mean", "sum", "none")
SUMMED = tolerances(float32=(5e-6, 5e-6), float64=(1e-12, 1e-12))


def reduced(values: np.ndarray, reduction: str) -> np.ndarray:
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](values)


def loss(name: str, ref: Callable, samples: Callable, **options: Any) -> Row:
    defaults: dict[str, Any] = dict(dtypes=WIDE_FLOATS, tolerance=SUMMED, grad=2)
    return Row(f"nn.functional.{name}", ref, samples, **{**defaults, **options})


def elementwise(name: str, values: Callable, draw: Callable, *options: dict, **fields: Any) -> Row:
    """A loss that is an elementwise function and a reduction; `draw` makes its two operands of a shape."""

    def ref(x: Any, target: Any, *, reduction: str = "mean", **kwargs: Any) -> np.ndarray:
        return reduced(values(x, target, **kwargs), reduction)

    def samples(make: Maker) -> Iterator[Sample]:
        for kwargs in options or ({},):
            for reduction in REDUCTIONS:
                yield Sample(*draw(make, (3, 5)), reduction=reduction, **kwargs)
        yield Sample(*draw(make, (33,)))
        yield Sample(*draw(make, ()))

    return loss(name, ref, samples, **fields)


def two_real(make: Maker, shape: tuple) -> tuple[Operand, Operand]:
    return make.real(*shape), make.real(*shape)


def probability_and_label(make: Maker, shape: tuple) -> tuple[Operand, Operand]:
    return make.real(*shape, low=0.05, high=0.95), make.real(*shape, low=0, high=1)


def real_and_label(make: Maker, shape: tuple) -> tuple[Operand, Operand]:
    return make.real(*shape), make.real(*shape, low=0, high=1)


def real_and_sign(make: Maker, shape: tuple) -> tuple[Operand, Operand]:
    return make.real(*shape), make.wrap(make.rng.choice([-1, 1], shape), differentiable=False)


def smooth_l1(x: Any, y: Any, beta: float = 1.0) -> Any:
    d = np.abs(x - y)
    return np.where(d < beta, 0.5 * d**2 / beta, d - 0.5 * beta) if beta else d


def huber(x: Any, y: Any, delta: float = 1.0) -> Any:
    d = np.abs(x - y)
    return np.where(d <= delta, 0.5 * d**2, delta * (d - 0.5 * delta))


def bce(x: Any, y: Any, weight: Any = None) -> Any:
    values = -(y * np.maximum(np.log(x), -100) + (1 - y) * np.maximum(np.log1p(-x), -100))
    return values if weight is None else values * weight


def bce_with_logits(x: Any, y: Any, weight: Any = None, pos_weight: Any = None) -> Any:
    scale = 1 if pos_weight is None else pos_weight
    values = -(scale * y * special.log_expit(x) + (1 - y) * special.log_expit(-x))
    return values if weight is None else values * weight


def weighted_logits_samples(make: Maker) -> Iterator[Sample]:
    x, y = real_and_label(make, (3, 5))
    yield Sample(x, y, weight=make.real(5, low=0.5, high=2, differentiable=False))
    yield Sample(x, y, pos_weight=make.real(5, low=0.5, high=2, differentiable=False), reduction="sum")


def weighted_logits(x: Any, y: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean") -> Any:
    return reduced(bce_with_logits(x, y, weight, pos_weight), reduction)


def kl_div(x: Any, y: Any, log_target: bool = False) -> Any:
    return np.exp(y) * (y - x) if log_target else special.xlogy(y, y) - y * x


def poisson_nll(x: Any, y: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8) -> Any:
    values = np.exp(x) - y * x if log_input else x - y * np.log(x + eps)
    stirling = y * np.log(y) - y + 0.5 * np.log(2 * np.pi * y)
    return values + np.where(y > 1, stirling, 0) if full else values


def positive_pair(make: Maker, shape: tuple) -> tuple[Operand, Operand]:
    return make.real(*shape, low=0.2, high=3), make.real(*shape, low=0.2, high=3, differentiable=False)


def hinge_embedding(x: Any, y: Any, margin: float = 1.0) -> Any:
    return np.where(y == 1, x, np.maximum(0, margin - x))


def class_samples(make: Maker) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield Sample(make.real(5, 7), make.index(5, 7), reduction=reduction)
    weight = make.real(7, low=0.5, high=2, differentiable=False)
    yield Sample(make.real(5, 7), make.index(5, 7), weight=weight)
    yield Sample(make.real(5, 7), make.wrap([0, 3, -100, 6, 3], "int64"), weight, reduction="sum")
    yield Sample(make.real(5, 7), make.wrap([0, 3, 2, 6, 3], "int64"), ignore_index=3)
    yield Sample(make.real(2, 7, 3, 2), make.index((2, 3, 2), 7))
    yield Sample(make.real(2, 7, 5), make.index((2, 5), 7), weight, reduction="none")
    yield Sample(make.real(7), make.index((), 7))


def nll(x: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    if x.ndim == 1:
        return nll(x[None], target[None], weight, ignore_index, "sum" if reduction == "none" else reduction)
    scale = np.ones(x.shape[1]) if weight is None else weight
    kept = target != ignore_index
    safe = np.where(kept, target, 0)
    scales = np.where(kept, scale[safe], 0)
    values = -np.take_along_axis(x, safe[:, None], 1)[:, 0] * scales
    return values.sum() / scales.sum() if reduction == "mean" else reduced(values, reduction)


def cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    if x.ndim == 1:
        return cross_entropy(
            x[None], target[None], weight, ignore_index, "sum" if reduction == "none" else reduction, label_smoothing
        )
    logs = special.log_softmax(x, axis=1)
    shape = (1, -1, *(1,) * (x.ndim - 2))
    scale = (np.ones(x.shape[1]) if weight is None else weight).reshape(shape)
    if target.dtype == np.float64:
        target = target * (1 - label_smoothing) + label_smoothing / x.shape[1]
        values = -(logs * scale * target).sum(1)
        return values.sum() / (values.size) if reduction == "mean" else reduced(values, reduction)
    hard = nll(logs, target, weight, ignore_index, "none")
    kept = target != ignore_index
    smooth = np.where(kept, -(logs * scale).sum(1), 0)
    values = (1 - label_smoothing) * hard + label_smoothing / x.shape[1] * smooth
    if reduction != "mean":
        return reduced(values, reduction)
    return values.sum() / np.where(kept, scale.reshape(-1)[np.where(kept, target, 0)], 0).sum()


def cross_entropy_samples(make: Maker) -> Iterator[Sample]:
    yield from class_samples(make)
    weight = make.real(7, low=0.5, high=2, differentiable=False)
    yield Sample(make.real(5, 7), make.wrap([0, 3, -100, 6, 3], "int64"), weight, label_smoothing=0.2)
    probabilities = make.wrap(make.rng.dirichlet(np.ones(7), 5))
    for reduction in REDUCTIONS:
        yield Sample(make.real(5, 7), probabilities, label_smoothing=0.1, reduction=reduction)
    yield Sample(make.real(5, 7), probabilities, weight)


def gaussian_nll(x: Any, y: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Any:
    var = np.maximum(np.broadcast_to(var, x.shape), eps)
    return reduced(0.5 * (np.log(var) + (x - y) ** 2 / var) + (0.5 * np.log(2 * np.pi) if full else 0), reduction)


def gaussian_samples(make: Maker) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield Sample(make.real(3, 5), make.real(3, 5), make.real(3, 5, low=0.5, high=2), reduction=reduction)
    yield Sample(make.real(3, 5), make.real(3, 5), make.real(3, 1, low=0.5, high=2), full=True)


def margin_ranking(a: Any, b: Any, y: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    return reduced(np.maximum(0, -y * (a - b) + margin), reduction)


def signs(make: Maker, *shape: int) -> Operand:
    return make.wrap(make.rng.choice([-1, 1], shape), differentiable=False)


def ranking_samples(make: Maker) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield Sample(make.real(17), make.real(17), signs(make, 17), margin=0.5, reduction=reduction)


def cosine(a: Any, b: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    lengths = np.maximum(np.linalg.norm(a, axis=dim), eps) * np.maximum(np.linalg.norm(b, axis=dim), eps)
    return (a * b).sum(dim) / lengths


def cosine_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 5), make.real(3, 5))
    yield Sample(make.real(2, 3, 5), make.real(2, 3, 5), dim=-1)


def cosine_embedding(a: Any, b: Any, y: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    similarity = cosine(a, b)
    return reduced(np.where(y == 1, 1 - similarity, np.maximum(0, similarity - margin)), reduction)


def cosine_embedding_samples(make: Maker) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield Sample(make.real(7, 5), make.real(7, 5), signs(make, 7), margin=-0.2, reduction=reduction)


def pairwise(a: Any, b: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    return (np.abs(a - b + eps) ** p).sum(-1, keepdims=keepdim) ** (1 / p)


def pairwise_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 5), make.real(3, 5))
    yield Sample(make.real(3, 5), make.real(3, 5), p=1.0, keepdim=True)


def triplet(
    a: Any, b: Any, c: Any, margin: float = 1.0, p: float = 2.0, swap: bool = False, reduction: str = "mean"
) -> Any:
    near, far = pairwise(a, b, p), pairwise(a, c, p)
    far = np.minimum(far, pairwise(b, c, p)) if swap else far
    return reduced(np.maximum(near - far + margin, 0), reduction)


def triplet_samples(make: Maker) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield Sample(make.real(7, 5), make.real(7, 5), make.real(7, 5), margin=2.0, reduction=reduction)
    yield Sample(make.real(7, 5), make.real(7, 5), make.real(7, 5), swap=True)


def soft_margin(x: Any, y: Any) -> Any:
    return np.logaddexp(0, -y * x)


def multi_margin(x: Any, y: Any, p: int = 1, margin: float = 1.0, reduction: str = "mean") -> Any:
    right = np.take_along_axis(x, y[:, None], 1)
    values = np.maximum(0, margin - right + x) ** p
    np.put_along_axis(values, y[:, None], 0, 1)
    return reduced(values.sum(1) / x.shape[1], reduction)


def multi_margin_samples(make: Maker) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield Sample(make.real(5, 7), make.index(5, 7), reduction=reduction)
    yield Sample(make.real(5, 7), make.index(5, 7), p=2, margin=0.5)


def multilabel_margin(x: Any, y: Any, reduction: str = "mean") -> Any:
    values = np.zeros(len(x))
    for row, labels in enumerate(y):
        stop = np.flatnonzero(labels == -1)
        right = labels[: stop[0]] if len(stop) else labels
        wrong = np.setdiff1d(np.arange(x.shape[1]), right)
        values[row] = np.maximum(0, 1 - (x[row, right][:, None] - x[row, wrong][None])).sum() / x.shape[1]
    return reduced(values, reduction)


def multilabel_samples(make: Maker) -> Iterator[Sample]:
    labels = make.wrap([[1, 3, -1, 0], [2, -1, 1, 1], [-1, 0, 0, 0]], "int64")
    for reduction in REDUCTIONS:
        yield Sample(make.real(3, 4), labels, reduction=reduction)


def multilabel_soft(x: Any, y: Any, weight: Any = None, reduction: str = "mean") -> Any:
    return reduced(bce_with_logits(x, y, weight).mean(-1), reduction)


def multilabel_soft_samples(make: Maker) -> Iterator[Sample]:
    for reduction in REDUCTIONS:
        yield Sample(make.real(3, 4), make.real(3, 4, low=0, high=1, differentiable=False), reduction=reduction)


def ctc(x: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean") -> Any:
    """The forward recursion of Graves et al., 2006, over labels with blanks between them."""
    x = special.log_softmax(x, axis=-1)
    values = np.zeros(x.shape[1])
    for n in range(x.shape[1]):
        labels = targets[n, : target_lengths[n]]
        states = np.full(2 * len(labels) + 1, blank)
        states[1::2] = labels
        log_alpha = np.full(len(states), -np.inf)
        log_alpha[:2] = x[0, n, states[:2]]
        for t in range(1, input_lengths[n]):
            reached = [log_alpha, np.concatenate([[-np.inf], log_alpha[:-1]])]
            skip = np.concatenate([[-np.inf] * 2, log_alpha[:-2]])[: len(states)]
            allowed = (states != blank) & (states != np.concatenate([[blank] * 2, states[:-2]])[: len(states)])
            reached.append(np.where(allowed, skip, -np.inf))
            log_alpha = special.logsumexp(reached, axis=0) + x[t, n, states]
        values[n] = -special.logsumexp(log_alpha[-2:])
    return np.mean(values / np.maximum(target_lengths, 1)) if reduction == "mean" else reduced(values, reduction)


def ctc_of_scores(module: Any, scores: Any, *args: Any, **kwargs: Any) -> Any:
    """The loss is differentiated through log_softmax: its gradient is defined for normalised inputs only."""
    return module.nn.functional.ctc_loss(module.log_softmax(scores, -1), *args, **kwargs)


def ctc_samples(make: Maker) -> Iterator[Sample]:
    targets = make.wrap([[1, 2, 2], [3, 1, 0]], "int64")
    for reduction in REDUCTIONS:
        yield Sample(
            make.real(7, 2, 4), targets, make.wrap([7, 6], "int64"), make.wrap([3, 2], "int64"), reduction=reduction
        )


SMALL = {"margin": 0.5}

ROWS = [
    elementwise("mse_loss", lambda x, y: (x - y) ** 2, two_real),
    elementwise("l1_loss", lambda x, y: np.abs(x - y), two_real),
    elementwise("smooth_l1_loss", smooth_l1, two_real, {}, {"beta": 0.5}),
    elementwise("huber_loss", huber, two_real, {}, {"delta": 0.7}),
    elementwise("binary_cross_entropy", bce, probability_and_label),
    elementwise("binary_cross_entropy_with_logits", bce_with_logits, real_and_label),
    loss(
        "binary_cross_entropy_with_logits.weights",
        weighted_logits,
        weighted_logits_samples,
        call="nn.functional.binary_cross_entropy_with_logits",
    ),
    elementwise("kl_div", kl_div, probability_and_label, {}, {"log_target": True}),
    elementwise("poisson_nll_loss", poisson_nll, positive_pair, {}, {"log_input": False}, {"full": True}),
    elementwise("hinge_embedding_loss", hinge_embedding, real_and_sign, {}, SMALL),
    elementwise("soft_margin_loss", soft_margin, real_and_sign),
    loss("nll_loss", nll, class_samples),
    loss("cross_entropy", cross_entropy, cross_entropy_samples),
    loss("gaussian_nll_loss", gaussian_nll, gaussian_samples),
    loss("margin_ranking_loss", margin_ranking, ranking_samples),
    loss("cosine_embedding_loss", cosine_embedding, cosine_embedding_samples),
    loss("cosine_similarity", cosine, cosine_samples, tolerance=STEPS),
    loss("pairwise_distance", pairwise, pairwise_samples),
    loss("triplet_margin_loss", triplet, triplet_samples),
    loss("multi_margin_loss", multi_margin, multi_margin_samples, grad=1),
    loss("multilabel_margin_loss", multilabel_margin, multilabel_samples, grad=1),
    loss("multilabel_soft_margin_loss", multilabel_soft, multilabel_soft_samples),
    loss("ctc_loss", ctc, ctc_samples, grad=1, invoke=ctc_of_scores),
]
