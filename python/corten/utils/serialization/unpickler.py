"""A pickle machine that runs no code: it knows the opcodes of containers and numbers, and asks for every name.

Opcodes: PEP 307, PEP 3154 and PEP 574, as documented by ``pickletools``. Unlike the one in ``pickle`` it never imports
anything, sets attributes only on objects of known types, and allocates no more than its input is long.
"""

import collections
import struct
from pickle import UnpicklingError

from .names import check_key

# Names of protocols 0 to 2 that Python 3 moved.
_MOVED_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}

_SETITEM_TYPES = (dict, collections.OrderedDict, collections.Counter, collections.defaultdict)
_MARK = object()


class Source:
    """Bytes of a seekable file from its position on; asking for more than there are raises EOFError."""

    def __init__(self, file):
        self._file = file
        position = file.tell()
        self._end = file.seek(0, 2)
        file.seek(position)
        self._left = self._end - position

    def read(self, count):
        if count > self._left:
            raise EOFError("Ran out of input: the pickle in the file is cut short")
        self._left -= count
        data = self._file.read(count)
        if len(data) != count:
            raise EOFError("Ran out of input: the pickle in the file is cut short")
        return data

    def line(self):
        """Text up to the next line break, without it."""
        line = self._file.readline(self._left)
        self._left -= len(line)
        if not line.endswith(b"\n"):
            raise EOFError("Ran out of input: the pickle in the file is cut short")
        return line[:-1].decode()


