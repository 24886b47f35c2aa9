"""Runs items in a process of their own, started anew when one crashes or hangs; keeps results as files of JSON."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Seconds that importing both packages may take beside.
STARTING = 60
SCRIPT = Path(__file__).resolve().parent.parent / "parity.py"


class Results:
    """What is known so far: a file per item, which holds the outcome of each dtype."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder / device

    def path(self, suite: str, key: str) -> Path:
        return self.folder / suite / f"{key}.json"

    def of(self, suite: str, key: str) -> dict[str, Any]:
        """Outcomes by dtype; empty where nothing has run."""
        path = self.path(suite, key)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def put(self, suite: str, key: str, dtype: str, outcome: dict[str, Any]) -> None:
        """Keeps an outcome; the file is replaced whole, so a run that is cut off leaves none broken."""
        path = self.path(suite, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self.of(suite, key), dtype: outcome}, indent=1, sort_keys=True)
        scratch = path.with_suffix(".new")
        scratch.write_text(text + "\n", encoding="utf-8")
        scratch.replace(path)


class Worker:
    """A process that runs items one after the other."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        # Open as long as the process lives.
        self.errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        command = [sys.executable, str(SCRIPT), "--serve"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        return self.process

    def run(self, request: list[str]) -> dict[str, Any]:
        """The outcome of an item; a crash and a hang are outcomes that name themselves."""
        fresh = self.process is None
        process = self.process or self.start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self.crashed()
        ready, _, _ = select.select([process.stdout], [], [], self.seconds + STARTING * fresh)
        if not ready:
            self.stop()
            return {"status": "wrong", "samples": 0, "kind": "hang", "error": f"no answer in {self.seconds:g} s"}
        line = process.stdout.readline()
        return json.loads(line) if line else self.crashed()

    def crashed(self) -> dict[str, Any]:
        assert self.process is not None
        code = self.process.wait()
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors.read().splitlines() if line.strip()]
        self.stop()
        told = next((line for line in reversed(lines) if "panicked" in line or "Error" in line), (lines or [""])[-1])
        if "parity needs" in told:
            raise SystemExit(told)
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return {"status": "wrong", "samples": 0, "kind": "crash", "error": f"{name}: {told}"[:300]}

    def stop(self) -> None:
        """Ends the process; the next request starts another."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout, self.errors):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
            self.process = None
