"""An epoch's validation: losses and metrics of batches that do not train, with averaged weights if there are any."""

import contextlib

import corten

from .averages import Averages
from .data import batch_size_of

__all__ = ["evaluate", "with_averages"]


@contextlib.contextmanager
def with_averages(model, averaged):
    """The model with the averaged weights in place of its own, which come back afterwards."""
    if averaged is None:
        yield
        return
    own = [*model.parameters(), *model.buffers()]
    others = [*averaged.module.parameters(), *averaged.module.buffers()]
    before = [tensor.detach().clone() for tensor in own]
    with corten.no_grad():
        for tensor, other in zip(own, others, strict=True):
            tensor.copy_(other.to(tensor.device))
    try:
        yield
    finally:
        with corten.no_grad():
            for tensor, saved in zip(own, before, strict=True):
                tensor.copy_(saved)


def evaluate(updates, data, interrupted):
    """What validation says, by names that begin with `val_`; None where it was interrupted.

    Args:
        updates: model, losses and averages.
        data: batches, or a function of the model that returns a dict.
        interrupted: a function that tells whether to leave early.
    """
    model = updates.model
    was_training = model.training
    model.eval()
    try:
        with corten.no_grad(), with_averages(model, updates.averaged):
            if callable(data) and not hasattr(data, "__iter__"):
                values = data(model)
            else:
                values = _of_batches(updates, data, interrupted)
    finally:
        model.train(was_training)
    if values is None:
        return None
    if not isinstance(values, dict):
        raise TypeError(f"fit: a validation function has to return a dict, but got {type(values).__name__}")
    return {f"val_{name}": float(value) for name, value in values.items()}


def _of_batches(updates, data, interrupted):
    objects = {name: metric for name, metric in (updates.options.metrics or {}).items() if hasattr(metric, "update")}
    for metric in objects.values():
        metric.reset()
    averages = Averages()
    for batch in data:
        if interrupted():
            return None
        averages.add(updates.losses(batch), batch_size_of(batch))
    return averages.values() | {name: metric.compute() for name, metric in objects.items()}
