"""Says where two results differ: structure, dtypes, shapes, values within a dtype's tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import corten
import torch

from .translate import back, dtype_name

# torch.testing.assert_close's own: relative and absolute.
TOLERANCES = {
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.float32: (1.3e-6, 1e-5),
    torch.float64: (1e-7, 1e-7),
    torch.complex32: (1e-3, 1e-5),
    torch.complex64: (1.3e-6, 1e-5),
    torch.complex128: (1e-7, 1e-7),
}
WIDER = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex32: torch.complex128,
    torch.complex64: torch.complex128,
    torch.float64: torch.float64,  # of inputs in float32
    torch.complex128: torch.complex128,
}
# A result that is off may be no further from the result in float64 than this many times PyTorch's own distance.
ALLOWANCE = 4


class Different(AssertionError):
    """The results of the two packages differ; the kind says in what."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def leaves(value: Any) -> Iterator[Any]:
    """What a nested result holds, in order."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from leaves(value[key])
    elif isinstance(value, (list, tuple)) and not isinstance(value, (torch.Size, corten.Size)):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def same(
    actual: Any,
    expected: Any,
    *,
    tolerance: tuple[float, float] = (0.0, 0.0),
    wide: Callable[[], Any] | None = None,
    shapes_only: bool = False,
    what: str = "",
) -> None:
    """Compares corten's nested result with PyTorch's.

    Args:
        tolerance: at least this much is allowed, relative and absolute.
        wide: computes PyTorch's result in float64, for values that are off.
        shapes_only: leave the values out.
        what: what is compared, for the message.

    Raises:
        Different: where they differ.
    """
    ours, theirs = list(leaves(actual)), list(leaves(expected))
    if len(ours) != len(theirs):
        raise Different("structure", f"{what}{len(ours)} results instead of {len(theirs)}")
    exact: list[Any] | None = None
    for position, (a, b) in enumerate(zip(ours, theirs)):
        if not isinstance(b, torch.Tensor):
            _same_plain(a, b, what)
            continue
        _same_kind(a, b, what)
        if shapes_only:
            continue
        result, reference = back(a), b.detach().resolve_conj().resolve_neg()
        try:
            _close(result, reference, tolerance, what)
        except Different:
            if wide is None or b.dtype not in WIDER:
                raise
            exact = _leaves_of(wide) if exact is None else exact
            if not _as_near(result, reference, exact[position] if position < len(exact) else None, tolerance):
                raise


def _leaves_of(compute: Callable[[], Any]) -> list[Any]:
    """What a computation in float64 holds; nothing where PyTorch has none."""
    try:
        return list(leaves(compute()))
    except Exception:
        return []


def _same_plain(a: Any, b: Any, what: str) -> None:
    if isinstance(b, (torch.dtype, torch.device)):
        a, b = str(a).rsplit(".", 1)[-1], str(b).rsplit(".", 1)[-1]
    if isinstance(b, float) and isinstance(a, float) and (a == b or abs(a - b) <= 1e-5 * abs(b) or (a != a and b != b)):
        return
    if isinstance(a, corten.Tensor) or (type(a) is not type(b) and not isinstance(b, torch.Size)):
        raise Different("structure", f"{what}{type(a).__name__} instead of {type(b).__name__}")
    if (tuple(a) != tuple(b)) if isinstance(b, torch.Size) else (a != b):
        raise Different("values", f"{what}{a!r} instead of {b!r}"[:200])


def _same_kind(a: Any, b: torch.Tensor, what: str) -> None:
    if not isinstance(a, corten.Tensor):
        raise Different("structure", f"{what}{type(a).__name__} instead of a tensor")
    if dtype_name(a) != dtype_name(b):
        raise Different("dtype", f"{what}dtype {dtype_name(a)} instead of {dtype_name(b)}")
    if tuple(a.shape) != tuple(b.shape):
        raise Different("shape", f"{what}shape {tuple(a.shape)} instead of {tuple(b.shape)}")


def _close(a: torch.Tensor, b: torch.Tensor, tolerance: tuple[float, float], what: str) -> None:
    rtol, atol = TOLERANCES.get(b.dtype, (0.0, 0.0))
    if b.dtype in TOLERANCES:
        rtol, atol = max(rtol, tolerance[0]), max(atol, tolerance[1])
    if b.dtype == torch.complex32:
        # PyTorch compares none.
        a, b = a.cfloat(), b.cfloat()
    try:
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol, equal_nan=True, check_stride=False)
    except AssertionError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise Different("values", f"{what}{'; '.join(lines)}"[:300]) from None


def _as_near(a: torch.Tensor, b: torch.Tensor, exact: Any, tolerance: tuple[float, float]) -> bool:
    """Whether corten's values are as near to the result in float64 as PyTorch's are."""
    if not isinstance(exact, torch.Tensor) or exact.shape != b.shape:
        return False
    wide, dtype = WIDER[b.dtype], b.dtype
    a, b, exact = a.to(wide), b.to(wide), exact.detach().resolve_conj().to(wide)
    if not torch.equal(torch.isfinite(a), torch.isfinite(b)):
        return False
    finite = torch.isfinite(a) & torch.isfinite(b) & torch.isfinite(exact)
    if not torch.equal(torch.nan_to_num(a[~finite]), torch.nan_to_num(b[~finite])):
        return False
    a, b, exact = a[finite], b[finite], exact[finite]
    own = (b - exact).abs().amax() if len(b) else torch.zeros(())
    rtol, atol = map(min, TOLERANCES[dtype], TOLERANCES[torch.float32])
    bound = ALLOWANCE * own + max(atol, tolerance[1]) + max(rtol, tolerance[0]) * exact.abs()
    return bool(((a - exact).abs() <= bound).all())
