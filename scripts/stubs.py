"""Writes _core.pyi and _ops.pyi of the package, the types of the compiled module, from what it says of itself.

Operators come from the operator table (scripts/stub_operators.py). The parameters of everything else come from each
callable's `__text_signature__`, and its types from its docstring where the first line is a signature with an arrow,
`size(dim) -> int`, and from the tables below; the rest is `Any`. With --check nothing is written and a difference is
an error.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import re
import sys
import types
from pathlib import Path

import stub_operators

PACKAGE = Path(__file__).resolve().parent.parent / "python" / "corten"
# Overloads that overlap are tried in the table's order, and PyTorch's comparisons return tensors.
HEADER = '''"""Types of the compiled module. Written by scripts/stubs.py; `make stubs` writes it anew."""
# mypy: disable-error-code="overload-overlap, overload-cannot-match, override, misc"

import builtins
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, overload

'''
OPS_HEADER = '''"""Types of the operators. Written by scripts/stubs.py; `make stubs` writes it anew."""

from ._core import Tensor, ops

'''
ANY_ARGUMENTS = "*args: Any, **kwargs: Any"
INDENT = "    "

# What every object has; a stub repeats a special method only where the class defines it and this list lacks it.
INHERITED = {
    "__class__", "__delattr__", "__dir__", "__doc__", "__format__", "__getattribute__", "__getstate__",
    "__init_subclass__", "__module__", "__new__", "__reduce_ex__", "__setattr__", "__subclasshook__",
}  # fmt: skip
# Special methods whose types the language fixes.
RETURNS = {
    "__bool__": "bool", "__complex__": "complex", "__contains__": "bool", "__float__": "float", "__hash__": "int",
    "__index__": "int", "__int__": "int", "__len__": "int", "__repr__": "str", "__sizeof__": "int", "__str__": "str",
    "__delete__": "None", "__delitem__": "None", "__init__": "None", "__set__": "None", "__setitem__": "None",
    "__setstate__": "None",
}  # fmt: skip
# Members of Tensor that are no operators.
TENSOR_RETURNS = {
    "data_ptr": "int", "detach": "Tensor", "detach_": "Tensor", "dim": "int", "element_size": "int",
    "is_complex": "bool", "is_contiguous": "bool", "is_floating_point": "bool", "is_signed": "bool",
    "ndimension": "int", "nelement": "int", "numel": "int", "requires_grad_": "Tensor", "retain_grad": "None",
    "storage_offset": "int", "H": "Tensor", "T": "Tensor", "data": "Tensor", "device": "device", "dtype": "dtype",
    "is_leaf": "bool", "itemsize": "int", "layout": "layout", "mH": "Tensor", "mT": "Tensor", "nbytes": "int",
    "ndim": "int", "requires_grad": "bool", "retains_grad": "bool", "__getitem__": "Tensor",
}  # fmt: skip
ARITHMETIC = re.compile(
    r"__[ri]?(add|sub|mul|matmul|truediv|floordiv|mod|pow|lshift|rshift|and|or|xor)__|__(neg|pos|abs|invert|lt|le|gt|ge)__"
)
# Comparisons must accept what object's accept, whatever the module calls the parameter.
COMPARISONS = {"__eq__", "__ne__"}
# Types of the module that a member of Tensor hides; the header has aliases for them.
HIDDEN = {"dtype", "device", "layout"}
BUILTIN = {"bool", "bytes", "complex", "dict", "float", "int", "list", "object", "str", "tuple"}


class Names:
    """The types that a stub may name, and those of them that a class hides by members such as `Tensor.float`."""

    def __init__(self, module: set[str], values: set[str], hidden: set[str] = frozenset()) -> None:
        self.module, self.module_values, self.hidden = module, values, hidden

    def within(self, cls: type) -> Names:
        return Names(self.module, self.module_values, set(vars(cls)) & (BUILTIN | HIDDEN))

    def spell(self, text: str) -> str:
        """The annotation as the stub writes it, `Any` where it names something unknown."""
        try:
            names = {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)}
        except SyntaxError:
            return "Any"
        if not names <= self.module | BUILTIN | {"Any"}:
            return "Any"
        return re.sub(r"\b[a-z]+\b", lambda word: self.visible(word[0]), text)

    def visible(self, word: str) -> str:
        if word in BUILTIN and word in self.hidden | self.module_values:
            return f"builtins.{word}"
        return f"_{word}" if word in self.hidden else word


def return_type(owner: object, name: str, known: Names) -> str:
    """The type after the arrow in the first line of the docstring, if there is one."""
    if name in RETURNS:
        return known.spell(RETURNS[name])
    if getattr(getattr(owner, "__objclass__", None), "__name__", "") == "Tensor":
        if ARITHMETIC.fullmatch(name):
            return "Tensor"
        if name in TENSOR_RETURNS:
            return known.spell(TENSOR_RETURNS[name])
    first = (getattr(owner, "__doc__", None) or "").split("\n", 1)[0]
    arrow = re.search(r"->\s*(.+?)\.?\s*$", first)
    return known.spell(arrow[1]) if arrow else "Any"


def parameters(function: object, first: str | None) -> str:
    """The parameter list with types; `first` is self or cls for a method, and kept apart from the others."""
    try:
        found = list(inspect.signature(function).parameters.values())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ", ".join(filter(None, (first, ANY_ARGUMENTS)))
    if first and found and found[0].name in ("self", "cls", "$self", "slf"):
        found = found[1:]
    parts = [first] if first else []
    star_seen = False
    for index, parameter in enumerate(found):
        text = f"{parameter.name}: Any"
        if parameter.kind is parameter.VAR_POSITIONAL:
            text, star_seen = f"*{text}", True
        elif parameter.kind is parameter.VAR_KEYWORD:
            text = f"**{text}"
        elif parameter.kind is parameter.KEYWORD_ONLY and not star_seen:
            parts.append("*")
            star_seen = True
        if parameter.default is not parameter.empty:
            text += f" = {literal(parameter.default)}"
        parts.append(text)
        ends_positional = index + 1 == len(found) or found[index + 1].kind is not parameter.POSITIONAL_ONLY
        if parameter.kind is parameter.POSITIONAL_ONLY and ends_positional:
            parts.append("/")
    return ", ".join(parts)


def literal(value: object) -> str:
    plain = value is None or isinstance(value, bool | int | float | str)
    return repr(value) if plain and value == value and value not in (float("inf"), -float("inf")) else "..."


def function_stub(name: str, function: object, known: Names, indent: str = "", first: str | None = None) -> str:
    if name in COMPARISONS:
        return f"{indent}def {name}(self, other: object, /) -> Any: ..."
    return f"{indent}def {name}({parameters(function, first)}) -> {return_type(function, name, known)}: ..."


Table = dict[tuple[str, str], list[str]]


def operator_table(module: types.ModuleType) -> Table:
    """The signatures of every operator by its name and style (function, method, inplace)."""
    table: Table = {}
    for name, style, signatures in module.op_signatures():
        table.setdefault((name, style), []).extend(signatures)
    return table


def operator_stub(name: str, member: object, table: Table, styles: tuple[str, ...], indent: str) -> list[str] | None:
    """The overloads where the member comes from the table, not from Python or from the class itself."""
    style = next((style for style in styles if (name, style) in table), None)
    if style is None or isinstance(member, types.FunctionType):
        return None
    takes_out = "Tensor? out=None" in (getattr(member, "__doc__", None) or "")
    return stub_operators.overloads(name, style, table[name, style], takes_out, indent)


def operators_stub(module: types.ModuleType, table: Table) -> str:
    lines = ["class ops:", f'{INDENT}"""The operators as functions."""', ""]
    for name in sorted(name for name in dir(module.ops) if not name.startswith("__")):
        stub = operator_stub(name, getattr(module.ops, name), table, ("function",), INDENT)
        lines += stub or [f"{INDENT}@staticmethod", f"{INDENT}def {name}({ANY_ARGUMENTS}) -> Any: ..."]
    return "\n".join(lines) + "\n"


def class_stub(cls: type, known: Names, table: Table) -> list[str]:
    known = known.within(cls)
    base = cls.__base__
    named_base = "" if base is object or base is None else f"({base.__name__})"
    lines = [f"class {cls.__name__}{named_base}:"]
    if not issubclass(cls, BaseException):
        lines.append(f"{INDENT}def __new__({parameters(cls, 'cls')}) -> Any: ...")
    for name, member in sorted(vars(cls).items()):
        if name in INHERITED or (name == "__hash__" and member is None):
            continue
        operator = (
            operator_stub(name, member, table, ("method", "inplace"), INDENT) if cls.__name__ == "Tensor" else None
        )
        if operator:
            lines += operator
        elif isinstance(member, staticmethod):
            lines.append(f"{INDENT}@staticmethod")
            lines.append(function_stub(name, member.__func__, known, INDENT))
        elif isinstance(member, classmethod | types.ClassMethodDescriptorType):
            lines.append(f"{INDENT}@classmethod")
            lines.append(function_stub(name, getattr(cls, name), known, INDENT, "cls"))
        elif isinstance(member, types.GetSetDescriptorType | types.MemberDescriptorType | property):
            lines += property_stub(name, member, known)
        elif callable(member):
            lines.append(function_stub(name, member, known, INDENT, "self"))
        elif not name.startswith("__"):
            lines.append(f"{INDENT}{name}: {value_type(member, known)}")
    if len(lines) == 1:
        lines[0] += " ..."
    return lines


def property_stub(name: str, member: object, known: Names) -> list[str]:
    """A getter and a setter: whether a compiled attribute can be set is not visible from outside."""
    kind = return_type(member, name, known)
    return [
        f"{INDENT}@property",
        f"{INDENT}def {name}(self) -> {kind}: ...",
        f"{INDENT}@{name}.setter",
        f"{INDENT}def {name}(self, value: Any) -> None: ...",
    ]


def value_type(value: object, known: Names) -> str:
    return known.spell(type(value).__name__)


def module_stub(module: types.ModuleType) -> str:
    members = {name: value for name, value in sorted(vars(module).items()) if not name.startswith("__")}
    classes = {name for name, value in members.items() if isinstance(value, type)}
    known = Names(classes, set(members) - classes)
    table = operator_table(module)
    blocks: list[str] = [stub_operators.ALIASES]
    for name, value in members.items():
        if isinstance(value, type):
            if value.__name__ == name:
                blocks.append("\n".join(class_stub(value, known, table)) + "\n")
            else:
                blocks.append(f"{name} = {value.__name__}")
    blocks.append(operators_stub(module, table))
    for name, value in members.items():
        if isinstance(value, types.ModuleType | type):
            continue
        blocks.append(function_stub(name, value, known) if callable(value) else f"{name}: {value_type(value, known)}")
    return HEADER + "\n".join(blocks) + "\n"


def operator_names_stub(module: types.ModuleType) -> str:
    """`corten._ops`: every operator as a function, and the in-place forms that it adds."""
    from corten import _ops

    native = sorted(name for name in dir(module.ops) if not name.startswith("__"))
    in_place = sorted(name for name, value in vars(_ops).items() if name not in native and name.endswith("_"))
    in_place = [name for name in in_place if not name.startswith("_")]
    lines = [f"{name} = ops.{name}" for name in native]
    lines += [f"def {name}(input: Tensor, *args: object, **kwargs: object) -> Tensor: ..." for name in in_place]
    return OPS_HEADER + "\n".join(lines) + "\n"


def differs(target: Path, stub: str) -> bool:
    committed = target.read_text(encoding="utf-8") if target.exists() else ""
    difference = difflib.unified_diff(
        committed.splitlines(), stub.splitlines(), "committed", "generated", n=0, lineterm=""
    )
    print("\n".join(difference))
    return committed != stub


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where the committed files differ")
    args = parser.parse_args()
    from corten import _core

    different = False
    stubs = {PACKAGE / "_core.pyi": module_stub(_core), PACKAGE / "_ops.pyi": operator_names_stub(_core)}
    for target, stub in stubs.items():
        ast.parse(stub)
        if args.check:
            different |= differs(target, stub)
        else:
            target.write_text(stub, encoding="utf-8")
            print("wrote", target)
    if different:
        sys.exit("the stubs are not what the built module says: run `make stubs`")


if __name__ == "__main__":
    main()
