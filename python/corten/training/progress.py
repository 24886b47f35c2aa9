"""The progress bar of `fit`, and lines where there is no tqdm."""

import time

__all__ = ["Progress"]

REFRESH = 0.5  # seconds between two looks at the loss


class Progress:
    """Shows how far a run is: a bar of tqdm where that is installed, and a line for every epoch.

    Args:
        shown: nothing is printed otherwise.
        total: steps of the whole run, or None.
        done: steps that an earlier run made.
    """

    def __init__(self, shown, total, done):
        self.shown, self.bar = shown, None
        self._next = time.monotonic() + REFRESH
        if shown:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self.bar = tqdm(total=total, initial=done, desc="training", unit="step", mininterval=REFRESH)

    def advance(self, averages):
        """Counts a step; the means are read where the bar is drawn anew, at most twice a second."""
        if self.bar is None:
            return
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REFRESH
            values = averages.values()
            if "loss" in values:
                self.bar.set_postfix(loss=f"{values['loss']:.4f}", refresh=False)
        self.bar.update()

    def write(self, text):
        """Prints a line above the bar."""
        if self.bar is not None:
            self.bar.write(text)
        elif self.shown:
            print(text, flush=True)

    def close(self):
        """Leaves the bar as it is."""
        if self.bar is not None:
            self.bar.close()
