"""What a timer measured: times with their median, spread and how many digits they are good for."""

import dataclasses
import math
import statistics
from functools import cached_property

_UNITS = (("ns", 1e-9, "nanosecond"), ("us", 1e-6, "microsecond"), ("ms", 1e-3, "millisecond"), ("s", 1.0, "second"))
# Measurements that vary more, as a share of the median, come with a warning.
_IQR_WARNS, _IQR_WARNS_LOUDLY = 0.1, 0.25
# Digits that are ever claimed.
_DIGITS = range(1, 6)
# Standard errors on either side of a value that 90 % of a normal distribution's means fall into.
_NINETY_PERCENT = 1.645


def select_unit(t):
    """The unit in which ``t`` seconds are at least one, from ns to s, with its seconds: ``("us", 1e-6)``."""
    name, seconds, _ = next((unit for unit in reversed(_UNITS) if unit[1] <= abs(t)), _UNITS[0])
    return name, seconds


def unit_to_english(u):
    """The name of a unit: ``"microsecond"`` of ``"us"``."""
    return {name: english for name, _, english in _UNITS}[u]


def trim_sigfig(x, n):
    """``x`` rounded to ``n`` significant digits.

    >>> trim_sigfig(123456, 3)
    123000.0
    """
    if x == 0:
        return float(x)
    return float(f"{x:.{n - 1}e}")


@dataclasses.dataclass(init=True, repr=False, eq=True, frozen=True)
class TaskSpec:
    """What was measured: the statement with its setup, and the labels under which tables list it."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self):
        """The label, or the statement, with the label below it."""
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        if "\n" not in self.stmt:
            return self.stmt
        rest = f": {self.sub_label}" if self.sub_label else ""
        return f"stmt:{rest}\n" + _indented(self.stmt)

    def setup_str(self):
        """The setup as a report says it, "" where there is none."""
        if self.setup in ("", "pass"):
            return ""
        return f"setup:\n{_indented(self.setup)}" if "\n" in self.setup else f"setup: {self.setup}"

    def summarize(self):
        """Title, description and setup, a line each."""
        return "\n".join(filter(None, (self.title, self.description, self.setup_str())))


def _indented(text):
    return "\n".join("  " + line for line in text.strip().split("\n"))


@dataclasses.dataclass(init=True, repr=False)
class Measurement:
    """Times of one task, in seconds.

    Args:
        number_per_run: how often the statement ran for each time.
        raw_times: seconds of each round of ``number_per_run`` runs.
        task_spec: what was measured; its fields are the measurement's too.
        metadata: kept.
    """

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict | None = None

    def __getattr__(self, name):
        if (name != "task_spec" and hasattr(TaskSpec, name)) or name in TaskSpec.__dataclass_fields__:
            return getattr(self.task_spec, name)
        raise AttributeError(f"'Measurement' object has no attribute {name!r}")

    @property
    def times(self):
        """Seconds of one run, for each round."""
        return [t / self.number_per_run for t in self.raw_times]

    @cached_property
    def median(self):
        """The median of `times`."""
        self._check()
        return statistics.median(self.times)

    @cached_property
    def mean(self):
        """The mean of `times`."""
        self._check()
        return statistics.fmean(self.times)

    @cached_property
    def _quartiles(self):
        self._check()
        times = sorted(self.times)

        def at(share):
            place = share * (len(times) - 1)
            low = math.floor(place)
            high = min(low + 1, len(times) - 1)
            return times[low] + (times[high] - times[low]) * (place - low)

        return at(0.25), at(0.75)

    @property
    def iqr(self):
        """The range between the quartiles of `times`, by which outliers are kept out."""
        return self._quartiles[1] - self._quartiles[0]

    @property
    def significant_figures(self):
        """Digits of the median that another measurement would give as well, 1 to 5, at a confidence of 90 %.

        From the standard error of the times between the quartiles.
        """
        self._check()
        times = sorted(self.times)
        inner = times[len(times) // 4 : math.ceil(3 * len(times) / 4)]
        if len(inner) < 2:
            return _DIGITS[0]
        error = _NINETY_PERCENT * statistics.stdev(inner) / math.sqrt(len(inner)) / self.median
        digits = math.ceil(-math.log10(error)) if error > 0 else _DIGITS[-1]
        return min(max(digits, _DIGITS[0]), _DIGITS[-1])

    @property
    def has_warnings(self):
        """Whether times vary so much that something else has slowed some of them."""
        return not self.meets_confidence(_IQR_WARNS)

    def meets_confidence(self, threshold=_IQR_WARNS):
        """Whether the range between quartiles is at most ``threshold`` of the median."""
        return self.iqr <= threshold * self.median

    @property
    def title(self):
        """The title of the task."""
        return self.task_spec.title

    @property
    def env(self):
        """What tells apart measurements of one task, such as a branch."""
        return "Unspecified env" if self.task_spec.env is None else str(self.task_spec.env)

    @property
    def as_row_name(self):
        """The name of its row in a table."""
        return self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]"

    def _check(self):
        if not self.raw_times:
            raise ValueError("this Measurement holds no times")

    def __repr__(self):
        rounds, runs = len(self.raw_times), self.number_per_run
        if not rounds:
            return f"{super().__repr__()}\n{self.task_spec.summarize()}\n  no times"
        name, unit = select_unit(self.median)

        def shown(t):
            return f"{t / unit:.2f}"

        count = f"{runs} runs, " if rounds == 1 else f"{runs} runs per measurement, "
        count = f"{rounds} measurement{'s' if rounds > 1 else ''}, {count}"
        threads = f"{self.task_spec.num_threads} thread{'s' if self.task_spec.num_threads > 1 else ''}"
        lines = [f"{object.__repr__(self)}", self.task_spec.summarize()]
        if rounds == 1:
            lines.append(f"  {shown(self.median)} {name}")
        else:
            low, high = self._quartiles
            lines.append(f"  Median: {shown(self.median)} {name}")
            lines.append(f"  IQR:    {shown(self.iqr)} {name} ({shown(low)} to {shown(high)})")
        lines.append(f"  {count}{threads}")
        if self.has_warnings:
            share = self.iqr / self.median * 100
            loud = share > _IQR_WARNS_LOUDLY * 100
            lines.append(f"  WARNING: Interquartile range is {share:.1f}% of the median measurement.")
            lines.append(f"           This {'suggests significant' if loud else 'could indicate system'} fluctuation.")
        return "\n".join(lines)

    __str__ = __repr__

    @staticmethod
    def merge(measurements):
        """One measurement for each task of several, with the times of all; those with equal numbers of runs as they
        are, others a run each.
        """
        by_task: dict = {}
        for measurement in measurements:
            by_task.setdefault(measurement.task_spec, []).append(measurement)
        merged = []
        for task, group in by_task.items():
            runs = group[0].number_per_run
            if all(one.number_per_run == runs for one in group):
                merged.append(Measurement(runs, [t for one in group for t in one.raw_times], task))
            else:
                merged.append(Measurement(1, [t for one in group for t in one.times], task))
        return merged
