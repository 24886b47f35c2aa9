"""One operator of op_db in one dtype: every sample input on both packages, values and gradients."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable
from typing import Any
from unittest import mock

import corten
import torch

from . import compare, extras, surface, translate
from .translate import Missing, Translator

DTYPES = ("float32", "float64", "int64", "bool", "bfloat16", "complex64")
UNINITIALISED = "the memory of the result is not initialised: dtype and shape are compared"
# Values that nobody promises: what else can be compared is.
SHAPES_ONLY = dict.fromkeys(
    ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"), UNINITIALISED
)
# Their vectors are determined up to a factor; what op_db makes of them before it differentiates is not.
UP_TO_A_FACTOR = {
    "eig", "eigh", "linalg.eig", "linalg.eigh", "linalg.svd", "lobpcg", "pca_lowrank", "svd", "svd_lowrank",
}  # fmt: skip
SAME_SEED = "PyTorch's random numbers are not promised here: where they decide, dtype and shape are compared"
RANDOM = dict.fromkeys(
    (
        "nn.functional.alpha_dropout", "nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d",
        "nn.functional.feature_alpha_dropout", "nn.functional.multi_head_attention_forward", "nn.functional.rrelu",
        "nn.functional.scaled_dot_product_attention",
    ),
    SAME_SEED,
)  # fmt: skip
# Which of several equal elements is named is not defined; by name, the position of `dim` behind the input.
TIES = {"sort": 0, "argsort": 0, "topk": 1, "kthvalue": 1, "median": 0, "nanmedian": 0, "mode": 0}
AMONG_TIES = "which of equal elements is named is not defined: what indices lead to is compared"
# PyTorch's own gradient fails torch.autograd.gradcheck, by operator.
NUMERICAL = {
    "as_strided_scatter": "PyTorch gives the input the gradient of the window that is written instead of the rest: "
    "gradients are compared with central differences of its values in float64"
}
STEP = 1e-3
SEED = 20


def _database() -> list[Any]:
    from torch.testing._internal.common_methods_invocations import op_db

    return list(op_db)


def key_of(op: Any) -> str:
    """`max.binary` for the variant binary of max."""
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name


@functools.cache
def entries() -> dict[str, Any]:
    """The operators of op_db whose public function is listed, by key."""
    return {key_of(op): op for op in _database() if surface.is_listed(op.name)}


def left_out() -> list[str]:
    """The operators of op_db without a listed public function."""
    return sorted({op.name for op in _database() if not surface.is_listed(op.name)})


def dtypes_of(key: str) -> tuple[str, ...]:
    """The dtypes that are compared: those the operator supports on the CPU."""
    supported = {str(dtype).removeprefix("torch.") for dtype in entries()[key].supported_dtypes("cpu")}
    return tuple(name for name in DTYPES if name in supported)


def function_of(op: Any) -> Callable[..., Any]:
    """corten's function for the one that op_db calls.

    Raises:
        Missing: where there is none.
    """
    for path in (op.name, f"Tensor.{op.name}", surface.SPELLINGS.get(op.name, op.name)):
        try:
            if surface.resolve(torch, path) is op.op:
                return translate.named(path)
        except AttributeError:
            continue
    return translate.rebound(op.op)


def run(key: str, dtype_name: str, device: str) -> dict[str, Any]:
    """Compares all samples; the first difference ends it.

    Returns:
        `status` (right, wrong, none), `samples`, `refused` (samples for which PyTorch itself raises), and for a wrong
        one `kind` and `error`. What does not make an operator wrong: `strides`, where they differ, in float64
        `second`, where gradients of second order do, and in float32 `refusals`, where those of wrong arguments do.
    """
    op, dtype = entries()[key], getattr(torch, dtype_name)
    differentiable = op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")
    torch.manual_seed(0)
    count = 0
    notes: dict[str, Any] = {}
    try:
        function = function_of(op)
        for sample in op.sample_inputs("cpu", dtype, requires_grad=differentiable):
            case = Case(op, function, sample, dtype, device)
            if not case.run_reference():
                notes["refused"] = notes.get("refused", 0) + 1
            else:
                count += 1
                case.run()
                note(notes, case, device, second=differentiable and op.supports_gradgrad and dtype == torch.float64)
        if dtype == torch.float32 and (refused := extras.refusals(op, function, device)) is not None:
            notes["refusals"] = refused
    except Exception as error:
        return {"status": "wrong", "samples": count, **describe(error)}
    return {"status": "right" if count else "none", "samples": count, **notes}


def note(notes: dict[str, Any], case: Case, device: str, second: bool) -> None:
    """Adds what the sample shows beside right and wrong, the first of each kind."""
    if "strides" not in notes and (found := extras.strides(case.actual, case.expected)):
        notes["strides"] = found
    if second and not notes.get("second"):
        notes["second"] = extras.second_order(case)


def describe(error: Exception) -> dict[str, str]:
    """An error by its kind and first line."""
    if isinstance(error, compare.Different):
        return {"kind": error.kind, "error": str(error)}
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    text = f"{type(error).__name__}: {first}"[:300]
    absent = isinstance(error, Missing) or "has no attribute" in text
    return {"kind": "missing" if absent else "error", "error": text}


class Case:
    """One sample input, and what PyTorch makes of it."""

    def __init__(self, op: Any, function: Callable[..., Any], sample: Any, dtype: torch.dtype, device: str) -> None:
        self.op, self.function, self.device = op, function, device
        self.inputs = own_leaves((sample.input, tuple(sample.args), dict(sample.kwargs)))
        self.process = sample.output_process_fn_grad
        self.tolerance = tolerance_of(op, dtype)
        self.originals: Any = None
        self.expected: Any = None
        self.actual: Any = None

    def run_reference(self) -> bool:
        """Whether PyTorch itself can do it."""
        self.originals = snapshot(self.inputs)
        self.translator = Translator(self.device)
        self.translated = self.translator(self.inputs)
        try:
            self.expected = self.call(self.op.op, self.inputs, torch)
        except Exception:
            return False
        return True

    def call(self, function: Callable[..., Any], inputs: Any, package: Any) -> Any:
        package.manual_seed(SEED)
        first, args, kwargs = inputs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(first, *args, **kwargs)

    def run(self) -> None:
        """Compares values, then gradients.

        Raises:
            Different: where they differ.
        """
        actual = self.actual = self.call(self.function, self.translated, corten)
        if self.op.name in TIES and self.ties_differ(actual):
            return
        theirs, ours = self.processed(self.expected, actual)
        raw = self.op.name not in UP_TO_A_FACTOR
        shapes_only = self.op.name in SHAPES_ONLY or self.is_random()
        compare.same(
            *((actual, self.expected) if raw else (ours, theirs)),
            tolerance=self.tolerance,
            wide=functools.partial(self.in_float64, raw),
            shapes_only=shapes_only,
        )
        if not shapes_only:
            self.run_gradients(ours, theirs)

    def is_random(self) -> bool:
        """Whether the result depends on random numbers that are not promised to be PyTorch's."""
        if self.op.name not in RANDOM and self.device == "cpu":
            return False
        # Its windows are so few that other seeds may well give the same.
        return "fractional_max_pool" in self.op.name or self.is_seeded()

    def is_seeded(self) -> bool:
        """Whether one of a few other seeds gives another result in PyTorch."""
        for shift in range(1, 6):
            # Patched, since op_db's wrappers seed once more.
            with mock.patch.object(torch, "manual_seed", functools.partial(_seed_differently, shift)):
                try:
                    other = self.call(self.op.op, snapshot(self.originals), torch)
                except Exception:
                    return False  # it reads the storage beyond its window, which a copy has not
            pairs = zip(compare.leaves(self.expected), compare.leaves(other))
            if any(isinstance(a, torch.Tensor) and not torch.equal(*map(_settled, (a, b))) for a, b in pairs):
                return True
        return False

    def ties_differ(self, actual: Any) -> bool:
        """Whether indices differ, and lead to equal elements.

        Raises:
            Different: where they lead to others.
        """
        first, args, kwargs = self.originals
        ours, theirs = list(compare.leaves(actual)), list(compare.leaves(self.expected))
        found = [(a, b) for a, b in zip(ours, theirs) if isinstance(b, torch.Tensor) and b.dtype == torch.int64]
        if kwargs.get("stable") or not found or torch.equal(translate.back(found[-1][0]), found[-1][1]):
            return False
        position = TIES[self.op.name]
        dim = kwargs.get("dim", args[position] if len(args) > position else -1)
        compare.same(ours[:-1], theirs[:-1], tolerance=self.tolerance)
        compare.same(ours[-1], theirs[-1], shapes_only=True)
        picked = [_picked(first.detach(), indices, dim) for indices in (translate.back(found[-1][0]), found[-1][1])]
        if not torch.equal(picked[0].nan_to_num(), picked[1].nan_to_num()):
            raise compare.Different("values", "indices lead to other elements")
        return True

    def processed(self, expected: Any, actual: Any) -> tuple[Any, Any]:
        """Both results as op_db wants them before gradients."""
        if self.process is None:
            return expected, actual
        return self.process(expected), translate.rebound(self.process)(actual)

    def in_float64(self, raw: bool) -> Any:
        """PyTorch's result for the same values in float64."""
        result = self.call(self.op.op, widened(self.originals), torch)
        return result if raw or self.process is None else self.process(result)

    def run_gradients(self, ours: Any, theirs: Any) -> None:
        """Compares the gradients for fixed random cotangents."""
        leaves = leaves_of(self.inputs)
        if not leaves or (self.op.name == "msort" and _has_equals(leaves[0])):
            return
        cotangents = cotangents_of(theirs)
        if self.op.name in NUMERICAL:
            expected = self.differences(cotangents)
        else:
            expected = gradients(theirs, leaves, cotangents, torch)
        if expected is None or all(gradient is None for gradient in expected):
            return
        outputs = [b for a, b in zip(compare.leaves(theirs), compare.leaves(ours)) if differentiable(a)]
        if not any(output.requires_grad for output in outputs):
            raise compare.Different("gradient", "the result has no gradient")
        ours_too = [self.translator(t) for t in leaves]
        actual = gradients(outputs, ours_too, map(Translator(self.device), cotangents), corten)
        if any(a is None and b is not None and b.count_nonzero() for a, b in zip(actual, expected)):
            raise compare.Different("gradient", "an input has no gradient")
        there = [a is not None and b is not None for a, b in zip(actual, expected)]
        try:
            compare.same(
                list(itertools.compress(actual, there)),
                list(itertools.compress(expected, there)),
                tolerance=self.tolerance,
                wide=functools.partial(self.gradients_in_float64, cotangents, there),
                what="gradient: ",
            )
        except compare.Different as error:
            raise compare.Different("gradient", str(error)) from None

    def gradients_in_float64(self, cotangents: list[torch.Tensor], wanted: list[bool]) -> Any:
        """PyTorch's gradients for the same values and cotangents in float64."""
        inputs = widened(self.originals)
        result = self.call(self.op.op, inputs, torch)
        result = result if self.process is None else self.process(result)
        leaves = leaves_of(inputs)
        found = gradients(result, leaves, [widened(c) for c in cotangents], torch) or []
        return list(itertools.compress(found, wanted))

    @torch.no_grad()
    def differences(self, cotangents: list[torch.Tensor]) -> list[torch.Tensor]:
        """Central differences of PyTorch's values in float64, weighted by the cotangents."""
        inputs, dtype = widened(self.originals), cotangents[0].dtype

        def weighed() -> float:
            results = [t for t in compare.leaves(self.call(self.op.op, inputs, torch)) if isinstance(t, torch.Tensor)]
            pairs = zip(results, widened(cotangents), strict=True)
            return sum(float((t * c.conj()).real.sum()) for t, c in pairs)

        found = []
        for leaf in leaves_of(inputs):
            # The parts of complex numbers one by one.
            parts = torch.view_as_real(leaf) if leaf.is_complex() else leaf
            slopes = torch.zeros(parts.shape, dtype=torch.float64)
            for place in itertools.product(*map(range, parts.shape)):
                value = parts[place].item()
                ends = []
                for end in (value + STEP, value - STEP):
                    parts[place] = end
                    ends.append(weighed())
                parts[place] = value
                slopes[place] = (ends[0] - ends[1]) / (2 * STEP)
            found.append((torch.view_as_complex(slopes) if leaf.is_complex() else slopes).to(dtype))
        return found


