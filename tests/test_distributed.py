"""Several processes that train together: what they tell each other, how they start, and how they fail."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import corten
import corten.distributed as dist
import pytest

PROGRAMS = Path(__file__).parent / "distributed_programs.py"
PACKAGE = str(Path(corten.__file__).parents[1])
pytestmark = pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed")


def environment(**more: str) -> dict[str, str]:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    path = os.pathsep.join(filter(None, (PACKAGE, os.environ.get("PYTHONPATH", ""))))
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}


def start(*command: object, timeout: float = 120, **more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-W", "error", *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=environment(**more))


def in_processes(count: int, *command: object, **more: str) -> subprocess.CompletedProcess[str]:
    return start("-m", "corten.distributed.run", "--nproc-per-node", count, *command, **more)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def script(tmp_path):
    """Writes a program."""

    def write(text: str) -> Path:
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(text))
        return path

    return write


CASES = [
    ("reductions", 2), ("reductions", 3), ("layouts", 2), ("gathers", 3), ("exchanges", 3), ("asynchronous", 2),
    ("objects", 3), ("groups", 3), ("refusals", 2), ("again", 2), ("samplers", 2), ("double_batch", 2), ("state", 2),
    ("unused", 2), ("hooks", 2), ("ddp_refusals", 2), ("halves", 2), ("sync_batch_norm", 2), ("gradients", 3),
]  # fmt: skip


@pytest.mark.parametrize(("name", "count"), CASES)
def test_processes_agree(name: str, count: int) -> None:
    done = in_processes(count, PROGRAMS, name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("passed") == count and not done.stderr


@pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter")
def test_processes_agree_on_a_gpu() -> None:
    done = in_processes(2, PROGRAMS, "on_gpu", CORTEN_GPU_SOFTWARE="1")
    assert done.returncode == 0, done.stderr


def test_mpiexec_starts_processes_as_well() -> None:
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("no mpiexec")
    command = [mpiexec, "-n", "2", sys.executable, str(PROGRAMS), "layouts"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment())
    assert done.returncode == 0 and done.stdout.count("passed") == 2, done.stderr


@pytest.mark.parametrize("method", ["tcp", "file"])
def test_processes_started_by_hand_find_each_other(method: str, tmp_path: Path) -> None:
    place = f"tcp://127.0.0.1:{free_port()}" if method == "tcp" else f"file://{tmp_path / 'meeting'}"
    program = """
    import sys, corten, corten.distributed as dist
    dist.init_process_group("gloo", init_method=sys.argv[1], rank=int(sys.argv[2]), world_size=2)
    x = corten.ones(1); dist.all_reduce(x); print(dist.get_rank(), x.item())
    """
    words = [sys.executable, "-c", textwrap.dedent(program), place]
    options = dict(stdout=subprocess.PIPE, text=True, env=environment())
    both = [subprocess.Popen([*words, str(rank)], **options) for rank in (1, 0)]
    assert [process.communicate(timeout=60)[0] for process in both] == ["1 2.0\n", "0 2.0\n"]
    assert not list(tmp_path.iterdir())


def test_spawned_processes_train_together(script) -> None:
    program = script(
        f"""
        import os, sys, torch, torch.distributed as dist, torch.multiprocessing as mp
        from torch.nn.parallel import DistributedDataParallel as DDP

        def train(rank, size):
            os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="{free_port()}")
            dist.init_process_group("nccl", rank=rank, world_size=size)
            model = DDP(torch.nn.Linear(2, 1, bias=False))
            model(torch.full((1, 2), rank + 1.0)).sum().backward()
            sys.stdout.write(str(model.module.weight.grad.tolist()) + "\\n")  # at once: the processes share the stream
            dist.destroy_process_group()

        if __name__ == "__main__":
            mp.spawn(train, args=(2,), nprocs=2)
        """
    )
    done = start("-m", "corten", "run", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[[1.5, 1.5]]\n" * 2


def test_the_environment_is_torchruns(script) -> None:
    program = script(
        """
        import os, sys
        names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE GROUP_RANK MASTER_ADDR TORCHELASTIC_RESTART_COUNT"
        found = [os.environ[name] for name in names.split()] + [str(int(os.environ["MASTER_PORT"]) > 0)]
        sys.stdout.write(" ".join(found + sys.argv[1:]) + "\\n")  # at once: the processes share the stream
        """
    )
    done = in_processes(2, "--standalone", "--nnodes=1", program, "--epochs", "3")
    assert sorted(done.stdout.splitlines()) == [
        f"{rank} {rank} 2 2 0 127.0.0.1 0 True --epochs 3" for rank in range(2)
    ], done.stderr
    legacy = start("-m", "corten.distributed.launch", "--nproc_per_node=2", program, "x")
    assert {line.split("True ")[1] for line in legacy.stdout.splitlines()} == {"--local-rank=0 x", "--local-rank=1 x"}
    own = in_processes(2, "--no-python", "sh", "-c", "echo $RANK of $WORLD_SIZE")
    assert sorted(own.stdout.splitlines()) == ["0 of 2", "1 of 2"]


def test_programs_for_pytorch_run_in_several_processes(script) -> None:
    program = script(
        """
        import sys, torch, torch.distributed as dist
        from torch.distributed.elastic.multiprocessing.errors import record

        @record
        def main():
            dist.init_process_group(backend="nccl" if torch.cuda.is_available() else "gloo")
            x = torch.tensor([dist.get_rank() + 1.0])
            dist.all_reduce(x, op=dist.ReduceOp.SUM)
            sys.stdout.write(f"{torch.__name__} {x.item()}\\n")
            dist.destroy_process_group()

        main()
        """
    )
    outer = start("-m", "corten", "run", "-m", "torch.distributed.run", "--nproc_per_node=2", program)
    inner = in_processes(2, "-m", "corten", "run", program)
    assert outer.stdout == inner.stdout == "torch 3.0\n" * 2, outer.stderr + inner.stderr


@pytest.mark.parametrize(
    ("end", "status", "told"),
    [
        ("raise ValueError('rank 1 breaks')", 1, "ValueError: rank 1 breaks"),
        ("sys.exit(7)", 7, "rank 1 of 2 .* ended with exit code 7"),
        ("os.kill(os.getpid(), 9)", 137, "rank 1 of 2 .* ended with signal SIGKILL"),
    ],
)
def test_a_process_that_fails_ends_the_run(script, end: str, status: int, told: str) -> None:
    program = script(
        f"""
        import os, sys, corten.distributed as dist
        dist.init_process_group()
        if dist.get_rank() == 1:
            {end}
        dist.barrier()
        print("never")
        """
    )
    before = time.monotonic()
    done = in_processes(2, program)
    assert done.returncode == status and re.search(told, done.stderr), done.stderr
    assert "never" not in done.stdout and time.monotonic() - before < 60


def test_a_run_is_started_again_and_its_output_kept(script, tmp_path: Path) -> None:
    program = script(
        """
        import os, sys
        sys.stdout.write("attempt {TORCHELASTIC_RESTART_COUNT} of {RANK}\\n".format_map(os.environ))
        sys.exit(os.environ["RANK"] == "0" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0")
        """
    )
    done = in_processes(2, "--max-restarts", 1, "-t", "1:3", "-r", "0:1", "--log-dir", tmp_path / "log", program)
    assert done.returncode == 0 and "rank 0 of 2" in done.stderr
    assert done.stdout.splitlines()[-1] == "[default1]:attempt 1 of 1"
    kept = sorted(path.read_text() for path in (tmp_path / "log" / "none" / "attempt_1").rglob("stdout.log"))
    assert kept == ["attempt 1 of 0\n", "attempt 1 of 1\n"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--nnodes", "2"], "--nnodes must be 1"),
        (["--nproc-per-node", "many"], "must be a positive number, auto, cpu or gpu"),
        (["-m", "--no-python"], "at the same time"),
        (["-r", "5:1"], "output is chosen by"),
    ],
)
def test_wrong_options_are_refused(options: list[str], text: str) -> None:
    done = start("-m", "corten.distributed.run", *options, "program.py")
    assert done.returncode == 2 and text in done.stderr


def test_an_interrupt_ends_all_processes(script, tmp_path: Path) -> None:
    program = script(
        f"""
        import os, time, pathlib
        pathlib.Path({str(tmp_path)!r}, "pid" + os.environ["RANK"]).write_text(str(os.getpid()))
        time.sleep(600)
        """
    )
    words = [sys.executable, "-m", "corten.distributed.run", "--nproc-per-node", "2", str(program)]
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL)
    files = [tmp_path / "pid0", tmp_path / "pid1"]
    deadline = time.monotonic() + 60
    while not all(file.exists() and file.read_text() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    for file in files:
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)


def test_nothing_is_left_behind() -> None:
    """MPI's shared memory has no name any more, however a process ends, and nobody waits for those that are gone."""
    shared = Path("/dev/shm")
    before = set(shared.glob("mpich_shm_*")) if shared.exists() else set()
    assert in_processes(2, PROGRAMS, "layouts").returncode == 0
    assert not shared.exists() or set(shared.glob("mpich_shm_*")) <= before


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({}, ValueError, "environment variable RANK expected, but not set"),
        ({"init_method": "tcp://127.0.0.1:29500"}, ValueError, "rank parameter missing"),
        ({"init_method": "tcp://127.0.0.1:29500", "rank": 0}, ValueError, "world size parameter missing"),
        ({"init_method": "tcp://127.0.0.1", "rank": 0, "world_size": 1}, ValueError, "port number missing"),
        ({"init_method": "foo://x", "rank": 0, "world_size": 1}, RuntimeError, "No rendezvous handler for foo://"),
        ({"init_method": "tcp://127.0.0.1:29500", "rank": 2, "world_size": 2}, ValueError, r"in the interval \[0, 1\]"),
        ({"backend": "foo"}, ValueError, "Invalid backend: 'foo'"),
        ({"timeout": 3}, TypeError, "datetime.timedelta"),
        ({"store": 3}, NotImplementedError, "init_method"),
    ],
)
def test_a_group_without_a_place_is_refused(monkeypatch, arguments: dict, kind: type, text: str) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(kind, match=text):
        dist.init_process_group(**arguments)
    assert not dist.is_initialized()


