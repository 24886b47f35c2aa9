"""The house's own rules: which way the engine's arrows run, how long files are, and that the pages tell the truth."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "rust" / "core" / "src"

LINES_MAX = 800
# Files that may be longer, each with its reason; an entry that is no longer needed fails.
LONGER_FILES: dict[str, str] = {}
GENERATED = {"python/corten/_core.pyi", "python/corten/_ops.pyi"}

BACKENDS = {"cpu", "gpu"}
# What a module of the engine may never name: the arrows of CONTRIBUTING.md.
ABOVE_FOUNDATION = {"graph", "tensor", "op", "ops", "transform", "exec"} | BACKENDS
FORBIDDEN = {
    "dtype": ABOVE_FOUNDATION,
    "shape": ABOVE_FOUNDATION,
    "error": ABOVE_FOUNDATION,
    "graph": {"ops", "transform"} | BACKENDS,
    "tensor": {"ops", "transform"} | BACKENDS,
    "op": {"ops", "transform"} | BACKENDS,
    "ops": {"transform"} | BACKENDS,
    "transform": BACKENDS,
    "cpu": {"tensor", "ops", "transform"},
    "gpu": {"tensor", "ops", "transform"},
}

# Traces of a machine, of a tracker, or of unfinished work. Spelled so that this file does not match itself.
TRACES = {
    "a path of somebody's machine": r"(?<![\w.~}-])/(?:home|root|work|Users)/\w",
    "the number of an issue": r"\bissue\s+#?\d",
    "an open end": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
    "unfinished Rust": r"\b(?:to" r"do|unimpl" r"emented|db" r"g)!\(",
    "a stop for the debugger": r"\bbreak" r"point\(\)|\bset_" r"trace\(",
}
OUTSIDE = {".git", ".venv", "target", "dist", "out", "node_modules", "__pycache__"}
WRITTEN = {".md", ".py", ".pyi", ".rs", ".toml", ".txt", ".wgsl", ".yml", ""}


@cache
def files() -> list[Path]:
    """Every file that a person wrote."""
    found = []
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        outside = any(part in OUTSIDE or part.endswith("_cache") or part.startswith(".venv") for part in parts)
        if not outside and path.is_file() and path.suffix in WRITTEN and ".hypothesis" not in parts:
            found.append(path)
    return found


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def source_files() -> list[Path]:
    return [path for path in files() if path.suffix in (".rs", ".py", ".wgsl") and name_of(path) not in GENERATED]


def read_toml(name: str) -> dict:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def rust_code(path: Path) -> str:
    """The file without comments and without its test module, which may look anywhere."""
    text = path.read_text(encoding="utf-8").split("#[cfg(test)]\nmod ")[0]
    return re.sub(r"//.*", "", text)


def modules_named(code: str) -> set[str]:
    """The engine's modules that Rust code names from the crate's root, in paths and in grouped imports."""
    named = set(re.findall(r"\bcrate::(\w+)", code))
    for group in re.findall(r"\bcrate::\{(.*?)\};", code, re.DOTALL):
        depth_one = re.sub(r"\{[^{}]*\}", "", group)
        named |= {entry.strip().split("::")[0] for entry in depth_one.split(",")}
    return named


def test_arrows_between_modules_run_one_way():
    wrong = []
    for path in sorted(CORE.rglob("*.rs")):
        module = path.relative_to(CORE).with_suffix("").parts[0]
        crossed = modules_named(rust_code(path)) & FORBIDDEN.get(module, set())
        wrong += [f"{name_of(path)} names crate::{name}" for name in sorted(crossed)]
    assert not wrong, "\n".join(wrong)


def test_arrow_check_sees_paths_and_grouped_imports():
    assert modules_named("use crate::cpu::gemm;") == {"cpu"}
    assert modules_named("use crate::{dtype::{DType, Scalar}, gpu::queue};") == {"dtype", "gpu"}


def test_kernels_never_see_autograd():
    kernels = [path for backend in BACKENDS for path in (CORE / backend).rglob("*.rs")]
    wrong = [name_of(path) for path in kernels if re.search(r"\bautograd\b|\brequires_grad\b", rust_code(path))]
    assert not wrong


def test_engine_knows_nothing_of_python():
    manifest = (CORE.parent / "Cargo.toml").read_text(encoding="utf-8")
    assert "pyo3" not in manifest
    wrong = [name_of(path) for path in CORE.rglob("*.rs") if re.search(r"\bpyo3\b", rust_code(path))]
    assert not wrong


def test_files_stay_short():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in source_files()}
    long = {name for name, length in lengths.items() if length > LINES_MAX}
    assert long - set(LONGER_FILES) == set(), f"longer than {LINES_MAX} lines: split them"
    assert set(LONGER_FILES) - long == set(), "no longer too long: take them off the list"
    assert all(LONGER_FILES.values())


def test_first_lines_say_what_lives_in_a_file():
    silent = []
    for path in source_files():
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            speaks = not text.strip() or ast.get_docstring(ast.parse(text)) is not None
        else:
            speaks = text.startswith("//")
        if not speaks:
            silent.append(name_of(path))
    assert not silent


@pytest.mark.parametrize("trace", TRACES)
def test_no_file_holds_traces(trace):
    pattern = re.compile(TRACES[trace])
    found = []
    for path in files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{name_of(path)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def make_targets() -> dict[str, str]:
    """The targets that a person may call, each with the explanation behind it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = re.findall(r"^([a-z][\w-]*):(?!=)[^\n#]*(?:## (.*))?$", makefile, re.MULTILINE)
    return dict(rules)


