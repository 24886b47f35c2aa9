"""Tensors with a hidden batch dim, and how operators on them find their rules.

``Batched`` stands for one example: its shape and its other facts are those of an example, and ``value`` holds all of
them with the batch as the first dim. Where one ``vmap`` runs inside another, ``value`` may be ``Batched`` again: levels
count from the outermost, 1, and the innermost one is the outermost wrapper.
"""

import functools
import threading

import corten

from ... import _core

Tensor, ops = _core.Tensor, _core.ops


class Level:
    """A ``vmap`` while it runs: its number, its batch size, and how it draws random numbers.

    With ``copies`` all examples are the same so far, and what reads a value reads the first's.
    """

    def __init__(self, number, size, randomness, copies=False):
        self.number, self.size, self.randomness, self.copies = number, size, randomness, copies
        self.alive = True

    def holds(self, x):
        """Whether ``x`` has a batch dim of this level."""
        return isinstance(x, Batched) and x.level is self

    def wrap(self, value):
        """An example out of tensors ``(B, ...)``; trees of them keep their shape."""
        if isinstance(value, Tensor):
            return Batched._of(value, self)
        if isinstance(value, (tuple, list)):
            parts = [self.wrap(part) for part in value]
            return type(value)(parts)
        return value

    def physical(self, x):
        """``(B, ...)`` of a tensor, repeated where it has no batch dim."""
        return x.value if self.holds(x) else x.unsqueeze(0).expand(self.size, *x.shape)

    def padded(self, x, rank):
        """``(B, ...)`` of an example with dims of size 1 in front, up to ``rank`` dims for the example."""
        value = x.value
        for _ in range(rank - x.dim()):
            value = value.unsqueeze(1)
        return value


class _Active(threading.local):
    levels: tuple = ()


active = _Active()


@functools.lru_cache(maxsize=512)
def _stand_in(shape, dtype, device):
    # Carries an example's facts. Nothing reads its values: the engine asks for a rule first.
    return ops.empty((), dtype=dtype, device=device).expand(shape)


def _refused(what, name=None):
    def method(self, *args, **kwargs):
        if name and self.level.copies:
            return getattr(self.value[0], name)(*args, **kwargs)
        raise RuntimeError(
            f"vmap: It looks like you're calling {what} on a Tensor. We don't support vmap over calling {what} on a "
            "Tensor, please try to rewrite what you're doing with other operations."
        )

    return method


def _decides(self):
    if self.level.copies:
        return bool(self.value[0])
    raise RuntimeError(
        "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. "
        "We don't support that yet: use corten.where instead."
    )


class Batched(corten.Tensor, decomposes=True):  # type: ignore[call-arg]
    """An example of a batch; see the module."""

    value: corten.Tensor
    level: Level

    @classmethod
    def _of(cls, value, level):
        shape = tuple(value.shape[1:])
        made = Tensor._make_subclass(cls, _stand_in(shape, value.dtype, value.device))
        made.value, made.level = value, level
        return made

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        from .dispatch import dispatch

        return dispatch(func, args, kwargs or {})

    @classmethod
    def _run_backward(cls, *args):
        from .autograd import run_backward

        return run_backward(*args)

    @staticmethod
    def _apply_function(function, args, kwargs):
        from .functions import apply

        return apply(function, args, kwargs)

    @staticmethod
    def _call_operator(op, args, by_name):
        from ..._library.batches import batched

        return batched(op, args, by_name)

    item, tolist, numpy = (_refused(f".{name}()", name) for name in ("item", "tolist", "numpy"))
    __array__, __float__, __int__, __index__, __complex__ = (
        _refused(".item()", f"__{name}__") for name in ("array", "float", "int", "index", "complex")
    )
    data_ptr = _refused(".data_ptr()")
    _set_alias = _become = register_post_accumulate_grad_hook = _refused("a method that changes what a tensor is")
    __reduce_ex__ = __dlpack__ = untyped_storage = storage = _typed_storage = _refused("a method that reads its memory")
    share_memory_ = pin_memory = is_set_to = resize_ = _refused("a method that reads its memory")
    __bool__ = __nonzero__ = _decides
    __hash__ = Tensor.__hash__

    @property
    def requires_grad(self):
        return self.value.requires_grad

    @requires_grad.setter
    def requires_grad(self, on):
        self.value.requires_grad_(on)

    def requires_grad_(self, requires_grad=True):
        self.value.requires_grad_(requires_grad)
        return self

    def detach(self):
        return self.level.wrap(self.value.detach())

    def detach_(self):
        self.value.detach_()
        return self

    def retain_grad(self):
        self.value.retain_grad()

    def register_hook(self, hook):
        def of_batch(grad):
            changed = hook(self.level.wrap(grad))
            return None if changed is None else self.level.physical(changed)

        return self.value.register_hook(of_batch)

    is_leaf = property(lambda self: self.value.is_leaf)
    retains_grad = property(lambda self: self.value.retains_grad)
    grad_fn = property(lambda self: self.value.grad_fn)
    output_nr = property(lambda self: self.value.output_nr)
    _version = property(lambda self: self.value._version)
    _base = property(lambda self: None)
    data = property(lambda self: self.level.wrap(self.value.data))
    grad = property(lambda self: None if self.value.grad is None else self.level.wrap(self.value.grad))
    T = property(lambda self: self.permute(tuple(reversed(range(self.dim())))))
    mT = property(lambda self: self.transpose(-2, -1))

    def stride(self, dim=None):
        strides = tuple(self.value.stride()[1:])
        return strides if dim is None else strides[dim]

    def storage_offset(self):
        return 0

    def is_contiguous(self, *, memory_format=corten.contiguous_format):
        if self.level.size == 0 or self.value.is_contiguous():
            return self.dim() < 4 or memory_format is corten.contiguous_format
        expected, count = [], 1
        for size in reversed(self.shape):
            expected.append(count)
            count *= size
        pairs = zip(reversed(self.shape), reversed(self.stride()), expected, strict=True)
        return memory_format is corten.contiguous_format and all(n == 1 or s == e for n, s, e in pairs)

    # The engine's slot looks for zeros among a divisor's integers before it asks for a rule.
    def __mod__(self, other):
        return ops.remainder(self, other)

    def __floordiv__(self, other):
        return ops.floor_divide(self, other)

    def __rfloordiv__(self, other):
        return ops.floor_divide(other, self)

    def __rmod__(self, other):
        return ops.remainder(other, self)

    def __deepcopy__(self, memo):
        return self.clone()

    def __copy__(self):
        return self.level.wrap(self.value.view_as(self.value))

    def __repr__(self):
        return f"Batched(level={self.level.number}, value={self.value!r})"

    def __str__(self, **options):
        return repr(self)


def levels_of(x):
    """The levels at which a tensor has batch dims, innermost ``vmap`` first."""
    found = []
    while isinstance(x, Batched):
        found.append(x.level)
        x = x.value
    return found


def innermost(x):
    """The tensor that all the wrappers hold."""
    while isinstance(x, Batched):
        x = x.value
    return x


def with_all_batches(x, levels=None):
    """The tensor with a batch dim of every ``vmap`` that runs, so that a gradient for it is one of each example."""
    levels = active.levels if levels is None else levels
    if not levels:
        return x
    *outer, level = levels
    if level.holds(x):
        inside = with_all_batches(x.value, outer)
        return x if inside is x.value else level.wrap(inside)
    return level.wrap(level.physical(with_all_batches(x, outer)))
