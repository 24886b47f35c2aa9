"""Losses that turn NaN or infinite: noticed every few steps, and traced to the layer that made them."""

import corten

from .checkpoint import copied
from .randomness import random_state, set_random_state

__all__ = ["Guard", "NonFiniteError", "first_bad_layer"]


class NonFiniteError(FloatingPointError):
    """A loss, or a gradient, is NaN or infinite. The model holds the weights from before that step.

    Attributes:
        layer: the name of the module that made it first, or None where it was none.
        step: the update in which it happened, from 1.
        epoch: its epoch, from 1.
    """

    def __init__(self, message, layer, step, epoch):
        super().__init__(message)
        self.layer, self.step, self.epoch = layer, step, epoch


def _tensors(value):
    """The floating-point tensors in nested containers."""
    if isinstance(value, corten.Tensor):
        return [value] if value.is_floating_point() or value.is_complex() else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _finite(tensors):
    checks = [tensor.detach().isfinite().all() for tensor in tensors]
    return not checks or bool(corten.stack([check.to(checks[0].device) for check in checks]).all())


def _bad_names(named):
    return [name for name, tensor in named if not _finite(_tensors(tensor))]


class _Calls:
    """What modules computed and which gradients reached it, by forward hooks; in order of the calls' ends."""

    def __init__(self, model):
        self.first = None
        self.calls = []
        self._names = {id(module): name or "the model itself" for name, module in model.named_modules()}
        self._handles = [module.register_forward_hook(self._seen, with_kwargs=True) for module in model.modules()]

    def remove(self):
        for handle in self._handles:
            handle.remove()

    def _seen(self, module, args, kwargs, output):
        inputs, outputs = _tensors((args, kwargs)), _tensors(output)
        name = self._names[id(module)]
        if self.first is None and not _finite(outputs):
            self.first = (name, module, inputs)
        if next(module.children(), None) is not None:
            return
        call = {"name": name, "module": module, "in": [], "out": []}
        self.calls.append(call)
        for kind, tensors in (("in", inputs), ("out", outputs)):
            for tensor in tensors:
                if tensor.requires_grad:
                    tensor.register_hook(call[kind].append)

    def first_gradient(self):
        """The last call whose gradients are bad, and whether what follows it made them; None where all are finite."""
        for call in reversed(self.calls):
            if not _finite(call["out"]):
                return call, True
            own = [p.grad for p in call["module"].parameters() if p.grad is not None]
            if not _finite(call["in"] + own):
                return call, False
        return None


def _described(name, module):
    return f"layer {name!r} ({type(module).__name__})"


def _of_inputs(module, inputs):
    """What is known of the inputs and weights of a layer whose output is bad."""
    weights = _bad_names(module.named_parameters())
    if weights:
        return f"its weights {weights} were already not finite"
    if not _finite(inputs):
        return "its inputs were already not finite: what the network computes between layers made them so"
    greatest = max((float(tensor.detach().abs().max()) for tensor in inputs if tensor.numel()), default=0.0)
    return f"its inputs and weights were finite, the inputs up to {greatest:.3g} in magnitude"


def first_bad_layer(model, backward):
    """Runs `backward`, which returns losses of `model` and computes gradients, and finds what is not finite first.

    Returns:
        The module's name, or None where it is none, and a sentence.
    """
    weights = _bad_names(model.named_parameters())
    calls = _Calls(model)
    try:
        losses = backward()
    finally:
        calls.remove()
    if calls.first is not None:
        name, module, inputs = calls.first
        sentence = f"{_described(name, module)} is the first whose output is not finite; {_of_inputs(module, inputs)}"
        return name, sentence
    if weights:
        return weights[0].rpartition(".")[0], f"the weights {weights} were already not finite"
    if not _finite(_tensors(losses)):
        return None, "all layers' outputs are finite: the loss function made it"
    found = calls.first_gradient()
    if found is not None:
        call, behind = found
        described = _described(call["name"], call["module"])
        if behind:
            words = f"outputs are finite, but the gradient that reaches the output of {described} is not: "
            return call["name"], words + "what follows that layer made it"
        return call["name"], f"outputs are finite, but {described} is the first whose gradients are not"
    gradients = _bad_names((name, p.grad) for name, p in model.named_parameters())
    if gradients:
        return None, f"the gradients of {gradients} are not finite, and no layer's outputs"
    return None, "all layers' outputs, the losses and the gradients are finite when computed again"


class Guard:
    """Looks at the sums of losses and at the weights every few updates, so that no step waits for a number.

    Where something is not finite, the updates since the last look are done again one by one, from a copy of what they
    started with, until the first bad one.

    Args:
        updates: what makes the updates.
        every: updates between two looks; 0 for never.
    """

    def __init__(self, updates, every):
        self.updates, self.every = updates, every
        self._kept = []
        self._start = None

    def before(self, group):
        """Remembers the batches of an update that is about to be made."""
        if not self.every:
            return
        if not self._kept and not self.updates.manual:
            self._start = self.updates.changing_state(), random_state(self.updates.on_gpu)
        self._kept.append(group)

    def look(self, averages, step, epoch, force=False):
        """Raises NonFiniteError where an update since the last look went wrong. `step` of them were made in all."""
        if not self._kept or (len(self._kept) < self.every and not force):
            return
        kept, self._kept = self._kept, []
        loss = averages.values().get("loss", 0.0)
        model = self.updates.model
        if abs(loss) < float("inf") and _finite([p for p in model.parameters() if p.requires_grad]):
            return
        if self.updates.manual:
            _, sentence = found = first_bad_layer(model, lambda: self.updates.losses(kept[-1][0]))
            raise self._error(found[0], step, epoch, f"at or shortly before step {step}: {sentence}")
        self._again(kept, step - len(kept), epoch)

    def _error(self, layer, step, epoch, told):
        return NonFiniteError(
            f"the loss or a gradient is not finite {told} (epoch {epoch + 1})", layer, step, epoch + 1
        )

    def _again(self, kept, step, epoch):
        """Finds the first bad update among those since the last look, and raises."""
        state, random = self._start
        self.updates.load_state_dict(state, strict=False)
        set_random_state(random)
        for number, group in enumerate(kept, step + 1):
            before = random_state(self.updates.on_gpu)
            weights = copied(self.updates.model.state_dict())
            losses = self.updates.gradients(group)
            gradients = [p.grad for p in self.updates.model.parameters() if p.grad is not None]
            # A scaler leaves out updates whose scaled gradients overflow; then only the loss tells.
            looked_at = losses if self.updates.scaler is not None else losses + gradients
            if not _finite(looked_at):
                self.updates.model.load_state_dict(weights)
                set_random_state(before)
                layer, sentence = first_bad_layer(self.updates.model, lambda group=group: self.updates.gradients(group))
                self.updates.model.load_state_dict(weights)
                raise self._error(layer, number, epoch, f"at step {number}: {sentence}")
            self.updates.finish(group, before)
        raise self._error(None, step + len(kept), epoch, f"within the last {len(kept)} steps, but not when done again")
