"""How batches travel from workers to the main process: pickled through a pipe, large tensors through shared memory."""

import contextlib
import io
import os
import pickle
import queue
import struct
import threading

import corten

# Where files live in memory. Elsewhere everything goes through the pipe.
_SHARED_FOLDER = "/dev/shm"
# Bytes from which a file in memory is faster than a pipe.
_SHARED_FROM = 1 << 18
# The number of a request stands before the pickle, so that it is known where the pickle cannot be read.
_NUMBER = struct.Struct("<q")


class Sender:
    """Writes messages to a connection from a thread of its own, so that a full pipe never blocks the caller."""

    def __init__(self, connection):
        self._connection = connection
        self._messages = queue.SimpleQueue()
        self._thread = None

    def send(self, message):
        """Queues bytes. The thread starts with the first message: a process must not be forked beside it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="corten-sender", daemon=True)
            self._thread.start()
        self._messages.put(message)

    def _run(self):
        while (message := self._messages.get()) is not None:
            try:
                self._connection.send_bytes(message)
            except OSError:
                # The other side is gone; nobody waits for the rest.
                return

    def close(self, wait):
        """Ends the thread after the messages queued so far; ``wait`` waits until they are written."""
        if self._thread is not None:
            self._messages.put(None)
            if wait:
                self._thread.join()


def new_prefix():
    """Path prefix for the shared files of one loader's workers, or None where the platform has no such folder."""
    if not (os.name == "posix" and os.access(_SHARED_FOLDER, os.W_OK | os.X_OK)):
        return None
    return os.path.join(_SHARED_FOLDER, f"corten-{os.getpid()}-{os.urandom(6).hex()}-")


def remove_shared(prefix):
    """Removes shared files that nobody has received."""
    if prefix is None:
        return
    start = os.path.basename(prefix)
    for name in os.listdir(_SHARED_FOLDER):
        if name.startswith(start):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(_SHARED_FOLDER, name))


class Transport:
    """The worker's side: pickles messages and puts large tensors into shared files."""

    def __init__(self, prefix, worker_id):
        self._prefix = prefix
        self._worker_id = worker_id
        self._count = 0

    def dump(self, number, data):
        """The bytes that :func:`load` turns into ``(number, data)`` again."""
        buffer = io.BytesIO()
        buffer.write(_NUMBER.pack(number))
        _Pickler(buffer, self).dump(data)
        return buffer.getbuffer()

    def share(self, tensor):
        """Writes a tensor's elements to a new shared file; returns its path, or None where there is no room."""
        if self._prefix is None or tensor.numel() * tensor.element_size() < _SHARED_FROM:
            return None
        tensor = tensor.contiguous()
        size = tensor.numel() * tensor.element_size()
        start = tensor.storage_offset() * tensor.element_size()
        view = corten._core.storage_bytes(tensor)[start : start + size]
        path = f"{self._prefix}{self._worker_id}-{self._count}"
        self._count += 1
        try:
            # Writing, unlike mapping, reports a full file system as an error instead of a signal.
            with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb", buffering=0) as file:
                while view.nbytes:
                    view = view[file.write(view) :]
        except OSError:
            if os.path.exists(path):
                os.unlink(path)
            return None
        return path

    def remove_leftovers(self):
        """Removes the files of all workers when the main process has died."""
        remove_shared(self._prefix)


class _Pickler(pickle.Pickler):
    def __init__(self, file, transport):
        super().__init__(file, protocol=5)
        self._transport = transport

    def reducer_override(self, value):
        if type(value) is not corten.Tensor or value.requires_grad or value.device.type != "cpu":
            return NotImplemented
        path = self._transport.share(value)
        if path is None:
            return NotImplemented
        return _receive, (path, str(value.dtype).rpartition(".")[2], tuple(value.shape))


def _receive(path, dtype, shape):
    """Copies a shared file into a new tensor and removes the file."""
    import mmap

    with open(path, "rb") as file:
        os.unlink(path)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
            stride = [1] * len(shape)
            for axis in range(len(shape) - 2, -1, -1):
                stride[axis] = stride[axis + 1] * shape[axis + 1]
            with memoryview(memory) as view:
                return corten._core.tensor_from_bytes(view, getattr(corten, dtype), 0, shape, tuple(stride))


def load(message):
    """The ``(number, data)`` that a worker dumped; data that cannot be read becomes a :class:`WorkerError`."""
    from .worker import WorkerError

    number = _NUMBER.unpack_from(message)[0]
    try:
        return number, pickle.loads(memoryview(message)[_NUMBER.size :])
    except Exception as error:
        return number, WorkerError(error, "while a batch from a DataLoader worker process was received")
