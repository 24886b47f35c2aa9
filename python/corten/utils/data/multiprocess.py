"""Iteration with worker processes: requests out, batches back in order, and workers that fail or die."""

import itertools
import os
import pickle
import signal
import time
import warnings
import weakref
from multiprocessing.connection import wait

import corten

from .dataloader import _BaseDataLoaderIter
from .transport import Sender, load, new_prefix, remove_shared
from .worker import RESUME, StreamEnd, WorkerError, worker_loop

# Seconds that a worker gets to end by itself, for instance to finish the sample it is at.
_JOIN_TIMEOUT = 5.0


class WorkerOptions:
    """What every worker of an iterator needs to know; pickled where processes are not forked."""

    def __init__(self, iterator, loader):
        self.dataset_kind = loader._dataset_kind
        self.dataset = loader.dataset
        self.auto_collation = loader._auto_collation
        self.collate_fn = loader.collate_fn
        self.drop_last = loader.drop_last
        self.worker_init_fn = loader.worker_init_fn
        self.num_workers = loader.num_workers
        self.base_seed = iterator._base_seed
        self.shared_prefix = iterator._shared_prefix


class _Worker:
    """The main process's end of one worker.

    Each worker has its own pipes: a worker that is killed while it writes can neither hold a lock that others need nor
    leave half a message between theirs.
    """

    def __init__(self, context, options, number, earlier):
        receive_request, self._requests = context.Pipe(duplex=False)
        self.answers, send_answer = context.Pipe(duplex=False)
        inherited = []
        if context.get_start_method() == "fork":
            inherited = [end for worker in (*earlier, self) for end in (worker._requests, worker.answers)]
        self.process = context.Process(
            target=worker_loop, args=(options, number, receive_request, send_answer, inherited), daemon=True
        )
        try:
            self.process.start()
        except (TypeError, AttributeError, pickle.PicklingError):
            warnings.warn(
                "Got pickle error when attempting to start a worker Process. This might be because the worker Process "
                "arguments are not picklable. Python 3.14+ changed the multiprocessing start method in non-Mac POSIX "
                "platforms to 'forkserver', which requires the worker Process arguments to be picklable. You can also "
                "try multiprocessing.set_start_method('fork').",
                stacklevel=5,
            )
            raise
        finally:
            # Only the worker may hold these ends, so that its death closes the pipe.
            receive_request.close()
            send_answer.close()
        self._sender = Sender(self._requests)
        self.active = True
        self.tasks = 0

    def request(self, message):
        self._sender.send(pickle.dumps(message))

    def retire(self):
        """Asks the worker to end once it has answered what it was asked before."""
        if self.active:
            self.active = False
            self.request(None)

    def end(self, deadline):
        """Waits for the worker's end until ``deadline`` (``time.monotonic``), then ends it."""
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(_JOIN_TIMEOUT)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
        self._sender.close(wait=False)
        self._requests.close()


