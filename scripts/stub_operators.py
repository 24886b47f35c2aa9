"""The operator table's part of `make stubs`: signatures in PyTorch's schema notation become overloads with types.

`sum(Tensor self, int[]? dim=None, bool keepdim=False)` is read from the built module, so a row of the table is the only
place where an operator's arguments are written.
"""

from __future__ import annotations

import ast
import keyword
import re

# Names that neither the module (it has a dtype `bool`) nor the class Tensor (it has methods `float`, `int`) hides.
ALIASES = """\
_bool: TypeAlias = builtins.bool
_int: TypeAlias = builtins.int
_float: TypeAlias = builtins.float
_str: TypeAlias = builtins.str
_Number: TypeAlias = builtins.int | builtins.float | builtins.bool
_Ints: TypeAlias = Sequence[builtins.int]
_Tensor: TypeAlias = "Tensor"
_dtype: TypeAlias = "dtype"
_device: TypeAlias = "device | builtins.str | builtins.int"
_layout: TypeAlias = "layout"
_format: TypeAlias = "memory_format"
_Generator: TypeAlias = "Generator"

class _ValuesIndices(NamedTuple):
    values: _Tensor
    indices: _Tensor

class _MinMax(NamedTuple):
    min: _Tensor
    max: _Tensor
"""
TYPES = {
    "Tensor": "_Tensor",
    "Operand": "_Tensor | _Number",
    "Scalar": "_Number",
    "int": "_int",
    "float": "_float",
    "bool": "_bool",
    "str": "_str",
    "int[]": "_int | _Ints",
    "int[+]": "_Ints",
    "float[]": "Sequence[_float]",
    "Tensor[]": "Sequence[_Tensor]",
    "dtype": "_dtype",
    "device": "_device",
    "layout": "_layout",
    "format": "_format",
    "Generator": "_Generator",
}
# What is not one tensor; the table does not say.
NAMED = dict.fromkeys(
    ["max", "min", "sort", "topk", "kthvalue", "median", "nanmedian", "mode", "cummax", "cummin"], "_ValuesIndices"
)
NAMED["aminmax"] = "_MinMax"
SEVERAL = re.compile(
    r"split|split_with_sizes|chunk|tensor_split|unbind|broadcast_tensors|meshgrid|native_dropout|unique\w*|_unique\w*"
    r"|(rnn_tanh|rnn_relu|lstm|gru)(_cell)?|_recurrent|\w*_with_indices|adaptive_max_pool\dd|_linalg_(qr|svd)"
)
CELLS_OF_ONE = {"rnn_tanh_cell", "rnn_relu_cell", "gru_cell"}


class Parameter:
    """One parameter of a schema: `int[]? dim=None` has a name, a type and a default."""

    def __init__(self, text: str, keyword_only: bool) -> None:
        self.type, _, rest = text.partition(" ")
        self.name, _, default = rest.partition("=")
        if keyword.iskeyword(self.name):
            self.name = f"__{self.name}"  # by convention positional-only: `random_(from, to)` takes no `from=`
        self.keyword_only = keyword_only
        optional = self.type.endswith("?")
        self.default = default or None
        plain = TYPES.get(self.type.removesuffix("?"), "Any")
        self.annotation = f"{plain} | None" if optional and plain != "Any" else plain

    def spell(self) -> str:
        text = f"{self.name}: {self.annotation}"
        return text if self.default is None else f"{text} = {plain_default(self.default)}"


def plain_default(text: str) -> str:
    try:
        return repr(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return "..."


def parse(signature: str) -> tuple[str, list[Parameter]]:
    name, _, inner = signature.partition("(")
    parameters, keyword_only = [], False
    for piece in filter(None, inner.rstrip(")").split(", ")):
        if piece == "*":
            keyword_only = True
        else:
            parameters.append(Parameter(piece, keyword_only))
    required = False
    for parameter in reversed(parameters):
        if not parameter.keyword_only:
            required = required or parameter.default is None
            parameter.default = None if required else parameter.default
    return name, parameters


def result(name: str, parameters: list[Parameter]) -> str:
    names = [parameter.name for parameter in parameters]
    if name in NAMED:
        reduces_all = len(names) == 1 and name not in ("sort", "mode", "aminmax")
        return "_Tensor" if reduces_all or "other" in names else NAMED[name]
    if name == "where" and len(names) == 1:
        return "tuple[_Tensor, ...]"
    if name == "nonzero":
        return "Any"
    several = SEVERAL.fullmatch(name) and name not in CELLS_OF_ONE
    return "tuple[_Tensor, ...]" if several else "_Tensor"


def spread(parameters: list[Parameter]) -> list[Parameter] | None:
    """`x.view(2, 3)`: the last positional int[] also takes separate ints, int[+] in methods alone."""
    positional = [parameter for parameter in parameters if not parameter.keyword_only]
    if not positional or positional[-1].type.removesuffix("?") not in ("int[]", "int[+]"):
        return None
    if any(parameter.default is not None for parameter in positional[:-1]):
        return None
    return positional


def argument_list(parameters: list[Parameter], style: str, separate: bool, out: bool) -> str:
    parts, starred = [], False
    positional = spread(parameters) if separate else None
    for index, parameter in enumerate(parameters):
        if index == 0 and style != "function":
            parts.append("self")
        elif positional and parameter is positional[-1]:
            parts.append(f"*{parameter.name}: _int")
            starred = True
        else:
            if parameter.keyword_only and not starred:
                parts.append("*")
                starred = True
            # The tensor that a method belongs to is called `input` where it is an argument.
            text = parameter.spell()
            parts.append(text.replace("self: ", "input: ", 1) if parameter.name == "self" else text)
    if out:
        parts += ["out: Any = None"] if starred else ["*", "out: Any = None"]
    return ", ".join(parts)


def overloads(name: str, style: str, signatures: list[str], out: bool, indent: str) -> list[str]:
    """The lines of a stub for one operator, a definition per overload."""
    forms: dict[str, str] = {}
    for signature in signatures:
        table_name, parameters = parse(signature)
        returns = "_Tensor" if style == "inplace" else result(table_name, parameters)
        for separate in (False, True):
            if separate and spread(parameters) is None:
                continue
            if separate and style == "function" and parameters[-1].type == "int[+]":
                continue
            forms.setdefault(argument_list(parameters, style, separate, out), returns)
    lines = []
    for arguments, returns in forms.items():
        if len(forms) > 1:
            lines.append(f"{indent}@overload")
        if style == "function":
            lines.append(f"{indent}@staticmethod")
        lines.append(f"{indent}def {name}({arguments}) -> {returns}: ...")
    return lines
