#!/usr/bin/env python3
"""Sets up `.venv` in this folder with the package and its tools, and runs the main programs in it.

    python3 dev.py quickstart [options of examples/quickstart.py]
    python3 dev.py test [options of pytest]
    python3 dev.py setup [--extras a,b] [--no-build]
    python3 dev.py quick
    python3 dev.py data

Needs Python 3.11 or newer and Rust; everything else is installed into `.venv`. On machines without make this file is
enough; the Makefile calls it. Its syntax stays within Python 3.6's, so that an old Python says what it lacks instead of
failing to parse.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST_PYTHON = (3, 11)


def fail(message):
    raise SystemExit("dev.py: " + message)


def run(*command, **options):
    """Runs a command in the checkout and ends this program with its exit status when it fails."""
    status = subprocess.call([str(part) for part in command], cwd=str(ROOT), **options)
    if status:
        raise SystemExit(status)


def check_python():
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        fail("Python {} or newer is needed, this is {}.{}.{}".format(wanted, *sys.version_info))


def check_rust():
    """Raises unless `rustc` is there and as new as Cargo.toml asks for."""
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    os.environ["PATH"] = os.environ["PATH"] + os.pathsep + str(home / "bin")
    if not shutil.which("cargo") or not shutil.which("rustc"):
        fail("Rust is needed and `cargo` is not on the PATH: install it with rustup or the system's packages")
    wanted = read_toml("Cargo.toml")["workspace"]["package"]["rust-version"]
    found = subprocess.check_output(["rustc", "--version"], cwd=str(ROOT), universal_newlines=True).split()[1]
    if version_of(found) < version_of(wanted):
        fail(f"Rust {wanted} or newer is needed, this is {found}: `rustup update stable` brings it")


def version_of(text):
    """The numbers of a version as a tuple: "1.89.0-nightly" is (1, 89)."""
    return tuple(int(part) for part in text.split("-")[0].split(".")[:2])


def read_toml(name):
    import tomllib

    with open(ROOT / name, "rb") as file:
        return tomllib.load(file)


def make_environment():
    """Creates `.venv`, or creates it anew where it has no working pip."""
    if PYTHON.exists() and subprocess.call([str(PYTHON), "-m", "pip", "--version"], stdout=subprocess.DEVNULL) == 0:
        return
    print("creating", VENV.name, flush=True)
    try:
        venv.create(str(VENV), with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        fail("Python's venv module cannot install pip: on Debian and Ubuntu `apt install python3-venv` completes it")


def requirements(extras):
    """What pyproject.toml names for the package, these extras and the build."""
    project = read_toml("pyproject.toml")
    known = project["project"]["optional-dependencies"]
    unknown = [extra for extra in extras if extra not in known]
    if unknown:
        fail(f"no extra is called {', '.join(unknown)}; there are {', '.join(known)}")
    names = project["build-system"]["requires"] + project["project"]["dependencies"]
    return names + [name for extra in extras for name in known[extra]]


def setup(extras, build=True):
    """Creates the environment, installs what is needed and builds the package into it."""
    check_rust()
    make_environment()
    print("installing what", ", ".join(extras), "need", flush=True)
    run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements(extras))
    if build:
        print("building the engine in release mode", flush=True)
        environment = dict(os.environ, VIRTUAL_ENV=str(VENV), PIP_QUIET="1")
        environment["PATH"] = str(PYTHON.parent) + os.pathsep + environment["PATH"]
        run(PYTHON, "-m", "maturin", "develop", "--release", "--quiet", env=environment)


def setup_command(options):
    import argparse

    parser = argparse.ArgumentParser(prog="dev.py setup", description="Creates .venv and builds the package into it.")
    parser.add_argument("--extras", default="examples,vision,test,dev", help="extras of pyproject.toml (%(default)s)")
    parser.add_argument("--no-build", action="store_true", help="install the tools only")
    chosen = parser.parse_args(options)
    setup(chosen.extras.split(","), build=not chosen.no_build)


def quick(options):
    """Builds what changed since the last time and replaces the package's library: the loop of editing the engine."""
    check_rust()
    run("cargo", "build", "--profile", "fast", "--package", "corten-python")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "fast"
    names = {"win32": ("_core.dll", "_core.pyd"), "darwin": ("lib_core.dylib", "_core.abi3.so")}
    built, installed = names.get(sys.platform, ("lib_core.so", "_core.abi3.so"))
    # Renamed over the old one: a program that runs keeps the file it has mapped.
    fresh = ROOT / "python" / "corten" / (installed + ".new")
    shutil.copyfile(str(target / built), str(fresh))
    os.replace(str(fresh), str(fresh.with_suffix("")))


def quickstart(options):
    setup(["examples"])
    run(PYTHON, ROOT / "examples" / "quickstart.py", *options)


def test(options):
    """Runs the suites; PyTorch joins them as a reference where CORTEN_TORCH_WHEEL names its wheel."""
    setup(["examples", "vision", "test"])
    wheel = os.environ.get("CORTEN_TORCH_WHEEL")
    if wheel:
        run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    run(PYTHON, "-m", "pytest", *options)


def data(options):
    """Installs what the examples read: libraries into .venv, and packages for their files alone into .venv/data."""
    make_environment()
    listed = load_packages()
    print("installing", ", ".join(package.name for package in listed.PACKAGES), flush=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, *read_toml("pyproject.toml")["project"]["optional-dependencies"]["data"])
    unpacked = VENV / listed.UNPACKED
    modules = unpacked / "python"
    absent = [name for name in listed.FILES_ONLY if not (modules / listed.BY_NAME[name].module).exists()]
    if absent:
        # Beside what programs import: nobody misses what these packages depend on.
        run(*pip, "--no-deps", "--upgrade", "--target", modules, *absent)
    absent = [
        name
        for name in listed.DEBIAN
        if not any((root / listed.BY_NAME[name].folder).exists() for root in (Path(os.sep), unpacked))
    ]
    if absent:
        unpack_debian(absent, unpacked)
    print("everything that the examples read is there; docs/data.md lists it")


def load_packages():
    """The list of packages, which the examples read as well."""
    import importlib.util

    path = ROOT / "examples" / "datasets" / "packages.py"
    spec = importlib.util.spec_from_file_location("corten_data_packages", str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unpack_debian(names, folder):
    """Downloads packages of Debian and unpacks their files below the folder; their dependencies are of no use here."""
    import tempfile

    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        fail(
            "these data come as packages of Debian and Ubuntu, and apt-get is not here: {}. Fetch them from "
            "packages.debian.org, unpack each with `dpkg-deb -x` or `ar x`, and name the folder in "
            "CORTEN_DATA_ROOTS".format(", ".join(names))
        )
    with tempfile.TemporaryDirectory() as downloads:
        # The user to whom apt gives up root may not write into this folder.
        download = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *names]
        if subprocess.call(download, cwd=downloads):
            if not hasattr(os, "geteuid") or os.geteuid() != 0:
                fail("apt-get found no packages: run `sudo apt-get update`, then this command again")
            run("apt-get", "update", "-qq")
            if subprocess.call(download, cwd=downloads):
                fail("apt-get could not download {}".format(", ".join(names)))
        for path in sorted(Path(downloads).glob("*.deb")):
            run("dpkg-deb", "-x", path, folder)


COMMANDS = {"quickstart": quickstart, "test": test, "setup": setup_command, "quick": quick, "data": data}


def main():
    check_python()
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(__doc__)
        raise SystemExit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
