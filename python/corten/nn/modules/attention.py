"""MultiheadAttention: the module that holds the projections of multi-head attention."""

import corten

from .. import functional as F
from ..init import constant_, xavier_normal_, xavier_uniform_
from ..parameter import Parameter
from .linear import NonDynamicallyQuantizableLinear
from .module import Module


class MultiheadAttention(Module):
    """Attends from queries to keys and values with several heads (Vaswani et al. 2017).

    Args:
        embed_dim: size E of queries and of the output; each head has ``embed_dim / num_heads``.
        num_heads: the number of heads.
        dropout: probability of dropping an attention weight.
        bias: whether the projections have biases.
        add_bias_kv: append a learned position to keys and values.
        add_zero_attn: append a position of zeros to keys and values.
        kdim, vdim: sizes of keys and values; E by default.
        batch_first: inputs are ``(N, L, E)`` instead of ``(L, N, E)``.
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        add_bias_kv=False,
        add_zero_attn=False,
        kdim=None,
        vdim=None,
        batch_first=False,
        device=None,
        dtype=None,
    ):
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} "
                "instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = kdim if kdim is not None else embed_dim
        self.vdim = vdim if vdim is not None else embed_dim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        options = {"device": device, "dtype": dtype}
        if self._qkv_same_embed_dim:
            self.in_proj_weight = Parameter(corten.empty((3 * embed_dim, embed_dim), **options))
            for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
                self.register_parameter(name, None)
        else:
            self.q_proj_weight = Parameter(corten.empty((embed_dim, embed_dim), **options))
            self.k_proj_weight = Parameter(corten.empty((embed_dim, self.kdim), **options))
            self.v_proj_weight = Parameter(corten.empty((embed_dim, self.vdim), **options))
            self.register_parameter("in_proj_weight", None)
        if bias:
            self.in_proj_bias = Parameter(corten.empty(3 * embed_dim, **options))
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **options)
        if add_bias_kv:
            self.bias_k = Parameter(corten.empty((1, 1, embed_dim), **options))
            self.bias_v = Parameter(corten.empty((1, 1, embed_dim), **options))
        else:
            self.bias_k = self.bias_v = None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self):
        if self._qkv_same_embed_dim:
            xavier_uniform_(self.in_proj_weight)
        else:
            xavier_uniform_(self.q_proj_weight)
            xavier_uniform_(self.k_proj_weight)
            xavier_uniform_(self.v_proj_weight)
        if self.in_proj_bias is not None:
            constant_(self.in_proj_bias, 0.0)
            constant_(self.out_proj.bias, 0.0)
        if self.bias_k is not None:
            xavier_normal_(self.bias_k)
        if self.bias_v is not None:
            xavier_normal_(self.bias_v)

    def __setstate__(self, state):
        # Checkpoints from before keys and values could have sizes of their own.
        state.setdefault("_qkv_same_embed_dim", True)
        super().__setstate__(state)

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    ):
        """Attends.

        Args:
            query: ``(L, N, E)``, ``(N, L, E)`` with ``batch_first``, or ``(L, E)``.
            key, value: the same with S positions and sizes ``kdim`` and ``vdim``.
            key_padding_mask: ``(N, S)``; True, or -inf, hides a key.
            need_weights: also return the attention weights; without them attention is faster.
            attn_mask: ``(L, S)`` or ``(N * num_heads, L, S)``; True, or -inf, hides a pair.
            average_attn_weights: average the weights over the heads.
            is_causal: ``attn_mask`` is the causal mask.

        Returns:
            The output, shaped as ``query``, and the weights ``(N, L, S)``, ``(N, num_heads, L, S)`` or None.
        """
        swap = self.batch_first and query.dim() == 3
        if swap:
            query, key, value = _transpose_together(query, key, value)
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (output.transpose(1, 0) if swap else output), weights

    def merge_masks(self, attn_mask, key_padding_mask, query):
        """Both masks as one that is added to the attention's weights, and its kind.

        Args:
            attn_mask: ``(L, S)`` or ``(N * num_heads, L, S)``, or None.
            key_padding_mask: ``(N, S)``, or None.
            query: ``(N, L, E)``.

        Returns:
            None and None; the padding's mask and 1; or ``(N, num_heads, L, S)`` and 2.
        """
        if attn_mask is None:
            return (None, None) if key_padding_mask is None else (key_padding_mask, 1)
        batch, length, _ = query.shape
        if attn_mask.dim() == 3:
            merged = attn_mask.view(batch, -1, length, attn_mask.shape[-1])
        else:
            merged = attn_mask.view(1, 1, *attn_mask.shape[-2:]).expand(batch, self.num_heads, -1, -1)
        if key_padding_mask is not None:
            padding = key_padding_mask.view(batch, 1, 1, -1).expand(-1, self.num_heads, -1, -1)
            merged = merged + padding
        return merged, 2


def _transpose_together(query, key, value):
    """Swaps batch and length, keeping equal arguments equal: equal ones are projected in one product."""
    swapped = {}
    for tensor in (query, key, value):
        if id(tensor) not in swapped:
            swapped[id(tensor)] = tensor.transpose(1, 0) if tensor.dim() > 1 else tensor
    return swapped[id(query)], swapped[id(key)], swapped[id(value)]
