"""Collectives on tensors: every process of a group calls the same one."""

import corten

from . import _host, _mpi, _reduce_op
from ._group import get_group_rank, resolve
from ._reduce_op import ReduceOp
from ._work import Work


def check_tensor(value, name):
    """Raises TypeError unless ``value`` is a tensor."""
    if not isinstance(value, corten.Tensor):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n"
            f"             but got {type(value)} instead."
        )


def check_tensors(values, name):
    """Raises TypeError unless ``values`` is a list of tensors."""
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, corten.Tensor) for value in values):
        kinds = [type(value) for value in values] if isinstance(values, (list, tuple)) else type(values)
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n"
            f"             but got {kinds} instead."
        )


def _check_dtypes(*tensors):
    for tensor in tensors:
        if tensor.dtype != tensors[0].dtype:
            raise ValueError(
                f"Invalid usage of tensors with different dtypes. Found {tensors[0].dtype} and {tensor.dtype}"
            )


def _check_list(name, tensors, like, count):
    """Raises RuntimeError unless there are ``count`` tensors of the shape of ``like``."""
    if len(tensors) != count:
        raise RuntimeError(
            f"{name}: invalid tensor list at index 0 (expected length {count}, the number of processes, got "
            f"{len(tensors)})"
        )
    for index, tensor in enumerate(tensors):
        if tensor.shape != like.shape:
            raise RuntimeError(
                f"{name}: invalid tensor size at index {index} (expected {tuple(like.shape)}, got "
                f"{tuple(tensor.shape)})"
            )


def rank_in_group(group, rank, group_rank, what):
    """A rank given among all processes, or in the group.

    Raises:
        ValueError: given neither way or both ways, or not in the group.
    """
    if group_rank is not None:
        if rank is not None:
            raise ValueError("Can't specify both group_rank and global_rank")
        if not 0 <= group_rank < group.size():
            raise ValueError(f"{what}: Group rank {group_rank} is not part of group {group}")
        return group_rank
    if rank is None:
        raise ValueError("Must specify global_rank or group_rank")
    return get_group_rank(group, rank)


def root_in_group(group, rank, group_rank, what):
    """As :func:`rank_in_group`, and rank 0 where neither way of naming a process is used."""
    return rank_in_group(group, 0 if rank is None and group_rank is None else rank, group_rank, what)


def started(name, group, call, finish=None, result=(), async_op=False):
    """Starts what ``call()`` returns the request of; waits for it unless ``async_op``."""
    try:
        request = call()
    except Exception as error:
        raise _mpi.failure(error, name) from error
    work = Work(name, group, [request], finish, result)
    if async_op:
        return work
    work.wait()
    return None


def _joined(tensors, take=_host.taken):
    """The elements of several tensors in a row."""
    import numpy as np

    return np.concatenate([take(tensor) for tensor in tensors])


def _put_each(tensors, array):
    first = 0
    for tensor in tensors:
        _host.put(tensor, array[first : first + tensor.numel()])
        first += tensor.numel()


def all_reduce(tensor, op=ReduceOp.SUM, group=None, async_op=False):
    """Reduces the tensors of all processes, and writes the result to each of them.

    Args:
        tensor: input and output, of any shape and strides, the same shape and dtype on every process.
        op: a `ReduceOp`. float16 and bfloat16 are reduced in float32 and rounded once.
        group: the group of all processes where it is not given.
        async_op: returns a `Work` at once.

    Raises:
        TypeError: ``tensor`` is none.
        RuntimeError: the dtype has no such operation.
        DistBackendError: the tensors' sizes differ, or a process did not come.
    """
    check_tensor(tensor, "tensor")
    found = resolve(group, "all_reduce")
    if found is None:
        return None
    op = _reduce_op.check(op, tensor, "all_reduce")
    MPI, array = _mpi.library(), _reduce_op.memory(tensor)

    def finish(status, work):
        _reduce_op.put_result(tensor, array, op, found.size())

    operation = _reduce_op.operation(MPI, op, tensor.dtype)
    return started(
        "all_reduce", found, lambda: found._comm.Iallreduce(MPI.IN_PLACE, array, operation), finish, [tensor], async_op
    )


