"""Reductions, scans and normalisations along dims: the dims move by one, behind the batch dim."""

from ...._composites._common import wrapped
from ..dispatch import rule

_OVER_ALL = (
    "sum mean prod amax amin any all logsumexp var std var_mean std_mean argmax argmin max min median nanmedian "
    "count_nonzero aminmax _vector_norm"
)
_ALONG_ONE = "cumsum cumprod cummax cummin logcumsumexp softmax log_softmax glu mode kthvalue sort argsort topk"
# Without a dim they return values alone, with one their places too.
_VALUES_ALONE = {"max", "min", "median", "nanmedian"}
# They take a single dim: several are joined first.
_MOVED = {"prod", "argmax", "argmin", *_VALUES_ALONE, "aminmax"}


def shifted(dim, rank):
    """A dim, or several, of an example as those of the batch."""
    if isinstance(dim, (tuple, list)):
        return [wrapped(d, rank) + 1 for d in dim]
    return wrapped(dim, rank) + 1


def _flat_result(call, result):
    if call.get("keepdim") and call.first.dim() > 0:
        shape = (call.level.size, *([1] * call.first.dim()))
        parts = result if isinstance(result, tuple) else (result,)
        parts = [part.reshape(shape) for part in parts]
        return type(result)(parts) if isinstance(result, tuple) else parts[0]
    return result


@rule(*_OVER_ALL.split())
def reduction(call):
    if "other" in call.given:
        from .elementwise import elementwise

        return elementwise(call)
    dim = call.get("dim")
    if dim is not None and not (isinstance(dim, (tuple, list)) and not len(dim)):
        return along(call)
    if call.name in ("argmax", "argmin", "median", "max", "min", "amax", "amin", "aminmax") and not call.first.numel():
        call.run_first(call.first.value[:1].reshape(-1))  # an empty example raises, as alone
    value = call.first.value.reshape(call.level.size, -1) if call.first.dim() != 1 else call.first.value
    changes = {"keepdim": False} if any(p.name == "keepdim" for p in call.parameters) else {}
    result = call.run_first(value, dim=1, **changes)
    if call.name in _VALUES_ALONE:
        result = result[0]
    return call.level.wrap(_flat_result(call, result))


@rule(*_ALONG_ONE.split())
def along(call):
    x = call.first
    dim = shifted(call.get("dim"), x.dim())
    value = x.value.unsqueeze(1) if x.dim() == 0 else x.value
    result = call.run_first(value, dim=dim)
    if x.dim() == 0:
        parts = result if isinstance(result, tuple) else (result,)
        parts = [part.reshape(call.level.size) for part in parts]
        result = type(result)(parts) if isinstance(result, tuple) else parts[0]
    return call.level.wrap(result)


@rule("trace")
def trace(call):
    if call.first.dim() != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {call.first.dim()}")
    return call.first.diagonal().sum()