def leaves_of(inputs: Any) -> list[torch.Tensor]:
    """The tensors of a nested value that want a gradient, each once."""
    leaves = [t for t in compare.leaves(inputs) if isinstance(t, torch.Tensor) and t.requires_grad]
    return list({id(t): t for t in leaves}.values())


def _has_equals(values: torch.Tensor) -> bool:
    return len(values.unique()) < values.numel()


def _seed_differently(shift: int, seed: int, _set: Callable[[int], Any] = torch.manual_seed) -> Any:
    return _set(seed + shift)


def _settled(x: torch.Tensor) -> torch.Tensor:
    """The values without history, numbers in place of NaN and infinities."""
    x = x.detach()
    # PyTorch has neither this nor comparisons for complex32.
    return (x.cfloat() if x.dtype == torch.complex32 else x).nan_to_num()


def _picked(values: torch.Tensor, indices: torch.Tensor, dim: int) -> torch.Tensor:
    if values.ndim != indices.ndim:
        indices = indices.unsqueeze(dim)
    return torch.take_along_dim(values, indices, dim)


def differentiable(value: Any) -> bool:
    """Whether a result takes part in the gradient."""
    return isinstance(value, torch.Tensor) and value.requires_grad


def cotangents_of(result: Any) -> list[torch.Tensor]:
    """Fixed random numbers in the shapes and dtypes of what is differentiable."""
    generator = torch.Generator().manual_seed(SEED)
    outputs = [t for t in compare.leaves(result) if differentiable(t)]
    return [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in outputs]


