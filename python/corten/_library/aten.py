"""`corten.ops.aten`: PyTorch's names of operators and overloads, for policies that say which operators they mean.

``corten.ops.aten.mm.default`` can be called, and stands for what PyTorch's dispatcher would see where a program
multiplies two matrices, also by ``@`` or by `nn.functional.linear`.
"""

from .. import _core

# What follows the dot where an operand is a tensor or a number; one overload takes both.
_OPERANDS = frozenset(
    name for base in ("add", "sub", "mul", "div", "remainder", "floor_divide") for name in (base, f"{base}_")
)
_COMPARED = frozenset(["eq", "ne", "lt", "le", "gt", "ge"])
# Reductions whose overload says whether dims are given.
_REDUCED = {"sum": "dim_IntList", "mean": "dim", "max": "dim", "min": "dim", "prod": "dim_int", "all": "dim"}
_REDUCED |= {"any": "dim", "argmax": "default", "argmin": "default"}
_REDUCED |= dict.fromkeys(["var", "std", "var_mean", "std_mean"], "correction")
_FIXED = {"transpose": "int", "select": "int", "slice": "Tensor", "split": "Tensor", "where": "self"}
_RENAMED = {
    "softmax": "_softmax",
    "log_softmax": "_log_softmax",
    "layer_norm": "native_layer_norm",
    "group_norm": "native_group_norm",
    "batch_norm": "native_batch_norm",
    "dropout": "native_dropout",
    "max_pool2d": "max_pool2d_with_indices",
    "multiply": "mul",
    "subtract": "sub",
    "divide": "div",
    "true_divide": "div",
    "__getitem__": "index",
    "to": "_to_copy",
}
_RENAMED |= {f"conv{kind}{n}d": "convolution" for kind in ("", "_transpose") for n in (1, 2, 3)}
# Overloads of the names above and of products, which no operator of the engine is called.
_NAMES = {*_RENAMED.values(), "mm", "bmm", "addmm", "mv", "dot", "slice"}
# What classes of tensors write their own operators for.
_NAMES |= {"alias", "detach", "_pin_memory", "_sparse_addmm", "_sparse_mm_reduce_impl"}
_ATTENTION = "_scaled_dot_product_flash_attention"
_NAMES |= {_ATTENTION, f"{_ATTENTION}_for_cpu", "_scaled_dot_product_efficient_attention"}
_SUFFIXES = frozenset(
    ["default", "Tensor", "Scalar", "Tensor_Scalar", "Tensor_Tensor", "int", "self", "out", "stable"]
).union(_REDUCED.values())


class AtenOverload:
    """An overload of one of PyTorch's operators; the same object whenever it is asked for."""

    def __init__(self, name, overload):
        self._name, self._overload = name, overload
        self.__name__ = f"{name}.{overload}"

    def name(self):
        """``aten::name``, with the overload's name behind a dot."""
        return f"aten::{self._name}" + ("" if self._overload == "default" else f".{self._overload}")

    def __str__(self):
        return f"aten.{self._name}.{self._overload}"

    def __repr__(self):
        return f"<OpOverload(op='aten.{self._name}', overload='{self._overload}')>"

    def __call__(self, *args, **kwargs):
        return _function(self._name)(*args, **kwargs)


def _function(name):
    import corten

    for home in (_core.ops, corten, corten.nn.functional, corten.Tensor):
        if hasattr(home, name):
            return getattr(home, name)
    raise NotImplementedError(f"aten.{name} is a name for policies; corten has no function of this name to call")


class AtenPacket:
    """The overloads of one of PyTorch's operators; calling it calls the operator."""

    def __init__(self, name):
        self._name, self.__name__ = name, name

    def __getattr__(self, overload):
        if overload not in _SUFFIXES:
            raise AttributeError(f"The underlying op of '{self}' has no overload name '{overload}'", name=overload)
        found = AtenOverload(self._name, overload)
        setattr(self, overload, found)
        return found

    def __call__(self, *args, **kwargs):
        return _function(self._name)(*args, **kwargs)

    def __str__(self):
        return f"aten.{self._name}"

    def __repr__(self):
        return f"<OpOverloadPacket(op='aten.{self._name}')>"


_packets: dict[str, AtenPacket] = {}
_known: set[str] = set()


def packet(name):
    """The operator of a name; None where neither corten nor the table above has one."""
    if not _known:
        _known.update(_NAMES, (row[0] for row in _core.op_signatures()))
    if name not in _known:
        return None
    return _packets.setdefault(name, AtenPacket(name))


def _product(name, args):
    """What a product of tensors of these dims is, with PyTorch's folding of leading dims into rows."""
    if name == "linear":
        bias = args[2] if len(args) > 2 else None
        return "addmm" if bias is not None else "mm" if args[0].dim() > 1 else "mv"
    a, b = args[0].dim(), args[1].dim()
    if (a, b) == (1, 1):
        return "dot"
    if min(a, b) == 1:
        return "mv" if b == 1 else "mm"
    return "mm" if b == 2 else "bmm"


def overload_of(func, args, kwargs):
    """The overload that PyTorch's dispatcher would see for a call of an operator of corten."""
    name = getattr(func, "__name__", "")
    if name in ("matmul", "__matmul__", "linear"):
        return packet(_product(name, [*args, *kwargs.values()])).default
    if name == "scaled_dot_product_attention":
        on_cpu = args[0].device.type == "cpu" if args else True
        return packet(_ATTENTION + ("_for_cpu" if on_cpu else "")).default
    if name == "slice" or (name == "__getitem__" and len(args) > 1 and not isinstance(args[1], (list, _core.Tensor))):
        name = "select" if len(args) > 1 and isinstance(args[1], int) else "slice"
    name = _RENAMED.get(name, name)
    if name.startswith("__") and packet(name.strip("_")) is not None:
        name = name.strip("_")
    # What has no name of PyTorch's is still one object.
    found = packet(name) or _packets.setdefault(name, AtenPacket(name))
    return getattr(found, _suffix(name, args, kwargs))


def _suffix(name, args, kwargs):
    other = args[1] if len(args) > 1 else kwargs.get("other")
    if name in _OPERANDS or name == "index":
        return "Tensor"
    if name in _COMPARED:
        return "Tensor" if isinstance(other, _core.Tensor) else "Scalar"
    if name == "pow":
        return "Tensor_Tensor" if isinstance(other, _core.Tensor) else "Tensor_Scalar"
    if name in _REDUCED:
        return _REDUCED[name] if len(args) > 1 or "dim" in kwargs else "default"
    return _FIXED.get(name, "default")
