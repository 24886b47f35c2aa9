"""Examples of PyTorch's docstrings: how they are taken apart, and that corten prints what is documented."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("oracle", "examples")]:
        del sys.modules[name]


def test_examples_are_statements_with_what_they_print():
    parser = importlib.import_module("oracle.examples")
    found = parser.statements("""
    Text.

    Example::

        >>> x = f(1,
        ...       2)
        >>> for i in x:
        >>>     print(i)
        1
        2
        >>> x; y
        tensor([[1],

                [2]])

    More text.

        >>> this is no Python
        >>> z
        3
    """)
    assert [s.source for s in found] == ["x = f(1,\n      2)", "for i in x:\n    print(i)", "x", "y"]
    assert [s.short for s in found] == ["", "1\n2", "", "tensor([[1],"]
    assert found[3].full == "tensor([[1],\n\n        [2]])"


def test_texts_are_compared_without_spaces_comments_and_addresses():
    parser = importlib.import_module("oracle.examples")
    assert parser.normal("a [1,\n  2]  # why") == parser.normal("a[1, 2]")
    assert parser.normal("<f at 0x7f00>") == parser.normal("<f at 0x12>")
    assert parser.close("tensor([1.0001, 2.])", "tensor([1.0002, 2.])")
    assert not parser.close("tensor([1.1, 2.])", "tensor([1.2, 2.])")
    assert not parser.close("tensor([1., 2.])", "tensor([1., 2., 3.])")


def test_a_verdict_tells_documented_outputs_from_others():
    parser = importlib.import_module("oracle.examples")
    parsed = [
        parser.Statement("a", "1", "1"),
        parser.Statement("b", "5", "5"),
        parser.Statement("c"),
        parser.Statement("d"),
    ]
    theirs = [{"output": "1\n"}, {"output": "2.00001\n"}, {"output": ""}, {"output": "", "error": "E"}]
    ours = [{"output": "7\n"}, {"output": "2.00002\n"}, {"output": "x"}, {"output": "y"}]
    assert [v.kind for v in parser.compare("f", parsed, theirs, ours)] == ["reproduced-differs", "seeded"]
    assert [v.kind for v in parser.compare("f", parsed, theirs, "TimeoutError")] == [
        "reproduced-raises",
        "seeded-raises",
    ]
    assert list(parser.compare("f", parsed, "TimeoutError", ours)) == []


def test_documented_outputs_are_printed_alike():
    script = importlib.import_module("examples")
    parser = importlib.import_module("oracle.examples")
    namespaces = ("linalg.", "special.", "Tensor.", "nn.functional.")
    texts = {n: t for n, t in script.docstrings(None).items() if n.startswith(namespaces) or "." not in n}
    parsed = {name: parser.statements(text) for name, text in texts.items()}
    sources = {name: [s.source for s in statements] for name, statements in parsed.items()}
    theirs, ours = script.run("torch", sources), script.run("corten", sources)
    verdicts = [v for name, s in parsed.items() for v in parser.compare(name, s, theirs[name], ours[name])]
    assert len([v for v in verdicts if v.kind.startswith("reproduced")]) > 400
    assert {v.name: f"{v.source} -> {v.found}" for v in script.unexpected(verdicts)} == {}


def test_the_list_of_examples_that_cannot_agree_gives_reasons_and_names_what_is_documented():
    known = importlib.import_module("oracle.known_examples")
    script = importlib.import_module("examples")
    texts = script.docstrings(None)
    assert all(reason for reason in known.KNOWN.values())
    assert {name for name, _ in known.KNOWN} <= set(texts)
    assert known.reason("sort", "x.sort()") and not known.reason("sort", "sorted")