def gradients(result: Any, leaves: list[Any], cotangents: Any, package: Any) -> Any:
    """The gradients of the leaves; None where PyTorch itself raises."""
    outputs = [t for t in compare.leaves(result) if isinstance(t, package.Tensor) and t.requires_grad]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return package.autograd.grad(outputs, leaves, list(cotangents)[: len(outputs)], allow_unused=True)
    except Exception:
        if package is torch:
            return None
        raise


def mapped(change: Callable[[torch.Tensor], torch.Tensor], value: Any, rest: Callable[[Any], Any] = lambda x: x) -> Any:
    """The nested value with each tensor changed, one that occurs twice once."""
    memo: dict[int, Any] = {}

    def visit(item: Any) -> Any:
        if isinstance(item, torch.Tensor):
            if id(item) not in memo:
                memo[id(item)] = change(item)
            return memo[id(item)]
        if isinstance(item, (list, tuple)) and not isinstance(item, torch.Size):
            items = [visit(i) for i in item]
            return type(item)(*items) if hasattr(item, "_fields") else type(item)(items)
        if isinstance(item, dict):
            return {key: visit(i) for key, i in item.items()}
        return rest(item)

    return visit(value)


def own_leaves(value: Any) -> Any:
    """The inputs with every tensor a leaf, since op_db's may have a history."""
    return mapped(lambda t: t if t.is_leaf else t.detach().requires_grad_(t.requires_grad), value)


def snapshot(value: Any) -> Any:
    """A copy that survives operators in place."""
    return mapped(lambda t: t.detach().clone().requires_grad_(t.requires_grad), value)


def widened(value: Any) -> Any:
    """The nested value in float64 or complex128, arguments `dtype` too."""

    def wider(tensor: torch.Tensor) -> torch.Tensor:
        plain = tensor.detach()
        return plain.to(compare.WIDER.get(plain.dtype, plain.dtype)).requires_grad_(tensor.requires_grad)

    return mapped(wider, value, lambda x: compare.WIDER.get(x, x) if isinstance(x, torch.dtype) else x)


def tolerance_of(op: Any, dtype: torch.dtype) -> tuple[float, float]:
    """The widest tolerance that op_db asks for in this dtype: relative and absolute."""
    rtol = atol = 0.0
    for decorator in op.decorators:
        for inner in getattr(decorator, "decorators", [decorator]):
            if getattr(decorator, "device_type", None) in (None, "cpu") and dtype in getattr(inner, "d", {}):
                found = inner.d[dtype]
                pair = (found.rtol, found.atol) if hasattr(found, "rtol") else (0.0, float(found))
                rtol, atol = max(rtol, pair[0]), max(atol, pair[1])
    return rtol, atol
