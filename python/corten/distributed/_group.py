"""Groups of processes: the one of all, and those made of some of them."""

import datetime
import os
import warnings
import zlib

from . import _mpi

default_pg_timeout = datetime.timedelta(minutes=30)
_KNOWN = ("gloo", "mpi", "nccl", "ucc", "xccl", "undefined")
_NOT_INITIALIZED = "Default process group has not been initialized, please make sure to call init_process_group."


class Backend(str):
    """The name of what moves tensors between processes: here ``"mpi"``, whatever was asked for."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"
    backend_list = list(_KNOWN)

    def __new__(cls, name):
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


def _check_backend(name):
    """Takes a name of PyTorch's, or several as ``"cpu:gloo,cuda:nccl"``: MPI serves all of them."""
    if name is None:
        return
    for part in Backend(name).split(","):
        _, _, kind = part.rpartition(":")
        if kind not in _KNOWN:
            raise ValueError(f"Invalid backend: '{name}'; PyTorch's names are {', '.join(_KNOWN[:-1])}")


class ProcessGroup:
    """Processes that work together; made by `init_process_group` and `new_group`."""

    def __init__(self, comm, ranks, timeout, name, description=None):
        self._comm, self._ranks, self._timeout = comm, ranks, timeout
        self._rank, self._size = comm.rank, comm.size
        self._pending = []
        self.group_name = name
        self.group_desc = description or "undefined"

    def rank(self):
        """This process's rank in the group."""
        return self._rank

    def size(self):
        """The number of processes."""
        return self._size

    def name(self):
        """``"mpi"``."""
        return "mpi"

    def __repr__(self):
        return f"<ProcessGroup {self.group_name!r}: rank {self.rank()} of {self.size()}, mpi>"


class GroupMember:
    """The group of all processes, and what stands for a group that this process is not in."""

    NON_GROUP_MEMBER = -100
    WORLD: ProcessGroup | None = None


class _Groups(type):
    @property
    def WORLD(cls):
        """The group of all processes; None before `init_process_group`."""
        return GroupMember.WORLD


class group(metaclass=_Groups):
    """``group.WORLD`` is the group of all processes."""


_all: dict = {}
_count = 0


def is_available():
    """Whether processes can work together: mpi4py is installed (`pip install corten[distributed]`)."""
    return _mpi.is_there()


is_mpi_available = is_available


def is_nccl_available():
    """False: ``backend="nccl"`` is accepted, and served by MPI."""
    return False


def is_gloo_available():
    """False: ``backend="gloo"`` is accepted, and served by MPI."""
    return False


is_ucc_available = is_xccl_available = is_nccl_available


def is_backend_available(backend):
    """Whether a backend is there: ``"mpi"`` where mpi4py is."""
    return backend.lower() == "mpi" and is_available()


def is_initialized():
    """Whether `init_process_group` has been called."""
    return GroupMember.WORLD is not None


