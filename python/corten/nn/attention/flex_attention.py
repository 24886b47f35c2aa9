"""Attention whose scores and mask are functions of places, written in Python (``torch.nn.attention.flex_attention``).

The functions run once for all places, by `vmap`, and all scores are computed; a `BlockMask` tells which matter.
"""

import math
from typing import NamedTuple

import corten

__all__ = [
    "AuxOutput",
    "AuxRequest",
    "BlockMask",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]

_DEFAULT_SPARSE_BLOCK_SIZE = 128
# Which arguments a level of `vmap` goes through: those of the batch, the head, the query, the key.
_PLACES = ((0, None, None, None), (None, 0, None, None), (None, None, 0, None), (None, None, None, 0))


class AuxRequest(NamedTuple):
    """What `flex_attention` returns too: the logarithm of the sum of exponentials, the greatest scores."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What was asked for by an `AuxRequest`, each ``(B, Hq, L)`` or None."""

    lse: corten.Tensor | None = None
    max_scores: corten.Tensor | None = None


def noop_mask(batch, head, token_q, token_kv):
    """The mask that keeps all scores."""
    return batch.new_ones((), dtype=corten.bool)


def and_masks(*mask_mods):
    """The mask that keeps what all of them keep."""
    _check_callable("and_masks", mask_mods)

    def mask(b, h, q_idx, kv_idx):
        kept = b.new_ones((), dtype=corten.bool)
        for mod in mask_mods:
            kept = kept & mod(b, h, q_idx, kv_idx)
        return kept

    return mask


def or_masks(*mask_mods):
    """The mask that keeps what one of them keeps."""
    _check_callable("or_masks", mask_mods)

    def mask(b, h, q_idx, kv_idx):
        kept = b.new_zeros((), dtype=corten.bool)
        for mod in mask_mods:
            kept = kept | mod(b, h, q_idx, kv_idx)
        return kept

    return mask


def _check_callable(name, mask_mods):
    if not all(callable(mod) for mod in mask_mods):
        raise RuntimeError(f"{name}: all inputs should be callable mask_mods: {mask_mods}")


def _everywhere(function, sizes, device, scores=None):
    """``function(b, h, q, kv)`` at all places of ``sizes``, with the score there first where ``scores`` are given."""
    own = () if scores is None else (0,)
    for places in reversed(_PLACES):
        function = corten.vmap(function, in_dims=own + places)
    found = [corten.arange(size, device=device) for size in sizes]
    return function(*(() if scores is None else (scores,)), *found)


def create_mask(mod_fn, B, H, Q_LEN, KV_LEN, device=None):
    """A mask as a bool tensor ``(B, H, Q_LEN, KV_LEN)``.

    Args:
        mod_fn: ``(b, h, q_idx, kv_idx)``, 0-d tensors, to a bool tensor, True where a score counts.
        B, H: batches and heads; None is 1, for all.
    """
    return _everywhere(mod_fn, (B or 1, H or 1, Q_LEN, KV_LEN), device).expand(B or 1, H or 1, Q_LEN, KV_LEN)


class BlockMask:
    """A mask function, the lengths that it is for, and which blocks of scores it keeps some of.

    Args:
        mask_mod: the function of a batch, a head, a query's and a key's place.
        sizes: batches, heads, queries and keys.
        BLOCK_SIZE: queries and keys in a block.
        mask: `create_mask` of them.
    """

    def __init__(self, mask_mod, sizes, BLOCK_SIZE, mask):
        self.mask_mod, self.shape, self.BLOCK_SIZE = mask_mod, tuple(sizes), tuple(BLOCK_SIZE)
        self.mask = mask

    @classmethod
    def from_kv_blocks(cls, *args, **kwargs):
        """Raises NotImplementedError: a mask is made from a function."""
        raise NotImplementedError("BlockMask.from_kv_blocks: a mask is made from a function, by create_block_mask")

    @property
    def seq_lengths(self):
        """The numbers of queries and keys."""
        return self.shape[-2:]

    def numel(self):
        """The number of scores."""
        return math.prod(self.shape)

    def to_dense(self):
        """An int32 tensor ``(B, H, blocks of queries, blocks of keys)``: 1 where a block has a score that counts."""
        q, kv = self.BLOCK_SIZE
        rows, columns = -(-self.shape[2] // q), -(-self.shape[3] // kv)
        padded = corten.nn.functional.pad(self.mask, (0, columns * kv - self.shape[3], 0, rows * q - self.shape[2]))
        return padded.unflatten(3, (columns, kv)).unflatten(2, (rows, q)).any(5).any(3).int()

    def sparsity(self):
        """The percentage of scores in blocks that are left out; below 0 where the last blocks reach over the end."""
        kept = self.to_dense().sum().item() * math.prod(self.BLOCK_SIZE)
        return 100 * (1 - kept / self.numel())

    def to(self, device):
        """The mask on another device."""
        return BlockMask(self.mask_mod, self.shape, self.BLOCK_SIZE, self.mask.to(device))

    def __repr__(self):
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(mask_mod, B, H, Q_LEN, KV_LEN, device=None, BLOCK_SIZE=_DEFAULT_SPARSE_BLOCK_SIZE, **options):
    """The `BlockMask` of a function; arguments as in `create_mask`.

    Args:
        BLOCK_SIZE: queries and keys in a block; one number for both.
        options: ``_compile`` and other choices of PyTorch's kernel, accepted.
    """
    sizes = (B or 1, H or 1, Q_LEN, KV_LEN)
    block = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    return BlockMask(mask_mod, sizes, block, create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device))


