"""Operators on lists of tensors, ``torch._foreach_add`` and its kin: each does to every tensor what its name says.

The functions record an operator a tensor, which run together; there is no other form of them. Functions whose names end
in an underscore write into the tensors and return them in a list, the others return a tuple.
"""

from . import _core

_UNARY = (
    "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round "
    "rsqrt sigmoid sign sin sinh sqrt tan tanh trunc"
)
# What PyTorch calls the operands, in their order.
_OPERANDS = ["other", "scalar", "exponent", "tensors1", "tensor1", "tensors2", "tensor2", "tensor", "weight", "scalars"]


def _checked(name, tensors):
    if not isinstance(tensors, (list, tuple)) or not all(isinstance(t, _core.Tensor) for t in tensors):
        raise TypeError(f"_foreach_{name}: a list or tuple of tensors expected, got {type(tensors).__name__}")
    if not tensors:
        raise RuntimeError("Tensor list must have at least one tensor.")
    return tensors


def _spread(name, operand, count):
    """One operand for each tensor: that of a list, or the same for all.

    Raises:
        RuntimeError: the list has another length.
    """
    if not isinstance(operand, (list, tuple)):
        return [operand] * count
    if len(operand) != count:
        raise RuntimeError(
            f"_foreach_{name}: lists must have the same number of elements, got {count} and {len(operand)}"
        )
    return operand


def _function(name, forward):
    """The function on lists of an operator, with ``forward`` on one tensor and its operands."""

    def listed(self, *operands, **options):
        tensors = _checked(name, self)
        operands += tuple(options.pop(key) for key in _OPERANDS if key in options)
        rows = zip(tensors, *(_spread(name, operand, len(tensors)) for operand in operands), strict=True)
        return tuple(forward(*row, **options) for row in rows)

    listed.__name__ = listed.__qualname__ = f"_foreach_{name}"
    listed.__doc__ = f"A tuple with `{name}` of each tensor; operands are lists of as many, or the same for all."
    return listed


def _in_place(name, write):
    function = _function(name, write)

    def listed(self, *operands, **options):
        function(self, *operands, **options)
        return list(self)

    listed.__name__ = listed.__qualname__ = f"_foreach_{name}_"
    listed.__doc__ = f"Writes `{name}` of each tensor into it; operands are lists of as many, or the same for all."
    return listed


def _extremum(which):
    """`maximum` and `minimum` of a tensor and a tensor or number."""

    def forward(tensor, other):
        if isinstance(other, _core.Tensor):
            return getattr(_core.ops, which)(tensor, other)
        bound = {"min": other} if which == "maximum" else {"max": other}
        return tensor.clamp(**bound)

    return forward


def _power(base, exponent):
    return base**exponent


def _lerp(tensor, end, weight):
    return tensor.lerp(end, weight)


def _names():
    found = {name: getattr(_core.Tensor, name) for name in f"{_UNARY} add sub mul div addcmul addcdiv".split()}
    found |= {"maximum": _extremum("maximum"), "minimum": _extremum("minimum"), "pow": _power, "lerp": _lerp}
    found |= {"clamp_min": found["maximum"], "clamp_max": found["minimum"]}
    return found


def _written(forward):
    """The operator in place, where the tensor type has it, else its value copied."""

    def write(tensor, *operands, **options):
        tensor.copy_(forward(tensor, *operands, **options))

    return write


def _addcmul(tensor, tensor1, tensor2, value=1):
    return tensor.addcmul(tensor1, tensor2, value=value)


def _addcdiv(tensor, tensor1, tensor2, value=1):
    return tensor.addcdiv(tensor1, tensor2, value=value)


def _norm(self, ord=2, dtype=None):
    """A tuple with the vector norm of each tensor, 0-d."""
    return tuple(t.flatten().norm(ord, dtype=dtype) for t in _checked("norm", self))


def _copy(self, src, non_blocking=False):
    """Copies each tensor of ``src`` into that of the first list."""
    tensors = _checked("copy_", self)
    for tensor, source in zip(tensors, _spread("copy_", src, len(tensors)), strict=True):
        tensor.copy_(source, non_blocking=non_blocking)
    return list(tensors)


def _pow(self, exponent):
    """A tuple with powers of each tensor, or of a number by each tensor of ``exponent``."""
    if isinstance(self, (list, tuple)):
        return _pow_of_lists(self, exponent)
    return tuple(self**tensor for tensor in _checked("pow", exponent))


_pow_of_lists = _function("pow", _power)

FUNCTIONS = {}
for _name, _forward in (_names() | {"addcmul": _addcmul, "addcdiv": _addcdiv}).items():
    FUNCTIONS[f"_foreach_{_name}"] = _function(_name, _forward)
    _write = getattr(_core.Tensor, f"{_name}_", None) if _name in f"{_UNARY} add sub mul div".split() else None
    FUNCTIONS[f"_foreach_{_name}_"] = _in_place(_name, _write or _written(_forward))
FUNCTIONS["_foreach_zero_"] = _in_place("zero", _core.Tensor.zero_)
for _name in ("max", "clone", "mm"):
    FUNCTIONS[f"_foreach_{_name}"] = _function(_name, getattr(_core.Tensor, _name))
FUNCTIONS |= {"_foreach_norm": _norm, "_foreach_copy_": _copy, "_foreach_pow": _pow}
globals().update(FUNCTIONS)
