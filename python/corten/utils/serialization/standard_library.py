"""Values of the standard library that `load` rebuilds with ``weights_only=False``: plain values, each checked here.

None of their constructors runs code of a file, opens anything, or takes time or memory beyond the file's own length.
"""

import argparse
import collections
import datetime
import decimal
import fractions
import pathlib
import re
import types
import uuid
from pickle import UnpicklingError

from .names import set_attributes

# Longer numbers take Python time that grows with the square of their length.
_MAX_DIGITS = 4300
_FRACTION = re.compile(r"-?\d+(/\d+)?", re.ASCII)
NAMESPACES = (argparse.Namespace, types.SimpleNamespace)


def _checked(kind, allowed, most):
    """A constructor of ``kind`` that takes at most so many arguments, each exactly of one of the types."""

    def make(*args):
        if len(args) > most or not all(type(arg) in allowed for arg in args):
            raise UnpicklingError(f"{kind.__name__} cannot be made of {', '.join(type(arg).__name__ for arg in args)}")
        return kind(*args)

    return make


def _decimal(*args):
    if len(args) != 1 or type(args[0]) is not str or len(args[0]) > _MAX_DIGITS:
        raise UnpicklingError("Decimal needs a text of digits")
    return decimal.Decimal(args[0])


def _fraction(*args):
    if len(args) == 1 and type(args[0]) is str and _FRACTION.fullmatch(args[0]) and len(args[0]) <= 2 * _MAX_DIGITS:
        return fractions.Fraction(args[0])
    if len(args) == 2 and all(type(arg) is int for arg in args):
        return fractions.Fraction(*args)
    raise UnpicklingError("Fraction needs a text 'numerator/denominator' or two integers")


def _deque(items=(), maxlen=None):
    if type(items) not in (list, tuple) or (maxlen is not None and type(maxlen) is not int):
        raise UnpicklingError("deque needs a list and a length")
    return collections.deque(items, maxlen)


def _uuid(*args):
    # An object without content: `build` gives it its number.
    if args:
        raise UnpicklingError("UUID is made without arguments")
    return uuid.UUID.__new__(uuid.UUID)


def _empty(kind):
    def make(*args):
        if args:
            raise UnpicklingError(f"{kind.__name__} is made without arguments")
        return kind()

    return make


def constructors():
    """From names in files to a class and to what is called in its place."""
    numbers = (int, float)
    parts = (int, str, bytes, datetime.timezone, datetime.timedelta)
    found = {
        "builtins.range": (range, _checked(range, (int,), 3)),
        # Protocol 2 has the name that it had in Python 2.
        "builtins.xrange": (range, _checked(range, (int,), 3)),
        "collections.deque": (collections.deque, _deque),
        "datetime.date": (datetime.date, _checked(datetime.date, (int, bytes, str), 3)),
        "datetime.time": (datetime.time, _checked(datetime.time, parts, 6)),
        "datetime.datetime": (datetime.datetime, _checked(datetime.datetime, parts, 9)),
        "datetime.timedelta": (datetime.timedelta, _checked(datetime.timedelta, numbers, 7)),
        "datetime.timezone": (datetime.timezone, _checked(datetime.timezone, parts, 2)),
        "decimal.Decimal": (decimal.Decimal, _decimal),
        "fractions.Fraction": (fractions.Fraction, _fraction),
        "uuid.UUID": (uuid.UUID, _uuid),
        "argparse.Namespace": (argparse.Namespace, _empty(argparse.Namespace)),
        "types.SimpleNamespace": (types.SimpleNamespace, _empty(types.SimpleNamespace)),
    }
    for kind in (
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
        pathlib.PurePath,
        pathlib.PosixPath,
        pathlib.WindowsPath,
        pathlib.Path,
    ):
        # Python 3.13 moved them.
        for module in ("pathlib", "pathlib._local"):
            found[f"{module}.{kind.__name__}"] = (kind, _checked(kind, (str,), 10_000))
    return found


def fill(instance, state):
    """Gives a value of one of these classes its state; False for other values."""
    kind = type(instance)
    if kind in NAMESPACES:
        set_attributes(instance, state)
        return True
    if kind is uuid.UUID:
        number = state.get("int") if isinstance(state, dict) else None
        safety = state.get("is_safe", 0) if isinstance(state, dict) else None
        if type(number) is not int or not 0 <= number < 1 << 128 or type(safety) not in (int, type(None)):
            raise UnpicklingError("the state of a UUID is not valid")
        instance.__setstate__({"int": number, **({"is_safe": safety} if "is_safe" in state else {})})
        return True
    return False
