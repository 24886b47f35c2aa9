"""Runs the programs of examples/ in full and writes docs/gallery.md with their figures and pictures.

    scripts/gallery.py [--programs a,b] [--again] [--device gpu] [--page]

A program that has ended in this checkout is not run again, one that was cut off goes on from its checkpoint. What
ended is kept in docs/gallery, so that a program that is run anew elsewhere takes only its own place on the page.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
WORK = ROOT / "out" / "gallery"
PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "gallery"
RECORDS = PICTURES / "records.json"
WIDEST = 1000  # pixels of a picture on the page
COLORS = 128  # of a picture on the page, which keeps the repository small
RESULT = re.compile(r"RESULT (\S+) (\S+)=(\S+) target=(\S+)")
INTRODUCTION = """\
What the programs of `examples/` reach and draw, by `make gallery`, which runs them one after the other and
goes on where it was cut off. All ran on two CPU cores; the minutes are those of the clock, and most runs shared the
cores with others.
"""
# What is better the smaller it is has one of these words in its name; all else is better the larger it is.
LOWER = {"bits", "error", "frechet", "gap", "mae", "mape", "nats", "rmse"}


@dataclass
class Run:
    """A program that has ended: its lines `RESULT name metric=value target=value`, and its pictures in docs/gallery."""

    results: list[tuple[str, str, float, float]]
    pictures: list[str]
    minutes: float


def programs() -> list[str]:
    """Names of the examples, all of which end with a result."""
    return sorted(path.stem for path in EXAMPLES.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


def reached(metric: str, value: float, target: float) -> bool:
    return value <= target if LOWER & set(metric.split("_")) else value >= target


def run(name: str, device: str) -> None:
    """Runs a program to its end; its output is shown and kept."""
    folder, log = WORK / name, WORK / f"{name}.log"
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--out", str(folder), "--device", device]
    # Programs with several trainings keep a folder for each.
    goes_on = any(folder.glob("**/checkpoint.pt"))
    print(f"{name}: {'goes on' if goes_on else 'starts'}, {log} tells how far it is", flush=True)
    started = time.monotonic()
    with open(log, "a" if goes_on else "w", encoding="utf-8") as file:
        before = float((re.findall(r"^stopped after (\S+) s$", log.read_text("utf-8"), re.MULTILINE) or [0])[-1])
        try:
            code = subprocess.call(command + ["--resume"] * goes_on, stdout=file, stderr=file, cwd=ROOT)
        finally:
            seconds = before + time.monotonic() - started
            file.write(f"stopped after {seconds:.0f} s\n")
    if code:
        raise SystemExit(f"{name} failed with status {code}: {log}")
    found = RESULT.findall(log.read_text("utf-8"))
    if not found:
        raise SystemExit(f"{name} ended without a line RESULT: {log}")
    # A run that went on after its last line tells it again.
    last = {(title, metric): (float(value), float(target)) for title, metric, value, target in found}
    results = [(*names, *values) for names, values in last.items()]
    keep(name, results, sorted(folder.glob("*.png")), seconds / 60)
    ended_here(name).touch()


def ended_here(name: str) -> Path:
    """The file that says that a program has ended in this checkout."""
    return WORK / name / "ended"


def records() -> dict[str, Run]:
    """What has ended, here or where the page was made before, by the names of the programs."""
    found = json.loads(RECORDS.read_text("utf-8")) if RECORDS.exists() else {}
    return {name: Run(**record) for name, record in found.items()}


def keep(name: str, results: list, pictures: list[Path], minutes: float) -> None:
    """Puts what a program reached and drew in the place of what it did before."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    known = records()
    before = known[name].pictures if name in known else []
    for picture in pictures:
        shrink(picture, PICTURES / f"{name}-{picture.name}")
    known[name] = Run(results, [f"{name}-{picture.name}" for picture in pictures], round(minutes, 2))
    text = json.dumps({name: asdict(run) for name, run in sorted(known.items())}, indent=1)
    partial = RECORDS.with_suffix(".partial")
    partial.write_text(text + "\n", "utf-8")
    partial.replace(RECORDS)
    for old in set(before) - set(known[name].pictures):
        (PICTURES / old).unlink(missing_ok=True)


def shrink(source: Path, target: Path) -> None:
    """A picture in a size and with as many colours as a page needs."""
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    image.thumbnail((WIDEST, 4 * WIDEST))
    image.quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)


def spent(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{60 * minutes:.0f} seconds"


def section(name: str, ended: Run) -> list[str]:
    """A program on the page."""
    title = (ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text("utf-8"))) or name).splitlines()[0]
    lines = [f"## {name}", "", title, "", f"[`examples/{name}.py`](../examples/{name}.py), {spent(ended.minutes)}"]
    for title, metric, value, target in ended.results:
        verdict = "" if reached(metric, value, target) else ", **missed**"
        lines += ["", f"{title}: {metric} {value:g}, target {target:g}{verdict}"]
    for picture in ended.pictures:
        drawn = Path(picture).stem.removeprefix(f"{name}-")
        lines += ["", f"![{name}: {drawn}](gallery/{picture})"]
    return [*lines, ""]


def page(names: list[str]) -> str:
    """The page of what has ended of these programs."""
    known = records()
    ended = {name: known[name] for name in names if name in known}
    rows = [(name, *result) for name, one in ended.items() for result in one.results]
    lines = ["# Gallery", ""]
    lines += [INTRODUCTION]
    lines += ["| program | result | metric | value | target | reached |", "| --- | --- | --- | ---: | ---: | --- |"]
    for name, title, metric, value, target in rows:
        met = "yes" if reached(metric, value, target) else "**missed**"
        lines.append(f"| [{name}](#{name}) | {title} | {metric} | {value:g} | {target:g} | {met} |")
    absent = [name for name in names if name not in ended]
    if absent:
        lines += ["", "Not run to the end yet: " + ", ".join(f"`{name}`" for name in absent) + "."]
    lines.append("")
    for name, one in ended.items():
        lines += section(name, one)
    return "\n".join(lines)


def write_page(names: list[str]) -> None:
    PAGE.write_text(page(names), "utf-8")
    print("wrote", PAGE.relative_to(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--programs", help="only these, separated by commas")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--again", action="store_true", help="run those that have ended as well")
    parser.add_argument("--page", action="store_true", help="write the page of what is there, run nothing")
    args = parser.parse_args()
    names = programs()
    chosen = args.programs.split(",") if args.programs else names
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        parser.error(f"no program is called {', '.join(unknown)}; there are {', '.join(names)}")
    WORK.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONUNBUFFERED"] = "1"
    if not args.page:
        for name in chosen:
            if args.again and ended_here(name).exists():
                shutil.rmtree(WORK / name)
            if not ended_here(name).exists():
                run(name, args.device)
                write_page(names)
    write_page(names)


if __name__ == "__main__":
    main()
