"""Which parameters learn, how fast and with how much decay: groups for optimizers, freezing, and new heads."""

import fnmatch

from .. import nn
from ..nn.modules.batchnorm import _NormBase
from ..nn.modules.normalization import GroupNorm, LayerNorm, LocalResponseNorm, RMSNorm

__all__ = ["freeze", "matcher", "parameter_groups", "replace_head", "unfreeze"]

_NORMS = (_NormBase, GroupNorm, LayerNorm, LocalResponseNorm, RMSNorm)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def matcher(pattern, what):
    """A function `(name, value) -> bool` from a pattern, several, such a function, or None for everything.

    Patterns are those of a shell (`*`, `?`, `[0-3]`) and match a name, or any module that it lies in: `"features"`
    matches `"features.0.weight"`.

    Raises:
        TypeError: for anything else.
    """
    if pattern is None:
        return lambda name, value: True
    if callable(pattern) and not isinstance(pattern, str):
        return pattern
    patterns = [pattern] if isinstance(pattern, str) else list(pattern)
    if not all(isinstance(one, str) for one in patterns):
        raise TypeError(f"{what}: a pattern is a string, a list of strings or a function, but got {pattern!r}")

    def matches(name, value):
        parts = name.split(".")
        prefixes = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return any(fnmatch.fnmatchcase(prefix, one) for prefix in prefixes for one in patterns)

    return matches


def _undecayed(model):
    """The ids of biases, of what normalisation layers learn, and of other vectors and scalars."""
    found = {id(p) for module in model.modules() if isinstance(module, _NORMS) for p in module.parameters(False)}
    return found | {id(p) for p in model.parameters() if p.dim() < 2}


def _layers(module, prefix=""):
    """Names of the modules that follow each other, from the input on: children, those of containers one by one."""
    names = []
    for name, child in module.named_children():
        inside = isinstance(child, _CONTAINERS)
        names += _layers(child, f"{prefix}{name}.") if inside else [f"{prefix}{name}"]
    return names


def _depths(model, names, layers):
    """The layer of each parameter, from 0 at the input, and how many there are."""
    if layers is not None:
        tests = [matcher(layer, "parameter_groups") for layer in layers]
        depths = {}
        for name in names:
            found = [depth for depth, test in enumerate(tests) if test(name, None)]
            if not found:
                raise ValueError(f"parameter_groups: none of the layers {list(layers)} has the parameter {name!r}")
            depths[name] = found[0]
        return depths, len(tests)
    found = [layer for layer in _layers(model) if any(name.startswith(layer + ".") for name in names)]
    depths = {}
    for name in names:
        # A parameter of the model itself, such as an embedding of positions, is as near to the input as one can be.
        depths[name] = next((depth for depth, layer in enumerate(found) if name.startswith(layer + ".")), 0)
    return depths, max(len(found), 1)


def parameter_groups(model, lr=None, weight_decay=None, *, no_decay=None, layer_decay=1.0, layers=None):
    """Parameter groups for any optimizer: decay for weights alone, and rates that fall towards the input.

    Source of the rates: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification",
    arXiv:1801.06146, section 3.2. Frozen parameters are left out.

    Args:
        model: whose parameters, with their names, are divided.
        lr: the rate of the last layer; the optimizer's own where not given.
        weight_decay: of matrices and kernels. Biases, parameters of normalisations and all others with less than two
            dims get 0. The optimizer's own decay for all where not given.
        no_decay: more parameters without decay: a pattern, several, or a function `(name, parameter)`; for example
            `"*embedding*"`.
        layer_decay: a layer's rate is that of the next one times this.
        layers: a pattern, or several, for each layer from the input to the output; where not given, the children of
            `model`, with those of `Sequential` and the like one by one.

    Raises:
        ValueError: `layer_decay` without `lr`, a parameter that no layer has, or nothing left that learns.

    Example:
        >>> import corten
        >>> net = corten.nn.Sequential(corten.nn.Linear(2, 3), corten.nn.Linear(3, 1))
        >>> groups = corten.training.parameter_groups(net, lr=0.1, weight_decay=0.01, layer_decay=0.5)
        >>> [(group["lr"], group["weight_decay"], len(group["params"])) for group in groups]
        [(0.05, 0.01, 1), (0.05, 0.0, 1), (0.1, 0.01, 1), (0.1, 0.0, 1)]
    """
    if layer_decay != 1 and lr is None:
        raise ValueError("parameter_groups: layer_decay needs lr, the rate of the last layer")
    learning = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not learning:
        raise ValueError("parameter_groups: no parameter of the model requires a gradient")
    undecayed = _undecayed(model)
    excepted = matcher(no_decay, "parameter_groups") if no_decay is not None else lambda name, value: False
    depths, count = _depths(model, [name for name, _ in learning], layers) if layer_decay != 1 else ({}, 1)
    groups = {}
    for name, parameter in learning:
        depth = depths.get(name, 0)
        decays = not (id(parameter) in undecayed or excepted(name, parameter))
        key = (depth, decays or weight_decay is None)
        if key not in groups:
            groups[key] = {"params": []}
            if lr is not None:
                groups[key]["lr"] = lr * layer_decay ** (count - 1 - depth)
            if weight_decay is not None:
                groups[key]["weight_decay"] = weight_decay if decays else 0.0
        groups[key]["params"].append((name, parameter))
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0], not key[1]))]


