"""Causal masks of attention that are no matrices: `causal_upper_left` and `causal_lower_right`."""

import enum

import corten

from ... import _core

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(enum.IntEnum):
    """Where the triangle of a causal mask lies when there are not as many queries as keys.

    ``UPPER_LEFT``: query ``i`` sees keys ``0..i``. ``LOWER_RIGHT``: the last query sees all keys.
    """

    UPPER_LEFT = 1
    LOWER_RIGHT = 2


class CausalBias(corten.Tensor, decomposes=True):  # type: ignore[call-arg]
    """A causal mask ``(seq_len_q, seq_len_kv)`` for the ``attn_mask`` of ``scaled_dot_product_attention``.

    Attention skips what a square mask, or one that begins in the upper left corner, hides. Every other operator gets
    the mask as a boolean tensor.

    Args:
        variant: where the triangle lies.
        seq_len_q, seq_len_kv: numbers of queries and keys.

    Raises:
        AssertionError: ``variant`` is no `CausalVariant`.
    """

    def __new__(cls, variant, seq_len_q, seq_len_kv):
        if not isinstance(variant, CausalVariant):
            raise AssertionError(f"variant must be a CausalVariant, got {type(variant)}")
        stand_in = _core.ops.empty((), dtype=corten.bool).expand((seq_len_q, seq_len_kv))
        made = _core.Tensor._make_subclass(cls, stand_in)
        made.variant, made.seq_len_q, made.seq_len_kv = variant, seq_len_q, seq_len_kv
        return made

    def __init__(self, variant, seq_len_q, seq_len_kv):
        """Everything is done by `__new__`."""

    def _is_causal_flag(self):
        """Whether ``is_causal=True`` says the same."""
        return self.variant == CausalVariant.UPPER_LEFT or self.seq_len_q == self.seq_len_kv

    def _materialize(self, device=None):
        """The mask as a boolean tensor, true where a query sees a key."""
        diagonal = 0 if self.variant == CausalVariant.UPPER_LEFT else self.seq_len_kv - self.seq_len_q
        shape = self.seq_len_q, self.seq_len_kv
        return _core.ops.ones(shape, dtype=corten.bool, device=device).tril(diagonal)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        from ..functional import scaled_dot_product_attention as attention

        kwargs = dict(kwargs or {})
        with corten.overrides.DisableTorchFunctionSubclass():
            if getattr(func, "__name__", "") == attention.__name__:
                return _attend(attention, *args, **kwargs)
            from ...utils._pytree import tree_map

            plain = tree_map(lambda x: x._materialize() if isinstance(x, cls) else x, (args, kwargs))
            return func(*plain[0], **plain[1])

    def __repr__(self, *, tensor_contents=None):
        return repr(self._materialize())

    def __str__(self, **options):
        return self.__repr__(**options)


def _attend(attention, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **options):
    """Attention with a `CausalBias` as its mask.

    Raises:
        ValueError: ``is_causal`` is given as well.
    """
    if is_causal:
        raise ValueError("CausalBias should not be used with causal=True")
    if attn_mask._is_causal_flag():
        return attention(query, key, value, None, dropout_p, True, **options)
    return attention(query, key, value, attn_mask._materialize(query.device), dropout_p, False, **options)


def causal_upper_left(*size):
    """The causal mask whose triangle begins in the upper left corner: query ``i`` sees keys ``0..i``.

    Args:
        size: numbers of queries and keys.

    Raises:
        AssertionError: not two sizes.

    >>> attention(query, key, value, causal_upper_left(query.size(-2), key.size(-2)))
    """
    return _bias(CausalVariant.UPPER_LEFT, size, "causal_upper_left")


def causal_lower_right(*size):
    """The causal mask whose triangle ends in the lower right corner: the last query sees all keys, as where the first
    keys come from a cache.

    Args:
        size: numbers of queries and keys.

    Raises:
        AssertionError: not two sizes.
    """
    return _bias(CausalVariant.LOWER_RIGHT, size, "causal_lower_right")


def _bias(variant, size, name):
    if len(size) != 2:
        raise AssertionError(f"{name} only supports 2D tensors")
    return CausalBias(variant, *size)
