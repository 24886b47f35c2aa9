"""What a row of the operator table is: operands, samples, dtype rules and tolerances.

A row says how an operator is called, what numpy or scipy computes for the same arguments,
which dtypes it takes and which
inputs show its behaviour.  Floating operands are kept as float64 arrays whose values are exactly representable in the
operand's dtype, so the reference sees what the operator sees and its result is right to the last place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTS = ("int32", "int64", "int16", "int8", "uint8")
BOOL = ("bool",)
NUMBERS = FLOATS + INTS
ALL = FLOATS + INTS + BOOL
WIDE_FLOATS = ("float32", "float64")

# (rtol, atol) of one correctly coded elementwise operator: 2 ulp and the reference's own rounding.
ULP = {"float64": (1.3e-15, 1e-300), "float32": (3e-7, 1e-37), "float16": (1e-3, 1e-7), "bfloat16": (8e-3, 1e-37)}
# Several roundings in a row, each at most half an ulp of an intermediate value of order one.
STEPS = {"float64": (3e-15, 3e-15), "float32": (2e-6, 1e-6), "float16": (4e-3, 4e-3), "bfloat16": (2.4e-2, 3e-2)}
# Sums, products of matrices and operators composed of several roundings.
LOOSE = {"float64": (1e-12, 1e-12), "float32": (2e-6, 2e-6), "float16": (2e-3, 2e-3), "bfloat16": (1.6e-2, 1.6e-2)}


def tolerances(**by_dtype: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """LOOSE with some dtypes replaced."""
    return {**LOOSE, **by_dtype}


def is_float(dtype: str) -> bool:
    return "float" in dtype


def dtypes_on(device: str, dtypes: tuple[str, ...] = ALL) -> tuple[str, ...]:
    """Those of the dtypes that a device has."""
    return dtypes if device == "cpu" else tuple(d for d in dtypes if d != "float64")


def round_to(array: Any, dtype: str) -> np.ndarray:
    """The nearest values that `dtype` can hold; floats come back as float64, the rest in their own numpy dtype."""
    if not is_float(dtype):
        return np.asarray(array).astype(dtype)
    array = np.asarray(array, dtype=np.float64)
    with np.errstate(all="ignore"):
        if dtype == "bfloat16":
            single = array.astype(np.float32)
            bits = single.view(np.uint32).astype(np.uint64)
            # Round to nearest even on the upper 16 bits.
            bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
            rounded = bits.astype(np.uint32).view(np.float32)
            return np.where(np.isnan(single), np.nan, rounded).astype(np.float64)
        return array.astype(dtype).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Operand:
    """An argument that becomes a tensor of `dtype`; `differentiable` says whether gradients flow to it."""

    array: np.ndarray
    dtype: str
    differentiable: bool = True

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.array.shape)}"

    def replaced(self, array: np.ndarray) -> Operand:
        return Operand(array, self.dtype, self.differentiable)


class Dtype(str):
    """An argument that names a dtype: the module's own object in a call, a string for the reference."""

    __slots__ = ()


class Sample:
    """The arguments of one call; operands may be nested in lists and tuples."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.args, self.kwargs = args, kwargs

    def __repr__(self) -> str:
        parts = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"({', '.join(parts)})"

    def map(self, convert: Callable[[Operand], Any], module: Any = None) -> tuple[tuple, dict]:
        """Arguments with every operand converted, in order of appearance, and dtypes taken from the module."""
        return map_operands(self.args, convert, module), map_operands(self.kwargs, convert, module)

    def operands(self) -> list[Operand]:
        found: list[Operand] = []
        self.map(lambda o: found.append(o) or o)
        return found


def map_operands(value: Any, convert: Callable[[Operand], Any], module: Any = None) -> Any:
    if isinstance(value, Operand):
        return convert(value)
    if isinstance(value, Dtype):
        return getattr(module, value) if module else value
    if isinstance(value, (list, tuple)):
        return type(value)(map_operands(v, convert, module) for v in value)
    if isinstance(value, dict):
        return {k: map_operands(v, convert, module) for k, v in value.items()}
    return value


class Maker:
    """Draws operands of one dtype, the same ones for the same row and dtype."""

    def __init__(self, dtype: str, seed: int = 0):
        self.dtype, self.rng = dtype, np.random.default_rng(seed)

    def wrap(self, values: Any, dtype: str | None = None, differentiable: bool = True) -> Operand:
        dtype = dtype or self.dtype
        return Operand(round_to(values, dtype), dtype, differentiable and is_float(dtype))

    def real(self, *shape: int, low: float = -3.0, high: float = 3.0, differentiable: bool = True) -> Operand:
        """Uniform values in [low, high]; whole numbers for integers, both truth values for bool."""
        if self.dtype == "bool":
            return self.wrap(self.rng.random(shape) < 0.5)
        if is_float(self.dtype):
            return self.wrap(self.rng.uniform(low, high, shape), differentiable=differentiable)
        low = max(low, 0) if self.dtype == "uint8" else low
        return self.wrap(self.rng.integers(int(np.ceil(low)), int(np.floor(high)) + 1, shape))

    def distinct(self, *shape: int, step: float = 0.25) -> Operand:
        """No two values equal: for operators that pick one of their inputs."""
        count = int(np.prod(shape))
        if self.dtype == "bool":
            return self.real(*shape)
        offset = 0 if self.dtype == "uint8" else count // 2
        values = (self.rng.permutation(count) - offset) * (step if is_float(self.dtype) else 1)
        return self.wrap(values.reshape(shape))

    def index(self, shape: int | tuple[int, ...], high: int, low: int = 0, dtype: str = "int64") -> Operand:
        return self.wrap(self.rng.integers(low, high, shape), dtype)

    def mask(self, *shape: int) -> Operand:
        return self.wrap(self.rng.random(shape) < 0.5, "bool")

    def scalar(self, value: float) -> float | int:
        """A Python number of this dtype's own kind, so that it does not promote."""
        return value if is_float(self.dtype) else int(value)


