"""`TorchVersion`: a version that is a string and compares by number, as ``torch.__version__`` does."""

import re as _re

__all__ = ["TorchVersion"]

# The versions of PEP 440: epoch, release, pre-, post- and development release, local part.
_PATTERN = _re.compile(
    r"\s*v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<pre_number>\d*))?"
    r"(?:-(?P<post_only>\d+)|[-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_number>\d*))?"
    r"(?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_number>\d*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*",
    _re.IGNORECASE,
)
_PHASES = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
_BEFORE_ALL, _AFTER_ALL = (-1,), (9,)


def _key(text):
    """A tuple that orders versions by PEP 440; None for what is no version."""
    found = _PATTERN.fullmatch(text)
    if found is None:
        return None
    release = [int(part) for part in found["release"].split(".")]
    while release and not release[-1]:
        release.pop()
    dev = (int(found["dev_number"] or 0),) if found["dev"] else _AFTER_ALL * 2
    post = (int(found["post_only"] or found["post_number"] or 0),) if found["post"] or found["post_only"] else ()
    if found["pre"]:
        pre = (_PHASES[found["pre"].lower()], int(found["pre_number"] or 0))
    elif found["dev"] and not post:
        pre = _BEFORE_ALL
    else:
        pre = _AFTER_ALL
    # A part of digits stands after one with letters, and the longer one after its beginning.
    parts = _re.split("[-_.]", found["local"].lower()) if found["local"] else []
    local = tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)
    return int(found["epoch"] or 0), tuple(release), pre, post, dev, local


def _text(value):
    """A version as text: of a string, a number of numbers such as ``(2, 1)``, or an object that prints as one."""
    if isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)):
        return ".".join(map(str, value))
    return str(value)


class TorchVersion(str):
    """A version string whose comparisons are those of versions: ``TorchVersion("2.10.0+x") > "2.9"``.

    It compares with strings, with tuples and lists of numbers (``>= (2, 0)``) and with ``packaging``'s versions, in the
    order of PEP 440. What is no version is compared as text.
    """

    __slots__ = ()

    def _order(self, other):
        """-1, 0 or 1."""
        text = _text(other)
        mine, theirs = _key(self), _key(text)
        if mine is None or theirs is None:
            mine, theirs = str(self), text
        return (mine > theirs) - (mine < theirs)

    def __eq__(self, other):
        return self._order(other) == 0

    def __ne__(self, other):
        return self._order(other) != 0

    def __lt__(self, other):
        return self._order(other) < 0

    def __le__(self, other):
        return self._order(other) <= 0

    def __gt__(self, other):
        return self._order(other) > 0

    def __ge__(self, other):
        return self._order(other) >= 0

    __hash__ = str.__hash__
