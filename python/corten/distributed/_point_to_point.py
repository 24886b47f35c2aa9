"""Tensors from one process to another."""

from . import _host, _mpi
from ._collectives import check_tensor, rank_in_group
from ._errors import DistBackendError
from ._group import get_global_rank, resolve
from ._work import Work


def isend(tensor, dst=None, group=None, tag=0, group_dst=None):
    """Sends a tensor to rank ``dst``; returns a `Work` at once.

    Args:
        tag: what `irecv` asks for; messages of one tag arrive in order.

    Raises:
        ValueError: for the process's own rank, or one that is not in the group.
    """
    check_tensor(tensor, "tensor")
    found = resolve(group, "isend")
    if found is None:
        return None
    target = rank_in_group(found, dst, group_dst, "isend")
    if target == found.rank():
        raise ValueError(
            "Invalid destination rank: destination rank should not be the same as the rank of the current process."
        )
    array = _host.taken(tensor)
    try:
        request = found._comm.Isend(_host.as_bytes(array), target, tag)
    except Exception as error:
        raise _mpi.failure(error, "isend") from error
    # The elements stay where they are until they have been sent.
    return Work("send", found, [request], lambda status, work: array, [tensor])


def irecv(tensor, src=None, group=None, tag=0, group_src=None):
    """Receives a tensor from rank ``src``, or from any process where it is not given; returns a `Work` at once.

    The tensor has the size and dtype of what is sent.

    Raises:
        ValueError: ``src`` is not in the group.
    """
    check_tensor(tensor, "tensor")
    found = resolve(group, "irecv")
    if found is None:
        return None
    MPI = _mpi.library()
    anyone = src is None and group_src is None
    source = MPI.ANY_SOURCE if anyone else rank_in_group(found, src, group_src, "irecv")
    array = _host.space(tensor.numel(), tensor.dtype)

    def finish(status, work):
        count = status.Get_count(MPI.BYTE)
        if count != array.nbytes:
            raise DistBackendError(
                f"recv: expected {array.nbytes} bytes for a tensor of shape {tuple(tensor.shape)}, rank "
                f"{status.Get_source()} sent {count}"
            )
        work._source = status.Get_source()
        _host.put(tensor, array)

    try:
        request = found._comm.Irecv(_host.as_bytes(array), source, tag)
    except Exception as error:
        raise _mpi.failure(error, "irecv") from error
    return Work("recv", found, [request], finish, [tensor])


def send(tensor, dst=None, group=None, tag=0, group_dst=None):
    """Sends a tensor to rank ``dst``; comes back when it may be overwritten. Errors as of `isend`."""
    work = isend(tensor, dst, group, tag, group_dst)
    if work is not None:
        work.wait()


def recv(tensor, src=None, group=None, tag=0, group_src=None):
    """Receives a tensor from rank ``src``, or from any process; returns the sender's rank among all processes.

    Returns -1 on a process that is not in the group. Errors as of `irecv`.
    """
    work = irecv(tensor, src, group, tag, group_src)
    if work is None:
        return -1
    work.wait()
    return get_global_rank(group, work.source_rank())


class P2POp:
    """An `isend` or `irecv` for `batch_isend_irecv`.

    Args:
        op: `isend` or `irecv`.
        peer: rank of the other side among all processes; ``group_peer`` in the group.

    Raises:
        ValueError: for another operation.
    """

    def __init__(self, op, tensor, peer=None, group=None, tag=0, group_peer=None):
        if op not in (isend, irecv):
            raise ValueError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                "``torch.distributed.irecv``."
            )
        check_tensor(tensor, "tensor")
        self.op, self.tensor, self.peer, self.group, self.tag = op, tensor, peer, group, tag
        self.group_peer = group_peer


def batch_isend_irecv(p2p_op_list):
    """Starts several `P2POp`; returns their `Work` in the same order.

    Raises:
        ValueError: an element is not a `P2POp`, or there is none.
    """
    if not p2p_op_list or not all(isinstance(one, P2POp) for one in p2p_op_list):
        raise ValueError("Invalid ``p2p_op_list``. Each op is expected to be of type ``torch.distributed.P2POp``.")
    return [one.op(one.tensor, one.peer, one.group, one.tag, one.group_peer) for one in p2p_op_list]
