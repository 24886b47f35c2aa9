"""Adam for tables of which a step uses few rows."""

import corten

from .optimizer import Optimizer, check_betas, loss_of, zeros_like

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    r"""Adam in which rows without a gradient, and their means, stay as they are.

    Gradients are dense here, those of ``nn.Embedding(..., sparse=True)`` too: a row is one without a gradient where
    its gradient is zero. Of a gradient that is sparse (`corten.sparse_coo_tensor`) its indices name the rows.

    Args:
        params: parameters ``(V, *)`` or parameter groups; rows are those of the first dim.
        lr: learning rate, a number or a tensor with one element.
        betas: decay of the means of the gradient and of its square.
        eps: added to the denominator.
        maximize: climbs instead of descending.

    Raises:
        ValueError: for options outside their range, and for sparse parameters.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        if isinstance(lr, corten.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 < lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        every = [param for group in self.param_groups for param in group["params"]]
        sparse = [index for index, param in enumerate(every) if param.is_sparse]
        if sparse:
            raise ValueError(f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors")

    @corten.no_grad()
    def step(self, closure=None):
        """Updates the rows that have a gradient.

        Args:
            closure: reevaluates the model and returns the loss, which is then the result of the step.
        """
        loss = loss_of(closure)
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            options = {"eps": group["eps"], "lr": group["lr"], "maximize": group["maximize"]}
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state.update(step=0, exp_avg=zeros_like(param), exp_avg_sq=zeros_like(param))
                state["step"] += 1
                means = state["exp_avg"], state["exp_avg_sq"], state["step"]
                update_rows(param, param.grad, *means, beta1=beta1, beta2=beta2, **options)
        return loss


def update_rows(param, grad, exp_avg, exp_avg_sq, step, *, eps, beta1, beta2, lr, maximize):
    """Updates the rows of ``param (V, *)`` that ``grad (V, *)`` has, and their means, in place.

    ``step`` is the number of the step, from 1 on.
    """
    with corten.no_grad():
        if grad.is_sparse:
            used = corten.zeros(len(param), dtype=corten.bool, device=param.device)
            used[grad.coalesce().indices()[0]] = True
            grad = grad.to_dense()
        else:
            used = (grad != 0).flatten(min(1, grad.dim() - 1)).any(-1) if grad.dim() > 1 else grad != 0
        used = used.reshape(used.shape + (1,) * (param.dim() - used.dim()))
        grad = -grad if maximize else grad
        # A mask, not a list of rows: how many there are need not be known before the step has run.
        exp_avg.copy_(corten.where(used, exp_avg.lerp(grad, 1 - beta1), exp_avg))
        exp_avg_sq.copy_(corten.where(used, exp_avg_sq.lerp(grad * grad, 1 - beta2), exp_avg_sq))
        size = lr * ((1 - beta2**step) ** 0.5 / (1 - beta1**step))
        param.sub_(corten.where(used, exp_avg / (exp_avg_sq.sqrt() + eps) * size, 0))
