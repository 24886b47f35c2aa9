"""Rows of the normalisations, the softmax family and scaled dot-product attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from .row import STEPS, WIDE_FLOATS, Dtype, Maker, Row, Sample, tolerances

NORMED = tolerances(float32=(5e-6, 5e-6), float64=(1e-12, 1e-12), float16=(4e-3, 4e-3), bfloat16=(3e-2, 3e-2))


def affine(x: np.ndarray, weight: Any, bias: Any, shape: tuple) -> np.ndarray:
    if weight is not None:
        x = x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def standardise(x: np.ndarray, axes: tuple, eps: float) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def per_channel(x: np.ndarray) -> tuple:
    return (-1, *(1,) * (x.ndim - 2))


def batch_norm(
    x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> np.ndarray:  # fmt: skip
    shape = per_channel(x)
    if training:
        x = standardise(x, (0, *range(2, x.ndim)), eps)
    else:
        x = (x - running_mean.reshape(shape)) / np.sqrt(running_var.reshape(shape) + eps)
    return affine(x, weight, bias, shape)


def batch_norm_samples(make: Maker) -> Iterator[Sample]:
    for shape in ((5, 3), (4, 3, 7), (2, 3, 4, 5), (2, 3, 2, 3, 2)):
        mean, var = make.real(3, differentiable=False), make.real(3, low=0.5, high=2, differentiable=False)
        yield Sample(make.real(*shape), mean, var, make.real(3), make.real(3))
        yield Sample(make.real(*shape), None, None, make.real(3), make.real(3), True)
    yield Sample(make.real(5, 3), None, None, training=True, eps=0.5)


def layer_norm(x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> np.ndarray:
    axes = tuple(range(-len(normalized_shape), 0))
    return affine(standardise(x, axes, eps), weight, bias, tuple(normalized_shape))


def layer_norm_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 7), (7,))
    yield Sample(make.real(3, 7), (7,), make.real(7), make.real(7))
    yield Sample(make.real(2, 3, 4), (3, 4), make.real(3, 4), make.real(3, 4), 1e-3)
    yield Sample(make.real(5, 33), (33,), make.real(33))
    yield Sample(make.real(0, 7), (7,), make.real(7), make.real(7))


def rms_norm(x: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> np.ndarray:
    axes = tuple(range(-len(normalized_shape), 0))
    return affine(x / np.sqrt((x**2).mean(axes, keepdims=True) + eps), weight, None, tuple(normalized_shape))


def rms_norm_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 7), (7,), eps=1e-5)
    yield Sample(make.real(2, 3, 4), (3, 4), make.real(3, 4), 1e-3)
    yield Sample(make.real(5, 33), (33,), make.real(33), 1e-5)


def group_norm(x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> np.ndarray:
    grouped = x.reshape(x.shape[0], num_groups, -1)
    return affine(standardise(grouped, (2,), eps).reshape(x.shape), weight, bias, per_channel(x))


def group_norm_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 6), 2)
    yield Sample(make.real(2, 6, 5), 3, make.real(6), make.real(6))
    yield Sample(make.real(2, 4, 3, 2), 1, make.real(4), make.real(4), 1e-3)
    yield Sample(make.real(2, 4, 3, 2), 4)


def instance_norm(x: Any, *args: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> np.ndarray:
    return affine(standardise(x, tuple(range(2, x.ndim)), eps), weight, bias, per_channel(x))


def instance_norm_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(2, 3, 7))
    yield Sample(make.real(2, 3, 4, 5), weight=make.real(3), bias=make.real(3), eps=1e-3)
    yield Sample(make.real(2, 2, 2, 3, 2), weight=make.real(2))


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> np.ndarray:
    padded = np.pad(x**2, [(0, 0), (size // 2, (size - 1) // 2)] + [(0, 0)] * (x.ndim - 2))
    total = sum(padded[:, i : i + x.shape[1]] for i in range(size))
    return x / (k + alpha * total / size) ** beta


def response_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(2, 5, 3), 3, alpha=0.5)
    yield Sample(make.real(2, 5, 3, 2), 2, 0.5, 0.5, 2.0)


def normalize(x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> np.ndarray:
    return x / np.maximum((np.abs(x) ** p).sum(dim, keepdims=True) ** (1 / p), eps)


def normalize_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 7))
    yield Sample(make.real(2, 3, 4), p=3.0, dim=-1)
    yield Sample(make.real(5, 3), 1.0, 0)


def along(function: Callable) -> Callable:
    def ref(x: np.ndarray, dim: int, dtype: str | None = None) -> np.ndarray:
        return function(x, axis=dim)

    return ref


def softmax_samples(make: Maker) -> Iterator[Sample]:
    for shape, dim in (
        ((7,), 0),
        ((257,), -1),
        ((3, 5), 1),
        ((5, 3), 0),
        ((2, 3, 4), 1),
        ((3, 1), 1),
        ((0, 3), 1),
        ((), 0),
    ):
        yield Sample(make.real(*shape), dim)
    # The largest value is subtracted before exp.
    yield Sample(make.real(3, 5, low=900, high=1000), 1)


def softmax_dtype_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 5), 1, dtype=Dtype("float64"))


def attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False,
) -> np.ndarray:  # fmt: skip
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = np.repeat(key, repeats, -3), np.repeat(value, repeats, -3)
    scores = query @ key.swapaxes(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = np.tril(np.ones(scores.shape[-2:], bool))
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    return special.softmax(scores, axis=-1) @ value


def attention_samples(make: Maker) -> Iterator[Sample]:
    def three(*lead: int, queries: int = 5, keys: int = 5, width: int = 4, out: int = 4) -> tuple:
        return make.real(*lead, queries, width), make.real(*lead, keys, width), make.real(*lead, keys, out)

    mask = make.mask(5, 5)
    np.fill_diagonal(mask.array, True)
    yield Sample(*three(2, 2))
    yield Sample(*three(2, queries=3, keys=7))
    yield Sample(*three(1, 1, queries=17, keys=33, width=8, out=8))
    yield Sample(*three(2, 2), is_causal=True)
    yield Sample(*three(2, 2), attn_mask=mask)
    yield Sample(*three(2, 2), attn_mask=make.real(2, 1, 5, 5, differentiable=False))
    yield Sample(*three(2, 2), scale=0.3)
    query, _, _ = three(1, 4)
    _, key, value = three(2, 4)
    yield Sample(make.real(4, 5, 4), key, value)
    yield Sample(query, *three(1, 2)[1:], enable_gqa=True)


def normed(name: str, ref: Callable, samples: Callable, **options: Any) -> Row:
    return Row(f"nn.functional.{name}", ref, samples, **{"tolerance": NORMED, "grad": 2, **options})


ROWS = [
    normed("batch_norm", batch_norm, batch_norm_samples),
    normed("layer_norm", layer_norm, layer_norm_samples),
    normed("rms_norm", rms_norm, rms_norm_samples),
    normed("group_norm", group_norm, group_norm_samples),
    normed("instance_norm", instance_norm, instance_norm_samples),
    normed("local_response_norm", local_response_norm, response_samples, dtypes=WIDE_FLOATS),
    normed("normalize", normalize, normalize_samples, dtypes=WIDE_FLOATS),
    Row("softmax", along(special.softmax), softmax_samples, tolerance=STEPS, grad=2, method=True),
    Row("log_softmax", along(special.log_softmax), softmax_samples, tolerance=STEPS, grad=2, method=True),
    Row(
        "softmax.dtype",
        along(special.softmax),
        softmax_dtype_samples,
        call="softmax",
        result="float64",
        tolerance={"float64": (1e-13, 1e-13)},
    ),
    normed("softmax", along(special.softmax), softmax_samples, tolerance=STEPS),
    normed("log_softmax", along(special.log_softmax), softmax_samples, tolerance=STEPS),
    normed("softmin", along(lambda x, axis: special.softmax(-x, axis=axis)), softmax_samples, tolerance=STEPS),
    normed("scaled_dot_product_attention", attention, attention_samples, grad=1, tolerance=NORMED),
]
