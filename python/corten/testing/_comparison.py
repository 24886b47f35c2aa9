"""`assert_close`: whether tensors, numbers and containers of them agree, and if not, where they differ most."""

import numbers
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import corten

# By dtype: the relative and the absolute tolerance; other dtypes are compared exactly.
_TOLERANCES = {
    corten.float16: (1e-3, 1e-5),
    corten.bfloat16: (1.6e-2, 1e-5),
    corten.float32: (1.3e-6, 1e-5),
    corten.float64: (1e-7, 1e-7),
    corten.complex32: (1e-3, 1e-5),
    corten.complex64: (1.3e-6, 1e-5),
    corten.complex128: (1e-7, 1e-7),
}
_OLD_TOLERANCES = {corten.float16: (1e-3, 1e-3), corten.float32: (1e-4, 1e-5), corten.float64: (1e-5, 1e-8)}


@dataclass(frozen=True)
class _Rules:
    """The options of one comparison."""

    rtol: float | None
    atol: float | None
    allow_subclasses: bool = True
    equal_nan: bool = False
    check_device: bool = True
    check_dtype: bool = True
    check_layout: bool = True
    check_stride: bool = False
    msg: Any = None

    def tolerances(self, *dtypes):
        """The tolerances given, or the widest of the dtypes' own."""
        if self.rtol is not None:
            return self.rtol, self.atol
        own = [_TOLERANCES.get(dtype, (0.0, 0.0)) for dtype in dtypes]
        return max(rtol for rtol, _ in own), max(atol for _, atol in own)

    def fail(self, text, path):
        if path:
            text += f"\n\nThe failure occurred for item {''.join(f'[{key!r}]' for key in path)}"
        if self.msg is not None:
            text = self.msg(text) if callable(self.msg) else self.msg
        raise AssertionError(text)


def assert_close(
    actual,
    expected,
    *,
    allow_subclasses=True,
    rtol=None,
    atol=None,
    equal_nan=False,
    check_device=True,
    check_dtype=True,
    check_layout=True,
    check_stride=False,
    msg=None,
):
    """Raises AssertionError unless ``|actual - expected| <= atol + rtol |expected|`` everywhere.

    Tensors, numpy arrays, numbers, bools and None are compared, and sequences and mappings of them item by item.

    Args:
        allow_subclasses: objects of related classes are compared; otherwise the classes have to be the same.
        rtol, atol: both or neither; without them those of the dtype: 1.3e-6 and 1e-5 for float32 and complex64, 1e-7
            both for float64 and complex128, 1e-3 and 1e-5 for float16 and complex32, 1.6e-2 and 1e-5 for bfloat16, 0
            for others.
        equal_nan: NaN equals NaN.
        check_device, check_dtype, check_layout, check_stride: what else has to agree.
        msg: replaces the error's text, or a function from it to another.

    Raises:
        AssertionError: they differ; the text says how much and where.
        TypeError: objects of such classes cannot be compared.
        ValueError: one tolerance without the other.
    """
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
    if rtol is not None and (rtol < 0 or atol < 0):
        raise RuntimeError(f"assert_close: rtol and atol must not be negative, got rtol={rtol} and atol={atol}")
    rules = _Rules(rtol, atol, allow_subclasses, equal_nan, check_device, check_dtype, check_layout, check_stride, msg)
    _compare(actual, expected, rules, ())


def _is_array(x):
    # Nothing is an array of numpy where numpy was not loaded.
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(x, (numpy.ndarray, numpy.generic))


def _both(kinds, actual, expected):
    return isinstance(actual, kinds) and isinstance(expected, kinds)


def _compare(actual, expected, rules, path):
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    if actual is None or expected is None:
        if actual is not expected:
            rules.fail(f"None mismatch: {actual} is not {expected}", path)
    elif _both(corten.Tensor, actual, expected) and (
        type(actual) is type(expected) or (rules.allow_subclasses and related)
    ):
        _compare_tensors(actual, expected, rules, path)
    elif _both(bool, actual, expected):
        if actual is not expected:
            rules.fail(f"Booleans mismatch: {actual} is not {expected}", path)
    elif _both((int, float, complex), actual, expected) and not (_is_array(actual) and _is_array(expected)):
        _compare_numbers(actual, expected, rules, path)
    elif _is_array(actual) and _is_array(expected):
        _compare_tensors(corten.as_tensor(actual), corten.as_tensor(expected), rules, path)
    elif _both(Mapping, actual, expected):
        _compare_mappings(actual, expected, rules, path)
    elif _both(Sequence, actual, expected) and not isinstance(actual, str) and not isinstance(expected, str):
        if len(actual) != len(expected):
            rules.fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path)
        for i, pair in enumerate(zip(actual, expected, strict=True)):
            _compare(*pair, rules, (*path, i))
    else:
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")


def _compare_mappings(actual, expected, rules, path):
    missing, extra = set(expected) - set(actual), set(actual) - set(expected)
    if missing or extra:
        order = lambda keys: sorted(keys, key=lambda key: (str(type(key)), str(key)))  # noqa: E731
        rules.fail(
            "The keys of the mappings do not match:\n"
            f"Missing keys in the actual mapping: {order(missing)}\n"
            f"Additional keys in the actual mapping: {order(extra)}",
            path,
        )
    for key in expected:
        _compare(actual[key], expected[key], rules, (*path, key))


