"""What attribution methods share: inputs and targets in all their forms, outputs that are explained, gradients."""

import corten


class Attribution:
    """A method that explains a function from inputs ``(N, ...)`` to outputs ``(N, ...)``."""

    def __init__(self, forward_func):
        if not callable(forward_func):
            raise TypeError(f"{type(self).__name__}: forward_func is a module or a function, got {forward_func!r}")
        self.forward_func = forward_func

    @property
    def name(self):
        return type(self).__name__

    def as_inputs(self, inputs):
        """A tuple of detached floating tensors with as many examples each.

        Raises:
            TypeError: no tensors, or tensors of another dtype.
            ValueError: scalars, or different numbers of examples.
        """
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        for value in inputs:
            if not isinstance(value, corten.Tensor):
                raise TypeError(f"{self.name}: inputs are a Tensor or a tuple of them, got {type(value).__name__}")
            if not value.is_floating_point():
                raise TypeError(
                    f"{self.name}: inputs are floating point, got {value.dtype}; of tokens explain their embeddings"
                )
            if value.dim() == 0 or len(value) != len(inputs[0]):
                shapes = [tuple(v.shape) for v in inputs]
                raise ValueError(f"{self.name}: inputs have shape (N, ...) with the same N, got {shapes}")
        return tuple(value.detach() for value in inputs)

    def as_baselines(self, baselines, inputs):
        """A baseline of each input's shape: from 0, numbers, or tensors ``(1, ...)`` or of that shape."""
        if baselines is None:
            baselines = tuple(0.0 for _ in inputs)
        baselines = baselines if isinstance(baselines, tuple) else (baselines,)
        if len(baselines) != len(inputs):
            raise ValueError(f"{self.name}: a baseline for each input, got {len(baselines)} for {len(inputs)}")
        made = []
        for baseline, value in zip(baselines, inputs):
            if not isinstance(baseline, corten.Tensor):
                baseline = value.new_tensor(float(baseline))
            elif baseline.dim() and tuple(baseline.shape) not in (tuple(value.shape), (1, *value.shape[1:])):
                raise ValueError(
                    f"{self.name}: a baseline is a number or has shape (1, ...) or that of the input, "
                    f"got {tuple(baseline.shape)} for {tuple(value.shape)}"
                )
            made.append(baseline.detach().to(value).expand(value.shape))
        return tuple(made)

    def output(self, inputs, target, additional_forward_args=None):
        """The output that is explained, of each example ``(N,)``."""
        more = additional_forward_args
        more = () if more is None else more if isinstance(more, tuple) else (more,)
        # Copies: networks may begin with an in-place operator.
        output = self.forward_func(*(value.clone() for value in inputs), *more)
        return select(self.name, output, target, len(inputs[0]))

    def gradients(self, inputs, target, additional_forward_args=None):
        """The gradients of the explained outputs, one for each input."""
        with corten.enable_grad():
            leaves = tuple(value.detach().requires_grad_() for value in inputs)
            explained = self.output(leaves, target, additional_forward_args)
            if not explained.requires_grad:
                raise RuntimeError(f"{self.name}: the explained output does not depend on the inputs by gradients")
            return corten.autograd.grad(explained.sum(), leaves, allow_unused=True, materialize_grads=True)


def select(name, output, target, count):
    """The chosen output of each example.

    Raises:
        ValueError: a target that does not fit the output's shape.
    """
    if not isinstance(output, corten.Tensor):
        raise TypeError(f"{name}: the model returns a Tensor, got {type(output).__name__}")
    if output.dim() == 0 or len(output) != count:
        raise ValueError(f"{name}: the model returns (N, ...) for N = {count} examples, got {tuple(output.shape)}")
    if target is None:
        if output.numel() != count:
            raise ValueError(f"{name}: an output of shape {tuple(output.shape)} needs a target, the index of an output")
        return output.reshape(count)
    if isinstance(target, corten.Tensor):
        if target.is_floating_point() or target.dim() > 1:
            raise ValueError(f"{name}: a target tensor holds one index an example, got {target.dtype} {target.shape}")
        target = target if target.dim() else int(target)
    if isinstance(target, (int, tuple)):
        index = target if isinstance(target, tuple) else (target,)
        chosen = _at(name, output, (slice(None), *index))
    else:
        if len(target) != count:
            raise ValueError(f"{name}: one target for each of {count} examples, got {len(target)}")
        rows = corten.arange(count, device=output.device)
        if isinstance(target, corten.Tensor):
            columns = (target.to(output.device),)
        else:
            pairs = [t if isinstance(t, tuple) else (t,) for t in target]
            columns = corten.tensor(pairs, device=output.device).unbind(1)
        chosen = _at(name, output, (rows, *columns))
    if chosen.dim() != 1:
        raise ValueError(
            f"{name}: target {target!r} chooses values of shape {tuple(chosen.shape)} of an output "
            f"{tuple(output.shape)}; an index for each of its dims is wanted"
        )
    return chosen


def _at(name, output, index):
    try:
        return output[index]
    except IndexError as error:
        raise ValueError(f"{name}: the target does not fit an output of shape {tuple(output.shape)}: {error}") from None


def repeated(value, times):
    """What comes with N examples for ``times`` copies of all of them, one batch after the other."""
    if isinstance(value, corten.Tensor) and value.dim():
        return value.repeat(times, *(1,) * (value.dim() - 1))
    if isinstance(value, list):
        return value * times
    if isinstance(value, tuple):
        return tuple(repeated(item, times) for item in value)
    return value


def repeated_target(target, times):
    """As `repeated`; a tuple is an index and not one target an example."""
    return target if isinstance(target, tuple) else repeated(target, times)


def like_inputs(values, inputs):
    """A tuple where the inputs were one."""
    return tuple(values) if isinstance(inputs, tuple) else values[0]
