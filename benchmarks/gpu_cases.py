"""The cases of `gpu.py`: operators and training steps, written once for corten and PyTorch, and given its module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType

from shared_cases import (
    attend,
    attention_flops,
    convolution,
    convolution_flops,
    convolutional,
    deep,
    product,
    product_flops,
    training_step,
    two_layers,
)

DEVICE = "cuda"  # the GPU's name in PyTorch, and an alias in corten
SCALES = ("full", "tiny")
HALVES = ("float32", "float16")

# Chains of `fma` that do not wait for each other, of vectors of four.
CHAINS = 8
UNROLLED = 8
MULTIPLY_ADD = f"""
let s = vec4<f32>(s_at(0u));
let t = vec4<f32>(s_at(1u));
{" ".join(f"var v{k} = vec4<f32>(f32(i) + {k}.0);" for k in range(CHAINS))}
for (var r = 0u; r < turns(); r++) {{
{UNROLLED * " ".join(f"v{k} = fma(v{k}, s, t);" for k in range(CHAINS))}
}}
let sum = {" + ".join(f"v{k}" for k in range(CHAINS))};
y_put(i, sum.x + sum.y + sum.z + sum.w);
"""


@dataclass(frozen=True)
class Case:
    """What is timed: `build(module)` makes the inputs and returns the function that is repeated."""

    group: str
    name: str
    build: Callable[[ModuleType], Callable[[], object]]
    work: float  # of one call: floating-point operations, bytes or steps, as `unit` says
    unit: str = "flop"  # or "byte", or "step"
    dtype: str = "float32"
    multiplies: bool = True  # whether TF32 would change it


def uniform(m: ModuleType, *shape: int, dtype: str = "float32", grad: bool = False):
    return m.rand(*shape, device=DEVICE, dtype=getattr(m, dtype)).requires_grad_(grad)


def of(dtype: str):
    return partial(uniform, dtype=dtype)


def cases(scale: str = "full") -> list[Case]:
    tiny = scale == "tiny"
    return [*products(tiny), *convolutions(tiny), *attention(tiny), *passes(tiny), *training(tiny)]


def peak_cases(scale: str, largest: int) -> Iterator[Case]:
    """What a GPU reaches at best, to hold the cases against; no buffer is of more than `largest` bytes."""
    tiny = scale == "tiny"
    numel = min(largest // 4, 1 << 12 if tiny else 1 << 27)

    def clone(m):
        return uniform(m, numel).clone

    def copy(m):
        types = {"inputs": {"x": m.float32}, "outputs": {"y": m.float32}}
        return partial(m.gpu.kernel("y_put(i, x_at(i));", **types, name="copy"), uniform(m, numel))

    yield Case("peak", "copy by clone()", clone, 8 * numel, "byte", multiplies=False)
    yield Case("peak", "copy by a kernel in WGSL", copy, 8 * numel, "byte", multiplies=False)
    threads, turns = (1 << 10, 2) if tiny else (1 << 20, 8)
    work = 2 * 4 * CHAINS * UNROLLED * turns * threads
    yield Case("peak", "f32 multiply-add by a kernel in WGSL", multiply_add(threads, turns), work)


def multiply_add(threads: int, turns: int):
    def build(m):
        types = {"inputs": {"s": m.float32}, "outputs": {"y": (m.float32, (threads,))}, "scalars": {"turns": "u32"}}
        kernel = m.gpu.kernel(MULTIPLY_ADD, **types, name="multiply_add")
        return partial(kernel, m.tensor([0.999, 0.001], device=DEVICE), turns)

    return build


def products(tiny: bool) -> Iterator[Case]:
    sizes = (8, 16, 32, 48, 64) if tiny else (256, 512, 1024, 2048, 4096)
    wide, thin, vector = (64, 16, 64) if tiny else (1024, 64, 4096)
    batch, side = (4, 16) if tiny else (64, 256)
    shapes = [(f"{n} x {n} x {n}", (n, n), (n, n)) for n in sizes]
    shapes.append((f"skinny {wide} x {thin} x {wide}", (wide, thin), (thin, wide)))
    shapes.append((f"batched {batch} of {side} x {side} x {side}", (batch, side, side), (batch, side, side)))
    for dtype in HALVES:
        for name, left, right in shapes:
            yield Case(
                "matmul", f"{name}, {dtype}", product(of(dtype), left, right), product_flops(left, right), dtype=dtype
            )
        size = 4 if dtype == "float32" else 2
        name = f"matrix {vector} x {vector} by vector, {dtype}"
        build = product(of(dtype), (vector, vector), (vector,))
        # Every element of the matrix is read once: memory is the bound.
        yield Case("matmul", name, build, size * vector * (vector + 2), "byte", dtype)


def convolutions(tiny: bool) -> Iterator[Case]:
    # Images, channels, pixels a side, channels out, pixels of the kernel, stride, groups.
    full = {
        "3x3": (4, 64, 56, 64, 3, 1, 1),
        "1x1": (8, 256, 28, 64, 1, 1, 1),
        "3x3 stride 2": (8, 128, 28, 256, 3, 2, 1),
        "7x7 stem": (4, 3, 224, 64, 7, 2, 1),
        "depthwise 3x3": (8, 256, 28, 256, 3, 1, 256),
    }
    small = {
        "3x3": (1, 4, 8, 4, 3, 1, 1),
        "1x1": (1, 8, 8, 4, 1, 1, 1),
        "3x3 stride 2": (1, 4, 8, 8, 3, 2, 1),
        "7x7 stem": (1, 3, 16, 4, 7, 2, 1),
        "depthwise 3x3": (1, 8, 8, 8, 3, 1, 8),
    }
    for name, sizes in (small if tiny else full).items():
        n, channels, side, out, kernel, stride, groups = sizes
        shape = (n, channels, (side, side), out, kernel, stride, groups)
        case = f"{name}, {n}x{channels}x{side}x{side} to {out}"
        work = convolution_flops(*shape)
        yield Case("convolution", f"{case}, forward", convolution(uniform, *shape, backward=False), work)
        yield Case("convolution", f"{case}, backward", convolution(uniform, *shape, backward=True), 2 * work)


def attention(tiny: bool) -> Iterator[Case]:
    shape = (1, 2, 16, 8) if tiny else (4, 8, 512, 64)
    for dtype in HALVES:
        for causal in (False, True):
            work = attention_flops(shape, causal)
            name = f"{'x'.join(map(str, shape))}{', causal' if causal else ''}, {dtype}"
            build = attend(of(dtype), shape, causal, backward=False)
            yield Case("attention", f"{name}, forward", build, work, dtype=dtype)
            build = attend(of(dtype), shape, causal, backward=True)
            yield Case("attention", f"{name}, forward and backward", build, 3.5 * work, dtype=dtype)


def passes(tiny: bool) -> Iterator[Case]:
    """What reads and writes each element once; the work is the bytes that one pass over memory moves."""
    n = 64 if tiny else 8192
    operators = {
        "clone": (2, lambda m, x, y: x.clone()),
        "x + y": (3, lambda m, x, y: x + y),
        "relu(2 * x + y)": (3, lambda m, x, y: m.relu(2 * x + y)),
        "gelu": (2, lambda m, x, y: m.nn.functional.gelu(x)),
        "softmax of rows": (2, lambda m, x, y: m.softmax(x, 1)),
        "layer_norm of rows": (2, lambda m, x, y: m.nn.functional.layer_norm(x, (n,))),
        "sum of rows": (1, lambda m, x, y: x.sum(1)),
        "x + y.T": (3, lambda m, x, y: x + y.T),
    }
    for name, (moved, operator) in operators.items():
        case = f"{name}, {n} x {n}"
        yield Case("memory", case, one_pass(n, operator), 4 * moved * n * n, "byte", multiplies=False)


def one_pass(n: int, operator):
    def build(m):
        x, y = uniform(m, n, n), uniform(m, n, n)
        return lambda: operator(m, x, y)

    return build


def training(tiny: bool) -> Iterator[Case]:
    hidden, depth, width, batch, images = (16, 3, 16, 4, 4) if tiny else (128, 12, 64, 16, 64)

    steps = [
        (f"784-{hidden}-10, batch 32, Adam", partial(two_layers, hidden=hidden), "Adam", (32, 784)),
        (
            f"{depth} layers of {width}, LayerNorm, GELU, Dropout, batch {batch}, AdamW",
            partial(deep, depth=depth, width=width),
            "AdamW",
            (batch, width),
        ),
        (f"CNN on 28 x 28, batch {images}, Adam", convolutional, "Adam", (images, 1, 28, 28)),
    ]
    for name, network, optimizer, shape in steps:
        yield Case(
            "training step",
            name,
            training_step(uniform, network, optimizer, shape, lambda loss: loss.detach()),
            1,
            "step",
        )
