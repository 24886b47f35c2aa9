"""Averages gradients over processes while backward still computes others: buckets, in the order they become ready."""

import weakref

import corten

from .._control import Future
from . import _host, _mpi
from ._collectives import all_reduce, broadcast
from ._work import Work

# Bytes of the first bucket: small, so that processes have something to exchange early.
_DEFAULT_FIRST_BUCKET_BYTES = 1 << 20


class GradBucket:
    """The gradients that are averaged together, as a communication hook gets them."""

    def __init__(self, index, parameters, buffer, is_last):
        self._index, self._parameters, self._buffer, self._is_last = index, parameters, buffer, is_last

    def index(self):
        """The place in the order of buckets; that of the last parameters is 0."""
        return self._index

    def buffer(self):
        """The gradients in a row, a tensor ``(N,)``, as this process has them."""
        return self._buffer

    def set_buffer(self, tensor):
        """Replaces the buffer."""
        self._buffer = tensor

    def gradients(self):
        """The buffer as one view for each parameter, of its shape."""
        return _views(self._buffer, self._parameters)

    def parameters(self):
        """The parameters that the gradients belong to."""
        return list(self._parameters)

    def is_last(self):
        """Whether it is the last of a backward pass."""
        return self._is_last


def _views(buffer, parameters):
    parts = buffer.split([parameter.numel() for parameter in parameters])
    return [part.view(parameter.shape) for part, parameter in zip(parts, parameters)]


class _Bucket:
    """Parameters, as indices, whose gradients travel together, and where they are in this backward pass."""

    def __init__(self, indices):
        self.indices = indices
        self.missing = len(indices)
        self.result = None

    def reset(self):
        self.missing = len(self.indices)
        self.result = None


def make_buckets(parameters, first_limit, limit):
    """Lists of indices, from the last parameter to the first, of one dtype and device and at most so many bytes.

    Backward makes the gradients of the last layers first. A parameter larger than the limit has a bucket of its own.
    """
    made, opened, first = [], {}, True
    for index in reversed(range(len(parameters))):
        parameter = parameters[index]
        size = parameter.numel() * parameter.element_size()
        kind = parameter.dtype, parameter.device
        indices, total = opened.get(kind, (None, 0))
        if indices is None or total + size > (first_limit if first else limit):
            first = first and indices is None
            indices, total = [], 0
            made.append(indices)
        indices.append(index)
        opened[kind] = indices, total + size
    return made


class Reducer:
    """Replaces, during backward, the gradients of the parameters by their mean over the processes of a group.

    Args:
        parameters: those that require gradients, in the same order on every process.
        group: the processes.
        first_limit, limit: bytes of the first and of the other buckets.
        find_unused: looks through the graph of the outputs for parameters that get no gradient.
        is_static: which ones do not change after the first pass.
    """

    def __init__(self, parameters, names, group, first_limit, limit, find_unused, is_static):
        self.parameters, self.names, self.group = parameters, names, group
        self.find_unused, self.is_static = find_unused or is_static, is_static
        self.buckets = [_Bucket(indices) for indices in make_buckets(parameters, first_limit, limit)]
        self.home = {index: bucket for bucket in self.buckets for index in bucket.indices}
        self.hook = None
        self._index = {id(parameter): index for index, parameter in enumerate(parameters)}
        self._used = set()
        self._unused = None
        self._expecting = self._begun = False
        self._ready, self._launched = set(), 0
        own = weakref.ref(self)
        self._handles = [
            parameter.register_post_accumulate_grad_hook(_notifier(own, index))
            for index, parameter in enumerate(parameters)
        ]

    def prepare(self, outputs):
        """Expects a backward pass from these tensors.

        Raises:
            RuntimeError: gradients of the last pass are still missing.
        """
        if self._begun:
            raise RuntimeError(self._describe_missing())
        for bucket in self.buckets:
            bucket.reset()
        self._ready, self._launched, self._expecting = set(), 0, True
        if self.find_unused and not (self.is_static and self._unused is not None):
            reached = _reached(outputs)
            self._unused = [index for index, parameter in enumerate(self.parameters) if id(parameter) not in reached]

    def _describe_missing(self):
        missing = sorted(set(range(len(self.parameters))) - self._ready)
        return (
            "Expected to have finished reduction in the prior iteration before starting a new one. This error "
            "indicates "
            "that your module has parameters that were not used in producing loss. You can enable unused parameter "
            "detection by passing the keyword argument `find_unused_parameters=True` to "
            "`torch.nn.parallel.DistributedDataParallel`, and by making sure all `forward` function outputs "
            "participate in "
            "calculating loss. Parameter indices which did not receive grad for rank "
            f"{self.group.rank()}: {' '.join(map(str, missing))} ({', '.join(self.names[index] for index in missing)})"
        )

    def notice(self, index):
        """A parameter's gradient has been added up."""
        self._used.add(index)
        if not self._expecting:
            return
        if not self._begun:
            self._begun = True
            for unused in self._unused or ():
                self._mark(unused)
        if index in self._ready:
            raise RuntimeError(
                f"Expected to mark a variable ready only once: parameter {self.names[index]} at index {index} "
                f"has got a "
                "gradient twice in one backward pass, or got one although no output depends on it. Reentrant backward "
                "passes (checkpoints with use_reentrant=True) of shared parameters do this, and modules called outside "
                "the forward function"
            )
        self._mark(index)

    def _mark(self, index):
        self._ready.add(index)
        bucket = self.home[index]
        bucket.missing -= 1
        # In one order on every process, whatever the order in which gradients appear there.
        while self._launched < len(self.buckets) and not self.buckets[self._launched].missing:
            self._launch(self._launched)
            self._launched += 1
        if self._launched == len(self.buckets):
            self._finish()

    def _launch(self, number):
        """Sends a bucket's gradients on their way."""
        bucket = self.buckets[number]
        if number and isinstance(self.buckets[number - 1].result, _Mean):
            # MPI moves what is under way while somebody asks.
            self.buckets[number - 1].result.progress()
        parameters = [self.parameters[index] for index in bucket.indices]
        with corten.no_grad():
            flat = corten.cat(
                [(p.new_zeros(p.numel()) if p.grad is None else p.grad.detach().reshape(-1)) for p in parameters]
            )
            if self.hook is None:
                bucket.result = _Mean(flat, self.group)
            else:
                state, hook = self.hook
                last = number == len(self.buckets) - 1
                bucket.result = hook(state, GradBucket(number, parameters, flat, last))
                if not isinstance(bucket.result, Future):
                    raise TypeError(
                        "Communication hook: the return annotation should be torch.futures.Future[torch.Tensor], got "
                        f"{type(bucket.result).__name__}"
                    )

    def _finish(self):
        """Waits for what is under way and writes the means to the parameters' gradients."""
        self._expecting = self._begun = False
        touched = self._touched()
        with corten.no_grad():
            for bucket in self.buckets:
                mean = bucket.result.wait()
                mean = mean[0] if isinstance(mean, (list, tuple)) else mean
                parameters = [self.parameters[index] for index in bucket.indices]
                for index, parameter, part in zip(bucket.indices, parameters, _views(mean, parameters)):
                    if index not in touched:
                        continue
                    if parameter.grad is None:
                        parameter.grad = corten.empty_like(parameter).copy_(part)
                    else:
                        parameter.grad.detach().copy_(part)
                bucket.result = None
        self._used = set()

    def _touched(self):
        """Indices of the parameters that some process has used; the gradients of the others are left alone."""
        everything = set(range(len(self.parameters)))
        if not self.find_unused:
            return everything
        marks = corten.zeros(len(everything), dtype=corten.int32, device="cpu")
        marks[sorted(self._used)] = 1
        all_reduce(marks, group=self.group)
        return set(marks.nonzero().flatten().tolist())

    def remove(self):
        """Takes the hooks off the parameters."""
        for handle in self._handles:
            handle.remove()


