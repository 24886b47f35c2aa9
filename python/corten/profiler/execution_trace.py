"""`ExecutionTraceObserver`: every operator that a program calls, with its arguments and results, as JSON.

The file follows PyTorch's execution traces, schema 1.1.1: https://github.com/mlcommons/chakra reads them.
"""

import datetime
import gzip
import json
import os
import threading
import time
import weakref

from .. import _core
from ..overrides import TorchFunctionMode
from . import session

SCHEMA = "1.1.1-chakra.0.0.4"
_PROCESS, _THREAD = "[pytorch|profiler|execution_trace|process]", "[pytorch|profiler|execution_trace|thread]"
# PyTorch's scopes of what is recorded: operators, ranges of users, and its own.
_OPERATOR, _USER, _OWN = 0, 6, 7
_TYPE_NAMES = {
    "float32": "float",
    "float64": "double",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "int64": "long int",
    "int32": "int",
    "int16": "short int",
    "int8": "signed char",
    "uint8": "unsigned char",
    "bool": "bool",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}


class _Numbers:
    """Numbers of nodes, tensors and storages, all different."""

    def __init__(self):
        self.last = 0
        self._tensors: dict[int, tuple] = {}
        self._storages: dict[int, int] = {}

    def next(self):
        """A number that nothing has."""
        self.last += 1
        return self.last

    def of_tensor(self, tensor):
        """The number of a tensor; an object that takes over the place of one that is gone has another."""
        known = self._tensors.get(id(tensor))
        if known is None or known[0]() is not tensor:
            known = self._tensors[id(tensor)] = (weakref.ref(tensor), self.next())
        return known[1]

    def of_storage(self, tensor):
        """The number of a tensor's storage."""
        key = _core.storage_id(tensor)
        if key not in self._storages:
            self._storages[key] = self.next()
        return self._storages[key]


def _described(value, numbers):
    """A value as traces write it: what it is, its shape, its type and its strides."""
    if isinstance(value, _core.Tensor):
        place = [numbers.of_tensor(value), numbers.of_storage(value), value.storage_offset(), value.numel()]
        short = str(value.dtype).rpartition(".")[2]
        kind = f"Tensor({_TYPE_NAMES.get(short, short)})"
        return [*place, value.element_size(), str(value.device)], list(value.shape), kind, list(value.stride())
    if isinstance(value, (list, tuple)):
        parts = [_described(part, numbers) for part in value]
        kind = f"GenericList[{','.join(part[2] for part in parts)}]"
        return [part[0] for part in parts], [part[1] for part in parts], kind, [part[3] for part in parts]
    if value is None:
        return "<None>", [], "None", []
    if isinstance(value, bool):
        return value, [], "Bool", []
    if isinstance(value, int):
        return value, [], "Int", []
    if isinstance(value, float):
        return value, [], "Double", []
    if isinstance(value, _core.device):
        return str(value), [], "Device", []
    return str(value), [], "String" if isinstance(value, str) else type(value).__name__, []


def _column(values, numbers):
    parts = [_described(value, numbers) for value in values]
    return dict(zip(("values", "shapes", "types", "strides"), ([p[i] for p in parts] for i in range(4)), strict=True))


def _schemas():
    """By an operator's name, the texts of its overloads."""
    found: dict[str, list[str]] = {}
    for name, _, texts in _core.op_signatures():
        found.setdefault(name, []).extend(text for text in texts if text not in found.get(name, ()))
    return found


def _node(number, name, parent, facts, inputs, outputs):
    kinds = {"seq_id": "int64", "op_schema": "string"}
    facts = {"fw_parent": 0, "seq_id": -1, "tid": 1, "fw_tid": 0, "op_schema": "", **facts}
    attributes = [{"name": k, "type": kinds.get(k, "uint64"), "value": v} for k, v in facts.items()]
    attributes += [
        {"name": k, "type": "string", "value": ""} for k in ("kernel_backend", "kernel_file", "tensor_range")
    ]
    return {
        "id": number,
        "name": name,
        "ctrl_deps": parent,
        "inputs": inputs,
        "outputs": outputs,
        "attrs": attributes,
    }


