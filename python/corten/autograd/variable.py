"""`Variable`, which tensors have been since they record gradients themselves."""

from .. import _core

__all__ = ["Variable", "VariableMeta"]


class VariableMeta(type):
    """Makes every tensor a `Variable`."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, _core.Tensor)

    def __call__(cls, data=None, requires_grad=False):
        """A tensor with the data of another one and no history, or an empty one."""
        made = _core.Tensor() if data is None else data.detach()
        return made.requires_grad_() if requires_grad else made


class Variable(metaclass=VariableMeta):
    """The older name of `Tensor`: ``Variable(x, requires_grad=True)`` is a tensor with the data of ``x``."""
