"""Stochastic gradient descent with momentum."""

import corten

from ._functional import sgd
from .optimizer import GroupOptimizer, check_fused

__all__ = ["SGD", "sgd"]


class SGD(GroupOptimizer):
    r"""Stochastic gradient descent, optionally with (Nesterov) momentum.

    With gradient :math:`g`, momentum :math:`\mu` and dampening :math:`\tau`: :math:`b \leftarrow \mu b + (1-\tau) g`,
    :math:`\theta \leftarrow \theta - \gamma b`. The first step sets :math:`b = g`. Nesterov uses :math:`g + \mu b` in
    place of :math:`b` (Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013).

    Args:
        params: parameters or parameter groups.
        lr: learning rate, a number or a tensor with one element.
        momentum: momentum factor.
        dampening: how much of the gradient the momentum buffer leaves out.
        weight_decay: L2 penalty, added to the gradient.
        nesterov: needs a momentum and no dampening.
        maximize: climbs instead of descending.
        foreach, fused: accepted; the engine fuses every update of a step anyway.
        differentiable: records the update for autograd.

    Raises:
        ValueError: for negative options, and for Nesterov momentum without momentum or with dampening.
    """

    _records_foreach = True
    _group_defaults = {"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False}

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        foreach=None,
        differentiable=False,
        fused=None,
    ):
        if isinstance(lr, corten.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def _update(self, group):
        lr, weight_decay = self._option(group, "lr"), self._option(group, "weight_decay")
        if isinstance(lr, corten.Tensor) or isinstance(weight_decay, corten.Tensor):
            return self._update_in_graph(group, lr, weight_decay)
        corten._core.sgd_step(
            group["params"],
            self.state,
            self.state.__getitem__,
            lr=lr,
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=weight_decay,
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )

    def _update_in_graph(self, group, lr, weight_decay):
        """The update with options that are tensors."""
        momentum, nesterov, maximize = group["momentum"], group["nesterov"], group["maximize"]
        undamped = 1 - group["dampening"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            if maximize:
                grad = -grad
            if isinstance(weight_decay, corten.Tensor):
                # The clone keeps the old parameter for autograd: the update below overwrites it.
                grad = grad.addcmul(param.clone(), weight_decay)
            elif weight_decay != 0:
                grad = grad.add(param, alpha=weight_decay)
            if momentum != 0:
                state = self.state[param]
                buffer = state.get("momentum_buffer")
                if buffer is None:
                    buffer = state["momentum_buffer"] = grad.detach().clone()
                else:
                    buffer.mul_(momentum).add_(grad, alpha=undamped)
                grad = grad.add(buffer, alpha=momentum) if nesterov else buffer
            if isinstance(lr, corten.Tensor):
                param.addcmul_(grad, lr, value=-1)
            else:
                param.add_(grad, alpha=-lr)