class _Trace:
    """The nodes of a trace; a node belongs to the range that is open."""

    def __init__(self):
        self.numbers, self.nodes, self.records = _Numbers(), [], 0
        self.start, self.schemas = time.perf_counter_ns() // 1000, _schemas()
        self.process = self.numbers.next()
        self.open = [self.process]
        self.open.append(self._add(self.numbers.next(), _THREAD, _OWN))

    def _add(self, number, name, scope, inputs=None, outputs=(), schema=""):
        facts = {"rf_id": self.records, "scope": scope, "op_schema": schema}
        self.records += 1
        inputs = _column((), self.numbers) if inputs is None else inputs
        self.nodes.append(_node(number, name, self.open[-1], facts, inputs, _column(outputs, self.numbers)))
        return number

    def operator(self, name, given, call):
        """Calls an operator and notes it."""
        number = self.numbers.next()
        inputs = _column(given, self.numbers)
        result = call()
        outputs = result if isinstance(result, (tuple, list)) else () if result is None else (result,)
        texts = self.schemas.get(name, [""])
        schema = next((text for text in texts if text.count(",") + 1 >= len(given)), texts[0])
        self._add(number, f"aten::{name}", _OPERATOR, inputs, outputs, schema and f"aten::{schema}")
        return result

    def begin(self):
        """A range begins: its number."""
        self.open.append(self.numbers.next())
        return self.open[-1]

    def end(self, number, name):
        """A range ends, and those that were left open inside it."""
        if number in self.open:
            del self.open[self.open.index(number) :]
            self._add(number, name, _USER)

    def written(self):
        """The whole file."""
        facts = {"rf_id": self.records, "scope": _OWN}
        nothing = _column((), self.numbers)
        return {
            "schema": SCHEMA,
            "pid": os.getpid(),
            "time": datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
            "start_ts": self.start,
            "nodes": [*self.nodes, _node(self.process, _PROCESS, self.process, facts, nothing, nothing)],
            "finish_ts": time.perf_counter_ns() // 1000,
        }


class _Mode(TorchFunctionMode):
    """Sees every operator of a thread."""

    _is_partial = True

    def __init__(self, trace):
        self.trace = trace

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", type(func).__name__)
        return self.trace.operator(name, [*args, *kwargs.values()], lambda: func(*args, **kwargs))


def _take_out(mode):
    """Ends a mode, and leaves those inside it as they are."""
    inner = []
    while (top := _core.function_modes()[-1]) is not mode:
        inner.append(top)
        _core.pop_function_mode()
    _core.pop_function_mode()
    for other in reversed(inner):
        _core.push_function_mode(other)


class ExecutionTraceObserver:
    """Writes down the operators that a thread calls (``torch.profiler.ExecutionTraceObserver``).

    Operators are noted as the program calls them, with shapes, dtypes and strides of what goes in and comes out; those
    of the backward pass, which the engine records itself, are not. Ranges of `record_function` are nodes too.

    Example::

        >>> observer = corten.profiler.ExecutionTraceObserver().register_callback("trace.json")
        >>> with corten.profiler.profile(execution_trace_observer=observer):
        ...     model(x)
    """

    def __init__(self):
        self._path = self._trace = self._mode = self._thread = None
        self._registered = False

    def __del__(self):
        self.cleanup()

    def register_callback(self, output_file_path):
        """Names the file, which is written by :meth:`unregister_callback`; with ``.gz`` at its end, compressed.

        Returns:
            The observer.
        """
        if not self._registered:
            self._path, self._trace, self._registered = os.fspath(output_file_path), _Trace(), True
        return self

    @property
    def is_registered(self):
        """Whether there is a file to write."""
        return self._registered

    @property
    def _execution_trace_running(self):
        return self._mode is not None

    def start(self):
        """From now on, notes what this thread calls; nothing where no file was named.

        Raises:
            RuntimeError: another observer is doing so.
        """
        if not self._registered or self._mode is not None:
            return
        if session.observer is not None:
            raise RuntimeError("ExecutionTraceObserver.start: another observer is running; stop it first")
        self._mode, self._thread, session.observer = _Mode(self._trace), threading.get_ident(), self._trace
        _core.push_function_mode(self._mode)

    def stop(self):
        """Stops noting; :meth:`start` goes on.

        Raises:
            RuntimeError: the thread is not the one that started.
        """
        if self._mode is None:
            return
        if self._thread != threading.get_ident():
            raise RuntimeError("ExecutionTraceObserver.stop: the thread that called start() has to call stop()")
        _take_out(self._mode)
        self._mode = session.observer = None

    def unregister_callback(self):
        """Stops, and writes the file."""
        if not self._registered:
            return
        self.stop()
        opened = gzip.open if self._path.endswith(".gz") else open
        with opened(self._path, "wt", encoding="utf-8") as file:
            json.dump(self._trace.written(), file)
        self._trace, self._registered = None, False

    def cleanup(self):
        """As :meth:`unregister_callback`."""
        self.unregister_callback()

    def get_output_file_path(self):
        """The path of the file; None where none was named."""
        return self._path
