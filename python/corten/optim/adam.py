"""Adam, with AMSGrad and decoupled weight decay as options."""

import corten

from ._functional import adam
from .optimizer import (
    GroupOptimizer,
    check_betas,
    check_fused,
    check_lr,
    check_not_negative,
    new_step,
    to_scalar,
    zeros_like,
)

__all__ = ["Adam", "adam"]


def _check_tensor_betas(betas, foreach, capturable):
    kinds = [isinstance(beta, corten.Tensor) for beta in betas]
    if not (all(kinds) or all(isinstance(beta, float) for beta in betas)):
        raise ValueError("betas must be either both floats or both Tensors")
    for index, beta in enumerate(betas):
        if not kinds[index]:
            continue
        if foreach and not capturable:
            raise ValueError(f"betas[{index}] as a Tensor is not supported for capturable=False and foreach=True")
        if beta.numel() != 1:
            raise ValueError(f"Tensor betas[{index}] must be 1-element")


class Adam(GroupOptimizer):
    r"""Adam: steps scaled by running means of the gradient and of its square.

    :math:`m \leftarrow \beta_1 m + (1-\beta_1) g`, :math:`v \leftarrow \beta_2 v + (1-\beta_2) g^2`,
    :math:`\theta \leftarrow \theta - \gamma \hat m / (\sqrt{\hat v} + \epsilon)` with
    :math:`\hat m = m / (1-\beta_1^t)`, :math:`\hat v = v / (1-\beta_2^t)` (Kingma and Ba, "Adam: A Method for
    Stochastic Optimization", arXiv:1412.6980; AMSGrad: Reddi et al., "On the Convergence of Adam and Beyond", 2018).

    Args:
        params: parameters or parameter groups.
        lr: learning rate, a number or a tensor with one element.
        betas: decay of the two means, two floats or two tensors with one element.
        eps: added to the denominator.
        weight_decay: L2 penalty added to the gradient, or decay of the weights where ``decoupled_weight_decay``.
        amsgrad: divides by the largest :math:`\hat v` so far.
        foreach, fused: accepted; the engine fuses every update of a step anyway.
        maximize: climbs instead of descending.
        capturable: keeps the step count on the parameter's device and computes with it there.
        differentiable: records the update for autograd.
        decoupled_weight_decay: as in AdamW.

    Raises:
        ValueError: for options outside their range.
    """

    _group_defaults = {
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "decoupled_weight_decay": False,
        "fused": None,
    }

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
        fused=None,
        decoupled_weight_decay=False,
    ):
        if isinstance(lr, corten.Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        check_lr(lr)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        _check_tensor_betas(betas, foreach, capturable)
        defaults = {
            "lr": lr,
            "betas": tuple(map(to_scalar, betas)),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def _update(self, group):
        if group["capturable"] or group["differentiable"]:
            return self._update_in_graph(group)
        beta1, beta2 = (self._mirror.read(beta) if isinstance(beta, corten.Tensor) else beta for beta in group["betas"])
        corten._core.adam_step(
            group["params"],
            self.state,
            lambda param: self._start(param, self.state[param], group),
            lr=self._option(group, "lr"),
            betas=(beta1, beta2),
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            amsgrad=group["amsgrad"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )

    def _update_in_graph(self, group):
        """The update with bias corrections that are tensors, so that the step can be replayed or differentiated."""
        beta1, beta2 = group["betas"]
        lr = self._option(group, "lr")
        weight_decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                self._start(param, state, group)
            if group["maximize"]:
                grad = -grad
            if weight_decay != 0:
                if decoupled:
                    param.mul_(1 - lr * weight_decay)
                else:
                    grad = grad.add(param, alpha=weight_decay)
            exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
            exp_avg.lerp_(grad, 1 - beta1)
            if isinstance(beta2, corten.Tensor):
                exp_avg_sq.lerp_(grad.square(), 1 - beta2)
            else:
                exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            self._finish_in_graph(param, state, group, lr, beta1, beta2)

    def _start(self, param, state, group):
        """Fills an empty state; both means keep the parameter's memory format."""
        state["step"] = new_step(param, group)
        state["exp_avg"] = zeros_like(param)
        state["exp_avg_sq"] = zeros_like(param)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_like(param)
        return state

    def _finish_in_graph(self, param, state, group, lr, beta1, beta2):
        """Moves the parameter."""
        step = state["step"]
        if group["differentiable"] and step.requires_grad:
            raise RuntimeError("`requires_grad` is not supported for `step` in differentiable mode")
        step.add_(1)
        # Autograd keeps the exponent; the next step counts on in place.
        exponent = step.clone() if group["differentiable"] else step
        negative_step_size = (lr / (1 - beta1**exponent)).neg()
        correction2_sqrt = (1 - beta2**exponent).sqrt()
        square = state["exp_avg_sq"]
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]
            if group["differentiable"]:
                # Autograd keeps both sides of the maximum, which later steps overwrite.
                square = largest.copy_(corten.maximum(largest.clone(), square.clone()))
            else:
                square = largest.copy_(corten.maximum(largest, square))
        # The step size is folded into the denominator because addcdiv_ takes only a number as its factor.
        denominator = (square.sqrt() / (correction2_sqrt * negative_step_size)).add_(group["eps"] / negative_step_size)
        exp_avg = state["exp_avg"]
        param.addcdiv_(exp_avg.clone() if group["differentiable"] else exp_avg, denominator)
