"""Resampling of images by the Lanczos kernel, as products with one matrix of weights for each axis."""

import corten

# How many lobes of the sine the kernel has on either side.
_LOBES = 3.0


def resample(input, output_size, factors):
    """Images ``(N, C, H, W)`` resampled to ``(N, C, *output_size)``, smoothed where they shrink.

    The kernel is ``sinc(x) sinc(x / 3)`` within three pixels, of the larger of both images (Duchon 1979). Weights of an
    output pixel add up to 1, also at the edges. Bytes are rounded after each axis, and kept between 0 and 255.

    Args:
        factors: the ratio of the sizes of either axis where the program gave it; None takes that of the sizes.

    Raises:
        NotImplementedError: for dtypes other than float32, float64 and uint8.
    """
    if input.dtype not in (corten.float32, corten.float64, corten.uint8):
        name = str(input.dtype).rpartition(".")[2]
        raise NotImplementedError(f"interpolate: mode lanczos is not implemented for '{name}'")
    result = input
    for axis in (1, 0):
        factor = None if factors is None else factors[axis]
        if factor is None and output_size[axis] == input.shape[2 + axis]:
            continue
        wide = result.float() if result.dtype == corten.uint8 else result
        weights = _weights(input.shape[2 + axis], output_size[axis], factor, wide)
        wide = wide.matmul(weights.mT) if axis else weights.matmul(wide)
        result = wide.round().clamp(0, 255).to(corten.uint8) if input.dtype == corten.uint8 else wide
    return result.clone() if result is input else result


def _weights(extent, size, factor, like):
    """What each of ``size`` output pixels takes of ``extent`` input pixels, ``(size, extent)``."""
    scale = extent / size if factor is None else 1.0 / factor
    width = max(scale, 1.0)
    centres = ((corten.arange(size, dtype=corten.float64, device=like.device) + 0.5) * scale).unsqueeze(-1)
    pixels = corten.arange(extent, dtype=corten.float64, device=like.device)
    first = (centres - _LOBES * width + 0.5).trunc()
    last = (centres + _LOBES * width + 0.5).trunc()
    distance = (pixels + 0.5 - centres) / width
    kernel = distance.sinc() * (distance / _LOBES).sinc()
    kernel = corten.where((pixels >= first) & (pixels < last) & (distance.abs() < _LOBES), kernel, 0.0)
    return (kernel / kernel.sum(-1, keepdim=True)).to(like.dtype)
