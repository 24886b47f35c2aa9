"""What a tensor or an object is."""

from .. import _core
from ._common import Tensor


def _tensor(name, input):
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input


def is_tensor(obj):
    """Whether the object is a tensor, of whatever class."""
    return isinstance(obj, Tensor)


def is_storage(obj):
    """Whether the object is the memory of tensors."""
    from ..storage import TypedStorage, UntypedStorage

    return isinstance(obj, (TypedStorage, UntypedStorage))


def is_floating_point(input):
    """Whether the dtype is float16, bfloat16, float32 or float64."""
    return _tensor("is_floating_point", input).dtype.is_floating_point


def is_complex(input):
    """Whether the dtype is complex."""
    return _tensor("is_complex", input).dtype.is_complex


def is_signed(input):
    """Whether the dtype has negative numbers."""
    return _tensor("is_signed", input).dtype.is_signed


def is_conj(input):
    """False: no tensor waits to be conjugated."""
    return _tensor("is_conj", input) is None


def is_neg(input):
    """False: no tensor waits to be negated."""
    return _tensor("is_neg", input) is None


def is_distributed(input):
    """False: tensors live in one process."""
    return _tensor("is_distributed", input) is None


def numel(input):
    """The number of elements."""
    return _tensor("numel", input).numel()


def get_device(input):
    """The number of the tensor's GPU, -1 for the CPU."""
    return _tensor("get_device", input).get_device()


def can_cast(from_, to):
    """Whether promotion's rules allow a conversion: not from a floating-point dtype to integers, nor to bool."""
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_floating_point and not (to.is_floating_point or to.is_complex):
        return False
    return from_ == _core.bool or to != _core.bool
