"""One step of an optimizer as a function of lists of tensors, under the names of ``torch.optim._functional``.

Each updates ``params`` and the state in place, as the optimizer of that name does with the gradients ``grads``. The
optimizers' own modules have them too (``from corten.optim.adam import adam``). ``foreach``, ``fused`` and
``has_complex`` are accepted: the engine fuses every update anyway, and complex tensors count as pairs of numbers.
"""

import warnings
from collections import defaultdict

import corten

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "asgd",
    "nadam",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sparse_adam",
]


def _apply(kind, params, grads, states, options):
    """One update by the optimizer called ``kind``; a state is a dictionary for each parameter, or an empty one.

    Raises:
        RuntimeError: there are not as many gradients or states as parameters.
    """
    from .optimizer import Mirror

    for name, given in (("gradients", grads), *((f"values of {name!r}", values) for name, values in states.items())):
        if len(given) != len(params):
            raise RuntimeError(f"{kind.lower()}: {len(params)} parameters and {len(given)} {name}")
    steps = states.get("step", [])
    if not all(isinstance(step, corten.Tensor) for step in steps):
        raise RuntimeError("API has changed, `state_steps` argument must contain a list of singleton tensors")
    recorded = bool(options.get("differentiable"))
    optimizer = _bare(getattr(corten.optim, kind), Mirror())
    targets = list(params) if recorded else [param.detach() for param in params]
    with warnings.catch_warnings():
        # Parameters of a recorded step may have a history.
        warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
        kept = [target.grad for target in targets]
        for index, (target, grad) in enumerate(zip(targets, grads)):
            target.grad = grad
            state = {name: values[index] for name, values in states.items() if values[index] is not None}
            if state:
                optimizer.state[target] = state
        group = {**optimizer._group_defaults, **options, "params": targets}
        try:
            with corten.set_grad_enabled(recorded):
                complex_ones = any(param.is_complex() for param in params)
                (optimizer._update_parts if complex_ones else optimizer._update)(group)
        finally:
            for target, grad in zip(targets, kept):
                target.grad = grad
    return [optimizer.state[target] for target in targets]


def _bare(cls, mirror):
    """An optimizer without parameters, of which only the update is used."""
    optimizer = cls.__new__(cls)
    optimizer.defaults, optimizer.state, optimizer._mirror = {}, defaultdict(dict), mirror
    return optimizer


def _refuse_scaled(name, grad_scale, found_inf):
    """Raises NotImplementedError for the arguments by which GradScaler reaches into PyTorch's fused optimizers."""
    if grad_scale is not None or found_inf is not None:
        raise NotImplementedError(f"{name}: grad_scale and found_inf: unscale the gradients before the step")


def sgd(
    params, d_p_list, momentum_buffer_list, has_sparse_grad=False, foreach=None, fused=None, grad_scale=None,
    found_inf=None, *, weight_decay, momentum, lr, dampening, nesterov, maximize,
):  # fmt: skip
    """A step of `SGD`; ``momentum_buffer_list`` holds None before the first step, and the buffers after it."""
    _refuse_scaled("sgd", grad_scale, found_inf)
    options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
    options |= {"nesterov": nesterov, "maximize": maximize}
    done = _apply("SGD", params, d_p_list, {"momentum_buffer": momentum_buffer_list}, options)
    if momentum != 0:
        momentum_buffer_list[:] = [state["momentum_buffer"] for state in done]


