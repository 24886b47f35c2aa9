"""What layers say, and inputs that make a unit say it loudest."""

import corten

from ._attribution import Attribution, select

__all__ = ["LayerActivation", "layer_activations", "activation_maximization"]


def layer_activations(model, inputs, layers=None):
    """The outputs of layers in one forward pass, without gradients.

    Args:
        model: a module.
        inputs: what it takes, a tensor or a tuple of arguments.
        layers: names as in ``model.named_modules()``; by default all modules without children.

    Returns:
        A dict from names to outputs, in the order in which they ran; a list of outputs for layers that ran several
        times.

    Raises:
        ValueError: a name that no module has.
    """
    modules = dict(model.named_modules())
    if layers is None:
        layers = [name for name, module in modules.items() if not list(module.children())]
    unknown = [name for name in layers if name not in modules]
    if unknown:
        raise ValueError(
            f"layer_activations: no layer {', '.join(unknown)}; there are {', '.join(filter(None, modules))}"
        )
    seen = {}

    def hook_of(name):
        return lambda module, arguments, output: seen.setdefault(name, []).append(_copied(output))

    handles = [modules[name].register_forward_hook(hook_of(name)) for name in layers]
    try:
        with corten.no_grad():
            model(*(inputs if isinstance(inputs, tuple) else (inputs,)))
    finally:
        for handle in handles:
            handle.remove()
    return {name: outputs[0] if len(outputs) == 1 else outputs for name, outputs in seen.items()}


def _copied(output):
    """Detached copies: an in-place operator may follow the layer."""
    if isinstance(output, corten.Tensor):
        return output.detach().clone()
    if isinstance(output, (list, tuple)):
        return type(output)(_copied(item) for item in output)
    return output


class LayerActivation(Attribution):
    """The output of a layer for given inputs.

    Args:
        forward_func: the network, a module.
        layer: a module of it.
    """

    def __init__(self, forward_func, layer):
        super().__init__(forward_func)
        self.layer_name = next((name for name, module in forward_func.named_modules() if module is layer), None)
        if self.layer_name is None:
            raise ValueError(f"{self.name}: the layer is no module of the network")

    def attribute(self, inputs, additional_forward_args=None):
        """The layer's output.

        Raises:
            RuntimeError: the layer does not run.
        """
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        more = additional_forward_args
        more = () if more is None else more if isinstance(more, tuple) else (more,)
        found = layer_activations(self.forward_func, (*inputs, *more), [self.layer_name])
        if not found:
            raise RuntimeError(f"{self.name}: layer {self.layer_name} does not run in a forward pass")
        return found[self.layer_name]


def activation_maximization(
    model,
    start,
    target,
    layer=None,
    steps=256,
    lr=0.05,
    l2=1e-3,
    total_variation=1e-2,
    jitter=4,
    value_range=None,
    generator=None,
):
    """An input that makes a unit, or a layer, respond as much as gradient ascent finds (Erhan et al. 2009).

    Adam climbs the mean of the unit's activation less the regularisers. Without them networks of images answer with
    noise that looks like nothing (Olah et al. 2017).

    Args:
        model: a module; call ``eval()`` first.
        start: where to begin, ``(N, ...)``, N inputs that are climbed side by side; or a shape, for small noise.
        target: the unit: an index of dim 1 of the output, whose mean over further dims counts, a tuple of indices for
            one position of it, or a list with an index or a tuple for each of the N inputs; None for the whole layer,
            the mean square of its output (DeepDream, Mordvintsev et al. 2015).
        layer: the module whose output is looked at; by default the model itself.
        steps: how many steps Adam takes.
        lr: the size of its steps.
        l2: the weight of the mean square of the input.
        total_variation: the weight of the mean absolute difference of neighbours in the last two dims of images
            ``(N, C, H, W)``; has no effect on others.
        jitter: images are rolled by up to so many pixels at each step, so that the pattern does not depend on its
            place.
        value_range: ``(low, high)`` to which the input is clamped after each step.
        generator: draws the noise and the jitter.

    Returns:
        ``(inputs, activations)``: the inputs ``(N, ...)`` and what the unit or the layer says of each ``(N,)``.

    Raises:
        ValueError: a target that does not fit the layer's output, or a layer that is no module of the model.
        RuntimeError: a layer that does not run in a forward pass.

    Example::

        >>> model = corten.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(corten.tensor([[3.0, 0.0]]))
        >>> x, _ = corten.explain.activation_maximization(model, (1, 2), 0, value_range=(-1, 1))
        >>> x[0, 0].item()
        1.0
    """
    layer = model if layer is None else layer
    if not any(module is layer for module in model.modules()):
        raise ValueError("activation_maximization: the layer is no module of the model")
    if not isinstance(start, corten.Tensor):
        like = next(iter(model.parameters()), corten.zeros(()))
        start = 0.01 * corten.randn(tuple(start), generator=generator, dtype=like.dtype, device=like.device)
    value = start.detach().clone().requires_grad_()
    optimizer = corten.optim.Adam([value], lr=lr)
    image = value.dim() == 4
    with corten.enable_grad():
        for _ in range(steps):
            shown = _rolled(value, jitter, generator) if image and jitter else value
            goal = _response(model, layer, shown, target).sum() - l2 * _rows(value.square()).mean(1).sum()
            if image and total_variation:
                goal = goal - total_variation * _variation(value)
            (value.grad,) = corten.autograd.grad(-goal, [value])
            optimizer.step()
            if value_range is not None:
                with corten.no_grad():
                    value.clamp_(*value_range)
    value = value.detach()
    with corten.no_grad():
        return value, _response(model, layer, value, target).detach()


def _rows(value):
    return value.reshape(len(value), -1)


def _rolled(value, jitter, generator):
    device = "cpu" if generator is None else generator.device
    shifts = corten.randint(-jitter, jitter + 1, (2,), generator=generator, device=device).tolist()
    return value.roll(shifts, (2, 3))


def _variation(value):
    """The mean absolute difference of neighbours of each image, summed over images."""
    return sum(_rows(value.diff(dim=dim).abs()).mean(1).sum() for dim in (2, 3))


def _response(model, layer, value, target):
    """What is climbed, ``(N,)``: a unit, the mean over positions of a channel, or the mean square of a layer."""
    seen = []
    # Copies: an in-place operator may follow the layer.
    handle = layer.register_forward_hook(lambda module, arguments, output: seen.append(output.clone()))
    try:
        model(value)
    finally:
        handle.remove()
    if not seen:
        raise RuntimeError("activation_maximization: the layer does not run in a forward pass")
    output = seen[-1]
    if target is None:
        return _rows(output.square()).mean(1)
    first = target[0] if isinstance(target, list) and target else target
    if not isinstance(first, tuple) and output.dim() > 2:
        output = output.flatten(2).mean(2)
    return select("activation_maximization", output, target, len(value))
