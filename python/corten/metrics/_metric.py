"""Metrics of streams of batches: `update`, `compute`, `reset`, `merge`, `state_dict`."""

import inspect
from typing import Any

import corten

__all__ = ["Metric", "Mean", "MetricCollection"]


class Metric:
    """A metric over all batches since the last `reset`.

    A subclass says what it keeps of a batch (`statistics`), how what was kept of two batches becomes one (`join`,
    by default the sum), and what the metric of that is (`value`). So the order of batches and the way they are
    divided among processes do not matter but for rounding.

    The options are keywords: those of the function of the same metric, which computes it for one batch.

    Example::

        >>> accuracy = corten.metrics.Accuracy()
        >>> accuracy.update(corten.tensor([0, 1, 1]), corten.tensor([0, 1, 0]))
        >>> accuracy.update(corten.tensor([2]), corten.tensor([2]))
        >>> accuracy.compute().item()
        0.75
    """

    function: Any = None

    def __init__(self, **options):
        self.options = {**self._defaults(), **options}
        unknown = set(options) - set(self._defaults())
        if unknown:
            known = ", ".join(self._defaults()) or "none"
            raise TypeError(f"{type(self).__name__}: no option {', '.join(sorted(unknown))}; there are: {known}")
        self._state = None

    @classmethod
    def _defaults(cls):
        if cls.function is None:
            return {}
        parameters = inspect.signature(cls.function).parameters.values()
        keywords = (p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name != "sample_weight")
        return {p.name: p.default for p in keywords}

    def statistics(self, *batch, **weights):
        """What is kept of a batch: a dict of tensors, numbers, or lists of tensors."""
        raise NotImplementedError(f"{type(self).__name__} has no statistics")

    def join(self, one, other):
        """The statistics of two batches together; by default sums, and lists one after the other."""
        return {key: one[key] + _beside(other[key], one[key]) for key in one}

    def value(self, statistics):
        """The metric of what was kept."""
        raise NotImplementedError(f"{type(self).__name__} has no value")

    def update(self, *batch, **weights):
        """Adds a batch: the arguments of the metric's function without its options.

        Raises:
            ValueError, TypeError: those of the function.
        """
        with corten.no_grad():
            new = self.statistics(*batch, **weights)
            self._state = new if self._state is None else self.join(self._state, new)

    def compute(self):
        """The metric of all batches since the last `reset`.

        Raises:
            RuntimeError: there was none.
        """
        if self._state is None:
            raise RuntimeError(f"{type(self).__name__}.compute: there was no update since the last reset")
        with corten.no_grad():
            return self.value(self._state)

    def reset(self):
        """Forgets all batches."""
        self._state = None

    def merge(self, other):
        """Adds the batches of another metric of the same class and options, such as that of another process.

        Raises:
            TypeError: the other is of another class, or has other options.
        """
        if type(other) is not type(self) or repr(other) != repr(self):
            raise TypeError(f"{self!r}.merge: takes a metric of the same class and options, got {other!r}")
        if other._state is not None:
            theirs = {key: list(kept) if isinstance(kept, list) else kept for key, kept in other._state.items()}
            self._state = theirs if self._state is None else self.join(self._state, theirs)

    def state_dict(self):
        """What was kept of all batches, for `corten.save`; empty after a `reset`."""
        kept = {} if self._state is None else self._state
        return {key: list(value) if isinstance(value, list) else value for key, value in kept.items()}

    def load_state_dict(self, state_dict):
        """Goes on from what `state_dict` gave."""
        copied = {key: list(value) if isinstance(value, list) else value for key, value in state_dict.items()}
        self._state = copied or None

    def to(self, device):
        """Moves what was kept to a device."""
        if self._state is not None:
            self._state = {key: _moved(value, device) for key, value in self._state.items()}
        return self

    def __repr__(self):
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{type(self).__name__}({options})"


def _moved(value, device):
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(item, device) for item in value)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    return value.to(device) if isinstance(value, corten.Tensor) else value


