"""Views of a module's own parameters, buffers and modules by name: `torch.ParameterDict` and the others.

What is set shows in the module at once, and the other way round. Not to be taken for `nn.ParameterDict`, a module.
"""

from .. import _core
from .modules import Module


class _View:
    _table = ""

    def __init__(self, module):
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expected a Module, got {type(module).__name__}")
        self._module = module

    def contains(self, name):
        """Whether there is one of that name."""
        return vars(self._module)[self._table].get(name) is not None

    def items(self):
        """The names with what they stand for, as a list."""
        return [(name, value) for name, value in vars(self._module)[self._table].items() if value is not None]

    def _table_of(self, name):
        for table in ("_parameters", "_buffers", "_modules"):
            if name in vars(self._module)[table]:
                return table
        raise RuntimeError(f"{type(self._module).__name__} does not have a field with name {name!r}")

    def getattr(self, name):
        """The parameter, buffer or module of a name, of whatever kind.

        Raises:
            RuntimeError: the module has none; also in :meth:`setattr`.
        """
        return vars(self._module)[self._table_of(name)][name]

    def setattr(self, name, value):
        """Puts another tensor or module in the place of the one of that name."""
        kind = Module if self._table_of(name) == "_modules" else _core.Tensor
        if not isinstance(value, kind):
            raise RuntimeError(f"Unable to cast {value} to {kind.__name__}")
        setattr(self._module, name, value)


class ParameterDict(_View):
    """The parameters of a module itself.

    Args:
        module: a `nn.Module`; TypeError for anything else.
    """

    _table = "_parameters"


class BufferDict(_View):
    """The buffers of a module itself.

    Args:
        module: a `nn.Module`; TypeError for anything else.
    """

    _table = "_buffers"


class ModuleDict(_View):
    """The modules inside a module itself.

    Args:
        module: a `nn.Module`; TypeError for anything else.
    """

    _table = "_modules"


for _class in (ParameterDict, BufferDict, ModuleDict):
    _class.__module__ = "corten"
