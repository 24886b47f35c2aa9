"""Fixtures and rules of every suite: the device, fixed seeds, and a committed list of the skips that are allowed."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import os
import random
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
SKIP_LIST = HERE / "skips.txt"
_unlisted: list[str] = []


# The comparisons with PyTorch are a bonus of machines that have it: elsewhere the folder does not exist for pytest.
collect_ignore = [] if importlib.util.find_spec("torch") else ["torch_parity"]


# Suites that name their devices themselves, or have no tensor on a device: left out with --device gpu.
OWN_DEVICES = [
    "accelerator", "amp", "as_torch", "augmentation", "benchmarks", "completeness", "cpu", "data", "data_check",
    "distributed", "example_control", "example_data", "example_programs", "example_tables", "examples", "gpu",
    "gpu_amp", "gpu_jobs", "gpu_kernel", "gpu_limits", "gpu_linalg", "gpu_memory", "gpu_products", "gpu_random",
    "gpu_turned", "house", "import", "interchange", "interop", "meta", "multiprocessing", "packages", "profiler",
    "programs", "random_programs", "shader_kernels", "shader_library", "simd", "splits", "threads", "vision",
    "vision_files", "vision_programs", "vision_transforms", "vision_v2",
]  # fmt: skip


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    own = collection_path.stem.removeprefix("test_") in OWN_DEVICES or collection_path.name == "torch_parity"
    return True if own and config.getoption("--device") == "gpu" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", choices=("cpu", "gpu"), default="cpu", help="where tensors of the suites live")
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")
    parser.addoption(
        "--resume", action="store_true", help="leave out what passed before a run of this build was cut off"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; left out unless --slow is given")
    config.addinivalue_line("markers", "cpu: about the CPU or float64; left out with --device gpu")
    if config.getoption("--device") == "gpu":
        # Before the first look for GPUs: software adapters are used where they are asked for.
        os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")
        import corten

        # Before the suites are imported: their constants lie there as well.
        corten.set_default_device("gpu")
    if config.getoption("--resume"):
        from resume import Resume

        config.pluginmanager.register(Resume(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests are deselected, not skipped: skips must be in the committed list."""
    if config.getoption("--device") == "gpu":
        left_out = {item for item in items if item.get_closest_marker("cpu") or needs_float64(item)}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


def needs_float64(item: pytest.Item) -> bool:
    """float64 is the CPU's alone; that asking a GPU for it raises has a test of its own."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    named = any(str(value).endswith(("float64", "complex128")) for value in params.values())
    return named or getattr(params.get("row"), "needs_float64", False)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--device")


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    import corten

    random.seed(0)
    np.random.seed(0)
    corten.manual_seed(0)
    corten.set_warn_always(True)  # so that no suite depends on which one was warned first


@pytest.fixture(autouse=True)
def everything_on(device: str) -> None:
    """With `--device gpu` tensors are made on the GPU, and work for the CPU raises instead of being done there."""
    from op_table.row import only_on

    with only_on(device):
        yield


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch):
    """Imports a program, or what programs share, from the folder of the benchmarks."""
    monkeypatch.syspath_prepend(str(HERE.parent / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def option():
    """Sets an option of the engine for the rest of the test: `option("fusion", False)`."""
    import corten

    before: dict[str, object] = {}

    def change(name: str, value: object) -> None:
        before.setdefault(name, corten._core.get_option(name))
        corten._core.set_option(name, value)

    yield change
    for name, value in before.items():
        corten._core.set_option(name, value)


def allowed_skips() -> list[str]:
    """Patterns of test identifiers, one to a line; the text after # is the reason."""
    lines = (line.split("#")[0].strip() for line in SKIP_LIST.read_text().splitlines())
    return [line for line in lines if line]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and not expected_failure:
        name = report.nodeid.removeprefix("tests/")
        if not any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in allowed_skips()):
            _unlisted.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped and report.nodeid not in allowed_skips():
        _unlisted.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _unlisted and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for nodeid in _unlisted:
        terminalreporter.write_line(f"SKIPPED WITHOUT BEING IN tests/skips.txt: {nodeid}", red=True)
