"""How tensors are sent: by the descriptor of the memory that they are moved to."""

import os
import tempfile
import weakref
from mmap import mmap
from multiprocessing import reduction
from multiprocessing.reduction import ForkingPickler

import corten

# The shared memory of storages, by `storage_id`, for as long as their tensors live.
_shared: "weakref.WeakValueDictionary[int, _Memory]" = weakref.WeakValueDictionary()


class _Memory(mmap):
    """A file without a name in memory, mapped; it keeps its descriptor, by which others map it."""

    descriptor = -1

    def __del__(self):
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _mapped(descriptor, size):
    memory = _Memory(descriptor, size)
    memory.descriptor = descriptor
    return memory


def new_memory(size):
    """Memory of so many bytes that processes can share: forked ones alone where descriptors cannot be sent."""
    if os.name != "posix":
        return mmap(-1, size)
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("corten")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, size)
    return _mapped(descriptor, size)


def move_to_shared(tensor):
    """Moves a tensor's storage into memory that other processes can map."""
    memory = new_memory(max(corten._core.storage_nbytes(tensor), 1))
    corten._core.move_storage(tensor, memory)
    if isinstance(memory, _Memory):
        _shared[corten._core.storage_id(tensor)] = memory


def reduce_tensor(tensor):
    """What a tensor is pickled as on its way to another process.

    Raises:
        RuntimeError: for the result of an operator that requires grad: the graph stays in its process.
    """
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not "
            "support crossing "
            "process boundaries.  If you just want to transfer the data, call detach() on the tensor before "
            "serializing "
            "(e.g., putting it on the queue)."
        )
    memory = _memory_of(tensor)
    if memory is None:
        return tensor.__reduce_ex__(4)
    place = tensor.dtype, tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.requires_grad
    parameter = isinstance(tensor, corten.nn.Parameter)
    return rebuild_tensor, (reduction.DupFd(memory.descriptor), len(memory), parameter, *place)


def _memory_of(tensor):
    """The shared memory of a tensor, which is moved there; None where it has to be copied."""
    if tensor.device.type != "cpu" or tensor.numel() == 0 or os.name != "posix":
        return None
    if not is_shared(tensor):
        move_to_shared(tensor)
    return _shared.get(corten._core.storage_id(tensor))


def is_shared(tensor):
    """Whether other processes see a tensor's memory: it was moved there here, or received."""
    return corten._core.is_shared(tensor) or corten._core.storage_id(tensor) in _shared


def rebuild_tensor(descriptor, size, parameter, dtype, offset, shape, stride, requires_grad):
    """The tensor in the process that receives it."""
    memory = _mapped(descriptor.detach(), size)
    whole = corten.frombuffer(memory, dtype=dtype, count=size // dtype.itemsize)
    _shared[corten._core.storage_id(whole)] = memory
    tensor = whole.as_strided(shape, stride, offset)
    return corten.nn.Parameter(tensor, requires_grad) if parameter else tensor.requires_grad_(requires_grad)


def init_reductions():
    """Lets Python's multiprocessing send tensors this way."""
    ForkingPickler.register(corten.Tensor, reduce_tensor)
    ForkingPickler.register(corten.nn.Parameter, reduce_tensor)
