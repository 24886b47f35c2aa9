"""Futures, ``torch.futures``: a value that is there or will be set, and many of them as one."""

from ._control import Future

__all__ = ["Future", "collect_all", "wait_all"]


def collect_all(futures):
    """A `Future` of the list of futures, which has its value when each of them has."""
    whole = Future()
    futures = list(futures)

    def told(_):
        if not whole.done() and all(future.done() for future in futures):
            whole.set_result(futures)

    told(None)
    for future in futures:
        future.add_done_callback(told)
    return whole


def wait_all(futures):
    """The values of futures in a list; raises the first error that one has instead."""
    return [future.wait() for future in collect_all(futures).wait()]
