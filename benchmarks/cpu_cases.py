"""The cases of `compare.py`: operators and training steps, written once, and given corten or PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType

from shared_cases import attend, convolution, convolutional, deep, product, training_step, two_layers

SCALES = ("full", "tiny")
# The group whose geometric mean is shown by itself.
PRODUCTS = ("matmul", "convolution", "attention")


@dataclass(frozen=True)
class Case:
    """What is timed: `build(module)` makes the inputs and returns the function that is repeated."""

    group: str
    name: str
    build: Callable[[ModuleType], Callable[[], object]]


def normal(m: ModuleType, *shape: int, grad: bool = False):
    return m.randn(*shape).requires_grad_(grad)


def cases(scale: str = "full") -> list[Case]:
    tiny = scale == "tiny"
    parts = [products, convolutions, attention, rows, elementwise, moving, small, training]
    return [case for part in parts for case in part(tiny)]


def products(tiny: bool) -> Iterator[Case]:
    sizes = (8, 16) if tiny else (64, 128, 256, 512, 1024, 2048)
    shapes = {f"{n}": ((n, n), (n, n)) for n in sizes}
    if tiny:
        shapes["batched"] = ((3, 8, 4), (3, 4, 8))
    else:
        shapes["1024 x 64 x 1024"] = ((1024, 64), (64, 1024))
        shapes["8 x 1024 x 1024"] = ((8, 1024), (1024, 1024))
        shapes["64 of 128 x 64 x 128"] = ((64, 128, 64), (64, 64, 128))
        shapes["matrix by vector, 4096"] = ((4096, 4096), (4096,))
    for name, (left, right) in shapes.items():
        yield Case("matmul", name, product(normal, left, right))


def convolutions(tiny: bool) -> Iterator[Case]:
    # Samples, channels, sizes, channels out, pixels of the kernel, stride, groups.
    full = {
        "3x3": (4, 64, (56, 56), 64, 3, 1, 1),
        "1x1": (8, 256, (28, 28), 64, 1, 1, 1),
        "3x3 stride 2": (8, 128, (28, 28), 256, 3, 2, 1),
        "7x7 stem": (4, 3, (224, 224), 64, 7, 2, 1),
        "depthwise 3x3": (8, 256, (28, 28), 256, 3, 1, 256),
        "1-d": (16, 64, (1024,), 64, 3, 1, 1),
        "3-d": (2, 16, (16, 32, 32), 32, 3, 1, 1),
    }
    small_ones = {"3x3": (1, 4, (8, 8), 4, 3, 1, 1), "1-d": (1, 4, (16,), 4, 3, 1, 1)}
    for name, sizes in (small_ones if tiny else full).items():
        yield Case("convolution", f"{name}, forward", convolution(normal, *sizes, backward=False))
        yield Case("convolution", f"{name}, backward", convolution(normal, *sizes, backward=True))


def attention(tiny: bool) -> Iterator[Case]:
    shape = (1, 2, 16, 8) if tiny else (4, 8, 512, 64)
    for causal in (False, True):
        for backward in (False, True):
            name = f"{'causal, ' if causal else ''}{'forward and backward' if backward else 'forward'}"
            yield Case("attention", name, attend(normal, shape, causal, backward))


def rows(tiny: bool) -> Iterator[Case]:
    few = 8 if tiny else 1

    def of(*shape: int):
        return tuple(max(2, n // (32 * few)) if tiny else n for n in shape)

    def layer_norm(m):
        x = m.randn(*of(4096, 1024))
        return lambda: m.nn.functional.layer_norm(x, x.shape[-1:])

    def softmax(m):
        x = m.randn(*of(4096, 2048))
        return lambda: m.softmax(x, -1)

    def sums(m):
        x = m.randn(*of(4096, 4096))
        return lambda: x.sum(-1)

    def cross_entropy(m):
        count, classes = of(1024, 50257)
        x, labels = m.randn(count, classes).requires_grad_(), m.arange(count) % classes
        return lambda: m.autograd.grad(m.nn.functional.cross_entropy(x, labels), x)

    def max_pool(m):
        x = m.randn(*of(8, 64, 112, 112))
        return lambda: m.nn.functional.max_pool2d(x, 2)

    yield Case("rows", "layer_norm 4096 x 1024", layer_norm)
    yield Case("rows", "softmax 4096 x 2048", softmax)
    yield Case("rows", "sums of rows, 16M", sums)
    yield Case("rows", "cross_entropy 1024 x 50257, forward and backward", cross_entropy)
    if not tiny:
        yield Case("rows", "max_pool2d 2, 8 x 64 x 112 x 112", max_pool)


def elementwise(tiny: bool) -> Iterator[Case]:
    n = 1 << 10 if tiny else 8 << 20
    side = 32 if tiny else 2048

    def gelu(m):
        x = m.randn(n)
        return lambda: m.nn.functional.gelu(x)

    def chain(m):
        x, y = m.randn(n), m.randn(n)
        return lambda: m.tanh(x * 1.5 + y) * m.sigmoid(y) + x * x

    def transposed(m):
        x, y = m.randn(side, side), m.randn(side, side)
        return lambda: x + y.T

    yield Case("elementwise", "gelu, 8M", gelu)
    yield Case("elementwise", "tanh(x * 1.5 + y) * sigmoid(y) + x * x, 8M", chain)
    yield Case("elementwise", "x + y.T, 2048 x 2048", transposed)


def moving(tiny: bool) -> Iterator[Case]:
    n = 1000 if tiny else 1_000_000
    table, width, count = (50, 8, 16) if tiny else (50_000, 256, 16_384)

    def embedding(m):
        weight = m.randn(table, width).requires_grad_()
        index, gradient = m.randint(0, table, (count,)), m.randn(count, width)
        return lambda: m.autograd.grad(m.nn.functional.embedding(index, weight), weight, gradient)

    def of(operator):
        def build(m):
            x = m.randn(n)
            return lambda: operator(m, x)

        return build

    yield Case("moving", "sort 1M", of(lambda m, x: m.sort(x)))
    yield Case("moving", "topk 100 of 1M", of(lambda m, x: m.topk(x, 100)))
    yield Case("moving", "cumsum 1M", of(lambda m, x: m.cumsum(x, 0)))
    yield Case("moving", "embedding 16384 of 50000 x 256, forward and backward", embedding)


def small(_tiny: bool) -> Iterator[Case]:
    def additions(m):
        x, one = m.randn(8), m.ones(8)

        def run():
            y = x
            for _ in range(200):
                y = y + one
            return y

        return run

    yield Case("small", "200 dependent additions of 8 elements", additions)
    yield Case("small", "one addition of 8 elements with item()", lambda m: summed(m, m.ones(8)))


def summed(m, x):
    return lambda: (x + x).sum().item()


def training(tiny: bool) -> Iterator[Case]:
    width = 8 if tiny else 64

    images = 2 if tiny else 64

    def step(name: str, network, optimizer: str, shape: tuple[int, ...]) -> Case:
        return Case("training step", name, training_step(normal, network, optimizer, shape, lambda loss: loss.item()))

    yield step("784-128-10, batch 32, Adam", partial(two_layers, hidden=128), "Adam", (32, 784))
    name = "12 layers of 64, LayerNorm, GELU, Dropout, batch 16, AdamW"
    yield step(name, partial(deep, depth=12, width=width), "AdamW", (16, width))
    yield step(f"CNN on 28 x 28, batch {images}, Adam", convolutional, "Adam", (images, 1, 28, 28))