MEETING = """
import datetime, sys, corten.distributed as dist
try:
    dist.init_process_group(init_method=sys.argv[1], rank=int(sys.argv[2]), world_size=int(sys.argv[3]),
                            timeout=datetime.timedelta(seconds=float(sys.argv[4])))
except dist.DistNetworkError as error:
    print(error)
"""


def test_processes_that_do_not_come_are_told_of() -> None:
    place = f"tcp://127.0.0.1:{free_port()}"
    alone = start("-c", MEETING, place, 0, 2, 0.5)
    assert "rank 0 has waited 500ms for all 2 processes" in alone.stdout, alone.stderr
    lost = start("-c", MEETING, place, 1, 2, 0.5)
    assert "client socket has timed out after 500ms while trying to connect to (127.0.0.1, " in lost.stdout
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = start("-c", MEETING, f"tcp://127.0.0.1:{taken.getsockname()[1]}", 0, 2, 0.5)
    assert "has failed to listen" in refused.stdout and "EADDRINUSE" in refused.stdout


# Joins as rank N without being rank 0, which would listen.
JOINING = r"""
import sys, time
from corten.distributed import _rendezvous, DistNetworkError
host, port = sys.argv[1].removeprefix("tcp://").split(":")
connection = _rendezvous._connect(host, int(port), time.monotonic() + 20, 20)
connection.sendall(b"cmd=join rank=" + sys.argv[2].encode() + b" size=2\n")
try:
    _rendezvous._wait_for_all(connection, _rendezvous.Place(0, 2), time.monotonic() + 20, 20)
except DistNetworkError as error:
    print(error)
connection.close()
"""


