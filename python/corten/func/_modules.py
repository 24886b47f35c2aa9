"""Modules as functions of their parameters: calls with given ones, and the states of several models in one."""

import corten

from ..nn.modules.batchnorm import _BatchNorm
from ..nn.utils.stateless import _call


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights=True, strict=False):
    """Calls a module with given parameters and buffers in place of its own, which stay as they are.

    What the module writes into a buffer, or puts in its place, is found in the dictionary afterwards.

    Args:
        parameter_and_buffer_dicts: tensors by name, or several such dictionaries.
        args: the call's arguments, a tuple or a single one.
        tie_weights: a tensor with several names is replaced under all of them.
        strict: every parameter and buffer must be given, and nothing else.

    Raises:
        ValueError: a name is in two dictionaries, two names of one tensor have two values, or there is no dictionary.
        RuntimeError: with ``strict``, for names that are missing or unknown.
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        values = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, (list, tuple)):
        if not all(isinstance(part, dict) for part in parameter_and_buffer_dicts):
            raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
        names = [name for part in parameter_and_buffer_dicts for name in part]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        values = {name: value for part in parameter_and_buffer_dicts for name, value in part.items()}
    else:
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(parameter_and_buffer_dicts)}"
        )
    return _call(module, values, args, kwargs, tie_weights, strict)


def stack_module_state(models):
    """The parameters and the buffers of several models of one class, stacked along a new first dim, by name.

    The parameters are leaves that require grad where the models' do.

    Raises:
        RuntimeError: there is no model, they are not of one class or mode, or only some of them train a parameter.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(model.training for model in models) or not any(model.training for model in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if not all(type(model) is type(models[0]) for model in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parts = [dict(model.named_parameters()) for model in models]
    params = {name: _stacked_leaf([part[name] for part in parts], name) for name in parts[0]}
    parts = [dict(model.named_buffers()) for model in models]
    buffers = {name: _stacked_leaf([part[name] for part in parts], name) for name in parts[0]}
    return params, buffers


def _stacked_leaf(tensors, name):
    trained = {tensor.requires_grad for tensor in tensors}
    if len(trained) > 1:
        raise RuntimeError(
            f"Expected {name} from each model to have the same .requires_grad. Please make sure that all models train "
            "it, or none."
        )
    return corten.stack([tensor.detach() for tensor in tensors]).requires_grad_(trained.pop())


def replace_all_batch_norm_modules_(root):
    """Makes every batch normalisation below ``root`` use the batch's own statistics only; returns ``root``."""
    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = None
            module.running_var = None
            module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def functionalize(func, *, remove="mutations"):
    """A function that does what ``func`` does: an operator never changes a value here, whatever is written.

    Args:
        func: any function of tensors.
        remove: ``"mutations"`` or ``"mutations_and_views"``, accepted.

    Raises:
        RuntimeError: for another ``remove``.
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are:\n"
            "     remove='mutations': all inplace and out= operators will be removed from the program.\n"
            "     remove='mutations_and_views': In addition to the above, all aliasing operators {view} will be "
            "replaced with their non-aliasing counterparts, {view}_copy."
        )

    def wrapped(*args, **kwargs):
        return func(*args, **kwargs)

    wrapped.__doc__, wrapped.__name__ = func.__doc__, getattr(func, "__name__", "wrapped")
    return wrapped