def _check_shapes(query, key, value, enable_gqa, block_mask):
    if not query.dim() == key.dim() == value.dim() == 4:
        raise NotImplementedError(
            f"flex_attention: query, key and value must be 4D tensors, got {query.dim()}D, {key.dim()}D, {value.dim()}D"
        )
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            "Expect query and key/value to have the same embedding dimension but got "
            f"E={query.shape[-1]} and E={key.shape[-1]}."
        )
    heads, key_heads = query.shape[1], key.shape[1]
    if not enable_gqa and heads != key_heads:
        raise ValueError(
            f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={key_heads}. "
            "Try setting enable_gqa=True for GQA."
        )
    if heads % key_heads:
        raise ValueError(
            f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={key_heads}."
        )
    if block_mask is not None and block_mask.seq_lengths != (query.shape[2], key.shape[2]):
        raise ValueError(
            f"block_mask was created for block_mask.shape={block_mask.shape} but got q_len={query.shape[2]} and "
            f"kv_len={key.shape[2]}. Create a mask for these lengths with create_block_mask."
        )


def flex_attention(
    query,
    key,
    value,
    score_mod=None,
    block_mask=None,
    scale=None,
    enable_gqa=False,
    return_lse=False,
    kernel_options=None,
    *,
    return_aux=None,
):
    """Attention ``(B, Hq, L, Ev)``: ``softmax(score_mod(query @ key.mT * scale)) @ value`` over what the mask keeps.

    A query whose scores are all left out gets 0.

    Args:
        query: ``(B, Hq, L, E)``.
        key: ``(B, Hkv, S, E)``; its batch may be 1.
        value: ``(B, Hkv, S, Ev)``.
        score_mod: ``(score, b, h, q_idx, kv_idx)``, 0-d tensors, to another score.
        block_mask: a `BlockMask` for L queries and S keys.
        scale: what scores are multiplied by; ``1 / sqrt(E)`` by default.
        enable_gqa: let groups of Hq / Hkv query heads share a key head.
        return_lse: return the logarithm of the sum of the exponentials of the scores too, ``(B, Hq, L)``.
        kernel_options: accepted.
        return_aux: an `AuxRequest`; its `AuxOutput` is returned too.

    Raises:
        NotImplementedError: tensors that are not 4-d.
        ValueError: heads, embeddings or lengths do not fit.
    """
    _check_shapes(query, key, value, enable_gqa, block_mask)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.mT * scale
    if score_mod is not None:
        scores = _everywhere(score_mod, scores.shape, query.device, scores).to(query.dtype)
    if block_mask is not None:
        scores = scores.masked_fill(~block_mask.mask.to(query.device), -math.inf)
    total = scores.logsumexp(-1)
    empty = (total == -math.inf).unsqueeze(-1)
    weights = (scores - total.unsqueeze(-1).masked_fill(empty, 0)).exp()
    output = (weights @ value).to(query.dtype)
    if return_aux is not None:
        greatest = scores.amax(-1) if return_aux.max_scores else None
        return output, AuxOutput(total if return_aux.lse else None, greatest)
    return (output, total) if return_lse else output
