"""`spawn`: a function in several processes, whose errors reach the one that started them."""

import os
import signal
import sys
import tempfile
import time
import traceback
from multiprocessing import connection, get_context

# Seconds that processes have to end after one of them has failed.
_GRACE = 30


class ProcessException(Exception):
    """A process of `spawn` has failed: which, and its process identifier."""

    def __init__(self, msg, error_index, error_pid):
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, error_pid

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """The function has raised; the message has its traceback."""


class ProcessExitedException(ProcessException):
    """The process has ended otherwise: by a signal, or with an exit status."""

    def __init__(self, msg, error_index, error_pid, exit_code, signal_name=None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def _run(fn, index, args, report):
    """Runs in the new process."""
    try:
        fn(index, *args)
    except KeyboardInterrupt:
        pass  # the one that started it has got it as well
    except Exception:
        with open(report, "w", encoding="utf-8") as file:
            file.write(traceback.format_exc())
        sys.exit(1)


class ProcessContext:
    """The processes of `start_processes`."""

    def __init__(self, processes, reports):
        self.processes = processes
        self._folder, self._reports = reports
        self._running = dict(enumerate(processes))

    def pids(self):
        """The identifiers of the processes."""
        return [int(process.pid) for process in self.processes]

    def join(self, timeout=None, grace_period=None):
        """Waits until a process ends; returns whether all have.

        Args:
            timeout: seconds to wait at most.
            grace_period: seconds that the others have to end by themselves after one has failed.

        Raises:
            ProcessRaisedException: a function has raised. The other processes are ended.
            ProcessExitedException: a process has ended with another status than 0.
        """
        sentinels = {process.sentinel: index for index, process in self._running.items()}
        failed = None
        for sentinel in connection.wait(sentinels, timeout) if sentinels else ():
            index = sentinels[sentinel]
            process = self._running.pop(index)
            process.join()
            if process.exitcode != 0 and failed is None:
                failed = index
        if failed is not None:
            self._end(grace_period)
            self._raise(failed)
        if not self._running:
            self._folder.cleanup()
        return not self._running

    def _end(self, grace_period):
        deadline = time.monotonic() + (grace_period or 0)
        for end in (None, "terminate", "kill"):
            for process in self._running.values():
                if end is not None and process.is_alive():
                    getattr(process, end)()
            for process in self._running.values():
                process.join(max(0.0, deadline - time.monotonic()))
            deadline = time.monotonic() + _GRACE

    def _raise(self, index):
        process = self.processes[index]
        text = None
        if os.path.exists(self._reports[index]):
            with open(self._reports[index], encoding="utf-8") as file:
                text = file.read()
        self._folder.cleanup()
        if text is not None:
            message = f"\n\n-- Process {index} terminated with the following error:\n{text}"
            raise ProcessRaisedException(message, index, process.pid)
        code = process.exitcode
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"<Unknown signal {-code}>"
            message = f"process {index} terminated with signal {name}"
            raise ProcessExitedException(message, index, process.pid, code, name)
        raise ProcessExitedException(f"process {index} terminated with exit code {code}", index, process.pid, code)


SpawnContext = ProcessContext


def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """`spawn` with another of multiprocessing's start methods: ``"fork"`` or ``"forkserver"``."""
    if start_method not in ("fork", "forkserver", "spawn"):
        raise ValueError(f"start_processes: start_method must be fork, forkserver or spawn, got {start_method!r}")
    methods = get_context(start_method)
    folder = tempfile.TemporaryDirectory(prefix="corten-spawn-")
    reports = [os.path.join(folder.name, str(index)) for index in range(nprocs)]
    processes = []
    for index in range(nprocs):
        process = methods.Process(target=_run, args=(fn, index, args, reports[index]), daemon=daemon)
        process.start()
        processes.append(process)
    context = ProcessContext(processes, (folder, reports))
    if not join:
        return context
    while not context.join():
        pass
    return None


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """Calls ``fn(index, *args)`` in ``nprocs`` new processes, whose index begins at 0.

    Args:
        fn: a function that new processes can import: one at the top level of a module.
        args: more arguments; tensors in them share their memory.
        join: waits for the end of all; otherwise returns a `ProcessContext`.
        daemon: ends the processes when this one ends.
        start_method: ``"spawn"``; `start_processes` takes others.

    Raises:
        ProcessRaisedException: the function has raised in one process; the others are ended.
        ProcessExitedException: a process ended with another status than 0.
    """
    return start_processes(fn, args, nprocs, join, daemon, start_method)