class _Mean:
    """The mean of a tensor ``(N,)`` over a group, on its way."""

    def __init__(self, flat, group):
        import numpy as np

        MPI = _mpi.library()
        self._like = flat
        # The tensor is this object's own, so that its memory need not be copied.
        wide = flat.float() if flat.dtype in _host._HALVES else flat
        self._array = wide.cpu().numpy()
        np.divide(self._array, group.size(), out=self._array)
        request = group._comm.Iallreduce(MPI.IN_PLACE, self._array, MPI.SUM)
        self._work = Work("all_reduce of gradients", group, [request])

    def progress(self):
        """Lets MPI go on with all that is under way."""
        self._work.is_completed()

    def wait(self):
        """The mean, in the tensor's dtype and on its device."""
        self._work.wait()
        return corten.from_numpy(self._array).to(self._like.device, self._like.dtype)


def _notifier(reducer, index):
    """The hook of one parameter; it does not keep the reducer."""

    def notify(parameter):
        found = reducer()
        if found is not None:
            found.notice(index)

    return notify


def _reached(outputs):
    """The ids of the leaves that the graphs of some tensors lead to."""
    found, seen, pending = set(), set(), [tensor for tensor in outputs if tensor.requires_grad]
    found.update(id(tensor) for tensor in pending if tensor.is_leaf)
    nodes = [tensor.grad_fn for tensor in pending if tensor.grad_fn is not None]
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.add(id(leaf))
        nodes.extend(following for following, _ in node.next_functions if following is not None)
    return found


def check_same_parameters(parameters, group):
    """Raises RuntimeError on every process unless all have parameters of the same shapes and dtypes."""
    from ._objects import all_gather_object

    own = [(tuple(parameter.shape), str(parameter.dtype)) for parameter in parameters]
    everyone: list = [None] * group.size()
    all_gather_object(everyone, own, group)
    for rank, other in enumerate(everyone):
        if len(other) != len(everyone[0]):
            raise RuntimeError(
                f"DDP expects same model across all ranks, but Rank 0 has {len(everyone[0])} params, while rank "
                f"{rank} has "
                f"inconsistent {len(other)} params."
            )
        for index, (ours, theirs) in enumerate(zip(everyone[0], other)):
            if ours != theirs:
                raise RuntimeError(
                    f"DDP expects same model across all ranks: params[{index}] has shape {list(theirs[0])} and dtype "
                    f"{theirs[1]} on rank {rank}, and shape {list(ours[0])} and dtype {ours[1]} on rank 0"
                )


def broadcast_together(tensors, group, root=0):
    """Writes the values that one process has to those of all, a message for each dtype and device."""
    kinds: dict = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor.detach())
    with corten.no_grad():
        for alike in kinds.values():
            flat = corten.cat([tensor.reshape(-1) for tensor in alike])
            broadcast(flat, group=group, group_src=root)
            if group.rank() != root:
                for tensor, part in zip(alike, _views(flat, alike)):
                    tensor.copy_(part)
