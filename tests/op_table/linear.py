"""Rows of the matrix products, from dot to einsum, and of distances between vectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist as pairwise

from .row import FLOATS, NUMBERS, STEPS, WIDE_FLOATS, Maker, Row, Sample, tolerances

# Sums of at most 257 products of numbers below 3.
PRODUCTS = tolerances(
    float64=(1e-13, 1e-12), float32=(2e-6, 2e-5), float16=(2e-3, 2e-2), bfloat16=(1.6e-2, 1e-1)
)  # fmt: skip


def of_shapes(*cases: tuple[tuple[int, ...], ...]) -> Callable[[Maker], Iterator[Sample]]:
    """One sample for each tuple of shapes."""

    def samples(make: Maker) -> Iterator[Sample]:
        for shapes in cases:
            yield Sample(*(make.real(*shape) for shape in shapes))

    return samples


def product(name: str, ref: Callable, samples: Callable, **options: Any) -> Row:
    defaults: dict[str, Any] = dict(dtypes=NUMBERS, tolerance=PRODUCTS, grad=2, method=True, out=True)
    return Row(name, ref, samples, **{**defaults, **options})


MATMUL_SHAPES = (
    ((7,), (7,)), ((1,), (1,)), ((3, 4), (4,)), ((4,), (4, 3)), ((3, 4), (4, 5)), ((17, 33), (33, 7)),
    ((1, 257), (257, 1)), ((257, 1), (1, 3)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4,)),
    ((4,), (2, 4, 3)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((0, 4), (4, 3)), ((3, 0), (0, 4)),
    ((2, 0, 3), (3, 2)),
)  # fmt: skip


def combined(*cases: tuple[tuple[int, ...], ...]) -> Callable[[Maker], Iterator[Sample]]:
    def samples(make: Maker) -> Iterator[Sample]:
        for x, a, b in cases:
            yield Sample(make.real(*x), make.real(*a), make.real(*b))
        x, a, b = cases[0]
        yield Sample(make.real(*x), make.real(*a), make.real(*b), beta=make.scalar(2), alpha=make.scalar(3))
        # With beta = 0 the input is not read: NaN in it does not show.
        hidden = make.wrap(np.full(x, np.nan), differentiable=False) if make.dtype in FLOATS else make.real(*x)
        yield Sample(hidden, make.real(*a), make.real(*b), beta=0)

    return samples


def plus(multiply: Callable) -> Callable:
    """beta * input + alpha * product, the input unread when beta is zero."""

    def ref(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        return (beta * x if beta != 0 else np.zeros_like(x)) + alpha * multiply(a, b)

    return ref


def einsum_samples(make: Maker) -> Iterator[Sample]:
    cases = (
        ("ij,jk->ik", (3, 4), (4, 5)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("ii->i", (4, 4)), ("ii", (4, 4)),
        ("ij->ji", (3, 4)), ("ij->", (3, 4)), ("i,j->ij", (3,), (4,)), ("ij,ij->ij", (3, 4), (3, 4)),
        ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)), ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
        ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("ij,kj", (3, 4), (5, 4)),
        ("bn,anm,bm->ba", (2, 3), (5, 3, 4), (2, 4)),
    )  # fmt: skip
    for equation, *shapes in cases:
        yield Sample(equation, *(make.real(*shape) for shape in shapes))


def tensordot_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4, 5), make.real(4, 5, 2))
    yield Sample(make.real(3, 4), make.real(4, 5), dims=1)
    yield Sample(make.real(3), make.real(4), dims=0)
    yield Sample(make.real(3, 4, 5), make.real(4, 3, 2), dims=([1, 0], [0, 1]))


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    return np.tensordot(a, b, axes=dims)


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    return x @ weight.T + (0 if bias is None else bias)


def linear_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.real(5, 4))
    yield Sample(make.real(3, 4), make.real(5, 4), make.real(5))
    yield Sample(make.real(2, 3, 4), make.real(5, 4), make.real(5))
    yield Sample(make.real(4), make.real(5, 4), make.real(5))
    yield Sample(make.real(0, 4), make.real(5, 4), make.real(5))
    yield Sample(make.real(17, 33), make.real(7, 33), make.real(7))


def bilinear(a: Any, b: Any, weight: Any, bias: Any = None) -> Any:
    return np.einsum("bi,oij,bj->bo", a, weight, b) + (0 if bias is None else bias)


def cross_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(4, 3), make.real(4, 3), dim=1)
    yield Sample(make.real(3, 4), make.real(3, 4), dim=0)
    yield Sample(make.real(2, 3, 3), make.real(1, 3, 3), dim=-1)


def dist_samples(make: Maker) -> Iterator[Sample]:
    for p in (2, 1, 3):
        yield Sample(make.real(3, 4), make.real(3, 4), p)
    yield Sample(make.real(3, 4), make.real(4))


def dist(a: Any, b: Any, p: float = 2) -> Any:
    return np.linalg.norm((a - b).reshape(-1), p)


def cdist_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(5, 3), make.real(4, 3))
    yield Sample(make.real(5, 3), make.real(4, 3), p=1.0)
    yield Sample(make.real(5, 3), make.real(4, 3), p=3.0)


def cdist(a: Any, b: Any, p: float = 2.0) -> Any:
    return pairwise(a, b, "minkowski", p=p)


def vecdot(a: Any, b: Any, *, dim: int = -1) -> Any:
    return np.sum(a * b, axis=dim)


def qr_samples(make: Maker) -> Iterator[Sample]:
    # Batches, so that no layout repeats a row: the sign of a column that depends on others is rounding.
    for shape in ((2, 4, 3), (2, 3, 4), (2, 3, 3), (1, 40, 35), (2, 1, 3, 2), (0, 3, 2)):
        yield Sample(make.real(*shape))


def singular_samples(make: Maker) -> Iterator[Sample]:
    for shape in ((2, 4, 3), (2, 3, 4), (2, 3, 3), (2, 1, 3, 2)):
        yield Sample(make.real(*shape))


def polar_factor(module: Any, x: Any) -> Any:
    """U·Vᵀ of the decomposition in which all columns count."""
    u, _, vh = module.linalg.svd(x, full_matrices=False)
    return u @ vh


def qr_mode_samples(make: Maker) -> Iterator[Sample]:
    for mode in ("complete", "r"):
        for shape in ((2, 4, 3), (2, 3, 4), (2, 3, 0)):
            yield Sample(make.real(*shape), mode)


def qr(a: Any, mode: str = "reduced") -> tuple[Any, Any]:
    if mode == "r":
        return np.zeros(0), np.linalg.qr(a, "r")
    return tuple(np.linalg.qr(a, mode))


def triangular_samples(make: Maker) -> Iterator[Sample]:
    for upper, left, unit in itertools.product((True, False), repeat=3):
        size = (2, 3, 5) if left else (2, 5, 3)
        a = make.wrap(make.real(2, 3, 3, low=-1.0, high=1.0).array + 3 * np.eye(3))
        yield Sample(a, make.real(*size), upper=upper, left=left, unitriangular=unit)
    a = make.wrap(make.real(4, 1, 2, 2, low=-1.0, high=1.0).array + 3 * np.eye(2))
    yield Sample(a, make.real(3, 2, 1), upper=True)


def solve_triangular(a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    a = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        diagonal = np.eye(a.shape[-1], dtype=bool)
        a = np.where(diagonal, 1.0, a)
    if left:
        return np.linalg.solve(a, b)
    return np.linalg.solve(a.swapaxes(-1, -2), b.swapaxes(-1, -2)).swapaxes(-1, -2)


def tall_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 9))
    yield Sample(make.real(7))


def byte_samples(make: Maker) -> Iterator[Sample]:
    """Bytes of every value; numpy's int64 holds their sums, which int32 does as well at these depths."""
    for m, k, n in ((3, 4, 5), (1, 1, 1), (17, 33, 70), (1, 257, 3), (130, 7, 2), (0, 4, 3), (3, 0, 4)):
        low, high = (0, 256) if make.dtype == "uint8" else (-128, 128)
        left = make.wrap(make.rng.integers(low, high, (m, k)))
        yield Sample(left, make.wrap(make.rng.integers(-128, 128, (k, n)), "int8"))


