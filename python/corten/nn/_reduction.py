"""The reduction argument of losses: names, their integer codes and the legacy flags."""

import warnings

_CODES = {"none": 0, "mean": 1, "sum": 2}


def get_enum(reduction):
    """Returns the integer code of a reduction name; raises ValueError for an unknown one."""
    code = _CODES.get(reduction)
    if code is not None:
        return code
    if reduction == "elementwise_mean":
        warnings.warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=3)
        return 1
    raise ValueError(f"{reduction} is not a valid value for reduction")


def legacy_get_string(size_average, reduce, emit_warning=True):
    """Translates the flags ``size_average`` and ``reduce`` (None means True) into a reduction name."""
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    reduction = "none" if not reduce else ("mean" if size_average else "sum")
    if emit_warning:
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
            stacklevel=4,
        )
    return reduction


def resolve(size_average, reduce, reduction):
    """The integer code that the three arguments of a loss amount to."""
    if size_average is not None or reduce is not None:
        reduction = legacy_get_string(size_average, reduce)
    return get_enum(reduction)


def reduce_loss(loss, code):
    """Applies reduction ``code`` to the tensor of unreduced losses."""
    if code == 1:
        return loss.mean()
    return loss.sum() if code == 2 else loss
