"""Conditions that programs check by functions: ``_check`` and its kin, ``_assert``; sizes that are plain numbers."""

from . import _core


def _told(message, default):
    if message is None:
        return default
    if not callable(message):
        raise TypeError("message must be a callable")
    return str(message())


def _check_with(error_type, cond, message=None):
    """Raises ``error_type`` with the text that ``message()`` gives, unless ``cond`` holds.

    Raises:
        TypeError: ``cond`` is no bool, or ``message`` cannot be called.
    """
    if not isinstance(cond, bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        raise error_type(_told(message, "Expected cond to be True, but got False."))


def _check(cond, message=None):
    """Raises RuntimeError unless ``cond`` holds."""
    _check_with(RuntimeError, cond, message)


def _check_index(cond, message=None):
    """Raises IndexError unless ``cond`` holds."""
    _check_with(IndexError, cond, message)


def _check_value(cond, message=None):
    """Raises ValueError unless ``cond`` holds."""
    _check_with(ValueError, cond, message)


def _check_type(cond, message=None):
    """Raises TypeError unless ``cond`` holds."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond, message=None):
    """Raises NotImplementedError unless ``cond`` holds."""
    _check_with(NotImplementedError, cond, message)


def _check_is_size(i, message=None, *, max=None):
    """Raises RuntimeError unless ``i`` is at least 0, and at most ``max``."""
    _check(bool(i >= 0), message)
    if max is not None:
        _check(bool(i <= max), message)


def _check_tensor_all(cond, message=None):
    """Raises RuntimeError unless every element of a bool tensor is True."""
    if not isinstance(cond, _core.Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    if cond.dtype is not _core.bool:
        raise TypeError(f"cond tensor must have dtype torch.bool, but got {cond.dtype}")
    _check(bool(cond.all()), message)


def _assert(condition, message):
    """``assert condition, message`` as a function.

    Raises:
        AssertionError: the condition, a bool or a tensor with one element, is false.
    """
    if not isinstance(condition, (bool, _core.Tensor)) and _core.overrides_operators(condition):
        from .overrides import handle_torch_function

        return handle_torch_function(_assert, (condition,), condition, message)
    if not condition:
        raise AssertionError(message)
    return None


def _assert_async(input, assert_msg="Expected Tensor with single nonzero value, but got zero"):
    """Raises RuntimeError with ``assert_msg`` where ``input``, a tensor with one element, is zero; reads its value."""
    if not bool(input):
        raise RuntimeError(assert_msg)


def sym_int(a):
    """``int(a)``: sizes are numbers."""
    return int(a)


def sym_float(a):
    """``float(a)``: sizes are numbers."""
    return float(a)


def sym_not(a):
    """``not a``."""
    return not a


def sym_ite(b, t, f):
    """``t`` where ``b`` holds, else ``f``.

    Raises:
        AssertionError: ``t`` and ``f`` have different types.
    """
    assert type(t) is type(f), f"sym_ite: {type(t).__name__} and {type(f).__name__} differ"
    return t if b else f


def _kept_type(name, choose, a, b):
    if not all(isinstance(x, (int, float)) for x in (a, b)):
        raise AssertionError(f"{name}: two numbers expected, got {type(a).__name__} and {type(b).__name__}")
    value = choose(a, b)
    return float(value) if isinstance(a, float) or isinstance(b, float) else value


def sym_max(a, b):
    """The greater of two numbers, a float where one of them is."""
    return _kept_type("sym_max", max, a, b)


def sym_min(a, b):
    """The smaller of two numbers, a float where one of them is."""
    return _kept_type("sym_min", min, a, b)


def sym_sum(args):
    """The sum of numbers."""
    return sum(args)
