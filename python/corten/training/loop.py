"""`fit`: the training loop as a function, and the `Run` that callbacks see."""

import itertools
import math
import time
from pathlib import Path
from types import SimpleNamespace

import corten

from ..optim.lr_scheduler import ReduceLROnPlateau
from ..utils.data import Dataset
from .averages import Averages
from .callbacks import as_callback, as_log
from .checkpoint import load_checkpoint, save_whole
from .data import Stream, as_batches
from .evaluation import evaluate
from .finite import Guard
from .history import History, warn_if_turned
from .interrupt import Interrupts
from .progress import Progress
from .randomness import random_state, seed_everything, set_random_state
from .selection import Selection
from .updates import Updates

__all__ = ["Run", "fit"]


def fit(
    model,
    data,
    loss=None,
    optimizer=None,
    *,
    step=None,
    manual=False,
    epochs=1,
    max_steps=None,
    steps_per_epoch=None,
    batch_size=None,
    shuffle=True,
    validation=None,
    validate_every=1,
    metrics=None,
    step_scheduler=None,
    epoch_scheduler=None,
    accumulate=1,
    clip_norm=None,
    clip_value=None,
    amp=None,
    ema=None,
    monitor=None,
    mode=None,
    patience=None,
    min_delta=0.0,
    best=None,
    restore_best=None,
    checkpoint=None,
    checkpoint_every=None,
    resume=False,
    config=None,
    state=None,
    device=None,
    seed=None,
    callbacks=(),
    log=None,
    log_every=None,
    progress=True,
    check_every=16,
):
    """Trains a model and tells how it went. It draws no random numbers of its own: a plain loop gives the same weights.

    Args:
        model: the module, on the device where it is trained.
        data: tensors `(inputs, target)` with equal first dims, a Dataset, an iterable of batches (a DataLoader, a
            list, `Batches`), or a function without arguments that returns an iterable for each pass.
        loss: `loss(output, target)`, the mean over the batch. Batches are tuples of the model's inputs and, last, the
            target.
        optimizer: an optimizer, or several that step together.
        step: `step(batch)` in place of `loss`, for any other kind of batch or training: it returns the loss, or a dict
            with `"loss"` and other scalars, whose means are in the history.
        manual: `step` computes gradients and updates weights itself; its dict is for the history alone.
        epochs, max_steps: when to end. A step is an update of the weights.
        steps_per_epoch: steps of an epoch, over as many passes as it takes; one pass where not given.
        batch_size, shuffle: for tensors (32 and a new order in every pass where not given) and Datasets.
        validation: data as above, not shuffled, or a function `(model)` that returns a dict. The model is in evaluation
            mode and has the averaged weights, if any; names get the prefix `val_`.
        validate_every: epochs from one validation to the next; the last epoch always has one.
        metrics: functions `(output, target)` by name, whose means are told of both data; objects with `update`,
            `compute` and `reset`, as torchmetrics has, of validation. They need `loss`.
        step_scheduler, epoch_scheduler: schedules, or lists of them, that advance with every step or epoch;
            `ReduceLROnPlateau` gets what is monitored.
        accumulate: batches for one step; its gradient is that of the mean of their losses.
        clip_norm, clip_value: limits of the gradients' common norm, and of each element.
        amp: autocast in float16 (with a GradScaler) or bfloat16; True takes float16 on a GPU and bfloat16 elsewhere.
        ema: the decay of an exponential moving average of the weights, or an `AveragedModel`.
        monitor, mode: the number that decides which epoch is best, `val_loss` or `loss` where not given, and whether
            `"min"` or `"max"` is.
        patience: epochs without one that is better by more than `min_delta`, after which training stops.
        best: file of the best epoch's weights (a state dict).
        restore_best: whether the model ends with them; where not given it does with `patience`.
        checkpoint: file of everything that a step reads or changes, written after every epoch, every
            `checkpoint_every` steps and on Ctrl-C, whole or not at all.
        resume: True goes on from `checkpoint`, `"auto"` only where it exists, a path from another file. What follows is
            equal bit for bit to a run that was not cut off. Data that draw from the global random generators or from
            a loader's are found again; other data with a memory have `state_dict` and `load_state_dict`.
        config: plain values that a checkpoint must have been made with.
        state: other objects with `state_dict` and `load_state_dict`, by name, for checkpoints.
        device: where batches are sent; that of the model where not given. Nested tuples, lists and dicts are.
        seed: of Python, numpy and corten, set before the first step.
        callbacks: `Callback`s, and functions `(run, row)` that are called after every epoch.
        log, log_every: a function `(values, step)` or a `SummaryWriter` that gets every epoch's numbers, and the loss
            every `log_every` steps.
        progress: whether to show a bar (with tqdm) and a line for each epoch.
        check_every: steps from one look at whether losses and weights are finite to the next. The batches between two
            looks and a copy of model and optimizers are kept to find the layer. 0 for never.

    Returns:
        A `History`.

    Raises:
        NonFiniteError: a loss or gradient is NaN or infinite; it names the layer. The model has the weights of before.
        KeyboardInterrupt: Ctrl-C, after the step that was running and with a checkpoint.
        FileNotFoundError, ValueError: there is no checkpoint to resume from, or it is of another `config`.
        TypeError, ValueError: arguments that exclude each other or lack one another.

    Example:
        >>> import corten
        >>> from corten import nn
        >>> inputs = corten.randn(64, 3)
        >>> net = nn.Linear(3, 1)
        >>> optimizer = corten.optim.SGD(net.parameters(), lr=0.1)
        >>> target = inputs.sum(1, keepdim=True)
        >>> history = corten.fit(net, (inputs, target), nn.MSELoss(), optimizer, epochs=20, progress=False)
        >>> history["loss"][-1] < history["loss"][0] / 10
        True
    """
    options = dict(locals())
    del options["model"], options["data"]
    _check(SimpleNamespace(**options))
    return Run(model, data, SimpleNamespace(**options)).train()


