"""Where attention looks: the weights of every layer, and how they mix through the depth of a network."""

import contextlib

import corten
from corten import nn

__all__ = ["attention_rollout", "record_attention"]

_FUSIONS = {"mean": lambda a: a.mean(1), "max": lambda a: a.amax(1), "min": lambda a: a.amin(1)}


def attention_rollout(attentions, head_fusion="mean", residual=0.5, discard_ratio=0.0):
    """How much each position of the last layer draws from each input position (Abnar & Zuidema 2020).

    Each layer is taken for a mix of what it attends to and of itself, by its residual connection; the mixes of all
    layers are multiplied.

    Args:
        attentions: the weights of each layer from the first to the last, ``(N, heads, T, T)`` or ``(N, T, T)``; rows
            are queries and sum to 1.
        head_fusion: ``"mean"``, ``"max"`` or ``"min"`` over heads.
        residual: the share of the residual connection.
        discard_ratio: the share of the smallest weights of each row that become 0.

    Returns:
        ``(N, T, T)``; rows sum to 1.

    Raises:
        ValueError: no layers, shapes that differ, or shares outside [0, 1).

    Example::

        >>> swap = corten.tensor([[[0.0, 1.0], [1.0, 0.0]]])
        >>> corten.explain.attention_rollout([swap, swap]).tolist()
        [[[0.5, 0.5], [0.5, 0.5]]]
    """
    if head_fusion not in _FUSIONS:
        raise ValueError(f"attention_rollout: head_fusion is mean, max or min, got {head_fusion!r}")
    if not 0 <= residual < 1 or not 0 <= discard_ratio < 1:
        raise ValueError(f"attention_rollout: shares lie in [0, 1), got {residual} and {discard_ratio}")
    attentions = list(attentions)
    if not attentions:
        raise ValueError("attention_rollout: needs the weights of at least one layer")
    shapes = {(tuple(a.shape[:1]), tuple(a.shape[-2:])) for a in attentions}
    if len(shapes) > 1 or any(a.dim() not in (3, 4) or a.shape[-1] != a.shape[-2] for a in attentions):
        found = [tuple(a.shape) for a in attentions]
        raise ValueError(f"attention_rollout: weights have shape (N, heads, T, T) or (N, T, T), got {found}")
    with corten.no_grad():
        rollout = None
        for weights in attentions:
            fused = _FUSIONS[head_fusion](weights.detach()) if weights.dim() == 4 else weights.detach()
            dropped = int(discard_ratio * fused.shape[-1])
            if dropped:
                smallest = fused.topk(dropped, -1, largest=False).indices
                fused = fused.scatter(-1, smallest, corten.zeros_like(smallest, dtype=fused.dtype))
            eye = corten.eye(fused.shape[-1], dtype=fused.dtype, device=fused.device)
            mixed = (1 - residual) * fused / fused.sum(-1, keepdim=True).clamp(min=1e-12) + residual * eye
            mixed = mixed / mixed.sum(-1, keepdim=True)
            rollout = mixed if rollout is None else mixed @ rollout
        return rollout


@contextlib.contextmanager
def record_attention(model):
    """Inside, the weights of every ``nn.MultiheadAttention`` of a model are written to the list that it yields.

    Weights are ``(N, heads, T, S)``, in the order in which the layers run, and asked for where a caller would leave
    them out. What the layers return to their callers stays the same.

    Example::

        >>> layer = corten.nn.MultiheadAttention(8, 2, batch_first=True)
        >>> x = corten.randn(1, 5, 8)
        >>> with corten.explain.record_attention(layer) as attentions:
        ...     _ = layer(x, x, x, need_weights=False)
        >>> attentions[0].shape
        corten.Size([1, 2, 5, 5])
    """
    layers = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    if not layers:
        raise ValueError("record_attention: the model has no nn.MultiheadAttention")
    recorded, wishes = [], []

    def before(module, arguments, options):
        # The positions of need_weights and average_attn_weights behind query, key and value.
        named = dict(zip(("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask"), arguments))
        named.update(options)
        wishes.append((named.get("need_weights", True), named.get("average_attn_weights", True)))
        return (), {**named, "need_weights": True, "average_attn_weights": False}

    def after(module, arguments, output):
        values, weights = output
        recorded.append((weights if weights.dim() == 4 else weights[None]).detach())
        wanted, averaged = wishes.pop()
        if not wanted:
            return values, None
        return values, weights.mean(-3) if averaged else weights

    handles = []
    try:
        for layer in layers:
            handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(layer.register_forward_hook(after))
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
