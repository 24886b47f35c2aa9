"""Adapters of a whole network: adding, merging, saving and removing them."""

from collections import Counter

from ..training.groups import freeze, matcher
from .layers import Adapted, adapted_class, plain_class

__all__ = ["apply", "load_state_dict", "merge", "remove", "state_dict", "unmerge"]


def apply(model, rank=8, alpha=16.0, dropout=0.0, targets=None, *, projections="qkv", trainable=None):
    """Gives layers of a trained network adapters, and freezes everything else; at first the network computes the same.

    A layer's class becomes the one with an adapter (`LoraLinear` and so on), its weight keeps its name.

    Args:
        model: changed in place.
        rank: of the factors' product.
        alpha: the product is scaled by `alpha / rank`.
        dropout: of the adapters' inputs, while training; of attention, of the factor's columns.
        targets: which layers: a pattern of a shell, several, or a function `(name, module)`; a module's name stands for
            all that lies in it. Every `Linear`, convolution, `Embedding` and `MultiheadAttention` where not given.
            Subclasses of these take no adapter.
        projections: which weights of attention: letters of `"qkv"`. That of the output is the layer `out_proj`.
        trainable: parameters that go on learning beside the adapters, such as a new head: a pattern, several, or a
            function `(name, parameter)`.

    Returns:
        `model`.

    Raises:
        ValueError: for a rank below 1, a dropout outside [0, 1), unknown projections, or no layer that fits.
        RuntimeError: there are adapters already.

    Example:
        >>> import corten
        >>> from corten import lora, nn
        >>> net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> net = lora.apply(net, rank=2, targets="0")
        >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
        ['0.lora_A', '0.lora_B']
    """
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"lora.apply: rank has to be a positive integer, but got {rank!r}")
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"lora.apply: dropout has to be in [0, 1), but got {dropout}")
    if not projections or set(projections) - set("qkv") or len(set(projections)) < len(projections):
        raise ValueError(f"lora.apply: projections has to be of the letters q, k and v, but got {projections!r}")
    if any(_adapted(model)):
        raise RuntimeError("lora.apply: the model has adapters already; merge or remove them first")
    layers = {name: module for name, module in model.named_modules() if adapted_class(module) is not None}
    matches = matcher(targets, "lora.apply")
    chosen = [module for name, module in layers.items() if matches(name, module)]
    if not chosen:
        raise ValueError(f"lora.apply: {targets!r} is none of the layers that take an adapter: {list(layers)}")
    learns = matcher(trainable, "lora.apply") if trainable is not None else lambda name, value: False
    if any(not learns(name, parameter) for name, parameter in model.named_parameters()):
        freeze(model, lambda name, parameter: not learns(name, parameter))
    for module in chosen:
        plain = type(module)
        module.__class__ = adapted_class(module)
        try:
            module.lora_start(rank, alpha, dropout, projections)
        except ValueError:
            module.__class__ = plain
            raise
    return model


def _adapted(model):
    return (module for module in model.modules() if isinstance(module, Adapted))


def _some_adapted(model, what):
    found = list(_adapted(model))
    if not found:
        raise RuntimeError(f"lora.{what}: the model has no adapters")
    return found


def merge(model):
    """Adds the adapters to the weights, so that the network costs what it cost without them; returns it.

    Merged layers leave their factors alone. Merging twice does nothing more.

    Raises:
        RuntimeError: there are no adapters, or a weight belongs to another layer as well, which would change too.
    """
    found = _some_adapted(model, "merge")
    owners = Counter(id(p) for module in model.modules() for p in module._parameters.values() if p is not None)
    for module in found:
        if any(owners[id(module._parameters[name])] > 1 for name in module.lora_deltas()):
            raise RuntimeError(
                f"lora.merge: a weight of {type(module).__name__} is that of another layer as well, which would change"
            )
    for module in found:
        if not module.lora_merged:
            module.lora_add(1)
            module.lora_merged = True
    return model


def unmerge(model):
    """Takes merged adapters out of the weights again, to within rounding; returns the model.

    Raises:
        RuntimeError: there are no adapters.
    """
    for module in _some_adapted(model, "unmerge"):
        if module.lora_merged:
            module.lora_add(-1)
            module.lora_merged = False
    return model


def remove(model):
    """Makes layers what they were before `apply`, with adapters dropped that were not merged; returns the model.

    Parameters stay frozen; `corten.training.unfreeze` lets them learn.

    Raises:
        RuntimeError: there are no adapters.
    """
    for module in _some_adapted(model, "remove"):
        for name in module.lora_names():
            del module._parameters[name]
        plain = plain_class(module)
        for name in [name for name in vars(module) if name.startswith("lora_")]:
            delattr(module, name)
        module.__class__ = plain
    return model


def state_dict(model):
    """The adapters alone, by the names that they have in the model's state dict."""
    return {name: value for name, value in model.state_dict().items() if _is_factor(name)}


def _is_factor(name):
    return name.rpartition(".")[2].startswith("lora_")


def load_state_dict(model, state):
    """Loads what `state_dict` told into a model with the same adapters.

    Raises:
        RuntimeError: names or shapes differ, or the adapters are merged.
    """
    found = _some_adapted(model, "load_state_dict")
    if any(module.lora_merged for module in found):
        raise RuntimeError("lora.load_state_dict: the adapters are merged; unmerge them first")
    own = state_dict(model)
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unexpected:
        raise RuntimeError(f"lora.load_state_dict: missing adapters {missing}, unexpected ones {unexpected}")
    model.load_state_dict(state, strict=False)
