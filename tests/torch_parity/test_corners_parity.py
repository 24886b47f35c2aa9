"""Corners of operators in PyTorch and here: infinities, NaN, empty tensors, rare arguments, strides, and refusals."""

from __future__ import annotations

import warnings
from typing import Any

import corten
import numpy as np
import pytest
import torch

FRAMEWORKS = (corten, torch)
INF, NAN = float("inf"), float("nan")


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def names_of(framework: Any, values: tuple[Any, ...], dtype: str = "float32") -> dict[str, Any]:
    leaves = [framework.tensor(v, dtype=getattr(framework, dtype), requires_grad=True) for v in values]
    return dict(zip("xyz", leaves, strict=False), f=framework, F=framework.nn.functional, np=np, inf=INF, nan=NAN)


def tensors_of(found: Any) -> list[Any]:
    return [t for part in found for t in tensors_of(part)] if isinstance(found, (tuple, list)) else [found]


def numbers(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().double().tolist())


def assert_alike(mine: Any, other: Any, tolerance: float) -> None:
    assert (mine is None) == (other is None)
    if other is not None:
        assert str(mine.dtype).split(".")[1] == str(other.dtype).split(".")[1]
        assert tuple(mine.shape) == tuple(other.shape)
        np.testing.assert_allclose(numbers(mine), numbers(other), tolerance, tolerance)


MATRIX, TALL = [[1.0, -2.0], [0.0, 3.0]], [[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]]
BATCH = [TALL, [[0.3, 1.0], [2.0, -1.0], [0.7, 0.2]]]
STEPS = np.linspace(-1.3, 1.2, 40).reshape(5, 2, 4).tolist()
CTC = (
    "F.ctc_loss(x, f.tensor([[1, 2, 2], [3, 1, 0]]), f.tensor({}), f.tensor([3, 2]), reduction={!r}, zero_infinity={})"
)

# An expression and the values of its leaves x, y and z: results and gradients are compared.
GRADIENTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    **{
        f"ctc_loss {lengths} {reduction} {zero}": (CTC.format(lengths, reduction, zero), (STEPS,))
        for lengths in ([5, 4], [2, 4])
        for reduction in ("none", "mean", "sum")
        for zero in (False, True)
    },
    **{
        f"{name} {values} {arguments}": (f"f.{name}(x{arguments})", (values,))
        for name in ("std", "var", "std_mean")
        for values in ([1.0, 1.0, 1.0], [2.0, 1.0, 5.0], [[1.0, 1.0], [4.0, 3.0]])
        for arguments in ("", ", correction=0", ", dim=-1")
    },
    **{
        f"norm {p} {values} {dim}": (f"f.norm(x, {p}, {dim})", (values,))
        for p in ("0.0", "1", "2", "-1", "inf", "-inf", "'fro'")
        for values in (MATRIX, TALL)
        for dim in (None, 0, (0, 1))
    },
    **{
        f"matrix_norm {p} {dim} {keepdim}": (f"f.linalg.matrix_norm(x, {p}, {dim}, {keepdim})", (BATCH,))
        for p in ("'nuc'", "2", "-2", "'fro'")
        for dim in ((-2, -1), (2, 0))
        for keepdim in (False, True)
    },
    "norm nuc": ("f.norm(x, 'nuc')", (TALL,)),
    "linalg.norm 2": ("f.linalg.norm(x, 2)", (MATRIX,)),
    "svdvals": ("f.linalg.svdvals(x)", (BATCH,)),
    # The signs of singular vectors are arbitrary, so only products of a pair can be compared.
    **{
        f"svd {shape} {full}": (
            f"(lambda s: (s[0][..., :2] * s[1].unsqueeze(-2)) @ s[2][..., :2, :])(f.linalg.svd({shape}, {full}))",
            (BATCH,),
        )
        for shape in ("x", "x.mT")
        for full in (False, True)
    },
    **{
        f"svd outer {shape}": (
            f"(lambda s: s[0].square() + s[2].mT.square().sum(-2, keepdim=True))(f.linalg.svd({shape}, False))",
            (BATCH,),
        )
        for shape in ("x", "x.mT")
    },
    **{
        f"{name} to {dtype}": (
            f"f.{name}(x, 0, dtype=f.{dtype}) * f.tensor([1.0, 2.0, 3.0, 1.7], dtype=f.{dtype})",
            ([1.1, 2.3, -0.7, 0.123],),
        )
        for name, types in (
            ("cumsum", ("float16", "bfloat16", "float64")),
            ("softmax", ("float16", "bfloat16", "float64")),
            # In half types PyTorch divides by rounded products, which is less exact.
            ("cumprod", ("float64",)),
        )
        for dtype in types
    },
    **{f"prod to {dtype}": (f"f.prod(x, 0, dtype=f.{dtype})", ([1.1, 2.3, -0.7, 0.123],)) for dtype in ("float64",)},
}


