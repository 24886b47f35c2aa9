"""What the suites of `corten.compile` share."""

import corten
from corten import nn


class Counter:
    """A compiled function and how often Python ran it."""

    def __init__(self, function, **options):
        self.calls = []
        calls = self.calls

        def counted(*args, **kwargs):
            calls.append(1)
            return function(*args, **kwargs)

        self.function = corten.compile(counted, **options)

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)

    @property
    def runs(self):
        return len(self.calls)


def ones(*shape, **options):
    return corten.ones(shape, **options)


def network(seed=0, dropout=0.2):
    corten.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 4))


def step_with_closure():
    """A step of training whose optimizer evaluates the loss itself."""
    w = ones(2, requires_grad=True)
    optimizer = corten.optim.LBFGS([w], lr=0.1)

    def step(x):
        def closure():
            optimizer.zero_grad()
            loss = (w * x).square().sum()
            loss.backward()
            return loss

        return optimizer.step(closure)

    return step