def multiply_bytes(a: Any, b: Any) -> Any:
    return a.astype(np.int64) @ b.astype(np.int64)


ROWS = [
    product("matmul", np.matmul, of_shapes(*MATMUL_SHAPES)),
    product("mm", np.matmul, of_shapes(((3, 4), (4, 5)), ((17, 33), (33, 7)), ((0, 4), (4, 3)), ((3, 0), (0, 4)))),
    Row("_int_mm", multiply_bytes, byte_samples, dtypes=("int8", "uint8"), result="int32", out=True),
    product("bmm", np.matmul, of_shapes(((2, 3, 4), (2, 4, 5)), ((1, 17, 7), (1, 7, 33)), ((0, 3, 4), (0, 4, 2)))),
    product("mv", np.matmul, of_shapes(((3, 4), (4,)), ((33, 257), (257,)), ((3, 0), (0,)))),
    product("dot", np.dot, of_shapes(((7,), (7,)), ((257,), (257,)), ((0,), (0,)))),
    product("vdot", np.vdot, of_shapes(((7,), (7,)), ((33,), (33,)))),
    product(
        "inner",
        np.inner,
        of_shapes(((7,), (7,)), ((3, 4), (5, 4)), ((2, 3, 4), (4,)), ((3, 4), (2, 5, 4)), ((4,), (2, 3, 4))),
    ),
    product("outer", np.outer, of_shapes(((3,), (4,)), ((33,), (17,)), ((0,), (4,))), aliases=("ger",)),
    product("kron", np.kron, of_shapes(((2, 3), (3, 2)), ((3,), (4,)))),
    product(
        "addmm",
        plus(np.matmul),
        combined(((3, 5), (3, 4), (4, 5)), ((5,), (3, 4), (4, 5)), ((1,), (17, 33), (33, 7)), ((3, 5), (3, 0), (0, 5))),
        inplace=True,
    ),
    product(
        "baddbmm",
        plus(np.matmul),
        combined(((2, 3, 5), (2, 3, 4), (2, 4, 5)), ((3, 5), (2, 3, 4), (2, 4, 5))),
        inplace=True,
    ),
    product(
        "addbmm",
        plus(lambda a, b: np.matmul(a, b).sum(0)),
        combined(((3, 5), (2, 3, 4), (2, 4, 5)), ((5,), (2, 3, 4), (2, 4, 5))),
        inplace=True,
    ),
    product(
        "addmv",
        plus(np.matmul),
        combined(((3,), (3, 4), (4,)), ((1,), (3, 4), (4,)), ((3,), (3, 0), (0,))),
        inplace=True,
    ),
    product("addr", plus(np.outer), combined(((3, 4), (3,), (4,)), ((4,), (3,), (4,))), inplace=True),
    product("einsum", np.einsum, einsum_samples, method=False, out=False, dtypes=(*FLOATS, "int64")),
    product("tensordot", tensordot, tensordot_samples, method=False, out=False),
    product(
        "linalg.vecdot",
        vecdot,
        lambda make: (Sample(make.real(3, 4), make.real(3, 4), dim=d) for d in (-1, 0)),
        method=False,
        dtypes=FLOATS,
    ),
    product(
        "linalg.multi_dot",
        np.linalg.multi_dot,
        lambda make: iter(
            [
                Sample([make.real(3, 4), make.real(4, 2), make.real(2, 5)]),
                Sample([make.real(4), make.real(4, 2), make.real(2)]),
            ]
        ),
        method=False,
        dtypes=WIDE_FLOATS,
    ),
    product("nn.functional.linear", linear, linear_samples, method=False, out=False),
    product(
        "nn.functional.bilinear",
        bilinear,
        of_shapes(((3, 4), (3, 5), (2, 4, 5)), ((3, 4), (3, 5), (2, 4, 5), (2,))),
        method=False,
        out=False,
        dtypes=FLOATS,
    ),
    Row(
        "linalg.cross",
        lambda a, b, *, dim=-1: np.cross(a, b, axis=dim),
        cross_samples,
        dtypes=NUMBERS,
        tolerance=PRODUCTS,
        grad=2,
        out=True,
        aliases=("cross",),
    ),
    Row("dist", dist, dist_samples, tolerance=PRODUCTS, grad=2, method=True),
    Row(
        "cdist",
        cdist,
        cdist_samples,
        dtypes=WIDE_FLOATS,
        grad=1,
        tolerance={"float64": (1e-12, 1e-12), "float32": (1e-5, 1e-6)},
    ),
    Row("cov", lambda x: np.cov(x), tall_samples, dtypes=WIDE_FLOATS, tolerance=PRODUCTS, grad=2, method=True),
    Row(
        "linalg.qr",
        qr,
        qr_samples,
        dtypes=WIDE_FLOATS,
        grad=2,
        tolerance={"float64": (1e-10, 1e-12), "float32": (1e-4, 1e-5)},
    ),
    Row(
        "linalg.qr.modes",
        qr,
        qr_mode_samples,
        "linalg.qr",
        dtypes=WIDE_FLOATS,
        tolerance={"float64": (1e-10, 1e-12), "float32": (1e-4, 1e-5)},
        torch="linalg.qr",
    ),
    Row(
        "linalg.solve_triangular",
        solve_triangular,
        triangular_samples,
        dtypes=WIDE_FLOATS,
        grad=2,
        out=True,
        tolerance={"float64": (1e-12, 1e-12), "float32": (1e-5, 1e-5)},
    ),
    Row(
        "linalg.svdvals",
        lambda x: np.linalg.svd(x, compute_uv=False),
        singular_samples,
        dtypes=WIDE_FLOATS,
        grad=2,
        out=True,
        tolerance={"float64": (1e-10, 1e-12), "float32": (1e-4, 1e-5)},
    ),
    # The signs of singular vectors are arbitrary: what is compared is the polar factor, which has none.
    Row(
        "linalg.svd",
        lambda x: np.matmul(*np.linalg.svd(x, full_matrices=False)[::2]),
        singular_samples,
        dtypes=WIDE_FLOATS,
        grad=2,
        invoke=polar_factor,
        tolerance={"float64": (1e-9, 1e-11), "float32": (1e-4, 1e-4)},
    ),
    *(
        Row(
            f"linalg.matrix_norm.{order}",
            lambda x, order=order: np.linalg.norm(x, order, (-2, -1)),
            singular_samples,
            dtypes=WIDE_FLOATS,
            grad=1,
            invoke=lambda module, x, order=order: module.linalg.matrix_norm(x, order),
            tolerance={"float64": (1e-10, 1e-12), "float32": (1e-4, 1e-5)},
        )
        for order in ("nuc", 2, -2)
    ),
    Row("corrcoef", lambda x: np.corrcoef(x), tall_samples, dtypes=WIDE_FLOATS, tolerance=STEPS, grad=1, method=True),
]