def _check(options):
    """Raises TypeError or ValueError for arguments that do not go together."""
    if (options.loss is None) == (options.step is None):
        raise TypeError("fit needs either loss or step")
    if options.manual and options.step is None:
        raise ValueError("fit: manual needs a step, which updates the weights")
    if options.metrics and options.step is not None:
        raise ValueError("fit: metrics get what loss gets; a step returns what it measures in its dict")
    if options.optimizer is None and not options.manual:
        raise TypeError("fit needs an optimizer")
    if options.manual and (options.accumulate != 1 or options.clip_norm or options.clip_value):
        raise ValueError("fit: where the step updates the weights itself, it accumulates and clips as well")
    if options.manual and options.validation is not None and not callable(options.validation):
        raise ValueError("fit: with manual, validation has to be a function, because the step would train")
    for name in ("epochs", "accumulate", "validate_every"):
        if not isinstance(getattr(options, name), int) or getattr(options, name) < 1:
            raise ValueError(f"fit: {name} has to be a positive integer, but got {getattr(options, name)!r}")
    for name in ("max_steps", "steps_per_epoch", "checkpoint_every", "log_every", "patience"):
        value = getattr(options, name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"fit: {name} has to be a positive integer, but got {value!r}")
    if options.resume in (True, "auto") and options.checkpoint is None:
        raise ValueError("fit: resume needs a checkpoint to go on from")
    if options.checkpoint_every is not None and options.checkpoint is None:
        raise ValueError("fit: checkpoint_every needs a checkpoint, the file to write")


