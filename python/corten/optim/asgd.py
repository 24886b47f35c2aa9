"""Averaged stochastic gradient descent."""

import corten

from ._functional import asgd
from .optimizer import (
    GroupOptimizer,
    check_lr,
    check_not_negative,
    round_to_float32,
    scalar_dtype,
    to_scalar,
    zeros_like,
)

__all__ = ["ASGD", "asgd"]


class ASGD(GroupOptimizer):
    r"""Averaged SGD: decaying steps, and in ``state['ax']`` the average of the iterates from step ``t0`` on.

    :math:`\theta \leftarrow (1-\lambda\eta)\theta - \eta g` with :math:`\eta = \gamma / (1 + \lambda\gamma t)^\alpha`
    (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992).

    Args:
        params: parameters or parameter groups.
        lr: learning rate :math:`\gamma`.
        lambd: decay term :math:`\lambda`.
        alpha: power of the decay.
        t0: step at which averaging starts.
        weight_decay: L2 penalty, added to the gradient.
        foreach: accepted; the engine fuses every update of a step anyway.
        maximize: climbs instead of descending.
        differentiable: records the update for autograd.
        capturable: computes with step count and step size on the parameter's device.

    Raises:
        ValueError: for a negative learning rate or weight decay.
    """

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params,
        lr=1e-2,
        lambd=1e-4,
        alpha=0.75,
        t0=1e6,
        weight_decay=0,
        foreach=None,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        check_lr(lr)
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _fill_old_state(self):
        super()._fill_old_state()
        for state in self.state.values():
            for name in ("eta", "mu"):
                if state and not isinstance(state[name], corten.Tensor):
                    state[name] = corten.tensor(state[name], dtype=scalar_dtype(), device=state["ax"].device)

    def _start(self, param, state, group):
        options = {"dtype": scalar_dtype(), "device": param.device}
        state["step"] = corten.zeros((), **options)
        state["eta"] = corten.as_tensor(to_scalar(group["lr"]), **options).clone().detach()
        state["mu"] = corten.ones((), **options)
        state["ax"] = zeros_like(param)

    def _update(self, group):
        lr = self._option(group, "lr")
        lambd, weight_decay = group["lambd"], group["weight_decay"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                self._start(param, state, group)
            eta, mu, average = state["eta"], state["mu"], state["ax"]
            if group["maximize"]:
                grad = -grad
            if weight_decay != 0:
                grad = grad.add(param, alpha=weight_decay)
            if group["capturable"]:
                param.mul_(1 - lambd * eta)
                param.addcmul_(grad, eta, value=-1)
                average.add_(param.sub(average).mul_(mu))
                step = state["step"].add_(1)
                eta.copy_(lr / ((1 + lambd * lr * step) ** group["alpha"]))
                mu.copy_(1 / corten.maximum(step - group["t0"], corten.ones_like(step)))
                continue
            eta_value = self._mirror.read(eta)
            param.mul_(1 - lambd * eta_value)
            param.add_(grad, alpha=-eta_value)
            if self._mirror.read(mu) != 1:
                average.add_(param.sub(average).mul_(mu))
            else:
                average.copy_(param)
            count = self._mirror.advance(state["step"])
            next_eta = lr / ((1 + lambd * lr * count) ** group["alpha"])
            if isinstance(next_eta, corten.Tensor):
                eta.copy_(next_eta)
            else:
                self._mirror.fill(eta, _in_default_dtype(next_eta))
            self._mirror.fill(mu, _in_default_dtype(1 / max(1, count - group["t0"])))


def _in_default_dtype(value):
    """``value`` rounded as a new tensor would hold it; loaded state may have a wider dtype."""
    return round_to_float32(value) if corten.get_default_dtype() == corten.float32 else value
