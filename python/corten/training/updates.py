"""Updates of the weights: losses of batches, gradients, clipping, the optimizers' steps, and what goes with them."""

import contextlib

import corten

from ..nn.utils import clip_grad_norm_, clip_grad_value_
from ..optim import LBFGS
from ..optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from .checkpoint import copied
from .data import batch_size_of, moved
from .randomness import set_random_state

__all__ = ["Updates"]


def _listed(value):
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


class Updates:
    """All that an update of the weights reads or changes, but the data and the random states.

    Args:
        model: the module.
        options: the arguments of `fit`.
    """

    def __init__(self, model, options):
        self.model, self.options = model, options
        self.manual = options.manual
        self.optimizers = _listed(options.optimizer)
        self.schedulers = _listed(options.step_scheduler)
        first = next(model.parameters(), None)
        self.device = corten.device(options.device) if options.device is not None else getattr(first, "device", None)
        self.on_gpu = self.device is not None and self.device.type != "cpu"
        self.amp_dtype = self._autocast_dtype(options.amp)
        self.scaler = None
        if self.amp_dtype == corten.float16 and not self.manual:
            self.scaler = corten.amp.GradScaler("gpu" if self.on_gpu else "cpu")
        self.needs_closure = any(getattr(o, "needs_closure", isinstance(o, LBFGS)) for o in self.optimizers)
        if self.needs_closure and (self.scaler is not None or len(self.optimizers) > 1):
            raise ValueError("fit: an optimizer whose step takes a closure goes neither with float16 nor with others")
        self.averaged = self._averaged(options.ema)
        self.last_loss = None

    def _autocast_dtype(self, amp):
        if not amp:
            return None
        if amp is True:
            return corten.float16 if self.on_gpu else corten.bfloat16
        if amp not in (corten.float16, corten.bfloat16):
            raise ValueError(f"fit: amp has to be True, float16 or bfloat16, but got {amp}")
        return amp

    def _averaged(self, ema):
        if ema is None or isinstance(ema, AveragedModel):
            return ema
        return AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(ema))

    def autocast(self):
        """The context in which losses are computed."""
        if self.amp_dtype is None:
            return contextlib.nullcontext()
        return corten.autocast("gpu" if self.on_gpu else "cpu", dtype=self.amp_dtype)

    def losses(self, batch):
        """The dict of what the step, or loss and metrics, say of a batch."""
        if self.device is not None:
            batch = moved(batch, self.device)
        with self.autocast():
            values = self.options.step(batch) if self.options.step is not None else self._loss_of(batch)
        if isinstance(values, corten.Tensor):
            values = {"loss": values}
        if not isinstance(values, dict):
            raise TypeError(f"fit: step has to return a loss or a dict with 'loss', but got {type(values).__name__}")
        if "loss" not in values and not self.manual:
            raise KeyError(f"fit: the dict that step returns needs 'loss', but has {list(values)}")
        return values

    def _loss_of(self, batch):
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise TypeError(
                "fit: without a step a batch has to be a tuple of inputs and, last, the target, but got "
                f"{type(batch).__name__}"
            )
        *inputs, target = batch
        output = self.model(*inputs)
        values = {"loss": self.options.loss(output, target)}
        if self.options.metrics:
            validates = not corten.is_grad_enabled()
            with corten.no_grad():
                for name, metric in self.options.metrics.items():
                    if not hasattr(metric, "update"):
                        values[name] = metric(output.detach(), target)
                    elif validates:
                        metric.update(output, target)
        return values

    def gradients(self, group, note=None):
        """Gradients of the mean loss of the batches of a group, anew; returns the losses."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        losses = []
        for batch in group:
            values = self.losses(batch)
            loss = values["loss"]
            if not isinstance(loss, corten.Tensor) or not loss.requires_grad:
                raise ValueError(
                    "fit: the loss needs a gradient; give manual=True where the step updates the weights itself"
                )
            share = loss / len(group) if len(group) > 1 else loss
            (share if self.scaler is None else self.scaler.scale(share)).backward()
            losses.append(loss.detach())
            if note is not None:
                note(values, batch_size_of(batch))
        return losses

    def _clip(self):
        norm, value = self.options.clip_norm, self.options.clip_value
        if norm is None and value is None:
            return
        parameters = [p for o in self.optimizers for group in o.param_groups for p in group["params"]]
        if self.scaler is not None:
            for optimizer in self.optimizers:
                self.scaler.unscale_(optimizer)
        if norm is not None:
            clip_grad_norm_(parameters, norm)
        if value is not None:
            clip_grad_value_(parameters, value)

    def _step(self, group, note):
        """The optimizers' steps: from gradients that are there, or by a closure that computes them."""
        if self.needs_closure:
            calls = []

            def closure():
                # What the first evaluation says is of the weights that the epoch's means are about.
                losses = self.gradients(group, None if calls else note)
                calls.append(losses)
                self._clip()
                return sum(losses[1:], losses[0]) / len(losses)

            self.optimizers[0].step(closure)
            return
        self._clip()
        for optimizer in self.optimizers:
            optimizer.step() if self.scaler is None else self.scaler.step(optimizer)
        if self.scaler is not None:
            self.scaler.update()

    def update(self, group, note=None):
        """One update from the batches of a group; `note(values, batch_size)` gets what was computed."""
        if self.manual:
            values = self.losses(group[0])
            if note is not None:
                note(values, batch_size_of(group[0]))
            self._after()
            return
        if not self.needs_closure:
            self.gradients(group, note)
        self._step(group, note)
        self._after()

    def finish(self, group, random):
        """What is left of an update after `gradients`; `random` are the states in front of it."""
        if self.needs_closure:
            set_random_state(random)
        self._step(group, None)
        self._after()

    def _after(self):
        for scheduler in self.schedulers:
            scheduler.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def state_dict(self):
        """The states of model, averages, optimizers, schedulers and scaler."""
        return {
            "model": self.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
        }

    def changing_state(self):
        """A copy of `state_dict` without frozen parameters, which no update changes."""
        frozen = {name for name, p in self.model.named_parameters(remove_duplicate=False) if not p.requires_grad}
        state = self.state_dict()
        state["model"] = {name: value for name, value in state["model"].items() if name not in frozen}
        return copied(state)

    def load_state_dict(self, state, strict=True):
        """Goes on from what `state_dict`, or with `strict=False` `changing_state`, told.

        Raises:
            ValueError: there are other optimizers or schedulers.
        """
        for what, own in (("optimizers", self.optimizers), ("schedulers", self.schedulers)):
            if len(own) != len(state[what]):
                raise ValueError(f"fit: the checkpoint has {len(state[what])} {what}, this run has {len(own)}")
            for one, saved in zip(own, state[what]):
                one.load_state_dict(saved)
        self.model.load_state_dict(state["model"], strict=strict)
        for what, one in (("averaged", self.averaged), ("scaler", self.scaler)):
            if (one is None) != (state[what] is None):
                raise ValueError(f"fit: {what} is in one of the checkpoint and this run only")
            if one is not None:
                one.load_state_dict(state[what])