class Unpickler:
    """Reads one pickle.

    Args:
        source: the bytes.
        names: an object with ``find(path)``, ``call(function, args)``, ``new(cls, args)``, ``build(instance, state)``
            and ``accepts_items(instance)``: it decides which names a pickle may use, and how.
        persistent_load: called with the tuple of a persistent id.
    """

    def __init__(self, source, names, persistent_load=None):
        self._read = source.read
        self._line = source.line
        self._names = names
        self._persistent_load = persistent_load

    def load(self):
        """The object in the pickle.

        Raises:
            EOFError: for a pickle that is cut short.
            UnpicklingError: for names that are not allowed, and for anything that no pickler writes.
        """
        self._stack = []
        self._memo = {}
        try:
            while True:
                opcode = self._read(1)[0]
                if opcode == _STOP:
                    return self._pop()
                handler = _HANDLERS.get(opcode)
                if handler is None:
                    raise UnpicklingError(f"Unsupported operand {opcode}")
                handler(self)
        except (UnpicklingError, EOFError, RuntimeError):
            raise
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
            raise UnpicklingError(f"the pickle is damaged ({type(error).__name__}: {error})") from error

    # -- stack -----------------------------------------------------------------------------------------------------

    def _push(self, value):
        self._stack.append(value)

    def _pop_mark(self):
        """Everything above the last mark, which goes away too."""
        stack = self._stack
        for at in range(len(stack) - 1, -1, -1):
            if stack[at] is _MARK:
                items = stack[at + 1 :]
                del stack[at:]
                return items
        raise UnpicklingError("the pickle is damaged (a mark is missing)")

    def _pop(self):
        value = self._stack.pop()
        if value is _MARK:
            raise UnpicklingError("the pickle is damaged (a mark is in the wrong place)")
        return value

    def _number(self, form, size):
        return struct.unpack(form, self._read(size))[0]

    def _remember(self, key):
        self._memo[key] = self._stack[-1]

    # -- containers ------------------------------------------------------------------------------------------------

    def _append(self, items):
        target = self._stack[-1]
        if type(target) is not list and type(target) is not collections.deque:
            raise UnpicklingError(f"Can only append to lists, but got {type(target)}")
        target.extend(items)

    def _set_items(self, items):
        target = self._stack[-1]
        if type(target) not in _SETITEM_TYPES and not self._names.accepts_items(target):
            raise UnpicklingError(f"Can only set items of dictionaries, but got {type(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            check_key(key)
            target[key] = value

    def _add_items(self, items):
        target = self._stack[-1]
        if type(target) is not set:
            raise UnpicklingError(f"Can only add to sets, but got {type(target)}")
        for item in items:
            check_key(item)
        target.update(items)

    def _frozen_set(self):
        items = self._pop_mark()
        for item in items:
            check_key(item)
        self._push(frozenset(items))

    def _tuple(self, count):
        at = len(self._stack) - count
        if at < 0 or any(item is _MARK for item in self._stack[at:]):
            raise UnpicklingError("the pickle is damaged (a tuple lacks members)")
        self._stack[at:] = [tuple(self._stack[at:])]

    # -- names -----------------------------------------------------------------------------------------------------

    def _global(self, module, name):
        if type(module) is not str or type(name) is not str:
            raise UnpicklingError("the pickle is damaged (a name is not text)")
        self._push(self._names.find(f"{_MOVED_MODULES.get(module, module)}.{name}"))

    def _global_line(self):
        module = self._line()
        self._global(module, self._line())

    def _global_stack(self):
        name = self._pop()
        self._global(self._pop(), name)

    def _arguments(self):
        args = self._pop()
        if type(args) is not tuple:
            raise UnpicklingError(f"the pickle is damaged (arguments are {type(args)})")
        return args

    def _reduce(self):
        args = self._arguments()
        self._push(self._call(self._pop(), args))

    def _call(self, function, args):
        return self._names.call(function, args)

    def _new(self):
        args = self._arguments()
        self._push(self._names.new(self._pop(), args))

    def _build(self):
        state = self._pop()
        self._names.build(self._stack[-1], state)

    def _persistent(self):
        key = self._pop()
        if self._persistent_load is None or type(key) is not tuple:
            raise UnpicklingError(f"persistent_load id must be tuple, but got {type(key)}")
        self._push(self._persistent_load(key))


class NameOnlyUnpickler(Unpickler):
    """Goes through a pickle without making anything: calls give None. Persistent ids are loaded as usual."""

    def _call(self, function, args):
        return _Nothing()

    def _new(self):
        args = self._arguments()
        self._pop()
        self._push(_Nothing(*args))

    def _build(self):
        self._pop()

    def _append(self, items):
        """Nothing looks at the container."""

    _set_items = _add_items = _append


class _Nothing:
    def __init__(self, *args):
        pass


def _long(data):
    return int.from_bytes(data, "little", signed=True)


def _integer_line(text):
    # Protocol 0 writes booleans as the integers 00 and 01.
    return {"00": False, "01": True}.get(text) if text in ("00", "01") else int(text)


def _text(machine, form, size):
    return machine._read(machine._number(form, size)).decode("utf-8", "surrogatepass")


def _data(machine, form, size):
    return machine._read(machine._number(form, size))


def _duplicate(machine):
    machine._push(machine._stack[-1])


_STOP = ord(".")
_HANDLERS = {
    ord(code): handler
    for code, handler in {
        "\x80": lambda m: m._read(1),
        "\x95": lambda m: m._read(8),
        "(": lambda m: m._push(_MARK),
        "0": lambda m: m._stack.pop(),
        "1": lambda m: m._pop_mark(),
        "2": _duplicate,
        "N": lambda m: m._push(None),
        "\x88": lambda m: m._push(True),
        "\x89": lambda m: m._push(False),
        "I": lambda m: m._push(_integer_line(m._line())),
        "L": lambda m: m._push(int(m._line().rstrip("L"))),
        "J": lambda m: m._push(m._number("<i", 4)),
        "K": lambda m: m._push(m._read(1)[0]),
        "M": lambda m: m._push(m._number("<H", 2)),
        "\x8a": lambda m: m._push(_long(_data(m, "<B", 1))),
        "\x8b": lambda m: m._push(_long(_data(m, "<I", 4))),
        "F": lambda m: m._push(float(m._line())),
        "G": lambda m: m._push(m._number(">d", 8)),
        "V": lambda m: m._push(m._line().encode("latin-1").decode("raw-unicode-escape")),
        "X": lambda m: m._push(_text(m, "<I", 4)),
        "\x8c": lambda m: m._push(_text(m, "<B", 1)),
        "\x8d": lambda m: m._push(_text(m, "<Q", 8)),
        # Strings of Python 2.
        "T": lambda m: m._push(_data(m, "<I", 4).decode("utf-8", "surrogateescape")),
        "U": lambda m: m._push(_data(m, "<B", 1).decode("utf-8", "surrogateescape")),
        "B": lambda m: m._push(_data(m, "<I", 4)),
        "C": lambda m: m._push(_data(m, "<B", 1)),
        "\x8e": lambda m: m._push(_data(m, "<Q", 8)),
        "\x96": lambda m: m._push(bytearray(_data(m, "<Q", 8))),
        ")": lambda m: m._push(()),
        "]": lambda m: m._push([]),
        "}": lambda m: m._push({}),
        "\x8f": lambda m: m._push(set()),
        "t": lambda m: m._push(tuple(m._pop_mark())),
        "l": lambda m: m._push(m._pop_mark()),
        "d": lambda m: m._push(_as_dict(m._pop_mark())),
        "\x85": lambda m: m._tuple(1),
        "\x86": lambda m: m._tuple(2),
        "\x87": lambda m: m._tuple(3),
        "\x91": Unpickler._frozen_set,
        "a": lambda m: m._append([m._pop()]),
        "e": lambda m: m._append(m._pop_mark()),
        "s": lambda m: m._set_items([m._pop(), m._pop()][::-1]),
        "u": lambda m: m._set_items(m._pop_mark()),
        "\x90": lambda m: m._add_items(m._pop_mark()),
        "p": lambda m: m._remember(int(m._line())),
        "q": lambda m: m._remember(m._read(1)[0]),
        "r": lambda m: m._remember(m._number("<I", 4)),
        "\x94": lambda m: m._remember(len(m._memo)),
        "g": lambda m: m._push(m._memo[int(m._line())]),
        "h": lambda m: m._push(m._memo[m._read(1)[0]]),
        "j": lambda m: m._push(m._memo[m._number("<I", 4)]),
        "c": Unpickler._global_line,
        "\x93": Unpickler._global_stack,
        "R": lambda m: m._reduce(),
        "\x81": lambda m: m._new(),
        "b": lambda m: m._build(),
        "Q": Unpickler._persistent,
    }.items()
}


def _as_dict(items):
    result = {}
    for key, value in zip(items[::2], items[1::2], strict=True):
        check_key(key)
        result[key] = value
    return result
