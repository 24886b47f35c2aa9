"""Writes docs/coverage.md: which of PyTorch's public names are there, and what each operator can do.

The names are those of scripts/surface.txt. The part between the markers is written by `make parity` and kept. With
--check nothing is written and a difference is an error; where PyTorch is installed, names that it lacks are one too.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import fnmatch
import importlib
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from oracle import surface  # noqa: E402

PAGE = ROOT / "docs" / "coverage.md"
BEGIN, END = "<!-- parity: begin -->", "<!-- parity: end -->"
NOT_RUN = "Nothing has run yet: `make parity` writes this part."
HEAD = """\
# How much of PyTorch is there

Written by `make coverage` and, between its markers, by `make parity`; edit neither part by hand. The names are those of
`scripts/surface.txt`, PyTorch 2.13's public names. A name that only raises counts as missing.

## Names
"""
# Reasons for what is missing, by pattern of the name below its namespace; the first that fits.
REASONS = (
    ("torch", "AliasDb ArgumentSpec Block CallStack Capsule Code Compil* CompleteArgument* ConcreteModule* DeepCopy* "
     "ErrorReport ExecutionPlan Gradient Graph* IODescriptor Node OperatorInfo Script* StaticModule TracingState Use "
     "Value import_ir_* merge_type_* parse_* DeserializationStorageContext",
     "of TorchScript or of PyTorch's own machinery"),
    ("torch", "q* quint* bits* bit float4_* int1 int2 int3 int4 int5 int6 int7 uint1 uint2 uint3 uint4 uint5 uint6 "
     "uint7",
     "a dtype that corten has not"),
    ("torch: dtypes", "*", "a dtype that corten has not"),
    ("torch", "Sym*", "sizes are numbers, no symbols"),
    ("torch", "dsmm hsmm saddmm spmm", "tensors are dense"),
    ("torch.Tensor", "ipu mtia reinforce volatile name lstsq eig solve symeig", "removed, or another vendor's"),
    ("torch.Tensor", "index", "of PyTorch's first-class dims; `x[...]` and `corten.func.vmap`"),
)  # fmt: skip
# Namespaces whose functions are operators, as they are in the table of operators.
OPERATORS = ("torch", "torch.Tensor", "torch.nn.functional", "torch.linalg", "torch.fft", "torch.special")


def find(path: str) -> Any:
    """corten's object of a name below `torch`; None is a value too, so an absent one raises.

    Raises:
        AttributeError: where there is none, or only one that raises.
    """
    try:
        value = surface.resolve(importlib.import_module("corten"), path)
    except NotImplementedError as error:
        raise AttributeError(str(error)) from None
    if reason := only_raises(value):
        raise AttributeError(reason)
    return value


def only_raises(value: Any) -> str:
    """What a function or class says that does nothing but raise; "" for one that works."""
    body = value.__dict__.get("__init__") or value.__dict__.get("__new__") if isinstance(value, type) else value
    if not inspect.isfunction(body):
        return ""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(body))).body[0]
    except (OSError, TypeError, SyntaxError):
        return ""
    if not isinstance(tree, ast.FunctionDef):
        return ""
    statements = tree.body[ast.get_docstring(tree) is not None :]
    if len(statements) != 1 or not isinstance(statements[0], ast.Raise):
        return ""
    # What a function that makes functions has filled in stands in the docstring.
    told = (inspect.getdoc(body) or "").partition("Raises ")[2].partition(": ")[2]
    if told:
        return told.rstrip(".")
    words = [n.value for n in ast.walk(statements[0]) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return " ".join(words) or "raises"


def missing_names() -> dict[str, dict[str, str]]:
    """By namespace, the names that are missing, each with its reason."""
    found: dict[str, dict[str, str]] = {}
    for namespace, names in surface.namespaces().items():
        absent = found.setdefault(namespace, {})
        for name in names:
            path = f"{surface.module_of(namespace)}.{name}".removeprefix("torch").removeprefix(".")
            try:
                find(path)
            except AttributeError as error:
                absent[name] = reason_for(namespace, path, name, str(error))
    return found


def reason_for(namespace: str, path: str, name: str, error: str) -> str:
    """Why a name is missing: the package's own hint for it or for its module, or the table above."""
    from corten._missing import _HINTS

    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if hint := _HINTS.get(".".join(["corten", *parts[:length]])):
            return hint
    for where, patterns, reason in REASONS:
        if where == namespace and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns.split()):
            return reason
    return "not written yet" if "has no attribute" in error else error


def share(part: int, whole: int) -> str:
    """A percentage, rounded down so that 100.0 % means all."""
    return f"{int(1000 * part / whole) / 10:.1f} %"


