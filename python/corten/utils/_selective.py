"""Selective checkpointing: which operators' results are kept for the backward pass, and which are computed again.

In the second run every operator is recorded, so that it saves what its gradient asks for. Where the result was kept, it
goes on in the place of the new one, which nobody reads: what was only recorded is then never run.
"""

from .. import _core
from .._library.aten import AtenOverload, overload_of, packet
from .._library.operators import OpOverload
from ..overrides import TorchFunctionMode

Tensor = _core.Tensor
_CONVERSION = packet("_to_copy").default


def _tensors(value):
    if isinstance(value, Tensor):
        return [value]
    return [item for item in value if isinstance(item, Tensor)] if isinstance(value, (tuple, list)) else []


def _storages(values):
    found = set()
    for value in values:
        found.update(_core.storage_id(t) for t in _tensors(value))
    return found


class _Kept:
    """The results of a call, as they were."""

    def __init__(self, result, offload):
        self.tensors = [t.detach().cpu() if offload else t.detach() for t in _tensors(result)]
        self.devices = [t.device for t in _tensors(result)]
        self.versions = [t._version for t in self.tensors]

    def taken(self, mutation):
        """The tensors; a RuntimeError where they were written to since."""
        changed = any(t._version != v for t, v in zip(self.tensors, self.versions, strict=True))
        if changed and not mutation:
            raise RuntimeError("Tensor cached during selective activation checkpoint has been mutated")
        return [t.to(device) for t, device in zip(self.tensors, self.devices, strict=True)]


class _Calls:
    """What the first run did: for each operator its calls, with the results where they were kept.

    A call of the second run is the one of the first with the same number among those of its operator: other operators
    may be missing, such as conversions that autocast remembers.
    """

    def __init__(self):
        self.made: dict[object, list] = {}
        self.used = False

    def take(self, op):
        """What was kept of the next call of an operator, which is let go of; None where nothing was."""
        left = self.made.get(op)
        return left.pop(0) if left else None


class Caching(TorchFunctionMode):
    """Around the first run: asks the policy of every operator."""

    _is_partial = True

    def __init__(self, calls, policy, context, save, offload):
        self.calls, self.policy, self.context = calls, policy, context
        self.save, self.offload = save, offload

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = _storages((*args, *kwargs.values()))
        result = func(*args, **kwargs)
        found = _tensors(result)
        if not found:
            return result
        op = overload_of(func, args, kwargs)
        policy = self.policy(self.context, op, *args, **kwargs)
        # Views, and results that are arguments which were written, have no memory of their own to keep. Conversions
        # are never kept: those that autocast remembers happen in one of the runs alone.
        fresh = op is not _CONVERSION and not given & _storages([result])
        keep = fresh and (policy in self.save or policy in self.offload)
        self.calls.made.setdefault(op, []).append(_Kept(result, policy in self.offload) if keep else None)
        return result


class Cached(TorchFunctionMode):
    """Around the second run: hands over the results that were kept."""

    _is_partial = True

    def __init__(self, calls, mutation):
        self.calls, self.mutation, self.frame = calls, mutation, None

    def __enter__(self):
        if self.calls.used:
            raise RuntimeError(
                "Trying to backward an extra time. You are only allowed to backward once on any region computed under "
                "selective activation checkpoint."
            )
        self.calls.used = True
        return super().__enter__()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        frame = self.frame
        begin = frame.hold()
        result = func(*args, **kwargs)
        made = _tensors(result)
        op = overload_of(func, args, kwargs) if made else None
        kept = self.calls.take(op) if made else None
        if kept is None:
            frame.release()
            return result
        values = kept.taken(self.mutation)
        if [(t.shape, t.dtype) for t in made] != [(v.shape, v.dtype) for v in values]:
            raise RuntimeError(
                f"selective checkpoint: {op} made {[tuple(t.shape) for t in made]} in the second run and "
                f"{[tuple(v.shape) for v in values]} in the first; both runs have to do the same"
            )
        frame.replace(begin, made, values)
        again = [v.detach().requires_grad_(t.requires_grad) for v, t in zip(values, made, strict=True)]
        frame.release()
        if isinstance(result, Tensor):
            return again[0]
        left = iter(again)
        return type(result)(next(left) if isinstance(item, Tensor) else item for item in result)


def contexts(policy_fn_or_list, mutation, save, offload, made_context, otherwise):
    """The two modes; see `checkpoint.create_selective_checkpoint_contexts`."""
    if isinstance(policy_fn_or_list, list):
        for op in policy_fn_or_list:
            if not isinstance(op, (AtenOverload, OpOverload)):
                raise ValueError(
                    f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}. An overload is "
                    "named as corten.ops.aten.mm.default, with what follows the operator's name."
                )
        chosen = set(policy_fn_or_list)

        def policy(ctx, op, *args, **kwargs):
            return save[0] if op in chosen else otherwise

    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    calls = _Calls()
    return Caching(calls, policy, made_context, save, offload), Cached(calls, mutation)
