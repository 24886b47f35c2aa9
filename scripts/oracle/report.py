"""What the results come to: shares, and the wrong items grouped by cause."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import compare, modules, operators
from .pool import Results
from .worker import SUITES, suite

# What is noted beside right and wrong, and in which dtype it is looked at.
NOTES = {
    "strides": ("of the operators right in float32, PyTorch's strides", "float32"),
    "refusals": ("of the operators right in float32, PyTorch's classes of exceptions for wrong arguments", "float32"),
    "second": ("of the operators right in float64, gradients of second order", "float64"),
}


def shares(results: Results, device: str) -> list[tuple[str, int, int, int]]:
    """Rows of the table: what is counted, how many are right, how many have run, how many there are."""
    rows = []
    for name in SUITES:
        items = {key: results.of(name, key) for key in suite(name).entries()}
        wanted = {key: suite(name).dtypes_of(key) for key in items}
        single = {key: found["float32"] for key, found in items.items() if "float32" in found}
        takes = [key for key in items if "float32" in wanted[key]]
        right = sum(outcome["status"] == "right" for outcome in single.values())
        rows.append((f"{name} in float32", right, len(single), len(takes)))
        whole = {key: found for key, found in items.items() if set(wanted[key]) <= set(found)}
        right = sum(all(found[d]["status"] != "wrong" for d in wanted[key]) for key, found in whole.items())
        rows.append((f"{name} in all of their dtypes", right, len(whole), len(items)))
        if name == "operators":
            real = {key: [d for d in wanted[key] if not d.startswith("complex")] for key in whole}
            asked = [key for key in whole if real[key]]
            right = sum(all(whole[key][d]["status"] != "wrong" for d in real[key]) for key in asked)
            rows.append((f"{name} in all of their dtypes that are not complex", right, len(asked), len(asked)))
    if device != "cpu":
        return [row for row in rows if row[0].endswith("float32")]
    return [*rows, *(notes_of(results, kind)[0] for kind in NOTES)]


def notes_of(results: Results, kind: str) -> tuple[tuple[str, int, int, int], list[tuple[str, str]]]:
    """Of right operators those without a note of a kind as a row of the table, and the others with the note."""
    what, dtype = NOTES[kind]
    outcomes = {key: results.of("operators", key).get(dtype, {}) for key in suite("operators").entries()}
    right = {key: found for key, found in outcomes.items() if found.get("status") == "right"}
    asked = {key: found for key, found in right.items() if kind == "strides" or kind in found}
    noted = [(key, found[kind]) for key, found in asked.items() if found.get(kind)]
    return (what, len(asked) - len(noted), len(asked), len(asked)), noted


def wrong(results: Results, dtypes: tuple[str, ...] | None = None) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Every wrong outcome: suite, key, dtype and the outcome."""
    for name in SUITES:
        for key in suite(name).entries():
            for dtype, outcome in results.of(name, key).items():
                if outcome["status"] == "wrong" and (dtypes is None or dtype in dtypes):
                    yield name, key, dtype, outcome


def cause(outcome: dict[str, Any]) -> str:
    """What errors that have one cause have in common: the message without numbers, shapes and names of operators."""
    if outcome["kind"] == "missing":
        return "missing: complex dtypes" if "corten.complex" in outcome["error"] else "missing: names"
    text = outcome["error"]
    if outcome["kind"] in ("values", "gradient") and "not close" in text:
        return f"{outcome['kind']}: not close"
    if outcome["kind"] in ("values", "gradient") and "not equal" in text:
        return f"{outcome['kind']}: not equal"
    text = re.sub(r"^(\w+: )[\w.]+(\(\))?: ", r"\1…: ", text)  # the operator's name
    text = re.sub(r"[\[(][-\d., ]*[\])]", "(…)", text)
    text = re.sub(r"\b(?:float|complex|bfloat|u?int)\d+\b|\bbool\b", "DTYPE", text)
    text = re.sub(r"-?\d+(?:\.\d+)?", "N", text)
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", text)
    return f"{outcome['kind']}: {text[:90]}"