def adam(
    params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, foreach=None, capturable=False,
    differentiable=False, fused=None, grad_scale=None, found_inf=None, has_complex=False,
    decoupled_weight_decay=False, *, amsgrad, beta1, beta2, lr, weight_decay, eps, maximize,
):  # fmt: skip
    """A step of `Adam`; ``max_exp_avg_sqs`` is read with ``amsgrad`` alone."""
    _refuse_scaled("adam", grad_scale, found_inf)
    states = {"step": state_steps, "exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs}
    states |= {"max_exp_avg_sq": max_exp_avg_sqs} if amsgrad else {}
    options = {"amsgrad": amsgrad, "betas": (beta1, beta2), "lr": lr, "weight_decay": weight_decay, "eps": eps}
    options |= {"maximize": maximize, "capturable": capturable, "differentiable": differentiable}
    _apply("Adam", params, grads, states, options | {"decoupled_weight_decay": decoupled_weight_decay})


def adamw(
    params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, foreach=None, capturable=False,
    differentiable=False, fused=None, grad_scale=None, found_inf=None, has_complex=False, *, amsgrad, beta1, beta2,
    lr, weight_decay, eps, maximize,
):  # fmt: skip
    """A step of `AdamW`."""
    adam(
        params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, foreach, capturable, differentiable, fused,
        grad_scale, found_inf, has_complex, True, amsgrad=amsgrad, beta1=beta1, beta2=beta2, lr=lr,
        weight_decay=weight_decay, eps=eps, maximize=maximize,
    )  # fmt: skip


def adadelta(
    params, grads, square_avgs, acc_deltas, state_steps, capturable=False, foreach=None, differentiable=False,
    has_complex=False, *, lr, rho, eps, weight_decay, maximize,
):  # fmt: skip
    """A step of `Adadelta`."""
    states = {"step": state_steps, "square_avg": square_avgs, "acc_delta": acc_deltas}
    options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
    _apply("Adadelta", params, grads, states, options | _places(capturable, differentiable))


def adagrad(
    params, grads, state_sums, state_steps, fused=None, grad_scale=None, found_inf=None, has_sparse_grad=False,
    foreach=None, differentiable=False, has_complex=False, *, lr, weight_decay, lr_decay, eps, maximize,
):  # fmt: skip
    """A step of `Adagrad`."""
    _refuse_scaled("adagrad", grad_scale, found_inf)
    options = {"lr": lr, "weight_decay": weight_decay, "lr_decay": lr_decay, "eps": eps, "maximize": maximize}
    _apply("Adagrad", params, grads, {"step": state_steps, "sum": state_sums}, options | _places(False, differentiable))


def adamax(
    params, grads, exp_avgs, exp_infs, state_steps, foreach=None, maximize=False, differentiable=False,
    capturable=False, has_complex=False, *, eps, beta1, beta2, lr, weight_decay,
):  # fmt: skip
    """A step of `Adamax`."""
    states = {"step": state_steps, "exp_avg": exp_avgs, "exp_inf": exp_infs}
    options = {"eps": eps, "betas": (beta1, beta2), "lr": lr, "weight_decay": weight_decay, "maximize": maximize}
    _apply("Adamax", params, grads, states, options | _places(capturable, differentiable))


def nadam(
    params, grads, exp_avgs, exp_avg_sqs, mu_products, state_steps, decoupled_weight_decay=False, foreach=None,
    capturable=False, differentiable=False, has_complex=False, maximize=False, *, beta1, beta2, lr, weight_decay,
    momentum_decay, eps,
):  # fmt: skip
    """A step of `NAdam`."""
    states = {"step": state_steps, "exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs, "mu_product": mu_products}
    options = {"betas": (beta1, beta2), "lr": lr, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
    options |= {"eps": eps, "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
    _apply("NAdam", params, grads, states, options | _places(capturable, differentiable))


def radam(
    params, grads, exp_avgs, exp_avg_sqs, state_steps, decoupled_weight_decay=False, foreach=None,
    differentiable=False, capturable=False, has_complex=False, maximize=False, *, beta1, beta2, lr, weight_decay, eps,
):  # fmt: skip
    """A step of `RAdam`."""
    states = {"step": state_steps, "exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs}
    options = {"betas": (beta1, beta2), "lr": lr, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
    options |= {"decoupled_weight_decay": decoupled_weight_decay}
    _apply("RAdam", params, grads, states, options | _places(capturable, differentiable))


def rmsprop(
    params, grads, square_avgs, grad_avgs, momentum_buffer_list, state_steps, foreach=None, maximize=False,
    differentiable=False, capturable=False, has_complex=False, *, lr, alpha, eps, weight_decay, momentum, centered,
):  # fmt: skip
    """A step of `RMSprop`; ``grad_avgs`` is read where ``centered``, ``momentum_buffer_list`` with a momentum."""
    states = {"step": state_steps, "square_avg": square_avgs}
    states |= {"grad_avg": grad_avgs} if centered else {}
    states |= {"momentum_buffer": momentum_buffer_list} if momentum > 0 else {}
    options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
    options |= {"centered": centered, "maximize": maximize}
    _apply("RMSprop", params, grads, states, options | _places(capturable, differentiable))


def rprop(
    params, grads, prevs, step_sizes, state_steps, foreach=None, capturable=False, maximize=False,
    differentiable=False, has_complex=False, *, step_size_min, step_size_max, etaminus, etaplus,
):  # fmt: skip
    """A step of `Rprop`."""
    states = {"step": state_steps, "prev": prevs, "step_size": step_sizes}
    options = {"etas": (etaminus, etaplus), "step_sizes": (step_size_min, step_size_max), "maximize": maximize}
    _apply("Rprop", params, grads, states, options | {"lr": 0.0} | _places(capturable, differentiable))


def asgd(
    params, grads, axs, mus, etas, state_steps, foreach=None, maximize=False, differentiable=False, capturable=False,
    has_complex=False, *, lambd, lr, t0, alpha, weight_decay,
):  # fmt: skip
    """A step of `ASGD`."""
    states = {"step": state_steps, "ax": axs, "mu": mus, "eta": etas}
    options = {"lambd": lambd, "lr": lr, "t0": t0, "alpha": alpha, "weight_decay": weight_decay, "maximize": maximize}
    _apply("ASGD", params, grads, states, options | _places(capturable, differentiable))


def sparse_adam(params, grads, exp_avgs, exp_avg_sqs, state_steps, *, eps, beta1, beta2, lr, maximize):
    """A step of `SparseAdam`; ``state_steps`` holds the numbers of the step, from 1 on."""
    from .sparse_adam import update_rows

    for values in zip(params, grads, exp_avgs, exp_avg_sqs, state_steps, strict=True):
        update_rows(*values, eps=eps, beta1=beta1, beta2=beta2, lr=lr, maximize=maximize)


def _places(capturable, differentiable):
    return {"capturable": capturable, "differentiable": differentiable}