def reduce(tensor, dst=None, op=ReduceOp.SUM, group=None, async_op=False, group_dst=None):
    """Reduces the tensors of all processes, and writes the result to that of rank ``dst``.

    ``dst`` is a rank among all processes, ``group_dst`` one in the group. Otherwise as `all_reduce`.
    """
    check_tensor(tensor, "tensor")
    found = resolve(group, "reduce")
    if found is None:
        return None
    root = rank_in_group(found, dst, group_dst, "reduce")
    op = _reduce_op.check(op, tensor, "reduce")
    MPI, array = _mpi.library(), _reduce_op.memory(tensor)
    is_root = found.rank() == root
    given, taken = (MPI.IN_PLACE, array) if is_root else (array, None)

    def finish(status, work):
        if is_root:
            _reduce_op.put_result(tensor, array, op, found.size())

    operation = _reduce_op.operation(MPI, op, tensor.dtype)
    return started(
        "reduce", found, lambda: found._comm.Ireduce(given, taken, operation, root), finish, [tensor], async_op
    )


def broadcast(tensor, src=None, group=None, async_op=False, group_src=None):
    """Writes the tensor of rank ``src`` to that of every process, which has the same shape and dtype.

    Raises:
        TypeError: ``tensor`` is none.
        ValueError: ``src`` is not in the group.
    """
    check_tensor(tensor, "tensor")
    found = resolve(group, "broadcast")
    if found is None:
        return None
    root = rank_in_group(found, src, group_src, "broadcast")
    is_root = found.rank() == root
    array = _host.taken(tensor) if is_root else _host.space(tensor.numel(), tensor.dtype)

    def finish(status, work):
        if not is_root:
            _host.put(tensor, array)

    memory = _host.as_bytes(array)
    return started("broadcast", found, lambda: found._comm.Ibcast(memory, root), finish, [tensor], async_op)


def all_gather(tensor_list, tensor, group=None, async_op=False):
    """Writes the tensors of all processes, in the order of ranks, to a list on every process.

    Args:
        tensor_list: outputs, one for each process, of the shape of ``tensor``.
        tensor: the input, of one shape and dtype on every process.

    Raises:
        ValueError: the dtypes differ.
        RuntimeError: a wrong number of outputs, or of another shape.
    """
    check_tensors(tensor_list, "tensor_list")
    check_tensor(tensor, "tensor")
    _check_dtypes(*tensor_list, tensor)
    found = resolve(group, "all_gather")
    if found is None:
        return None
    _check_list("all_gather", tensor_list, tensor, found.size())
    array = _host.space(tensor.numel() * found.size(), tensor.dtype)
    given, taken = _host.as_bytes(_host.taken(tensor)), _host.as_bytes(array)
    return started(
        "all_gather",
        found,
        lambda: found._comm.Iallgather(given, taken),
        lambda status, work: _put_each(tensor_list, array),
        tensor_list,
        async_op,
    )


def _check_sizes(name, whole, part, count):
    if whole.dtype != part.dtype:
        raise TypeError(f"{name}: output tensor must have the same type as input tensor")
    if whole.numel() != count * part.numel():
        raise ValueError(
            f"{name}: one tensor's size must be equal to world_size times the other's, got shapes "
            f"{tuple(whole.shape)} and "
            f"{tuple(part.shape)} for {count} processes"
        )


def all_gather_into_tensor(output_tensor, input_tensor, group=None, async_op=False):
    """Writes the tensors of all processes, one after the other, to one tensor on every process.

    Args:
        output_tensor: of shape ``(processes * N, *)`` or ``(processes, N, *)``.
        input_tensor: of shape ``(N, *)``.

    Raises:
        TypeError: the dtypes differ.
        ValueError: the sizes do not agree.
    """
    check_tensor(input_tensor, "input_tensor")
    check_tensor(output_tensor, "output_tensor")
    found = resolve(group, "all_gather_into_tensor")
    if found is None:
        return None
    _check_sizes("all_gather_into_tensor", output_tensor, input_tensor, found.size())
    array = _host.space(output_tensor.numel(), output_tensor.dtype)
    given, taken = _host.as_bytes(_host.taken(input_tensor)), _host.as_bytes(array)
    return started(
        "all_gather_into_tensor",
        found,
        lambda: found._comm.Iallgather(given, taken),
        lambda status, work: _host.put(output_tensor, array),
        [output_tensor],
        async_op,
    )