class Run:
    """A training run: what callbacks see, and what a checkpoint holds.

    Attributes:
        model: the module.
        optimizers: the list of them.
        step: updates that were made.
        epoch: epochs that ended.
        history: the `History` so far.
        averages: means of this epoch so far.
        averaged: the `AveragedModel` or None.
        stop: set it to a text to end the training.
    """

    def __init__(self, model, data, options):
        self.options, self.model = options, model
        self.updates = Updates(model, options)
        self.optimizers, self.averaged = self.updates.optimizers, self.updates.averaged
        self.stream = Stream(as_batches(data, options.batch_size, options.shuffle), self.updates.on_gpu)
        self.validation = _validation(options.validation, options.batch_size)
        self.step = self.epoch = self.step_in_epoch = 0
        self.history, self.averages = History(), Averages()
        self.history.averaged = self.averaged
        self.selection = Selection(options)
        self.callbacks = [as_callback(callback) for callback in options.callbacks]
        self.log = None if options.log is None else as_log(options.log)
        self.guard = Guard(self.updates, options.check_every)
        self.stop = None

    # -- the loop ------------------------------------------------------------------------------------------------

    def train(self):
        """Runs to the end; returns the history."""
        was_training = self.model.training
        resumed = self._begin()
        self.progress = Progress(self.options.progress, self._total(), self.step)
        self.started = time.perf_counter()
        if resumed:
            self.progress.write(f"resumed after step {self.step} of {self._total() or 'an unknown number'}")
        try:
            with Interrupts() as self.interrupts:
                self._call("on_fit_begin")
                # An epoch that was cut short has its end as well, also when resumed behind its last step.
                while self.epoch < self.options.epochs and (not self._is_over() or self.step_in_epoch):
                    self._epoch()
                self._call("on_fit_end")
        finally:
            self.progress.close()
            self.model.train(was_training)
        self.history.stopped, self.history.best = self.stop, self.selection.best
        self.selection.restore(self.model)
        return self.history

    def _begin(self):
        """Seeds, or loads the checkpoint; returns which."""
        path = self.options.resume
        if path in (True, "auto"):
            path = self.options.checkpoint
        if self.options.resume == "auto" and not Path(path).exists():
            path = None
        if path:
            self.load_state_dict(load_checkpoint(path, self.options.config))
        elif self.options.seed is not None:
            seed_everything(self.options.seed)
        return bool(path)

    def _total(self):
        """Steps of the whole run, or None where nobody knows."""
        steps, batches = self.options.steps_per_epoch, self.stream.length()
        if steps is None and batches is not None:
            steps = math.ceil(batches / self.options.accumulate)
        if steps is None:
            return self.options.max_steps
        return min(steps * self.options.epochs, self.options.max_steps or steps * self.options.epochs)

    def _is_over(self):
        """Whether the run ends before its last epoch does."""
        return bool(self.stop) or (self.options.max_steps is not None and self.step >= self.options.max_steps)

    def _call(self, name, *arguments):
        for callback in self.callbacks:
            getattr(callback, name)(self, *arguments)

    def _epoch(self):
        self.model.train()
        self._call("on_epoch_begin")
        steps = self.options.steps_per_epoch
        while not self._is_over() and (steps is None or self.step_in_epoch < steps):
            group = self.stream.take(self.options.accumulate)
            if group:
                self._step(group)
            elif steps is None:
                break
            else:
                self.stream.end()
        self.guard.look(self.averages, self.step, self.epoch, force=True)
        cut = self._is_over()
        if cut and self.options.checkpoint is not None:
            self.save()  # in front of the epoch's end, so that a run with more steps can go on with the epoch
        self._end_epoch(cut)

    def _step(self, group):
        self.guard.before(group)
        self.updates.update(group, self._note)
        self.step += 1
        self.step_in_epoch += 1
        self.guard.look(self.averages, self.step, self.epoch)
        self.progress.advance(self.averages)
        if self.log is not None and self.options.log_every and self.step % self.options.log_every == 0:
            self.log(self._last | {"lr": self._rate()}, self.step)
        self._call("on_step_end")
        if self.options.checkpoint_every and self.step % self.options.checkpoint_every == 0:
            self.save()
        if self.interrupts.asked:
            self._interrupt()

    def _note(self, values, weight):
        self.averages.add(values, weight)
        if self.log is not None and self.options.log_every and (self.step + 1) % self.options.log_every == 0:
            self._last = {name: float(value) for name, value in values.items()}

    def _rate(self):
        return float(self.optimizers[0].param_groups[0]["lr"]) if self.optimizers else 0.0

    def _end_epoch(self, cut):
        row = {"epoch": self.epoch + 1, "step": self.step}
        if self.optimizers:
            row["lr"] = self._rate()
        row |= self.averages.values()
        ends = cut or self.epoch + 1 == self.options.epochs
        if self.validation is not None and (ends or (self.epoch + 1) % self.options.validate_every == 0):
            before = random_state(self.updates.on_gpu)
            measured = evaluate(self.updates, self.validation, lambda: self.interrupts.asked)
            if measured is None:
                set_random_state(before)
                self._interrupt()
            row |= measured
        self.history.rows.append(row)
        for scheduler in _listed(self.options.epoch_scheduler):
            if isinstance(scheduler, ReduceLROnPlateau):
                if self.selection.monitor in row:
                    scheduler.step(row[self.selection.monitor])
            else:
                scheduler.step()
        self._call("on_epoch_end", row)
        self.progress.write(self._told(row))
        if self.log is not None:
            self.log({name: value for name, value in row.items() if name not in ("epoch", "step")}, self.step)
        warn_if_turned(self.history)
        self.stop = self.selection.look(row, self.updates) or self.stop
        self.averages.clear()
        self.epoch, self.step_in_epoch = self.epoch + 1, 0
        if self.options.steps_per_epoch is None and not cut:
            self.stream.end()
        if self.options.checkpoint is not None and not cut:
            self.save()
        if self.interrupts.asked:
            self._interrupt(saved=True)

    def _told(self, row):
        numbers = [f"{name} {value:.4f}" for name, value in row.items() if name not in ("epoch", "step", "lr")]
        return f"epoch {row['epoch']}: {', '.join(numbers)}, {time.perf_counter() - self.started:.0f} s"

    def _interrupt(self, saved=False):
        if self.options.checkpoint is not None:
            if not saved:
                self.save()
            self.progress.write(f"interrupted after step {self.step}; {self.options.checkpoint} goes on from there")
        raise KeyboardInterrupt

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def save(self):
        """Writes the checkpoint, unless the last steps went wrong."""
        self.guard.look(self.averages, self.step, self.epoch, force=True)
        save_whole(self.state_dict(), self.options.checkpoint)

    def state_dict(self):
        """Everything that the next step reads."""
        return {
            "corten.fit": 1,
            "config": self.options.config,
            "step": self.step,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "stop": self.stop,
            **self.updates.state_dict(),
            "epoch_schedulers": [scheduler.state_dict() for scheduler in _listed(self.options.epoch_scheduler)],
            "stream": self.stream.state_dict(),
            "random": random_state(self.updates.on_gpu),
            "averages": self.averages.state_dict(),
            "history": self.history.rows,
            "selection": self.selection.state_dict(),
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            "state": {name: value.state_dict() for name, value in (self.options.state or {}).items()},
        }

    def load_state_dict(self, state):
        """Goes on from what `state_dict` told.

        Raises:
            ValueError: optimizers, schedules, callbacks or other objects are not those of the checkpoint.
        """
        self.updates.load_state_dict(state)
        own = _listed(self.options.epoch_scheduler)
        others = self.options.state or {}
        for what, there, here in (
            ("schedules of epochs", len(state["epoch_schedulers"]), len(own)),
            ("callbacks", len(state["callbacks"]), len(self.callbacks)),
            ("other objects", sorted(state["state"]), sorted(others)),
        ):
            if there != here:
                raise ValueError(f"fit: the checkpoint has {there} {what}, this run has {here}")
        for one, saved in itertools.chain(
            zip(own, state["epoch_schedulers"]),
            zip(self.callbacks, state["callbacks"]),
            ((value, state["state"][name]) for name, value in others.items()),
        ):
            one.load_state_dict(saved)
        self.step, self.epoch, self.step_in_epoch = state["step"], state["epoch"], state["step_in_epoch"]
        self.stop = state["stop"]
        self.averages.load_state_dict(state["averages"], self.updates.device)
        self.history.rows = state["history"]
        self.selection.load_state_dict(state["selection"])
        self.stream.load_state_dict(state["stream"])
        set_random_state(state["random"])


def _listed(value):
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _validation(data, batch_size):
    """A validation function as it is; of data, batches in their order."""
    if data is None or (callable(data) and not hasattr(data, "__iter__")):
        return data
    own = isinstance(data, (corten.Tensor, tuple, Dataset))
    return as_batches(data, (batch_size or 256) if own else None, False, "validation")
