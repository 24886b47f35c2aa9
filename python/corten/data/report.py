"""`Report`: what `check` found, as text, as a dictionary and as pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ._check.embed import Embedding
    from ._check.gather import Samples

__all__ = ["Problem", "Report"]

WIDTH = 100  # of the text, in characters
LIST_MAX = 20  # entries of a list in the text

TITLES = {
    "samples": "Samples",
    "classes": "Class balance",
    "missing": "Missing values",
    "constant": "Constant and repeated features",
    "duplicates": "Duplicates",
    "outliers": "Outliers",
    "labels": "Labels",
    "leakage": "Leakage",
    "drift": "Drift",
}


class Problem(NamedTuple):
    """One finding.

    Attributes:
        section: the section of the report that has its details.
        severity: ``"problem"``, or ``"note"`` for what is often harmless.
        text: a sentence.
    """

    section: str
    severity: str
    text: str


class Report:
    """What `check` found.

    ``str(report)`` is readable, ``report["duplicates"]`` a section as a dictionary, ``report.to_dict()`` all of them
    with plain numbers and lists, ready for ``json.dump``, and ``report.plot(folder)`` draws them.

    Sections are ``samples``, ``classes``, ``missing``, ``constant``, ``duplicates``, ``outliers``, ``labels``, and with
    two sets ``leakage`` and ``drift``; those that do not apply are absent. Samples are named by their index.

    Attributes:
        problems: a list of `Problem`, the order that of the sections.
    """

    def __init__(self, samples: Samples, embedding: Embedding) -> None:
        self.problems: list[Problem] = []
        self.other: tuple[Samples, Embedding] | None = None
        self._samples = samples
        self._embedding = embedding
        self._sections: dict[str, dict[str, Any]] = {}

    def add(self, section: str, found: dict[str, Any]) -> None:
        """Adds a section."""
        self._sections[section] = found

    def problem(self, section: str, text: str) -> None:
        """Adds a finding that should be looked into."""
        self.problems.append(Problem(section, "problem", text))

    def note(self, section: str, text: str) -> None:
        """Adds a finding that is often harmless."""
        self.problems.append(Problem(section, "note", text))

    @property
    def ok(self) -> bool:
        """Whether there are no problems; notes do not count."""
        return not any(problem.severity == "problem" for problem in self.problems)

    def __contains__(self, section: str) -> bool:
        return section in self._sections

    def __getitem__(self, section: str) -> dict[str, Any]:
        if section not in self._sections:
            raise KeyError(f"the report has no section {section!r}; it has {', '.join(self._sections)}")
        return _Plain(self._sections[section])

    def to_dict(self) -> dict[str, Any]:
        """All sections and problems as dictionaries, lists, numbers and strings."""
        sections = {name: _plain(found) for name, found in self._sections.items()}
        return sections | {"problems": [problem._asdict() for problem in self.problems]}

    def __str__(self) -> str:
        found = self._sections["samples"]
        shape = "" if found["shape"] is None else f" of shape {tuple(found['shape'])}"
        other = f", {found['other_count']:,} in the other set" if "other_count" in found else ""
        lines = [f"{found['count']:,} {_spoken(found['kind'])}{shape}{other}"]
        for section, title in TITLES.items():
            if section in self._sections and section != "samples":
                lines += ["", title, *_details(section, self._sections[section])]
                marks = {"problem": "!", "note": "·"}
                texts = [p for p in self.problems if p.section == section]
                lines += [f"  {marks[p.severity]} {p.text}" for p in texts]
                if not texts:
                    lines.append("  nothing found")
        problems = sum(problem.severity == "problem" for problem in self.problems)
        lines += ["", f"{problems} problems (!), {len(self.problems) - problems} notes (·)"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        problems = sum(problem.severity == "problem" for problem in self.problems)
        return f"<Report of {len(self._samples):,} {_spoken(self._samples.kind)}: {problems} problems>"

    def plot(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Draws what was found into PNG files and returns their paths; the folder is made where it is missing.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from ._check.plots import draw

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return draw(folder, self._sections, (self._samples, self._embedding), self.other)


class _Plain(dict):
    """A section whose arrays become lists when they are asked for; writing into it writes into the section."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__(found)
        self._found = found

    def __getitem__(self, key: str) -> Any:
        return _plain(super().__getitem__(key))

    def __setitem__(self, key: str, value: Any) -> None:
        self._found[key] = value
        super().__setitem__(key, value)


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy as Python's."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _spoken(kind: str) -> str:
    return {"images": "images", "table": "rows of a table", "text": "texts"}[kind]


def _details(section: str, found: dict[str, Any]) -> list[str]:
    """Lines of figures, above the findings of a section."""
    if section == "classes":
        total = sum(found["counts"].values())
        most = max(found["counts"].values())
        width = max(len(name) for name in found["counts"])
        shown = sorted(found["counts"].items(), key=lambda item: -item[1])[:LIST_MAX]
        lines = [
            f"  {name:<{width}} {count:>9,} {count / total:>6.1%} {'█' * max(round(30 * count / most), 1)}"
            for name, count in shown
        ]
        hidden = len(found["counts"]) - len(shown)
        return lines + ([f"  … and {hidden} more"] if hidden else [])
    if section == "drift":
        lines = [
            f"  {row['name']:<24.24} KS {row['ks']:.3f}  p {row['p']:.1e}  PSI {row['psi']:.3f}"
            for row in found["features"][:5]
        ]
        return [*lines, f"  a classifier between the sets: area {found['classifier']['auc']:.3f}"]
    return []
