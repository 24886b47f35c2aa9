"""RMSprop, plain or centered, with momentum."""

from ._functional import rmsprop
from .optimizer import GroupOptimizer, check_lr, check_not_negative, new_step, zeros_like

__all__ = ["RMSprop", "rmsprop"]


class RMSprop(GroupOptimizer):
    r"""RMSprop: steps divided by a running root mean square of the gradient.

    :math:`v \leftarrow \alpha v + (1-\alpha) g^2`, :math:`\theta \leftarrow \theta - \gamma g / (\sqrt v + \epsilon)`
    (Hinton's lecture notes, CSC321; centered: Graves, "Generating Sequences With Recurrent Neural Networks",
    arXiv:1308.0850, which subtracts the squared mean gradient from :math:`v`).

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        alpha: smoothing constant.
        eps: added to the denominator, after the root.
        weight_decay: L2 penalty, added to the gradient.
        momentum: momentum factor.
        centered: normalises by the estimated variance.
        capturable: keeps the step count on the parameter's device.
        foreach: accepted; the engine fuses every update of a step anyway.
        maximize: climbs instead of descending.
        differentiable: records the update for autograd.

    Raises:
        ValueError: for negative options.
    """

    _group_defaults = {
        "momentum": 0,
        "centered": False,
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "capturable": False,
    }

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        check_lr(lr)
        check_not_negative(eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _start(self, param, state, group):
        state["step"] = new_step(param, group)
        state["square_avg"] = zeros_like(param)
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(param)
        if group["centered"]:
            state["grad_avg"] = zeros_like(param)

    def _update(self, group):
        lr = self._option(group, "lr")
        alpha, momentum, weight_decay = group["alpha"], group["momentum"], group["weight_decay"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                self._start(param, state, group)
            state["step"].add_(1)
            if group["maximize"]:
                grad = -grad
            if weight_decay != 0:
                grad = grad.add(param, alpha=weight_decay)
            square_avg = state["square_avg"].mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
            if group["centered"]:
                grad_avg = state["grad_avg"].lerp_(grad, 1 - alpha)
                root = square_avg.addcmul(grad_avg, grad_avg, value=-1).sqrt_()
            else:
                root = square_avg.sqrt()
            # Autograd needs the root itself, so a differentiable update must not overwrite it.
            root = root.add(group["eps"]) if group["differentiable"] else root.add_(group["eps"])
            if momentum > 0:
                buffer = state["momentum_buffer"].mul_(momentum).addcdiv_(grad, root)
                _move(param, buffer, lr)
            elif isinstance(lr, (int, float)):
                param.addcdiv_(grad, root, value=-lr)
            else:
                _move(param, grad / root, lr)


def _move(param, direction, lr):
    """``param -= lr * direction`` for a number or a 0-d tensor ``lr``."""
    if isinstance(lr, (int, float)):
        param.add_(direction, alpha=-lr)
    else:
        param.addcmul_(direction, lr, value=-1)