def gather(tensor, gather_list=None, dst=None, group=None, async_op=False, group_dst=None):
    """Writes the tensors of all processes to a list on rank ``dst``, 0 where neither way of naming it is used.

    Raises:
        ValueError: there is no list on ``dst``, or one on another process.
    """
    check_tensor(tensor, "tensor")
    found = resolve(group, "gather")
    if found is None:
        return None
    root = root_in_group(found, dst, group_dst, "gather")
    is_root = found.rank() == root
    outputs = _list_of_root(gather_list, is_root, "gather_list", "destination", "gather")
    taken = None
    if is_root:
        _check_dtypes(*outputs, tensor)
        _check_list("gather", outputs, tensor, found.size())
        array = _host.space(tensor.numel() * found.size(), tensor.dtype)
        taken = _host.as_bytes(array)
    given = _host.as_bytes(_host.taken(tensor))

    def finish(status, work):
        if is_root:
            _put_each(outputs, array)

    return started("gather", found, lambda: found._comm.Igather(given, taken, root), finish, outputs, async_op)


def _list_of_root(tensors, is_root, name, role, operator):
    """The list that only one process gives."""
    if is_root:
        if not tensors:
            raise ValueError(f"Argument ``{name}`` must be specified on {role} rank.")
        check_tensors(tensors, name)
        return tensors
    if tensors:
        raise ValueError(f"Argument ``{name}`` must NOT be specified on non-{role} ranks of {operator}.")
    return []


def scatter(tensor, scatter_list=None, src=None, group=None, async_op=False, group_src=None):
    """Gives each process one tensor of a list on rank ``src``, 0 where neither way of naming it is used.

    Raises:
        ValueError: there is no list on ``src``, or one on another process.
    """
    check_tensor(tensor, "tensor")
    found = resolve(group, "scatter")
    if found is None:
        return None
    root = root_in_group(found, src, group_src, "scatter")
    is_root = found.rank() == root
    inputs = _list_of_root(scatter_list, is_root, "scatter_list", "source", "scatter")
    given = None
    if is_root:
        _check_dtypes(*inputs, tensor)
        _check_list("scatter", inputs, tensor, found.size())
        given = _host.as_bytes(_joined(inputs))
    array = _host.space(tensor.numel(), tensor.dtype)
    return started(
        "scatter",
        found,
        lambda: found._comm.Iscatter(given, _host.as_bytes(array), root),
        lambda status, work: _host.put(tensor, array),
        [tensor],
        async_op,
    )


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None, async_op=False):
    """Reduces lists of one tensor for each process, and gives each process its own.

    Args:
        output: of the shape of this process's element of the list.
        input_list: the same shapes on every process, which may differ within the list.

    Raises:
        RuntimeError: a wrong number of inputs, another shape, or a dtype without the operation.
    """
    check_tensor(output, "output")
    check_tensors(input_list, "input_list")
    _check_dtypes(output, *input_list)
    found = resolve(group, "reduce_scatter")
    if found is None:
        return None
    if len(input_list) != found.size():
        raise RuntimeError(
            f"reduce_scatter: invalid input tensor list size, must be world size ({found.size()}), got "
            f"{len(input_list)}"
        )
    own = input_list[found.rank()]
    if own.shape != output.shape:
        raise RuntimeError(
            f"reduce_scatter: invalid output size (expected {tuple(own.shape)}, got {tuple(output.shape)})"
        )
    array = _joined(input_list, _reduce_op.memory)
    return _reduce_scatter("reduce_scatter", output, array, [t.numel() for t in input_list], op, found, async_op)


def reduce_scatter_tensor(output, input, op=ReduceOp.SUM, group=None, async_op=False):
    """Reduces the tensors of all processes, and gives each process its part of the result.

    Args:
        output: of shape ``(N, *)``.
        input: of shape ``(processes * N, *)`` or ``(processes, N, *)``.

    Raises:
        TypeError: the dtypes differ.
        ValueError: the sizes do not agree.
    """
    check_tensor(output, "output")
    check_tensor(input, "input")
    found = resolve(group, "reduce_scatter_tensor")
    if found is None:
        return None
    _check_sizes("reduce_scatter_tensor", input, output, found.size())
    counts = [output.numel()] * found.size()
    return _reduce_scatter("reduce_scatter_tensor", output, _reduce_op.memory(input), counts, op, found, async_op)


