"""Builds the release wheel into dist/ and checks it; on Linux it must run where glibc is 2.28 or newer.

The linker of a newer system binds to its own glibc's symbols (2.34 on Debian 12), so on Linux zig, which knows the
symbols of every glibc, links. Runs in an environment that has the extra `wheel`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def main() -> None:
    command = [sys.executable, "-m", "maturin", "build", "--profile", "dist", "--out", str(DIST)]
    if sys.platform == "linux":
        command += ["--zig", "--compatibility", "manylinux_2_28"]
    subprocess.run(command, cwd=ROOT, check=True)
    wheels = sorted(DIST.glob("corten-*.whl"), key=lambda path: path.stat().st_mtime)
    subprocess.run([sys.executable, str(ROOT / "scripts" / "check_wheel.py"), str(wheels[-1])], check=True)


if __name__ == "__main__":
    main()
