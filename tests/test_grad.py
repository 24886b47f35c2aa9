"""Gradients of every differentiable operator: slopes of the numpy reference, gradcheck, and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import corten
import numpy as np
import pytest

from op_table import ROWS
from op_table.row import (
    Operand,
    Row,
    Sample,
    build,
    dtypes_on,
    is_float,
    layouts_of,
    on_the_cpu,
    round_to,
    tensors_in,
    to_numpy,
)

# Advice that PyTorch gives too, on arguments that are legal.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:reduction. 'mean' divides")

FIRST_ORDER = [row for row in ROWS if row.grad >= 1 and "float64" in row.dtypes]
SECOND_ORDER = [row for row in FIRST_ORDER if row.grad >= 2]
STEP = 1e-6


def leaves_of(sample: Sample) -> list[Operand]:
    return [o for o in sample.operands() if o.differentiable and o.array.size]


def differentiable_samples(row: Row) -> list[Sample]:
    return [s for s in row.samples_of("float64") if leaves_of(s)]


class Graph:
    """One call whose differentiable operands are leaves and all others constants."""

    def __init__(self, row: Row, sample: Sample, layout: str = "contiguous", device: str = "cpu"):
        self.row, self.sample, self.layout, self.device = row, sample, layout, device
        self.operands = leaves_of(sample)

    def leaves(self) -> list[Any]:
        return [self.tensor(o).requires_grad_() for o in self.operands]

    def tensor(self, operand: Operand) -> Any:
        layout = self.layout if self.layout in set(layouts_of(operand)) else "contiguous"
        return build(corten, operand, self.device, layout).detach()

    def __call__(self, *leaves: Any) -> tuple:
        """The floating results, in order, that gradients flow to."""
        given = {id(o): leaf for o, leaf in zip(self.operands, leaves, strict=True)}
        args, kwargs = self.sample.map(lambda o: given[id(o)] if id(o) in given else self.tensor(o), corten)
        results = tensors_in(self.row.function(corten)(*args, **kwargs))
        return tuple(r for r in results if r.is_floating_point() and r.requires_grad)

    def widest(self) -> Any:
        return getattr(corten, dtypes_on(self.device, ("float32", "float64"))[-1])

    def reference(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        given = {id(o): array for o, array in zip(self.operands, arrays, strict=True)}
        args, kwargs = self.sample.map(lambda o: o.replaced(given.get(id(o), o.array)))
        return [r for r in self.row.reference(Sample(*args, **kwargs)) if r.dtype == np.float64]


def random_like(rng: np.random.Generator, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [rng.uniform(0.5, 1.5, a.shape) * rng.choice([-1, 1], a.shape) for a in arrays]


def inner(left: list[np.ndarray], right: list[np.ndarray]) -> float:
    return float(sum(np.sum(a * b) for a, b in zip(left, right, strict=True)))


def slope(function: Callable, arrays: list[np.ndarray], direction: list[np.ndarray]) -> float:
    """Central difference of a number along a direction."""
    ahead = function([a + STEP * d for a, d in zip(arrays, direction, strict=True)])
    behind = function([a - STEP * d for a, d in zip(arrays, direction, strict=True)])
    return (ahead - behind) / (2 * STEP)


def directions(rng: np.random.Generator, arrays: list[np.ndarray]) -> list[list[np.ndarray]]:
    """One that moves every operand, and for each operand one that moves it alone."""
    together = random_like(rng, arrays)
    alone = [[d * (i == j) for j, d in enumerate(random_like(rng, arrays))] for i in range(len(arrays))]
    return [together, *alone] if len(arrays) > 1 else [together]


def gradients(outputs: tuple, leaves: list[Any], cotangents: list[np.ndarray], create_graph: bool = False) -> list[Any]:
    tensors = [corten.tensor(c, dtype=o.dtype, device=o.device) for c, o in zip(cotangents, outputs, strict=True)]
    return list(corten.autograd.grad(outputs, leaves, tensors, create_graph=create_graph, allow_unused=True))


def as_arrays(grads: list[Any], arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [np.zeros(a.shape) if g is None else to_numpy(g.clone()) for g, a in zip(grads, arrays, strict=True)]


@pytest.mark.cpu
@pytest.mark.parametrize("row", FIRST_ORDER, ids=str)
def test_gradient_is_the_slope_of_the_reference(row: Row) -> None:
    moved: dict[int, bool] = {}
    for sample in differentiable_samples(row):
        graph, rng = Graph(row, sample), np.random.default_rng(row.seed())
        arrays = [o.array for o in graph.operands]
        leaves = graph.leaves()
        outputs = graph(*leaves)
        expected = graph.reference(arrays)
        assert len(outputs) == len(expected), f"{row}{sample}: {len(outputs)} differentiable results"
        cotangents = random_like(rng, expected)
        grads = gradients(outputs, leaves, cotangents)
        for leaf, grad in zip(leaves, grads, strict=True):
            assert grad is None or (grad.shape == leaf.shape and grad.dtype == leaf.dtype), f"{row}{sample}"
        values = as_arrays(grads, arrays)
        for direction in directions(rng, arrays):
            wanted = slope(lambda moved_to: inner(graph.reference(moved_to), cotangents), arrays, direction)
            found = inner(values, direction)
            scale = 1 + sum(np.abs(v * d).sum() for v, d in zip(values, direction, strict=True))
            assert abs(found - wanted) <= 1e-6 * scale, f"{row}{sample}: slope {found}, of the reference {wanted}"
        for place, value in enumerate(values):
            moved[place] = moved.get(place, False) or bool(np.any(value))
    assert moved, f"{row} has no sample to differentiate"
    if row.zero_grad:
        assert not any(moved.values()), f"{row} should have gradient zero"
    else:
        assert any(moved.values()), f"{row}: every gradient of every sample is zero"


def small_samples(row: Row, count: int, limit: int) -> list[Sample]:
    """Samples with few elements to differentiate, but more than one."""
    sizes = [(sum(o.array.size for o in leaves_of(s)), s) for s in differentiable_samples(row)]
    fitting = sorted((pair for pair in sizes if 1 < pair[0] <= limit), key=lambda pair: pair[0])
    return [s for _, s in fitting[:count]]


@pytest.mark.cpu
@pytest.mark.parametrize("row", [row for row in FIRST_ORDER if small_samples(row, 1, 36)], ids=str)
def test_gradcheck(row: Row) -> None:
    for sample in small_samples(row, 2, 36):
        graph = Graph(row, sample)
        assert corten.autograd.gradcheck(graph, tuple(graph.leaves())), f"{row}{sample}"


@pytest.mark.cpu
@pytest.mark.parametrize("row", [row for row in SECOND_ORDER if small_samples(row, 1, 12)], ids=str)
def test_gradgradcheck(row: Row) -> None:
    for sample in small_samples(row, 1, 12):
        graph = Graph(row, sample)
        leaves = graph.leaves()
        if not any(o.requires_grad for o in graph(*leaves)):
            continue
        assert corten.autograd.gradgradcheck(graph, tuple(leaves)), f"{row}{sample}"


@pytest.mark.cpu
@pytest.mark.parametrize("row", SECOND_ORDER, ids=str)
def test_second_derivative_is_the_slope_of_the_first(row: Row) -> None:
    """For every sample: gradients of a random combination of gradients against differences of the gradients."""
    for sample in differentiable_samples(row):
        graph, rng = Graph(row, sample), np.random.default_rng(row.seed() + 1)
        arrays = [o.array for o in graph.operands]
        leaves = graph.leaves()
        outputs = graph(*leaves)
        cotangents = random_like(rng, [to_numpy(o) for o in outputs])
        firsts = gradients(outputs, leaves, cotangents, create_graph=True)
        weights = random_like(rng, arrays)
        curved = [(g, w) for g, w in zip(firsts, weights, strict=True) if g is not None and g.requires_grad]
        seconds = [np.zeros(a.shape) for a in arrays]
        if curved:
            seconds = as_arrays(gradients(tuple(g for g, _ in curved), leaves, [w for _, w in curved]), arrays)

        def first_order(moved_to: list[np.ndarray], graph=graph, cotangents=cotangents, weights=weights) -> float:
            points = [corten.tensor(a, dtype=corten.float64).requires_grad_() for a in moved_to]
            return inner(as_arrays(gradients(graph(*points), points, cotangents), moved_to), weights)

        direction = random_like(rng, arrays)
        wanted, found = slope(first_order, arrays, direction), inner(seconds, direction)
        scale = 1 + sum(np.abs(v * d).sum() for v, d in zip(seconds, direction, strict=True))
        assert abs(found - wanted) <= 1e-5 * scale, (
            f"{row}{sample}: second derivative {found}, slope of the first {wanted}"
        )


@pytest.mark.parametrize("row", [row for row in FIRST_ORDER if not row.dense and "float32" in row.dtypes], ids=str)
def test_gradient_does_not_depend_on_layout(row: Row, device: str) -> None:
    dtype, near = ("float64", 1e-9) if device == "cpu" else ("float32", 2e-5)
    for sample in [s for s in row.samples_of(dtype) if leaves_of(s)][:6]:
        layouts = {name for o in sample.operands() for name in layouts_of(o)} - {"expanded"}
        rng = np.random.default_rng(row.seed())
        plain = Graph(row, sample, device=device)
        leaves = plain.leaves()
        outputs = plain(*leaves)
        cotangents = random_like(rng, [to_numpy(o) for o in outputs])
        arrays = [o.array for o in plain.operands]
        expected = as_arrays(gradients(outputs, leaves, cotangents), arrays)
        for layout in sorted(layouts):
            graph = Graph(row, sample, layout, device)
            leaves = graph.leaves()
            actual = as_arrays(gradients(graph(*leaves), leaves, cotangents), arrays)
            for a, e in zip(actual, expected, strict=True):
                np.testing.assert_allclose(a, e, rtol=near, atol=near, err_msg=f"{row}{sample} {layout}")


NARROW = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
BY_DTYPE = [
    pytest.param(row, dtype, id=f"{row}-{dtype}") for row in FIRST_ORDER for dtype in NARROW if dtype in row.dtypes
]


def widened(sample: Sample) -> Sample:
    """The same values in float64."""
    args, kwargs = sample.map(lambda o: Operand(o.array, "float64" if is_float(o.dtype) else o.dtype, o.differentiable))
    return Sample(*args, **kwargs)


def assert_agree(row: Row, sample: Sample, dtype: str, device: str, work: Callable) -> None:
    """`work`, a graph to arrays, gives in a narrow dtype on the device what it gives in float64 on the CPU."""
    narrow = work(Graph(row, sample, device=device))
    with on_the_cpu():
        wide = work(Graph(row, widened(sample)))
    for found, wanted in zip(narrow, wide, strict=True):
        rtol = NARROW[dtype]
        atol = rtol * max(1.0, float(np.abs(wanted).max(initial=0)))
        np.testing.assert_allclose(found, round_to(wanted, dtype), rtol=rtol, atol=atol, err_msg=f"{row}{sample}")


@pytest.mark.parametrize("row, dtype", BY_DTYPE)
def test_gradient_in_narrow_dtypes(row: Row, dtype: str, device: str) -> None:
    """Gradients have their operand's dtype and agree with float64 as far as the dtype can tell."""

    def first_order(graph: Graph) -> list[np.ndarray]:
        leaves = graph.leaves()
        total = sum(o.to(graph.widest()).sum() for o in graph(*leaves))
        found = corten.autograd.grad(total, leaves, allow_unused=True)
        for g, leaf in zip(found, leaves, strict=True):
            assert g is None or (g.dtype == leaf.dtype and g.device == leaf.device), f"{row}{graph.sample}"
        return as_arrays(list(found), [o.array for o in graph.operands])

    for sample in [s for s in row.samples_of(dtype) if leaves_of(s)][:4]:
        assert_agree(row, sample, dtype, device, first_order)


