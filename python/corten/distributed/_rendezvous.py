"""How the processes of a group find each other: the environment, an address, a file, or mpiexec."""

import errno
import os
import socket
import subprocess
import sys
import time
import urllib.parse
from typing import NamedTuple

from ._errors import DistNetworkError

# Variables of which those who start processes for MPI set one.
_STARTERS = ("PMI_RANK", "PMI_FD", "PMI_PORT", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MPI_LOCALRANKID")
_SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_pmi_server.py")
# Kept so that nobody waits for it: it ends after its group.
_servers: list = []


class Place(NamedTuple):
    """A process's place in a group: its rank, how many there are, and where rank 0 is to be found."""

    rank: int
    size: int
    host: str | None = None
    port: int | None = None
    file: str | None = None


def started_by_mpi():
    """Whether mpiexec or the like started this process."""
    return any(name in os.environ for name in _STARTERS)


def _environment(name):
    if name not in os.environ:
        raise ValueError(
            "Error initializing torch.distributed using env:// rendezvous: "
            f"environment variable {name} expected, but not set"
        )
    return os.environ[name]


def _number(text, name):
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"init_process_group: {name} must be a whole number, got {text!r}") from None


def find_place(method, rank, size):
    """The :class:`Place` that an ``init_method`` and the arguments beside it describe.

    Raises:
        ValueError: the rank or the number of processes is missing or out of range.
        RuntimeError: for a scheme that is not known.
    """
    url = urllib.parse.urlparse(method)
    query = dict(pair.split("=", 1) for pair in filter(None, url.query.split("&")))
    if url.scheme not in ("env", "tcp", "file"):
        raise RuntimeError(f"No rendezvous handler for {url.scheme}://")
    if url.scheme == "env":
        rank = rank if rank != -1 else _number(query.get("rank") or _environment("RANK"), "RANK")
        size = size if size != -1 else _number(query.get("world_size") or _environment("WORLD_SIZE"), "WORLD_SIZE")
        host, port = _environment("MASTER_ADDR"), _number(_environment("MASTER_PORT"), "MASTER_PORT")
    else:
        named = {"rank": rank, "world_size": size}
        for name, text in query.items():
            named[name] = _number(text, name)
        for name in ("rank", "world_size"):
            if named[name] == -1:
                spoken = "rank" if name == "rank" else "world size"
                raise ValueError(
                    f"Error initializing torch.distributed using {url.scheme}:// rendezvous: {spoken} parameter missing"
                )
        rank, size, host, port = named["rank"], named["world_size"], url.hostname, url.port
        if url.scheme == "tcp" and not port:
            raise ValueError("Error initializing torch.distributed using tcp:// rendezvous: port number missing")
    if not 0 <= rank < size:
        raise ValueError(f"init_process_group: rank must be in the interval [0, {size - 1}], got {rank}")
    if url.scheme == "file":
        if not url.path:
            raise ValueError("Error initializing torch.distributed using file:// rendezvous: path missing")
        return Place(rank, size, file=urllib.parse.unquote(url.path))
    return Place(rank, size, host, port)


def join(place, timeout):
    """Meets the other processes and sets the environment from which MPI takes its place.

    Returns the names of the variables that were set. ``timeout`` is in seconds.

    Raises:
        DistNetworkError: rank 0 cannot listen, or the others did not come in time.
    """
    deadline = time.monotonic() + timeout
    host, port = place.host, place.port
    if place.rank == 0:
        listener = _listen(host or "127.0.0.1", port or 0)
        host, port = listener.getsockname()[:2]
        _serve(listener, place.size)
        if place.file:
            _announce(place.file, f"{host} {port}")
    elif place.file:
        host, port = _announced(place.file, deadline, timeout)
    connection = _connect(host, port, deadline, timeout)
    try:
        connection.sendall(f"cmd=join rank={place.rank} size={place.size}\n".encode())
        _wait_for_all(connection, place, deadline, timeout)
    except BaseException:
        connection.close()
        raise
    if place.file and place.rank == 0:
        os.unlink(place.file)
    connection.settimeout(None)
    # MPI keeps the connection for as long as the process runs.
    os.environ.update(PMI_FD=str(connection.detach()), PMI_RANK=str(place.rank), PMI_SIZE=str(place.size))
    return "PMI_FD", "PMI_RANK", "PMI_SIZE"


def _listen(host, port):
    try:
        listener = socket.create_server((host, port), backlog=512)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        raise DistNetworkError(
            f"The server socket has failed to listen on any local network address. host: {host}, port: {port}, "
            f"{name}: {error.strerror or error}"
        ) from None
    listener.set_inheritable(True)
    return listener


def _serve(listener, size):
    """Starts the process that introduces the others to each other."""
    command = [sys.executable, "-I", "-S", _SERVER, str(listener.fileno()), str(size)]
    quiet = subprocess.DEVNULL
    # A session of its own: Ctrl-C in the terminal must not end it before the others.
    server = subprocess.Popen(
        command, pass_fds=[listener.fileno()], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    listener.close()
    server.returncode = 0  # nobody waits for it, and Popen warns of what was not waited for
    _servers.append(server)


def _announce(path, text):
    try:
        with open(path + ".new", "w") as file:
            file.write(text)
        os.replace(path + ".new", path)
    except OSError as error:
        raise DistNetworkError(f"file:// rendezvous: cannot write {path}: {error.strerror}") from None


def _announced(path, deadline, timeout):
    while time.monotonic() < deadline:
        try:
            with open(path) as file:
                host, port = file.read().split()
                return host, int(port)
        except (FileNotFoundError, ValueError):
            time.sleep(0.02)
    raise DistNetworkError(f"file:// rendezvous: rank 0 has not written {path} after {timeout * 1000:.0f}ms")


def _connect(host, port, deadline, timeout):
    while True:
        try:
            return socket.create_connection((host, port), timeout=max(0.1, deadline - time.monotonic()))
        except OSError:
            if time.monotonic() >= deadline:
                raise DistNetworkError(
                    f"The client socket has timed out after {timeout * 1000:.0f}ms while trying to connect to "
                    f"({host}, {port})."
                ) from None
            time.sleep(0.02)


def _wait_for_all(connection, place, deadline, timeout):
    """Reads the one line that tells whether the group is complete."""
    line = b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            data = connection.recv(1)
        except TimeoutError:
            raise DistNetworkError(
                f"init_process_group: rank {place.rank} has waited {timeout * 1000:.0f}ms for all {place.size} "
                f"processes"
            ) from None
        except OSError:
            data = b""
        if not data:
            raise DistNetworkError(
                f"init_process_group: {connection.getpeername()[:2]} ended the connection before all {place.size} "
                "processes were there"
            )
        line += data
    if line != b"cmd=joined\n":
        raise DistNetworkError("init_process_group: " + line.decode().partition("why=")[2].strip())
