"""What functions are called in a graph's code: PyTorch's names of corten's, and the modules of all others."""

import builtins
import functools
import keyword
import math
import re
import types

import corten

from .. import _core
from .._library.aten import AtenOverload, AtenPacket
from .._library.operators import OpOverload, OpOverloadPacket
from ..utils import _pytree as pytree
from . import _pytree as fx_pytree

# Names that every generated function finds among its globals, with their values.
CUSTOM_BUILTINS = {
    "inf": math.inf,
    "nan": math.nan,
    "NoneType": type(None),
    "torch": corten,
    "device": _core.device,
    "fx_pytree": fx_pytree,
    "pytree": pytree,
}


def import_statement(name, value, torch):
    """The line of a program that gives ``value`` that name, for one of the names above or an object of a module.

    Args:
        torch: the name of the package in it, ``"torch"`` or ``"corten"``.
    """
    fixed = {
        "inf": "from math import inf",
        "nan": "from math import nan",
        "NoneType": "NoneType = type(None)",
        "torch": "import torch" if torch == "torch" else f"import {torch} as torch",
        "device": f"from {torch} import device",
        "fx_pytree": f"import {torch}.fx._pytree as fx_pytree",
        "pytree": f"import {torch}.utils._pytree as pytree",
    }
    if name in fixed and CUSTOM_BUILTINS[name] is value:
        return fixed[name]
    if value is ...:
        return f"{name} = ..."
    if isinstance(value, str):
        return f"{name} = {value!r}"
    path = qualified_name(value)
    if "." not in path:
        return "" if path == name else f"{name} = {path}"
    module, _, attribute = path.rpartition(".")
    if module.startswith("torch."):
        # Classes have attributes as well as modules do.
        return f"{name} = {path}"
    return f"from {module} import {attribute} as {name}"


# Functions that PyTorch has compiled, under the name of the compiled module that shows in code.
_COMPILED_NN = (
    "avg_pool2d avg_pool3d elu_ gelu hardtanh_ leaky_relu_ linear one_hot scaled_dot_product_attention softplus "
    "softshrink"
)
# Functions of networks that are the package's own in PyTorch.
_COMPILED = "adaptive_avg_pool1d celu_ pdist relu_ selu_ threshold_"
# Those of `torch.functional` that the package has as well.
_FUNCTIONAL = (
    "atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist chain_matmul "
    "einsum meshgrid norm split stft tensordot unique unique_consecutive unravel_index"
)
_FAMILIES = ("linalg", "fft", "special")
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)


class _Known:
    """Functions of corten by what they are, and the names they go by."""

    def __init__(self):
        self.names = {}
        self.public = {}

    def add(self, function, name):
        """Names a function, and what it wraps, unless it has a name already."""
        public = function
        while function is not None and id(function) not in self.names:
            self.names[id(function)] = name
            self.public[id(function)] = public
            function = getattr(function, "__wrapped__", None)

    def add_all(self, space, spoken):
        for name in dir(space):
            if name.startswith("__"):
                continue
            value = getattr(space, name, None)
            if isinstance(value, _FUNCTIONS):
                self.add(value, spoken(name))


@functools.cache
def _known():
    found = _Known()
    functional = corten.nn.functional
    for name in _FUNCTIONAL.split():
        found.add(getattr(corten, name), f"torch.functional.{name}")
    for name in _COMPILED_NN.split():
        found.add(getattr(functional, name), f"torch._C._nn.{name}")
    found.add(functional.logsigmoid, "torch._C._nn.log_sigmoid")
    for name in _COMPILED.split():
        found.add(getattr(functional, name), f"torch.{name}")
    names = [name for name in (*vars(corten), *corten._LAZY) if not name.startswith("__")]
    for name in names:
        value = getattr(corten, name, None) if name in vars(corten) or corten._LAZY[name] else None
        if isinstance(value, _FUNCTIONS) and not name.startswith("_foreach_"):
            found.add(value, f"torch.{name}")
    found.add_all(functional, lambda name: f"torch.nn.functional.{name}")
    for family in _FAMILIES:
        space = getattr(corten, family)
        found.add_all(space, lambda name, family=family: f"torch._C._{family}.{family}_{name}")
    found.add_all(corten.nn.init, lambda name: f"torch.nn.init.{name}")
    return found


_REGISTERED = (OpOverload, OpOverloadPacket, AtenOverload, AtenPacket)


