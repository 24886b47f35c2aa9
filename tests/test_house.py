"""The house's own rules: which way the engine's arrows run, how long files are, and that the pages tell the truth."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
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
FUNCTION_LINES_MAX = 60  # of its body; a list of parameters and a docstring may be as long as they must
# Files that may be longer, each with its reason; an entry that is no longer needed fails.
LONGER_FILES: dict[str, str] = {}
GENERATED = {"python/corten/_core.pyi", "python/corten/_ops.pyi"}

BACKENDS = {"cpu", "gpu"}
# What a module of the engine may never name: the arrows of CONTRIBUTING.md.
ABOVE_FOUNDATION = {"graph", "grad", "tensor", "op", "ops", "transform", "exec"} | BACKENDS
FORBIDDEN = {
    "device": ABOVE_FOUNDATION,
    "dtype": ABOVE_FOUNDATION,
    "error": ABOVE_FOUNDATION,
    "memory": ABOVE_FOUNDATION,
    "os": ABOVE_FOUNDATION,
    "params": ABOVE_FOUNDATION,
    "sync": ABOVE_FOUNDATION,
    "rng": ABOVE_FOUNDATION,
    "shape": ABOVE_FOUNDATION,
    "op": {"graph", "grad", "tensor", "ops", "transform", "exec"} | BACKENDS,
    "graph": {"ops", "transform", "exec"} | BACKENDS,
    "grad": {"ops", "transform", "exec"} | BACKENDS,
    "tensor": {"ops", "transform", "exec"} | BACKENDS,
    "capture": {"ops", "transform", "exec"} | BACKENDS,
    "exec": {"ops", "transform"},
    "ops": {"transform"} | BACKENDS,
    "transform": BACKENDS,
    "cpu": {"grad", "graph", "tensor", "ops", "transform"},
    "gpu": {"grad", "graph", "tensor", "ops", "transform"},
}
# Where `unsafe` may stand outside kernels: buffers, their first and last element, memory maps, foreign memory.
UNSAFE = {
    "rust/core/src/exec/draw.rs",
    "rust/core/src/exec/run.rs",
    "rust/core/src/exec/transfer.rs",
    "rust/core/src/graph.rs",
    "rust/core/src/memory.rs",
    "rust/core/src/ops/create.rs",
    "rust/core/src/ops/index.rs",
    "rust/core/src/ops/mod.rs",
    "rust/python/src/create.rs",
    "rust/python/src/debug.rs",
    "rust/python/src/dispatch.rs",
    "rust/python/src/dlpack.rs",
    "rust/python/src/memory.rs",
    "rust/python/src/storage.rs",
    "rust/python/src/tensor.rs",
}

# Traces of a machine, of a tracker, or of unfinished work. Spelled so that this file does not match itself.
TRACES = {
    "a path of somebody's machine": r"(?<![\w.~}-])/(?:home|root|work|Users)/\w",
    "the number of an issue": r"\bissue\s+#?\d",
    "who worked on it": r"(?i)\b(?:sub)?age" r"nts?\b|\bwork" r"tree|\bchat" r"bot|\bcla" r"ude\b|\bthe br" r"ief\b",
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


def test_every_module_of_the_engine_has_its_arrows():
    modules = {path.stem for path in CORE.iterdir()} - {"lib"}
    assert modules <= set(FORBIDDEN)


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


def python_functions(path: Path) -> list[tuple[str, int]]:
    """Every function with the lines of its body, without those of functions inside it."""
    found = []

    def visit(node: ast.AST) -> int:
        """Lists the functions inside; returns the lines that the outermost of them take."""
        taken = 0
        for child in ast.iter_child_nodes(node):
            inside = visit(child)
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = child.body[ast.get_docstring(child) is not None :]
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                found.append((child.name, length - inside))
                inside = child.end_lineno - child.lineno + 1
            taken += inside
        return taken

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def rust_functions(path: Path) -> list[tuple[str, int]]:
    """Every function with the lines of its body; rustfmt puts the closing brace under the first word."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = []
    for start, line in enumerate(lines):
        if head := re.match(r'( *)(?:(?:pub(?:\([^)]*\))?|const|unsafe|extern "[^"]*") )*fn (\w+)', line):
            opening = next(i for i in range(start, len(lines)) if re.search(r"[{};]\s*(//.*)?$", lines[i]))
            if lines[opening].endswith("{"):
                closing = lines.index(head[1] + "}", opening)
                found.append((head[2], closing - opening - 1))
    return found