def by_cause(results: Results, dtypes: tuple[str, ...] | None = None) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The wrong items by cause, the most frequent first; each as name, dtypes and the error of the first."""
    groups: dict[str, dict[str, tuple[list[str], str]]] = defaultdict(dict)
    for name, key, dtype, outcome in wrong(results, dtypes):
        label = key if name == "operators" else f"{name} {key}"
        found = groups[cause(outcome)].setdefault(label, ([], outcome["error"]))
        found[0].append(dtype)
    listed = [
        (title, [(label, " ".join(found), error) for label, (found, error) in sorted(items.items())])
        for title, items in groups.items()
    ]
    return sorted(listed, key=lambda group: (-len(group[1]), group[0]))


def text(results: Results, device: str, dtypes: tuple[str, ...] | None = None) -> str:
    """Shares and wrong items for a terminal."""
    lines = [
        f"{what}: {right} of {ran} right ({percent(right, ran)}), {total - ran} not run"
        for what, right, ran, total in shares(results, device)
    ]
    for title, items in by_cause(results, dtypes):
        lines += ["", f"== {title} ({len(items)})"]
        lines += [f"{label} [{found}]: {error}" for label, found, error in items]
    return "\n".join(lines)


def page(folder: Path) -> str:
    """The part of docs/coverage.md that tells what the results come to, for every device that has some."""
    lines = [
        "`make parity` runs the samples of PyTorch's `op_db`, `module_db` and `optim_db` on both packages. Values,",
        "dtypes, shapes and gradients have to agree within `torch.testing.assert_close`'s tolerance, `op_db`'s where",
        f"that is wider, or {compare.ALLOWANCE} times PyTorch's distance from its result in float64. What is missing",
        "is wrong.",
        "",
        "| device | what | right | of | share |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    devices = [device for device in ("cpu", "gpu") if (folder / device).exists()]
    for device in devices:
        for what, right, ran, total in shares(Results(folder, device), device):
            if ran:
                unfinished = "" if ran == total else f" ({total - ran} have not run)"
                lines.append(f"| {device} | {what}{unfinished} | {right} | {total} | {percent(right, total)} |")
    for device in devices:
        lines += ["", f"### What is wrong on the {device.upper()}", "", *_causes(Results(folder, device))]
    for kind, (what, _) in NOTES.items():
        noted = notes_of(Results(folder, "cpu"), kind)[1]
        names = " ".join(f"`{key}`" for key, _ in noted)
        if noted:
            lines += ["", f"Not among {what.removeprefix('of ')}: {names}. The first: {noted[0][1]}."]
    return "\n".join([*lines, "", "### What is left out", "", *_exclusions()])


def _causes(results: Results) -> Iterator[str]:
    yield "| cause | items | the error of the first |"
    yield "| --- | --- | --- |"
    for title, items in by_cause(results):
        bare = title.startswith("missing")
        names = " ".join(f"`{label}`" if bare else f"`{label}` ({found})" for label, found, _ in items)
        first = items[0][2].replace("|", "\\|")
        yield f"| {title if bare else title.split(':')[0]} ({len(items)}) | {names} | {first} |"


def _exclusions() -> Iterator[str]:
    yield "* Not compared, since their public function is not in the list of names:"
    for name in SUITES:
        if left_out := suite(name).left_out():
            yield f"  {name}: {' '.join(f'`{key}`' for key in left_out)}."
    for reasons in (operators.SHAPES_ONLY, operators.RANDOM):
        for reason in dict.fromkeys(reasons.values()):
            yield f"* {' '.join(f'`{key}`' for key in reasons)}: {reason}. On a GPU this holds for all random numbers."
    for key, reason in operators.NUMERICAL.items():
        yield f"* `{key}`: {reason}."
    yield f"* {' '.join(f'`{key}`' for key in operators.TIES)}: {operators.AMONG_TIES}."
    yield f"* {' '.join(f'`{key}`' for key in sorted(operators.UP_TO_A_FACTOR))}: vectors are compared as `op_db` makes"
    yield "  them independent of their factors."
    yield f"* {' '.join(f'`{key}`' for key in modules.RANDOM)} in training: dtype and shape are compared."


def percent(part: int, whole: int) -> str:
    """A share with one decimal, rounded down, so that 100.0 % means all."""
    return f"{int(1000 * part / whole) / 10:.1f} %" if whole else "–"
