"""Tells which calls with an effect outside of a recording are reached while a function is recorded.

What a function does depends on guarded things alone, so what a recording did not reach, its replays would not reach.
"""

import builtins
import contextlib
import functools
import sys
import threading

# Functions of Python's that work behind a stand-in. Others, as `locals`, look at the frame that calls them.
WATCHED = frozenset(["print", "input", "open", "next", "setattr", "delattr"])

_lock = threading.Lock()
_standing_in: dict = {}  # by name: the function itself, its stand-in, and for how many recordings that stands
_thread = threading.local()


def _stand_in(name, function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        reach = getattr(_thread, "reach", None)
        if reach is not None:
            reach(name, sys._getframe(1).f_globals.get("__name__"))
        return function(*args, **kwargs)

    return call


def _begin(name):
    function, stand_in, count = _standing_in.get(name, (None, None, 0))
    if count == 0:
        function = getattr(builtins, name)
        stand_in = _stand_in(name, function)
        setattr(builtins, name, stand_in)
    _standing_in[name] = function, stand_in, count + 1


def _end(name):
    function, stand_in, count = _standing_in[name]
    _standing_in[name] = function, stand_in, count - 1
    if count == 1:
        del _standing_in[name]
        if getattr(builtins, name) is stand_in:
            setattr(builtins, name, function)


@contextlib.contextmanager
def watch(names, reach):
    """Calls ``reach(name, module)`` in this block before a builtin of those names is called from a module's code.

    Other threads call the builtins as ever.
    """
    if not names:
        yield
        return
    with _lock:
        for name in names:
            _begin(name)
    before = getattr(_thread, "reach", None)
    _thread.reach = reach
    try:
        yield
    finally:
        _thread.reach = before
        with _lock:
            for name in names:
                _end(name)
