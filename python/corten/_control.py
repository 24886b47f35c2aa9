"""Names of programs' control flow and of files: `cond`, `fork` and `wait`, futures, tensors on files' memory."""

import types
from typing import Any

from . import _core


class AcceleratorError(RuntimeError):
    """What PyTorch raises for trouble on an accelerator; here such errors are RuntimeError and OutOfMemoryError."""


class FatalError(RuntimeError):
    """What PyTorch raises where it cannot go on; nothing here raises it."""


class JITException(RuntimeError):
    """What PyTorch's compiled scripts raise; nothing here raises it."""


class TracerWarning(Warning):
    """What PyTorch warns with where a trace may be wrong; nothing here is traced."""


class Future:
    """A value that is there, or will be set: ``wait()`` and ``value()`` give it.

    Work is never put off, so a future without a value that is waited for raises RuntimeError.
    """

    # `Future[Tensor]` in annotations.
    __class_getitem__: Any = classmethod(types.GenericAlias)

    def __init__(self, *, devices=None):
        self._value, self._error, self._done, self._callbacks = None, None, False, []

    def done(self):
        """Whether there is a value or an error."""
        return self._done

    def wait(self):
        """The value; raises the error that was set instead."""
        return self.value()

    def value(self):
        """The value; raises the error that was set instead, and RuntimeError where there is neither."""
        if not self._done:
            raise RuntimeError("the future has no value yet, and nothing runs that could set it")
        if self._error is not None:
            raise self._error
        return self._value

    def _finish(self, value, error):
        if self._done:
            raise RuntimeError("Future can only be marked completed once")
        self._value, self._error, self._done = value, error, True
        for callback in self._callbacks:
            callback(self)

    def set_result(self, result):
        """Sets the value and runs what waits for it."""
        self._finish(result, None)

    def set_exception(self, result):
        """Sets an error, which :meth:`wait` raises.

        Raises:
            AssertionError: ``result`` is not an exception.
        """
        assert isinstance(result, Exception), f"{result} is of type {type(result)}, not an Exception."
        self._finish(None, result)

    def add_done_callback(self, callback):
        """Runs ``callback(future)`` when there is a value, at once where there is one."""
        if self._done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def then(self, callback):
        """A future of what ``callback(future)`` returns."""
        following = Future()

        def run(future):
            try:
                following.set_result(callback(future))
            except Exception as error:
                following.set_exception(error)

        self.add_done_callback(run)
        return following


def fork(func, *args, **kwargs):
    """Calls the function at once and returns its result as a :class:`Future`, which :func:`wait` gives."""
    future = Future()
    try:
        future.set_result(func(*args, **kwargs))
    except Exception as error:
        future.set_exception(error)
    return future


def wait(future):
    """The result of a function that was given to :func:`fork`."""
    return future.wait()


def cond(pred, true_fn, false_fn, operands=()):
    """``true_fn(*operands)`` where ``pred`` holds, else ``false_fn(*operands)``; only one of them is called.

    Args:
        pred: a bool, or a bool tensor with one element, whose value is read.

    Raises:
        RuntimeError: ``pred`` is neither, a function is not callable, or the operands are not a tuple or list.
    """
    if isinstance(pred, _core.Tensor):
        if pred.numel() != 1 or pred.dtype != _core.bool:
            raise RuntimeError(f"Expected pred to be bool or single-element bool tensor, but got {pred}.")
    elif not isinstance(pred, (bool, int)):
        raise RuntimeError(f"Expected pred to be bool or tensor, but got {pred}.")
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("Expect both branches to be callable.")
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(f"Expect operands to be a tuple or list, but got {operands}.")
    return (true_fn if pred else false_fn)(*operands)


def from_file(
    filename,
    shared=None,
    size=0,
    *,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """A tensor ``(size,)`` on the memory of a file.

    Args:
        shared: whether writes reach the file, which is made or grows where it is too short.
        size: the number of elements.

    Raises:
        RuntimeError: the file cannot be opened, or is shorter than the tensor and not shared.
        NotImplementedError: for devices other than the CPU, whose memory a file cannot be.
    """
    from .storage import _map_file

    if device is not None and _core.device(device).type != "cpu":
        raise NotImplementedError(f"from_file: a file cannot be the memory of device '{device}'; move the tensor there")
    mapped = _map_file(filename, shared, size, _core.get_default_dtype() if dtype is None else dtype)
    return mapped.requires_grad_() if requires_grad else mapped


def get_device_module(device=None):
    """The package of a device's kind: ``corten.cuda``, ``corten.gpu`` or ``corten.cpu``.

    Raises:
        RuntimeError: the kind has none.
    """
    import importlib

    kind = (_core.get_default_device() if device is None else _core.device(device)).type
    if kind not in ("cuda", "gpu", "cpu"):
        raise RuntimeError(f"Device '{kind}' does not have a corresponding module registered as 'corten.{kind}'.")
    return importlib.import_module(f"corten.{kind}")


def _symbol(name, kind):
    def __new__(cls, *args):
        raise NotImplementedError(f"corten.{name}: sizes and numbers are Python's own; use {kind.__name__}")

    return type(name, (), {"__new__": __new__, "__doc__": f"No object is one: a size or number is {kind.__name__}."})


SymInt, SymFloat, SymBool = _symbol("SymInt", int), _symbol("SymFloat", float), _symbol("SymBool", bool)
