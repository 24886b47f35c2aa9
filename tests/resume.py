"""`pytest --resume`: a run that was cut off goes on with the tests that have not passed yet.

Every test that passes is written down at once, together with a fingerprint of everything that it depends on: the
compiled module, the package, the suites and the examples. Only with the very same fingerprint is a test left out, as
deselected; after any change all of them run. A run that ends without a failure deletes the record.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / ".suites_passed"
PYTHON_FILES = ("tests/**/*.py", "tests/**/*.txt", "examples/**/*.py", "pyproject.toml")


def fingerprint(options: list[str]) -> str:
    import corten

    digest = hashlib.sha256(repr((sys.version, options)).encode())
    package = Path(corten.__file__).parent
    found = [path for pattern in PYTHON_FILES for path in ROOT.glob(pattern)]
    found += [path for path in package.rglob("*") if path.suffix in (".py", ".so", ".pyd")]
    for path in sorted(found):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


class Resume:
    """The plugin: reads the record before the run and adds to it while tests pass."""

    def __init__(self, config: pytest.Config) -> None:
        self.build = fingerprint([config.getoption("--device")])
        lines = RECORD.read_text(encoding="utf-8").splitlines() if RECORD.exists() else []
        same = bool(lines) and lines[0] == self.build
        self.passed = set(lines[1:]) if same else set()
        self.failed: set[str] = set()
        if not same:
            RECORD.write_text(self.build + "\n", encoding="utf-8")

    def pytest_report_header(self) -> str:
        return f"resume: {len(self.passed)} tests passed before, with this very build"

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        done = [item for item in items if item.nodeid in self.passed]
        if done:
            config.hook.pytest_deselected(items=done)
            items[:] = [item for item in items if item.nodeid not in self.passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed" or hasattr(report, "wasxfail"):
            self.failed.add(report.nodeid)
        if report.when == "teardown" and report.nodeid not in self.failed:
            with RECORD.open("a", encoding="utf-8") as file:
                file.write(report.nodeid + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.passed:
            session.exitstatus = pytest.ExitCode.OK
        if session.exitstatus == pytest.ExitCode.OK:
            RECORD.unlink(missing_ok=True)
