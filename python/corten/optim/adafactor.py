"""Adafactor: second moments in the space of a row and a column."""

import corten

from .optimizer import GroupOptimizer, scalar_dtype

__all__ = ["Adafactor"]


class Adafactor(GroupOptimizer):
    r"""Adafactor: Adam-like steps whose second moment of a matrix is the product of a row and a column mean.

    Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", arXiv:1804.04235,
    without momentum and with ``lr`` as the bound of the relative step size.

    Args:
        params: parameters or parameter groups.
        lr: largest relative step size.
        beta2_decay: exponent of the decay of :math:`1 - \beta_2`, at most zero.
        eps: smallest root mean square of the update's denominator (None: the dtype's epsilon) and of the parameters.
        d: largest root mean square of an update, at least one.
        weight_decay: decay of the weights.
        foreach: accepted; the engine fuses every update of a step anyway.
        maximize: climbs instead of descending.

    Raises:
        ValueError: for options outside their range.
    """

    _group_defaults = {"foreach": None}

    def __init__(
        self,
        params,
        lr=1e-2,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=0.0,
        *,
        foreach=None,
        maximize=False,
    ):
        if isinstance(lr, corten.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not 0.0 >= beta2_decay:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not 0.0 <= eps[0]:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not 0.0 <= eps[1]:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _start(self, grad, state):
        state["step"] = corten.zeros((), dtype=scalar_dtype())
        if grad.dim() > 1:
            shape = list(grad.shape)
            state["row_var"] = grad.new_zeros([*shape[:-1], 1])
            state["col_var"] = grad.new_zeros([*shape[:-2], 1, shape[-1]])
        else:
            state["variance"] = corten.zeros_like(grad, memory_format=corten.preserve_format)

    def _update_parts(self, group):
        raise RuntimeError("Adafactor does not support complex parameters")

    def _update(self, group):
        lr = self._option(group, "lr")
        smallest_update, smallest_param = group["eps"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                self._start(grad, state)
            if group["maximize"]:
                grad = -grad
            if smallest_update is None:
                smallest_update = corten.finfo(param.dtype).eps
            count = self._mirror.advance(state["step"])
            # Both norms stay tensors: reading them would wait for the engine twice a parameter.
            size = (param.norm(2) / param.numel() ** 0.5).clamp_(min=smallest_param)
            step_size = size * min(lr, 1 / count**0.5)
            if group["weight_decay"] != 0:
                param.mul_(1 - lr * group["weight_decay"])
            variance = self._second_moment(grad, state, count ** group["beta2_decay"], smallest_update)
            update = variance.clamp_(min=smallest_update * smallest_update).rsqrt_().mul_(grad)
            clip = (update.norm(2) / (update.numel() ** 0.5 * group["d"])).clamp_(min=1.0)
            param.addcmul_(update, step_size / clip, value=-1)

    def _second_moment(self, grad, state, weight, smallest):
        """The running second moment of ``grad``, moved by ``weight`` towards its square, as a fresh tensor."""
        if grad.dim() <= 1:
            return state["variance"].lerp_(grad * grad, weight).clone()
        row, column = state["row_var"], state["col_var"]
        row.lerp_(corten.norm(grad, dim=-1, keepdim=True).square_().div_(grad.size(-1)), weight)
        column.lerp_(corten.norm(grad, dim=-2, keepdim=True).square_().div_(grad.size(-2)), weight)
        return (row @ column).div_(row.mean(dim=-2, keepdim=True).clamp_(min=smallest))
