"""`FileCheck`: whether texts stand in a text, in an order."""

import re


class FileCheck:
    """Checks that are collected by its methods, which return the object, and made by :meth:`run`."""

    def __init__(self):
        self._checks = []

    def _add(self, kind, text, count=1):
        self._checks.append((kind, text, count))
        return self

    def check(self, text):
        """The text stands behind what was found before."""
        return self._add("check", re.escape(text))

    def check_regex(self, pattern):
        """As :meth:`check`, for a regular expression."""
        return self._add("check", pattern)

    def check_same(self, text):
        """The text stands in the same line as what was found before."""
        return self._add("same", re.escape(text))

    def check_next(self, text):
        """The text stands in the line after what was found before."""
        return self._add("next", re.escape(text))

    def check_not(self, text):
        """The text does not stand between what is found before and after it."""
        return self._add("not", re.escape(text))

    def check_count(self, text, count, exactly=False):
        """The text stands there so many times, and with ``exactly`` not once more."""
        self._add("check", re.escape(text), count)
        return self.check_not(text) if exactly else self

    def check_dag(self, text):
        """The text stands behind the last check that is not one of these, in any order with them."""
        return self._add("dag", re.escape(text))

    def run(self, text):
        """Makes the checks on the text, or on its representation.

        Raises:
            RuntimeError: one fails; the error names it.
        """
        text, position, end, absent = str(text), 0, 0, []
        for kind, pattern, count in self._checks:
            if kind == "not":
                absent.append(pattern)
                continue
            start = end
            for _ in range(count):
                region_start, region_end = self._region(kind, text, position, end)
                found = re.compile(pattern).search(text, region_start, region_end)
                if found is None:
                    raise RuntimeError(f"FileCheck: expected to find {pattern!r} ({kind}) behind {text[:end]!r}")
                end = max(end, found.end()) if kind == "dag" else found.end()
            self._check_absent(absent, text, start, found.start())
            absent = []
            if kind != "dag":
                position = end
        self._check_absent(absent, text, end, len(text))

    @staticmethod
    def _region(kind, text, position, end):
        """Where the next text may stand."""
        if kind == "dag":
            return position, len(text)
        line = text.find("\n", end)
        line = len(text) if line < 0 else line
        if kind == "same":
            return end, line
        if kind == "next":
            following = text.find("\n", line + 1)
            return line + 1, len(text) if following < 0 else following
        return end, len(text)

    @staticmethod
    def _check_absent(patterns, text, start, end):
        for pattern in patterns:
            if re.compile(pattern).search(text, start, end):
                raise RuntimeError(f"FileCheck: expected not to find {pattern!r} in {text[start:end]!r}")
