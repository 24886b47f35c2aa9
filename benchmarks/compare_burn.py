"""corten beside burn, a framework in Rust, on one GPU: a matrix product, a convolution, a training step.

burn runs from `benchmarks/burn`, a program and a workspace of its own that is built here on the first run, which takes
many minutes. Both sides run in processes of their own, in turn, on the same adapter.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

from harness import (
    ROOT,
    ROUNDS,
    conditions,
    gpu_properties,
    medians,
    refuse_busy_machine,
    refuse_debug_build,
    rounds,
    seconds_within,
    shown,
    table,
    timed,
    write_between_markers,
)

BURN = ROOT / "benchmarks" / "burn"
TARGET = ROOT / "target" / "burn"
PROGRAM = TARGET / "release" / ("corten-bench-burn.exe" if os.name == "nt" else "corten-bench-burn")


def time_case(corten, case: str, step, options) -> None:
    """Times `step` as the program in Rust does: each call ends when the device has computed its result."""

    def synchronised():
        result = step()
        corten.gpu.synchronize()
        return result

    first = timed(synchronised)
    seconds_within(synchronised, options.warm_up)
    times = seconds_within(synchronised, options.seconds)
    measured = {"case": case, "seconds": statistics.median(times), "iterations": len(times), "first": first}
    print(json.dumps(measured), flush=True)


def run_corten(options) -> None:
    """The cases on corten; prints what `benchmarks/burn` prints for burn."""
    import corten
    import corten.nn.functional as F

    sys.path.insert(0, str(ROOT / "examples"))
    from quickstart import SIZE, network

    properties = gpu_properties()
    adapter = {"adapter": properties.name, "backend": properties.backend}
    print(json.dumps(adapter), flush=True)
    corten.set_default_device("gpu")

    n = options.matmul
    a, b = corten.rand(n, n), corten.rand(n, n)
    time_case(corten, f"matmul {n}", lambda: a @ b, options)

    images, channels, size, out = map(int, options.conv.split(","))
    x, w = corten.rand(images, channels, size, size), corten.rand(out, channels, 3, 3)
    case = f"conv2d 3x3 {images}x{channels}x{size}x{size} to {out}"
    time_case(corten, case, lambda: F.conv2d(x, w, padding=1), options)

    inputs, labels = corten.rand(options.batch, 1, SIZE, SIZE), corten.arange(options.batch) % 10
    model = network()
    optimizer = corten.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.02)

    def step():
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    time_case(corten, f"training step of the quickstart, batch {options.batch}", step, options)
    loss = step().item()
    if not loss < math.log(10):
        raise SystemExit(f"the network has not learnt: {loss}")


def on_software() -> bool:
    return gpu_properties().type == "Cpu"


def build_burn(shaders: str) -> None:
    command = ["cargo", "build", "--release", "--locked", "--target-dir", str(TARGET)]
    command += ["--features", "spirv"] if shaders == "spirv" else []
    subprocess.run([*command, "--manifest-path", str(BURN / "Cargo.toml")], check=True)


def burn_version() -> str:
    packages = tomllib.loads((BURN / "Cargo.lock").read_text())["package"]
    return next(package["version"] for package in packages if package["name"] == "burn")


def commands(options) -> dict[str, list[str]]:
    shared = [f"--{name}={getattr(options, name)}" for name in ("matmul", "conv", "batch", "warm_up", "seconds")]
    shared = [part.replace("warm_up", "warm-up") for part in shared]
    return {
        "corten": [sys.executable, str(Path(__file__).resolve()), "--child", *shared],
        "burn": [str(PROGRAM), f"--device={'software' if on_software() else 'default'}", *shared],
    }


def compare(options) -> str:
    """Runs the rounds and returns the report."""
    import corten

    results: dict[str, list[dict[str, float]]] = {"corten": [], "burn": []}
    adapters: dict[str, str] = {}
    before = conditions()
    for name, (adapter, *cases) in rounds(commands(options), options.rounds):
        adapters[name] = f"{adapter['adapter']}, {adapter['backend']}"
        if len(set(adapters.values())) > 1:
            raise SystemExit(f"the two sides use different adapters: {adapters}")
        results[name].append({case["case"]: case["seconds"] for case in cases})
        print(f"{name}:", ", ".join(f"{case['case']} {shown(case['seconds'])}" for case in cases), file=sys.stderr)
    ours, theirs = medians(results["corten"]), medians(results["burn"])
    if ours.keys() != theirs.keys():
        raise SystemExit(f"the two sides ran different cases: {list(ours)} and {list(theirs)}")
    rows = [[case, shown(ours[case]), shown(theirs[case]), f"{theirs[case] / ours[case]:.2f}"] for case in ours]
    lines = [
        f"corten {corten.__version__} and burn {burn_version()} with kernels in {options.shaders.upper()}, on",
        f"{adapters['corten']}; {before}; medians of {options.rounds} rounds.",
        "",
        table(["case", "corten", "burn", "burn's time / corten's"], rows),
    ]
    return "\n".join(lines)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, help="processes of each side (%(default)s)")
    add("--matmul", type=int, default=512, help="rows and columns of the matrices (%(default)s)")
    add("--conv", default="4,64,56,64", help="images, channels, pixels a side, channels out (%(default)s)")
    add("--batch", type=int, default=64, help="images of a training step (%(default)s)")
    add("--warm-up", type=float, default=3.0, help="seconds before the clock counts, of each case (%(default)s)")
    add("--seconds", type=float, default=2.0, help="seconds of measuring, of each case and round (%(default)s)")
    add("--max-load", type=float, default=0.5 * (os.cpu_count() or 1), help="refuse to run above it (%(default)s)")
    add("--dry-run", action="store_true", help="run on a busy machine as well; the numbers mean nothing")
    add("--smoke", action="store_true", help="tiny sizes and one round, to see that all runs; implies --dry-run")
    add(
        "--shaders",
        choices=("spirv", "wgsl"),
        help="what burn writes kernels in; wgsl on a GPU in software, else spirv",
    )
    add("--no-build", action="store_true", help="take burn's program as it was built before")
    add("--write", action="store_true", help="write the table into docs/benchmarks.md")
    add("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.dry_run, options.rounds, options.matmul, options.conv = True, 1, 32, "1,4,8,4"
        options.batch, options.warm_up, options.seconds = 16, 0.5, 0.1
    if options.write and options.dry_run:
        parser.error("numbers of a dry run are not written down")
    return options


def main() -> None:
    options = parse_arguments()
    if options.child:
        run_corten(options)
        return
    refuse_debug_build()
    if not options.dry_run:
        refuse_busy_machine(options.max_load)
    options.shaders = options.shaders or ("wgsl" if on_software() else "spirv")
    if not options.no_build:
        build_burn(options.shaders)
    report = compare(options)
    print(report)
    if options.write:
        write_between_markers("burn", report)


if __name__ == "__main__":
    main()
