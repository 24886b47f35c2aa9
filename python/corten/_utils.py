"""The names of ``torch._utils`` that programs use: flat buffers of tensors, device numbers, errors of workers."""

import importlib

import corten

from .nn.parameter import _rebuild_parameter, _rebuild_parameter_with_state  # noqa: F401  (their place in PyTorch)
from .utils.data.worker import WorkerError, _VerbatimKey

KeyErrorMessage = _VerbatimKey


class ExceptionWrapper(WorkerError):
    """An exception that goes to another thread or process, where ``reraise`` raises one of its class.

    Args:
        exc_info: as `sys.exc_info` gives it; that of the exception being handled where it is not given.
        where: said after the class, such as ``"in replica 0"``.
    """

    def __init__(self, exc_info=None, where="in background"):
        import sys

        super().__init__((sys.exc_info() if exc_info is None else exc_info)[1], where)


class classproperty:
    """A property of the class itself."""

    def __init__(self, func):
        self.func = func

    def __get__(self, instance, owner):
        return self.func(owner)


def is_compiling():
    """Whether a function is being recorded by `corten.compile`."""
    return corten.compiler.is_compiling()


def _flatten_dense_tensors(tensors):
    """The elements of all tensors one after the other, ``(N,)``; a copy."""
    return corten.cat([tensor.reshape(-1) for tensor in tensors]) if tensors else corten.empty(0)


def _unflatten_dense_tensors(flat, tensors):
    """The parts of ``flat (N,)`` as views with the shapes of ``tensors``: the inverse of `_flatten_dense_tensors`.

    Raises:
        RuntimeError: ``flat`` has fewer elements than all of them.
    """
    views, start = [], 0
    for tensor in tensors:
        count = tensor.numel()
        views.append(flat.narrow(0, start, count).view(tensor.shape))
        start += count
    return tuple(views)


def _take_tensors(tensors, size_limit):
    """Yields lists of tensors of one dtype and device, of at most ``size_limit`` bytes unless one alone has more."""
    waiting: dict = {}
    for tensor in tensors:
        group, size = waiting.get((tensor.dtype, tensor.device), ([], 0))
        more = tensor.numel() * tensor.element_size()
        if group and size + more > size_limit:
            yield group
            group, size = [], 0
        group.append(tensor)
        waiting[tensor.dtype, tensor.device] = group, size + more
    yield from (group for group, _ in waiting.values() if group)


def _reorder_tensors_as(tensors, ordered_tensors):
    """``tensors``, of which those of one type are in order, in the order of types of ``ordered_tensors``."""
    by_type: dict = {}
    for tensor in tensors:
        by_type.setdefault(tensor.type(), []).append(tensor)
    found = {kind: iter(group) for kind, group in by_type.items()}
    return tuple(next(found[tensor.type()]) for tensor in ordered_tensors)


def _element_size(dtype):
    """Bytes of an element.

    Raises:
        RuntimeError: ``dtype`` is none.
    """
    if not isinstance(dtype, corten.dtype):
        raise RuntimeError(f"expected torch.dtype, but got {type(dtype)}")
    return dtype.itemsize


def _get_all_device_indices():
    """The numbers of all GPUs."""
    return list(range(corten.cuda.device_count()))


def _get_device_index(device, optional=False, allow_cpu=False):
    """The number of a device: of an int the int, of the CPU -1 where ``allow_cpu``.

    Args:
        optional: the current device for None and for ``"cuda"`` without a number.

    Raises:
        ValueError: the device has no number.
    """
    if isinstance(device, str):
        device = corten.device(device)
    if isinstance(device, corten.device):
        if device.type == "cpu" and not allow_cpu:
            raise ValueError(f"Expected a non cpu device, but got: {device}")
        device = -1 if device.type == "cpu" else device.index
    if isinstance(device, int):
        return device
    if device is None and optional:
        return corten.cuda.current_device()
    raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")


def _import_dotted_name(name):
    """The object of a dotted name, whose first part is a module."""
    first, *rest = name.split(".")
    found = importlib.import_module(first)
    for part in rest:
        found = getattr(found, part)
    return found


def _rebuild_tensor(storage, storage_offset, size, stride):
    """A tensor on a storage, as pickles of PyTorch say it; offset and strides count elements."""
    return corten.empty(0, dtype=storage.dtype, device=storage.device).set_(storage, storage_offset, size, stride)


def _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None):
    """As `_rebuild_tensor`, with its ``requires_grad``; hooks and metadata are left out."""
    tensor = _rebuild_tensor(storage, storage_offset, size, stride)
    tensor.requires_grad = requires_grad
    return tensor


def __getattr__(name):
    from ._missing import missing

    raise missing(__name__, name)
