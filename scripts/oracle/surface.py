"""The list of public names, scripts/surface.txt, and where each one lives."""

from __future__ import annotations

import functools
import importlib
import types
from pathlib import Path
from typing import Any

LIST = Path(__file__).resolve().parent.parent / "surface.txt"

# Names of op_db that are spelled otherwise in the list: reflected operators and methods in place.
SPELLINGS = {
    "__getitem__": "index", "__radd__": "add", "__rand__": "bitwise_and", "__rdiv__": "div", "__rmatmul__": "matmul",
    "__rmod__": "remainder", "__rmul__": "mul", "__ror__": "bitwise_or", "__rpow__": "pow", "__rsub__": "rsub",
    "__rxor__": "bitwise_xor", "cauchy": "cauchy_", "exponential": "exponential_", "geometric": "geometric_",
    "log_normal": "log_normal_", "uniform": "uniform_",
}  # fmt: skip


@functools.cache
def namespaces() -> dict[str, tuple[str, ...]]:
    """The listed names by namespace, in the list's order."""
    found: dict[str, list[str]] = {}
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            names = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            names.extend(line.split())
    return {namespace: tuple(names) for namespace, names in found.items()}


def module_of(namespace: str) -> str:
    """`torch` for `torch: dtypes`: what follows a colon says which of a module's names are meant."""
    return namespace.split(":")[0]


@functools.cache
def paths() -> frozenset[str]:
    """Every listed name with its namespace, without the leading `torch.`."""
    return frozenset(
        f"{module_of(namespace)}.{name}".removeprefix("torch.")
        for namespace, names in namespaces().items()
        for name in names
    )


def is_listed(name: str) -> bool:
    """Whether an operator of op_db (`add`, `nn.functional.relu`, a method `expand`) has a listed public function."""
    name = SPELLINGS.get(name, name)
    return name in paths() or f"Tensor.{name}" in paths()


def resolve(package: Any, path: str) -> Any:
    """What a dotted path leads to; imports modules on the way.

    Raises:
        AttributeError: where there is no such name.
    """
    found = package
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as absent:
            if not isinstance(found, types.ModuleType):
                raise
            name = f"{found.__name__}.{part}"
            try:
                found = importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name != name:
                    raise  # it is there, and needs what is not installed
                raise absent from None
    return found