def public_function(function):
    """The function that programs call where ``function`` is what that wraps; else itself."""
    return _known().public.get(id(function), function)


def is_public(function):
    """Whether it is a function of corten that programs call by name."""
    return id(function) in _known().names


def is_of_torch(value):
    """Whether a function, class or value is written with ``torch.`` in front."""
    if isinstance(value, (_core.dtype, _core.layout, _core.memory_format)) or id(value) in _known().names:
        return True
    home = getattr(value, "__module__", None) or ""
    return home.partition(".")[0] in ("corten", "torch") and not home.startswith("corten.models")


def spoken_module(name):
    """What a module is called in code: corten's are PyTorch's."""
    return "torch" + name[6:] if name == "corten" or name.startswith("corten.") else name


def qualified_name(function):
    """The name by which generated code finds a function: ``torch.add``, ``_operator.add``, ``len``.

    Raises:
        RuntimeError: no module is known that has it.
    """
    known = _known().names.get(id(function))
    if known is not None:
        return known
    name = getattr(function, "__name__", None)
    if name is None:
        raise RuntimeError(f"cannot find a name for {function!r}: it has no __name__")
    if getattr(builtins, name, None) is function:
        return name
    if getattr(_core.Tensor, name, None) is function:
        return f"torch.Tensor.{name}"
    if isinstance(function, _REGISTERED):
        return f"torch.ops.{function}"
    module = getattr(function, "__module__", None)
    if not isinstance(module, str):
        raise RuntimeError(f"cannot find module for {function!r}")
    if name == "<lambda>":
        name = "_lambda_"
    # NewType, partial classes and the like name their place by __qualname__; a function of a class is found in it.
    return f"{spoken_module(module)}.{name}"


def pretty_target(target):
    """The name of a node's target in the text of a graph."""
    if isinstance(target, str):
        return target
    if getattr(target, "__module__", None) == "_operator":
        return f"operator.{target.__name__}"
    if getattr(target, "__module__", None) == "builtins":
        return f"builtins.{target.__name__}"
    return qualified_name(target)


def shown(value):
    """A value as code."""
    if isinstance(value, (list, tuple)):
        return _shown_sequence(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(key)}: {shown(part)}" for key, part in value.items()) + "}"
    if isinstance(value, slice):
        return f"slice({shown(value.start)}, {shown(value.stop)}, {shown(value.step)})"
    if isinstance(value, (_core.dtype, _core.layout, _core.memory_format)):
        return "torch." + repr(value).rpartition(".")[2]
    return repr(value)


def _shown_sequence(value):
    inner = ", ".join(shown(part) for part in value)
    if isinstance(value, list):
        return f"[{inner}]"
    return f"({inner},)" if len(value) == 1 else f"({inner})"


def last_name(function):
    """What a node that calls a function is named after."""
    known = _known().names.get(id(function))
    return known.rpartition(".")[2] if known else getattr(function, "__name__", type(function).__name__)


def snake_case(name):
    """The name with words in capitals in lower case, joined by underscores."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def is_magic(name):
    return name.startswith("__") and name.endswith("__")


class Namespace:
    """Gives out names that are identifiers and differ from each other, from keywords and from builtins."""

    def __init__(self):
        self._of_object = {}
        self._used = set()
        self._count = {}

    def create_name(self, candidate, obj=None):
        """A free name like ``candidate``: with ``_1``, ``_2`` … behind it where that is taken."""
        if obj is not None and obj in self._of_object:
            return self._of_object[obj]
        candidate = re.sub(r"\W+", "_", candidate) or "_unnamed"
        if candidate[0].isdigit():
            candidate = f"_{candidate}"
        matched = re.fullmatch(r"(.*)_(\d+)", candidate)
        base, number = (matched[1], int(matched[2])) if matched else (candidate, self._count.get(candidate, 0))
        while candidate in self._used or self._is_reserved(candidate, obj):
            number += 1
            candidate = f"{base}_{number}"
        self._used.add(candidate)
        self._count[base] = number
        if obj is not None:
            self._of_object[obj] = candidate
        return candidate

    def associate_name_with_obj(self, name, obj):
        """Makes ``name`` the one of an object."""
        self._of_object[obj] = name

    @staticmethod
    def _is_reserved(name, obj):
        if keyword.iskeyword(name):
            return True
        if name in vars(builtins):
            return vars(builtins)[name] is not obj
        return name in CUSTOM_BUILTINS and CUSTOM_BUILTINS[name] is not obj
