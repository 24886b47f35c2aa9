"""`python -m corten.distributed.run`: starts a program in several processes on this machine, with torchrun's options.

    python -m corten.distributed.run --nproc-per-node 2 train.py --epochs 3
    python -m corten.distributed.run --nproc-per-node 2 -m package.train
    python -m corten run -m torch.distributed.run --nproc-per-node 2 train_for_pytorch.py

Each process finds its place in the environment: RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR
and MASTER_PORT, from which `init_process_group` starts MPI. Where OMP_NUM_THREADS is not set the processes share the
processor's threads. When a process fails the others are ended, and the run ends with its exit status.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid

from ._rendezvous import _STARTERS

# Seconds between looks at the processes, and those they have to end after SIGTERM.
_INTERVAL = 0.05
_GRACE = 15


def get_args_parser(name="python -m corten.distributed.run"):
    """The parser of torchrun's options; those that choose among machines are accepted where they name this one."""
    parser = argparse.ArgumentParser(prog=name, description="Starts a program in several processes on this machine.")

    def option(name, *more, **settings):
        names = [name, *([name.replace("-", "_").replace("__", "--", 1)] if "-" in name.strip("-") else []), *more]
        parser.add_argument(*names, **settings)

    option("--nproc-per-node", default="1", help="number of processes, or auto, cpu or gpu (%(default)s)")
    option("--nnodes", default="1:1", help="machines: 1")
    option("--node-rank", type=int, default=0, help="accepted: 0")
    option("--standalone", action="store_true", help="a free port, as where none is given")
    option("--master-addr", default="127.0.0.1", help="address of rank 0 (%(default)s)")
    option("--master-port", type=int, default=0, help="port of rank 0; a free one where it is not given")
    option("--rdzv-backend", default="static", help="accepted")
    option("--rdzv-endpoint", default="", help="host:port of rank 0, where not given otherwise")
    option("--rdzv-id", default="none", help="name of the run")
    option("--rdzv-conf", default="", help="accepted")
    option("--local-addr", default=None, help="accepted")
    option("--max-restarts", type=int, default=0, help="how often all processes are started again after a failure")
    option("--monitor-interval", type=float, default=0.1, help="accepted")
    option("--start-method", default="spawn", help="accepted")
    option("--role", default="default", help="name in the environment and in front of lines (%(default)s)")
    option("--log-dir", default=None, help="folder for the files of --redirects and --tee")
    option("--redirects", "-r", default="0", help="to files: 1 stdout, 2 stderr, 3 both; or rank:number,...")
    option("--tee", "-t", default="0", help="to files and the terminal, numbers as of --redirects")
    option("--local-ranks-filter", default="", help="ranks whose output is shown, separated by commas")
    option("--module", "-m", action="store_true", help="the program is a module, as of python -m")
    option("--no-python", action="store_true", help="the program is run by itself")
    option("--run-path", action="store_true", help="accepted")
    parser.add_argument("training_script", help="the program")
    parser.add_argument("training_script_args", nargs=argparse.REMAINDER, help="its arguments")
    return parser


def parse_args(arguments=None, parser=None):
    """The options as a namespace; ends with status 2 where they are wrong."""
    parser = get_args_parser() if parser is None else parser
    chosen = parser.parse_args(arguments)
    if set(chosen.nnodes.split(":")) != {"1"} or chosen.node_rank != 0:
        parser.error(f"processes run on one machine: --nnodes must be 1, got {chosen.nnodes} (node {chosen.node_rank})")
    if chosen.module and chosen.no_python:
        parser.error("Don't use both the '--no-python' flag and the '--module' flag at the same time.")
    chosen.passes_rank = False
    try:
        chosen.count = _count(chosen.nproc_per_node)
        chosen.redirects, chosen.tee = (_by_rank(text, chosen.count) for text in (chosen.redirects, chosen.tee))
        chosen.shown = {int(rank) for rank in chosen.local_ranks_filter.split(",") if rank}
    except ValueError as error:
        parser.error(str(error))
    return chosen