def _reduce_scatter(name, output, array, counts, op, group, async_op):
    op = _reduce_op.check(op, output, name)
    MPI = _mpi.library()
    taken = array[: output.numel()].copy()
    operation = _reduce_op.operation(MPI, op, output.dtype)
    return started(
        name,
        group,
        lambda: group._comm.Ireduce_scatter(array, taken, counts, operation),
        lambda status, work: _reduce_op.put_result(output, taken, op, group.size()),
        [output],
        async_op,
    )


def all_to_all(output_tensor_list, input_tensor_list, group=None, async_op=False):
    """Sends element ``i`` of the inputs to rank ``i``, and writes what it sent to element ``i`` of the outputs.

    Raises:
        RuntimeError: there is not one tensor for each process.
    """
    check_tensors(output_tensor_list, "output_tensor_list")
    check_tensors(input_tensor_list, "input_tensor_list")
    _check_dtypes(*output_tensor_list, *input_tensor_list)
    found = resolve(group, "all_to_all")
    if found is None:
        return None
    for tensors in (output_tensor_list, input_tensor_list):
        if len(tensors) != found.size():
            raise RuntimeError(f"all_to_all: expected {found.size()} tensors, one for each process, got {len(tensors)}")
    width = input_tensor_list[0].element_size()
    return _exchange(
        "all_to_all",
        found,
        _joined(input_tensor_list),
        [t.numel() * width for t in input_tensor_list],
        output_tensor_list,
        [t.numel() * width for t in output_tensor_list],
        async_op,
    )


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None, group=None, async_op=False):
    """Splits ``input`` along dim 0 and sends part ``i`` to rank ``i``; what arrives is put in a row in ``output``.

    Args:
        output_split_sizes, input_split_sizes: rows from and for each process; equal parts where not given.

    Raises:
        RuntimeError: the rows cannot be split so.
    """
    check_tensor(output, "output")
    check_tensor(input, "input")
    _check_dtypes(output, input)
    found = resolve(group, "all_to_all_single")
    if found is None:
        return None
    given = _split_bytes(input, input_split_sizes, found.size())
    taken = _split_bytes(output, output_split_sizes, found.size())
    return _exchange("all_to_all_single", found, _host.taken(input), given, [output], taken, async_op)


def _split_bytes(tensor, sizes, count):
    """Bytes of each part of a tensor that is split along dim 0."""
    rows = tensor.shape[0] if tensor.dim() else 1
    if not sizes:
        if rows % count:
            raise RuntimeError(f"Tensor's dim 0 ({rows}) does not divide equally across group size ({count})")
        sizes = [rows // count] * count
    if len(sizes) != count:
        raise RuntimeError(f"Number of tensor splits ({len(sizes)}) not equal to group size ({count})")
    if sum(sizes) != rows:
        raise RuntimeError(f"Split sizes doesn't match total dim 0 size ({sum(sizes)} and {rows})")
    width = tensor.element_size() * (tensor.numel() // rows if rows else 0)
    return [size * width for size in sizes]


def _exchange(name, group, given, given_counts, outputs, taken_counts, async_op):
    array = _host.space(sum(tensor.numel() for tensor in outputs), outputs[0].dtype)
    sent, received = [_host.as_bytes(given), given_counts], [_host.as_bytes(array), taken_counts]
    return started(
        name,
        group,
        lambda: group._comm.Ialltoallv(sent, received),
        lambda status, work: _put_each(outputs, array),
        outputs,
        async_op,
    )


def barrier(group=None, async_op=False, device_ids=None, timeout=None):
    """Comes back when all processes of the group have called it; ``device_ids`` is accepted.

    Raises:
        DistBackendError: a process did not come in time.
    """
    found = resolve(group, "barrier")
    if found is None:
        return None
    work = started("barrier", found, found._comm.Ibarrier, async_op=True)
    if async_op:
        return work
    work.wait(timeout)
    return None


def monitored_barrier(group=None, timeout=None, wait_all_ranks=False):
    """A `barrier` with a ``timeout`` of its own; ``wait_all_ranks`` is accepted."""
    barrier(group, timeout=timeout)