@pytest.mark.parametrize("text, values", GRADIENTS.values(), ids=GRADIENTS)
def test_values_and_gradients(text: str, values: tuple[Any, ...]) -> None:
    outcomes = []
    for framework in FRAMEWORKS:
        names = names_of(framework, values)
        found = tensors_of(eval(text, names))
        sum(t.double().sum() for t in found).backward()
        outcomes.append([*found, *(names[k].grad for k in "xyz"[: len(values)])])
    # A few units in the last place of the results' own type.
    tolerance = {"float16": 1e-3, "bfloat16": 8e-3}.get(str(outcomes[0][0].dtype).split(".")[1], 2e-5)
    for mine, other in zip(*outcomes, strict=True):
        assert_alike(mine, other, tolerance)


def test_a_count_of_nonzeros_gives_no_gradient() -> None:
    for framework in FRAMEWORKS:
        x = framework.tensor([1.0, 0.0, INF], requires_grad=True)
        framework.linalg.vector_norm(x, 0).backward()
        assert x.grad is None


# Expressions whose results and strides are compared.
RESULTS = [
    *(
        f"g({rows}){at}"
        for rows in ("3, 4",)
        for at in ("[range(2)]", "[range(2, 0, -1)]", "[range(0)]", "[:, range(2)]", "[[range(2), range(2)]]")
    ),
    *(f"g(3, 4){at}" for at in ("[[0.0, 1.9]]", "[[1.0], 0]", "[..., ...]", "[..., 0, ...]", "[..., None, ...]")),
    *(
        f"{x}{at}"
        for x in ("g(2, 3, 4).permute(2, 1, 0)", "g(2, 3, 4).permute(1, 2, 0)", "g(3, 4).T", "g(2, 3, 4)")
        for at in ("[None, i, j]", "[None, i]", "[:, None, i]", "[i, None, j]", "[i]", "[None, None, i, j]")
    ),
    *(
        f"f.einsum({equation!r}, g(3, 4), g(4, 5))"
        for equation in ("ij,jk->ki", "ij,jk->ik", "ij,jk->kji", "ij,jk->jki", "ij,jk->kij")
    ),
    *(f"f.einsum({equation!r}, g(3, 4, 5), g(5, 6))" for equation in ("ijk,kl->lij", "ijk,kl->jli", "ijk,kl->jil")),
    *(f"f.einsum({equation!r}, g(2, 3, 4), g(2, 4, 5))" for equation in ("bij,bjk->bki", "bij,bjk->kib")),
    "f.einsum('i,j->ji', g(3), g(4))",
    *(
        f"F.conv1d(g(2, 10, 4).to(f.{d}).mT, {w}.to(f.{d}))"
        for d in ("float32", "float64")
        for w in ("g(3, 4, 3)", "g(3, 3, 4).mT")
    ),
    *(f"f.{name}(f.ones({size}, dtype=f.int64), 0)" for name in ("softmax", "log_softmax") for size in ("0", "0, 3")),
    *(f"f.{name}(f.ones(0, 3), 7)" for name in ("cummax", "cummin")),
    "F.conv_transpose1d(f.ones(0, 2, 3), f.ones(2, 2, 2), output_padding=2)",
    "F.embedding_bag(f.tensor([0, 1]), f.ones(3, 2), f.tensor([], dtype=f.int64))",
    "F.pad(f.ones(2, 3, 0), (0, 0), mode='constant')",
    "f.norm(f.tensor([3.0, 4.0]), dtype=f.float64)",
    "g(2, 3).flip(0, 1)",
    "g(2, 3).flip(0)",
    "f.flip(g(2, 3), (0,))",
    "f.special.i1(f.tensor([0.5, -2.0]))",
    "f.special.expit(f.tensor([0.5, -2.0]))",
    "f.linalg.svd(g(3, 2), False)[1]",
    "f.linalg.svdvals(f.ones(2, 0, 3))",
    *(f"f.linalg.matrix_norm(f.ones({size}), {p})" for size in ("0, 3", "2, 3, 0") for p in ("'nuc'", "1", "2", "inf")),
]


