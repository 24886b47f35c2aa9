"""What `compare.py` measured: collected, saved and loaded, held against what the machine reaches, and in tables."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cpu_cases import PRODUCTS, Case
from harness import shown, table
from sides import title

# The mixes of streams that `peaks.rs` has, as reads and writes.
MIXES = ((0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (3, 1), (4, 1))
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def peak_request(case: Case, threads: int) -> str | None:
    """What `peaks.rs` is asked for the case: the rate of multiply-adds, or the bandwidth of such a mix and size."""
    if case.flops:
        return f"fma:{threads}"
    if not case.reads + case.writes:
        return None
    moved = case.reads + case.writes
    reads, writes = min(MIXES, key=lambda mix: abs(mix[0] / sum(mix) - case.reads / moved))
    return f"move:{reads}:{writes}:{round(moved)}:{threads}"


def reached(request: str, peaks: dict[str, float]) -> float | None:
    """What the machine reached in a request, or moved of a larger set with the same mix.

    What a larger set reaches a smaller one does too. Whether a set of the size of the shared cache stays there is luck,
    so that of two such sets the smaller may have been measured slower. Sets within a hundredth are of one size.
    """
    kind, *numbers = request.split(":")
    if kind == "fma":
        return peaks.get(request)
    *mix, size, threads = numbers

    def as_large(other: str) -> bool:
        what, *own = other.split(":")
        return what == kind and [*own[:-2], own[-1]] == [*mix, threads] and int(own[-2]) >= 0.99 * int(size)

    return max((rate for other, rate in peaks.items() if as_large(other)), default=None)


@dataclass
class Comparison:
    """Of sides whose last is ours. Numbers are by side and by the key of a case, a number for each round."""

    sides: list[str]
    threads: int
    about: list[str]
    scale: str = "full"
    dry: bool = False
    measured: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    peak_bytes: dict[str, dict[str, int]] = field(default_factory=dict)
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)

    def add(self, side: str, lines: Sequence[dict]) -> None:
        """The lines that a round of a side printed, or `peaks.rs`."""
        for line in lines:
            if side == "peaks":
                self.peaks[line["request"]] = max(line["rate"], self.peaks.get(line["request"], 0.0))
            elif "skipped" in line:
                self.skipped.setdefault(side, {})[line["case"]] = line["skipped"]
            else:
                self.measured.setdefault(side, {}).setdefault(line["case"], []).append(line["value"])
                if "peak_bytes" in line:
                    self.peak_bytes.setdefault(side, {})[line["case"]] = line["peak_bytes"]

    def median(self, side: str, case: Case) -> float | None:
        values = self.measured.get(side, {}).get(case.key)
        return statistics.median(values) if values else None

    def ratio(self, side: str, case: Case) -> float | None:
        """The side's time over ours."""
        ours, theirs = self.median(self.sides[-1], case), self.median(side, case)
        return theirs / ours if ours and theirs else None

    def share(self, case: Case, seconds: float | None) -> float | None:
        """Of the peak that bounds the case."""
        request = peak_request(case, self.threads)
        peak = reached(request, self.peaks) if request else None
        if not peak or not seconds:
            return None
        return (case.flops or case.reads + case.writes) / seconds / peak

    def check_peaks(self, listed: Sequence[Case]) -> None:
        """A peak that a package exceeds was measured while something disturbed it: shares of it mean nothing."""
        for side in self.sides:
            for case in listed:
                values = self.measured.get(side, {}).get(case.key)
                share = self.share(case, min(values)) if values else None
                if share is not None and share > case.saving:
                    raise SystemExit(
                        f"the run is invalid: {title(side)} reaches {100 * share:.1f} % of what "
                        f"{peak_request(case, self.threads)} measured, in {case.key}"
                    )

    def save(self, path: str) -> None:
        fresh = Path(f"{path}.new")
        fresh.write_text(json.dumps(asdict(self), indent=1))
        fresh.replace(path)