@dataclass(frozen=True, eq=False)
class Row:
    """One operator: how to call it, what it must compute, and which suites it takes part in."""

    name: str
    ref: Callable[..., Any]
    samples: Callable[[Maker], Iterable[Sample]]
    call: str = ""  # dotted path below the module; "Tensor.x" is a method that has no function
    dtypes: tuple[str, ...] = FLOATS
    result: Any = "same"  # same, float, sum, bool, a dtype, a tuple of these, or a function of the dtype
    tolerance: dict[str, tuple[float, float]] = field(default_factory=lambda: LOOSE)
    grad: int = 0  # how many times it can be differentiated: 0, 1 or 2
    zero_grad: bool = False  # the derivative is zero everywhere it exists
    method: bool = False
    inplace: bool = False
    out: bool | Callable[[Sample], bool] = False  # takes out=, for all samples or those that pass a test
    elementwise: bool = False
    promotes: bool = False  # two tensors of different dtypes are promoted
    repeats: bool = True  # operands may hold equal values: no order among ties shows in the result
    dense: bool = False  # needs the first operand in one piece of memory
    creates: bool = False  # takes no tensor: the device is an argument
    invoke: Callable[..., Any] | None = None  # called with the module first, where a dotted path is not enough
    views: bool = False  # the result shares memory with the first argument
    aliases: tuple[str, ...] = ()
    torch: str = ""  # dotted path in PyTorch where it differs

    def __post_init__(self) -> None:
        object.__setattr__(self, "call", self.call or self.name)

    def __repr__(self) -> str:
        return self.name

    def seed(self) -> int:
        return sum(ord(c) * 31**i for i, c in enumerate(self.name)) % 2**32

    def samples_of(self, dtype: str) -> list[Sample]:
        return list(self.samples(Maker(dtype, self.seed())))

    def function(self, module: Any) -> Callable[..., Any]:
        if self.invoke:
            return partial(self.invoke, module)
        return resolve(module, self.call)

    def short_name(self) -> str:
        return self.call.rsplit(".", 1)[-1]

    def names(self) -> set[str]:
        """Every name the operator goes by, the in-place one included."""
        names = {self.name, self.short_name(), *self.aliases}
        return names | {f"{n}_" for n in names} if self.inplace else names

    def reference(self, sample: Sample) -> list[np.ndarray]:
        """What the operator must return, as a list of arrays before rounding to the result's dtype."""

        def convert(operand: Operand) -> np.ndarray:
            # Integers become floating first where the result is floating.
            widen = self.result == "float" and not is_float(operand.dtype)
            return operand.array.astype(np.float64) if widen else operand.array.copy()

        args, kwargs = sample.map(convert)
        with np.errstate(all="ignore"):
            result = self.ref(*args, **kwargs)
        return [np.asarray(r) for r in result] if isinstance(result, (tuple, list)) else [np.asarray(result)]

    @property
    def needs_float64(self) -> bool:
        return self.result == "float64" or self.dtypes == ("float64",)

    def result_dtypes(self, dtype: str, count: int) -> list[str]:
        rule = self.result(dtype) if callable(self.result) else self.result
        rules = list(rule) if isinstance(rule, tuple) else [rule] * count
        return [apply_rule(r, dtype) for r in rules]


def apply_rule(rule: str, dtype: str) -> str:
    """The result's dtype for operands of `dtype`."""
    if rule == "same":
        return dtype
    if rule == "float":
        return dtype if is_float(dtype) else "float32"
    if rule == "sum":
        return dtype if is_float(dtype) else "int64"
    return rule


def resolve(module: Any, path: str) -> Callable[..., Any]:
    """The function at a dotted path; "Tensor.x" becomes a call of method x of the first argument."""
    if path.startswith("Tensor."):
        name = path.removeprefix("Tensor.")
        return lambda tensor, *args, **kwargs: getattr(tensor, name)(*args, **kwargs)
    found = module
    for part in path.split("."):
        found = getattr(found, part)
    return found


_KIND = {"bool": 0, **dict.fromkeys(INTS, 1), **dict.fromkeys(FLOATS, 2)}
_BITS = {"uint8": 8, "int8": 8, "int16": 16, "int32": 32, "int64": 64}


