"""Finds the files of installed packages. Nothing is ever downloaded: what is missing raises with the command for it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from .packages import BY_NAME, UNPACKED

# Folders below which the files of Debian's packages are looked for, separated as in PATH: where `dpkg-deb -x` has
# unpacked them. After them come the one into which `make data` unpacks, and the root, where apt-get installs.
ROOTS = "CORTEN_DATA_ROOTS"


class Missing(SystemExit):
    """Data that are not installed; a program that does not catch it ends with the command that installs them."""

    def __init__(self, package: str, what: str, searched: object = "") -> None:
        where = f", looked for in {searched}" if searched else ""
        self.package = package
        super().__init__(
            f"{what} is not installed{where}. It comes with the package {package}:\n"
            f"    {BY_NAME[package].command}\nor, with everything else that the examples read:\n    make data"
        )


def package_file(package: str, path: str) -> Path:
    """The path of a file that a package brings.

    Args:
        package: its name in `packages`.
        path: below the folder of the Python module, or below the folder where Debian's package puts its files.

    Raises:
        Missing: it is not there.
    """
    known = BY_NAME[package]
    searched = _module_folders(known.module) if known.module else _debian_folders(known.folder)
    for folder in searched:
        if (folder / path).exists():
            return folder / path
    raise Missing(package, known.data, ", ".join(str(folder) for folder in searched))


def _module_folders(module: str) -> list[Path]:
    """The folders of a module, which is not imported: its files are of interest alone."""
    found = importlib.util.find_spec(module)
    folders = [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
    return [*folders, Path(sys.prefix, UNPACKED, "python", module)]


def _debian_folders(folder: str) -> list[Path]:
    roots = [root for root in os.environ.get(ROOTS, "").split(os.pathsep) if root]
    return [Path(root) / folder for root in [*roots, os.path.join(sys.prefix, UNPACKED), os.sep]]


def library(name: str, what: str) -> ModuleType:
    """A library that a reader needs.

    Raises:
        Missing: it is not installed.
    """
    if importlib.util.find_spec(name) is None:
        raise Missing(name, f"{name}, which reads {what},")
    return importlib.import_module(name)