@pytest.mark.parametrize("text", RESULTS)
def test_results_and_strides(text: str) -> None:
    outcomes = []
    for framework in FRAMEWORKS:

        def numbered(*shape: int, framework: Any = framework) -> Any:
            return framework.arange(float(np.prod(shape))).reshape(shape)

        names = names_of(framework, ())
        names.update(g=numbered, i=framework.tensor([0, 1]), j=framework.tensor([1, 0]))
        outcomes.append(tensors_of(list(eval(text, names)) if "cum" in text else eval(text, names)))
    for mine, other in zip(*outcomes, strict=True):
        assert_alike(mine, other, 1e-6)
        assert mine.numel() == 0 or mine.stride() == other.stride()


# What both refuse, with an error of one class.
REFUSALS = [
    *(f"f.norm(f.ones({size}), {p})" for size in ("0", "2, 0") for p in ("inf", "-inf", "-1")),
    "f.norm(f.ones(2), dtype=f.float16)",
    "f.norm(f.ones(2), 'spectral')",
    "f.norm(f.ones(2, 2), 2, True)",
    "f.linalg.matrix_norm(f.ones(2, 2).half(), 2)",
    "f.linalg.svd(f.ones(3))",
    "f.linalg.svd(f.ones(2, 2).half())",
    "f.linalg.svd(f.ones(2, 2).long())",
    "f.linalg.svdvals(f.full((2, 2), nan))",
    "f.linalg.svd(f.ones(2, 2), driver='gesvd')",
    "f.argmax(f.tensor([True]))",
    "f.argmin(f.tensor([True]), 0)",
    "f.mv(f.ones(()), f.ones(2))",
    "f.aminmax(f.ones(0, 3), dim=0)",
    "f.aminmax(f.ones(0))",
    *(f"f.{name}(f.ones(2), keepdim=True)" for name in ("sum", "mean", "prod")),
    "f.ones(2).sum(keepdim=True)",
    *(f"f.{name}(f.ones(2), 0, dtype=f.bool)" for name in ("cumsum", "cumprod")),
    "f.logcumsumexp(f.tensor([1, 1]), 0)",
    "f.diff(f.ones(3), True)",
    *(f"f.flip(f.ones(2, 3), {dims})" for dims in ("0", "0, 1", "dims=0")),
    *(f"f.{name}(f.ones(2, requires_grad=True)).sum().backward()" for name in ("unique", "unique_consecutive")),
    "f.unique(f.ones(2, requires_grad=True), dim=0).sum().backward()",
    "F.cross_entropy(f.ones(1, 4, 3), f.ones(1, 3, dtype=f.uint8))",
    *(
        f"F.pad(f.ones({size}), {pad}, mode={mode!r})"
        for mode in ("reflect", "replicate")
        for size, pad in (("0, 3, 4", (1, 1, 1, 1)), ("0, 4", (1, 1)), ("2, 0, 4", (1, 1)), ("2, 3, 0", (0, 0)))
    ),
    *(
        f"F.adaptive_{kind}_pool1d(f.ones(2, 3, 4), {size})"
        for kind in ("avg", "max")
        for size in ("None", "-1", "(2, 2)")
    ),
    *(
        f"F.interpolate(f.ones(1, 4), {arguments})"
        for arguments in ("", "2, 2", "(2,)", "2, recompute_scale_factor=True")
    ),
    "F.interpolate(f.ones(1, 1, 4, 4), scale_factor='a')",
    *(f"F.adaptive_{kind}_pool2d(f.ones(2, 3, 4, 4), (2, -1))" for kind in ("avg", "max")),
    "f.ones(3)[np.float32(1)]",
    *(f"F.embedding_bag(f.tensor([0, {i}]), f.ones(3, 2), f.tensor([0]))" for i in (-1, 5)),
    "f.special_i1(f.ones(2))",
    "F.conv_transpose1d(f.ones(1, 2, 3), f.ones(2, 2, 2), output_padding=2)",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text: str) -> None:
    classes = []
    for framework in FRAMEWORKS:
        with pytest.raises(Exception) as caught:
            eval(text, names_of(framework, ()))
        classes.append(caught.type)
    mine, other = classes
    # PyTorch's own subclasses have no counterpart.
    counterparts = [(corten.linalg.LinAlgError, torch.linalg.LinAlgError)]
    assert (
        mine is other
        or (mine, other) in counterparts
        or (mine is RuntimeError and issubclass(other, RuntimeError) and other.__module__ != "builtins")
    )