def _keep_statistics(module, args):
    module.training = False


def freeze(model, pattern=None):
    """Takes parameters out of training; returns their names.

    Running statistics of normalisations whose parameters are all frozen stay as they are too, in training mode as well.

    Args:
        model: changed in place.
        pattern: which; all where not given. A pattern of a shell, several, or a function `(name, parameter)`; a
            module's name stands for all that lies in it.

    Raises:
        ValueError: nothing matches.
    """
    names = _set_learning(model, pattern, False, "freeze")
    matches = matcher(pattern, "freeze")
    for name, module in model.named_modules():
        if isinstance(module, _NormBase):
            own = list(module.parameters(recurse=False))
            still = not any(p.requires_grad for p in own) if own else matches(name, module)
            if still and _keep_statistics not in module._forward_pre_hooks.values():
                module.register_forward_pre_hook(_keep_statistics)
    return names


def unfreeze(model, pattern=None):
    """Undoes `freeze`, for all parameters or those that `pattern` names; returns their names.

    Raises:
        ValueError: nothing matches.
    """
    names = _set_learning(model, pattern, True, "unfreeze")
    matches = matcher(pattern, "unfreeze")
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if any(p.requires_grad for p in own) if own else matches(name, module):
            hooks = module._forward_pre_hooks
            for key in [key for key, hook in hooks.items() if hook is _keep_statistics]:
                del hooks[key]
                # The mode that the model is in, which the hook may have overruled.
                module.training = model.training
    return names


def _set_learning(model, pattern, learns, what):
    matches = matcher(pattern, what)
    chosen = [(name, parameter) for name, parameter in model.named_parameters() if matches(name, parameter)]
    if not chosen:
        raise ValueError(
            f"{what}: no parameter matches {pattern!r}; there are {[n for n, _ in model.named_parameters()]}"
        )
    for _, parameter in chosen:
        parameter.requires_grad_(learns)
    return [name for name, _ in chosen]


def replace_head(model, classes, name=None):
    """Puts a fresh last layer with another number of outputs in place of a trained network's; returns it.

    Args:
        model: changed in place.
        classes: outputs of the new layer.
        name: the module to replace; the last `Linear`, or convolution of 1 × 1, where not given.

    Raises:
        ValueError: there is no such module.
    """
    kinds = (nn.Linear, nn.Conv2d)
    heads = {
        path: module
        for path, module in model.named_modules()
        if path and isinstance(module, kinds) and (isinstance(module, nn.Linear) or set(module.kernel_size) == {1})
    }
    if name is None:
        name = next(reversed(heads), None)
    if name not in heads:
        raise ValueError(f"replace_head: {name!r} is no Linear and no convolution of 1 x 1; there are {list(heads)}")
    old = heads[name]
    options = {"bias": old.bias is not None, "device": old.weight.device, "dtype": old.weight.dtype}
    if isinstance(old, nn.Linear):
        head = nn.Linear(old.in_features, classes, **options)
    else:
        head = nn.Conv2d(old.in_channels, classes, 1, stride=old.stride, padding=old.padding, **options)
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, head.train(old.training))
    return head