def names_table(missing: dict[str, dict[str, str]]) -> Iterator[str]:
    """The head of the page: names, how many are present, and the share, by namespace and together."""
    names = surface.namespaces()
    total, there = sum(map(len, names.values())), sum(len(names[n]) - len(missing[n]) for n in names)
    yield "| namespace | names | present | share |"
    yield "| --- | ---: | ---: | ---: |"
    yield f"| **all** | **{total}** | **{there}** | **{share(there, total)}** |"
    for namespace, listed in names.items():
        present = len(listed) - len(missing[namespace])
        yield f"| {namespace} | {len(listed)} | {present} | {share(present, len(listed))} |"


def missing_table(missing: dict[str, dict[str, str]]) -> Iterator[str]:
    """Names that are missing, those of one namespace and one reason in a row."""
    yield "| namespace | missing | why, or what to use |"
    yield "| --- | --- | --- |"
    for namespace, absent in missing.items():
        reasons: dict[str, list[str]] = {}
        for name, reason in absent.items():
            reasons.setdefault(reason, []).append(f"`{name}`")
        for reason, listed in reasons.items():
            cell = " ".join(reason.split()).replace("|", "\\|")
            yield f"| {namespace} | {' '.join(listed)} | {cell} |"


def operators_table() -> Iterator[str]:
    """Every operator of the tests' table: the dtypes, the devices on which the suites run it, and its gradients."""
    from op_table import ROWS

    rows: dict[str, list[Any]] = {}
    for row in ROWS:
        rows.setdefault(row.call, []).append(row)
    yield "| operator | CPU | GPU | gradient | second order |"
    yield "| --- | --- | --- | --- | --- |"
    for call, found in sorted(rows.items()):
        dtypes = {dtype: None for row in found for dtype in row.dtypes}
        gpu = all(row.needs_float64 for row in found)
        grad = max(row.grad for row in found)
        zero = all(row.zero_grad for row in found)
        cells = ["zero"] * 2 if zero else ["yes" if grad >= order else "–" for order in (1, 2)]
        yield f"| `{call}` | {' '.join(map(str, dtypes))} | {'–' if gpu else 'yes'} | {' | '.join(cells)} |"


def without_row(missing: dict[str, dict[str, str]]) -> list[str]:
    """Listed functions that are present and have no row in the tests' table: suites of their own test them."""
    from op_table import ROWS

    known = set().union(*(row.names() | {row.call} for row in ROWS))
    found = set()
    for namespace in OPERATORS:
        for name in surface.namespaces()[namespace]:
            path = f"{namespace}.{name}".removeprefix("torch.")
            if name in missing[namespace] or {name, path, name.rstrip("_")} & known or name[0].isupper():
                continue
            value = find(path)
            if callable(value) and not isinstance(value, type):
                found.add(path)
    return sorted(found)


def kept_part() -> str:
    """What `make parity` wrote."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    return text.split(BEGIN)[1].split(END)[0].strip("\n") if BEGIN in text and END in text else NOT_RUN


def page(parity: str) -> str:
    """The page, with the given text between the markers."""
    missing = missing_names()
    alone = textwrap.fill(" ".join(f"`{name}`" for name in without_row(missing)), 120, break_on_hyphens=False)
    parts = [
        HEAD,
        *names_table(missing),
        "\n## PyTorch's own sample inputs\n",
        BEGIN,
        parity,
        END,
        "\n## Missing names\n",
        *missing_table(missing),
        "\n## Operators\n",
        "What the suites check, from `tests/op_table`: every dtype on the CPU, and on a GPU every dtype but float64.",
        "`zero` is a derivative that is zero wherever it exists.\n",
        *operators_table(),
        "\nPresent and tested elsewhere than in the table:\n",
        alone,
    ]
    return "\n".join(parts) + "\n"


def not_in_pytorch() -> list[str]:
    """Listed names that the installed PyTorch lacks; none where PyTorch is not installed or of another version."""
    if importlib.util.find_spec("torch") is None:
        return []
    torch = importlib.import_module("torch")
    if not torch.__version__.startswith("2.13."):
        return []
    lacking = []
    for path in sorted(surface.paths()):
        try:
            surface.resolve(torch, path)
        except AttributeError:
            lacking.append(path)
        except ImportError:
            continue  # its own dependencies are not installed
    return lacking


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where the committed page differs")
    options = parser.parse_args()
    text = page(kept_part())
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)}")
        return
    old = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    difference = list(difflib.unified_diff(old, text.splitlines(), "committed", "generated", n=0, lineterm=""))
    if lacking := not_in_pytorch():
        sys.exit(f"scripts/surface.txt lists what PyTorch has not: {' '.join(lacking)}")
    if difference:
        sys.exit("\n".join([*difference, "docs/coverage.md is not what the package says: run `make coverage`"]))


if __name__ == "__main__":
    main()
