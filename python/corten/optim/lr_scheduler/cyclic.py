"""Schedules in the shape of waves: cosine annealing, warm restarts, cyclic and one-cycle."""

import math
from types import FunctionType

from .base import LRScheduler, check_optimizer, one_each, set_group_value, set_momenta, start_momentum_cycle


class CosineAnnealingLR(LRScheduler):
    r"""Half a cosine wave from the initial learning rate to ``eta_min`` in ``T_max`` epochs, and back.

    :math:`\eta_t = \eta_\text{min} + \frac12(\eta_0 - \eta_\text{min})(1 + \cos(\pi t / T_\text{max}))` (Loshchilov and
    Hutter, "SGDR", arXiv:1608.03983, without restarts). Computed from the previous learning rate, so that it combines
    with other schedules.
    """

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        groups = self.optimizer.param_groups
        if self._is_initial:
            return self._unchanged()
        if self._step_count == 1 and self.last_epoch > 0:
            wave = 1 + math.cos(self.last_epoch * math.pi / self.T_max)
            return [self.eta_min + (lr - self.eta_min) * wave / 2 for lr in self.base_lrs]
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # The previous epoch was the bottom of the wave, where the ratio below divides by zero.
            rise = 1 - math.cos(math.pi / self.T_max)
            return [
                group["lr"] + (lr - self.eta_min) * rise / 2 for lr, group in zip(self.base_lrs, groups, strict=True)
            ]
        wave = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        wave_before = 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return [wave / wave_before * (group["lr"] - self.eta_min) + self.eta_min for group in groups]

    def _get_closed_form_lr(self):
        wave = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (lr - self.eta_min) * wave / 2 for lr in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that restarts after ``T_0`` epochs, then after ``T_mult`` times as many, and so on.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", arXiv:1608.03983. ``step``
    takes fractions of an epoch too.

    Raises:
        ValueError: unless ``T_0`` is a positive integer, ``T_mult`` an integer of at least one, ``eta_min`` a number.
    """

    def __init__(self, optimizer, T_0, T_mult=1, eta_min=0.0, last_epoch=-1):
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self._warn_outside_step()
        wave = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (lr - self.eta_min) * wave / 2 for lr in self.base_lrs]

    def step(self, epoch=None):
        """Moves to the next epoch, or to ``epoch``, which may be a fraction.

        Raises:
            ValueError: for a negative epoch.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._jump(epoch)
        self.last_epoch = math.floor(epoch)
        self._get_lr_called_within_step = True
        try:
            values = self.get_lr()
        finally:
            self._get_lr_called_within_step = False
        self._apply(values)

    def _jump(self, epoch):
        if epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        if epoch < self.T_0:
            self.T_i = self.T_0
            self.T_cur = epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            restarts = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**restarts - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**restarts


