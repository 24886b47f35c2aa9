"""What runs inside a worker process: seeding, the loop that answers requests, and errors on their way back."""

import os

_worker_info = None

# Seconds between looks at whether the main process still lives, where its end is not announced by the system.
CHECK_INTERVAL = 5.0


class WorkerInfo:
    """Which worker this is.

    Attributes:
        id: number of the worker, from zero.
        num_workers: number of workers.
        seed: the worker's seed, the same for ``random`` and ``corten``.
        dataset: the worker's copy of the dataset.
    """

    __slots__ = ("id", "num_workers", "seed", "dataset")

    def __init__(self, id, num_workers, seed, dataset):
        for name, value in zip(self.__slots__, (id, num_workers, seed, dataset)):
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        raise AttributeError(f"cannot assign to field {name!r}")

    def __repr__(self):
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"WorkerInfo({fields})"


def get_worker_info():
    """The :class:`WorkerInfo` of this process, or None in the main process."""
    return _worker_info


class StreamEnd:
    """Answer of a worker whose stream of samples has ended."""

    def __init__(self, worker_id):
        self.worker_id = worker_id


# Takes the place of a request's number where another pass is to begin, and in the answer that it has begun.
RESUME = -1


class _VerbatimKey(str):
    """A KeyError's message, which would otherwise be shown as a quoted string without its line breaks."""

    def __repr__(self):
        return str(self)


class WorkerError:
    """An exception with the text of its traceback, which itself cannot travel between processes."""

    def __init__(self, exception, where):
        import traceback

        self.exc_type = type(exception)
        self.exc_msg = "".join(traceback.format_exception(exception))
        self.where = where

    def reraise(self):
        """Raises an exception of the same class that tells worker and traceback; else a RuntimeError."""
        message = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            message = _VerbatimKey(message)
        try:
            exception = self.exc_type(message)
        except Exception:
            # Some classes need other arguments than a message.
            exception = RuntimeError(message)
        if isinstance(exception, StopIteration):
            # Would end the loop over the batches in silence.
            exception = RuntimeError(message)
        raise exception


def _seed_everything(base_seed, worker_id):
    """Seeds ``random``, ``corten`` and ``numpy`` for one worker; returns the seed of the first two."""
    import random

    import corten
    import numpy

    seed = base_seed + worker_id
    random.seed(seed)
    corten.manual_seed(seed)
    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    numpy.random.seed(numpy.random.SeedSequence(entropy).generate_state(4))
    return seed


class _Requests:
    """Requests of the main process, until it sends None or is gone."""

    def __init__(self, connection):
        import multiprocessing

        self.connection = connection
        self.sentinel = multiprocessing.parent_process().sentinel
        self.first_ppid = os.getppid()

    def parent_is_dead(self):
        """Whether the main process has ended.

        Forked siblings hold copies of the pipe behind the sentinel, so the parent's number is looked at as well.
        """
        from multiprocessing.connection import wait

        return os.getppid() != self.first_ppid or bool(wait([self.sentinel], timeout=0))

    def __iter__(self):
        from multiprocessing.connection import wait

        while True:
            ready = wait([self.connection, self.sentinel], timeout=CHECK_INTERVAL)
            if self.connection in ready:
                try:
                    request = self.connection.recv()
                except (EOFError, OSError):
                    return
                if request is None:
                    return
                yield request
            elif self.parent_is_dead():
                return


def worker_loop(options, worker_id, requests, answers, inherited):
    """Body of a worker process.

    Args:
        options: the :class:`~corten.utils.data.multiprocess.WorkerOptions` all workers share.
        worker_id: number of this worker.
        requests: connection that yields ``(number, index)`` or None.
        answers: connection for numbers and data.
        inherited: the main process's connections to other workers, of which a forked child holds copies.
    """
    from .transport import Sender, Transport

    # A copy held here would keep those pipes open after the main process has closed them.
    for connection in inherited:
        connection.close()
    transport = Transport(options.shared_prefix, worker_id)
    sender = Sender(answers)
    requests = _Requests(requests)
    try:
        _answer_requests(options, worker_id, requests, sender, transport)
        sender.close(wait=True)
    except KeyboardInterrupt:
        # The main process got the same signal and reports it.
        sender.close(wait=False)
    finally:
        if requests.parent_is_dead():
            transport.remove_leftovers()


def _answer_requests(options, worker_id, requests, sender, transport):
    global _worker_info

    import corten

    from .dataloader import _DatasetKind

    where = f"in DataLoader worker process {worker_id}"
    corten.set_num_threads(1)
    seed = _seed_everything(options.base_seed, worker_id)
    dataset = options.dataset
    _worker_info = WorkerInfo(worker_id, options.num_workers, seed, dataset)

    def make_fetcher():
        return _DatasetKind.create_fetcher(
            options.dataset_kind, dataset, options.auto_collation, options.collate_fn, options.drop_last
        )

    fetcher = failure = None
    try:
        if options.worker_init_fn is not None:
            options.worker_init_fn(worker_id)
        fetcher = make_fetcher()
    except Exception as error:
        failure = WorkerError(error, where)
    ended = False
    for number, index in requests:
        if number == RESUME:
            ended = False
            failure = None
            try:
                fetcher = make_fetcher()
            except Exception as error:
                failure = WorkerError(error, where)
            sender.send(transport.dump(RESUME, None))
            continue
        if ended:
            continue
        if failure is not None:
            data = failure
        else:
            try:
                data = fetcher.fetch(index)
            except StopIteration as error:
                if options.dataset_kind == _DatasetKind.Iterable:
                    data = StreamEnd(worker_id)
                    ended = True
                else:
                    data = WorkerError(error, where)
            except Exception as error:
                data = WorkerError(error, where)
        try:
            message = transport.dump(number, data)
        except Exception as error:
            # A batch that cannot be pickled is reported like any other failure of the worker.
            message = transport.dump(number, WorkerError(error, where))
        sender.send(message)
        del data, message
