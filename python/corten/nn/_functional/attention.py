"""Multi-head attention as one function (Vaswani et al. 2017)."""

import math
import warnings

import corten

from ... import _ops
from ...overrides import hand_over, taken, takes_over


def _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads):
    """Checks ranks; returns whether the inputs are batched."""
    if query.dim() not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query tensor"
        )
    batched = query.dim() == 3
    rank, kind = query.dim(), "batched (3-D)" if batched else "unbatched (2-D)"
    if key.dim() != rank or value.dim() != rank:
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {rank}-D but found {key.dim()}-D and "
            f"{value.dim()}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != rank - 1:
        raise AssertionError(
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {rank - 1}-D but found "
            f"{key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(
                f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D "
                "tensor instead"
            )
        if not batched and attn_mask.dim() == 3:
            expected = (num_heads, query.shape[0], key.shape[0])
            if tuple(attn_mask.shape) != expected:
                raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return batched


def _canonical_mask(mask, name, other_dtype, other_name, dtype, check_other=True):
    """A boolean mask (True hides) as a mask to be added: 0 or -inf, in ``dtype``."""
    if mask is None:
        return None
    if mask.dtype != corten.bool and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if check_other and other_dtype is not None and mask.dtype != other_dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=4,
        )
    if mask.dtype == corten.bool:
        return corten.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(mask, float("-inf"))
    return mask


def _in_projection_packed(query, key, value, weight, bias=None):
    """Projects q, k and v by the three stacked blocks of ``weight`` ``(3 E, E)``, in as few products as possible."""
    embed = query.shape[-1]
    if key is value:
        if query is key:
            return _ops.linear(query, weight, bias).chunk(3, -1)
        q_weight, kv_weight = weight.split([embed, 2 * embed])
        q_bias, kv_bias = (None, None) if bias is None else bias.split([embed, 2 * embed])
        k, v = _ops.linear(key, kv_weight, kv_bias).chunk(2, -1)
        return _ops.linear(query, q_weight, q_bias), k, v
    q_weight, k_weight, v_weight = weight.chunk(3)
    q_bias, k_bias, v_bias = (None, None, None) if bias is None else bias.chunk(3)
    return (
        _ops.linear(query, q_weight, q_bias),
        _ops.linear(key, k_weight, k_bias),
        _ops.linear(value, v_weight, v_bias),
    )


def _project_separate(query, key, value, q_weight, k_weight, v_weight, bias):
    q_bias, k_bias, v_bias = (None, None, None) if bias is None else bias.chunk(3)
    for name, weight in (("q_proj_weight", q_weight), ("k_proj_weight", k_weight), ("v_proj_weight", v_weight)):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name} is None")
    return (
        _ops.linear(query, q_weight, q_bias),
        _ops.linear(key, k_weight, k_bias),
        _ops.linear(value, v_weight, v_bias),
    )


def _split_heads(x, rows, head_dim):
    """``(L, N, heads * head_dim)`` to ``(N * heads, L, head_dim)``."""
    return x.reshape(x.shape[0], rows, head_dim).transpose(0, 1)


def _expand_attn_mask(attn_mask, target_len, source_len, rows):
    if attn_mask is None:
        return None
    if attn_mask.dim() == 2:
        if tuple(attn_mask.shape) != (target_len, source_len):
            raise RuntimeError(
                f"The shape of the 2D attn_mask is {attn_mask.shape}, but should be {(target_len, source_len)}."
            )
        return attn_mask.unsqueeze(0)
    if tuple(attn_mask.shape) != (rows, target_len, source_len):
        raise RuntimeError(
            f"The shape of the 3D attn_mask is {attn_mask.shape}, but should be {(rows, target_len, source_len)}."
        )
    return attn_mask


def _check_static(name, tensor, rows, head_dim):
    if tensor.shape[0] != rows:
        raise AssertionError(f"expecting {name}.size(0) of {rows}, but got {tensor.shape[0]}")
    if tensor.shape[2] != head_dim:
        raise AssertionError(f"expecting {name}.size(2) of {head_dim}, but got {tensor.shape[2]}")
    return tensor


