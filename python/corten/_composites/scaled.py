"""The product of float8 matrices with scales, as PyTorch's private function has it."""

from ._common import result


def _scaled_mm(
    input, mat2, scale_a, scale_b, bias=None, scale_result=None, out_dtype=None, use_fast_accum=False, *, out=None
):
    """The product of float8 matrices ``(M, K)`` and ``(K, N)`` with a scale for each, or for each row and column.

    It is computed in float32 and rounded once.

    Args:
        scale_a, scale_b: float32, one element each; or ``(M, 1)`` and ``(1, N)``; or of blocks ``1 x 128``,
            ``(M, K / 128)`` and ``(K / 128, N)``.
        bias: ``(N,)``, added.
        scale_result: what the result is divided by where it is float8.
        out_dtype: of the result, that of ``input`` where it is not given.
        use_fast_accum: accepted; sums are float32.

    Raises:
        RuntimeError: shapes that do not fit.
        ValueError: dtypes and scales that do not.
    """
    from ..nn._functional.scaling import ScalingType, check_operands, dequantized, finished

    check_operands("_scaled_mm", input, mat2)
    dtype = input.dtype if out_dtype is None else out_dtype
    if scale_a.numel() == 1 and scale_b.numel() == 1:
        kind = ScalingType.TensorWise
    elif scale_a.dim() == 2 and scale_a.shape[1] == 1 and scale_b.dim() == 2 and scale_b.shape[0] == 1:
        kind = ScalingType.RowWise
    else:
        kind = ScalingType.BlockWise1x128
    a = dequantized(input, scale_a, kind, None, "scale_a")
    product = a @ dequantized(mat2, scale_b, kind, None, "scale_b", True)
    if scale_result is not None and dtype._name.startswith("float8"):
        product = product / scale_result
    return result(finished(product, bias, dtype), out)
