"""Forward-mode derivatives with dual numbers: a tensor and its tangent go through a program together.

>>> import corten.autograd.forward_ad as fwAD
>>> with fwAD.dual_level():
...     x = fwAD.make_dual(corten.tensor([1.0, 2.0]), corten.tensor([1.0, 0.0]))
...     value, tangent = fwAD.unpack_dual(x ** 2)
>>> tangent
tensor([2., 0.])

A dual number is a tensor of a class of its own, which shares the primal's memory: `requires_grad`, `grad_fn` and `grad`
are the primal's, `detach()` and `data` give the primal without its tangent, and gradient modes do not matter to
tangents. Each operator moves the tangent as it runs (`_duals.py` says how), so nothing has to be kept for it. Where
gradients are recorded, results and tangents have histories: gradients of tangents (reverse over forward) and tangents
of gradients (forward over reverse, `corten.autograd.grad` of a dual number) are second derivatives.

At the end of its level a dual number lets go of the tangent and is the primal. One level can be open in a thread; for
derivatives inside each other there is :func:`corten.func.jvp`, which may be used inside and outside of a level.

A plain tensor that a dual number is written into is one from then on, with all that shares its memory by views.

Two things are refused, where PyTorch would go on: a dual number's shape and memory are not changed in place
(``squeeze_``), and ``backward()`` does not put tangents into ``.grad``. An `autograd.Function` without ``jvp`` has its
``backward`` differentiated, where PyTorch raises.
"""

from typing import NamedTuple

from .. import _core
from .._core import Tensor
from ._duals import Dual, Level, moves_along, state
from .modes import _Mode

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]


def enter_dual_level():
    """Opens a level, in which dual numbers can be made, and returns its number, 0. Prefer :class:`dual_level`.

    Raises:
        RuntimeError: one is open.
    """
    if state.level is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    state.level = Level()
    state.level.written.watch()
    return 0


def exit_dual_level(*, level=None):
    """Closes the level: its dual numbers let go of their tangents.

    Raises:
        RuntimeError: none is open, or ``level`` is not its number.
    """
    if state.level is None:
        raise RuntimeError("exit_dual_level: no level is open; enter one with enter_dual_level()")
    if level not in (None, 0):
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    state.level.close()
    state.level = None


class dual_level(_Mode):
    """A context, or a decorator, in which dual numbers can be made: a level that is closed at its end."""

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, *exception):
        exit_dual_level()


class UnpackedDualTensor(NamedTuple):
    """What :func:`unpack_dual` returns: a primal, and its tangent or None."""

    primal: Tensor
    tangent: Tensor | None


def make_dual(tensor, tangent, *, level=None):
    """A dual number that shares the memory of ``tensor``, whose gradients go through it.

    Args:
        tensor: the primal, of a floating-point or complex dtype.
        tangent: how it moves, of the same shape; converted to its dtype.

    Raises:
        RuntimeError: no level is open, the shapes differ, or the tensor is a dual number already.
        ValueError: the tensor or the tangent is neither floating-point nor complex.
    """
    open_level = state.level
    if open_level is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    if level not in (None, 0):
        raise RuntimeError(f"make_dual: level {level} is not open; the number of the open one is 0")
    for name, value in (("primal", tensor), ("tangent", tangent)):
        if not isinstance(value, Tensor):
            raise TypeError(f"make_dual: expected {name} to be a Tensor, got {type(value).__name__}")
        if not moves_along(value):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {value.dtype}")
    if hasattr(tensor, "_run_backward") or hasattr(tangent, "_run_backward"):
        raise NotImplementedError("make_dual: inside vmap there are no dual numbers; use corten.func.jvp there")
    tensor = open_level.written.seen(tensor)
    if isinstance(tensor, Dual):
        if tensor.tangent is not None:
            raise RuntimeError(
                "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not "
                "supported."
            )
        tensor = tensor.primal
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(tensor.shape)} while the given forward gradient is of size "
            f"{list(tangent.shape)}."
        )
    recorded = tensor.requires_grad and _core.is_grad_enabled()
    primal = tensor.view_as(tensor) if recorded else tensor.detach()
    return Dual._of(primal, tangent.primal if isinstance(tangent, Dual) else tangent, open_level)


def unpack_dual(tensor, *, level=None):
    """The primal and the tangent of a dual number; the tensor and None of any other tensor, and outside of a level.

    Raises:
        TypeError: it is no tensor.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"unpack_dual(): argument 'tensor' must be Tensor, not {type(tensor).__name__}")
    if state.level is not None:
        state.level.written.seen(tensor)
    if not isinstance(tensor, Dual):
        return UnpackedDualTensor(tensor, None)
    here = state.level is not None and state.level is tensor.key.level and level in (None, 0)
    return UnpackedDualTensor(tensor.primal, tensor.tangent if here else None)


class _set_fwd_grad_enabled(_Mode):
    """Switches whether operators move tangents, at once and until the end of the ``with`` block if used as one."""

    def __init__(self, mode):
        self.mode, self.before = bool(mode), state.enabled
        state.enabled = self.mode

    def clone(self):
        return _set_fwd_grad_enabled(self.mode)

    def __enter__(self):
        state.enabled = self.mode

    def __exit__(self, *exception):
        state.enabled = self.before


def _is_fwd_grad_enabled():
    """Whether operators move tangents."""
    return state.enabled
