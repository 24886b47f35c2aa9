"""Runs examples and tests of packages written for PyTorch under corten, each package in an environment of its own.

An environment lies below out/packages and has no PyTorch, so that nothing but corten answers to `import torch`. What is
run, all by pytest below `python -m corten run`: the examples of the package's docstrings, the tests of its source
distribution, and the programs of scripts/package_programs. What fails is printed with its first cause.
"""

from __future__ import annotations

import argparse
import collections
import os
import subprocess
import sys
import tarfile
import venv
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "out" / "packages"
PROGRAMS = ROOT / "scripts" / "package_programs"
# What tests of many packages import.
COMMON = ["numpy<3", "pytest<10", "pytest-timeout", "scipy", "packaging", "tqdm", "pillow", "typing_extensions"]
HUB = ["transformers", "huggingface_hub", "tokenizers", "safetensors", "regex", "pyyaml", "requests", "filelock"]
HUB += ["fsspec", "psutil", "typer", "click", "httpx", "rich"]
LUCID = ["einops", "einx", "frozendict", "loguru", "sympy", "mpmath"]


@dataclass
class Package:
    """What is installed and what of it is run."""

    name: str
    # Without their own requirements, which would bring PyTorch.
    alone: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    # A module whose docstrings have examples.
    examples: str = ""
    # Paths within the source distribution.
    tests: tuple[str, ...] = ()
    folder: str = ""
    program: str = ""
    options: tuple[str, ...] = ()


PACKAGES = (
    Package(
        "torchmetrics",
        ("lightning-utilities",),
        ("scikit-learn", "matplotlib", "nltk", "regex"),
        examples="torchmetrics",
    ),
    Package("einops", needs=("parameterized",), tests=("einops/tests",)),
    Package(
        "safetensors",
        needs=("h5py", "pytest-benchmark"),
        tests=("tests/test_pt_comparison.py", "tests/test_pt_model.py", "tests/test_simple.py"),
        folder="bindings/python",
    ),
    Package("transformers", needs=tuple(HUB), program="check_transformers.py"),
    Package("timm", needs=tuple(HUB[1:]), program="check_timm.py"),
    Package(
        "pytorch-lightning",
        ("lightning-fabric", "lightning-utilities", "torchmetrics"),
        ("pyyaml", "fsspec", "requests"),
        program="check_lightning.py",
    ),
    Package("diffusers", ("peft", "accelerate"), (*HUB, "importlib_metadata"), program="check_adapters.py"),
    Package("pyro-ppl", ("pyro-api",), ("opt_einsum",), program="check_pyro.py"),
    Package(
        "botorch",
        ("gpytorch", "linear_operator", "pyro-ppl", "pyro-api"),
        ("scikit-learn", "jaxtyping", "opt_einsum", "multipledispatch", "pyre-extensions", "threadpoolctl"),
        program="check_botorch.py",
    ),
    Package("e3nn", ("opt_einsum_fx",), ("opt_einsum", "sympy"), program="check_e3nn.py"),
    Package("zuko", program="check_zuko.py"),
    Package("opacus", ("opt_einsum",), program="check_opacus.py"),
    Package(
        "fastai",
        ("fastcore", "fastprogress<1.1", "fasttransform", "fastdownload", "plum-dispatch<2.10"),
        ("beartype", "cloudpickle", "matplotlib", "pandas", "pyyaml", "requests", "rich", "scikit-learn"),
        program="check_fastai.py",
    ),
    Package("ema-pytorch", needs=(*LUCID, "accelerate"), tests=("tests",)),
    Package("linear_operator", needs=("jaxtyping", "typeguard<3"), tests=("test/utils", "test/functions")),
    Package(
        "torch-optimizer",
        ("pytorch-ranger",),
        tests=("tests",),
    ),
    Package("kornia", ("kornia_rs",), examples="kornia"),
    Package(
        "sentence-transformers",
        needs=(*HUB, "scikit-learn", "importlib_metadata"),
        program="check_sentences.py",
    ),
    Package(
        "torch_geometric",
        needs=("aiohttp", "fsspec", "jinja2", "psutil", "pyparsing", "requests", "xxhash"),
        program="check_geometric.py",
    ),
    Package(
        "stable_baselines3",
        needs=("gymnasium", "cloudpickle", "pandas", "matplotlib", "pygame"),
        program="check_reinforcement.py",
    ),
    Package(
        "segmentation_models_pytorch",
        ("timm",),
        tuple(HUB[1:]),
        program="check_segmentation.py",
    ),
    Package("monai", needs=("einops", "nibabel"), program="check_monai.py"),
    Package(
        "small",
        (
            "torch-ema",
            "ema-pytorch",
            "lion-pytorch",
            "rotary-embedding-torch",
            "vector-quantize-pytorch",
            "x-transformers",
            "vit-pytorch",
            "performer-pytorch",
            "linear-attention-transformer",
            "linformer",
            "local-attention",
            "axial-positional-embedding",
            "product-key-memory",
            "colt5-attention",
            "hyper-connections",
            "torch-einops-utils",
            "pytorch-msssim",
            "piq",
            "torchinfo",
            "torchsummary",
            "captum",
            "torchdiffeq",
            "torchsde",
            "trampoline",
            "gpytorch",
            "linear_operator",
            "pytorch-metric-learning",
            "skorch",
            "pytorch-ignite",
            "higher",
            "accelerate",
        ),
        (*LUCID, "scikit-learn", "matplotlib", "tabulate", "pandas", "jaxtyping", "huggingface_hub", "psutil"),
        program="check_small.py",
    ),
)


