"""Transforms of transforms."""

from collections.abc import Sequence

import corten
from corten import nn

from .._draws import happens
from ._transform import Transform


class Compose(Transform):
    """Transforms one after the other.

    Args:
        transforms: the sequence of them.

    Raises:
        TypeError: no sequence.
        ValueError: an empty one.
    """

    def __init__(self, transforms):
        super().__init__()
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence of callables")
        if not transforms:
            raise ValueError("Pass at least one transform")
        self.transforms = transforms

    def forward(self, *inputs):
        """The inputs, changed by all."""
        return in_a_row(self.transforms, inputs)

    def extra_repr(self):
        """A line for each transform."""
        return "\n".join(f"    {transform}" for transform in self.transforms)


def in_a_row(transforms, inputs):
    """The inputs, changed by one after the other."""
    outputs = inputs if len(inputs) > 1 else inputs[0]
    for transform in transforms:
        outputs = transform(*inputs)
        inputs = outputs if len(inputs) > 1 else (outputs,)
    return outputs


class RandomApply(Transform):
    """Transforms one after the other, all of them with probability ``p``.

    Args:
        transforms: a sequence, or a `nn.ModuleList`.
        p: the probability.

    Raises:
        TypeError: no sequence.
        ValueError: no probability.
    """

    def __init__(self, transforms, p=0.5):
        super().__init__()
        if not isinstance(transforms, (Sequence, nn.ModuleList)):
            raise TypeError("Argument transforms should be a sequence of callables or a `nn.ModuleList`")
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.transforms = transforms
        self.p = p

    def forward(self, *inputs):
        """The inputs, changed by all or by none."""
        if not happens(self.p):
            return inputs if len(inputs) > 1 else inputs[0]
        return in_a_row(self.transforms, inputs)

    def extra_repr(self):
        """A line for each transform."""
        return "\n".join(f"    {transform}" for transform in self.transforms)


class RandomChoice(Transform):
    """One of the transforms.

    Args:
        transforms: a sequence.
        p: a weight for each; None for equal ones.

    Raises:
        TypeError: no sequence.
        ValueError: weights of another number.
    """

    def __init__(self, transforms, p=None):
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence of callables")
        p = [1] * len(transforms) if p is None else p
        if len(p) != len(transforms):
            raise ValueError(f"Length of p doesn't match the number of transforms: {len(p)} != {len(transforms)}")
        super().__init__()
        self.transforms = transforms
        self.p = [weight / sum(p) for weight in p]

    def forward(self, *inputs):
        """The inputs, changed by the one that is drawn."""
        number = int(corten.multinomial(corten.tensor(self.p, device="cpu"), 1))
        return self.transforms[number](*inputs)


class RandomOrder(Transform):
    """The transforms in a random order.

    Args:
        transforms: a sequence.

    Raises:
        TypeError: no sequence.
    """

    def __init__(self, transforms):
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence of callables")
        super().__init__()
        self.transforms = transforms

    def forward(self, *inputs):
        """The inputs, changed by all."""
        order = corten.randperm(len(self.transforms), device="cpu").tolist()
        return in_a_row([self.transforms[number] for number in order], inputs)
