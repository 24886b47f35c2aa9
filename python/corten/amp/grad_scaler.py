"""`GradScaler`: losses are scaled so that small gradients survive float16, and steps with infinities left out."""

import enum
import warnings
from collections import defaultdict

import corten

__all__ = ["GradScaler", "OptState"]


class OptState(enum.Enum):
    """Where an optimizer stands between two updates of the scale."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _fresh():
    return {"stage": OptState.READY, "found_inf_per_device": {}}


class GradScaler:
    """Scales losses, and gradients back, by a number that grows while no gradient overflows and shrinks when one does.

    Without overflow for ``growth_interval`` updates the scale is multiplied by ``growth_factor``; after an overflow the
    optimizer's step is left out and the scale multiplied by ``backoff_factor`` (Micikevicius et al. 2018).

    Args:
        device: the kind of device where it is used, ``"cuda"`` or ``"cpu"``; without a GPU ``"cuda"`` does nothing.
        init_scale: the first scale.
        growth_factor: more than 1.
        backoff_factor: less than 1.
        growth_interval: how many updates in a row without overflow.
        enabled: without it every method lets through what it is given.

    Raises:
        AssertionError: for factors that do not grow or shrink.

    Example:
        >>> import corten
        >>> weight = corten.nn.Parameter(corten.ones(2))
        >>> optimizer, scaler = corten.optim.SGD([weight], lr=0.5), corten.amp.GradScaler("cpu")
        >>> scaler.scale(weight.sum()).backward()
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> weight.detach()
        tensor([0.5000, 0.5000])
    """

    def __init__(
        self,
        device="cuda",
        init_scale=2.0**16,
        growth_factor=2.0,
        backoff_factor=0.5,
        growth_interval=2000,
        enabled=True,
    ):
        self._device = device
        self._enabled = enabled
        if enabled and device in ("cuda", "gpu") and not corten.gpu.is_available():
            warnings.warn(
                f"torch.{device}.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2
            )
            self._enabled = False
        if not self._enabled:
            return
        if not growth_factor > 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if not backoff_factor < 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._scale = None
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker = 0
        self._growth_tracker = None
        self._per_optimizer_states = defaultdict(_fresh)

    def _lazy_init_scale_growth_tracker(self, device):
        if self._growth_tracker is not None:
            raise AssertionError("_growth_tracker initialized before _scale")
        self._scale = corten.full((), self._init_scale, dtype=corten.float32, device=device)
        self._growth_tracker = corten.full((), self._init_growth_tracker, dtype=corten.int32, device=device)

    def _check_scale_growth_tracker(self, function):
        reason = "This may indicate your script did not use scaler.scale(loss or outputs) earlier in the iteration."
        if self._scale is None:
            raise AssertionError(f"Attempted {function} but _scale is None.  {reason}")
        if self._growth_tracker is None:
            raise AssertionError(f"Attempted {function} but _growth_tracker is None.  {reason}")
        return self._scale, self._growth_tracker

    def scale(self, outputs):
        """A tensor, or a list or tuple of such, times the scale.

        Raises:
            ValueError: for anything else.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, corten.Tensor):
            if self._scale is None:
                self._lazy_init_scale_growth_tracker(outputs.device)
            return outputs * self._scale.to(device=outputs.device)
        if isinstance(outputs, (list, tuple)) or hasattr(outputs, "__iter__"):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _unscale_grads_(self, optimizer, inv_scale, found_inf, allow_fp16):
        """Multiplies the gradients in place; returns by device whether any was infinite or NaN, as 0 or 1."""
        found = {}
        with corten.no_grad():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    grad = parameter.grad
                    if grad is None:
                        continue
                    if not allow_fp16 and grad.dtype == corten.float16:
                        raise ValueError("Attempting to unscale FP16 gradients.")
                    device = grad.device
                    bad = grad.isfinite().all().logical_not()
                    found[device] = bad if device not in found else found[device].logical_or(bad)
                    grad.mul_(inv_scale.to(device=device))
        return {device: bad.to(corten.float32) for device, bad in found.items()}

    def unscale_(self, optimizer):
        """Divides the gradients of an optimizer by the scale, to look at or clip them before `step`.

        Raises:
            RuntimeError: a second time before `update`, or after `step`.
            ValueError: for gradients in float16, which float32 weights do not have.
        """
        if not self._enabled:
            return
        self._check_scale_growth_tracker("unscale_")
        states = self._per_optimizer_states[id(optimizer)]
        if states["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if states["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        # The reciprocal in float64, as PyTorch: exact for powers of two, else rounded once.
        inverse = self._scale.to(corten.float64) if self._scale.device.type == "cpu" else self._scale
        inverse = inverse.reciprocal().to(corten.float32)
        states["found_inf_per_device"] = self._unscale_grads_(optimizer, inverse, None, False)
        states["stage"] = OptState.UNSCALED

    def _maybe_opt_step(self, optimizer, states, *args, **kwargs):
        if not sum(found.item() for found in states["found_inf_per_device"].values()):
            return optimizer.step(*args, **kwargs)
        return None

    def step(self, optimizer, *args, **kwargs):
        """The optimizer's step, after `unscale_` if that was not called; left out where a gradient overflowed.

        Returns:
            What the step returns; None where it was left out.

        Raises:
            RuntimeError: a second time before `update`, or with a closure.
            AssertionError: where the optimizer has no gradients.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_scale_growth_tracker("step")
        states = self._per_optimizer_states[id(optimizer)]
        if states["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            return self._step_that_scales(optimizer, states, args, kwargs)
        if states["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not states["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = self._maybe_opt_step(optimizer, states, *args, **kwargs)
        states["stage"] = OptState.STEPPED
        return result

    def _step_that_scales(self, optimizer, states, args, kwargs):
        """An optimizer that divides gradients itself reads the scale and the overflow from its attributes."""
        if states["stage"] is OptState.READY:
            self._check_inf_per_device(optimizer)
        found = list(states["found_inf_per_device"].values())
        optimizer.grad_scale = None if states["stage"] is OptState.UNSCALED else self._scale
        optimizer.found_inf = sum(found[1:], found[0]) if found else None
        try:
            result = optimizer.step(*args, **kwargs)
        finally:
            del optimizer.grad_scale, optimizer.found_inf
        states["stage"] = OptState.STEPPED
        return result

    def _check_inf_per_device(self, optimizer):
        scale, _ = self._check_scale_growth_tracker("_check_inf_per_device")
        found = self._unscale_grads_(optimizer, corten.ones_like(scale), None, True)
        self._per_optimizer_states[id(optimizer)]["found_inf_per_device"] = found
        return found

    def _found_inf_per_device(self, optimizer):
        return self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]

    def update(self, new_scale=None):
        """Ends an iteration: grows or shrinks the scale, or sets it to a number or a tensor of one element.

        Raises:
            AssertionError: where no `step` looked at gradients.
        """
        if not self._enabled:
            return
        scale, tracker = self._check_scale_growth_tracker("update")
        if new_scale is not None:
            self._set_scale(new_scale)
        else:
            found = [
                bad.to(device=scale.device)
                for states in self._per_optimizer_states.values()
                for bad in states["found_inf_per_device"].values()
            ]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            bad = sum(found[1:], found[0]) > 0
            whole = tracker + 1 == self._growth_interval
            grown = scale * self._growth_factor
            grown = corten.where(whole & grown.isfinite(), grown, scale)
            self._scale = corten.where(bad, scale * self._backoff_factor, grown)
            self._growth_tracker = corten.where(bad | whole, corten.zeros_like(tracker), tracker + 1)
        self._per_optimizer_states = defaultdict(_fresh)

    def _set_scale(self, new_scale):
        if isinstance(new_scale, (int, float)) and not isinstance(new_scale, bool):
            self._scale.fill_(float(new_scale))
            return
        fits = isinstance(new_scale, corten.Tensor) and new_scale.dtype == corten.float32
        if not fits or new_scale.numel() != 1 or new_scale.requires_grad:
            raise AssertionError(
                "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with "
                "requires_grad=False."
            )
        self._scale.copy_(new_scale.reshape(()))

    def _get_scale_async(self):
        return self._scale

    def get_scale(self):
        """The scale, as a number; 1 where disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self):
        """What the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor):
        """Sets what the scale grows by."""
        self._growth_factor = new_factor

    def get_backoff_factor(self):
        """What the scale shrinks by."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor):
        """Sets what the scale shrinks by."""
        self._backoff_factor = new_factor

    def get_growth_interval(self):
        """How many updates in a row without overflow let the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval):
        """Sets how many updates in a row without overflow let the scale grow."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self):
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else self._growth_tracker.item()

    def is_enabled(self):
        """Whether it does anything."""
        return self._enabled

    def state_dict(self):
        """The scale, the factors and the count, to go on from; empty where disabled. To be taken after `update`."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict):
        """Goes on from what `state_dict` told.

        Raises:
            RuntimeError: for the state of a disabled one.
        """
        if not self._enabled:
            return
        if len(state_dict) == 0:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        if self._scale is not None:
            self._scale.fill_(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._growth_tracker is not None:
            self._growth_tracker.fill_(state_dict["_growth_tracker"])

    def __getstate__(self):
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                    "scaler.update()."
                )
            # Numbers instead of tensors, so that it can be read anywhere.
            state["_init_scale"], state["_init_growth_tracker"] = self.get_scale(), self._get_growth_tracker()
            state["_scale"] = state["_growth_tracker"] = None
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