def _describe_death(worker):
    pid, code = worker.process.pid, worker.process.exitcode
    if code is not None and code < 0:
        name = signal.strsignal(-code) or str(-code)
        text = f"DataLoader worker (pid(s) {pid}) exited unexpectedly: killed by signal: {name}. "
        if -code == getattr(signal, "SIGBUS", None):
            text += "It is possible that dataloader's workers are out of shared memory. "
        return text
    return (
        f"DataLoader worker (pid(s) {pid}) exited unexpectedly with exit code {code}. Details are lost due to "
        "multiprocessing. Rerunning with num_workers=0 may give better error trace."
    )


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Keeps ``prefetch_factor`` requests a worker under way and yields the answers in the order of the requests.

    ``_tasks`` maps the number of each request that has not been yielded to ``[worker, has_answer, data]``.
    """

    def __init__(self, loader):
        self._workers = []
        self._shared_prefix = new_prefix()
        self._finalizer = weakref.finalize(self, _end_workers, self._workers, self._shared_prefix, os.getpid())
        super().__init__(loader)
        self._prefetch_factor = loader.prefetch_factor
        self._in_order = loader.in_order
        if self._prefetch_factor <= 0:
            raise AssertionError("prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter")
        context = loader.multiprocessing_context
        if context is None:
            import multiprocessing

            context = multiprocessing.get_context()
        options = WorkerOptions(self, loader)
        # What is still pending would be lost in a forked child.
        corten._core.flush()
        try:
            for number in range(self._num_workers):
                self._workers.append(_Worker(context, options, number, self._workers))
        except BaseException:
            self._shutdown_workers()
            raise
        self._begin()

    def _reset(self, loader):
        """Starts another pass with the same workers."""
        if not self._finalizer.alive:
            raise RuntimeError("the workers of this DataLoader have been shut down after an error")
        self._start_pass(loader)
        for worker in self._workers:
            worker.active = True
            worker.tasks = 0
            worker.request((RESUME, None))
        resumed = 0
        while resumed < len(self._workers):
            # Answers of a pass that was left early are dropped on the way.
            _, (number, _) = self._receive()
            resumed += number == RESUME
        self._begin()

    def _begin(self):
        self._tasks = {}
        self._next_sent = 0
        self._next_yielded = 0
        self._turns = itertools.cycle(self._workers)
        for _ in range(self._prefetch_factor * self._num_workers):
            self._request_next()

    def _request_next(self):
        """Sends the next index to the next worker that may have it; does nothing at the end of the sampler."""
        try:
            index = self._next_index()
        except StopIteration:
            return
        active = sum(worker.active for worker in self._workers)
        for worker in itertools.islice(self._turns, self._num_workers):
            full = worker.tasks >= self._prefetch_factor * self._num_workers // max(1, active)
            if worker.active and (self._in_order or not full):
                break
        else:
            return
        worker.request((self._next_sent, index))
        worker.tasks += 1
        self._tasks[self._next_sent] = [worker, False, None]
        self._next_sent += 1

    def _next_data(self):
        while True:
            self._skip_abandoned()
            if self._next_yielded >= self._next_sent:
                if not self._persistent_workers:
                    self._shutdown_workers()
                raise StopIteration
            if self._tasks[self._next_yielded][1]:
                return self._yield_task(self._next_yielded)
            worker, (number, data) = self._receive()
            if isinstance(data, StreamEnd):
                if self._persistent_workers:
                    worker.active = False
                else:
                    worker.retire()
                del self._tasks[number]
                self._request_next()
                continue
            self._tasks[number][1:] = True, data
            if not self._in_order:
                return self._yield_task(number)

    def _skip_abandoned(self):
        """Passes over requests already yielded, and those that a worker got after its stream had ended."""
        while self._next_yielded < self._next_sent:
            task = self._tasks.get(self._next_yielded)
            if task is not None and (task[1] or task[0].active):
                return
            self._tasks.pop(self._next_yielded, None)
            self._next_yielded += 1

    def _yield_task(self, number):
        worker, _, data = self._tasks.pop(number)
        worker.tasks -= 1
        self._request_next()
        if isinstance(data, WorkerError):
            data.reraise()
        return data

    def _receive(self):
        """Waits for one answer; returns the worker and its ``(number, data)``.

        Raises:
            RuntimeError: when the timeout passes, or a worker that still owes answers is dead.
        """
        deadline = time.monotonic() + self._timeout if self._timeout > 0 else None
        by_connection = {worker.answers: worker for worker in self._workers if not worker.answers.closed}
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = wait(list(by_connection), timeout=left)
            if not ready:
                raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
            for connection in ready:
                worker = by_connection[connection]
                try:
                    return worker, load(connection.recv_bytes())
                except (EOFError, ConnectionError):
                    # The pipe closes when the worker is gone, whether it was asked to end or not.
                    self._note_end(worker)
                    del by_connection[connection]

    def _note_end(self, worker):
        worker.answers.close()
        worker.process.join(_JOIN_TIMEOUT)
        if worker.active:
            message = _describe_death(worker)
            self._shutdown_workers()
            raise RuntimeError(message)

    def _shutdown_workers(self):
        """Ends all workers: at the end of a pass, and on errors."""
        self._finalizer()


def _end_workers(workers, shared_prefix, main_pid):
    """Ends workers and removes what they shared; runs once, when the iterator is closed, dropped, or at exit."""
    if os.getpid() != main_pid:
        # A forked child drops its copy of the iterator; the workers are not its children.
        return
    for worker in workers:
        worker.active = True
        worker.retire()
        # A worker that is still writing finds the pipe closed instead of waiting for a reader.
        worker.answers.close()
    deadline = time.monotonic() + _JOIN_TIMEOUT
    for worker in workers:
        worker.end(deadline)
    remove_shared(shared_prefix)