def _count(text):
    """The number of processes that a text means."""
    if text in ("auto", "cpu", "gpu"):
        import corten

        gpus = corten.cuda.device_count() if text != "cpu" else 0
        if text == "gpu" and not gpus:
            raise ValueError("--nproc-per-node gpu: there is no GPU")
        return gpus or os.cpu_count()
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"--nproc-per-node must be a positive number, auto, cpu or gpu, got {text!r}")
    return int(text)


def _by_rank(text, count):
    """What is done with the output of each process: 1 for stdout, 2 for stderr, 3 for both."""
    if text in ("0", "1", "2", "3"):
        return [int(text)] * count
    found = [0] * count
    for part in text.split(","):
        rank, _, kind = part.partition(":")
        if not rank.isdigit() or kind not in ("0", "1", "2", "3") or int(rank) >= count:
            raise ValueError(f"output is chosen by 0 to 3, or by rank:number,..., got {text!r}")
        found[int(rank)] = int(kind)
    return found


def _free_port(host):
    with socket.create_server((host, 0)) as listener:
        return listener.getsockname()[1]


def _place(chosen):
    """Address and port of rank 0."""
    host, port = chosen.master_addr, chosen.master_port
    if chosen.rdzv_endpoint and not chosen.standalone and not port:
        name, _, number = chosen.rdzv_endpoint.rpartition(":")
        if number.isdigit():
            host, port = name or host, int(number)
        else:
            host = chosen.rdzv_endpoint
    return host, port or _free_port(host)


def _environment(chosen, rank, place, attempt, run_id):
    count = str(chosen.count)
    mine = {name: value for name, value in os.environ.items() if name not in _STARTERS}
    mine.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // chosen.count)))
    mine.update(
        RANK=str(rank), LOCAL_RANK=str(rank), ROLE_RANK=str(rank), GROUP_RANK="0",
        WORLD_SIZE=count, LOCAL_WORLD_SIZE=count, ROLE_WORLD_SIZE=count, GROUP_WORLD_SIZE="1",
        ROLE_NAME=chosen.role, MASTER_ADDR=place[0], MASTER_PORT=str(place[1]),
        TORCHELASTIC_RESTART_COUNT=str(attempt), TORCHELASTIC_MAX_RESTARTS=str(chosen.max_restarts),
        TORCHELASTIC_RUN_ID=run_id,
    )  # fmt: skip
    return mine


class Worker:
    """One process, and the threads that pass its output on."""

    def __init__(self, chosen, rank, environment, folder):
        self.rank = rank
        self._threads, self._files = [], []
        given = [f"--local-rank={rank}"] if chosen.passes_rank else []
        command = [chosen.training_script, *given, *chosen.training_script_args]
        if not chosen.no_python:
            command = [sys.executable, "-u", *(["-m"] if chosen.module else []), *command]
        streams = [self._stream(chosen, folder, bit) for bit in (1, 2)]
        try:
            self.process = subprocess.Popen(command, env=environment, stdout=streams[0][0], stderr=streams[1][0])
        except OSError as error:
            raise SystemExit(f"corten.distributed.run: cannot start {command[0]}: {error.strerror}") from error
        for (_, file), pipe, shown in zip(
            streams, (self.process.stdout, self.process.stderr), (sys.stdout, sys.stderr)
        ):
            if pipe is not None:
                thread = threading.Thread(target=self._pass_on, args=(pipe, file, shown, f"[{chosen.role}{rank}]:"))
                thread.start()
                self._threads.append(thread)

    def _stream(self, chosen, folder, bit):
        """Where a stream of the process goes: what Popen takes, and the file of a stream that is shown as well."""
        if chosen.tee[self.rank] & bit or chosen.redirects[self.rank] & bit:
            path = os.path.join(folder, str(self.rank))
            os.makedirs(path, exist_ok=True)
            file = open(os.path.join(path, "stdout.log" if bit == 1 else "stderr.log"), "wb")  # noqa: SIM115
            self._files.append(file)
            return (subprocess.PIPE, file) if chosen.tee[self.rank] & bit else (file, None)
        if chosen.shown and self.rank not in chosen.shown:
            return subprocess.DEVNULL, None
        return None, None

    def _pass_on(self, pipe, file, shown, prefix):
        for line in pipe:
            file.write(line)
            shown.write(prefix + line.decode("utf-8", "replace"))
            shown.flush()
        pipe.close()

    def close(self):
        """Waits for the rest of the output."""
        for thread in self._threads:
            thread.join()
        for file in self._files:
            file.close()