def promote(a: str, b: str) -> str:
    """PyTorch's promotion of two dtypes of tensors that both have dimensions."""
    if a == b:
        return a
    if _KIND[a] != _KIND[b]:
        return a if _KIND[a] > _KIND[b] else b
    if _KIND[a] == 2:
        if {a, b} == {"float16", "bfloat16"}:
            return "float32"
        order = ("float16", "bfloat16", "float32", "float64")
        return max(a, b, key=order.index)
    if {a, b} == {"uint8", "int8"}:
        return "int16"
    return max(a, b, key=_BITS.__getitem__)


def promote_weak(tensor: str, other: str) -> str:
    """Promotion with a 0-d tensor or a Python number, which only counts when it is of a higher kind."""
    if _KIND[other] <= _KIND[tensor]:
        return tensor
    return other


def layouts_of(operand: Operand) -> Iterator[str]:
    """The memory layouts worth trying for an operand."""
    yield "offset"
    if operand.array.ndim >= 1:
        yield "strided"
    if operand.array.ndim >= 2:
        yield "transposed"
    if operand.array.ndim == 4:
        yield "channels_last"
    if operand.array.ndim == 5:
        yield "channels_last"
    if operand.array.ndim >= 2 and operand.array.shape[0] > 1:
        yield "expanded"


@contextlib.contextmanager
def only_on(device: str) -> Iterator[None]:
    """Inside, work on the CPU raises where the suite runs on the GPU: nothing falls back unseen."""
    if device == "cpu":
        yield
        return
    import corten

    corten.flush()
    before = corten._core.get_option("cpu_kernels")
    corten._core.set_option("cpu_kernels", False)
    try:
        yield
        corten.flush()
    finally:
        corten._core.set_option("cpu_kernels", before)


@contextlib.contextmanager
def on_the_cpu() -> Iterator[None]:
    """Inside, tensors are made and computed on the CPU, wherever the suite runs: for what others are compared with."""
    import corten

    device, kernels = corten.get_default_device(), corten._core.get_option("cpu_kernels")
    corten.set_default_device("cpu")
    corten._core.set_option("cpu_kernels", True)
    try:
        yield
        corten.flush()
    finally:
        corten.set_default_device(device)
        corten._core.set_option("cpu_kernels", kernels)


def build(module: Any, operand: Operand, device: str = "cpu", layout: str = "contiguous") -> Any:
    """A tensor with the operand's values and a given memory layout."""
    array = operand.array
    if layout == "strided":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
        wide[..., ::2] = array
        return _tensor(module, wide, operand.dtype, device)[..., ::2]
    if layout == "transposed":
        return _tensor(module, array.swapaxes(-1, -2).copy(), operand.dtype, device).transpose(-1, -2)
    if layout == "offset":
        flat = np.concatenate([np.zeros(3, dtype=array.dtype), array.reshape(-1)])
        return _tensor(module, flat, operand.dtype, device)[3:].view(array.shape)
    if layout == "channels_last":
        last = np.ascontiguousarray(np.moveaxis(array, 1, -1))
        order = (0, array.ndim - 1, *range(1, array.ndim - 1))
        return _tensor(module, last, operand.dtype, device).permute(order)
    if layout == "expanded":
        return _tensor(module, array[:1].copy(), operand.dtype, device).expand(array.shape)
    return _tensor(module, array, operand.dtype, device)


def _tensor(module: Any, array: np.ndarray, dtype: str, device: str) -> Any:
    # The values are exact in the dtype, so no conversion rounds; numpy has no bfloat16.
    if dtype == "bfloat16":
        return module.tensor(array.astype(np.float32), device=device).to(module.bfloat16)
    return module.tensor(array.astype(dtype), device=device)


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor's values: floats as float64, the rest in their own dtype."""
    tensor = tensor.detach()
    if dtype_name(tensor.dtype) == "bfloat16":
        tensor = tensor.float()
    array = tensor.cpu().numpy()
    return array.astype(np.float64) if tensor.is_floating_point() else array


def dtype_name(dtype: Any) -> str:
    """`corten.float32` and `torch.float32` are both float32."""
    return str(dtype).rsplit(".", 1)[-1]


def tensors_in(result: Any) -> list[Any]:
    """The tensors of a result: one, or those of a tuple or list."""
    return list(result) if isinstance(result, (tuple, list)) else [result]


def assert_matches(actual: Any, expected: np.ndarray, dtype: str, tolerance: tuple[float, float], context: str) -> None:
    """The tensor has the expected shape, dtype and values."""
    assert tuple(actual.shape) == expected.shape, f"{context}: shape {tuple(actual.shape)}, expected {expected.shape}"
    assert dtype_name(actual.dtype) == dtype, f"{context}: dtype {actual.dtype}, expected {dtype}"
    values = to_numpy(actual)
    if not is_float(dtype):
        np.testing.assert_array_equal(values, expected.astype(dtype), err_msg=context)
        return
    rtol, atol = tolerance
    np.testing.assert_allclose(values, round_to(expected, dtype), rtol=rtol, atol=atol, err_msg=context)