@pytest.mark.parametrize("row", [row for row in SECOND_ORDER if "float32" in row.dtypes], ids=str)
def test_second_derivative_in_float32(row: Row, device: str) -> None:
    def second_order(graph: Graph) -> list[np.ndarray]:
        rng, leaves = np.random.default_rng(row.seed() + 2), graph.leaves()
        arrays = [o.array for o in graph.operands]
        outputs = graph(*leaves)
        cotangents = random_like(rng, [to_numpy(o) for o in outputs])
        firsts = gradients(outputs, leaves, cotangents, create_graph=True)
        weights = random_like(rng, arrays)
        curved = [(g, w) for g, w in zip(firsts, weights, strict=True) if g is not None and g.requires_grad]
        if not curved:
            return []
        return as_arrays(gradients(tuple(g for g, _ in curved), leaves, [w for _, w in curved]), arrays)

    for sample in [s for s in row.samples_of("float32") if leaves_of(s)][:3]:
        assert_agree(row, sample, "float32", device, second_order)


class WrongCube(corten.autograd.Function):
    """x ** 3 with the gradient of x ** 2."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * 2 * x


class NearlyRight(corten.autograd.Function):
    """x ** 3 whose gradient is one percent too large."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * 3.03 * x * x


@pytest.mark.cpu
@pytest.mark.parametrize("function", [WrongCube, NearlyRight])
def test_gradcheck_finds_a_wrong_gradient(function: Any) -> None:
    x = corten.tensor([0.5, -1.5, 2.0], dtype=corten.float64, requires_grad=True)
    assert not corten.autograd.gradcheck(function.apply, (x,), raise_exception=False)
    with pytest.raises(RuntimeError):
        corten.autograd.gradcheck(function.apply, (x,))


@pytest.mark.cpu
def test_gradgradcheck_finds_a_wrong_second_derivative() -> None:
    class WrongSecond(corten.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            # Right in value; x is taken for a constant when it is differentiated again.
            return grad * 3 * x * x.detach()

    x = corten.tensor([0.5, -1.5, 2.0], dtype=corten.float64, requires_grad=True)
    assert corten.autograd.gradcheck(WrongSecond.apply, (x,))
    assert not corten.autograd.gradgradcheck(WrongSecond.apply, (x,), raise_exception=False)


@pytest.mark.cpu
def test_gradcheck_accepts_what_is_right() -> None:
    x = corten.tensor([0.5, -1.5, 2.0], dtype=corten.float64, requires_grad=True)
    y = corten.tensor([[1.0], [2.0]], dtype=corten.float64, requires_grad=True)
    assert corten.autograd.gradcheck(lambda a, b: ((a * b).sin(), a.sum()), (x, y))
    assert corten.autograd.gradgradcheck(lambda a, b: (a * b).sin(), (x, y))
