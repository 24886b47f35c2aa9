"""Sharpness-aware minimisation around any other optimizer."""

import corten

from .optimizer import Optimizer

__all__ = ["SAM"]


class SAM(Optimizer):
    r"""Steps by the gradient at the worst point nearby, so that training ends in flat minima.

    With gradient :math:`g` at the weights :math:`w`, the wrapped optimizer's step from :math:`w` uses the gradient at
    :math:`w + \rho\, g / \lVert g\rVert`. A step takes two evaluations. The second is in training mode as well: batch
    norms see the batch twice.

    Sources: Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", arXiv:2010.01412;
    the adaptive form is that of Kwon et al., "ASAM", arXiv:2102.11600, without its stabilising constant:
    :math:`w + \rho\, w^2 g / \lVert w g\rVert`.

    Parameter groups and state are those of the wrapped optimizer, so schedules and checkpoints see both as one. A group
    may have `rho` and `adaptive` of its own; the norm is over all groups.

    Args:
        optimizer: makes the step.
        rho: the distance to the worst point.
        adaptive: scales distances by the weights' magnitudes.
        eps: added to the norm.

    Raises:
        TypeError: unless `optimizer` is an optimizer.
        ValueError: for a negative `rho` or `eps`.

    Example:
        >>> import corten
        >>> weight = corten.nn.Parameter(corten.tensor([3.0]))
        >>> optimizer = corten.optim.SAM(corten.optim.SGD([weight], lr=0.5), rho=1.0)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (weight**2).sum() / 2
        ...     loss.backward()
        ...     return loss
        >>> loss = optimizer.step(closure)
        >>> weight.detach()
        tensor([1.])
    """

    needs_closure = True

    def __init__(self, optimizer, rho=0.05, adaptive=False, eps=1e-12):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"SAM wraps an optimizer, but got {type(optimizer).__name__}")
        for name, value in (("rho", rho), ("eps", eps)):
            if not 0.0 <= value:
                raise ValueError(f"Invalid {name} value: {value}")
        self.base = optimizer
        self.eps = eps
        super().__init__([{"params": []}], {"rho": rho, "adaptive": adaptive})
        for group in optimizer.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    # Both optimizers have one list of groups and one state: whoever changes or loads them does it for both.

    @property
    def param_groups(self):
        """The wrapped optimizer's groups."""
        return self.base.param_groups

    @param_groups.setter
    def param_groups(self, groups):
        if groups:
            self.base.param_groups = groups

    @property
    def state(self):
        """The wrapped optimizer's state."""
        return self.base.state

    @state.setter
    def state(self, state):
        if state:
            self.base.state = state

    def add_param_group(self, param_group):
        """Adds a group to the wrapped optimizer."""
        if not param_group["params"] and not isinstance(param_group["params"], corten.Tensor):
            return  # the empty group with which the base class begins
        self.base.add_param_group({**self.defaults, **param_group})

    def load_state_dict(self, state_dict):
        """Loads a state of this class, or of the wrapped optimizer's."""
        self.base.load_state_dict(state_dict)
        for group in self.base.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def state_dict(self):
        """The wrapped optimizer's state, with `rho` and `adaptive` among the options of its groups."""
        return self.base.state_dict()

    def __getstate__(self):
        return {"base": self.base, "eps": self.eps, "defaults": self.defaults}

    def __setstate__(self, state):
        self.base = state["base"]
        super().__setstate__(state)

    @corten.no_grad()
    def first_step(self):
        """Moves the weights to the worst point nearby; returns the weights from before, for `second_step`."""
        scaled = []
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    factor = param.abs() if group["adaptive"] else None
                    scaled.append((param, group, param.grad if factor is None else factor * param.grad, factor))
        if not scaled:
            return []
        device = scaled[0][0].device
        norms = corten.stack([gradient.norm().to(device) for _, _, gradient, _ in scaled])
        inverse = 1 / (norms.norm() + self.eps)
        before = []
        for param, group, gradient, factor in scaled:
            before.append((param, param.detach().clone()))
            move = gradient if factor is None else factor * gradient
            param.add_(move * (group["rho"] * inverse).to(param.device))
        return before

    @corten.no_grad()
    def second_step(self, before):
        """Takes the weights back, exactly, and makes the wrapped optimizer's step with the gradients that are there."""
        for param, value in before:
            param.copy_(value)
        self.base.step()

    def step(self, closure=None):
        """One step.

        Args:
            closure: clears the gradients, computes the loss and its gradients, and returns the loss; called twice.

        Returns:
            The loss at the weights from before.

        Raises:
            RuntimeError: without a closure.
        """
        if closure is None:
            raise RuntimeError(
                "SAM.step needs a closure that clears the gradients, computes the loss, calls backward() and returns "
                "the loss: it is evaluated twice"
            )
        closure = corten.enable_grad()(closure)
        loss = closure()
        before = self.first_step()
        closure()
        self.second_step(before)
        return loss
