"""Calls of several modules, each with inputs of its own; one after the other, as they share the engine's threads."""

import corten

__all__ = ["get_a_var", "parallel_apply"]


def get_a_var(obj):
    """The first tensor in nested lists, tuples and dicts; None where there is none."""
    from ...utils._pytree import tree_leaves

    return next((leaf for leaf in tree_leaves(obj) if isinstance(leaf, corten.Tensor)), None)


def parallel_apply(modules, inputs, kwargs_tup=None, devices=None):
    """The results of ``modules[i](*inputs[i], **kwargs_tup[i])`` as a list.

    Args:
        modules: what is called.
        inputs: the arguments of each; one that is no list or tuple is the only argument.
        kwargs_tup: keyword arguments of each.
        devices: where each runs, accepted: tensors stay where they are.

    Raises:
        AssertionError: there are not as many inputs, keyword arguments or devices as modules.
    """
    if len(modules) != len(inputs):
        raise AssertionError(f"The number of modules {len(modules)} is not equal to the number of inputs {len(inputs)}")
    kwargs_tup = [{}] * len(modules) if kwargs_tup is None else kwargs_tup
    for name, given in (("keyword arguments", kwargs_tup), ("devices", modules if devices is None else devices)):
        if len(given) != len(modules):
            raise AssertionError(f"parallel_apply: {len(modules)} modules and {len(given)} {name}")
    return [
        module(*(given if isinstance(given, (list, tuple)) else (given,)), **(named or {}))
        for module, given, named in zip(modules, inputs, kwargs_tup, strict=True)
    ]