def test_make_help_lists_every_target():
    targets = make_targets()
    unexplained = [name for name, explanation in targets.items() if not explanation]
    assert not unexplained
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony is not None and set(phony[1].split()) == set(targets)
    if shutil.which("make"):
        shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        assert {line.split()[0] for line in shown.splitlines() if line} == set(targets)


def readme_commands() -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def load_dev():
    spec = importlib.util.spec_from_file_location("corten_dev", ROOT / "dev.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_has_two_commands_and_they_exist():
    commands = readme_commands()
    assert len(commands) == 2
    for command in commands:
        program, script, name = command.split()
        assert (program, script) == ("python3", "dev.py")
        assert name in load_dev().COMMANDS


def test_ci_runs_the_readmes_test_command():
    test_command = readme_commands()[1]
    stages = re.findall(r'^stage "[^"]+" (.*)$', (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert test_command in stages
    called = {stage.split()[1] for stage in stages if stage.startswith("make ")}
    assert called <= set(make_targets())


def test_make_and_dev_py_do_the_same():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in readme_commands():
        name = command.split()[-1]
        assert re.search(rf"^{name}:.*\n\t\$\(PYTHON\) dev\.py {name}$", makefile, re.MULTILINE)


def test_dev_py_installs_what_the_extras_name():
    dev = load_dev()
    wanted = dev.requirements(["examples", "test"])
    assert any(name.startswith("maturin") for name in wanted)
    assert any(name.startswith("numpy") for name in wanted)
    assert any(name.startswith("pytest") for name in wanted)
    with pytest.raises(SystemExit, match="no extra is called nothing"):
        dev.requirements(["nothing"])


def test_dev_py_compares_versions_by_number():
    dev = load_dev()
    assert dev.version_of("1.100.0-nightly") == (1, 100) > dev.version_of("1.89")


def test_links_between_pages_lead_somewhere():
    dead = []
    for page in (path for path in files() if path.suffix == ".md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            elsewhere = "://" in target or target.startswith("#")
            if not elsewhere and not (page.parent / target.split("#")[0]).exists():
                dead.append(f"{name_of(page)}: {target}")
    assert not dead, "\n".join(dead)


def test_every_dependency_has_its_reason():
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    project = read_toml("pyproject.toml")["project"]
    python = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    names = {re.match(r"[\w.-]+", requirement)[0] for requirement in python}
    rust = {name for name in read_toml("Cargo.toml")["workspace"]["dependencies"] if not name.startswith("corten")}
    unexplained = {name for name in names | rust if not re.search(rf"^\|.*\b{re.escape(name)}\b", page, re.MULTILINE)}
    assert not unexplained


def test_numpy_alone_is_needed_at_run_time():
    dependencies = read_toml("pyproject.toml")["project"]["dependencies"]
    assert [re.match(r"[\w-]+", name)[0] for name in dependencies] == ["numpy"]


def test_versions_agree():
    assert (
        read_toml("pyproject.toml")["project"]["version"] == read_toml("Cargo.toml")["workspace"]["package"]["version"]
    )
