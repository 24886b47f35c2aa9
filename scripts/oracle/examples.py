"""Examples in PyTorch's docstrings: taken apart into statements, and run with everything they print caught."""

from __future__ import annotations

import ast
import contextlib
import io
import math
import os
import re
import signal
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

# Seconds that a docstring's statements may take together.
LIMIT = 20
_PROMPT = re.compile(r"^(\s*)(>>>|\.\.\.)( |$)")


@dataclass
class Statement:
    """A statement with the text that is documented to follow, up to the first empty line and in full; "" for none."""

    source: str
    short: str = ""
    full: str = ""


def statements(docstring: str) -> list[Statement]:
    """The statements of a docstring's examples; blocks that are no Python are left out."""
    found: list[Statement] = []
    code: list[str] = []
    text: list[str] = []
    indent = 0

    def finish() -> None:
        block, output = "\n".join(code), textwrap.dedent("\n".join(text)).strip()
        code.clear()
        text.clear()
        try:
            parts = [ast.get_source_segment(block, node) or "" for node in ast.parse(block).body]
        except SyntaxError:
            return
        found.extend(Statement(part) for part in parts)
        if parts and output:
            found[-1].short, found[-1].full = output.split("\n\n")[0], output

    inside = False
    for line in docstring.splitlines():
        match = _PROMPT.match(line)
        if match and (match[2] == ">>>" or (inside and not text)):
            if text:
                finish()
            indent, inside = len(match[1]), True
            code.append(line[match.end() :])
        elif inside and (not line.strip() or len(line) - len(line.lstrip()) >= indent):
            text.append(line)
        elif inside:
            finish()
            inside = False
    if code:
        finish()
    return found


def normal(text: str) -> str:
    """A text by which outputs are compared: spaces and line breaks do not count, comments neither."""
    lines = (re.sub(r"\s#.*$", "", line) for line in text.splitlines())
    return re.sub(r"\s+", "", re.sub(r"\bat 0x[0-9a-f]+", "", "".join(lines)))


_NUMBER = re.compile(r"-?\d+\.\d*(?:e[-+]?\d+)?")


def close(text: str, other: str) -> bool:
    """Whether two texts differ in the last digits of numbers at most."""
    if _NUMBER.sub("", normal(text)) != _NUMBER.sub("", normal(other)):
        return False
    pairs = zip(_NUMBER.findall(text), _NUMBER.findall(other), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=1e-3, abs_tol=2e-4) for a, b in pairs)


@contextlib.contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def expire(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no end in {seconds} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(torch: Any, sources: list[str]) -> list[dict[str, str]]:
    """What each statement prints, or the error that it raises; the random state is that of seed 0."""
    import numpy

    scope: dict[str, Any] = {
        "torch": torch, "nn": torch.nn, "F": torch.nn.functional, "Tensor": torch.Tensor, "math": math, "np": numpy,
        "__name__": "examples",
    }  # fmt: skip
    torch.manual_seed(0)
    results: list[dict[str, str]] = []
    with _time_limit(LIMIT), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source in sources:
            results.append(_run_one(source, scope))
    return results


def _run_one(source: str, scope: dict[str, Any]) -> dict[str, str]:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(source, "<example>", "single"), scope)
    except TimeoutError:
        raise
    except BaseException as error:  # an example may raise on purpose, and may call exit()
        return {"output": printed.getvalue(), "error": f"{type(error).__name__}: {str(error)[:300]}"}
    return {"output": printed.getvalue()}


def run_all(torch: Any, docstrings: dict[str, list[str]]) -> dict[str, Any]:
    """The results of every docstring's statements by name, in a folder of their own; an error where time ran out."""
    found: dict[str, Any] = {}
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name, sources in docstrings.items():
                try:
                    found[name] = run(torch, sources)
                except Exception as error:
                    found[name] = f"{type(error).__name__}: {error}"
                _reset(torch)
        finally:
            os.chdir(home)
    return found


def _reset(torch: Any) -> None:
    """Takes back what an example may have set for the whole process."""
    torch.set_default_device("cpu")
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.set_printoptions(profile="default")
    torch.set_flush_denormal(False)
    torch.use_deterministic_algorithms(False)


@dataclass
class Verdict:
    """A documented output: whether PyTorch reproduces it, and what corten printed instead of PyTorch's output."""

    name: str
    source: str
    kind: str
    expected: str
    found: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def compare(name: str, parsed: list[Statement], theirs: Any, ours: Any) -> Iterator[Verdict]:
    """A verdict for each statement that prints something under PyTorch.

    ``reproduced`` outputs are those that PyTorch prints as documented, ``seeded`` ones any other, which both packages
    print from one seed; `-differs` and `-raises` are added where corten does something else.
    """
    if isinstance(theirs, str):
        return
    for place, (statement, them) in enumerate(zip(parsed, theirs, strict=True)):
        if "error" in them or not them["output"].strip():
            continue
        wanted = normal(them["output"])
        documented = statement.short and wanted in (normal(statement.short), normal(statement.full))
        kind = "reproduced" if documented else "seeded"
        us = {"output": "", "error": ours} if isinstance(ours, str) else ours[place]
        if "error" in us:
            yield Verdict(name, statement.source, f"{kind}-raises", them["output"], us["error"])
        elif normal(us["output"]) != wanted and (documented or not close(them["output"], us["output"])):
            yield Verdict(name, statement.source, f"{kind}-differs", them["output"], us["output"])
        else:
            yield Verdict(name, statement.source, kind, them["output"], us["output"])


def main_of(side: str) -> None:
    """Reads statements by name from the standard input as JSON, runs them on a package, and writes the results."""
    import json

    if side == "corten":
        import corten

        corten.install_as_torch()
    import torch

    # What examples print must not mix with the results.
    output, sys.stdout = sys.stdout, io.StringIO()
    json.dump(run_all(torch, json.load(sys.stdin)), output)