def is_torchelastic_launched():
    """Whether ``corten.distributed.run`` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def get_node_local_rank(fallback_rank=None):
    """This process's rank among those of its machine, from the environment variable ``LOCAL_RANK``.

    Raises:
        RuntimeError: it is not set, and there is no ``fallback_rank``.
    """
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is None:
        raise RuntimeError("LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow execution.")
    return int(fallback_rank)


def init_process_group(
    backend=None,
    init_method=None,
    timeout=None,
    world_size=-1,
    rank=-1,
    store=None,
    group_name="",
    pg_options=None,
    device_id=None,
):
    """Joins the group of all processes. Every process calls it, and comes back when all have.

    Processes of ``corten.distributed.run``, of ``corten.multiprocessing.spawn``, of ``mpiexec`` and processes
    started by hand find each other on one machine; tensors of a GPU travel through the CPU's memory.

    Args:
        backend: any of PyTorch's names, such as ``"gloo"``, ``"nccl"`` or ``"cpu:gloo,cuda:nccl"``. MPI serves all of
            them, which `get_backend` tells.
        init_method: ``"env://"`` (the default: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT of the environment),
            ``"tcp://address:port"`` of rank 0, or ``"file:///path"`` of a file that is not there yet. Under ``mpiexec``
            none of them is needed.
        timeout: a `datetime.timedelta` after which collectives raise; 30 minutes where it is not given.
        world_size, rank: the number of processes and this one's place, where ``init_method`` does not tell.
        group_name, pg_options, device_id: accepted.

    Raises:
        ValueError: it was called before, or rank and size are not known.
        DistNetworkError: the other processes were not found in time.
        RuntimeError: mpi4py or its MPI library is missing.
        NotImplementedError: for a ``store``.
    """
    if GroupMember.WORLD is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None:
        raise NotImplementedError(
            "init_process_group: processes do not meet in a store; give init_method='tcp://localhost:port' with rank "
            "and world_size"
        )
    _check_backend(backend)
    timeout = _checked_timeout(timeout, default_pg_timeout)
    comm = _mpi.connect(init_method, rank, world_size, timeout.total_seconds())
    GroupMember.WORLD = _register(comm, list(range(comm.size)), timeout, "default_pg")


def _checked_timeout(timeout, default):
    if timeout is None:
        return default
    if not isinstance(timeout, datetime.timedelta):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")
    return timeout


def _register(comm, ranks, timeout, description=None):
    global _count
    made = ProcessGroup(comm, ranks, timeout, str(_count), description)
    _all[made.group_name] = made
    _count += 1
    return made


def destroy_process_group(group=None):
    """Leaves a group, or all of them where none or the one of all processes is given.

    Raises:
        AssertionError: there is no group.
        ValueError: the group was left before.
    """
    if group == GroupMember.NON_GROUP_MEMBER:
        return
    group = GroupMember.WORLD if group is None else group
    assert group is not None, "Process group cannot be None"
    if _all.get(group.group_name) is not group:
        raise ValueError("Invalid process group specified")
    leaving = list(_all.values()) if group is GroupMember.WORLD else [group]
    for left in leaving:
        del _all[left.group_name]
        for work in list(left._pending):
            work.is_completed()
        if not left._pending:
            left._comm.Free()
    if group is GroupMember.WORLD:
        GroupMember.WORLD = None


def resolve(group, name=None):
    """The group that an argument means; None, with a warning in the name of an operator, for a process outside it.

    Raises:
        ValueError: there is no group, or it was left.
    """
    if GroupMember.WORLD is None:
        raise ValueError(_NOT_INITIALIZED)
    if group is None:
        return GroupMember.WORLD
    if isinstance(group, int) and group == GroupMember.NON_GROUP_MEMBER:
        if name is not None:
            warnings.warn(
                f"Running {name} on global rank {GroupMember.WORLD.rank()} which does not belong to the given group.",
                stacklevel=3,
            )
        return None
    if not isinstance(group, ProcessGroup) or _all.get(group.group_name) is not group:
        raise ValueError(f"Group {group} is not registered, please create group with torch.distributed.new_group API")
    return group


def get_rank(group=None):
    """This process's rank in a group, -1 where it is not in it.

    Raises:
        ValueError: there is no group.
    """
    found = resolve(group)
    return -1 if found is None else found.rank()


def get_world_size(group=None):
    """The number of processes in a group, -1 where this one is not in it.

    Raises:
        ValueError: there is no group.
    """
    found = resolve(group)
    return -1 if found is None else found.size()


def get_backend(group=None):
    """What moves the tensors: ``"mpi"``, also where `init_process_group` was given another name.

    Raises:
        ValueError: there is no group, or this process is not in it.
    """
    if resolve(group) is None:
        raise ValueError("Invalid process group specified")
    return Backend("mpi")


def get_backend_config(group=None):
    """What moves the tensors of each kind of device, as text."""
    get_backend(group)
    return "cpu:mpi,cuda:mpi"


def get_pg_count():
    """The number of groups that this process is in."""
    return len(_all)


def get_process_group_ranks(group):
    """The ranks among all processes of a group's members, in the group's order."""
    return list(resolve(group)._ranks)


def get_global_rank(group, group_rank):
    """The rank among all processes of a group's member.

    Raises:
        ValueError: the group has no such rank.
    """
    found = resolve(group)
    if not 0 <= group_rank < found.size():
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return found._ranks[group_rank]


def get_group_rank(group, global_rank):
    """The rank in a group of one of all processes.

    Raises:
        ValueError: it is not in the group.
    """
    found = resolve(group)
    if global_rank not in found._ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return found._ranks.index(global_rank)


def new_group(
    ranks=None,
    timeout=None,
    backend=None,
    pg_options=None,
    use_local_synchronization=False,
    group_desc=None,
    device_id=None,
    sort_ranks=True,
):
    """A group of some of the processes, which all call it in the same order.

    Args:
        ranks: of the members, among all processes; all of them where it is not given.
        timeout: of its collectives; that of the group of all where it is not given.
        backend, pg_options, use_local_synchronization, device_id: accepted.
        sort_ranks: whether ranks in the group follow those among all, rather than the order of ``ranks``.

    Returns:
        The group, or ``GroupMember.NON_GROUP_MEMBER`` on processes that are not in it.

    Raises:
        ValueError: ranks that do not exist or come twice, or no group of all processes.
    """
    world = resolve(None)
    _check_backend(backend)
    timeout = _checked_timeout(timeout, world._timeout)
    ranks = list(range(world.size())) if ranks is None else [int(rank) for rank in ranks]
    if len(set(ranks)) < len(ranks):
        raise ValueError(f"ranks list must not contain duplicate entries, got {ranks}")
    if len(ranks) > world.size():
        raise ValueError(
            "the new group's world size should be less or equal to the world size set by init_process_group"
        )
    for rank in ranks:
        if not 0 <= rank < world.size():
            raise ValueError(
                "The new group's rank should be within the world_size set by init_process_group"
                f", got {rank} of {world.size()}"
            )
    ranks = sorted(ranks) if sort_ranks else ranks
    if world.rank() not in ranks:
        return GroupMember.NON_GROUP_MEMBER
    everyone = world._comm.Get_group()
    members = everyone.Incl(ranks)
    # Only the members take part, told apart from a group that others make at the same time by the tag.
    comm = world._comm.Create_group(members, zlib.crc32(repr(ranks).encode()) % 32768)
    members.Free()
    everyone.Free()
    return _register(comm, ranks, timeout, group_desc)


def new_subgroups_by_enumeration(ranks_per_subgroup_list, timeout=None, backend=None, pg_options=None, group_desc=None):
    """A group for each list of ranks; returns this process's own and the list of all.

    Raises:
        ValueError: no lists, or a rank in several of them.
    """
    if not ranks_per_subgroup_list:
        raise ValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
    taken = [rank for ranks in ranks_per_subgroup_list for rank in ranks]
    if len(set(taken)) < len(taken):
        raise ValueError("The new subgroups must be disjoint: a rank cannot be in several of them")
    made = [new_group(ranks, timeout, backend, pg_options, group_desc=group_desc) for ranks in ranks_per_subgroup_list]
    own = next((one for one in made if one != GroupMember.NON_GROUP_MEMBER), None)
    return own, made


def new_subgroups(group_size=None, group=None, timeout=None, backend=None, pg_options=None, group_desc=None):
    """Groups of ``group_size`` neighbouring ranks; returns this process's own and the list of all.

    Raises:
        ValueError: the number of processes is not a multiple of ``group_size``.
    """
    count = resolve(None).size()
    size = count if group_size is None else group_size
    if size <= 0:
        raise ValueError(f"The arg 'group_size' ({size}) must be positive")
    if size > count:
        raise ValueError(f"The arg 'group_size' ({size}) must not exceed the world size ({count})")
    if count % size:
        raise ValueError(f"The world size ({count}) must be divisible by '{size}'")
    lists = [list(range(first, first + size)) for first in range(0, count, size)]
    return new_subgroups_by_enumeration(lists, timeout, backend, pg_options, group_desc)
