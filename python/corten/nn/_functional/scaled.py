"""PyTorch's scaled products: float8 operands with scales by a recipe for each."""

import corten

from .grouped import grouped_mm
from .scaling import (
    ScalingType,
    SwizzleType,
    check_float8,
    check_operands,
    dequantized,
    finished,
)


def _one(value, name):
    """The only element of a list, or the value itself.

    Raises:
        NotImplementedError: two scales for an operand, as float4 has them.
    """
    if not isinstance(value, (list, tuple)):
        return value
    if len(value) != 1:
        raise NotImplementedError(
            f"{name}: {len(value)} scales for an operand are those of float4_e2m1fn_x2, which corten does not have"
        )
    return value[0]


def _product(mat_a, mat_b, contraction_dim):
    """The operands as ``(M, K)`` and ``(K, N)``.

    Raises:
        ValueError: dims that are not those two.
    """
    if not contraction_dim:
        return mat_a, mat_b
    if len(contraction_dim) != 2 or not set(contraction_dim) <= {-2, -1, 0, 1}:
        raise ValueError(f"scaled_mm: contraction_dim must be a dim of each matrix, got {contraction_dim}")
    own = mat_a if contraction_dim[0] % 2 == 1 else mat_a.t()
    return own, mat_b if contraction_dim[1] % 2 == 0 else mat_b.t()


def scaled_mm(
    mat_a,
    mat_b,
    scale_a,
    scale_recipe_a,
    scale_b,
    scale_recipe_b,
    swizzle_a=None,
    swizzle_b=None,
    bias=None,
    output_dtype=corten.bfloat16,
    contraction_dim=(),
    use_fast_accum=False,
):
    """The product of float8 matrices, every number times its scale; computed in float32 and rounded once.

    Args:
        mat_a, mat_b: ``(M, K)`` and ``(K, N)``, float8.
        scale_a, scale_b: what the recipes ask for: TensorWise one float32; RowWise ``(M, 1)`` and ``(1, N)``;
            BlockWise1x128 ``(M, K / 128)`` and ``(K / 128, N)``; BlockWise128x128 ``(M / 128, K / 128)`` and
            ``(K / 128, N / 128)``, sizes rounded up; BlockWise1x32 float8_e8m0fnu, ``(M, K / 32)`` and
            ``(N, K / 32)``.
        scale_recipe_a, scale_recipe_b: a `ScalingType` each, which may differ; lists of one are taken as well.
        swizzle_a, swizzle_b: the order of the scales of BlockWise1x32.
        bias: ``(N,)``, added.
        output_dtype: of the result, that of ``mat_a`` where it is None.
        contraction_dim: the dims of both matrices that are summed, by default the last and the first.
        use_fast_accum: accepted; sums are float32.

    Raises:
        RuntimeError: shapes that do not fit.
        ValueError: dtypes, scales and recipes that do not.
        NotImplementedError: scales of float4.
    """
    a, b = _product(mat_a, mat_b, contraction_dim)
    check_operands("scaled_mm", a, b)
    left = dequantized(
        a, _one(scale_a, "scale_a"), _one(scale_recipe_a, "scale_a"), _one(swizzle_a, "scale_a"), "scale_a"
    )
    right = dequantized(
        b, _one(scale_b, "scale_b"), _one(scale_recipe_b, "scale_b"), _one(swizzle_b, "scale_b"), "scale_b", True
    )
    return finished(left @ right, bias, mat_a.dtype if output_dtype is None else output_dtype)


def _row_scales(mat_a, mat_b, scale_a, scale_b, offs):
    """What the operands are multiplied by, shaped like them or broadcast.

    Raises:
        ValueError: scales that do not fit.
    """
    groups = 0 if offs is None else offs.numel()
    m, k, n = mat_a.shape[-2], mat_a.shape[-1], mat_b.shape[-1]
    inner = mat_a.dim() == mat_b.dim() == 2
    wanted = [
        (groups * m,) if inner else (*mat_a.shape[:-2], m),
        (groups * n,) if inner else (*mat_b.shape[:-2], n),
    ]
    for scale, shape, name in zip((scale_a, scale_b), wanted, ("scale_a", "scale_b"), strict=True):
        if scale.dtype != corten.float32 or tuple(scale.shape) != shape:
            raise ValueError(
                f"scaled_grouped_mm: {name} of RowWise must have shape {list(shape)} of float32, got "
                f"{list(scale.shape)} of {scale.dtype}"
            )
    if not inner:
        return scale_a.unsqueeze(-1), scale_b.unsqueeze(-2)
    # Each column of the inner dim belongs to a group, which has scales of its own.
    place = corten.searchsorted(offs, corten.arange(k, dtype=offs.dtype, device=offs.device), right=True)
    place = place.clamp(max=max(groups - 1, 0))
    return scale_a.reshape(groups, m)[place].t(), scale_b.reshape(groups, n)[place]


def scaled_grouped_mm(
    mat_a,
    mat_b,
    scale_a,
    scale_recipe_a,
    scale_b,
    scale_recipe_b,
    swizzle_a=None,
    swizzle_b=None,
    bias=None,
    offs=None,
    output_dtype=corten.bfloat16,
    contraction_dim=(),
    use_fast_accum=False,
):
    """`grouped_mm` of float8 operands, every row of the first and column of the second times a scale.

    Args:
        mat_a, mat_b, offs, bias: as in :func:`grouped_mm`, float8.
        scale_a, scale_b: float32, without the inner dim: ``(M,)`` or ``(G, M)``, and ``(N,)`` or ``(G, N)``; where both
            operands are matrices ``(G * M,)`` and ``(G * N,)``, those of each group in turn.
        scale_recipe_a, scale_recipe_b: `ScalingType.RowWise`; lists of one are taken as well.
        output_dtype: of the result, that of ``mat_a`` where it is None.
        swizzle_a, swizzle_b, contraction_dim: nothing but their defaults.
        use_fast_accum: accepted; sums are float32.

    Raises:
        RuntimeError: shapes and ends that do not fit.
        ValueError: dtypes and scales that do not.
        NotImplementedError: other recipes and orders.
    """
    check_float8("scaled_grouped_mm", mat_a, mat_b)
    kinds = _one(scale_recipe_a, "scale_a"), _one(scale_recipe_b, "scale_b")
    orders = _one(swizzle_a, "scale_a"), _one(swizzle_b, "scale_b")
    if kinds != (ScalingType.RowWise, ScalingType.RowWise) or contraction_dim:
        raise NotImplementedError(
            f"scaled_grouped_mm: RowWise scales are there, got {' and '.join(kind.name for kind in kinds)}"
            + (f" with contraction_dim={contraction_dim}" if contraction_dim else "")
        )
    if not set(orders) <= {None, SwizzleType.NO_SWIZZLE}:
        raise ValueError("scaled_grouped_mm: scales of RowWise are not swizzled")
    own = _row_scales(mat_a, mat_b, _one(scale_a, "scale_a"), _one(scale_b, "scale_b"), offs)
    product = grouped_mm(mat_a.float() * own[0], mat_b.float() * own[1], offs=offs)
    return finished(product, bias, mat_a.dtype if output_dtype is None else output_dtype)
