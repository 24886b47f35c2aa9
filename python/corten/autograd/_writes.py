"""Plain tensors that dual numbers were written into, and the views of them that existed before.

A write makes the object itself a dual number, and with it the tensor whose memory it views, with a tangent of zeros
elsewhere. Views that the program made earlier become dual numbers when an operator gets them: while a level is open, a
mode looks at arguments as soon as there is such a tensor. At the end of the level all are plain tensors again.
"""

import weakref

import corten

from .. import _core
from ..overrides import DisableTorchFunction, TorchFunctionMode
from ._duals import Dual, moves_along
from .modes import enable_grad

Tensor, ops = _core.Tensor, _core.ops


# Attributes and methods about the history: it is the object's own, of which the primal is a view.
_OWN = """
    requires_grad requires_grad_ retain_grad register_hook is_leaf retains_grad grad_fn output_nr _version grad
"""


class _Written(Dual, decomposes=True):  # type: ignore[call-arg]
    """A tensor while it is a dual number."""


class _WrittenParameter(_Written, corten.nn.Parameter, decomposes=True):  # type: ignore[misc]
    """A parameter while it is a dual number."""


for _name in _OWN.split():
    setattr(_Written, _name, vars(Tensor)[_name])

_DUAL_CLASSES = {corten.Tensor: _Written, corten.nn.Parameter: _WrittenParameter}


class _Watch(TorchFunctionMode):
    """Makes dual numbers of arguments that view a tensor of this level; asked only once there is one."""

    # It never takes over a function as a whole.
    _is_partial = True

    def __init__(self, written):
        self._written = written

    def __contains__(self, name):
        return bool(self._written.roots)

    @property
    def _is_idle(self):
        return not self._written.roots

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self._written.see((args, kwargs))
        return func(*args, **kwargs)


class Written:
    """The tensors of a level that became dual numbers by being written to."""

    def __init__(self, level):
        self._level = level
        # By the id of the tensor that others view: that tensor, and the dual number that has its tangent.
        self.roots = {}
        self._before = []
        self._watch = _Watch(self)
        self._watching = False

    def watch(self):
        """Looks at the arguments of this thread's operators from now on."""
        _core.push_function_mode(self._watch, self._watch)
        self._watching = True

    def close(self):
        """Makes plain tensors of all."""
        if self._watching:
            _core.pop_function_mode()
            self._watching = False
        for reference, kind in self._before:
            tensor = reference()
            if tensor is not None:
                tensor.__class__ = kind
                del tensor.primal, tensor.key
        self._before.clear()
        self.roots.clear()

    def begin(self, target):
        """Makes a tensor that is about to be overwritten a dual number that does not move yet."""
        if isinstance(target, Dual):
            # Of a level that is over.
            primal = target.primal
            root = primal if primal._base is None else primal._base
            if id(root) not in self.roots:
                target._attach(primal, zeros_laid_out(primal), self._level)
                self.roots[id(primal)] = (primal, target)
                return
            target._attach(primal, self._moves_of(primal), self._level)
            return
        root = target if target._base is None else target._base
        if id(root) not in self.roots:
            self._promote(root, zeros_laid_out(root))
            self.roots[id(root)] = (root, root)
        if root is not target:
            self._promote(target, self._moves_of(target))

    def _promote(self, tensor, tangent):
        kind = type(tensor)
        if kind not in _DUAL_CLASSES:
            raise RuntimeError(
                f"a dual number cannot be written into a {kind.__name__}: write into a Tensor, or use the operator "
                "without underscore"
            )
        with DisableTorchFunction(), enable_grad():
            primal = tensor.view_as(tensor)
        tensor.__class__ = _DUAL_CLASSES[kind]
        tensor._attach(primal, tangent, self._level)
        self._before.append((weakref.ref(tensor), kind))

    def see(self, value):
        """Makes dual numbers of all tensors in arguments that view a tensor of this level."""
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, Tensor):
                self.seen(item)
            elif isinstance(item, (tuple, list)):
                stack.extend(item)
            elif isinstance(item, dict):
                stack.extend(item.values())

    def seen(self, tensor):
        """The tensor, a dual number where it views one of this level."""
        if not self.roots or id(tensor) in self._level.primals:
            return tensor
        if isinstance(tensor, Dual) and tensor.tangent is not None:
            return tensor
        own = tensor.primal if isinstance(tensor, Dual) else tensor
        if type(own) not in _DUAL_CLASSES or id(own._base) not in self.roots or not moves_along(own):
            return tensor
        moves = self._moves_of(own)
        if moves is None:
            return tensor
        if isinstance(tensor, Dual):
            tensor._attach(own, moves, self._level)
            return tensor
        self._promote(tensor, moves)
        return tensor

    def _moves_of(self, view):
        """The part of the root's tangent that a view shows; None where bits are seen as another dtype."""
        root, holder = self.roots[id(view._base)]
        tangent, offset = holder.tangent, root.storage_offset()
        if view.dtype != root.dtype:
            if not root.is_complex() or view.dtype != ops.view_as_real(tangent).dtype:
                return None
            # A complex number is a pair of real ones.
            tangent, offset = ops.view_as_real(tangent), 2 * offset
        with enable_grad():
            return tangent.as_strided(view.size(), view.stride(), view.storage_offset() - offset)


def zeros_laid_out(tensor):
    """Zeros with the shape, strides and dtype of a tensor."""
    zeros = ops.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=tensor.device)
    return zeros.zero_()
