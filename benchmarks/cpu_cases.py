"""The operators among the cases of `compare.py`, written once, and given corten or PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from types import ModuleType

from shared_cases import attend, attention_flops, convolution, convolution_flops, product, product_flops

SCALES = ("full", "tiny")
# The group whose geometric mean is shown by itself.
PRODUCTS = ("matmul", "convolution", "attention")


# How many times fewer multiplications Winograd's algorithms need for windows of three by three.
WINOGRAD = 2.25


@dataclass(frozen=True)
class Case:
    """What is timed: `build(module)` makes the inputs and returns the function that is repeated."""

    group: str
    name: str
    build: Callable[[ModuleType], Callable[[], object]]
    flops: float = 0.0  # of one operator; 0 where nobody counts them
    reads: float = 0.0  # bytes that one operator has to read at least, where memory bounds it
    writes: float = 0.0
    saving: float = 1.0  # how many times fewer multiplications than `flops` counts the best algorithm needs
    operators: int = 1  # of a call; a time is that of one
    compiled: bool = False  # by the package's `compile`
    unit: str = "s"  # or "bytes", which the call returns

    @property
    def key(self) -> str:
        return f"{self.group}: {self.name}"


def normal(m: ModuleType, *shape: int, grad: bool = False):
    return m.randn(*shape).requires_grad_(grad)


def cases(scale: str = "full") -> list[Case]:
    tiny = scale == "tiny"
    parts = [products, convolutions, attention, rows, elementwise, moving, spectra, small]
    return [case for part in parts for case in part(tiny)]


def product_shapes(tiny: bool) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    sizes = (8, 16) if tiny else (64, 128, 256, 512, 1024, 2048)
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {f"{n}": ((n, n), (n, n)) for n in sizes}
    if tiny:
        return shapes | {"batched": ((3, 8, 4), (3, 4, 8))}
    return shapes | {
        "1024 x 64 x 1024": ((1024, 64), (64, 1024)),
        "8 x 1024 x 1024": ((8, 1024), (1024, 1024)),
        "64 of 128 x 64 x 128": ((64, 128, 64), (64, 64, 128)),
        "matrix by vector, 4096": ((4096, 4096), (4096,)),
    }


def products(tiny: bool) -> Iterator[Case]:
    for name, (left, right) in product_shapes(tiny).items():
        build = product(normal, left, right)
        if len(right) == 1:
            yield Case("matmul", name, build, reads=4 * (prod(left) + prod(right)), writes=4 * left[0])
        else:
            yield Case("matmul", name, build, product_flops(left, right))


def convolution_shapes(tiny: bool) -> dict[str, tuple[int, int, tuple[int, ...], int, int, int, int]]:
    """By name: samples, channels, sizes, channels out, pixels of the kernel, stride, groups."""
    if tiny:
        return {"3x3": (1, 4, (8, 8), 4, 3, 1, 1), "1-d": (1, 4, (16,), 4, 3, 1, 1)}
    return {
        "3x3": (4, 64, (56, 56), 64, 3, 1, 1),
        "1x1": (8, 256, (28, 28), 64, 1, 1, 1),
        "3x3 stride 2": (8, 128, (28, 28), 256, 3, 2, 1),
        "7x7 stem": (4, 3, (224, 224), 64, 7, 2, 1),
        "depthwise 3x3": (8, 256, (28, 28), 256, 3, 1, 256),
        "1-d": (16, 64, (1024,), 64, 3, 1, 1),
        "3-d": (2, 16, (16, 32, 32), 32, 3, 1, 1),
    }


def convolutions(tiny: bool) -> Iterator[Case]:
    for name, sizes in convolution_shapes(tiny).items():
        flops = convolution_flops(*sizes)
        _, _, size, _, kernel, stride, groups = sizes
        minimal = {1: 1.5, 2: WINOGRAD, 3: WINOGRAD}[len(size)] if (kernel, stride, groups) == (3, 1, 1) else 1.0
        for backward, count in ((False, flops), (True, 2 * flops)):
            direction = "backward" if backward else "forward"
            build = convolution(normal, *sizes, backward=backward)
            yield Case("convolution", f"{name}, {direction}", build, count, saving=minimal)


def attention_shape(tiny: bool) -> tuple[int, int, int, int]:
    """Samples, heads, positions, width of a head."""
    return (1, 2, 16, 8) if tiny else (4, 8, 512, 64)


def attention(tiny: bool) -> Iterator[Case]:
    shape = attention_shape(tiny)
    for causal in (False, True):
        for backward in (False, True):
            name = f"{'causal, ' if causal else ''}{'forward and backward' if backward else 'forward'}"
            flops = attention_flops(shape, causal) * (3.5 if backward else 1.0)
            yield Case("attention", name, attend(normal, shape, causal, backward), flops)


LAYER_NORM = "layer_norm 4096 x 1024"
SOFTMAX = "softmax 4096 x 2048"
SUMS = "sums of rows, 16M"
CROSS_ENTROPY = "cross_entropy 1024 x 50257, forward and backward"
MAX_POOL = "max_pool2d 2, 8 x 64 x 112 x 112"


def row_shapes(tiny: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        LAYER_NORM: (4096, 1024),
        SOFTMAX: (4096, 2048),
        SUMS: (4096, 4096),
        CROSS_ENTROPY: (1024, 50257),
        MAX_POOL: (8, 64, 112, 112),
    }
    return {name: tuple(max(2, n // 64) for n in shape) if tiny else shape for name, shape in shapes.items()}


def rows(tiny: bool) -> Iterator[Case]:
    shapes = row_shapes(tiny)

    def case(name: str, operator, written: float = 1.0) -> Case:
        """`written` of the bytes that are read are written."""
        size = 4 * prod(shapes[name])
        build = applied(lambda m, x: operator(m, m.nn.functional, x), shapes[name])
        return Case("rows", name, build, reads=size, writes=written * size)

    def cross_entropy(m):
        x, labels = m.randn(count, classes).requires_grad_(), m.arange(count) % classes
        return lambda: m.autograd.grad(m.nn.functional.cross_entropy(x, labels), x)

    yield case(LAYER_NORM, lambda m, f, x: f.layer_norm(x, x.shape[-1:]))
    yield case(SOFTMAX, lambda m, f, x: m.softmax(x, -1))
    yield case(SUMS, lambda m, f, x: x.sum(-1), 1 / shapes[SUMS][-1])
    count, classes = shapes[CROSS_ENTROPY]
    moved = 4 * count * classes
    yield Case("rows", CROSS_ENTROPY, cross_entropy, reads=moved, writes=moved)
    yield case(MAX_POOL, lambda m, f, x: f.max_pool2d(x, 2), 1 / 4)


def applied(operator, *shapes: tuple[int, ...]):
    """An operator of normal tensors of these shapes."""

    def build(m):
        inputs = [m.randn(*shape) for shape in shapes]
        return lambda: operator(m, *inputs)

    return build


GELU = "gelu, 8M"
CHAIN = "tanh(x * 1.5 + y) * sigmoid(y) + x * x, 8M"


def elements(tiny: bool) -> int:
    return 1 << 10 if tiny else 8 << 20


def elementwise(tiny: bool) -> Iterator[Case]:
    n, side = elements(tiny), 32 if tiny else 2048

    def chain(m, x, y):
        return m.tanh(x * 1.5 + y) * m.sigmoid(y) + x * x

    gelu = applied(lambda m, x: m.nn.functional.gelu(x), (n,))
    yield Case("elementwise", GELU, gelu, reads=4 * n, writes=4 * n)
    yield Case("elementwise", CHAIN, applied(chain, (n,), (n,)), reads=8 * n, writes=4 * n)
    transposed, moved = applied(lambda m, x, y: x + y.T, (side, side), (side, side)), 4 * side * side
    yield Case("elementwise", "x + y.T, 2048 x 2048", transposed, reads=2 * moved, writes=moved)


def moving(tiny: bool) -> Iterator[Case]:
    n = 1000 if tiny else 1_000_000
    table, width, count = (50, 8, 16) if tiny else (50_000, 256, 16_384)

    def embedding(m):
        weight = m.randn(table, width).requires_grad_()
        index, gradient = m.randint(0, table, (count,)), m.randn(count, width)
        return lambda: m.autograd.grad(m.nn.functional.embedding(index, weight), weight, gradient)

    yield Case("moving", "sort 1M", applied(lambda m, x: m.sort(x), (n,)))
    yield Case("moving", "topk 100 of 1M", applied(lambda m, x: m.topk(x, 100), (n,)))
    yield Case("moving", "cumsum 1M", applied(lambda m, x: m.cumsum(x, 0), (n,)), reads=4 * n, writes=4 * n)
    yield Case("moving", "embedding 16384 of 50000 x 256, forward and backward", embedding)


def spectra(tiny: bool) -> Iterator[Case]:
    def case(name: str, transform, *shape: int) -> Case:
        small = tuple(max(4, n // 64) for n in shape)
        return Case("spectra", name, applied(lambda m, x: transform(m.fft, x), small if tiny else shape))

    def of_complex(m):
        x = m.view_as_complex(m.randn(*((4, 64) if tiny else (256, 4096)), 2))
        return lambda: m.fft.fft(x)

    yield Case("spectra", "fft, 256 x 4096", of_complex)
    yield case("rfft, 256 x 4096", lambda fft, x: fft.rfft(x), 256, 4096)
    yield case("rfft, 256 x 1000", lambda fft, x: fft.rfft(x), 256, 1000)
    yield case("rfft2 and back, 16 x 512 x 512", lambda fft, x: fft.irfft2(fft.rfft2(x)), 16, 512, 512)


MANY = 100


def small(_tiny: bool) -> Iterator[Case]:
    def dependent(m):
        x, one = m.randn(8), m.ones(8)

        def run():
            y = x
            for _ in range(200):
                y = y + one
            return y

        return run

    def one(grad: bool):
        def build(m):
            x, y = m.ones(8).requires_grad_(grad), m.ones(8)
            return lambda: x + y

        return build

    def many(grad: bool):
        def build(m):
            x, y = m.ones(8).requires_grad_(grad), m.ones(8)
            return lambda: [x + y for _ in range(MANY)]

        return build

    def read(m):
        x = m.ones(8)
        return lambda: (x + x).sum().item()

    yield Case("small", "200 dependent additions of 8 elements", dependent)
    yield Case("small", "one addition of 8 elements with item()", read)
    for grad in (False, True):
        with_gradient = " with gradient" if grad else ""
        yield Case("small", f"one addition of 8 elements{with_gradient}", one(grad))
        yield Case("small", f"an addition of 8 elements{with_gradient}, one of {MANY}", many(grad), operators=MANY)