def _end(workers):
    """Ends what still runs: SIGTERM, and SIGKILL after a while."""
    deadline = time.monotonic() + _GRACE
    for end in ("terminate", "kill"):
        for worker in workers:
            if worker.process.poll() is None:
                getattr(worker.process, end)()
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()) if end == "terminate" else None)
    for worker in workers:
        worker.close()


def _watch(workers):
    """Waits for the end of all, or for the first that fails, which is returned."""
    while True:
        codes = [worker.process.poll() for worker in workers]
        for worker, code in zip(workers, codes):
            if code:
                return worker
        if None not in codes:
            return None
        time.sleep(_INTERVAL)


def _describe(worker, chosen):
    code = worker.process.returncode
    ended = f"exit code {code}"
    if code < 0:
        known = -code in set(signal.Signals)
        ended = f"signal {signal.Signals(-code).name if known else -code}"
    return (
        f"corten.distributed.run: {chosen.training_script} failed: rank {worker.rank} of {chosen.count} (pid "
        f"{worker.process.pid}) ended with {ended}; the other processes were ended"
    )


def _hint(chosen):
    """A line for programs that fail because they import PyTorch, which is not there; "" for others."""
    import importlib.util
    import re

    if chosen.module or chosen.no_python or importlib.util.find_spec("torch") is not None:
        return ""
    with contextlib.suppress(OSError), open(chosen.training_script, encoding="utf-8", errors="replace") as file:
        if re.search(r"^\s*(?:import|from)\s+torch\b", file.read(), re.MULTILINE):
            return (
                f"\n{chosen.training_script} imports torch: `python -m corten run -m torch.distributed.run ...`, with "
                "the same arguments, makes that mean corten in every process"
            )
    return ""


def run(chosen):
    """Starts the processes and waits for them; returns the exit status of the run."""
    run_id = chosen.rdzv_id if chosen.rdzv_id != "none" or not chosen.standalone else str(uuid.uuid4())
    attempt = 0
    while True:
        place = _place(chosen)
        folder = ""
        if any(chosen.redirects) or any(chosen.tee):
            import tempfile

            top = chosen.log_dir or tempfile.mkdtemp(prefix="corten-run-")
            folder = os.path.join(top, run_id, f"attempt_{attempt}")
        workers = []
        try:
            for rank in range(chosen.count):
                workers.append(Worker(chosen, rank, _environment(chosen, rank, place, attempt, run_id), folder))
            failed = _watch(workers)
        finally:
            _end(workers)
        if failed is None:
            return 0
        print(_describe(failed, chosen) + _hint(chosen), file=sys.stderr, flush=True)
        if attempt == chosen.max_restarts:
            code = failed.process.returncode
            return 128 - code if code < 0 else code
        attempt += 1


def _interrupted(number, frame):
    raise SystemExit(128 + number)


def main(args=None):
    """Runs the program that the arguments name; ends with the status of the process that failed."""
    execute(parse_args(args))


def execute(chosen):
    """Runs the program of parsed arguments, and ends this one with its status."""
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        status = run(chosen)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    raise SystemExit(status)


if __name__ == "__main__":
    main()
