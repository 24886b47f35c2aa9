"""What layers with adapters compute; an ordinary layer becomes one of these when it gets an adapter.

The weight stays under its name, so that state dicts of the layer without adapter still fit; the factors are beside it
as `lora_A…` and `lora_B…`, scaled by `lora_scaling`.
"""

import math

import corten

from .. import nn
from ..nn import functional as F
from ..nn import init
from ..nn.modules.linear import NonDynamicallyQuantizableLinear

__all__ = [
    "Adapted",
    "LoraConv1d",
    "LoraConv2d",
    "LoraConv3d",
    "LoraEmbedding",
    "LoraLinear",
    "LoraMultiheadAttention",
    "LoraProjection",
    "adapted_class",
]


class Adapted(nn.Module):
    """What all layers with adapters have in common."""

    lora_rank: int
    lora_scaling: float
    lora_dropout: float
    lora_merged: bool

    def lora_start(self, rank, alpha, dropout, projections):
        """Adds the factors to a layer that has just become one of this class; the sum is what it was before."""
        self.lora_rank, self.lora_scaling, self.lora_dropout = rank, alpha / rank, dropout
        self.lora_merged = False
        self.lora_make(rank, projections)

    def lora_make(self, rank, projections):
        """Makes the factors."""
        raise NotImplementedError

    def lora_deltas(self):
        """What the adapter adds to each weight, by the weight's name; without dropout."""
        raise NotImplementedError

    def lora_pair(self, suffix, first, second, like):
        """Factors `lora_A` of shape `first`, drawn as a layer's weight is, and `lora_B` of shape `second`, zero."""
        options = {"device": like.device, "dtype": like.dtype}
        lower = nn.Parameter(corten.empty(first, **options))
        init.kaiming_uniform_(lower, a=math.sqrt(5))
        self.register_parameter("lora_A" + suffix, lower)
        self.register_parameter("lora_B" + suffix, nn.Parameter(corten.zeros(second, **options)))

    def lora_add(self, sign):
        """Adds the adapter to the weights, or takes it from them, in place."""
        with corten.no_grad():
            for name, delta in self.lora_deltas().items():
                self._parameters[name].add_(delta, alpha=sign)

    def lora_names(self):
        """The names of the factors."""
        return [name for name in self._parameters if name.startswith("lora_")]

    def _dropped(self, input):
        if not self.training or not self.lora_dropout:
            return input
        return F.dropout(input, self.lora_dropout)

    def extra_repr(self):
        return f"{super().extra_repr()}, lora_rank={self.lora_rank}".removeprefix(", ")


class LoraLinear(Adapted, nn.Linear):
    """`x W^T + b + scaling (dropout(x) A^T) B^T`, with A `(rank, in_features)` and B `(out_features, rank)`."""

    def lora_make(self, rank, projections):
        self.lora_pair("", (rank, self.in_features), (self.out_features, rank), self.weight)

    def lora_deltas(self):
        return {"weight": self.lora_scaling * (self.lora_B @ self.lora_A)}

    def forward(self, input):
        """Maps ``(*, in_features)`` to ``(*, out_features)``."""
        result = F.linear(input, self.weight, self.bias)
        if self.lora_merged:
            return result
        low = F.linear(self._dropped(input), self.lora_A)
        return result + self.lora_scaling * F.linear(low, self.lora_B)