def test_processes_that_disagree_are_told_so() -> None:
    place = f"tcp://127.0.0.1:{free_port()}"
    words = [sys.executable, "-c", MEETING, place]
    first = subprocess.Popen([*words, "0", "2", "20"], stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert "rank 1 counts on 3 processes, rank 0 on 2" in start("-c", MEETING, place, 1, 3, 20).stdout
        assert "there is a process of rank 0 already" in start("-c", JOINING, place, 0).stdout
    finally:
        first.kill()
        first.communicate()


def test_what_there_is_without_a_group() -> None:
    assert dist.is_available() and dist.is_mpi_available() and not dist.is_initialized()
    # Their names are taken, but what serves them is MPI.
    assert not dist.is_nccl_available() and not dist.is_gloo_available() and dist.is_backend_available("mpi")
    x = corten.ones(1)
    for call in (dist.get_rank, dist.get_world_size, dist.get_backend, dist.barrier, dist.new_group):
        with pytest.raises(ValueError, match="Default process group has not been initialized"):
            call()
    with pytest.raises(ValueError, match="please make sure to call init_process_group"):
        dist.all_reduce(x)
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        corten.nn.parallel.DistributedDataParallel(corten.nn.Linear(1, 1))
    with pytest.raises(AssertionError, match="Process group cannot be None"):
        dist.destroy_process_group()
    assert repr(dist.ReduceOp.SUM) == "<RedOpType.SUM: 0>" and str(dist.ReduceOp.AVG) == "RedOpType.AVG"
    assert dist.Backend("NCCL") == dist.Backend.NCCL == "nccl"


def test_buckets_follow_the_order_of_backward() -> None:
    from corten.distributed._reducer import make_buckets

    parameters = [corten.empty(n) for n in (10, 100, 10, 300, 10)] + [corten.empty(10, dtype=corten.float64)]
    # Bytes: 40, 400, 40, 1200, 40, 80 of another dtype.
    assert make_buckets(parameters, 50, 500) == [[5], [4], [3], [2, 1, 0]]
    assert make_buckets(parameters, 1 << 20, 1 << 20) == [[5], [4, 3, 2, 1, 0]]


def test_a_program_that_imports_torch_is_told_how_to_run(script, monkeypatch) -> None:
    from corten.distributed import run

    def hint(text: str, *options: str) -> str:
        return run._hint(run.parse_args([*options, str(script(text))]))

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "python -m corten run -m torch.distributed.run" in hint("import torch.nn as nn")
    assert "imports torch" in hint("if True:\n    from torch import nn")
    assert hint("import corten as torch") == "" == hint("import torch", "--no-python")
    monkeypatch.undo()
    found = importlib.util.find_spec("corten")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    assert hint("import torch") == ""


def test_a_group_is_not_joined_again_without_a_place(script) -> None:
    program = script(
        """
        import os, corten.distributed as dist
        dist.init_process_group()
        dist.destroy_process_group()
        dist.init_process_group()
        dist.destroy_process_group()
        for name in ("RANK", "WORLD_SIZE"):
            del os.environ[name]
        try:
            dist.init_process_group()
        except ValueError as error:
            print(error)
        """
    )
    done = in_processes(1, program)
    assert "environment variable RANK expected" in done.stdout, done.stderr
