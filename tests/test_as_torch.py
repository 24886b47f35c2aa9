"""`import torch` means corten: `corten.install_as_torch`, `python -m corten run` and `python -m corten info`."""

from __future__ import annotations

import operator
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import corten
import pytest
from corten.torch_version import TorchVersion

PACKAGES = str(Path(corten.__file__).resolve().parent.parent)


def python(*arguments: str, folder: Path | None = None, **options: object) -> subprocess.CompletedProcess[str]:
    """A Python of its own that finds this corten."""
    environment = dict(os.environ, PYTHONPATH=PACKAGES)
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def output(*arguments: str, folder: Path | None = None, **options: object) -> str:
    done = python(*arguments, folder=folder, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def installed(program: str) -> str:
    """What a program prints in a process that called `install_as_torch`."""
    return output("-c", "import corten\ncorten.install_as_torch()\n" + textwrap.dedent(program))


@pytest.fixture
def script(tmp_path: Path):
    """Writes a program into the temporary folder and returns its name."""

    def write(text: str, name: str = "program.py") -> str:
        (tmp_path / name).write_text(textwrap.dedent(text))
        return name

    return write


def test_torch_and_its_submodules_are_the_same_module_objects():
    program = """
    import torch, torch.nn.functional as F, torch.optim.lr_scheduler, torchvision
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import datasets
    print(torch is corten, nn is corten.nn, F is corten.nn.functional, DataLoader is corten.utils.data.DataLoader)
    print(torchvision is corten.vision, datasets is corten.vision.datasets, torch.optim is corten.optim)
    print(torch.nn.__name__, torch.nn.__spec__.name)
    """
    assert installed(program).split("\n") == ["True True True True", "True True True", "corten.nn corten.nn"]


def test_every_module_of_corten_can_be_imported_under_pytorchs_name():
    program = """
    import importlib, pkgutil
    # Programs' own folders and what needs packages that are not required.
    left_out = ("corten.__main__", "corten._inherit", "corten.interop", "corten.utils.tensorboard")
    names = [m.name for m in pkgutil.walk_packages(corten.__path__, "corten.") if not m.name.startswith(left_out)]
    for name in names:
        other = importlib.import_module("torch" + name.removeprefix("corten"))
        assert other is importlib.import_module(name), name
    print(len(names) > 100)
    """
    assert installed(program) == "True"


def test_pytorch_is_not_imported_where_it_is_installed(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise SystemExit('the other torch was imported')")
    (tmp_path / "torch" / "export.py").write_text("raise SystemExit('a part of the other torch was imported')")
    program = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import torch, torch.nn
    try:
        import torch.export
    except ModuleNotFoundError as error:
        print(error.name)
    """
    start = "import corten\ncorten.install_as_torch()\n" + textwrap.dedent(program)
    assert output("-c", start, str(tmp_path)) == "torch.export"


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("import torch.export", "ModuleNotFoundError: No module named 'torch.export': corten.save keeps weights"),
        (
            "import torch.export.dynamic",
            "ModuleNotFoundError: No module named 'torch.export': corten.save keeps weights",
        ),
        (
            "from torch import export",
            "ImportError: cannot import name 'export' from 'torch': corten.save keeps weights",
        ),
        (
            "import torch; torch.export",
            "MissingName: module 'corten' has no attribute 'export': corten.save keeps weights",
        ),
        ("from torch import no_such", "ImportError: cannot import name 'no_such'"),
        ("import torch.nn.no_such", "ModuleNotFoundError: No module named 'torch.nn.no_such'"),
    ],
)
def test_what_is_missing_is_named_with_what_stands_in_for_it(statement, error):
    program = f"""
    try:
        {statement}
    except Exception as error:
        print(f"{{type(error).__name__}}: {{error}}")
    """
    assert installed(program).startswith(error)


def test_a_missing_module_has_no_spec():
    assert installed(
        "import importlib.util as u; print(u.find_spec('torch.export'), u.find_spec('torch.nn').name)"
    ) == ("None torch.nn")


def test_an_imported_pytorch_is_refused(tmp_path):
    (tmp_path / "torch.py").write_text("")
    program = "import sys; sys.path.insert(0, sys.argv[1]); import torch, corten; corten.install_as_torch()"
    done = python("-c", program, str(tmp_path))
    assert done.returncode == 1
    assert "RuntimeError: torch is imported already" in done.stderr and "torch.py" in done.stderr


def test_versions_are_pytorchs_with_corten_behind_the_plus():
    program = """
    import importlib.metadata, torch
    print(torch.__version__, torch.version.__version__, importlib.metadata.version("torch"))
    print(torch.__version__ >= (2, 0), torch.__version__ < "2.13", torch.__version__ >= "2.13", torch.version.cuda)
    print(importlib.metadata.version("numpy") != "", importlib.metadata.metadata("torch")["Name"])
    corten.install_as_torch()
    print(torch.__version__)
    """
    version = f"2.13.0+corten{corten.__version__.rpartition('+corten')[2]}"
    assert installed(program).split("\n") == [
        f"{version} {version} {version}",
        "True False True None",
        "True torch",
        version,
    ]


ORDERED = [
    "1.9",
    "1.10.0.dev3",
    "1.10a2",
    "1.10rc1",
    "1.10",
    "1.10+abc",
    "1.10+7",
    "1.10.post1",
    "2.0",
    "2.10.1",
    "1!0.1",
]


def test_versions_compare_by_pep_440():
    for i, lesser in enumerate(ORDERED):
        for j, greater in enumerate(ORDERED):
            for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
                assert compare(TorchVersion(lesser), greater) == compare(i, j), (lesser, compare, greater)
    version = TorchVersion("2.10.0+x")
    assert version > (2, 9) and version > [2, 9, 1] and version == "v2.10.0+X" and version != "2.10"
    assert version.split("+")[0] == "2.10.0" and {version: 1}["2.10.0+x"] == 1
    assert TorchVersion("2.0.0") == "2" and version != "nonsense" and "2.9" < version


def test_pickles_of_pytorchs_names_are_read_and_ours_are_written():
    program = """
    import pickle, sys, torch
    layer = torch.nn.Linear(2, 3)
    text = pickle.dumps(layer, 0)
    named = text.replace(b"ccorten.", b"ctorch.")
    print(named != text, type(pickle.loads(named)) is torch.nn.Linear)
    """
    assert installed(program).split() == ["True", "True"]


def test_spawned_and_forked_processes_inherit(script, tmp_path):
    name = script("""
    import torch, sys
    from torch.utils.data import DataLoader, Dataset

    class Squares(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            assert torch.__spec__.name == "corten"
            return torch.tensor(i * i)

    if __name__ == "__main__":
        for method in sys.argv[1:]:
            loader = DataLoader(Squares(), batch_size=2, num_workers=1, multiprocessing_context=method)
            print([batch.tolist() for batch in loader])
    """)
    methods = ["spawn", "fork", "forkserver"] if sys.platform == "linux" else ["spawn"]
    lines = output("-W", "ignore::DeprecationWarning", "-m", "corten", "run", name, *methods, folder=tmp_path)
    assert lines.split("\n") == ["[[0, 1], [4, 9]]"] * len(methods)


def test_python_processes_that_a_program_starts_inherit(script, tmp_path):
    name = script("""
    import subprocess, sys
    child = "import sys; print('corten' in sys.modules); import torch.nn; print(torch.__spec__.name, sys.argv[1:])"
    subprocess.run([sys.executable, "-c", child, "a"], check=True)
    version = "import importlib.metadata as m; print(m.version('torch').partition('+')[2][:6])"
    subprocess.run([sys.executable, "-c", version], check=True)
    """)
    lines = output("-m", "corten", "run", name, folder=tmp_path).split("\n")
    assert lines == ["False", "corten ['a']", "corten"]


FACTS = """
import sys
if __name__ == "__main__":
    print(sys.argv, sys.path[0], __file__, __spec__ and __spec__.name, sorted(k for k in globals() if k != "sys"))
    print(sys.modules["__main__"].__dict__ is globals(), __doc__, __package__)
"""


@pytest.mark.parametrize(
    "arguments", [["program.py", "a", "-b"], ["-m", "program", "a"], ["folder"], ["program.zip", "x"]]
)
def test_a_program_sees_what_it_sees_under_plain_python(arguments, script, tmp_path):
    script(FACTS)
    (tmp_path / "folder").mkdir()
    script(FACTS, "folder/__main__.py")
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", FACTS)
    assert output("-m", "corten", "run", *arguments, folder=tmp_path) == output(*arguments, folder=tmp_path)


def test_code_and_standard_input_run_too():
    assert output("-m", "corten", "run", "-c", "import torch, sys; print(torch.__spec__.name, sys.argv)", "x") == (
        "corten ['-c', 'x']"
    )
    assert output("-m", "corten", "run", "-", "x", input="import torch, sys; print(torch.__spec__.name, sys.argv)") == (
        "corten ['-', 'x']"
    )


@pytest.mark.parametrize(
    "ending",
    [
        "1 / 0",
        "sys.exit(7)",
        "sys.exit('a reason')",
        "f(:",
        "raise KeyboardInterrupt",
        "import a_module_that_is_not_there",
        "sys.excepthook = lambda kind, error, traceback: print(kind, traceback.tb_lineno)\n1 / 0",
    ],
)
def test_a_program_ends_as_under_plain_python(ending, script, tmp_path):
    name = script(f"import sys\nprint('begun')\n{ending}\n")
    ours, plain = python("-m", "corten", "run", name, folder=tmp_path), python(name, folder=tmp_path)
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert ours.returncode != 0 or "excepthook" in ending


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "a command is needed"),
        (["go"], "no command is called 'go'"),
        (["run"], "run needs a program"),
        (["run", "-m"], "argument expected for the -m option"),
        (["run", "-x"], "unknown option -x"),
        (["run", "no_such_file.py"], "can't open file"),
        (["info", "x"], "info takes no more"),
    ],
)
def test_wrong_commands_end_with_status_2_and_say_why(arguments, problem):
    done = python("-m", "corten", *arguments)
    assert done.returncode == 2 and problem in done.stderr and not done.stdout


def test_help_and_info_tell():
    assert output("-m", "corten", "--help").startswith("usage: python -m corten run")
    assert output("-m", "corten", "--version").startswith("corten ")
    facts = dict(line.split(":", 1) for line in output("-m", "corten", "info").splitlines())
    assert {"corten", "engine", "python", "numpy", "threads", "device cpu"} <= set(facts)
    assert corten._core.simd_level() in facts["device cpu"] and corten._core.build_profile() in facts["engine"]


def test_an_installation_pickles_as_a_plain_call():
    from corten._as_torch import _Inheritance

    assert b"install_as_torch" in pickle.dumps(_Inheritance())


def test_packages_find_the_module_under_the_name_that_they_expect():
    """Pyro asks for the name before it replaces parts of the module, and takes the optimizers from the dictionary."""
    program = """
    import torch
    kinds = [kind for kind in torch.optim.__dict__.values() if isinstance(kind, type)]
    print(torch.__name__, sum(issubclass(kind, torch.optim.Optimizer) for kind in kinds), torch.optim.AdamW in kinds)
    """
    name, count, found = installed(program).split()
    assert (name, count, found) == ("torch", "17", "True")
