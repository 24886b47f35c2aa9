"""The best epoch so far: its weights, its file, and the end of the patience for a better one."""

from .checkpoint import copied, save_whole

__all__ = ["Selection"]


class Selection:
    """Follows a number from epoch to epoch.

    Args:
        options: the arguments of `fit`.
    """

    def __init__(self, options):
        self.path, self.patience, self.least = options.best, options.patience, options.min_delta
        self.restores = options.patience is not None if options.restore_best is None else options.restore_best
        self.monitor = options.monitor or ("val_loss" if options.validation is not None else "loss")
        self.mode = options.mode
        self.asked = bool(self.path or self.restores or self.patience is not None or options.monitor)
        if self.mode is None:
            if not self.monitor.endswith("loss"):
                raise ValueError(f"fit: say by mode='min' or mode='max' which {self.monitor!r} is the better one")
            self.mode = "min"
        if self.mode not in ("min", "max"):
            raise ValueError(f"fit: mode has to be 'min' or 'max', but got {self.mode!r}")
        self.best = self.weights = None
        self.waited = 0

    def _is_better(self, value):
        if self.best is None:
            return value == value  # NaN is not better than nothing
        gain = self.best[self.monitor] - value
        return (gain if self.mode == "min" else -gain) > self.least

    def look(self, row, updates):
        """Takes in an epoch's numbers; returns why to stop, or None.

        Raises:
            KeyError: the epoch has not the number that is monitored.
        """
        if self.monitor not in row:
            unvalidated = self.monitor.startswith("val_") and not any(name.startswith("val_") for name in row)
            if not self.asked or (unvalidated and updates.options.validation is not None):
                return None
            raise KeyError(f"fit: monitor {self.monitor!r} is not measured; there are {list(row)}")
        if self._is_better(row[self.monitor]):
            self.best, self.waited = dict(row), 0
            model = updates.model if updates.averaged is None else updates.averaged.module
            if self.restores:
                self.weights = copied(model.state_dict())
            if self.path is not None:
                save_whole(model.state_dict(), self.path)
            return None
        self.waited += 1
        if self.patience is not None and self.waited >= self.patience:
            return f"{self.monitor} has not become better for {self.waited} epochs"
        return None

    def restore(self, model):
        """Gives the model the best epoch's weights, where that was asked for."""
        if self.restores and self.weights is not None:
            model.load_state_dict(self.weights)

    def state_dict(self):
        """The best epoch, its weights and how long ago it was."""
        return {"best": self.best, "weights": self.weights, "waited": self.waited}

    def load_state_dict(self, state):
        """Goes on from what `state_dict` told."""
        self.best, self.weights, self.waited = state["best"], state["weights"], state["waited"]
