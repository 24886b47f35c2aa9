"""Operands of float8 whose numbers count times a scale: of the whole matrix, of a row, or of a block."""

import enum
import math

from ... import _core
from ..._composites._common import scalar_name


class ScalingType(enum.Enum):
    """What has a scale of its own, in dims across and along the inner dim of the product."""

    TensorWise = 0
    RowWise = 1
    BlockWise1x16 = 2
    BlockWise1x32 = 3
    BlockWise1x128 = 4
    BlockWise128x128 = 5


class SwizzleType(enum.Enum):
    """The order of scales in memory; ``SWIZZLE_32_4_4`` has tiles of 128 rows and 4 columns, 32 times 4 times 4."""

    NO_SWIZZLE = 0
    SWIZZLE_32_4_4 = 1


_BLOCKS = {
    ScalingType.BlockWise1x32: (1, 32),
    ScalingType.BlockWise1x128: (1, 128),
    ScalingType.BlockWise128x128: (128, 128),
}


def is_float8(x):
    """Whether a tensor has one of the float8 dtypes with a sign and a mantissa."""
    return x.dtype._name.startswith("float8_e") and x.dtype != _core.float8_e8m0fnu


def _unswizzled(scale, rows, columns):
    """Scales ``(rows, columns)`` out of tiles of 128 × 4, in which row ``32·i + j`` stands at ``(j, i)``."""
    tiles = math.ceil(rows / 128), math.ceil(columns / 4)
    order = scale.reshape(*tiles, 32, 4, 4).permute(0, 3, 2, 1, 4)
    return order.reshape(tiles[0] * 128, tiles[1] * 4)[:rows, :columns]


def _blockwise(scale, kind, swizzle, shape, name, transposed):
    """The scales of blocks as ``(rows, blocks)`` of the operand with its inner dim last."""
    across, along = _BLOCKS[kind]
    rows, columns = math.ceil(shape[0] / across), math.ceil(shape[1] / along)
    if kind is ScalingType.BlockWise1x32:
        swizzled = swizzle is SwizzleType.SWIZZLE_32_4_4
        count = math.ceil(rows / 128) * 128 * math.ceil(columns / 4) * 4 if swizzled else rows * columns
        if scale.dtype != _core.float8_e8m0fnu or scale.numel() != count:
            raise ValueError(
                f"scaled_mm: {name} of {kind.name} must have {count} elements of float8_e8m0fnu, for {rows} x "
                f"{columns} blocks, got {list(scale.shape)} of {scale.dtype._name}"
            )
        scale = scale.float()
        return _unswizzled(scale, rows, columns) if swizzled else scale.reshape(rows, columns)
    expected = (columns, rows) if transposed else (rows, columns)
    if scale.dtype != _core.float32 or tuple(scale.shape) != expected:
        raise ValueError(
            f"scaled_mm: {name} of {kind.name} must have shape {expected[0]} x {expected[1]} of float32, "
            f"got {list(scale.shape)} of {scale.dtype._name}"
        )
    return scale.t() if transposed else scale


def dequantized(x, scale, kind, swizzle, name, transposed=False):
    """An operand in float32, every number times its scale.

    Args:
        x: the operand, ``(rows, K)``, or ``(K, columns)`` where ``transposed``.
        scale: for TensorWise one float32, for RowWise ``(rows, 1)`` or ``(1, columns)``, for BlockWise1x128 and
            BlockWise128x128 one for each block in the operand's order, for BlockWise1x32 powers of two
            ``(rows, K / 32)`` in float8_e8m0fnu, also of a transposed operand.
        swizzle: the order of the scales of BlockWise1x32.

    Raises:
        ValueError: scales that do not fit.
        NotImplementedError: BlockWise1x16, which scales float4.
    """
    if kind is ScalingType.BlockWise1x16:
        raise NotImplementedError("scaled_mm: BlockWise1x16 scales float4_e2m1fn_x2, which corten does not have")
    if swizzle not in (None, SwizzleType.NO_SWIZZLE) and kind is not ScalingType.BlockWise1x32:
        raise ValueError(f"scaled_mm: scales of {kind.name} are not swizzled, but {name} is given so")
    wide = x.float()
    if kind in (ScalingType.TensorWise, ScalingType.RowWise):
        expected = ((1, x.shape[1]) if transposed else (x.shape[0], 1)) if kind is ScalingType.RowWise else None
        fits = scale.numel() == 1 if expected is None else tuple(scale.shape) == expected
        if scale.dtype != _core.float32 or not fits:
            shape = "1 element" if expected is None else f"shape {expected[0]} x {expected[1]}"
            raise ValueError(
                f"scaled_mm: {name} of {kind.name} must have {shape} of float32, got {list(scale.shape)} of "
                f"{scale.dtype._name}"
            )
        return wide * (scale.reshape(()) if expected is None else scale)
    across, along = _BLOCKS[kind]
    own = wide.t() if transposed else wide
    blocks = _blockwise(scale, kind, swizzle, own.shape, name, transposed)
    spread = blocks.repeat_interleave(along, 1)[:, : own.shape[1]]
    if across > 1:
        spread = spread.repeat_interleave(across, 0)[: own.shape[0]]
    scaled = own * spread
    return scaled.t() if transposed else scaled


def check_operands(name, a, b):
    """Refuses what are no two float8 matrices that can be multiplied.

    Raises:
        RuntimeError: shapes.
        ValueError: dtypes.
    """
    if a.dim() != 2 or b.dim() != 2:
        raise RuntimeError(f"{name}: mat_a and mat_b must be matrices, got {list(a.shape)} and {list(b.shape)}")
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(
            f"{name}: mat_a and mat_b shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and "
            f"{b.shape[0]}x{b.shape[1]})"
        )
    check_float8(name, a, b)


def check_float8(name, a, b):
    """Refuses operands that are not float8.

    Raises:
        ValueError: naming the dtypes.
    """
    if not (is_float8(a) and is_float8(b)):
        raise ValueError(
            f"{name}: Invalid scaling configuration: mat_a and mat_b should be float8, got {scalar_name(a)} and "
            f"{scalar_name(b)}"
        )


def finished(product, bias, dtype):
    """The product plus a bias ``(N,)``, in ``dtype``.

    Raises:
        RuntimeError: a bias of another size.
    """
    if bias is not None:
        if bias.numel() != product.shape[-1]:
            raise RuntimeError(f"Bias must be size {product.shape[-1]} but got {bias.numel()}")
        product = product + bias.float()
    return product.to(dtype)
