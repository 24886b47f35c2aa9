"""Proves that a source distribution is complete: a wheel is built from it alone, installed, and run.

The build is without optimisation, because only its completeness is asked for.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from check_wheel import ROOT, check_runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sdist", type=Path)
    archive = parser.parse_args().sdist
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
        source = folder / archive.name.removesuffix(".tar.gz")
        # The checkout's target folder has the dependencies already built.
        environment = dict(os.environ, CARGO_TARGET_DIR=str(ROOT / "target"), CARGO_PROFILE_DEV_OPT_LEVEL="0")
        command = [sys.executable, "-m", "maturin", "build", "--locked", "--quiet", "--profile", "dev"]
        subprocess.run([*command, "--out", str(folder / "wheel")], cwd=source, env=environment, check=True)
        wheel = next((folder / "wheel").glob("corten-*.whl"))
        check_runs(wheel, folder)
    print(f"{archive.name}: complete, {archive.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
