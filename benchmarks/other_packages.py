"""Cases of `compare.py` on jax, tinygrad and mlx, each in its own way: compiled where it compiles, in its layout.

A case has the key and the sizes that it has in `cpu_cases.py`; its call ends when the result is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cpu_cases import (
    CHAIN,
    GELU,
    LAYER_NORM,
    SOFTMAX,
    SUMS,
    attention_shape,
    convolution_shapes,
    elements,
    product_shapes,
    row_shapes,
)

EPSILON = 1e-5  # of layer_norm


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


class Jax:
    """Everything goes through `jit`; attention has heads behind positions, as its function wants them."""

    def __init__(self, m: ModuleType):
        import jax.numpy

        self.m, self.numpy = m, jax.numpy

    def call(self, function, *inputs: np.ndarray) -> Callable[[], object]:
        compiled, arrays = self.m.jit(function), [self.numpy.asarray(x) for x in inputs]
        return lambda: self.m.block_until_ready(compiled(*arrays))

    def product(self, a, b):
        return a @ b

    def chain(self, x, y):
        return self.numpy.tanh(x * 1.5 + y) * self.m.nn.sigmoid(y) + x * x

    def gelu(self, x):
        return self.m.nn.gelu(x, approximate=False)

    def softmax(self, x):
        return self.m.nn.softmax(x, axis=-1)

    def layer_norm(self, x):
        centred = x - x.mean(-1, keepdims=True)
        return centred * self.m.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)

    def sums(self, x):
        return x.sum(-1)

    def convolution(self, x: np.ndarray, w: np.ndarray, stride: int, groups: int):
        dimensions = x.ndim - 2
        convolve = partial(
            self.m.lax.conv_general_dilated,
            window_strides=[stride] * dimensions,
            padding=[(w.shape[-1] // 2,) * 2] * dimensions,
            feature_group_count=groups,
        )
        return self.call(lambda x, w: convolve(x, w), x, w)

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, causal: bool):
        attend = partial(self.m.nn.dot_product_attention, is_causal=causal)
        return self.call(lambda q, k, v: attend(q, k, v), *(np.moveaxis(x, 1, 2).copy() for x in (q, k, v)))


class Tinygrad:
    """Everything goes through `TinyJit`, which records at the second call."""

    def __init__(self, m: ModuleType):
        self.m = m

    def call(self, function, *inputs: np.ndarray) -> Callable[[], object]:
        compiled = self.m.TinyJit(lambda *arrays: function(*arrays).realize())
        arrays = [self.m.Tensor(x).realize() for x in inputs]
        device = self.m.Device[self.m.Device.DEFAULT]

        def call():
            result = compiled(*arrays)
            device.synchronize()
            return result

        for _ in range(3):
            call()
        return call

    def product(self, a, b):
        return a @ b

    def chain(self, x, y):
        return (x * 1.5 + y).tanh() * y.sigmoid() + x * x

    def gelu(self, x):
        return 0.5 * x * (1 + (x / math.sqrt(2)).erf())

    def softmax(self, x):
        return x.softmax(-1)

    def layer_norm(self, x):
        return x.layernorm(eps=EPSILON)

    def sums(self, x):
        return x.sum(-1)

    def convolution(self, x: np.ndarray, w: np.ndarray, stride: int, groups: int):
        convolve = partial(self.m.Tensor.conv2d, groups=groups, stride=stride, padding=w.shape[-1] // 2)
        return self.call(lambda x, w: convolve(x, w), x, w)

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, causal: bool):
        attend = partial(self.m.Tensor.scaled_dot_product_attention, is_causal=causal)
        return self.call(lambda q, k, v: attend(q, k, v), q, k, v)


class Mlx:
    """Everything goes through `compile`; channels are the last dimension of images and of kernels."""

    def __init__(self, m: ModuleType):
        import mlx.core
        import mlx.nn

        mlx.core.set_default_device(mlx.core.cpu)
        self.core: Any = mlx.core
        self.nn: Any = mlx.nn

    def call(self, function, *inputs: np.ndarray) -> Callable[[], object]:
        compiled, arrays = self.core.compile(function), [self.core.array(x) for x in inputs]

        def call():
            result = compiled(*arrays)
            self.core.eval(result)
            return result

        return call

    def product(self, a, b):
        return a @ b

    def chain(self, x, y):
        return self.core.tanh(x * 1.5 + y) * self.core.sigmoid(y) + x * x

    def gelu(self, x):
        return self.nn.gelu(x)

    def softmax(self, x):
        return self.core.softmax(x, axis=-1)

    def layer_norm(self, x):
        return self.core.fast.layer_norm(x, None, None, EPSILON)

    def sums(self, x):
        return x.sum(-1)

    def convolution(self, x: np.ndarray, w: np.ndarray, stride: int, groups: int):
        convolve = partial(self.core.conv_general, stride=stride, padding=w.shape[-1] // 2, groups=groups)
        return self.call(lambda x, w: convolve(x, w), *(np.moveaxis(a, 1, -1).copy() for a in (x, w)))

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, causal: bool):
        scale, mask = 1 / math.sqrt(q.shape[-1]), "causal" if causal else None
        attend = partial(self.core.fast.scaled_dot_product_attention, scale=scale, mask=mask)
        return self.call(lambda q, k, v: attend(q, k, v), q, k, v)


PACKAGES: dict[str, type] = {"jax": Jax, "mlx": Mlx, "tinygrad": Tinygrad}


def cases(package: str, scale: str = "full") -> dict[str, Callable[[ModuleType], Callable[[], object]]]:
    """By key, what builds the call when it is given the package's module."""
    tiny, make = scale == "tiny", PACKAGES[package]
    found = {}

    def add(key: str, operator: str, *shapes: tuple[int, ...]) -> None:
        def build(m):
            package = make(m)
            return package.call(getattr(package, operator), *(numbers(*shape) for shape in shapes))

        found[key] = build

    for name, (left, right) in product_shapes(tiny).items():
        add(f"matmul: {name}", "product", left, right)
    for name, (n, channels, size, out, kernel, stride, groups) in convolution_shapes(tiny).items():
        weight = (out, channels // groups, *([kernel] * len(size)))
        found[f"convolution: {name}, forward"] = partial(
            convolution, make, (n, channels, *size), weight, stride, groups
        )
    for causal in (False, True):
        key = f"attention: {'causal, ' if causal else ''}forward"
        found[key] = partial(attention, make, attention_shape(tiny), causal)
    shapes, n = row_shapes(tiny), elements(tiny)
    for name, operator in ((LAYER_NORM, "layer_norm"), (SOFTMAX, "softmax"), (SUMS, "sums")):
        add(f"rows: {name}", operator, shapes[name])
    add(f"elementwise: {GELU}", "gelu", (n,))
    add(f"elementwise: {CHAIN}", "chain", (n,), (n,))
    return found


def convolution(make: type, shape: tuple[int, ...], weight: tuple[int, ...], stride: int, groups: int, m: ModuleType):
    return make(m).convolution(numbers(*shape), numbers(*weight), stride, groups)


def attention(make: type, shape: tuple[int, ...], causal: bool, m: ModuleType):
    return make(m).attention(*(numbers(*shape) for _ in range(3)), causal)