def test_functions_stay_short():
    long = []
    for path in source_files():
        functions = {".py": python_functions, ".rs": rust_functions}.get(path.suffix, lambda path: [])(path)
        long += [f"{name_of(path)}: {name} has {n} lines" for name, n in functions if n > FUNCTION_LINES_MAX]
    assert not long, "\n".join(long)


def test_lengths_of_functions_are_counted_without_functions_inside(tmp_path):
    python, rust = tmp_path / "a.py", tmp_path / "a.rs"
    python.write_text('def f():\n    """Doc."""\n    x = 1\n    def g():\n        pass\n    return g\n')
    rust.write_text("impl A {\n    pub fn f(\n        x: u8,\n    ) -> u8 {\n        x\n    }\n    fn g();\n}\n")
    assert sorted(python_functions(python)) == [("f", 2), ("g", 1)]
    assert rust_functions(rust) == [("f", 1)]


def rust_files_without_tests() -> list[Path]:
    return [path for path in (ROOT / "rust").rglob("src/**/*.rs") if path.stem not in ("tests", "row_testing")]


def test_nothing_unwraps_outside_tests():
    assert read_toml("Cargo.toml")["workspace"]["lints"]["clippy"]["unwrap_used"] == "deny"
    wrong = [name_of(path) for path in rust_files_without_tests() if ".unwrap()" in rust_code(path)]
    assert not wrong


def test_unsafe_stays_where_memory_is_touched():
    unsafe = {name_of(path) for path in rust_files_without_tests() if re.search(r"\bunsafe\b", rust_code(path))}
    outside = {name for name in unsafe if not name.startswith(("rust/core/src/cpu/", "rust/core/src/gpu/"))}
    assert outside == UNSAFE


def test_public_names_have_docstrings():
    import corten

    parts = "nn nn.functional nn.init nn.utils optim optim.lr_scheduler optim.swa_utils utils.data autograd linalg gpu"
    parts += " cpu profiler autograd.profiler interop.wgpu func testing utils._pytree nn.attention nn.parallel nn.grad"
    parts += " vision vision.datasets vision.io vision.ops vision.transforms vision.transforms.functional vision.utils"
    parts += " vision.tv_tensors vision.transforms.v2.functional.color vision.transforms.v2.functional.geometry"
    parts += " training lora metrics metrics.fairness explain"
    parts += " data amp fft utils.checkpoint backends.cuda backends.cudnn backends.mps jit distributed"
    parts += (
        " nn.utils.parametrize nn.utils.parametrizations nn.utils.prune nn.utils.stateless autograd.graph utils.hooks"
    )
    import corten.models

    parts += " models" + "".join(f" models.{file}" for file in corten.models._FILES) + " utils.serialization.gguf"
    modules = [corten] + [importlib.import_module(f"corten.{name}") for name in parts.split()]
    owners = [(module.__name__, module, module.__all__) for module in modules if hasattr(module, "__all__")]
    owners.append(("corten.Tensor", corten.Tensor, dir(corten.Tensor)))
    silent = []
    for owner_name, owner, names in owners:
        for name in names:
            value = getattr(owner, name)
            described = callable(value) or inspect.isdatadescriptor(value)
            # A class's own words: inherited ones describe another class.
            words = value.__doc__ if isinstance(value, type) else inspect.getdoc(value)
            if not name.startswith("_") and described and not words:
                silent.append(f"{owner_name}.{name}")
    assert not silent


def test_the_page_of_networks_lists_every_one_with_its_file():
    from corten import models

    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    named = {name: getattr(models, name) for name in models.__all__}
    functions = {name: value for name, value in named.items() if inspect.isfunction(value)}
    unlisted = []
    for name, function in functions.items():
        file = f"`{function.__module__.rpartition('.')[2]}.py`"
        if not any(re.search(rf"`{name}`", row) and file in row for row in rows):
            unlisted.append(name)
    assert not unlisted


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
        shown = subprocess.run(
            ["make", "--no-print-directory", "help"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
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