def _allowed(tolerance, exact):
    return "" if exact else f" (up to {tolerance} allowed)"


def _word(rtol, atol):
    return "equal" if rtol == atol == 0 else "close"


def _describe_numbers(actual, expected, rtol, atol):
    exact = rtol == atol == 0
    difference = abs(actual - expected)
    relative = difference / abs(expected) if expected else float("inf") if difference else 0
    return (
        f"Scalars are not {_word(rtol, atol)}!\n\nExpected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{_allowed(atol, exact)}\n"
        f"Relative difference: {relative}{_allowed(rtol, exact)}"
    )


def _compare_numbers(actual, expected, rules, path):
    if rules.check_dtype and type(actual) is not type(expected):
        rules.fail(f"The (d)types do not match: {type(actual)} != {type(expected)}.", path)
    exact = _both(numbers.Integral, actual, expected)
    rtol, atol = rules.tolerances(corten.int64 if exact else corten.float64)
    # NaN alone differs from itself.
    if actual == expected or (rules.equal_nan and actual != actual and expected != expected):
        return
    difference = abs(actual - expected)
    if not (difference < float("inf") and difference <= atol + rtol * abs(expected)):
        rules.fail(_describe_numbers(actual, expected, rtol, atol), path)


def _compare_attributes(actual, expected, rules, path):
    checks = [
        ("shape", True, actual.shape, expected.shape),
        ("device", rules.check_device, actual.device, expected.device),
        ("dtype", rules.check_dtype, actual.dtype, expected.dtype),
        ("layout", rules.check_layout, actual.layout, expected.layout),
        ("stride()", rules.check_stride, actual.stride(), expected.stride()),
    ]
    for name, checked, mine, theirs in checks:
        if checked and mine != theirs:
            rules.fail(f"The values for attribute '{name}' do not match: {mine} != {theirs}.", path)


def _compare_tensors(actual, expected, rules, path):
    _compare_attributes(actual, expected, rules, path)
    rtol, atol = rules.tolerances(actual.dtype, expected.dtype)
    actual, expected = actual.detach(), expected.detach()
    if actual.device != expected.device:
        actual, expected = actual.cpu(), expected.cpu()
    common = corten.promote_types(actual.dtype, expected.dtype)
    actual, expected = actual.to(common), expected.to(common)
    if common.is_floating_point and common.itemsize == 1:
        return _compare_bits(actual, expected, rtol, atol, rules, path)
    matches = corten.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=rules.equal_nan)
    if bool(matches.all()):
        return
    if actual.dim() == 0:
        rules.fail(_describe_numbers(actual.item(), expected.item(), rtol, atol), path)
    rules.fail(_describe_tensors(actual, expected, matches, rtol, atol), path)


def _compare_bits(actual, expected, rtol, atol, rules, path):
    """float8 is equal where its bits are."""
    if rtol or atol:
        rules.fail(
            f"Rtol={rtol} and atol={atol} are not supported for bitwise comparison of low dimensional floats. Please "
            "use rtol=0.0 and atol=0.0.",
            path,
        )
    differing = (actual.view(corten.uint8) != expected.view(corten.uint8)).nonzero()
    if len(differing) == 0:
        return
    count, total = len(differing), actual.numel()
    rules.fail(
        f"Tensor-likes are not 'equal'!\n\nMismatched elements: {count} / {total} ({count / total:.1%})\n"
        f"The first mismatched element is at index {tuple(differing[0].tolist())}.",
        path,
    )


def _describe_tensors(actual, expected, matches, rtol, atol):
    if not actual.is_floating_point() and not actual.is_complex():
        # Wide enough for every difference.
        actual, expected = actual.long(), expected.long()
    differing = matches.logical_not()
    count, total = int(differing.sum()), matches.numel()
    distance = (actual - expected).abs()
    lines = [
        f"Tensor-likes are not {_word(rtol, atol)}!",
        "",
        f"Mismatched elements: {count} / {total} ({count / total:.1%})",
    ]
    measures = (("absolute", distance, atol), ("relative", distance / expected.abs(), rtol))
    for name, measure, tolerance in measures:
        flat = corten.where(differing, measure, 0).flatten()
        place = int(flat.argmax())
        index = tuple(int(i) for i in corten.unravel_index(corten.tensor(place), actual.shape))
        allowed = _allowed(tolerance, rtol == atol == 0)
        lines.append(f"Greatest {name} difference: {flat[place].item()} at index {index}{allowed}")
    return "\n".join(lines)


def assert_allclose(actual, expected, rtol=None, atol=None, equal_nan=True, msg=""):
    """Deprecated, as in PyTorch; use :func:`assert_close`. Dtypes may differ, and NaN equals NaN."""
    warnings.warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. Please "
        "use `torch.testing.assert_close()` instead.",
        FutureWarning,
        stacklevel=2,
    )
    actual = actual if isinstance(actual, corten.Tensor) else corten.tensor(actual)
    expected = expected if isinstance(expected, corten.Tensor) else corten.tensor(expected, dtype=actual.dtype)
    if rtol is None and atol is None:
        own = [_OLD_TOLERANCES.get(tensor.dtype, (0.0, 0.0)) for tensor in (actual, expected)]
        rtol, atol = max(pair[0] for pair in own), max(pair[1] for pair in own)
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)
