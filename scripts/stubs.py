"""Writes python/corten/_core.pyi, the types of the compiled module, from what the built module says of itself.

Parameters come from each callable's `__text_signature__`. Types come from its docstring where the first line is a
signature with an arrow, `add(input, other) -> Tensor`; everything else is `Any`. With --check nothing is written and
a difference is an error.
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

TARGET = Path(__file__).resolve().parent.parent / "python" / "corten" / "_core.pyi"
HEADER = '''"""Types of the compiled module. Written by scripts/stubs.py; `make stubs` writes it anew."""

import builtins
from typing import Any

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
# Comparisons must accept what object's accept, whatever the module calls the parameter.
COMPARISONS = {"__eq__", "__ne__"}
BUILTIN = {"bool", "bytes", "complex", "dict", "float", "int", "list", "object", "str", "tuple"}


class Names:
    """The types that a stub may name, and those of them that a class hides by members such as `Tensor.float`."""

    def __init__(self, module: set[str], hidden: set[str] = frozenset()) -> None:
        self.module, self.hidden = module, hidden

    def within(self, cls: type) -> Names:
        return Names(self.module, set(vars(cls)) & BUILTIN)

    def spell(self, text: str) -> str:
        """The annotation as the stub writes it, `Any` where it names something unknown."""
        try:
            names = {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)}
        except SyntaxError:
            return "Any"
        if not names <= self.module | BUILTIN | {"Any"}:
            return "Any"
        return re.sub(r"\b[a-z]+\b", lambda word: f"builtins.{word[0]}" if word[0] in self.hidden else word[0], text)


def return_type(owner: object, name: str, known: Names) -> str:
    """The type after the arrow in the first line of the docstring, if there is one."""
    if name in RETURNS:
        return known.spell(RETURNS[name])
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
        return f"{indent}def {name}(self, other: object, /) -> Any: ...  # type: ignore[override]"
    return f"{indent}def {name}({parameters(function, first)}) -> {return_type(function, name, known)}: ..."


def class_stub(cls: type, known: Names) -> list[str]:
    known = known.within(cls)
    base = cls.__base__
    named_base = "" if base is object or base is None else f"({base.__name__})"
    lines = [f"class {cls.__name__}{named_base}:"]
    if not issubclass(cls, BaseException):
        lines.append(f"{INDENT}def __new__({parameters(cls, 'cls')}) -> Any: ...")
    for name, member in sorted(vars(cls).items()):
        if name in INHERITED or (name == "__hash__" and member is None):
            continue
        if isinstance(member, staticmethod):
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
    known = Names({name for name, value in members.items() if isinstance(value, type)})
    blocks: list[str] = []
    for name, value in members.items():
        if isinstance(value, type):
            if value.__name__ == name:
                blocks.append("\n".join(class_stub(value, known)) + "\n")
            else:
                blocks.append(f"{name} = {value.__name__}")
    for name, value in members.items():
        if isinstance(value, types.ModuleType | type):
            continue
        blocks.append(function_stub(name, value, known) if callable(value) else f"{name}: {value_type(value, known)}")
    return HEADER + "\n".join(blocks) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where the committed file differs")
    args = parser.parse_args()
    from corten import _core

    stub = module_stub(_core)
    ast.parse(stub)
    if not args.check:
        TARGET.write_text(stub, encoding="utf-8")
        print("wrote", TARGET)
        return
    committed = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if committed != stub:
        names = ("committed", "generated")
        difference = difflib.unified_diff(committed.splitlines(), stub.splitlines(), *names, lineterm="")
        print("\n".join(difference))
        sys.exit(f"{TARGET.name} is not what the built module says: run `make stubs`")


if __name__ == "__main__":
    main()
