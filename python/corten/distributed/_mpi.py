"""The one door to mpi4py: starting MPI, and what a process leaves behind when it ends."""

import atexit
import contextlib
import importlib.util
import os
import sys

from . import _rendezvous
from ._errors import DistBackendError

_MISSING = (
    "corten.distributed needs mpi4py and an MPI library: `pip install corten[distributed]` brings both (mpi4py and "
    "mpich)"
)
# The communicator of all processes, apart from that of a program which uses mpi4py itself.
_world = None


def is_there():
    """Whether mpi4py is installed."""
    return importlib.util.find_spec("mpi4py") is not None


def library():
    """The module `mpi4py.MPI`, which starts MPI when it is imported first.

    Raises:
        RuntimeError: it is not installed, or finds no MPI library.
    """
    try:
        import mpi4py

        mine = "mpi4py.MPI" not in sys.modules
        if mine:
            # MPI_Finalize waits for all processes: one that fails would wait for those who wait for it.
            mpi4py.rc.finalize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(f"{_MISSING} ({error})") from error
    if mine:
        _prepare_end(MPI)
    return MPI


def _is_mpich(MPI):
    return "mpich" in MPI.Get_library_version().lower()


def _prepare_end(MPI):
    """Lets a process end so that the others notice: with its exit status, and without waiting for them."""
    if _is_mpich(MPI):
        atexit.register(_remove_shared)
        return
    # Others take an end without MPI_Finalize for a failure.
    show = sys.excepthook

    def abort(kind, error, traceback):
        show(kind, error, traceback)
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)

    sys.excepthook = abort
    atexit.register(lambda: MPI.Is_finalized() or MPI.Finalize())


def _remove_shared():
    """Removes the names of the memory that MPICH shares between processes, which all have mapped by now."""
    try:
        with open("/proc/self/maps") as file:
            paths = {line.split(None, 5)[5].strip() for line in file if "/dev/shm/mpich_shm_" in line}
    except OSError:
        return
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)


def connect(method, rank, size, timeout):
    """The communicator of all processes, in which this one has the rank that was asked for.

    Args:
        method, rank, size: of `init_process_group`; -1 where they were not given.
        timeout: seconds in which all must be there.

    Raises:
        ValueError: the rank or the number of processes is not known.
        DistNetworkError: the others were not found.
        RuntimeError: MPI was started with another number of processes.
    """
    global _world
    place = None
    # Who starts processes for MPI tells them their places; all others have to say where they belong, every time.
    with contextlib.suppress(ValueError) if _rendezvous.started_by_mpi() else contextlib.nullcontext():
        place = _rendezvous.find_place(method or "env://", rank, size)
        rank, size = place.rank, place.size
    if _world is None and not is_there():
        raise RuntimeError(_MISSING)
    if _world is not None or place is None or _rendezvous.started_by_mpi():
        MPI = library()
        _world = MPI.COMM_WORLD if _world is None else _world
        rank = _world.rank if rank == -1 else rank
        size = _world.size if size == -1 else size
    else:
        variables = _rendezvous.join(place, timeout) if size > 1 and "mpi4py.MPI" not in sys.modules else ()
        try:
            MPI = library()
        finally:
            # Programs that this one starts are no members.
            for name in variables:
                os.environ.pop(name, None)
        _world = MPI.COMM_WORLD
    if _world.size != size:
        raise RuntimeError(_wrong_size(MPI, size))
    comm = _world.Split(0, rank)
    if _is_mpich(MPI):
        comm.Barrier()
        _remove_shared()
    return comm


def _wrong_size(MPI, size):
    name = MPI.Get_library_version().split(",")[0].split("\n")[0].strip("\0 ")
    count = MPI.COMM_WORLD.size
    if count > 1:
        return f"init_process_group: world_size={size}, but MPI was started with {count} processes"
    return (
        f"init_process_group: world_size={size}, but {name} runs this process alone. Processes that mpiexec did "
        "not start "
        "need MPICH (`pip install mpich`), and init_process_group before anything imports mpi4py.MPI; with another MPI "
        "start them with its mpiexec"
    )


def failure(error, what):
    """The exception for an error of MPI in ``what``."""
    return DistBackendError(f"{what}: {error}")