def multi_head_attention_forward(
    query,
    key,
    value,
    embed_dim_to_check,
    num_heads,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn,
    dropout_p,
    out_proj_weight,
    out_proj_bias,
    training=True,
    key_padding_mask=None,
    need_weights=True,
    attn_mask=None,
    use_separate_proj_weight=False,
    q_proj_weight=None,
    k_proj_weight=None,
    v_proj_weight=None,
    static_k=None,
    static_v=None,
    average_attn_weights=True,
    is_causal=False,
):
    """Attends with ``num_heads`` heads; the arguments are those that :class:`nn.MultiheadAttention` holds.

    Args:
        query: ``(L, N, E)`` or ``(L, E)``.
        key: ``(S, N, kE)`` or ``(S, kE)``; value alike.
        key_padding_mask: ``(N, S)`` or ``(S,)``; True, or -inf, hides a key.
        attn_mask: ``(L, S)`` or ``(N * num_heads, L, S)``; True, or -inf, hides a pair.
        need_weights: also return the attention weights.
        average_attn_weights: average the weights over the heads.
        is_causal: ``attn_mask`` is the causal mask.

    Returns:
        ``(L, N, E)`` and the weights ``(N, L, S)``, ``(N, num_heads, L, S)`` or None.
    """
    tensors = (query, key, value, in_proj_weight, in_proj_bias, bias_k, bias_v, out_proj_weight, out_proj_bias)
    if taken.over and takes_over(*tensors):
        return hand_over(multi_head_attention_forward, locals(), *tensors)
    batched = _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        same_kv, same_qk = key is value, query is key
        query = query.unsqueeze(1)
        key = query if same_qk else key.unsqueeze(1)
        value = key if same_kv else value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    target_len, batch, embed_dim = query.shape

    attn_mask, key_padding_mask, causal = _prepare_masks(
        attn_mask, key_padding_mask, query.dtype, is_causal, need_weights
    )
    if embed_dim != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed_dim}")
    head_dim = embed_dim // num_heads
    if head_dim * num_heads != embed_dim:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {num_heads}")
    _check_keys_match(key, value, use_separate_proj_weight)

    if use_separate_proj_weight:
        q, k, v = _project_separate(query, key, value, q_proj_weight, k_proj_weight, v_proj_weight, in_proj_bias)
    else:
        if in_proj_weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _in_projection_packed(query, key, value, in_proj_weight, in_proj_bias)

    rows = batch * num_heads
    masks = [_expand_attn_mask(attn_mask, target_len, key.shape[0], rows), key_padding_mask]
    if bias_k is not None or bias_v is not None:
        k, v, masks = _append_biases(k, v, masks, bias_k, bias_v, static_k, static_v)
    q = _split_heads(q, rows, head_dim)
    k = _split_heads(k, rows, head_dim) if static_k is None else _check_static("static_k", static_k, rows, head_dim)
    v = _split_heads(v, rows, head_dim) if static_v is None else _check_static("static_v", static_v, rows, head_dim)
    if add_zero_attn:
        zeros = k.new_zeros((rows, 1, head_dim))
        k, v, masks = corten.cat([k, zeros], 1), corten.cat([v, zeros], 1), _show_one_more(masks)
    mask = _merge_masks(*masks, batch, num_heads, k.shape[1])

    attend = _attend_with_weights if need_weights else _attend_fast
    output, weights = attend(q, k, v, mask, dropout_p if training else 0.0, num_heads, causal)
    output = _ops.linear(output, out_proj_weight, out_proj_bias)
    if weights is not None and average_attn_weights:
        weights = weights.mean(1)
    if not batched:
        output = output.squeeze(1)
        weights = None if weights is None else weights.squeeze(0)
    return output, weights


def _prepare_masks(attn_mask, key_padding_mask, dtype, is_causal, need_weights):
    """Both masks in additive form, and whether the causal kernel replaces ``attn_mask``."""
    mask_dtype = None if attn_mask is None else attn_mask.dtype
    key_padding_mask = _canonical_mask(key_padding_mask, "key_padding_mask", mask_dtype, "attn_mask", dtype)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    if is_causal and key_padding_mask is None and not need_weights:
        return None, None, True
    attn_mask = _canonical_mask(attn_mask, "attn_mask", None, "", dtype, check_other=False)
    return attn_mask, key_padding_mask, False


def _append_biases(k, v, masks, bias_k, bias_v, static_k, static_v):
    """Appends the learned position to keys and values ``(S, N, E)``; every query sees it."""
    if bias_k is None or bias_v is None:
        raise AssertionError("bias_k and bias_v must be given together")
    if static_k is not None or static_v is not None:
        raise AssertionError("bias cannot be added to static key or value.")
    k = corten.cat([k, bias_k.expand(1, k.shape[1], -1)])
    v = corten.cat([v, bias_v.expand(1, v.shape[1], -1)])
    return k, v, _show_one_more(masks)


def _show_one_more(masks):
    """Appends a visible column to every mask."""
    return [None if mask is None else _ops.pad(mask, (0, 1), "constant", 0.0) for mask in masks]


def _check_keys_match(key, value, separate):
    if separate:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
            )
    elif key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")


def _merge_masks(attn_mask, key_padding_mask, batch, num_heads, source_len):
    if key_padding_mask is None:
        return attn_mask
    if tuple(key_padding_mask.shape) != (batch, source_len):
        raise AssertionError(
            f"expecting key_padding_mask shape of {(batch, source_len)}, but got {key_padding_mask.shape}"
        )
    padding = key_padding_mask.reshape(batch, 1, 1, source_len).expand(-1, num_heads, -1, -1)
    padding = padding.reshape(batch * num_heads, 1, source_len)
    return padding if attn_mask is None else attn_mask + padding


def _attend_with_weights(q, k, v, mask, dropout_p, num_heads, causal):
    """Attention over ``(rows, L, head_dim)``; returns ``(L, N, E)`` and the weights ``(N, heads, L, S)``."""
    rows, length, head_dim = q.shape
    scores = (q * math.sqrt(1.0 / head_dim)) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores + mask
    weights = _ops.softmax(scores, -1)
    if dropout_p > 0.0:
        weights = _ops.dropout(weights, dropout_p, True)
    output = (weights @ v).transpose(0, 1).reshape(length, rows // num_heads, num_heads * head_dim)
    return output, weights.reshape(rows // num_heads, num_heads, length, -1)


def _attend_fast(q, k, v, mask, dropout_p, num_heads, causal):
    """As :func:`_attend_with_weights` through the fused kernel, which keeps no weights."""
    rows, length, head_dim = q.shape
    batch, source_len = rows // num_heads, k.shape[1]
    if mask is not None:
        mask = mask.unsqueeze(0) if mask.shape[0] == 1 else mask.reshape(batch, num_heads, -1, source_len)
    q = q.reshape(batch, num_heads, length, head_dim)
    k, v = (x.reshape(batch, num_heads, source_len, head_dim) for x in (k, v))
    output = _ops.scaled_dot_product_attention(q, k, v, mask, dropout_p, causal)
    return output.permute(2, 0, 1, 3).reshape(length, batch, num_heads * head_dim), None
