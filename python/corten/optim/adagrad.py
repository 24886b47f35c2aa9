"""Adagrad."""

import corten

from ._functional import adagrad
from .optimizer import GroupOptimizer, check_fused, check_lr, check_not_negative, new_step

__all__ = ["Adagrad", "adagrad"]


class Adagrad(GroupOptimizer):
    r"""Adagrad: steps divided by the root of the sum of all squared gradients.

    :math:`s \leftarrow s + g^2`, :math:`\theta \leftarrow \theta - \tilde\gamma g / (\sqrt s + \epsilon)` with
    :math:`\tilde\gamma = \gamma / (1 + (t-1)\eta)` (Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online
    Learning and Stochastic Optimization", JMLR 2011).

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        lr_decay: :math:`\eta`, decay of the learning rate.
        weight_decay: L2 penalty, added to the gradient.
        initial_accumulator_value: first value of the sum.
        eps: added to the denominator, after the root.
        foreach, fused: accepted; the engine fuses every update of a step anyway.
        maximize: climbs instead of descending.
        differentiable: records the update for autograd.

    Raises:
        ValueError: for negative options.
    """

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        fused=None,
    ):
        check_lr(lr)
        check_not_negative(lr_decay=lr_decay, weight_decay=weight_decay)
        check_not_negative(initial_accumulator_value=initial_accumulator_value, eps=eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            for param in group["params"]:
                self._start(param, self.state[param], group)

    def _start(self, param, state, group):
        state["step"] = new_step(param, group)
        first = self.defaults["initial_accumulator_value"]
        if param.is_complex():
            first = complex(first, first)
        state["sum"] = corten.full_like(param, first, memory_format=corten.preserve_format)

    def share_memory(self):
        """Moves the sums into memory that other processes can share."""
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["sum"].share_memory_()

    def _update(self, group):
        lr = self._option(group, "lr")
        lr_decay, weight_decay, eps = group["lr_decay"], group["weight_decay"], group["eps"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                self._start(param, state, group)
            count = self._mirror.advance(state["step"])
            if group["maximize"]:
                grad = -grad
            if weight_decay != 0:
                grad = grad.add(param, alpha=weight_decay)
            decayed_lr = lr / (1 + (count - 1) * lr_decay)
            total = state["sum"].addcmul_(grad, grad, value=1)
            root = total.sqrt() + eps if group["differentiable"] else total.sqrt().add_(eps)
            if isinstance(decayed_lr, corten.Tensor):
                param.addcmul_(grad / root, decayed_lr, value=-1)
            else:
                param.addcdiv_(grad, root, value=-decayed_lr)
