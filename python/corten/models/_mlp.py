"""Linear maps with ReLU between them, which several families build on."""

import itertools

from .. import nn


def mlp(sizes, last_activation=False):
    """Features ``(…, sizes[0])`` to ``(…, sizes[-1])``; ReLU stands between the maps and, if asked for, behind."""
    layers = [part for i, o in itertools.pairwise(sizes) for part in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*(layers if last_activation else layers[:-1]))
