"""Rows of the activation functions, and of dropout where it does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from .elementwise_unary import SHAPES, drawn
from .row import FLOATS, NUMBERS, STEPS, ULP, Maker, Row, Sample


def activation(name: str, ref: Callable, *options: dict, **fields: Any) -> Row:
    """A function of nn.functional; each of `options` is a set of keyword arguments to try."""

    def samples(make: Maker) -> Iterator[Sample]:
        for index, kwargs in enumerate(options or ({},)):
            for shape in SHAPES if index == 0 else ((17,), (2, 3, 4)):
                yield Sample(make.real(*shape, low=-4, high=4), **kwargs)

    defaults: dict[str, Any] = dict(dtypes=FLOATS, tolerance=STEPS, grad=2, elementwise=True)
    return Row(f"nn.functional.{name}", ref, samples, **{**defaults, **fields})


def elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(x))


def celu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.maximum(x, 0) + np.minimum(alpha * np.expm1(x / alpha), 0)


def selu(x: np.ndarray) -> np.ndarray:
    # Klambauer et al., Self-Normalizing Neural Networks, 2017.
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def gelu(x: np.ndarray, approximate: str = "none") -> np.ndarray:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x * special.ndtr(x)


def softplus(x: np.ndarray, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def hardshrink(x: np.ndarray, lambd: float = 0.5) -> np.ndarray:
    return np.where(np.abs(x) > lambd, x, 0)


def softshrink(x: np.ndarray, lambd: float = 0.5) -> np.ndarray:
    return np.sign(x) * np.maximum(np.abs(x) - lambd, 0)


def threshold(x: np.ndarray, threshold: float, value: float) -> np.ndarray:
    return np.where(x > threshold, x, value).astype(x.dtype)


def leaky_relu(x: np.ndarray, negative_slope: float = 0.01) -> np.ndarray:
    return np.where(x > 0, x, x * negative_slope)


def hardtanh(x: np.ndarray, min_val: float = -1.0, max_val: float = 1.0) -> np.ndarray:
    return np.clip(x, min_val, max_val).astype(x.dtype)


def prelu(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    shape = (-1, *(1,) * (x.ndim - 2)) if x.ndim > 1 else (-1,)
    return np.where(x > 0, x, x * weight.reshape(shape))


def prelu_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(7), make.real(1))
    yield Sample(make.real(2, 3), make.real(3))
    yield Sample(make.real(2, 3, 4), make.real(3))
    yield Sample(make.real(2, 3, 4, 5), make.real(1))


def glu(x: np.ndarray, dim: int = -1) -> np.ndarray:
    value, gate = np.split(x, 2, dim)
    return value * special.expit(gate)


def glu_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(8))
    yield Sample(make.real(3, 6))
    yield Sample(make.real(4, 3), dim=0)


def identity(x: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
    return x


def quiet_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(2, 3, 4, 5), p=0.5, training=False)
    yield Sample(make.real(2, 3, 4, 5), p=0.0, training=True)


def quiet(name: str) -> Row:
    return Row(f"nn.functional.{name}", identity, quiet_samples, tolerance=ULP, grad=2)


def rrelu_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 7), lower=0.1, upper=0.3, training=False)


def rrelu(x: np.ndarray, lower: float, upper: float, training: bool) -> np.ndarray:
    return leaky_relu(x, (lower + upper) / 2)


ROWS = [
    activation("relu", lambda x: np.maximum(x, 0), dtypes=NUMBERS, tolerance=ULP),
    Row(
        "relu",
        lambda x: np.maximum(x, 0),
        drawn(-3, 3),
        dtypes=NUMBERS,
        tolerance=ULP,
        grad=2,
        method=True,
        inplace=True,
        elementwise=True,
    ),
    Row("selu", selu, drawn(-3, 3), tolerance=STEPS, grad=2, elementwise=True),
    Row("celu", celu, drawn(-3, 3), tolerance=STEPS, grad=2, elementwise=True),
    activation("relu6", lambda x: np.clip(x, 0, 6).astype(x.dtype), dtypes=NUMBERS, tolerance=ULP),
    activation("leaky_relu", leaky_relu, {}, {"negative_slope": 0.3}),
    activation("elu", elu, {}, {"alpha": 0.7}),
    activation("celu", celu, {}, {"alpha": 0.7}),
    activation("selu", selu),
    activation("gelu", gelu, {}, {"approximate": "tanh"}),
    activation("silu", lambda x: x * special.expit(x)),
    activation("mish", lambda x: x * np.tanh(np.logaddexp(0, x))),
    activation("softplus", softplus, {}, {"beta": 2.0, "threshold": 3.0}),
    activation("softsign", lambda x: x / (1 + np.abs(x))),
    activation("logsigmoid", special.log_expit),
    activation("tanhshrink", lambda x: x - np.tanh(x)),
    activation("hardtanh", hardtanh, {}, {"min_val": -2.0, "max_val": 0.5}, tolerance=ULP),
    activation("hardsigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1), grad=1),
    activation("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
    activation("hardshrink", hardshrink, {}, {"lambd": 1.5}, tolerance=ULP),
    activation("softshrink", softshrink, {}, {"lambd": 1.5}),
    activation("threshold", threshold, {"threshold": 0.5, "value": 2.0}, tolerance=ULP),
    activation("sigmoid", special.expit),
    activation("tanh", np.tanh),
    Row("nn.functional.prelu", prelu, prelu_samples, tolerance=ULP, grad=2, aliases=("prelu",)),
    Row("nn.functional.glu", glu, glu_samples, tolerance=STEPS, grad=2),
    Row("nn.functional.rrelu", rrelu, rrelu_samples, tolerance=STEPS, grad=2),
    quiet("dropout"),
    quiet("dropout2d"),
    quiet("alpha_dropout"),
    quiet("feature_alpha_dropout"),
]