def python_of(package: Package) -> Path:
    """The interpreter of the package's environment, which is made where it is not there."""
    home = WORK / package.name / "venv"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (home / "complete").exists():
        venv.create(home, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        own = () if package.name == "small" else (package.name,)
        without = {name for name in package.needs if name in ("transformers", "accelerate")}
        subprocess.run([*install, *COMMON, *(n for n in package.needs if n not in without)], check=True)
        subprocess.run([*install, "--no-deps", *own, *package.alone, *without], check=True)
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.strip()
        (Path(site) / "corten.pth").write_text(str(ROOT / "python"), encoding="utf-8")
        if any((Path(site) / name).exists() for name in ("torch", "torchvision")):
            raise SystemExit(f"{package.name}: something brought PyTorch into {home}")
        (home / "complete").touch()
    return python


def source_of(package: Package, python: Path) -> Path:
    """The folder of the package's unpacked source distribution."""
    folder = WORK / package.name / "source"
    if not folder.exists():
        folder.mkdir(parents=True)
        fetch = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package.name]
        wanted = f"{package.name}=={version_of(package, python)}"
        subprocess.run([*fetch, "-d", str(folder), wanted], check=False)
        for archive in folder.glob("*.tar.gz"):
            with tarfile.open(archive) as file:
                file.extractall(folder, filter="data")
    found = [path for path in folder.iterdir() if path.is_dir()]
    if not found:
        raise SystemExit(f"{package.name}: the source distribution was not found")
    return found[0] / package.folder


def version_of(package: Package, python: Path) -> str:
    """The version that is installed."""
    if package.name == "small":
        return ""
    code = f"from importlib.metadata import version; print(version({package.name!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def pytest_run(package: Package, python: Path, what: str, arguments: list[str], folder: Path) -> dict:
    """Runs pytest and reads what passed and failed: counts, and the causes by how often they come."""
    report = WORK / package.name / f"{what}.xml"
    report.unlink(missing_ok=True)
    command = [str(python), "-m", "corten", "run", "-m", "pytest", "-q", f"--junitxml={report}"]
    command += ["-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:warnings", "--tb=short", "--timeout=300"]
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    environment = dict(
        os.environ, PATH=path, PYTHONPATH=str(PROGRAMS), HF_HUB_OFFLINE="1", EINOPS_TEST_BACKENDS="numpy,torch"
    )
    with open(report.with_suffix(".log"), "w", encoding="utf-8") as log:
        subprocess.run([*command, *arguments], cwd=folder, env=environment, stdout=log, stderr=log, check=False)
    counts: collections.Counter[str] = collections.Counter()
    causes: collections.Counter[str] = collections.Counter()
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else []
    for case in cases:
        kinds = {child.tag: child for child in case if child.tag in ("failure", "error", "skipped")}
        counts[next(iter(kinds), "passed")] += 1
        for kind in ("failure", "error"):
            if kind in kinds:
                causes[cause(kinds[kind].text or kinds[kind].get("message", ""))] += 1
    return {"what": what, "counts": counts, "causes": causes}


def cause(text: str) -> str:
    """The line of a failure's text that names the exception, else the last one."""
    lines = [line.strip().removeprefix("E ").strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if ": " in line and line.split(": ")[0].split(".")[-1].endswith(("Error", "Name"))]
    return (named or lines or [""])[-1][:160]


def check(package: Package) -> list[dict]:
    """Runs all of a package."""
    python, found = python_of(package), []
    options = list(package.options)
    if package.examples:
        doctest = ["--doctest-modules", "--doctest-ignore-import-errors", "--pyargs", package.examples]
        flags = ["-p", "examples", "-o", "doctest_optionflags=NORMALIZE_WHITESPACE ELLIPSIS IGNORE_EXCEPTION_DETAIL"]
        found.append(pytest_run(package, python, "examples", [*doctest, *flags, *options], WORK / package.name))
    if package.tests:
        found.append(
            pytest_run(package, python, "tests", [*package.tests, *options], prepared(source_of(package, python)))
        )
    if package.program:
        found.append(pytest_run(package, python, "program", [str(PROGRAMS / package.program)], WORK / package.name))
    return found


def prepared(folder: Path) -> Path:
    """The folder of tests; safetensors' write into a folder that its archive has not."""
    (folder / "tests" / "data").mkdir(parents=True, exist_ok=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="packages; all by default")
    parser.add_argument("--list", action="store_true", help="list the packages and end")
    options = parser.parse_args()
    known = {package.name: package for package in PACKAGES}
    if options.list:
        print("\n".join(known))
        return
    if unknown := set(options.names) - set(known):
        parser.error(f"no package is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    print("| package | version | run | passed | failed | skipped | why |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.names or known:
        for result in check(known[name]):
            counts, causes = result["counts"], result["causes"]
            why = "; ".join(f"{count} × {text}" for text, count in causes.most_common(4)).replace("|", "\\|")
            failed = counts["failure"] + counts["error"]
            version = version_of(known[name], python_of(known[name]))
            cells = (name, version, result["what"], counts["passed"], failed, counts["skipped"], why)
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
