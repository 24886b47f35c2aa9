"""What a program may hang into `fit`: callbacks and logs."""

__all__ = ["Callback", "as_callback", "as_log"]


class Callback:
    """Base class of callbacks; every method may be left out. `run` is the `Run`: `run.model`, `run.step`, `run.stop`…

    Where a callback has something to remember, `state_dict` and `load_state_dict` take it into checkpoints.
    """

    def on_fit_begin(self, run):
        """Before the first step, and after a checkpoint was loaded."""

    def on_epoch_begin(self, run):
        """Before the first step of an epoch, or of what is left of it after resuming."""

    def on_step_end(self, run):
        """After every update of the weights."""

    def on_epoch_end(self, run, row):
        """After an epoch's validation; `row` maps names to the epoch's numbers and may be added to."""

    def on_fit_end(self, run):
        """After the last epoch, however the training ended but by an error."""

    def state_dict(self):
        """What a checkpoint keeps."""
        return {}

    def load_state_dict(self, state):
        """Goes on from what `state_dict` told."""


class _AtEpochEnd(Callback):
    def __init__(self, function):
        self.function = function

    def on_epoch_end(self, run, row):
        self.function(run, row)


def as_callback(value):
    """A callback as it is; a function becomes one that is called as `function(run, row)` after every epoch.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, Callback):
        return value
    if callable(value):
        return _AtEpochEnd(value)
    raise TypeError(f"fit: callbacks has to hold Callbacks and functions, but got {type(value).__name__}")


def as_log(value):
    """A function `(values, step)` from such a function, or from a `SummaryWriter`.

    Raises:
        TypeError: for anything else.
    """
    if hasattr(value, "add_scalar"):

        def write(values, step):
            for name, number in values.items():
                value.add_scalar(name, number, step)

        return write
    if callable(value):
        return value
    raise TypeError(
        f"fit: log has to be a function of (values, step) or a SummaryWriter, but got {type(value).__name__}"
    )