def load(paths: Sequence[str]) -> Comparison:
    """What was saved to some files; a case that several have is that of the last, so a ratio is within one run."""
    runs = [Comparison(**json.loads(Path(path).read_text())) for path in paths]
    whole = runs[0]
    for run in runs[1:]:
        if (run.sides, run.threads, run.scale) != (whole.sides, whole.threads, whole.scale):
            raise SystemExit("the files are of other sides, threads or sizes")
        whole.dry |= run.dry
        whole.about += [line for line in run.about if line not in whole.about]
        whole.peaks = {name: max(rate, whole.peaks.get(name, 0.0)) for name, rate in (whole.peaks | run.peaks).items()}
        for side in whole.sides:
            for name in ("measured", "peak_bytes", "skipped"):
                getattr(whole, name).setdefault(side, {}).update(getattr(run, name).get(side, {}))
    return whole


def missing(found: Comparison, listed: Sequence[Case]) -> list[str]:
    """The cases that our side neither ran nor skipped."""
    ours = found.sides[-1]
    known = found.measured.get(ours, {}).keys() | found.skipped.get(ours, {}).keys()
    return [case.key for case in listed if case.key not in known]


def shown_bytes(count: float) -> str:
    for scale, unit in UNITS:
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"


def shown_value(case: Case, value: float | None) -> str:
    if value is None:
        return ""
    return shown_bytes(value) if case.unit == "bytes" else shown(value)


def shown_peak(request: str, rate: float) -> tuple[str, str]:
    """What was measured, and the rate, of a request to `peaks.rs`."""
    kind, *numbers = request.split(":")
    if kind == "fma":
        return "multiply-adds", f"{rate / 1e9:.3g} GFLOP/s"
    reads, writes, size, _ = map(int, numbers)
    return f"memory, {reads} read to {writes} written, {shown_bytes(size)}", f"{rate / 1e9:.3g} GB/s"


def row_of(found: Comparison, case: Case) -> dict[str, str]:
    """The cells of a case by the names of their columns."""
    *others, ours = found.sides
    row = {"case": case.name}
    for side in (ours, *others):
        row[title(side)] = shown_value(case, found.median(side, case))
    for side in others:
        ratio = found.ratio(side, case)
        row[f"{title(side)}'s time / {title(ours)}'s"] = f"{ratio:.2f}" if ratio else ""
    for side in (ours, *others):
        share = found.share(case, found.median(side, case))
        row[f"{title(side)} of peak"] = f"{100 * share:.0f} %" if share else ""
    for side in (ours, *others):
        peak = found.peak_bytes.get(side, {}).get(case.key)
        row[f"{title(side)}, bytes at most"] = shown_bytes(peak) if peak else ""
    return row


def report(found: Comparison, listed: Sequence[Case]) -> str:
    """What the machine reaches, a table for each group with the columns that have something to say, and the means."""
    text = []
    if found.peaks:
        requests = sorted(found.peaks, key=lambda request: [int(number) for number in request.split(":")[1:]])
        rates = dict(shown_peak(request, reached(request, found.peaks) or 0.0) for request in requests)
        text.append(f"**what the machine reaches**\n\n{table(['work', 'rate'], [[*row] for row in rates.items()])}")
    for group in dict.fromkeys(case.group for case in listed):
        rows = [row_of(found, case) for case in listed if case.group == group]
        rows = [row for row in rows if any(value for column, value in row.items() if column != "case")]
        if rows:
            columns = [column for column in rows[0] if any(row[column] for row in rows)]
            text.append(f"**{group}**\n\n{table(columns, [[row[column] for column in columns] for row in rows])}")
    return "\n\n".join([*text, *means(found, listed)])


def means(found: Comparison, listed: Sequence[Case]) -> Iterator[str]:
    for side in found.sides[:-1]:
        ratios = ratios_of(found, listed, side)
        if not ratios:
            continue
        mean = statistics.geometric_mean(ratios.values())
        text = f"Geometric mean of {title(side)}'s ratios in {len(ratios)} cases: {mean:.2f}"
        products = [ratio for case, ratio in ratios.items() if case.group in PRODUCTS]
        if products:
            text += f"; of products, convolutions and attention {statistics.geometric_mean(products):.2f}"
        yield f"{text}."


def ratios_of(found: Comparison, listed: Sequence[Case], side: str) -> dict[Case, float]:
    """The ratios of time that there are."""
    ratios = {case: found.ratio(side, case) for case in listed if case.unit == "s"}
    return {case: ratio for case, ratio in ratios.items() if ratio}