def _beside(value, other):
    """The value on the device of the other."""
    return value.to(other.device) if isinstance(value, corten.Tensor) and isinstance(other, corten.Tensor) else value


class Collected(Metric):
    """A metric that needs all samples at once: keeps its arguments and calls its function on all of them."""

    def check(self, *batch, **weights):
        """Raises what the function would raise for this batch alone."""

    def statistics(self, *batch, **weights):
        self.check(*batch, **weights)
        names = list(inspect.signature(type(self).function).parameters)
        given = {**dict(zip(names, batch)), **weights}
        return {name: [_detached(value)] for name, value in given.items() if value is not None}

    def join(self, one, other):
        if set(one) != set(other):
            raise ValueError(f"{type(self).__name__}: sample_weight is given with all batches or with none")
        return super().join(one, other)

    def value(self, statistics):
        return type(self).function(**{name: self.gather(parts) for name, parts in statistics.items()}, **self.options)

    def gather(self, parts):
        """One argument of all batches as one."""
        return corten.cat([part.to(parts[0].device) for part in parts])


def _detached(value):
    return value.detach() if isinstance(value, corten.Tensor) else value


class Mean(Metric):
    """The mean of numbers or tensors, such as losses; ``update(value, weight=1)`` weighs all elements of a batch alike.

    Example::

        >>> loss = corten.metrics.Mean()
        >>> loss.update(2.0, weight=3)
        >>> loss.update(corten.tensor([4.0]))
        >>> loss.compute().item()
        2.5
    """

    def statistics(self, value, weight=1.0):
        from ._checks import wide

        value = wide(corten.as_tensor(value).detach())
        weight = wide(corten.as_tensor(weight, device=value.device)).expand_as(value)
        return {"sum": (value * weight).sum(), "weight": weight.sum()}

    def value(self, statistics):
        return statistics["sum"] / statistics["weight"]


class MetricCollection:
    """Several metrics of the same arguments, by name.

    Args:
        metrics: a dict of metrics.

    Example::

        >>> both = corten.metrics.MetricCollection({"accuracy": corten.metrics.Accuracy(), "f1": corten.metrics.F1()})
        >>> both.update(corten.tensor([0, 1]), corten.tensor([0, 1]))
        >>> sorted(both.compute())
        ['accuracy', 'f1']
    """

    def __init__(self, metrics):
        wrong = [name for name, metric in metrics.items() if not hasattr(metric, "update")]
        if wrong:
            raise TypeError(f"MetricCollection: takes metrics by name; {', '.join(map(repr, wrong))} is none")
        self.metrics = dict(metrics)

    def update(self, *batch, **weights):
        """Adds a batch to every metric."""
        for metric in self.metrics.values():
            metric.update(*batch, **weights)

    def compute(self):
        """The value of every metric, by name."""
        return {name: metric.compute() for name, metric in self.metrics.items()}

    def reset(self):
        """Every metric forgets its batches."""
        for metric in self.metrics.values():
            metric.reset()

    def merge(self, other):
        """Adds the batches of a collection with the same metrics.

        Raises:
            TypeError: the names differ.
        """
        if not isinstance(other, MetricCollection) or list(other.metrics) != list(self.metrics):
            raise TypeError("MetricCollection.merge: takes a collection with the same names")
        for name, metric in self.metrics.items():
            metric.merge(other.metrics[name])

    def to(self, device):
        """Moves what every metric kept to a device."""
        for metric in self.metrics.values():
            metric.to(device)
        return self

    def state_dict(self):
        """What every metric kept, by name."""
        return {name: metric.state_dict() for name, metric in self.metrics.items()}

    def load_state_dict(self, state_dict):
        """Goes on from what `state_dict` gave.

        Raises:
            KeyError: a metric is missing.
        """
        for name, metric in self.metrics.items():
            metric.load_state_dict(state_dict[name])

    def __getitem__(self, name):
        return self.metrics[name]

    def __repr__(self):
        return f"MetricCollection({self.metrics!r})"