class _LoraConvNd(Adapted):
    """A convolution to `rank` channels for each group, as the layer's own is, and one of 1 behind it."""

    def lora_make(self, rank, projections):
        ones = (1,) * len(self.kernel_size)
        first = (self.groups * rank, self.in_channels // self.groups, *self.kernel_size)
        self.lora_pair("", first, (self.out_channels, rank, *ones), self.weight)

    def lora_deltas(self):
        groups, rank = self.groups, self.lora_rank
        lower = self.lora_A.reshape(groups, rank, -1)
        upper = self.lora_B.reshape(groups, self.out_channels // groups, rank)
        return {"weight": self.lora_scaling * (upper @ lower).reshape(self.weight.shape)}

    def forward(self, input):
        """Returns the convolution of ``input``."""
        result = self._conv_forward(input, self.weight, self.bias)
        if self.lora_merged:
            return result
        low = self._conv_forward(self._dropped(input), self.lora_A, None)
        convolve = (F.conv1d, F.conv2d, F.conv3d)[len(self.kernel_size) - 1]
        return result + self.lora_scaling * convolve(low, self.lora_B, groups=self.groups)


class LoraConv1d(_LoraConvNd, nn.Conv1d):
    """`Conv1d` with an adapter of two convolutions."""


class LoraConv2d(_LoraConvNd, nn.Conv2d):
    """`Conv2d` with an adapter of two: A `(groups * rank, C_in / groups, kH, kW)`, B `(C_out, rank, 1, 1)`."""


class LoraConv3d(_LoraConvNd, nn.Conv3d):
    """`Conv3d` with an adapter of two convolutions."""


class LoraEmbedding(Adapted, nn.Embedding):
    """Rows of `W + scaling (B A)^T`, with A `(rank, num_embeddings)`, zero at first, and B `(embedding_dim, rank)`."""

    def lora_make(self, rank, projections):
        if self.max_norm is not None:
            raise ValueError("lora: an Embedding with max_norm changes its weights itself and takes no adapter")
        self.lora_pair("", (rank, self.num_embeddings), (self.embedding_dim, rank), self.weight)
        init.zeros_(self.lora_A)
        init.normal_(self.lora_B)

    def lora_deltas(self):
        return {"weight": self.lora_scaling * (self.lora_B @ self.lora_A).T}

    def forward(self, input):
        """Returns the rows named by ``input``."""
        result = super().forward(input)
        if self.lora_merged:
            return result
        low = F.embedding(input, self.lora_A.T, self.padding_idx, scale_grad_by_freq=self.scale_grad_by_freq)
        return result + self.lora_scaling * F.linear(self._dropped(low), self.lora_B)


class _OfWeights(Adapted):
    """A layer whose weights are read by others: the attributes are the sums, and dropout drops columns of A."""

    def _columns_dropped(self, lower):
        if not self.training or not self.lora_dropout:
            return lower
        return lower * F.dropout(corten.ones_like(lower[:1]), self.lora_dropout)

    def _product(self, suffix):
        lower = self._columns_dropped(getattr(self, "lora_A" + suffix))
        return self.lora_scaling * (getattr(self, "lora_B" + suffix) @ lower)

    def _sum(self, name):
        weight = self._parameters[name]
        # While the class is only just becoming this one there are no factors yet.
        if weight is None or self.__dict__.get("lora_merged", True):
            return weight
        return weight + self.lora_products()[name]

    def lora_products(self):
        """`lora_deltas`, with dropout while training."""
        raise NotImplementedError

    def lora_deltas(self):
        was_training = self.training
        self.training = False
        try:
            return self.lora_products()
        finally:
            self.training = was_training


class LoraProjection(_OfWeights, NonDynamicallyQuantizableLinear):
    """The output projection of attention, whose `weight` attention reads."""

    weight = property(lambda self: self._sum("weight"), doc="The weight with the adapter.")

    def lora_make(self, rank, projections):
        weight = self._parameters["weight"]
        self.lora_pair("", (rank, self.in_features), (self.out_features, rank), weight)

    def lora_products(self):
        return {"weight": self._product("")}


class LoraMultiheadAttention(_OfWeights, nn.MultiheadAttention):
    """Attention whose projections of queries, keys and values have factors `lora_A_q`, `lora_B_q` and so on."""

    in_proj_weight = property(lambda self: self._sum("in_proj_weight"), doc="The joint weight with the adapters.")
    q_proj_weight = property(lambda self: self._sum("q_proj_weight"), doc="The queries' weight with the adapter.")
    k_proj_weight = property(lambda self: self._sum("k_proj_weight"), doc="The keys' weight with the adapter.")
    v_proj_weight = property(lambda self: self._sum("v_proj_weight"), doc="The values' weight with the adapter.")

    def lora_make(self, rank, projections):
        self.lora_projections = projections
        sizes = {"q": self.embed_dim, "k": self.kdim, "v": self.vdim}
        like = self._parameters["in_proj_weight" if self._qkv_same_embed_dim else "q_proj_weight"]
        for letter in projections:
            self.lora_pair(f"_{letter}", (rank, sizes[letter]), (self.embed_dim, rank), like)

    def lora_products(self):
        parts = {letter: self._product(f"_{letter}") for letter in self.lora_projections}
        if not self._qkv_same_embed_dim:
            return {f"{letter}_proj_weight": part for letter, part in parts.items()} | {
                f"{letter}_proj_weight": corten.zeros_like(self._parameters[f"{letter}_proj_weight"])
                for letter in "qkv"
                if letter not in parts
            }
        nothing = corten.zeros_like(self._parameters["in_proj_weight"][: self.embed_dim])
        return {"in_proj_weight": corten.cat([parts.get(letter, nothing) for letter in "qkv"])}


_CLASSES = {
    nn.Linear: LoraLinear,
    nn.Conv1d: LoraConv1d,
    nn.Conv2d: LoraConv2d,
    nn.Conv3d: LoraConv3d,
    nn.Embedding: LoraEmbedding,
    nn.MultiheadAttention: LoraMultiheadAttention,
    NonDynamicallyQuantizableLinear: LoraProjection,
}


def adapted_class(module):
    """The class that `module` becomes with an adapter, or None where there is none for it."""
    return _CLASSES.get(type(module))


def plain_class(module):
    """The class that an adapted module had before."""
    return next(plain for plain, adapted in _CLASSES.items() if adapted is type(module))
