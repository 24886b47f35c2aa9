"""Tables of measurements: a table for each label, a column for each description, a row for each sub-label."""

import enum
import statistics

from .measurement import Measurement, select_unit, trim_sigfig, unit_to_english

_GOOD, _BEST, _BAD, _WORST, _PLAIN = (
    "\033[92m",
    "\033[92m\033[1m",
    "\033[2m\033[91m",
    "\033[31m\033[1m",
    "\033[0m\033[0m",
)


class Colorize(enum.Enum):
    """What the colours of a table compare: nothing, the columns of a row, or the rows of a column."""

    NONE = "none"
    COLUMNWISE = "columnwise"
    ROWWISE = "rowwise"


class Compare:
    """Shows measurements side by side; those of one task are put together.

    Args:
        results: what is shown.

    >>> Compare([first, second]).print()
    """

    def __init__(self, results):
        self._results: list = []
        self.extend_results(results)
        self._trims = self._warns = False
        self._colors = Colorize.NONE

    def extend_results(self, results):
        """Adds measurements.

        Raises:
            ValueError: one is no `Measurement`.
        """
        for result in results:
            if not isinstance(result, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(result)} instead.")
        self._results.extend(results)

    def trim_significant_figures(self):
        """Shows no more digits than the times are good for."""
        self._trims = True

    def colorize(self, rowwise=False):
        """Marks what is fast and slow: among the rows of a column, or among the columns of a row."""
        self._colors = Colorize.ROWWISE if rowwise else Colorize.COLUMNWISE

    def highlight_warnings(self):
        """Shows behind a time how much it varied, where it varied much."""
        self._warns = True

    def print(self):
        """Prints the tables."""
        print(str(self))

    def __str__(self):
        merged = Measurement.merge(self._results)
        labels = dict.fromkeys(one.task_spec.label or one.task_spec.stmt for one in merged)
        parts = []
        for label in labels:
            chosen = [one for one in merged if (one.task_spec.label or one.task_spec.stmt) == label]
            parts.append(_Table(label, chosen, self._trims, self._warns, self._colors).render())
        return "\n".join(parts)


class _Table:
    """One table: the cells as text, the widths of their columns, and the lines."""

    def __init__(self, label, results, trims, warns, colors):
        self.label, self.results = label, results
        self.trims, self.warns, self.colors = trims, warns, colors
        self.columns = list(dict.fromkeys(one.task_spec.description for one in results))
        self.threads = sorted({one.task_spec.num_threads for one in results})
        self.envs = list(dict.fromkeys(one.env for one in results))
        self.unit, self.seconds = select_unit(min(one.median for one in results))

    def _find(self, threads, env, row, column):
        for one in self.results:
            spec = one.task_spec
            if (spec.num_threads, one.env, one.as_row_name, spec.description) == (threads, env, row, column):
                return one
        return None

    def _digits(self, row):
        """Places after the point in a row: those of the time that is good for the fewest digits."""
        found = [one for one in row if one is not None]
        if not self.trims:
            return 1
        places = [
            one.significant_figures - len(str(int(trim_sigfig(one.median / self.seconds, one.significant_figures))))
            for one in found
        ]
        return max(0, min(places))

    def _cell(self, one, digits):
        if one is None:
            return ""
        value = one.median / self.seconds
        if self.trims:
            value = trim_sigfig(value, one.significant_figures)
        text = f"{value:.{digits}f}"
        if self.warns and one.has_warnings:
            text += f" (! {one.iqr / one.median * 100:.0f}%)"
        return text

    def _color(self, one, others):
        """The colour of a time among those that it is compared with."""
        times = [other.median for other in others if other is not None]
        if one is None or self.colors is Colorize.NONE or len(times) < 2:
            return ""
        best, middle = min(times), statistics.median(times)
        if one.median <= best * 1.03:
            return _BEST if one.median <= best else _GOOD
        if one.median >= middle * 2:
            return _WORST
        return _BAD if one.median > middle * 1.25 else ""

    def _rows(self):
        """Per number of threads: name and measurements of each row."""
        for threads in self.threads:
            rows = []
            for env in self.envs:
                names = [
                    one.as_row_name for one in self.results if (one.task_spec.num_threads, one.env) == (threads, env)
                ]
                for name in dict.fromkeys(names):
                    shown = f"({env}) {name}" if len(self.envs) > 1 else name
                    rows.append((shown, [self._find(threads, env, name, column) for column in self.columns]))
            yield threads, rows

    def render(self):
        """The table as text."""
        groups = list(self._rows())
        cells = {
            threads: [(name, row, [self._cell(one, self._digits(row)) for one in row]) for name, row in rows]
            for threads, rows in groups
        }
        names = [name for rows in cells.values() for name, _, _ in rows]
        first = 6 + max(map(len, names))
        heads = ["" if column is None else str(column) for column in self.columns]
        widths = [
            max(len(head), *(len(row[2][i]) for rows in cells.values() for row in rows)) + 2
            for i, head in enumerate(heads)
        ]
        whole = first + 2 + sum(widths) + len(widths)
        lines = ["[" + f" {self.label} ".center(max(whole - 2, len(self.label) + 4), "-") + "]"]
        lines.append(" " * first + "  |" + "|".join(head.center(w) for head, w in zip(heads, widths, strict=True)))
        for threads, rows in cells.items():
            lines.append(f"{threads} threads: ".ljust(whole, "-"))
            for name, row, texts in rows:
                column = [[other[1][i] for other in rows] for i in range(len(widths))]
                shown = [
                    self._painted(text.rjust(width - 1) + " ", self._color(one, column[i] if by_row else row))
                    for i, (one, text, width) in enumerate(zip(row, texts, widths, strict=True))
                    for by_row in [self.colors is Colorize.ROWWISE]
                ]
                lines.append(f"      {name}".ljust(first) + "  |" + "|".join(shown))
        ends = f"\nTimes are in {unit_to_english(self.unit)}s ({self.unit}).\n"
        if self.warns and any(one.has_warnings for one in self.results):
            ends += "(! XX%) Measurement has high variance, where XX is the IQR / median * 100.\n"
        return "\n".join([*(line.rstrip() for line in lines), ends])

    def _painted(self, text, color):
        return f"{color}{text}{_PLAIN}" if color else text