class CyclicLR(LRScheduler):
    """Triangles between ``base_lr`` and ``max_lr``, stepped after every batch.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186.

    Args:
        optimizer: whose groups are scheduled.
        base_lr, max_lr: ends of the triangle, one number or one for each group.
        step_size_up, step_size_down: batches in each half; the second defaults to the first.
        mode: ``'triangular'``, ``'triangular2'`` (halves the height every cycle) or ``'exp_range'`` (``gamma**batch``).
        gamma: constant of ``'exp_range'``.
        scale_fn: own scaling, a function of the cycle or batch; ``mode`` is ignored then.
        scale_mode: ``'cycle'`` or ``'iterations'``: what ``scale_fn`` gets.
        cycle_momentum: moves the momentum the other way, between ``base_momentum`` and ``max_momentum``.
        last_epoch: index of the last batch.

    Raises:
        ValueError: for an unknown mode, and for an optimizer without momentum where it is cycled.
    """

    def __init__(
        self,
        optimizer,
        base_lr,
        max_lr,
        step_size_up=2000,
        step_size_down=None,
        mode="triangular",
        gamma=1.0,
        scale_fn=None,
        scale_mode="cycle",
        cycle_momentum=True,
        base_momentum=0.8,
        max_momentum=0.9,
        last_epoch=-1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = one_each("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups):
                set_group_value(group, "lr", lr)
        self.max_lrs = one_each("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        down = up if step_size_down is None else float(step_size_down)
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        self._choose_scale_mode()
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = start_momentum_cycle(
                self, base_momentum, max_momentum, last_epoch
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _choose_scale_mode(self):
        if self._scale_fn_custom is None:
            self.scale_mode = "iterations" if self.mode == "exp_range" else "cycle"

    def scale_fn(self, x):
        """Height of the triangle in cycle or batch ``x``, relative to the first."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return 1 / 2.0 ** (x - 1)
        if self.mode == "exp_range":
            return self.gamma**x
        return 1.0

    def get_lr(self):
        """The learning rates of ``last_epoch``; sets the momenta as well."""
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        rise = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            set_momenta(self.optimizer, [high - (high - low) * rise * scale for low, high in pairs])
        return [low + (high - low) * rise * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self):
        """Everything but the optimizer; of an own ``scale_fn`` its ``__dict__`` unless it is a plain function."""
        state = super().state_dict()
        function = state.pop("_scale_fn_custom")
        saved = None
        if function is not None and not isinstance(function, FunctionType):
            saved = function.__dict__.copy()
        state["_scale_fn_custom"] = saved
        return state

    def load_state_dict(self, state_dict):
        """Takes over what :meth:`state_dict` returned, into an own ``scale_fn`` too."""
        saved = state_dict["_scale_fn_custom"]
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_scale_fn_custom"})
        if saved is not None:
            self._scale_fn_custom.__dict__.update(saved)
        self._choose_scale_mode()


def _cosine_between(start, end, part):
    return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


def _line_between(start, end, part):
    return (end - start) * part + start


class OneCycleLR(LRScheduler):
    """One rise to ``max_lr`` and a long fall far below the start, stepped after every batch.

    Source: Smith and Topin, "Super-Convergence", arXiv:1708.07120; momentum moves the other way.

    Args:
        optimizer: whose groups are scheduled.
        max_lr: the peak, one number or one for each group.
        total_steps: batches in the cycle, or ``epochs`` and ``steps_per_epoch``.
        pct_start: part of the cycle that rises.
        anneal_strategy: ``'cos'`` or ``'linear'``.
        cycle_momentum: moves the momentum from ``max_momentum`` to ``base_momentum`` and back.
        div_factor: the start is ``max_lr / div_factor``.
        final_div_factor: the end is the start divided by this.
        three_phase: falls as it rose, and only then to the end.
        last_epoch: index of the last batch.

    Raises:
        ValueError: for counts that are missing or not positive integers, ``pct_start`` outside [0, 1], an unknown
            strategy, an optimizer without momentum where it is cycled, and for more steps than the cycle has.
    """

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps=None,
        epochs=None,
        steps_per_epoch=None,
        pct_start=0.3,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=25.0,
        final_div_factor=1e4,
        three_phase=False,
        last_epoch=-1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _cycle_length(total_steps, epochs, steps_per_epoch)
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        if not isinstance(pct_start, float) or pct_start < 0 or pct_start > 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        peaks = one_each("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for peak, group in zip(peaks, optimizer.param_groups):
                group["initial_lr"] = peak / div_factor
                group["max_lr"] = peak
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            start_momentum_cycle(self, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The learning rates of ``last_epoch``; sets the momenta as well."""
        self._warn_outside_step()
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        start = 0.0
        for phase in self._schedule_phases:
            if step <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        part = (step - start) / (phase["end_step"] - start)
        between = _cosine_between if self._anneal_func_type == "cos" else _line_between
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            first, last = phase["start_momentum"], phase["end_momentum"]
            set_momenta(self.optimizer, [between(group[first], group[last], part) for group in groups])
        return [between(group[phase["start_lr"]], group[phase["end_lr"]], part) for group in groups]


def _cycle_length(total_steps, epochs, steps_per_epoch):
    def check(name, value):
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {value}")

    if total_steps is not None:
        check("total_steps", total_steps)
        return total_steps
    if epochs is None or steps_per_epoch is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    check("epochs", epochs)
    check("steps_per_epoch", steps_per_epoch)
    return epochs * steps_per_epoch


def _phases(total_steps, pct_start, three_phase):
    """The phases of a cycle: their last step, and the group options between which rate and momentum move."""

    def phase(end_step, start_lr, end_lr, start_momentum, end_momentum):
        return {
            "end_step": end_step,
            "start_lr": start_lr,
            "end_lr": end_lr,
            "start_momentum": start_momentum,
            "end_momentum": end_momentum,
        }

    rise = phase(float(pct_start * total_steps) - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    last = total_steps - 1
    if not three_phase:
        return [rise, phase(last, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    middle = float(2 * pct_start * total_steps) - 2
    return [
        rise,
        phase(middle, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
        phase(last, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
    ]
