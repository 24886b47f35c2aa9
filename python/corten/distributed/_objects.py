"""Collectives on Python objects, which are pickled: use them among processes that trust each other."""

import pickle

from . import _collectives
from ._collectives import rank_in_group, root_in_group, started
from ._group import resolve
from ._work import Work


def _packed(value):
    import numpy as np

    return np.frombuffer(bytearray(pickle.dumps(value, protocol=5)), np.uint8)


def _unpacked(memory, lengths):
    """The objects whose pickles lie in a row."""
    found, first = [], 0
    for length in lengths:
        found.append(pickle.loads(memory[first : first + length]))
        first += length
    return found


def _lengths(*values):
    import numpy as np

    return np.array(values, np.int64)


def _space(lengths):
    import numpy as np

    return np.empty(int(sum(lengths)), np.uint8)


def all_gather_object(object_list, obj, group=None):
    """Writes the objects of all processes, in the order of ranks, to a list of that length on every process.

    Raises:
        RuntimeError: the list has another length.
    """
    found = resolve(group, "all_gather_object")
    if found is None:
        return
    _check_length("all_gather_object", object_list, found.size())
    own = _packed(obj)
    lengths = _lengths(*[0] * found.size())
    started("all_gather_object", found, lambda: found._comm.Iallgather(_lengths(own.size), lengths))
    memory = _space(lengths)
    started("all_gather_object", found, lambda: found._comm.Iallgatherv(own, [memory, lengths.tolist()]))
    object_list[:] = _unpacked(memory, lengths.tolist())


def _check_length(name, objects, count):
    if len(objects) != count:
        raise RuntimeError(f"{name}: expected a list of {count} elements, one for each process, got {len(objects)}")


def gather_object(obj, object_gather_list=None, dst=None, group=None, group_dst=None):
    """Writes the objects of all processes to a list on rank ``dst``, 0 where neither way of naming it is used.

    Raises:
        ValueError: there is no list on ``dst``, or one on another process.
    """
    found = resolve(group, "gather_object")
    if found is None:
        return
    root = root_in_group(found, dst, group_dst, "gather_object")
    is_root = found.rank() == root
    if is_root != bool(object_gather_list):
        rule = (
            "must be specified on destination rank." if is_root else "must NOT be specified on non-destination ranks."
        )
        raise ValueError(f"Argument ``object_gather_list`` {rule}")
    if is_root:
        _check_length("gather_object", object_gather_list, found.size())
    own = _packed(obj)
    lengths = _lengths(*[0] * found.size())
    started("gather_object", found, lambda: found._comm.Igather(_lengths(own.size), lengths, root))
    memory = _space(lengths) if is_root else None
    taken = [memory, lengths.tolist()] if is_root else None
    started("gather_object", found, lambda: found._comm.Igatherv(own, taken, root))
    if is_root:
        object_gather_list[:] = _unpacked(memory, lengths.tolist())


def broadcast_object_list(object_list, src=None, group=None, device=None, group_src=None):
    """Writes the objects of a list on rank ``src``, 0 where it is not given, to the lists of all processes.

    Args:
        object_list: of one length on every process.
        device: accepted; objects travel through the CPU's memory.
    """
    import numpy as np

    found = resolve(group, "broadcast_object_list")
    if found is None:
        return
    root = root_in_group(found, src, group_src, "broadcast_object_list")
    is_root = found.rank() == root
    parts = [_packed(value) for value in object_list] if is_root else []
    lengths = _lengths(*(part.size for part in parts) if is_root else [0] * len(object_list))
    started("broadcast_object_list", found, lambda: found._comm.Ibcast(lengths, root))
    memory = np.concatenate([_space([]), *parts]) if is_root else _space(lengths)
    started("broadcast_object_list", found, lambda: found._comm.Ibcast(memory, root))
    if not is_root:
        object_list[:] = _unpacked(memory, lengths.tolist())


def scatter_object_list(
    scatter_object_output_list, scatter_object_input_list=None, src=None, group=None, group_src=None
):
    """Gives each process one object of a list on rank ``src``, as the first element of its output list.

    Raises:
        ValueError: the output list is empty, or there is no list on ``src``.
        RuntimeError: the list on ``src`` has not one element for each process.
    """
    import numpy as np

    found = resolve(group, "scatter_object_list")
    if found is None:
        return
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    root = root_in_group(found, src, group_src, "scatter_object_list")
    is_root = found.rank() == root
    given = None
    all_lengths = None
    if is_root:
        if scatter_object_input_list is None:
            raise ValueError("Argument ``scatter_object_input_list`` must be specified on source rank.")
        _check_length("scatter_object_list", scatter_object_input_list, found.size())
        parts = [_packed(value) for value in scatter_object_input_list]
        all_lengths = _lengths(*(part.size for part in parts))
        given = [np.concatenate(parts), all_lengths.tolist()]
    length = _lengths(0)
    started("scatter_object_list", found, lambda: found._comm.Iscatter(all_lengths, length, root))
    memory = _space(length)
    started("scatter_object_list", found, lambda: found._comm.Iscatterv(given, memory, root))
    scatter_object_output_list[0] = pickle.loads(memory)


def send_object_list(object_list, dst=None, group=None, device=None, group_dst=None, use_batch=False):
    """Sends a list of objects to rank ``dst``; ``device`` and ``use_batch`` are accepted."""
    import numpy as np

    found = resolve(group, "send_object_list")
    if found is None:
        return
    target = rank_in_group(found, dst, group_dst, "send_object_list")
    if target == found.rank():
        raise ValueError(
            "Invalid destination rank: destination rank should not be the same as the rank of the current process."
        )
    parts = [_packed(value) for value in object_list]
    lengths = _lengths(*(part.size for part in parts))
    started("send_object_list", found, lambda: found._comm.Isend(lengths, target, 0))
    started("send_object_list", found, lambda: found._comm.Isend(np.concatenate([_space([]), *parts]), target, 0))


def recv_object_list(object_list, src=None, group=None, device=None, group_src=None, use_batch=False):
    """Receives objects into a list of the length of the one that was sent; returns the sender's rank.

    ``src`` is the sender's rank among all processes; any process where it is not given.
    """
    from . import _mpi
    from ._group import get_global_rank

    found = resolve(group, "recv_object_list")
    if found is None:
        return -1
    anyone = src is None and group_src is None
    source = _mpi.library().ANY_SOURCE if anyone else rank_in_group(found, src, group_src, "recv_object_list")
    lengths = _lengths(*[0] * len(object_list))

    def note(status, work):
        work._source = status.Get_source()

    first = Work("recv_object_list", found, [found._comm.Irecv(lengths, source, 0)], note)
    first.wait()
    memory = _space(lengths)
    _collectives.started("recv_object_list", found, lambda: found._comm.Irecv(memory, first.source_rank(), 0))
    object_list[:] = _unpacked(memory, lengths.tolist())
    return get_global_rank(group, first.source_rank())
