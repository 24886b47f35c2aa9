"""Ctrl-C between two steps instead of inside one."""

import signal
import threading

__all__ = ["Interrupts"]


class Interrupts:
    """While entered, the first Ctrl-C is only noted, in `asked`; a second one raises KeyboardInterrupt at once.

    Only the main thread may handle signals: elsewhere this does nothing.
    """

    def __init__(self):
        self.asked = False
        self._before = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            # A process in the background ignores the signal, and goes on doing so.
            if callable(before):
                self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
