"""Muon: momentum whose updates are orthogonalised."""

import math

import corten

from .optimizer import GroupOptimizer

__all__ = ["Muon"]

# Elements of the matrices that are multiplied at once: small ones fill a device only together.
TOGETHER = 1 << 22


class Muon(GroupOptimizer):
    r"""Muon, for the matrices of a network: each update is replaced by a nearby orthogonal matrix.

    The momentum :math:`B` goes through a quintic Newton-Schulz iteration in bfloat16 that pushes all singular values
    towards one (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the learning rates of
    ``adjust_lr_fn='match_rms_adamw'`` follow Liu et al., arXiv:2502.16982).

    Args:
        params: matrices ``(A, B)``; other parameters belong to another optimizer.
        lr: learning rate.
        weight_decay: decay of the weights, decoupled from the update.
        momentum: momentum factor.
        nesterov: looks one step ahead.
        ns_coefficients: the three coefficients of the iteration.
        eps: smallest norm that the update is divided by.
        ns_steps: number of iterations, below 100.
        adjust_lr_fn: ``'original'`` (also None) scales by :math:`\sqrt{\max(1, A/B)}`, ``'match_rms_adamw'`` by
            :math:`0.2\sqrt{\max(A, B)}`.

    Raises:
        ValueError: for options outside their range and for parameters that are not matrices.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        weight_decay=0.1,
        momentum=0.95,
        nesterov=True,
        ns_coefficients=(3.4445, -4.775, 2.0315),
        eps=1e-7,
        ns_steps=5,
        adjust_lr_fn=None,
    ):
        if isinstance(lr, corten.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not 0.0 <= momentum:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {param.size()}"
                    )

    def _update_parts(self, group):
        raise RuntimeError("Muon does not support complex parameters")

    def _update(self, group):
        lr = self._option(group, "lr")
        momentum = group["momentum"]
        alike = {}
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = corten.zeros_like(grad, memory_format=corten.preserve_format)
            buffer = state["momentum_buffer"].lerp_(grad, 1 - momentum)
            update = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
            key = (tuple(sorted(param.shape)), grad.dtype, grad.device)
            alike.setdefault(key, []).append((param, update))
        for (shape, *_), pairs in alike.items():
            together = max(1, TOGETHER // max(1, math.prod(shape)))
            for first in range(0, len(pairs), together):
                self._apply(group, lr, pairs[first : first + together])

    def _apply(self, group, lr, pairs):
        """Moves matrices of one size, by updates that are orthogonalised in one product each."""
        # The Gram matrix is built on the shorter side.
        tall = [update.size(0) > update.size(1) for _, update in pairs]
        updates = corten.stack([update.T if turned else update for (_, update), turned in zip(pairs, tall)])
        updates = orthogonalize(updates, group["ns_coefficients"], group["ns_steps"], group["eps"])
        for (param, _), update, turned in zip(pairs, updates.unbind(), tall):
            param.mul_(1 - lr * group["weight_decay"])
            factor = _lr_factor(group["adjust_lr_fn"], *param.shape)
            param.add_(update.T if turned else update, alpha=-lr * factor)


def orthogonalize(matrices, coefficients, steps, eps):
    """Newton-Schulz iteration in bfloat16: nearly orthogonal matrices near the given ``(N, A, B)``, with ``A <= B``."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    result = matrices.bfloat16()
    result = result.div(result.norm(dim=(-2, -1), keepdim=True).clamp(min=eps))
    for _ in range(steps):
        gram = result @ result.mT
        update = corten.baddbmm(gram, gram, gram, beta=b, alpha=c)
        result = corten.baddbmm(result, update, result, beta=a)
    return result


def _lr_factor(rule, rows, columns):
    if rule == "match_rms_adamw":
        return 0.2 * max(rows, columns) ** 0.5
    return max(1, rows / columns) ** 0.5
