"""The base class of learning-rate schedules, and what all of them use to read and write an optimizer's options."""

import functools
import warnings
import weakref

import corten

from ..optimizer import Optimizer, to_scalar

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please use "
    "`scheduler.step()` to step the scheduler. During the deprecation, if epoch is different from None, the closed "
    "form is used instead of the new chainable form, where available."
)
ORDER_WARNING = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the opposite order: "
    "`optimizer.step()` before `lr_scheduler.step()`. Failure to do this will result in skipping the first value of "
    "the learning rate schedule."
)
OVERRIDDEN_WARNING = (
    "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. Please, make "
    "sure to call `optimizer.step()` before `lr_scheduler.step()`."
)
GET_LR_WARNING = "To get the last learning rate computed by the scheduler, please use `get_last_lr()`."


def check_optimizer(optimizer):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def group_values(optimizer, key):
    """The option ``key`` of every group; tensors are copied because schedules write into them."""
    values = (group[key] for group in optimizer.param_groups)
    return [value.clone() if isinstance(value, corten.Tensor) else value for value in values]


def set_group_value(group, key, value):
    """Sets an option, in place where it is a tensor, so that whoever holds the tensor sees the change."""
    if isinstance(group[key], corten.Tensor):
        group[key].fill_(to_scalar(value))
    else:
        group[key] = value


def one_each(name, optimizer, value):
    """``value`` once for each group, or the list of values given, with tensors copied.

    Raises:
        ValueError: for a list of another length.
    """
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        value = [value] * count
    elif len(value) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {count}."
        )
    return [item.clone() if isinstance(item, corten.Tensor) else item for item in value]


def set_momenta(optimizer, momenta):
    """Sets ``momentum``, or the first of ``betas``, of every group."""
    for group, momentum in zip(optimizer.param_groups, momenta):
        if "betas" in optimizer.defaults:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


def start_momentum_cycle(scheduler, base_momentum, max_momentum, last_epoch):
    """Checks that the optimizer has a momentum and, in a fresh run, sets it to its largest value.

    Returns the smallest and largest momenta, one of each for every group.
    """
    optimizer = scheduler.optimizer
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
    scheduler.use_beta1 = "betas" in optimizer.defaults
    smallest = one_each("base_momentum", optimizer, base_momentum)
    largest = one_each("max_momentum", optimizer, max_momentum)
    if last_epoch == -1:
        set_momenta(optimizer, largest)
        for group, low, high in zip(optimizer.param_groups, smallest, largest):
            group["max_momentum"] = high
            group["base_momentum"] = low
    return smallest, largest


def _watch_steps(optimizer):
    """Makes ``optimizer.step`` note that it was called, so that a schedule stepped too early can warn."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    # A weak reference: the wrapper lives in the optimizer and would keep it alive otherwise.
    reference = weakref.ref(optimizer)
    function = optimizer.step.__func__

    @functools.wraps(function)
    def step(*args, **kwargs):
        own = reference()
        own._opt_called = True
        return function.__get__(own, type(own))(*args, **kwargs)

    step._wrapped_by_lr_sched = True
    optimizer.step = step


def _each_time(step):
    """A schedule's ``step`` that a compiled function runs at every call: it changes Python numbers."""

    @functools.wraps(step)
    def run(self, *args, **kwargs):
        if not corten._core.capturing():
            return step(self, *args, **kwargs)
        if args or kwargs:
            corten._core.capture_refuse("the step of a schedule is given an argument")
        return corten._core.capture_host(functools.partial(step, self, *args, **kwargs))

    return run


class LRScheduler:
    """Sets the learning rate of each parameter group once an epoch, or once a batch, from :meth:`get_lr`.

    Args:
        optimizer: whose groups are scheduled.
        last_epoch: index of the last epoch, -1 for a fresh run. Otherwise each group needs ``initial_lr``.

    Raises:
        TypeError: for something that is not an optimizer.
        KeyError: when a run is resumed and a group lacks ``initial_lr``.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer, last_epoch=-1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, corten.Tensor) else lr)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{index}] when resuming scheduler with "
                    "last_epoch >= 0.\nThis typically happens when:\n1. You're trying to resume training from a "
                    "checkpoint but haven't properly loaded the optimizer state\n2. You're using last_epoch >= 0 "
                    "for a fresh training run (not recommended)"
                )
        self.base_lrs = group_values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self):
        """Sets the learning rate of epoch zero."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self):
        """Everything but the optimizer, in a dictionary."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict):
        """Takes over what :meth:`state_dict` returned."""
        self.__dict__.update(state_dict)

    def get_last_lr(self):
        """The learning rates in use, one for each group."""
        return self._last_lr

    def get_lr(self):
        """The learning rates of ``last_epoch``; called by :meth:`step`."""
        raise NotImplementedError

    def _warn_outside_step(self):
        if not self._get_lr_called_within_step:
            warnings.warn(GET_LR_WARNING, UserWarning, stacklevel=3)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _each_time(cls.step)

    @_each_time
    def step(self, epoch=None):
        """Moves to the next epoch. ``epoch`` is deprecated; it uses the closed form where there is one."""
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                warnings.warn(OVERRIDDEN_WARNING, UserWarning, stacklevel=2)
            elif not getattr(self.optimizer, "_opt_called", False):
                warnings.warn(ORDER_WARNING, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch=None):
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                closed_form = getattr(self, "_get_closed_form_lr", self.get_lr)
                values = closed_form()
        finally:
            self._get_lr_called_within_step = False
        self._apply(values)

    def _apply(self, values):
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_group_value(group, "lr", lr)
        self._last_lr = group_values(self.optimizer, "lr")

    def _scaled(self, factor):
        """The current learning rates times ``factor``."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _unchanged(self):
        return group_values(self.optimizer, "lr")


class _LRScheduler(LRScheduler):
    """The name that older programs derive from."""
