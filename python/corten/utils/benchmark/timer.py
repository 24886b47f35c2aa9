"""The timer: how long a statement takes, with its tensors computed."""

import contextlib
import enum
import textwrap
import timeit

import corten

from .measurement import Measurement, TaskSpec

# A round lasts this long at least, so that reading the clock does not count.
_ROUND_MIN = 0.01


class Language(enum.Enum):
    """The language of a statement; C++ is not there."""

    PYTHON = 0
    CPP = 1


def timer():
    """Seconds on the clock once all work that was asked for is done, on a GPU too."""
    corten.flush()
    if corten.cuda.is_available():
        corten.cuda.synchronize()
    return timeit.default_timer()


@contextlib.contextmanager
def set_torch_threads(n):
    """The engine has ``n`` threads inside the block."""
    before = corten.get_num_threads()
    try:
        corten.set_num_threads(n)
        yield
    finally:
        corten.set_num_threads(before)


def _run_and_compute(stmt):
    """The statement with a line behind it that computes what it asked for.

    Operators are recorded and run later, and what nobody can read any more does not run. So the value of an expression
    is held until then, and every run ends like a step of training: with a flush.
    """
    import ast

    stmt = textwrap.dedent(stmt).strip()
    body = ast.parse(stmt).body
    if body and isinstance(body[-1], ast.Expr):
        last = body[-1]
        lines = stmt.split("\n")
        head = "\n".join([*lines[: last.lineno - 1], lines[last.lineno - 1].encode()[: last.col_offset].decode()])
        stmt = f"{head}_corten_value = (\n{ast.get_source_segment(stmt, last.value)}\n)"
    return f"{stmt}\n_corten_flush()"


class Timer:
    """Measures how long a statement takes, as `timeit.Timer` does, with as many threads as are said.

    Every run ends with the tensors of the statement computed; on a GPU each round ends with all work done.

    Args:
        stmt: the statement, as text.
        setup: run before each measurement, outside the time.
        global_setup: for C++, must be empty.
        timer: the clock, in seconds.
        globals: the names that ``stmt`` and ``setup`` see; ``corten`` and ``torch`` are there without.
        label, sub_label, description: table, row and column of the result in `Compare`.
        env: tells apart results that are alike in everything else.
        num_threads: threads of the engine.
        language: ``"python"``.

    Raises:
        ValueError: the statement is no text, or in C++.
        SyntaxError: it is no Python.

    >>> Timer("x + 1", setup="x = torch.ones(3)").timeit(1000)
    """

    def __init__(
        self,
        stmt="pass",
        setup="pass",
        global_setup="",
        timer=timer,
        globals=None,
        label=None,
        sub_label=None,
        description=None,
        env=None,
        num_threads=1,
        language=Language.PYTHON,
    ):
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if language not in (Language.PYTHON, "py", "python"):
            raise ValueError(f"Timer: statements are Python, got language={language!r}")
        if global_setup:
            raise ValueError("global_setup is C++ only, got non-empty string")
        names = {"corten": corten, "torch": corten, **(globals or {}), "_corten_flush": corten.flush}
        self._task_spec = TaskSpec(
            stmt=textwrap.dedent(stmt).strip(),
            setup=textwrap.dedent(setup).strip(),
            label=label,
            sub_label=sub_label,
            description=description,
            env=env,
            num_threads=num_threads,
        )
        self._timer = timeit.Timer(_run_and_compute(stmt), textwrap.dedent(setup).strip(), timer, names)

    def timeit(self, number=1000000):
        """One round of ``number`` runs, after some that are not counted."""
        with set_torch_threads(self._task_spec.num_threads):
            self._timer.timeit(max(number // 100, 2))
            return self._result(number, [self._timer.timeit(number)])

    def _result(self, number, times):
        return Measurement(number_per_run=number, raw_times=times, task_spec=self._task_spec)

    def _number_per_round(self, min_run_time):
        """Runs that take a thousandth of the time together, or what a round must take; times grow with the number."""
        number, least = 1, max(min_run_time / 1000, min(_ROUND_MIN, min_run_time / 2))
        self._timer.timeit(2)
        while True:
            taken = self._timer.timeit(number)
            if taken >= least:
                return number
            number = max(2 * number, int(number * min(10.0, least / max(taken, 1e-9))))

    def blocked_autorange(self, callback=None, min_run_time=0.2):
        """Rounds of equal numbers of runs until they took ``min_run_time`` seconds together.

        Args:
            callback: called as ``callback(number, seconds)`` after each round.
        """
        with set_torch_threads(self._task_spec.num_threads):
            number = self._number_per_round(min_run_time)
            times = []
            while not times or sum(times) < min_run_time:
                self._add_round(number, times, callback)
        return self._result(number, times)

    def adaptive_autorange(self, threshold=0.1, *, min_run_time=0.01, max_run_time=10.0, callback=None):
        """As `blocked_autorange`, until the range between quartiles is at most ``threshold`` of the median.

        Args:
            min_run_time, max_run_time: seconds after which that is looked at, and after which it ends anyway.
        """
        with set_torch_threads(self._task_spec.num_threads):
            number = self._number_per_round(min_run_time)
            times = []
            while sum(times) < max_run_time:
                self._add_round(number, times, callback)
                enough = len(times) > 3 and sum(times) >= min_run_time
                if enough and self._result(number, times).meets_confidence(threshold):
                    break
        return self._result(number, times)

    def _add_round(self, number, times, callback):
        times.append(self._timer.timeit(number))
        if callback is not None:
            callback(number, times[-1])

    def autorange(self, callback=None):
        """Not there, as in PyTorch; see `blocked_autorange`.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def collect_callgrind(self, number=100, *, repeats=None, collect_baseline=True, retain_out_file=False):
        """Not there.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("Timer.collect_callgrind: corten.profiler.profile lists kernels with time and FLOPs")
