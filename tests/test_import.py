"""What `import corten` loads, and that what it leaves for later cannot be told from what is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = [
    "distributions", "explain", "func", "interop", "linalg", "metrics", "models", "nn", "optim", "profiler", "random",
    "serialization", "storage", "testing", "utils", "vision",
]  # fmt: skip
# Each costs more than the engine itself does; the first use of a part that needs it loads it.
HEAVY = ["numpy", "typing", "re", "enum", "dataclasses", "inspect", "multiprocessing", "tempfile", "zipfile", "pickle"]


def in_fresh_interpreter(program: str) -> str:
    """What the program prints; -I keeps the environment variables out of it."""
    command = [sys.executable, "-I", "-c", "import sys; sys.path[:0] = eval(sys.argv[1])\n" + program, repr(sys.path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_import_loads_neither_numpy_nor_what_few_programs_need():
    watched = HEAVY + [f"corten.{name}" for name in LATER]
    loaded = in_fresh_interpreter(
        f"before = set(sys.modules); import corten\nprint(*sorted((set(sys.modules) - before) & set({watched!r})))"
    )
    assert loaded == ""


def test_arithmetic_needs_no_numpy():
    program = "import corten; print((corten.ones(3) * 2).sum().item(), 'numpy' in sys.modules)"
    assert in_fresh_interpreter(program) == "6.0 False"


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize(
    "form",
    ["import corten; found = corten.{0}", "import corten.{0}; found = corten.{0}", "from corten import {0} as found"],
)
def test_every_form_of_import_gives_the_module(form, name):
    program = (
        form.format(name) + f"; print(found is sys.modules['corten.{name}'], found is sys.modules['corten'].{name})"
    )
    assert in_fresh_interpreter(program) == "True True"


def test_names_that_are_loaded_later_are_listed():
    names = in_fresh_interpreter("import corten; print(*dir(corten))").split()
    assert set(LATER) | {"load", "save", "Tensor", "add"} <= set(names)
    assert not {"TYPE_CHECKING", "math", "sys"} & set(names)


def test_star_import_gives_what_is_loaded_later():
    program = "from corten import *; print(nn.__name__, load is serialization.load, add(tensor(1), 2))"
    assert in_fresh_interpreter(program) == "corten.nn True tensor(3)"


def test_a_missing_name_is_an_attribute_error():
    program = "import corten; print(hasattr(corten, 'no_such_name'), hasattr(corten.nn, 'no_such_name'))"
    assert in_fresh_interpreter(program) == "False False"


def test_modules_unpickle_where_only_pickle_was_imported():
    program = """
import pickle, subprocess, corten
model = corten.nn.Sequential(corten.nn.Linear(2, 3), corten.nn.ReLU())
read = "import pickle, sys; sys.path[:0] = eval(sys.argv[1]); print(pickle.load(sys.stdin.buffer)[0].weight.shape)"
command = [sys.executable, "-I", "-c", read, sys.argv[1]]
print(subprocess.run(command, input=pickle.dumps(model), check=True, capture_output=True).stdout.decode())
"""
    assert in_fresh_interpreter(program) == "corten.Size([3, 2])"