def test_a_product_in_a_half_type_rounds_its_gradient_once() -> None:
    for dtype in ("float16", "bfloat16"):
        values = [1.1, 2.3, -0.7, 0.123]
        mine = names_of(corten, (values,), dtype)["x"]
        mine.prod().backward()
        exact = names_of(torch, (mine.detach().double().tolist(),), "float64")["x"]
        exact.prod().backward()
        assert mine.grad.tolist() == exact.grad.to(getattr(torch, dtype)).tolist()


EDGES = [NAN, INF, -INF, 0.0, 1.0, -1.0, 2.5, -0.25, 1e20]
OF_ONE = ["F.hardtanh(x)", "F.relu6(x)", "F.hardshrink(x)", "F.softshrink(x)", "f.logit(x.abs())", "F.leaky_relu(x)"]
OF_TWO = ["f.maximum(x, y)", "f.minimum(x, y)", "f.atan2(x, y)", "f.copysign(x, y)", "f.fmax(x, y)", "f.hypot(x, y)"]


@pytest.mark.parametrize("code", OF_ONE + OF_TWO)
def test_slopes_at_the_edges_are_the_same(code: str):
    pairs = np.array([(a, b) for a in EDGES for b in EDGES]).T.tolist()
    slopes = []
    for framework in FRAMEWORKS:
        scope = names_of(framework, tuple(pairs))
        eval(code, scope).sum().backward()
        slopes.append([scope[name].grad for name in ("x", "y") if scope[name].grad is not None])
    assert len(slopes[0]) == len(slopes[1])
    for mine, other in zip(*slopes, strict=True):
        assert_alike(mine, other, 1e-6)


def test_the_reflections_of_a_decomposition_are_the_same():
    for shape in ((3, 3), (2, 5, 3), (3, 5), (40, 35)):
        a = np.random.default_rng(0).standard_normal(shape)
        for mine, other in zip(corten.geqrf(corten.tensor(a)), torch.geqrf(torch.tensor(a)), strict=True):
            assert_alike(mine, other, 1e-12)
            assert mine.stride() == other.stride()
