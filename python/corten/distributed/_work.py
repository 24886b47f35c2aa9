"""`Work`: a collective that is under way."""

import os
import time

from .._control import Future
from . import _mpi
from ._errors import DistBackendError

# Seconds of asking MPI all the time, which lets others have the processor first, and the pauses after: neither should
# processes that share a core take turns at asking, nor a short message wait for a clock.
_EAGER = 0.002
_PAUSES = (20e-6, 2e-4)
_give_way = getattr(os, "sched_yield", lambda: None)


class Work:
    """What a collective with ``async_op=True`` returns. Its tensors must be left alone until it is complete.

    Results are written when `wait` or `is_completed` finds that everything has arrived.
    """

    def __init__(self, name, group, requests, finish=None, result=()):
        self._name, self._group, self._requests, self._finish = name, group, list(requests), finish
        self._result, self._error, self._source, self._futures = list(result), None, None, []
        self._status = _mpi.library().Status()
        group._pending.append(self)

    def _advance(self):
        """Whether all has arrived; the first time it has, results are written."""
        if self._requests is None:
            return True
        status = self._status
        try:
            while self._requests:
                if not self._requests[0].Test(status):
                    return False
                del self._requests[0]
            if self._finish is not None:
                self._finish(status, self)
        except Exception as error:
            known = isinstance(error, DistBackendError)
            self._error = error if known else _mpi.failure(error, self._name)
        self._requests = self._finish = None
        self._group._pending.remove(self)
        for future in self._futures:
            if self._error is None:
                future.set_result(self._result)
            else:
                future.set_exception(self._error)
        return True

    def is_completed(self):
        """Whether the collective has ended on this process; its results are then there."""
        return self._advance()

    def is_success(self):
        """Whether it has ended without an error."""
        return self._advance() and self._error is None

    def exception(self):
        """The error with which it ended, or None."""
        return self._error

    def wait(self, timeout=None):
        """Waits until the collective has ended; returns True.

        Args:
            timeout: a `datetime.timedelta`; the group's where it is not given, or is zero.

        Raises:
            DistBackendError: it failed, or did not end in time.
        """
        limit = timeout.total_seconds() if timeout else self._group._timeout.total_seconds()
        begun = time.monotonic()
        pause = _PAUSES[0]
        while not self._advance():
            passed = time.monotonic() - begun
            if passed > limit:
                raise DistBackendError(
                    f"{self._name}: rank {self._group.rank()} has waited {limit * 1000:.0f}ms for the other "
                    f"processes of "
                    f"the group of {self._group.size()}; do all of them call it?"
                )
            if passed < _EAGER:
                _give_way()
            else:
                time.sleep(pause)
                pause = min(2 * pause, _PAUSES[1])
        if self._error is not None:
            raise self._error
        return True

    def synchronize(self):
        """Waits as `wait` does."""
        self.wait()

    def result(self):
        """The tensors with the results, a list.

        Raises:
            RuntimeError: it has not ended.
        """
        if not self._advance():
            raise RuntimeError(
                "Work needs to be completed before calling result(). Should call wait() before result()."
            )
        return self._result

    def source_rank(self):
        """The rank in the group that a received tensor came from.

        Raises:
            RuntimeError: the operation received nothing.
        """
        if self._source is None:
            raise RuntimeError("sourceRank() may only be called on work objects that correspond to a recv call.")
        return self._source

    def get_future(self):
        """A future of the list of tensors with the results."""
        future = WorkFuture(self)
        if self._advance():
            if self._error is None:
                future.set_result(self._result)
            else:
                future.set_exception(self._error)
        else:
            self._futures.append(future)
        return future


class WorkFuture(Future):
    """A future whose `wait` drives the collective that it waits for."""

    def __init__(self, work):
        super().__init__()
        self._work = work

    def done(self):
        """Whether there is a value or an error."""
        self._work.is_completed()
        return self._done

    def wait(self):
        """The value; raises the error instead where there is one."""
        if not self._done:
            self._work.wait()
        return self.value()

    def then(self, callback):
        """A future of what ``callback(future)`` returns, called when the collective has ended."""
        following = WorkFuture(self._work)

        def run(future):
            try:
                following.set_result(callback(future))
            except Exception as error:
                following.set_exception(error)

        self.add_done_callback(run)
        return following
