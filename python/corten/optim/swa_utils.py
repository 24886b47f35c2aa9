"""Weight averaging: stochastic weight averaging, exponential moving averages, and the schedule that goes with them."""

import itertools
import math
from copy import deepcopy

import corten

from ..nn.modules.module import Module
from .lr_scheduler.base import LRScheduler, one_each

__all__ = [
    "AveragedModel",
    "update_bn",
    "SWALR",
    "get_ema_multi_avg_fn",
    "get_swa_multi_avg_fn",
    "get_ema_avg_fn",
    "get_swa_avg_fn",
]


def _check_decay(decay):
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_multi_avg_fn(decay=0.999):
    """A function ``(averages, values, count)`` that moves a list of averages by ``1 - decay`` towards the values."""
    _check_decay(decay)

    def update(averages, values, count):
        with corten.no_grad():
            for average, value in zip(averages, values, strict=True):
                if average.is_floating_point():
                    average.lerp_(value, 1 - decay)
                else:
                    average.copy_(average * decay + value * (1 - decay))

    return update


def get_swa_multi_avg_fn():
    """A function ``(averages, values, count)`` that takes one more value into a list of means of ``count`` values."""

    def update(averages, values, count):
        with corten.no_grad():
            for average, value in zip(averages, values, strict=True):
                if average.is_floating_point():
                    average.lerp_(value, 1 / (count + 1))
                else:
                    average.copy_(average + (value - average) / (count + 1))

    return update


def get_ema_avg_fn(decay=0.999):
    """A function ``(average, value, count)`` that returns the exponential moving average."""
    _check_decay(decay)

    def update(average, value, count):
        with corten.no_grad():
            return decay * average + (1 - decay) * value

    return update


def get_swa_avg_fn():
    """A function ``(average, value, count)`` that returns the mean of ``count + 1`` values."""

    def update(average, value, count):
        with corten.no_grad():
            return average + (value - average) / (count + 1)

    return update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's, over the calls of :meth:`update_parameters`.

    Sources: Izmailov et al., "Averaging Weights Leads to Wider Optima", arXiv:1803.05407, for the equal average;
    Polyak and Juditsky 1992 for the exponential one.

    Args:
        model: to be averaged.
        device: where the averages are; the model's where not given.
        avg_fn: how one parameter is averaged; equally where not given.
        multi_avg_fn: how a list of parameters is averaged in place, instead of ``avg_fn``.
        use_buffers: averages the buffers too; otherwise they are copied.
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", corten.tensor(0, dtype=corten.int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        """The averaged model's result."""
        return self.module(*args, **kwargs)

    def _tensors(self, model):
        if self.use_buffers:
            return itertools.chain(model.parameters(), model.buffers())
        return model.parameters()

    def update_parameters(self, model):
        """Takes the current parameters of ``model`` into the averages; the first time they are copied."""
        averages = [tensor.detach() for tensor in self._tensors(self.module)]
        values = [tensor.detach().to(average.device) for average, tensor in zip(averages, self._tensors(model))]
        if not self._has_started():
            for average, value in zip(averages, values):
                average.copy_(value)
        elif self.multi_avg_fn is not None:
            for device, own, other in _by_kind(averages, values):
                self.multi_avg_fn(own, other, self.n_averaged.to(device))
        else:
            function = self.avg_fn or get_swa_avg_fn()
            for average, value in zip(averages, values):
                average.copy_(function(average, value, self.n_averaged.to(average.device)))
        if not self.use_buffers:
            for own, other in zip(self.module.buffers(), model.buffers(), strict=True):
                own.detach().copy_(other.detach().to(own.device))
        self.n_averaged += 1
        self._started = (self.n_averaged, self.n_averaged._version)

    def _has_started(self):
        """Whether anything was averaged; the count is read only where somebody else may have written it."""
        tensor, version = self.__dict__.get("_started", (None, None))
        return (tensor is self.n_averaged and version == self.n_averaged._version) or bool(self.n_averaged != 0)


def _by_kind(averages, values):
    """Groups two lists by device and dtype, as functions of lists expect them."""
    groups = {}
    for average, value in zip(averages, values):
        own, other = groups.setdefault((average.device, average.dtype), ([], []))
        own.append(average)
        other.append(value)
    return [(device, own, other) for (device, _), (own, other) in groups.items()]


def update_bn(loader, model, device=None):
    """Computes the running statistics of all batch norms anew, in one pass over ``loader``.

    Args:
        loader: batches, or tuples and lists that begin with one.
        model: gets the batches in training mode.
        device: where batches are sent first.
    """
    momenta = {}
    for module in model.modules():
        if isinstance(module, corten.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        # Without a momentum the statistics are the plain mean over all batches.
        module.momentum = None
    with corten.no_grad():
        for batch in loader:
            if isinstance(batch, (list, tuple)):
                batch = batch[0]
            model(batch if device is None else batch.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Moves the learning rate to ``swa_lr`` in ``anneal_epochs`` epochs, and keeps it there.

    Args:
        optimizer: whose groups are scheduled.
        swa_lr: one number, or one for each group.
        anneal_epochs: zero for at once.
        anneal_strategy: ``'cos'`` or ``'linear'``.
        last_epoch: index of the last epoch.

    Raises:
        ValueError: for an unknown strategy and a count that is not a natural number.
    """

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for rate, group in zip(one_each("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t):
        """How far the way to ``swa_lr`` is at part ``t`` of the annealing."""
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self):
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        length = max(1, self.anneal_epochs)
        before = self.anneal_func(max(0, min(1, (step - 1) / length)))
        now = self.anneal_func(max(0, min(1, step / length)))
        result = []
        for group in self.optimizer.param_groups:
            rate = group["swa_lr"]
            # Undoes the last step, so that another schedule may have changed the rate in between.
            start = rate if before == 1 else (group["lr"] - before * rate) / (1 - before)
            result.append(rate * now + start * (1 - now))
        return result
