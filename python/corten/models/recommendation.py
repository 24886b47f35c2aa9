"""Recommendation: matrix factorisation, NeuMF, two towers and DLRM."""

import itertools

import corten

from .. import nn
from ..nn import functional as F
from ._mlp import mlp

__all__ = ["DLRM", "MatrixFactorization", "NeuMF", "TwoTower", "in_batch_softmax"]


class MatrixFactorization(nn.Module):
    """Users ``(N,)`` and items ``(N,)`` to ratings ``(N,)``: ``mean + b_u + b_i + p_u · q_i`` (Koren et al. 2009).

    Args:
        users, items: how many there are.
        factors: the length of the vectors p and q.
        mean: the mean of the known ratings.
    """

    def __init__(self, users, items, factors=32, mean=0.0):
        super().__init__()
        self.user, self.item = nn.Embedding(users, factors), nn.Embedding(items, factors)
        self.user_bias, self.item_bias = nn.Embedding(users, 1), nn.Embedding(items, 1)
        self.register_buffer("mean", corten.tensor(float(mean)))
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=0.05)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)

    def forward(self, users, items):
        product = (self.user(users) * self.item(items)).sum(-1)
        return self.mean + self.user_bias(users).squeeze(-1) + self.item_bias(items).squeeze(-1) + product


class NeuMF(nn.Module):
    """Users ``(N,)`` and items ``(N,)`` to logits of interest ``(N,)`` (He et al., arXiv:1708.05031).

    The product of two vectors and a network on two others, read by one linear map.

    Args:
        users, items: how many there are.
        factors: the length of the vectors that are multiplied.
        layers: widths of the network; the first one is that of both its vectors together.
        dropout: between the layers.
    """

    def __init__(self, users, items, factors=16, layers=(64, 32, 16), dropout=0.0):
        super().__init__()
        self.user_product, self.item_product = nn.Embedding(users, factors), nn.Embedding(items, factors)
        self.user_network, self.item_network = (nn.Embedding(count, layers[0] // 2) for count in (users, items))
        self.network = nn.Sequential(
            *(
                part
                for inputs, outputs in itertools.pairwise(layers)
                for part in (nn.Dropout(dropout), nn.Linear(inputs, outputs), nn.ReLU())
            )
        )
        self.output = nn.Linear(factors + layers[-1], 1)
        for table in (self.user_product, self.item_product, self.user_network, self.item_network):
            nn.init.normal_(table.weight, std=0.01)

    def forward(self, users, items):
        product = self.user_product(users) * self.item_product(items)
        network = self.network(corten.cat([self.user_network(users), self.item_network(items)], dim=-1))
        return self.output(corten.cat([product, network], dim=-1)).squeeze(-1)


class Tower(nn.Module):
    """Something with a number, and maybe with features, to a unit vector ``(N, dim)``."""

    def __init__(self, count, features, embedding, hidden, dim):
        super().__init__()
        self.embedding = nn.Embedding(count, embedding)
        self.net = mlp([embedding + features, *hidden, dim])
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)

    def forward(self, number, features=None):
        x = self.embedding(number)
        return F.normalize(self.net(x if features is None else corten.cat([x, features], dim=-1)), dim=-1)


class TwoTower(nn.Module):
    """Users and items to logits of every user with every item ``(users, items)`` (Yi et al. 2019, RecSys).

    The vectors of items can be kept, so that the nearest of millions are found.

    Args:
        users, items: how many there are.
        user_features, item_features: numbers that are known of each.
        embedding, hidden, dim: the length of the learned vectors, widths of the layers, the length of what they give.
        temperature: the logits are cosines divided by it.
    """

    def __init__(
        self,
        users,
        items,
        user_features=0,
        item_features=0,
        embedding=32,
        hidden=(64,),
        dim=32,
        temperature=0.1,
    ):
        super().__init__()
        self.temperature = temperature
        self.user = Tower(users, user_features, embedding, hidden, dim)
        self.item = Tower(items, item_features, embedding, hidden, dim)

    def forward(self, users, items, user_features=None, item_features=None):
        return self.user(users, user_features) @ self.item(items, item_features).T / self.temperature


def in_batch_softmax(logits, items, frequency=None):
    """Cross entropy of each user's item against the other items of the batch.

    Args:
        logits: ``(N, N)`` of a batch of pairs; those that belong together stand on the diagonal.
        items: ``(N,)``; an item that occurs again is no wrong answer and is left out.
        frequency: how often each of them is met, ``(N,)``; its logarithm is taken off, since popular items are wrong
            answers more often than they should be (Yi et al. 2019, equation 3).
    """
    if frequency is not None:
        logits = logits - frequency.log()
    target = corten.arange(len(items), device=logits.device)
    same = (items[:, None] == items) & (target[:, None] != target)
    return F.cross_entropy(logits.masked_fill(same, float("-inf")), target)


class DLRM(nn.Module):
    """Numbers ``(N, dense)`` and categories ``(N, K)`` to logits of a click ``(N,)`` (Naumov et al., arXiv:1906.00091).

    Args:
        dense: how many numbers there are.
        cardinalities: how many values each of the K categories has.
        embedding: the length of their vectors, and of what ``bottom`` gives.
        bottom, top: widths of the layers before and after the products of all pairs of vectors.
    """

    def __init__(self, dense, cardinalities, embedding=16, bottom=(64, 32), top=(64, 32)):
        super().__init__()
        self.bottom = mlp([dense, *bottom, embedding], last_activation=True)
        self.tables = nn.ModuleList([nn.Embedding(count, embedding) for count in cardinalities])
        vectors = len(self.tables) + 1
        self.register_buffer("pairs", corten.tril_indices(vectors, vectors, -1), persistent=False)
        self.top = mlp([embedding + vectors * (vectors - 1) // 2, *top, 1])
        for table in self.tables:
            bound = table.num_embeddings**-0.5
            nn.init.uniform_(table.weight, -bound, bound)

    def forward(self, dense, categories):
        if categories.ndim != 2 or categories.shape[1] != len(self.tables):
            raise ValueError(f"DLRM: categories must be (N, {len(self.tables)}), got {tuple(categories.shape)}")
        x = self.bottom(dense)
        vectors = corten.stack([x, *(table(c) for table, c in zip(self.tables, categories.unbind(1)))], dim=1)
        products = vectors @ vectors.transpose(1, 2)
        first, second = self.pairs
        return self.top(corten.cat([x, products[:, first, second]], dim=1)).squeeze(1)
